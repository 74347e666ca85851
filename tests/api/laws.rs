//! Laws over any body: the answer is JSON, `denied` and `allowed` are complementary booleans, no error lets anything
//! through, and each answer has its entry.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::harness::{ACME, Running, UNBOUND};

static RUNNING: LazyLock<Running> = LazyLock::new(Running::start);

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((any::<String>(), inner), 0..4).prop_map(|members| Value::from(Map::from_iter(members))),
        ]
    })
}

/// A value that some client might put in a field, or anything.
fn some_value() -> impl Strategy<Value = Value> {
    let plausible = [
        "cap.data.write.v1",
        "cap.data.read.v1",
        "wrk_make_acme_prod",
        "dev",
        "prod",
        "staging",
        "INTERNAL",
        "SECRET",
        "org.acme",
        "low",
        "P0",
        "",
        " ",
    ];
    prop_oneof![
        6 => proptest::sample::select(plausible.map(Value::from).to_vec()),
        1 => (-2..103_i64).prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        2 => any_json(),
    ]
}

/// An object with fields of the right names.
fn some_request() -> impl Strategy<Value = Value> {
    let names = [
        "capability_id",
        "worker_id",
        "env",
        "data_label",
        "tenant_id",
        "tenant_risk",
        "qos_class",
        "correlation_id",
        "request",
        "blast_radius",
        "blast_score",
        "privilege_context",
        "dry_run",
        "tenant_credential",
        "other",
    ];
    (vec(proptest::option::of(some_value()), names.len()), any::<[bool; 2]>()).prop_map(move |(values, [cap, env])| {
        let mut members: Map<String, Value> = names
            .iter()
            .zip(values)
            .filter_map(|(name, value)| value.map(|value| ((*name).to_owned(), value)))
            .collect();
        if cap {
            members.insert("capability_id".to_owned(), json!("cap.data.read.v1"));
        }
        if env {
            members.insert("env".to_owned(), json!("dev"));
        }
        Value::from(members)
    })
}

/// What holds for the answer to any body whatever.
fn check(token: &str, body: &[u8]) -> Result<(), TestCaseError> {
    let answer = RUNNING.route(token, body);
    let said = answer.json();
    prop_assert!([200, 400].contains(&answer.status), "{}", answer.status);
    let (Some(denied), Some(allowed)) = (said["denied"].as_bool(), said["allowed"].as_bool()) else {
        return Err(TestCaseError::fail(format!("no verdict in {said}")));
    };
    prop_assert_ne!(denied, allowed);
    prop_assert_eq!(said["outcome"] == "DISPATCH", allowed);
    prop_assert_eq!(said.get("reason").is_some(), denied);
    prop_assert_eq!(said.get("error").is_some(), answer.status != 200);
    prop_assert!(answer.status == 200 || denied);
    prop_assert!(said["decision_id"].is_string());
    prop_assert_eq!(said["artifact_hash"].is_string(), answer.status == 200);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn any_bytes_have_a_sound_answer(body in vec(any::<u8>(), 0..300)) {
        check(ACME, &body)?;
    }

    #[test]
    fn any_json_has_a_sound_answer(body in any_json()) {
        check(ACME, body.to_string().as_bytes())?;
    }

    #[test]
    fn any_fields_have_a_sound_answer(body in some_request(), bound in any::<bool>()) {
        check(if bound { ACME } else { UNBOUND }, body.to_string().as_bytes())?;
    }

    /// Whatever else is sent, only one Authorization header with one token opens the door.
    #[test]
    fn no_header_stands_in_for_the_token(name in "[a-zA-Z-]{1,20}", value in "[ -~]{0,40}") {
        prop_assume!(!["authorization", "content-length", "transfer-encoding", "expect", "host", "connection", "upgrade"]
            .contains(&&*name.to_ascii_lowercase()));
        let answer = RUNNING.connect().post(&format!("{name}: {value}\r\n"), "{}");
        prop_assert_eq!(answer.status, 401);
        prop_assert_eq!(&answer.json()["denied"], &Value::Bool(true));
    }
}
