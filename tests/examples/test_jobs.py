#!/usr/bin/env python3
"""The commands of transcribe on jobs, against a real redis-server."""

import contextlib
import functools
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import unittest

from redis_support import (
    TIMEOUT,
    TRANSCRIBE,
    Job,
    RedisServer,
    WithRedis,
    allow,
    line,
    need_redis,
    record,
)

# Leaves no doubt who lives.
SHORT = {"lease": 1}


class Jobs(WithRedis):
    def command(self, code, *arguments):
        return self.run_to_end(code, TRANSCRIBE, *arguments)

    def check(self, code, message, *arguments):
        out, err = self.command(code, *arguments)
        self.assertRegex("\n".join([*out, err]), message)


class List(Jobs):
    def test_none(self):
        self.assertEqual(
            self.command(0, "--jobs"),
            ([], f"transcribe: There are no jobs at 127.0.0.1:{self.server.port}.\n"),
        )

    def test_all_kinds(self):
        job = self.begun(0, name="running")
        job.skip(1)
        job.fail(2, "no")
        job.expect("progress", 9, 0)
        Job(self.client, "waiting").create().expect("move", "QUEUED", "stopped")
        self.begun(name="silent", **SHORT)
        self.begun(0, name="complete").complete()
        self.begun(name="broken").failed("error", "The key\nis bad")
        self.begun(name="asked")("cancel", "enough")
        out, err = self.command(0, "--jobs")
        self.assertEqual(err, "")
        rows = {row.split()[0]: row for row in out}
        self.assertEqual(len(rows), 7)
        words = ["JOB", "STATE", "DONE", "FAILED", "AGE", "CHANGED", "OWNER", "NOTE"]
        self.assertEqual(out[0].split(), words)
        self.assertRegex(rows["running"], r"PROCESSING  2/9 +1 +\d+s +\d+s +somewhere:4711$")
        self.assertRegex(rows["waiting"], r"QUEUED .* - +nobody works on it$")
        self.assertRegex(rows["silent"], r"PROCESSING .*somewhere:4711  its lease ended \d+s ago$")
        self.assertRegex(rows["complete"], r"COMPLETED +1/1 +0 +\d+s +\d+s +-$")
        self.assertRegex(rows["broken"], r"FAILED .* -  +error: The key is bad$")
        self.assertRegex(rows["asked"], r"asked to end: enough$")
        # What is under way comes first.
        self.assertEqual({row.split()[0] for row in out[-2:]}, {"complete", "broken"})

    def test_many_other_keys_and_other_prefixes(self):
        with self.client.pipeline() as together:
            for i in range(3000):
                together.set(f"other:{i}", i)
            together.execute()
        self.client.set("{transcribe:jobs:a b\x1b}:state", "QUEUED")
        self.client.set("{transcribe:jobs:wrong}:state", "QUEUED")
        self.client.set("{transcribe:jobs:wrong}:meta", "no hash")
        for i in range(120):
            Job(self.client, f"job-{i}").create()
        Job(self.client, "not-mine", prefix="other").create()
        Job(self.client, "not-mine", prefix="xtranscribe").create()
        out, err = self.command(0, "--jobs")
        self.assertEqual(len(out), 122)
        self.assertIn("1 keys that look like a job's", err)
        self.assertNotIn("not-mine", "".join(out))
        self.assertRegex("\n".join(out), r"wrong +\? .*WRONGTYPE")

    def test_a_prefix_is_no_pattern(self):
        Job(self.client, "one", prefix="a*").create()
        Job(self.client, "two", prefix="ab").create()
        out, _ = self.command(0, "--jobs", "--key-prefix", "a*")
        self.assertEqual([row.split()[0] for row in out], ["JOB", "one"])


