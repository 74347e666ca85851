"""The public reference's own router tests, with every decision made by `hallgate decide` instead of the reference.

A pytest plugin: `HALLGATE=<binary> pytest -p router_suite test_router.py`. What a test hands to `make_decision` is written as a
policy folder: rules, workers, a Cedar policy that says what the test's gate says, source files whose hashes agree or differ as
those that the test claims. What cannot be written in files is skipped by name, below.
"""

import hashlib
import json
import os
import subprocess
import tempfile
from pathlib import Path

import pyhall
import pytest

# A policy folder always has what these leave out, and has no Python that could raise or warn.
NO_CALLABLES = "it tests that the caller passed no callables; files always say what is attested and declared"
SKIPPED = {
    "test_attestation_required_both_callables_none_denied": NO_CALLABLES,
    "test_attestation_required_only_registry_callable_none_denied": NO_CALLABLES,
    "test_attestation_required_only_current_callable_none_denied": NO_CALLABLES,
    "test_f19_privilege_envelope_enforced_without_control_in_rule": NO_CALLABLES,
    "test_f21_require_credential_emits_warning": "it tests a Python warning about a key that we refuse",
    "test_f23_policy_gate_exception_message_has_no_class_name": "it raises in a gate of its own; a Cedar policy that errs denies by DENY_POLICY_GATE",
    "test_vuln_py3_privilege_envelope_exception_no_class_name": "it raises in a callable of its own",
}
CONTROLS = "wrk.suite.controls"


def gate(evaluate):
    """A Cedar policy that says what the test's gate says, and the version that it gives."""
    decision, version, reason = evaluate({})
    text = json.dumps(reason)
    if decision == "ALLOW":
        return f"@reason({text}) permit (principal, action, resource);", version
    mark = '@gate("REQUIRE_HUMAN") ' if decision == "REQUIRE_HUMAN" else ""
    return f"permit (principal, action, resource); {mark}@reason({text}) forbid (principal, action, resource);", version


def source(folder, species, registered, current):
    """A source file and a record's claim about it that agree just as the test's two hashes do."""
    path = folder / f"{species}.py"
    if current is not None:
        path.write_text(current)
    right = hashlib.sha256(current.encode()).hexdigest() if current is not None else "0" * 64
    claim = right if registered == current else hashlib.sha256(b"another").hexdigest()
    return {"source_file": str(path)} | ({"code_hash": claim} if registered is not None else {})


def make_decision(
    inp, rules, registry_controls_present, registry_worker_available, registry_get_privilege_envelope=None,
    registry_policy_allows_privilege=None, policy_gate_eval=None, conformance_spec=None, task_id="task_default",
    hall_config=None, registry_get_worker_hash=None, get_current_worker_hash=None,
):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "enrolled").mkdir()
        policy = {"mode": "reference", "rules": "rules.json", "workers": "enrolled"}
        if hall_config is not None:
            known = hall_config.model_dump()
            # It has no effect in the reference.
            known.pop("require_credential", None)
            policy |= known
        document = {"rules": [{"rule_id": r.rule_id, "match": r.match, "decision": r.decision} for r in rules]}
        (folder / "rules.json").write_text(json.dumps(document))
        if policy_gate_eval is not None:
            text, policy["version"] = gate(policy_gate_eval)
            policy["gate"] = "gate.cedar"
            (folder / "gate.cedar").write_text(text)
        candidates = [c["worker_species_id"] for r in rules for c in r.decision.get("candidate_workers_ranked", [])]
        records = [{"worker_id": "org.suite.controls", "worker_species_id": CONTROLS, "currently_implements": sorted(registry_controls_present)}]
        for at, species in enumerate(dict.fromkeys(c for c in candidates if registry_worker_available(c))):
            record = {"worker_id": f"org.suite.worker-{at}", "worker_species_id": species}
            if registry_get_privilege_envelope is not None:
                record["privilege_envelope"] = registry_get_privilege_envelope(species)
            if registry_get_worker_hash is not None and get_current_worker_hash is not None:
                hashes = registry_get_worker_hash(species), get_current_worker_hash(species)
                record["attestation"] = source(folder, species, *hashes)
            records.append(record)
        for record in records:
            record |= {"capabilities": [inp.capability_id], "risk_tier": "low"}
            (folder / "enrolled" / f"{record['worker_id']}.json").write_text(json.dumps(record))
        (folder / "hallgate.yaml").write_text(json.dumps({"policy": policy}))
        asked = json.dumps(inp.model_dump())
        ran = subprocess.run(
            [os.environ["HALLGATE"], "decide", "--config", folder / "hallgate.yaml"], input=asked, capture_output=True, text=True,
        )
        assert ran.returncode in (0, 1), f"{ran.stdout}{ran.stderr}"
        return pyhall.RouteDecision.model_validate_json(ran.stdout)


def pytest_collection_modifyitems(items):
    for item in items:
        item.module.make_decision = make_decision
        if item.name in SKIPPED:
            item.add_marker(pytest.mark.skip(reason=SKIPPED[item.name]))
