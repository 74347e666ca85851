//! How a ledger is kept: its section of the configuration.

use std::path::PathBuf;
use std::time::Duration;

/// When an entry counts as committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// After write(2): survives a killed process.
    Process,
    /// After fdatasync: survives a power cut.
    Power,
}

impl Durability {
    /// `process` or `power`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Power => "power",
        }
    }
}

/// The `ledger` section.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Whether a decision's entry keeps what policies read of the caller's object.
    pub request_attributes: bool,
    /// How long entries are kept.
    pub retention: Retention,
}

/// How long entries are kept. By default for ever.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    /// A segment goes when all its entries are older.
    pub keep: Option<Duration>,
    /// The oldest segments go while all together have more bytes.
    pub max_bytes: Option<u64>,
    /// Where segments are copied before they go.
    pub export_dir: Option<PathBuf>,
}
