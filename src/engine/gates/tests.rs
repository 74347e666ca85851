//! Each gate: a case that it passes, and one that it refuses.

mod holding;
mod observing;
mod overlay;
mod policy_gate;

use serde_json::json;

use super::*;
use crate::engine::input::tests::plain;
use crate::engine::input::{Binding, Facts, RouteInput};
use crate::engine::snapshot::{Attestation, Code, Envelope, Mode, Settings, Source, Worker, WorkerStatus};
use crate::engine::{Attested, Json, RuleSet};
use crate::ids::{Digest, Env, TenantRisk};

fn settings(mode: Mode) -> Settings {
    Settings { mode, require_worker_id: BTreeSet::new(), ..Settings::default() }
}

/// A writer that may do what the plain rule wants.
fn writer() -> Worker {
    Worker {
        implements: ["ctrl.audit".parse().unwrap()].into(),
        ..Worker::new(
            "wrk_writer".parse().unwrap(),
            "wrk.data.writer".parse().unwrap(),
            ["cap.data.write.v1".parse().unwrap()].into(),
        )
    }
}

/// The plain rule, with something else put into its decision.
fn rules(decision: serde_json::Value) -> serde_json::Value {
    let mut rule = json!({
        "rule_id": "write", "match": { "capability_id": "cap.data.write.v1" },
        "decision": {
            "candidate_workers_ranked": [{ "worker_species_id": "wrk.data.writer", "score_hint": 1.0 }],
            "required_controls_suggested": ["ctrl.audit"], "recommended_profiles": [{ "profile_id": "p" }],
        }
    });
    rule["decision"].as_object_mut().unwrap().extend(decision.as_object().unwrap().clone());
    json!({ "rules": [rule] })
}

fn snapshot(settings: Settings, rules: &serde_json::Value, workers: Vec<Worker>) -> Snapshot {
    let rules = RuleSet::parse(&rules.to_string(), settings.mode).unwrap();
    Snapshot::build(settings, rules, workers).unwrap()
}

fn strict(workers: Vec<Worker>) -> Snapshot {
    snapshot(settings(Mode::Strict), &rules(json!({})), workers)
}

fn ask(snapshot: &Snapshot, input: &RouteInput, binding: Binding) -> Verdict {
    decide(&Question::ask(input, &Facts { binding, ..Facts::default() }, snapshot), snapshot)
}

fn passes(snapshot: &Snapshot, input: &RouteInput) -> Verdict {
    let verdict = ask(snapshot, input, Binding::default());
    assert_eq!(verdict.denial, None);
    assert!(!verdict.denied());
    verdict
}

/// The code with which a request is refused, and its denial.
fn refuses(snapshot: &Snapshot, input: &RouteInput) -> (DenyCode, Verdict) {
    let verdict = ask(snapshot, input, Binding::default());
    assert!(verdict.denied());
    assert_eq!(verdict.selected_species, None);
    (verdict.denial.as_ref().unwrap().code, verdict)
}

fn named(id: &str) -> RouteInput {
    RouteInput { worker_id: Some(id.into()), ..plain() }
}

#[test]
fn a_plain_request_is_dispatched() {
    for mode in [Mode::Strict, Mode::Reference] {
        let snapshot = snapshot(settings(mode), &rules(json!({})), vec![writer()]);
        let verdict = passes(&snapshot, &plain());
        assert_eq!(verdict.selected_species.as_deref(), Some("wrk.data.writer"));
        assert_eq!((verdict.worker_id, verdict.blast_score), (None, Some(45)));
        assert_eq!(verdict.recommended_profiles.len(), 1);
        assert_eq!(verdict.candidates[0].skip_reason, None);
        use Event::{AttestationSkipped, BlastScored, PolicyGated, TaskRouted, WorkerSelected};
        assert_eq!(verdict.events, [BlastScored, AttestationSkipped, TaskRouted, WorkerSelected, PolicyGated]);
    }
}

