"""`requests` with `raise_for_status`, as the Python frameworks call the Hall: a denial is an answer, an error raises."""

import os

import requests

URL = os.environ["HALL"] + "/api/route"
session = requests.Session()
session.headers["Authorization"] = f"Bearer {os.environ['HALL_SESSION_TOKEN']}"

# What the SDK guides, the frameworks and the MCP server send; each field set is one of theirs.
FULL = {
    "capability_id": "cap.data.write.v1",
    "worker_id": "wrk_make_acme_prod",
    "env": "prod",
    "data_label": "INTERNAL",
    "tenant_id": "org.acme",
    "tenant_risk": "low",
    "qos_class": "P2",
    "correlation_id": "11111111-1111-4111-8111-111111111111",
    "request": {"draft": True},
    "anything": ["a", "framework", "adds"],
}


def ask(**changed):
    response = session.post(URL, json={**FULL, **changed}, timeout=5)
    response.raise_for_status()
    answer = response.json()
    assert answer["allowed"] is not answer["denied"] and "error" not in answer, answer
    for key in ["decision_id", "denied", "selected_worker_species_id", "artifact_hash"]:
        assert key in answer, key
    return answer


allowed = ask()
assert allowed["allowed"] and "reason" not in allowed and allowed["deny_reason"] is None, allowed
assert allowed["selected_worker_species_id"] == "wrk.data.writer" and allowed["worker_id"] == FULL["worker_id"], allowed
assert allowed["correlation_id"] == FULL["correlation_id"], allowed

for changed, code in [
    ({"data_label": "RESTRICTED"}, "DENY_MISSING_REQUIRED_CONTROLS"),
    ({"data_label": "SECRET"}, "DENY_MISSING_REQUIRED_CONTROLS"),
    ({"data_label": ""}, "DENY_MISSING_REQUIRED_CONTROLS"),
    ({"capability_id": "cap.auth.verify.v1"}, "DENY_NO_MATCHING_RULE"),
    ({"worker_id": "wrk_nobody"}, "DENY_WORKER_NOT_ENROLLED"),
    ({"worker_id": None}, "DENY_MISSING_WORKER_ID"),
    ({"env": "staging"}, "DENY_NO_MATCHING_RULE"),
    ({"env": "Prod"}, "DENY_INVALID_INPUT"),
    ({"data_label": "internal"}, "DENY_INVALID_INPUT"),
    ({"tenant_id": "org.other"}, "DENY_UNKNOWN_TENANT"),
    ({"blast_score": 101}, "DENY_INVALID_INPUT"),
    ({"correlation_id": " "}, "DENY_MISSING_CORRELATION_ID"),
]:
    denied = ask(**changed)
    assert denied["denied"] and denied["deny_reason"] == code and denied["reason"], (changed, denied)
    assert denied["deny_reason_if_denied"]["code"] == code and len(denied["artifact_hash"]) == 64, denied

try:
    session.post(URL, json=FULL, headers={"Authorization": "Bearer wrong"}, timeout=5).raise_for_status()
    raise SystemExit("a wrong token did not raise")
except requests.HTTPError as error:
    assert error.response.status_code == 401 and error.response.json()["error"] == "unauthorized"
    assert error.response.json()["denied"] is True
print("all seen")
