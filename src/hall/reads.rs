//! What readers are told: each sees what it is bound to, and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::alerts::{AlertKind, Raised};
use super::enrolment::validate;
use super::ingested::{External, Ingested};
use super::recent::row::short;
use super::webhook::{self, Webhook};
use super::{Active, Alert, Counts, Hall, Row, activation};
use crate::clock::now_micros;
use crate::engine::snapshot::Worker;
use crate::engine::{Binding, Decision, Snapshot};
use crate::ids::TokenName;
use crate::ledger::RecordError;

/// Numbers about a hall, as far as a reader may know them.
#[derive(Debug, Clone, Copy)]
pub struct Numbers {
    /// Today's, in UTC.
    pub today: Counts,
    /// All that are remembered; today's for a reader who is bound.
    pub total: Counts,
    /// From when on today's are whole, in microseconds since 1970 UTC.
    pub counted_since_micros: i64,
}

impl Hall {
    /// Notes that something happened at which somebody should look.
    pub fn alert(&self, raised: Raised) {
        self.alerts.raise(raised, now_micros());
    }

    pub(super) fn alert_of_tampering(&self, decision: &Decision) {
        let input = &decision.input;
        let worker = input.worker_id.as_ref().map(short);
        let who = worker.as_deref().unwrap_or("a worker of a candidate species");
        self.alert(Raised {
            kind: AlertKind::WorkerTampered,
            message: format!("the code of `{who}` is not what was attested"),
            tenant: Some(short(&input.tenant_id)),
            worker,
            capability: Some(short(&input.capability_id)),
        });
    }

    /// Has a webhook told of each alert from now on, and of what waits for a human.
    ///
    /// # Errors
    /// There is no thread or no client for it.
    pub fn tell_alerts(self: &Arc<Self>, settings: webhook::Settings) -> std::io::Result<()> {
        self.alerts.tell(Webhook::start(settings, self)?);
        Ok(())
    }

    /// The alerts that this reader may see, the newest first.
    #[must_use]
    pub fn alerts(&self, reader: &Binding) -> Vec<Alert> {
        self.alerts.seen_by(reader)
    }

    /// Notes that somebody knows; of a recovery of the ledger in the ledger, so that no start raises it again. `None`: there is no such
    /// alert that they may see.
    ///
    /// # Errors
    /// That somebody knows could not be recorded: the alert stays open.
    pub async fn acknowledge(
        self: &Arc<Self>,
        id: Uuid,
        token: &TokenName,
        reader: &Binding,
    ) -> Result<Option<Alert>, RecordError> {
        let recovery = |alert: &Alert| alert.id == id && alert.last.kind == AlertKind::LedgerRecovered;
        if !self.alerts(reader).iter().any(recovery) {
            return Ok(self.alerts.acknowledge(id, reader, now_micros()));
        }
        let turn = self.activation.turn_in_time().await?;
        let (hall, token, reader) = (Arc::clone(self), token.clone(), reader.clone());
        activation::make_in_time(async move {
            let _turn = turn;
            hall.ledger.acknowledge_recovery(token).await?;
            Ok(hall.alerts.acknowledge(id, &reader, now_micros()))
        })
        .await?
    }

    /// Reads what the ledger remembers of before this process. It blocks this thread.
    pub(super) fn recall(&self) {
        if let Err(error) = self.recent.recall(&self.ledger, self.entries_before, now_micros()) {
            tracing::warn!(%error, "what the ledger remembers cannot be read: lists and counts begin with this process");
        }
    }

    /// The newest decisions that this reader may see, the newest first.
    #[must_use]
    pub fn recent(&self, most: usize, reader: &Binding) -> Vec<Row> {
        self.recent.rows(most, |row| row.visible_to(reader))
    }

    /// The forwarded exchanges that have not ended and that this reader may see.
    #[must_use]
    pub fn active(&self, reader: &Binding) -> Vec<(Uuid, Active)> {
        self.recent.active(|active| active.visible_to(reader))
    }

    /// What others decided and reported here, as far as this reader may see it.
    #[must_use]
    pub const fn ingested(&self) -> &Ingested {
        &self.ingested
    }

    /// Notes what others decided. False: it was here before.
    pub fn ingest(&self, external: External) -> bool {
        self.ingested.note(external)
    }

    /// Numbers, as far as this reader may know them.
    #[must_use]
    pub fn numbers(&self, reader: &Binding) -> Numbers {
        let mut today = Counts::default();
        for ((tenant, worker), counts) in self.recent.today(now_micros()) {
            if counts_for(reader, &tenant, &worker) {
                today.add(&counts.within(reader.envs.as_deref()));
            }
        }
        let total = if reader.is_bound() { today } else { self.recent.total() };
        Numbers { today, total, counted_since_micros: self.recent.counted_since_micros() }
    }

    /// The enrolled workers that this reader may see, each with today's counts as far as they are this reader's. Who is bound to a
    /// tenant sees its own, those that its tenant's tokens are bound to, and those that were dispatched for it today.
    #[must_use]
    pub fn workers<'s>(&self, snapshot: &'s Snapshot, reader: &Binding) -> Vec<(&'s Worker, Counts)> {
        let mut counted: BTreeMap<Arc<str>, Counts> = BTreeMap::new();
        for ((tenant, worker), counts) in self.recent.today(now_micros()) {
            if counts_for(reader, &tenant, &worker) {
                counted.entry(worker).or_default().add(&counts.within(reader.envs.as_deref()));
            }
        }
        let tokens = self.tokens();
        let of_tenant = reader.tenant.as_ref().map(|tenant| tokens.workers_of(tenant));
        let roster = self.roster();
        let is_its = |worker: &Worker| {
            let listed = roster.find(worker.worker_id.as_str());
            reader.tenant.as_ref().zip(listed).is_some_and(|(tenant, listed)| validate::is_of(listed.enrolled, tenant))
        };
        let sees = |worker: &Worker, counts: &Counts| {
            let id = &worker.worker_id;
            reader.workers.as_ref().is_none_or(|among| among.contains(id))
                && (reader.workers.is_some()
                    || of_tenant.as_ref().is_none_or(|among| among.contains(id))
                    || is_its(worker)
                    || counts.dispatches > 0)
        };
        let all = snapshot.workers.values().map(|worker| {
            let counts = counted.get(worker.worker_id.as_str()).copied().unwrap_or_default();
            (&**worker, counts)
        });
        all.filter(|(worker, counts)| sees(worker, counts)).collect()
    }

    /// When this process began to decide, in microseconds since 1970 UTC.
    #[must_use]
    pub const fn began_micros(&self) -> i64 {
        self.began.0
    }

    /// For how many seconds it has.
    #[must_use]
    pub fn uptime_seconds(&self) -> u64 {
        self.began.1.elapsed().as_secs()
    }
}

/// Whether counts of this tenant and worker are a reader's to know.
fn counts_for(reader: &Binding, tenant: &str, worker: &str) -> bool {
    reader.tenant.as_ref().is_none_or(|of| of.as_str() == tenant)
        && reader.workers.as_ref().is_none_or(|among| among.contains(worker))
}
