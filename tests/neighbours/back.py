"""Says which request it got once it has it whole, and notes it in the file SEEN: `asgi` for uvicorn, `wsgi` for gunicorn."""

import os


def note(method, path):
    line = f"{method} {path}"
    with open(os.environ["SEEN"], "a") as seen:
        seen.write(line + "\n")
    return line.encode()


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message.get("more_body", False)
    said = note(scope["method"], scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(said)).encode())]})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else said})


def wsgi(environ, start_response):
    while environ["wsgi.input"].read(65536):
        pass
    said = note(environ["REQUEST_METHOD"], environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", str(len(said)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [said]
