#!/usr/bin/env python3
"""What the gate costs beside a bare pingora proxy: paired, alternating rounds on one core each, medians of the ratios and their spread.

The proxy under test has core 0; the load and the upstream (nginx, 232-byte answers) share core 1. Shared machines are noisy: read the
ratios, and hold them against the row `again`, which is the same program a second time. `benches/gate.py --help` for options; `make bench`
installs what it needs and runs it. What no noise can hide, instructions and allocations, is counted by `make counts`.
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from load import BODY_OF_ROUTE, measure, pace, post_script, wrk
from servers import bare as bare_pingora
from servers import built, entries, gate, nginx

FULL = "full load"
RATES = [6000, 2000]
KINDS = {"forward": ("/a", 200), "denied": ("/denied/a", 403), "route": ("/api/route", 200)}


class Subject:
    """A program that is measured, and what was found in each round, by what it was asked and how fast."""

    def __init__(self, name, process, kinds):
        self.name, self.process, self.kinds = name, process, kinds
        self.found = {}

    def round(self, load, pacer, post, options):
        for kind in self.kinds:
            path, status = KINDS[kind]
            port = self.process.hall if kind == "route" else self.process.port
            before = self.process.threads()
            if load == FULL:
                script = post if kind == "route" else None
                found = measure(self.process, port, path, options, script=script, denied=status == 403)
            else:
                body = BODY_OF_ROUTE if kind == "route" else None
                found = pace(pacer, self.process, port, path, load, options, body=body, status=status)
            threads = {
                name: [(now - then) / found["requests"] for now, then in zip(after, before.get(name, (0, 0)))]
                for name, after in self.process.threads().items()
            }
            self.found.setdefault((kind, load), []).append({**found, "threads": threads})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--against", type=Path, help="another build of hallgate, measured in the same rounds instead of this one again")
    parser.add_argument("--binaries", nargs=3, metavar=("HALLGATE", "BARE", "PACE"), help="what is measured, instead of building it")
    parser.add_argument("--calls", action="store_true", help="count system calls, too (needs strace)")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    for tool in ["wrk", "nginx", "taskset", *(["strace"] if options.calls else [])]:
        if not shutil.which(tool):
            raise SystemExit(f"missing: {tool}; `make bench` installs it")
    binary, bare_binary, pacer = options.binaries or built("bare_pingora", "pace")
    with tempfile.TemporaryDirectory(prefix="hallgate-bench-") as name:
        folder = Path(name)
        upstream = nginx(folder)
        started = []

        def start(name, binary, **more):
            own = folder / name
            own.mkdir()
            started.append(gate(binary, own, upstream.port, **more))
            return Subject(name, started[-1], list(KINDS))

        bare = bare_pingora(bare_binary, upstream.port)
        subjects = [Subject("bare", bare, ["forward"]), start("gate", binary)]
        subjects.append(start("again" if options.against is None else "against", options.against or binary))
        subjects.append(start("logged", binary, other={"level: warn": "level: info"}))
        ours = subjects[1].process
        post = post_script(folder)
        idle = {"gate": ours.memory(), "bare": bare.memory()}
        try:
            for subject in subjects:
                wrk(subject.process.port, "/a", 1, options.connections)
            for nth in range(options.rounds):
                for load in (FULL, *RATES):
                    # Each round begins with another, so that nobody always follows the same one.
                    for subject in subjects[nth % len(subjects) :] + subjects[: nth % len(subjects)]:
                        subject.round(load, pacer, post, options)
                print(".", end="", file=sys.stderr, flush=True)
            calls = {subject.name: counted_calls(subject, options) for subject in subjects[:2]} if options.calls else {}
            held = entries(ours)
            after = {"gate": ours.memory(), "bare": bare.memory()}
            size = sum(file.stat().st_size for file in (folder / "gate/ledger").rglob("*") if file.is_file())
        finally:
            print(file=sys.stderr)
            for process in (*started, bare, upstream):
                process.stop()
    report(subjects, idle, after, held, size, calls, options)


def counted_calls(subject, options):
    """System calls of each forwarded request at full load, by name."""
    with tempfile.NamedTemporaryFile("r") as out:
        pid = subject.process.child.pid
        trace = subprocess.Popen(["strace", "-f", "-c", "-p", str(pid), "-o", out.name], stderr=subprocess.DEVNULL)
        _, requests, _ = wrk(subject.process.port, "/a", 2, options.connections)
        trace.terminate()
        trace.wait(10)
        rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", out.read(), re.MULTILINE)
    return {name: int(calls) / requests for calls, name in rows if name != "total"}


def report(subjects, idle, after, held, size, calls, options):
    median = statistics.median
    bare = subjects[0].found
    print(f"medians of {options.rounds} rounds of {options.seconds} s; {options.connections} connections at full load, 16 at a rate; one core each")
    print(f"{'':24} {'load':>10} {'CPU µs':>8} {'/ bare forward':>22} {'a second':>10} {'/ bare':>7} {'p50 µs':>8} {'p99 µs':>8}")
    rows = []
    for load in (FULL, *RATES):
        for subject in subjects:
            for kind in subject.kinds:
                runs, base = subject.found[kind, load], bare["forward", load]
                ratios = sorted(run["cpu_us"] / of["cpu_us"] for run, of in zip(runs, base))
                row = {
                    "of": f"{subject.name} {kind}",
                    "load": load if load == FULL else f"{load}/s",
                    "cpu_us": median(run["cpu_us"] for run in runs),
                    "over_bare": median(ratios),
                    "from": ratios[0],
                    "to": ratios[-1],
                }
                if load == FULL:
                    row["rate"] = median(run["rate"] for run in runs)
                    row["rate_over_bare"] = median(run["rate"] / of["rate"] for run, of in zip(runs, base))
                else:
                    row |= {key: median(run[key] for run in runs) for key in ("p50", "p99")}
                row["threads"] = {
                    name: [median(run["threads"].get(name, (0, 0))[at] for run in runs) for at in (0, 1)] for name in runs[0]["threads"]
                }
                rows.append(row)
                spread = f"{row['over_bare']:.2f} ({row['from']:.2f} to {row['to']:.2f})"
                show = lambda key, digits=0: f"{row[key]:,.{digits}f}" if key in row else "–"
                print(
                    f"{row['of']:24} {row['load']:>10} {row['cpu_us']:8.1f} {spread:>22} {show('rate'):>10} "
                    f"{show('rate_over_bare', 2):>7} {show('p50'):>8} {show('p99'):>8}"
                )
    print("\nCPU µs and switches a request, by thread")
    for row in rows:
        busy = {name: of for name, of in row["threads"].items() if of[0] * 1e6 >= 0.5}
        if not row["of"].startswith(("again", "against")):
            print(f"{row['of']:24} {row['load']:>10} " + ", ".join(f"{n} {cpu * 1e6:.1f} ({s:.2f})" for n, (cpu, s) in busy.items()))
    for name, by_name in calls.items():
        most = sorted(by_name.items(), key=lambda call: -call[1])
        print(f"\nsystem calls a forwarded request, {name}: " + ", ".join(f"{call} {n:.2f}" for call, n in most if n >= 0.005))
    print(f"\nresident MiB: idle {idle['gate']:.1f}, bare {idle['bare']:.1f}; after {held:,} entries {after['gate']:.1f}, bare {after['bare']:.1f}")
    print(f"ledger bytes an entry: {size / max(held, 1):.0f}")
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "calls": calls, "idle": idle, "after": after}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
