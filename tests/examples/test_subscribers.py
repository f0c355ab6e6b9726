#!/usr/bin/env python3
"""follow.py and consumer-group.py against a real redis-server."""

import json
import os
import pathlib
import select
import signal
import socket
import tempfile
import threading
import unittest

from redis_support import PYTHON, Job, WithRedis, allow, line, need_redis, record
from support import SOURCES, TIMEOUT

FOLLOW = os.path.join(SOURCES, "follow.py")
GROUP = os.path.join(SOURCES, "consumer-group.py")


class Follow(WithRedis):
    def follow(self, job="talk", *options):
        return self.start(PYTHON, "-B", FOLLOW, job, *options)

    def test_live(self):
        job = Job(self.client).create()
        follower = self.follow()
        self.wait_for_readers()
        job.expect("move", "PROCESSING", "start")
        job.done(1)
        self.assertEqual(follower.stdout.readline(), line(1) + "\n")  # before the end
        job.done(0)
        job.skip(2)
        job.complete()
        out, err = self.finish(follower, 0)
        self.assertEqual(out, [line(0)])
        for told in ("QUEUED (created)", "PROCESSING (start)", "COMPLETED (eos)", "[not sent: sil"):
            self.assertIn(told, err)

    def test_a_job_that_is_not_there_yet(self):
        follower = self.follow()
        self.assertIn("Waiting", follower.stderr.readline())
        job = self.begun(0)
        job.complete()
        self.assertEqual(self.finish(follower, 0)[0], [line(0)])

    def test_late_and_in_order(self):
        job = self.begun()
        for index in (1, 10, 0, 2):
            job.done(index)
        job.complete()
        out, err = self.finish(self.follow(), 0)
        self.assertEqual(out, [line(i) for i in (0, 1, 2, 10)])
        self.assertIn("COMPLETED (eos)", err)

    def test_failed(self):
        job = self.begun()
        follower = self.follow()
        self.wait_for_readers()
        job.done(0)
        job.fail(1, "No \x1b[31m luck")
        job.failed("chunks-failed", "1 chunk \x07failed")
        out, err = self.finish(follower, 1)
        self.assertEqual(out, [line(0)])
        self.assertIn("00:00:02.000 - 00:00:04.000  [not transcribed: No  [31m luck]", err)
        self.assertIn("FAILED (chunks-failed)\n1 chunk  failed", err)
        self.assertNotIn("\x1b", err)

    def test_cancelled(self):
        job = self.begun()
        follower = self.follow()
        self.wait_for_readers()
        job("cancel", "enough")
        job.failed("cancelled", "enough")
        out, err = self.finish(follower, 1)
        self.assertIn("Somebody asked for the end: enough", err)

    def test_failed_chunk_that_succeeds_later(self):
        job = self.begun()
        job.fail(0)
        follower = self.follow()
        self.read_until(follower.stderr, "not transcribed")
        job.done(0)
        job.complete()
        self.assertEqual(self.finish(follower, 0)[0], [line(0)])

    def test_failed_and_started_again(self):
        job = self.begun()
        follower = self.follow()
        self.wait_for_readers()
        with self.client.pipeline() as together:  # the follower sees both at once
            script = [job.script.sha, 9, *job.keys]
            job.script.register = None
            together.evalsha(*script, "move", job.epoch, job.token, "FAILED", "error")
            create = ("create", "0", "other", *job.settings.values(), "retry-failed", "")
            together.evalsha(*script, *create)
            together.execute()
        job.token, job.epoch = "other", self.client.hget(job.key("ctl"), "epoch")
        job.expect("move", "PROCESSING", "start")
        job.done(0)
        job.complete()
        self.assertEqual(self.finish(follower, 0)[0], [line(0)])

    def test_trimmed_while_away(self):
        job = Job(self.client, maxlen=1).start()
        follower = self.follow()
        self.wait_for_readers()
        follower.send_signal(signal.SIGSTOP)
        for index in range(300):
            job.done(index, seconds=1)
        kept = self.client.xlen(job.stream)
        self.assertLess(kept, 200)
        self.client.xtrim(job.stream, maxlen=1, approximate=False)
        follower.send_signal(signal.SIGCONT)
        job.done(300, seconds=1)
        job.complete()
        out, err = self.finish(follower, 0)
        self.assertEqual([text.split("  ")[1] for text in out], [f"text {i}" for i in range(301)])
        self.assertIn("trimmed", err)

    def test_end_trimmed_while_away(self):
        job = self.begun()
        follower = self.follow()
        self.wait_for_readers()
        follower.send_signal(signal.SIGSTOP)
        job.done(0)  # the answer to what it asked before
        job.done(1)
        job.complete()
        self.client.xtrim(job.stream, maxlen=0, approximate=False)
        follower.send_signal(signal.SIGCONT)
        out, err = self.finish(follower, 0)
        self.assertEqual(out, [line(0), line(1)])
        self.assertIn("COMPLETED (eos)", err)

    def test_trimmed_all(self):
        job = self.begun(0)
        self.client.xtrim(job.stream, maxlen=0, approximate=False)
        follower = self.follow()
        self.wait_for_readers()
        job.done(1)
        job.complete()
        self.assertEqual(self.finish(follower, 0)[0], [line(0), line(1)])

    def test_lost_connection(self):
        job = self.begun(0)
        follower = self.follow()
        self.wait_for_readers()
        self.client.client_kill_filter(_type="normal", skipme=True)
        job.done(1)
        job.complete()
        out, err = self.finish(follower, 0)
        self.assertEqual(out, [line(0), line(1)])
        self.assertIn("trying again", err)
        self.assertIn("Redis is back", err)

    def test_restored_to_an_empty_server(self):
        job = self.begun(0)
        follower = self.follow()
        self.wait_for_readers()
        self.server.kill()
        self.read_until(follower.stderr, "trying again")
        self.server.start()
        settings = list(job.settings.values())
        job.expect("restore", *settings, 1, "PROCESSING", 40, 3, "model", "small")
        job.expect("put", 0, record(0, "done", text="text 0"), 1, record(1, "done", text="text 1"))
        job.done(2)
        job.complete()
        out, err = self.finish(follower, 0)
        self.assertEqual(out, [line(0), line(1), line(2)])
        self.assertIn("Redis had lost it", err)

    def test_restored_twice(self):
        """The second time the server still has the job, made by the first."""
        job = self.begun(0)
        follower = self.follow()
        self.wait_for_readers()
        settings = list(job.settings.values())
        for lost in (job.keys, [job.key("progress")], [job.key("ctl")]):
            restored = self.client.hget(job.key("meta"), "restored_ms")
            while self.client.hget(job.key("meta"), "restored_ms") in (None, restored):
                self.client.delete(*lost)
                job.expect("restore", *settings, 1, "PROCESSING", 40, 3, "model", "small")
                job.expect("put", 0, record(0, "done", text="text 0"))
        job.done(1)
        job.complete()
        out, err = self.finish(follower, 0)
        self.assertEqual(out, [line(0), line(1)])
        self.assertNotIn("anew", err)

    def test_started_anew(self):
        job = self.begun()
        job.done(0, "old")
        follower = self.follow()
        self.wait_for_readers()
        job.complete()
        # An end is the end.
        self.assertEqual(self.finish(follower, 0)[0], [line(0, "old")])
        job.token = "second"
        job.create(mode="restart")
        job.expect("move", "PROCESSING", "start")
        job.done(0, "new")
        follower = self.follow()
        self.assertEqual(follower.stdout.readline(), line(0, "new") + "\n")
        self.wait_for_readers()
        job.token = "third"
        job.settings["owner"] = "b"
        job.create(mode="restart", takeover="somewhere boot 4711 1")
        job.expect("move", "PROCESSING", "start")
        job.done(0, "newest")
        job.complete()
        out, err = self.finish(follower, 0)
        self.assertEqual(out, [line(0, "newest")])
        self.assertIn("started anew", err)

    def test_prefix_and_text_of_any_kind(self):
        job = Job(self.client, "a.b:c", prefix="my").start()
        job.done(0, "zwei\nZeilen — “ja”\x00\x1b]0;x\x07")
        job.complete()
        out, err = self.finish(self.follow("a.b:c", "--key-prefix", "my"), 0)
        self.assertEqual(out, [line(0, "zwei Zeilen — “ja”  ]0;x")])

    def test_refused(self):
        for name in ("a}b", "{a", "a b", "", "a\nb", "x" * 129, "ä", "*"):
            out, err = self.run_to_end(2, PYTHON, "-B", FOLLOW, name)
            self.assertIn("job id", err)
        _, err = self.finish(self.follow("a", "--redis-uri", "http://x"), 2)
        self.assertIn("none of redis", err)
        uri = self.uri_of("", "hidden")
        _, err = self.finish(self.follow("a", "--redis-uri", uri), 2)
        self.assertNotIn("hidden", err)
        self.client.set("transcribe:jobs:a", "no stream")
        self.assertIn("WRONGTYPE", self.finish(self.follow("a"), 2)[1])

    def test_reader_rights(self):
        allow(self.client, "reader")
        job = self.begun(0)
        job.fail(1)
        job.failed()
        uri = self.uri_of("reader")
        self.assertEqual(self.finish(self.follow("talk", "--redis-uri", uri), 1)[0], [line(0)])


