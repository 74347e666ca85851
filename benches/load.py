"""The load of the benches, from core 1: as much as goes (wrk), or at a fixed rate (benches/pace.rs), and what it costs the servers."""

import json
import re
import subprocess
import sys

from servers import TOKEN

BODY_OF_ROUTE = {"capability_id": "cap.data.read.v1", "worker_id": "wrk_bench", "env": "prod", "data_label": "INTERNAL"}


def post_script(folder, body=None):
    """Has wrk ask the Hall for a decision."""
    script = folder / "route.lua"
    script.write_text(
        f"wrk.method='POST'; wrk.headers['Authorization']='Bearer {TOKEN}';"
        f"wrk.headers['Content-Type']='application/json'; wrk.body='{json.dumps(body or BODY_OF_ROUTE)}'"
    )
    return script


def wrk(port, path, seconds, connections, script=None, headers=()):
    """Requests a second, how many there were, and how many answers were no 2xx."""
    command = ["taskset", "-c", "1", "wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s"]
    command += ["-s", str(script)] if script else []
    command += [argument for header in headers for argument in ("-H", header)]
    out = subprocess.run([*command, f"http://127.0.0.1:{port}{path}"], check=True, stdout=subprocess.PIPE, text=True).stdout
    requests = int(re.search(r"(\d+) requests in", out)[1])
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    if "Socket errors" in out:
        print(f"  {out}", file=sys.stderr)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), requests, int(refused[1]) if refused else 0


def measure(process, port, path, options, script=None, denied=False, headers=(), service=None):
    """One round: the rate, and the CPU of each request, that of the service which the process asks included and apart."""
    took = lambda: (process.cpu(), service.cpu() if service else 0)
    before = took()
    rate, requests, refused = wrk(port, path, options.seconds, options.connections, script, headers)
    if refused != (requests if denied else 0):
        raise SystemExit(f"{process.name} {path}: {refused} of {requests} answers were no 2xx")
    own, asked = ((now - then) / requests * 1e6 for now, then in zip(took(), before))
    return {"rate": rate, "cpu_us": own + asked, "asked_us": asked, "requests": requests}


def pace(tool, process, port, path, rate, options, body=None, status=200, headers=()):
    """One round at a fixed rate on 16 connections: microseconds of an exchange, and the CPU of each request."""
    headers = [*headers, f"authorization: Bearer {TOKEN}", "content-type: application/json"] if body else headers
    command = ["taskset", "-c", "1", tool, f"127.0.0.1:{port}", path, str(rate), str(options.seconds), "--status", str(status)]
    command += ["--body", json.dumps(body)] if body else []
    before = process.cpu()
    out = subprocess.run([*command, *headers], check=True, stdout=subprocess.PIPE, text=True).stdout
    found = json.loads(out)
    return {**found, "cpu_us": (process.cpu() - before) / found["requests"] * 1e6}
