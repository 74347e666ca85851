//! Which callbacks are due, and that each is made once: it is on its way, or it waits, and it is forgotten when it has come to something.

use std::sync::Arc;

use uuid::Uuid;

use super::approval::{Approval, State};
use super::book::Book;
use super::callback::{Callback, MOST_CALLBACKS};

/// What has become of somebody's wish to be told.
#[derive(Debug)]
pub enum CallbackKept {
    /// They are told already.
    Known,
    /// They will be: the store has to know.
    New,
    /// Too many are told already.
    TooMany,
    /// There is no such approval any more.
    Gone,
}

/// A callback on its way. Dropped without a word it is due again.
#[derive(Debug)]
pub struct DueCallback {
    book: Arc<Book>,
    id: Uuid,
    callback: Callback,
    is_done: bool,
}

impl Book {
    /// Has whoever asks for an approval told when it is decided.
    pub fn call_back(&self, id: Uuid, callback: Callback) -> CallbackKept {
        self.with_callbacks(id, |approval| {
            if approval.callbacks.iter().any(|other| other.is_same(&callback)) {
                return (CallbackKept::Known, false);
            }
            if approval.callbacks.len() >= MOST_CALLBACKS {
                return (CallbackKept::TooMany, false);
            }
            approval.callbacks.push(callback);
            (CallbackKept::New, true)
        })
        .unwrap_or(CallbackKept::Gone)
    }

    /// Callbacks about what is decided, and in force, that are not on their way: so many at most. From here on they are.
    pub fn due_callbacks(self: &Arc<Self>, most: usize) -> Vec<DueCallback> {
        let mut due = Vec::new();
        self.each_decided(|approval| {
            let id = approval.id;
            let waiting = approval.callbacks.iter_mut().filter(|callback| !callback.is_called);
            for callback in waiting.take(most - due.len()) {
                callback.is_called = true;
                let (book, callback) = (Arc::clone(self), callback.clone());
                due.push(DueCallback { book, id, callback, is_done: false });
            }
        });
        due
    }

    /// Does something with the callbacks of an approval; the store is told where they are others then.
    fn with_callbacks<T>(&self, id: Uuid, does: impl FnOnce(&mut Approval) -> (T, bool)) -> Option<T> {
        let mut pages = self.lock();
        let (done, is_other) = does(&mut pages.live.get_mut(&id)?.approval);
        if is_other {
            pages.dirty.insert(id);
        }
        Some(done)
    }

    /// Does something with each approval about which somebody has decided.
    fn each_decided(&self, mut does: impl FnMut(&mut Approval)) {
        let mut pages = self.lock();
        let decided = pages.live.values_mut().filter(|live| !live.opens && live.approval.state != State::Pending);
        decided.for_each(|live| does(&mut live.approval));
    }
}

impl DueCallback {
    /// Whom it is for.
    #[must_use]
    pub const fn callback(&self) -> &Callback {
        &self.callback
    }

    /// The approval that it is about, as it is now; `None` when it is forgotten.
    #[must_use]
    pub fn approval(&self) -> Option<Approval> {
        self.book.find(self.id)
    }

    /// The approval's id.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        self.id
    }

    /// It has come to something: they know, or will not be told. It is nowhere kept from here on.
    pub fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for DueCallback {
    fn drop(&mut self) {
        let Self { book, id, callback, is_done } = self;
        book.with_callbacks(*id, |approval| {
            if *is_done {
                approval.callbacks.retain(|other| !other.is_same(callback));
            } else if let Some(waits) = approval.callbacks.iter_mut().find(|other| other.is_same(callback)) {
                waits.is_called = false;
            }
            ((), *is_done)
        });
    }
}
