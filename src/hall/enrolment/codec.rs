//! Changes of the registry, encoded as ledger entries, and decoded from them when the store lacks one.

use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::RegistryError;
use super::job::EnrolmentJob;
use crate::engine::Json;
use crate::engine::json::{Members, present};
use crate::hall::Token;
use crate::ids::{Digest, TenantId, TokenName, WorkerId};
use crate::ledger::{Ledger, Record, RegistryAction, RegistryChange};
use crate::registry::change::{Change, EntryStamp};
use crate::registry::hash;
use crate::registry::store::Store;

/// How many changes are given to the store at once.
const AT_ONCE: usize = 1000;
/// What every entry of the registry has in it, and no other: a caller's quotes are escaped.
const MARK: &str = "\"kind\":\"registry\"";

/// The record of a change that somebody asks for.
pub(super) fn record(action: RegistryAction, job: &EnrolmentJob) -> Record {
    let hash = job.enrolled.as_ref().map(|enrolled| enrolled.hash);
    let change = of(&job.change, hash, Some(job.token.name.clone()));
    Record::Registry(RegistryChange { action, tenant: tenant(&job.token), ..change })
}

/// What the ledger's entry says of whose change it is.
fn tenant(token: &Token) -> Option<Arc<str>> {
    token.binding.tenant.as_ref().map(TenantId::shared)
}

/// What an entry says of a change; of a record its hash, too.
fn of(change: &Change, of_record: Option<Digest>, token: Option<TokenName>) -> RegistryChange {
    let (action, worker, record, hash, reason) = match change {
        Change::Enroll { worker_id, record } => {
            (RegistryAction::Enrolled, Some(worker_id), Some(record), of_record, None)
        }
        Change::Revoke { worker_id, reason } => (RegistryAction::Revoked, Some(worker_id), None, None, reason.clone()),
        Change::Restore { worker_id } => (RegistryAction::Restored, Some(worker_id), None, None, None),
        Change::Ban { hash, reason } => (RegistryAction::Banned, None, None, Some(*hash), reason.clone()),
        Change::Unban { hash } => (RegistryAction::Unbanned, None, None, Some(*hash), None),
    };
    let (worker, record) = (worker.map(WorkerId::shared), record.map(Arc::clone));
    RegistryChange { action, worker, record, hash, reason, token, tenant: None }
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
        return record_again(store, ledger);
    }
    if taken < health.pruned {
        tracing::warn!(
            taken,
            pruned = health.pruned,
            "entries that the registry's store has not taken were pruned from the ledger: if they changed the registry, that \
             is lost"
        );
    }
    let mut entries = ledger.reader().from_entry(taken).map_err(RegistryError::Ledger)?;
    let mut changes = Vec::new();
    let mut found = 0_usize;
    while let Some((number, json)) = entries.next().map_err(RegistryError::Ledger)? {
        if number >= health.entries {
            break;
        }
        if std::str::from_utf8(json).is_ok_and(|text| text.contains(MARK)) {
            let read = read(json).map_err(|problem| {
                RegistryError::Ledger(io::Error::new(io::ErrorKind::InvalidData, format!("entry {number}: {problem}")))
            })?;
            found += usize::from(read.is_some());
            changes.extend(read);
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

/// Records again what a store keeps and the ledger has no entry of: a ledger that lost its end, as an unsynced one may in a power
/// cut, or another one. What was revoked and banned stays so.
fn record_again(store: &mut Store, ledger: &Ledger) -> Result<(), RegistryError> {
    let mut lost = Vec::new();
    for (change, stamp) in store.changes()? {
        if ledger.reader().find(stamp.id).map_err(RegistryError::Ledger)?.is_none() {
            lost.push((change, stamp));
        }
    }
    tracing::warn!(
        changes = lost.len(),
        "the ledger has fewer entries than the registry's store has taken: it lost its end, or it is another one; what the \
         store keeps of it is recorded again"
    );
    for some in lost.chunks(AT_ONCE) {
        let records = some.iter().map(|(change, stamp)| again(change, stamp)).collect();
        let receipts =
            ledger.record_together(records).map_err(|error| RegistryError::Ledger(io::Error::other(error)))?;
        let kept: Vec<_> = some
            .iter()
            .zip(receipts)
            .map(|((change, stamp), receipt)| (change.clone(), EntryStamp { id: receipt.id(), ..stamp.clone() }))
            .collect();
        store.keep(&kept, ledger.health().entries)?;
    }
    Ok(store.keep(&[], ledger.health().entries)?)
}

fn again(change: &Change, stamp: &EntryStamp) -> Record {
    let of_record = match change {
        Change::Enroll { record, .. } => Json::parse(record.as_bytes()).ok(),
        _ => None,
    };
    let of_record = of_record.as_ref().and_then(Json::as_object).map(hash::of_record);
    Record::Registry(of(change, of_record, stamp.by.clone()))
}

/// Reads a change from its entry. `None`: it says what a remote registry or an operator did, which no store keeps.
fn read(json: &[u8]) -> Result<Option<(Change, EntryStamp)>, String> {
    let entry = Json::parse(json).map_err(|error| error.to_string())?;
    let entry = entry.as_object().ok_or("it is no object")?;
    if present(entry, "action").is_none() && present(entry, "cause").is_some() {
        return Ok(None);
    }
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
    let stamp = EntryStamp {
        id: word::<Uuid>(entry, "receipt_id")?,
        at_micros: at.as_microsecond(),
        by: by.map_err(|error: crate::ids::InvalidId| error.to_string())?,
    };
    Ok(Some((change, stamp)))
}

fn text(entry: &Members, key: &str) -> Result<Arc<str>, String> {
    present(entry, key).and_then(Json::as_str).map(Arc::clone).ok_or_else(|| format!("`{key}` is missing"))
}

fn word<T: std::str::FromStr<Err: std::fmt::Display>>(entry: &Members, key: &str) -> Result<T, String> {
    text(entry, key)?.parse().map_err(|error| format!("`{key}`: {error}"))
}
