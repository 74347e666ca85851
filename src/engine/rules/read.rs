//! Reading rules: every problem at once. Strict refuses what the reference would silently ignore (S7).

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use crate::engine::decision::{Escalation, Preconditions};
use crate::engine::json::{Fields, Finding, Json, Members, present};
use crate::engine::{Mode, artifact};
use crate::ids::{CapabilityId, ControlId, DataLabel, Digest, Env, QosClass, SpeciesId, TenantRisk};

use super::{Capabilities, Cells, Rule, RuleCandidate};

pub(super) fn rules(document: &Json, mode: Mode) -> (Vec<Rule>, Vec<Finding>) {
    let mut fields = Fields::new(mode == Mode::Strict);
    let mut rules = Vec::new();
    if let Some(file) = fields.object(document) {
        if present(file, "rules").is_none() {
            fields.say("`rules` is missing", "write {\"rules\": [...]}");
        }
        let mut ids = BTreeSet::new();
        let written = fields.list(file, "rules");
        fields.within("rules", |fields| {
            for (at, json) in written.iter().enumerate() {
                // A rule that is no object keeps its place, so that numbers stay those of the file.
                rules.push(fields.within(at, |fields| {
                    let none = Members::new();
                    let written = fields.object(json);
                    let said = fields.findings.len();
                    let rule = rule(fields, written.unwrap_or(&none), &mut ids);
                    if written.is_none() {
                        fields.findings.truncate(said);
                    }
                    rule
                }));
            }
        });
    }
    (rules, fields.findings)
}

fn rule(fields: &mut Fields, rule: &Members, ids: &mut BTreeSet<Arc<str>>) -> Rule {
    fields.only_known(rule, &["rule_id", "match", "decision", "description"]);
    let id = fields.required_text(rule, "rule_id").map_or_else(|| Arc::from(""), Arc::clone);
    if fields.strict && !id.is_empty() && !ids.insert(Arc::clone(&id)) {
        let message = format!("`{id}` is the id of an earlier rule, too");
        fields.within("rule_id", |fields| fields.say(message, "give each rule an id of its own"));
    }
    let mut text = String::new();
    artifact::python_json(&Json::Object(rule.clone()), &mut text);
    let digest = Digest::of(text.as_bytes());
    let none = Members::new();
    let sound = fields.findings.len();
    let conditions = section(fields, rule, "match").unwrap_or(&none);
    let (capabilities, mut cells) = fields.within("match", |fields| conditions_of(fields, conditions));
    if fields.findings.len() > sound {
        // Nobody can say what it was meant to match: it shadows nothing and is shadowed by nothing.
        cells = Cells::NONE;
    }
    let decision = section(fields, rule, "decision").unwrap_or(&none);
    fields.within("decision", |fields| {
        fields.only_known(
            decision,
            &[
                "candidate_workers_ranked",
                "required_controls_suggested",
                "recommended_profiles",
                "escalation",
                "preconditions",
                "max_blast",
            ],
        );
        let controls = controls(fields, decision, "required_controls_suggested");
        let max_blast = max_blast(fields, decision);
        // Both spellings occur in the sources; the reference knows only the one with underscores.
        let requires =
            |control: &str, hyphens: &str| controls.contains(control) || (fields.strict && controls.contains(hyphens));
        Rule {
            id,
            capabilities,
            cells,
            scores_blast: requires("ctrl.blast_radius_scoring", "ctrl.blast-radius-scoring") || max_blast.is_some(),
            needs_envelope: requires("ctrl.privilege_envelopes_required", "ctrl.privilege-envelopes-required"),
            candidates: candidates(fields, decision),
            controls: Arc::new(controls),
            profiles: Arc::from(fields.list(decision, "recommended_profiles")),
            escalation: escalation(fields, decision),
            preconditions: preconditions(fields, decision),
            max_blast,
            digest,
        }
    })
}

/// An object that strict demands, so that leaving it out is no way to say "everything".
fn section<'j>(fields: &mut Fields, rule: &'j Members, key: &str) -> Option<&'j Members> {
    match present(rule, key) {
        Some(value) => fields.within(key, |fields| fields.object(value)),
        None if fields.strict => {
            fields.say(format!("`{key}` is missing"), format!("add `{key}`; {{}} is an empty one"));
            None
        }
        None => None,
    }
}

