"""A name server: `names.py NAME=IPV4,IPV6...` answers A and AAAA questions over UDP, on both families."""

import socket
import struct
import sys

names = {}
for argument in sys.argv[1:]:
    name, addresses = argument.split("=")
    v4, v6 = addresses.split(",")
    names[name] = {1: socket.inet_pton(socket.AF_INET, v4), 28: socket.inet_pton(socket.AF_INET6, v6)}

server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
server.bind(("::", 53))
print("up", flush=True)
while True:
    question, peer = server.recvfrom(512)
    labels, at = [], 12
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode().lower())
        at += 1 + question[at]
    (kind,) = struct.unpack("!H", question[at + 1 : at + 3])
    known = names.get(".".join(labels))
    data = known and known.get(kind)
    answer = b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 5, len(data)) + data if data else b""
    flags = 0x8180 if known else 0x8183
    head = question[:2] + struct.pack("!HHHHH", flags, 1, 1 if data else 0, 0, 0)
    server.sendto(head + question[12 : at + 5] + answer, peer)
