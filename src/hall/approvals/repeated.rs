//! Answers that may have been lost: whoever asks the same again a moment after what was agreed to is spent gets the same decision again,
//! so that a lost answer does not cost a second human.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::Decision;
use crate::ids::Digest;
use crate::ledger::Receipt;

/// How long an answer is given again.
const AGAIN: Duration = Duration::from_secs(60);
/// The most answers that are remembered.
const MOST: usize = 1024;

/// Decisions that spent an approval of late.
#[derive(Debug, Default)]
pub(super) struct Repeated(Mutex<VecDeque<Given>>);

#[derive(Debug)]
struct Given {
    subject: Digest,
    decision: Arc<Decision>,
    receipt: Receipt,
    at: Instant,
}

impl Repeated {
    /// This was given.
    pub(super) fn note(&self, subject: Digest, decision: &Arc<Decision>, receipt: &Receipt) {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if given.len() >= MOST {
            given.pop_front();
        }
        let (decision, receipt) = (Arc::clone(decision), receipt.clone());
        given.push_back(Given { subject, decision, receipt, at: Instant::now() });
    }

    /// What was given for the same question of the same correlation id a moment ago.
    pub(super) fn find(&self, subject: &Digest, correlation_id: &str) -> Option<(Arc<Decision>, Receipt)> {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while given.front().is_some_and(|given| given.at.elapsed() >= AGAIN) {
            given.pop_front();
        }
        let same =
            |given: &&Given| given.subject == *subject && *given.decision.input.correlation_id == *correlation_id;
        given.iter().rev().find(same).map(|given| (Arc::clone(&given.decision), given.receipt.clone()))
    }
}
