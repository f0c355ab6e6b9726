"""The speech service that the pipelines talk to: local-recognizer behind a memory of its answers.

The words that the recogniser finds depend on the samples and on nothing else, so a chunk that
several strategies send alike is decoded once, and word times are left out where they are not asked
for.
"""

import contextlib
import hashlib
import http.client
import http.server
import json
import os
import subprocess
import threading
import uuid
from concurrent.futures import Future

MODEL = "/usr/share/pocketsphinx/model/en-us"


def multipart(fields):
    boundary = uuid.uuid4().hex
    body = b""
    for name, value in fields.items():
        extra = '; filename="a.wav"' if name == "file" else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'
        body += head.encode() + (value if isinstance(value, bytes) else value.encode()) + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def parse_multipart(body, content_type):
    boundary = content_type.split("boundary=")[1].strip('"').encode()
    fields = {}
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        name = head.split(b'name="')[1].split(b'"')[0].decode()
        fields[name] = value.removesuffix(b"\r\n")
    return fields


def _digest_of(paths):
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def fingerprint(program):
    """Of all that the answers depend on beside the audio."""
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    libraries = [line.split()[2] for line in linked.splitlines() if "sphinx" in line]
    model = [os.path.join(at, name) for at, _, names in os.walk(MODEL) for name in names]
    return _digest_of([program, *sorted(libraries), *sorted(model)])


class Recognizer:
    """local-recognizer as a child. Answers with the body of a verbose_json answer."""

    def __init__(self, program, threads):
        self.process = subprocess.Popen(
            [program, "--port", "0", "--threads", str(threads), "--exit-with-parent"],
            stdout=subprocess.PIPE,
            text=True,
        )
        url = self.process.stdout.readline().strip()
        assert url, "local-recognizer did not start"
        self.port = int(url.split(":")[2].split("/")[0])

    def __call__(self, audio):
        body, content_type = multipart(
            {
                "file": audio,
                "model": "local",
                "response_format": "verbose_json",
                "timestamp_granularities[]": "word",
            }
        )
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        with contextlib.closing(connection):
            headers = {"Content-Type": content_type}
            connection.request("POST", "/v1/audio/transcriptions", body, headers)
            response = connection.getresponse()
            answer = response.read().decode()
        assert response.status == 200, answer
        return answer

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


class Memory:
    """Answers by the digest of their audio; with `path` also those of earlier runs."""

    def __init__(self, ask, path=None, key=""):
        self.ask = ask
        self.lock = threading.Lock()
        self.answers = {}
        self.decoded = 0
        self.file = None
        if not path:
            return
        for name, text in _earlier_answers(path, key):
            self.answers[name] = _done(text)
        self.file = open(path, "w", encoding="utf-8")
        print(key, file=self.file)
        for name, future in self.answers.items():
            self._keep(name, future.result())

    def __call__(self, audio):
        name = hashlib.sha256(audio).hexdigest()
        with self.lock:
            known = self.answers.get(name)
            if not known:
                mine = self.answers[name] = Future()
        if known:
            return known.result()
        try:
            answer = self.ask(audio)
        except BaseException as error:
            mine.set_exception(error)
            raise
        mine.set_result(answer)
        with self.lock:
            self.decoded += 1
            if self.file:
                self._keep(name, answer)
        return answer

    def _keep(self, name, answer):
        print(json.dumps([name, answer]), file=self.file, flush=True)

    def close(self):
        if self.file:
            self.file.close()


def _earlier_answers(path, key):
    """Up to a line that a killed run left unfinished."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
        if lines and lines[0] == key:
            for line in lines[1:]:
                yield json.loads(line)


def _done(value):
    future = Future()
    future.set_result(value)
    return future


class Service:
    """/v1 answers what `listen` hears; /deaf/v1 takes everything and hears nothing."""

    def __init__(self, listen):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                fields = parse_multipart(body, self.headers["Content-Type"])
                try:
                    deaf = self.path.startswith("/deaf/")
                    answer = '{"text":""}' if deaf else listen(fields["file"])
                    if fields.get("response_format", b"json") == b"json":
                        answer = json.dumps({"text": json.loads(answer)["text"]})
                    status = 200
                except Exception as error:
                    status, answer = 400, json.dumps({"error": {"message": repr(error)}})
                data = answer.encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        root = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.url, self.deaf_url = root + "/v1", root + "/deaf/v1"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
