//! Entries against the canonical form, whatever callers send.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::engine::Mode;
use crate::engine::input::HttpFacts;
use crate::ids::SupervisorLevel;
use crate::ledger::format::record::{ActivationCause, Ending, ExchangeEnd, RegistryAction};
use crate::ledger::format::stamp::LONGEST;
use crate::ledger::tests::{decided, decision, of_unknown_tenant};

const ID: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001);

fn stamp(stream: &str) -> Stamp<'_> {
    Stamp { id: ID, recorded_at: "2026-01-01T00:00:00.000000+00:00", stream, previous: None }
}

fn written(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    push_record(&mut out, record, &stamp(":hall"));
    out
}

fn assert_canonical(bytes: &[u8]) -> Value {
    let value: Value = serde_json::from_slice(bytes).unwrap();
    let mut again = Vec::new();
    canonical::canonicalise(&value, &mut again).unwrap();
    assert_eq!(String::from_utf8_lossy(bytes), String::from_utf8_lossy(&again));
    value
}

#[test]
fn an_allowed_decision_has_the_receipt_of_the_specification() {
    let mut decision = decision("org.acme", engine::Outcome::Dispatch);
    let verdict = Arc::make_mut(&mut decision.verdict);
    (verdict.attestation_checked, verdict.attestation_valid) = (true, Some(true));
    let code = Some(Digest::of(b"code"));
    verdict.attested = Some(engine::Attested { registered: code, current: code });
    decision.input.http =
        Some(HttpFacts { method: Arc::from("POST"), host: Arc::from("orders"), path: Arc::from("/orders/1") });
    let token = Some("make".parse().unwrap());
    let raw_body = Some(Digest::of(b"{}"));
    let record = Record::Decision {
        decision: Arc::new(decision),
        door: Door::Gate,
        token,
        raw_body,
        worker_optional: true,
        kept: None,
    };
    let mut out = Vec::new();
    push_record(&mut out, &record, &Stamp { previous: Some(Digest::of(b"before")), ..stamp("org.acme") });
    assert_eq!(
        assert_canonical(&out),
        json!({
            "artifact_hash": Digest::of(b"artifact"), "asked": {"worker_optional": true},
            "blast_score": 45, "cached": false, "canon": "wcp-0.1/jcs",
            "capability_id": "cap.data.write.v1", "controls_verified": ["ctrl.obs.audit-log-append-only"],
            "correlation_id": "11111111-1111-4111-8111-111111111111", "current_hash": code, "data_label": "INTERNAL",
            "data_label_defaulted": false, "decision_id": "01990000-0000-7000-8000-000000000001",
            "dispatched_at": "2026-01-01T00:00:00.000000+00:00", "door": "gate", "dry_run": false, "env": "prod",
            "http": {"host": "orders", "method": "POST", "path": "/orders/1"}, "kind": "decision",
            "matched_rule_id": "rr_data_write_prod_001", "outcome": "DISPATCH", "policy_decision": "ALLOW",
            "policy_version": "policy.v1", "prev_receipt_hash": Digest::of(b"before"), "qos_class": "P2",
            "raw_body_hash": Digest::of(b"{}"), "receipt_id": "01990000-0000-7000-8000-000000000001",
            "recorded_at": "2026-01-01T00:00:00.000000+00:00", "registered_hash": code,
            "snapshot": Digest::of(b"snapshot"), "stream": "org.acme", "tenant_id": "org.acme", "tenant_risk": "low", "token": "make",
            "worker_attestation_checked": true, "worker_attestation_valid": true,
            "worker_id": "wrk_make_acme_prod", "worker_species_id": "wrk.data.writer",
        })
    );
}

