//! The policy gate by itself: what it reads, what it makes of a caller's object, and what it says.

mod laws;
mod probing;
mod random;

use super::*;
use crate::engine::Json;
use crate::engine::policy_gate::{Asked, Claim, GateReads, HttpRead, Policies, PolicyGate, Ruling};
use crate::ids::{DataLabel, Env, QosClass, SupervisorLevel, TenantRisk};

fn loaded(text: &str) -> Result<CedarGate, Vec<PolicyProblem>> {
    let path = Path::new("gate.cedar");
    gate(path, &[files::PolicyFile::new(path, path.to_owned(), text.to_owned())])
}

#[track_caller]
fn policies(text: &str) -> CedarGate {
    loaded(text).unwrap_or_else(|problems| panic!("{text}\n{problems:#?}"))
}

/// A writer of `org.acme` that asks to write CONFIDENTIAL data in prod, through the gate.
fn asked(claims: &[Claim]) -> Asked<'_> {
    Asked {
        tenant: Some("org.acme"),
        worker: Some("wrk_a"),
        capability: Some("cap.data.write.v1"),
        env: Env::Prod,
        label: Some(DataLabel::Confidential),
        tenant_risk: Some(TenantRisk::Low),
        qos: Some(QosClass::P2),
        blast: Some(55),
        dry_run: Some(false),
        species: Some("wrk.data.writer"),
        http: Some(HttpRead { method: Some("POST"), host: Some("orders"), path: Some("/orders/1") }),
        claims,
    }
}

