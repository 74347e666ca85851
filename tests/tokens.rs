//! Session tokens with the real binary: made, rotated while they are used, and what becomes of whoever has none.

use std::time::Instant;

use support::{Fixture, NOWHERE, Process, TOKEN, ask, metric, route, until};

/// A fixture with these keys in its section `hall`, and this identity of callers at the gate.
fn fixture(hall: &str, identity: &str) -> Fixture {
    let fixture = Fixture::sample(NOWHERE);
    fixture.edit("hall:\n", &format!("hall:\n{hall}"));
    fixture.edit("{ mode: fixed, worker_id: wrk_make_acme_prod, tenant_id: org.acme }", identity);
    fixture
}

/// Makes a token with the real command: its secret, and its entry in the configuration.
fn made(fixture: &Fixture, arguments: &[&str]) -> (String, String) {
    let (code, entry, secret) = fixture.run(&[&["token", "new"], arguments].concat());
    assert_eq!(code, Some(0), "{secret}");
    let secret = secret.trim_end().to_owned();
    assert!(secret.starts_with("hst_") && secret.len() == 68, "{secret}");
    assert!(!entry.contains(&secret), "an entry knows its secret by the digest only");
    (secret, entry)
}

#[test]
fn a_token_is_made_used_and_rotated_without_a_gap() {
    let keys = "  tokens_file: tokens.yaml\n  limits: { failures: 1000/s }\n";
    let fixture = fixture(keys, "{ mode: token }");
    let bound = ["--tenant", "org.acme", "--worker", "wrk_make_acme_prod", "--env", "prod"];
    let (old, entry) = made(&fixture, &[&["n8n", "--scope", "route"], bound.as_slice()].concat());
    fixture.write("tokens.yaml", &format!("tokens:\n{entry}"));
    let process = fixture.serve();
    let hall = process.hall();
    let answer = route(hall, &old);
    assert_eq!((answer.status, &answer.body["denied"]), (200, &false.into()), "{answer:?}");

    // What it is bound to holds.
    let elsewhere =
        r#"{"capability_id":"cap.data.read.v1","worker_id":"wrk_make_acme_prod","env":"dev","tenant_id":"org.acme"}"#;
    let answer = ask(hall, "POST /api/route", &[("authorization", &format!("Bearer {old}"))], elsewhere);
    assert_eq!(answer.body["deny_code"], "DENY_ENV_NOT_ALLOWED", "{answer:?}");

    // Two at once: the new one, and the old one as long as somebody has it.
    let (new, _) = made(&fixture, &["n8n", "--scope", "route"]);
    assert_ne!(new, old);
    assert_eq!(route(hall, &new).status, 401);
    let digest = |secret: &str| hallgate::ids::Digest::of(secret.as_bytes()).to_hex();
    let one = format!("secret_sha256: \"{}\"", digest(&old));
    assert!(entry.contains(&one), "{entry}");
    let both = entry.replace(&one, &format!("secret_sha256: [\"{}\", \"{}\"]", digest(&new), digest(&old)));
    fixture.write("tokens.yaml", &format!("tokens:\n{both}"));
    until(|| route(hall, &new).status == 200);
    for secret in [&old, &new] {
        assert_eq!(route(hall, secret).body["denied"], false);
        let answer = ask(process.gate(), "GET /nowhere", &[("wcp-token", secret)], "");
        assert_eq!((answer.status, &answer.body["code"]), (404, &"DENY_NO_ROUTE".into()), "the gate knows it, too");
    }
    fixture.write("tokens.yaml", &format!("tokens:\n{}", entry.replace(&digest(&old), &digest(&new))));
    until(|| route(hall, &old).status == 401);
    assert_eq!(route(hall, &new).status, 200);
    // A change with a mistake changes nothing.
    fixture.write("tokens.yaml", "tokens: [{ name: n8n }]\n");
    until(|| metric(hall, "hallgate_snapshot_stale") == 1);
    assert_eq!(route(hall, &new).status, 200);
}

#[test]
fn a_wrong_argument_makes_no_token() {
    let fixture = Fixture::sample(NOWHERE);
    for wrong in [
        &["make"][..],
        &["make", "--scope", "everything"],
        &["two words", "--scope", "route"],
        &["make", "--scope", "route", "--env", "qa"],
        &["make", "--scope", "route", "--tenant", "not a tenant"],
    ] {
        let (code, out, err) = fixture.run(&[&["token", "new"], wrong].concat());
        assert_eq!((code, out.as_str()), (Some(2), ""), "{wrong:?}: {err}");
        assert!(!err.contains("hst_") && !err.is_empty(), "{err}");
    }
}

#[test]
fn nothing_but_the_probes_answers_without_a_token() {
    let fixture = fixture("  metrics_need_token: true\n", "{ mode: token }");
    let process = fixture.serve();
    let closed = [
        "POST /api/route",
        "GET /metrics",
        "GET /log/checkpoint",
        "GET /log/tile/0/000",
        "GET /wcp/receipts/0190a6ea-0000-7000-8000-000000000000",
    ];
    for line in closed {
        let answer = ask(process.hall(), line, &[], "");
        assert_eq!((answer.status, &answer.body["error"]), (401, &"unauthorized".into()), "{line}");
    }
    for line in ["GET /livez", "GET /readyz"] {
        assert_eq!(ask(process.hall(), line, &[], "").status, 200, "{line}");
    }
    assert_eq!(ask(process.gate(), "GET /orders", &[], "").status, 401);
}

