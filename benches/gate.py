#!/usr/bin/env python3
"""What the gate costs beside a bare pingora proxy: paired, alternating rounds on one core each, medians of the ratios.

The proxy under test has core 0; the load (wrk) and the upstream (nginx, 232-byte answers) share core 1. Shared machines are
noisy: read the ratios. `benches/gate.py --help` for options; `make bench` installs what it needs and runs it.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import urllib.request
from pathlib import Path

from load import measure, pace, post_script, wrk
from servers import bare as bare_pingora
from servers import built, gate, nginx


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    for tool in ["wrk", "nginx", "taskset"]:
        if not shutil.which(tool):
            raise SystemExit(f"missing: {tool}; `make bench` installs it")
    binary, bare_binary, pacer = built("bare_pingora", "pace")
    rounds = {name: [] for name in ["forward", "bare", "denied", "route", "p50 gate", "p50 bare"]}
    with tempfile.TemporaryDirectory(prefix="hallgate-bench-") as name:
        folder = Path(name)
        upstream = nginx(folder)
        bare = bare_pingora(bare_binary, upstream.port)
        ours = gate(binary, folder, upstream.port)
        post = post_script(folder)
        idle = {"gate": ours.memory(), "bare": bare.memory()}
        try:
            for process in (bare, ours):
                wrk(process.port, "/a", 1, options.connections)
            for _ in range(options.rounds):
                rounds["bare"].append(measure(bare, bare.port, "/a", options))
                rounds["forward"].append(measure(ours, ours.port, "/a", options))
                rounds["denied"].append(measure(ours, ours.port, "/denied/a", options, denied=True))
                rounds["route"].append(measure(ours, ours.hall, "/api/route", options, script=post))
                rounds["p50 bare"].append(pace(pacer, bare.port, options)["p50"])
                rounds["p50 gate"].append(pace(pacer, ours.port, options)["p50"])
                print(".", end="", file=sys.stderr, flush=True)
            with urllib.request.urlopen(f"http://127.0.0.1:{ours.hall}/readyz") as answer:
                entries = json.load(answer)["ledger"]["entries"]
            after = {"gate": ours.memory(), "bare": bare.memory()}
            size = sum(file.stat().st_size for file in (folder / "ledger").rglob("*") if file.is_file())
        finally:
            print(file=sys.stderr)
            for process in (ours, bare, upstream):
                process.stop()
    report(rounds, idle, after, entries, size, options)


def report(rounds, idle, after, entries, size, options):
    median = statistics.median
    pairs = lambda a, b, key: median(x[key] / y[key] for x, y in zip(rounds[a], rounds[b]))
    of = lambda name, key: median(x[key] for x in rounds[name])
    added = median((a - b) / 1000 for a, b in zip(rounds["p50 gate"], rounds["p50 bare"]))
    figures = [
        ("CPU µs a forwarded request", of("forward", "cpu_us"), of("bare", "cpu_us"), pairs("forward", "bare", "cpu_us"), "<= 1.20"),
        ("forwarded requests a second", of("forward", "rate"), of("bare", "rate"), pairs("forward", "bare", "rate"), ">= 0.83"),
        ("CPU µs a denied request", of("denied", "cpu_us"), of("bare", "cpu_us"), pairs("denied", "bare", "cpu_us"), "<= 0.40"),
        ("p50 ms added at 2,000 a second", median(rounds["p50 gate"]) / 1000, median(rounds["p50 bare"]) / 1000, added, "<= 0.15"),
        ("/api/route decisions a second", of("route", "rate"), None, None, "-"),
        ("CPU µs a /api/route decision", of("route", "cpu_us"), None, None, "-"),
        ("resident MiB, idle", idle["gate"], idle["bare"], idle["gate"] / idle["bare"], "<= 20 MiB"),
        (f"resident MiB after {entries:,} entries", after["gate"], after["bare"], after["gate"] / after["bare"], "<= 50 MiB"),
        ("ledger bytes an entry", size / max(entries, 1), None, None, "-"),
    ]
    show = lambda value: "-" if value is None else f"{value:,.2f}"
    print(f"medians of {options.rounds} rounds of {options.seconds} s, {options.connections} connections, one core each")
    print(f"{'figure':40} {'gate':>12} {'bare pingora':>13} {'ratio':>8}  target")
    for name, ours, base, ratio, target in figures:
        print(f"{name:40} {show(ours):>12} {show(base):>13} {show(ratio):>8}  {target}")
    if options.json:
        keys = ["figure", "gate", "bare", "ratio", "target"]
        options.json.write_text(json.dumps([dict(zip(keys, row)) for row in figures], indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
