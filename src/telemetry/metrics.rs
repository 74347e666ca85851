//! Metrics, declared in one table: name, kind, labels and help. It makes the values, their registration and their documentation.
//!
//! The documentation is docs/reference/metrics.md: `UPDATE_GOLDEN=1 cargo test --test tidy metric` writes its table anew.

pub mod labels;

use std::time::Duration;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry, Unit};

use self::labels::{
    ApprovalLabels, ApproverLabels, CallbackLabels, ClosedLabels, DecisionLabels, NoticeLabels, ObservedLabels,
    RefreshLabels, RefusalLabels, ReloadLabels, ShadowLabels, SnapshotLabels, UpstreamLabels,
};
use super::{logs, threads};

pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::gauge::Gauge;

/// What is declared of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declaration {
    /// Its name, as `/metrics` has it.
    pub name: &'static str,
    /// counter, gauge or histogram.
    pub kind: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it counts.
    pub help: &'static str,
}

/// `name: kind(Labels) in unit = value, "help";`, of which labels, unit and value may be left out.
macro_rules! metrics {
    ($($name:ident: $kind:ident $(($labels:ident))? $(in $unit:ident)? $(= $value:expr)?, $help:literal;)*) => {
        /// What is counted. One value per process, shared by all rooms.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $(
                #[doc = $help]
                pub $name: metrics!(@type $kind $($labels)?),
            )*
        }

        impl Metrics {
            /// Fresh values under their public names.
            #[must_use]
            pub fn new() -> Self {
                let mut metrics = Self {
                    registry: Registry::with_prefix("hallgate"),
                    $($name: metrics!(@value $kind $($labels)? $(= $value)?),)*
                };
                $(
                    let unit = metrics!(@unit $($unit)?);
                    register(&mut metrics.registry, stringify!($name), unit, $help, metrics.$name.clone());
                )*
                metrics
            }

            /// All of them.
            pub const DECLARED: &[Declaration] = &[$(
                Declaration {
                    name: concat!("hallgate_", stringify!($name), metrics!(@suffix $kind $($unit)?)),
                    kind: stringify!($kind),
                    labels: metrics!(@labels $($labels)?),
                    help: $help,
                },
            )*];
        }
    };
    (@type counter) => { Counter };
    (@type gauge) => { Gauge };
    (@type histogram) => { Histogram };
    (@type $kind:ident $labels:ident) => { Family<$labels, metrics!(@type $kind)> };
    (@value $kind:ident $($labels:ident)? = $value:expr) => { $value };
    // From 1 µs to half a second, doubling.
    (@value histogram) => { Histogram::new(exponential_buckets(1e-6, 2.0, 20)) };
    (@value $kind:ident $($labels:ident)?) => { Default::default() };
    (@unit) => { None };
    (@unit seconds) => { Some(Unit::Seconds) };
    (@suffix counter) => { "_total" };
    (@suffix $kind:ident) => { "" };
    (@suffix $kind:ident seconds) => { "_seconds" };
    (@labels) => { &[] };
    (@labels $labels:ident) => { $labels::NAMES };
}

