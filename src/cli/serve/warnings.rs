//! What loads and cannot work, as it is logged: the same that `hallgate check` says, a bounded number of lines.

use crate::config::{Problem, Warning};

/// How many warnings are logged one by one.
const LOGGED: usize = 20;

/// Logs them.
pub(super) fn log(warnings: &[Warning]) {
    for Warning { name, about } in warnings.iter().take(LOGGED) {
        let Problem { file, place, key, message, help, quotable: _ } = about;
        let (line, column) = place.unzip();
        tracing::warn!(warning = name, file = %file.display(), line, column, key, help, "{message}");
    }
    let more = warnings.len().saturating_sub(LOGGED);
    if more > 0 {
        tracing::warn!(more, "there are more warnings: `hallgate check` lists them all");
    }
}
