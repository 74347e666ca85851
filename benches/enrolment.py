#!/usr/bin/env python3
"""Enrolments a second while the gate decides at full load, and that no other verdict changes meanwhile.

hallgate has core 0; the load (wrk), the upstream (nginx) and those who enroll share core 1. Every answer of the gate must be a 200:
the worker behind it is another than those that are enrolled.
"""

import argparse
import hashlib
import http.client
import json
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import servers


def record(at):
    """A registry record with its own hash, as the reference computes it."""
    written = {
        "worker_id": f"org.bench.enrolled-{at}",
        "worker_species_id": "wrk.bench.other",
        "capabilities": ["cap.bench.n1"],
        "risk_tier": "low",
        "owner": "org.bench",
        "currently_implements": [],
        "allowed_environments": ["dev"],
    }
    canonical = json.dumps(written, sort_keys=True, separators=(",", ":"))
    return json.dumps({**written, "artifact_hash": "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()})


def enroll(port, records, failed):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {servers.TOKEN}", "Content-Type": "application/json"}
    for written in records:
        connection.request("POST", "/enroll", written, headers)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != 201:
            failed.append(said)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=4000)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--binary", type=Path, help="measure this one instead of building one")
    options = parser.parse_args()
    binary = options.binary or servers.built()[0]
    os.sched_setaffinity(0, {1})
    with tempfile.TemporaryDirectory(prefix="hallgate-bench-") as name:
        folder = Path(name)
        upstream = servers.nginx(folder)
        more = {"scopes: [route, read], tenant_id: org.bench": "scopes: [route, enroll]", "policy: { ": "policy: { store: registry.db, "}
        process = servers.gate(binary, folder, upstream.port, more)
        load = ["taskset", "-c", "1", "wrk", "-t", "1", "-c", "64", "-d", "600s", f"http://127.0.0.1:{process.port}/a"]
        for under in (False, True):
            flood = subprocess.Popen(load, stdout=subprocess.PIPE, text=True) if under else None
            first, failed = options.workers * under, []
            written = [record(first + at) for at in range(options.workers)]
            shares = [written[at :: options.callers] for at in range(options.callers)]
            threads = [threading.Thread(target=enroll, args=(process.hall, share, failed)) for share in shares]
            began = time.monotonic()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            took = time.monotonic() - began
            if failed:
                raise SystemExit(f"{len(failed)} were not enrolled, such as: {failed[0][:300]}")
            print(f"{options.workers / took:,.0f} enrolments a second, {'under load' if under else 'alone'}", flush=True)
            if flood:
                flood.send_signal(2)
                said = flood.communicate()[0]
                if "Non-2xx" in said:
                    raise SystemExit(said)
                print(said.strip())
        process.stop()
        upstream.stop()


if __name__ == "__main__":
    main()
