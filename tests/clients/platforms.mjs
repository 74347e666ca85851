// How each platform reads the Hall's answer, in the situations that matter, with Node's own fetch.
//
// Every platform is a body that it sends and a function from status and body to the branch that it takes: `go`, `stop`
// (its denied branch), or `halt` (its run ends with an error). Nothing but a real permission may ever be `go`.

import assert from "node:assert/strict";

const { HALL, HALL_SESSION_TOKEN } = process.env;

const minimal = {
  capability_id: "cap.data.write.v1",
  worker_id: "wrk_make_acme_prod",
  env: "prod",
  data_label: "INTERNAL",
  tenant_id: "org.acme",
};

const platforms = {
  // Only 200 is success; then the router compares a boolean, not a text.
  make: ({ status, type, body }) => {
    if (status !== 200 || !type.startsWith("application/json")) return "halt";
    if (body.denied === false) return "go";
    return body.denied === true ? "stop" : "halt";
  },
  // The IF node; the code node takes any failure for a denial.
  n8n: ({ status, body }) => (status === 200 && body.denied === false ? "go" : "stop"),
  // Webhooks fail on a non-2xx; Paths compare the text of the field exactly.
  zapier: ({ status, body }) => {
    if (status < 200 || status > 299) return "halt";
    return { false: "go", true: "stop" }[String(body.denied)] ?? "halt";
  },
  // The reusable component does not look at the status.
  pipedream: ({ body }) => {
    const { decision_id, denied, selected_worker_species_id, artifact_hash, reason = null } = body;
    assert.notEqual(decision_id, undefined);
    assert.notEqual(artifact_hash, undefined);
    assert.equal(selected_worker_species_id === null, denied);
    assert.equal(reason === null, !denied);
    return denied ? "stop" : "go";
  },
  // Indexes keys directly: a missing one raises.
  dify: ({ status, body }) => {
    if (status >= 400) return "halt";
    for (const key of ["decision_id", "denied", "selected_worker_species_id", "artifact_hash"]) assert.ok(key in body, key);
    return body.denied === false ? "go" : "stop";
  },
  // The ts-sdk snippet: no status check, throws only when `denied` is truthy.
  ts_sdk: ({ body }) => (body.denied ? "stop" : "go"),
  // A body with a key `error` is a failure, whatever else it says.
  mcp: ({ body }) => {
    if ("error" in body) return "halt";
    return body.denied === false && body.decision_id && body.matched_rule_id ? "go" : "stop";
  },
  // Reads `allowed`, false when absent.
  autogen: ({ body }) => (body.allowed ?? false ? "go" : "stop"),
  langgraph: ({ status, body }) => {
    if (status >= 400) return "halt";
    return body.allowed ? (assert.ok(body.worker_id), "go") : (assert.ok(body.deny_reason), "stop");
  },
};

const situations = [
  { name: "allowed", go: true },
  { name: "denied", change: { data_label: "RESTRICTED" } },
  { name: "unmapped label", change: { data_label: "" } },
  { name: "unknown worker", change: { worker_id: "wrk_nobody" } },
  { name: "unacceptable value", change: { env: "qa" } },
  { name: "no token", token: null },
  { name: "wrong token", token: "hst_wrong" },
  { name: "malformed", raw: '{"capability_id": "cap.data.write.v1",' },
  { name: "missing field", change: { env: undefined } },
  { name: "wrong type", change: { dry_run: "yes" } },
  { name: "wrong path", path: "/api/route/" },
  { name: "wrong method", method: "PUT" },
];

async function ask({ change = {}, token = HALL_SESSION_TOKEN, raw, path = "/api/route", method = "POST" }) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const body = raw ?? JSON.stringify({ ...minimal, ...change });
  const response = await fetch(HALL + path, { method, headers, body, redirect: "error" });
  return { status: response.status, type: response.headers.get("content-type"), body: await response.json() };
}

async function see(situation) {
  const answer = await ask(situation);
  assert.equal(typeof answer.body.denied, "boolean", situation.name);
  assert.equal(answer.body.allowed, !answer.body.denied, situation.name);
  for (const [platform, branch] of Object.entries(platforms)) {
    const taken = branch(answer);
    const where = `${platform}, ${situation.name}: ${taken} on ${answer.status} ${JSON.stringify(answer.body)}`;
    assert.equal(taken === "go", situation.go ?? false, where);
    // Whatever the policy says is a 200: no platform's run breaks on a denial.
    if (answer.status === 200 && !situation.go) assert.equal(taken, "stop", where);
  }
  return answer;
}

for (const situation of situations) await see(situation);

// Too many wrong tokens: those of this address wait, and the one that was right from here before does not.
for (let n = 0; n < 60; n++) await ask({ token: "hst_wrong" });
const slowed = await see({ name: "slowed", token: "hst_wrong" });
assert.equal(slowed.status, 429);
await see({ name: "allowed, beside a stranger", go: true });

// Without a listed origin a browser is told nothing.
const preflight = await fetch(HALL + "/api/route", { method: "OPTIONS", headers: { Origin: "https://app.example.org" } });
assert.equal(preflight.status, 204);
assert.equal(preflight.headers.get("access-control-allow-origin"), null);
console.log("all seen");
