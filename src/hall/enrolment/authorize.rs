//! Authorization of a change of the registry: whether this token may make it, given who is enrolled.

use super::job::EnrolmentJob;
use super::{NotChanged, validate};
use crate::engine::snapshot::WorkerStatus;
use crate::hall::{Scope, Token};
use crate::ledger::RegistryAction;
use crate::registry::change::Change;
use crate::registry::records::Enrolled;
use crate::registry::roster::{Listed, Origin, Roster};

/// The most workers that are enrolled over the API: a token must not be able to fill the memory.
const MOST: usize = 100_000;

/// What a change comes to: what happens, or nothing where all is so already.
pub(super) fn authorize(job: &EnrolmentJob, roster: &Roster) -> Result<Option<RegistryAction>, NotChanged> {
    let token = &job.token;
    match &job.change {
        Change::Enroll { .. } => match &job.enrolled {
            Some(enrolled) => enroll(token, enrolled, roster),
            None => Err(NotChanged::Inside("a record was not read".to_owned())),
        },
        Change::Revoke { worker_id, .. } => {
            let known = own(token, worker_id.as_str(), roster)?;
            Ok(known.revoked.is_none().then_some(RegistryAction::Revoked))
        }
        Change::Restore { worker_id } => {
            let known = own(token, worker_id.as_str(), roster)?;
            if known.revoked.is_none() && known.status != WorkerStatus::Active {
                return Err(NotChanged::Conflict(format!(
                    "worker `{worker_id}` is not active by its record or a ban, and not by a revocation: change its record, or \
                     take the ban back"
                )));
            }
            Ok(known.revoked.is_some().then_some(RegistryAction::Restored))
        }
        Change::Ban { hash, .. } => {
            unbound(token)?;
            Ok((!roster.is_banned(hash)).then_some(RegistryAction::Banned))
        }
        Change::Unban { hash } => {
            unbound(token)?;
            Ok(roster.is_banned(hash).then_some(RegistryAction::Unbanned))
        }
    }
}

/// What enrolling a worker comes to.
pub(super) fn enroll(
    token: &Token,
    enrolled: &Enrolled,
    roster: &Roster,
) -> Result<Option<RegistryAction>, NotChanged> {
    let id = &enrolled.worker.worker_id;
    if roster.ban_of(enrolled).is_some() {
        return Err(NotChanged::Banned);
    }
    let Some(known) = roster.find(id.as_str()) else {
        if roster.stored() >= MOST {
            return Err(NotChanged::Conflict(format!("{MOST} workers are enrolled over the API, and no more can be")));
        }
        return Ok(Some(RegistryAction::Enrolled));
    };
    // As if it were nobody's: whose it is is not this caller's to learn.
    if let Err(why) = validate::may_enroll(token, known.enrolled).and_then(|()| validate::may_enroll(token, enrolled)) {
        return Err(NotChanged::NotAllowed(match &token.binding.tenant {
            Some(tenant) => format!("`worker_id`: the token is bound to `{tenant}`, and `{id}` is not its to enroll"),
            None => why,
        }));
    }
    if known.origin == Origin::Folder {
        return Err(NotChanged::Conflict(format!(
            "`worker_id`: `{id}` is enrolled in `policy.workers`, which the API does not change; edit its record there, or enroll \
             under another id"
        )));
    }
    if !token.may(Scope::Admin) {
        let before = &known.enrolled.worker.species;
        if *before != enrolled.worker.species {
            return Err(NotChanged::NotAllowed(format!(
                "`worker_species_id`: `{id}` is enrolled as `{before}`; only a token with the scope `admin` changes that"
            )));
        }
        for key in ["owner", "tenant_id"] {
            if known.enrolled.text(key) != enrolled.text(key) {
                return Err(NotChanged::NotAllowed(format!(
                    "`{key}`: it is another one than `{id}` is enrolled with; only a token with the scope `admin` changes that"
                )));
            }
        }
    }
    Ok((known.enrolled.record != enrolled.record).then_some(RegistryAction::Updated))
}

/// The worker, if the token may change it; another's is answered as one that is not there.
fn own<'r>(token: &Token, id: &str, roster: &'r Roster) -> Result<Listed<'r>, NotChanged> {
    let known = roster.find(id).ok_or(NotChanged::Unknown)?;
    validate::may_enroll(token, known.enrolled).map_err(|_| NotChanged::Unknown)?;
    Ok(known)
}

/// A ban is about every tenant's workers.
fn unbound(token: &Token) -> Result<(), NotChanged> {
    let binding = &token.binding;
    if binding.tenant.is_none() && binding.workers.is_none() && binding.envs.is_none() {
        return Ok(());
    }
    Err(NotChanged::NotAllowed(
        "a ban counts for every tenant; use a token with the scope `admin` that is bound to nothing".to_owned(),
    ))
}
