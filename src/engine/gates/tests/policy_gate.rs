//! The policy gate, whatever stands behind it, and what needs a human.

use super::*;
use crate::engine::policy_gate::fixed::FixedGate;
use crate::engine::policy_gate::{Asked, GateReads, Ruling};
use crate::ids::SupervisorLevel;

/// A gate that reads everything, and is asked of the plain request alone.
fn says(ruling: Ruling) -> Arc<FixedGate> {
    fn sees(asked: &Asked<'_>) {
        assert_eq!((asked.tenant, asked.capability), (Some("org.acme"), Some("cap.data.write.v1")));
        assert_eq!((asked.blast, asked.species), (Some(45), Some("wrk.data.writer")));
    }
    Arc::new(FixedGate { reads: GateReads::ALL, sees, ..FixedGate::says(ruling) })
}

fn gated(mode: Mode, ruling: Ruling, mut escalation: serde_json::Value) -> Snapshot {
    escalation["policy_gate"] = json!(true);
    let rules = rules(json!({ "escalation": escalation }));
    snapshot(settings(mode), &rules, vec![writer()]).gated_by(says(ruling))
}

#[test]
fn the_gates_word_is_final() {
    for mode in [Mode::Strict, Mode::Reference] {
        let verdict = passes(&gated(mode, Ruling::Allow, json!({})), &plain());
        assert_eq!((&*verdict.gated.policies, verdict.gated.supervisor), (&["p".into()][..], None));
        for (ruling, code) in [
            (Ruling::Deny, DenyCode::PolicyGate),
            (Ruling::Erred, DenyCode::PolicyGate),
            (Ruling::Failed, DenyCode::InternalError),
        ] {
            let (found, verdict) = refuses(&gated(mode, ruling, json!({})), &plain());
            assert_eq!((found, verdict.outcome), (code, Outcome::Deny));
            assert_eq!(verdict.gated.erred, ruling == Ruling::Erred);
            let extras = verdict.denial.unwrap().extras;
            if ruling == Ruling::Failed {
                assert!(extras.is_empty());
            } else {
                assert_eq!((&extras["reason"], &extras["policy_version"]), (&json!("because"), &json!("policy.v0")));
                assert_eq!(verdict.escalation.rationale.as_deref(), Some("because"));
            }
        }
    }
}

#[test]
fn a_human_is_needed_or_told() {
    for level in SupervisorLevel::ALL {
        let snapshot = gated(Mode::Strict, Ruling::RequireHuman(*level), json!({}));
        if *level == SupervisorLevel::Advisory {
            assert_eq!(passes(&snapshot, &plain()).gated.supervisor, Some(*level));
            continue;
        }
        let (code, verdict) = refuses(&snapshot, &plain());
        assert_eq!((code, verdict.outcome), (DenyCode::RequiresHumanApproval, Outcome::Hold));
        assert_eq!(verdict.gated.supervisor, Some(*level));
        assert!(verdict.escalation.human_required_default);
        let extras = verdict.denial.unwrap().extras;
        assert_eq!(
            (&extras["supervisor_required"], &extras["supervisor_level"]),
            (&json!(true), &json!(level.as_str()))
        );
    }
}

#[test]
fn what_a_later_gate_refuses_is_not_the_policies_doing() {
    let attested = Settings { require_worker_attestation: true, ..settings(Mode::Strict) };
    let rules = rules(json!({ "escalation": { "policy_gate": true } }));
    for ruling in [Ruling::Allow, Ruling::RequireHuman(SupervisorLevel::Advisory)] {
        let snapshot = snapshot(attested.clone(), &rules, vec![writer()]).gated_by(says(ruling));
        let (code, verdict) = refuses(&snapshot, &plain());
        assert_eq!((code, verdict.gated), (DenyCode::AttestationUnconfigured, Gated::default()));
    }
}

