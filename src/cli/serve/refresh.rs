//! Asks the remote registry again and again, away from the path of requests, and has the hall heed what it says.
//!
//! A round asks for the ban list and for every enrolled worker. It ends early where going on is of no use: when the registry limits
//! the rate or does not answer three times in a row. Workers that are newly enrolled are asked for at once. What is heard is heeded at the
//! end of a round and every second of a long one; what is too old to count ceases to count at that moment, also within a round.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::sleep_until;

use crate::hall::{Hall, RemoteRegistry};
use crate::ids::WorkerId;
use crate::registry::remote::{Account, Failure, Knowledge, Moment, RefreshSchedule, RegistryView, Settings};
use crate::telemetry::RefreshLabels;
use crate::telemetry::threads::{self, Thread};

/// How many workers are asked for at once.
const AT_ONCE: usize = 4;
/// After so many failures in a row a round ends.
const ENOUGH: usize = 3;
/// How often what is heard is heeded in a long round, and how soon it is tried again when it could not be recorded.
const HEED: Duration = Duration::from_secs(1);
/// How long its end is waited for.
const END: Duration = Duration::from_secs(3);

/// Keeps asking. Dropped, it stops.
#[derive(Debug)]
pub struct Refresher {
    end: watch::Sender<bool>,
    thread: Option<Thread>,
}

impl Refresher {
    /// Begins to ask the registry of this hall, if it has one.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn start(settings: &Settings, require_standing: bool, hall: Arc<Hall>) -> std::io::Result<Self> {
        let (end, mut ended) = watch::channel(false);
        let mut runtime = Some(Builder::new_current_thread().enable_all().build()?);
        let mut asking = Asking {
            hall,
            require_standing,
            settings: settings.clone(),
            known: Knowledge::new(settings.required, settings.max_stale),
            pace: RefreshSchedule::new(settings.refresh),
            state: State::default(),
        };
        // After a panic, a mistake of ours, what is known is kept, and so grows old.
        let run = move || {
            let until_ended = async {
                tokio::select! {
                    _ = ended.wait_for(|end| *end) => {}
                    () = asking.run() => {}
                }
            };
            if let Some(runtime) = &runtime {
                runtime.block_on(until_ended);
            }
            // A name that is being looked up cannot be interrupted, and is not waited for.
            runtime.take().into_iter().for_each(Runtime::shutdown_background);
        };
        let thread = threads::start("registry", run)?;
        Ok(Self { end, thread: Some(thread) })
    }
}

impl Drop for Refresher {
    fn drop(&mut self) {
        self.end.send_replace(true);
        if let Some(thread) = self.thread.take() {
            thread.join(END);
        }
    }
}

struct Asking {
    hall: Arc<Hall>,
    settings: Settings,
    require_standing: bool,
    known: Knowledge,
    pace: RefreshSchedule,
    state: State,
}

/// How the asking stands.
#[derive(Default)]
struct State {
    /// When it last gave an answer.
    answered: Option<Moment>,
    /// Why the last round did not get all answers.
    failure: Option<Failure>,
    /// When the round began to which the last answers belong.
    round_began: Option<Instant>,
    /// Whether a first round is over.
    asked: bool,
    account: Option<Account>,
    /// Dispatches could not be reported.
    unreported: bool,
    /// What is heard could not be recorded, and is not in force.
    unheeded: bool,
}

/// One of the answers of a round.
type Answer<T> = (Moment, Result<T, Failure>);

impl Asking {
    async fn run(&mut self) {
        let hall = Arc::clone(&self.hall);
        let Some(remote_registry) = hall.remote_registry() else { return };
        let mut next = Instant::now();
        loop {
            self.heed(remote_registry).await;
            let now = Instant::now();
            let mut wake = next;
            wake = self.known.next_change(now).map_or(wake, |change| wake.min(change));
            wake = if self.state.unheeded { wake.min(now + HEED) } else { wake };
            tokio::select! {
                () = sleep_until(wake.into()) => {}
                () = remote_registry.changed() => {
                    // Others may be enrolled: not before the registry wants to be asked, and then in the next round.
                    if self.pace.limited_until(Instant::now()).is_none()
                        && let Some(failure) = self.ask_for_workers(remote_registry, None).await
                    {
                        next = next.max(self.pace.next(Instant::now(), Some(&failure)));
                        self.note(Some(failure));
                    }
                }
            }
            if Instant::now() >= next {
                next = self.round(remote_registry).await;
            }
        }
    }

    /// One round; gives when the next begins.
    async fn round(&mut self, remote_registry: &RemoteRegistry) -> Instant {
        let began = Instant::now();
        // When only some of a round failed, what was answered is not asked for again before it is time for another.
        let since = match self.state.round_began {
            Some(round) if self.state.failure.is_some() && began < round + self.settings.refresh => round,
            _ => began,
        };
        self.state.round_began = Some(since);
        let since = Some(since);
        let mut failure = self.ask_for_bans(remote_registry, since).await.err();
        if !failure.as_ref().is_some_and(ends_a_round) {
            failure = self.ask_for_workers(remote_registry, since).await.or(failure);
        }
        if self.require_standing && !failure.as_ref().is_some_and(ends_a_round) {
            failure = self.ask_for_account(remote_registry).await.err().or(failure);
        }
        if !failure.as_ref().is_some_and(ends_a_round) {
            // Decisions do not depend on it: only a limit of the rate counts for the round.
            failure = self.report(remote_registry).await.err().filter(ends_a_round).or(failure);
        }
        let result = failure.as_ref().map_or("ok", Failure::as_str);
        self.hall.metrics().registry_refreshes.get_or_create(&RefreshLabels { result }).inc();
        // A refresh is from beginning to beginning.
        let from = if failure.is_none() { self.state.round_began } else { None };
        let next = self.pace.next(from.unwrap_or_else(Instant::now), failure.as_ref());
        self.state.asked = true;
        self.note(failure);
        next
    }

