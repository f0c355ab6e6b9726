"""One recording through a real pipeline with openaitranscribesink."""

import json
import os
import wave
from dataclasses import dataclass

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

SECOND = 1_000_000_000
BUFFER_SECONDS = 0.1
# Nothing is given up because the machine is slow.
PATIENCE = {
    "requests-per-second": 0,
    "max-parallel": 2,
    "request-timeout": 3_600_000,
    "chunk-timeout": 86_400_000,
    "model": "local",
}


@dataclass
class Heard:
    text: str
    chunks: list[dict]  # of the transcript file
    seconds: float  # of the recording
    sent: float  # seconds of audio in the requests, overlaps twice

    @property
    def requests(self):
        return sum(chunk["status"] == "done" for chunk in self.chunks)

    @property
    def cuts(self):
        """Places where two chunks meet that were both sent."""
        pairs = zip(self.chunks, self.chunks[1:])
        return sum(a["status"] == b["status"] == "done" for a, b in pairs)

    @property
    def seams(self):
        """Cuts where both chunks have heard the same audio: those that were forced."""
        return sum("seam" in chunk for chunk in self.chunks)

    def skipped(self):
        """Spans in seconds."""
        return [
            (chunk["timestamp"] / SECOND, (chunk["timestamp"] + chunk["duration"]) / SECOND)
            for chunk in self.chunks
            if chunk["status"] == "skipped"
        ]


def _describe(settings):
    return "openaitranscribesink name=sink " + " ".join(f"{k}={v}" for k, v in settings.items())


def _feed_live(pipeline, path):
    """A source that calls itself live, and is as fast as the sink takes it."""
    source = pipeline.get_by_name("source")
    with wave.open(path) as file:
        step = int(BUFFER_SECONDS * file.getframerate())
        at = 0
        while data := file.readframes(step):
            buffer = Gst.Buffer.new_wrapped(data)
            buffer.pts = at * SECOND // file.getframerate()
            at += len(data) // 2
            buffer.duration = at * SECOND // file.getframerate() - buffer.pts
            source.emit("push-buffer", buffer)
    source.emit("end-of-stream")


def transcribe(path, url, settings, live=False):
    """Runs `path` through the sink; the transcript file lies beside it while that lasts."""
    Gst.init(None)
    transcript = f"{path}.{os.urandom(4).hex()}.json"
    with wave.open(path) as file:
        seconds = file.getnframes() / file.getframerate()
    properties = {**PATIENCE, **settings, "base-url": url, "location": transcript}
    if live:
        head = (
            "appsrc name=source is-live=true format=time "
            "caps=audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved"
        )
    else:
        head = f"filesrc location={path} ! wavparse"
    pipeline = Gst.parse_launch(f"{head} ! {_describe(properties)}")
    sent = 0.0
    try:
        pipeline.set_state(Gst.State.PLAYING)
        if live:
            _feed_live(pipeline, path)
        bus = pipeline.get_bus()
        wanted = Gst.MessageType.EOS | Gst.MessageType.ERROR | Gst.MessageType.ELEMENT
        while True:
            message = bus.timed_pop_filtered(Gst.CLOCK_TIME_NONE, wanted)
            if message.type == Gst.MessageType.EOS:
                break
            if message.type == Gst.MessageType.ERROR:
                error, details = message.parse_error()
                raise RuntimeError(f"{path}: {error.message} ({details})")
            structure = message.get_structure()
            if structure.get_name() == "openaitranscribe/chunk-queued":
                sent += (structure.get_value("bytes") - 44) / 32000
    finally:
        pipeline.set_state(Gst.State.NULL)
    with open(transcript, encoding="utf-8") as file:
        document = json.load(file)
    os.unlink(transcript)
    return Heard(document["text"], document["chunks"], seconds, sent)
