//! Logs, metric names and traces. Nothing here knows a secret or a body: callers pass ids, codes and counts.

pub mod logs;
pub mod method;
mod sparing;
pub mod threads;
pub mod traces;

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::gauge::Gauge;
pub use sparing::Sparing;

/// An error and what led to it, in one line.
#[must_use]
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Lines for a terminal.
    Text,
}

/// The `telemetry` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How logs are written.
    pub log: LogFormat,
    /// A level or a `tracing` filter, such as `info` or `hallgate=debug,warn`.
    pub level: String,
    /// Traces, as the environment asks for them; `None`: they are off.
    pub traces: Option<traces::Settings>,
}

/// Starts logging to stderr. A second call in one process changes nothing.
///
/// # Errors
/// The level is no filter that can be read, or there is no thread that writes.
pub fn start_logs(settings: &Settings) -> Result<(), String> {
    let filter = EnvFilter::try_new(&settings.level)
        .map_err(|error| format!("`telemetry.level` `{}` is no log filter: {error}", settings.level))?;
    // Below a warning pingora writes whole headers, which hold callers' secrets. What it warns of is caused by whoever connects.
    let foreign = Sparing::default();
    let guarded = filter_fn(move |line| {
        !line.target().starts_with("pingora") || (*line.level() <= Level::WARN && foreign.allows())
    });
    let logs = tracing_subscriber::registry().with(filter).with(guarded);
    logs::start().map_err(|error| format!("no thread can be started: {error}"))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(|| logs::Line).with_ansi(io::stderr().is_terminal());
    // A process that embeds several halls (tests) keeps its first logger.
    let _ = match settings.log {
        LogFormat::Json => {
            logs.with(lines.json().flatten_event(true).with_current_span(false).with_span_list(false)).try_init()
        }
        LogFormat::Text => logs.with(lines).try_init(),
    };
    Ok(())
}

/// Labels of one counted decision.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DecisionLabels {
    /// `gate` or `api`.
    pub door: &'static str,
    /// `DISPATCH`, `DENY` or `STEWARD_HOLD`.
    pub verdict: &'static str,
    /// The deny code; empty for a dispatch.
    pub code: &'static str,
    /// The capability when a rule names it, else `other`: callers must not be able to make series.
    pub capability: Arc<str>,
    /// `hit` or `miss`.
    pub cache: &'static str,
}

impl EncodeLabelSet for DecisionLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        [
            ("door", self.door),
            ("verdict", self.verdict),
            ("code", self.code),
            ("capability", &*self.capability),
            ("cache", self.cache),
        ]
        .encode(encoder)
    }
}

/// Counts one of something as in flight for as long as it lives.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl InFlight {
    /// One more.
    #[must_use]
    pub fn begin(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Labels of one refused request that was never described.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RefusalLabels {
    /// `gate` or `api`.
    pub door: &'static str,
    /// The deny code.
    pub code: &'static str,
}

impl EncodeLabelSet for RefusalLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        [("door", self.door), ("code", self.code)].encode(encoder)
    }
}

/// Labels of one connection that was closed because there was no place for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClosedLabels {
    /// `gate` or `api`.
    pub door: &'static str,
    /// `full` or `network_full`: as it came; `taken`: by a newer one, since nobody on it was known.
    pub why: &'static str,
}

impl EncodeLabelSet for ClosedLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        [("door", self.door), ("why", self.why)].encode(encoder)
    }
}

/// Labels of one upstream answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamLabels {
    /// The upstream's name in the configuration.
    pub upstream: Arc<str>,
    /// The status, or `failed` when it gave none.
    pub status: Arc<str>,
}

impl EncodeLabelSet for UpstreamLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        [("upstream", &*self.upstream), ("status", &*self.status)].encode(encoder)
    }
}

/// Labels of one change of files that was taken or not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReloadLabels {
    /// `applied`, `unchanged` or `refused`.
    pub result: &'static str,
}

impl EncodeLabelSet for ReloadLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        [("result", self.result)].encode(encoder)
    }
}

/// Labels of one round of questions to the remote registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RefreshLabels {
    /// `ok`, or why not all answers came.
    pub result: &'static str,
}

impl EncodeLabelSet for RefreshLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        [("result", self.result)].encode(encoder)
    }
}

/// Labels of the snapshot in force.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SnapshotLabels {
    /// Its fingerprint.
    pub snapshot: String,
    /// The operator's name of its policy.
    pub policy_version: Arc<str>,
}

impl EncodeLabelSet for SnapshotLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        [("snapshot", &*self.snapshot), ("policy_version", &*self.policy_version)].encode(encoder)
    }
}

