//! Append-only evidence: every decision, refusal and outcome, durable before its effect, chained and signed.
//!
//! One writer thread owns the files. [`Ledger::record`] resolves when the entry is committed, and not before.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Decision, DenyCode};
use crate::ids::{Digest, TokenName};

/// When an entry counts as committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// After write(2): survives a killed process.
    Process,
    /// After fdatasync: survives a power cut.
    Power,
}

/// The `ledger` section.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The ledger's folder; made when it is missing.
    pub path: PathBuf,
    /// When an entry counts as committed.
    pub durability: Durability,
    /// The Ed25519 signing key; made on first start when it is missing (mode 0600).
    pub key_file: PathBuf,
    /// The log's name in checkpoints, such as `hallgate.local/ledger`.
    pub origin: String,
    /// How often a new head is signed when something is new.
    pub checkpoint_every: Duration,
    /// Decisions that may wait for the writer; more are refused with 503.
    pub queue: usize,
    /// Bytes after which a new segment begins.
    pub segment_bytes: u64,
}

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
    },
    /// A request that was refused before it could be described.
    Refusal(Refusal),
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

/// Proof that an entry is committed. Only the ledger makes one.
#[derive(Debug, Clone)]
pub struct Receipt {
    receipt_id: uuid::Uuid,
    receipt_hash: Digest,
    recorded_at_micros: i64,
    stream: Arc<str>,
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
pub struct Outcome {
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

/// Why an entry was not committed. Nothing may be forwarded or allowed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The writer is behind; try again.
    #[error("the ledger's queue is full")]
    QueueFull,
    /// The write failed; the writer goes on trying.
    #[error("the ledger cannot be written: {0}")]
    Write(Arc<str>),
    /// The ledger is shut down.
    #[error("the ledger is closed")]
    Closed,
}

/// Whether the ledger takes entries now.
#[derive(Debug, Clone)]
pub struct Health {
    /// True while writes succeed.
    pub writing: bool,
    /// The last write error while not writing.
    pub error: Option<Arc<str>>,
    /// Jobs that wait for the writer.
    pub queue_depth: usize,
    /// Committed entries.
    pub entries: u64,
}


// ---- INTERIM, until the ledger room lands: remembers nothing. Replaced whole. -------------------------------------

/// INTERIM: a ledger that only counts, so that the doors can be built.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    entries: Arc<std::sync::atomic::AtomicU64>,
}

/// Why a ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(pub String);

impl Ledger {
    /// INTERIM.
    ///
    /// # Errors
    /// Never.
    pub fn open(_settings: &Settings) -> Result<Self, OpenError> {
        Ok(Self::default())
    }
    /// INTERIM.
    ///
    /// # Errors
    /// Never.
    pub async fn record(&self, _record: Record) -> Result<Receipt, RecordError> {
        self.entries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(Receipt {
            receipt_id: uuid::Uuid::new_v4(),
            receipt_hash: Digest::of(b"interim"),
            recorded_at_micros: 0,
            stream: Arc::from("hall"),
        })
    }
    /// INTERIM.
    pub fn outcome(&self, receipt: &Receipt, _outcome: Outcome) {
        let _ = &receipt.stream;
        self.entries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    /// INTERIM.
    #[must_use]
    pub fn health(&self) -> Health {
        let entries = self.entries.load(std::sync::atomic::Ordering::Relaxed);
        Health { writing: true, error: None, queue_depth: 0, entries }
    }
    /// INTERIM.
    pub fn close(&self) {}
}
