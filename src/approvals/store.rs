//! The store: what waits for a human, what was agreed to, and what approvers see, in one SQLite file of its own thread (rusqlite).
//!
//! Contents are there before anybody is told that somebody is asked, and are overwritten with zeros once it is decided. All else follows the
//! book behind its back: what has changed is written again until it is. What the file lacks after a crash the ledger has: the file says up to
//! when it knows everything.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::approval::{Approval, State};
use super::book::Book;
use super::contents::Contents;
use crate::database::{self, Database, Journal, Tables};
use crate::telemetry::threads::{self, Thread};

pub use crate::database::StoreError;

/// Questions that may wait for the thread; more are refused.
const WAITING: usize = 1024;
/// How long a request waits for the store.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often what has changed is written.
const LOOK: Duration = Duration::from_millis(200);
/// An entry may be on record so long before the book knows of it, by far.
const LATE: i64 = 60_000_000;
/// How long the end of the thread is waited for.
const END: Duration = Duration::from_secs(5);

/// The file: "appr", in its first version.
const FILE: Tables = Tables {
    application: 0x6170_7072,
    version: 1,
    sql: "
CREATE TABLE approval (id TEXT PRIMARY KEY NOT NULL, approval TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE contents (id TEXT PRIMARY KEY NOT NULL, contents TEXT NOT NULL) STRICT;
CREATE TABLE noted (one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL) STRICT;
INSERT INTO noted VALUES (1, 0);
",
    journal: Journal::Secret,
    afresh: "what waits for a human is then asked for again",
};

/// The store does not answer: what is held cannot be kept or shown now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the approvals' store does not answer")]
pub struct StoreDown;

/// What a file had.
#[derive(Debug, Default)]
pub struct Restored {
    /// What was kept.
    pub approvals: Vec<Approval>,
    /// Up to when it knows all that the ledger does, in microseconds since 1970 UTC.
    pub noted_micros: i64,
}

/// A file that is open, before its thread is started.
#[derive(Debug)]
pub struct StoreFile {
    path: PathBuf,
    database: Database,
}

impl StoreFile {
    /// Opens the file, or makes it. Contents that belong to nothing are overwritten.
    ///
    /// # Errors
    /// It is in use, locked, damaged, of another version, or cannot be read and written.
    pub fn open(path: &Path) -> Result<(Self, Restored), StoreError> {
        let database = Database::open(path, &FILE)?;
        let failed = database::failed(path, &FILE);
        let connection = &database.connection;
        let read = || -> rusqlite::Result<(Vec<String>, i64)> {
            connection.execute("DELETE FROM contents WHERE id NOT IN (SELECT id FROM approval)", ())?;
            let mut statement = connection.prepare("SELECT approval FROM approval ORDER BY id")?;
            let rows = statement.query_map((), |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
            Ok((rows, connection.query_row("SELECT at FROM noted", (), |row| row.get(0))?))
        };
        let (rows, noted_micros) = read().map_err(&failed)?;
        let approvals = rows.iter().map(|row| serde_json::from_str(row)).collect::<Result<_, _>>();
        let approvals = approvals.map_err(|error: serde_json::Error| StoreError::Damaged {
            path: path.to_owned(),
            problem: error.to_string(),
            afresh: FILE.afresh,
        })?;
        Ok((Self { path: path.to_owned(), database }, Restored { approvals, noted_micros }))
    }
}

/// The handle to the thread.
#[derive(Debug)]
pub struct ApprovalStore {
    jobs: Mutex<Option<SyncSender<Job>>>,
    thread: Mutex<Option<Thread>>,
}

enum Job {
    Keep(Box<(Approval, Contents)>, oneshot::Sender<bool>),
    KeepCallbacks(Uuid, oneshot::Sender<bool>),
    Show(Uuid, oneshot::Sender<Option<Contents>>),
    Write(oneshot::Sender<bool>),
}

impl ApprovalStore {
    /// Starts the thread.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn start(file: StoreFile, book: &Arc<Book>) -> io::Result<Self> {
        let (jobs, come) = sync_channel(WAITING);
        let mut desk = Desk { file, book: Arc::clone(book), is_failing: false };
        let thread = threads::start("approvals-store", move || desk.run(&come))?;
        Ok(Self { jobs: Mutex::new(Some(jobs)), thread: Mutex::new(Some(thread)) })
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, StoreDown> {
        let (answer, answered) = oneshot::channel();
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(StoreDown)?;
        match jobs.try_send(job(answer)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return Err(StoreDown),
        }
        tokio::time::timeout(PATIENCE, answered).await.map_err(|_| StoreDown)?.map_err(|_| StoreDown)
    }

    /// Keeps an approval and what an approver will see of it: both outlast the process from here on, and who is told of it can rely on it.
    ///
    /// # Errors
    /// It is not kept.
    pub async fn keep(&self, approval: &Approval, contents: Contents) -> Result<(), StoreDown> {
        let kept = self.ask(|answer| Job::Keep(Box::new((approval.clone(), contents)), answer)).await?;
        kept.then_some(()).ok_or(StoreDown)
    }

    /// Keeps who has to be told about an approval that is kept.
    ///
    /// # Errors
    /// They are not kept.
    pub async fn keep_callbacks(&self, id: Uuid) -> Result<(), StoreDown> {
        let kept = self.ask(|answer| Job::KeepCallbacks(id, answer)).await?;
        kept.then_some(()).ok_or(StoreDown)
    }

    /// What an approver sees; `None` when it is gone, or never was.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn show(&self, id: Uuid) -> Result<Option<Contents>, StoreDown> {
        self.ask(|answer| Job::Show(id, answer)).await
    }

    /// Has what has changed written: the file has it from here on.
    ///
    /// # Errors
    /// It is not written.
    pub async fn write(&self) -> Result<(), StoreDown> {
        self.ask(Job::Write).await?.then_some(()).ok_or(StoreDown)
    }

    /// Writes what has changed, and ends the thread.
    pub fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            thread.join(END);
        }
    }
}