class Group(WithRedis):
    FAST = ("--claim-every", "0.1", "--min-idle", "0.3")

    def consumer(self, *options, name="a"):
        more = ("--group", "g", "--consumer", name, *options)
        return self.start(PYTHON, "-B", GROUP, "talk", *more)

    def test_each_chunk_once(self):
        job = Job(self.client, group="g").create()
        both = [self.consumer(*self.FAST, name=name) for name in ("a", "b")]
        self.wait_for_readers(2)
        job.expect("move", "PROCESSING", "start")
        for index in range(25):
            job.done(index)
        job.fail(25)
        job.skip(26)
        job.failed("chunks-failed")
        results = [self.finish(consumer, 1) for consumer in both]
        out = sum((result[0] for result in results), [])
        self.assertEqual(sorted(out), sorted(line(i) for i in range(25)))
        self.assertEqual(self.client.xpending(job.stream, "g")["pending"], 0)

    def test_waits_for_the_job_and_makes_the_group(self):
        consumer = self.consumer(*self.FAST)
        self.assertIn("Waiting", consumer.stderr.readline())
        self.assertEqual(self.client.dbsize(), 0)
        job = self.begun(0)
        job.complete()
        out, err = self.finish(consumer, 0)
        self.assertEqual(out, [line(0)])

    def test_late_group(self):
        job = self.begun(0)
        job.complete()
        self.assertEqual(self.finish(self.consumer(), 0)[0], [line(0)])
        self.assertEqual(self.finish(self.consumer(), 0)[0], [])
        self.assertEqual(self.finish(self.consumer("--group", "other"), 0)[0], [line(0)])

    def test_late_and_trimmed(self):
        job = self.begun()
        for index in range(5):
            job.done(index)
        job.complete()
        self.client.xtrim(job.stream, maxlen=2, approximate=False)
        out, err = self.finish(self.consumer(), 0)
        self.assertEqual(sorted(out), [line(i) for i in range(5)])

    def test_stream_gone(self):
        job = self.begun(0)
        job.complete()
        self.client.delete(job.stream)
        self.assertEqual(self.finish(self.consumer(), 0)[0], [line(0)])

    def hang(self, job):
        """A consumer that is killed while its command runs; what it was at is not acknowledged."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        begun = pathlib.Path(directory.name) / "begun"
        os.mkfifo(begun)
        consumer = self.consumer("--exec", f"echo > {begun}; sleep 1000", name="dead")
        with open(begun):
            pass
        os.killpg(consumer.pid, signal.SIGKILL)
        consumer.wait(TIMEOUT)
        self.assertGreater(self.client.xpending(job.stream, "g")["pending"], 0)

    def test_dead_consumer(self):
        job = self.begun(0, 1)
        self.hang(job)
        job.done(2)
        job.complete()
        out, err = self.finish(self.consumer(*self.FAST, name="b"), 0)
        self.assertEqual(sorted(out), [line(i) for i in range(3)])
        self.assertEqual(self.client.xpending(job.stream, "g")["pending"], 0)

    def test_dead_consumer_and_trimmed(self):
        job = self.begun(0, 1)
        self.hang(job)
        job.complete()
        self.client.xtrim(job.stream, maxlen=0, approximate=False)
        out, err = self.finish(self.consumer(*self.FAST, name="b"), 0)
        self.assertEqual(sorted(out), [line(0), line(1)])

    def test_same_name_again(self):
        job = self.begun(0, 1)
        self.hang(job)
        job.complete()
        out, err = self.finish(self.consumer("--min-idle", "1000", name="dead"), 0)
        self.assertEqual(sorted(out), [line(0), line(1)])

    def test_lost_answer(self):
        """What was handed out in an answer that never came is processed at once."""
        proxy = Cutter(self.server.port, b"chunk")
        self.addCleanup(proxy.stop)
        job = self.begun()
        slow = ("--claim-every", "1000", "--min-idle", "1000")
        consumer = self.consumer(*slow, "--redis-uri", f"redis://127.0.0.1:{proxy.port}")
        self.wait_for_readers()
        job.done(0)
        job.complete()
        out, err = self.finish(consumer, 0)
        self.assertEqual(out, [line(0)])
        self.assertEqual(proxy.cuts, 1)
        self.assertIn("trying again", err)

    def test_same_name_again_and_trimmed(self):
        job = self.begun(0, 1)
        self.hang(job)
        job.complete()
        self.client.xtrim(job.stream, maxlen=1, approximate=False)
        out, err = self.finish(self.consumer("--min-idle", "1000", name="dead"), 0)
        self.assertEqual(sorted(out), [line(0), line(1)])

    def test_group_lost_with_the_server(self):
        job = self.begun(0)
        consumer = self.consumer(*self.FAST)
        self.assertEqual(consumer.stdout.readline(), line(0) + "\n")
        self.wait_for_readers()
        self.client.flushall()
        settings = list(job.settings.values())
        job.expect("restore", *settings, 1, "PROCESSING", 40, 3, "model", "small")
        job.expect("put", 0, record(0, "done", text="text 0"))
        job.done(1)
        job.complete()
        out, err = self.finish(consumer, 0)
        # The list of what was processed is gone too.
        self.assertEqual(sorted(set(out)), [line(0), line(1)])

    def test_command(self):
        with tempfile.TemporaryDirectory() as directory:
            job = self.begun(0)
            job.done(1, "zwei")
            job.complete()
            self.finish(self.consumer("--exec", f"cat > {directory}/$CHUNK_INDEX"), 0)
            stored = json.loads((pathlib.Path(directory) / "1").read_text())
            self.assertEqual((stored["index"], stored["text"]), (1, "zwei"))

    def test_command_that_fails_once(self):
        with tempfile.TemporaryDirectory() as directory:
            job = self.begun(0)
            job.complete()
            once = f"mkdir {directory}/tried || exit 0; exit 7"
            out, err = self.finish(self.consumer("--exec", once, *self.FAST), 0)
            self.assertIn("exit code 7", err)

    def test_command_that_always_fails(self):
        job = self.begun(0, 1)
        job.complete()
        self.client.xtrim(job.stream, maxlen=2, approximate=False)  # chunk 1 and the end
        out, err = self.finish(self.consumer("--exec", "false", "--tries", "2", *self.FAST), 3)
        self.assertEqual(err.count("Chunk 0 was given up after 2 tries"), 1)
        self.assertEqual(err.count("Chunk 1 was given up after 2 tries"), 1)
        self.assertEqual(err.count("exit code 1"), 4)

    def test_started_anew(self):
        job = self.begun()
        job.done(0, "old")
        job.complete()
        self.assertEqual(self.finish(self.consumer(), 0)[0], [line(0, "old")])
        job.token = "other"
        job.create(mode="restart")
        job.expect("move", "PROCESSING", "start")
        job.done(0, "new")
        job.complete()
        self.assertEqual(self.finish(self.consumer(), 0)[0], [line(0, "new")])

    def test_lost_connection(self):
        job = self.begun()
        consumer = self.consumer(*self.FAST)
        self.wait_for_readers()
        self.client.client_kill_filter(_type="normal", skipme=True)
        job.done(0)
        job.complete()
        self.assertEqual(self.finish(consumer, 0)[0], [line(0)])

    def test_rights(self):
        allow(self.client, "consumer")
        job = self.begun(0, 1)
        job.complete()
        self.client.xtrim(job.stream, maxlen=1, approximate=False)
        uri = self.uri_of("consumer")
        out, err = self.finish(self.consumer("--redis-uri", uri, *self.FAST), 0)
        self.assertEqual(len(out), 2)

    def test_refused(self):
        out, err = self.run_to_end(2, PYTHON, "-B", GROUP, "a}b", "--group", "g")
        self.assertIn("job id", err)
        self.run_to_end(2, PYTHON, "-B", GROUP, "talk")


class Cutter:
    """A proxy that cuts the connection once, instead of passing on an answer with `text`."""

    def __init__(self, port, text):
        self.text, self.cuts = text, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets = []
        self.thread = threading.Thread(target=self.run, args=(port,))
        self.thread.start()

    def run(self, port):
        ways = {}
        while True:
            ready, _, _ = select.select([self.listener, *ways], [], [])
            for here in ready:
                if here is self.listener:
                    try:
                        client, _ = self.listener.accept()
                    except OSError:
                        return
                    server = socket.create_connection(("127.0.0.1", port))
                    ways |= {client: (server, False), server: (client, True)}
                    self.sockets += [client, server]
                    continue
                if here not in ways:
                    continue
                there, is_answer = ways[here]
                data = here.recv(1 << 16)
                cut = is_answer and not self.cuts and self.text in data
                self.cuts += cut
                if data and not cut:
                    there.sendall(data)
                    continue
                for end in (here, there):
                    del ways[end]
                    end.close()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        for end in (self.listener, *self.sockets):
            end.close()


if __name__ == "__main__":
    need_redis()
    unittest.main()
