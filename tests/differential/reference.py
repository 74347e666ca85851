"""Random policies and requests in reference mode, with what the public reference implementation says to each.

    reference.py FOLDER SEED POLICIES REQUESTS

writes FOLDER/NNNN/{hallgate.yaml, rules.json, enrolled/, src/, other/, inputs.jsonl, decisions.jsonl}. Ids and times are
left out of the decisions, message wording is blanked, and a denial has no artifact_hash, as the reference gives none.
"""

import contextlib
import hashlib
import io
import json
import os
import random
import sys
from pathlib import Path

from pyhall import HallConfig, Registry, RouteInput, load_rules_from_dict, make_decision

CAPABILITIES = ["cap.data.read.v1", "cap.data.write.v1", "cap.ml.infer", "cap.hello.greet", "cap.Odd_one", "plain", "é\n"]
ENVS = ["dev", "stage", "prod", "edge"]
LABELS = ["PUBLIC", "INTERNAL", "RESTRICTED"]
RISKS = ["low", "medium", "high"]
CLASSES = ["P0", "P1", "P2", "P3"]
SPECIES = ["wrk.data.writer", "wrk.data.reader", "wrk.ml.inferer", "wrk.x", "wrk.never"]
CONTROLS = [
    "ctrl.obs.audit-log-append-only", "ctrl.blast_radius_scoring", "ctrl.privilege_envelopes_required",
    "ctrl.blast-radius-scoring", "ctrl.net.egress_denied", "ctrl.a..b.", "ctrl.UPPER", "ctrl._x", "nothing", "ctrl.é",
]
DESTINATIONS = ["db.internal", "api.openai.com", "hooks.example.org", "", "é"]
# The share of policies that mostly allow.
MILD = 0.6
TENANTS = ["org.acme", "x.solo.bot", "rogue", " org.acme", "t\x07\x1b[31m", "\u2003x"]
CORRELATIONS = ["c-1", "", " ", "\t\n", "\u00a0\u2003", "\x1f", "a\x00b\x7fc\u0085", "\u200b", "ünï-😀"]
TEXTS = ["", "a", "naïve ☕", "\U0001d11e", "\x00\x1f\x7f", "\\\"/<>&", "\u2028", "line\nbreak", "0", "false"]
NUMBERS = [0, 1, -1, 7, 2**53 + 1, 2**64, 2**70, -(2**70), 0.0, -0.0, 1.0, 0.1, 1e15, 1e16, 1e22, 1e-4, 1e-5, 5e-324, 2.5, 1.7976931348623157e308, 123456789.125]


class Random(random.Random):
    mild = False

    def maybe(self, value, share=0.5, other=None):
        return value if self.random() < share else other

    def some(self, values, most=None):
        return self.sample(values, self.randint(0, min(len(values), most or len(values))))

    def json(self, depth=3):
        kind = self.randrange(7 if depth else 5)
        if kind == 0:
            return None
        if kind == 1:
            return self.random() < 0.5
        if kind == 2:
            return self.choice(NUMBERS)
        if kind in (3, 4):
            return self.choice(TEXTS)
        if kind == 5:
            return [self.json(depth - 1) for _ in range(self.randrange(3))]
        return self.object(depth - 1)

    def object(self, depth=2):
        return {self.choice(TEXTS + ["b", "a", "Z"]): self.json(depth) for _ in range(self.randrange(4))}


def condition(r, values):
    if r.mild and r.random() < 0.8:
        return r.choice([{"in": r.some(values) or values}, r.choice(values), {"any": True}])
    return r.choices(
        [
            lambda: r.choice(values),
            lambda: {"in": r.some(values)},
            lambda: {"any": True},
            lambda: {"any": True, "in": r.some(values)},
            lambda: {"any": r.choice([1, False, "true"]), "in": r.some(values)},
            lambda: {"eq": r.choice(values)},
            lambda: {},
            lambda: None,
            lambda: [r.choice(values)],
            lambda: r.choice([5, True]),
            lambda: r.choice(["", "nonsense", "staging", "production", "SECRET", "critical"]),
        ],
        [8, 8, 3, 1, 0.5, 0.5, 0.5, 0.7, 0.3, 0.3, 0.7],
    )[0]()


def match(r):
    written = {}
    for key, values, share in [
        ("capability_id", CAPABILITIES, 0.5 if r.mild else 0.8), ("env", ENVS, 0.2 if r.mild else 0.5), ("data_label", LABELS, 0.3),
        ("tenant_risk", RISKS, 0.2), ("qos_class", CLASSES, 0.2), ("enviroment", ENVS, 0.03),
    ]:
        if r.random() < share:
            written[key] = condition(r, values)
    keys = list(written)
    r.shuffle(keys)
    return {key: written[key] for key in keys}


def candidate(r):
    written = {"worker_species_id": r.choice(SPECIES)}
    if r.random() < 0.5:
        written["score_hint"] = r.choice([0, 1, 0.5, 0.12, -3, 1e300, None])
    if r.random() < 0.1:
        written["requires_controls_minimum"] = r.some(CONTROLS, 2)
    if r.random() < 0.05:
        written["worker_species_id"] = r.choice(["", None])
    if r.random() < 0.05:
        del written["worker_species_id"]
    if r.random() < 0.05:
        written["note"] = "x"
    return written