/// Where the thread works.
struct Desk {
    file: StoreFile,
    book: Arc<Book>,
    is_failing: bool,
}

impl Desk {
    fn run(&mut self, come: &Receiver<Job>) {
        loop {
            let ends = match come.recv_timeout(LOOK) {
                Ok(job) => {
                    self.answer(job);
                    come.try_iter().for_each(|job| self.answer(job));
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            self.write(ends);
            if ends {
                return;
            }
        }
    }

    fn answer(&mut self, job: Job) {
        let connection = &mut self.file.database.connection;
        // Whoever does not wait any more is not told.
        match job {
            // What nobody is told of any more is over before it began.
            Job::Keep(_, answer) if answer.is_closed() => {}
            Job::Keep(opened, answer) => {
                let (approval, contents) = *opened;
                // Somebody may have joined meanwhile who wants to be told, too.
                let approval = self.book.find(approval.id).unwrap_or(approval);
                let kept = keep(connection, &approval, &contents);
                if let Err(error) = &kept {
                    tracing::error!(%error, "what is held for a human cannot be kept: it is refused");
                }
                let _ = answer.send(kept.is_ok());
            }
            Job::KeepCallbacks(id, answer) => {
                let kept = self.book.find(id).is_some_and(|approval| put(connection, &approval).is_ok());
                let _ = answer.send(kept);
            }
            Job::Show(id, answer) => match show(connection, id) {
                Ok(contents) => drop(answer.send(contents)),
                Err(error) => tracing::error!(%error, "what is held for a human cannot be read"),
            },
            Job::Write(answer) => {
                let written = self.write(false);
                let _ = answer.send(written);
            }
        }
    }

    /// Writes what has changed since the last time, all or nothing; at the end also up to when it is known that nothing else has. Whether
    /// the file has all of it now.
    fn write(&mut self, ends: bool) -> bool {
        // By the time of entries, which never goes back: a clock that was ahead for a while would have what follows passed over.
        let at = self.book.newest_micros().saturating_sub(LATE);
        let (changed, gone) = self.book.unkept();
        if changed.is_empty() && gone.is_empty() && !ends {
            return true;
        }
        let written = write(&mut self.file.database.connection, &changed, &gone, at);
        let is_written = written.is_ok();
        match written {
            Ok(()) if self.is_failing => {
                self.is_failing = false;
                tracing::info!("the approvals' store can be written again");
            }
            Ok(()) => {}
            Err(error) => {
                if !self.is_failing {
                    let path = self.file.path.display();
                    tracing::error!(%error, %path, "the approvals' store cannot be written; the ledger has what it lacks");
                }
                self.is_failing = true;
                self.book.still_unkept(changed.iter().map(|approval| approval.id).chain(gone));
            }
        }
        is_written
    }
}

fn keep(connection: &mut Connection, approval: &Approval, contents: &Contents) -> Result<(), String> {
    let text = serde_json::to_string(contents).map_err(|error| error.to_string())?;
    let transaction = connection.transaction().map_err(|error| error.to_string())?;
    put(&transaction, approval)?;
    let sql = "INSERT OR REPLACE INTO contents (id, contents) VALUES (?1, ?2)";
    transaction.execute(sql, params![approval.id.to_string(), text]).map_err(|error| error.to_string())?;
    transaction.commit().map_err(|error| error.to_string())
}

fn put(connection: &Connection, approval: &Approval) -> Result<usize, String> {
    let text = serde_json::to_string(approval).map_err(|error| error.to_string())?;
    let sql = "INSERT OR REPLACE INTO approval (id, approval) VALUES (?1, ?2)";
    connection.execute(sql, params![approval.id.to_string(), text]).map_err(|error| error.to_string())
}

fn show(connection: &Connection, id: Uuid) -> Result<Option<Contents>, String> {
    let sql = "SELECT contents FROM contents WHERE id = ?1";
    let text: Option<String> =
        connection.query_row(sql, [id.to_string()], |row| row.get(0)).optional().map_err(|error| error.to_string())?;
    // What the parser says may quote it, and it goes into the log.
    text.map(|text| serde_json::from_str(&text)).transpose().map_err(|_| "it is not as it was written".to_owned())
}

fn write(connection: &mut Connection, changed: &[Approval], gone: &[Uuid], at: i64) -> Result<(), String> {
    let written = |error: rusqlite::Error| error.to_string();
    let transaction = connection.transaction().map_err(written)?;
    for approval in changed {
        put(&transaction, approval)?;
        if approval.state != State::Pending {
            let sql = "DELETE FROM contents WHERE id = ?1";
            transaction.execute(sql, [approval.id.to_string()]).map_err(written)?;
        }
    }
    for id in gone {
        for sql in ["DELETE FROM approval WHERE id = ?1", "DELETE FROM contents WHERE id = ?1"] {
            transaction.execute(sql, [id.to_string()]).map_err(written)?;
        }
    }
    transaction.execute("UPDATE noted SET at = max(at, ?1)", [at]).map_err(written)?;
    transaction.commit().map_err(written)
}
