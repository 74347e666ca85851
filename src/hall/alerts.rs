//! Alerts: what somebody should look at. The same thing about the same subject is one alert that counts; acknowledged, it opens
//! again when it happens again. Each is logged, and told to a webhook if there is one.
//!
//! They live in memory, and so do acknowledgements: what still holds after a start is raised again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::Serialize;
use uuid::Uuid;

use super::webhook::Webhook;
use crate::clock::timestamp;
use crate::engine::Binding;

/// Alerts of each kind that are kept; of more the oldest goes, acknowledged ones first. Of each kind, because callers choose
/// tenants: however many there are, none drives out that the ledger is broken.
const KEPT: usize = 50;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlertKind {
    /// The ledger does not hold together.
    LedgerBroken,
    /// The ledger takes no entries.
    LedgerNotWriting,
    /// The ledger has lost entries and goes on behind them.
    LedgerRecovered,
    /// What the remote registry said is too old.
    RegistryStale,
    /// The remote registry's ban list cannot be read whole.
    BansUnread,
    /// One worker is denied again and again.
    RepeatedDenials,
    /// A worker's code is not what was attested.
    WorkerTampered,
    /// A change of files is refused.
    ReloadRefused,
    /// The wall clock jumped.
    ClockJump,
    /// What waits for a human has waited for half of its time.
    ApprovalUnanswered,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Nothing is allowed, or somebody may be cheating.
    Error,
    /// It will get bad if nobody looks.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl AlertKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::LedgerBroken,
        Self::LedgerNotWriting,
        Self::LedgerRecovered,
        Self::RegistryStale,
        Self::BansUnread,
        Self::RepeatedDenials,
        Self::WorkerTampered,
        Self::ReloadRefused,
        Self::ClockJump,
        Self::ApprovalUnanswered,
    ];

    /// Its code on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LedgerBroken => "LEDGER_BROKEN",
            Self::LedgerNotWriting => "LEDGER_NOT_WRITING",
            Self::LedgerRecovered => "LEDGER_RECOVERED",
            Self::RegistryStale => "REGISTRY_STALE",
            Self::BansUnread => "BANS_UNREAD",
            Self::RepeatedDenials => "REPEATED_DENIALS",
            Self::WorkerTampered => "WORKER_TAMPERED",
            Self::ReloadRefused => "RELOAD_REFUSED",
            Self::ClockJump => "CLOCK_JUMP",
            Self::ApprovalUnanswered => "APPROVAL_UNANSWERED",
        }
    }

    /// What it is called.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::LedgerBroken => "The ledger is broken",
            Self::LedgerNotWriting => "The ledger is not writing",
            Self::LedgerRecovered => "The ledger has lost entries",
            Self::RegistryStale => "The registry's answers are stale",
            Self::BansUnread => "The registry's ban list cannot be read whole",
            Self::RepeatedDenials => "A worker is denied again and again",
            Self::WorkerTampered => "A worker's code was changed",
            Self::ReloadRefused => "A change of files is refused",
            Self::ClockJump => "The clock jumped",
            Self::ApprovalUnanswered => "A request waits for a human, and nobody answers",
        }
    }

    /// How bad it is.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::LedgerBroken
            | Self::LedgerNotWriting
            | Self::LedgerRecovered
            | Self::BansUnread
            | Self::WorkerTampered => Severity::Error,
            Self::RegistryStale
            | Self::RepeatedDenials
            | Self::ReloadRefused
            | Self::ClockJump
            | Self::ApprovalUnanswered => Severity::Warning,
        }
    }
}

/// What happened, to whoever raises it.
#[derive(Debug, Clone)]
pub struct Raised {
    /// What kind of thing.
    pub kind: AlertKind,
    /// The worker that it is about, if it is about one.
    pub worker: Option<Arc<str>>,
    /// The tenant that it is about; `None`: it is the hall's own matter, and no tenant sees it.
    pub tenant: Option<Arc<str>>,
    /// The capability that was asked for, if one was.
    pub capability: Option<Arc<str>>,
    /// One sentence for a human, without secrets and without the tenant's name.
    pub message: String,
}

impl Raised {
    /// A matter of the hall's own.
    #[must_use]
    pub const fn of_hall(kind: AlertKind, message: String) -> Self {
        Self { kind, worker: None, tenant: None, capability: None, message }
    }
}

/// An alert.
#[derive(Debug, Clone)]
pub struct Alert {
    /// Its id.
    pub id: Uuid,
    /// What happened last.
    pub last: Raised,
    /// When it happened first, in microseconds since 1970 UTC.
    pub created_at_micros: i64,
    /// When it happened last.
    pub last_event_micros: i64,
    /// How often it happened.
    pub count: u64,
    /// When somebody said that they know, if it has not happened again since.
    pub acknowledged_at_micros: Option<i64>,
}