#[test]
fn a_caller_asks_only_as_what_its_credential_is_bound_to() {
    let snapshot = strict(vec![writer()]);
    let bound = |tenant: &str, worker: &str, env| Binding {
        tenant: Some(tenant.parse().unwrap()),
        workers: Some(Arc::new([worker.parse().unwrap()].into())),
        envs: Some(Arc::new([env].into())),
        worker_optional: false,
    };
    let code = |binding| ask(&snapshot, &named("wrk_writer"), binding).denial.map(|denial| denial.code);
    assert_eq!(code(bound("org.acme", "wrk_writer", Env::Prod)), None);
    assert_eq!(code(bound("org.other", "wrk_writer", Env::Prod)), Some(DenyCode::UnknownTenant));
    assert_eq!(code(bound("org.acme", "wrk_other", Env::Prod)), Some(DenyCode::CredentialInvalid));
    assert_eq!(code(bound("org.acme", "wrk_writer", Env::Dev)), Some(DenyCode::EnvNotAllowed));
}

#[test]
fn tenants_are_listed_and_not_blank() {
    let listed =
        Settings { require_signatory: true, allowed_tenants: ["org.acme".into()].into(), ..settings(Mode::Reference) };
    let snapshot = snapshot(listed, &rules(json!({})), vec![writer()]);
    passes(&snapshot, &plain());
    let (code, verdict) = refuses(&snapshot, &RouteInput { tenant_id: "org.Acme".into(), ..plain() });
    assert_eq!((code, &*verdict.matched_rule_id), (DenyCode::UnknownTenant, "PRE_ROUTING"));
    assert_eq!(verdict.denial.unwrap().extras["tenant_id"], "org.Acme");
    let blank = RouteInput { tenant_id: " \u{1f}".into(), ..plain() };
    assert_eq!(refuses(&strict(vec![writer()]), &blank).0, DenyCode::MissingTenantId);
}

#[test]
fn no_request_holds_an_impossible_value() {
    let snapshot = strict(vec![writer()]);
    for score in [0, 84] {
        passes(&snapshot, &RouteInput { blast_score: Some(score), ..plain() });
    }
    for score in [-1, 101, i64::MIN, i64::MAX] {
        let (code, verdict) = refuses(&snapshot, &RouteInput { blast_score: Some(score), ..plain() });
        assert_eq!((code, &verdict.denial.unwrap().extras["blast_score"]), (DenyCode::InvalidInput, &json!(score)));
    }
    let malformed = RouteInput { capability_id: "cap.evil\nline".into(), ..plain() };
    assert_eq!(refuses(&snapshot, &malformed).0, DenyCode::InvalidInput);
}

#[test]
fn a_worker_is_named_where_the_policy_wants_one() {
    let policy = Settings { require_worker_id: [Env::Prod].into(), ..settings(Mode::Strict) };
    let snapshot = snapshot(policy, &rules(json!({})), vec![writer()]);
    assert_eq!(refuses(&snapshot, &plain()).0, DenyCode::MissingWorkerId);
    assert_eq!(refuses(&snapshot, &named("")).0, DenyCode::MissingWorkerId);
    passes(&snapshot, &RouteInput { env: Env::Dev, ..plain() });
    assert_eq!(passes(&snapshot, &named("wrk_writer")).worker_id.as_deref(), Some("wrk_writer"));
    let excused = Binding { worker_optional: true, ..Binding::default() };
    assert!(!ask(&snapshot, &plain(), excused).denied());
}

#[test]
fn shadows_deny_in_production_in_reference_mode() {
    let mut rules = rules(json!({}));
    let first = rules["rules"][0].clone();
    rules["rules"].as_array_mut().unwrap().push(json!({ "rule_id": "late", "match": first["match"], "decision": {} }));
    let snapshot = snapshot(settings(Mode::Reference), &rules, vec![writer()]);
    passes(&snapshot, &RouteInput { env: Env::Stage, ..plain() });
    let (code, verdict) = refuses(&snapshot, &plain());
    assert_eq!((code, &*verdict.matched_rule_id), (DenyCode::ShadowRulesDetected, "NO_MATCH"));
    assert_eq!(verdict.denial.unwrap().extras["shadowed_rule_ids"], json!(["late"]));
}

