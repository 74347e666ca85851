//! What of a configuration a running process cannot change: it has to start again.

use std::path::PathBuf;

use super::{Config, Registry, Shutdown};
use crate::hall::alerts::webhook;
use crate::hall::limits::Settings as Limits;
use crate::{api, cache, ledger, proxy, telemetry};

/// The sections that count from the start to the end of a process.
#[derive(Debug, Clone, PartialEq)]
pub struct Fixed {
    gate: Option<proxy::Settings>,
    upstream_ca_file: Option<PathBuf>,
    hall: api::Settings,
    store: Option<PathBuf>,
    registry: Option<Registry>,
    limits: Limits,
    cache: cache::Settings,
    ledger: ledger::Settings,
    webhook: Option<webhook::Settings>,
    telemetry: telemetry::Settings,
    shutdown: Shutdown,
}

impl Fixed {
    /// Those of a configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            gate: config.gate.clone(),
            upstream_ca_file: config.upstream_ca_file.clone(),
            hall: config.hall.clone(),
            store: config.store.clone(),
            registry: config.registry.clone(),
            limits: config.limits,
            cache: config.cache,
            ledger: config.ledger.clone(),
            webhook: config.webhook.clone(),
            telemetry: config.telemetry.clone(),
            shutdown: config.shutdown,
        }
    }

    /// The sections in which another one differs.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let sections = [
            (
                "gate",
                self.gate == other.gate
                    && self.upstream_ca_file == other.upstream_ca_file
                    && self.limits.gate == other.limits.gate,
            ),
            (
                "hall",
                self.hall == other.hall
                    && (self.limits.hall, self.limits.failures) == (other.limits.hall, other.limits.failures),
            ),
            ("policy.store", self.store == other.store),
            ("registry", self.registry == other.registry),
            ("cache", self.cache == other.cache),
            ("ledger", self.ledger == other.ledger),
            ("alerts", self.webhook == other.webhook),
            ("telemetry", self.telemetry == other.telemetry),
            ("shutdown", self.shutdown == other.shutdown),
        ];
        sections.into_iter().filter(|(_, same)| !same).map(|(section, _)| section).collect()
    }
}