impl Alert {
    /// Whether a reader who is bound like this may see it.
    #[must_use]
    pub fn visible_to(&self, reader: &Binding) -> bool {
        let worker = self.last.worker.as_deref();
        reader.tenant.as_ref().is_none_or(|of| self.last.tenant.as_deref() == Some(of.as_str()))
            && reader.workers.as_ref().is_none_or(|among| worker.is_some_and(|worker| among.contains(worker)))
            && reader.envs.is_none()
    }

    fn is_about(&self, raised: &Raised) -> bool {
        let Raised { kind, worker, tenant, .. } = &self.last;
        *kind == raised.kind && *worker == raised.worker && *tenant == raised.tenant
    }
}

/// What a webhook is told of an alert.
#[derive(Debug, Clone, Serialize)]
pub struct Told {
    pub(super) alert_id: Uuid,
    pub(super) kind: &'static str,
    pub(super) severity: &'static str,
    pub(super) title: &'static str,
    pub(super) message: String,
    pub(super) worker_id: Option<Arc<str>>,
    pub(super) tenant_id: Option<Arc<str>>,
    pub(super) count: u64,
    pub(super) last_event: String,
}

/// The alerts of this process.
#[derive(Debug, Default)]
pub struct Alerts {
    /// In the order in which they began.
    alerts: Mutex<VecDeque<Alert>>,
    webhook: OnceLock<Webhook>,
}

impl Alerts {
    /// Has a webhook told of each from now on. The first one stays.
    pub fn tell(&self, webhook: Webhook) {
        // Only the start of the process does this.
        let _already_told = self.webhook.set(webhook);
    }

    /// The webhook that is told.
    pub(super) fn webhook(&self) -> Option<&Webhook> {
        self.webhook.get()
    }

    /// Notes that something happened.
    pub fn raise(&self, raised: Raised, now_micros: i64) {
        let mut alerts = self.lock();
        let at = alerts.iter().position(|alert| alert.is_about(&raised));
        let alert = match at.and_then(|at| alerts.get_mut(at)) {
            Some(alert) => {
                // What happens a thousand times a second is not told a thousand times.
                let news = alert.acknowledged_at_micros.is_some() || alert.count.is_power_of_two();
                alert.last = raised;
                alert.last_event_micros = now_micros;
                alert.count = alert.count.saturating_add(1);
                alert.acknowledged_at_micros = None;
                news.then(|| alert.clone())
            }
            None => {
                make_room(&mut alerts, raised.kind);
                let alert = Alert {
                    id: Uuid::new_v4(),
                    last: raised,
                    created_at_micros: now_micros,
                    last_event_micros: now_micros,
                    count: 1,
                    acknowledged_at_micros: None,
                };
                alerts.push_back(alert.clone());
                Some(alert)
            }
        };
        drop(alerts);
        let Some(alert) = alert else { return };
        let (kind, worker) = (alert.last.kind, alert.last.worker.as_deref());
        let (message, count) = (&alert.last.message, alert.count);
        match kind.severity() {
            Severity::Error => tracing::error!(alert = kind.as_str(), worker, count, message, "alert"),
            Severity::Warning => tracing::warn!(alert = kind.as_str(), worker, count, message, "alert"),
        }
        if let Some(webhook) = self.webhook.get() {
            webhook.tell(told(alert));
        }
    }

    /// The alerts that a reader who is bound like this may see, the newest first.
    #[must_use]
    pub fn seen_by(&self, reader: &Binding) -> Vec<Alert> {
        let mut seen: Vec<Alert> = self.lock().iter().filter(|alert| alert.visible_to(reader)).cloned().collect();
        seen.sort_by_key(|alert| std::cmp::Reverse(alert.last_event_micros));
        seen
    }

    /// Notes that somebody knows. `None`: there is no such alert that they may see. Who knows already knows since then.
    pub fn acknowledge(&self, id: Uuid, reader: &Binding, now_micros: i64) -> Option<Alert> {
        let mut alerts = self.lock();
        let alert = alerts.iter_mut().find(|alert| alert.id == id && alert.visible_to(reader))?;
        alert.acknowledged_at_micros.get_or_insert(now_micros);
        Some(alert.clone())
    }

