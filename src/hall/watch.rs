//! A thread that looks after the hall once a second, so that no request has to: whether the ledger writes, whether the clock runs
//! as it should, whether a worker is denied again and again. First of all it reads what the ledger remembers.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::Hall;
use super::alerts::{AlertKind, Raised};
use super::recent::CountKey;
use crate::clock::now_micros;
use crate::telemetry::threads::{self, Thread};

/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);
/// How long its end is waited for: it may be reading what the ledger remembers.
const END: Duration = Duration::from_secs(3);
/// The clocks may come apart by so much between two looks: NTP slews less, and a jump is more.
const JUMP: i64 = 2_000_000;
/// Denials of one worker that are too many…
const DENIALS: u64 = 10;
/// …within this time.
const WINDOW: Duration = Duration::from_secs(60);

/// Looks after a hall until it is dropped.
#[derive(Debug)]
pub struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<Thread>,
}

impl Watch {
    /// Starts to look after a hall.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn start(hall: Arc<Hall>) -> io::Result<Self> {
        let (stop, stopped) = channel::<()>();
        let mut looks = None;
        let watch = move || {
            let begins = looks.is_none();
            let looks = looks.get_or_insert_with(Looks::begin);
            if begins {
                looks.after_ledger(&hall);
                hall.recall();
                // What was denied before this process was alerted before.
                looks.after_workers(&hall, now_micros(), Instant::now());
            }
            while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                looks.after_ledger(&hall);
                looks.after_registry(&hall);
                looks.after_clock(&hall, now_micros(), Instant::now());
                looks.after_workers(&hall, now_micros(), Instant::now());
                looks.after_approvals(&hall, now_micros());
            }
        };
        let thread = threads::start("watch", watch)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            thread.join(END);
        }
    }
}

/// What was seen before.
struct Looks {
    writing: bool,
    broken: bool,
    /// The recovery that was told.
    recovered: Option<uuid::Uuid>,
    /// The remote registry's answers are too old.
    stale: bool,
    /// Its ban list cannot be read whole.
    unread: bool,
    /// The wall clock and the steady one, at the same moment.
    clocks: (i64, Instant),
    /// `None` before the first look.
    denied: Option<HashMap<CountKey, Denied>>,
    /// What waits for a human and has done so for half of its time.
    unanswered: HashSet<uuid::Uuid>,
}

/// The denials of one worker since a window began.
struct Denied {
    since: Instant,
    at_first: u64,
}

impl Looks {
    fn begin() -> Self {
        let clocks = (now_micros(), Instant::now());
        let unanswered = HashSet::new();
        Self {
            writing: true,
            broken: false,
            recovered: None,
            stale: false,
            unread: false,
            clocks,
            denied: None,
            unanswered,
        }
    }

    fn after_ledger(&mut self, hall: &Hall) {
        let health = hall.ledger.health();
        if health.broken && !self.broken {
            let why = health.error.as_deref().unwrap_or("what is stored does not hold together");
            let message = format!("nothing is allowed or forwarded: {why}");
            hall.alert(Raised::of_hall(AlertKind::LedgerBroken, message));
        } else if !health.writing && self.writing && !health.broken {
            let why = health.error.as_deref().unwrap_or("closed");
            let message = format!("nothing is allowed or forwarded until it can be written again: {why}");
            hall.alert(Raised::of_hall(AlertKind::LedgerNotWriting, message));
        }
        (self.writing, self.broken) = (health.writing, health.broken);
        // Until somebody says that they know it is told after each start.
        if let Some(recovered) = health.recovered.filter(|recovered| self.recovered != Some(recovered.id)) {
            let file = &recovered.file;
            let message = format!(
                "entries that no checkpoint signed are lost, or in its file `{file}` alone; entry {} says which",
                recovered.id
            );
            hall.alert(Raised::of_hall(AlertKind::LedgerRecovered, message));
            self.recovered = Some(recovered.id);
        }
    }

