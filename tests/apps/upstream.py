"""What every test upstream of an app page does: it listens on a port of its own, tells it, tells each request that it got, and
answers nobody who does not hold its credential."""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CREDENTIAL = os.environ["CREDENTIAL"]
_telling = threading.Lock()


def tell(**what):
    """One line for the test that started this upstream."""
    with _telling:
        print(json.dumps(what), flush=True)


class Upstream(BaseHTTPRequestHandler):
    """HTTP/1.1 with keep-alive. A subclass answers in `answer`."""

    protocol_version = "HTTP/1.1"
    # Each write of a stream goes out at once.
    wbufsize = 0
    disable_nagle_algorithm = True

    def answer(self):
        raise NotImplementedError

    def holds_credential(self):
        return self.headers.get("authorization") == f"Bearer {CREDENTIAL}"

    def handle_one(self):
        length = int(self.headers.get("content-length") or 0)
        self.body = self.rfile.read(length)
        if self.headers.get("transfer-encoding") == "chunked":
            self.body = b"".join(iter(self._chunk, b""))
        tell(method=self.command, path=self.path, headers={name.lower(): value for name, value in self.headers.items()})
        if self.holds_credential():
            self.answer()
        else:
            self.say(401, {"error": {"message": "this upstream answers the gate only"}})

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one

    def _chunk(self):
        data = self.rfile.read(int(self.rfile.readline(), 16))
        self.rfile.readline()
        return data

    def say(self, status, body=None, headers=()):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if body is not None:
            self.send_header("content-type", "application/json")
        if status != 204:
            self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def stream(self, events):
        """Server-sent events: pairs of a name, or None, and what is sent as JSON or, when it is a text, as it is."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for name, data in events:
            event = (f"event: {name}\n" if name else "") + f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n"
            data = event.encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


def serve(handler):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    tell(listening=f"127.0.0.1:{server.server_address[1]}")
    # It ends with the test, which holds the other end of its standard input.
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