    /// Nothing panics while it holds the lock, so what it guards is whole even then.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Alert>> {
        self.alerts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the oldest of a kind go when there are too many, one that somebody knows of first.
fn make_room(alerts: &mut VecDeque<Alert>, kind: AlertKind) {
    let of_kind = |alert: &&Alert| alert.last.kind == kind;
    if alerts.iter().filter(of_kind).count() < KEPT {
        return;
    }
    let known = |alert: &Alert| of_kind(&alert) && alert.acknowledged_at_micros.is_some();
    let goes = alerts.iter().position(known).or_else(|| alerts.iter().position(|alert| of_kind(&alert)));
    goes.and_then(|at| alerts.remove(at));
}

fn told(alert: Alert) -> Told {
    let Alert { id, last, last_event_micros, count, .. } = alert;
    Told {
        alert_id: id,
        kind: last.kind.as_str(),
        severity: last.kind.severity().as_str(),
        title: last.kind.title(),
        message: last.message,
        worker_id: last.worker,
        tenant_id: last.tenant,
        count,
        last_event: timestamp(last_event_micros),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denials(tenant: &str, worker: &str) -> Raised {
        Raised {
            kind: AlertKind::RepeatedDenials,
            worker: Some(worker.into()),
            tenant: Some(tenant.into()),
            capability: None,
            message: "ten denials".to_owned(),
        }
    }

    #[test]
    fn the_same_about_the_same_is_one_alert_that_opens_again() {
        let (alerts, all) = (Alerts::default(), Binding::default());
        alerts.raise(denials("org.acme", "a"), 1);
        alerts.raise(denials("org.acme", "a"), 2);
        alerts.raise(denials("org.acme", "b"), 3);
        let seen = alerts.seen_by(&all);
        assert_eq!(seen.iter().map(|alert| alert.count).collect::<Vec<_>>(), [1, 2]);
        let id = seen[1].id;
        assert_eq!(alerts.acknowledge(id, &all, 4).unwrap().acknowledged_at_micros, Some(4));
        assert_eq!(alerts.acknowledge(id, &all, 5).unwrap().acknowledged_at_micros, Some(4));
        alerts.raise(denials("org.acme", "a"), 6);
        let again = &alerts.seen_by(&all)[0];
        assert_eq!((again.id, again.count, again.acknowledged_at_micros), (id, 3, None));
    }

    #[test]
    fn a_webhook_is_told_a_time_as_it_is_written_everywhere() {
        let alerts = Alerts::default();
        alerts.raise(denials("org.acme", "a"), 42);
        let alert = alerts.seen_by(&Binding::default()).remove(0);
        assert_eq!(told(alert).last_event, "1970-01-01T00:00:00.000042+00:00");
    }

    #[test]
    fn a_tenant_sees_and_acknowledges_its_own_alone() {
        let alerts = Alerts::default();
        alerts.raise(denials("org.acme", "a"), 1);
        alerts.raise(Raised::of_hall(AlertKind::LedgerBroken, "broken".to_owned()), 2);
        let bound = |tenant: &str| Binding { tenant: Some(tenant.parse().unwrap()), ..Binding::default() };
        assert_eq!(alerts.seen_by(&bound("org.acme")).len(), 1);
        assert!(alerts.seen_by(&bound("org.globex")).is_empty());
        for alert in alerts.seen_by(&Binding::default()) {
            assert!(alerts.acknowledge(alert.id, &bound("org.globex"), 3).is_none());
        }
    }

    #[test]
    fn alerts_are_bounded_and_acknowledged_ones_go_first() {
        let (alerts, all) = (Alerts::default(), Binding::default());
        alerts.raise(Raised::of_hall(AlertKind::LedgerBroken, "broken".to_owned()), 0);
        alerts.raise(denials("org.acme", "first"), 0);
        alerts.raise(denials("org.acme", "known"), 1);
        let known = alerts.seen_by(&all)[0].id;
        assert_eq!(alerts.seen_by(&all)[0].last.worker.as_deref(), Some("known"));
        alerts.acknowledge(known, &all, 2);
        for n in 0..KEPT - 1 {
            alerts.raise(denials("org.acme", &format!("w{n}")), 3);
        }
        let seen = alerts.seen_by(&all);
        assert_eq!(seen.len(), 1 + KEPT);
        assert!(seen.iter().all(|alert| alert.id != known));
        assert!(seen.iter().any(|alert| alert.last.worker.as_deref() == Some("first")));
        for n in 0..1000 {
            alerts.raise(denials(&format!("org.t{n}"), "first"), 4);
        }
        let seen = alerts.seen_by(&all);
        assert_eq!(seen.len(), 1 + KEPT);
        assert!(seen.iter().any(|alert| alert.last.kind == AlertKind::LedgerBroken));
    }
}
