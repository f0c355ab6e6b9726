#!/usr/bin/env python3
"""Runs a command beside a redis-server of its own; tests of the element then mirror every job
there and compare. usage: with_redis.py COMMAND [ARGUMENT...]"""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

if shutil.which("redis-server") is None:
    print("redis-server is not installed")
    sys.exit(77)
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
with tempfile.TemporaryDirectory() as directory:
    clean = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    server = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
         "--dir", directory],
        stdout=subprocess.DEVNULL, env=clean)
    try:
        deadline = time.monotonic() + 20
        while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
            if time.monotonic() > deadline or server.poll() is not None:
                sys.exit("redis-server does not start")
            time.sleep(0.02)
        env = dict(os.environ, TRANSCRIBE_REDIS_PORT=str(port),
                   TRANSCRIBE_SINK_PROPERTIES=f"redis-uri=redis://127.0.0.1:{port}")
        status = subprocess.call(sys.argv[1:], env=env)
    finally:
        server.kill()
        server.wait()
sys.exit(status)
