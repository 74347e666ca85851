//! What is handed to the ledger, and what it answers: a record, its receipt, and the outcome of what was forwarded.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::engine::{Decision, DenyCode, KeptRequest, Mode};
use crate::ids::{Digest, TokenName};
use crate::ledger::format::approval::ApprovalStep;
use crate::ledger::format::recovered::Recovery;
use crate::ledger::format::status::StatusChange;

/// Through which door a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// The reverse proxy.
    Gate,
    /// The Hall API.
    Api,
}

impl Door {
    /// `gate` or `api`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Api => "api",
        }
    }
}

/// What to record before anything happens.
#[derive(Debug, Clone)]
pub enum Record {
    /// A decision on a described request.
    Decision {
        /// The decision.
        decision: Arc<Decision>,
        /// Through which door.
        door: Door,
        /// Whose credential; `None` for the gate's fixed identity.
        token: Option<TokenName>,
        /// SHA-256 of the body as it was sent, for `/api/route`.
        raw_body: Option<Digest>,
        /// Whether this credential need not name a worker even where the policy wants one.
        worker_optional: bool,
        /// What is kept of the caller's object, where policies read it.
        kept: Option<Box<KeptRequest>>,
    },
    /// A request that was refused before it could be described.
    Refusal(Refusal),
    /// Requests whose callers proved no identity, counted together.
    AnonymousRefusals(AnonymousRefusals),
    /// A policy that comes into force.
    Policy(PolicyActivation),
    /// A change of the registry.
    Registry(RegistryChange),
    /// A change of who may act that no record of ours makes.
    Status(StatusChange),
    /// What the log has lost, or that somebody knows of it.
    Recovery(Recovery),
    /// A step of an approval.
    Approval(Box<ApprovalStep>),
}

impl Record {
    /// How many bytes of memory it takes while it waits, about.
    pub(crate) fn bytes(&self) -> usize {
        let texts = match self {
            Self::Decision { decision, kept, .. } => {
                decision.input.bytes() + kept.as_ref().map_or(0, |kept| kept.bytes())
            }
            Self::Refusal(refusal) => refusal.message.len(),
            Self::Registry(change) => change.record.as_ref().map_or(0, |record| record.len()),
            Self::Approval(step) => size_of::<ApprovalStep>() + step.note.as_ref().map_or(0, |note| note.len()),
            Self::AnonymousRefusals(_) | Self::Policy(_) | Self::Status(_) | Self::Recovery(_) => 0,
        };
        size_of::<Self>() + texts
    }

    /// Whether it is on the disk before it is in force, whatever [`Durability`](crate::ledger::settings::Durability) says: it takes a
    /// right away, or is a step of an approval.
    #[must_use]
    pub fn must_last(&self) -> bool {
        match self {
            Self::Decision { decision, .. } => {
                matches!(&decision.approval, Some(mark) if mark.opens || mark.granted.is_some())
            }
            Self::Approval(_) => true,
            Self::Refusal(_) | Self::AnonymousRefusals(_) | Self::Policy(_) | Self::Recovery(_) => false,
            Self::Registry(change) => change.action.takes_away(),
            Self::Status(change) => change.takes_away(),
        }
    }
}

/// What happened to a worker, or to a hash, in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RegistryAction {
    /// A worker is enrolled.
    Enrolled,
    /// A worker that was enrolled has another record.
    Updated,
    /// A worker may not act any more.
    Revoked,
    /// A revocation is taken back.
    Restored,
    /// No worker with this hash may act.
    Banned,
    /// A ban is taken back.
    Unbanned,
}

impl RegistryAction {
    /// Every action.
    pub const ALL: &'static [Self] =
        &[Self::Enrolled, Self::Updated, Self::Revoked, Self::Restored, Self::Banned, Self::Unbanned];

    /// Whether somebody may do less from then on. Another record may well take a capability away.
    const fn takes_away(self) -> bool {
        match self {
            Self::Updated | Self::Revoked | Self::Banned => true,
            Self::Enrolled | Self::Restored | Self::Unbanned => false,
        }
    }

    /// The action in an entry.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enrolled => "enrolled",
            Self::Updated => "updated",
            Self::Revoked => "revoked",
            Self::Restored => "restored",
            Self::Banned => "banned",
            Self::Unbanned => "unbanned",
        }
    }
}

/// A change of the registry, whole: the store that the Hall looks workers up in can be made again from these.
#[derive(Debug, Clone)]
pub struct RegistryChange {
    /// What happened.
    pub action: RegistryAction,
    /// To which worker.
    pub worker: Option<Arc<str>>,
    /// The record that counts from now on, as its hash is made of it.
    pub record: Option<Arc<str>>,
    /// The hash of the record; of a ban, the banned hash.
    pub hash: Option<Digest>,
    /// Why, in the caller's words.
    pub reason: Option<Arc<str>>,
    /// Whose credential.
    pub token: Option<TokenName>,
    /// The tenant that the credential is bound to.
    pub tenant: Option<Arc<str>>,
}

/// Why a policy comes into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActivationCause {
    /// The process starts.
    Start,
    /// Its files have changed.
    Reload,
    /// Workers were enrolled, revoked or banned over the API, or what a remote registry says of them has changed.
    Registry,
}

impl ActivationCause {
    /// `start`, `reload` or `registry`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Reload => "reload",
            Self::Registry => "registry",
        }
    }
}

