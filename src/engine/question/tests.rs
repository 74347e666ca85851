//! Laws over random policies and requests.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::engine::Json;
use crate::engine::input::tests::plain;
use crate::engine::snapshot::{Acting, Attestation, Envelope, Settings, Worker, WorkerStatus};
use crate::engine::{Decision, Outcome, RuleSet, decide, route_decision, whose_code};
use crate::ids::Digest;

const CAPABILITIES: [&str; 4] = ["cap.data.write.v1", "cap.data.read.v1", "cap.ml.infer", "cap.nobody"];
const SPECIES: [&str; 3] = ["wrk.a", "wrk.b", "wrk.c"];
const CONTROLS: [&str; 4] = ["ctrl.a", "ctrl.b", "ctrl.blast_radius_scoring", "ctrl.privilege_envelopes_required"];

fn some_of<T: Clone + std::fmt::Debug + 'static>(all: &'static [T], most: usize) -> impl Strategy<Value = Vec<T>> {
    proptest::sample::subsequence(all, 0..=most)
}

fn condition(values: Vec<&'static str>) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        4 => Just(None),
        1 => Just(Some(json!({ "any": true }))),
        2 => proptest::sample::select(values.clone()).prop_map(|value| Some(json!(value))),
        2 => proptest::sample::subsequence(values, 1..=3).prop_map(|values| Some(json!({ "in": values }))),
    ]
}

