//! Decisions that others made and reported here: a list of its own, in memory, and never a part of the ledger's chain. It says what
//! somebody claims, not what this hall decided: nothing here is counted, and nothing is decided by it.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engine::Binding;

/// How many are kept; the oldest go first, and with the process all do.
const KEPT: usize = 1000;

/// A decision that somebody else made.
#[derive(Debug, Clone)]
pub struct External {
    /// Its id, as it was given.
    pub decision_id: Arc<str>,
    /// When, in microseconds since 1970 UTC.
    pub decided_at_micros: i64,
    /// Its texts, as they were given.
    pub capability_id: Arc<str>,
    /// For whom.
    pub tenant_id: Arc<str>,
    /// Where.
    pub env: Arc<str>,
    /// Whether it was denied.
    pub denied: bool,
    /// Why.
    pub deny_reason: Option<Arc<str>>,
    /// The worker that was selected.
    pub selected_worker: Option<Arc<str>>,
    /// The blast score.
    pub blast_score: Option<i64>,
    /// The artifact hash.
    pub artifact_hash: Option<Arc<str>>,
}

impl External {
    /// Whether a reader who is bound like this may see it.
    #[must_use]
    pub fn visible_to(&self, reader: &Binding) -> bool {
        let env = self.env.parse();
        reader.tenant.as_ref().is_none_or(|of| of.as_str() == &*self.tenant_id)
            && reader
                .workers
                .as_ref()
                .is_none_or(|among| self.selected_worker.as_deref().is_some_and(|worker| among.contains(worker)))
            && reader.envs.as_ref().is_none_or(|among| env.is_ok_and(|env| among.contains(&env)))
    }
}

/// What was reported.
#[derive(Debug, Default)]
pub struct Ingested(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    newest_last: VecDeque<External>,
    /// Each tenant's ids: two tenants may use the same.
    ids: HashSet<(Arc<str>, Arc<str>)>,
}

impl Ingested {
    /// Notes one. False: the same tenant reported the same id before.
    pub(super) fn note(&self, external: External) -> bool {
        let mut list = self.lock();
        if !list.ids.insert((Arc::clone(&external.tenant_id), Arc::clone(&external.decision_id))) {
            return false;
        }
        if list.newest_last.len() >= KEPT
            && let Some(External { tenant_id, decision_id, .. }) = list.newest_last.pop_front()
        {
            list.ids.remove(&(tenant_id, decision_id));
        }
        list.newest_last.push_back(external);
        true
    }

    /// The newest that this reader may see, the newest first.
    #[must_use]
    pub fn newest(&self, most: usize, reader: &Binding) -> Vec<External> {
        self.lock().newest_last.iter().rev().filter(|one| one.visible_to(reader)).take(most).cloned().collect()
    }

    /// Nothing panics while it holds the lock, so what it guards is whole even then.
    fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
