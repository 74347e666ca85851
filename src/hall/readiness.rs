//! Whether requests should be sent here.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Hall, LedgerHealth, RefusedChange, RemoteRegistryState};
use crate::ids::Digest;

/// Whether requests should be sent here, and if not, why.
#[derive(Debug, Clone)]
pub struct Readiness {
    /// True when the snapshot is loaded, the ledger writes and no drain has begun.
    pub ready: bool,
    /// What stands against it, one phrase each; or, while it is ready, what somebody should look at.
    pub reasons: Vec<String>,
    /// The snapshot in force.
    pub snapshot: Digest,
    /// The operator's name of its policy.
    pub policy_version: Arc<str>,
    /// The change of files that is not in force because something in it is wrong.
    pub refused_change: Option<Arc<RefusedChange>>,
    /// Whether the ledger takes entries.
    pub ledger: LedgerHealth,
    /// How the remote registry stands, when there is one.
    pub registry: Option<RemoteRegistryState>,
}

impl Hall {
    /// Whether requests should be sent here.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let mut reasons = Vec::new();
        if self.draining.load(Ordering::Relaxed) {
            reasons.push("draining".to_owned());
        }
        let health = self.ledger.health();
        if !health.writing {
            let why = health.error.as_deref().unwrap_or("closed");
            reasons.push(format!("the ledger is not writing: {why}"));
        }
        let snapshot = self.snapshot.load();
        if self.standing_is_stale() {
            reasons.push("offline: nothing was heard of the account's standing for too long".to_owned());
        } else if !self.is_online() {
            reasons.push("offline".to_owned());
        }
        let registry = self.remote_registry.as_ref().map(|remote_registry| remote_registry.state(&snapshot));
        // Requests that come sooner would be denied for no better reason.
        if let (Some(remote_registry), Some(state)) = (&self.remote_registry, &registry)
            && state.unverified_workers > 0
            && !remote_registry.seen().asked
        {
            reasons.push("the registry has not been asked yet".to_owned());
        }
        let ready = reasons.is_empty();
        // No reason to send requests elsewhere: every replica has the same list, and whom it cannot clear is denied one by one.
        if let Some(why) = registry.as_ref().and_then(|state| state.unread_bans.as_ref()) {
            reasons.push(format!("the registry's ban list cannot be read whole: it {why}"));
        }
        Readiness {
            ready,
            reasons,
            snapshot: snapshot.fingerprint,
            policy_version: Arc::clone(&snapshot.settings.version),
            refused_change: self.refused_change.load_full(),
            ledger: health,
            registry,
        }
    }

    /// Begins to drain: readiness drops; requests are still answered.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.drained.send_replace(true);
    }

    /// Waits until a drain begins.
    pub async fn drains(&self) {
        let mut drained = self.drained.subscribe();
        // It is as old as the hall: nobody hears of an end before it.
        let _told = drained.wait_for(|drained| *drained).await;
    }

    /// Whether a drain has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
