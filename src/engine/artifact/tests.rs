//! The reference's own hashes and byte rules.

use super::*;
use crate::engine::input::tests::plain;
use crate::ids::{DataLabel, Env, QosClass};

fn python(text: &str) -> String {
    let mut written = String::new();
    python_json(&Json::parse(text.as_bytes()).unwrap(), &mut written);
    written
}

fn hash(input: &RouteInput) -> String {
    artifact_hash(input, TenantRisk::Critical).to_hex()
}

#[test]
fn the_references_hashes() {
    let a = plain();
    assert_eq!(hash(&a), "0badc14737334bf898572f97d51d84e15ec12f85e7924b12a9eb0e1e3f39f56c");

    let b = RouteInput {
        env: Env::Dev,
        data_label: DataLabel::Public,
        correlation_id: "c-1".into(),
        blast_score: Some(7),
        dry_run: true,
        request: Json::parse(
            "{\"b\":1.0,\"a\":\"é😀\u{7f}/\",\"n\":null,\"f\":1e-7,\"big\":1e22,\"t\":true,\"z\":[1,2.5]}".as_bytes(),
        )
        .unwrap(),
        ..plain()
    };
    assert_eq!(hash(&b), "a0b066c192ab41df7639259290ef48de898580f4eae517314f7540824fbfd102");

    let c = RouteInput {
        capability_id: "cap.data.read.v1".into(),
        data_label: DataLabel::Restricted,
        tenant_risk: Some(TenantRisk::High),
        qos_class: QosClass::P0,
        correlation_id: "22222222-2222-4222-8222-222222222222".into(),
        request: Json::parse(b"{\"egress\":true}").unwrap(),
        ..plain()
    };
    assert_eq!(hash(&c), "4a07e16d0a21b51c7e10ab0fbc7413ef41c0d96feda869c92901ba232777626f");
}

#[test]
fn the_decided_risk_is_hashed_where_the_caller_gave_none() {
    let silent = RouteInput { tenant_risk: None, ..plain() };
    assert_eq!(artifact_hash(&silent, TenantRisk::Low), artifact_hash(&plain(), TenantRisk::High));
    assert_ne!(artifact_hash(&silent, TenantRisk::High), artifact_hash(&plain(), TenantRisk::High));
}

#[test]
fn the_worker_is_outside_the_hash() {
    let named = RouteInput { worker_id: Some("wrk_a".into()), ..plain() };
    assert_eq!(hash(&named), hash(&plain()));
}

#[test]
fn floats_are_pythons_repr() {
    for (written, repr) in [
        ("1e15", "1000000000000000.0"),
        ("1e16", "1e+16"),
        ("1e22", "1e+22"),
        ("123456789012345680.0", "1.2345678901234568e+17"),
        ("9999999999999998.0", "9999999999999998.0"),
        ("0.0001", "0.0001"),
        ("0.00012345", "0.00012345"),
        ("1e-5", "1e-05"),
        ("0.000099", "9.9e-05"),
        ("5e-324", "5e-324"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("100.0", "100.0"),
        ("-0.0", "-0.0"),
        ("0e5", "0.0"),
        ("1e-400", "0.0"),
        ("0.1", "0.1"),
        ("2.5", "2.5"),
    ] {
        assert_eq!(python(written), repr, "{written}");
    }
}

#[test]
fn integers_are_verbatim_and_strings_ascii() {
    assert_eq!(python("1180591620717411303424"), "1180591620717411303424");
    assert_eq!(python("-0"), "0");
    assert_eq!(
        python("\"\\u0000\\u001f\\b\\f\\n\\r\\t\\\"\\\\/<>&\u{7f}é😀\u{ffff}\""),
        r#""\u0000\u001f\b\f\n\r\t\"\\/<>&\u007f\u00e9\ud83d\ude00\uffff""#
    );
}

#[test]
fn keys_are_in_the_order_of_code_points() {
    // In UTF-16 order, as JavaScript sorts, the astral key would come first.
    assert_eq!(
        python("{\"😀\":1,\"\u{ff5e}\":2,\"a\":[],\"A\":{}}"),
        r#"{"A": {}, "a": [], "\uff5e": 2, "\ud83d\ude00": 1}"#
    );
}
