//! Laws over random policies: we say what plain Cedar says, and what a question leaves out changes nothing.

use std::collections::BTreeSet;

use cedar_policy::{Authorizer, Context, Decision, Entities, PolicySet, Request};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::engine::input::{Facts, HttpFacts, RouteInput, tests::plain};
use crate::engine::policy_gate::Taken;
use crate::engine::question::Question;
use crate::engine::snapshot::{Mode, Reads, Settings, Worker};
use crate::engine::{KeptRequest, RuleSet, Snapshot, decide};

fn input() -> impl Strategy<Value = RouteInput> {
    let who = (
        proptest::sample::select(&["cap.data.write.v1", "cap.data.read.v1", "cap.ml.infer", "cap.x"][..]),
        proptest::option::of(proptest::sample::select(&["wrk_a", "wrk_b"][..])),
        proptest::sample::select(&["org.acme", "org.other"][..]),
    );
    let what = (
        proptest::sample::select(Env::ALL),
        proptest::sample::select(DataLabel::ALL),
        proptest::sample::select(TenantRisk::ALL),
        proptest::sample::select(QosClass::ALL),
    );
    let http = proptest::option::of((
        proptest::sample::select(&["GET", "POST"][..]),
        proptest::sample::select(&["orders", "models"][..]),
        proptest::sample::select(&["/orders/1", "/"][..]),
    ));
    (who, what, http, random::request(), 0..=100_i64, any::<bool>()).prop_map(
        |((capability, worker, tenant), (env, data_label, risk, qos_class), http, request, blast, dry_run)| {
            RouteInput {
                capability_id: capability.into(),
                worker_id: worker.map(Into::into),
                tenant_id: tenant.into(),
                env,
                data_label,
                tenant_risk: Some(risk),
                qos_class,
                request: Json::parse(request.as_bytes()).unwrap(),
                blast_score: Some(blast),
                dry_run,
                http: http.map(|(method, host, path)| HttpFacts {
                    method: method.into(),
                    host: host.into(),
                    path: path.into(),
                }),
                ..plain()
            }
        },
    )
}

/// The object as Cedar can hold it: by hand, for the attributes that the random policies read.
fn readable(request: &Json) -> Value {
    let written = serde_json::to_value(request).unwrap();
    let mut kept = json!({});
    let mut keep = |name: &str, fits: &dyn Fn(&Value) -> bool| {
        if let Some(value) = written.get(name).filter(|value| fits(value)) {
            kept[name] = value.clone();
        }
    };
    keep("egress", &Value::is_boolean);
    keep("amount", &Value::is_i64);
    keep("table", &Value::is_string);
    keep("tags", &|value| value.as_array().is_some_and(|tags| tags.iter().all(Value::is_string)));
    if written.get("ticket").is_some_and(|ticket| !ticket.is_null()) {
        kept["ticket"] = json!(true);
    }
    if let Some(order) = written.get("order").and_then(Value::as_object) {
        kept["order"] = json!({});
        if let Some(total) = order.get("total").filter(|total| total.is_i64()) {
            kept["order"]["total"] = total.clone();
        }
        if order.get("note").is_some_and(|note| !note.is_null()) {
            kept["order"]["note"] = json!(true);
        }
    }
    kept
}

/// What plain Cedar answers with all there is: the decision, what it names, and whether anything failed.
fn plain_cedar(text: &str, asked: &Asked<'_>, request: &Json) -> (Decision, BTreeSet<String>, bool) {
    let rank = asked.label.unwrap() as u8;
    let mut context = json!({
        "env": asked.env, "data_label": asked.label, "label_rank": rank, "tenant_risk": asked.tenant_risk,
        "qos_class": asked.qos, "blast_score": asked.blast, "dry_run": asked.dry_run, "request": readable(request),
    });
    if let Some(species) = asked.species {
        context["species"] = json!(species);
    }
    if let Some(http) = asked.http {
        context["http"] = json!({ "method": http.method, "host": http.host, "path": http.path });
    }
    let tenant = json!({ "type": "Tenant", "id": asked.tenant });
    let capability = asked.capability.unwrap();
    let mut entities = vec![json!({ "uid": tenant, "attrs": {}, "parents": [] })];
    if let Some(worker) = asked.worker {
        entities.push(json!({ "uid": { "type": "Worker", "id": worker }, "attrs": {}, "parents": [tenant] }));
    }
    let mut kind = "Capability";
    let mut name = capability;
    while let Some((domain, _)) = name.rsplit_once('.') {
        let parent = json!({ "type": "Domain", "id": domain });
        entities.push(json!({ "uid": { "type": kind, "id": name }, "attrs": {}, "parents": [parent] }));
        (kind, name) = ("Domain", domain);
    }
    entities.push(json!({ "uid": { "type": kind, "id": name }, "attrs": {}, "parents": [] }));
    let principal = match asked.worker {
        Some(worker) => format!("Worker::{worker:?}"),
        None => format!("Tenant::{:?}", asked.tenant.unwrap()),
    };
    let set: PolicySet = text.parse().unwrap();
    let request = Request::new(
        principal.parse().unwrap(),
        "Action::\"dispatch\"".parse().unwrap(),
        format!("Capability::{capability:?}").parse().unwrap(),
        Context::from_json_value(context, None).unwrap(),
        None,
    );
    let entities = Entities::from_json_value(json!(entities), None).unwrap();
    let response = Authorizer::new().is_authorized(&request.unwrap(), &set, &entities);
    let named = response.diagnostics().reason().map(|id| set.annotation(id, "id").unwrap().to_owned()).collect();
    (response.decision(), named, response.diagnostics().errors().next().is_some())
}

