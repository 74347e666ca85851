//! What a remote registry has taken away, no change of our own registry gives back, and the other way round.

use std::collections::{BTreeMap, BTreeSet};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use super::*;
use crate::cache::{self, Verdicts};
use crate::engine::input::tests::plain;
use crate::engine::snapshot::{RegistryOverlay, Required, Roll};
use crate::engine::{Binding, DenyCode, Mode, RouteInput, RuleSet, Settings, Snapshot};
use crate::hall::tests::{ledger_in, remote_registry, settings};
use crate::hall::{Ask, Caller, Door, Scope, TokenBook};
use crate::ids::{Env, TenantRisk};
use crate::ledger::{Ledger, RegistryAction};
use crate::registry::change::Change;
use crate::registry::hash;
use crate::registry::records::{Enrolled, RecordFormat};
use crate::registry::store::Kept;
use crate::telemetry::Metrics;

/// A worker of the folder, and one that is enrolled over the API. Without the registry's word neither acts in prod.
const FILED: &str = "org.acme.filed";
const LATE: &str = "org.acme.late";

/// A registry record with its hash.
fn record(id: &str, more: &str) -> Json {
    let text = format!(
        r#"{{"worker_id":"{id}","worker_species_id":"wrk.data.writer","capabilities":["cap.data.write.v1"]{more}}}"#
    );
    let mut record = Json::parse(text.as_bytes()).unwrap();
    if let Json::Object(members) = &mut record {
        let hash = format!("sha256:{}", hash::of_record(members));
        members.insert("artifact_hash".into(), Json::String(hash.into()));
    }
    record
}

/// A policy with one rule and this record in its folder, as it is loaded.
fn loaded(filed: Json) -> (Snapshot, Roster) {
    let settings = Settings {
        enforce_blast_scoring_in_prod: false,
        tenants: [("org.acme".parse().unwrap(), TenantRisk::Low)].into(),
        ..settings()
    };
    let rules = r#"{"rules": [{"rule_id": "rr_write", "match": {"capability_id": "cap.data.write.v1"},
        "decision": {"candidate_workers_ranked": [{"worker_species_id": "wrk.data.writer"}]}}]}"#;
    let rules = RuleSet::parse(rules, Mode::Strict).unwrap();
    let (filed, _) = validate::read(filed, &RecordFormat::default()).unwrap();
    let folder: Vec<Enrolled> = vec![filed];
    let roster = Roster::of(folder, RecordFormat::default(), Kept::default()).unwrap();
    let snapshot = Snapshot::of(Arc::new(settings), Arc::new(rules), roster.workers(), Roll::Open).unwrap();
    (snapshot, roster)
}

/// A hall that asks a registry, of which nothing is known yet, and enrolls over the API.
struct Fixture {
    hall: Arc<Hall>,
    token: Arc<Token>,
    /// Goes last.
    _folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&ledger_in(folder.path(), 64)).unwrap();
        let verdicts = Verdicts::new(cache::Settings { max_bytes: 1 << 20 });
        let hall =
            Hall::new(loaded(record(FILED, "")), verdicts, ledger, TokenBook::default(), Arc::new(Metrics::new()));
        let hall = Arc::new(hall.asking(remote_registry(false)));
        hall.open_registry(Store::open(&folder.path().join("registry.db")).unwrap()).unwrap();
        let token = Token::new(
            "ops".parse().unwrap(),
            Vec::new(),
            BTreeSet::from([Scope::Enroll, Scope::Admin]),
            Binding::default(),
        );
        Self { hall, token: Arc::new(token), _folder: folder }
    }

    /// Has the registry say this of workers.
    async fn say(&self, said: &[(&str, WorkerStatus)]) {
        let said: BTreeMap<_, _> = said.iter().map(|(id, standing)| (id.parse().unwrap(), *standing)).collect();
        let overlay = RegistryOverlay { required: Required::Namespaced, said, banned: BTreeSet::new() };
        self.hall.heed(&"http://127.0.0.1:9".into(), overlay).await.unwrap();
    }

    async fn enroll(&self, record: Json) -> Registered {
        self.hall.enroll(&self.token, record).await.unwrap()
    }

    /// Why the worker does not act in prod, by the very next request.
    async fn verdict(&self, worker: &str) -> Option<DenyCode> {
        let input = RouteInput { worker_id: Some(worker.into()), env: Env::Prod, ..plain() };
        let ask = Ask { caller: Caller::default(), input, door: Door::Api, raw_body: None, observed_until: None };
        let recorded = self.hall.rule(ask).await.unwrap().recorded();
        recorded.decision().verdict.denial.as_ref().map(|denial| denial.code)
    }

    /// Puts a policy in force with this record in its folder, as a reload does.
    async fn reload(&self, filed: Json) {
        let hall = Arc::clone(&self.hall);
        let put = move || hall.activate(loaded(filed), TokenBook::default()).map(drop);
        tokio::task::spawn_blocking(put).await.unwrap().unwrap();
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.hall.close_registry();
    }
}

