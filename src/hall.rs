//! The waist: look up facts, ask the question, decide or remember, record, and mint the permit. Both doors come through here.
//!
//! What must never happen: a permit without a dispatching decision, or without its committed receipt. [`Recorded::permit`] is
//! the only place that makes one, and it takes both.

mod activation;
pub mod active_policy;
pub mod admission;
pub mod alerts;
pub mod approvals;
pub mod auth_throttle;
mod counted;
mod courier;
pub mod decisions;
pub mod enrolment;
pub mod evidence;
pub mod ingested;
pub mod limits;
pub mod online;
pub mod permit;
pub mod places;
pub mod rate;
mod readiness;
pub mod reads;
pub mod recent;
pub mod remote_registry;
mod shadow;
pub mod tokens;
pub mod traced;
pub mod watch;
pub mod webhook;
pub mod why;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch as watch_channel;

use crate::cache::Verdicts;
use crate::clock::now_micros;
use crate::engine::input::written::sound_correlation_id;
use crate::engine::{self, Binding, Decision, DenyCode, Facts, KeptRequest, Question, RouteInput, Snapshot};
use crate::ids::{Digest, TokenName};
use crate::ledger::{Ledger, Record, RecordError};
use crate::registry::code::SourceHashes;
use crate::registry::roster::Roster;
use crate::telemetry::traces::Traces;
use crate::telemetry::{AllowedLines, DecisionLabels, LogAllowed, Metrics, ObservedLabels};
use ingested::Ingested;

pub use crate::ledger::{
    DecisionFilter, DecisionQuery, DecisionRange, Door, Ending, ExportForm, Filter, LedgerHealth, LogResource,
    ReadError, Receipt, ReceiptProof, Refusal, is_formula,
};
pub use active_policy::{ActivationError, Changed, Loaded, RefusedChange};
pub use admission::{Admission, Applicant, NotAdmitted};
pub use alerts::{Alert, Alerts, Raised};
pub use approvals::{HeldContents, HeldRequest, NotDecided, Ruled};
pub use decisions::FoundRows;
pub use enrolment::{NotChanged, Registered};
pub use online::NotOnline;
pub use permit::{Permit, Recorded};
pub use readiness::Readiness;
pub use recent::{Active, Counts, Recent, Row};
pub use remote_registry::{RemoteRegistry, RemoteRegistryState};
pub use tokens::{Scope, Token, TokenBook};

pub use crate::registry::remote::{Account, BannedHash, Failure, Moment, RegistryView, Verified, WorkerAnswer};

/// Who asks, as far as a credential or the gate's configuration proves it.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// The credential's name; `None` for the gate's fixed identity.
    pub token: Option<TokenName>,
    /// What the credential is bound to.
    pub binding: Binding,
    /// Who answers for the credential; `None` where there is none.
    pub owner: Option<Arc<str>>,
}

/// What a door asks of the hall.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Who asks.
    pub caller: Caller,
    /// What is asked.
    pub input: RouteInput,
    /// Through which door.
    pub door: Door,
    /// SHA-256 of the body as it was sent, for `/api/route`.
    pub raw_body: Option<Digest>,
    /// Until when the policy is only observed where this came in, in microseconds since 1970 UTC; `None`: it is enforced.
    pub observed_until: Option<i64>,
}

/// How a decision was asked for, as its entry says it.
struct Asking {
    token: Option<TokenName>,
    door: Door,
    raw_body: Option<Digest>,
    worker_optional: bool,
    kept: Option<Box<KeptRequest>>,
}

/// We could not decide or could not record. The caller gets 503 and nothing is forwarded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotDecide {
    /// The ledger did not commit the entry.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The hall is offline.
    #[error("the hall is offline")]
    Offline,
    /// What is held for a human cannot be kept or looked up now.
    #[error("what waits for a human cannot be kept or read now")]
    Approvals,
}

impl CannotDecide {
    /// The deny code of what is answered instead.
    #[must_use]
    pub const fn code(&self) -> DenyCode {
        match self {
            Self::Record(_) => DenyCode::AuditUnavailable,
            Self::Offline => DenyCode::HallOffline,
            Self::Approvals => DenyCode::ApprovalsUnavailable,
        }
    }
}