/// A policy that comes into force: what decisions after this entry depend on.
#[derive(Debug, Clone)]
pub struct PolicyActivation {
    /// Why.
    pub cause: ActivationCause,
    /// The fingerprint of all rules, workers and settings.
    pub snapshot: Digest,
    /// The fingerprint that it replaces in this process.
    pub replaces: Option<Digest>,
    /// The operator's name of the policy.
    pub version: Arc<str>,
    /// How the specification is read.
    pub mode: Mode,
    /// How many rules.
    pub rules: usize,
    /// How many enrolled workers.
    pub workers: usize,
}

/// A request that was refused before it could be described: malformed, without a route, or without a credential.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Through which door.
    pub door: Door,
    /// Why.
    pub code: DenyCode,
    /// One sentence, free of secrets.
    pub message: String,
    /// The tenant whose stream records it, when known; else the hall's own stream.
    pub tenant: Option<Arc<str>>,
    /// The worker, when known.
    pub worker: Option<Arc<str>>,
    /// Whose credential, when known.
    pub token: Option<TokenName>,
    /// The correlation id, when a sound one was given.
    pub correlation_id: Option<Arc<str>>,
    /// SHA-256 of the body as it was sent, for `/api/route`.
    pub raw_body: Option<Digest>,
}

/// Requests whose callers proved no identity: nobody may fill the ledger without one, so they have one entry together.
#[derive(Debug, Clone)]
pub struct AnonymousRefusals {
    /// Through which door most of them came.
    pub door: Door,
    /// Why most of them were refused.
    pub code: DenyCode,
    /// How many were refused for what, as a sentence.
    pub message: String,
    /// How many there were.
    pub requests: u64,
    /// The busiest networks, each with the most requests that can have come from it.
    pub networks: Vec<String>,
}

/// Proof that an entry is committed. Only the ledger makes one.
#[derive(Debug, Clone)]
pub struct Receipt {
    pub(crate) receipt_id: uuid::Uuid,
    pub(crate) receipt_hash: Digest,
    pub(crate) recorded_at_micros: i64,
    pub(crate) stream: Arc<str>,
}

impl Receipt {
    /// The entry's id, a UUIDv7; also the decision's id.
    #[must_use]
    pub const fn id(&self) -> uuid::Uuid {
        self.receipt_id
    }
    /// SHA-256 of the entry's canonical JSON.
    #[must_use]
    pub const fn hash(&self) -> Digest {
        self.receipt_hash
    }
    /// When it was recorded, in microseconds since 1970 UTC.
    #[must_use]
    pub const fn recorded_at_micros(&self) -> i64 {
        self.recorded_at_micros
    }
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The answer was delivered whole.
    Complete,
    /// The caller went away.
    ClientGone,
    /// The upstream could not be reached or broke off.
    UpstreamFailed,
    /// The gate gave up: a timeout or an error of its own.
    Aborted,
}

impl Ending {
    /// `complete`, `client_gone`, `upstream_failed` or `aborted`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientGone => "client_gone",
            Self::UpstreamFailed => "upstream_failed",
            Self::Aborted => "aborted",
        }
    }
}

/// What became of a forwarded request; bound to its decision's receipt.
#[derive(Debug, Clone)]
pub struct ExchangeEnd {
    /// The upstream's status, when it answered.
    pub status: Option<u16>,
    /// Body bytes sent upstream.
    pub request_bytes: u64,
    /// Body bytes sent to the caller.
    pub response_bytes: u64,
    /// From the receipt to the end.
    pub duration: Duration,
    /// How it ended.
    pub ending: Ending,
}

/// The end of an exchange, with what its entry takes from the decision's receipt.
pub(crate) struct OutcomeEntry {
    pub(crate) decision_id: Uuid,
    pub(crate) decision_hash: Digest,
    pub(crate) stream: Arc<str>,
    pub(crate) outcome: ExchangeEnd,
}

impl OutcomeEntry {
    /// What became of the decision of this receipt.
    pub(crate) fn of(receipt: &Receipt, outcome: ExchangeEnd) -> Self {
        Self {
            decision_id: receipt.receipt_id,
            decision_hash: receipt.receipt_hash,
            stream: Arc::clone(&receipt.stream),
            outcome,
        }
    }

    /// A dispatch of which nobody was told.
    pub(crate) fn undelivered(receipt: &Receipt) -> Self {
        let outcome = ExchangeEnd {
            status: None,
            request_bytes: 0,
            response_bytes: 0,
            duration: Duration::ZERO,
            ending: Ending::Aborted,
        };
        Self::of(receipt, outcome)
    }
}

/// Why an entry was not committed. Nothing may be forwarded or allowed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The writer is behind; try again.
    #[error("the ledger's queue is full")]
    QueueFull,
    /// The write failed; the writer goes on trying.
    #[error("the ledger cannot be written: {0}")]
    Write(Arc<str>),
    /// The disk does not answer in time. What it was given may be written all the same, with nothing following from it.
    #[error("the disk does not answer")]
    Stalled,
    /// What is stored does not hold together: nothing more is recorded until somebody has looked at it.
    #[error("the ledger is broken: {0}")]
    Broken(Arc<str>),
    /// The ledger is shut down.
    #[error("the ledger is closed")]
    Closed,
}
