//! An explanation tells the decision that was made, gate by gate.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::engine::input::tests::plain;
use crate::engine::input::{Facts, RouteInput};
use crate::engine::snapshot::{Mode, Settings, Worker};
use crate::engine::{RuleSet, decide};
use crate::ids::{DataLabel, Env, QosClass};

fn snapshot() -> Snapshot {
    let settings = Settings { require_worker_id: [Env::Edge].into(), ..Settings::default() };
    let rules = json!({"rules": [
        {"rule_id": "low", "match": {"capability_id": "cap.data.write.v1", "data_label": {"in": ["PUBLIC", "INTERNAL"]}},
         "decision": {"candidate_workers_ranked": [{"worker_species_id": "wrk.data.writer"}]}},
        {"rule_id": "high", "match": {"capability_id": "cap.data.write.v1", "data_label": "RESTRICTED", "env": "dev"},
         "decision": {"candidate_workers_ranked": [{"worker_species_id": "wrk.data.writer"}],
                      "required_controls_suggested": ["ctrl.none"]}},
    ]});
    let writer = Worker::new(
        "wrk_writer".parse().unwrap(),
        "wrk.data.writer".parse().unwrap(),
        ["cap.data.write.v1".parse().unwrap()].into(),
    );
    Snapshot::build(settings, RuleSet::parse(&rules.to_string(), Mode::Strict).unwrap(), vec![writer]).unwrap()
}

fn explained(input: &RouteInput) -> Explanation {
    let snapshot = snapshot();
    explain(&Question::ask(input, &Facts::default(), &snapshot), &snapshot, None).1
}

fn refused(explanation: &Explanation) -> Option<&'static str> {
    let heard = explanation.gates.iter().find(|heard| matches!(heard.said, GateFinding::Refused(..)));
    heard.map(|heard| heard.gate)
}

#[test]
fn a_dispatch_names_its_rule_and_every_gate_passes() {
    let explanation = explained(&plain());
    assert!(explanation.gates.iter().all(|heard| matches!(heard.said, GateFinding::Passed(_))), "{explanation}");
    assert_eq!(explanation.gates.len(), names().count());
    let rule = explanation.rule.as_ref().unwrap();
    assert_eq!((&*rule.rule_id, rule.number, rule.of), ("low", 1, 2));
    let written = serde_json::to_value(&explanation).unwrap();
    assert_eq!(
        written["rule"]["match"],
        json!({"capability_id": ["cap.data.write.v1"], "data_label": ["PUBLIC", "INTERNAL"]})
    );
    assert_eq!(written["gates"][9]["note"], "the score is 45", "{written:#}");
    assert_eq!(written.get("remedy"), None);
}

#[test]
fn a_denial_names_the_gate_and_what_to_do() {
    let explanation = explained(&RouteInput { env: Env::Dev, data_label: DataLabel::Restricted, ..plain() });
    assert_eq!(refused(&explanation), Some("controls"));
    assert_eq!(explanation.gates.last().unwrap().said, GateFinding::NotReached);
    let text = explanation.to_string();
    for said in ["REFUSED DENY_MISSING_REQUIRED_CONTROLS", "rule `high` matches", "data_label RESTRICTED", "what to do"]
    {
        assert!(text.contains(said), "{said} in:\n{text}");
    }
}

#[test]
fn where_no_rule_matches_the_nearest_are_named() {
    let explanation = explained(&RouteInput { data_label: DataLabel::Restricted, ..plain() });
    assert_eq!(refused(&explanation), Some("matching"));
    let near: Vec<_> = explanation.nearest_rules.iter().map(|rule| (&*rule.rule_id, &rule.differs_in)).collect();
    assert_eq!(near, [("low", &vec!["data_label"]), ("high", &vec!["env"])]);
    let GateFinding::Refused(_, reason) = &explanation.gates[6].said else { panic!("{explanation}") };
    let nearest = "takes data_label PUBLIC or INTERNAL, not RESTRICTED";
    assert_eq!(*reason, format!("no rule takes cap.data.write.v1 like this: the nearest, `low`, {nearest}"));
    assert!(explanation.to_string().contains(&format!("near: rule `low` (number 1) {nearest}")), "{explanation}");
    let explanation = explained(&RouteInput { capability_id: "cap.other.v1".into(), ..plain() });
    assert!(explanation.nearest_rules.is_empty());
    assert!(explanation.to_string().contains("no rule is about this capability"), "{explanation}");
}

proptest! {
    #[test]
    fn explaining_changes_no_verdict(
        (env, label, qos) in (0..4_usize, 0..4_usize, 0..4_usize),
        (blank, named, score) in any::<(bool, bool, Option<i8>)>(),
    ) {
        let input = RouteInput {
            env: Env::ALL[env],
            data_label: DataLabel::ALL[label],
            qos_class: QosClass::ALL[qos],
            correlation_id: if blank { "".into() } else { "c".into() },
            worker_id: named.then(|| "wrk_writer".into()),
            blast_score: score.map(i64::from),
            ..plain()
        };
        let snapshot = snapshot();
        let question = Question::ask(&input, &Facts::default(), &snapshot);
        let (verdict, explanation) = explain(&question, &snapshot, None);
        prop_assert_eq!(&verdict, &decide(&question, &snapshot));
        prop_assert_eq!(explanation.gates.iter().map(|heard| heard.gate).collect::<Vec<_>>(), names().collect::<Vec<_>>());
        let code = explanation.gates.iter().find_map(|heard| match &heard.said {
            GateFinding::Refused(code, _) => Some(*code),
            _ => None,
        });
        prop_assert_eq!(code, verdict.denial.map(|denial| denial.code));
    }
}
