#!/usr/bin/env python3
"""local-recognizer as a client sees it, over the five LibriVox sentences."""

import concurrent.futures
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import unittest
import wave

from support import LIBRIVOX, RECOGNIZER, SENTENCES, TIMEOUT, Recognizer, form, read, wav

VERBOSE = [("response_format", "verbose_json"), ("timestamp_granularities[]", "word")]
LIMIT = 400000


def reference():
    texts = []
    with open(LIBRIVOX + "/transcription", encoding="utf-8") as file:
        for line in file:
            texts.append(line.split("</s>")[0].replace("<s>", "").split())
    return texts


class LocalRecognizer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Recognizer("--threads", "3", "--max-body", str(LIMIT))

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        assert cls.server.process.returncode == 0, cls.server.process.returncode

    def check_error(self, answer, status, param=None):
        self.assertEqual(answer[0], status, answer)
        error = json.loads(answer[1])["error"]
        self.assertEqual(sorted(error), ["code", "message", "param", "type"])
        self.assertTrue(error["message"])
        self.assertEqual(error["param"], param)

    def test_sentences_give_their_words_with_times(self):
        for name, wanted in zip(SENTENCES, reference()):
            audio = read(name)
            status, body = self.server.transcribe(audio, *VERBOSE)
            self.assertEqual(status, 200, body)
            answer = json.loads(body)
            words = answer["words"]
            self.assertEqual(answer["text"].split(), [word["word"] for word in words])
            found = len(set(wanted) & set(answer["text"].split()))
            self.assertGreater(found, len(set(wanted)) / 2, answer["text"])
            self.assertAlmostEqual(answer["duration"], (len(audio) - 44) / 32000, places=3)
            last = 0
            for word in words:
                self.assertLessEqual(last, word["start"])
                self.assertLess(word["start"], word["end"])
                self.assertNotIn("(", word["word"])
                last = word["end"]
            self.assertLessEqual(last, answer["duration"])
            self.assertNotIn("segments", answer)

    def test_segments_carry_the_same_text(self):
        status, body = self.server.transcribe(read(SENTENCES[0]), VERBOSE[0])
        self.assertEqual(status, 200, body)
        answer = json.loads(body)
        self.assertEqual(" ".join(s["text"] for s in answer["segments"]), answer["text"])
        self.assertNotIn("words", answer)

    def test_answers_depend_on_the_audio_alone(self):
        audio = [read(name) for name in SENTENCES]
        first = [self.server.transcribe(data, *VERBOSE) for data in audio]
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            again = list(pool.map(lambda data: self.server.transcribe(data, *VERBOSE), audio[::-1]))
        self.assertEqual(first, again[::-1])

    def test_silence_has_no_text(self):
        self.assertEqual(self.server.transcribe(wav(bytes(32000))), (200, b'{"text":""}'))

    def test_json_is_the_default(self):
        status, body = self.server.transcribe(read(SENTENCES[4]))
        self.assertEqual(status, 200)
        self.assertEqual(list(json.loads(body)), ["text"])

    def test_refused_audio(self):
        tone = bytes(32000)
        for name, audio in {
            "no WAV": b"ID3" + tone,
            "empty": b"",
            "8 kHz": wav(tone, rate=8000),
            "stereo": wav(tone, channels=2),
            "8 bit": wav(tone, width=1),
            "cut": wav(tone)[:-2],
            "no data chunk": wav(tone)[:36],
            "cut format": wav(tone)[:30],
            "0.09 s": wav(bytes(2880)),
        }.items():
            with self.subTest(name):
                self.check_error(self.server.transcribe(audio), 400, "file")

    def test_refused_fields(self):
        audio = read(SENTENCES[4])
        for param, *field in [
            ("response_format", "response_format", "srt"),
            ("timestamp_granularities", "timestamp_granularities[]", "word"),
            ("timestamp_granularities", "timestamp_granularities[]", "letter"),
            ("language", "language", "de"),
            ("stream", "stream", "true"),
        ]:
            with self.subTest(field):
                self.check_error(self.server.transcribe(audio, tuple(field)), 400, param)
        self.check_error(self.server.transcribe(audio, model=""), 400, "model")

    def test_missing_parts(self):
        path = "/v1/audio/transcriptions"
        self.check_error(self.server.request("POST", path, *form([("model", "any")])), 400, "file")
        not_a_file = form([("model", "any"), ("file", "text")])
        self.check_error(self.server.request("POST", path, *not_a_file), 400, "file")
        self.check_error(self.server.request("POST", path, b"{}"), 400)

    def test_other_urls(self):
        self.assertEqual(self.server.request("GET", "/health")[0], 200)
        self.check_error(self.server.request("GET", "/v1/models"), 404)
        self.check_error(self.server.request("POST", "/audio/transcriptions", b"x"), 404)
        self.check_error(self.server.request("POST", "/v1/audio/translations", b"x"), 404)
        self.check_error(self.server.request("GET", "/v1/audio/transcriptions"), 405)
        self.check_error(self.server.request("POST", "/health", b"x"), 405)

    def test_too_large(self):
        body, headers = form([("model", "any"), ("file", bytes(LIMIT), "a.wav")])
        path = "/v1/audio/transcriptions"
        self.check_error(self.server.request("POST", path, body, headers), 413)
        pieces = (body[at : at + 50000] for at in range(0, len(body), 50000))
        answer = self.server.request("POST", path, pieces, headers, encode_chunked=True)
        self.check_error(answer, 413)

    def test_clients_that_vanish(self):
        body, headers = form([("model", "any"), ("file", read(SENTENCES[4]), "a.wav")])
        head = f"POST /v1/audio/transcriptions HTTP/1.1\r\nContent-Length: {len(body)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
        for sent in [0, len(body) // 2, len(body)] * 3:
            with socket.create_connection(("127.0.0.1", self.server.port)) as connection:
                connection.sendall(head.encode() + body[:sent])
                # Close with a reset, not in good order.
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.assertEqual(self.server.transcribe(read(SENTENCES[4]))[0], 200)
        self.assertIsNone(self.server.process.poll())


def children_time():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def pcm_of(path):
    with wave.open(path) as audio:
        return audio.readframes(audio.getnframes())


class Process(unittest.TestCase):
    def test_a_signal_ends_it_while_it_decodes(self):
        def cost(use):
            before = children_time()
            server = Recognizer()
            use(server)
            server.stop()
            return children_time() - before

        # 100 s of speech take more than 10 s of computing.
        speech = b"".join(pcm_of(sentence) for sentence in SENTENCES) * 4
        body, headers = form([("model", "any"), ("file", wav(speech), "a.wav")])
        idle = cost(lambda server: None)

        def interrupt(server):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                head = f"POST /v1/audio/transcriptions HTTP/1.1\r\nContent-Length: {len(body)}\r\n"
                head += f"Content-Type: {headers['Content-Type']}\r\n\r\n"
                connection.sendall(head.encode() + body)
                self.assertEqual(server.request("GET", "/health")[0], 200)
                server.process.send_signal(number)
                self.assertEqual(server.process.wait(TIMEOUT), 0)

        for number in (signal.SIGINT, signal.SIGTERM):
            self.assertLess(cost(interrupt) - idle, 5)

    def test_it_ends_with_its_parent(self):
        script = f"'{RECOGNIZER}' --port 0 --exit-with-parent & read line; kill -9 $$"
        shell = subprocess.Popen(
            ["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with shell.stdin, shell.stdout:
            self.assertIn("http://", shell.stdout.readline())
            shell.stdin.write("\n")
            shell.stdin.flush()
            shell.wait(TIMEOUT)
            # Its standard output ends when the last holder has gone.
            self.assertEqual(shell.stdout.read(), "")

    def test_wrong_options(self):
        for options in (["--port", "70000"], ["--threads", "0"], ["--bogus"], ["extra"]):
            done = subprocess.run([RECOGNIZER, *options], capture_output=True, timeout=TIMEOUT)
            self.assertEqual(done.returncode, 2, options)
            self.assertTrue(done.stderr.startswith(b"local-recognizer: "))

    def test_a_taken_port_is_an_error(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            done = subprocess.run(
                [RECOGNIZER, "--port", port], capture_output=True, text=True, timeout=TIMEOUT
            )
        self.assertEqual(done.returncode, 1)
        self.assertIn(port, done.stderr)


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    unittest.main()
