//! Logs, metrics and traces. Nothing here knows a secret or a body: callers pass ids, codes and counts.

mod causes;
pub mod logs;
pub mod method;
pub mod metrics;
pub mod threads;
pub mod traces;

pub use causes::causes;
pub use logs::{AllowedLines, LogAllowed, LogFormat, LogThrottle, start_logs};
pub use metrics::labels::{
    ApprovalLabels, ApproverLabels, CallbackLabels, ClosedLabels, DecisionLabels, NoticeLabels, ObservedLabels,
    RefreshLabels, RefusalLabels, ReloadLabels, ShadowLabels, SnapshotLabels, UpstreamLabels,
};
pub use metrics::{Counter, Gauge, InFlight, Metrics};

/// The `telemetry` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How logs are written.
    pub log: LogFormat,
    /// A level or a `tracing` filter, such as `info` or `hallgate=debug,warn`.
    pub level: String,
    /// Which of the requests that are let through have a line.
    pub log_allowed: LogAllowed,
    /// Traces, as the environment asks for them; `None`: they are off.
    pub traces: Option<traces::Settings>,
}
