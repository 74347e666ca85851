//! A hold comes last: whatever else stands against a request is its denial, whether or not somebody has agreed.

use super::*;
use crate::engine::policy_gate::Ruling;
use crate::engine::policy_gate::fixed::FixedGate;
use crate::engine::snapshot::{Approvable, RegistryOverlay, Required};
use crate::engine::{GateFinding, explain};
use crate::ids::SupervisorLevel::{self, Advisory, Executor, Gatekeeper, IncidentCommander};

/// All that a verdict depends on here.
struct Scene {
    settings: Settings,
    decision: serde_json::Value,
    workers: Vec<Worker>,
    input: RouteInput,
    policies: Ruling,
    code: Code,
    overlay: Option<RegistryOverlay>,
}

const ATTESTED: [u8; 4] = *b"code";

impl Scene {
    /// A worker that is named, attested and able, a rule that checks everything, and policies that let it.
    fn sound() -> Self {
        let registered = Some(Digest::of(&ATTESTED));
        let able = Worker { envelope: Some(Envelope { egress: Vec::new() }), ..attested("wrk_writer", registered) };
        let mut settings = settings(Mode::Strict);
        settings.approvals = Some(Approvable { blast: Some(IncidentCommander) });
        settings.require_worker_attestation = true;
        settings.enforce_privilege_envelopes = true;
        let spare = Worker { worker_id: "wrk_spare".parse().unwrap(), ..able.clone() };
        Self {
            settings,
            decision: json!({"escalation": {"policy_gate": true}}),
            workers: vec![able, spare],
            input: named("wrk_writer"),
            policies: Ruling::Allow,
            code: Code::Is(Digest::of(&ATTESTED)),
            overlay: None,
        }
    }

    fn question(&self) -> (Question, Snapshot) {
        let snapshot = snapshot(self.settings.clone(), &rules(self.decision.clone()), self.workers.clone())
            .gated_by(Arc::new(FixedGate::says(self.policies)));
        let snapshot = match &self.overlay {
            Some(overlay) => snapshot.heeding(Arc::new(overlay.clone())),
            None => snapshot,
        };
        let question = Question::ask(&self.input, &Facts::default(), &snapshot);
        let acting = whose_code(&question, &snapshot).map_or(0, |acting| acting.len());
        (question.knowing(vec![self.code; acting]), snapshot)
    }

    fn verdict(&self, granted: Option<SupervisorLevel>) -> Verdict {
        let (question, snapshot) = self.question();
        match granted {
            Some(level) => decide_granted(&question, &snapshot, level),
            None => decide(&question, &snapshot),
        }
    }

    fn worker(&mut self) -> &mut Worker {
        &mut self.workers[0]
    }
}

/// One thing about a request.
type Change = fn(&mut Scene);

/// What wants a human, of which level, and with which code.
const WISHES: [(Change, SupervisorLevel, DenyCode); 3] = [
    (|scene| scene.input.blast_score = Some(90), IncidentCommander, DenyCode::RequiresHuman),
    (
        |scene| scene.decision["escalation"]["human_required_default"] = json!(true),
        Gatekeeper,
        DenyCode::RequiresHumanApproval,
    ),
    (|scene| scene.policies = Ruling::RequireHuman(Executor), Executor, DenyCode::RequiresHumanApproval),
];

