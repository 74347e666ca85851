//! A change of the registry that somebody asks for.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{NotChanged, Registered};
use crate::hall::Token;
use crate::registry::change::Change;
use crate::registry::records::Enrolled;

/// A change that somebody waits for.
#[derive(Debug)]
pub(super) struct EnrolmentJob {
    pub(super) token: Arc<Token>,
    pub(super) change: Change,
    /// The worker, if one is enrolled.
    pub(super) enrolled: Option<Enrolled>,
    /// Who waits for what comes of it.
    pub(super) answer: Option<oneshot::Sender<Result<Registered, NotChanged>>>,
}

impl EnrolmentJob {
    /// A change that a token asks for.
    pub(super) fn new(token: &Arc<Token>, change: Change, enrolled: Option<Enrolled>) -> Self {
        Self { token: Arc::clone(token), change, enrolled, answer: None }
    }

    /// Whoever has gone away has changed the registry all the same.
    pub(super) fn answer(self, answer: Result<Registered, NotChanged>) {
        if let Some(waiter) = self.answer {
            let _gone = waiter.send(answer);
        }
    }
}
