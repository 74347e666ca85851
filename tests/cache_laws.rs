//! The law of the cache: over random policies, requests and reloads, a remembered verdict is the one that would be given now.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

#[path = "policy/gated.rs"]
mod gated;
#[path = "../src/policy/tests/random.rs"]
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hallgate::cache::{Settings as CacheSettings, Verdicts};
use hallgate::engine::input::HttpFacts;
use hallgate::engine::rules::RuleSet;
use hallgate::engine::snapshot::{Worker, WorkerStatus};
use hallgate::engine::{
    Binding, Decision, Facts, Json, Mode, Question, RouteInput, Settings, Snapshot, decide, route_decision,
};
use hallgate::ids::{DataLabel, Env, QosClass, TenantRisk};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree as _;

use gated::gated_by;

const CAPABILITIES: [&str; 3] = ["cap.data.read.v1", "cap.data.write.v1", "cap.ml.infer"];
const SPECIES: [&str; 3] = ["wrk.data.reader", "wrk.data.writer", "wrk.ml.inferer"];
const WORKERS: [&str; 4] = ["wrk_a", "wrk_b", "wrk_c", "wrk_unknown"];
const CONTROLS: [&str; 2] = ["ctrl.obs.audit-log-append-only", "ctrl.blast_radius_scoring"];
const TENANTS: [&str; 4] = ["org.acme", "org.globex", "rogue", ""];

fn condition(values: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        2 => Just(None),
        3 => select(values).prop_map(|value| Some(format!("\"{value}\""))),
        2 => subsequence(values, 1..=values.len()).prop_map(|some| Some(format!("{{\"in\":{some:?}}}"))),
        1 => Just(Some("{\"any\":true}".to_owned())),
    ]
}

fn rules() -> impl Strategy<Value = String> {
    let rule = (
        condition(&CAPABILITIES),
        condition(&["dev", "stage", "prod", "edge"]),
        condition(&["PUBLIC", "INTERNAL", "CONFIDENTIAL", "RESTRICTED"]),
        condition(&["low", "medium", "high"]),
        condition(&["P0", "P1", "P2", "P3"]),
        subsequence(&SPECIES, 0..=3),
        subsequence(&CONTROLS, 0..=2),
        any::<(bool, bool)>(),
    );
    vec(rule, 0..6).prop_map(|rules| {
        let rules: Vec<String> = rules
            .into_iter()
            .enumerate()
            .map(|(n, (capability, env, label, risk, qos, species, controls, (correlation, gate)))| {
                let conditions: Vec<String> = [
                    ("capability_id", capability),
                    ("env", env),
                    ("data_label", label),
                    ("tenant_risk", risk),
                    ("qos_class", qos),
                ]
                .into_iter()
                .filter_map(|(key, condition)| condition.map(|condition| format!("\"{key}\":{condition}")))
                .collect();
                let candidates: Vec<String> =
                    species.iter().map(|species| format!("{{\"worker_species_id\":\"{species}\"}}")).collect();
                format!(
                    "{{\"rule_id\":\"rr_{n}\",\"match\":{{{}}},\"decision\":{{\"candidate_workers_ranked\":[{}],\
                     \"required_controls_suggested\":{controls:?},\"escalation\":{{\"policy_gate\":{gate}}},\
                     \"preconditions\":{{\"must_have_correlation_id\":{correlation}}}}}}}",
                    conditions.join(","),
                    candidates.join(",")
                )
            })
            .collect();
        format!("{{\"rules\":[{}]}}", rules.join(","))
    })
}

fn workers() -> impl Strategy<Value = Vec<Worker>> {
    vec((select(&SPECIES[..]), subsequence(&CAPABILITIES, 0..=3), subsequence(&CONTROLS, 0..=2), 0..4_usize), 0..3)
        .prop_map(|workers| {
            workers
                .into_iter()
                .zip(WORKERS)
                .map(|((species, capabilities, controls, status), id)| Worker {
                    implements: controls.iter().map(|text| text.parse().unwrap()).collect(),
                    status: [
                        WorkerStatus::Active,
                        WorkerStatus::Revoked,
                        WorkerStatus::Banned,
                        WorkerStatus::Unverified,
                    ][status],
                    ..Worker::new(
                        id.parse().unwrap(),
                        species.parse().unwrap(),
                        capabilities.iter().map(|text| text.parse().unwrap()).collect(),
                    )
                })
                .collect()
        })
}

fn policy() -> impl Strategy<Value = Arc<Snapshot>> {
    let policies = option::weighted(0.8, random::policies());
    (rules(), workers(), any::<[bool; 5]>(), policies).prop_filter_map("loads", |(rules, workers, flags, policies)| {
        let [strict, signatory, correlation, controls, blast] = flags;
        let mode = if strict { Mode::Strict } else { Mode::Reference };
        let settings = Settings {
            mode,
            require_worker_id: BTreeSet::from([Env::Prod]),
            require_signatory: signatory,
            allowed_tenants: BTreeSet::from([Arc::from("org.acme"), Arc::from("")]),
            enforce_correlation_id: correlation,
            enforce_required_controls: controls,
            enforce_blast_scoring_in_prod: blast,
            tenants: BTreeMap::from([("org.acme".parse().unwrap(), TenantRisk::Low)]),
            ..Settings::default()
        };
        let rules = RuleSet::parse(&rules, mode).ok()?;
        let snapshot = Snapshot::build(settings, rules, workers).ok()?;
        Some(Arc::new(match policies {
            None => snapshot,
            Some(text) => {
                let file = tempfile::NamedTempFile::with_suffix(".cedar").unwrap();
                std::fs::write(file.path(), text).unwrap();
                snapshot.gated_by(Arc::new(hallgate::policy::load(file.path()).ok()?))
            }
        }))
    })
}

