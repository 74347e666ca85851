//! A `hallgate demo` that is up, on ports of its own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::{program, signal};

/// Ports of the system's choosing, so that tests can run side by side.
pub const ANY_PORTS: &[&str] = &["--gate-port", "0", "--hall-port", "0"];

/// What a demo tells to export.
pub const EXPORTED: &[&str] =
    &["HALL_SESSION_TOKEN", "HALL_READ_TOKEN", "HALL_APPROVER_TOKEN", "HALLGATE_LEDGER", "HALLGATE_KEY"];

/// A demo that has taken its walk and stays up. Dropped, it is killed.
pub struct Demo {
    child: Child,
    /// What it has printed.
    pub page: String,
}

impl Demo {
    /// Starts one and waits until it stays up.
    pub fn start() -> Self {
        let mut child = Command::new(program()).arg("demo").args(ANY_PORTS).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut demo = Self { child, page: String::new() };
        while !demo.page.contains("Ctrl-C") {
            assert_ne!(out.read_line(&mut demo.page).unwrap(), 0, "the demo has ended:\n{}", demo.page);
        }
        // It goes on writing; somebody must read.
        demo.child.stdout = Some(out.into_inner());
        demo
    }

    /// The value that it tells to export under this name.
    pub fn exported(&self, name: &str) -> &str {
        let line = self
            .page
            .lines()
            .find_map(|line| line.trim().strip_prefix("export ")?.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("`export {name}=` is not in:\n{}", self.page))
    }

    /// The first word of the line that begins with this name.
    pub fn introduced(&self, name: &str) -> &str {
        let line = self.page.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|line| line.split_whitespace().next()).unwrap_or_else(|| panic!("no `{name}` in:\n{}", self.page))
    }

    /// A shell that runs this script as someone would who copied the `export` lines.
    pub fn shell(&self, script: &str, folder: &Path) -> Command {
        let mut shell = Command::new("bash");
        let path = format!("{}:{}", program().parent().unwrap().display(), std::env::var("PATH").unwrap());
        shell.args(["-eu", "-o", "pipefail", "-c", script]).current_dir(folder).env("PATH", path);
        shell.envs(EXPORTED.iter().map(|name| (name, self.exported(name))));
        shell
    }

    /// Sends it a signal and waits for its end. Gives its exit code and the last it printed.
    pub fn end(mut self, name: &str) -> (Option<i32>, String) {
        signal(self.child.id(), name);
        let rest = std::io::read_to_string(self.child.stdout.take().unwrap()).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
