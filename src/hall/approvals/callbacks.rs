//! Callbacks: whoever asked is told that it is decided, and asks again. What they are told is no verdict.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use serde::Serialize;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::approvals::callback::{not_listed, origin_of};
use crate::approvals::{Approval, CallbackKey, CallbackPrefix, CallbackSettings, DueCallback, NotCallable};
use crate::clock::{now_micros, timestamp};
use crate::hall::Hall;
use crate::hall::courier::{Courier, Letters, NotDelivered};
use crate::ids::Digest;
use crate::outbound::{self, HttpClient, Lookup, SystemLookup, Url};
use crate::telemetry::{CallbackLabels, Metrics};

/// Callbacks that may wait for the courier; more wait in the book.
const WAITING: usize = 256;
/// Callbacks of which one attempt has failed, or is under way.
const UNDER_WAY: usize = 4096;
/// Before each further attempt: a flow may not wait yet, or its server starts again.
const PAUSES: &[Duration] = &[
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
];
/// For one attempt, from the look-up to the head of the answer.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Attempts at once at what one prefix covers: who is slow holds up nobody else.
const AT_ONE: usize = 4;
/// How long the end of the courier is waited for. What is under way then is made again by the next process.
const END: Duration = Duration::from_secs(1);

/// What is posted.
#[derive(Debug, Serialize)]
struct Message<'a> {
    pending_approval_id: Uuid,
    /// What has become of it, for whoever reads along. A flow asks again and branches on that.
    resolution: &'static str,
    correlation_id: &'a str,
    digest: Digest,
    expires_at: String,
}

/// Who calls back.
#[derive(Debug, Default)]
pub(super) struct Callbacks {
    settings: Option<Arc<CallbackSettings>>,
    /// What receivers know us by now; there where somebody may be called.
    key: Option<Arc<ArcSwap<CallbackKey>>>,
    courier: Mutex<Option<Courier<DueCallback>>>,
}

impl Callbacks {
    /// Starts the thread, where anybody may be called.
    ///
    /// # Errors
    /// There is no thread or no client for it.
    pub(super) fn start(settings: Option<CallbackSettings>, metrics: &Arc<Metrics>) -> io::Result<Self> {
        let Some(settings) = settings.map(Arc::new) else { return Ok(Self::default()) };
        let calls = Calls::new(Arc::clone(&settings), Arc::clone(metrics), &(Arc::new(SystemLookup) as _))?;
        let key = Some(Arc::clone(&calls.key));
        let courier = Courier::start("approval-callbacks", WAITING, calls)?;
        Ok(Self { settings: Some(settings), key, courier: Mutex::new(Some(courier)) })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Courier<DueCallback>>> {
        self.courier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a URL may be called.
    fn check(&self, url: &str) -> Result<(), NotCallable> {
        match &self.settings {
            Some(settings) => settings.prefix_of(url).map(drop),
            None => Err(not_listed(&origin_of(url)?)),
        }
    }

    /// Ends the thread.
    pub(super) fn end(&self) {
        let courier = self.lock().take();
        if let Some(courier) = courier {
            courier.end(END);
        }
    }
}

impl Hall {
    /// Whether whoever asks may be told at this URL that a human has decided.
    ///
    /// # Errors
    /// They may not; why.
    pub fn may_call_back(&self, url: &str) -> Result<(), NotCallable> {
        let checked = self.approvals.get().map_or(Ok(()), |approvals| approvals.callbacks.check(url));
        checked.inspect_err(|_| count(&self.metrics, "refused"))
    }

    /// Has callbacks signed with this key from the next attempt on, where somebody may be called. Whether it is another one.
    pub fn sign_callbacks_with(&self, key: &CallbackKey) -> bool {
        let Some(ours) = self.approvals.get().and_then(|approvals| approvals.callbacks.key.as_ref()) else {
            return false;
        };
        if **ours.load() == *key {
            return false;
        }
        ours.store(Arc::new(key.clone()));
        true
    }

    /// Hands over what is due.
    pub(super) fn call_back(&self) {
        let Some(approvals) = self.approvals.get() else { return };
        for due in approvals.book.due_callbacks(WAITING) {
            match &*approvals.callbacks.lock() {
                // What does not fit is due again.
                Some(courier) => drop(courier.hand_over(due)),
                // An earlier process might call it, and this one may not.
                None => {
                    refused(&self.metrics, due.id(), "", "nobody may be called any more");
                    due.done();
                }
            }
        }
    }
}

/// How callbacks are made.
struct Calls {
    settings: Arc<CallbackSettings>,
    key: Arc<ArcSwap<CallbackKey>>,
    /// For each prefix.
    ways: Vec<(HttpClient, Semaphore)>,
    metrics: Arc<Metrics>,
}

impl Calls {
    fn new(settings: Arc<CallbackSettings>, metrics: Arc<Metrics>, lookup: &Arc<dyn Lookup>) -> io::Result<Self> {
        let way = |prefix: &CallbackPrefix| {
            let client = HttpClient::reaching(prefix.reach, prefix.is_tls(), ATTEMPT, Arc::clone(lookup));
            client.map(|client| (client, Semaphore::new(AT_ONE))).map_err(io::Error::other)
        };
        let ways = settings.prefixes.iter().map(way).collect::<io::Result<_>>()?;
        let key = Arc::new(ArcSwap::from_pointee(settings.key.clone()));
        Ok(Self { settings, key, ways, metrics })
    }

    /// One attempt to say what is in force now.
    async fn attempt(&self, due: &DueCallback) -> Result<(), NotDelivered> {
        let text = &due.callback().url;
        let refused = |why: &dyn std::fmt::Display| NotDelivered::Refused(format!("it {why}"));
        // An earlier process may have taken it whose configuration was another.
        let prefix = self.settings.prefix_of(text).map_err(|why| refused(&why.is))?;
        let url = Url::parse(text).map_err(|error| refused(&error))?;
        let (client, places) = self.ways.get(prefix).ok_or_else(|| refused(&"has no client"))?;
        let _place = places.acquire().await;
        let approval = due.approval().ok_or_else(|| NotDelivered::ForGood("the approval is forgotten".to_owned()))?;
        let body = message(&approval, &due.callback().correlation_id);
        let seconds = (now_micros() / 1_000_000).to_string();
        let signature = self.key.load().signature(&seconds, &body);
        let request = client.request(Method::POST, url).header(CONTENT_TYPE, "application/json");
        let request = request.header("wcp-callback-timestamp", seconds).header("wcp-callback-signature", signature);
        // The body of the answer is nobody's: it is not read.
        match request.body(body).send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) if answer.status() == StatusCode::GONE => {
                Err(NotDelivered::ForGood("it answered 410".to_owned()))
            }
            Ok(answer) => {
                Err(NotDelivered::ForNow(format!("it answered {}", answer.status().as_u16()), Duration::ZERO))
            }
            Err(error) if outbound::was_out_of_reach(&error) => {
                Err(NotDelivered::Refused(outbound::OutOfReach.to_string()))
            }
            Err(error) => Err(NotDelivered::ForNow(error.without_url().to_string(), Duration::ZERO)),
        }
    }
}

