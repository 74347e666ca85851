//! Where the policy is only observed: what passes, and what is enforced all the same.

use super::*;
use crate::engine::WouldBe;
use crate::engine::policy_gate::Ruling;
use crate::engine::policy_gate::fixed::FixedGate;

/// A question that is denied: by whom, what, with which binding.
type Scenario = (Snapshot, RouteInput, Binding);

fn observed((snapshot, input, binding): &Scenario, observed: bool, code: Code) -> Verdict {
    let facts = Facts { binding: binding.clone(), observed };
    let question = Question::ask(input, &facts, snapshot);
    let acting = whose_code(&question, snapshot).map_or(0, |acting| acting.len());
    decide(&question.knowing(vec![code; acting]), snapshot)
}

fn of(mode: Mode, change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = settings(mode);
    change(&mut settings);
    settings
}

fn says(ruling: Ruling) -> Snapshot {
    strict(vec![writer()]).gated_by(Arc::new(FixedGate::says(ruling)))
}

fn worker(change: impl FnOnce(&mut Worker)) -> Snapshot {
    let mut worker = writer();
    change(&mut worker);
    // Another one of the species is able: what is asked of the one that is named is not the fleet's matter.
    strict(vec![worker, Worker { worker_id: "wrk_able".parse().unwrap(), ..writer() }])
}

const RIGHT: &[u8] = b"right";

/// A policy that attests, and a worker that was attested.
fn attesting() -> Settings {
    of(Mode::Strict, |settings| settings.require_worker_attestation = true)
}

/// A question that is denied with a code, and what the code of the worker is; `None` where no policy is asked, and so none observed.
fn denied_with(code: DenyCode) -> Option<(Scenario, Code)> {
    use DenyCode as C;
    let able = || strict(vec![writer()]);
    let free = |snapshot, input| (snapshot, input, Binding::default());
    let tampered = Code::Is(Digest::of(b"wrong"));
    let attested_as = |registered| snapshot(attesting(), &rules(json!({})), vec![attested("wrk_writer", registered)]);
    let scenario = match code {
        C::UnknownTenant => {
            let tenant = Some("org.other".parse().unwrap());
            (able(), plain(), Binding { tenant, ..Binding::default() })
        }
        C::MissingTenantId => free(able(), RouteInput { tenant_id: " ".into(), ..plain() }),
        C::InvalidInput => free(able(), RouteInput { blast_score: Some(101), ..plain() }),
        C::UnknownCapability => {
            let known = of(Mode::Strict, |settings| settings.require_known_capability = true);
            let input = RouteInput { capability_id: "cap.nobody.knows".into(), ..plain() };
            free(snapshot(known, &rules(json!({})), vec![writer()]), input)
        }
        C::MissingWorkerId => {
            let named = of(Mode::Strict, |settings| settings.require_worker_id = [Env::Prod].into());
            free(snapshot(named, &rules(json!({})), vec![writer()]), plain())
        }
        C::CredentialInvalid => {
            let workers = Some(Arc::new(["wrk_other".parse().unwrap()].into()));
            (able(), named("wrk_writer"), Binding { workers, ..Binding::default() })
        }
        C::ShadowRulesDetected => {
            let mut shadowed = rules(json!({}));
            let late = json!({ "rule_id": "late", "match": shadowed["rules"][0]["match"], "decision": {} });
            shadowed["rules"].as_array_mut().unwrap().push(late);
            free(snapshot(settings(Mode::Reference), &shadowed, vec![writer()]), plain())
        }
        C::NoMatchingRule => free(able(), RouteInput { capability_id: "cap.data.read.v1".into(), ..plain() }),
        C::MissingCorrelationId => free(able(), RouteInput { correlation_id: " ".into(), ..plain() }),
        C::MissingRequiredControls => free(worker(|worker| worker.implements.clear()), named("wrk_writer")),
        C::RequiresHuman => free(able(), RouteInput { blast_score: Some(99), ..plain() }),
        C::PolicyGateUnconfigured => {
            let asks = rules(json!({ "escalation": { "policy_gate": true } }));
            free(snapshot(settings(Mode::Strict), &asks, vec![writer()]), plain())
        }
        C::PolicyGate => free(says(Ruling::Deny), plain()),
        C::RequiresHumanApproval => free(says(Ruling::RequireHuman(crate::ids::SupervisorLevel::Gatekeeper)), plain()),
        C::InternalError => free(says(Ruling::Failed), plain()),
        C::NoAvailableWorker => {
            let other = "wrk.other".parse().unwrap();
            let other = Worker { worker_id: "wrk_other".parse().unwrap(), species: other, ..writer() };
            free(strict(vec![Worker { status: WorkerStatus::Revoked, ..writer() }, other]), plain())
        }
        C::WorkerNotEnrolled => free(able(), named("wrk_nobody")),
        C::WorkerBanned => free(worker(|worker| worker.status = WorkerStatus::Banned), named("wrk_writer")),
        C::WorkerRevoked => free(worker(|worker| worker.status = WorkerStatus::Revoked), named("wrk_writer")),
        C::RegistryUnavailable => free(worker(|worker| worker.status = WorkerStatus::Unverified), named("wrk_writer")),
        C::WorkerCapabilityMismatch => free(worker(|worker| worker.capabilities.clear()), named("wrk_writer")),
        C::EnvNotAllowed => {
            free(worker(|worker| worker.allowed_environments = Some([Env::Dev].into())), named("wrk_writer"))
        }
        C::WorkerNotCandidate => {
            free(worker(|worker| worker.species = "wrk.other".parse().unwrap()), named("wrk_writer"))
        }
        // Nobody has looked at the code.
        C::AttestationUnconfigured => {
            let scenario = free(attested_as(Some(Digest::of(RIGHT))), plain());
            let question = Question::ask(&scenario.1, &Facts { observed: true, ..Facts::default() }, &scenario.0);
            assert_eq!(decide(&question, &scenario.0).denial.unwrap().code, code);
            return None;
        }
        C::WorkerAttestationMissing => free(attested_as(None), plain()),
        C::WorkerHashUnavailable => {
            return Some((free(attested_as(Some(Digest::of(RIGHT))), plain()), Code::Unavailable));
        }
        C::WorkerTampered => return Some((free(attested_as(Some(Digest::of(RIGHT))), plain()), tampered)),
        C::PrivilegeEnvelopeViolated => {
            let enforced = of(Mode::Strict, |settings| settings.enforce_privilege_envelopes = true);
            free(snapshot(enforced, &rules(json!({})), vec![writer()]), plain())
        }
        // Said before or instead of any decision: tests/gate/observing.rs has them. And of none of these a policy gate says more.
        C::MalformedClaim
        | C::NoRoute
        | C::CapabilityNotOnRoute
        | C::Unauthenticated
        | C::RateLimited
        | C::Overloaded
        | C::AuditUnavailable
        | C::HallOffline
        | C::PolicyGateInvalidResponse
        // Said of what is held: tests/approvals.rs has them, and what is observed is never held.
        | C::RefusedByHuman
        | C::TooManyPending
        | C::CannotBeHeld
        | C::ApprovalsUnavailable => return None,
    };
    Some((scenario, Code::Is(Digest::of(RIGHT))))
}

