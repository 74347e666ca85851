//! Logs: which of tracing's lines are written to stderr, and in which form.

mod throttle;
mod writer;

use std::io::{self, IsTerminal as _};

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::Settings;

pub use throttle::LogThrottle;
pub(super) use writer::dropped;
pub use writer::{flush, say, start};

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Lines for a terminal.
    Text,
}

/// Starts logging to stderr. A second call in one process changes nothing.
///
/// # Errors
/// The level is no filter that can be read, or there is no thread that writes.
pub fn start_logs(settings: &Settings) -> Result<(), String> {
    let filter = EnvFilter::try_new(&settings.level)
        .map_err(|error| format!("`telemetry.level` `{}` is no log filter: {error}", settings.level))?;
    // Below a warning pingora writes whole headers, which hold callers' secrets. What it warns of is caused by whoever connects.
    let foreign = LogThrottle::default();
    let guarded = filter_fn(move |line| {
        !line.target().starts_with("pingora") || (*line.level() <= Level::WARN && foreign.allows())
    });
    let logs = tracing_subscriber::registry().with(filter).with(guarded);
    start().map_err(|error| format!("no thread can be started: {error}"))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(|| writer::LogLine).with_ansi(io::stderr().is_terminal());
    // A process that embeds several halls (tests) keeps its first logger.
    let _ = match settings.log {
        LogFormat::Json => {
            logs.with(lines.json().flatten_event(true).with_current_span(false).with_span_list(false)).try_init()
        }
        LogFormat::Text => logs.with(lines).try_init(),
    };
    Ok(())
}
