#!/usr/bin/env python3
"""What approvals take: the memory of callers that wait for a human, and how long a hold and a redemption take beside a forwarded request.

Memory is that of the whole process, with `--callers` connections that have each been answered once and idle; again when each has been told
at once that a human is asked, so that there are as many approvals, each with a body of its own; and again when each asks the same once more and
waits for it: over HTTP/1.1, over one HTTP/2 connection each, and over HTTP/2 with a hundred streams on each connection. With `--together`, each
opens the approval that it waits for. Times are of one connection, one request after the other, in turns.
"""

import argparse
import json
import socket
import statistics
import tempfile
import time
import urllib.request
from pathlib import Path

from servers import TOKEN, free_port, gate, nginx, rule

APPROVER = "hst_bench_approver_0123"
STREAMS = 100
# So many ask before it is looked whether they wait: each is written to a disk, and half of an HTTP/2 window may not be given back yet.
AT_ONCE = 25
# Whether a caller prefers to wait.
WAIT, NOT = "wait=3600", "wait=0"
ROW = "x" * 1000
# Header names and values that are written out, without a table or Huffman's code.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=Path)
    parser.add_argument("--callers", type=int, default=1000)
    parser.add_argument("--times", type=int, default=300, help="of each kind of request")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--together", action="store_true", help="each caller opens the approval that it waits for")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hallgate-approvals-") as name:
        folder = Path(name)
        upstream = nginx(folder)
        try:
            for kind, streams in [("HTTP/1.1", 0), ("HTTP/2, a connection each", 1), (f"HTTP/2, {STREAMS} on a connection", STREAMS)]:
                memory(options, started(options.binary, folder / f"memory{streams}", upstream.port), kind, streams)
            if options.times: times(options, started(options.binary, folder / "times", upstream.port))
        finally:
            upstream.stop()


def started(binary, folder, upstream):
    """A gate that holds what is written below /held/, and keeps its caller waiting as long as it prefers to."""
    folder.mkdir()
    held = rule("rr_hold", "cap.bench.hold", "wrk.bench.worker")
    held["decision"]["escalation"] = {"human_required_default": True, "rationale": "somebody looks at it"}
    rules = [rule("rr_read", "cap.data.read.v1", "wrk.bench.worker"), held]
    (folder / "held.json").write_text(json.dumps({"rules": rules}))
    worker = {"worker_id": "wrk_held", "worker_species_id": "wrk.bench.worker", "risk_tier": "low", "allowed_environments": ["prod"]}
    (folder / "own").mkdir()
    (folder / "own" / "wrk_held.json").write_text(json.dumps({**worker, "capabilities": ["cap.data.read.v1", "cap.bench.hold"]}))
    route = "    - { match: { path: /held/* }, capability: cap.bench.hold, data_label: INTERNAL, upstream: nginx, hold: { max_wait: 1h } }\n"
    h2c = free_port()
    most = "{ most: 100000, per_network: 100000, unknown: 100000 }"
    process = gate(binary, folder, upstream, {
        "identity: { mode: fixed, worker_id: wrk_bench, tenant_id: org.bench }":
            f"identity: {{ mode: fixed, worker_id: wrk_held, tenant_id: org.bench }}\n  listen_h2c: 127.0.0.1:{h2c}\n  connections: {most}",
        "  routes:\n": f"  routes:\n{route}",
        "tenant_id: org.bench } ]": f"tenant_id: org.bench }}, {{ name: bea, secret: {APPROVER}, scopes: [approve], owner: bea }} ]",
        "rules: rules.json, workers: enrolled": "rules: held.json, workers: own",
        "ledger: {": "approvals: { ttl: 12h, most: 10000, most_for_one: 10000, most_a_minute: 10000, unbound_headers: [prefer], "
        "waiting: { most: 10000, most_for_one: 10000 } }\nledger: {",
    })  # fmt: skip
    process.h2c = h2c
    return process


def decide(process, id):
    body = json.dumps({"pending_approval_id": id, "resolution": "approve"}).encode()
    headers = {"authorization": f"Bearer {APPROVER}", "content-type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{process.hall}/wcp/approvals/resolve", body, headers), timeout=30).read()


