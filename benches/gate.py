#!/usr/bin/env python3
"""What the gate costs beside a bare pingora proxy: paired, alternating rounds on one core each, medians of the ratios.

The proxy under test has core 0; the load (wrk) and the upstream (nginx, 232-byte answers) share core 1. Shared machines are
noisy: read the ratios. `benches/gate.py --help` for options; `make bench` installs what it needs and runs it.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "hst_bench_0123456789abcdef"
TICKS = os.sysconf("SC_CLK_TCK")
BODY = "x" * 232
BODY_OF_ROUTE = {"capability_id": "cap.data.read.v1", "worker_id": "wrk_bench", "env": "prod", "data_label": "INTERNAL"}


def built():
    """Builds what is measured, in one go so that all of it is built alike, and says where it is."""
    targets = ["--bin", "hallgate", "--bench", "bare_pingora", "--bench", "pace"]
    command = ["cargo", "build", "--release", "--locked", "--message-format=json", *targets]
    out = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = [json.loads(line) for line in out.splitlines()]
    made = {m["target"]["name"]: m["executable"] for m in found if m.get("executable")}
    return made["hallgate"], made["bare_pingora"], made["pace"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A server on one core, with what /proc says about it."""

    def __init__(self, name, core, command, port, env=None):
        self.name, self.port = name, port
        self.child = subprocess.Popen(
            ["taskset", "-c", str(core), *map(str, command)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self.child.poll() is not None:
                    raise SystemExit(f"{name} does not listen on {port}")
                time.sleep(0.02)

    def cpu(self):
        """CPU seconds so far, user and kernel, all threads."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self):
        """Resident MiB."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()


def nginx(folder):
    port = free_port()
    conf = folder / "nginx.conf"
    conf.write_text(
        f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log /dev/null;"
        "events { worker_connections 4096; }"
        f"http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 1h; client_body_temp_path {folder}/b;"
        f"proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;"
        f"server {{ listen 127.0.0.1:{port} backlog=4096;"
        f"location / {{ default_type text/plain; return 200 '{BODY}'; }} }} }}"
    )
    return Process("nginx", 1, ["nginx", "-c", conf, "-p", folder], port)


def gate(binary, folder, upstream, other=None):
    port, hall = free_port(), free_port()
    rules = [
        rule("rr_read", "cap.data.read.v1", "wrk.bench.worker"),
        *(rule(f"rr_{n}", f"cap.bench.n{n}", "wrk.bench.worker") for n in range(199)),
    ]
    (folder / "enrolled").mkdir()
    (folder / "rules.json").write_text(json.dumps({"rules": rules}))
    worker = {
        "worker_id": "wrk_bench",
        "worker_species_id": "wrk.bench.worker",
        "capabilities": ["cap.data.read.v1"],
        "risk_tier": "low",
        "owner": "org.bench",
        "currently_implements": [],
        "allowed_environments": ["dev", "stage", "prod", "edge"],
    }
    (folder / "enrolled" / "wrk_bench.json").write_text(json.dumps(worker))
    written = f"""
gate:
  listen: 127.0.0.1:{port}
  env: prod
  identity: {{ mode: fixed, worker_id: wrk_bench, tenant_id: org.bench }}
  upstreams: {{ nginx: {{ url: "http://127.0.0.1:{upstream}" }} }}
  routes:
    - {{ match: {{ path: /denied/* }}, capability: cap.data.write.v1, data_label: INTERNAL, upstream: nginx }}
    - {{ match: {{ path: /* }}, capability: cap.data.read.v1, data_label: INTERNAL, upstream: nginx }}
hall:
  listen: 127.0.0.1:{hall}
  tokens: [ {{ name: bench, secret: {TOKEN}, scopes: [route], tenant_id: org.bench }} ]
policy: {{ rules: rules.json, workers: enrolled, tenants: {{ org.bench: {{ risk: low }} }} }}
ledger: {{ path: ledger, key_file: hallgate.key }}
telemetry: {{ level: warn }}
"""
    for was, now in (other or {}).items():
        written = written.replace(was, now)
    (folder / "hallgate.yaml").write_text(written)
    process = Process("hallgate", 0, [binary, "serve", "--config", folder / "hallgate.yaml"], port)
    process.hall = hall
    return process


def post_script(folder):
    """Has wrk ask the Hall for a decision."""
    script = folder / "route.lua"
    script.write_text(
        f"wrk.method='POST'; wrk.headers['Authorization']='Bearer {TOKEN}';"
        f"wrk.headers['Content-Type']='application/json'; wrk.body='{json.dumps(BODY_OF_ROUTE)}'"
    )
    return script


def rule(name, capability, species):
    return {
        "rule_id": name,
        "match": {"capability_id": capability},
        "decision": {
            "candidate_workers_ranked": [{"worker_species_id": species}],
            "required_controls_suggested": [],
            "escalation": {},
            "preconditions": {},
        },
    }


def wrk(port, path, seconds, connections, script=None):
    """Requests a second, and how many there were."""
    command = ["taskset", "-c", "1", "wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s"]
    command += ["-s", str(script)] if script else []
    out = subprocess.run([*command, f"http://127.0.0.1:{port}{path}"], check=True, stdout=subprocess.PIPE, text=True).stdout
    requests = int(re.search(r"(\d+) requests in", out)[1])
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    if "Socket errors" in out:
        print(f"  {out}", file=sys.stderr)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), requests, int(refused[1]) if refused else 0


def measure(process, port, path, options, script=None, denied=False):
    before = process.cpu()
    rate, requests, refused = wrk(port, path, options.seconds, options.connections, script)
    if refused != (requests if denied else 0):
        raise SystemExit(f"{process.name} {path}: {refused} of {requests} answers were no 2xx")
    return {"rate": rate, "cpu_us": (process.cpu() - before) / requests * 1e6}


def pace(tool, port, options):
    command = ["taskset", "-c", "1", tool, f"127.0.0.1:{port}", "/a", "2000", str(options.seconds)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)["p50"]


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
    binary, bare_binary, pacer = built()
    rounds = {name: [] for name in ["forward", "bare", "denied", "route", "p50 gate", "p50 bare"]}
    with tempfile.TemporaryDirectory(prefix="hallgate-bench-") as name:
        folder = Path(name)
        upstream = nginx(folder)
        port = free_port()
        bare = Process("bare pingora", 0, [bare_binary, f"127.0.0.1:{port}", f"127.0.0.1:{upstream.port}"], port)
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
                rounds["p50 bare"].append(pace(pacer, bare.port, options))
                rounds["p50 gate"].append(pace(pacer, ours.port, options))
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
