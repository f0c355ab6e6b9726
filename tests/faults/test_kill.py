#!/usr/bin/env python3
"""Whole pipelines over real speech with a job in Redis or a journal: killed at random and started
again, the server killed at random, and the last word of every end."""
import glob
import json
import os
import random
import signal
import time
import unittest

from pipelines import PARALLEL, SPEECH, WATCHDOG, Pipelines

FULL = bool(os.environ.get("TRANSCRIBE_FULL"))
KILLS = 100 if FULL else 5
ALIVE = {"QUEUED", "PROCESSING"}
# Keys that would stay for ever.
ETERNAL = """
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  if redis.call('PTTL', key) == -1 then found[#found + 1] = key end
end
return found
"""


class KilledPipelines(Pipelines):
    def loop(self, *store, finished, kills):
        """Kills until there were `kills`, job after job; every job must end like a whole one."""
        # A service that is not quicker than a disk.
        self.serve('{"default": {"delay_ms": 150}}')
        self.finish(self.start(location="whole.srt", job="whole"))
        whole = self.transcript("whole.srt")
        self.assertGreater(len(whole), 100)
        dice = random.Random(20260922)
        killed = jobs = 0
        while killed < kills:
            jobs += 1
            mine = 0
            begin = len(self.requests())
            while True:
                known = finished()
                before = len(self.requests())
                process = self.start(*store, location="talk%d.srt" % jobs, job="talk%d" % jobs)
                if killed < kills:
                    self.wait_for_requests(process, before + dice.randint(1, 3 * PARALLEL))
                    time.sleep(dice.random() * 0.05)
                    process.kill()
                    output = process.communicate(timeout=WATCHDOG)[0]
                    self.assertIn(process.returncode, (0, -signal.SIGKILL), output)
                    # It may have been done already.
                    if process.returncode == -signal.SIGKILL:
                        killed += 1
                        mine += 1
                else:
                    self.finish(process)
                again = [chunk for chunk in self.requests()[before:] if chunk in known]
                self.assertEqual(again, [], "sent although it was stored")
                if process.returncode == 0:
                    break
            self.assertEqual(self.transcript("talk%d.srt" % jobs), whole)
            self.assertFalse(os.path.exists(self.path("talk%d.srt.part" % jobs)))
            sent = len(self.requests()) - begin
            with open(self.log) as file:
                story = "".join(file.readlines()[begin:])
            # A slot is free when its result is stored: no kill costs more than all slots.
            self.assertLessEqual(sent, self.chunks + mine * PARALLEL, story)
        return jobs

    def test_with_redis(self):
        server = self.redis()
        job = ["talk1"]

        def finished():
            self.assertEqual(server.text("EVAL", ETERNAL, "0").split(), [])
            names = server.text("--scan", "--pattern", "{transcribe:jobs:talk*}:chunks").split()
            states = {name: server.text("GET", name.replace(":chunks", ":state")) for name in names}
            current = [name for name, state in states.items() if state in ALIVE]
            if not current:
                return set()
            job[0] = current[0].split(":")[2].rstrip("}")
            return server.done(job[0])

        jobs = self.loop("redis-uri=" + server.uri, finished=finished, kills=KILLS)
        finished()
        for number in range(1, jobs + 1):
            self.assertEqual(server.state("talk%d" % number), "COMPLETED")
            events = server.events("talk%d" % number)
            self.assertEqual([int(e["seq"]) for e in events], list(range(1, len(events) + 1)))
            done = [e["idx"] for e in events if e["event"] == "chunk" and e["status"] == "done"]
            self.assertEqual(len(done), self.chunks)
            self.assertEqual(len(set(done)), self.chunks)
            epochs = [int(e["epoch"]) for e in events]
            self.assertEqual(epochs, sorted(epochs))
            state = ""
            for event in events:
                if event["event"] == "state":
                    self.assertEqual(event["prev"], state)
                    state = event["state"]

    def test_with_a_journal(self):
        directory = self.path("journal")

        def finished():
            files = glob.glob(directory + "/talk*.jsonl")
            if not files:
                return set()
            with open(max(files, key=os.path.getmtime)) as file:
                lines = [line for line in file.read().split("\n")[:-1]]
            records = [json.loads(line) for line in lines]
            if any(record.get("state") == "COMPLETED" for record in records):
                return set()
            return {r["index"] for r in records if r.get("status") == "done"}

        self.loop("journal-directory=" + directory, finished=finished, kills=KILLS)


