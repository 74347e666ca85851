//! The waist: look up facts, ask the question, decide or remember, record, and mint the permit. Both doors come through here.

use std::sync::Arc;

use crate::engine::{Binding, Decision, RouteInput};
use crate::ids::{Digest, TokenName};
use crate::ledger::{Door, Ledger, Receipt, RecordError};

/// Who asks, as far as a credential or the gate's configuration proves it.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// The credential's name; `None` for the gate's fixed identity.
    pub token: Option<TokenName>,
    /// What the credential is bound to.
    pub binding: Binding,
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
}

/// The hall's recorded answer.
#[derive(Debug)]
pub enum Ruling {
    /// Dispatch: the permit is the only key that `forward` takes.
    Permitted(Permit),
    /// Denied, held, or a dry run: nothing may be forwarded.
    Refused {
        /// The decision; a dry run's may be a dispatch.
        decision: Arc<Decision>,
        /// Its receipt.
        receipt: Receipt,
    },
}

/// The right to forward one request: decided, and recorded. Made in one place, from a dispatching decision and its receipt.
///
/// When it is dropped, the ledger gets the outcome entry; so an exchange that panics or is cancelled has one, too.
#[derive(Debug)]
pub struct Permit {
    decision: Arc<Decision>,
    receipt: Receipt,
    // outcome state, ledger handle: private
}

// ---- contract ----------------------------------------------------------------------------------------------------
//
// impl Hall {
//     pub fn new(snapshot: Snapshot, cache: cache::Settings, ledger: Ledger, metrics: Arc<Metrics>, tokens: TokenBook) -> Self;
//     pub async fn rule(&self, ask: Ask) -> Result<Ruling, CannotDecide>;
//     pub async fn refuse(&self, refusal: Refusal) -> Result<Receipt, CannotDecide>;
//     pub fn tokens(&self) -> &TokenBook;            // .authenticate(secret: &str) -> Option<Arc<Token>>
//     pub fn readiness(&self) -> Readiness;          // ready: bool, reasons: Vec<String>
//     pub fn drain(&self);                           // readiness drops
// }
// impl Permit {
//     pub fn decision(&self) -> &Arc<Decision>;
//     pub fn receipt(&self) -> &Receipt;
//     pub fn answered(&mut self, status: u16);
//     pub fn sent_upstream(&mut self, bytes: u64);   pub fn sent_to_caller(&mut self, bytes: u64);
//     pub fn ended(&mut self, ending: Ending);       // default when dropped without: Aborted
// }
// pub enum CannotDecide { Record(RecordError) }      // -> 503 with Retry-After
//
// pub struct Token { name: TokenName, scopes: BTreeSet<Scope>, binding: Binding, default tenant/worker/env for the gate }
// pub enum Scope { Route, Read, Enroll, Ingest, Approve, Admin }