class Status(Jobs):
    def test_failed_chunks(self):
        job = self.begun(0)
        job.skip(1)
        error = {"severity": "chunk", "cause": "write", "reason": "http-status"}
        error |= {"message": "The service said no", "http_status": 400}
        job.expect("fail", 10, record(10, "failed", error=error, attempts=3))
        job.fail(9, "Not\x1b[2J heard")
        job.failed("chunks-failed", "2 chunks failed")
        out, err = self.command(0, "--status", "talk")
        text = "\n".join(out)
        self.assertEqual(err, "")
        self.assertRegex(text, r"State +FAILED \(chunks-failed\) since \d{4}-\d\d-\d\d .*s ago")
        self.assertRegex(text, r"Chunks +1 done, 2 failed, 1 not sent, 0 in flight, of 4")
        self.assertRegex(text, r"Setting +model=small")
        self.assertRegex(text, r"Error +2 chunks failed \(write\)")
        self.assertIn("transcribe --retry-failed talk MEDIA", text)
        nine, ten = text.index("  9  00:00:18.000 - 00:00:20.000  Not [2J heard"), text.index(
            "  10  00:00:20.000 - 00:00:22.000  The service said no (HTTP 400, 3 attempts)"
        )
        self.assertLess(nine, ten)
        self.assertNotIn("\x1b", text)

    def test_what_to_do_next(self):
        job = self.begun()
        self.check(0, "alive\n(.*\n)*It is being worked on", "--status", "talk")
        job.expect("move", "QUEUED", "stopped")
        uri = r'transcribe --redis-uri "\$REDIS_URL" MEDIA'
        go_on = rf"nobody\n(.*\n)*.*\n  to go on .*{uri} job-id=talk"
        self.check(0, go_on, "--status", "talk")
        self.begun(name="silent", **SHORT)
        self.check(0, "4711; its lease ended.*\n(.*\n)*Nobody works on it", "--status", "silent")
        self.begun(name="broken").failed()
        mended = rf"When the cause is mended.*\n  {uri} job-id=broken"
        self.check(0, mended, "--status", "broken")
        self.begun(name="complete").complete()
        self.check(0, "Nothing to do. Its texts stay in Redis until 2", "--status", "complete")

    def test_what_to_do_next_with_a_source(self):
        def next_steps(source, state="failed"):
            self.client.flushall()
            job = Job(self.client).create()
            job.expect("move", "PROCESSING", "start", "source", source)
            if state == "stopped":
                job.expect("move", "QUEUED", "stopped")
            else:
                job.done(0)
                job.fail(1)
                job.failed("chunks-failed")
            text = "\n".join(self.command(0, "--status", "talk")[0])
            self.assertNotIn("Setting   source", text)
            self.assertNotIn("\x1b", text)
            return text

        talk = "file:///a/it's.ogg"
        text = next_steps(talk)
        self.assertRegex(text, f"\nSource    {talk}\n")
        self.assertRegex(text, r"transcribe --retry-failed talk$")
        self.assertRegex(
            next_steps(talk, "stopped"),
            r"""REDIS_URL" 'file:///a/it'\\''s.ogg' job-id=talk\n""",
        )
        self.assertRegex(next_steps("http://h/a?...", "stopped"), r' MEDIA job-id=talk\n')
        for part in ("http://h/a?...", "a.ogg", "--output=x", "http://h/\x1b[2J"):
            self.assertRegex(next_steps(part), r"transcribe --retry-failed talk MEDIA$")

    def test_what_to_type_finds_the_same_redis(self):
        self.client.config_set("requirepass", "hidden")
        client = self.server.client()
        client.auth("hidden")
        self.addCleanup(client.close)
        Job(client, prefix="my own").start().failed()
        uri = self.uri_of("", "hidden")
        where = ("--redis-uri", uri, "--key-prefix", "my own")
        out, err = self.command(0, "--status", "talk", *where)
        told = f"transcribe --redis-uri '{self.server.uri}' --key-prefix 'my own' MEDIA job-id=talk"
        self.assertIn(told, "\n".join(out))
        self.assertNotIn("hidden", "\n".join(out) + err)

    def test_no_job(self):
        self.check(4, "There is no job talk at 127.0.0.1", "--status", "talk")

    def test_nothing_but_the_state_is_left(self):
        self.client.set("{transcribe:jobs:talk}:state", "PROCESSING")
        self.check(0, "Nobody works on it", "--status", "talk")
        self.check(1, "Part of the job talk is lost", "--cancel", "talk")


