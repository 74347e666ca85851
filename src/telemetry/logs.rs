//! Logs: which of tracing's lines are written to stderr, and in which form.

mod allowed;
mod throttle;
mod writer;

use std::io::{self, IsTerminal as _};

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::Settings;

pub use allowed::{AllowedLines, LogAllowed};
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

/// The most bytes of a reason in a line.
const LONGEST: usize = 512;

/// As much of a text as is said of it in a line: callers choose how long theirs are, and a reason may name what they sent.
#[must_use]
pub fn brief(text: &str) -> &str {
    let longest = LONGEST.min(text.len());
    let end = (0..=longest).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    text.get(..end).unwrap_or_default()
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
    // As https://no-color.org says, and never into a file.
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|unwanted| unwanted.is_empty());
    let lines = tracing_subscriber::fmt::layer().with_writer(|| writer::LogLine).with_ansi(colours);
    // A process that embeds several halls (tests) keeps its first logger.
    let _ = match settings.log {
        LogFormat::Json => {
            logs.with(lines.json().flatten_event(true).with_current_span(false).with_span_list(false)).try_init()
        }
        LogFormat::Text => logs.with(lines).try_init(),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_of_bounded_length() {
        assert_eq!(brief("no"), "no");
        // The end falls into the middle of a character.
        let long = format!("{}\u{e9}", "x".repeat(LONGEST - 1));
        assert_eq!(brief(&long), "x".repeat(LONGEST - 1));
    }
}
