//! The right to forward one request: decided, and recorded.

use std::sync::Arc;
use std::time::Instant;

use crate::engine::{Decision, Outcome};
use crate::hall::Recent;
use crate::hall::places::InFlightPlace;
use crate::ledger::{self, Ending, Ledger, Receipt};

/// A decision whose entry is committed. May become a [`Permit`], if it dispatches.
#[derive(Debug)]
pub struct Recorded {
    decision: Arc<Decision>,
    receipt: Receipt,
    ledger: Ledger,
    recent: Arc<Recent>,
    /// The place in flight, where places are limited: given back with this, or with the permit that it becomes.
    _place: Option<InFlightPlace>,
}

impl Recorded {
    /// Only the hall makes one, after the ledger has committed.
    pub(super) const fn new(
        decision: Arc<Decision>,
        receipt: Receipt,
        ledger: Ledger,
        recent: Arc<Recent>,
        place: Option<InFlightPlace>,
    ) -> Self {
        Self { decision, receipt, ledger, recent, _place: place }
    }

    /// The decision.
    #[must_use]
    pub const fn decision(&self) -> &Arc<Decision> {
        &self.decision
    }

    /// Its receipt.
    #[must_use]
    pub const fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// The right to forward. A dry run never has it.
    ///
    /// # Errors
    /// The decision denies, holds or is a dry run: it comes back as it was.
    pub fn permit(self) -> Result<Permit, Self> {
        if self.decision.verdict.outcome != Outcome::Dispatch || self.decision.input.dry_run {
            return Err(self);
        }
        self.recent.begin(&self.receipt, &self.decision);
        Ok(Permit {
            recorded: self,
            began: Instant::now(),
            status: None,
            request_bytes: 0,
            response_bytes: 0,
            ending: Ending::Aborted,
        })
    }
}

/// The right to forward one request. When it is dropped the ledger gets the outcome entry, so an exchange that panics or is
/// cancelled has one, too: without a word on how it ended, it counts as aborted.
#[derive(Debug)]
pub struct Permit {
    recorded: Recorded,
    began: Instant,
    status: Option<u16>,
    request_bytes: u64,
    response_bytes: u64,
    ending: Ending,
}

impl Permit {
    /// The decision that dispatches.
    #[must_use]
    pub const fn decision(&self) -> &Arc<Decision> {
        self.recorded.decision()
    }

    /// Its receipt.
    #[must_use]
    pub const fn receipt(&self) -> &Receipt {
        self.recorded.receipt()
    }

    /// Notes the upstream's status.
    pub const fn answered(&mut self, status: u16) {
        self.status = Some(status);
    }

    /// Notes body bytes that went upstream.
    pub const fn sent_upstream(&mut self, bytes: u64) {
        self.request_bytes = self.request_bytes.saturating_add(bytes);
    }

    /// Notes that the request is sent again from its beginning, on another connection.
    pub const fn sent_again(&mut self) {
        self.request_bytes = 0;
    }

    /// Notes body bytes that went to the caller.
    pub const fn sent_to_caller(&mut self, bytes: u64) {
        self.response_bytes = self.response_bytes.saturating_add(bytes);
    }

    /// Notes how the exchange ended.
    pub const fn ended(&mut self, ending: Ending) {
        self.ending = ending;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let outcome = ledger::ExchangeEnd {
            status: self.status,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            duration: self.began.elapsed(),
            ending: self.ending,
        };
        self.recorded.recent.end(&self.recorded.receipt, self.ending);
        self.recorded.ledger.outcome(&self.recorded.receipt, outcome);
    }
}