class Follow(Jobs):
    def follow(self):
        """A follower that has shown what there is and waits for more."""
        follower = self.start(TRANSCRIBE, "--follow", "talk")
        self.wait_for_readers()
        return follower

    def test_to_the_end(self):
        job = Job(self.client).create()
        follower = self.follow()
        job.expect("move", "PROCESSING", "start")
        job.done(1)
        self.assertEqual(follower.stdout.readline(), line(1) + "\n")
        job.expect("retry", 0, 2, 100, 500, "busy")
        job.done(0, "hallo\x1b[1m")
        job.skip(2)
        job.complete()
        out, err = self.finish(follower, 0)
        self.assertEqual(out, [line(0, "hallo [1m")])
        self.assertIn("PROCESSING (start)", err)
        self.assertIn("[not sent: silence]", err)
        self.assertTrue(err.endswith("COMPLETED (eos)\n"), err)

    def test_ends(self):
        job = self.begun(10, 9)
        job.fail(11, "no luck")
        job.failed("chunks-failed", "1 chunk failed")
        out, err = self.command(3, "--follow", "talk")
        self.assertEqual(out, [line(9), line(10)])
        self.assertIn("[not transcribed: no luck]", err)
        self.assertIn("transcribe: 1 chunk failed", err)
        self.begun(name="broken").failed("error", "The key is bad")
        out, err = self.command(1, "--follow", "broken", "-q")
        self.assertEqual(err, "transcribe: The key is bad\n")

    def test_a_job_that_is_not_there_yet(self):
        follower = self.start(TRANSCRIBE, "--follow", "talk")
        self.assertIn("Waiting", follower.stderr.readline())
        self.begun(0).complete()
        self.assertEqual(self.finish(follower, 0)[0], [line(0)])

    def test_trimmed_while_away(self):
        job = self.begun(maxlen=1)
        follower = self.follow()
        follower.send_signal(signal.SIGSTOP)
        for index in range(150):
            job.done(index, seconds=1)
        self.client.xtrim(job.stream, maxlen=1, approximate=False)
        follower.send_signal(signal.SIGCONT)
        job.done(150, seconds=1)
        job.complete()
        out, err = self.finish(follower, 0)
        self.assertEqual([text.split("  ")[1] for text in out], [f"text {i}" for i in range(151)])
        self.assertIn("trimmed", err)

    def test_end_trimmed_while_away(self):
        job = self.begun()
        follower = self.follow()
        follower.send_signal(signal.SIGSTOP)
        job.done(0)  # the answer to what it asked before
        job.done(1)
        job.complete()
        self.client.xtrim(job.stream, maxlen=0, approximate=False)
        follower.send_signal(signal.SIGCONT)
        out, err = self.finish(follower, 0)
        self.assertEqual(out, [line(0), line(1)])
        self.assertIn("COMPLETED (eos)", err)

    def test_failed_chunk_that_succeeds_later(self):
        job = self.begun()
        job.fail(0)
        follower = self.start(TRANSCRIBE, "--follow", "talk")
        self.read_until(follower.stderr, "not transcribed")
        job.done(0)
        job.complete()
        self.assertEqual(self.finish(follower, 0)[0], [line(0)])

    def test_a_record_of_a_later_version(self):
        job = self.begun()
        job.expect("done", 0, record(0, "done", text="x", v=2))
        job.done(1)
        job.complete()
        out, err = self.command(0, "--follow", "talk")
        self.assertEqual(out, [line(1)])
        self.assertEqual(err.count("Chunk 0: "), 1)

    def test_lost_connection_and_emptied_server(self):
        job = self.begun(0)
        follower = self.follow()
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
        self.assertIn("Redis is back", err)
        self.assertIn("Redis had lost it", err)

    def test_started_anew(self):
        job = self.begun()
        job.done(0, "old")
        follower = self.start(TRANSCRIBE, "--follow", "talk")
        self.assertEqual(follower.stdout.readline(), line(0, "old") + "\n")
        self.wait_for_readers()
        job.token = "other"
        job.create(mode="restart", takeover="somewhere boot 4711 1")
        job.expect("move", "PROCESSING", "start")
        job.done(0, "new")
        job.complete()
        out, err = self.finish(follower, 0)
        self.assertEqual(out, [line(0, "new")])
        self.assertIn("started anew", err)

    def test_reader_rights(self):
        allow(self.client, "reader")
        self.begun(0).complete()
        uri = self.uri_of("reader")
        self.assertEqual(self.command(0, "--follow", "talk", "--redis-uri", uri)[0], [line(0)])
        self.command(0, "--jobs", "--redis-uri", uri)
        self.command(0, "--status", "talk", "--redis-uri", uri)
        self.check(1, "NOPERM|permission", "--cancel", "talk", "--redis-uri", uri)