def escalation(r):
    flags = {key: r.random() < 0.3 for key in ("policy_gate", "msavx_step_up", "human_required_default")}
    if r.random() < 0.7:
        flags["policy_gate"] = False
    if r.random() < 0.3:
        flags["human_required_if"] = [r.object() for _ in range(r.randrange(3))]
    if r.random() < 0.3:
        flags["rationale"] = r.choice(["why", "", None])
    if r.random() < 0.1:
        flags["unknown"] = 1
    return {key: flags[key] for key in r.sample(list(flags), r.randint(0, len(flags)))}


def decision(r):
    written = {"candidate_workers_ranked": [candidate(r) for _ in range(r.randint(0, 4))]}
    if r.random() < 0.8:
        few = r.choices(CONTROLS[:6], [6, 3, 3, 1, 2, 1], k=r.randint(0, 3))
        written["required_controls_suggested"] = few
    if r.random() < 0.05:
        written["required_controls_suggested"] = r.some(CONTROLS)
    if r.random() < 0.3:
        written["recommended_profiles"] = [r.object() for _ in range(r.randrange(3))]
    if r.random() < 0.6:
        written["escalation"] = escalation(r)
    if r.random() < 0.6:
        keys = [
            "must_have_correlation_id", "must_attach_policy_version", "must_record_artifact_hash_if_executes",
            "deny_if_missing_required_controls", "deny_if_unsigned_artifact_in_prod", "deny_if_no_attestation_in_prod",
        ]
        written["preconditions"] = {key: r.random() < 0.5 for key in r.some(keys)}
    return written


def rules(r):
    written = []
    for at in range(r.choice([1, 1, 1, 2]) if r.mild else r.choice([0, 1, 2, 2, 3, 4, 6, 9])):
        rule = {"rule_id": r.maybe(f"rr_{at:03}", 0.95, "rr_same")}
        if r.random() < 0.97:
            rule["match"] = match(r)
        if r.random() < 0.97:
            rule["decision"] = decision(r)
        written.append(rule)
    if written and r.random() < 0.2:
        written.append({"rule_id": "rr_default", "match": r.choice([{}, {"capability_id": {"any": True}}]), "decision": decision(r)})
    if written and r.random() < 0.1:
        written.insert(r.randrange(len(written)), {**r.choice(written), "rule_id": "rr_twin"})
    return {"rules": written}


