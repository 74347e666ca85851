//! The demo's page: plain text on stdout, with colour only on a terminal.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};

/// Where the demo writes.
#[derive(Debug)]
pub struct Page {
    colour: bool,
}

impl Page {
    /// Stdout; in colour on a terminal that wants it.
    #[must_use]
    pub fn stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colour: wanted && std::io::stdout().is_terminal() }
    }

    /// Writes a line. A reader that went away does not end the demo.
    pub fn line(&self, text: impl Display) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }

    /// Writes an empty line and a title.
    pub fn title(&self, text: &str) {
        let title = self.painted("1", text);
        self.line(format_args!("\n{title}"));
    }

    /// Text that says yes.
    #[must_use]
    pub fn yes(&self, text: &str) -> String {
        self.painted("32", text)
    }

    /// Text that says no.
    #[must_use]
    pub fn no(&self, text: &str) -> String {
        self.painted("31", text)
    }

    /// Text that stands back.
    #[must_use]
    pub fn faint(&self, text: &str) -> String {
        self.painted("2", text)
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
