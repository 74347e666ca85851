//! Laws of the decision that hold whatever is asked, tried on every request that the sample policy can tell apart.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use hallgate::config::Config;
use hallgate::engine::{Decision, DenyCode, Facts, Json, Question, RouteInput, Snapshot, decide, route_decision};
use hallgate::ids::{DataLabel, Env, QosClass, TenantRisk};

const CAPABILITIES: [&str; 9] = [
    "cap.ml.infer",
    "cap.data.read.v1",
    "cap.data.write.v1",
    "cap.notify.send.v1",
    "cap.report.generate.v1",
    "cap.auth.verify.v1",
    "cap.workflow.trigger.v1",
    "cap.nobody",
    "no capability",
];
const WORKERS: [Option<&str>; 5] =
    [None, Some("wrk_make_acme_prod"), Some("wrk_notify_acme_prod"), Some("wrk_report_acme_prod"), Some("wrk_else")];
const REQUESTS: [&str; 2] = ["{}", r#"{"writes": 1, "external_call": "x"}"#];
const TENANTS: [&str; 2] = ["org.acme", "org.unknown"];
const SCORES: [Option<i64>; 6] = [None, Some(0), Some(50), Some(84), Some(85), Some(100)];
/// Nothing said, and each risk.
const RISKS: [Option<TenantRisk>; 5] =
    [None, Some(TenantRisk::Low), Some(TenantRisk::Medium), Some(TenantRisk::High), Some(TenantRisk::Critical)];

fn sample() -> Snapshot {
    let secret = |name: &str| !["PYHALL_REGISTRY", "OTEL_"].iter().any(|other| name.starts_with(other));
    let environment = |name: &str| secret(name).then(|| "0123456789abcdef".to_owned());
    Config::load(Path::new("conf/hallgate.yaml"), &environment).unwrap().snapshot
}

fn ruled(input: &RouteInput, snapshot: &Snapshot) -> Decision {
    let question = Question::ask(input, &Facts::default(), snapshot);
    Decision::new(input.clone(), Arc::new(decide(&question, snapshot)), snapshot, false)
}

/// Every request, label, risk and score still at their lowest.
fn requests() -> impl Iterator<Item = RouteInput> {
    let bodies = REQUESTS.map(|body| Json::parse(body.as_bytes()).unwrap());
    let fields = CAPABILITIES.into_iter().flat_map(|capability| {
        WORKERS.into_iter().flat_map(move |worker| TENANTS.map(move |tenant| (capability, worker, tenant)))
    });
    fields.flat_map(move |(capability, worker, tenant)| {
        let bodies = bodies.clone();
        let placed = Env::ALL.iter().flat_map(|env| [QosClass::P0, QosClass::P2].map(move |qos| (*env, qos)));
        placed.flat_map(move |(env, qos_class)| {
            bodies.clone().into_iter().map(move |request| RouteInput {
                worker_id: worker.map(Arc::from),
                data_label: DataLabel::Public,
                data_label_defaulted: false,
                qos_class,
                correlation_id: "c-1".into(),
                request,
                ..RouteInput::new(capability, env, tenant)
            })
        })
    })
}

const LEVELS: [usize; 3] = [DataLabel::ALL.len(), RISKS.len(), SCORES.len()];

/// A request at one of its levels of label, risk and score.
fn at(request: &RouteInput, [label, risk, score]: [usize; 3]) -> RouteInput {
    RouteInput {
        data_label: *DataLabel::ALL.get(label).unwrap(),
        tenant_risk: *RISKS.get(risk).unwrap(),
        blast_score: *SCORES.get(score).unwrap(),
        ..request.clone()
    }
}

#[test]
fn raising_a_label_a_risk_or_a_blast_score_allows_nothing_that_was_denied() {
    let snapshot = sample();
    let [labels, risks, scores] = LEVELS;
    let levels = || {
        (0..labels)
            .flat_map(move |label| (0..risks).flat_map(move |risk| (0..scores).map(move |score| [label, risk, score])))
    };
    let mut count = [0, 0];
    for request in requests() {
        let verdicts: BTreeMap<_, _> =
            levels().map(|level| (level, ruled(&at(&request, level), &snapshot).verdict.denied())).collect();
        for (level, denied) in &verdicts {
            count[usize::from(*denied)] += 1;
            let [label, risk, score] = *level;
            for raised in [[label + 1, risk, score], [label, risk + 1, score], [label, risk, score + 1]] {
                let allowed = verdicts.get(&raised) == Some(&false);
                assert!(
                    !(*denied && allowed),
                    "denied: {:?}\nallowed: {:?}",
                    at(&request, *level),
                    at(&request, raised)
                );
            }
        }
    }
    assert!(count.iter().all(|count| *count > 1000), "{count:?} allowed and denied prove little");
}

#[test]
fn equal_requests_have_equal_decisions_also_by_another_process() {
    let [one, other] = [sample(), sample()];
    assert_eq!(one.fingerprint, other.fingerprint);
    let told = |input: &RouteInput, snapshot: &Snapshot| {
        serde_json::to_string(&route_decision(&ruled(input, snapshot), "id", "time")).unwrap()
    };
    for request in requests() {
        assert_eq!(told(&request, &one), told(&request, &other));
    }
}

#[test]
fn what_no_rule_names_is_denied() {
    let snapshot = sample();
    for request in requests() {
        let code = ruled(&request, &snapshot).verdict.denial.as_ref().map(|denial| denial.code);
        match &*request.capability_id {
            "cap.nobody" => assert!(code.is_some()),
            "no capability" => assert_eq!(code, Some(DenyCode::InvalidInput)),
            _ => {}
        }
    }
}
