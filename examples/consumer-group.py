#!/usr/bin/env python3
"""One of several consumers that share the finished chunks of a job: each chunk goes to one of them.

  ./consumer-group.py --redis-uri redis://localhost --group captions talk
  ./consumer-group.py --group captions --exec ./translate.sh talk

Prints the text of every finished chunk, or runs a command with the chunk's record (JSON) on its
standard input and its number in CHUNK_INDEX. A command that fails is run again, by any consumer,
after --min-idle; what a consumer left behind that died is taken over by another after the same
time. Every chunk is processed at least once; twice when a consumer dies in between, when it takes
longer than --min-idle, or when the job was started anew.

A group that comes late, even after the end of the job, gets everything: events that were trimmed
are made up for from the keys of the job.

Exit codes: 0 the job is COMPLETED and all of it processed, 1 it FAILED (what is done was
processed), 2 wrong usage or Redis refuses, 3 a chunk was given up after --tries, 130 Ctrl-C.
Needs python3-redis.
"""

import json
import os
import socket
import subprocess
import sys
import time

# It also says so when python3-redis is missing.
from follow import (
    BLOCK_MS,
    ENDS,
    Keys,
    Outages,
    ResponseError,
    connect,
    parser,
    printable,
    span,
    tell,
)

# Of the list of what is processed; longer than any job lives without a sign of life.
LIST_TTL_MS = 8 * 24 * 3600 * 1000


