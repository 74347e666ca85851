//! Sends spans to the collector: a thread of its own, in batches, again for a while when it fails, and never in anybody's way.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use prost::Message as _;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::otlp::{self, OtlpResource, Request};
use super::{Settings, Span, Traces};
use crate::outbound::{self, HttpClient, Url};
use crate::telemetry::{Counter, Metrics, causes, threads};

/// Before the second attempt; twice as long before each further one.
const PAUSE: Duration = Duration::from_millis(500);
/// How long it may take to break off once that is due.
const CUT_OFF: Duration = Duration::from_secs(1);
/// A collector that is down is complained of so often.
const COMPLAINT: Duration = Duration::from_secs(60);
/// The longest answer of a collector that is read.
const LONGEST_ANSWER: usize = 64 << 10;
/// The most characters of why a collector was not reached.
const LONGEST_WHY: usize = 300;

/// Sends what is traced until it is ended.
#[derive(Debug)]
pub struct Exporter {
    end: watch::Sender<Option<Instant>>,
    thread: Option<threads::Thread>,
}

impl Exporter {
    /// Starts to send, and gives what begins spans. The process's TLS provider must have been chosen.
    ///
    /// # Errors
    /// There is no thread or no client for it.
    pub fn start(settings: Settings, metrics: &Metrics) -> Result<(Traces, Self), String> {
        let client = client(&settings)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("traces: no thread can be started: {error}"))?;
        let (ended, waiting) = channel(settings.queue);
        let traces = Traces { sampler: settings.sampler, ended, dropped: metrics.spans_dropped.clone() };
        tracing::info!(endpoint = %settings.endpoint.origin().ascii_serialization(), "requests are traced");
        let mut sending = Sending {
            client,
            endpoint: settings.endpoint,
            headers: settings.headers,
            gzip: settings.gzip,
            resource: OtlpResource::new(&settings.resource),
            timeout: settings.timeout,
            delay: settings.delay,
            most: settings.batch,
            waiting,
            batch: Vec::new(),
            posted: 0,
            exported: metrics.spans_exported.clone(),
            dropped: metrics.spans_dropped.clone(),
            complained: None,
            complained_of: 0,
        };
        let (end, told) = watch::channel(None);
        let mut runtime = Some(runtime);
        let run = move || {
            if let Some(runtime) = &runtime {
                runtime.block_on(sending.run(told.clone()));
            }
            // A name that is being looked up cannot be interrupted, and is not waited for.
            runtime.take().into_iter().for_each(Runtime::shutdown_background);
        };
        let thread = threads::start("traces", run);
        let thread = thread.map_err(|error| format!("traces: no thread can be started: {error}"))?;
        Ok((traces, Self { end, thread: Some(thread) }))
    }

    /// Sends what waits, for so long at most, and ends.
    pub fn end(mut self, patience: Duration) {
        self.stop(patience);
    }

    fn stop(&mut self, patience: Duration) {
        self.end.send_replace(Some(Instant::now() + patience));
        if let Some(thread) = self.thread.take() {
            thread.join(patience + CUT_OFF);
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.stop(Duration::ZERO);
        }
    }
}

fn client(settings: &Settings) -> Result<HttpClient, String> {
    let client = HttpClient::to(&settings.endpoint, settings.timeout, settings.authorities.as_deref());
    client.map_err(|error| format!("traces: no client can be made: {}", error.without_url()))
}

struct Sending {
    client: HttpClient,
    endpoint: Url,
    headers: HeaderMap,
    gzip: bool,
    resource: OtlpResource,
    timeout: Duration,
    delay: Duration,
    most: usize,
    waiting: Receiver<Span>,
    batch: Vec<Span>,
    /// How many of them are in the body that is being posted.
    posted: u64,
    exported: Counter,
    dropped: Counter,
    /// When it last complained, and how many had been dropped then.
    complained: Option<Instant>,
    complained_of: u64,
}

/// Why a batch was not taken.
struct Failure {
    why: String,
    /// Whether another attempt is worth it, and when if the collector says so.
    again: Option<Option<Duration>>,
}

impl Sending {
    async fn run(&mut self, told: watch::Receiver<Option<Instant>>) {
        let mut end = told.clone();
        let cut_off = async move {
            // An error means that whoever could tell us is gone: that is the end, too.
            let deadline = end.wait_for(Option::is_some).await.ok().and_then(|deadline| *deadline);
            sleep_until(deadline.unwrap_or_else(Instant::now)).await;
        };
        tokio::select! {
            () = self.send_all(told) => {}
            () = cut_off => {}
        }
        self.waiting.close();
        let left = self.posted + (self.batch.len() + self.waiting.len()) as u64;
        if left > 0 {
            self.dropped.inc_by(left);
            tracing::warn!(spans = left, "the process ends before these spans were sent");
        }
    }