/// The policies of a file without those that ask for a human of the level advisory.
fn without_advisories(text: &str) -> String {
    text.lines().filter(|line| !line.contains("advisory")).map(|line| format!("{line}\n")).collect()
}

fn level(text: &str, id: &str) -> Option<SupervisorLevel> {
    let line = text.lines().find(|line| line.starts_with(&format!("@id(\"{id}\")"))).unwrap();
    let levels = [("advisory", SupervisorLevel::Advisory), ("executor", SupervisorLevel::Executor)];
    let written = levels.iter().find(|(word, _)| line.contains(word)).map(|(_, level)| *level);
    line.contains("@gate").then(|| written.unwrap_or(SupervisorLevel::Gatekeeper))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The ruling is the one that follows from what plain Cedar says when it is given everything.
    #[test]
    fn we_say_what_plain_cedar_says(text in random::policies(), input in input()) {
        // What can never apply does not load; most do.
        let gate = loaded(&text);
        prop_assume!(gate.is_ok());
        let gate = gate.unwrap();
        let claims = gate.claims(&input.request);
        let asked = asked(&input, &claims);
        let answer = gate.answer(Policies::All, &asked);
        if claims.iter().any(|claim| matches!(claim, Claim::Unreadable(_))) {
            prop_assert_eq!(answer.ruling, Ruling::Deny);
            return Ok(());
        }
        let (decision, named, failed) = plain_cedar(&text, &asked, &input.request);
        let levels: Option<Vec<_>> = named.iter().map(|id| level(&text, id)).collect();
        let expected = match (failed, decision, levels) {
            (true, ..) => Ruling::Erred,
            (_, Decision::Allow, _) => Ruling::Allow,
            (_, _, Some(levels)) => match levels.into_iter().max() {
                None => Ruling::Deny,
                Some(SupervisorLevel::Advisory)
                    if plain_cedar(&without_advisories(&text), &asked, &input.request).0 == Decision::Deny => Ruling::Deny,
                Some(level) => Ruling::RequireHuman(level),
            },
            _ => Ruling::Deny,
        };
        prop_assert_eq!(answer.ruling, expected, "{}\n{:?}", text, answer);
        let ours: BTreeSet<String> = answer.policies.iter().map(|id| id.to_string()).collect();
        let nothing_permits = &*answer.reason == "no policy permits this";
        // Where a policy forbids, one that asks for a human has not decided.
        let decided = named.into_iter().filter(|id| expected != Ruling::Deny || level(&text, id).is_none());
        prop_assert!(failed || nothing_permits || decided.eq(ours.iter().cloned()), "{}\n{:?}", text, ours);
    }

    /// Without the need for a permit the ruling is the one that the forbids alone give beside a permit for everything.
    #[test]
    fn a_forbid_counts_without_a_permit(text in random::policies(), input in input()) {
        let gate = loaded(&text);
        prop_assume!(gate.is_ok());
        let forbids: String = text.lines().filter(|line| line.contains("forbid(")).map(|line| format!("{line}\n")).collect();
        let alone = loaded(&format!("permit(principal, action, resource);\n{forbids}"));
        prop_assume!(alone.is_ok());
        let (gate, alone) = (gate.unwrap(), alone.unwrap());
        let ruling = |gate: &CedarGate, policies| {
            let claims = gate.claims(&input.request);
            gate.answer(policies, &asked(&input, &claims)).ruling
        };
        prop_assert_eq!(ruling(&gate, Policies::Forbids), ruling(&alone, Policies::All), "{}", text);
    }

    /// A probe says of each policy that it applies when plain Cedar says so of it alone.
    #[test]
    fn a_probe_knows_what_applies(text in random::policies(), input in input()) {
        let gate = loaded(&text);
        prop_assume!(gate.is_ok());
        let gate = gate.unwrap();
        let claims = gate.claims(&input.request);
        prop_assume!(!claims.iter().any(|claim| matches!(claim, Claim::Unreadable(_))));
        let asked = asked(&input, &claims);
        let taken = gate.probe().unwrap().taken(Policies::All, &asked);
        for (at, line) in text.lines().enumerate() {
            let alone = plain_cedar(&line.replace("forbid(", "permit("), &asked, &input.request).0 == Decision::Allow;
            prop_assert_eq!(taken.contains(&Taken::Applied(at)), alone, "{}", line);
            prop_assert!(taken.contains(&Taken::Asked(at)));
        }
    }

    /// What an entry keeps of the caller's object is answered as the whole was: by these policies, and by others wherever it is enough.
    #[test]
    fn what_is_kept_is_answered_as_it_was(text in random::policies(), other in random::policies(), input in input()) {
        let (gate, other) = (loaded(&text), loaded(&other));
        prop_assume!(gate.is_ok() && other.is_ok());
        let (gate, other) = (gate.unwrap(), other.unwrap());
        let answer = |gate: &CedarGate, policies, request: &Json| {
            let claims = gate.claims(request);
            gate.answer(policies, &asked(&input, &claims))
        };
        for policies in [Policies::All, Policies::Forbids] {
            let kept = KeptRequest::of(&input.request, gate.attributes(policies));
            for (gate, own) in [(&gate, true), (&other, false)] {
                let lacks = gate.attributes(policies).iter().any(|attribute| kept.lacks(attribute));
                prop_assert!(!(own && lacks), "{}", text);
                if !lacks {
                    let (then, now) = (answer(gate, policies, &input.request), answer(gate, policies, &kept.request()));
                    prop_assert_eq!(then, now, "{:?}", kept);
                }
            }
        }
    }

    /// What the question leaves out, the verdict does not depend on: with everything in the question it is the same.
    #[test]
    fn what_no_policy_reads_changes_nothing(
        text in random::policies(),
        inputs in proptest::collection::vec(input(), 1..8),
        strict in any::<bool>(),
        blast in any::<bool>(),
        marked in any::<bool>(),
    ) {
        let gate = loaded(&text);
        prop_assume!(gate.is_ok());
        let gate = gate.unwrap();
        let snapshot = snapshot(if strict { Mode::Strict } else { Mode::Reference }, blast, marked).gated_by(std::sync::Arc::new(gate));
        for input in inputs {
            let whole = Question::project(&input, &Facts::default(), &snapshot, Reads::ALL);
            let asked = Question::ask(&input, &Facts::default(), &snapshot);
            prop_assert_eq!(decide(&whole, &snapshot), decide(&asked, &snapshot), "{}", text);
        }
    }
}