const SLOW: &str = "  limits: { failures: { rate: 1/h, burst: 5 } }\n";

/// Presents five tokens that are none.
fn fail(process: &Process) {
    for n in 0..5 {
        assert_eq!(route(process.hall(), &format!("hst_guess-{n}-0123456789")).status, 401);
    }
}

#[test]
fn whoever_guesses_is_counted_logged_without_the_guess_and_slowed() {
    let fixture = fixture(SLOW, "{ mode: token }");
    let process = fixture.serve();
    let hall = process.hall();
    let (entries, began) = (metric(hall, "hallgate_ledger_entries"), Instant::now());
    fail(&process);
    let slowed = route(hall, "hst_guess-5-0123456789");
    assert_eq!((slowed.status, &slowed.body["error"]), (429, &"too many requests".into()), "{slowed:?}");
    assert_eq!((&slowed.body["denied"], &slowed.body["allowed"]), (&true.into(), &false.into()));
    assert_eq!(slowed.body["deny_reason"], "DENY_RATE_LIMITED");
    assert!((60..=3600).contains(&slowed.retry_after()), "{slowed:?}");
    // The right one is never locked out by wrong ones from the same address, not even where it was never right before.
    for _ in 0..3 {
        assert_eq!(route(hall, TOKEN).status, 200);
    }
    assert_eq!(ask(process.gate(), "GET /nowhere", &[("wcp-token", TOKEN)], "").status, 404);
    // A wrong one is no better off at the other door.
    let gate = ask(process.gate(), "GET /orders", &[("wcp-token", "hst_guess-7-0123456789")], "");
    assert_eq!((gate.status, gate.header("content-type")), (429, Some("application/problem+json")), "{gate:?}");
    assert!(gate.body["code"] == "DENY_RATE_LIMITED" && gate.body["denied"] == true && gate.retry_after() > 0);
    // Probes are answered whatever they carry.
    let probe = ask(hall, "GET /livez", &[("authorization", "Bearer hst_guess-6-0123456789")], "");
    assert_eq!(probe.status, 200);

    assert_eq!(metric(hall, "hallgate_refusals_total{door=\"api\",code=\"DENY_UNAUTHENTICATED\"}"), 5);
    assert_eq!(metric(hall, "hallgate_refusals_total{door=\"api\",code=\"DENY_RATE_LIMITED\"}"), 1);
    assert_eq!(metric(hall, "hallgate_refusals_total{door=\"gate\",code=\"DENY_RATE_LIMITED\"}"), 1);
    // Four of them are of the right token; of strangers there is one entry a second, which says how many there were.
    let strangers = metric(hall, "hallgate_ledger_entries") - entries - 4;
    assert!(strangers <= 1 + began.elapsed().as_secs(), "{strangers} entries about strangers");
    let line = process.wait_for_log("DENY_UNAUTHENTICATED");
    assert!(line.contains("127.0.0.1:"), "{line}");
    process.wait_for_log("DENY_RATE_LIMITED");
    process.end();
    assert!(!process.log().contains("hst_"), "{}", process.log());
}

#[test]
fn at_the_gate_guesses_are_slowed_and_a_fixed_identity_looks_at_none() {
    let guess = |process: &Process| ask(process.gate(), "GET /nowhere", &[("wcp-token", "hst_guess-0123456789")], "");
    let by_token = fixture(SLOW, "{ mode: token }");
    let process = by_token.serve();
    let said: Vec<u16> = (0..8).map(|_| guess(&process).status).collect();
    assert_eq!(said, [401, 401, 401, 401, 401, 429, 429, 429]);
    for code in ["DENY_UNAUTHENTICATED", "DENY_RATE_LIMITED"] {
        let line = process.wait_for_log(code);
        assert!(line.contains("\"peer\":\"127.0.0.1:") && !line.contains("hst_"), "{line}");
    }

    let fixed = fixture(SLOW, "{ mode: fixed, worker_id: wrk_make_acme_prod, tenant_id: org.acme }");
    let process = fixed.serve();
    assert!((0..8).all(|_| guess(&process).status == 404));
    assert_eq!(route(process.hall(), TOKEN).status, 200);
}

#[test]
fn check_warns_of_a_secret_that_can_be_guessed() {
    let fixture = fixture("", "{ mode: token }");
    let (code, _, err) = fixture.run(&["check", "--config", "hallgate.yaml"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("warning[weak-secret]: ") && err.contains("64 bits") && !err.contains(TOKEN), "{err}");
    fixture.edit("${HALL_SESSION_TOKEN}", "hst_00112233445566778899aabbccddeeff");
    assert_eq!(fixture.run(&["check", "--config", "hallgate.yaml"]).2, "");
}
