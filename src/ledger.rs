//! Append-only evidence: every decision, refusal and outcome, durable before its effect, chained and signed.
//!
//! One writer thread owns the files. [`Ledger::record`] resolves when the entry is committed, and not before.

mod decisions;
mod files;
mod format;
mod handle;
#[cfg(any(test, fuzzing))]
pub mod laws;
mod layout;
mod lock;
mod read;
mod recover;
mod settings;
pub mod verify;
mod write;

pub use decisions::filter::{DecisionFacts, DecisionFilter, DecisionRange};
pub use decisions::search::{DecisionQuery, FoundDecisions};
pub use format::approval::{ApprovalAction, ApprovalStep, ApproverMark};
pub use format::key::{KeyError, LogKey};
pub use format::record::{
    ActivationCause, AnonymousRefusals, Door, Ending, ExchangeEnd, PolicyActivation, Receipt, Record, RecordError,
    Refusal, RegistryAction, RegistryChange,
};
pub use format::recovered::{Gap, Recovered, Recovery};
pub use format::status::{MOST_WORKERS, StatusChange};
pub use handle::{Ledger, LedgerHealth};
pub use lock::OpenError;
pub use read::approvals::{ApprovalEvent, PastApproval};
pub use read::cursor::Cursor;
pub use read::export::{ExportForm, ExportReader, Exported};
pub use read::filter::{Filter, Filtered};
pub use read::history::{EntrySummary, RecallRange};
pub use read::past;
pub use read::prove::ReceiptProof;
pub use read::reader::LogReader;
pub use read::resource::LogResource;
pub use read::rows::is_formula;
pub use read::search::FoundEntry;
pub use read::service::ReadError;
pub use recover::recovery::recover;
pub use settings::{Durability, Retention, Settings};
pub use write::rotation::{RotateError, rotate};

#[cfg(test)]
mod tests;