#[test]
fn in_strict_a_rule_asks_for_a_human_whatever_the_policies_say() {
    let fields = [
        json!({ "human_required_default": true }),
        json!({ "human_required_if": [{ "data_label": "RESTRICTED" }] }),
        json!({ "msavx_step_up": true, "rationale": "two of them" }),
    ];
    for (field, reason) in fields.iter().zip(["human_required_default", "human_required_if", "two of them"]) {
        let (code, verdict) = refuses(&gated(Mode::Strict, Ruling::Allow, field.clone()), &plain());
        assert_eq!((code, verdict.outcome), (DenyCode::RequiresHumanApproval, Outcome::Hold));
        assert_eq!(
            (verdict.denial.unwrap().extras["reason"].as_str(), verdict.gated.policies.len()),
            (Some(reason), 0)
        );
        passes(&gated(Mode::Reference, Ruling::Allow, field.clone()), &plain());
        let advised = gated(Mode::Strict, Ruling::RequireHuman(SupervisorLevel::Advisory), field.clone());
        assert_eq!(refuses(&advised, &plain()).1.gated.supervisor, Some(SupervisorLevel::Gatekeeper));
        let by_hand = gated(Mode::Strict, Ruling::RequireHuman(SupervisorLevel::Executor), field.clone());
        assert_eq!(refuses(&by_hand, &plain()).1.gated.supervisor, Some(SupervisorLevel::Executor));
        assert_eq!(refuses(&gated(Mode::Strict, Ruling::Deny, field.clone()), &plain()).0, DenyCode::PolicyGate);
    }
    let nothing = json!({ "human_required_default": false, "human_required_if": [], "msavx_step_up": false });
    passes(&gated(Mode::Strict, Ruling::Allow, nothing), &plain());
}

#[test]
fn a_forbid_counts_whatever_the_rule_asks_in_strict() {
    let unmarked = |mode, ruling| snapshot(settings(mode), &rules(json!({})), vec![writer()]).gated_by(says(ruling));
    for (ruling, code) in [
        (Ruling::Deny, DenyCode::PolicyGate),
        (Ruling::Erred, DenyCode::PolicyGate),
        (Ruling::Failed, DenyCode::InternalError),
        (Ruling::RequireHuman(SupervisorLevel::Gatekeeper), DenyCode::RequiresHumanApproval),
    ] {
        assert_eq!(refuses(&unmarked(Mode::Strict, ruling), &plain()).0, code);
        // As in the reference, only a rule with the mark asks.
        let unasked = unmarked(Mode::Reference, ruling);
        assert_eq!(passes(&unasked, &plain()).gated, Gated::default());
        let plainly = snapshot(settings(Mode::Reference), &rules(json!({})), vec![writer()]);
        assert_eq!((unasked.reads, unasked.fingerprint == plainly.fingerprint), (plainly.reads, false));
    }
    let told = unmarked(Mode::Strict, Ruling::RequireHuman(SupervisorLevel::Advisory));
    assert_eq!(passes(&told, &plain()).gated.supervisor, Some(SupervisorLevel::Advisory));
    // Where nothing forbids, nothing is asked or read.
    let plainly = snapshot(settings(Mode::Strict), &rules(json!({})), vec![writer()]);
    let unasked = unmarked(Mode::Strict, Ruling::Allow);
    assert_eq!((unasked.reads, passes(&unasked, &plain()).gated), (plainly.reads, Gated::default()));
}

#[test]
fn the_gate_is_asked_about_workers_that_may_act() {
    let hold = gated(Mode::Strict, Ruling::RequireHuman(SupervisorLevel::Gatekeeper), json!({}));
    assert_eq!(refuses(&hold, &named("wrk_unknown")).0, DenyCode::WorkerNotEnrolled);
    assert_eq!(refuses(&hold, &named("wrk_writer")).0, DenyCode::RequiresHumanApproval);
    let other = gated(Mode::Strict, Ruling::Allow, json!({}));
    assert_ne!(hold.fingerprint, other.fingerprint);
}