#[test]
fn a_denial_and_a_dry_run_are_not_dispatched() {
    let denied = assert_canonical(&written(&decided(decision("org.acme", engine::Outcome::Deny))));
    assert_eq!(denied["policy_decision"], "DENY");
    assert_eq!(denied["deny_code"], DenyCode::NoMatchingRule.as_str());
    assert_eq!(denied["controls_verified"], json!([]));
    assert_eq!(denied.get("dispatched_at"), None);
    let held = assert_canonical(&written(&decided(decision("org.acme", engine::Outcome::Hold))));
    assert_eq!((&held["policy_decision"], &held["outcome"]), (&json!("REQUIRE_HUMAN"), &json!("STEWARD_HOLD")));
    assert_eq!((held.get("policies"), held.get("supervisor_level")), (None, None));
    let mut by_policy = decision("org.acme", engine::Outcome::Hold);
    let mut verdict = (*by_policy.verdict).clone();
    verdict.gated.policies = Arc::from([Arc::from("restricted_in_prod"), Arc::from("large")]);
    verdict.gated.supervisor = Some(SupervisorLevel::Executor);
    by_policy.verdict = Arc::new(verdict);
    let by_policy = assert_canonical(&written(&decided(by_policy)));
    assert_eq!(by_policy["policies"], json!(["restricted_in_prod", "large"]));
    assert_eq!(by_policy["supervisor_level"], "executor");
    let mut dry = decision("org.acme", engine::Outcome::Dispatch);
    dry.input.dry_run = true;
    let dry = assert_canonical(&written(&decided(dry)));
    assert_eq!((&dry["policy_decision"], dry.get("dispatched_at")), (&json!("ALLOW"), None));
}

#[test]
fn the_stream_is_a_tenants_only_when_the_tenant_is_known() {
    assert_eq!(tenant(&decided(of_unknown_tenant("rogue"))), None);
    assert_eq!(tenant(&decided(decision("org.acme", engine::Outcome::Deny))), Some("org.acme"));
}

#[test]
fn a_policy_that_comes_into_force_is_on_record_by_its_fingerprint() {
    let policy = |replaces| {
        Record::Policy(PolicyActivation {
            cause: if replaces { ActivationCause::Reload } else { ActivationCause::Start },
            snapshot: Digest::of(b"snapshot"),
            replaces: replaces.then(|| Digest::of(b"before")),
            version: Arc::from("policy.v1"),
            mode: Mode::Strict,
            rules: 7,
            workers: 3,
        })
    };
    assert_eq!(tenant(&policy(true)), None);
    assert_eq!(
        assert_canonical(&written(&policy(true))),
        json!({
            "canon": "wcp-0.1/jcs", "cause": "reload", "kind": "policy", "mode": "strict", "policy_version": "policy.v1",
            "prev_receipt_hash": null, "receipt_id": "01990000-0000-7000-8000-000000000001",
            "recorded_at": "2026-01-01T00:00:00.000000+00:00", "replaces": Digest::of(b"before"), "rules": 7,
            "snapshot": Digest::of(b"snapshot"), "stream": ":hall", "workers": 3,
        })
    );
    let first = assert_canonical(&written(&policy(false)));
    assert_eq!((&first["cause"], first.get("replaces")), (&json!("start"), None));
}

fn change(action: RegistryAction, record: &str) -> Record {
    Record::Registry(RegistryChange {
        action,
        worker: Some("wrk_a".into()),
        record: Some(record.into()),
        hash: Some(Digest::of(b"record")),
        reason: Some("as agreed".into()),
        token: Some("ops".parse().unwrap()),
        tenant: Some("org.acme".into()),
    })
}