    /// Until the end is told and nothing waits.
    async fn send_all(&mut self, mut told: watch::Receiver<Option<Instant>>) {
        loop {
            let last = self.gather(&mut told).await;
            if self.batch.is_empty() {
                // Nothing comes when nobody can send or the end is told.
                return;
            }
            self.send(&mut told).await;
            if last && self.waiting.is_empty() {
                return;
            }
        }
    }

    /// Fills a batch: until it is full, or its first span has waited long enough, or the end is told.
    async fn gather(&mut self, told: &mut watch::Receiver<Option<Instant>>) -> bool {
        let mut until = None;
        while self.batch.len() < self.most {
            let room = self.most - self.batch.len();
            let over = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = told.wait_for(Option::is_some) => {
                    while self.batch.len() < self.most && let Ok(span) = self.waiting.try_recv() {
                        self.batch.push(span);
                    }
                    return true;
                }
                () = over => break,
                came = self.waiting.recv_many(&mut self.batch, room) => {
                    if came == 0 {
                        return true;
                    }
                    until.get_or_insert(Instant::now() + self.delay);
                }
            }
        }
        false
    }

    /// Sends a batch, or drops it. Once the end is told there is one more attempt.
    async fn send(&mut self, told: &mut watch::Receiver<Option<Instant>>) {
        self.posted = self.batch.len() as u64;
        let (body, deadline) = (self.body(), Instant::now() + self.timeout);
        let mut pause = PAUSE;
        let (rejected, why) = loop {
            let ending = told.borrow().is_some();
            let Failure { why, again } = match timeout_at(deadline, self.attempt(body.clone())).await {
                Ok(Ok(rejected)) => break (rejected.min(self.posted), "more end than are sent or taken".to_owned()),
                Ok(Err(failure)) => failure,
                Err(_) => Failure { why: "the collector does not answer in time".to_owned(), again: None },
            };
            let wait = again.map(|asked| asked.unwrap_or(pause));
            // What a collector asks for may be any number.
            let wait = wait.filter(|wait| !ending && *wait < deadline.saturating_duration_since(Instant::now()));
            let Some(wait) = wait else {
                break (self.posted, why);
            };
            tokio::select! {
                () = sleep(wait) => {}
                _ = told.wait_for(Option::is_some) => {}
            }
            pause = pause.saturating_mul(2);
        };
        self.exported.inc_by(self.posted - rejected);
        self.dropped.inc_by(rejected);
        self.posted = 0;
        self.complain(&why);
    }

    /// The batch as it is posted.
    fn body(&mut self) -> Bytes {
        let body = Request::new(&self.resource, &mut self.batch).encode_to_vec();
        if !self.gzip {
            return Bytes::from(body);
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        // Writing to memory cannot fail.
        let _ = encoder.write_all(&body);
        Bytes::from(encoder.finish().unwrap_or_default())
    }

    /// One attempt: how many spans the collector rejects.
    async fn attempt(&self, body: Bytes) -> Result<u64, Failure> {
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if self.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        // Never the address, which may hold a secret.
        let why = |error: outbound::Error| causes(&error.without_url()).chars().take(LONGEST_WHY).collect();
        let unreachable = |error| Failure { why: why(error), again: Some(None) };
        let request = self.client.request(Method::POST, self.endpoint.clone()).headers(headers).body(body);
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        if status.is_success() {
            let said = outbound::body(answer, LONGEST_ANSWER).await.map_err(unreachable)?;
            return Ok(otlp::Response::rejected(&said.unwrap_or_default()));
        }
        let passing = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::BAD_GATEWAY,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
        ];
        let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let again = passing.contains(&status).then(|| asked.map(Duration::from_secs));
        Err(Failure { why: format!("the collector answers {status}"), again })
    }

    /// Says once in a while that spans were dropped, and why.
    fn complain(&mut self, why: &str) {
        let dropped = self.dropped.get();
        if dropped == self.complained_of || self.complained.is_some_and(|at| at.elapsed() < COMPLAINT) {
            return;
        }
        tracing::warn!(why, spans = dropped - self.complained_of, "spans were dropped");
        self.complained = Some(Instant::now());
        self.complained_of = dropped;
    }
}
