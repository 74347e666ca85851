#!/usr/bin/env python3
"""What a decision costs beside the public reference implementation, in one run: its `make_decision` and our engine under the
same rules, and a Flask server around it and our Hall answering the same `POST /api/route` on one core.

Our figures of the engine are criterion's; the reference has to work with objects that are ready, as our engine has. `make
bench` installs the reference and runs this.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import servers as bench
from load import post_script, wrk

# In dev, where the reference does not look for shadowed rules at every request: the kinder comparison.
REQUEST = {
    "capability_id": "cap.bench.c1",
    "env": "dev",
    "data_label": "INTERNAL",
    "tenant_risk": "low",
    "qos_class": "P2",
    "tenant_id": "org.acme",
    "correlation_id": "11111111-1111-4111-8111-111111111111",
    "request": {"writes": True, "table": "orders"},
}
CONTROLS = ["ctrl.obs.audit-log-append-only", "ctrl.blast_radius_scoring"]


def rule(at):
    """The rules of benches/decide.rs: five for each capability, four of them for a label in production."""
    conditions = {"capability_id": f"cap.bench.c{at // 5}"}
    if at % 5 < 4:
        label = ["PUBLIC", "INTERNAL", "CONFIDENTIAL", "RESTRICTED"][at % 5]
        conditions |= {"data_label": label, "env": {"in": ["prod", "edge"]}}
    workers = [{"worker_species_id": "wrk.bench.a", "score_hint": 0.9}, {"worker_species_id": "wrk.bench.b"}]
    decision = {
        "candidate_workers_ranked": workers,
        "required_controls_suggested": CONTROLS,
        "recommended_profiles": [],
        "escalation": {},
        "preconditions": {},
    }
    return {"rule_id": f"rr_{at:05}", "match": conditions, "decision": decision}


def reference(rules, env):
    """Microseconds a decision of the reference."""
    from pyhall import RouteInput, make_decision
    from pyhall.rules import load_rules_from_dict

    loaded = load_rules_from_dict({"rules": [rule(at) for at in range(rules)]})
    asked = RouteInput(**{**REQUEST, "env": env})
    controls = set(CONTROLS)

    def decide():
        return make_decision(
            inp=asked, rules=loaded, registry_controls_present=controls, registry_worker_available=lambda _: True
        )

    assert not decide().denied
    # Its cost goes from microseconds to a tenth of a second: as many as take a third of a second.
    began = time.perf_counter()
    decide()
    many = max(1, int(0.3 / (time.perf_counter() - began)))
    rounds = []
    for _ in range(7):
        began = time.perf_counter()
        for _ in range(many):
            decide()
        rounds.append((time.perf_counter() - began) / many * 1e6)
    return statistics.median(rounds)


def ours(rules, env):
    """Microseconds a decision of ours: question, gates and hash, not cached."""
    name = f"whole, {env}/{rules}"
    command = ["cargo", "bench", "--locked", "--bench", "decide", "--", "--exact", f"decision, not cached/{name}"]
    subprocess.run(command, cwd=bench.ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = bench.ROOT / "target/criterion/decision, not cached" / f"whole, {env}" / str(rules) / "new/estimates.json"
    return json.loads(found.read_text())["median"]["point_estimate"] / 1000


def serve(port):
    """The reference behind Flask, as its own server is: reads the body, decides, answers."""
    import logging

    from flask import Flask, jsonify
    from flask import request as http
    from pyhall import RouteInput, make_decision
    from pyhall.rules import load_rules_from_dict

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    loaded = load_rules_from_dict({"rules": [rule(at) for at in range(200)]})
    controls = set(CONTROLS)
    app = Flask("reference")

    @app.post("/api/route")
    def route():
        asked = RouteInput(**http.get_json())
        decision = make_decision(
            inp=asked, rules=loaded, registry_controls_present=controls, registry_worker_available=lambda _: True
        )
        return jsonify(decision.model_dump(mode="json"))

    app.run(host="127.0.0.1", port=port, threaded=True)


def hall(binary, folder):
    """Our Hall under the same rules, its ledger on."""
    port = bench.free_port()
    (folder / "enrolled").mkdir()
    (folder / "rules.json").write_text(json.dumps({"rules": [rule(at) for at in range(200)]}))
    for species in "ab":
        worker = {
            "worker_id": f"org.bench.worker-{species}",
            "worker_species_id": f"wrk.bench.{species}",
            "capabilities": ["cap.bench.c1"],
            "risk_tier": "low",
            "owner": "org.bench",
            "currently_implements": CONTROLS,
        }
        (folder / "enrolled" / f"{species}.json").write_text(json.dumps(worker))
    (folder / "hallgate.yaml").write_text(f"""
hall:
  listen: 127.0.0.1:{port}
  tokens: [ {{ name: bench, secret: {bench.TOKEN}, scopes: [route] }} ]
policy: {{ mode: reference, rules: rules.json, workers: enrolled }}
ledger: {{ path: ledger, key_file: hallgate.key }}
telemetry: {{ level: warn }}
""")
    return bench.Process("hallgate", 0, [binary, "serve", "--config", folder / "hallgate.yaml"], port)


def ask(process):
    """One answer, which must allow, so that what is measured is a decision."""
    headers = {"Authorization": f"Bearer {bench.TOKEN}", "Content-Type": "application/json"}
    request = urllib.request.Request(
        f"http://127.0.0.1:{process.port}/api/route", json.dumps(REQUEST).encode(), headers
    )
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["denied"] is False, process.name


def servers(options):
    """Decisions a second over HTTP, ours and the reference's, in turn."""
    binary = bench.built()[0]
    rates = []
    with tempfile.TemporaryDirectory(prefix="hallgate-bench-") as name:
        folder = Path(name)
        post = post_script(folder, REQUEST)
        port = bench.free_port()
        flask = bench.Process("flask", 0, [sys.executable, __file__, "--serve", port], port)
        mine = hall(binary, folder)
        try:
            for process in (flask, mine):
                ask(process)
            for _ in range(options.rounds):
                pair = [wrk(p.port, "/api/route", options.seconds, 16, post)[0] for p in (mine, flask)]
                rates.append(pair)
        finally:
            mine.stop()
            flask.stop()
    return rates


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve)
    print(f"{'decision, not cached':32} {'ours µs':>10} {'reference µs':>13} {'reference / ours':>17}")
    for rules in (10, 200):
        for env in ("dev", "prod"):
            theirs, mine = reference(rules, env), ours(rules, env)
            print(f"{f'{rules} rules, {env}':32} {mine:10.2f} {theirs:13.1f} {theirs / mine:17.0f}", flush=True)
    rates = servers(options)
    mine, theirs = (statistics.median(rate[at] for rate in rates) for at in (0, 1))
    ratio = statistics.median(a / b for a, b in rates)
    print(f"POST /api/route a second, 200 rules, one core: ours {mine:,.0f}, Flask {theirs:,.0f}, ratio {ratio:,.0f} (>= 30)")


if __name__ == "__main__":
    main()