/// What stands against it at a gate behind those.
const AGAINST: [(Change, DenyCode); 14] = [
    (|scene| scene.input.worker_id = Some("wrk_other".into()), DenyCode::WorkerNotEnrolled),
    (|scene| scene.worker().status = WorkerStatus::Banned, DenyCode::WorkerBanned),
    (|scene| scene.worker().status = WorkerStatus::Revoked, DenyCode::WorkerRevoked),
    (
        |scene| {
            scene.worker().worker_id = "org.acme.writer".parse().unwrap();
            scene.input.worker_id = Some("org.acme.writer".into());
            scene.overlay = Some(RegistryOverlay { required: Required::All, ..RegistryOverlay::default() });
        },
        DenyCode::RegistryUnavailable,
    ),
    (
        |scene| scene.worker().capabilities = ["cap.other.v1".parse().unwrap()].into(),
        DenyCode::WorkerCapabilityMismatch,
    ),
    (|scene| scene.worker().allowed_environments = Some([Env::Dev].into()), DenyCode::EnvNotAllowed),
    (|scene| scene.worker().species = "wrk.data.other".parse().unwrap(), DenyCode::WorkerNotCandidate),
    (|scene| scene.worker().implements.clear(), DenyCode::MissingRequiredControls),
    (|scene| scene.worker().attestation.registered = None, DenyCode::WorkerAttestationMissing),
    (|scene| scene.code = Code::Unavailable, DenyCode::WorkerHashUnavailable),
    (|scene| scene.code = Code::Is(Digest::of(b"another")), DenyCode::WorkerTampered),
    (|scene| scene.worker().envelope = None, DenyCode::PrivilegeEnvelopeViolated),
    (
        |scene| {
            scene.workers.iter_mut().for_each(|worker| worker.status = WorkerStatus::Revoked);
            scene.input.worker_id = None;
        },
        DenyCode::MissingRequiredControls,
    ),
    (
        |scene| {
            scene.decision["required_controls_suggested"] = json!([]);
            scene.workers.iter_mut().for_each(|worker| worker.status = WorkerStatus::Revoked);
            scene.input.worker_id = None;
        },
        DenyCode::NoAvailableWorker,
    ),
];

fn code(verdict: &Verdict) -> Option<DenyCode> {
    verdict.denial.as_ref().map(|denial| denial.code)
}

#[test]
fn a_hold_is_what_is_left_when_nothing_else_says_no() {
    assert_eq!(code(&Scene::sound().verdict(None)), None);
    for (at, (wish, level, wanted)) in WISHES.iter().enumerate() {
        let mut scene = Scene::sound();
        wish(&mut scene);
        let held = scene.verdict(None);
        assert_eq!((held.outcome, code(&held)), (Outcome::Hold, Some(*wanted)), "{at}");
        assert_eq!((held.gated.supervisor, held.selected_species.as_deref()), (Some(*level), None));
        assert_eq!((held.attestation_checked, held.attestation_valid), (true, Some(true)));
        let extras = &held.denial.as_ref().unwrap().extras;
        assert_eq!(
            (&extras["supervisor_required"], &extras["supervisor_level"]),
            (&json!(true), &json!(level.as_str()))
        );
        for (against, denied) in AGAINST.iter().copied() {
            let mut scene = Scene::sound();
            wish(&mut scene);
            against(&mut scene);
            for granted in [None, Some(IncidentCommander)] {
                let verdict = scene.verdict(granted);
                assert_eq!((verdict.outcome, code(&verdict)), (Outcome::Deny, Some(denied)), "{at} {granted:?}");
                assert_eq!(verdict.gated.supervisor, None, "nobody is asked");
            }
        }
    }
    // What the policies forbid is no matter of the blast score's human, nor of the rule's.
    for (wish, ..) in &WISHES[..2] {
        for (ruling, denied) in [
            (Ruling::Deny, DenyCode::PolicyGate),
            (Ruling::Erred, DenyCode::PolicyGate),
            (Ruling::Failed, DenyCode::InternalError),
        ] {
            let mut scene = Scene::sound();
            wish(&mut scene);
            scene.policies = ruling;
            for granted in [None, Some(IncidentCommander)] {
                let verdict = scene.verdict(granted);
                assert_eq!((verdict.outcome, code(&verdict)), (Outcome::Deny, Some(denied)));
            }
        }
    }
}

