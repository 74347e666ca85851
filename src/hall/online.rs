//! Online and offline: whether this hall decides at all. An operator switches it; where the configuration says so, the account's
//! standing with the remote registry does, too.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{CannotDecide, Hall};
use crate::ids::TokenName;
use crate::ledger::{Door, Record, RecordError, StandingChange};
use crate::registry::remote::{Account, Failure};
use crate::telemetry::RefusalLabels;

/// The only standing with which a hall goes online.
const GOOD: &str = "ok";

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
        !self.switched_off.load(Ordering::Acquire) && self.in_good_standing.load(Ordering::Acquire)
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
    /// account.
    ///
    /// # Errors
    /// The standing is another, or could not be asked for, or the change could not be recorded: it stays as it was.
    pub async fn go_online(&self, token: TokenName) -> Result<Option<Account>, NotOnline> {
        let account = match &self.abroad {
            Some(abroad) => Some(abroad.client.account().await.map_err(NotOnline::Registry)?),
            None => None,
        };
        if let Some(account) = account.as_ref().filter(|account| account.standing != GOOD) {
            return Err(NotOnline::Standing(account.clone()));
        }
        let account_standing = account.as_ref().map(|account| Arc::from(account.standing.as_str()));
        self.switch(true, token, account_standing).await?;
        Ok(account)
    }

    /// Goes offline: from now on every request is answered 503.
    ///
    /// # Errors
    /// The change could not be recorded: it stays as it was.
    pub async fn go_offline(&self, token: TokenName) -> Result<(), RecordError> {
        self.switch(false, token, None).await
    }

    async fn switch(
        &self,
        online: bool,
        token: TokenName,
        account_standing: Option<Arc<str>>,
    ) -> Result<(), RecordError> {
        // Going offline one after the other with what else changes, so that the order of the entries is the order of events.
        let _turn = self.succession.lock().await;
        let change = StandingChange::Hall { online, token: token.clone(), account_standing };
        self.ledger.record(Record::Standing(change)).await?;
        self.switched_off.store(!online, Ordering::Release);
        if online {
            // Its account was asked.
            self.in_good_standing.store(true, Ordering::Release);
            self.good_standing_on_record.store(true, Ordering::Relaxed);
        }
        tracing::warn!(online, token = token.as_str(), "the hall is switched");
        Ok(())
    }

    /// Heeds the account's standing, where the configuration demands a good one: offline at once, online once that is on record.
    pub async fn heed_account(&self, account: &Account) {
        let required = self.abroad.as_ref().is_some_and(|abroad| abroad.require_standing);
        let good = account.standing == GOOD || !required;
        if !good {
            self.in_good_standing.store(false, Ordering::Release);
        }
        let _turn = self.succession.lock().await;
        if self.good_standing_on_record.load(Ordering::Relaxed) != good {
            let standing = Arc::from(account.standing.as_str());
            let change = StandingChange::Account { online: good, standing };
            if let Err(error) = self.ledger.record(Record::Standing(change)).await {
                // With the next answer of the registry it is tried again.
                tracing::warn!(%error, standing = account.standing, "a change of the account's standing cannot be recorded");
                return;
            }
            self.good_standing_on_record.store(good, Ordering::Relaxed);
            tracing::warn!(standing = account.standing, online = good, "the account's standing has changed");
        }
        self.in_good_standing.store(good, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;
    use crate::hall::tests::{abroad, hall};

    fn account(standing: &str) -> Account {
        Account { standing: standing.to_owned(), tier_id: None }
    }

    #[tokio::test]
    async fn a_bad_standing_counts_at_once_and_a_good_one_once_it_is_on_record() {
        let (hall, _folder) = hall();
        let hall = Arc::into_inner(hall).unwrap().asking(abroad(true));
        assert!(!hall.is_online(), "nothing is known of the account yet");
        hall.heed_account(&account(GOOD)).await;
        assert!(hall.is_online());

        let turn = hall.succession.lock().await;
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
