"""What the tests of the examples share: the paths that meson hands over, a recogniser to start,
a form to send, and a scripted speech service."""

import contextlib
import glob
import http.client
import http.server
import json
import os
import queue
import subprocess
import threading
import uuid
import wave

EXAMPLES = os.environ["EXAMPLES_BUILD_DIR"]
SOURCES = os.environ["EXAMPLES_SOURCE_DIR"]
LIBRIVOX = "/usr/share/pocketsphinx/test/data/librivox"
SENTENCES = sorted(glob.glob(LIBRIVOX + "/*.wav"))
RECOGNIZER = os.path.join(EXAMPLES, "local-recognizer", "local-recognizer")
TIMEOUT = 120


def read(path):
    with open(path, "rb") as file:
        return file.read()


def wav(samples, rate=16000, channels=1, width=2):
    import io

    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples)
    return out.getvalue()


def join_sentences(path, count=len(SENTENCES)):
    """One WAV file of the first sentences."""
    pcm = b""
    for name in SENTENCES[:count]:
        with wave.open(name) as file:
            pcm += file.readframes(file.getnframes())
    with open(path, "wb") as file:
        file.write(wav(pcm))
    return path


def form(fields):
    """multipart/form-data of (name, value) and (name, value, file name)."""
    boundary = uuid.uuid4().hex
    body = b""
    for name, value, *filename in fields:
        extra = f'; filename="{filename[0]}"' if filename else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'
        body += head.encode() + (value if isinstance(value, bytes) else value.encode()) + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


class Recognizer:
    """A running local-recognizer."""

    def __init__(self, *options):
        self.process = subprocess.Popen(
            [RECOGNIZER, "--port", "0", "--exit-with-parent", *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), self.url
        self.port = int(self.url.split(":")[2].split("/")[0])

    def request(self, method, path, body=None, headers=None, **options):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {}, **options)
            response = connection.getresponse()
            return response.status, response.read()

    def transcribe(self, audio, *fields, model="any"):
        body, headers = form(
            [("file", audio, "a.wav"), ("model", model), *fields]
        )
        return self.request("POST", "/v1/audio/transcriptions", body, headers)

    def stop(self):
        self.process.terminate()
        self.process.wait(TIMEOUT)
        self.process.stdout.close()


class FakeService:
    """Answers the n-th request with answer(n) -> (status, body) after `delay` seconds."""

    def __init__(self, answer=None, delay=0.0):
        self.requests = queue.Queue()
        self.closing = threading.Event()
        service = self
        lock = threading.Lock()
        count = iter(range(1 << 30))

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                with lock:
                    number = next(count)
                self.rfile.read(int(self.headers["Content-Length"]))
                service.requests.put((self.path, dict(self.headers)))
                service.closing.wait(delay)
                status, text = (answer or default_answer)(number)
                data = text.encode()
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def default_answer(number):
    return 200, json.dumps({"text": f"piece {number}"})


def error_answer(status, message):
    error = {"message": message, "type": "invalid_request_error", "param": "file", "code": None}
    return status, json.dumps({"error": error})
