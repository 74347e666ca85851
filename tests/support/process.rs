//! A running `serve`, its doors and its log. Dropped, it is killed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;

use serde_json::Value;

use crate::http::ask_if_there;
use crate::{PATIENCE, signal};

/// A running `serve`.
pub struct Process {
    id: u32,
    child: Mutex<Child>,
    log: Arc<Log>,
    starting: OnceLock<Value>,
}

/// What it says on stderr.
#[derive(Default)]
struct Log {
    lines: Mutex<Lines>,
    more: Condvar,
}

impl Log {
    /// Also for a test that has failed meanwhile.
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Lines {
    said: Vec<String>,
    /// How many of them somebody has waited for.
    heard: usize,
    ended: bool,
}

impl Process {
    /// Starts this, which is `serve` or becomes it, and waits until it says where it listens.
    pub fn start(command: &mut Command) -> Self {
        let process = Self::begin(command);
        let line = process.wait_for_log("\"starting\"");
        process.starting.set(serde_json::from_str(&line).unwrap()).unwrap();
        process
    }

    /// Starts it and waits for nothing.
    pub fn begin(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Log::default());
        let into = Arc::clone(&log);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                into.lines().said.push(line);
                into.more.notify_all();
            }
            into.lines().ended = true;
            into.more.notify_all();
        });
        Self { id: child.id(), child: Mutex::new(child), log, starting: OnceLock::new() }
    }

    /// Where a door is, by its name in the log.
    #[track_caller]
    pub fn door(&self, name: &str) -> SocketAddr {
        let said = self.starting.get().unwrap();
        said[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {said}")).parse().unwrap()
    }

    /// Where its gate is.
    pub fn gate(&self) -> SocketAddr {
        self.door("gate")
    }

    /// Where its Hall is.
    pub fn hall(&self) -> SocketAddr {
        self.door("hall")
    }

    /// The status of `/readyz`; `None` when nobody listens.
    pub fn readiness(&self) -> Option<u16> {
        Some(ask_if_there(self.hall(), "GET /readyz", &[], "")?.status)
    }

    /// All that was logged so far.
    pub fn log(&self) -> String {
        self.log.lines().said.join("\n")
    }

    /// The first log line with this in it after the one that was waited for last.
    #[track_caller]
    pub fn wait_for_log(&self, what: &str) -> String {
        let began = Instant::now();
        let mut lines = self.log.lines();
        loop {
            while let Some(line) = lines.said.get(lines.heard).cloned() {
                lines.heard += 1;
                if line.contains(what) {
                    return line;
                }
            }
            // Others may be logged without end.
            let left = PATIENCE.saturating_sub(began.elapsed());
            assert!(!lines.ended && !left.is_zero(), "no {what} in:\n{}", lines.said.join("\n"));
            lines = self.log.more.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// The process's id.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// A line of `/proc/…/status` in bytes, such as `VmRSS`.
    pub fn memory(&self, line: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id)).unwrap();
        let line = status.lines().find_map(|read| read.strip_prefix(line)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// From now on it may write files up to so many bytes, or `unlimited`.
    pub fn limit_files(&self, bytes: &str) {
        let limit = ["--pid", &self.id.to_string(), &format!("--fsize={bytes}:")];
        assert!(Command::new("prlimit").args(limit).status().unwrap().success(), "util-linux sets the limit");
    }

    /// Tells it to end (SIGTERM).
    pub fn terminate(&self) {
        signal(self.id, "TERM");
    }

    /// Tells it to look at its files (SIGHUP).
    pub fn hang_up(&self) {
        signal(self.id, "HUP");
    }

    /// Ends it as no process can notice (SIGKILL).
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits for its end, and gives its exit code.
    #[track_caller]
    pub fn ended(&self) -> Option<i32> {
        let lines = self.log.lines();
        let (lines, _) = self.log.more.wait_timeout_while(lines, PATIENCE, |lines| !lines.ended).unwrap();
        assert!(lines.ended, "it does not end:\n{}", lines.said.join("\n"));
        drop(lines);
        self.child.lock().unwrap().wait().unwrap().code()
    }

    /// Ends it in order.
    #[track_caller]
    pub fn end(&self) {
        self.terminate();
        assert_eq!(self.ended(), Some(0), "{}", self.log());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
        if thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}
