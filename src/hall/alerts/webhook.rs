//! The webhook: a thread of its own posts each alert as JSON, with a bearer, tries again for a while, and never holds anybody up.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Method};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::Told;
use crate::outbound::{HttpClient, Url};
use crate::telemetry::{Metrics, threads};

/// Alerts that may wait; more are dropped, and counted.
const WAITING: usize = 64;
/// For one attempt.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Before each further attempt.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];

/// Where alerts are posted.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The address: https, or http to this machine. It may hold a secret: never logged.
    pub url: String,
    /// Sent as `authorization: Bearer …`, if there is one; marked sensitive.
    pub bearer: Option<HeaderValue>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("bearer", &self.bearer).finish_non_exhaustive()
    }
}

/// Posts alerts until it is dropped; what waits then is lost.
#[derive(Debug)]
pub struct Webhook {
    waiting: Sender<Told>,
    metrics: Arc<Metrics>,
}

impl Webhook {
    /// Starts the thread that posts.
    ///
    /// # Errors
    /// There is no thread or no client for it.
    pub fn start(settings: Settings, metrics: Arc<Metrics>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let url = Url::parse(&settings.url).map_err(io::Error::other)?;
        let client = HttpClient::to(&url, ATTEMPT, None).map_err(io::Error::other)?;
        let (waiting, coming) = channel(WAITING);
        let mut post = Post { client, url, bearer: settings.bearer, metrics: Arc::clone(&metrics), coming };
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
    bearer: Option<HeaderValue>,
    metrics: Arc<Metrics>,
    coming: Receiver<Told>,
}

impl Post {
    async fn run(&mut self) {
        while let Some(told) = self.coming.recv().await {
            let mut pauses = PAUSES.iter();
            while let Err(error) = self.once(&told).await {
                let Some(pause) = pauses.next() else {
                    self.metrics.alerts_unsent.inc();
                    tracing::error!(error, alert = told.kind, "an alert could not be posted to the webhook");
                    break;
                };
                tokio::time::sleep(*pause).await;
            }
        }
    }

    /// One attempt. The error says nothing of the address, which may hold a secret.
    async fn once(&self, told: &Told) -> Result<(), String> {
        let mut request = self.client.request(Method::POST, self.url.clone()).json(told);
        if let Some(bearer) = &self.bearer {
            request = request.header(AUTHORIZATION, bearer.clone());
        }
        let answer = request.send().await.map_err(|error| error.without_url().to_string())?;
        if answer.status().is_success() { Ok(()) } else { Err(format!("the webhook answered {}", answer.status())) }
    }
}
