//! What loads, what does not, and which rule is first.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::engine::rules::index::RuleIndex;

fn problems(text: &str, mode: Mode) -> Vec<String> {
    let problems = RuleSet::parse(text, mode).expect_err(text);
    problems.iter().map(|p| format!("{}:{} {}: {}", p.line, p.column, p.path, p.message)).collect()
}

fn shadows(rules: serde_json::Value) -> Vec<String> {
    match RuleSet::parse(&json!({ "rules": rules }).to_string(), Mode::Strict) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(|problem| problem.message).collect(),
    }
}

fn rule(id: &str, conditions: serde_json::Value) -> serde_json::Value {
    json!({ "rule_id": id, "match": conditions, "decision": {} })
}

const MISTAKES: &str = r#"{ "rules": [
  { "rule_id": "a", "match": { "capability": "cap.x" }, "decision": {} },
  { "rule_id": "a", "match": { "env": { "in": "prod" } }, "decision": {} },
  { "match": { "env": "PROD" }, "decision": {} },
  { "rule_id": " ", "match": { "tenant_risk": { "eq": "low" } }, "decision": {} },
  { "rule_id": "e", "match": { "qos_class": { "in": [] } }, "decision": { "controls": [] } },
  { "rule_id": "f", "match": { "data_label": "SECRET" }, "decision": {
      "required_controls_suggested": ["ctrl.UPPER.case"],
      "candidate_workers_ranked": [{ "score_hint": "1" }, { "worker_species_id": "x" }],
      "escalation": { "policy_gate": "yes" },
      "preconditions": { "deny_if_unsigned_artifact_in_prod": true },
      "max_blast": 101 } },
  { "rule_id": "g" },
  7
] }"#;

#[test]
fn every_problem_of_a_file_is_named_with_its_place() {
    let expected = [
        "2:46 rules[0].match.capability: is not a key that is known here",
        "3:16 rules[1].rule_id: `a` is the id of an earlier rule, too",
        "3:47 rules[1].match.env.in: is a string, not a list",
        "4:3 rules[2]: `rule_id` is missing",
        "4:23 rules[2].match.env: `PROD` is not an environment: dev, stage (staging), prod (production) or edge; did you mean `prod`?",
        "5:16 rules[3].rule_id: is blank",
        "5:47 rules[3].match.tenant_risk: is neither one value, a list, nor any",
        "5:55 rules[3].match.tenant_risk.eq: is not a key that is known here",
        "6:53 rules[4].match.qos_class.in: is an empty list, which nothing matches",
        "6:87 rules[4].decision.controls: is not a key that is known here",
        "8:39 rules[5].decision.required_controls_suggested[0]: `ctrl.UPPER.case` is not a control such as `ctrl.obs.audit-log-append-only` (lower case)",
        "9:36 rules[5].decision.candidate_workers_ranked[0]: `worker_species_id` is missing",
        "9:82 rules[5].decision.candidate_workers_ranked[1].worker_species_id: `x` is not a worker species such as `wrk.data.writer`",
        "10:38 rules[5].decision.escalation.policy_gate: is a string, not true or false",
        "11:63 rules[5].decision.preconditions.deny_if_unsigned_artifact_in_prod: asks for signed artifacts, which are not checked here",
        "12:20 rules[5].decision.max_blast: is not a blast score",
        "13:3 rules[6]: `match` is missing",
        "13:3 rules[6]: `decision` is missing",
        "14:3 rules[7]: is a number, not an object",
    ];
    assert_eq!(problems(MISTAKES, Mode::Strict), expected);
}

#[test]
fn what_is_no_rules_file_is_refused_in_both_modes() {
    for mode in [Mode::Strict, Mode::Reference] {
        assert_eq!(problems("{}", mode), ["1:1 : `rules` is missing"]);
        assert_eq!(problems("[]", mode), ["1:1 : is an array, not an object"]);
        assert_eq!(problems("{\"rules\":\n {}}", mode), ["2:2 rules: is an object, not a list"]);
        assert_eq!(problems("{\"rules\":[],\n\"rules\":[]}", mode), ["1:10 rules: is given twice: send each key once"]);
        assert!(problems("{\"rules\": [\n{,}]}", mode)[0].starts_with("2:2 : is not one JSON value"));
        let text = json!({ "rules": [rule("a", json!({ "env": { "in": "prod" } }))] }).to_string();
        assert!(problems(&text, mode)[0].ends_with("rules[0].match.env.in: is a string, not a list"));
    }
}