#[test]
fn who_agrees_has_the_level_that_is_wanted_or_one_above_it() {
    for (wish, level, _) in &WISHES {
        let mut scene = Scene::sound();
        let plainly = scene.verdict(None);
        wish(&mut scene);
        for granted in SupervisorLevel::ALL {
            let verdict = scene.verdict(Some(*granted));
            if granted < level {
                assert_eq!(verdict, scene.verdict(None), "{granted} for {level}");
                continue;
            }
            // The whole verdict of a dispatch: worker, controls, events, and by whom.
            assert_eq!((verdict.outcome, verdict.gated.supervisor), (Outcome::Dispatch, Some(*level)));
            assert_eq!((&verdict.worker_id, &verdict.events), (&plainly.worker_id, &plainly.events));
            assert_eq!(verdict.required_controls, plainly.required_controls);
        }
    }
    // Nothing is agreed to where nobody was to be asked.
    assert_eq!(Scene::sound().verdict(Some(IncidentCommander)), Scene::sound().verdict(None));
}

#[test]
fn of_several_who_want_a_human_the_highest_level_counts() {
    let mut scene = Scene::sound();
    WISHES.iter().for_each(|(wish, ..)| wish(&mut scene));
    let held = scene.verdict(None);
    assert_eq!((held.outcome, code(&held)), (Outcome::Hold, Some(DenyCode::RequiresHuman)));
    assert_eq!(held.gated.supervisor, Some(IncidentCommander));
    assert_eq!(scene.verdict(Some(Executor)).outcome, Outcome::Hold);
    scene.settings.approvals = Some(Approvable { blast: Some(Gatekeeper) });
    let held = scene.verdict(None);
    assert_eq!((code(&held), held.gated.supervisor), (Some(DenyCode::RequiresHumanApproval), Some(Executor)));
}

#[test]
fn a_blast_score_is_denied_where_nobody_may_agree_to_it_and_always_in_reference_mode() {
    let mut scene = Scene::sound();
    scene.input.blast_score = Some(90);
    for approvals in [None, Some(Approvable { blast: None })] {
        scene.settings.approvals = approvals;
        for granted in [None, Some(IncidentCommander)] {
            let verdict = scene.verdict(granted);
            assert_eq!((verdict.outcome, code(&verdict)), (Outcome::Deny, Some(DenyCode::RequiresHuman)));
        }
    }
    let reference = |approvals, wish: Change, granted| {
        let mut scene = Scene::sound();
        scene.settings.mode = Mode::Reference;
        scene.settings.approvals = approvals;
        wish(&mut scene);
        scene.verdict(granted)
    };
    for (wish, ..) in &WISHES {
        let before = reference(None, *wish, None);
        for granted in [None, Some(IncidentCommander)] {
            let verdict = reference(Some(Approvable { blast: Some(Advisory) }), *wish, granted);
            assert_eq!(verdict, before);
        }
    }
}

#[test]
fn a_hold_is_explained_with_what_the_gates_behind_it_said() {
    let mut scene = Scene::sound();
    WISHES[0].0(&mut scene);
    let (question, snapshot) = scene.question();
    let (verdict, explanation) = explain(&question, &snapshot, None);
    assert_eq!(verdict, scene.verdict(None));
    let of = |name: &str| &explanation.gates.iter().find(|report| report.gate == name).unwrap().said;
    assert!(matches!(of("blast"), GateFinding::WantsHuman(IncidentCommander, _)), "{explanation}");
    assert!(matches!(of("envelope"), GateFinding::Passed(_)), "{explanation}");
    AGAINST[11].0(&mut scene);
    let (question, snapshot) = scene.question();
    let (verdict, explanation) = explain(&question, &snapshot, None);
    assert_eq!(code(&verdict), Some(DenyCode::PrivilegeEnvelopeViolated));
    let said = explanation.to_string();
    assert!(said.contains("WANTS A HUMAN (incident_commander)") && said.contains("REFUSED"), "{said}");
}

#[test]
fn whom_policies_may_ask_is_part_of_the_policy() {
    let fingerprint = |approvals| {
        let settings = Settings { approvals, ..settings(Mode::Strict) };
        snapshot(settings, &rules(json!({})), vec![writer()]).fingerprint
    };
    let each = [None, Some(Approvable { blast: None }), Some(Approvable { blast: Some(Executor) })].map(fingerprint);
    assert!(each[0] != each[1] && each[1] != each[2] && each[0] != each[2]);
}
