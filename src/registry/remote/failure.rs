//! Why the registry gave no answer.

use std::time::Duration;

use crate::outbound;
use crate::telemetry::causes;

/// Why there is no answer. Free of secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No whole answer came: no connection, no time left, or it broke off.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// It asks not to be asked, for so long if it says so.
    #[error("limits the rate (429)")]
    RateLimited(Option<Duration>),
    /// It does not take the key.
    #[error("refuses the key ({0})")]
    Refused(u16),
    /// It answered with another status.
    #[error("answered {0}")]
    Status(u16),
    /// What it answered means nothing.
    #[error("answered something that cannot be read: {0}")]
    Malformed(String),
}

impl Failure {
    /// The word for it in metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::RateLimited(_) => "rate_limited",
            Self::Refused(_) => "refused",
            Self::Status(_) => "status",
            Self::Malformed(_) => "malformed",
        }
    }

    /// A transport's error with all its causes. Never the URL, which may be long.
    pub(super) fn unreachable(error: outbound::Error) -> Self {
        Self::Unreachable(causes(&error.without_url()).chars().take(300).collect())
    }
}
