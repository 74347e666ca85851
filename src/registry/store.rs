//! The store: what the API has enrolled, revoked and banned, in one SQLite file, to be looked up by key (rusqlite).
//!
//! The ledger comes first and has all of it, so the store is its index: it says how many of the ledger's entries it has taken,
//! and whoever opens it gives it the rest. Whatever is wrong with the file is an error: a store that began empty in the place of
//! a damaged one would forget every revocation.

mod schema;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior, params};
use uuid::Uuid;

use super::change::{Change, EntryStamp, Mark};
pub use crate::database::StoreError;
use crate::database::{self, Database};
use crate::ids::{Digest, TokenName, WorkerId};

/// What a store keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Enrolled workers, by id.
    pub workers: Vec<StoredWorker>,
    /// Revoked workers, by id.
    pub revoked: Vec<(WorkerId, Mark)>,
    /// Banned hashes.
    pub banned: Vec<(Digest, Mark)>,
    /// How many of the ledger's entries were taken: of those before, none is missing here.
    pub taken: u64,
}

/// An enrolled worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredWorker {
    /// Its id.
    pub worker_id: String,
    /// Its record, as it was recorded.
    pub record: String,
    /// The ledger's entry that enrolled it first.
    pub enrollment_id: Uuid,
    /// When, in microseconds since 1970 UTC.
    pub enrolled_at_micros: i64,
    /// When its record changed last.
    pub updated_at_micros: i64,
}

/// A store that is open for writing. One process has it at a time; others may read.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    database: Database,
}

/// Says what an error of SQLite means for this file.
fn failed(path: &Path) -> impl Fn(rusqlite::Error) -> StoreError {
    database::failed(path, &schema::FILE)
}

fn damaged(path: &Path, problem: String) -> StoreError {
    StoreError::Damaged { path: path.to_owned(), problem, afresh: schema::FILE.afresh }
}

impl Store {
    /// Opens the store, or makes it, and checks it whole.
    ///
    /// # Errors
    /// It is in use, locked, damaged, of another version, or cannot be read and written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = Database::open(path, &schema::FILE)?;
        let store = Self { path: path.to_owned(), database };
        store.kept()?;
        Ok(store)
    }

    /// What a store keeps, for a process that only reads. Nothing where there is no file.
    ///
    /// # Errors
    /// It is locked, damaged, of another version, or cannot be read.
    pub fn read(path: &Path) -> Result<Kept, StoreError> {
        let Some(mut connection) = database::read(path, &schema::FILE)? else { return Ok(Kept::default()) };
        // One transaction, so that all tables are of one moment.
        let transaction = connection.transaction().map_err(failed(path))?;
        kept(&transaction, path)
    }

    /// What it keeps.
    ///
    /// # Errors
    /// It cannot be read, or holds what cannot be.
    pub fn kept(&self) -> Result<Kept, StoreError> {
        kept(&self.database.connection, &self.path)
    }

    /// What it keeps as the changes that it comes from, each with its entry: the last of each worker and hash.
    ///
    /// # Errors
    /// It cannot be read, or holds what cannot be.
    pub fn changes(&self) -> Result<Vec<(Change, EntryStamp)>, StoreError> {
        let failed = failed(&self.path);
        let mut statement = self.database.connection.prepare(schema::CHANGES).map_err(&failed)?;
        let rows = statement.query_map((), |row| {
            let kind: String = row.get(0)?;
            let texts: (String, Option<String>, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
            Ok((kind, texts, row.get::<_, i64>(4)?, row.get::<_, Option<String>>(5)?))
        });
        let mut changes = Vec::new();
        for row in rows.map_err(&failed)? {
            let (kind, (key, text, id), at_micros, by) = row.map_err(&failed)?;
            let change = change(&kind, &key, text.map(Arc::from), &id, at_micros, by.as_deref());
            changes.push(change.map_err(|problem| damaged(&self.path, problem))?);
        }
        Ok(changes)
    }

    /// Keeps these changes, all or none. With them so many of the ledger's entries are taken.
    ///
    /// # Errors
    /// It cannot be written: it is as it was.
    pub fn keep(&mut self, changes: &[(Change, EntryStamp)], taken: u64) -> Result<(), StoreError> {
        let failed = failed(&self.path);
        let transaction =
            self.database.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        for (change, stamp) in changes {
            keep(&transaction, change, stamp).map_err(&failed)?;
        }
        let taken = i64::try_from(taken).unwrap_or(i64::MAX);
        transaction.execute("UPDATE ledger SET taken = ?1", [taken]).map_err(&failed)?;
        transaction.commit().map_err(&failed)
    }
}

