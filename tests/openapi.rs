//! The API as it is described: the committed description is the one that is served, and a fuzzer that believes it finds nothing wrong.
//!
//! `UPDATE_GOLDEN=1 cargo test --test openapi` writes the description anew.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "hall_api/hall.rs"]
#[expect(dead_code, reason = "the other tests of the API use the rest of it")]
mod hall;

use std::path::Path;
use std::process::Command;

use hall::{ADMIN, MAKE, READ, READER, keys};
use support::{differs_from_golden, get, post};

const GOLDEN: &str = "docs/reference/openapi.json";

/// A token that may do everything.
const ALL: &str = "hst_everything_0123";

#[test]
fn the_committed_description_is_the_one_that_is_served() {
    let fixture = hall::fixture("", "", "");
    let process = fixture.serve();
    let served = get(process.hall(), READER, "/openapi.json").ok();
    assert_eq!(served, get(process.hall(), ADMIN, "/openapi.json").ok(), "whatever the scope");
    let text = format!("{}\n", serde_json::to_string_pretty(&served).unwrap());
    let differs = differs_from_golden(Path::new(GOLDEN), &text).is_some();
    assert!(!differs, "{GOLDEN} is not what is served: UPDATE_GOLDEN=1 cargo test --test openapi");
    assert_eq!(served["openapi"], "3.1.0");
}

/// What no fuzzer gets to: a receipt that is there.
#[test]
fn a_receipt_is_as_it_is_described() {
    let fixture = hall::fixture("", "", "");
    let process = fixture.serve();
    let decided = post(process.hall(), MAKE, "/api/route", READ).ok();
    assert_eq!(decided["denied"], false);
    let path = format!("/wcp/receipts/{}", decided["decision_id"].as_str().unwrap());
    let receipt = get(process.hall(), READER, &path).ok();
    let described = get(process.hall(), READER, "/openapi.json").ok();
    for (schema, value) in [("ProvenReceipt", &receipt), ("InclusionProof", &receipt["inclusion"])] {
        let mut expected = keys(&described["components"]["schemas"][schema]["properties"]);
        let mut found = keys(value);
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "{schema}");
    }
}

/// schemathesis sends what the description allows and what it does not, and holds each answer against it: no server error, no
/// status or body that is not described, no method that is passed over, nothing without the token.
#[test]
fn a_fuzzer_that_believes_the_description_finds_nothing() {
    let schemathesis = support::venv("schemathesis");
    let token =
        format!("    - {{ name: all, secret: {ALL}, scopes: [route, read, ingest, enroll, admin, approve] }}\n");
    let fixture = hall::fixture(
        "  metrics_need_token: true\n  limits: { failures: { rate: 10000/s, burst: 100000 } }\n",
        "  store: registry.db\n",
        "approvals: {}\n",
    );
    fixture.edit("  tokens:\n", &format!("  console: true\n  tokens:\n{token}"));
    // A record holds its own hash, a rule is more than a schema says, and names have forms of their own: sound ones cannot be made up.
    let may_be_400 = |(path, also): (&str, &str)| {
        let accepted = format!("checks.positive_data_acceptance.expected-statuses = [\"2xx\", \"400\", \"413\"{also}]");
        format!("[[operations]]\ninclude-path = \"{path}\"\n{accepted}\n")
    };
    let operations = [
        ("/enroll", ""),
        ("/api/enroll/preview", ""),
        ("/api/explain", ", \"404\""),
        ("/api/tokens/draft", ", \"409\""),
        ("/api/evidence/check", ""),
    ];
    fixture.write("schemathesis.toml", &operations.map(may_be_400).concat());
    let process = fixture.serve();
    let output = Command::new("timeout")
        .args(["--kill-after=10", "300"])
        .arg(schemathesis)
        .args(["run", &format!("http://{}/openapi.json", process.hall())])
        .args(["--header", &format!("Authorization: Bearer {ALL}")])
        .args(["--checks=all", "--max-examples=25", "--seed=7", "--phases=examples,coverage,fuzzing", "--workers=1"])
        .args(["--no-color", "--request-timeout=10", "--max-response-time=5"])
        // A feed has no end. One would switch off what all others are asked for, and of the other 503 is the answer where there is no registry.
        .args([
            "--exclude-path",
            "/api/decisions/feed",
            "--exclude-path",
            "/api/server/go-offline",
            "--exclude-path",
            "/wcp/registry/verify/{worker_id}",
        ])
        .current_dir(fixture.path("."))
        .output()
        .unwrap();
    let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{complaint}");
    for phase in ["✅  Examples", "✅  Coverage", "✅  Fuzzing"] {
        assert!(said.contains(phase), "{phase} in:\n{said}{complaint}");
    }
    // It found nothing, and it broke nothing.
    assert_eq!(process.readiness(), Some(200));
    drop(process);
    fixture.verify();
}
