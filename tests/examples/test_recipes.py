#!/usr/bin/env python3
"""The recipes of docs/redis.md, run as they are written there."""

import os
import pathlib
import re
import shutil
import tempfile
import unittest

from redis_support import PYTHON, Job, WithRedis, need_redis
from support import SOURCES

TEXT = (pathlib.Path(SOURCES).parent / "docs/redis.md").read_text()
NODE_MODULES = pathlib.Path("/usr/share/nodejs")


class Recipes(WithRedis):
    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def write(self, name, text):
        (self.directory / name).write_text(text)
        return str(self.directory / name)

    def recipe(self, language, first):
        blocks = re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.S | re.M)
        found = [text for text in blocks if text.startswith(first)]
        self.assertEqual(len(found), 1, first)
        return found[0]

    def program(self, language, first):
        text = self.recipe(language, first)
        self.assertEqual(text.count("redis://localhost"), 1)
        return text.replace("redis://localhost", self.server.uri)

    def check_reader(self, *command, **environment):
        """Live, with all kinds of chunks; then once more, late."""
        job = Job(self.client).create()
        reader = self.start(*command, **environment)
        self.wait_for_readers()
        job.expect("move", "PROCESSING", "start")
        job.done(1, "zwei")
        self.assertEqual(reader.stdout.readline(), "zwei\n")
        job.fail(2)
        job.skip(3)
        job.done(0, "eins")
        job.failed("chunks-failed")
        self.assertEqual(self.finish(reader, 0), (["eins"], ""))
        self.assertEqual(self.run_to_end(0, *command, **environment), (["zwei", "eins"], ""))

    def test_python(self):
        self.check_reader(PYTHON, self.write("reader.py", self.program("python", "import json")))

    @unittest.skipUnless(
        shutil.which("node") and (NODE_MODULES / "redis").exists(), "node-redis is not installed"
    )
    def test_node(self):
        program = self.write("reader.mjs", self.program("js", "import"))
        (self.directory / "node_modules").mkdir()
        (self.directory / "node_modules/redis").symlink_to(NODE_MODULES / "redis")
        self.check_reader("node", program, NODE_PATH=str(NODE_MODULES))

    def redis_cli(self):
        """A redis-cli first in PATH that talks to this test's server."""
        real = shutil.which("redis-cli")
        wrapper = self.write("redis-cli", f'#!/bin/sh\nexec {real} -p {self.server.port} "$@"\n')
        os.chmod(wrapper, 0o755)
        return {"PATH": f"{self.directory}:{os.environ['PATH']}"}

    def test_redis_cli(self):
        job = Job(self.client).start()
        job.done(0, "eins")
        self.client.zadd("transcribe:index:active", {"talk": 1})
        wanted = {
            "GET": "PROCESSING",
            "HGETALL": "audio_ms",
            "HGET": '"text":"eins"',
            "HSCAN": '"text":"eins"',
            "XRANGE": "created",
            "XREAD": "cancel",
            "ZRANGE": "talk",
        }
        lines = self.recipe("sh", "redis-cli").splitlines()
        self.assertEqual([text.split()[1] for text in lines], list(wanted))
        for text in lines:
            reader = self.start("sh", "-c", text, **self.redis_cli())
            if "BLOCK" in text:
                self.wait_for_readers()
                job("cancel", "enough")
            out, err = self.finish(reader, 0)
            self.assertIn(wanted[text.split()[1]], "\n".join(out) + err)

    def test_consumer_group(self):
        job = Job(self.client).start()
        job.done(0, "eins")
        job.complete()
        root, captions = pathlib.Path(SOURCES).parent, self.directory / "captions.txt"
        text = self.recipe("sh", "examples/consumer-group")
        for written, here in (
            ("examples/", f"{PYTHON} -B {root}/examples/"),
            ("jq -r .text", "cat"),  # not everywhere
            ("captions.txt", str(captions)),
        ):
            text = text.replace(written, here)
        self.run_to_end(0, "sh", "-c", text)
        self.assertIn('"text":"eins"', captions.read_text())


if __name__ == "__main__":
    need_redis()
    unittest.main()
