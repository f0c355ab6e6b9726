#!/usr/bin/env python3
"""The smallest application on openaitranscribesink: prints the text of MEDIA as it comes.

  OPENAI_API_KEY=... ./embed.py file:///music/talk.ogg
"""

import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402


def main():
    Gst.init(None)
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} URI")
    pipeline = Gst.parse_launch(
        "uridecodebin name=media caps=audio/x-raw expose-all-streams=false ! openaitranscribesink"
    )
    pipeline.get_by_name("media").set_property("uri", sys.argv[1])
    pipeline.set_state(Gst.State.PLAYING)
    bus = pipeline.get_bus()
    try:
        while True:
            message = bus.timed_pop_filtered(
                Gst.CLOCK_TIME_NONE,
                Gst.MessageType.ELEMENT | Gst.MessageType.ERROR | Gst.MessageType.EOS,
            )
            if message.type == Gst.MessageType.EOS:
                return
            if message.type == Gst.MessageType.ERROR:
                sys.exit(message.parse_error()[0].message)
            structure = message.get_structure()
            if structure.get_name() == "openaitranscribe/text":
                start = structure.get_value("timestamp") / Gst.SECOND
                print(f"{start:.1f} s: {structure.get_value('text')}", flush=True)
    finally:
        pipeline.set_state(Gst.State.NULL)


main()
