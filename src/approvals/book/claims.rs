//! What is taken out of the book for a moment: an approval that is being opened, and what was agreed to and is being spent.

use std::sync::Arc;

use super::{Approval, Book, State};
use crate::ids::{Digest, TokenName};

/// An approval that is being opened. Dropped without a word it was never there: nobody was told of it.
#[derive(Debug)]
pub struct Opening {
    pub(super) book: Arc<Book>,
    pub(super) approval: Approval,
    pub(super) opened: bool,
}

/// What was agreed to, taken by one request. Dropped without a word it counts as spent.
#[derive(Debug)]
pub struct GrantClaim {
    pub(super) book: Arc<Book>,
    pub(super) approval: Approval,
    pub(super) entry: Digest,
    pub(super) released: bool,
}

impl Opening {
    /// The approval that is opened.
    #[must_use]
    pub const fn approval(&self) -> &Approval {
        &self.approval
    }

    /// Its contents are kept and its entry is on record: somebody is asked from here on.
    pub fn opened(mut self) {
        self.opened = true;
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let mut pages = self.book.lock();
        if !self.opened {
            pages.remove(self.approval.id);
        } else if let Some(live) = pages.live.get_mut(&self.approval.id) {
            (live.busy, live.opens) = (false, false);
            pages.dirty.insert(self.approval.id);
        }
    }
}

impl GrantClaim {
    /// What was agreed to.
    #[must_use]
    pub const fn approval(&self) -> &Approval {
        &self.approval
    }

    /// The hash of the entry that says so.
    #[must_use]
    pub const fn entry(&self) -> Digest {
        self.entry
    }

    /// Who has agreed.
    #[must_use]
    pub fn by(&self) -> Arc<[TokenName]> {
        self.approval.votes.iter().map(|vote| vote.token.clone()).collect()
    }

    /// Its dispatch is recorded.
    pub fn spent(self) {}

    /// There is no entry of its dispatch, and there will be none: it may be spent still.
    pub fn release(mut self) {
        self.released = true;
        let entry = self.entry;
        self.book.settle(self.approval.id, |_| State::Approved { entry });
    }
}

impl Drop for GrantClaim {
    fn drop(&mut self) {
        if !self.released {
            self.book.settle(self.approval.id, |_| State::Spent);
        }
    }
}