fn asked<'a>(input: &'a RouteInput, claims: &'a [Claim]) -> Asked<'a> {
    Asked {
        tenant: Some(&input.tenant_id),
        worker: input.worker_id.as_deref(),
        capability: Some(&input.capability_id),
        env: input.env,
        label: Some(input.data_label),
        tenant_risk: input.tenant_risk,
        qos: Some(input.qos_class),
        blast: input.blast_score.map(|score| u8::try_from(score).unwrap()),
        dry_run: Some(input.dry_run),
        species: input.dry_run.then_some("wrk.data.writer"),
        http: input.http.as_ref().map(|http| HttpRead {
            method: Some(&http.method),
            host: Some(&http.host),
            path: Some(&http.path),
        }),
        claims,
    }
}

/// One wide rule, which needs a permit of the policies or does not.
fn snapshot(mode: Mode, enforce_blast_scoring_in_prod: bool, policy_gate: bool) -> Snapshot {
    let rules = json!({ "rules": [{ "rule_id": "r", "match": {}, "decision": {
        "candidate_workers_ranked": [{ "worker_species_id": "wrk.data.writer" }], "escalation": { "policy_gate": policy_gate },
    } }] });
    let worker = |id: &str| Worker {
        blast_sum: Some(12),
        ..Worker::new(
            id.parse().unwrap(),
            "wrk.data.writer".parse().unwrap(),
            ["cap.data.write.v1".parse().unwrap(), "cap.data.read.v1".parse().unwrap()].into(),
        )
    };
    let settings = Settings {
        mode,
        version: "v".into(),
        require_worker_id: [].into(),
        enforce_blast_scoring_in_prod,
        tenants: [("org.acme".parse().unwrap(), TenantRisk::Low)].into(),
        ..Settings::default()
    };
    let rules = RuleSet::parse(&rules.to_string(), mode).unwrap();
    Snapshot::build(settings, rules, vec![worker("wrk_a"), worker("wrk_b")]).unwrap()
}
