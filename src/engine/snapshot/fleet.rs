//! The controls of the fleet: what the workers that may act implement, in production and elsewhere.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::ids::{ControlId, Env};

use super::Worker;

/// The controls that workers which may act implement. In production a worker that nobody vouches for does not count.
#[derive(Debug)]
pub(crate) struct Fleet {
    production: BTreeSet<Arc<str>>,
    elsewhere: BTreeSet<Arc<str>>,
}

impl Fleet {
    pub(super) fn of(workers: &[Arc<Worker>]) -> Self {
        let implemented = |env| {
            let able = workers.iter().filter(|worker| worker.status.may_act(env));
            able.flat_map(|worker| worker.implements.iter().map(ControlId::shared)).collect()
        };
        Self { production: implemented(Env::Prod), elsewhere: implemented(Env::Dev) }
    }

    /// The controls there.
    pub(crate) const fn within(&self, env: Env) -> &BTreeSet<Arc<str>> {
        if env.is_production() { &self.production } else { &self.elsewhere }
    }
}
