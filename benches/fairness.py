#!/usr/bin/env python3
"""Whether a flood at one door starves the other: a quiet caller's latency at each door, alone and while the other is flooded.

hallgate has core 0 with the threads of both doors and the ledger's writer; the flood (wrk), the quiet caller and the upstream (nginx)
share core 1. Read how the figures change, not the figures: shared machines are noisy.
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import servers
from load import BODY_OF_ROUTE, post_script


def quiet(port, method, path, body, headers, seconds, every=0.02):
    """Milliseconds of each exchange of a caller that sends fifty requests a second; all must be 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    took, due, end = [], time.monotonic(), time.monotonic() + seconds
    while due < end:
        time.sleep(max(0, due - time.monotonic()))
        began = time.monotonic()
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {said[:200]}")
        took.append((time.monotonic() - began) * 1000)
        due = max(due + every, time.monotonic())
    return took


def flood(port, path, connections, script=None):
    command = ["taskset", "-c", "1", "wrk", "-t", "1", "-c", str(connections), "-d", "60s"]
    command += ["-s", str(script)] if script else []
    return subprocess.Popen([*command, f"http://127.0.0.1:{port}{path}"], stdout=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--binary", type=Path, help="measure this one instead of building one")
    options = parser.parse_args()
    binary = options.binary or servers.built()[0]
    os.sched_setaffinity(0, {1})
    with tempfile.TemporaryDirectory(prefix="hallgate-bench-") as name:
        folder = Path(name)
        upstream = servers.nginx(folder)
        ours = servers.gate(binary, folder, upstream.port)
        post = post_script(folder)
        token = {"Authorization": f"Bearer {servers.TOKEN}", "Content-Type": "application/json"}
        doors = {
            "gate": ((ours.port, "GET", "/a", None, {}), (ours.port, "/a")),
            "Hall": ((ours.hall, "POST", "/api/route", json.dumps(BODY_OF_ROUTE), token), (ours.hall, "/api/route")),
        }
        try:
            for door, other in (("gate", "Hall"), ("Hall", "gate")):
                alone = quiet(*doors[door][0], options.seconds)
                script = post if other == "Hall" else None
                before, began = servers.entries(ours), time.monotonic()
                attack = flood(*doors[other][1], options.connections, script)
                try:
                    time.sleep(1)
                    beside = quiet(*doors[door][0], options.seconds)
                    rate = (servers.entries(ours) - before) / (time.monotonic() - began)
                finally:
                    attack.terminate()
                    attack.wait()
                show = lambda took: f"p50 {statistics.median(took):7.2f} ms  p99 {statistics.quantiles(took, n=100)[98]:7.2f} ms"
                print(f"{door}, alone:                        {show(alone)}  ({len(alone)} requests)")
                print(f"{door}, while the {other} is flooded:     {show(beside)}  ({len(beside)} requests; {rate:,.0f} entries a second)")
        finally:
            for process in (ours, upstream):
                process.stop()


if __name__ == "__main__":
    sys.exit(main())
