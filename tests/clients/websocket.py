"""A WebSocket through the gate: text, bytes, something large, and a clean end from the client's side."""

import os

from websockets.sync.client import connect

url = os.environ["GATE"].replace("http://", "ws://") + "/orders/ws"
with connect(url, max_size=None) as socket:
    for message in ["hello", "é😀", b"\x00\xff", "x" * 300_000]:
        socket.send(message)
        assert socket.recv(timeout=30) == message, message[:20]
    for n in range(200):
        socket.send(str(n))
    assert [socket.recv(timeout=30) for _ in range(200)] == [str(n) for n in range(200)]
assert socket.close_code == 1000, socket.close_code
print("all seen")
