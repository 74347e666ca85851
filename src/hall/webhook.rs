//! The webhook: a courier posts alerts, and what waits for a human, in the form that its receiver takes, with a bearer. It tries again for a
//! while, and never holds anybody up: no alert waits behind a notice, nor behind another alert that is tried again.
//!
//! An alert may come twice where an answer was lost. Of an approval somebody is told once at most, over restarts too: it counts as told
//! before it is sent, and is only sent again where it was surely not taken.

mod form;
mod notice;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderValue, Method};
use serde_json::Value;
use uuid::Uuid;

use super::Hall;
use super::alerts::Told;
use super::courier::{Courier, Letters, NotDelivered};
use crate::outbound::{HttpClient, Response, Url};
use crate::telemetry::{Metrics, NoticeLabels};

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
/// Alerts that are under way at once; beside them one notice.
const ALERTS: usize = 4;

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

/// Posts alerts and notices until it is dropped; what waits then is lost, but for what its book has.
#[derive(Debug)]
pub struct Webhook {
    courier: Courier<Post>,
    /// Whether somebody is being told of an approval: of one after the other, the oldest first.
    is_telling: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
}

/// The one place of a notice, given back when it is dropped.
#[derive(Debug)]
pub(super) struct NoticePlace(Arc<AtomicBool>);

/// What is posted.
#[derive(Debug)]
pub(super) enum Post {
    /// Something happened.
    Alert(Box<Told>),
    /// An approval waits for a human: what is told of it is looked up at each attempt.
    Notice(Uuid, NoticePlace),
}

impl Webhook {
    /// Starts the thread that posts for a hall.
    ///
    /// # Errors
    /// There is no thread or no client for it.
    pub(super) fn start(settings: Settings, hall: &Arc<Hall>) -> io::Result<Self> {
        let url = Url::parse(&settings.url).map_err(io::Error::other)?;
        let client = HttpClient::to(&url, ATTEMPT, None).map_err(io::Error::other)?;
        let metrics = Arc::clone(&hall.metrics);
        let posts = Posts { client, url, settings, metrics: Arc::clone(&metrics), hall: Arc::downgrade(hall) };
        let courier = Courier::start("alert-webhook", WAITING, posts)?;
        Ok(Self { courier, is_telling: Arc::default(), metrics })
    }

    /// Has an alert posted. Never waits: when too many wait, this one is dropped.
    pub(super) fn tell(&self, told: Told) {
        if !self.courier.hand_over(Post::Alert(Box::new(told))) {
            self.metrics.alerts_unsent.inc();
            tracing::warn!("an alert is not posted: too many wait for the webhook");
        }
    }

    /// Has somebody told of this approval, unless they are being told of one: its book has it until they are.
    pub(super) fn tell_of(&self, approval: impl FnOnce() -> Option<Uuid>) {
        if self.is_telling.swap(true, Ordering::AcqRel) {
            return;
        }
        let place = NoticePlace(Arc::clone(&self.is_telling));
        if let Some(id) = approval() {
            self.courier.hand_over(Post::Notice(id, place));
        }
    }
}

impl Drop for NoticePlace {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// How it is posted.
struct Posts {
    client: HttpClient,
    url: Url,
    settings: Settings,
    metrics: Arc<Metrics>,
    hall: Weak<Hall>,
}

/// Why a message may not have arrived. It says nothing of the address, which may hold a secret.
enum Unsent {
    /// It was not taken; how long its receiver wants to be left alone.
    NotTaken(String, Duration),
    /// Nobody knows: it was sent, and there is no answer.
    Unanswered(String),
}

impl Letters for Posts {
    type Letter = Post;
    const PAUSES: &[Duration] = &PAUSES;
    const AT_ONCE: usize = 1 + ALERTS;

    async fn once(&self, post: &Post) -> Result<(), NotDelivered> {
        match post {
            Post::Alert(told) => self.attempt(&self.settings.form.alert(told)).await.map_err(|unsent| match unsent {
                Unsent::NotTaken(why, after) => NotDelivered::ForNow(why, after),
                Unsent::Unanswered(why) => NotDelivered::ForNow(why, Duration::ZERO),
            }),
            Post::Notice(id, _) => self.notice(*id).await,
        }
    }

    fn ended(&self, post: Post, result: Result<(), NotDelivered>) {
        match post {
            Post::Alert(told) => {
                if let Err(NotDelivered::ForNow(error, _)) = result {
                    self.metrics.alerts_unsent.inc();
                    tracing::error!(error, alert = told.kind, "an alert could not be posted to the webhook");
                }
            }
            Post::Notice(approval, _place) => self.noticed(approval, result),
        }
    }
}

impl Posts {
    /// Tells of an approval, if somebody has still to be told of it. The hall is not held meanwhile.
    async fn notice(&self, id: Uuid) -> Result<(), NotDelivered> {
        let Some(hall) = self.hall.upgrade() else { return Ok(()) };
        let Some(notice) = hall.next_notice(id).await else { return Ok(()) };
        drop(hall);
        let body = self.settings.form.notice(&notice, self.settings.public_url.as_deref());
        match self.attempt(&body).await {
            Ok(()) => {
                self.count("taken");
                Ok(())
            }
            Err(Unsent::Unanswered(error)) => Err(NotDelivered::ForGood(error)),
            Err(Unsent::NotTaken(error, after)) => {
                if let Some(hall) = self.hall.upgrade() {
                    hall.notice_again(&notice);
                }
                Err(NotDelivered::ForNow(error, after))
            }
        }
    }

    /// No further attempt is made: it counts as told, whoever took it.
    fn noticed(&self, approval: Uuid, result: Result<(), NotDelivered>) {
        let (result, error) = match result {
            Ok(()) => return,
            Err(NotDelivered::ForGood(error)) => ("unanswered", error),
            Err(NotDelivered::ForNow(error, _) | NotDelivered::Refused(error)) => {
                if let Some(hall) = self.hall.upgrade() {
                    hall.notice_given_up(approval);
                }
                ("refused", error)
            }
        };
        self.count(result);
        tracing::error!(error, %approval, result, "nobody may have been told of what waits for a human");
    }

    fn count(&self, result: &'static str) {
        self.metrics.approval_notices.get_or_create(&NoticeLabels { result }).inc();
    }

    /// One attempt.
    async fn attempt(&self, body: &Value) -> Result<(), Unsent> {
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
