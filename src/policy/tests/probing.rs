//! Which ways requests take through policies, condition by condition.

use super::*;
use crate::engine::policy_gate::Taken;

/// What a request with this object takes: `0` asked, `0!` applied, `0.1+` and `0.1-` a condition that was true or false.
fn taken(text: &str, policies: Policies, object: &str, change: impl FnOnce(&mut Asked<'_>)) -> String {
    let gate = super::policies(text);
    let claims = gate.claims(&Json::parse(object.as_bytes()).unwrap());
    let mut asked = asked(&claims);
    change(&mut asked);
    let mut taken = gate.probe().unwrap().taken(policies, &asked);
    taken.sort_unstable();
    let words = taken.iter().map(|taken| match taken {
        Taken::Asked(at) => at.to_string(),
        Taken::Applied(at) => format!("{at}!"),
        Taken::Condition(at, number, is) => format!("{at}.{number}{}", if *is { '+' } else { '-' }),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn each_condition_is_told_once_it_is_looked_at() {
    const POLICY: &str = "@id(\"p\") forbid(principal, action, resource)
        when { context.request has a && (context.request.a > 5 || context.dry_run) && !(context.env == \"dev\") }
        unless { if context.label_rank > 2 then context.request has b else true };";
    let gate = policies(&format!("\n{POLICY}"));
    let probe = gate.probe().unwrap();
    let [policy] = probe.policies() else { panic!() };
    assert_eq!((&*policy.id, &*policy.place, policy.forbids), ("p", "gate.cedar:2", true));
    let conditions: Vec<&str> = policy.conditions.iter().map(|condition| &**condition).collect();
    assert_eq!(
        conditions,
        [
            "context.request has a",
            "context.request.a > 5",
            "context.dry_run",
            "context.env == \"dev\"",
            "context.label_rank > 2",
            "context.request has b",
        ]
    );
    let ways = |object: &str, change: fn(&mut Asked<'_>)| taken(POLICY, Policies::All, object, change);
    assert_eq!(ways("{}", |_| {}), "0 0.0-");
    assert_eq!(ways(r#"{"a":7}"#, |_| {}), "0 0.0+ 0.1+ 0.3- 0.4-");
    assert_eq!(ways(r#"{"a":1}"#, |_| {}), "0 0.0+ 0.1- 0.2-");
    let restricted = |asked: &mut Asked<'_>| asked.label = Some(DataLabel::Restricted);
    assert_eq!(ways(r#"{"a":7}"#, restricted), "0 0! 0.0+ 0.1+ 0.3- 0.4+ 0.5-");
    assert_eq!(ways(r#"{"a":7,"b":1}"#, restricted), "0 0.0+ 0.1+ 0.3- 0.4+ 0.5+");
    // Who cannot be asked takes no way.
    assert_eq!(ways(r#"{"a":"x"}"#, |_| {}), "0");
}

#[test]
fn what_is_not_asked_takes_no_way() {
    const POLICIES: &str = "permit(principal, action, resource) when { context.env == \"prod\" };
        forbid(principal is Tenant, action, resource) when { context.env == \"prod\" };
        forbid(principal, action, resource) when { context.blast_score * 9223372036854775807 > 0 };";
    assert_eq!(taken(POLICIES, Policies::All, "{}", |_| {}), "0 1 2 0! 0.0+");
    assert_eq!(taken(POLICIES, Policies::Forbids, "{}", |_| {}), "1 2");
}
