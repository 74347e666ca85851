//! What a decision costs: not cached under 10, 200 and 10,000 rules, and its parts. Targets: 15 µs not cached with 200 rules,
//! within 1.2 × of that with 10,000; 1 µs cached. And what a snapshot costs to load: 10,000 rules within a second, shadows
//! looked for by sets (strict) and by pairs (reference).
#![expect(clippy::unwrap_used, reason = "a bench may stop at the first surprise")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use hallgate::cache::{self, Verdicts};
use hallgate::engine::artifact::artifact_hash;
use hallgate::engine::snapshot::Worker;
use hallgate::engine::{
    Decision, Facts, Json, Mode, Question, RouteInput, RuleSet, Settings, ShadowVerdict, Snapshot, decide,
};
use hallgate::ids::{DataLabel, Env, TenantRisk};
use serde_json::json;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/policies");
const EVERYTHING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/everything.cedar");

/// Five rules for each capability: four labels in production, and one for the rest. All of them ask the policies, or none.
fn written(rules: usize, ask: bool) -> String {
    let rule = |at: usize| {
        let label = ["PUBLIC", "INTERNAL", "CONFIDENTIAL", "RESTRICTED"].get(at % 5);
        let mut conditions = json!({ "capability_id": format!("cap.bench.c{}", at / 5) });
        if let Some(label) = label {
            conditions = json!({ "capability_id": format!("cap.bench.c{}", at / 5), "data_label": label, "env": { "in": ["prod", "edge"] } });
        }
        json!({ "rule_id": format!("rr_{at:05}"), "match": conditions, "decision": {
            "candidate_workers_ranked": [{ "worker_species_id": "wrk.bench.a", "score_hint": 0.9 }, { "worker_species_id": "wrk.bench.b" }],
            "required_controls_suggested": ["ctrl.obs.audit-log-append-only", "ctrl.blast_radius_scoring"],
            "escalation": { "policy_gate": ask },
        } })
    };
    json!({ "rules": (0..rules).map(rule).collect::<Vec<_>>() }).to_string()
}

