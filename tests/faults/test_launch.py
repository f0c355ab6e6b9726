#!/usr/bin/env python3
"""gst-launch-1.0 against the fake service: exit codes of every end, Ctrl-C, and the transcript file
of a process that was killed."""
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import unittest

SERVICE = sys.argv.pop(1)
FULL = bool(os.environ.get("TRANSCRIBE_FULL"))
WATCHDOG = 60
FORMATS = ("txt", "srt", "vtt", "jsonl", "json")


def environment():
    """An instrumented plugin needs its runtime loaded first; leaks of gst-launch are not ours."""
    env = dict(os.environ)
    runtime = env.pop("SANITIZER_RUNTIME", "")
    if runtime:
        env["LD_PRELOAD"] = runtime
        env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    return env


def chunk_of(text):
    """What one record of the transcript says: a chunk's number, or a hole."""
    found = re.fullmatch(r"chunk (\d+)", text)
    if found:
        return int(found.group(1))
    found = re.fullmatch(r"\[not transcribed: (.*), \d+:\d\d:\d\d – \d+:\d\d:\d\d\]", text)
    assert found, "torn record: " + repr(text)
    return found.group(1)


def milliseconds(text):
    hours, minutes, seconds, rest = re.fullmatch(
        r"(\d\d):(\d\d):(\d\d)[.,](\d\d\d)", text).groups()
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(rest)


def check_cue_times(line, index):
    begin, end = line.split(" --> ")
    assert milliseconds(begin) == index * 100 and milliseconds(end) == index * 100 + 100, line


def read_lines(data):
    text = data.decode()
    assert text == "" or text.endswith("\n"), "torn: " + repr(text[-80:])
    return text.splitlines()


def read_txt(data):
    return [chunk_of(line) for line in read_lines(data)]


def read_blocks(data):
    text = data.decode()
    assert text == "" or text.endswith("\n\n"), "torn: " + repr(text[-80:])
    return text.split("\n\n")[:-1]


def read_srt(data):
    records = []
    for index, block in enumerate(read_blocks(data)):
        number, times, *text = block.split("\n")
        assert number == str(index + 1) and "," in times, block
        check_cue_times(times, index)
        records.append(chunk_of(" ".join(text)))
    return records


def read_vtt(data):
    blocks = read_blocks(data)
    if not blocks:
        return []
    assert blocks[0] == "WEBVTT"
    records = []
    for index, block in enumerate(blocks[1:]):
        times, *text = block.split("\n")
        check_cue_times(times, index)
        records.append(chunk_of(" ".join(text)))
    return records


def read_entry(entry, index):
    assert entry["index"] == index, entry
    return chunk_of(entry["text"].strip()) if entry["status"] == "done" else entry["status"]


def read_jsonl(data):
    return [read_entry(json.loads(line), index) for index, line in enumerate(read_lines(data))]


def read_json(data):
    document = json.loads(data)
    return [read_entry(entry, index) for index, entry in enumerate(document["chunks"])]


READERS = {"txt": read_txt, "srt": read_srt, "vtt": read_vtt, "jsonl": read_jsonl,
           "json": read_json}


def count_in(path, what):
    if not os.path.exists(path):
        return 0
    with open(path, "rb") as file:
        return file.read().count(what)


class Launch(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def serve(self, script="{\"default\": {}}", log=None):
        command = [SERVICE, "--script", script] + (["--log", log] if log else [])
        self.service = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.addCleanup(self.service.communicate)
        self.addCleanup(self.service.kill)
        self.url = "http://127.0.0.1:%s/v1" % self.service.stdout.readline().strip()

    def start(self, *properties, buffers=20, options=(), source=(), **popen):
        """One chunk for each of the source's buffers."""
        command = ["gst-launch-1.0", *options, "audiotestsrc", "num-buffers=%d" % buffers,
                   "samplesperbuffer=1600", *source, "!", "audio/x-raw,rate=16000,channels=1", "!",
                   "openaitranscribesink", "base-url=" + self.url, "requests-per-second=0",
                   "split=fixed", "max-chunk-duration=100000000", "retry-delay=5",
                   "max-retry-delay=10", *properties]
        process = subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   **popen)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def launch(self, *properties, **options):
        process = self.start(*properties, **options)
        output = process.communicate(timeout=WATCHDOG)[0]
        return process.returncode, output

    def expect(self, code, *properties, **options):
        actual, output = self.launch(*properties, **options)
        self.assertEqual(actual, code, output)
        self.assertEqual("ERROR: from element" in output, code != 0, output)
        return output


