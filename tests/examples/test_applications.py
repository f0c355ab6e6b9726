#!/usr/bin/env python3
"""The applications on the plugin: transcribe, embed.c and embed.py."""

import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from support import (
    EXAMPLES,
    SENTENCES,
    SOURCES,
    TIMEOUT,
    FakeService,
    Recognizer,
    default_answer,
    error_answer,
    join_sentences,
    wav,
)

TRANSCRIBE = os.path.join(EXAMPLES, "transcribe")
EMBED_PY = [sys.executable, os.path.join(SOURCES, "embed.py")]
# The interpreter's own leaks are not ours to judge.
NO_LEAK_CHECK = {"ASAN_OPTIONS": "detect_leaks=0"}
LINE = re.compile(r"^(\d\d:\d\d:\d\d\.\d{3}) - (\d\d:\d\d:\d\d\.\d{3})  \S")


class InDirectory(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def environment(self, **variables):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENAI_")}
        environment["LC_ALL"] = "C.UTF-8"
        return {**environment, **variables}

    def run_in(self, *command, url="http://127.0.0.1:9/v1", env=None):
        environment = self.environment(OPENAI_BASE_URL=url, **(env or {}))
        return subprocess.run(
            command,
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )

    def start(self, *command, url):
        return subprocess.Popen(
            command,
            cwd=self.directory,
            env=self.environment(OPENAI_BASE_URL=url),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def silence(self, seconds, name="a.wav"):
        path = self.directory / name
        path.write_bytes(wav(bytes(32000 * seconds)))
        return str(path)

    def file(self, name):
        return (self.directory / name).read_text(encoding="utf-8")


class Recognised(InDirectory):
    """With real words from local-recognizer."""

    @classmethod
    def setUpClass(cls):
        cls.server = Recognizer()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def media(self):
        return join_sentences(self.directory / "talk.wav", 2)

    def check_words(self, text):
        for word in ("john", "leisure", "consider", "young", "man"):
            self.assertIn(word, text)

    def test_transcribe(self):
        done = self.run_in(TRANSCRIBE, self.media().name, url=self.server.url)
        self.assertEqual(done.returncode, 0, done.stderr)
        for line in done.stdout.splitlines():
            self.assertRegex(line, LINE)
        self.check_words(done.stdout)
        srt = self.directory / "talk.srt"
        self.assertIn(str(srt.resolve()), done.stderr)
        self.check_words(srt.read_text(encoding="utf-8"))
        self.assertIn(" --> ", srt.read_text(encoding="utf-8"))

    def test_embed_c(self):
        done = self.run_in(
            os.path.join(EXAMPLES, "embed"), self.media().as_uri(), url=self.server.url
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check_words(done.stdout)

    def test_embed_py(self):
        done = self.run_in(
            *EMBED_PY,
            self.media().name,
            url=self.server.url,
            env={**NO_LEAK_CHECK, "LD_PRELOAD": os.environ.get("SANITIZER_RUNTIME", "")},
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check_words(done.stdout)


class Usage(InDirectory):
    def check(self, code, message, *arguments):
        done = self.run_in(TRANSCRIBE, *arguments)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertRegex(done.stderr, message)
        self.assertEqual(done.stdout, "")

    def test_wrong_usage(self):
        media = self.silence(1)
        self.check(2, "No MEDIA")
        self.check(2, "bogus", "--bogus", media)
        self.check(2, "no property 'bogus'", media, "bogus=1")
        self.check(2, "PROPERTY=VALUE", media, "other.wav")
        number = "'max-parallel' must be a whole number from 1 to 64"
        self.check(2, number, media, "max-parallel=many")
        self.check(2, number, media, "max-parallel=0")
        self.check(2, "must be a number from 0 to 60", media, "speech-threshold=61")
        self.check(2, "must be a whole number from -1 to", media, "retries=-2")
        self.check(2, "must be one of bearer, api-key, none", media, "auth-scheme=basic")
        self.check(2, "must be some of .*word", media, "timestamp-granularities=letter")
        self.check(2, "must be true or false", media, "logprobs=perhaps")
        self.check(2, "can only be read", media, "stats=x")
        self.check(2, "overwrite", media, "--output", media)

    def test_a_value_that_may_be_a_key_is_not_repeated(self):
        done = self.run_in(TRANSCRIBE, self.silence(1), "max-parallel=sk-secret")
        self.assertNotIn("sk-secret", done.stderr)

    def test_media_without_use(self):
        self.check(1, "no file nothing.wav", "nothing.wav")
        self.check(1, "is a directory", str(self.directory))
        (self.directory / "text.txt").write_text("no audio here\n" * 100)
        self.check(1, "text.txt", "text.txt")
        (self.directory / "empty.wav").touch()
        self.check(1, "empty.wav", "empty.wav")
        done = self.run_in(TRANSCRIBE, "empty.wav")
        self.assertNotIn("Transcript:", done.stderr)
        self.assertIn(f"There is no text in {self.directory.resolve()}/empty.srt", done.stderr)
        subprocess.run(
            "gst-launch-1.0 -q videotestsrc num-buffers=5 ! theoraenc ! oggmux ! "
            f"filesink location={self.directory}/video.ogv".split(),
            check=True,
            timeout=TIMEOUT,
        )
        self.check(1, "no audio in video.ogv", "video.ogv")

    def test_quick_start_of_nothing(self):
        """Before it installs and builds anything."""
        done = self.run_in(os.path.join(SOURCES, "quickstart.sh"), "nothing.wav", "prompt=x")
        self.assertEqual((done.returncode, done.stderr), (1, "There is no file nothing.wav.\n"))

    def test_plugin_that_is_not_found(self):
        nowhere = {"GST_PLUGIN_PATH_1_0": "", "GST_REGISTRY_1_0": f"{self.directory}/registry"}
        for command in ([os.path.join(EXAMPLES, "embed")], EMBED_PY):
            done = self.run_in(*command, "a.wav", env={**nowhere, **NO_LEAK_CHECK})
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, "openaitranscribesink.*set GST_PLUGIN_PATH")

    def test_python_without_its_packages(self):
        """One line, even for --help."""
        for name in ("gi", "redis"):
            (self.directory / f"{name}.py").write_text("raise ImportError\n")
        needed = {"embed.py": "python3-gi", "follow.py": "python3-redis"}
        needed["consumer-group.py"] = needed["follow.py"]
        for name, package in needed.items():
            script = os.path.join(SOURCES, name)
            found = {"PYTHONPATH": str(self.directory)}
            done = self.run_in(sys.executable, script, "--help", env=found)
            self.assertNotEqual(done.returncode, 0)
            self.assertRegex(done.stderr, rf"^{name} needs the packages? {package}.*\n$")

    def test_version_and_help(self):
        for option in ("--version", "--help"):
            done = self.run_in(TRANSCRIBE, option)
            self.assertEqual(done.returncode, 0)
            self.assertIn("transcribe", done.stdout)


class Ends(InDirectory):
    """Against a scripted service: `split=fixed` makes the requests countable."""

    CUT = ("split=fixed", "max-chunk-duration=1000000000", "requests-per-second=0", "retries=0")

    def test_output_quiet_and_properties(self):
        with FakeService() as service:
            done = self.run_in(
                TRANSCRIBE, "-q", "-o", "x.jsonl", self.silence(3), *self.CUT, url=service.url
            )
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
            self.assertEqual(service.requests.qsize(), 3)
        for line in self.file("x.jsonl").splitlines():
            json.loads(line)
        self.assertFalse((self.directory / "a.srt").exists())

    def test_some_chunks_failed(self):
        def answer(number):
            if number == 4:
                return error_answer(400, "Odd audio \x1b[31m here")
            return default_answer(number)

        with FakeService(answer) as service:
            cut = (*self.CUT, "max-parallel=1")
            done = self.run_in(TRANSCRIBE, self.silence(6), *cut, url=service.url)
            self.assertEqual(done.returncode, 3, done.stderr)
            self.assertEqual(service.requests.qsize(), 6)
        self.assertIn("[not transcribed: ", done.stderr)
        self.assertIn("Odd audio", done.stderr)
        self.assertNotIn("\x1b", done.stderr)
        self.assertEqual(done.stdout.count("piece"), 5)

    def test_ignored_failures_still_show_in_the_exit_code(self):
        def answer(number):
            return error_answer(400, "Odd audio") if number == 4 else default_answer(number)

        with FakeService(answer) as service:
            cut = (*self.CUT, "max-parallel=1", "on-error=ignore")
            done = self.run_in(TRANSCRIBE, self.silence(6), *cut, url=service.url)
        self.assertEqual(done.returncode, 3, done.stderr)

    def test_refused_key(self):
        with FakeService(lambda _: error_answer(401, "Incorrect API key")) as service:
            done = self.run_in(TRANSCRIBE, self.silence(3), *self.CUT, url=service.url)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("Incorrect API key", done.stderr)
        self.assertIn("There is no text in", done.stderr)

    def test_only_a_file_with_text_is_a_transcript(self):
        job = (*self.CUT, "job-id=talk", "journal-directory=journals")
        media = self.silence(3)
        with FakeService() as service:
            done = self.run_in(TRANSCRIBE, media, *job, url=service.url)
            self.assertIn(f"Transcript: {self.directory.resolve()}/a.srt\n", done.stderr)
            text = self.file("a.srt")
            # Refused before anything is written.
            done = self.run_in(TRANSCRIBE, media, *job, "language-code=de", url=service.url)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertNotIn("Transcript:", done.stderr)
        self.assertIn("a.srt is as it was before", done.stderr)
        self.assertEqual(self.file("a.srt"), text)

    def test_first_interrupt_finishes_what_was_recorded(self):
        with FakeService(delay=0.2) as service:
            cut = (*self.CUT, "max-parallel=1", "max-queued-chunks=2")
            process = self.start(TRANSCRIBE, self.silence(300), *cut, url=service.url)
            first = process.stdout.readline()
            process.send_signal(signal.SIGINT)
            rest, messages = process.communicate(timeout=TIMEOUT)
            self.assertEqual(process.returncode, 0, messages)
            lines = [first, *rest.splitlines()]
            self.assertIn("Ctrl-C again", messages)
            self.assertLess(len(lines), 100)
            self.assertEqual(len(lines), service.requests.qsize())
        self.assertEqual(self.file("a.srt").count(" --> "), len(lines))

    def test_second_interrupt_stops_at_once(self):
        with FakeService(delay=TIMEOUT) as service:
            process = self.start(TRANSCRIBE, self.silence(3), *self.CUT, url=service.url)
            service.requests.get(timeout=TIMEOUT)
            process.send_signal(signal.SIGINT)
            self.assertIn("Ctrl-C again", process.stderr.readline())
            start = time.monotonic()
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=TIMEOUT)
            self.assertEqual(process.returncode, 130)
            self.assertLess(time.monotonic() - start, 5)

    def test_progress_on_a_terminal(self):
        with FakeService(delay=0.3) as service:
            here, there = pty.openpty()
            cut = (*self.CUT, "max-parallel=2")
            process = subprocess.Popen(
                [TRANSCRIBE, self.silence(8), *cut],
                cwd=self.directory,
                env=self.environment(OPENAI_BASE_URL=service.url),
                stdout=there,
                stderr=there,
            )
            os.close(there)
            shown = read_terminal(here)
            self.assertEqual(process.wait(TIMEOUT), 0, shown)
        self.assertRegex(shown, r"\[#+\.*\] +\d+ %")
        self.assertIn("\r\x1b[K00:00:00.000 - 00:00:01.000  piece", shown)
        self.assertTrue(shown.strip().endswith(str(self.directory / "a.srt")), shown[-200:])


def read_terminal(descriptor):
    shown = b""
    try:
        while select.select([descriptor], [], [], TIMEOUT)[0]:
            data = os.read(descriptor, 4096)
            if not data:
                break
            shown += data
    except OSError:  # the other side is closed
        pass
    os.close(descriptor)
    return shown.decode()


if __name__ == "__main__":
    assert SENTENCES, "pocketsphinx-testdata is missing"
    unittest.main()
