#!/usr/bin/env python3
"""Follows a job live in Redis: the chunks with their times and texts as they come.

  ./follow.py --redis-uri redis://localhost talk

What is there already comes first, in order. Texts go to stdout; states, failed chunks and all
else to stderr. It waits for a job that is not there yet, and through lost connections.

Exit codes: 0 the job is COMPLETED, 1 it FAILED, 2 wrong usage or Redis refuses, 130 Ctrl-C.
Needs python3-redis.
"""

import argparse
import json
import os
import re
import sys
import time

try:
    import redis
    from redis.exceptions import (
        AuthenticationError,
        AuthorizationError,
        ConnectionError,
        NoPermissionError,
        ResponseError,
        TimeoutError,
    )
except ImportError:
    print(f"{os.path.basename(sys.argv[0])} needs the package python3-redis.", file=sys.stderr)
    sys.exit(2)

ENDS = ("COMPLETED", "FAILED")
BLOCK_MS = 2000
# Answers of a server that will be well again by itself.
PASSING = ("LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY ", "OOM", "READONLY", "MISCONF")


def job_id(text):
    """Refuses what would name other keys: braces, for one, end the part of the slot."""
    if not re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", text):
        raise argparse.ArgumentTypeError("a job id is 1 to 128 of A-Z a-z 0-9 . _ : -")
    return text


def parser(description):
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("job", metavar="JOB-ID", type=job_id)
    made.add_argument(
        "--redis-uri",
        default=os.environ.get("REDIS_URL", "redis://localhost"),
        metavar="URI",
        help="redis://, rediss:// or redis+unix:// (default: $REDIS_URL, else this machine's)",
    )
    made.add_argument("--key-prefix", default="transcribe", metavar="PREFIX")
    made.add_argument("--tls-ca-file", metavar="PEM", help="authorities to trust, for rediss://")
    return made


def connect(options):
    """Nothing is sent yet. The password is in nothing that is raised or printed."""
    more = {}
    if options.tls_ca_file and options.redis_uri.startswith("rediss:"):
        more["ssl_ca_certs"] = options.tls_ca_file
    uri = re.sub(r"^redis\+unix:", "unix:", options.redis_uri)
    if not uri.startswith("unix:"):  # its connections know no such option
        more["socket_connect_timeout"] = 5
    try:
        return redis.Redis.from_url(
            uri,
            decode_responses=True,
            encoding_errors="replace",
            socket_timeout=5 + BLOCK_MS / 1000,  # a server that is stopped does not close
            **more,
        )
    except ValueError:
        print("--redis-uri is none of redis://, rediss:// and redis+unix://", file=sys.stderr)
        raise SystemExit(2) from None


def tell(line):
    print(line, file=sys.stderr, flush=True)


def printable(text):
    """What a service wrote must not steer the terminal."""
    return "".join(c if c.isprintable() else " " for c in str(text)).strip()


def clock(ns):
    ms = ns // 1_000_000
    return f"{ms // 3600000:02}:{ms // 60000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"


def span(record):
    """"00:00:01.500 - 00:00:04.000" of a chunk's record."""
    start = record.get("pts_ns", 0)
    return f"{clock(start)} - {clock(start + record.get('frames', 0) * 62500)}"


class Keys:
    def __init__(self, prefix, job):
        self.stream = f"{prefix}:jobs:{job}"

    def __getattr__(self, name):
        """keys.chunks is {transcribe:jobs:ID}:chunks."""
        return f"{{{self.stream}}}:{name}"


class Outages:
    """Runs one step after the other, through lost connections."""

    def __init__(self, server):
        self.server = server
        self.failures = 0

    def run(self, step):
        """What `step` returned when it was not None."""
        while True:
            try:
                result = step()
                if self.failures:
                    tell("Redis is back.")
                self.failures = 0
                if result is not None:
                    return result
            except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
                tell(f"Redis refuses: {error}")
                return 2
            except (ConnectionError, TimeoutError) as error:
                self.wait(error)
            except ResponseError as error:
                if not str(error).startswith(PASSING):
                    tell(f"Redis refuses: {error}")
                    return 2
                self.wait(error)

    def wait(self, error):
        if not self.failures:
            tell(f"No answer from Redis ({error}); trying again.")
        self.failures += 1
        time.sleep(min(0.1 * 2**self.failures, 5))


