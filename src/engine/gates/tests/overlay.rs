//! What a remote registry says takes a standing away, and never gives one.

use super::*;
use crate::engine::snapshot::{RegistryOverlay, Required};
use crate::ids::WorkerId;

const NAMESPACED: &str = "org.acme.writer";

fn id(text: &str) -> WorkerId {
    text.parse().unwrap()
}

fn worker(text: &str) -> Worker {
    Worker { worker_id: id(text), ..writer() }
}

fn overlay(required: Required, said: &[(&str, WorkerStatus)]) -> Arc<RegistryOverlay> {
    let said = said.iter().map(|(worker, status)| (id(worker), *status)).collect();
    Arc::new(RegistryOverlay { required, said, banned: BTreeSet::new() })
}

/// What becomes of a request that names the worker, in an environment.
fn verdict(snapshot: &Snapshot, worker: Option<&str>, env: Env) -> Option<DenyCode> {
    let input = RouteInput { worker_id: worker.map(Into::into), env, ..plain() };
    ask(snapshot, &input, Binding::default()).denial.map(|denial| denial.code)
}

fn both(workers: Vec<Worker>) -> [Snapshot; 2] {
    [Mode::Strict, Mode::Reference].map(|mode| snapshot(settings(mode), &rules(json!({})), workers.clone()))
}

#[test]
fn what_it_says_against_a_worker_counts_everywhere() {
    for local in both(vec![worker(NAMESPACED), worker("wrk_able")]) {
        for env in [Env::Dev, Env::Prod] {
            for (status, code) in
                [(WorkerStatus::Revoked, DenyCode::WorkerRevoked), (WorkerStatus::Banned, DenyCode::WorkerBanned)]
            {
                let heeding = local.heeding(overlay(Required::None, &[(NAMESPACED, status)]));
                assert_eq!(verdict(&heeding, Some(NAMESPACED), env), Some(code), "{env}");
                assert_eq!(verdict(&heeding, Some("wrk_able"), env), None, "{env}");
                assert_eq!(verdict(&heeding, None, env), None, "another of the species may");
                let both = [(NAMESPACED, status), ("wrk_able", status)];
                let heeding = local.heeding(overlay(Required::None, &both));
                // No worker that may act implements the control that the rule requires.
                assert_eq!(verdict(&heeding, None, env), Some(DenyCode::MissingRequiredControls), "{env}");
            }
        }
    }
}

#[test]
fn without_its_word_a_worker_that_needs_it_does_not_act_in_production() {
    for local in both(vec![worker(NAMESPACED)]) {
        let silent = local.heeding(overlay(Required::Namespaced, &[]));
        for env in [Env::Prod, Env::Edge] {
            assert_eq!(verdict(&silent, Some(NAMESPACED), env), Some(DenyCode::RegistryUnavailable), "{env}");
            assert_eq!(verdict(&silent, None, env), Some(DenyCode::RegistryUnavailable), "{env}");
        }
        for env in [Env::Dev, Env::Stage] {
            assert_eq!(verdict(&silent, Some(NAMESPACED), env), None, "{env}");
            assert_eq!(verdict(&silent, None, env), None, "{env}");
        }
        let vouched = local.heeding(overlay(Required::Namespaced, &[(NAMESPACED, WorkerStatus::Active)]));
        assert_eq!(verdict(&vouched, Some(NAMESPACED), Env::Prod), None);
        assert_eq!(vouched.fingerprint, local.fingerprint, "nothing differs");
        assert_ne!(silent.fingerprint, local.fingerprint, "a verdict of one must not be remembered for the other");
        assert_eq!(silent.local, local.local);
    }
}

#[test]
fn without_a_name_the_selection_says_that_it_was_the_registry() {
    let other = Worker { worker_id: id("wrk_other"), species: "wrk.other".parse().unwrap(), ..writer() };
    for local in both(vec![worker(NAMESPACED), other]) {
        let silent = local.heeding(overlay(Required::Namespaced, &[]));
        let (code, verdict) = refuses(&silent, &plain());
        let reason = verdict.candidates[0].skip_reason;
        assert_eq!((code, reason), (DenyCode::RegistryUnavailable, Some("registry_unavailable")));
    }
}

#[test]
fn it_is_needed_as_the_configuration_says() {
    for (required, namespaced, other) in
        [(Required::None, None, None), (Required::Namespaced, Some(()), None), (Required::All, Some(()), Some(()))]
    {
        let [silent, _] = both(vec![worker(NAMESPACED), worker("x.bob.writer"), worker("wrk_writer")])
            .map(|local| local.heeding(overlay(required, &[])));
        let refused = |worker| {
            verdict(&silent, Some(worker), Env::Prod).map(|code| assert_eq!(code, DenyCode::RegistryUnavailable))
        };
        assert_eq!(refused(NAMESPACED), namespaced, "{required:?}");
        assert_eq!(refused("x.bob.writer"), namespaced, "{required:?}");
        assert_eq!(refused("wrk_writer"), other, "{required:?}");
    }
}

#[test]
fn it_lifts_no_standing_that_the_record_has_not() {
    let revoked = Worker { status: WorkerStatus::Revoked, ..worker(NAMESPACED) };
    for local in both(vec![revoked]) {
        let vouched = local.heeding(overlay(Required::Namespaced, &[(NAMESPACED, WorkerStatus::Active)]));
        assert_eq!(verdict(&vouched, Some(NAMESPACED), Env::Dev), Some(DenyCode::WorkerRevoked));
        let again = vouched.heeding(Arc::default());
        assert_eq!((again.fingerprint, again.local), (local.fingerprint, local.local));
    }
}

#[test]
fn code_that_is_banned_is_run_by_nobody() {
    let hash = Digest::of(b"bad");
    let bad = Worker { attestation: Attestation { registered: Some(hash), source: None }, ..worker(NAMESPACED) };
    for local in both(vec![bad, worker("wrk_writer")]) {
        let said = (*overlay(Required::None, &[(NAMESPACED, WorkerStatus::Active)])).clone();
        let banned = Arc::new(RegistryOverlay { banned: [hash].into(), ..said });
        let heeding = local.heeding(banned);
        assert_eq!(verdict(&heeding, Some(NAMESPACED), Env::Dev), Some(DenyCode::WorkerBanned));
        assert_eq!(verdict(&heeding, Some("wrk_writer"), Env::Prod), None);
    }
}

#[test]
fn a_control_of_the_fleet_counts_in_production_only_with_the_registrys_word() {
    let demanding = Worker { required_controls: ["ctrl.watch".parse().unwrap()].into(), ..worker("wrk_writer") };
    let watching = Worker { implements: ["ctrl.watch".parse().unwrap()].into(), ..worker("org.acme.watcher") };
    let local = strict(vec![demanding, watching]);
    let silent = local.heeding(overlay(Required::Namespaced, &[]));
    assert_eq!(verdict(&silent, Some("wrk_writer"), Env::Dev), None);
    assert_eq!(verdict(&silent, Some("wrk_writer"), Env::Prod), Some(DenyCode::MissingRequiredControls));
    let vouched = local.heeding(overlay(Required::Namespaced, &[("org.acme.watcher", WorkerStatus::Active)]));
    assert_eq!(verdict(&vouched, Some("wrk_writer"), Env::Prod), None);
}