#[tokio::test]
async fn an_enrolment_lifts_nothing_that_the_registry_took_away() {
    let fixture = Fixture::new();
    assert_eq!(fixture.verdict(FILED).await, Some(DenyCode::RegistryUnavailable));
    fixture.say(&[(FILED, WorkerStatus::Active)]).await;
    assert_eq!(fixture.verdict(FILED).await, None);
    fixture.say(&[(FILED, WorkerStatus::Banned)]).await;
    assert_eq!(fixture.verdict(FILED).await, Some(DenyCode::WorkerBanned));
    let local = fixture.hall.snapshot().local;

    let enrolled = fixture.enroll(record(LATE, "")).await;
    assert_eq!(enrolled.status, WorkerStatus::Unverified, "the answer says what counts");
    assert_eq!(fixture.verdict(FILED).await, Some(DenyCode::WorkerBanned), "the ban is still in force");
    assert_eq!(fixture.verdict(LATE).await, Some(DenyCode::RegistryUnavailable), "nobody has vouched for it yet");
    assert_ne!(fixture.hall.snapshot().local, local);
    // Whoever asks the registry is told that there is somebody new.
    let told = fixture.hall.remote_registry().unwrap().changed();
    tokio::time::timeout(Duration::from_secs(60), told).await.unwrap();

    fixture.reload(record(FILED, r#","note":"other""#)).await;
    fixture.reload(record(FILED, r#","risk_tier":"high","blast_radius":{"reversibility":"reversible"}"#)).await;
    assert_eq!(fixture.verdict(FILED).await, Some(DenyCode::WorkerBanned), "a reload lifts it neither");
    assert_eq!(fixture.verdict(LATE).await, Some(DenyCode::RegistryUnavailable), "and forgets nobody");
    fixture.say(&[(FILED, WorkerStatus::Active), (LATE, WorkerStatus::Active)]).await;
    assert_eq!((fixture.verdict(FILED).await, fixture.verdict(LATE).await), (None, None));
}

#[tokio::test]
async fn what_is_taken_away_here_stays_so_when_the_registry_gives_its_part_back() {
    let fixture = Fixture::new();
    fixture.enroll(record(LATE, "")).await;
    fixture.say(&[(FILED, WorkerStatus::Revoked), (LATE, WorkerStatus::Revoked)]).await;
    let before = fixture.hall.snapshot().fingerprint;
    // No decision shows these two: the workers do not act anyway.
    fixture.hall.revoke(&fixture.token, LATE, None).await.unwrap();
    fixture.reload(record(FILED, r#","status":"revoked""#)).await;
    assert_eq!(fixture.hall.snapshot().fingerprint, before);
    fixture.say(&[(FILED, WorkerStatus::Active), (LATE, WorkerStatus::Active)]).await;
    let revoked = Some(DenyCode::WorkerRevoked);
    assert_eq!((fixture.verdict(FILED).await, fixture.verdict(LATE).await), (revoked, revoked));

    fixture.hall.restore(&fixture.token, LATE).await.unwrap();
    assert_eq!(fixture.verdict(LATE).await, None);
    fixture.say(&[(LATE, WorkerStatus::Banned)]).await;
    fixture.hall.revoke(&fixture.token, LATE, None).await.unwrap();
    let restored = fixture.hall.restore(&fixture.token, LATE).await.unwrap();
    assert_eq!(restored.status, WorkerStatus::Banned, "a restoration says what still stands against it");
    assert_eq!(fixture.verdict(LATE).await, Some(DenyCode::WorkerBanned));
}

/// Has the enrolment worker panic while it answers whoever waits with this.
struct Trap;

impl Wake for Trap {
    fn wake(self: Arc<Self>) {
        assert_ne!(std::thread::current().name(), Some("enrolment"), "in the midst of a batch");
    }
}

#[tokio::test]
async fn after_a_batch_that_panics_what_is_on_record_is_in_force_and_the_next_is_made() {
    let fixture = Fixture::new();
    fixture.enroll(record(LATE, "")).await;
    fixture.say(&[(LATE, WorkerStatus::Active)]).await;
    assert_eq!(fixture.verdict(LATE).await, None);
    // A batch that panics between the two leaves it so: on record, and not in force.
    let revoked = Change::Revoke { worker_id: LATE.parse().unwrap(), reason: None };
    let revoked = codec::record(RegistryAction::Revoked, &EnrolmentJob::new(&fixture.token, revoked, None));
    fixture.hall.ledger.record_change(revoked).await.unwrap();
    assert_eq!(fixture.verdict(LATE).await, None);

    let trap = Waker::from(Arc::new(Trap));
    let mut unknown = Box::pin(fixture.hall.restore(&fixture.token, "org.acme.nobody"));
    // It is not the enrolment worker's turn before somebody waits for its answer.
    let turn = fixture.hall.activation.turn().await;
    assert!(unknown.as_mut().poll(&mut Context::from_waker(&trap)).is_pending());
    drop(turn);
    let began = Instant::now();
    while fixture.verdict(LATE).await != Some(DenyCode::WorkerRevoked) {
        assert!(began.elapsed() < Duration::from_secs(60), "what is on record is not in force");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    fixture.hall.restore(&fixture.token, LATE).await.unwrap();
    assert_eq!(fixture.verdict(LATE).await, None);
}
