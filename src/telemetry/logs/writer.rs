//! Log lines on their way to stderr: a queue that is bounded in bytes and a thread that writes it.
//!
//! The reader of stderr may stall: a pipe is full, journald is stuck, a terminal is stopped. That costs lines, which are counted
//! (`hallgate_log_lines_dropped_total`) and said once the reader is back, and nothing else: whoever logs never waits.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::mem;
use std::os::fd::AsFd as _;
use std::panic::{self, PanicHookInfo};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::Duration;

use crate::telemetry::{Counter, threads};

/// Bytes that may wait. As many again may be on their way to the reader.
const MOST: usize = 1 << 20;
/// Bytes of memory that are kept for the next lines.
const KEPT: usize = 1 << 14;
/// How long the process waits at its end for the reader of its last lines.
const LAST_LINES: Duration = Duration::from_millis(500);
/// How soon it is tried again where a reader takes nothing and writing does not wait for it.
const AGAIN: Duration = Duration::from_millis(20);

static QUEUE: Queue = Queue::new();
static DROPPED: LazyLock<Counter> = LazyLock::new(Counter::default);

/// How many lines nobody will read.
pub fn dropped() -> Counter {
    DROPPED.clone()
}

/// Starts to write what is queued. From here on a panic is a log line, too.
///
/// # Errors
/// There is no thread for it.
pub fn start() -> io::Result<()> {
    static STARTED: Once = Once::new();
    let mut started = Ok(());
    STARTED.call_once(|| started = begin());
    started
}

fn begin() -> io::Result<()> {
    // A file of our own: a lock that somebody holds while the reader stalls must not stand in anybody's way.
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let mut out = Out { to: stderr, batch: Vec::new(), written: 0 };
    threads::start("log", move || out.write(&QUEUE))?;
    // The one that is there writes to stderr, and waits.
    panic::set_hook(Box::new(say_panic));
    Ok(())
}

fn say_panic(panicked: &PanicHookInfo<'_>) {
    // Only what is written in a program: what is put together as it panics may quote a secret.
    let what = panicked.payload().downcast_ref::<&str>();
    let place = panicked.location().map(tracing::field::display);
    let thread = thread::current();
    tracing::error!(thread = thread.name(), place, what, "a panic");
}

/// Says something that is no log line, such as why the process cannot start.
pub fn say(what: impl Display) {
    QUEUE.push(format!("{what}\n").as_bytes());
}

/// Waits until all that was logged is written, but not for long: to be done before the process ends.
pub fn flush() {
    QUEUE.flush(LAST_LINES);
}

/// Where the lines of `tracing` go.
pub struct LogLine;