fn change(
    kind: &str,
    key: &str,
    text: Option<Arc<str>>,
    id: &str,
    at_micros: i64,
    by: Option<&str>,
) -> Result<(Change, EntryStamp), String> {
    let worker_id = || key.parse::<WorkerId>().map_err(|error| error.to_string());
    let change = match kind {
        "worker" => {
            Change::Enroll { worker_id: worker_id()?, record: text.ok_or_else(|| format!("`{key}` has no record"))? }
        }
        "revocation" => Change::Revoke { worker_id: worker_id()?, reason: text },
        _ => Change::Ban { hash: key.parse().map_err(|error: crate::ids::InvalidId| error.to_string())?, reason: text },
    };
    let id = Uuid::try_parse(id).map_err(|error| format!("`{key}` has no sound receipt_id: {error}"))?;
    let by = by.map(str::parse).transpose().map_err(|error: crate::ids::InvalidId| error.to_string())?;
    Ok((change, EntryStamp { id, at_micros, by }))
}

fn keep(connection: &Connection, change: &Change, stamp: &EntryStamp) -> rusqlite::Result<usize> {
    let (id, at) = (stamp.id.to_string(), stamp.at_micros);
    let by = stamp.by.as_ref().map(TokenName::as_str);
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| connection.prepare(sql)?.execute(values);
    match change {
        Change::Enroll { worker_id, record } => run(schema::ENROLL, params![worker_id.as_str(), &**record, id, at, by]),
        Change::Revoke { worker_id, reason } => {
            run(schema::REVOKE, params![worker_id.as_str(), id, at, by, reason.as_deref()])
        }
        Change::Restore { worker_id } => run(schema::RESTORE, params![worker_id.as_str()]),
        Change::Ban { hash, reason } => run(schema::BAN, params![hash.to_hex(), id, at, by, reason.as_deref()]),
        Change::Unban { hash } => run(schema::UNBAN, params![hash.to_hex()]),
    }
}

fn kept(connection: &Connection, path: &Path) -> Result<Kept, StoreError> {
    let failed = failed(path);
    let damaged = |problem: String| damaged(path, problem);
    let all = |sql: &str| -> rusqlite::Result<Vec<[Value; 5]>> {
        let mut statement = connection.prepare(sql)?;
        let rows = statement
            .query_map((), |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?].map(Value)))?;
        rows.collect()
    };
    let mut kept = Kept::default();
    for [worker_id, record, enrollment_id, enrolled_at, updated_at] in all(schema::WORKERS).map_err(&failed)? {
        let worker_id = worker_id.text().map_err(&damaged)?;
        let enrollment_id = enrollment_id.text().map_err(&damaged)?;
        kept.workers.push(StoredWorker {
            record: record.text().map_err(&damaged)?,
            enrollment_id: Uuid::try_parse(&enrollment_id)
                .map_err(|error| damaged(format!("worker `{worker_id}` has no sound enrollment_id: {error}")))?,
            enrolled_at_micros: enrolled_at.integer().map_err(&damaged)?,
            updated_at_micros: updated_at.integer().map_err(&damaged)?,
            worker_id,
        });
    }
    for [worker_id, since, reason, _, _] in all(schema::REVOKED).map_err(&failed)? {
        let worker_id = worker_id.text().map_err(&damaged)?;
        let worker_id = worker_id.parse().map_err(|error: crate::ids::InvalidId| damaged(error.to_string()))?;
        kept.revoked.push((worker_id, mark(since, reason).map_err(&damaged)?));
    }
    for [hash, since, reason, _, _] in all(schema::BANNED).map_err(&failed)? {
        let hash = hash.text().map_err(&damaged)?;
        let hash = hash.parse().map_err(|error: crate::ids::InvalidId| damaged(error.to_string()))?;
        kept.banned.push((hash, mark(since, reason).map_err(&damaged)?));
    }
    let taken: i64 = connection.query_row("SELECT taken FROM ledger", (), |row| row.get(0)).map_err(&failed)?;
    kept.taken = u64::try_from(taken).map_err(|_| damaged(format!("{taken} entries cannot have been taken")))?;
    Ok(kept)
}

fn mark(since: Value, reason: Value) -> Result<Mark, String> {
    let reason = if reason.0 == rusqlite::types::Value::Null { None } else { Some(Arc::from(reason.text()?)) };
    Ok(Mark { since_micros: since.integer()?, reason })
}

/// A value as it is in the file: a column's type is SQLite's advice only.
struct Value(rusqlite::types::Value);

impl Value {
    fn text(self) -> Result<String, String> {
        match self.0 {
            rusqlite::types::Value::Text(text) => Ok(text),
            other => Err(format!("{other:?} is no text")),
        }
    }

    fn integer(self) -> Result<i64, String> {
        match self.0 {
            rusqlite::types::Value::Integer(integer) => Ok(integer),
            other => Err(format!("{other:?} is no integer")),
        }
    }
}

#[cfg(test)]
mod tests;
