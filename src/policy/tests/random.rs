//! Random policies and callers' objects, as texts: each policy fits the schema, each object may or may not.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Conditions that read every part of a request that can be read. One of them overflows.
const CONDITIONS: [&str; 28] = [
    "context.env == \"prod\"",
    "[\"prod\", \"edge\"].contains(context.env)",
    "context.data_label == \"RESTRICTED\"",
    "context.label_rank >= 2",
    "context.tenant_risk == \"high\"",
    "[\"P0\", \"P1\"].contains(context.qos_class)",
    "context.blast_score >= 60",
    "context.dry_run",
    "context has species && context.species == \"wrk.data.writer\"",
    "context has species",
    "context has http",
    "context has http && context.http.method == \"POST\"",
    "context has http && context.http.path like \"/orders/*\"",
    "context has http && context.http.host == \"orders\"",
    "context.request has egress && context.request.egress",
    "context.request has amount && context.request.amount > 5",
    "context.request has amount && context.request.amount * 4611686018427387904 > 0",
    "context.request has tags && context.request.tags.contains(\"pii\")",
    "context.request has tags && context.request.tags.containsAny([\"pii\", \"pci\"])",
    "context.request has table && context.request.table like \"audit*\"",
    "context.request has order && context.request.order has total && context.request.order.total < 3",
    "context.request has order.note",
    "context.request has ticket",
    "principal == Worker::\"wrk_a\"",
    "principal is Tenant",
    "principal in Tenant::\"org.acme\"",
    "resource == Capability::\"cap.data.read.v1\"",
    "resource in Domain::\"cap.data\"",
];

const SCOPES: [&str; 6] = [
    "principal, action, resource",
    "principal, action == Action::\"dispatch\", resource",
    "principal == Worker::\"wrk_b\", action, resource",
    "principal in Tenant::\"org.acme\", action, resource",
    "principal, action, resource in Domain::\"cap.ml\"",
    "principal is Worker, action, resource == Capability::\"cap.data.write.v1\"",
];

const KINDS: [(&str, &str); 6] = [
    ("", "permit"),
    ("", "permit"),
    ("", "forbid"),
    ("@gate(\"REQUIRE_HUMAN\") ", "forbid"),
    ("@gate(\"REQUIRE_HUMAN\") @supervisor_level(\"advisory\") ", "forbid"),
    ("@gate(\"REQUIRE_HUMAN\") @supervisor_level(\"executor\") @reason(\"by hand\") ", "forbid"),
];

fn condition() -> impl Strategy<Value = String> {
    let atom = select(&CONDITIONS[..]).prop_map(|text| format!("({text})"));
    atom.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.prop_map(|a| format!("!{a}")),
        ]
    })
}

/// A file of up to five policies.
pub fn policies() -> impl Strategy<Value = String> {
    let clause = (any::<bool>(), condition())
        .prop_map(|(when, condition)| format!("{} {{ {condition} }}", if when { "when" } else { "unless" }));
    let policy = (select(&KINDS[..]), select(&SCOPES[..]), vec(clause, 0..=2));
    vec(policy, 1..=5).prop_map(|policies| {
        let policies = policies.into_iter().enumerate().map(|(n, ((annotations, effect), scope, clauses))| {
            format!("@id(\"p{n}\") {annotations}{effect}({scope}) {};\n", clauses.join(" "))
        });
        policies.collect()
    })
}

/// A caller's object. What the policies read of it is mostly of the kind that they read.
pub fn request() -> impl Strategy<Value = String> {
    let one = |name: &'static str, values: &'static [&'static str]| {
        prop_oneof![
            2 => Just(None),
            5 => select(values).prop_map(move |value| Some(format!("\"{name}\":{value}"))),
        ]
    };
    (
        one("egress", &["true", "false", "false", "0"]),
        one("amount", &["3", "7", "-9", "7.0", "9223372036854775808"]),
        one("tags", &["[]", "[\"pii\"]", "[\"b\",\"pci\",\"b\"]", "[\"pii\",1]"]),
        one("table", &["\"audit_log\"", "\"orders\"", "null"]),
        one("order", &["{}", "{\"total\":2}", "{\"total\":5,\"note\":[]}", "{\"note\":null}", "[]"]),
        one("ticket", &["\"T-1\"", "{\"a\":[1,\"b\",null]}", "1.5"]),
        one("unread", &["null", "1.5", "{\"x\":[[[1.5]]]}"]),
    )
        .prop_map(|(a, b, c, d, e, f, g)| {
            let members: Vec<String> = [a, b, c, d, e, f, g].into_iter().flatten().collect();
            format!("{{{}}}", members.join(","))
        })
}
