//! What a text becomes when it says little, and what is kept of one that cannot become a request.

use super::*;
use crate::engine::artifact::artifact_hash;

fn read(text: &str, tenant: Option<&str>) -> Written {
    let tenant = tenant.map(|id| id.parse().unwrap());
    let absent = Absent { tenant: tenant.as_ref(), correlation_id: &|| Arc::from("fresh") };
    Written::read(text.as_bytes(), &absent).unwrap()
}

#[test]
fn a_short_body_gets_defaults_that_never_lower_the_risk() {
    let input =
        read(r#"{"capability_id":"cap.data.read.v1","env":"dev"}"#, Some("org.acme")).describe(Mode::Strict).unwrap();
    assert_eq!((input.data_label, input.data_label_defaulted), (DataLabel::Restricted, true));
    assert_eq!((&*input.tenant_id, input.tenant_risk), ("org.acme", None));
    assert_eq!((input.qos_class, input.dry_run, input.blast_score), (QosClass::P2, false, None));
    assert_eq!(input.request, Json::Object(BTreeMap::new()));
    assert_eq!(&*input.correlation_id, "fresh");
    let new = RouteInput::new("cap.data.read.v1", crate::ids::Env::Dev, "org.acme");
    assert_eq!(RouteInput { correlation_id: "".into(), ..input }, new);
    assert_eq!(&*read(r#"{"capability_id":"cap.data.read.v1","env":"dev"}"#, None).tenant_id, "");
}

#[test]
fn a_label_that_is_given_is_not_marked_as_defaulted() {
    let body = r#"{"capability_id":"cap.data.read.v1","env":"dev","data_label":"RESTRICTED"}"#;
    assert!(!read(body, None).describe(Mode::Strict).unwrap().data_label_defaulted);
}

#[test]
fn fields_that_could_be_a_request_hash_as_the_request_does() {
    let body = r#"{"capability_id":"cap.data.write.v1","env":"dev","data_label":"PUBLIC","tenant_id":"org.acme",
        "tenant_risk":"low","correlation_id":"c-1","blast_score":7,"dry_run":true,"blast_radius":{"data":1},
        "privilege_context":{"x":[1.5]},"tenant_credential":"t","request":{"b":1.0,"a":"é"}}"#;
    let written = read(body, None).artifact_hash();
    assert_eq!(written, artifact_hash(&read(body, None).describe(Mode::Strict).unwrap(), TenantRisk::High));
}

#[test]
fn no_message_repeats_a_long_value() {
    let long = "x".repeat(10_000);
    let body = format!(r#"{{"capability_id":"{long}","env":"dev","tenant_credential":"secret"}}"#);
    let unacceptable = read(&body, None).describe(Mode::Strict).unwrap_err();
    assert!(unacceptable.message.len() < 300, "{}", unacceptable.message);
    assert!(!unacceptable.message.contains("secret"));
}

#[test]
fn in_reference_mode_ids_are_any_text_and_closed_vocabularies_stay_closed() {
    let odd = r#"{"capability_id":"cap.my_own\nthing","env":"dev","tenant_id":"a b","correlation_id":"c\n1"}"#;
    assert!(read(odd, None).describe(Mode::Strict).is_err());
    let input = read(odd, None).describe(Mode::Reference).unwrap();
    assert_eq!((&*input.capability_id, &*input.tenant_id), ("cap.my_own\nthing", "a b"));
    assert!(read(r#"{"capability_id":"cap.a.b","env":"Prod"}"#, None).describe(Mode::Reference).is_err());
}