def gauge(process, name):
    """What a gauge says, such as how many callers are kept waiting."""
    asked = urllib.request.Request(f"http://127.0.0.1:{process.hall}/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    text = urllib.request.urlopen(asked, timeout=30).read().decode()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(name + " "))


def wait_for(process, name, asked):
    until = time.monotonic() + 60
    while gauge(process, name) != asked:
        if time.monotonic() > until:
            raise SystemExit(f"{name} is {gauge(process, name)} and not {asked}")
        time.sleep(0.05)


def memory(options, process, kind, streams):
    """What one caller that waits adds to the memory of the process."""
    try:
        if streams:
            callers = [Http2(process.h2c) for _ in range(max(1, options.callers // streams))]
            for caller in callers:
                for _ in range(streams):
                    caller.ask("GET", "/a")
                caller.answered(streams)
        else:
            callers = [Http1(process.port) for _ in range(options.callers)]
            for caller in callers:
                caller.ask("GET", "/a")
                caller.answer()
        time.sleep(2)
        rounds = [("hallgate_approvals_waiting", WAIT)] if options.together else [("hallgate_approvals_pending", NOT), ("hallgate_approvals_waiting", WAIT)]
        for name, prefer in rounds:
            before = process.memory()
            asked = 0
            for caller in callers:
                for _ in range(streams or 1):
                    caller.ask("POST", "/held/a", f"{asked:08}{ROW}", prefer)
                    asked += 1
                    if asked % AT_ONCE == 0:
                        wait_for(process, name, asked)
                if prefer is NOT:
                    caller.answered(streams) if streams else caller.answer()
            wait_for(process, name, asked)
            time.sleep(2)
            took = (process.memory() - before) * 1024 * 1024 / asked
            print(f"{kind}: {asked} {name[19:]}; each adds {took / 1024:.1f} KiB, a body of {len(ROW) + 8} bytes included ({before:.1f} MiB before)", flush=True)
    finally:
        process.stop()


def times(options, process):
    """Medians of each round: forwarded, held, held again, and forwarded because somebody has agreed."""
    try:
        caller = Http1(process.port)
        found = {"forwarded": [], "held": [], "joined": [], "redeemed": []}
        for round in range(options.rounds):
            took = {name: [] for name in found}
            for n in range(options.times // options.rounds):
                body = f"{round:04}{n:04}{ROW}"

                def asked(name, path):
                    began = time.perf_counter()
                    caller.ask("POST", path, body)
                    answer = caller.answer()
                    took[name].append((time.perf_counter() - began) * 1000)
                    return answer

                asked("forwarded", "/a")
                id = json.loads(asked("held", "/held/a"))["pending_approval_id"]
                asked("joined", "/held/a")
                decide(process, id)
                asked("redeemed", "/held/a")
            for name, of in took.items():
                found[name].append(statistics.median(of))
        for name, medians in found.items():
            spread = f"{min(medians):.2f} to {max(medians):.2f}"
            print(f"{name:10} p50 {statistics.median(medians):.2f} ms ({spread} in {options.rounds} rounds of {options.times // options.rounds})")
    finally:
        process.stop()


class Http1:
    """A connection that is kept."""

    def __init__(self, port):
        self.stream = socket.create_connection(("127.0.0.1", port))
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, method, path, body="", prefer=NOT):
        head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nPrefer: {prefer}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.stream.sendall(f"{head}{body}".encode())

    def answer(self):
        said = b""
        while b"\r\n\r\n" not in said:
            said += self.stream.recv(65536)
        head, _, body = said.partition(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        while len(body) < length:
            body += self.stream.recv(65536)
        return body


class Http2:
    """A connection with streams, as far as it is needed here: what is written fits into the first windows, and answers are only counted."""

    def __init__(self, port):
        self.stream = socket.create_connection(("127.0.0.1", port))
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream.sendall(PREFACE + frame(4, 0, 0, b"") + frame(8, 0, 0, (1 << 24).to_bytes(4)))
        self.next, self.read = 1, b""

    def ask(self, method, path, body="", prefer=NOT):
        fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "bench"), ("prefer", prefer)]
        fields += [("content-length", str(len(body)))] if body else []
        block = b"".join(b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode() for name, value in fields)
        self.stream.sendall(frame(1, 4 if body else 5, self.next, block) + (frame(0, 1, self.next, body.encode()) if body else b""))
        self.next += 2

    def answered(self, streams):
        """Reads until so many streams have ended."""
        while streams:
            while len(self.read) < 9 or len(self.read) < 9 + int.from_bytes(self.read[:3]):
                self.read += self.stream.recv(65536)
            length, kind, flags = int.from_bytes(self.read[:3]), self.read[3], self.read[4]
            self.read = self.read[9 + length :]
            if kind == 4 and not flags & 1:
                self.stream.sendall(frame(4, 1, 0, b""))
            streams -= kind in (0, 1) and flags & 1


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


if __name__ == "__main__":
    main()
