"""What the tests of whole pipelines with a stored job share: gst-launch-1.0 over real speech, a
redis-server, and the fake service, whose program is the first argument of the test."""
import glob
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import wave

SERVICE = sys.argv.pop(1)
WATCHDOG = 120
PARALLEL = 4
CHUNK = 0.5  # seconds
SPEECH = sorted(glob.glob("/usr/share/pocketsphinx/test/data/librivox/*.wav"))


def sink_environment():
    """An instrumented plugin needs its runtime loaded first; leaks of gst-launch are not ours."""
    env = dict(os.environ)
    runtime = env.pop("SANITIZER_RUNTIME", "")
    if runtime:
        env["LD_PRELOAD"] = runtime
        env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    return env


class Redis:
    """A redis-server, and redis-cli to look into it."""

    def __init__(self, folder, *options):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1",
                        "--save", "", "--dir", folder, *options]
        self.uri = "redis://127.0.0.1:%d" % self.port
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + WATCHDOG
        while self.text("PING") != "PONG":
            assert time.monotonic() < deadline and self.process.poll() is None
            time.sleep(0.02)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def text(self, *command):
        return subprocess.run(["redis-cli", "-p", str(self.port), "--raw", *command],
                              capture_output=True, text=True,
                              errors="surrogateescape").stdout.rstrip("\n")

    def value(self, *command):
        return json.loads(subprocess.run(
            ["redis-cli", "-p", str(self.port), "--json", *command],
            capture_output=True, text=True, check=True).stdout)

    def key(self, name, job="talk"):
        return "{transcribe:jobs:%s}:%s" % (job, name)

    def state(self, job="talk"):
        return self.text("GET", self.key("state", job))

    def done(self, job="talk"):
        return {int(index) for index in self.value("HKEYS", self.key("chunks", job))}

    def events(self, job="talk"):
        entries = self.value("XRANGE", "transcribe:jobs:" + job, "-", "+")
        return [dict(zip(fields[::2], fields[1::2])) for _, fields in entries]


class Pipelines(unittest.TestCase):
    sentences = 2

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.speech = self.path("speech.wav")
        with wave.open(self.speech, "wb") as out:
            out.setparams((1, 2, 16000, 0, "NONE", ""))
            for name in SPEECH[:self.sentences]:
                with wave.open(name) as file:
                    out.writeframes(file.readframes(file.getnframes()))
                    self.assertEqual(file.getframerate(), 16000)
            frames = out.getnframes()
        self.chunks = -(-frames // int(16000 * CHUNK))
        self.log = self.path("requests")

    def path(self, name):
        return os.path.join(self.folder, name)

    def serve(self, script='{"default": {"delay_ms": 40}}'):
        self.service = subprocess.Popen([SERVICE, "--script", script, "--log", self.log],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.service.communicate)
        self.addCleanup(self.service.kill)
        self.url = "http://127.0.0.1:%s/v1" % self.service.stdout.readline().strip()

    def redis(self, *options):
        server = Redis(self.folder, *options)
        self.addCleanup(server.kill)
        return server

    def requests(self):
        """The chunk (from 0) of each request so far; -1 when its body was cut off by a kill."""
        if not os.path.exists(self.log):
            return []
        with open(self.log) as file:
            whole = file.read().split("\n")[:-1]  # the last one may be on its way into the file
        return [json.loads(line).get("chunk", 0) - 1 for line in whole]

    def start(self, *properties, options=(), location="talk.srt", job="talk"):
        process = subprocess.Popen(
            ["gst-launch-1.0", *options, "filesrc", "location=" + self.speech, "!", "wavparse", "!",
             "openaitranscribesink", "base-url=" + self.url, "requests-per-second=0",
             "split=fixed", "max-chunk-duration=%d" % (CHUNK * 1e9), "job-id=" + job,
             "max-parallel=%d" % PARALLEL, "location=" + self.path(location), *properties],
            env=sink_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def finish(self, process, code=0):
        output = process.communicate(timeout=WATCHDOG)[0]
        self.assertEqual(process.returncode, code, output)
        return output

    def wait_for(self, condition):
        deadline = time.monotonic() + WATCHDOG
        while not condition():
            self.assertLess(time.monotonic(), deadline, "waited in vain")
            time.sleep(0.002)

    def tell_service(self, line):
        self.service.stdin.write(line + "\n")
        self.service.stdin.flush()

    def received(self):
        """Requests that have reached the service, answered or not."""
        self.tell_service("received")
        return int(self.service.stdout.readline())

    def wait_for_requests(self, process, count):
        deadline = time.monotonic() + WATCHDOG
        while len(self.requests()) < count and process.poll() is None:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.002)

    def transcript(self, location="talk.srt"):
        with open(self.path(location), "rb") as file:
            return file.read()

    def check_stream(self, server, complete=True):
        seq, epoch, state, done = 0, 0, "", set()
        for event in server.events():
            if complete or seq:
                self.assertEqual(int(event["seq"]), seq + 1, event)
            seq = int(event["seq"])
            self.assertGreaterEqual(int(event["epoch"]), epoch)
            epoch = int(event["epoch"])
            if event["event"] == "state":
                self.assertEqual(event["prev"], state, event)
            if event["event"] in ("state", "restored"):
                state = event["state"]
            if event["event"] == "chunk" and event["status"] == "done":
                self.assertNotIn(event["idx"], done)
                done.add(event["idx"])
        self.assertEqual(state, server.state())
        if complete:
            self.assertEqual({int(index) for index in done}, server.done())
        for name in ("state", "meta", "progress", "ctl", "chunks"):
            self.assertGreater(int(server.text("PTTL", server.key(name))), 0, name)