/// As many rules as there can be without a shadow for one capability, and then rules that all are shadowed.
fn shadowed(rules: usize) -> String {
    let labels = ["PUBLIC", "INTERNAL", "CONFIDENTIAL", "RESTRICTED"];
    let [envs, risks, classes] =
        [["dev", "stage", "prod", "edge"], ["low", "medium", "high", "critical"], ["P0", "P1", "P2", "P3"]];
    let rule = |at: usize| {
        let of = |values: [&'static str; 4], unit: usize| values.into_iter().nth(at / unit % 4);
        json!({ "rule_id": format!("rr_{at:05}"), "decision": {}, "match": {
            "capability_id": "cap.bench.one", "env": of(envs, 1), "data_label": of(labels, 4),
            "tenant_risk": of(risks, 16), "qos_class": of(classes, 64),
        } })
    };
    json!({ "rules": (0..rules).map(rule).collect::<Vec<_>>() }).to_string()
}

fn snapshot(rules: usize, policies: Option<&str>) -> Snapshot {
    let text = written(rules, policies.is_some());
    let worker = |at: usize| Worker {
        implements: ["ctrl.obs.audit-log-append-only", "ctrl.blast_radius_scoring"]
            .map(|id| id.parse().unwrap())
            .into(),
        blast_sum: Some(4),
        ..Worker::new(
            format!("org.bench.worker-{at}").parse().unwrap(),
            if at.is_multiple_of(2) { "wrk.bench.a" } else { "wrk.bench.b" }.parse().unwrap(),
            ["cap.bench.c1".parse().unwrap()].into(),
        )
    };
    let settings = Settings {
        require_signatory: true,
        allowed_tenants: ["org.acme".into()].into(),
        tenants: [("org.acme".parse().unwrap(), TenantRisk::Low)].into(),
        ..Settings::default()
    };
    let rules = RuleSet::parse(&text, Mode::Strict).unwrap();
    let snapshot = Snapshot::build(settings, rules, (0..20).map(worker).collect()).unwrap();
    match policies {
        Some(path) => snapshot.gated_by(Arc::new(hallgate::policy::load(Path::new(path)).unwrap())),
        None => snapshot,
    }
}

fn request() -> RouteInput {
    RouteInput {
        worker_id: Some("org.bench.worker-7".into()),
        data_label: DataLabel::Internal,
        data_label_defaulted: false,
        correlation_id: "11111111-1111-4111-8111-111111111111".into(),
        request: Json::parse(br#"{"writes": true, "table": "orders"}"#).unwrap(),
        ..RouteInput::new("cap.bench.c1", Env::Prod, "org.acme")
    }
}

/// The gates alone, and all that a request costs when its verdict is not remembered.
fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    rules: usize,
    input: &RouteInput,
    snapshot: &Snapshot,
) {
    let facts = Facts::default();
    let question = Question::ask(input, &facts, snapshot);
    assert!(!decide(&question, snapshot).denied());
    group.bench_function(BenchmarkId::new(format!("gates only, {name}"), rules), |b| {
        b.iter(|| decide(black_box(&question), snapshot));
    });
    group.bench_function(BenchmarkId::new(format!("whole, {name}"), rules), |b| {
        let one = |input: RouteInput| {
            let question = Question::ask(&input, &facts, snapshot);
            Decision::new(input, Arc::new(decide(&question, snapshot)), snapshot, false)
        };
        b.iter_batched(|| input.clone(), one, BatchSize::SmallInput);
    });
}

fn decisions(c: &mut Criterion) {
    let (input, facts) = (request(), Facts::default());
    let mut group = c.benchmark_group("decision, not cached");
    for rules in [10, 200, 10_000] {
        let snapshot = snapshot(rules, None);
        measure(&mut group, "prod", rules, &input, &snapshot);
        measure(&mut group, "dev", rules, &RouteInput { env: Env::Dev, ..input.clone() }, &snapshot);
    }
    // The sample, and one that reads everything a policy can read.
    for (name, policies) in [("policies of conf", SAMPLE), ("policies that read everything", EVERYTHING)] {
        measure(&mut group, name, 200, &input, &snapshot(200, Some(policies)));
    }
    group.finish();

    let snapshot = snapshot(200, None);
    c.bench_function("question", |b| b.iter(|| Question::ask(black_box(&input), &facts, &snapshot)));
    c.bench_function("artifact hash", |b| b.iter(|| artifact_hash(black_box(&input), TenantRisk::Low)));
    let verdicts = Verdicts::new(cache::Settings { max_bytes: 1 << 20 });
    c.bench_function("decision, cached", |b| {
        let one = |input: RouteInput| {
            let question = Question::ask(&input, &facts, &snapshot);
            let (verdict, cached) = verdicts.verdict(question, |question| decide(question, &snapshot));
            Decision::new(input, verdict, &snapshot, cached)
        };
        b.iter_batched(|| input.clone(), one, BatchSize::SmallInput);
    });
    // What a shadow adds: one that was asked the same before, and one that decides each anew.
    let (shadow, beside) = (self::snapshot(200, Some(EVERYTHING)), verdicts.beside());
    for (name, beside) in [("remembered", beside), ("not remembered", Verdicts::new(cache::Settings { max_bytes: 0 }))]
    {
        c.bench_function(&format!("decision, cached, with a shadow that is {name}"), |b| {
            let one = |input: RouteInput| {
                let question = Question::ask(&input, &facts, &snapshot);
                let (verdict, cached) = verdicts.verdict(question, |question| decide(question, &snapshot));
                let question = Question::ask(&input, &facts, &shadow);
                let (said, _) = beside.verdict(question, |question| decide(question, &shadow));
                let said = Some(ShadowVerdict { verdict: said, snapshot: shadow.fingerprint });
                Decision { shadow: said, ..Decision::new(input, verdict, &snapshot, cached) }
            };
            b.iter_batched(|| input.clone(), one, BatchSize::SmallInput);
        });
    }
}

fn loading(c: &mut Criterion) {
    let mut group = c.benchmark_group("snapshot");
    group.sample_size(10);
    for rules in [200, 10_000] {
        group.bench_function(BenchmarkId::new("load", rules), |b| b.iter(|| snapshot(rules, None)));
    }
    let parsed =
        |text: &str, mode| RuleSet::parse(text, mode).map_or_else(|problems| problems.len(), |rules| rules.len());
    let (sound, one) = (written(10_000, false), shadowed(10_000));
    assert_eq!(parsed(&one, Mode::Strict), 10_000 - 256);
    for (what, text, mode) in [
        ("shadows by sets, none", &sound, Mode::Strict),
        ("shadows by sets, 9,744", &one, Mode::Strict),
        ("shadows by pairs, none", &sound, Mode::Reference),
    ] {
        group.bench_function(BenchmarkId::new(what, 10_000), |b| b.iter(|| parsed(black_box(text), mode)));
    }
    group.finish();
}

criterion_group!(benches, decisions, loading);
criterion_main!(benches);
