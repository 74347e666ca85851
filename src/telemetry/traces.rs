//! Traces: one span a request, and one below it for the time that it waits for a human, sent to an OTLP collector in the background. Off unless the standard environment variables say so.
//!
//! A request never waits for any of it: a span that has ended goes into a bounded queue, and when that is full it is dropped and
//! counted. The SDK for Rust is not used: it passes over variables that it cannot read, says nowhere how many spans it dropped, and
//! is five crates for what is one kind of span here.

mod context;
mod environment;
mod export;
#[cfg(any(test, fuzzing))]
pub mod laws;
mod otlp;
mod part;
mod sampling;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderValue, Method};
use tokio::sync::mpsc::Sender;

use crate::telemetry::Counter;
use context::Context;
use sampling::Sampler;

pub use context::{TRACEPARENT, TRACESTATE};
pub use environment::{Misset, Settings};
pub use export::Exporter;
pub use part::TracedPart;

/// Begins spans. Cheap to clone.
#[derive(Clone)]
pub struct Traces {
    sampler: Sampler,
    ended: Sender<Span>,
    dropped: Counter,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").field("sampler", &self.sampler).finish_non_exhaustive()
    }
}

impl Traces {
    /// Begins the span of a request with this method and these headers. `None` only where there is no randomness.
    #[must_use]
    pub fn begin(&self, method: &Method, headers: &HeaderMap) -> Option<Traced> {
        let parent = Context::of_caller(headers);
        let context = parent.map_or_else(Context::root, Context::child)?;
        let context = context.sampled(self.sampler.records(context, parent.is_some()));
        let span = Span {
            context,
            parent: parent.map(|parent| parent.span),
            is_part: false,
            name: String::new(),
            began: SystemTime::now(),
            took: Duration::ZERO,
            attributes: Vec::with_capacity(if context.is_sampled() { ATTRIBUTES } else { 0 }),
            failed: false,
        };
        let method = METHODS.into_iter().find(|known| method == known);
        Some(Traced { span, method, route: None, clock: Instant::now(), traces: self.clone() })
    }

    /// Has a span that has ended sent in a while; when too many wait, it is dropped.
    fn send(&self, span: Span) {
        if self.ended.try_send(span).is_err() {
            self.dropped.inc();
        }
    }
}

/// As many attributes as a request through the gate has.
const ATTRIBUTES: usize = 36;

/// A request under way whose trace is known, recorded or not.
#[derive(Debug)]
pub struct Traced {
    span: Span,
    /// One that everybody knows.
    method: Option<&'static str>,
    route: Option<Arc<str>>,
    clock: Instant,
    traces: Traces,
}

impl Traced {
    /// Whether it is recorded: what is only said of a span need not be worked out for others.
    #[must_use]
    pub const fn is_recorded(&self) -> bool {
        self.span.context.is_sampled()
    }

    /// Whether it is a child of its caller's span.
    #[must_use]
    pub const fn has_parent(&self) -> bool {
        self.span.parent.is_some()
    }

    /// The header by which whoever is asked next becomes its child.
    #[must_use]
    pub fn traceparent(&self) -> Option<HeaderValue> {
        self.span.context.traceparent()
    }

    /// Says something of it.
    pub fn set(&mut self, name: &'static str, value: impl Into<AttributeValue>) {
        if self.is_recorded() {
            self.span.attributes.push((name, value.into()));
        }
    }

    /// Says something of it, if it is known.
    pub fn set_some(&mut self, name: &'static str, value: Option<impl Into<AttributeValue>>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    /// Says which route it has: a pattern of ours, never what was asked.
    pub fn routed(&mut self, route: &str) {
        if self.is_recorded() {
            let route = Arc::from(route);
            self.set("http.route", Arc::clone(&route));
            self.route = Some(route);
        }
    }

    /// Ends it, with the status that was answered, if any was, and the kind of error that broke it off.
    pub fn end(mut self, status: Option<u16>, error: Option<&str>) {
        if !self.is_recorded() {
            return;
        }
        self.set("http.request.method", self.method.unwrap_or("_OTHER"));
        self.set_some("http.response.status_code", status);
        // What is wrong with a request is its caller's error, not ours.
        let failed = error.is_some() || status.is_some_and(|status| status >= 500);
        if failed {
            let status = || status.map(|status| status.to_string());
            self.set_some("error.type", error.map(str::to_owned).or_else(status));
        }
        let method = self.method.unwrap_or("HTTP");
        self.span.name = self.route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
        self.span.failed = failed;
        self.span.took = self.clock.elapsed();
        self.traces.send(self.span);
    }
}

/// The methods that everybody knows: others may be anything.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];

/// One request, or a part of it.
#[derive(Debug)]
struct Span {
    context: Context,
    parent: Option<[u8; 8]>,
    /// Its parent is a span of ours.
    is_part: bool,
    name: String,
    began: SystemTime,
    took: Duration,
    attributes: Vec<(&'static str, AttributeValue)>,
    failed: bool,
}

/// What an attribute says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeValue {
    /// One of a few words of ours.
    Word(&'static str),
    /// A text.
    Text(Arc<str>),
    /// A number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

impl From<&'static str> for AttributeValue {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

impl From<Arc<str>> for AttributeValue {
    fn from(text: Arc<str>) -> Self {
        Self::Text(text)
    }
}

impl From<String> for AttributeValue {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for AttributeValue {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u16> for AttributeValue {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<usize> for AttributeValue {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for AttributeValue {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}