fn input() -> impl Strategy<Value = RouteInput> {
    let who = (select(&CAPABILITIES[..]), option::of(select(&WORKERS[..])), select(&TENANTS[..]));
    let what = (
        select(Env::ALL),
        select(DataLabel::ALL),
        select(&[TenantRisk::Low, TenantRisk::Medium, TenantRisk::High][..]),
        select(QosClass::ALL),
    );
    let how = (select(&["", "c-1", "c-2"][..]), option::of(-1..=101_i64), random::request(), any::<bool>());
    (who, what, how).prop_map(
        |((capability, worker, tenant), (env, label, risk, qos), (correlation, blast, request, dry_run))| RouteInput {
            capability_id: Arc::from(capability),
            worker_id: worker.map(Arc::from),
            env,
            data_label: label,
            data_label_defaulted: false,
            tenant_id: Arc::from(tenant),
            tenant_risk: Some(risk),
            qos_class: qos,
            correlation_id: Arc::from(correlation),
            request: Json::parse(request.as_bytes()).unwrap(),
            blast_radius: None,
            blast_score: blast,
            privilege_context: None,
            tenant_credential: None,
            dry_run,
            http: dry_run.then(|| HttpFacts { method: "POST".into(), host: "orders".into(), path: "/orders/1".into() }),
        },
    )
}

/// A caller that makes up long texts fills no memory with them.
#[test]
fn what_was_said_to_long_texts_is_not_remembered() {
    let policy = "permit(principal, action, resource)
        when { context.request has to && context.request.to like \"org.*\" && context.request has labels && !context.request.labels.isEmpty() };";
    let snapshot = gated_by(policy);
    let (short, long) = ("x".repeat(500), "x".repeat(2000));
    let many = vec!["\"l\""; 200].join(",");
    let distinct = (0..100).map(|n| format!("\"l{n}\"")).collect::<Vec<_>>().join(",");
    for (to, labels, kept) in
        [(&short, "\"l\"", true), (&short, &many, true), (&long, "\"l\"", false), (&short, &distinct, false)]
    {
        let remembered = Verdicts::new(CacheSettings { max_bytes: 1 << 20 });
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let some = input().new_tree(&mut runner).unwrap().current();
        let request = format!("{{\"to\":\"{to}\",\"labels\":[{labels}],\"unread\":\"{long}\"}}");
        let asking = RouteInput {
            tenant_id: "org.acme".into(),
            worker_id: None,
            blast_score: None,
            request: Json::parse(request.as_bytes()).unwrap(),
            ..some
        };
        let mut decided = 0;
        for _ in 0..2 {
            let question = Question::ask(&asking, &Facts::default(), &snapshot);
            remembered.verdict(question, |question| {
                decided += 1;
                decide(question, &snapshot)
            });
        }
        assert_eq!(decided, if kept { 1 } else { 2 }, "{to} {labels}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Reload(usize),
    Ask(usize),
}

fn whole_answer(input: &RouteInput, verdict: Arc<hallgate::engine::Verdict>, snapshot: &Snapshot) -> String {
    let decision = Decision::new(input.clone(), verdict, snapshot, false);
    serde_json::to_string(&route_decision(&decision, "id", "time")).unwrap()
}

proptest! {
    #[test]
    fn a_remembered_verdict_is_the_one_that_would_be_given_now(
        policies in vec(policy(), 1..4),
        inputs in vec(input(), 1..8),
        steps in vec(prop_oneof![1 => (0..8_usize).prop_map(Step::Reload), 6 => (0..8_usize).prop_map(Step::Ask)], 1..60),
        (tenant_bound, observed) in any::<(bool, bool)>(),
    ) {
        let remembered = Verdicts::new(CacheSettings { max_bytes: 1 << 20 });
        let facts = Facts {
            binding: Binding { tenant: tenant_bound.then(|| "org.acme".parse().unwrap()), ..Binding::default() },
            observed,
        };
        let mut snapshot = &policies[0];
        for step in steps {
            match step {
                Step::Reload(n) => snapshot = &policies[n % policies.len()],
                Step::Ask(n) => {
                    let input = &inputs[n % inputs.len()];
                    let question = Question::ask(input, &facts, snapshot);
                    let (verdict, _) = remembered.verdict(question.clone(), |question| decide(question, snapshot));
                    let now = Arc::new(decide(&question, snapshot));
                    prop_assert_eq!(
                        whole_answer(input, verdict, snapshot),
                        whole_answer(input, now, snapshot)
                    );
                }
            }
        }
    }

    #[test]
    fn an_equal_question_is_decided_once_and_a_new_snapshot_makes_a_new_one(input in input(), one in policy(), two in policy()) {
        let remembered = Verdicts::new(CacheSettings { max_bytes: 1 << 20 });
        let facts = Facts::default();
        let mut decided = 0;
        for snapshot in [&one, &one, &two, &one] {
            let question = Question::ask(&input, &facts, snapshot);
            remembered.verdict(question, |question| { decided += 1; decide(question, snapshot) });
        }
        let holds = decide(&Question::ask(&input, &facts, &one), &one).outcome == hallgate::engine::Outcome::Hold;
        if !holds && decide(&Question::ask(&input, &facts, &two), &two).outcome != hallgate::engine::Outcome::Hold {
            prop_assert_eq!(decided, if one.fingerprint == two.fingerprint { 1 } else { 2 });
        }
    }
}
