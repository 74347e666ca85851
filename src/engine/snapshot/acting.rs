//! Who acts, as far as attestation and envelopes look at it: one worker or, in reference mode, all of a species as one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ids::{Digest, Env};

use super::{Mode, Worker};

/// A file with a worker's code, and the folders outside of which it is not read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source {
    /// Where it is.
    pub path: Arc<Path>,
    /// Resolved folders; `None`: it may be anywhere.
    pub within: Option<Arc<[PathBuf]>>,
}

/// What was attested of a worker's code (WCP_SPEC 5.10).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attestation {
    /// The hash that was registered.
    pub registered: Option<Digest>,
    /// Where the code is now.
    pub source: Option<Source>,
}

/// What a worker declares that it may do (WCP_SPEC 5.6), as far as anything of it can be held against the policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The destinations to which it may send, in its own order.
    pub egress: Vec<Arc<str>>,
}

/// What the code of somebody who acts is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// Its hash.
    Is(Digest),
    /// Nobody can say: there is no file, or it could not be read whole and unchanged.
    Unavailable,
}

/// Somebody who may act for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acting {
    /// The worker's id; in reference mode the species.
    pub who: Arc<str>,
    /// What was attested.
    pub attestation: Attestation,
    /// What is declared; `None`: nothing.
    pub envelope: Option<Envelope>,
}

/// Everybody who may act, by worker id; in reference mode by species.
///
/// There a record that comes later replaces hash, file and envelope of its species, each only if it has one, and so the
/// order of the records counts.
pub(super) fn all(workers: &[Arc<Worker>], mode: Mode) -> BTreeMap<Arc<str>, Arc<Acting>> {
    let mut all: BTreeMap<Arc<str>, Acting> = BTreeMap::new();
    // Who may act outside of production only is among them: the selection says where.
    for worker in workers.iter().filter(|worker| worker.status.may_act(Env::Dev)) {
        let who = match mode {
            Mode::Strict => worker.worker_id.shared(),
            Mode::Reference => worker.species.shared(),
        };
        let nothing = Acting { who: Arc::clone(&who), attestation: Attestation::default(), envelope: None };
        let acting = all.entry(who).or_insert(nothing);
        let Attestation { registered, source } = &worker.attestation;
        acting.attestation.registered = registered.or(acting.attestation.registered);
        replace(&mut acting.attestation.source, source.as_ref());
        replace(&mut acting.envelope, worker.envelope.as_ref());
    }
    all.into_iter().map(|(who, acting)| (who, Arc::new(acting))).collect()
}

fn replace<T: Clone>(old: &mut Option<T>, new: Option<&T>) {
    if new.is_some() {
        *old = new.cloned();
    }
}