/// Whether a permit with this condition permits.
#[track_caller]
fn holds(condition: &str, change: impl FnOnce(&mut Asked<'_>)) -> bool {
    let gate = policies(&format!("permit(principal, action, resource) when {{ {condition} }};"));
    let mut asked = asked(&[]);
    change(&mut asked);
    match gate.answer(Policies::All, &asked).ruling {
        Ruling::Allow => true,
        Ruling::Deny => false,
        other => panic!("{condition}: {other:?}"),
    }
}

#[test]
fn policies_see_the_whole_of_what_is_asked() {
    for (yes, no) in [
        ("context.env == \"prod\"", "context.env == \"dev\""),
        ("context.data_label == \"CONFIDENTIAL\"", "context.data_label == \"RESTRICTED\""),
        ("context.label_rank == 2", "context.label_rank == 3"),
        ("context.tenant_risk == \"low\"", "context.tenant_risk == \"critical\""),
        ("context.qos_class == \"P2\"", "context.qos_class == \"P0\""),
        ("context.blast_score == 55", "context.blast_score > 55"),
        ("!context.dry_run", "context.dry_run"),
        ("context has species && context.species == \"wrk.data.writer\"", "!(context has species)"),
        ("context has http && context.http.method == \"POST\"", "!(context has http)"),
        ("context has http && context.http.path like \"/orders/*\"", "context has http && context.http.host == \"x\""),
        (
            "context has http && context.http == {method: \"POST\", host: \"orders\", path: \"/orders/1\"}",
            "context has http && context.http.path == \"/\"",
        ),
        ("principal == Worker::\"wrk_a\"", "principal == Worker::\"wrk_b\""),
        ("principal in Tenant::\"org.acme\"", "principal in Tenant::\"org.other\""),
        ("principal is Worker", "principal is Tenant"),
        ("principal is Worker in Tenant::\"org.acme\"", "principal is Tenant in Tenant::\"org.acme\""),
        ("resource == Capability::\"cap.data.write.v1\"", "resource == Capability::\"cap.data.write\""),
        ("resource in Domain::\"cap.data.write\"", "resource in Domain::\"cap.data.read\""),
        ("resource in Domain::\"cap.data\"", "resource in Domain::\"cap.dat\""),
        ("resource in Domain::\"cap\"", "resource in Domain::\"\""),
        ("resource in [Domain::\"cap.ml\", Domain::\"cap.data\"]", "resource in [Domain::\"cap.ml\"]"),
        ("action == Action::\"dispatch\"", "!(action == Action::\"dispatch\")"),
    ] {
        assert!(holds(yes, |_| {}), "{yes}");
        if no.starts_with("!(action") {
            // Never true, and said so at load.
            assert!(loaded(&format!("permit(principal, action, resource) when {{ {no} }};")).is_err());
        } else {
            assert!(!holds(no, |_| {}), "{no}");
        }
    }
    let without_worker = |asked: &mut Asked<'_>| asked.worker = None;
    assert!(holds("principal == Tenant::\"org.acme\"", without_worker));
    assert!(holds("principal in Tenant::\"org.acme\"", without_worker));
    assert!(!holds("principal is Worker", without_worker));
    assert!(holds("!(context has http)", |asked| asked.http = None));
    assert!(holds("!(context has species)", |asked| asked.species = None));
}

#[test]
fn a_question_holds_what_the_policies_read_and_no_more() {
    let none = GateReads::default();
    let table = [
        ("permit(principal, action == Action::\"dispatch\", resource);", none),
        ("permit(principal is Tenant, action, resource);", GateReads { principal: true, ..none }),
        ("permit(principal, action, resource in Domain::\"cap\");", GateReads { capability: true, ..none }),
        ("permit(principal, action, resource) when { context.env == \"dev\" };", none),
        ("permit(principal, action, resource) when { context has species };", none),
        ("permit(principal, action, resource) unless { context.label_rank > 1 };", GateReads { label: true, ..none }),
        ("permit(principal, action, resource) when { context has http };", GateReads { http: true, ..none }),
        (
            "permit(principal, action, resource) when { context has http && context.http.path like \"/a*\" };",
            GateReads { http: true, path: true, ..none },
        ),
        (
            "permit(principal, action, resource) when { if context.dry_run then context.qos_class == \"P0\" else context.request has a };",
            GateReads { dry_run: true, qos: true, request: true, ..none },
        ),
        (
            "permit(principal, action, resource); forbid(principal, action, resource) when { [1, context.blast_score].contains(7) };",
            GateReads { blast: true, ..none },
        ),
        (
            "permit(principal, action, resource) when { {\"a\": context.tenant_risk} == {\"a\": \"low\"} };",
            GateReads { tenant_risk: true, ..none },
        ),
    ];
    for (text, reads) in table {
        assert_eq!(policies(text).reads(Policies::All), reads, "{text}");
    }
}

/// The claims that a gate with this condition makes of an object.
fn claims(condition: &str, object: &str) -> Vec<Claim> {
    let gate = policies(&format!("permit(principal, action, resource) when {{ {condition} }};"));
    gate.claims(&Json::parse(object.as_bytes()).unwrap()).to_vec()
}

#[test]
fn what_is_read_of_the_callers_object_is_of_the_kind_that_is_read() {
    let long = "context.request has n && context.request.n > 5";
    for (value, claim) in [
        ("6", Claim::Long(6)),
        ("-0", Claim::Long(0)),
        ("9223372036854775807", Claim::Long(i64::MAX)),
        ("9223372036854775808", Claim::Unreadable("an integer beyond 64 bits")),
        ("6.0", Claim::Unreadable("a number with a fraction or an exponent")),
        ("1e3", Claim::Unreadable("a number with a fraction or an exponent")),
        ("\"6\"", Claim::Unreadable("a text")),
        ("null", Claim::Unreadable("null")),
        ("true", Claim::Unreadable("a boolean")),
        ("[6]", Claim::Unreadable("a list of other or of mixed values")),
        ("{\"__extn\":{\"fn\":\"decimal\",\"arg\":\"6.0\"}}", Claim::Unreadable("an object")),
    ] {
        assert_eq!(claims(long, &format!("{{\"n\":{value},\"other\":null}}")), [claim], "{value}");
    }
    assert_eq!(claims(long, "{}"), [Claim::Absent]);
    let text = |text: &str| Claim::Text(text.into());
    let set = "context.request has s && context.request.s.contains(\"a\")";
    assert_eq!(claims(set, "{\"s\":[\"b\",\"a\",\"b\"]}"), [Claim::Set([text("a"), text("b")].into())]);
    assert_eq!(claims(set, "{\"s\":[]}"), [Claim::Set([].into())]);
    for mixed in ["[\"a\",1]", "[\"a\",null]", "[[\"a\"]]", "\"a\""] {
        assert!(matches!(claims(set, &format!("{{\"s\":{mixed}}}"))[..], [Claim::Unreadable(_)]), "{mixed}");
    }
    let deep = "context.request has a.b && context.request.a.b == true && context.request has c";
    assert_eq!(
        claims(deep, "{\"a\":{\"b\":false,\"x\":1.5},\"c\":1.5}"),
        [Claim::Present, Claim::Bool(false), Claim::Present]
    );
    assert_eq!(claims(deep, "{\"c\":null}"), [Claim::Absent, Claim::Absent, Claim::Unreadable("null")]);
    assert_eq!(claims(deep, "{\"a\":[]}")[0], Claim::Unreadable("a list of other or of mixed values"));
}

#[test]
fn what_cannot_be_read_denies_even_where_everything_is_permitted() {
    let gate = policies(
        "permit(principal, action, resource);
         forbid(principal, action, resource) when { context.request has order && context.request.order has total && context.request.order.total > 5 };",
    );
    let ruling = |object: &str| {
        let claims = gate.claims(&Json::parse(object.as_bytes()).unwrap());
        let answer = gate.answer(Policies::All, &asked(&claims));
        (answer.ruling, answer.reason.to_string())
    };
    assert_eq!(ruling("{\"order\":{\"total\":5}}").0, Ruling::Allow);
    assert_eq!(ruling("{\"order\":{\"total\":6}}"), (Ruling::Deny, "gate.cedar:2:10".to_owned()));
    assert_eq!(ruling("{\"order\":{}}").0, Ruling::Allow);
    assert_eq!(
        ruling("{\"order\":{\"total\":6.5}}"),
        (
            Ruling::Deny,
            "`request.order.total` is a number with a fraction or an exponent, and the policies read an integer"
                .to_owned()
        )
    );
    assert_eq!(
        ruling("{\"order\":null}"),
        (Ruling::Deny, "`request.order` is null, and the policies read an object".to_owned())
    );
}

#[test]
fn the_kind_of_one_value_may_follow_from_another() {
    let gate = policies(
        "permit(principal, action, resource) when { context.request has b && context.request has a && context.request.a == context.request.b };
         permit(principal, action, resource) when { context.request has c && context.request has b && context.request.b == context.request.c };
         permit(principal, action, resource) when { context.request has c && context.request.c == context.blast_score };",
    );
    let claims = gate.claims(&Json::parse(br#"{"a":1,"b":"1","c":2}"#).unwrap());
    assert_eq!(*claims, [Claim::Long(1), Claim::Unreadable("a text"), Claim::Long(2)]);
}

#[test]
fn the_strictest_policy_that_applies_rules() {
    const PERMIT: &str = "@id(\"all\") permit(principal, action, resource);";
    const FORBID: &str = "@id(\"no\") @reason(\"because\") forbid(principal, action, resource);";
    const HUMAN: &str = "@id(\"human\") @gate(\"REQUIRE_HUMAN\") forbid(principal, action, resource);";
    const EXECUTOR: &str = "@id(\"hand\") @reason(\"by hand\") @gate(\"REQUIRE_HUMAN\") @supervisor_level(\"executor\") forbid(principal, action, resource);";
    const ADVISORY: &str =
        "@id(\"tell\") @gate(\"REQUIRE_HUMAN\") @supervisor_level(\"advisory\") forbid(principal, action, resource);";
    const ERRS: &str =
        "@id(\"errs\") forbid(principal, action, resource) when { context.blast_score * 9223372036854775807 > 0 };";
    const NEVER: &str = "@id(\"never\") permit(principal, action, resource) when { context.env == \"dev\" };";
    let no_permit = "no policy permits this";
    let human = Ruling::RequireHuman;
    for (texts, ruling, reason, named) in [
        (vec![PERMIT], Ruling::Allow, "", vec!["all"]),
        (vec![NEVER], Ruling::Deny, no_permit, vec![]),
        (vec![PERMIT, FORBID], Ruling::Deny, "because", vec!["no"]),
        (vec![HUMAN, FORBID, PERMIT], Ruling::Deny, "because", vec!["no"]),
        (vec![PERMIT, HUMAN], human(SupervisorLevel::Gatekeeper), "human", vec!["human"]),
        (
            vec![HUMAN, EXECUTOR, ADVISORY, PERMIT],
            human(SupervisorLevel::Executor),
            "by hand",
            vec!["hand", "human", "tell"],
        ),
        (vec![HUMAN, NEVER], human(SupervisorLevel::Gatekeeper), "human", vec!["human"]),
        (vec![PERMIT, ADVISORY], human(SupervisorLevel::Advisory), "tell", vec!["tell"]),
        (vec![ADVISORY, NEVER], Ruling::Deny, no_permit, vec![]),
        (
            vec![PERMIT, HUMAN, ERRS],
            Ruling::Erred,
            "policy `errs` could not be evaluated: an integer overflows",
            vec!["errs"],
        ),
        (vec![FORBID, ERRS], Ruling::Erred, "policy `errs` could not be evaluated: an integer overflows", vec!["errs"]),
    ] {
        let answer = policies(&texts.join("\n")).answer(Policies::All, &asked(&[]));
        let policies: Vec<&str> = answer.policies.iter().map(|id| &**id).collect();
        assert_eq!((answer.ruling, &*answer.reason, policies), (ruling, reason, named), "{texts:#?}");
    }
}

#[test]
fn where_no_permit_is_needed_only_what_forbids_is_asked() {
    let ask = |texts: &[&str], request: &str| {
        let gate = policies(&texts.join("\n"));
        let claims = gate.claims(&Json::parse(request.as_bytes()).unwrap());
        let answer = gate.answer(Policies::Forbids, &asked(&claims));
        (answer.ruling, answer.reason.to_string(), answer.policies.len(), gate.forbids())
    };
    const NEVER: &str = "permit(principal, action, resource) when { context.env == \"dev\" };";
    const ERRS: &str = "permit(principal, action, resource) when { context.blast_score * 9223372036854775807 > 0 };";
    const CLAIMS: &str = "permit(principal, action, resource) when { context.request has a && context.request.a has b && context.request.a.b > 5 && context.request has c && context.request.c };";
    const FORBID: &str = "@reason(\"because\") forbid(principal is Worker in Tenant::\"org.acme\", action, resource in Domain::\"cap\");";
    const READS: &str =
        "@id(\"d\") forbid(principal, action, resource) when { context.request has d && context.request.d == \"x\" };";
    const OVERFLOWS: &str =
        "@id(\"o\") forbid(principal, action, resource) when { context.blast_score * 9223372036854775807 > 0 };";
    const TELL: &str = "@gate(\"REQUIRE_HUMAN\") @supervisor_level(\"advisory\") forbid(principal, action, resource);";
    const HUMAN: &str = "@gate(\"REQUIRE_HUMAN\") forbid(principal, action, resource);";
    let allowed = |forbids| (Ruling::Allow, String::new(), 0, forbids);
    assert_eq!(ask(&[NEVER], "{}"), allowed(false));
    // What only a permit reads or errs at has no effect.
    assert_eq!(ask(&[NEVER, ERRS, CLAIMS, READS], r#"{"a": {"b": null}, "c": 1, "d": "y"}"#), allowed(true));
    assert_eq!(ask(&[CLAIMS, READS], r#"{"a": 7}"#), allowed(true));
    assert_eq!(ask(&[CLAIMS, READS], r#"{"a": {"b": null}, "c": 1, "d": "x"}"#).0, Ruling::Deny);
    let (ruling, reason, ..) = ask(&[CLAIMS, READS], r#"{"d": 7}"#);
    assert_eq!((ruling, &*reason), (Ruling::Deny, "`request.d` is an integer, and the policies read a text"));
    assert_eq!(ask(&[NEVER, FORBID], "{}"), (Ruling::Deny, "because".to_owned(), 1, true));
    assert_eq!(ask(&[NEVER, OVERFLOWS], "{}").0, Ruling::Erred);
    assert_eq!(ask(&[NEVER, HUMAN, TELL], "{}").0, Ruling::RequireHuman(SupervisorLevel::Gatekeeper));
    assert_eq!(ask(&[NEVER, TELL], "{}").0, Ruling::RequireHuman(SupervisorLevel::Advisory));
    let gate = policies(&[CLAIMS, READS].join("\n"));
    assert!(!gate.reads(Policies::Forbids).principal && gate.reads(Policies::Forbids).request);
    assert_eq!(
        policies(FORBID).reads(Policies::Forbids),
        GateReads { principal: true, capability: true, ..GateReads::default() }
    );
}

#[test]
fn what_the_policies_were_not_told_denies() {
    let gate = policies("permit(principal, action, resource) unless { context.blast_score > 50 };");
    assert_eq!(gate.answer(Policies::All, &Asked { blast: None, ..asked(&[]) }).ruling, Ruling::Erred);
    let gate = policies("permit(principal, action, resource in Domain::\"cap\");");
    assert_eq!(gate.answer(Policies::All, &Asked { capability: None, ..asked(&[]) }).ruling, Ruling::Failed);
    let gate = policies("permit(principal, action, resource) unless { principal is Tenant };");
    assert_eq!(gate.answer(Policies::All, &Asked { tenant: None, ..asked(&[]) }).ruling, Ruling::Failed);
    let gate = policies("permit(principal, action, resource) unless { context.request has a };");
    assert_eq!(gate.answer(Policies::All, &asked(&[])).ruling, Ruling::Deny);
}

#[test]
fn a_gate_is_named_by_its_texts() {
    let one = policies("permit(principal, action, resource);");
    assert_eq!(one.digest(), policies("permit(principal, action, resource);").digest());
    assert_ne!(one.digest(), policies("permit(principal, action, resource); // why").digest());
}
