#!/usr/bin/env python3
"""transcribe with a job in Redis, and the commands and subscribers beside it."""

import os
import pathlib
import signal
import tempfile
import unittest

from redis_support import PYTHON, TRANSCRIBE, WithRedis, need_redis
from support import SOURCES, TIMEOUT, FakeService, default_answer, error_answer, wav

# One request a second of audio, in order.
CUT = (
    "split=fixed",
    "max-chunk-duration=1000000000",
    "requests-per-second=0",
    "max-parallel=1",
    "retries=0",
)


class Live(WithRedis):
    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def media(self, seconds):
        path = self.directory / "talk.wav"
        path.write_bytes(wav(bytes(32000 * seconds)))
        return str(path)

    def transcribe(self, service, *arguments, job="talk"):
        output = ("-o", str(self.directory / "talk.srt"))
        name = (f"job-id={job}",) if job else ()
        return self.start(
            TRANSCRIBE, *output, *arguments, *name, *CUT, OPENAI_BASE_URL=service.url
        )

    def stored(self, *arguments):
        """With the job in this test's Redis."""
        return ("--redis-uri", self.server.uri, *arguments)

    def field(self, part, name, job="talk"):
        return self.client.hget(f"{{transcribe:jobs:{job}}}:{part}", name)

    def test_followers_see_what_the_bus_tells(self):
        followers = [
            self.start(PYTHON, "-B", os.path.join(SOURCES, "follow.py"), "talk"),
            self.start(TRANSCRIBE, "--follow", "talk"),
        ]
        self.wait_for_readers(2)
        with FakeService(delay=0.05) as service:
            media = self.media(8)
            told, err = self.finish(self.transcribe(service, *self.stored(media)), 0)
        self.assertIn("Job: talk\n", err)
        self.assertEqual(len(told), 8)
        for follower in followers:
            out, err = self.finish(follower, 0)
            self.assertEqual(sorted(out), told)
            for state in ("QUEUED (created)", "PROCESSING (start)", "COMPLETED (eos)"):
                self.assertIn(state, err)
        out, _ = self.run_to_end(0, TRANSCRIBE, "--follow", "talk")
        self.assertEqual(out, told)
        out, _ = self.run_to_end(
            0, PYTHON, "-B", os.path.join(SOURCES, "consumer-group.py"), "talk", "--group", "g"
        )
        self.assertEqual(sorted(out), told)
        out, _ = self.run_to_end(0, TRANSCRIBE, "--jobs")
        self.assertRegex(out[1], r"^talk +COMPLETED +8/8 +0 ")

    def test_without_the_option_nothing_is_stored(self):
        with FakeService() as service:
            self.finish(self.transcribe(service, self.media(2)), 0)
        self.assertEqual(self.client.dbsize(), 0)

    def test_a_job_without_a_name_tells_its_own(self):
        with FakeService() as service:
            call = self.stored(self.media(2))
            _, err = self.finish(self.transcribe(service, *call, job=None), 0)
        job = err.split("Job: ")[1].split("\n")[0]
        self.run_to_end(0, TRANSCRIBE, "--status", job)

    def test_cancel(self):
        with FakeService(delay=TIMEOUT) as service:
            call = self.stored(self.media(5), "redis-lease=3000000000")
            running = self.transcribe(service, *call)
            service.requests.get(timeout=TIMEOUT)
            follower = self.start(TRANSCRIBE, "--follow", "talk")
            out, _ = self.run_to_end(0, TRANSCRIBE, "--jobs")
            self.assertRegex(out[1], rf"^talk +PROCESSING .*:{running.pid}$")
            out, _ = self.run_to_end(0, TRANSCRIBE, "--cancel", "talk")
            self.assertIn(f":{running.pid} to end the job talk", out[0])
            out, err = self.finish(running, 1)
            self.assertRegex(err, "cancelled by .* on ")
        self.finish(follower, 1)
        self.assertEqual(self.field("meta", "state"), "FAILED")
        self.assertEqual(self.field("meta", "reason"), "cancelled")
        self.run_to_end(0, TRANSCRIBE, "--cancel", "talk")

    def test_retry_failed(self):
        def answer(number):
            return error_answer(400, "Odd audio") if number == 4 else default_answer(number)

        media = self.media(7)
        with FakeService(answer) as service:
            self.finish(self.transcribe(service, *self.stored(media)), 3)
        out, _ = self.run_to_end(0, TRANSCRIBE, "--status", "talk")
        self.assertRegex("\n".join(out), "  4  00:00:04.000 - 00:00:05.000  .*Odd audio.*HTTP 400")
        self.assertRegex("\n".join(out), r"transcribe --retry-failed talk$")
        with FakeService(lambda _: default_answer(99)) as service:
            again = ("--retry-failed", "talk", media)  # where Redis is, says REDIS_URL
            told, _ = self.finish(self.transcribe(service, *again, job=None), 0)
            self.assertEqual(service.requests.qsize(), 1)
        self.assertEqual(len(told), 7)
        self.assertIn("piece 99", told[4])
        self.assertEqual(self.field("meta", "state"), "COMPLETED")
        self.run_to_end(0, TRANSCRIBE, "--retry-failed", "talk")
        subtitles = (self.directory / "talk.srt").read_text()
        self.assertEqual(subtitles.count(" --> "), 7)

    def test_retry_failed_without_media(self):
        def answer(number):
            return error_answer(400, "Odd audio") if number == 4 else default_answer(number)

        media = pathlib.Path(self.media(7))
        subtitles = self.directory / "talk.srt"
        with FakeService(answer) as service:
            self.finish(self.transcribe(service, *self.stored(str(media))), 3)
        self.assertEqual(self.field("meta", "source"), media.as_uri())
        self.assertEqual(self.field("meta", "location"), str(subtitles))
        out, _ = self.run_to_end(0, TRANSCRIBE, "--status", "talk")
        self.assertIn(f"Source    {media.as_uri()}", out)
        again = (TRANSCRIBE, "--retry-failed", "talk", *CUT)

        media.rename(self.directory / "elsewhere.wav")
        _, err = self.run_to_end(1, *again)
        self.assertIn(f"{media.as_uri()} is not on this machine: give MEDIA", err)
        self.assertEqual(self.field("meta", "state"), "FAILED")
        (self.directory / "elsewhere.wav").rename(media)

        with FakeService(lambda _: default_answer(99)) as service:
            told, err = self.run_to_end(0, *again, OPENAI_BASE_URL=service.url)
            self.assertEqual(service.requests.qsize(), 1)
        self.assertEqual(len(told), 7)
        self.assertIn("piece 99", told[4])
        self.assertIn(f"Source: {media}\n", err)
        # The file of the first time, wherever the second is run.
        self.assertIn(f"Transcript: {subtitles}\n", err)
        self.assertIn("piece 99", subtitles.read_text())
        self.assertFalse(os.path.exists("talk.srt"))
        self.assertEqual(self.field("meta", "state"), "COMPLETED")

    def test_the_transcript_of_another_machine(self):
        """Whatever Redis names as one, only what is a transcript's name here is written."""
        media = pathlib.Path(self.media(2))
        with FakeService(lambda _: error_answer(400, "Odd audio")) as service:
            self.finish(self.transcribe(service, *self.stored(str(media))), 3)
        kept = self.directory / "kept"
        kept.write_text("mine")
        (self.directory / "kept.srt").write_text("mine")
        meta = "{transcribe:jobs:talk}:meta"
        for fields in (
            {"location": str(kept)},
            {"location": str(self.directory / "no" / "such.srt")},
            {"location": "kept.srt"},
            {"location": str(self.directory / "kept.srt"), "host": "far-away"},
        ):
            self.client.hset(meta, mapping=fields)
            with FakeService(lambda _: error_answer(400, "Odd audio")) as service:
                again = (TRANSCRIBE, "--retry-failed", "talk", str(media), *CUT)
                process = self.start(*again, cwd=self.directory, OPENAI_BASE_URL=service.url)
                _, err = self.finish(process, 3)
            self.assertNotIn("kept", err)
            self.assertIn(f"{self.directory}/talk.srt", err)
            self.assertEqual(kept.read_text(), "mine")
            self.assertEqual((self.directory / "kept.srt").read_text(), "mine")

    def test_killed_and_gone_on_with(self):
        media = self.media(6)
        with FakeService(delay=0.3) as service:
            running = self.transcribe(service, *self.stored(media))
            for _ in range(3):
                service.requests.get(timeout=TIMEOUT)
            self.wait_for(lambda: self.field("progress", "done") == "2")
            os.killpg(running.pid, signal.SIGKILL)
            running.wait(TIMEOUT)
        out, _ = self.run_to_end(0, TRANSCRIBE, "--jobs")
        self.assertRegex(out[1], rf"^talk +PROCESSING +2/\d .*:{running.pid} +its owner is dead")
        out, _ = self.run_to_end(0, TRANSCRIBE, "--status", "talk")
        again = f"""transcribe --redis-uri "$REDIS_URL" 'file://{media}' job-id=talk"""
        self.assertIn(again, "\n".join(out))
        with FakeService() as service:
            told, _ = self.finish(self.transcribe(service, *self.stored(media)), 0)
            self.assertEqual(service.requests.qsize(), 4)
        self.assertEqual(len(told), 6)


if __name__ == "__main__":
    need_redis()
    unittest.main()