class ExitCodes(Launch):
    def test_all_done(self):
        self.serve()
        output = self.expect(0, "location=" + self.path("t.txt"))
        self.assertIn("Got EOS", output)
        with open(self.path("t.txt"), "rb") as file:
            self.assertEqual(read_txt(file.read()), list(range(1, 21)))

    def test_no_chunk(self):
        self.serve()
        # Before the first buffer: the source ends at once.
        self.expect(0, source=["blocksize=0"], buffers=0)

    def test_job_wide_error(self):
        self.serve('{"answers": [{"chunk": 3, "status": 401}]}')
        for policy in ("continue", "abort", "ignore"):
            output = self.expect(1, "on-error=" + policy)
            self.assertIn("API key", output)

    def test_failed_chunk(self):
        self.serve('[{"chunk": 5, "status": 413}]')
        for policy, code in (("continue", 1), ("abort", 1), ("ignore", 0)):
            output = self.expect(code, "on-error=" + policy)
            self.assertEqual("WARNING: from element" in output, policy == "ignore", output)

    def test_retries_used_up(self):
        self.serve('[{"chunk": 5, "status": 500}]')
        self.expect(1, "retries=2")
        self.expect(0, "retries=2", "on-error=ignore")

    def test_a_fault_that_passes(self):
        self.serve('[{"chunk": 5, "attempt": 1, "status": 500},'
                   ' {"chunk": 7, "attempt": 1, "reset": "after-body"}]')
        self.expect(0, "on-error=abort")

    def test_chunk_timeout(self):
        self.serve('[{"chunk": 5, "hang": true}]')
        for policy, code in (("continue", 1), ("abort", 1), ("ignore", 0)):
            self.expect(code, "chunk-timeout=1500", "on-error=" + policy)

    def test_eos_timeout(self):
        self.serve('[{"chunk": 5, "hang": true}]')
        for policy, code in (("continue", 1), ("abort", 1), ("ignore", 0)):
            self.expect(code, "eos-timeout=300000000", "on-error=" + policy)

    def test_leaky(self):
        self.serve('{"default": {"delay_ms": 100}}')
        for leaky in ("upstream", "downstream"):
            output = self.expect(0, "leaky=" + leaky, "max-queued-chunks=2", "max-parallel=1")
            self.assertEqual(output.count("WARNING: from element"), 1, output)

    def test_no_service(self):
        self.serve()
        self.service.kill()
        self.service.wait()
        self.assertIn("No connection", self.expect(1, "retries=1"))

    def test_location(self):
        self.serve()
        code, output = self.launch("location=/nowhere/t.srt")
        self.assertNotEqual(code, 0)
        self.assertIn("Could not write the transcript to “/nowhere/t.srt”", output)

    def test_disk_full(self):
        self.serve()
        self.expect(0)  # writes the registry

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

        for policy in ("continue", "ignore"):
            location = self.path(policy + ".txt")
            output = self.expect(1, "location=" + location, "on-error=" + policy,
                                 preexec_fn=limit)
            self.assertIn("File too large", output)
            with open(location, "rb") as file:
                records = read_txt(file.read())
            self.assertEqual(records, list(range(1, len(records) + 1)))
            self.assertLess(len(records), 20)


class Interrupt(Launch):
    def wait_for_records(self, process, path, count):
        end = time.monotonic() + WATCHDOG
        while count_in(path, b"\n") < count:
            self.assertIsNone(process.poll(), "it ended early")
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

    def interrupt(self, options):
        location = self.path("t.txt")
        process = self.start("location=" + location, options=["-m", *options], buffers=100000,
                             source=["is-live=true"])
        self.wait_for_records(process, location, 3)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=WATCHDOG)[0]
        with open(location, "rb") as file:
            return process.returncode, output, read_txt(file.read())

    def test_with_eos(self):
        self.serve()
        code, output, records = self.interrupt(["-e"])
        self.assertEqual(code, 0, output)
        self.assertIn("openaitranscribe/complete", output)
        completed = int(re.search(r"complete.*chunks-completed=\(guint64\)(\d+)", output).group(1))
        self.assertEqual(records, list(range(1, completed + 1)))
        self.assertEqual(output.count("openaitranscribe/chunk-queued"), completed)

    def test_without_eos(self):
        self.serve()
        begin = time.monotonic()
        code, output, records = self.interrupt([])
        self.assertEqual(code, 0, output)
        self.assertNotIn("openaitranscribe/complete", output)
        whole = [record for record in records if record != "job ended"]
        self.assertEqual(whole, list(range(1, len(whole) + 1)))
        self.assertLess(time.monotonic() - begin, WATCHDOG / 2)

    def test_while_a_chunk_hangs(self):
        """The second Ctrl-C ends the wait for EOS."""
        self.serve('[{"chunk": 4, "hang": true}]')
        location = self.path("t.txt")
        process = self.start("location=" + location, options=["-e"], buffers=100000,
                             source=["is-live=true"])
        self.wait_for_records(process, location, 3)
        process.send_signal(signal.SIGINT)
        while "Waiting for EOS" not in process.stdout.readline():
            self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=WATCHDOG)
        with open(location, "rb") as file:
            records = read_txt(file.read())
        self.assertEqual(records[:3], [1, 2, 3])


class Kill(Launch):
    OLD = b'{"chunks":[]}'

    def progress(self, format_name, location, log):
        if format_name == "json":
            return count_in(log, b"\n")
        return count_in(location, b"chunk ")

    def kill(self, format_name, chunks, after):
        """Kills it when so many chunks are there. Returns the file."""
        location = self.path("t." + format_name)
        log = self.path("log")
        for name in (location, log):
            if os.path.exists(name):
                os.unlink(name)
        if format_name == "json":
            with open(location, "wb") as file:
                file.write(self.OLD)
        self.serve('{"default": {"delay_ms": 2}}', log)
        process = self.start("location=" + location, buffers=chunks)
        end = time.monotonic() + WATCHDOG
        while process.poll() is None and self.progress(format_name, location, log) < after:
            self.assertLess(time.monotonic(), end)
        process.kill()
        process.communicate(timeout=WATCHDOG)
        self.service.kill()
        self.service.communicate()
        if not os.path.exists(location):
            return None
        with open(location, "rb") as file:
            return file.read()

    def test_at_random_points(self):
        chosen = random.Random(7)
        chunks = 200
        for format_name in FORMATS:
            for _ in range(20 if FULL else 3):
                after = chosen.randrange(chunks)
                with self.subTest(format=format_name, after=after):
                    data = self.kill(format_name, chunks, after)
                    if data is None:
                        self.assertEqual(after, 0)
                        continue
                    records = READERS[format_name](data)
                    self.assertEqual(records, list(range(1, len(records) + 1)))
                    if format_name == "json":
                        self.assertIn(len(records), (0, chunks))
                    else:
                        self.assertGreaterEqual(len(records), after)


unittest.main()
