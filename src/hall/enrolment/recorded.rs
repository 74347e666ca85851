//! The ledger's entries of the registry: a change becomes one, and is read back from one when the store lacks it.

use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::RegistryError;
use crate::engine::Json;
use crate::engine::json::{Members, present};
use crate::ledger::{Ledger, Record, RegistryAction, RegistryChange};
use crate::registry::change::{Change, Stamp};
use crate::registry::store::Store;

/// How many changes are given to the store at once.
const AT_ONCE: usize = 1000;
/// What every entry of the registry has in it, and no other: a caller's quotes are escaped.
const MARK: &str = "\"kind\":\"registry\"";

/// The record of a change.
pub(super) fn record(action: RegistryAction, change: &Change, job: &super::Job) -> Record {
    let (worker, record, hash, reason) = match change {
        Change::Enroll { worker_id, record } => {
            let hash = job.enrolled.as_ref().map(|enrolled| enrolled.hash);
            (Some(worker_id), Some(Arc::clone(record)), hash, None)
        }
        Change::Revoke { worker_id, reason } => (Some(worker_id), None, None, reason.clone()),
        Change::Restore { worker_id } => (Some(worker_id), None, None, None),
        Change::Ban { hash, reason } => (None, None, Some(*hash), reason.clone()),
        Change::Unban { hash } => (None, None, Some(*hash), None),
    };
    Record::Registry(RegistryChange {
        action,
        worker: worker.map(crate::ids::WorkerId::shared),
        record,
        hash,
        reason,
        token: Some(job.token.name.clone()),
        tenant: super::judge::tenant(&job.token),
    })
}

/// Gives a store what the ledger has and it has not: after a crash between the two, and when the store is new or an older one.
pub(super) fn bring_up(store: &mut Store, ledger: &Ledger) -> Result<(), RegistryError> {
    let health = ledger.health();
    if health.broken {
        // Nothing is recorded or decided until somebody has looked at it.
        return Ok(());
    }
    let taken = store.kept()?.taken;
    if taken > health.entries {
        tracing::warn!(
            taken,
            entries = health.entries,
            "the ledger has fewer entries than the registry's store has taken: it lost its end, or it is another one; what was \
             enrolled, revoked and banned stays so"
        );
        store.keep(&[], health.entries)?;
        return Ok(());
    }
    if taken < health.pruned {
        tracing::warn!(
            taken,
            pruned = health.pruned,
            "entries that the registry's store has not taken were pruned from the ledger: if they changed the registry, that \
             is lost"
        );
    }
    let mut entries = ledger.entries_from(taken).map_err(RegistryError::Ledger)?;
    let mut changes = Vec::new();
    let mut found = 0_usize;
    while let Some((number, json)) = entries.next().map_err(RegistryError::Ledger)? {
        if number >= health.entries {
            break;
        }
        if std::str::from_utf8(json).is_ok_and(|text| text.contains(MARK)) {
            changes.push(read(json).map_err(|problem| {
                RegistryError::Ledger(io::Error::new(io::ErrorKind::InvalidData, format!("entry {number}: {problem}")))
            })?);
            found += 1;
        }
        if changes.len() >= AT_ONCE {
            store.keep(&changes, number + 1)?;
            changes.clear();
        }
    }
    if taken < health.entries {
        store.keep(&changes, health.entries)?;
    }
    if found > 0 {
        tracing::warn!(changes = found, "the registry's store was behind the ledger and was brought up to it");
    }
    Ok(())
}

/// Reads a change from its entry.
fn read(json: &[u8]) -> Result<(Change, Stamp), String> {
    let entry = Json::parse(json).map_err(|error| error.to_string())?;
    let entry = entry.as_object().ok_or("it is no object")?;
    let optional = |key: &str| present(entry, key).and_then(Json::as_str).map(Arc::clone);
    let worker = || word(entry, "worker_id");
    let change = match &*text(entry, "action")? {
        "enrolled" | "updated" => Change::Enroll { worker_id: worker()?, record: text(entry, "record")? },
        "revoked" => Change::Revoke { worker_id: worker()?, reason: optional("reason") },
        "restored" => Change::Restore { worker_id: worker()? },
        "banned" => Change::Ban { hash: word(entry, "hash")?, reason: optional("reason") },
        "unbanned" => Change::Unban { hash: word(entry, "hash")? },
        other => return Err(format!("`action` is `{other}`, which this program does not know")),
    };
    let at: Timestamp = word(entry, "recorded_at")?;
    let by = optional("token").map(|name| name.parse()).transpose();
    let stamp = Stamp {
        id: word::<Uuid>(entry, "receipt_id")?,
        at_micros: at.as_microsecond(),
        by: by.map_err(|error: crate::ids::InvalidId| error.to_string())?,
    };
    Ok((change, stamp))
}

fn text(entry: &Members, key: &str) -> Result<Arc<str>, String> {
    present(entry, key).and_then(Json::as_str).map(Arc::clone).ok_or_else(|| format!("`{key}` is missing"))
}

fn word<T: std::str::FromStr<Err: std::fmt::Display>>(entry: &Members, key: &str) -> Result<T, String> {
    text(entry, key)?.parse().map_err(|error| format!("`{key}`: {error}"))
}