class KilledServer(Pipelines):
    sentences = len(SPEECH) if FULL else 3

    def loop(self, *options):
        self.serve('{"default": {"delay_ms": 250}}')
        server = self.redis(*options)
        dice = random.Random(7)
        process = self.start("redis-uri=" + server.uri)
        kills = 0
        # Not near the end: nobody is left to heal a server that dies after the job.
        while kills < 10 and len(self.requests()) < self.chunks - 4 * PARALLEL:
            self.wait_for_requests(process, len(self.requests()) + dice.randint(1, PARALLEL))
            server.kill()
            kills += 1
            time.sleep(dice.random() * 0.3)
            server.start()
        output = self.finish(process)
        self.assertGreater(kills, 0)
        self.assertLessEqual(output.count("WARNING: from element"), kills, output)
        self.assertEqual(server.state(), "COMPLETED")
        self.assertEqual(server.done(), set(range(self.chunks)))
        self.assertEqual(len(self.requests()), self.chunks)
        return server

    def restored(self, server):
        return [event["event"] for event in server.events()].count("restored")

    def test_without_persistence(self):
        server = self.loop()
        self.check_stream(server, complete=False)
        # Of the server's last life: the earlier ones are forgotten with what they said.
        self.assertEqual(self.restored(server), 1)

    def test_with_append_only_file(self):
        server = self.loop("--appendonly", "yes", "--appendfsync", "always")
        self.check_stream(server)
        self.assertEqual(self.restored(server), 0)

    def test_with_a_file_that_may_lag_behind(self):
        self.loop("--appendonly", "yes", "--appendfsync", "everysec")


class LastWord(Pipelines):
    """The pipeline goes to NULL at once; Redis knows how it ended all the same."""

    def ended(self, server, code, *properties):
        self.finish(self.start("redis-uri=" + server.uri, *properties), code)
        return server.state(), server.text("HGET", server.key("meta"), "reason")

    def test_end_of_stream(self):
        self.serve()
        server = self.redis()
        self.assertEqual(self.ended(server, 0), ("COMPLETED", "eos"))
        self.check_stream(server)

    def test_refused_key(self):
        self.serve('{"answers": [{"chunk": 5, "status": 401}]}')
        server = self.redis()
        self.assertEqual(self.ended(server, 1), ("FAILED", "error"))
        self.assertEqual(server.text("HGET", server.key("error"), "http_status"), "401")
        self.check_stream(server)

    def test_failed_chunks(self):
        self.serve('{"answers": [{"chunk": 5, "status": 413}]}')
        server = self.redis()
        for policy, code, reason in (("continue", 1, "chunks-failed"), ("abort", 1, "error"),
                                     ("ignore", 0, "chunks-failed")):
            with self.subTest(policy=policy):
                server.text("FLUSHALL")
                ended = self.ended(server, code, "on-error=" + policy)
                self.assertEqual(ended, ("FAILED", reason))
                self.assertEqual(server.text("HKEYS", server.key("cerr")), "4")
                self.check_stream(server)

    def test_interrupted(self):
        self.serve('{"answers": [{"chunk": 9, "hang": true}]}')
        server = self.redis()
        process = self.start("redis-uri=" + server.uri)
        self.wait_for_requests(process, 12)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=WATCHDOG)
        self.assertEqual(server.state(), "QUEUED")
        self.assertEqual(server.text("HGET", server.key("meta"), "reason"), "stopped")
        self.check_stream(server)

    def test_interrupted_with_eos(self):
        self.serve('{"default": {"delay_ms": 100}}')
        server = self.redis()
        process = self.start("redis-uri=" + server.uri, options=["-e"])
        self.wait_for_requests(process, 3)
        process.send_signal(signal.SIGINT)
        self.finish(process)
        self.assertEqual(server.state(), "COMPLETED")
        self.check_stream(server)


if __name__ == "__main__":
    unittest.main(verbosity=2)
