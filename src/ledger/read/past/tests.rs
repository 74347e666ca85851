//! What is read back of an entry is what was asked, as far as any verdict can tell.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::engine::{self, Outcome};
use crate::ids::{DataLabel, Env, QosClass, TenantRisk};
use crate::ledger::format::entry::push_record;
use crate::ledger::format::record::{Door, Record, Refusal};
use crate::ledger::format::stamp::Stamp;
use crate::ledger::tests::decision;

fn written(record: &Record) -> Json {
    let mut bytes = Vec::new();
    let recorded_at = "2026-01-01T00:00:00.000000+00:00";
    let id = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001);
    push_record(&mut bytes, record, &Stamp { id, recorded_at, stream: ":hall", previous: None });
    Json::parse(&bytes).unwrap()
}

fn recorded(decision: engine::Decision, worker_optional: bool) -> Json {
    keeping(decision, worker_optional, None)
}

fn keeping(decision: engine::Decision, worker_optional: bool, kept: Option<KeptRequest>) -> Json {
    let (decision, kept) = (Arc::new(decision), kept.map(Box::new));
    written(&Record::Decision { decision, door: Door::Api, token: None, raw_body: None, worker_optional, kept })
}

fn past(entry: &Json) -> PastDecision {
    match read(entry) {
        Ok(PastEntry::Decision(past)) => *past,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn what_counts_is_read_back(
        texts in proptest::collection::vec("[ -~]{0,80}", 6),
        (env, label, qos, risk) in (0..4_usize, 0..4_usize, 0..4_usize, proptest::option::of(0..4_usize)),
        (dry_run, defaulted, worker_optional, http) in any::<(bool, bool, bool, bool)>(),
        score in proptest::option::of(-1000..1000_i64),
        claims in proptest::collection::btree_map("egress|external_call|writes|mutates_state|other", any::<bool>(), 0..5),
    ) {
        let text = |n: usize| Arc::<str>::from(texts[n].as_str());
        let mut decision = decision(&texts[0], Outcome::Deny);
        let input = &mut decision.input;
        input.capability_id = text(1);
        input.worker_id = (!texts[2].is_empty()).then(|| text(2));
        input.correlation_id = text(3);
        (input.env, input.data_label, input.qos_class) = (Env::ALL[env], DataLabel::ALL[label], QosClass::ALL[qos]);
        input.tenant_risk = risk.map(|at| TenantRisk::ALL[at]);
        (input.dry_run, input.data_label_defaulted, input.blast_score) = (dry_run, defaulted, score);
        input.http = http.then(|| HttpFacts { method: text(4), host: text(5), path: text(1) });
        let claims: BTreeMap<Arc<str>, Json> =
            claims.into_iter().map(|(key, value)| (Arc::from(key), Json::Bool(value))).collect();
        input.request = Json::Object(claims);
        let asked = input.clone();
        let past = past(&recorded(decision, worker_optional));
        prop_assert_eq!(past.input.declares_egress(), asked.declares_egress());
        prop_assert_eq!(past.input.declares_writes(), asked.declares_writes());
        prop_assert_eq!(RouteInput { request: asked.request.clone(), ..past.input.clone() }, asked);
        prop_assert_eq!(past.facts().binding.worker_optional, worker_optional);
        prop_assert!(!past.credential_refused);
    }
}

#[test]
fn what_was_only_observed_is_read_back_as_what_the_policy_said() {
    let mut decision = decision("org.acme", Outcome::Deny);
    let denied = past(&recorded(decision.clone(), false)).said;
    assert_eq!(denied.of_policy(), denied);
    let verdict = Arc::make_mut(&mut decision.verdict);
    let denial = verdict.denial.take().unwrap();
    verdict.would_be = Some(Box::new(engine::WouldBe { outcome: Outcome::Deny, denial }));
    (verdict.outcome, verdict.selected_species) = (Outcome::Dispatch, Some("wrk.a".into()));
    let observed = past(&recorded(decision, false)).said;
    assert_eq!((observed.outcome.as_str(), &observed.deny_code), ("DISPATCH", &None));
    assert_eq!(observed.of_policy(), denied);
}

#[test]
fn what_a_credential_refused_is_told_from_what_a_policy_refused() {
    let refused = |code, tenant: bool| {
        let mut decision = decision("org.acme", Outcome::Deny);
        let mut verdict = (*decision.verdict).clone();
        verdict.matched_rule_id = "PRE_ROUTING".into();
        let denial = verdict.denial.as_mut().unwrap();
        denial.code = code;
        if tenant {
            denial.extras.insert("tenant_id", "org.acme".into());
        }
        decision.verdict = Arc::new(verdict);
        past(&recorded(decision, false)).credential_refused
    };
    assert!(refused(engine::DenyCode::CredentialInvalid, false));
    assert!(refused(engine::DenyCode::EnvNotAllowed, false));
    assert!(refused(engine::DenyCode::UnknownTenant, false));
    assert!(!refused(engine::DenyCode::UnknownTenant, true));
    assert!(!refused(engine::DenyCode::MissingTenantId, false));
}

#[test]
fn what_does_not_hold_enough_says_so() {
    let mut long = decision("org.acme", Outcome::Deny);
    long.input.capability_id = "c".repeat(600).into();
    assert_eq!(read(&recorded(long, false)).unwrap_err(), "`capability_id` was too long to be kept whole");
    let Json::Object(mut old) = recorded(decision("org.acme", Outcome::Deny), false) else { panic!() };
    old.remove("asked");
    assert!(read(&Json::Object(old)).unwrap_err().contains("`asked`"));
    let refusal = Refusal {
        door: Door::Gate,
        code: engine::DenyCode::NoRoute,
        message: "m".to_owned(),
        tenant: None,
        worker: None,
        token: None,
        correlation_id: None,
        raw_body: None,
    };
    assert_eq!(read(&written(&Record::Refusal(refusal))), Ok(PastEntry::Refusal));
    assert_eq!(read(&Json::parse(br#"{"kind":"registry","action":"banned"}"#).unwrap()), Ok(PastEntry::Other));
    assert_eq!(read(&Json::parse(br#"{"kind":"approval","action":"denied"}"#).unwrap()), Ok(PastEntry::Other));
    assert!(read(&Json::parse(br#"{"kind":"sold"}"#).unwrap()).is_err());
    assert!(read(&Json::Null).is_err());
}
