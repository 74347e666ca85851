"""What the benches start and ask: builds what is measured, writes its configuration, runs it on one core, and reads in /proc what it takes."""

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "hst_bench_0123456789abcdef"
TICKS = os.sysconf("SC_CLK_TCK")
BODY = "x" * 232


def built(*benches):
    """Builds the program and these benches in one go, so that all of it is built alike, and says where they are."""
    targets = [argument for bench in benches for argument in ("--bench", bench)]
    command = ["cargo", "build", "--release", "--locked", "--message-format=json", "--bin", "hallgate", *targets]
    out = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = [json.loads(line) for line in out.splitlines()]
    made = {m["target"]["name"]: m["executable"] for m in found if m.get("executable")}
    return [made[name] for name in ("hallgate", *benches)]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port, path, headers=()):
    """Whether it answers 200 now."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as stream:
            lines = [f"GET {path} HTTP/1.1", "host: bench", "connection: close", *headers, "", ""]
            stream.sendall("\r\n".join(lines).encode())
            return stream.recv(16).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


class Process:
    """A server on one core, its children included, with what /proc says about them."""

    def __init__(self, name, core, command, port, ready=None):
        self.name, self.port = name, port
        began = time.monotonic()
        self.child = subprocess.Popen(
            ["taskset", "-c", str(core), *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not (ready or listens)(port):
            if time.monotonic() > began + 20 or self.child.poll() is not None:
                raise SystemExit(f"{name} does not get ready on {port}: {' '.join(map(str, command))}")
            time.sleep(0.001)
        self.ready_ms = (time.monotonic() - began) * 1000

    def pids(self):
        of = self.child.pid
        return [of, *map(int, Path(f"/proc/{of}/task/{of}/children").read_text().split())]

    def cpu(self):
        """CPU seconds so far, user and kernel, all threads."""
        stats = (Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in self.pids())
        return sum(int(fields[11]) + int(fields[12]) for fields in stats) / TICKS

    def threads(self):
        """CPU seconds so far, and switches of context, by the names of threads."""
        found = {}
        for pid in self.pids():
            for task in Path(f"/proc/{pid}/task").iterdir():
                fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
                switches = sum(map(int, re.findall(r"ctxt_switches:\s+(\d+)", (task / "status").read_text())))
                name = (task / "comm").read_text().strip()
                cpu, switched = found.get(name, (0, 0))
                found[name] = (cpu + (int(fields[11]) + int(fields[12])) / TICKS, switched + switches)
        return found

    def memory(self):
        """Resident MiB."""
        status = (Path(f"/proc/{pid}/status").read_text() for pid in self.pids())
        return sum(int(re.search(r"VmRSS:\s+(\d+)", text)[1]) for text in status) / 1024

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()


def nginx_conf(folder, servers):
    """One worker that keeps connections and logs nothing."""
    folder.mkdir(exist_ok=True)
    conf = folder / "nginx.conf"
    conf.write_text(
        f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log /dev/null;"
        "events { worker_connections 4096; }"
        f"http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 1h; client_body_temp_path {folder}/b;"
        f"proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;"
        f"{servers} }}"
    )
    return ["nginx", "-c", conf, "-p", folder]


def nginx(folder):
    """The upstream, beside the load."""
    port = free_port()
    answer = f"location / {{ default_type text/plain; return 200 '{BODY}'; }}"
    command = nginx_conf(folder / "upstream", f"server {{ listen 127.0.0.1:{port} backlog=4096; {answer} }}")
    return Process("nginx", 1, command, port)


def bare(binary, upstream, ready=None):
    """pingora that forwards everything."""
    port = free_port()
    return Process("bare pingora", 0, [binary, f"127.0.0.1:{port}", f"127.0.0.1:{upstream}"], port, ready)


def gate(binary, folder, upstream, other=None, workers=1, ready=None):
    """The whole of hallgate, with 200 rules and its ledger; `other` replaces parts of its configuration."""
    port, hall = free_port(), free_port()
    rules = [
        rule("rr_read", "cap.data.read.v1", "wrk.bench.worker"),
        *(rule(f"rr_{n}", f"cap.bench.n{n}", "wrk.bench.worker") for n in range(199)),
    ]
    (folder / "enrolled").mkdir(exist_ok=True)
    (folder / "rules.json").write_text(json.dumps({"rules": rules}))
    for worker_id in ["wrk_bench", *(f"wrk_bench_{n}" for n in range(workers - 1))]:
        worker = {
            "worker_id": worker_id,
            "worker_species_id": "wrk.bench.worker",
            "capabilities": ["cap.data.read.v1"],
            "risk_tier": "low",
            "owner": "org.bench",
            "currently_implements": [],
            "allowed_environments": ["dev", "stage", "prod", "edge"],
        }
        (folder / "enrolled" / f"{worker_id}.json").write_text(json.dumps(worker))
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
  tokens: [ {{ name: bench, secret: {TOKEN}, scopes: [route, read], tenant_id: org.bench }} ]
policy: {{ rules: rules.json, workers: enrolled, tenants: {{ org.bench: {{ risk: low }} }} }}
ledger: {{ path: ledger, key_file: hallgate.key }}
telemetry: {{ level: warn }}
"""
    for was, now in (other or {}).items():
        assert was in written, was
        written = written.replace(was, now)
    (folder / "hallgate.yaml").write_text(written)
    process = Process("hallgate", 0, [binary, "serve", "--config", folder / "hallgate.yaml"], port, ready)
    process.hall = hall
    return process


def entries(process):
    """How many entries its ledger has: what only a token that may read is told."""
    url = f"http://127.0.0.1:{process.hall}/metrics"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"authorization": f"Bearer {TOKEN}"}), timeout=30) as answer:
        return int(re.search(r"^hallgate_ledger_entries (\d+)", answer.read().decode(), re.MULTILINE)[1])


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