    async fn ask_for_bans(&mut self, remote_registry: &RemoteRegistry, since: Option<Instant>) -> Result<(), Failure> {
        let known = self.known.bans().map(|(_, asked)| asked.instant);
        if known.zip(since).is_some_and(|(known, since)| known >= since) {
            return Ok(());
        }
        let asked = Moment::now();
        let answer =
            self.meanwhile(remote_registry, async move { (asked, remote_registry.client.ban_list().await) }).await;
        let list = self.answered(answer)?;
        // Any other failure behind the first page is told as what it costs, and tried again in the next round.
        let limited = list.unread.clone().filter(ends_a_round);
        self.known.hear_bans(list, asked);
        limited.map_or(Ok(()), Err)
    }

    async fn ask_for_account(&mut self, remote_registry: &RemoteRegistry) -> Result<(), Failure> {
        let answer =
            self.meanwhile(remote_registry, async { (Moment::now(), remote_registry.client.account().await) }).await;
        let account = self.answered(answer)?;
        self.hall.heed_account(&account).await;
        self.state.account = Some(account);
        Ok(())
    }

    /// Asks for the workers of which nothing was heard since then. Gives what failed.
    async fn ask_for_workers(&mut self, remote_registry: &RemoteRegistry, since: Option<Instant>) -> Option<Failure> {
        let enrolled: BTreeSet<WorkerId> = self.hall.snapshot().workers.keys().cloned().collect();
        let due = self.known.due(&enrolled, since);
        let client = &remote_registry.client;
        let mut answers = iter(due)
            .map(|id| async move {
                let asked = Moment::now();
                let answer = client.verify(&id).await;
                (id, (asked, answer))
            })
            .buffer_unordered(AT_ONCE);
        let (mut failure, mut in_a_row) = (None, 0);
        while let Some((id, answer)) = self.meanwhile(remote_registry, answers.next()).await {
            let asked = answer.0;
            self.known.ask(&id, asked.instant);
            match self.answered(answer) {
                Ok(verified) => {
                    in_a_row = 0;
                    self.known.hear(id, verified, asked);
                }
                Err(why) => {
                    in_a_row += 1;
                    let ends = ends_a_round(&why) || in_a_row >= ENOUGH;
                    failure = Some(why);
                    if ends {
                        break;
                    }
                }
            }
        }
        failure
    }

    /// Reports dispatches. What could not be reported is kept.
    async fn report(&mut self, remote_registry: &RemoteRegistry) -> Result<(), Failure> {
        let counts = remote_registry.take_counts();
        if counts.is_empty() {
            return Ok(());
        }
        let reported = self.meanwhile(remote_registry, remote_registry.client.report(&counts)).await;
        if let Err(why) = &reported {
            remote_registry.keep_counts(counts);
            if !self.state.unreported {
                tracing::warn!(%why, "the registry does not take the counts of dispatches: they are kept");
            }
        }
        self.state.unreported = reported.is_err();
        reported
    }

    /// Waits for something and heeds what is heard meanwhile.
    async fn meanwhile<T>(&mut self, remote_registry: &RemoteRegistry, waited_for: impl Future<Output = T>) -> T {
        let mut waited_for = std::pin::pin!(waited_for);
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + HEED, HEED);
        loop {
            tokio::select! {
                value = &mut waited_for => return value,
                _ = tick.tick() => self.heed(remote_registry).await,
            }
        }
    }

    fn answered<T>(&mut self, (asked, answer): Answer<T>) -> Result<T, Failure> {
        if answer.is_ok() {
            self.state.answered = Some(asked);
        }
        answer
    }

    /// Has the hall heed what counts now, and shows what is known.
    async fn heed(&mut self, remote_registry: &RemoteRegistry) {
        let now = Instant::now();
        match self.hall.heed(remote_registry.client.url(), self.known.overlay(now)).await {
            Ok(_) => self.state.unheeded = false,
            Err(error) => {
                if !self.state.unheeded {
                    tracing::error!(%error, "what the registry says is not in force, since it cannot be recorded: it is tried again");
                }
                self.state.unheeded = true;
            }
        }
        let State { answered, failure, asked, account, .. } = &self.state;
        let limited_until = self.pace.limited_until(now).map(|until| {
            let wait = until.saturating_duration_since(now);
            let micros = Moment::now().micros.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX));
            Moment { instant: until, micros }
        });
        remote_registry.see(RegistryView {
            workers: self.known.workers().clone(),
            bans: self.known.bans().cloned(),
            bans_whole: self.known.bans_whole(),
            max_stale: self.settings.max_stale,
            answered: *answered,
            failure: failure.clone(),
            limited_until,
            asked: *asked,
            account: account.clone(),
        });
    }

    /// Says it when asking begins to fail, and when it ceases to.
    fn note(&mut self, failure: Option<Failure>) {
        match (&self.state.failure, &failure) {
            (None, Some(why)) => {
                let max_stale = self.settings.max_stale;
                tracing::warn!(%why, ?max_stale, "the registry does not give all answers: the last ones count until they are too old");
            }
            (Some(_), None) => tracing::info!("the registry gives all answers again"),
            (Some(before), Some(why)) if before.as_str() != why.as_str() => {
                tracing::warn!(%why, "the registry still does not give all answers")
            }
            _ => {}
        }
        self.state.failure = failure;
    }
}

/// Whether going on with a round is of no use.
const fn ends_a_round(failure: &Failure) -> bool {
    matches!(failure, Failure::RateLimited(_))
}
