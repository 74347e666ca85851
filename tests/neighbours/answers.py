"""Answers in every way that Python's servers have: `asgi` for uvicorn, `wsgi` for gunicorn, and `answers.py HOST PORT` for the server of
its own library, which speaks HTTP/1.0. The last segment of the path says which; each answer names the request that it is for."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def answer(name, said):
    """Status, headers and the pieces of the body."""
    return {
        "length": (200, [("Content-Length", str(len(said)))], [said]),
        "pieces": (200, [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], [said, b"", b"the rest"]),
        "empty": (200, [("Content-Length", "0")], []),
        "nothing": (204, [], []),
        "reset": (205, [("Content-Length", "0")], []),
        "unmodified": (304, [("ETag", '"1"')], []),
        "big": (200, [(f"X-Big-{nth}", "b" * 1000) for nth in range(30)], [said * 1000] * 5),
        "close": (200, [("Connection", "close")], [said]),
        "failed": (503, [("Retry-After", "7"), ("Content-Length", str(len(said)))], [said]),
        "early": (413, [("Content-Length", str(len(said)))], [said]),
    }[name]


def name_of(path):
    return path.rsplit("/", 1)[1]


def words(method, path, query, length):
    target = f"{path}?{query}" if query else path
    return f"{method} {target}", f"{method} {target} with {length}".encode()


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    length, more = 0, name_of(scope["path"]) != "early"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    asked, said = words(scope["method"], scope["path"], scope["query_string"].decode(), length)
    status, headers, pieces = answer(name_of(scope["path"]), said)
    headers = [(name.lower().encode(), value.encode()) for name, value in [*headers, ("X-Asked", asked)]]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    for piece in pieces if scope["method"] != "HEAD" else []:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def wsgi(environ, start_response):
    method, path, length = environ["REQUEST_METHOD"], environ["PATH_INFO"], 0
    while name_of(path) != "early" and (piece := environ["wsgi.input"].read(65536)):
        length += len(piece)
    asked, said = words(method, path, environ["QUERY_STRING"], length)
    status, headers, pieces = answer(name_of(path), said)
    headers = [header for header in headers if header[0] != "Connection"]
    start_response(f"{status} Said", [*headers, ("X-Asked", asked)])
    return [] if method == "HEAD" else pieces


class Old(BaseHTTPRequestHandler):
    def say(self):
        path, _, query = self.path.partition("?")
        length = int(self.headers.get("Content-Length", 0))
        if name_of(path) != "early":
            length = len(self.rfile.read(length))
        asked, said = words(self.command, path, query, length)
        status, headers, pieces = answer(name_of(path), said)
        self.send_response(status)
        for name, value in [*headers, ("X-Asked", asked)]:
            self.send_header(name, value)
        self.end_headers()
        for piece in pieces if self.command != "HEAD" else []:
            self.wfile.write(piece)

    do_GET = do_HEAD = do_POST = do_PUT = do_OPTIONS = say

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Old).serve_forever()
