#!/usr/bin/env python3
"""A pipeline that is stopped (SIGSTOP: a laptop's lid, a frozen container) until its claim on the
job has run out, and then goes on: with somebody else in its place, and with nobody."""
import json
import os
import signal
import unittest

from pipelines import PARALLEL, Pipelines

LEASE = "redis-lease=1000000000"
KEYS = ("state", "meta", "progress", "error", "ctl", "chunks", "inflight", "cerr")
HELD = range(5, 5 + PARALLEL)  # the chunks, from 1, with which all slots are taken


class StoppedPipelines(Pipelines):
    def setUp(self):
        super().setUp()
        # Who asks first for one of them waits, and whoever asks for the one before the last.
        rules = [{"chunk": chunk, "times": 1, "gate": "first"} for chunk in HELD]
        rules.append({"chunk": self.chunks - 1, "gate": "end"})
        self.serve(json.dumps({"answers": rules}))
        self.server = self.redis()

    def start_and_stop(self, *properties):
        """A process whose slots are all taken, stopped until its claim has run out."""
        process = self.start("redis-uri=" + self.server.uri, LEASE, *properties,
                             location="first.srt")
        stored = set(range(HELD.start - 1))
        self.wait_for(lambda: self.server.done() == stored and self.received() == HELD.stop - 1)
        process.send_signal(signal.SIGSTOP)
        self.assertTrue(os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1]))
        self.wait_for(self.has_run_out)
        return process

    def has_run_out(self):
        seconds, rest = self.server.text("TIME").split()
        now = int(seconds) * 1000 + int(rest) // 1000
        return int(self.server.text("HGET", self.server.key("ctl"), "lease")) < now

    def answer_the_stopped(self):
        """The answers lie in its sockets."""
        ended = len(self.requests())
        self.tell_service("open first")
        self.wait_for(lambda: len(self.requests()) == ended + len(HELD))

    def stored(self):
        """All keys of the job with their expiry, which every write moves."""
        keys = [self.server.key(name) for name in KEYS] + ["transcribe:jobs:talk"]
        return {key: (self.server.text("DUMP", key), self.server.text("PEXPIRETIME", key))
                for key in keys}

    def wake(self, process):
        """Goes on, ends at once with an error, and sends and writes nothing any more."""
        process.send_signal(signal.SIGCONT)
        output = self.finish(process, 1)
        self.assertRegex(output, 'ERROR: from element .*: Job "talk" was taken over by process')
        self.assertNotIn("WARNING", output)
        return output

    def test_another_has_finished_the_job(self):
        # Where it must be stored, a slot that waits for that waits for ever.
        first = self.start_and_stop("redis-policy=required")
        self.tell_service("open end")
        self.finish(self.start("redis-uri=" + self.server.uri, LEASE))
        self.assertEqual(self.server.state(), "COMPLETED")
        self.answer_the_stopped()
        received, stored = self.received(), self.stored()
        self.assertEqual(received, self.chunks + len(HELD))
        self.wake(first)
        self.assertEqual(self.received(), received)
        self.assertEqual(self.stored(), stored)
        self.check_stream(self.server)

    def test_another_is_at_it(self):
        first = self.start_and_stop()
        second = self.start("redis-uri=" + self.server.uri, LEASE)
        rest = set(range(self.chunks)) - {self.chunks - 2}
        self.wait_for(lambda: self.server.done() == rest)
        received = self.received()
        output = self.wake(first)
        self.assertIn("process %d on " % second.pid, output)
        # It gave the requests up that it had sent before.
        with open(self.log) as file:
            ends = [json.loads(line)["end"] for line in file]
        self.assertEqual(ends.count("client-gone"), len(HELD))
        self.tell_service("open end")
        self.finish(second)
        self.assertEqual(self.received(), received)
        self.assertEqual(self.server.state(), "COMPLETED")
        self.assertEqual(self.server.text("HGET", self.server.key("ctl"), "epoch"), "2")
        self.check_stream(self.server)
        self.finish(self.start(location="whole.srt", job="whole"))
        self.assertEqual(self.transcript(), self.transcript("whole.srt"))

    def test_nobody_has_taken_the_job(self):
        first = self.start_and_stop()
        self.answer_the_stopped()
        self.tell_service("open end")
        first.send_signal(signal.SIGCONT)
        self.finish(first)
        self.assertEqual(self.received(), self.chunks)
        self.assertEqual(self.server.state(), "COMPLETED")
        self.assertEqual(self.server.done(), set(range(self.chunks)))
        self.assertEqual(self.server.text("HGET", self.server.key("ctl"), "epoch"), "1")
        self.check_stream(self.server)
        self.finish(self.start(location="whole.srt", job="whole"))
        self.assertEqual(self.transcript("first.srt"), self.transcript("whole.srt"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