class Cancel(Jobs):
    def test_the_owner_is_asked(self):
        job = self.begun()
        self.check(0, "Asked somewhere:4711 to end the job talk", "--cancel", "talk")
        self.assertRegex(self.client.hget(job.key("ctl"), "cancel"), "^cancelled by .* on .+")
        self.assertEqual(job.state(), "PROCESSING")
        self.check(0, "asked before", "--cancel", "talk")
        job.failed("cancelled", "enough")
        self.check(0, "was cancelled before", "--cancel", "talk")

    def test_nobody_owns_it(self):
        job = self.begun()
        job.expect("move", "QUEUED", "stopped")
        self.check(0, "Nobody worked on", "--cancel", "talk")
        self.assertEqual(job.state(), "FAILED")
        self.assertEqual(self.client.hget(job.key("meta"), "reason"), "cancelled")

    def test_the_owner_is_dead(self):
        job = self.begun(**SHORT)
        self.check(0, "Nobody worked on", "--cancel", "talk")
        self.assertEqual(job.state(), "FAILED")

    def test_the_owner_is_dead_on_this_host(self):
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        here = f"{boot}/{os.readlink('/proc/self/ns/pid')}"
        gone = subprocess.Popen(["true"])
        gone.wait()
        host = socket.gethostname()
        self.begun(name="clone", owner=f"clone-of-{host} {here} {gone.pid} 1")
        self.assertNotIn("dead", "".join(self.command(0, "--status", "clone")[0]))
        job = self.begun(owner=f"{host} {here} {gone.pid} 1")
        self.check(0, "its owner is dead", "--jobs")
        owner = re.escape(f"{host}:{gone.pid}")
        self.check(0, f"{owner}; its owner is dead\n(.*\n)*Nobody", "--status", "talk")
        self.check(0, "is dead. .* in [0-9]+s;", "--cancel", "talk")
        self.client.hset(job.key("ctl"), "lease", 1)
        self.check(0, "Nobody worked on", "--cancel", "talk")

    def test_it_has_ended(self):
        self.begun().complete()
        self.check(1, "has already ended: COMPLETED", "--cancel", "talk")

    def test_no_job(self):
        self.check(4, "There is no job talk", "--cancel", "talk")
        self.assertEqual(self.client.dbsize(), 0)

    def test_the_elements_rights(self):
        allow(self.client, "transcribe")
        uri = self.uri_of("transcribe")
        self.begun(**SHORT)
        for command in ("--jobs",), ("--status", "talk"), ("--cancel", "talk"):
            self.command(0, *command, "--redis-uri", uri)


class Usage(Jobs):
    def test_hostile_ids(self):
        names = ("{a", "a b", "", "a\nb", "x" * 129, "ä", "*", "\x1b[2J")
        calls = [("--status", name) for name in names]
        calls += [(command, "a}b") for command in ("--follow", "--cancel", "--retry-failed")]
        for call in calls:
            out, err = self.command(2, *call)
            self.assertEqual(out, [])
            self.assertIn("A job id is", err)
            self.assertNotIn("\x1b", err)
        self.assertEqual(self.client.dbsize(), 0)

    def test_wrong_usage(self):
        self.check(2, "Only one of", "--jobs", "--status", "a")
        self.check(2, "takes no MEDIA", "--jobs", "a.wav")
        self.check(2, "prefix", "--jobs", "--key-prefix", "a{b")
        self.check(2, "prefix", "--jobs", "--key-prefix", "")
        self.check(2, "redis-uri", "--jobs", "--redis-uri", "http://user:hidden@x")
        out, err = self.run_to_end(2, TRANSCRIBE, "--jobs", REDIS_URL="")
        self.assertIn("--redis-uri", err)

    def test_redis_is_not_there(self):
        self.server.kill()
        for command in ("--jobs",), ("--status", "a"), ("--follow", "a"), ("--cancel", "a"):
            out, err = self.command(1, *command, "--redis-uri", self.uri_of("", "hidden"))
            self.assertRegex(err, "127.0.0.1")
            self.assertNotIn("hidden", err)
        self.check(1, "127.0.0.1", "--retry-failed", "a", "a.wav")

    def test_nothing_to_retry(self):
        self.check(4, "There is no job talk", "--retry-failed", "talk", "a.wav")
        self.begun(0).complete()
        self.check(0, "has no failed chunks", "--retry-failed", "talk", "a.wav")
        self.begun(name="failed").failed()
        self.check(2, "give MEDIA, the source of failed, behind it", "--retry-failed", "failed")

    def test_no_source_to_retry(self):
        def retry(code, message, *meta, source=None):
            self.client.flushall()
            job = Job(self.client).create(meta=("model", "small", *meta))
            job.expect("move", "PROCESSING", "start", *(("source", source) if source else ()))
            job.failed()
            give = "give MEDIA, the source of talk, behind it"
            # A setting is no MEDIA.
            self.check(code, f"{message}.*{give}", "--retry-failed", "talk", "max-parallel=2")

        here = socket.gethostname()
        gone = "file:///no/such/talk.ogg"
        retry(2, "no source")
        retry(2, "only the beginning of http://h/a", source="http://h/a?...")
        retry(2, "only the beginning of ", source="--output=x")
        retry(1, f"{gone} is not on this machine", "host", here, source=gone)
        elsewhere = ("host", "far\x1baway")
        retry(1, f"{gone} was on far away, and is not on", *elsewhere, source=gone)
        retry(1, "is not on this machine", source="file://far-away/etc/hostname")
        retry(1, "is not on this machine", source="file:talk.ogg")