#[test]
fn of_every_code_it_is_known_whether_it_is_enforced_where_the_policy_is_only_observed() {
    let passes = [
        "DENY_NO_MATCHING_RULE",
        "DENY_MISSING_REQUIRED_CONTROLS",
        "DENY_REQUIRES_HUMAN",
        "DENY_POLICY_GATE",
        "DENY_REQUIRES_HUMAN_APPROVAL",
        "DENY_WORKER_CAPABILITY_MISMATCH",
        "DENY_ENV_NOT_ALLOWED",
        "DENY_WORKER_NOT_CANDIDATE",
        "DENY_PRIVILEGE_ENVELOPE_VIOLATED",
    ];
    let yields = DenyCode::ALL.iter().filter(|code| code.yields_to_observing());
    assert_eq!(yields.map(|code| code.as_str()).collect::<Vec<_>>(), passes);
    for code in DenyCode::ALL {
        let Some((scenario, now)) = denied_with(*code) else { continue };
        let enforced = observed(&scenario, false, now);
        assert_eq!(enforced.denial.as_ref().map(|denial| denial.code), Some(*code));
        let verdict = observed(&scenario, true, now);
        if passes.contains(&code.as_str()) {
            assert_eq!((verdict.outcome, &verdict.denial), (Outcome::Dispatch, &None), "{code:?}");
            let Verdict { outcome, denial, .. } = enforced;
            assert_eq!(verdict.would_be.as_deref(), denial.map(|denial| WouldBe { outcome, denial }).as_ref());
            assert_eq!((&verdict.matched_rule_id, &verdict.gated), (&enforced.matched_rule_id, &enforced.gated));
            let by_worker = scenario.1.worker_id.as_deref();
            assert_eq!(verdict.worker_id.as_deref(), by_worker, "{code:?}");
        } else {
            assert_eq!(verdict, enforced, "{code:?}");
        }
    }
}

#[test]
fn the_environment_that_yields_is_the_workers_and_not_the_credentials() {
    let envs = Some(Arc::new([Env::Dev].into()));
    let scenario = (strict(vec![writer()]), plain(), Binding { envs, ..Binding::default() });
    let verdict = observed(&scenario, true, Code::Unavailable);
    assert_eq!(verdict.denial.map(|denial| denial.code), Some(DenyCode::EnvNotAllowed));
}

