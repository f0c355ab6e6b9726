#!/usr/bin/env python3
"""The fake service as a program: port, script, gates, log, saved audio and every way to end."""
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.error
import urllib.request

PROGRAM = sys.argv.pop(1)


def wav(frames):
    data = struct.pack("<%dh" % frames, *range(frames))
    header = struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16)
    return (b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + header + b"data" +
            struct.pack("<I", len(data)) + data)


def form(chunk):
    name = "chunk-%06d.wav" % chunk
    return (b'--edge\r\nContent-Disposition: form-data; name="file"; filename="' + name.encode() +
            b'"\r\nContent-Type: audio/wav\r\n\r\n' + wav(1600) +
            b'\r\n--edge\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--edge--\r\n')


class Program(unittest.TestCase):
    def start(self, *arguments, stdin=subprocess.PIPE):
        process = subprocess.Popen([PROGRAM, *arguments], stdin=stdin, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        self.port = process.stdout.readline().strip()
        return process

    def ask(self, chunk, path="/v1/audio/transcriptions"):
        request = urllib.request.Request(
            "http://127.0.0.1:%s%s" % (self.port, path), data=form(chunk),
            headers={"Content-Type": "multipart/form-data; boundary=edge"})
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def test_log_and_audio(self):
        with tempfile.TemporaryDirectory() as folder:
            log = os.path.join(folder, "log")
            process = self.start("--log", log, "--audio-directory", folder, "--script",
                                 '[{"chunk": 2, "attempt": 1, "status": 503, "body": {}}]')
            self.assertEqual(self.ask(2)[0], 503)
            self.assertEqual(self.ask(2), (200, {"text": "chunk 2", "usage": {
                "type": "duration", "seconds": 0.1}}))
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(20), 0)
            with open(log) as lines:
                seen = [json.loads(line) for line in lines]
            self.assertEqual([line["status"] for line in seen], [503, 200])
            self.assertEqual([line["attempt"] for line in seen], [1, 2])
            self.assertEqual(seen[1]["frames"], 1600)
            self.assertEqual(seen[1]["fields"][1], {"name": "model", "value": "m"})
            self.assertEqual(seen[1]["violations"], [])
            with open(os.path.join(folder, "2-chunk-000002.wav"), "rb") as saved:
                self.assertEqual(saved.read(), wav(1600))

    def test_script_file_and_gate(self):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as script:
            script.write('{"default": {"gate": "g"}}')
            script.flush()
            process = self.start("--script", script.name)
            answers = []
            thread = threading.Thread(target=lambda: answers.append(self.ask(1)))
            thread.start()
            thread.join(0.1)
            self.assertEqual(answers, [])
            received = "0"
            while received == "0":
                process.stdin.write("received\n")
                process.stdin.flush()
                received = process.stdout.readline().strip()
            self.assertEqual(received, "1")
            process.stdin.write("open g\n")
            process.stdin.flush()
            thread.join(20)
            self.assertEqual(answers[0][0], 200)

    def test_end_of_stdin_ends_it(self):
        process = self.start()
        process.stdin.close()
        self.assertEqual(process.wait(20), 0)
        process.stdin = None

    def test_background_job_stays(self):
        process = self.start(stdin=subprocess.DEVNULL)
        self.assertEqual(self.ask(1)[0], 200)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(20), 0)

    def test_check_can_be_off(self):
        self.start()
        self.assertEqual(self.ask(1, "/inference")[0], 404)
        self.start("--no-check")
        self.assertEqual(self.ask(1, "/inference")[0], 200)

    def test_mistakes_are_told(self):
        for arguments in (["--script", '[{"stauts": 1}]'], ["--log", "/nowhere/log"], ["--what"],
                          ["--port", "70000"]):
            result = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True,
                                    stdin=subprocess.DEVNULL, timeout=20)
            self.assertEqual(result.returncode, 2, arguments)
            self.assertTrue(result.stderr.startswith("fake-service: "), result.stderr)


unittest.main()