impl Write for LogLine {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        QUEUE.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Queue {
    waiting: Mutex<Waiting>,
    /// The writer has something to do.
    came: Condvar,
    /// It has nothing to do.
    idle: Condvar,
}

struct Waiting {
    lines: Vec<u8>,
    /// How many were dropped since that was last said.
    dropped: u64,
    writing: bool,
}

impl Queue {
    const fn new() -> Self {
        let waiting = Waiting { lines: Vec::new(), dropped: 0, writing: false };
        Self { waiting: Mutex::new(waiting), came: Condvar::new(), idle: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a line whole, or drops it.
    fn push(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.lines.len() + line.len() > MOST {
            waiting.drop_lines(1);
            return;
        }
        waiting.lines.extend_from_slice(line);
        let rouse = !waiting.writing && waiting.lines.len() == line.len();
        drop(waiting);
        if rouse {
            self.came.notify_one();
        }
    }

    /// Waits for lines, and gives them in the place of those of before.
    fn take(&self, mut before: Vec<u8>) -> Vec<u8> {
        before.clear();
        before.shrink_to(KEPT);
        let mut waiting = self.lock();
        waiting.writing = false;
        if waiting.lines.is_empty() {
            self.idle.notify_all();
        }
        let came = self.came.wait_while(waiting, |waiting| waiting.lines.is_empty());
        let mut waiting = came.unwrap_or_else(PoisonError::into_inner);
        waiting.writing = true;
        mem::replace(&mut waiting.lines, before)
    }

    fn flush(&self, patience: Duration) {
        let busy = |waiting: &mut Waiting| waiting.writing || !waiting.lines.is_empty();
        drop(self.idle.wait_timeout_while(self.lock(), patience, busy));
    }
}

impl Waiting {
    fn drop_lines(&mut self, lines: u64) {
        self.dropped = self.dropped.saturating_add(lines);
        DROPPED.inc_by(lines);
    }
}

/// Where lines are written.
struct Out<W> {
    to: W,
    batch: Vec<u8>,
    /// How much of it is written.
    written: usize,
}

impl<W: Write> Out<W> {
    /// Writes without end.
    fn write(&mut self, queue: &Queue) {
        loop {
            let batch = mem::take(&mut self.batch);
            self.batch = queue.take(batch);
            self.written = 0;
            let result = self.write_batch();
            let left = self.batch.get(self.written..).unwrap_or_default();
            let lost = left.iter().filter(|byte| **byte == b'\n').count() as u64;
            let mut waiting = queue.lock();
            if lost > 0 {
                waiting.drop_lines(lost);
            }
            let dropped = if result.is_ok() { mem::take(&mut waiting.dropped) } else { 0 };
            drop(waiting);
            if dropped > 0 {
                tracing::warn!(lines = dropped, "log lines were dropped: whoever reads them did not keep up");
            }
        }
    }

    fn write_batch(&mut self) -> io::Result<()> {
        while let Some(left) = self.batch.get(self.written..).filter(|left| !left.is_empty()) {
            match self.to.write(left) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(AGAIN),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, PipeReader, pipe};
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    /// A queue that is written into a pipe.
    fn piped() -> (Arc<Queue>, PipeReader) {
        let (reader, to) = pipe().unwrap();
        let queue = Arc::new(Queue::new());
        let from = Arc::clone(&queue);
        thread::spawn(move || Out { to, batch: Vec::new(), written: 0 }.write(&from));
        (queue, reader)
    }

    fn until(queue: &Queue, so: impl Fn(&Waiting) -> bool) {
        let began = Instant::now();
        while !so(&queue.lock()) {
            assert!(began.elapsed() < SOON, "it does not become so");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_reader_that_stalls_costs_lines_and_nobodys_time() {
        let (queue, reader) = piped();
        let long = "x".repeat(1000);
        let began = Instant::now();
        for n in 0..5000 {
            queue.push(format!("{n} {long}\n").as_bytes());
        }
        queue.flush(Duration::from_millis(50));
        assert!(began.elapsed() < SOON, "somebody waited for the reader");
        let dropped = queue.lock().dropped;
        assert!((1..5000).contains(&dropped), "{dropped}");
        assert!(queue.lock().lines.len() <= MOST);

        let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
        let mut last = None;
        for _ in dropped..5000 {
            let line = lines.next().unwrap();
            let (n, rest) = line.split_once(' ').unwrap();
            let n = n.parse::<u64>().unwrap();
            assert!(rest == long && last < Some(n), "lines come whole and in their order, and not {n} behind {last:?}");
            last = Some(n);
        }
        // Nothing is lost any more, and what was lost is said.
        until(&queue, |waiting| waiting.dropped == 0);
        queue.push(b"again\n");
        assert_eq!(lines.next().unwrap(), "again");
        queue.flush(SOON);
        assert!(!queue.lock().writing);
    }

    #[test]
    fn a_reader_that_is_gone_costs_the_lines_only() {
        let (queue, reader) = piped();
        drop(reader);
        queue.push(b"one\ntwo\n");
        until(&queue, |waiting| waiting.dropped == 2);
        queue.push(b"three\n");
        until(&queue, |waiting| waiting.dropped == 3);
    }
}