class Cluster(Jobs):
    def setUp(self):
        super().setUp()
        self.nodes = [RedisServer("--cluster-enabled", "yes") for _ in range(2)]
        for node in self.nodes:
            self.addCleanup(node.stop)
        self.clients = [node.client() for node in self.nodes]
        for client in self.clients:
            self.addCleanup(client.close)

    def join(self, *slots):
        """Gives each node its slots and waits until the nodes know each other."""
        for client, (first, last) in zip(self.clients, slots):
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        self.clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", self.nodes[1].port)
        for client in self.clients:
            ask = functools.partial(client.execute_command, "CLUSTER", "INFO")
            self.wait_for(lambda ask=ask: "cluster_state:ok" in ask())

    def test_moved(self):
        self.clients.reverse()
        self.clients[0].execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        self.nodes.reverse()
        self.join()
        job = Job(self.clients[0]).start()
        job.done(0)
        job.expect("move", "QUEUED", "stopped")
        uri = ("--redis-uri", self.nodes[1].uri)  # has no slots
        self.check(0, "1 done", "--status", "talk", *uri)
        self.check(0, "it is cancelled", "--cancel", "talk", *uri)
        self.assertEqual(self.command(1, "--follow", "talk", *uri)[0], [line(0)])

    def test_jobs_of_all_nodes(self):
        self.join((0, 8191), (8192, 16383))
        for name in "abcdefgh":
            slot = self.clients[0].execute_command("CLUSTER", "KEYSLOT", f"transcribe:jobs:{name}")
            Job(self.clients[slot // 8192], name).create()
        for node in self.nodes:
            out, err = self.command(0, "--jobs", "--redis-uri", node.uri)
            self.assertEqual({row.split()[0] for row in out[1:]}, set("abcdefgh"))
        self.assertTrue(all(client.dbsize() for client in self.clients))


class NoRedis:
    """Answers every command with the same, but for those in `sane`; after a while with an error, so
    that nobody waits."""

    ENOUGH = 60

    def __init__(self, answer, sane):
        self.answer = answer
        self.sane = sane
        self.said = 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.uri = f"redis://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with (
            contextlib.suppress(OSError, ValueError),
            connection,
            connection.makefile("rb") as requests,
        ):
            while count := requests.readline():
                words = []
                for _ in range(int(count[1:])):
                    words.append(requests.read(int(requests.readline()[1:]) + 2).strip())
                self.said += 1
                answer = self.sane.get(words[0], self.answer)
                connection.sendall(b"-ERR enough\r\n" if self.said > self.ENOUGH else answer)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class HostileServer(Jobs):
    """Whatever a server says: an exit code, no crash."""

    ANSWERS = (
        b"*0\r\n",
        b"+OK\r\n",
        b":9223372036854775807\r\n",
        b"*1\r\n*1\r\n*1\r\n*0\r\n",
        b"*1\r\n*2\r\n$1\r\nx\r\n*1\r\n*1\r\n$1\r\ny\r\n",
        b"*2\r\n$19\r\n9223372036854775807\r\n$20\r\n-9223372036854775808\r\n",
        b"*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$3\r\nseq\r\n$19\r\n9223372036854775807\r\n",
    )

    SANE = {
        b"HSCAN": b"*2\r\n$1\r\n0\r\n*0\r\n",
        b"SCAN": b"*2\r\n$1\r\n0\r\n*3\r\n$1\r\nx\r\n$-1\r\n"
        b"$25\r\n{transcribe:jobs:a}:state\r\n",
    }

    def check_all(self, sane, *commands):
        for answer in self.ANSWERS:
            with contextlib.closing(NoRedis(answer, sane)) as server:
                for command in commands:
                    process = self.start(TRANSCRIBE, *command, "--redis-uri", server.uri)
                    out, err = process.communicate(timeout=TIMEOUT)
                    with self.subTest(answer=answer, command=command):
                        self.assertIn(process.returncode, range(6), err)
                        self.assertNotRegex(err, "Sanitizer|runtime error|terminate called")

    def test_lists_are_lists(self):
        talk = ["--status", "--follow", "--cancel"]
        retry = ["--retry-failed", "talk", "a.wav"]
        bare = retry[:-1]
        self.check_all(self.SANE, ["--jobs"], *([name, "talk"] for name in talk), retry, bare)

    def test_nothing_is_what_it_should_be(self):
        self.check_all({}, ["--jobs"], ["--follow", "talk"])


if __name__ == "__main__":
    need_redis()
    unittest.main()