metrics! {
    decisions: counter(DecisionLabels), "decisions";
    approvals_opened: counter, "requests about which a human was asked";
    approvals_pending: gauge, "requests that wait for a human";
    approvals_oldest: gauge in seconds, "how long the oldest of them has waited: worth an alert near `approvals.ttl`";
    approvals_ttl: gauge in seconds, "how long a request waits for a human: `approvals.ttl`; 0 where nobody is asked";
    approval_notices: counter(NoticeLabels),
        "requests that wait for a human and that the webhook was told of: `taken`, `refused` or `unanswered`";
    approvals_waiting: gauge, "callers whose requests are kept open until somebody agrees";
    approval_steps: counter(ApprovalLabels),
        "steps of approvals: `voted`, `approved`, `denied`, `done`, `escalated`, `withdrawn`, `expired`, `void`";
    approval_decided_after: histogram(ApproverLabels) in seconds = Family::new_with_constructor(|| {
        // From a second to a day.
        Histogram::new(exponential_buckets(1.0, 2.0, 18))
    }), "time from the question to what an approver did about it: who agrees within seconds each time has not read it";
    callbacks: counter(CallbackLabels),
        "callbacks to whoever asked: `delivered`; attempts that `failed`; `given_up` after the last; `refused`, since no URL of that kind is \
         allowed or its host is where nothing may be sent: worth a look";
    observed: counter(ObservedLabels), "requests that passed on a route that observes, by what the policy would have said";
    shadow_decisions: counter, "decisions about which the shadow was asked, too";
    shadow_flips: counter(ShadowLabels), "decisions whose verdict would be another if the shadow were in force";
    shadow_errors: counter, "decisions about which the shadow could not say anything, or only deny because of an error";
    refusals: counter(RefusalLabels),
        "requests refused before a decision: malformed, without a route or credential, over a rate";
    decide: histogram in seconds, "time to decide, lookups included";
    record: histogram in seconds, "time until the entry is committed";
    cannot_decide: counter, "requests answered 503: not decided or not recorded";
    policy_errors: counter, "decisions denied because a policy could not be evaluated; should always be zero";
    ledger_queue_depth: gauge, "entries that wait for the ledger's writer";
    ledger_entries: gauge, "committed entries";
    ledger_writing: gauge, "1 while the ledger can be written";
    ledger_broken: gauge, "1 while the ledger is broken and nothing is allowed; should always be zero";
    ledger_recovered: gauge, "1 while the ledger has lost entries and nobody has acknowledged it";
    ledger_pruned: gauge, "entries that were pruned";
    ledger_prune_failing: gauge, "1 while the ledger cannot be pruned; should always be zero";
    exchanges_in_flight: gauge, "forwarded exchanges in flight";
    gate_connections: gauge, "connections to the gate";
    hall_connections: gauge, "connections to the Hall API";
    connections_closed: counter(ClosedLabels),
        "connections closed because there was no place for them: \
         `full` and `network_full` as they came, `taken` by a newer one";
    upstream_responses: counter(UpstreamLabels), "upstream answers";
    reloads: counter(ReloadLabels),
        "changes of files that were `applied`, were `refused`, or left everything `unchanged`";
    snapshot_info: gauge(SnapshotLabels), "1 for the snapshot in force";
    snapshot_loaded_timestamp: gauge in seconds, "when the snapshot in force was loaded";
    snapshot_stale: gauge, "1 while the files on disk are refused and an older snapshot is in force: worth an alert";
    online: gauge, "1 while the hall decides; 0 while it is offline";
    registry_refreshes: counter(RefreshLabels),
        "rounds of questions to the registry that were `ok`, or why not all answers came: \
         `unreachable`, `rate_limited`, `refused`, `status`, `malformed`";
    registry_answer_age: gauge in seconds,
        "time since the registry last answered: worth an alert above `registry.max_stale`";
    registry_banned_hashes: gauge, "hashes on the registry's ban list";
    registry_bans_unread: gauge, "1 while that list cannot be read whole: worth an alert";
    registry_unreported_dispatches: gauge, "dispatches that the registry has not been told of";
    registry_unverified_workers: gauge,
        "enrolled workers that do not act in prod and edge without the registry's word: worth an alert";
    alerts_unsent: counter, "alerts that the webhook was not told of; should always be zero";
    spans_exported: counter, "spans that the collector took";
    spans_dropped: counter, "spans that were dropped: too many waited, or the collector did not take them";
    panics: counter, "requests that panicked; should always be zero";
    thread_panics: counter = threads::panics(),
        "panics of threads in the background, which begin again; should always be zero";
    log_lines_dropped: counter = logs::dropped(), "log lines that were dropped because their reader did not keep up";
}

fn register(registry: &mut Registry, name: &'static str, unit: Option<Unit>, help: &'static str, metric: impl Metric) {
    match unit {
        Some(unit) => registry.register_with_unit(name, help, unit, metric),
        None => registry.register(name, help, metric),
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_declared_is_what_is_exposed() {
        let text = Metrics::new().text();
        // What has labels is exposed from its first value on.
        let expected = Metrics::DECLARED.iter().filter(|declared| declared.labels.is_empty());
        let expected: Vec<String> = expected
            .map(|Declaration { name, kind, .. }| format!("{} {kind}", name.strip_suffix("_total").unwrap_or(name)))
            .collect();
        let exposed: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        assert_eq!(exposed, expected);
    }
}