/// What is counted. One value per process, shared by all rooms.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Decisions by door, verdict, code, capability and cache.
    pub decisions: Family<DecisionLabels, Counter>,
    /// Requests refused before a decision.
    pub refusals: Family<RefusalLabels, Counter>,
    /// Seconds to decide, lookups included.
    pub decide_seconds: Histogram,
    /// Seconds until the ledger had committed.
    pub record_seconds: Histogram,
    /// Requests that could not be decided or recorded.
    pub cannot_decide: Counter,
    /// Decisions for which a policy could not be evaluated, remembered ones included.
    pub policy_errors: Counter,
    /// Jobs that wait for the ledger's writer.
    pub ledger_queue_depth: Gauge,
    /// Committed ledger entries of this process.
    pub ledger_entries: Gauge,
    /// 1 while the ledger can be written.
    pub ledger_writing: Gauge,
    /// 1 while the ledger is broken: nothing is allowed. Should always be zero.
    pub ledger_broken: Gauge,
    /// 1 while entries were lost and nobody has said that they know.
    pub ledger_recovered: Gauge,
    /// Entries that were pruned.
    pub ledger_pruned: Gauge,
    /// 1 while the ledger cannot be pruned.
    pub ledger_prune_failing: Gauge,
    /// Exchanges in flight through the gate.
    pub exchanges_in_flight: Gauge,
    /// Connections to the gate.
    pub gate_connections: Gauge,
    /// Connections to the Hall API.
    pub hall_connections: Gauge,
    /// Connections that were closed because there was no place for them.
    pub connections_closed: Family<ClosedLabels, Counter>,
    /// Upstream answers by status.
    pub upstream_responses: Family<UpstreamLabels, Counter>,
    /// Changes of files by what became of them.
    pub reloads: Family<ReloadLabels, Counter>,
    /// 1 for the snapshot in force; there is no other.
    pub snapshot_info: Family<SnapshotLabels, Gauge>,
    /// When the snapshot in force was loaded, in seconds since 1970 UTC.
    pub snapshot_loaded: Gauge,
    /// 1 while the files on disk are refused and an older snapshot is in force.
    pub snapshot_stale: Gauge,
    /// 1 while this hall decides; 0 while it is offline.
    pub online: Gauge,
    /// Rounds of questions to the remote registry by how they ended.
    pub registry_refreshes: Family<RefreshLabels, Counter>,
    /// Seconds since the remote registry last answered.
    pub registry_answer_age: Gauge,
    /// Hashes on the remote registry's ban list.
    pub registry_banned_hashes: Gauge,
    /// 1 while the remote registry's ban list cannot be read whole.
    pub registry_bans_unread: Gauge,
    /// Dispatches that the remote registry has not been told of.
    pub registry_unreported_dispatches: Gauge,
    /// Enrolled workers that do not act in prod and edge without the remote registry's word.
    pub registry_unverified_workers: Gauge,
    /// Alerts that a webhook was not told of. Should always be zero.
    pub alerts_unsent: Counter,
    /// Spans that the collector took.
    pub spans_exported: Counter,
    /// Spans that were dropped: too many waited, or the collector did not take them.
    pub spans_dropped: Counter,
    /// Requests that ended in a panic. Should always be zero.
    pub panics: Counter,
    /// Panics of threads in the background, of the whole process. Should always be zero.
    pub thread_panics: Counter,
    /// Log lines that nobody will read, of the whole process.
    pub log_lines_dropped: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Fresh counters under their public names.
    #[must_use]
    pub fn new() -> Self {
        // From 1 µs to half a second, doubling.
        let seconds = || Histogram::new(exponential_buckets(1e-6, 2.0, 20));
        let mut metrics = Self {
            registry: Registry::with_prefix("hallgate"),
            decisions: Family::default(),
            refusals: Family::default(),
            decide_seconds: seconds(),
            record_seconds: seconds(),
            cannot_decide: Counter::default(),
            policy_errors: Counter::default(),
            ledger_queue_depth: Gauge::default(),
            ledger_entries: Gauge::default(),
            ledger_writing: Gauge::default(),
            ledger_broken: Gauge::default(),
            ledger_recovered: Gauge::default(),
            ledger_pruned: Gauge::default(),
            ledger_prune_failing: Gauge::default(),
            exchanges_in_flight: Gauge::default(),
            gate_connections: Gauge::default(),
            hall_connections: Gauge::default(),
            connections_closed: Family::default(),
            upstream_responses: Family::default(),
            reloads: Family::default(),
            snapshot_info: Family::default(),
            snapshot_loaded: Gauge::default(),
            snapshot_stale: Gauge::default(),
            online: Gauge::default(),
            registry_refreshes: Family::default(),
            registry_answer_age: Gauge::default(),
            registry_banned_hashes: Gauge::default(),
            registry_bans_unread: Gauge::default(),
            registry_unreported_dispatches: Gauge::default(),
            registry_unverified_workers: Gauge::default(),
            alerts_unsent: Counter::default(),
            spans_exported: Counter::default(),
            spans_dropped: Counter::default(),
            panics: Counter::default(),
            thread_panics: threads::panics(),
            log_lines_dropped: logs::dropped(),
        };
        let m = &mut metrics;
        let registry = &mut m.registry;
        registry.register(
            "decisions",
            "Decisions by door, verdict, deny code, capability and cache",
            m.decisions.clone(),
        );
        registry.register("refusals", "Requests refused before a decision", m.refusals.clone());
        registry.register_with_unit("decide", "Time to decide", Unit::Seconds, m.decide_seconds.clone());
        registry.register_with_unit("record", "Time until committed", Unit::Seconds, m.record_seconds.clone());
        registry.register(
            "cannot_decide",
            "Requests answered 503: not decided or not recorded",
            m.cannot_decide.clone(),
        );
        registry.register(
            "policy_errors",
            "Decisions denied because a policy could not be evaluated",
            m.policy_errors.clone(),
        );
        registry.register("ledger_queue_depth", "Jobs waiting for the ledger's writer", m.ledger_queue_depth.clone());
        registry.register("ledger_entries", "Committed ledger entries", m.ledger_entries.clone());
        registry.register("ledger_writing", "1 while the ledger can be written", m.ledger_writing.clone());
        registry.register(
            "ledger_broken",
            "1 while the ledger is broken; should always be zero",
            m.ledger_broken.clone(),
        );
        registry.register(
            "ledger_recovered",
            "1 while entries were lost and nobody has acknowledged it",
            m.ledger_recovered.clone(),
        );
        registry.register("ledger_pruned", "Ledger entries that were pruned", m.ledger_pruned.clone());
        registry.register(
            "ledger_prune_failing",
            "1 while the ledger cannot be pruned; should always be zero",
            m.ledger_prune_failing.clone(),
        );
        registry.register("exchanges_in_flight", "Forwarded exchanges in flight", m.exchanges_in_flight.clone());
        registry.register("gate_connections", "Connections to the gate", m.gate_connections.clone());
        registry.register("hall_connections", "Connections to the Hall API", m.hall_connections.clone());
        registry.register(
            "connections_closed",
            "Connections that were closed because there was no place for them",
            m.connections_closed.clone(),
        );
        registry.register("upstream_responses", "Upstream answers by status", m.upstream_responses.clone());
        registry.register("reloads", "Changes of files by what became of them", m.reloads.clone());
        registry.register("snapshot_info", "1 for the snapshot in force", m.snapshot_info.clone());
        registry.register_with_unit(
            "snapshot_loaded_timestamp",
            "When the snapshot in force was loaded",
            Unit::Seconds,
            m.snapshot_loaded.clone(),
        );
        registry.register("snapshot_stale", "1 while the files on disk are refused", m.snapshot_stale.clone());
        registry.register("online", "1 while this hall decides", m.online.clone());
        registry.register(
            "registry_refreshes",
            "Rounds of questions to the remote registry by how they ended",
            m.registry_refreshes.clone(),
        );
        registry.register_with_unit(
            "registry_answer_age",
            "Time since the remote registry last answered",
            Unit::Seconds,
            m.registry_answer_age.clone(),
        );
        registry.register(
            "registry_banned_hashes",
            "Hashes on the remote registry's ban list",
            m.registry_banned_hashes.clone(),
        );
        registry.register(
            "registry_bans_unread",
            "1 while the remote registry's ban list cannot be read whole",
            m.registry_bans_unread.clone(),
        );
        registry.register(
            "registry_unreported_dispatches",
            "Dispatches that the remote registry has not been told of",
            m.registry_unreported_dispatches.clone(),
        );
        registry.register(
            "registry_unverified_workers",
            "Workers that do not act in prod and edge without the remote registry's word",
            m.registry_unverified_workers.clone(),
        );
        registry.register(
            "alerts_unsent",
            "Alerts that the webhook was not told of; should always be zero",
            m.alerts_unsent.clone(),
        );
        registry.register("spans_exported", "Spans that the collector took", m.spans_exported.clone());
        registry.register("spans_dropped", "Spans that no collector took", m.spans_dropped.clone());
        registry.register("panics", "Requests that panicked; should always be zero", m.panics.clone());
        registry.register(
            "thread_panics",
            "Panics of threads in the background; should always be zero",
            m.thread_panics.clone(),
        );
        registry.register(
            "log_lines_dropped",
            "Log lines that were dropped because their reader did not keep up",
            m.log_lines_dropped.clone(),
        );
        metrics
    }

    /// Counts how long something took.
    pub fn observe(histogram: &Histogram, took: Duration) {
        histogram.observe(took.as_secs_f64());
    }

    /// The exposition text, for `GET /metrics`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