def sources(r, folder):
    """Source files, and the ways in which a record may name them."""
    hashes = {}
    for name in ["src/a.py", "src/b.py", "src/deep/c.py", "other/d.py", "src-of-others/e.py"]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(r.randbytes(r.randrange(200)))
        hashes[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    os.symlink("../other/d.py", folder / "src/out.py")
    os.symlink("../src/a.py", folder / "other/in.py")
    for alias, name in [
        ("src/out.py", "other/d.py"), ("other/in.py", "src/a.py"), ("./src/../src/b.py", "src/b.py"),
        ("src/deep/../../other/d.py", "other/d.py"),
    ]:
        hashes[alias] = hashes[name]
    for nothing in ["src/gone.py", "src/deep", "other/d.py/x", "src"]:
        hashes[nothing] = "0" * 64
    return hashes


def attestation(r, hashes):
    name = r.choice(list(hashes) + ["src/a.py", "src/b.py"] * 4)
    right = hashes[name]
    wrong = hashlib.sha256(b"wrong").hexdigest()
    written = {"source_file": name, "code_hash": r.choices([right, wrong, "sha256:" + right, right.upper(), "xyz", ""], [20, 3, 1, 1, 1, 1])[0]}
    for key in list(written):
        if r.random() < 0.08:
            del written[key]
    return written


def envelope(r):
    written = {"secrets_access": [], "network_egress": "none", "filesystem_writes": [], "tools": []}
    if r.random() < 0.8:
        written["egress"] = r.choices(
            [{"allowlist": r.some(DESTINATIONS, 3)}, {"allowlist": []}, {}, None, {"other": 1}, {"allowlist": None}], [10, 1, 1, 1, 1, 1]
        )[0]
    return r.choices([written, {}, None], [10, 1, 1])[0]


def workers(r, hashes):
    written = []
    for at in range(r.choice([4, 6, 8]) if r.mild else r.choice([0, 1, 2, 3, 4, 6])):
        record = {
            "worker_id": f"org.acme.worker-{at}", "worker_species_id": r.choice(SPECIES[:4]),
            "capabilities": r.some(CAPABILITIES[:4]), "risk_tier": "low",
            "currently_implements": r.choices(CONTROLS, [8, 5, 5, 2, 4, 2, 1, 1, 1, 1], k=r.randint(0, 6)),
            "allowed_environments": r.some(ENVS), "owner": "org.acme",
        }
        if r.mild and at == 0:
            record["currently_implements"] = CONTROLS
        if r.random() < 0.7:
            record["attestation"] = attestation(r, hashes)
        if r.random() < 0.6:
            record["privilege_envelope"] = envelope(r)
        if r.random() < 0.2:
            record["blast_radius"] = {"data": 5, "network": 5, "financial": 5, "time": 5}
        if r.random() < 0.1:
            del record["currently_implements"]
        written.append(record)
    return written


def policy(r):
    return {
        "mode": "reference", "rules": "rules.json", "workers": "enrolled", "version": "policy.v0",
        "require_signatory": r.random() < 0.15, "allowed_tenants": r.some(TENANTS[:4]),
        "require_worker_attestation": r.random() < 0.4, "enforce_correlation_id": r.random() < 0.6,
        "enforce_required_controls": r.random() < 0.6, "enforce_blast_scoring_in_prod": r.random() < 0.7,
        "enforce_privilege_envelopes": r.random() < 0.4,
        "egress_allowlist": {env: r.some(DESTINATIONS[:3] + ["é"]) for env in ENVS},
        "allowed_worker_dirs": r.choices([[], ["src"], ["src", "other"], ["src/deep"], ["nowhere"]], [5, 2, 1, 1, 0.5])[0],
    }


def request(r, document):
    named = [rule["match"].get("capability_id") for rule in document["rules"] if rule.get("match")]
    named = [name for name in named if isinstance(name, str)] or CAPABILITIES
    written = {
        "capability_id": r.choice(named) if r.random() < 0.6 else r.choice(CAPABILITIES), "env": r.choice(ENVS),
        "data_label": r.choice(LABELS), "tenant_risk": r.choice(RISKS), "qos_class": r.choice(CLASSES),
        "tenant_id": r.choices(TENANTS, [8, 2, 1, 1, 1, 1])[0],
        "correlation_id": r.choices(CORRELATIONS, [24] + [1] * (len(CORRELATIONS) - 1))[0],
    }
    if r.random() < 0.7:
        written["request"] = r.object()
        for key in ("egress", "external_call", "writes", "mutates_state"):
            if r.random() < 0.25:
                written["request"][key] = r.json(1)
    if r.random() < 0.25:
        written["blast_score"] = r.choice([-1, 0, 0, 1, 1, 45, 45, 84, 84, 85, 86, 100, 101, 2**40, None])
    for key in ("blast_radius", "privilege_context"):
        if r.random() < 0.2:
            written[key] = r.maybe(r.object(), 0.9)
    if r.random() < 0.1:
        written["tenant_credential"] = r.choice(TEXTS)
    if r.random() < 0.25:
        written["dry_run"] = r.random() < 0.7
    return written


def decide(written, rules, registry, config):
    decision = make_decision(
        inp=RouteInput(**written), rules=rules, hall_config=config,
        registry_controls_present=registry.controls_present(), registry_worker_available=registry.worker_available,
        registry_get_privilege_envelope=registry.get_privilege_envelope,
        registry_policy_allows_privilege=registry.policy_allows_privilege,
        registry_get_worker_hash=registry.get_worker_hash, get_current_worker_hash=registry.compute_current_hash,
    ).model_dump()
    del decision["decision_id"], decision["timestamp"]
    if decision["denied"]:
        del decision["artifact_hash"]
        decision["deny_reason_if_denied"]["message"] = ""
    for event in decision["telemetry_envelopes"]:
        event.update({key: "" for key in ("timestamp", "deny_message") if key in event})
    return decision


@contextlib.contextmanager
def inside(folder):
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def write(folder, r, requests):
    r.mild = r.random() < MILD
    document = rules(r)
    (folder / "enrolled").mkdir(parents=True)
    written = policy(r)
    hall = {"tokens": [{"name": "t", "secret": "0123456789abcdef", "scopes": ["route"]}]}
    (folder / "hallgate.yaml").write_text(json.dumps({"policy": written, "hall": hall}))
    (folder / "rules.json").write_text(json.dumps(document))
    names = [f"{n:02}" for n in range(20)]
    r.shuffle(names)
    for name, record in zip(names, workers(r, sources(r, folder))):
        (folder / "enrolled" / f"{name}.json").write_text(json.dumps(record))
    # Relative source files are relative to the configuration.
    with inside(folder):
        registry = Registry()
        registry.set_allowed_worker_dirs(written["allowed_worker_dirs"])
        with contextlib.redirect_stderr(io.StringIO()):
            registry._load_enrolled(Path("enrolled"))
        for env, allowed in written["egress_allowlist"].items():
            registry.set_egress_allowlist(env, allowed)
        config = HallConfig(**{key: value for key, value in written.items() if key in HallConfig.model_fields})
        loaded = load_rules_from_dict(document)
        with open("inputs.jsonl", "w") as inputs, open("decisions.jsonl", "w") as decisions:
            for _ in range(requests):
                asked = request(r, document)
                print(json.dumps(asked), file=inputs)
                print(json.dumps(decide(asked, loaded, registry, config)), file=decisions)


def main():
    folder, seed, policies, requests = Path(sys.argv[1]), *map(int, sys.argv[2:])
    for at in range(policies):
        write(folder / f"{at:05}", Random(seed * 1_000_003 + at), requests)


main()
