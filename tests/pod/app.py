"""An app that knows nothing of a gate: `app.py URL...` prints what each answers, and tries what might lead around it."""

import os
import socket
import sys
import urllib.error
import urllib.request

for url in sys.argv[1:]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            print(url, answer.status, answer.read().decode().strip())
    except urllib.error.HTTPError as refused:
        print(url, refused.code, refused.headers.get_content_type())
    except OSError as error:
        print(url, "unreachable", type(error).__name__)

try:
    os.setuid(28765)
    print("became the gate")
except PermissionError:
    print("cannot become the gate")

for family, address in ((socket.AF_INET, "10.77.0.4"), (socket.AF_INET6, "fd77::4")):
    with socket.socket(family, socket.SOCK_DGRAM) as datagrams:
        try:
            datagrams.sendto(b"out", (address, 9999))
            print("sent a datagram")
        except OSError as error:
            print("cannot send", type(error).__name__)
