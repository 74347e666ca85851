#!/usr/bin/env python3
"""What it costs the gate that people look on: CPU of a forwarded request with nobody, with ten feeds, and with ten consoles, in turns.

One program, on core 0; the load, the upstream and whoever looks on share core 1. `--against` is another build with nobody, in the same turns: what
the index costs that leads to decisions. Rounds are noisy: read the ratios, each to the round of the same turn with nobody, and their spread.
"""

import argparse
import http.client
import os
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from load import measure, pace, wrk
from servers import TOKEN, built, gate, nginx

FULL = "full load"
RATES = [6000, 2000]
# How often a page asks that is told nothing.
ASKS = 3


def sign_in(port):
    """Signs in to the console, as a browser does: its cookie."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    origin = {"origin": f"http://127.0.0.1:{port}", "content-type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/console/sign-in", f"token={TOKEN}&to=%2Fconsole%2F", origin)
    cookie = connection.getresponse().headers["set-cookie"].split(";")[0]
    connection.close()
    return cookie


def looks_on(port, path, header, over, told):
    """Takes what a feed says until it is over."""
    with socket.create_connection(("127.0.0.1", port)) as stream:
        stream.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{header}\r\n\r\n".encode())
        stream.settimeout(0.2)
        while not over.is_set():
            try:
                told.append(stream.recv(1 << 16).count(b"event: "))
            except TimeoutError:
                pass


def asks(port, cookie, over, told):
    """Asks for the page as its script does where nothing is told."""
    while not over.is_set():
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/console/decisions", headers={"cookie": cookie})
        told.append(connection.getresponse().read().count(b"<tr data-id"))
        connection.close()
        over.wait(ASKS)


@contextmanager
def viewers(kind, count, port, told):
    """So many who look on."""
    over = threading.Event()
    of = {
        "feeds": lambda: threading.Thread(target=looks_on, args=(port, "/api/decisions/feed", f"authorization: Bearer {TOKEN}", over, told)),
        "consoles": lambda: threading.Thread(target=looks_on, args=(port, "/console/decisions/feed?", f"cookie: {sign_in(port)}", over, told)),
        "consoles that ask": lambda: threading.Thread(target=asks, args=(port, sign_in(port), over, told)),
    }
    threads = [of[kind]() for _ in range(count if kind in of else 0)]
    for thread in threads:
        thread.start()
    time.sleep(0.2 if threads else 0)
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--viewers", type=int, default=10)
    parser.add_argument("--against", type=Path, help="another build of hallgate, with nobody, in the same turns")
    parser.add_argument("--binaries", nargs=2, metavar=("HALLGATE", "PACE"), help="what is measured, instead of building it")
    options = parser.parse_args()
    for tool in ["wrk", "nginx", "taskset"]:
        if not shutil.which(tool):
            raise SystemExit(f"missing: {tool}; `make bench` installs it")
    binary, pacer = options.binaries or built("pace")
    os.sched_setaffinity(0, {1})
    with tempfile.TemporaryDirectory(prefix="hallgate-bench-") as name:
        folder = Path(name)
        upstream = nginx(folder)
        processes = {}
        for name, program in {"ours": binary, "against": options.against}.items():
            if program:
                (folder / name).mkdir()
                processes[name] = gate(program, folder / name, upstream.port, {"  tokens: [": "  console: true\n  tokens: ["})
        turns = ["nobody", "nobody again", "feeds", "consoles", "consoles that ask", *(["against, nobody"] if options.against else [])]
        found, told = {}, {}
        try:
            for process in processes.values():
                wrk(process.port, "/a", 1, options.connections)
            for nth in range(options.rounds):
                for load in (FULL, *RATES):
                    for turn in turns[nth % len(turns) :] + turns[: nth % len(turns)]:
                        process = processes["against" if turn.startswith("against") else "ours"]
                        with viewers(turn, options.viewers, process.hall, told.setdefault(turn, [])):
                            before, began = process.threads(), time.monotonic()
                            if load == FULL:
                                took = measure(process, process.port, "/a", options)
                            else:
                                took = pace(pacer, process, process.port, "/a", load, options)
                            seconds, after = time.monotonic() - began, process.threads()
                        took["threads"] = {
                            name: (cpu - before.get(name, (0, 0))[0]) / seconds * 1000 for name, (cpu, _) in after.items()
                        }
                        found.setdefault((turn, load), []).append(took)
                print(".", end="", file=sys.stderr, flush=True)
            memory = {name: process.memory() for name, process in processes.items()}
        finally:
            print(file=sys.stderr)
            for process in (*processes.values(), upstream):
                process.stop()
    print(f"medians of {options.rounds} rounds of {options.seconds} s, {options.viewers} viewers")
    print(f"{'':20} {'load':>10} {'CPU µs':>8} {'/ nobody':>22} {'p50 µs':>8} {'p99 µs':>8}")
    for load in (FULL, *RATES):
        for turn in turns:
            runs, base = found[turn, load], found["nobody", load]
            ratios = sorted(run["cpu_us"] / of["cpu_us"] for run, of in zip(runs, base))
            spread = f"{statistics.median(ratios):.3f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            times = [statistics.median(run[key] for run in runs) if load != FULL else 0 for key in ("p50", "p99")]
            cpu = statistics.median(run["cpu_us"] for run in runs)
            print(f"{turn:20} {f'{load}/s' if load != FULL else load:>10} {cpu:8.1f} {spread:>22} {times[0]:8.0f} {times[1]:8.0f}")
    print("\nms of CPU a second, by thread, at " + f"{RATES[-1]}/s")
    for turn in turns:
        runs = found[turn, RATES[-1]]
        by_name = {name: statistics.median(run["threads"].get(name, 0) for run in runs) for name in runs[0]["threads"]}
        print(f"{turn:20} " + ", ".join(f"{name} {cpu:.1f}" for name, cpu in sorted(by_name.items(), key=lambda one: -one[1]) if cpu >= 0.5))
    print("told: " + ", ".join(f"{turn} {sum(events)}" for turn, events in told.items() if events))
    print("resident MiB: " + ", ".join(f"{name} {size:.1f}" for name, size in memory.items()))


if __name__ == "__main__":
    main()