impl Letters for Calls {
    type Letter = DueCallback;
    const PAUSES: &[Duration] = PAUSES;
    const AT_ONCE: usize = UNDER_WAY;

    async fn once(&self, due: &DueCallback) -> Result<(), NotDelivered> {
        let tried = self.attempt(due).await;
        tried.inspect_err(|_| count(&self.metrics, "failed"))
    }

    fn ended(&self, due: DueCallback, result: Result<(), NotDelivered>) {
        let (approval, to) = (due.id(), origin_of(&due.callback().url).unwrap_or_default());
        match &result {
            Ok(()) => {
                count(&self.metrics, "delivered");
                tracing::info!(%approval, to, "whoever asked knows that it is decided");
            }
            Err(NotDelivered::Refused(why)) => refused(&self.metrics, approval, &to, why),
            Err(NotDelivered::ForNow(why, _) | NotDelivered::ForGood(why)) => {
                count(&self.metrics, "given_up");
                tracing::warn!(%approval, to, why, "whoever asked is not told that it is decided: it could not be called");
            }
        }
        due.done();
    }
}

fn count(metrics: &Metrics, result: &'static str) {
    metrics.callbacks.get_or_create(&CallbackLabels { result }).inc();
}

fn refused(metrics: &Metrics, approval: Uuid, to: &str, why: &str) {
    count(metrics, "refused");
    tracing::warn!(%approval, to, why, "whoever asked is not told that it is decided: its callback is not allowed");
}

fn message(approval: &Approval, correlation_id: &str) -> Vec<u8> {
    let message = Message {
        pending_approval_id: approval.id,
        resolution: approval.state.as_str(),
        correlation_id,
        digest: approval.asked.digest,
        expires_at: timestamp(approval.expires_at_micros),
    };
    // Texts and numbers: it can be written.
    serde_json::to_vec(&message).unwrap_or_default()
}

#[cfg(test)]
#[path = "callbacks/tests.rs"]
mod tests;