/// The hall: one per process, shared by both doors.
#[derive(Debug)]
pub struct Hall {
    snapshot: ArcSwap<Snapshot>,
    /// Who is enrolled; the snapshot has what it comes to.
    roster: ArcSwap<Roster>,
    /// Who is asked, where anybody is.
    approvals: OnceLock<approvals::Approvals>,
    /// Who changes the registry, where workers are enrolled over the API.
    enrolment_worker: OnceLock<enrolment::EnrolmentWorker>,
    verdicts: Verdicts,
    /// What a shadow said: made when one is asked first, so that it takes nothing from what is in force.
    shadow_verdicts: OnceLock<Verdicts>,
    source_hashes: Arc<SourceHashes>,
    ledger: Ledger,
    tokens: ArcSwap<TokenBook>,
    limits: limits::Limits,
    metrics: Arc<Metrics>,
    traces: Option<Traces>,
    refused_change: ArcSwapOption<RefusedChange>,
    draining: AtomicBool,
    /// Says it to whoever waits.
    drained: watch_channel::Sender<bool>,
    /// The policy in force is not on record yet.
    unannounced: Arc<AtomicBool>,
    /// What is in force changes one after the other.
    activation: activation::Activation,
    /// The remote registry, when there is one.
    remote_registry: Option<RemoteRegistry>,
    /// An operator has switched this hall off.
    switched_off: AtomicBool,
    /// The account's standing lets this hall decide, or does not matter.
    in_good_standing: AtomicBool,
    /// What was last heard of it.
    heard: online::AccountState,
    /// What the ledger says of it.
    good_standing_on_record: AtomicBool,
    /// Which requests that are let through have a line in the log.
    allowed_lines: AllowedLines,
    /// Whether entries keep what policies read of the caller's object.
    keeps_request: bool,
    /// Which rules and policies have decided something.
    has_decided: why::HasDecided,
    /// Who may ask why, a few at a time.
    explaining: Arc<tokio::sync::Semaphore>,
    /// Who may have the ledger exported, a few at a time.
    exporting: Arc<tokio::sync::Semaphore>,
    ledger_check: evidence::check::LedgerCheck,
    /// Counters of decisions that were counted before.
    counted: counted::Counted,
    recent: Arc<Recent>,
    alerts: Alerts,
    ingested: Ingested,
    /// When this process began to decide, in microseconds since 1970 UTC, and by the steady clock.
    began: (i64, Instant),
    /// How many entries the ledger had then.
    entries_before: u64,
}

impl Hall {
    /// A hall that decides by this policy and records in this ledger.
    #[must_use]
    pub fn new(
        loaded: impl Into<Loaded>,
        verdicts: Verdicts,
        ledger: Ledger,
        tokens: TokenBook,
        metrics: Arc<Metrics>,
    ) -> Self {
        let began = (now_micros(), Instant::now());
        let switched_off = ledger.found_offline();
        if switched_off {
            tracing::warn!("the hall is offline, as it was left: POST /api/server/go-online has it decide again");
        }
        let Loaded { snapshot, roster } = loaded.into();
        let unannounced = Arc::default();
        let hall = Self {
            allowed_lines: AllowedLines::default(),
            keeps_request: true,
            has_decided: why::HasDecided::default(),
            explaining: Arc::new(tokio::sync::Semaphore::new(why::AT_ONCE)),
            exporting: Arc::new(tokio::sync::Semaphore::new(evidence::export::EXPORTS)),
            ledger_check: evidence::check::LedgerCheck::default(),
            recent: Arc::new(Recent::since(began.0)),
            counted: counted::Counted::default(),
            alerts: Alerts::default(),
            ingested: Ingested::default(),
            began,
            entries_before: ledger.health().entries,
            snapshot: ArcSwap::from_pointee(snapshot),
            roster: ArcSwap::from_pointee(roster),
            approvals: OnceLock::new(),
            enrolment_worker: OnceLock::new(),
            verdicts,
            shadow_verdicts: OnceLock::new(),
            source_hashes: Arc::default(),
            ledger,
            tokens: ArcSwap::from_pointee(tokens),
            limits: limits::Limits::new(limits::Settings::default()),
            metrics,
            traces: None,
            refused_change: ArcSwapOption::empty(),
            draining: AtomicBool::new(false),
            drained: watch_channel::Sender::new(false),
            activation: activation::Activation::new(Arc::clone(&unannounced)),
            unannounced,
            remote_registry: None,
            switched_off: AtomicBool::new(switched_off),
            in_good_standing: AtomicBool::new(true),
            heard: online::AccountState::default(),
            good_standing_on_record: AtomicBool::new(true),
        };
        hall.show_snapshot();
        hall
    }