#[test]
fn no_match_denies() {
    let other = RouteInput { capability_id: "cap.data.read.v1".into(), ..plain() };
    assert_eq!(refuses(&strict(vec![writer()]), &other).0, DenyCode::NoMatchingRule);
    let empty = snapshot(settings(Mode::Strict), &json!({ "rules": [] }), Vec::new());
    assert_eq!(refuses(&empty, &plain()).0, DenyCode::NoMatchingRule);
}

#[test]
fn a_correlation_id_is_demanded_by_rule_or_floor() {
    let blank = RouteInput { correlation_id: "  ".into(), ..plain() };
    assert_eq!(refuses(&strict(vec![writer()]), &blank).0, DenyCode::MissingCorrelationId);
    let no_floor = Settings { enforce_correlation_id: false, ..settings(Mode::Strict) };
    let waived = rules(json!({ "preconditions": { "must_have_correlation_id": false } }));
    passes(&snapshot(no_floor, &waived, vec![writer()]), &blank);
}

#[test]
fn the_rules_controls_are_implemented() {
    let bare = Worker { implements: BTreeSet::new(), ..writer() };
    let (code, verdict) = refuses(&strict(vec![bare]), &plain());
    assert_eq!(code, DenyCode::MissingRequiredControls);
    assert_eq!(verdict.denial.unwrap().extras["missing"], json!(["ctrl.audit"]));
}

#[test]
fn in_strict_the_worker_itself_implements_them() {
    let bare = || Worker { worker_id: "wrk_bare".parse().unwrap(), implements: BTreeSet::new(), ..writer() };
    let elsewhere = || Worker { species: "wrk.other".parse().unwrap(), ..writer() };
    // S1: the control is implemented in the fleet, but by a worker of another species.
    let (code, verdict) = refuses(&strict(vec![bare(), elsewhere()]), &plain());
    assert_eq!(code, DenyCode::MissingRequiredControls);
    assert_eq!(verdict.candidates[0].skip_reason, Some("missing_controls"));
    passes(&snapshot(settings(Mode::Reference), &rules(json!({})), vec![bare(), elsewhere()]), &plain());
    let (code, _) = refuses(&strict(vec![bare(), writer()]), &named("wrk_bare"));
    assert_eq!(code, DenyCode::MissingRequiredControls);
    // S2: what the worker demands is implemented by nobody.
    let demanding = Worker { required_controls: ["ctrl.none".parse().unwrap()].into(), ..writer() };
    assert_eq!(refuses(&strict(vec![demanding]), &plain()).0, DenyCode::MissingRequiredControls);
}

