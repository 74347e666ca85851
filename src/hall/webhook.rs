//! The webhook: a thread of its own posts alerts, and what waits for a human, in the form that its receiver takes, with a bearer. It tries
//! again for a while, and never holds anybody up.
//!
//! An alert may come twice where an answer was lost. Of an approval somebody is told once at most, over restarts too: it counts as told
//! before it is sent, and is only sent again where it was surely not taken.

mod form;
mod notice;

use std::fmt;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderValue, Method};
use serde_json::Value;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::Hall;
use super::alerts::Told;
use crate::outbound::{HttpClient, Response, Url};
use crate::telemetry::{Metrics, NoticeLabels, threads};

pub use form::WebhookForm;
pub(super) use notice::Notice;

/// Alerts that may wait; more are dropped, and counted. Approvals wait in their book.
const WAITING: usize = 64;
/// For one attempt.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Before each further attempt.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];
/// The longest that a receiver may have us pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often it is looked what waits for a human.
const LOOK: Duration = Duration::from_millis(250);

/// Where alerts are posted.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The address: https, or http to this machine. It may hold a secret: never logged.
    pub url: String,
    /// Sent as `authorization: Bearer …`, if there is one; marked sensitive.
    pub bearer: Option<HeaderValue>,
    /// What its receiver takes.
    pub form: WebhookForm,
    /// Where a person finds this hall, without a `/` at its end: links lead there. `None`: no links.
    pub public_url: Option<Arc<str>>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = (&self.bearer, self.form, &self.public_url);
        f.debug_struct("Settings").field("but the address", &shown).finish_non_exhaustive()
    }
}

/// Posts alerts until it is dropped; what waits then is lost.
#[derive(Debug)]
pub struct Webhook {
    waiting: Sender<Told>,
    metrics: Arc<Metrics>,
}

impl Webhook {
    /// Starts the thread that posts for a hall.
    ///
    /// # Errors
    /// There is no thread or no client for it.
    pub(super) fn start(settings: Settings, hall: &Arc<Hall>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let url = Url::parse(&settings.url).map_err(io::Error::other)?;
        let client = HttpClient::to(&url, ATTEMPT, None).map_err(io::Error::other)?;
        let (waiting, coming) = channel(WAITING);
        let metrics = Arc::clone(&hall.metrics);
        let hall = Arc::downgrade(hall);
        let mut post = Post { client, url, settings, metrics: Arc::clone(&metrics), coming, hall };
        // Ends by itself when the sender is gone.
        threads::start("alert-webhook", move || runtime.block_on(post.run()))?;
        Ok(Self { waiting, metrics })
    }

    /// Has an alert posted. Never waits: when too many wait, this one is dropped.
    pub(super) fn tell(&self, told: Told) {
        if self.waiting.try_send(told).is_err() {
            self.metrics.alerts_unsent.inc();
            tracing::warn!("an alert is not posted: too many wait for the webhook");
        }
    }
}

struct Post {
    client: HttpClient,
    url: Url,
    settings: Settings,
    metrics: Arc<Metrics>,
    coming: Receiver<Told>,
    hall: Weak<Hall>,
}

/// Why a message may not have arrived. It says nothing of the address, which may hold a secret.
enum Unsent {
    /// It was not taken; how long its receiver wants to be left alone.
    NotTaken(String, Duration),
    /// Nobody knows: it was sent, and there is no answer.
    Unanswered(String),
}

impl Post {
    async fn run(&mut self) {
        loop {
            match tokio::time::timeout(LOOK, self.coming.recv()).await {
                Ok(Some(told)) => self.alert(&told).await,
                Ok(None) => return,
                Err(_) => {}
            }
            // One at a time, so that alerts come between.
            self.approval().await;
        }
    }

    async fn alert(&self, told: &Told) {
        let mut pauses = PAUSES.iter();
        while let Err(unsent) = self.once(&self.settings.form.alert(told)).await {
            let (error, after) = match unsent {
                Unsent::NotTaken(error, after) => (error, after),
                Unsent::Unanswered(error) => (error, Duration::ZERO),
            };
            let Some(pause) = pauses.next() else {
                self.metrics.alerts_unsent.inc();
                tracing::error!(error, alert = told.kind, "an alert could not be posted to the webhook");
                return;
            };
            tokio::time::sleep(after.max(*pause)).await;
        }
    }

    /// Tells of the next approval, if there is one. The hall is not held meanwhile.
    async fn approval(&self) {
        let mut only = None;
        let mut pauses = PAUSES.iter();
        loop {
            let Some(hall) = self.hall.upgrade() else { return };
            let Some(notice) = hall.next_notice(only).await else { return };
            drop(hall);
            let body = self.settings.form.notice(&notice, self.settings.public_url.as_deref());
            let (result, error) = match self.once(&body).await {
                Ok(()) => ("taken", None),
                Err(Unsent::Unanswered(error)) => ("unanswered", Some(error)),
                Err(Unsent::NotTaken(error, after)) => match pauses.next() {
                    Some(pause) => {
                        only = Some(notice.id());
                        let Some(hall) = self.hall.upgrade() else { return };
                        hall.notice_again(&notice);
                        drop(hall);
                        tokio::time::sleep(after.max(*pause)).await;
                        continue;
                    }
                    None => ("refused", Some(error)),
                },
            };
            self.metrics.approval_notices.get_or_create(&NoticeLabels { result }).inc();
            if let Some(error) = error {
                let approval = notice.id();
                tracing::error!(error, %approval, result, "nobody may have been told of what waits for a human");
            }
            return;
        }
    }

    /// One attempt.
    async fn once(&self, body: &Value) -> Result<(), Unsent> {
        let mut request = self.client.request(Method::POST, self.url.clone()).json(body);
        if let Some(bearer) = &self.settings.bearer {
            request = request.header(AUTHORIZATION, bearer.clone());
        }
        let answer = request.send().await.map_err(|error| {
            let never_left = error.is_connect() || error.is_builder();
            let error = error.without_url().to_string();
            if never_left { Unsent::NotTaken(error, Duration::ZERO) } else { Unsent::Unanswered(error) }
        })?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(Unsent::NotTaken(format!("the webhook answered {}", answer.status()), retry_after(&answer)))
    }
}

/// How long a receiver wants to be left alone, as far as we heed it.
fn retry_after(answer: &Response) -> Duration {
    let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or(0)).min(LONGEST_PAUSE)
}