fn conditions_of(fields: &mut Fields, conditions: &Members) -> (Capabilities, Cells) {
    fields.only_known(conditions, &["capability_id", "env", "data_label", "tenant_risk", "qos_class"]);
    let capabilities = match condition::<CapabilityId>(fields, conditions, "capability_id") {
        None => Capabilities::Any,
        Some(names) => Capabilities::Only(names),
    };
    let values = [
        values(fields, conditions, "env", Env::ALL, Env::as_str),
        values(fields, conditions, "data_label", DataLabel::ALL, DataLabel::as_str),
        values(fields, conditions, "tenant_risk", TenantRisk::ALL, TenantRisk::as_str),
        values(fields, conditions, "qos_class", QosClass::ALL, QosClass::as_str),
    ];
    (capabilities, Cells::from_fields(values))
}

/// The values of a vocabulary that a condition admits, one bit each.
fn values<T: FromStr<Err: std::fmt::Display> + Copy + PartialEq>(
    fields: &mut Fields,
    conditions: &Members,
    key: &str,
    all: &[T],
    name: fn(T) -> &'static str,
) -> u16 {
    let Some(texts) = condition::<T>(fields, conditions, key) else { return 15 };
    let strict = fields.strict;
    // The reference compares texts; only strict knows aliases.
    let admits =
        |value: T| texts.iter().any(|text| **text == *name(value) || (strict && text.parse().ok() == Some(value)));
    all.iter().enumerate().filter(|(_, value)| admits(**value)).fold(0, |bits, (at, _)| bits | 1 << at)
}

/// A condition: an exact value, `{"in": [...]}` or `{"any": true}`. `None` admits everything.
fn condition<T: FromStr<Err: std::fmt::Display>>(
    fields: &mut Fields,
    conditions: &Members,
    key: &str,
) -> Option<BTreeSet<Arc<str>>> {
    const FORMS: &str = "write a value, {\"in\": [...]} or {\"any\": true}";
    let condition = present(conditions, key)?;
    fields.within(key, |fields| match condition {
        Json::Object(form) => {
            fields.only_known(form, &["any", "in"]);
            let any = form.get("any") == Some(&Json::Bool(true));
            if fields.strict && any == form.contains_key("in") {
                fields.say("is neither one value, a list, nor any", FORMS);
            }
            let mut texts = BTreeSet::new();
            match form.get("in") {
                None => {}
                Some(Json::Array(values)) => fields.within("in", |fields| {
                    if fields.strict && values.is_empty() {
                        fields.say("is an empty list, which nothing matches", "name the values, or remove the rule");
                    }
                    for (at, value) in values.iter().enumerate() {
                        texts.extend(fields.within(at, |fields| admitted::<T>(fields, value)));
                    }
                }),
                Some(other) => fields.within("in", |fields| fields.expected("a list", other)),
            }
            if any { None } else { Some(texts) }
        }
        list @ Json::Array(_) if fields.strict => {
            let written = serde_json::to_string(list).ok().filter(|written| written.len() <= LIST);
            let written = written.unwrap_or_else(|| "[...]".to_owned());
            fields.say("is a list, and a list of values stands in `in`", format!("write {{\"in\": {written}}}"));
            None
        }
        value => Some(admitted::<T>(fields, value).into_iter().collect()),
    })
}

/// The most bytes of a list that are said again.
const LIST: usize = 200;

/// One admitted value. In strict it must be one that a request can have.
fn admitted<T: FromStr<Err: std::fmt::Display>>(fields: &mut Fields, value: &Json) -> Option<Arc<str>> {
    match value {
        Json::String(text) => {
            if fields.strict {
                fields.parsed::<T>(text);
            }
            Some(Arc::clone(text))
        }
        other => {
            if fields.strict {
                fields.expected("a string", other);
            }
            None
        }
    }
}

fn candidates(fields: &mut Fields, decision: &Members) -> Vec<RuleCandidate> {
    let written = fields.list(decision, "candidate_workers_ranked");
    fields.within("candidate_workers_ranked", |fields| {
        let read = |(at, json): (usize, &Json)| {
            fields.within(at, |fields| {
                let members = fields.object(json)?;
                fields.only_known(members, &["worker_species_id", "score_hint", "requires_controls_minimum"]);
                let species = species(fields, members)?;
                let score_hint = score_hint(fields, members);
                // The reference shows none and enforces none.
                let strict = fields.strict;
                let minimum = present(members, "requires_controls_minimum").filter(|_| strict);
                Some(RuleCandidate {
                    species,
                    score_hint,
                    controls_minimum: minimum
                        .map(|_| controls(fields, members, "requires_controls_minimum"))
                        .unwrap_or_default(),
                    requires_controls_minimum: minimum.cloned(),
                })
            })
        };
        written.iter().enumerate().filter_map(read).collect()
    })
}