#[test]
fn a_change_of_the_registry_is_on_record_whole_and_in_its_tenants_stream() {
    let enrolled = change(RegistryAction::Enrolled, r#"{"worker_id":"wrk_a"}"#);
    assert_eq!(tenant(&enrolled), Some("org.acme"));
    assert_eq!(
        assert_canonical(&written(&enrolled)),
        json!({
            "action": "enrolled", "canon": "wcp-0.1/jcs", "hash": Digest::of(b"record"), "kind": "registry",
            "prev_receipt_hash": null, "reason": "as agreed", "receipt_id": "01990000-0000-7000-8000-000000000001",
            "record": r#"{"worker_id":"wrk_a"}"#, "recorded_at": "2026-01-01T00:00:00.000000+00:00", "stream": ":hall",
            "tenant_id": "org.acme", "token": "ops", "worker_id": "wrk_a",
        })
    );
    // The longest that is enrolled, of what grows most when it is written.
    let longest = change(RegistryAction::Updated, &"\"".repeat(30_000));
    assert!(written(&longest).len() <= LONGEST, "{}", written(&longest).len());
}

proptest! {
    #[test]
    fn every_entry_is_canonical_and_fits_whatever_callers_send(
        texts in proptest::collection::vec(".{0,40}|[\\x00-\\x1f\"\\\\]{0,3000}|\u{1f600}{0,600}|\\PC{0,2500}", 8),
        flags in any::<(bool, bool, bool, Option<bool>)>(),
        score in any::<Option<i64>>(),
        counts in any::<(u64, u64, u64, Option<u16>)>(),
    ) {
        let text = |n: usize| Arc::<str>::from(texts[n].as_str());
        let outcome = if flags.0 { engine::Outcome::Dispatch } else { engine::Outcome::Deny };
        let mut decision = decision(&texts[0], outcome);
        let mut verdict = (*decision.verdict).clone();
        verdict.blast_score = score;
        verdict.attestation_valid = flags.3;
        verdict.matched_rule_id = text(6);
        verdict.required_controls = Arc::new(BTreeSet::from([text(7)]));
        verdict.gated.policies = vec![text(7); 20].into();
        if let Some(denial) = &mut verdict.denial {
            denial.message = texts[1].clone();
            verdict.would_be =
                Some(Box::new(engine::WouldBe { outcome: engine::Outcome::Hold, denial: denial.clone() }));
        }
        decision.verdict = Arc::new(verdict);
        decision.shadow =
            flags.2.then(|| engine::ShadowVerdict { verdict: Arc::clone(&decision.verdict), snapshot: Digest::of(b"z") });
        decision.input.capability_id = text(2);
        decision.input.worker_id = flags.1.then(|| text(3));
        decision.input.correlation_id = text(4);
        decision.input.dry_run = flags.2;
        decision.input.http = flags.1.then(|| HttpFacts { method: text(5), host: text(6), path: text(7) });
        let raw_body = flags.2.then(|| Digest::of(b"x"));
        let kept = Some(Box::new(crate::engine::kept_request::tests::largest(&texts)));
        let record = Record::Decision { decision: Arc::new(decision), door: Door::Gate, token: None, raw_body, worker_optional: false, kept };
        let bytes = written(&record);
        prop_assert!(bytes.len() <= LONGEST);
        assert_canonical(&bytes);

        let refusal = Record::Refusal(Refusal {
            door: Door::Api, code: DenyCode::MalformedClaim, message: texts[0].clone(), tenant: Some(text(1)),
            worker: flags.0.then(|| text(2)), token: None, correlation_id: flags.1.then(|| text(3)), raw_body,
        });
        let bytes = written(&refusal);
        prop_assert!(bytes.len() <= LONGEST);
        assert_canonical(&bytes);

        let ended = OutcomeEntry {
            decision_id: ID, decision_hash: Digest::of(b"y"), stream: text(0),
            outcome: ExchangeEnd {
                status: counts.3, request_bytes: counts.0, response_bytes: counts.1,
                duration: Duration::from_micros(counts.2), ending: Ending::ClientGone,
            },
        };
        let mut bytes = Vec::new();
        push_outcome(&mut bytes, &ended, &stamp(&texts[0]));
        assert_canonical(&bytes);
    }

    #[test]
    fn a_text_is_cut_at_a_character_and_says_so(text in "\\PC{0,60}", most in 1_usize..50) {
        let cut = cut(&text, most);
        prop_assert!(cut.chars().count() <= most);
        if text.chars().count() <= most {
            prop_assert_eq!(&*cut, &*text);
        } else {
            prop_assert!(cut.ends_with('…') && text.starts_with(cut.trim_end_matches('…')));
        }
    }
}
