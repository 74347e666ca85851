#!/usr/bin/env python3
"""What a request costs in instructions and allocations, counted with callgrind: what no noise of a machine can hide.

The gate's thread alone is counted, over `--requests` requests on 16 connections that were warm before. valgrind has no SHA
instructions, so the software's are counted apart. Build without LTO and with several codegen units for names of functions;
`make counts` does that. With `--keys` it counts what single keys of the configuration add instead: each is asked with and without.
"""

import argparse
import json
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

from servers import TOKEN, bare, gate, nginx

CONNECTIONS = 16
POLICY = "policy: { rules: rules.json, workers: enrolled, tenants: { org.bench: { risk: low } } }"
# They read three attributes of what a caller of the Hall sends, and forbid none of what is sent here.
POLICIES = """
forbid(principal, action, resource) when { context.request has amount && context.request.amount > 10000 };
forbid(principal, action, resource) when { context.request has currency && context.request.currency == "XXX" };
forbid(principal, action, resource) when { context.request has account.country && context.request.account.country == "XX" };
"""
ASKED = {
    "capability_id": "cap.data.read.v1", "worker_id": "wrk_bench", "env": "prod", "data_label": "INTERNAL", "tenant_id": "org.bench",
    "request": {"amount": 120, "currency": "EUR", "account": {"country": "DE", "iban": "DE00 0000 0000 0000"}, "note": "not read"},
}  # fmt: skip
# Each key, whether it is asked at the Hall, and what of the configuration is other without and with it.
KEYS = {
    "policy.shadow": (False, {}, {POLICY: POLICY[:-2] + ", shadow: { version: next } }"}),
    "policy.shadow, other rules": (False, {}, {POLICY: POLICY[:-2] + ", shadow: { rules: shadow.json } }"}),
    "ledger.request_attributes": (
        True,
        {POLICY: POLICY[:-2] + ", gate: gate.cedar }", "ledger: {": "ledger: { request_attributes: false,"},
        {POLICY: POLICY[:-2] + ", gate: gate.cedar }"},
    ),
}
ALLOCATING = re.compile(r"^mi_(malloc|zalloc|calloc|realloc|new)\w*$|^_?mi_heap_malloc")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=Path)
    parser.add_argument("bare", type=Path, nargs="?")
    parser.add_argument("--requests", type=int, default=640)
    parser.add_argument("--paths", nargs="+", default=["/a", "/denied/a"])
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--keys", action="store_true", help="count what single keys of the configuration add")
    parser.add_argument("--keep", type=Path, help="a folder for what callgrind wrote")
    parser.add_argument("--top", type=int, default=0, help="so many functions, by their own instructions")
    options = parser.parse_args()
    for tool in ["valgrind", "callgrind_control", "nginx"]:
        if not shutil.which(tool):
            raise SystemExit(f"missing: {tool}")
    with tempfile.TemporaryDirectory(prefix="hallgate-counts-") as name:
        folder = Path(name)
        upstream = nginx(folder)
        try:
            if options.bare:
                wrapped = wrapper(folder / "bare", options.bare)
                count("bare /a", lambda: bare(wrapped, upstream.port, listening), folder / "bare", "/a", options)
            for number, path in enumerate([] if options.keys else options.paths):
                own = folder / f"gate{number}"
                wrapped = wrapper(own, options.binary)
                count(f"gate {path}", lambda: gate(wrapped, own, upstream.port, ready=listening), own, path, options)
            for key, (at_hall, *both) in KEYS.items() if options.keys else ():
                compare(key, at_hall, both, folder / re.sub(r"\W+", "_", key), upstream, options)
        finally:
            upstream.stop()


def compare(key, at_hall, both, folder, upstream, options):
    """Counts the same requests without and with a key."""
    folder.mkdir()
    counted = []
    for word, other in zip(["without", "with"], both):
        own = folder / word
        wrapped = wrapper(own, options.binary)
        (own / "gate.cedar").write_text(POLICIES)
        shadow = {"rule_id": "rr_next", "match": {"capability_id": "cap.data.read.v1", "env": "dev"}, "decision": {}}
        (own / "shadow.json").write_text(json.dumps({"rules": [shadow]}))
        start = lambda: gate(wrapped, own, upstream.port, other, ready=listening)
        counted.append(count(f"{key}: {word}", start, own, None if at_hall else "/a", options))
    for where, without, with_it in zip(["its thread", "the ledger's writer"], *counted):
        print(f"{key}: {with_it - without:+,.0f} instructions a request without SHA on {where}, × {with_it / without:.3f}", flush=True)


