//! What of a configuration a running process cannot change: it has to start again.

use std::path::PathBuf;

use super::{Config, Registry, Shutdown};
use crate::api::ops;
use crate::hall::limits::Settings as Limits;
use crate::hall::webhook;
use crate::{api, approvals, cache, ledger, proxy, telemetry};

/// The sections that count from the start to the end of a process.
#[derive(Debug, Clone, PartialEq)]
pub struct Fixed {
    gate: Option<proxy::Settings>,
    hall: Option<api::Settings>,
    store: Option<PathBuf>,
    approvals: Option<approvals::Settings>,
    registry: Option<Registry>,
    limits: Limits,
    cache: cache::Settings,
    ledger: ledger::Settings,
    webhook: Option<webhook::Settings>,
    telemetry: telemetry::Settings,
    ops: ops::Settings,
    shutdown: Shutdown,
}

impl Fixed {
    /// Those of a configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            gate: config.gate.clone(),
            hall: config.hall.clone(),
            store: config.store.clone(),
            approvals: config.approvals.clone(),
            registry: config.registry.clone(),
            limits: config.limits,
            cache: config.cache,
            ledger: config.ledger.clone(),
            webhook: config.webhook.clone(),
            telemetry: config.telemetry.clone(),
            ops: config.ops,
            shutdown: config.shutdown,
        }
    }

    /// The sections in which another one differs.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let sections = [
            ("gate", self.gate == other.gate && self.limits.gate == other.limits.gate),
            (
                "hall",
                self.hall == other.hall
                    && (self.limits.hall, self.limits.failures) == (other.limits.hall, other.limits.failures),
            ),
            ("policy.store", self.store == other.store),
            ("approvals", self.approvals == other.approvals),
            ("registry", self.registry == other.registry),
            ("cache", self.cache == other.cache),
            ("ledger", self.ledger == other.ledger),
            ("alerts", self.webhook == other.webhook),
            ("telemetry", self.telemetry == other.telemetry),
            ("ops", self.ops == other.ops),
            ("shutdown", self.shutdown == other.shutdown),
        ];
        sections.into_iter().filter(|(_, same)| !same).map(|(section, _)| section).collect()
    }

    /// Has the listeners and upstreams that run use the certificates of another reading, where it has some for them. Whether any
    /// of them is another one.
    #[must_use]
    pub fn take_certificates(&self, other: &Self) -> bool {
        let mut changed = false;
        let tls = |fixed: &Self| fixed.hall.as_ref().and_then(|hall| hall.tls.clone());
        if let (Some(ours), Some(theirs)) = (tls(self), tls(other)) {
            changed |= ours.take(&theirs);
        }
        let (Some(ours), Some(theirs)) = (&self.gate, &other.gate) else { return changed };
        if let (Some(ours), Some(theirs)) = (&ours.tls, &theirs.tls) {
            changed |= ours.take(theirs);
        }
        for (name, upstream) in &ours.upstreams {
            let theirs = theirs.upstreams.get(name).and_then(|upstream| upstream.authorities.as_ref());
            if let (Some(ours), Some(theirs)) = (&upstream.authorities, theirs) {
                changed |= ours.take(theirs);
            }
        }
        changed
    }
}
