//! The remote registry: what a public registry of workers says of those that are enrolled here, and which code it bans.
//!
//! Nothing here is on a request's path: answers are fetched in the background, become [`RegistryOverlay`](crate::engine::snapshot::RegistryOverlay), and
//! are in force with the snapshot that heeds them. An answer counts for `max_stale`; what speaks against a worker counts until a later
//! answer takes it back.

mod answer;
mod client;
mod failure;
mod knowledge;
mod pace;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::engine::snapshot::Required;

pub use answer::{Account, BanList, BannedHash, Verified, Word};
pub use client::Client;
pub use failure::Failure;
pub use knowledge::{Knowledge, Moment, WorkerAnswer};
pub use pace::RefreshSchedule;

/// The `registry` section, when there is a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where it is, without a slash at the end: https, or http on a loopback address.
    pub url: Arc<str>,
    /// The `authorization` header with the key; marked sensitive, so that it is never printed.
    pub authorization: HeaderValue,
    /// How often it is asked.
    pub refresh: Duration,
    /// How long an answer counts.
    pub max_stale: Duration,
    /// For which workers it must vouch.
    pub required: Required,
}

/// What is known of the remote registry, for those who ask us.
#[derive(Debug, Clone, Default)]
pub struct RegistryView {
    /// What it last said of each enrolled worker.
    pub workers: std::collections::BTreeMap<crate::ids::WorkerId, WorkerAnswer>,
    /// The last ban list, and when it was asked for.
    pub bans: Option<(Arc<BanList>, Moment)>,
    /// When the last ban list that is whole was asked for.
    pub bans_whole: Option<Moment>,
    /// How long an answer counts.
    pub max_stale: Duration,
    /// When it last gave an answer.
    pub answered: Option<Moment>,
    /// Why the last round did not get all answers.
    pub failure: Option<Failure>,
    /// Until when it asked not to be asked.
    pub limited_until: Option<Moment>,
    /// Whether a first round is over, however it went.
    pub asked: bool,
    /// The account's last standing.
    pub account: Option<Account>,
}

impl RegistryView {
    /// Why the last ban list could not be read whole.
    #[must_use]
    pub fn unread_bans(&self) -> Option<&Failure> {
        self.bans.as_ref().and_then(|(list, _)| list.unread.as_ref())
    }
}