    /// The same with lines in the log about these of the requests that it lets through.
    #[must_use]
    pub fn logging(mut self, allowed: LogAllowed) -> Self {
        self.allowed_lines = AllowedLines::new(allowed);
        self
    }

    /// The same with entries that keep what policies read of the caller's object, or without.
    #[must_use]
    pub fn keeping_request(mut self, keeps: bool) -> Self {
        self.keeps_request = keeps;
        self
    }

    /// Whether a request that was let through has a line in the log, and how many before it had none.
    #[must_use]
    pub fn says_of_allowed(&self) -> Option<u64> {
        self.allowed_lines.line()
    }

    /// Decides one request, and records it; unless a human has to agree, which [`Self::hold`] then sees to. When this returns something
    /// recorded, the entry is committed.
    ///
    /// # Errors
    /// The entry could not be committed: the caller gets 503 and nothing may be forwarded.
    pub async fn rule(&self, ask: Ask) -> Result<Ruled, CannotDecide> {
        let Ask { caller, input, door, raw_body, observed_until } = ask;
        self.require_online(door)?;
        let began = Instant::now();
        self.room_for(Some(input.qos_class)).inspect_err(|_| self.cannot_record())?;
        let observed = observed_until.is_some_and(|until| now_micros() < until);
        let facts = Facts { binding: caller.binding, observed };
        let ((decision, kept), place) = match self.place(door, &input.tenant_id, input.qos_class) {
            Ok(place) => (self.decide(input, &facts).await, place),
            Err(why) => ((Decision::new(input, Arc::new(engine::shed(why)), &self.snapshot.load(), false), None), None),
        };
        if self.asks_somebody(&decision) {
            let Facts { binding, .. } = facts;
            let caller = Caller { token: caller.token, binding, owner: caller.owner };
            return Ok(Ruled::Held(Box::new(HeldRequest::of(Ask {
                caller,
                input: decision.input,
                door,
                raw_body,
                observed_until,
            }))));
        }
        let decided = Instant::now();
        Metrics::observe(&self.metrics.decide, decided - began);
        let worker_optional = facts.binding.worker_optional;
        let asking = Asking { token: caller.token, door, raw_body, worker_optional, kept };
        Ok(Ruled::Recorded(self.record_decision(decision, asking, place, decided).await?))
    }

    /// Records a decision. When this returns, the entry is committed.
    fn record_decision(
        &self,
        decision: Decision,
        asking: Asking,
        place: Option<places::InFlightPlace>,
        decided: Instant,
    ) -> impl Future<Output = Result<Recorded, CannotDecide>> {
        // Taken apart before it is a future, and so in memory once.
        let Asking { token, door, raw_body, worker_optional, kept } = asking;
        let decision = Arc::new(decision);
        async move {
            let record =
                Record::Decision { decision: Arc::clone(&decision), door, token, raw_body, worker_optional, kept };
            let receipt = self.commit(record, decided).await?;
            self.count(&decision, door);
            self.recent.note(Row::of_decision(&decision, door, &receipt));
            if decision.verdict.denial.as_ref().is_some_and(|denial| denial.code == DenyCode::WorkerTampered) {
                self.alert_of_tampering(&decision);
            }
            tracing::debug!(
                decision_id = %receipt.id(),
                correlation_id = sound_correlation_id(&decision.input.correlation_id).as_deref(),
                verdict = decision.verdict.outcome.as_str(),
                code = decision.verdict.denial.as_ref().map_or("", |denial| denial.code.as_str()),
                "decided"
            );
            Ok(Recorded::new(decision, receipt, self.ledger.clone(), Arc::clone(&self.recent), place))
        }
    }

    /// Records a request that was refused before it could be described.
    ///
    /// # Errors
    /// The entry could not be committed: the caller gets 503.
    pub async fn refuse(&self, refusal: Refusal) -> Result<Receipt, CannotDecide> {
        self.count_refusal(&refusal);
        self.room_for(None).inspect_err(|_| self.cannot_record())?;
        let row = Row::of_refusal(&refusal);
        let receipt = self.commit(Record::Refusal(refusal), Instant::now()).await?;
        self.recent.note(row.recorded_as(&receipt));
        Ok(receipt)
    }

