//! What a body becomes when it says little, and what is kept of one that cannot become a request.

use super::*;
use crate::engine::artifact::artifact_hash;

fn read(body: &str, tenant: Option<&str>) -> Fields {
    let tenant = tenant.map(|id| id.parse().unwrap());
    Fields::read(body.as_bytes(), tenant.as_ref()).unwrap()
}

#[test]
fn a_short_body_gets_defaults_that_never_lower_the_risk() {
    let input = read(r#"{"capability_id":"cap.data.read.v1","env":"dev"}"#, Some("org.acme")).describe().unwrap();
    assert_eq!((input.data_label, input.data_label_defaulted), (DataLabel::Restricted, true));
    assert_eq!((&*input.tenant_id, input.tenant_risk), ("org.acme", None));
    assert_eq!((input.qos_class, input.dry_run, input.blast_score), (QosClass::P2, false, None));
    assert_eq!(input.request, Json::Object(BTreeMap::new()));
    assert_eq!(input.correlation_id.parse::<Uuid>().unwrap().get_version_num(), 4);
    let again = read(r#"{"capability_id":"cap.data.read.v1","env":"dev"}"#, None);
    assert_ne!(again.correlation_id, input.correlation_id);
    assert_eq!(&*again.tenant_id, "");
}

#[test]
fn a_label_that_is_given_is_not_marked_as_defaulted() {
    let body = r#"{"capability_id":"cap.data.read.v1","env":"dev","data_label":"RESTRICTED"}"#;
    assert!(!read(body, None).describe().unwrap().data_label_defaulted);
}

#[test]
fn fields_that_could_be_a_request_hash_as_the_request_does() {
    let body = r#"{"capability_id":"cap.data.write.v1","env":"dev","data_label":"PUBLIC","tenant_id":"org.acme",
        "tenant_risk":"low","correlation_id":"c-1","blast_score":7,"dry_run":true,"blast_radius":{"data":1},
        "privilege_context":{"x":[1.5]},"tenant_credential":"t","request":{"b":1.0,"a":"é"}}"#;
    let written = read(body, None).artifact_hash();
    assert_eq!(written, artifact_hash(&read(body, None).describe().unwrap(), TenantRisk::High));
}

#[test]
fn no_message_repeats_a_long_value() {
    let long = "x".repeat(10_000);
    let body = format!(r#"{{"capability_id":"{long}","env":"dev","tenant_credential":"secret"}}"#);
    let unacceptable = read(&body, None).describe().unwrap_err();
    assert!(unacceptable.message.len() < 300, "{}", unacceptable.message);
    assert!(!unacceptable.message.contains("secret"));
}
