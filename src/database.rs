//! SQLite files of ours: one process writes each at a time, what is opened is ours, of a version that we know, and whole.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

/// How long we wait for another process that has the file locked.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is wrong with a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another Hall has it.
    #[error("`{}` is in use by another process: end it, or give each Hall a store of its own", .0.display())]
    InUse(PathBuf),
    /// Something else has it locked.
    #[error("`{}` is locked by another process: end it and try again", .0.display())]
    Locked(PathBuf),
    /// It does not hold together.
    #[error(
        "`{}` is damaged or no store of hallgate: {problem}; restore it from a backup, or move it away: {afresh}",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What becomes of what was in it.
        afresh: &'static str,
    },
    /// Another version wrote it.
    #[error("`{}` is of version {found}, and this program knows version {known}: use the program that wrote it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// It cannot be read or written.
    #[error("`{}` cannot be used: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
}

/// What a file is made of.
#[derive(Debug)]
pub struct Tables {
    /// Says whose file it is (`application_id`).
    pub application: i64,
    /// The version of the tables (`user_version`).
    pub version: i64,
    /// What makes them.
    pub sql: &'static str,
    /// How it is written.
    pub journal: Journal,
    /// What becomes of what was in it when it is moved away, as half a sentence.
    pub afresh: &'static str,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Journal {
    /// Others may read it meanwhile.
    WriteAhead,
    /// What is deleted is overwritten with zeros, in the file and in its journal.
    Secret,
}

/// A file that is open for writing. One process has it at a time.
#[derive(Debug)]
pub struct Database {
    /// The connection.
    pub connection: Connection,
    _lock: File,
}

impl Database {
    /// Opens a file, or makes it, and checks it whole.
    ///
    /// # Errors
    /// It is in use, locked, damaged, of another version, or cannot be read and written.
    pub fn open(path: &Path, tables: &Tables) -> Result<Self, StoreError> {
        let unusable = |error: io::Error| StoreError::File { path: path.to_owned(), problem: error.to_string() };
        let lock = hold(path)?;
        // Before SQLite makes it: what is in it is nobody else's to read.
        OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(unusable)?;
        let failed = failed(path, tables);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(&failed)?;
        connection.busy_timeout(PATIENCE).map_err(&failed)?;
        let (wanted, problem) = match tables.journal {
            Journal::WriteAhead => ("wal", "a write-ahead log"),
            Journal::Secret => ("truncate", "truncated"),
        };
        if tables.journal == Journal::Secret {
            connection.pragma_update(None, "secure_delete", "ON").map_err(&failed)?;
        }
        let mode: String =
            connection.pragma_update_and_check(None, "journal_mode", wanted, |row| row.get(0)).map_err(&failed)?;
        if mode != wanted {
            let problem = format!("its journal cannot be {problem}, but is `{mode}`: use a local disk");
            return Err(StoreError::File { path: path.to_owned(), problem });
        }
        connection.pragma_update(None, "synchronous", "FULL").map_err(&failed)?;
        prepare(&mut connection, path, tables)?;
        let found: String = connection.query_row("PRAGMA quick_check(1)", (), |row| row.get(0)).map_err(&failed)?;
        if found != "ok" {
            return Err(StoreError::Damaged { path: path.to_owned(), problem: found, afresh: tables.afresh });
        }
        // Whoever holds the file's write lock is found now, and not at the first change.
        connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(rusqlite::Transaction::commit)
            .map_err(&failed)?;
        Ok(Self { connection, _lock: lock })
    }
}

/// A connection for a process that only reads. `None` where there is no file, or nothing was ever in it.
///
/// # Errors
/// It is locked, damaged, of another version, or cannot be read.
pub fn read(path: &Path, tables: &Tables) -> Result<Option<Connection>, StoreError> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // What `open` has begun and SQLite has not.
        Ok(found) if found.len() == 0 => return Ok(None),
        Err(error) => return Err(StoreError::File { path: path.to_owned(), problem: error.to_string() }),
        Ok(_) => {}
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed(path, tables))?;
    connection.busy_timeout(PATIENCE).map_err(failed(path, tables))?;
    Ok(is_there(&connection, path, tables)?.then_some(connection))
}

/// Says what an error of SQLite means for this file.
pub fn failed(path: &Path, tables: &Tables) -> impl Fn(rusqlite::Error) -> StoreError {
    let afresh = tables.afresh;
    move |error| {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked(path),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                StoreError::Damaged { path, problem: error.to_string(), afresh }
            }
            _ => StoreError::File { path, problem: error.to_string() },
        }
    }
}

/// Makes the tables where there are none, and checks whose they are.
fn prepare(connection: &mut Connection, path: &Path, tables: &Tables) -> Result<(), StoreError> {
    if is_there(connection, path, tables)? {
        return Ok(());
    }
    let failed = failed(path, tables);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
    transaction.execute_batch(tables.sql).map_err(&failed)?;
    transaction.pragma_update(None, "application_id", tables.application).map_err(&failed)?;
    transaction.pragma_update(None, "user_version", tables.version).map_err(&failed)?;
    transaction.commit().map_err(&failed)
}

/// Whether our tables are there. False in an empty file; an error in any other.
fn is_there(connection: &Connection, path: &Path, tables: &Tables) -> Result<bool, StoreError> {
    let failed = failed(path, tables);
    let number = |sql: &str| connection.query_row(sql, (), |row| row.get::<_, i64>(0)).map_err(&failed);
    let found = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    let path = path.to_owned();
    match found {
        (ours, version) if (ours, version) == (tables.application, tables.version) => Ok(true),
        (0, 0) if number("SELECT count(*) FROM sqlite_schema")? == 0 => Ok(false),
        (ours, found) if ours == tables.application => Err(StoreError::Version { path, found, known: tables.version }),
        _ => {
            let problem = "its tables are another program's".to_owned();
            Err(StoreError::Damaged { path, problem, afresh: tables.afresh })
        }
    }
}

/// No other process may have it. The lock is on a file beside it: SQLite's own locks would go with a second handle on its file.
fn hold(path: &Path) -> Result<File, StoreError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push("-lock");
    let unusable = |error: io::Error| StoreError::File { path: path.to_owned(), problem: error.to_string() };
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&beside);
    let file = file.map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}