    fn after_registry(&mut self, hall: &Hall) {
        let Some(remote_registry) = hall.remote_registry() else { return };
        hall.heed_silence();
        let (seen, age) = (remote_registry.seen(), remote_registry.age_seconds());
        let stale = seen.asked && u64::try_from(age).is_ok_and(|age| age >= seen.max_stale.as_secs());
        if stale && !self.stale {
            let why = seen.failure.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let message =
                format!("it last answered {age} s ago; workers that need its word are denied in prod and edge{why}");
            hall.alert(Raised::of_hall(AlertKind::RegistryStale, message));
        }
        self.stale = stale;
        match (self.unread, seen.unread_bans()) {
            (false, Some(why)) => {
                let message = format!(
                    "bans that are not read are not enforced; workers that need its word are denied in prod and edge once the \
                     last whole list is older than `registry.max_stale`: it {why}"
                );
                hall.alert(Raised::of_hall(AlertKind::BansUnread, message));
            }
            (true, None) => tracing::info!("the registry's ban list is read whole again"),
            _ => {}
        }
        self.unread = seen.unread_bans().is_some();
    }

    fn after_clock(&mut self, hall: &Hall, wall: i64, steady: Instant) {
        let passed = i64::try_from(steady.duration_since(self.clocks.1).as_micros()).unwrap_or(i64::MAX);
        let jumped = wall.saturating_sub(self.clocks.0).saturating_sub(passed);
        self.clocks = (wall, steady);
        if jumped.saturating_abs() >= JUMP {
            let seconds = jumped / 1_000_000;
            let message = format!("by {seconds} s; times in the ledger go on rising, but are not those of the clock");
            hall.alert(Raised::of_hall(AlertKind::ClockJump, message));
        }
    }

    /// Each is told of once; after a start, what still waits is told of again.
    fn after_approvals(&mut self, hall: &Hall, wall: i64) {
        let late = hall.unanswered_approvals(wall);
        for approval in late.iter().filter(|approval| !self.unanswered.contains(&approval.id)) {
            let asked = &approval.asked;
            let waited = wall.saturating_sub(approval.opened_at_micros) / 1_000_000;
            hall.alert(Raised {
                kind: AlertKind::ApprovalUnanswered,
                message: format!(
                    "somebody of the level {} has been asked for {waited} s; see `hallgate approvals show {}`",
                    asked.level, approval.id
                ),
                tenant: Some(Arc::clone(&asked.tenant)).filter(|tenant| !tenant.is_empty()),
                worker: asked.worker.clone(),
                capability: Some(Arc::clone(&asked.capability)),
            });
        }
        self.unanswered = late.into_iter().map(|approval| approval.id).collect();
    }

    /// Only enrolled workers: callers can make up names without end.
    fn after_workers(&mut self, hall: &Hall, wall: i64, steady: Instant) {
        let (today, snapshot) = (hall.recent.today(wall), hall.snapshot());
        let begins = self.denied.is_none();
        let all = self.denied.get_or_insert_default();
        all.retain(|of, _| today.contains_key(of));
        for (of, counts) in today {
            let counts = counts.within(None);
            if !snapshot.workers.contains_key(&*of.1) {
                continue;
            }
            let at_first = if begins { counts.denials } else { 0 };
            let denied = all.entry(of.clone()).or_insert(Denied { since: steady, at_first });
            // A new day counts anew.
            denied.at_first = denied.at_first.min(counts.denials);
            let since = counts.denials - denied.at_first;
            let over = steady.duration_since(denied.since) >= WINDOW;
            if since >= DENIALS {
                let (tenant, worker) = of;
                hall.alert(Raised {
                    kind: AlertKind::RepeatedDenials,
                    message: format!("`{worker}` was denied {since} times within a minute"),
                    tenant: Some(tenant).filter(|tenant| !tenant.is_empty()),
                    worker: Some(worker),
                    capability: None,
                });
            }
            if since >= DENIALS || over {
                *denied = Denied { since: steady, at_first: counts.denials };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hall::tests::hall;

    #[test]
    fn a_clock_that_jumps_is_an_alert_and_one_that_is_slewed_is_not() {
        let (hall, _folder) = hall();
        let mut looks = Looks::begin();
        let (wall, steady) = looks.clocks;
        let mut look = |wall: i64, after: u64| {
            looks.after_clock(&hall, wall, steady + Duration::from_secs(after));
            hall.alerts(&crate::engine::Binding::default()).first().map_or(0, |alert| alert.count)
        };
        assert_eq!(look(wall + 1_000_500, 1), 0, "half a millisecond in a second");
        // A process that was stopped for an hour has lost nothing.
        assert_eq!(look(wall + 3_601_000_000, 3_601), 0);
        assert_eq!(look(wall + 3_602_000_000 + 3_600_000_000, 3_602), 1, "an hour ahead");
        assert_eq!(look(wall + 3_603_000_000, 3_603), 2, "and back");
    }
}