/// A candidate's species. The reference shows one that is not named as a candidate that is never available.
fn species(fields: &mut Fields, members: &Members) -> Option<Arc<str>> {
    if !fields.strict {
        let named = fields.text(members, "worker_species_id").filter(|species| !species.is_empty());
        return Some(named.map_or_else(|| Arc::from("__missing__"), Arc::clone));
    }
    let species = fields.required_text(members, "worker_species_id")?;
    fields.within("worker_species_id", |fields| fields.parsed::<SpeciesId>(species));
    Some(Arc::clone(species))
}

/// A candidate's hint, which is a float on the wire.
fn score_hint(fields: &mut Fields, members: &Members) -> Option<Json> {
    let written = present(members, "score_hint")?;
    let number = match written {
        Json::Float(value) => Some(*value),
        Json::Int(digits) => digits.parse().ok().filter(|value: &f64| value.is_finite()),
        _ => None,
    };
    if number.is_none() {
        fields.within("score_hint", |fields| fields.expected("a number", written));
    }
    number.map(Json::Float)
}

fn controls(fields: &mut Fields, members: &Members, key: &str) -> BTreeSet<Arc<str>> {
    let written = fields.list(members, key);
    let mut controls = BTreeSet::new();
    fields.within(key, |fields| {
        for (at, control) in written.iter().enumerate() {
            fields.within(at, |fields| match control {
                Json::String(text) => {
                    if fields.strict {
                        fields.parsed::<ControlId>(text);
                    }
                    controls.insert(Arc::clone(text));
                }
                other => fields.expected("a string", other),
            });
        }
    });
    controls
}

fn escalation(fields: &mut Fields, decision: &Members) -> Escalation {
    let Some(written) = present(decision, "escalation") else { return Escalation::default() };
    fields.within("escalation", |fields| {
        let Some(written) = fields.object(written) else { return Escalation::default() };
        fields.only_known(
            written,
            &["policy_gate", "msavx_step_up", "human_required_default", "human_required_if", "rationale"],
        );
        Escalation {
            policy_gate: fields.flag(written, "policy_gate", false),
            msavx_step_up: fields.flag(written, "msavx_step_up", false),
            human_required_default: fields.flag(written, "human_required_default", false),
            human_required_if: Arc::from(fields.list(written, "human_required_if")),
            rationale: fields.text(written, "rationale").map(Arc::clone),
        }
    })
}

fn preconditions(fields: &mut Fields, decision: &Members) -> Preconditions {
    let defaults = Preconditions::default();
    let Some(written) = present(decision, "preconditions") else { return defaults };
    fields.within("preconditions", |fields| {
        let Some(written) = fields.object(written) else { return defaults };
        fields.only_known(
            written,
            &[
                "must_have_correlation_id",
                "must_attach_policy_version",
                "must_record_artifact_hash_if_executes",
                "deny_if_missing_required_controls",
                "deny_if_unsigned_artifact_in_prod",
                "deny_if_no_attestation_in_prod",
            ],
        );
        let mut flag = |key: &str, default: bool| fields.flag(written, key, default);
        let read = Preconditions {
            must_have_correlation_id: flag("must_have_correlation_id", true),
            must_attach_policy_version: flag("must_attach_policy_version", true),
            must_record_artifact_hash_if_executes: flag("must_record_artifact_hash_if_executes", true),
            deny_if_missing_required_controls: flag("deny_if_missing_required_controls", true),
            deny_if_unsigned_artifact_in_prod: flag("deny_if_unsigned_artifact_in_prod", false),
            deny_if_no_attestation_in_prod: flag("deny_if_no_attestation_in_prod", false),
        };
        if fields.strict && read.deny_if_unsigned_artifact_in_prod {
            fields.within("deny_if_unsigned_artifact_in_prod", |fields| {
                fields.say("asks for signed artifacts, which are not checked here", "remove it (S5)");
            });
        }
        read
    })
}

/// The rule's own limit on the blast score. An extension: the reference does not know it (S6).
fn max_blast(fields: &mut Fields, decision: &Members) -> Option<u8> {
    let written = present(decision, "max_blast").filter(|_| fields.strict)?;
    let score = written.as_i64().and_then(|score| u8::try_from(score).ok()).filter(|score| *score <= 100);
    if score.is_none() {
        fields.within("max_blast", |fields| fields.say("is not a blast score", "write an integer from 0 to 100"));
    }
    score
}
