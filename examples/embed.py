#!/usr/bin/env python3
"""The smallest application on openaitranscribesink: prints the text of MEDIA as it comes.

  OPENAI_API_KEY=... ./embed.py talk.ogg

MEDIA is a file or a URI. Needs python3-gi and gir1.2-gstreamer-1.0.
"""

import sys

try:
    import gi

    gi.require_version("Gst", "1.0")
    from gi.repository import Gst
except (ImportError, ValueError):
    sys.exit("embed.py needs the packages python3-gi and gir1.2-gstreamer-1.0.")


def main():
    if sys.argv[1:] in (["-h"], ["--help"]):
        print(__doc__.strip())
        return
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} MEDIA")
    Gst.init(None)
    if not Gst.ElementFactory.find("openaitranscribesink"):
        sys.exit("GStreamer does not find openaitranscribesink; set GST_PLUGIN_PATH.")
    pipeline = Gst.parse_launch(
        "uridecodebin name=media caps=audio/x-raw expose-all-streams=false ! openaitranscribesink"
    )
    media = sys.argv[1]
    uri = media if Gst.uri_is_valid(media) else Gst.filename_to_uri(media)
    pipeline.get_by_name("media").set_property("uri", uri)
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