fn rule() -> impl Strategy<Value = Value> {
    let names = |all: &[&'static str]| all.to_vec();
    let conditions = (
        condition(names(&CAPABILITIES[..3])),
        condition(names(&["dev", "stage", "prod", "edge"])),
        condition(names(&["PUBLIC", "INTERNAL", "CONFIDENTIAL", "RESTRICTED"])),
        condition(names(&["low", "medium", "high", "critical"])),
        condition(names(&["P0", "P1", "P2", "P3"])),
    );
    let flags = proptest::array::uniform4(proptest::bool::weighted(0.2));
    (conditions, some_of(&SPECIES, 2), some_of(&CONTROLS, 2), flags, proptest::option::of(0..100_u8)).prop_map(
        |((capability_id, env, data_label, tenant_risk, qos_class), species, controls, flags, max_blast)| {
            let [gate, human, no_correlation, no_controls] = flags;
            let mut decision = json!({
                "candidate_workers_ranked": species.iter().map(|species| json!({ "worker_species_id": species })).collect::<Vec<_>>(),
                "required_controls_suggested": controls,
                "escalation": { "policy_gate": gate, "human_required_default": human },
                "preconditions": { "must_have_correlation_id": !no_correlation, "deny_if_missing_required_controls": !no_controls },
            });
            if let Some(max_blast) = max_blast {
                decision["max_blast"] = json!(max_blast);
            }
            json!({
                "match": { "capability_id": capability_id, "env": env, "data_label": data_label, "tenant_risk": tenant_risk, "qos_class": qos_class },
                "decision": decision,
            })
        },
    )
}

fn settings() -> impl Strategy<Value = Settings> {
    (any::<bool>(), proptest::array::uniform7(proptest::bool::weighted(0.4))).prop_map(|(strict, flags)| {
        let [signatory, attestation, correlation, controls, blast, envelopes, worker] = flags;
        Settings {
            mode: if strict { Mode::Strict } else { Mode::Reference },
            version: "v".into(),
            require_worker_id: if worker { [Env::Prod].into() } else { [].into() },
            require_signatory: signatory,
            allowed_tenants: ["org.acme".into(), " ".into()].into(),
            require_worker_attestation: attestation && envelopes,
            enforce_correlation_id: correlation,
            enforce_required_controls: controls,
            enforce_blast_scoring_in_prod: blast,
            enforce_privilege_envelopes: envelopes && signatory,
            egress_allowlist: [(Env::Prod, ["db.internal".to_owned()].into())].into(),
            tenants: [("org.acme".parse().unwrap(), TenantRisk::Low)].into(),
            ..Settings::default()
        }
    })
}

fn worker(at: usize) -> impl Strategy<Value = Worker> {
    let parsed = |texts: Vec<&str>| texts.into_iter().map(|text| text.parse().unwrap()).collect();
    let status = prop_oneof![
        4 => Just(WorkerStatus::Active),
        2 => Just(WorkerStatus::Unverified),
        1 => Just(WorkerStatus::Revoked),
        1 => Just(WorkerStatus::Banned),
    ];
    let envs = proptest::option::weighted(0.3, some_of(Env::ALL, 3));
    let envelope = proptest::option::of(some_of(&["db.internal", "elsewhere"], 2));
    let declared = (proptest::option::of(0..=25_u8), proptest::option::weighted(0.7, any::<u8>()), envelope);
    (some_of(&CAPABILITIES, 3), some_of(&CONTROLS, 4), status, envs, declared).prop_map(
        move |(capabilities, controls, status, envs, (blast_sum, code, envelope))| Worker {
            implements: parsed(controls),
            allowed_environments: envs.map(|envs| envs.into_iter().collect()),
            blast_sum,
            status,
            attestation: Attestation { registered: code.map(|code| Digest::of(&[code])), source: None },
            envelope: envelope.map(|to| Envelope { egress: to.into_iter().map(Arc::from).collect() }),
            ..Worker::new(
                format!("wrk_{at}").parse().unwrap(),
                SPECIES[at % SPECIES.len()].parse().unwrap(),
                capabilities.into_iter().map(|text| text.parse().unwrap()).collect(),
            )
        },
    )
}

/// A random policy that loads.
fn policy() -> impl Strategy<Value = Snapshot> {
    parts().prop_map(|(settings, rules, workers)| build(settings, &rules, workers))
}

fn build(settings: Settings, rules: &[Value], workers: Vec<Worker>) -> Snapshot {
    let rules = RuleSet::parse(&json!({ "rules": rules }).to_string(), settings.mode).unwrap();
    Snapshot::build(settings, rules, workers).unwrap()
}

/// The parts of a policy. Most strict ones of several rules would hold a shadow, so rules that do are left out.
fn parts() -> impl Strategy<Value = (Settings, Vec<Value>, Vec<Worker>)> {
    let workers = (worker(0), worker(1), worker(2), worker(3)).prop_map(|(a, b, c, d)| vec![a, b, c, d]);
    (settings(), proptest::collection::vec(rule(), 0..6), workers).prop_map(|(settings, written, workers)| {
        let mut kept = Vec::new();
        for (at, mut rule) in written.into_iter().enumerate() {
            rule["rule_id"] = json!(format!("r{at}"));
            kept.push(rule);
            if RuleSet::parse(&json!({ "rules": kept }).to_string(), settings.mode).is_err() {
                kept.pop();
            }
        }
        (settings, kept, workers)
    })
}

fn input() -> impl Strategy<Value = RouteInput> {
    let texts = (
        proptest::sample::select(&CAPABILITIES[..]),
        proptest::option::of(proptest::sample::select(&["wrk_0", "wrk_1", "wrk_2", "wrk_3", "wrk_9", ""][..])),
        proptest::sample::select(&["org.acme", "org.other", " ", ""][..]),
        proptest::sample::select(&["c-1", " ", ""][..]),
        proptest::sample::select(
            &[
                "{}",
                "{\"egress\":true}",
                "{\"writes\":1,\"egress\":0}",
                "{\"mutates_state\":[1],\"external_call\":\"x\"}",
            ][..],
        ),
    );
    let env = proptest::sample::select(Env::ALL);
    let label = proptest::sample::select(DataLabel::ALL);
    let risk = proptest::option::of(proptest::sample::select(TenantRisk::ALL));
    let qos = proptest::sample::select(QosClass::ALL);
    let blast = proptest::option::of(prop_oneof![8 => 0..=100_i64, 1 => Just(-1), 1 => Just(101)]);
    (texts, env, label, risk, qos, blast, any::<bool>()).prop_map(
        |(
            (capability, worker, tenant, correlation, request),
            env,
            data_label,
            tenant_risk,
            qos_class,
            blast_score,
            dry_run,
        )| RouteInput {
            capability_id: capability.into(),
            worker_id: worker.map(Arc::from),
            env,
            data_label,
            tenant_id: tenant.into(),
            tenant_risk,
            qos_class,
            correlation_id: correlation.into(),
            request: Json::parse(request.as_bytes()).unwrap(),
            blast_score,
            dry_run,
            ..plain()
        },
    )
}

/// The question with the code of whoever may act: all of it as attested, or not.
fn knowing(question: Question, snapshot: &Snapshot, intact: bool) -> Question {
    let Some(acting) = whose_code(&question, snapshot) else { return question };
    let code = |acting: &Arc<Acting>| match acting.attestation.registered {
        Some(hash) if intact => Code::Is(hash),
        _ => Code::Unavailable,
    };
    question.knowing(acting.iter().map(code).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// What the question leaves out, the verdict does not depend on: with everything in the question it is the same.
    #[test]
    fn what_is_unread_changes_nothing(snapshot in policy(), inputs in proptest::collection::vec((input(), any::<bool>()), 1..20)) {
        for (input, intact) in inputs {
            let whole = Question::project(&input, &Facts::default(), &snapshot, Reads::ALL);
            let whole = knowing(whole, &snapshot, intact);
            let asked = knowing(Question::ask(&input, &Facts::default(), &snapshot), &snapshot, intact);
            prop_assert_eq!(decide(&whole, &snapshot), decide(&asked, &snapshot));
        }
    }

    /// Equal questions have equal verdicts, and unequal verdicts come from unequal questions, also over another snapshot.
    #[test]
    fn a_remembered_verdict_is_the_one_that_would_be_given(
        snapshots in proptest::collection::vec(policy(), 1..3),
        inputs in proptest::collection::vec((input(), any::<bool>()), 1..40),
    ) {
        let mut remembered = std::collections::HashMap::new();
        for snapshot in &snapshots {
            for (input, intact) in &inputs {
                let question = knowing(Question::ask(input, &Facts::default(), snapshot), snapshot, *intact);
                let verdict = decide(&question, snapshot);
                let first = remembered.entry(question).or_insert_with(|| verdict.clone());
                prop_assert_eq!(&*first, &verdict);
            }
        }
    }

    /// One more control that a rule requires allows nothing that was denied. In strict it may pass one candidate over, or one
    /// worker of its species, and so let another one act, whose own code, envelope and blast sum count then: the law is that of a
    /// worker that is named, or of a rule for which one worker alone may act.
    #[test]
    fn one_more_control_allows_nothing(
        (settings, rules, workers) in parts(),
        (at, control) in (any::<proptest::sample::Index>(), proptest::sample::select(&CONTROLS[..])),
        inputs in proptest::collection::vec((input(), any::<bool>()), 1..20),
    ) {
        prop_assume!(!rules.is_empty());
        let mut more = rules.clone();
        let rule = &mut more[at.index(rules.len())]["decision"];
        let candidates = rule["candidate_workers_ranked"].as_array().unwrap();
        let named_by_rule = |worker: &Worker| candidates.iter().any(|one| one["worker_species_id"] == worker.species.as_str());
        let choice = candidates.len() > 1 || workers.iter().filter(|worker| named_by_rule(worker)).count() > 1;
        rule["required_controls_suggested"].as_array_mut().unwrap().push(json!(control));
        let strict = settings.mode == Mode::Strict;
        let before = build(settings.clone(), &rules, workers.clone());
        let after = build(settings, &more, workers);
        for (input, intact) in inputs {
            if strict && choice && named(&input).is_none() {
                continue;
            }
            let denied = |snapshot| {
                decide(&knowing(Question::ask(&input, &Facts::default(), snapshot), snapshot, intact), snapshot).denied()
            };
            prop_assert!(denied(&after) || !denied(&before), "{:?}", input);
        }
    }

    /// A denial is everything but a dispatch; a dispatch names a species, a denial a reason; without rules there is no dispatch.
    #[test]
    fn denied_is_not_dispatched(snapshot in policy(), input in input(), intact: bool) {
        let verdict = decide(&knowing(Question::ask(&input, &Facts::default(), &snapshot), &snapshot, intact), &snapshot);
        prop_assert_eq!(verdict.denied(), verdict.outcome != Outcome::Dispatch);
        prop_assert_eq!(verdict.denied(), verdict.denial.is_some());
        prop_assert_eq!(verdict.denied(), verdict.selected_species.is_none());
        prop_assert!(verdict.denied() || !snapshot.rules.is_empty());
        let decision = Decision::new(input, Arc::new(verdict), &snapshot, false);
        let written = serde_json::to_value(route_decision(&decision, "d", "t")).unwrap();
        prop_assert_eq!(written.as_object().unwrap().len(), 23);
        prop_assert_eq!(written["denied"].as_bool(), Some(decision.verdict.denied()));
    }
}
