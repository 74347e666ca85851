//! Online and offline: whether this hall decides at all. An operator switches it; where the configuration says so, the account's
//! standing with the remote registry does, too.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::activation::{self, Turn};
use super::{CannotDecide, Hall};
use crate::ids::TokenName;
use crate::ledger::{Door, Record, RecordError, StatusChange};
use crate::registry::remote::{Account, Failure};
use crate::telemetry::RefusalLabels;

/// The only standing with which a hall goes online.
const GOOD: &str = "ok";

/// What the ledger says of an account of which nothing was heard for too long.
const UNHEARD: &str = "not heard";

/// What was last heard of the account.
#[derive(Debug)]
pub(super) struct AccountState {
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    /// How often something was heard: who asked before knows whether what is newer was heard meanwhile.
    times: u64,
    account: Option<Account>,
    at: Instant,
}

impl Default for AccountState {
    fn default() -> Self {
        Self { last: Mutex::new(Last { times: 0, account: None, at: Instant::now() }) }
    }
}

impl AccountState {
    fn lock(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often something was heard.
    pub(super) fn times(&self) -> u64 {
        self.lock().times
    }

    /// Whether the last that was heard is older than this.
    fn is_older(&self, than: Duration) -> bool {
        self.lock().at.elapsed() > than
    }
}

/// Why a hall does not go online.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOnline {
    /// The account's standing is another than `ok`.
    #[error("the account's standing is `{}`, and only `ok` may go online", .0.standing)]
    Standing(Account),
    /// The standing could not be asked for.
    #[error("the registry {0}")]
    Registry(Failure),
    /// The change could not be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Hall {
    /// Whether this hall decides.
    #[must_use]
    pub fn is_online(&self) -> bool {
        !self.switched_off.load(Ordering::Acquire)
            && self.in_good_standing.load(Ordering::Acquire)
            && !self.standing_is_stale()
    }

    /// Whether the account's standing matters, and was not heard of for longer than what a registry says may count.
    pub(super) fn standing_is_stale(&self) -> bool {
        let counts_for = self.remote_registry.as_ref().and_then(|remote_registry| remote_registry.standing_counts_for);
        counts_for.is_some_and(|counts_for| self.heard.is_older(counts_for))
    }

    /// Nothing is decided offline.
    pub(super) fn require_online(&self, door: Door) -> Result<(), CannotDecide> {
        if self.is_online() {
            return Ok(());
        }
        let labels = RefusalLabels { door: door.as_str(), code: CannotDecide::Offline.code().as_str() };
        self.metrics.refusals.get_or_create(&labels).inc();
        Err(CannotDecide::Offline)
    }

    /// Goes online, if the account's standing is `ok`; without a remote registry there is no account to ask about. Gives the
    /// account. Dropping the future cancels nothing once the account is asked.
    ///
    /// # Errors
    /// The standing is another, or could not be asked for, or the change could not be recorded: it stays as it was.
    pub async fn go_online(self: &Arc<Self>, token: TokenName) -> Result<Option<Account>, NotOnline> {
        let heard = self.heard.times();
        let account = match &self.remote_registry {
            Some(remote_registry) => Some(remote_registry.client.account().await.map_err(NotOnline::Registry)?),
            None => None,
        };
        if let Some(account) = account.as_ref().filter(|account| account.standing != GOOD) {
            return Err(NotOnline::Standing(account.clone()));
        }
        self.switch(true, token, account.clone(), heard).await?;
        Ok(account)
    }

    /// Goes offline: from now on every request is answered 503. Dropping the future cancels nothing.
    ///
    /// # Errors
    /// The change could not be recorded: it stays as it was. Or that takes too long: then it counts once it is on record.
    pub async fn go_offline(self: &Arc<Self>, token: TokenName) -> Result<(), RecordError> {
        let switched = self.switch(false, token, None, 0).await;
        switched.map_err(|why| match why {
            NotOnline::Record(why) => why,
            NotOnline::Standing(_) | NotOnline::Registry(_) => RecordError::Closed,
        })
    }

    pub(super) async fn switch(
        self: &Arc<Self>,
        online: bool,
        token: TokenName,
        account: Option<Account>,
        heard: u64,
    ) -> Result<(), NotOnline> {
        let turn = self.activation.turn_in_time().await?;
        let hall = Arc::clone(self);
        activation::make_in_time(async move { hall.switch_in_turn(&turn, online, token, account, heard).await }).await?
    }