#[test]
fn a_high_blast_score_needs_a_human_in_production() {
    let snapshot = strict(vec![writer()]);
    let (code, verdict) = refuses(&snapshot, &RouteInput { blast_score: Some(85), ..plain() });
    assert_eq!((code, verdict.blast_score), (DenyCode::RequiresHuman, Some(85)));
    assert!(verdict.escalation.human_required_default);
    assert_eq!(verdict.escalation.rationale.as_deref(), Some("REQUIRE_HUMAN_HIGH_BLAST"));
    assert_eq!(verdict.blast_gate_passed(), Some(false));
    passes(&snapshot, &RouteInput { blast_score: Some(84), ..plain() });
    passes(&snapshot, &RouteInput { blast_score: Some(100), env: Env::Stage, ..plain() });
    let mut loud = plain();
    loud.data_label = crate::ids::DataLabel::Restricted;
    loud.request = Json::parse(br#"{"writes": [0]}"#).unwrap();
    assert_eq!(passes(&snapshot, &loud).blast_score, Some(80));
    loud.request = Json::parse(br#"{"writes": [0], "external_call": "no"}"#).unwrap();
    assert_eq!(refuses(&snapshot, &loud).1.blast_score, Some(95));
}

#[test]
fn in_strict_the_workers_blast_sum_and_the_rules_limit_count() {
    let heavy = || Worker { blast_sum: Some(22), ..writer() };
    for input in [plain(), named("wrk_writer")] {
        assert_eq!(refuses(&strict(vec![heavy()]), &input).1.blast_score, Some(88));
        let reference = snapshot(settings(Mode::Reference), &rules(json!({})), vec![heavy()]);
        assert_eq!(passes(&reference, &input).blast_score, Some(45));
    }
    let limited = snapshot(settings(Mode::Strict), &rules(json!({ "max_blast": 29 })), vec![writer()]);
    let dev = RouteInput { env: Env::Dev, ..plain() };
    assert_eq!(refuses(&limited, &dev).0, DenyCode::RequiresHuman);
    passes(&limited, &RouteInput { data_label: crate::ids::DataLabel::Public, ..dev });
}

#[test]
fn what_cannot_be_checked_yet_denies() {
    let gate = rules(json!({ "escalation": { "policy_gate": true } }));
    let human = [
        json!({ "human_required_default": true }),
        json!({ "human_required_if": [{ "data_label": "RESTRICTED" }] }),
        json!({ "msavx_step_up": true }),
    ];
    for mode in [Mode::Strict, Mode::Reference] {
        assert_eq!(
            refuses(&snapshot(settings(mode), &gate, vec![writer()]), &plain()).0,
            DenyCode::PolicyGateUnconfigured
        );
        for escalation in &human {
            let snapshot = snapshot(settings(mode), &rules(json!({ "escalation": escalation })), vec![writer()]);
            match mode {
                Mode::Strict => assert_eq!(refuses(&snapshot, &plain()).0, DenyCode::RequiresHumanApproval),
                Mode::Reference => drop(passes(&snapshot, &plain())),
            }
        }
    }
}

/// A writer whose code was attested with this hash, in a file that a test need not have.
fn attested(id: &str, registered: Option<Digest>) -> Worker {
    let source = Source { path: Arc::from(std::path::Path::new(id)), within: None };
    let attestation = Attestation { registered, source: Some(source) };
    Worker { worker_id: id.parse().unwrap(), attestation, ..writer() }
}

/// The verdict when the code of whoever may act is what `code` says of each, and who they are.
fn with_code(snapshot: &Snapshot, input: &RouteInput, code: impl Fn(&str) -> Code) -> (Verdict, Vec<String>) {
    let question = Question::ask(input, &Facts::default(), snapshot);
    let acting = whose_code(&question, snapshot).unwrap();
    let who: Vec<String> = acting.iter().map(|acting| acting.who.to_string()).collect();
    let question = question.knowing(who.iter().map(|who| code(who)).collect());
    (decide(&question, snapshot), who)
}

#[test]
fn the_code_of_whoever_acts_is_what_was_attested() {
    let [right, wrong] = [Digest::of(b"right"), Digest::of(b"wrong")];
    for mode in [Mode::Strict, Mode::Reference] {
        let policy = || Settings { require_worker_attestation: true, ..settings(mode) };
        let snapshot_of = |workers| snapshot(policy(), &rules(json!({})), workers);
        let snapshot = snapshot_of(vec![attested("wrk_writer", Some(right))]);
        for input in [plain(), named("wrk_writer"), RouteInput { env: Env::Dev, ..plain() }] {
            // Nobody looked.
            assert_eq!(refuses(&snapshot, &input).0, DenyCode::AttestationUnconfigured);
            let told = |code| {
                let verdict = with_code(&snapshot, &input, |_| code).0;
                let denied = verdict.denial.as_ref().map(|denial| denial.code);
                let denial = format!("{:?}", verdict.denial);
                assert!(!denial.contains(&right.to_hex()) && !denial.contains(&wrong.to_hex()), "{denial}");
                (denied, verdict.attestation_checked, verdict.attestation_valid, verdict.attested)
            };
            let seen = |current| Some(Attested { registered: Some(right), current });
            assert_eq!(told(Code::Is(right)), (None, true, Some(true), seen(Some(right))));
            let tampered = Some(DenyCode::WorkerTampered);
            assert_eq!(told(Code::Is(wrong)), (tampered, true, Some(false), seen(Some(wrong))));
            assert_eq!(told(Code::Unavailable), (Some(DenyCode::WorkerHashUnavailable), false, None, seen(None)));
        }
        let (verdict, _) = with_code(&snapshot_of(vec![attested("wrk_writer", None)]), &plain(), |_| Code::Is(right));
        assert_eq!(verdict.denial.unwrap().code, DenyCode::WorkerAttestationMissing);
        // Where no rule matches, nobody's code is looked at.
        let nobody = RouteInput { capability_id: "cap.nobody".into(), ..plain() };
        assert_eq!(whose_code(&Question::ask(&nobody, &Facts::default(), &snapshot), &snapshot), None);
    }
}

#[test]
fn in_strict_each_worker_that_may_act_is_attested_by_itself() {
    let hash = |who: &str| Digest::of(who.as_bytes());
    let workers = || ["wrk_b", "wrk_a"].map(|id| attested(id, Some(hash(id)))).to_vec();
    let of = |mode| {
        let policy = Settings { require_worker_attestation: true, ..settings(mode) };
        snapshot(policy, &rules(json!({})), workers())
    };
    let strict = of(Mode::Strict);
    let (verdict, who) = with_code(&strict, &plain(), |who| Code::Is(hash(who)));
    assert_eq!((verdict.denied(), who, verdict.attested), (false, vec!["wrk_a".into(), "wrk_b".into()], None));
    let forged = |who: &str| if who == "wrk_b" { Code::Unavailable } else { Code::Is(hash(who)) };
    let (verdict, _) = with_code(&strict, &plain(), forged);
    assert_eq!(verdict.denial.as_ref().unwrap().code, DenyCode::WorkerHashUnavailable);
    assert_eq!(verdict.attested, Some(Attested { registered: Some(hash("wrk_b")), current: None }));
    let (verdict, who) = with_code(&strict, &named("wrk_a"), forged);
    assert_eq!((verdict.denied(), who), (false, vec!["wrk_a".into()]));
    // The reference knows one hash a species: that of the record that came last.
    let (verdict, who) = with_code(&of(Mode::Reference), &named("wrk_b"), |_| Code::Is(hash("wrk_a")));
    assert_eq!((verdict.denied(), who), (false, vec!["wrk.data.writer".into()]));
}

#[test]
fn in_strict_a_rule_may_demand_attestation_in_production() {
    let precondition = rules(json!({ "preconditions": { "deny_if_no_attestation_in_prod": true } }));
    let reference = snapshot(settings(Mode::Reference), &precondition, vec![writer()]);
    passes(&reference, &plain());
    let strict = snapshot(settings(Mode::Strict), &precondition, vec![writer()]);
    let (verdict, _) = with_code(&strict, &plain(), |_| Code::Unavailable);
    assert_eq!(verdict.denial.unwrap().code, DenyCode::WorkerAttestationMissing);
    passes(&strict, &RouteInput { env: Env::Stage, ..plain() });
}

#[test]
fn envelopes_are_held_against_the_allow_list() {
    let allowed = BTreeMap::from([(Env::Prod, BTreeSet::from(["db.internal".to_owned()]))]);
    let enveloped = |egress: &[&str]| {
        let egress = egress.iter().map(|to| Arc::from(*to)).collect();
        Worker { envelope: Some(Envelope { egress }), ..writer() }
    };
    let restricted = RouteInput { data_label: crate::ids::DataLabel::Restricted, ..plain() };
    for mode in [Mode::Strict, Mode::Reference] {
        let with = |egress_allowlist, worker| {
            let policy = Settings { enforce_privilege_envelopes: true, egress_allowlist, ..settings(mode) };
            snapshot(policy, &rules(json!({})), vec![worker])
        };
        let reason = |snapshot: &Snapshot, input: &RouteInput| {
            let (code, verdict) = refuses(snapshot, input);
            assert_eq!((code, verdict.privilege_envelope_ok()), (DenyCode::PrivilegeEnvelopeViolated, Some(false)));
            let extras = verdict.denial.unwrap().extras;
            assert_eq!(extras["worker_species_id"], "wrk.data.writer");
            extras["reason"].as_str().unwrap().to_owned()
        };
        let sound = with(allowed.clone(), enveloped(&["db.internal"]));
        assert_eq!(passes(&sound, &restricted).privilege_envelope_ok(), Some(true));
        let wide = with(allowed.clone(), enveloped(&["db.internal", "evil.example.org"]));
        assert_eq!(reason(&wide, &restricted), "egress_not_allowlisted:evil.example.org");
        passes(&wide, &plain());
        passes(&wide, &RouteInput { env: Env::Stage, ..restricted.clone() });
        let edge = RouteInput { env: Env::Edge, ..restricted.clone() };
        assert_eq!(reason(&sound, &edge), "egress_denied_no_allowlist_configured");
        passes(&with(BTreeMap::new(), enveloped(&[])), &restricted);
        // S3: nothing declared is nothing that could be held against the list.
        match mode {
            Mode::Strict => assert_eq!(reason(&with(allowed.clone(), writer()), &plain()), "no_envelope_declared"),
            Mode::Reference => drop(passes(&with(allowed.clone(), writer()), &restricted)),
        }
    }
    let by_rule = rules(json!({ "required_controls_suggested": ["ctrl.privilege-envelopes-required"] }));
    let able = Worker { implements: ["ctrl.privilege-envelopes-required".parse().unwrap()].into(), ..writer() };
    let (code, _) = refuses(&snapshot(settings(Mode::Strict), &by_rule, vec![able]), &plain());
    assert_eq!(code, DenyCode::PrivilegeEnvelopeViolated);
}

#[test]
fn a_named_worker_may_what_it_is_enrolled_for() {
    let with = |change: fn(&mut Worker)| {
        let mut worker = writer();
        change(&mut worker);
        // An able worker of the species is there, too: it must not stand in for the one that is named.
        let able = Worker { worker_id: "wrk_able".parse().unwrap(), ..writer() };
        [Mode::Strict, Mode::Reference].map(|mode| {
            let snapshot = snapshot(settings(mode), &rules(json!({})), vec![worker.clone(), able.clone()]);
            ask(&snapshot, &named("wrk_writer"), Binding::default()).denial.map(|denial| denial.code)
        })
    };
    assert_eq!(with(|_| {}), [None; 2]);
    assert_eq!(with(|worker| worker.status = WorkerStatus::Banned), [Some(DenyCode::WorkerBanned); 2]);
    assert_eq!(with(|worker| worker.status = WorkerStatus::Revoked), [Some(DenyCode::WorkerRevoked); 2]);
    assert_eq!(with(|worker| worker.capabilities.clear()), [Some(DenyCode::WorkerCapabilityMismatch); 2]);
    assert_eq!(
        with(|worker| worker.allowed_environments = Some([Env::Dev].into())),
        [Some(DenyCode::EnvNotAllowed); 2]
    );
    assert_eq!(with(|worker| worker.species = "wrk.other".parse().unwrap()), [Some(DenyCode::WorkerNotCandidate); 2]);
    assert_eq!(with(|worker| worker.worker_id = "wrk_else".parse().unwrap()), [Some(DenyCode::WorkerNotEnrolled); 2]);
}

#[test]
fn a_named_worker_may_have_a_capability_that_only_a_wide_rule_matches() {
    let mut wide = rules(json!({}));
    wide["rules"][0]["match"] = json!({});
    let snapshot = snapshot(settings(Mode::Strict), &wide, vec![writer()]);
    passes(&snapshot, &named("wrk_writer"));
    let undeclared = RouteInput { capability_id: "cap.data.read.v1".into(), ..named("wrk_writer") };
    assert_eq!(refuses(&snapshot, &undeclared).0, DenyCode::WorkerCapabilityMismatch);
}

#[test]
fn without_an_active_candidate_nothing_is_dispatched() {
    let banned = Worker { status: WorkerStatus::Banned, ..writer() };
    let controls =
        Worker { worker_id: "wrk_controls".parse().unwrap(), species: "wrk.other".parse().unwrap(), ..writer() };
    let (code, verdict) = refuses(&strict(vec![banned, controls]), &plain());
    assert_eq!((code, verdict.candidates[0].skip_reason), (DenyCode::NoAvailableWorker, Some("unavailable")));
    let dev = Worker { allowed_environments: Some([Env::Dev].into()), ..writer() };
    let (code, verdict) = refuses(&strict(vec![dev]), &plain());
    assert_eq!((code, verdict.candidates[0].skip_reason), (DenyCode::EnvNotAllowed, Some("environment_not_allowed")));
}

#[test]
fn a_tenants_risk_may_be_raised_and_not_lowered() {
    let policy =
        Settings { tenants: [("org.acme".parse().unwrap(), TenantRisk::Medium)].into(), ..settings(Mode::Strict) };
    let snapshot = snapshot(policy, &rules(json!({})), vec![writer()]);
    let risk = |tenant: &str, tenant_risk| {
        snapshot.tenant_risk(&RouteInput { tenant_id: tenant.into(), tenant_risk, ..plain() })
    };
    assert_eq!(risk("org.acme", None), TenantRisk::Medium);
    assert_eq!(risk("org.acme", Some(TenantRisk::Low)), TenantRisk::Medium);
    assert_eq!(risk("org.acme", Some(TenantRisk::Critical)), TenantRisk::Critical);
    assert_eq!(risk("org.unknown", Some(TenantRisk::Low)), TenantRisk::High);
}

#[test]
fn a_snapshot_is_checked_as_a_whole_and_named_by_what_is_in_it() {
    let strictly = |workers| {
        let rules = RuleSet::parse(&rules(json!({})).to_string(), Mode::Strict).unwrap();
        Snapshot::build(settings(Mode::Strict), rules, workers)
    };
    let problems = strictly(Vec::new()).unwrap_err();
    assert_eq!(problems[0].path, "rules[0].decision.candidate_workers_ranked[0].worker_species_id");
    assert!(strictly(vec![writer(), writer()]).is_err());
    let one = strictly(vec![writer()]).unwrap().fingerprint;
    assert_eq!(one, strictly(vec![writer()]).unwrap().fingerprint);
    assert_ne!(one, strictly(vec![Worker { blast_sum: Some(0), ..writer() }]).unwrap().fingerprint);
    assert_ne!(one, strictly(vec![Worker { status: WorkerStatus::Banned, ..writer() }]).unwrap().fingerprint);
    let attested_as = |code: &[u8]| strictly(vec![attested("wrk_writer", Some(Digest::of(code)))]).unwrap().fingerprint;
    assert_ne!(attested_as(b"a"), attested_as(b"b"));
    let enveloped = Worker { envelope: Some(Envelope::default()), ..writer() };
    assert_ne!(one, strictly(vec![enveloped]).unwrap().fingerprint);
    // In reference mode the record that comes last is the one that counts.
    let ordered = |ids: [&str; 2]| {
        let workers = ids.map(|id| attested(id, Some(Digest::of(id.as_bytes())))).to_vec();
        snapshot(settings(Mode::Reference), &rules(json!({})), workers).fingerprint
    };
    assert_ne!(ordered(["wrk_a", "wrk_b"]), ordered(["wrk_b", "wrk_a"]));
}

#[test]
fn a_capability_that_nobody_has_described_is_denied_where_the_policy_wants_it() {
    let policy = |mode| Settings { require_known_capability: true, ..settings(mode) };
    for mode in [Mode::Strict, Mode::Reference] {
        let build = || {
            let parsed = RuleSet::parse(&rules(json!({})).to_string(), mode).unwrap();
            Snapshot::build(policy(mode), parsed, vec![writer()]).unwrap()
        };
        let said = |snapshot: &Snapshot, capability: &str| {
            let input = RouteInput { capability_id: capability.into(), ..plain() };
            let verdict = decide(&Question::ask(&input, &Facts::default(), snapshot), snapshot);
            verdict.denial.map(|denial| denial.code)
        };
        let built_in = build();
        assert_eq!(said(&built_in, "cap.data.write.v1"), None);
        assert_eq!(said(&built_in, "cap.data.write"), Some(DenyCode::UnknownCapability));
        let entities = r#"{"entities": [{"id": "cap.data.write", "type": "capability"}]}"#;
        let catalogued = build().catalogued_by(crate::engine::Catalogue::parse(entities).unwrap());
        assert_eq!(said(&catalogued, "cap.data.write"), Some(DenyCode::NoMatchingRule));
        assert_ne!(built_in.fingerprint, catalogued.fingerprint);
    }
}