#[test]
fn a_list_in_the_place_of_a_value_is_told_how_it_is_written() {
    let written = |labels: serde_json::Value| {
        let text = json!({ "rules": [rule("a", json!({ "data_label": labels }))] }).to_string();
        RuleSet::parse(&text, Mode::Strict).unwrap_err().into_iter().map(|problem| problem.help).collect::<Vec<_>>()
    };
    assert_eq!(written(json!(["PUBLIC", "INTERNAL"])), [r#"write {"in": ["PUBLIC","INTERNAL"]}"#]);
    assert_eq!(written(json!(vec!["PUBLIC"; 100])), [r#"write {"in": [...]}"#]);
}

#[test]
fn reference_mode_ignores_what_the_reference_ignores() {
    let text = json!({ "rules": [
        rule("typo", json!({ "capability": "cap.x", "env": { "eq": "dev" } })),
        rule("typo", json!({ "capability": "cap.x", "env": ["dev"] })),
        rule("all", json!({ "capability": "cap.x", "env": null })),
    ] });
    let rules = RuleSet::parse(&text.to_string(), Mode::Reference).unwrap();
    let cell = Cells::of(Env::Dev, DataLabel::Public, TenantRisk::Low, QosClass::P2);
    assert_eq!(rules.first_match(None, cell), Some(2));
}

#[test]
fn shadows_are_found_by_sets_and_unions() {
    assert_eq!(
        shadows(json!([
            rule("early", json!({ "capability_id": "cap.a", "env": { "in": ["dev", "stage"] } })),
            rule("mid", json!({ "capability_id": { "in": ["cap.a", "cap.b"] }, "env": { "in": ["prod", "edge"] } })),
            rule("late", json!({ "capability_id": "cap.a" })),
        ])),
        ["`late` can never match: `early`, `mid` before it take every request"]
    );
    assert_eq!(shadows(json!([rule("all", json!({})), rule("b", json!({ "env": "dev" }))])).len(), 1);
    assert_eq!(
        shadows(json!([rule("a", json!({ "env": "prod" })), rule("b", json!({ "env": { "in": ["production"] } }))]))
            .len(),
        1
    );
    // Reachable for the capabilities that the first does not name, or in one cell that is left.
    assert!(shadows(json!([rule("a", json!({ "capability_id": "cap.a" })), rule("b", json!({}))])).is_empty());
    assert!(
        shadows(json!([
            rule("a", json!({ "capability_id": "cap.a" })),
            rule("b", json!({ "capability_id": { "in": ["cap.a", "cap.b"] } }))
        ]))
        .is_empty()
    );
    assert!(
        shadows(json!([rule("a", json!({ "env": { "in": ["dev", "stage", "prod"] } })), rule("b", json!({}))]))
            .is_empty()
    );
}

#[test]
fn the_references_shadows_have_its_gaps() {
    let found = |rules: serde_json::Value| {
        let rules = RuleSet::parse(&json!({ "rules": rules }).to_string(), Mode::Reference).unwrap();
        rules.shadowed.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let a = || rule("a", json!({ "env": "prod" }));
    assert_eq!(found(json!([a(), rule("b", json!({ "env": "prod" }))])), ["b"]);
    assert!(found(json!([a(), a()])).is_empty(), "equal ids are not reported");
    assert!(found(json!([a(), rule("b", json!({ "env": { "in": ["prod"] } }))])).is_empty());
    assert_eq!(found(json!([a(), rule("b", json!({ "env": "prod", "qos_class": "P0" }))])), ["b"]);
    assert_eq!(
        found(json!([rule("a", json!({ "env": { "in": ["prod", "dev"] } })), rule("b", json!({ "env": "dev" }))])),
        ["b"]
    );
    assert!(
        found(json!([
            rule("a", json!({ "env": { "in": ["prod", "dev"] } })),
            rule("b", json!({ "env": { "any": true } }))
        ]))
        .is_empty()
    );
    let any = || rule("any", json!({ "capability_id": { "any": true } }));
    assert_eq!(found(json!([rule("all", json!({})), any()])), ["any"]);
    assert_eq!(found(json!([any(), rule("all", json!({}))])), ["all"]);
    assert!(found(json!([rule("a", json!({ "capability": "x" })), rule("b", json!({ "env": "dev" }))])).is_empty());
    let half = |id: &str, envs: &[&str]| rule(id, json!({ "env": { "in": envs } }));
    assert!(
        found(json!([half("a", &["dev", "stage"]), half("b", &["prod", "edge"]), half("c", &["dev", "prod"])]))
            .is_empty()
    );
}

const NAMES: [&str; 3] = ["cap.a", "cap.b", "cap.c"];

fn any_rules() -> impl Strategy<Value = Vec<Rule>> {
    let names = prop_oneof![
        Just(Capabilities::Any),
        proptest::sample::subsequence(&NAMES[..], 0..3)
            .prop_map(|names| Capabilities::Only(names.into_iter().map(Arc::from).collect())),
    ];
    let mask = prop_oneof![Just(15_u16), 0_u16..16];
    let rule = (names, [mask.clone(), mask.clone(), mask.clone(), mask]).prop_map(|(capabilities, masks)| Rule {
        capabilities,
        cells: Cells::from_fields(masks),
        ..Rule::none("r")
    });
    proptest::collection::vec(rule, 0..12)
}

fn every_cell() -> impl Iterator<Item = Cells> {
    (0..256_u16).map(|n| Cells::from_fields([1 << (n & 3), 1 << (n >> 2 & 3), 1 << (n >> 4 & 3), 1 << (n >> 6)]))
}

proptest! {
    #[test]
    fn the_index_finds_the_first_match_and_exactly_the_shadows(rules in any_rules()) {
        let (index, shadows) = RuleIndex::build(&rules);
        let mut reached = vec![false; rules.len()];
        for name in [Some(NAMES[0]), Some(NAMES[1]), Some(NAMES[2]), None, Some("cap.nobody")] {
            for cell in every_cell() {
                let matches = |rule: &Rule| rule.cells.contains(cell) && match &rule.capabilities {
                    Capabilities::Any => true,
                    Capabilities::Only(names) => name.is_some_and(|name| names.contains(name)),
                };
                let first = rules.iter().position(matches);
                prop_assert_eq!(index.first_match(name, cell), first);
                if let Some(first) = first {
                    reached[first] = true;
                }
            }
        }
        let nothing = |rule: &Rule| rule.cells.is_empty() || matches!(&rule.capabilities, Capabilities::Only(names) if names.is_empty());
        let expected: Vec<usize> = (0..rules.len()).filter(|at| !reached[*at] && !nothing(&rules[*at])).collect();
        prop_assert_eq!(shadows.iter().map(|shadow| shadow.rule).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn reading_rules_never_panics(text in "[\\[\\]{}\":, a-z_.]{0,60}", strict: bool) {
        let _ = RuleSet::parse(&text, if strict { Mode::Strict } else { Mode::Reference });
    }
}