    /// The decision on one request, from memory where an equal question was decided before; and what its entry keeps of the
    /// caller's object.
    async fn decide(&self, input: RouteInput, facts: &Facts) -> (Decision, Option<Box<KeptRequest>>) {
        let snapshot = self.snapshot.load_full();
        let question = self.source_hashes.know(Question::ask(&input, facts, &snapshot), &snapshot).await;
        let code = snapshot.shadow.as_ref().map(|_| question.code().to_vec());
        let (verdict, cached) = self.verdicts.verdict(question, |question| {
            let verdict = engine::decide(question, &snapshot);
            self.has_decided.note(&verdict);
            verdict
        });
        let shadow = code.and_then(|code| self.ask_shadow(&input, facts, &snapshot, code));
        let kept = if self.keeps_request { snapshot.kept(&input.request) } else { None };
        (Decision { shadow, ..Decision::new(input, verdict, &snapshot, cached) }, kept)
    }

    async fn commit(&self, record: Record, since: Instant) -> Result<Receipt, CannotDecide> {
        let committed = match self.announce().await {
            Ok(()) => self.ledger.record(record).await,
            Err(error) => Err(error),
        };
        Metrics::observe(&self.metrics.record, since.elapsed());
        committed.inspect_err(|_| self.cannot_record()).map_err(CannotDecide::Record)
    }

    /// The writer says once that it cannot write, and each door's own line that this request got 503.
    fn cannot_record(&self) {
        self.metrics.cannot_decide.inc();
        tracing::debug!("a request was refused because it could not be recorded");
    }

    fn count(&self, decision: &Decision, door: Door) {
        self.counted.count(decision, door, || {
            let capability = self.snapshot.load().rules.known_capability(&decision.input.capability_id);
            let labels = DecisionLabels {
                door: door.as_str(),
                verdict: decision.verdict.outcome.as_str(),
                code: decision.verdict.denial.as_ref().map_or("", |denial| denial.code.as_str()),
                capability: capability.unwrap_or_else(|| Arc::from("other")),
                cache: if decision.cached { "hit" } else { "miss" },
            };
            self.metrics.decisions.get_or_create(&labels).clone()
        });
        if let Some(would_be) = decision.verdict.would_be.as_ref().filter(|_| !decision.input.dry_run) {
            let capability = self.snapshot.load().rules.known_capability(&decision.input.capability_id);
            let labels = ObservedLabels {
                verdict: would_be.outcome.as_str(),
                code: would_be.denial.code.as_str(),
                capability: capability.unwrap_or_else(|| Arc::from("other")),
            };
            self.metrics.observed.get_or_create(&labels).inc();
        }
        self.count_shadow(decision);
        if decision.verdict.gated.erred {
            self.metrics.policy_errors.inc();
        }
        if let (Some(remote_registry), Some(worker)) = (&self.remote_registry, &decision.verdict.worker_id)
            && !decision.input.dry_run
        {
            remote_registry.count(worker);
        }
    }

    /// The snapshot in force.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The tokens in force.
    #[must_use]
    pub fn tokens(&self) -> Arc<TokenBook> {
        self.tokens.load_full()
    }

    /// The process's counters.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The counters as text, with the ledger's gauges read now.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        let health = self.ledger.health();
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.metrics.ledger_entries.set(count(health.entries));
        self.metrics.ledger_queue_depth.set(i64::try_from(health.queue_depth).unwrap_or(i64::MAX));
        self.metrics.ledger_writing.set(i64::from(health.writing));
        self.metrics.ledger_broken.set(i64::from(health.broken));
        self.metrics.ledger_recovered.set(i64::from(health.recovered.is_some()));
        self.metrics.ledger_pruned.set(count(health.pruned));
        self.metrics.ledger_prune_failing.set(i64::from(health.prune_error.is_some()));
        self.metrics.online.set(i64::from(self.is_online()));
        if let Some(remote_registry) = &self.remote_registry {
            let size = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
            let state = remote_registry.state(&self.snapshot.load());
            self.metrics.registry_answer_age.set(remote_registry.age_seconds());
            self.metrics.registry_banned_hashes.set(state.banned_hashes.map_or(0, size));
            self.metrics.registry_bans_unread.set(i64::from(state.unread_bans.is_some()));
            self.metrics.registry_unreported_dispatches.set(count(remote_registry.unreported()));
            self.metrics.registry_unverified_workers.set(size(state.unverified_workers));
        }
        self.metrics.text()
    }
}

#[cfg(test)]
pub(crate) mod tests;