class Consumer:
    def __init__(self, server, keys, options):
        self.server = server
        self.keys = keys
        self.stream = keys.stream
        self.group = options.group
        self.name = options.consumer
        self.command = options.exec
        self.tries = options.tries
        self.claim_every = options.claim_every
        self.min_idle_ms = int(options.min_idle * 1000)
        # Beside the job's keys, so that they are in the same slot of a cluster.
        self.processed = getattr(keys, f"group:{options.group}")
        self.unread = True  # what was handed to this name before, an answer that was lost included
        self.next_claim = 0.0
        self.given_up = 0
        self.told_waiting = False

    def step(self):
        """The exit code when all is done, else None."""
        try:
            return self.read()
        except ResponseError as error:
            # The group goes with its stream: expired, deleted, or the server lost it.
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise
            return self.make_group()

    def make_group(self):
        """From the first event on. Not before the job is there: the stream belongs to it."""
        try:
            self.server.xgroup_create(self.stream, self.group, id="0")
            self.unread = True
        except ResponseError as error:
            if str(error).startswith("BUSYGROUP"):
                return None
            if "requires the key to exist" not in str(error):
                raise
            if self.server.get(self.keys.state) in ENDS:
                return self.finish()
            if not self.told_waiting:
                tell("Waiting for the job.")
            self.told_waiting = True
            time.sleep(min(1, self.claim_every))
        return None

    def read(self):
        # Before the events: what is read after the end is complete.
        over = self.server.get(self.keys.state) in ENDS
        if time.monotonic() >= self.next_claim:
            self.claim()
            self.next_claim = time.monotonic() + self.claim_every
        try:
            wait = None if over or self.unread else self.block()
            read = self.server.xreadgroup(
                self.group,
                self.name,
                {self.stream: "0" if self.unread else ">"},
                count=10,
                block=wait,
            )
        except Exception:
            self.unread = True  # whether something was handed out is not known
            raise
        entries = read[0][1] if read else []
        for at, event in entries:
            self.take(at, event)
        if self.unread:
            # One try each: what fails is left for claim(), which waits and counts.
            self.unread = False
            return None
        if entries or not over:
            return None
        # What others still hold may come to us yet.
        if self.server.xpending(self.stream, self.group)["pending"]:
            time.sleep(min(1, max(0.05, self.next_claim - time.monotonic())))
            return None
        return self.finish()

    def block(self):
        left = self.next_claim - time.monotonic()
        return int(min(BLOCK_MS, max(1, left * 1000)))

    def claim(self):
        """Takes over what somebody, perhaps this consumer, has held for too long."""
        cursor = "0-0"
        while True:
            # Since Redis 7 a third part lists entries that were trimmed; they are forgotten there.
            cursor, entries, *_ = self.server.xautoclaim(
                self.stream, self.group, self.name, self.min_idle_ms, cursor, count=10
            )
            for at, event in entries:
                if at is not None and self.tried_enough(at):
                    tell(f"Chunk {event.get('idx')} was given up after {self.tries} tries.")
                    self.given_up += 1
                    self.acknowledge(at, event.get("idx"))
                else:
                    self.take(at, event)
            if cursor == "0-0":
                return

    def tried_enough(self, at):
        held = self.server.xpending_range(self.stream, self.group, at, at, 1)
        return bool(held) and held[0]["times_delivered"] > self.tries

    def take(self, at, event):
        """One event. It is empty where it was trimmed after it had been handed out."""
        if at is None:  # before Redis 7; our own list has its id
            self.unread = True
            return
        if event.get("event") != "chunk" or event.get("status") != "done":
            self.server.xack(self.stream, self.group, at)
            return
        if self.process(event["idx"]):
            self.acknowledge(at, event["idx"])

    def member(self, index):
        """A job that is started anew has new chunks."""
        born = self.server.hget(self.keys.meta, "created_ms")
        return f"{born}/{index}"

    def acknowledge(self, at, index):
        """In one step, so that a chunk is never forgotten and never made up for again."""
        with self.server.pipeline(transaction=True) as together:
            if index is not None:
                together.sadd(self.processed, self.member(index))
                together.pexpire(self.processed, LIST_TTL_MS)
            if at is not None:
                together.xack(self.stream, self.group, at)
            together.execute()

    def process(self, index):
        """False: to be tried again later."""
        if self.server.sismember(self.processed, self.member(index)):
            return True
        text = self.server.hget(self.keys.chunks, index)
        if text is None:
            return True  # the job was started anew: another event will come
        record = json.loads(text)
        if record.get("status") != "done":
            return True
        if not self.command:
            print(f"{span(record)}  {printable(record.get('text', ''))}", flush=True)
            return True
        environment = {**os.environ, "CHUNK_INDEX": index}
        done = subprocess.run(self.command, shell=True, input=text, text=True, env=environment)
        if done.returncode != 0:
            tell(f"The command failed for chunk {index} (exit code {done.returncode}).")
        return done.returncode == 0

    def finish(self):
        """What no event told of: it was trimmed, or its holder died after that."""
        left = 0
        for index, text in self.server.hscan_iter(self.keys.chunks, count=500):
            if json.loads(text).get("status") != "done":
                continue
            if self.server.sismember(self.processed, self.member(index)):
                continue
            # Another consumer may have come to this point too.
            lock = f"{self.processed}:{index}"
            if not self.server.set(lock, self.name, nx=True, px=max(1, self.min_idle_ms)):
                left += 1
            elif self.process(index):
                self.acknowledge(None, index)
                self.server.delete(lock)
            else:
                tries = self.server.incr(f"{lock}:tries")
                self.server.pexpire(f"{lock}:tries", LIST_TTL_MS)
                left += 1
                if tries >= self.tries:
                    tell(f"Chunk {index} was given up after {tries} tries.")
                    self.given_up += 1
                    self.acknowledge(None, index)
        if left:
            time.sleep(min(1, self.min_idle_ms / 1000))
            return None
        state = self.server.get(self.keys.state)
        if state not in ENDS:  # it goes on after all
            return None
        if self.server.exists(self.stream):
            self.server.xgroup_delconsumer(self.stream, self.group, self.name)
        tell(f"{state}. All finished chunks are processed.")
        if self.given_up:
            return 3
        return 0 if state == "COMPLETED" else 1


def main():
    made = parser(__doc__)
    made.add_argument("--group", required=True, help="made where it does not exist")
    made.add_argument(
        "--consumer",
        default=f"{socket.gethostname()}-{os.getpid()}",
        help="name in the group (default: host and process)",
    )
    made.add_argument("--exec", metavar="COMMAND", help="run by the shell for each chunk")
    made.add_argument("--claim-every", type=float, default=30, metavar="SECONDS")
    made.add_argument("--min-idle", type=float, default=60, metavar="SECONDS")
    made.add_argument("--tries", type=int, default=5, help="of the command for one chunk")
    options = made.parse_args()
    server = connect(options)
    keys = Keys(options.key_prefix, options.job)
    return Outages(server).run(Consumer(server, keys, options).step)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