    async fn switch_in_turn(
        &self,
        _: &Turn,
        online: bool,
        token: TokenName,
        account: Option<Account>,
        heard: u64,
    ) -> Result<(), NotOnline> {
        let account_standing = account.as_ref().map(|account| Arc::from(account.standing.as_str()));
        if online {
            drop(self.nothing_newer_heard(heard)?);
        }
        let change = StatusChange::Hall { online, token: token.clone(), account_standing };
        self.ledger.record_change(Record::Status(change)).await?;
        self.switched_off.store(!online, Ordering::Release);
        tracing::warn!(online, token = token.as_str(), "the hall is switched");
        if online {
            // Its account was asked, and said so in the entry.
            self.good_standing_on_record.store(true, Ordering::Relaxed);
            let mut last = self.nothing_newer_heard(heard)?;
            self.in_good_standing.store(true, Ordering::Release);
            *last = Last { times: last.times, account, at: Instant::now() };
        }
        Ok(())
    }

    /// That nothing bad was heard of the account since it was asked. To be held while its standing is put in force.
    fn nothing_newer_heard(&self, since: u64) -> Result<MutexGuard<'_, Last>, NotOnline> {
        let last = self.heard.lock();
        match &last.account {
            Some(account) if last.times != since && account.standing != GOOD => {
                Err(NotOnline::Standing(account.clone()))
            }
            _ => Ok(last),
        }
    }

    /// Heeds the account's standing, where the configuration demands a good one: offline at once, online once that is on record.
    /// Dropping the future cancels nothing.
    pub async fn heed_account(self: &Arc<Self>, account: &Account) {
        let good = account.standing == GOOD || !self.standing_matters();
        let times = {
            let mut last = self.heard.lock();
            *last = Last { times: last.times + 1, account: Some(account.clone()), at: Instant::now() };
            if !good {
                self.in_good_standing.store(false, Ordering::Release);
            }
            last.times
        };
        let (hall, standing, turn) = (Arc::clone(self), account.standing.clone(), self.activation.turn().await);
        // What goes wrong inside is logged there.
        let _ended = activation::make(async move { hall.heed_in_turn(&turn, good, &standing, times).await }).await;
    }

    async fn heed_in_turn(&self, _: &Turn, good: bool, standing: &str, heard: u64) {
        if self.good_standing_on_record.load(Ordering::Relaxed) != good {
            let change = StatusChange::Account { online: good, standing: Arc::from(standing) };
            let recorded = self.ledger.record_change(Record::Status(change)).await;
            if !self.standing_recorded(recorded, good, standing) {
                return;
            }
        }
        let last = self.heard.lock();
        // What is newer is heeded in its own turn.
        if last.times == heard {
            self.in_good_standing.store(good, Ordering::Release);
        }
    }

    /// Puts on record that the hall is offline since nothing is heard of its account. It blocks this thread.
    pub(super) fn heed_silence(&self) {
        if !self.standing_is_stale() || !self.good_standing_on_record.load(Ordering::Relaxed) {
            return;
        }
        let _turn = self.activation.turn_blocking();
        if self.standing_is_stale() {
            let change = StatusChange::Account { online: false, standing: Arc::from(UNHEARD) };
            let recorded = self.ledger.record_change_blocking(Record::Status(change));
            self.standing_recorded(recorded, false, UNHEARD);
        }
    }

    /// Notes that a standing is on record, if it is.
    fn standing_recorded<T>(&self, recorded: Result<T, RecordError>, good: bool, standing: &str) -> bool {
        match recorded {
            Ok(_) => {
                self.good_standing_on_record.store(good, Ordering::Relaxed);
                tracing::warn!(standing, online = good, "the account's standing has changed");
                true
            }
            Err(error) => {
                // With the next answer of the registry it is tried again.
                tracing::warn!(%error, standing, "a change of the account's standing cannot be recorded");
                false
            }
        }
    }

    fn standing_matters(&self) -> bool {
        self.remote_registry.as_ref().is_some_and(|remote_registry| remote_registry.standing_counts_for.is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;
    use crate::hall::tests::{hall, remote_registry};

    fn account(standing: &str) -> Account {
        Account { standing: standing.to_owned(), tier_id: None }
    }

    #[tokio::test]
    async fn a_bad_standing_counts_at_once_and_a_good_one_once_it_is_on_record() {
        let (hall, _folder) = hall();
        let hall = Arc::new(Arc::into_inner(hall).unwrap().asking(remote_registry(true)));
        assert!(!hall.is_online(), "nothing is known of the account yet");
        hall.heed_account(&account(GOOD)).await;
        assert!(hall.is_online());

        let turn = hall.activation.turn().await;
        let bad = account("suspended");
        let mut heeding = pin!(hall.heed_account(&bad));
        assert!(futures_util::poll!(heeding.as_mut()).is_pending(), "something else changes");
        assert!(!hall.is_online());
        drop(turn);
        heeding.await;
        assert!(!hall.is_online());

        hall.ledger.close();
        hall.heed_account(&account(GOOD)).await;
        assert!(!hall.is_online(), "it is not on record");
    }
}