#[test]
fn what_is_enforced_is_not_hidden_behind_what_is_observed() {
    use DenyCode as C;
    let unmatched = || RouteInput { capability_id: "cap.data.read.v1".into(), ..named("wrk_writer") };
    let nobody = || RouteInput { worker_id: None, ..unmatched() };
    let by = |change: fn(&mut Worker)| worker(change);
    let attested_but = |change: fn(&mut Worker)| {
        let mut worker = attested("wrk_writer", Some(Digest::of(RIGHT)));
        change(&mut worker);
        let able = Worker { worker_id: "wrk_able".parse().unwrap(), ..attested("wrk_able", Some(Digest::of(RIGHT))) };
        snapshot(attesting(), &rules(json!({})), vec![worker, able])
    };
    let forbidden = |snapshot: Snapshot| snapshot.gated_by(Arc::new(FixedGate::says(Ruling::Deny)));
    let asks = || {
        let asks = rules(json!({ "escalation": { "policy_gate": true } }));
        snapshot(settings(Mode::Strict), &asks, vec![Worker { capabilities: BTreeSet::new(), ..writer() }])
    };
    let blank = |input: RouteInput| RouteInput { correlation_id: "".into(), ..input };
    let cases: Vec<(Snapshot, RouteInput, C, C)> = vec![
        (by(|worker| worker.status = WorkerStatus::Banned), unmatched(), C::NoMatchingRule, C::WorkerBanned),
        (by(|worker| worker.status = WorkerStatus::Revoked), unmatched(), C::NoMatchingRule, C::WorkerRevoked),
        (by(|worker| worker.status = WorkerStatus::Unverified), unmatched(), C::NoMatchingRule, C::RegistryUnavailable),
        (
            by(|_| {}),
            RouteInput { worker_id: Some("wrk_no".into()), ..unmatched() },
            C::NoMatchingRule,
            C::WorkerNotEnrolled,
        ),
        (by(|_| {}), blank(unmatched()), C::NoMatchingRule, C::MissingCorrelationId),
        (attested_but(|_| {}), unmatched(), C::NoMatchingRule, C::WorkerTampered),
        // Whose code it would have been, nobody knows.
        (attested_but(|_| {}), nobody(), C::NoMatchingRule, C::AttestationUnconfigured),
        (
            attested_but(|worker| worker.capabilities.clear()),
            named("wrk_writer"),
            C::WorkerCapabilityMismatch,
            C::WorkerTampered,
        ),
        (forbidden(attested_but(|_| {})), named("wrk_writer"), C::PolicyGate, C::WorkerTampered),
        (
            forbidden(by(|worker| worker.status = WorkerStatus::Banned)),
            RouteInput { blast_score: Some(99), ..named("wrk_writer") },
            C::RequiresHuman,
            C::WorkerBanned,
        ),
        (
            strict(vec![Worker { status: WorkerStatus::Revoked, ..writer() }, {
                Worker { worker_id: "wrk_c".parse().unwrap(), species: "wrk.other".parse().unwrap(), ..writer() }
            }]),
            RouteInput { blast_score: Some(99), ..plain() },
            C::RequiresHuman,
            C::NoAvailableWorker,
        ),
        (asks(), named("wrk_writer"), C::WorkerCapabilityMismatch, C::PolicyGateUnconfigured),
        (
            by(|worker| worker.capabilities.clear()).gated_by(Arc::new(FixedGate::says(Ruling::Failed))),
            named("wrk_writer"),
            C::WorkerCapabilityMismatch,
            C::InternalError,
        ),
    ];
    for (snapshot, input, first, behind) in cases {
        let scenario = (snapshot, input, Binding::default());
        let code = Code::Is(Digest::of(b"wrong"));
        let said = |is_observed| observed(&scenario, is_observed, code).denial.map(|denial| denial.code);
        assert_eq!((said(false), said(true)), (Some(first), Some(behind)));
    }
}

#[test]
fn what_is_allowed_is_allowed_as_before() {
    for mode in [Mode::Strict, Mode::Reference] {
        for input in [plain(), named("wrk_writer")] {
            let scenario = (snapshot(settings(mode), &rules(json!({})), vec![writer()]), input, Binding::default());
            let code = Code::Unavailable;
            assert_eq!(observed(&scenario, true, code), observed(&scenario, false, code));
            assert_eq!(observed(&scenario, true, code).outcome, Outcome::Dispatch);
        }
        // Where there is no rule at all, everything that is observed passes, and nobody is said to act.
        let empty = snapshot(settings(mode), &json!({ "rules": [] }), Vec::new());
        let verdict = observed(&(empty, plain(), Binding::default()), true, Code::Unavailable);
        assert_eq!((verdict.outcome, verdict.worker_id, verdict.selected_species), (Outcome::Dispatch, None, None));
        assert_eq!(&*verdict.matched_rule_id, "NO_MATCH");
    }
}

#[test]
fn what_is_said_of_blast_and_envelope_is_what_they_came_to() {
    for (code, blast, envelope) in
        [(DenyCode::RequiresHuman, Some(false), None), (DenyCode::PrivilegeEnvelopeViolated, Some(true), Some(false))]
    {
        let (scenario, now) = denied_with(code).unwrap();
        let verdict = observed(&scenario, true, now);
        assert_eq!((verdict.blast_gate_passed(), verdict.privilege_envelope_ok()), (blast, envelope));
    }
}
