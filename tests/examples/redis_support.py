"""A redis-server of the test's own, and a job whose story the test itself writes, with the script
that the element uses."""

import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from support import EXAMPLES, SOURCES, TIMEOUT

PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
TRANSCRIBE = os.path.join(EXAMPLES, "transcribe")
SCRIPT = pathlib.Path(SOURCES).parent / "src/redis/scripts/job.lua"
PARTS = ("state", "meta", "progress", "error", "ctl", "chunks", "inflight", "cerr")


def need_redis():
    """Meson reads 77 as skipped."""
    try:
        import redis  # noqa: F401
    except ImportError:
        print("python3-redis is not installed")
        sys.exit(77)
    if not shutil.which("redis-server"):
        print("redis-server is not installed")
        sys.exit(77)


def allow(client, user):
    """The rights that docs/redis.md gives to that user, as written there."""
    text = (pathlib.Path(SOURCES).parent / "docs/redis.md").read_text()
    rights = [line for line in text.splitlines() if line.startswith(f"ACL SETUSER {user} ")]
    client.execute_command(*rights[0].split())


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class RedisServer:
    def __init__(self, *arguments):
        self.arguments = arguments
        self.directory = tempfile.TemporaryDirectory()
        for _ in range(10):
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.port = free.getsockname()[1]
            if self.start():
                return
        raise AssertionError("redis-server does not start")

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", ""]
            + ["--dir", self.directory.name, "--logfile", "", *self.arguments],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent,
        )
        return any("Ready to accept" in line for line in self.process.stdout)

    @property
    def uri(self):
        return f"redis://127.0.0.1:{self.port}"

    def client(self):
        import redis

        return redis.Redis(
            host="127.0.0.1", port=self.port, decode_responses=True, socket_timeout=TIMEOUT
        )

    def kill(self):
        self.process.kill()
        self.process.wait(TIMEOUT)
        self.process.stdout.close()

    def stop(self):
        self.kill()
        self.directory.cleanup()


class Job:
    """Writes as the owner of a job does."""

    def __init__(self, client, name="talk", prefix="transcribe", **settings):
        self.client = client
        self.name = name
        self.stream = f"{prefix}:jobs:{name}"
        self.keys = [self.stream] + [self.key(part) for part in PARTS]
        self.script = client.register_script(SCRIPT.read_text())
        self.epoch = "0"
        self.token = settings.pop("token", "token")
        self.settings = {
            "owner": "somewhere boot 4711 1",
            "lease": 30000,
            "fp": "fp",
            "maxlen": 10000,
            "ttl": 600000,
            "retention": 60000,
            "max_attempts": 3,
            "group": "",
            **settings,
        }

    def key(self, part):
        return f"{{{self.stream}}}:{part}"

    def __call__(self, op, *arguments):
        answer = self.script(self.keys, [op, self.epoch, self.token, *arguments])
        if op in ("create", "reset") and len(answer) == 8:
            self.epoch = answer[1]
        return answer

    def expect(self, op, *arguments, word="OK"):
        answer = self(op, *arguments)
        assert answer[0] == word, answer
        return answer

    def create(self, mode="auto", takeover="", op="create", word="OK", meta=("model", "small")):
        self.expect(op, *self.settings.values(), mode, takeover, *meta, word=word)
        return self

    def start(self):
        self.create()
        self.expect("move", "PROCESSING", "start")
        return self

    def done(self, index, text=None, **more):
        self.expect("done", index, record(index, "done", text=text or f"text {index}", **more))

    def fail(self, index, message="The service said no"):
        error = {"severity": "chunk", "cause": "write", "message": message, "reason": "rejected"}
        self.expect("fail", index, record(index, "failed", error=error))

    def skip(self, index, reason="silence"):
        self.expect("skip", index, record(index, "skipped", skip_reason=reason), reason)

    def complete(self):
        self.expect("move", "COMPLETED", "eos")

    def failed(self, reason="error", message="It broke"):
        self.expect("move", "FAILED", reason, "code", "write", "message", message)

    def state(self):
        return self.client.get(self.key("state"))


def record(index, status, seconds=2, **more):
    return json.dumps(
        {
            "v": 1,
            "index": index,
            "start": index * seconds * 16000,
            "frames": seconds * 16000,
            "pts_ns": index * seconds * 10**9,
            "reason": "pause",
            "status": status,
            **({} if status == "skipped" else {"attempts": 1}),
            **more,
        },
        separators=(",", ":"),
    )


def line(index, text=None, seconds=2):
    """What the followers print for the chunk of record()."""
    start, end = index * seconds, (index + 1) * seconds
    return f"00:00:{start:02}.000 - 00:00:{end:02}.000  {text or f'text {index}'}"


class WithRedis(unittest.TestCase):
    def setUp(self):
        self.server = RedisServer()
        self.addCleanup(lambda: self.server.stop())
        self.client = self.server.client()
        self.addCleanup(self.client.close)

    def begun(self, *done, name="talk", **settings):
        """A job that runs, with these chunks done."""
        job = Job(self.client, name, **settings).start()
        for index in done:
            job.done(index)
        return job

    def uri_of(self, user, password="PASSWORD"):
        return self.server.uri.replace("://", f"://{user}:{password}@")

    def start(self, *command, cwd=None, **environment):
        """In a group of its own, so that it can be killed with what it runs."""
        process = subprocess.Popen(
            command,
            cwd=cwd,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(**environment),
        )
        self.addCleanup(end, process)
        return process

    def environment(self, **more):
        variables = {k: v for k, v in os.environ.items() if not k.startswith("OPENAI_")}
        return {**variables, "LC_ALL": "C.UTF-8", "REDIS_URL": self.server.uri, **more}

    def finish(self, process, code):
        out, err = process.communicate(timeout=TIMEOUT)
        self.assertEqual(process.returncode, code, out + err)
        return out.splitlines(), err

    def run_to_end(self, code, *command, **environment):
        return self.finish(self.start(*command, **environment), code)

    def wait_for(self, condition):
        end = time.monotonic() + TIMEOUT
        while not condition():
            self.assertLess(time.monotonic(), end, "waited in vain")
            time.sleep(0.02)

    def wait_for_readers(self, count=1):
        """Until so many clients wait for events."""
        self.wait_for(lambda: self.client.info("clients")["blocked_clients"] >= count)

    def read_until(self, pipe, text):
        for shown in pipe:
            if text in shown:
                return
        self.fail(f"no {text}")


def end(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=TIMEOUT)
