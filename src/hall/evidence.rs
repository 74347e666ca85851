//! Evidence for those who may read: receipts with their proofs, and the log as it is published.

pub mod check;
pub mod export;

use uuid::Uuid;

use super::Hall;
use crate::engine::Binding;
use crate::ledger::{LogResource, ReadError, ReceiptProof};

impl Hall {
    /// The key with which anyone can verify this log.
    #[must_use]
    pub fn vkey(&self) -> &str {
        self.ledger.vkey()
    }

    /// The receipt with this id and the proof that it is in the log. `None` when there is none that the reader may see: who is
    /// bound to a tenant sees that tenant's stream and cannot tell another's id from one that never was.
    ///
    /// # Errors
    /// The ledger cannot be read, or could not sign a new entry in time.
    pub async fn receipt(&self, id: Uuid, reader: &Binding) -> Result<Option<ReceiptProof>, ReadError> {
        match self.ledger.find(id).await?.filter(|found| found.visible_to(reader)) {
            Some(found) => self.ledger.prove(found).await.map(Some),
            None => Ok(None),
        }
    }

    /// A part of the published log; `None` when there is no such part, not yet or no longer.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn published(&self, resource: LogResource) -> Result<Option<Vec<u8>>, ReadError> {
        self.ledger.fetch(resource).await
    }
}