class Follower:
    def __init__(self, server, keys):
        self.server = server
        self.keys = keys
        self.last = None  # id of the last event read
        self.seq = 0  # its number
        self.born = None  # when the job was created or started anew
        self.shown = {}  # index -> status
        self.state = None
        self.waiting = False

    def step(self):
        """The exit code at the end of the job, else None."""
        if self.last is None:
            self.begin()
        # Before the events: what is read after the end is complete.
        state = self.server.get(self.keys.state)
        over = state in ENDS
        block = None if over else BLOCK_MS
        read = self.server.xread({self.keys.stream: self.last}, count=100, block=block)
        for at, event in read[0][1] if read else ():
            self.take(event)
            self.last = at
        if read:
            return None
        if over:
            self.read_keys()  # the events since the last gap may not have been all
            return self.end(state)
        if state is None and not self.waiting:
            self.waiting = True
            tell("The job is gone; waiting for it." if self.state else "Waiting for the job.")
        return None

    def begin(self):
        """Where the events stand first, then the keys: nothing falls between."""
        newest = self.server.xrevrange(self.keys.stream, count=1)
        last, seq = "0-0", 0
        if newest:
            last, seq = newest[0][0], int(newest[0][1].get("seq", 0))
        self.read_keys()
        state, reason = self.server.hmget(self.keys.meta, "state", "reason")
        if state:
            self.tell_state(state, reason)
        self.last, self.seq = last, seq

    def read_keys(self):
        born, restored = self.server.hmget(self.keys.meta, "created_ms", "restored_ms")
        if born != restored:  # else Redis had lost when that was; the job is the same
            self.start_over(int(born or 0))
        found = {}
        for key in (self.keys.chunks, self.keys.cerr):
            found.update(self.server.hscan_iter(key, count=500))
        for index in sorted(found, key=int):
            self.show(index, found[index])

    def take(self, event):
        seq = int(event.get("seq", 0))
        if seq > self.seq + 1:
            tell(f"{seq - self.seq - 1} events were trimmed or lost; reading the keys.")
            self.read_keys()
        self.seq = max(seq, self.seq)
        self.waiting = False
        kind, reason = event.get("event"), event.get("reason")
        if reason in ("created", "restart"):
            self.start_over(int(event.get("ts", 0)))
        elif reason == "retry-failed":
            self.shown = {i: status for i, status in self.shown.items() if status != "failed"}
        if kind == "state":
            self.tell_state(event.get("state"), reason)
        elif kind == "restored":
            self.tell_state(event.get("state"), "Redis had lost it")
            self.read_keys()
        elif kind == "resumed":
            self.tell_state("QUEUED", reason)
        elif kind == "orphaned":
            tell("QUEUED: its owner is gone.")
        elif kind == "cancel":
            tell(f"Somebody asked for the end: {printable(event.get('note'))}")
        elif kind == "chunk":
            self.chunk(event)

    def chunk(self, event):
        index, status = event["idx"], event["status"]
        if status == "retry":
            # One that failed or was skipped in an earlier run is open again.
            if self.shown.get(index) != "done":
                self.shown.pop(index, None)
            return
        key = self.keys.cerr if status == "failed" else self.keys.chunks
        record = self.server.hget(key, index)
        if record is not None:  # else what came later tells of it
            self.show(index, record)

    def show(self, index, text):
        record = json.loads(text)
        status = record["status"]
        if self.shown.get(index) == status:
            return
        self.shown[index] = status
        if status == "done":
            print(f"{span(record)}  {printable(record.get('text', ''))}", flush=True)
        elif status == "failed":
            why = record.get("error", {}).get("message", "unknown")
            tell(f"{span(record)}  [not transcribed: {printable(why)}]")
        else:
            tell(f"{span(record)}  [not sent: {printable(record.get('skip_reason', ''))}]")

    def start_over(self, born):
        """`born`: created_ms, which is also the time of that event."""
        if self.shown and born > (self.born or 0):
            tell("The job was started anew: all chunks are open again.")
            self.shown = {}
        self.born = max(born, self.born or 0)

    def tell_state(self, state, reason):
        self.state = state
        tell(f"{state} ({printable(reason)})" if reason else str(state))

    def end(self, state):
        if self.state != state:
            self.tell_state(state, self.server.hget(self.keys.meta, "reason"))
        if state == "COMPLETED":
            return 0
        message = self.server.hget(self.keys.error, "message")
        if message:
            tell(printable(message))
        return 1


def main():
    options = parser(__doc__).parse_args()
    server = connect(options)
    follower = Follower(server, Keys(options.key_prefix, options.job))
    return Outages(server).run(follower.step)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