def wrapper(folder, binary):
    """A program that runs another one under callgrind, which counts nothing yet."""
    folder.mkdir()
    script = folder / "run.sh"
    script.write_text(
        "#!/bin/sh\nexec valgrind --tool=callgrind --instr-atstart=no --separate-threads=yes --compress-strings=no "
        f"--callgrind-out-file={folder}/out.%p {binary.absolute()} \"$@\"\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


def listening(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as stream:
            stream.settimeout(5)
            stream.sendall(b"GET /a HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")
            return stream.recv(16).startswith(b"HTTP/1.1")
    except OSError:
        return False


class Load:
    """Connections that are kept, and requests on all of them at once."""

    def __init__(self, port, path, headers):
        line, body = (f"GET {path}", "") if path else ("POST /api/route", json.dumps(ASKED))
        if body:
            headers = [*headers, f"Authorization: Bearer {TOKEN}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        head = "".join(f"{header}\r\n" for header in headers)
        self.request = f"{line} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{head}\r\n{body}".encode()
        self.streams = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]

    def run(self, requests):
        each = requests // CONNECTIONS
        threads = [threading.Thread(target=self.one, args=(stream, each)) for stream in self.streams]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return each * CONNECTIONS

    def one(self, stream, times):
        for _ in range(times):
            stream.sendall(self.request)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += stream.recv(65536)
            head, _, body = answer.partition(b"\r\n\r\n")
            length = int(re.search(rb"content-length: *(\d+)", head, re.I)[1])
            while len(body) < length:
                body += stream.recv(65536)


def count(name, start, folder, path, options):
    """Counts requests for a path at the gate, or where there is none of decisions of the Hall."""
    process = start()
    try:
        load = Load(process.port if path else process.hall, path, options.header)
        load.run(320)
        control(process, "-i", "on")
        requests = load.run(options.requests)
        control(process, "-i", "off")
        control(process, "-d")
    finally:
        process.stop()
    by_thread = [read(file) for file in sorted(folder.glob("out.*")) if file.stat().st_size]
    proxies = lambda found: sum(cost for function, cost in found[0].items() if "pingora" in function)
    own, calls = max(by_thread, key=proxies)
    # What other threads do now and then is not counted with a request.
    writer = max((found[0] for found in by_thread), key=lambda own: sum(cost for name, cost in own.items() if "ledger::write" in name))
    total = sum(own.values())
    sha = sha_of(own)
    allocations = sum(number for function, number in calls.items() if ALLOCATING.match(function))
    everywhere = sum(sum(of.values()) for of, _ in by_thread)
    print(
        f"{name:16} {total / requests:9,.0f} instructions a request on its thread, {(total - sha) / requests:9,.0f} without SHA, "
        f"{everywhere / requests:9,.0f} on all; {allocations / requests:6.1f} allocations"
    )
    for function, cost in own.most_common(options.top):
        print(f"    {cost / requests:9,.0f} {function[:150]}")
    sys.stdout.flush()
    if options.keep:
        shutil.copytree(folder, options.keep / re.sub(r"\W+", "_", name), dirs_exist_ok=True)
    return (total - sha) / requests, (sum(writer.values()) - sha_of(writer)) / requests


def sha_of(own):
    return sum(cost for function, cost in own.items() if "sha2" in function.lower())


def control(process, *arguments):
    subprocess.run(["callgrind_control", *arguments, str(process.child.pid)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def read(file):
    """Own instructions by function, and how often each was called."""
    own, calls, function, called = Counter(), Counter(), "", None
    for line in file.read_text(errors="replace").splitlines():
        if line.startswith("fn="):
            function = line[3:]
        elif line.startswith("cfn="):
            called = line[4:]
        elif line.startswith("calls="):
            calls[called] += int(line[6:].split()[0])
            skip = True
            continue
        elif line and line[0] in "0123456789+-*":
            if called is None or not skip:
                own[function] += int(line.split()[1]) if len(line.split()) > 1 else 0
            called, skip = None, False
            continue
        skip = False
    return own, calls


if __name__ == "__main__":
    main()
