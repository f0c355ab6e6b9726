#!/usr/bin/env python3
"""The followers and the commands on jobs over TLS and over a unix socket."""

import os
import pathlib
import socket
import unittest

from redis_support import PYTHON, TRANSCRIBE, Job, RedisServer, WithRedis, line, need_redis
from support import SOURCES

FOLLOW = os.path.join(SOURCES, "follow.py")
GROUP = os.path.join(SOURCES, "consumer-group.py")
# Its own authority; for 127.0.0.1 and localhost.
CERTIFICATE = str(pathlib.Path(SOURCES).parent / "tests/support/loopback.pem")


class Transports(WithRedis):
    """The test itself talks to the plain port of the same server."""

    def setUp(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.tls_port = free.getsockname()[1]
        server = RedisServer(
            *("--tls-port", str(self.tls_port), "--tls-auth-clients", "no"),
            *("--tls-cert-file", CERTIFICATE, "--tls-key-file", CERTIFICATE),
            *("--tls-ca-cert-file", CERTIFICATE, "--unixsocket", "redis.sock"),
        )
        self.server = server
        self.addCleanup(server.stop)
        self.client = server.client()
        self.addCleanup(self.client.close)
        self.socket = os.path.join(server.directory.name, "redis.sock")
        trust = ("--tls-ca-file", CERTIFICATE)
        self.ways = [
            ("--redis-uri", f"rediss://127.0.0.1:{self.tls_port}", *trust),
            ("--redis-uri", f"rediss://127.0.0.1:{self.tls_port}", *trust),
            ("--redis-uri", f"redis+unix://{self.socket}"),
        ]

    def test_followers(self):
        for number, way in enumerate(self.ways):
            with self.subTest(way=way[1]):
                job = Job(self.client, f"talk{number}").create()
                followers = [
                    self.start(PYTHON, "-B", FOLLOW, job.name, *way),
                    self.start(PYTHON, "-B", GROUP, job.name, "--group", "captions", *way),
                    self.start(TRANSCRIBE, "--follow", job.name, *way),
                ]
                self.wait_for_readers(len(followers))
                job.expect("move", "PROCESSING", "start")
                job.done(0)
                job.done(1)
                job.complete()
                for follower in followers:
                    self.assertEqual(self.finish(follower, 0)[0], [line(0), line(1)])

    def test_commands(self):
        for number, way in enumerate(self.ways):
            with self.subTest(way=way[1]):
                job = Job(self.client, f"talk{number}").start()
                job.done(0)
                out, _ = self.run_to_end(0, TRANSCRIBE, "--jobs", *way)
                self.assertIn(job.name, "\n".join(out))
                out, _ = self.run_to_end(0, TRANSCRIBE, "--status", job.name, *way)
                self.assertIn("PROCESSING", "\n".join(out))
                self.run_to_end(0, TRANSCRIBE, "--cancel", job.name, *way)
                self.assertNotEqual(self.client.hget(job.key("ctl"), "cancel"), "")

    def test_an_authority_that_nobody_knows(self):
        Job(self.client).start()
        uri = f"rediss://user:secret@127.0.0.1:{self.tls_port}"
        for command in ("--jobs",), ("--status", "talk"), ("--cancel", "talk"):
            out, err = self.run_to_end(1, TRANSCRIBE, *command, "--redis-uri", uri)
            self.assertRegex(err, "(?i)certificate")
            self.assertNotIn("secret", "\n".join(out) + err)
        self.assertEqual(self.client.hget(Job(self.client).key("ctl"), "cancel"), "")

    def test_a_socket_that_is_not_there(self):
        uri = "redis+unix:///nowhere/redis.sock"
        _, err = self.run_to_end(1, TRANSCRIBE, "--jobs", "--redis-uri", uri)
        self.assertIn("/nowhere/redis.sock", err)


if __name__ == "__main__":
    need_redis()
    unittest.main()
