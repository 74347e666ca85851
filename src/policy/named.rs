//! The entities that policies name, and where: for whoever knows which of them there are.

use std::path::PathBuf;
use std::sync::Arc;

use cedar_policy::EntityUid;

use super::files::PolicyFile;
use super::source::PolicySource;

/// An entity that a policy names, such as `Worker::"wrk_make_acme_prod"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedEntity {
    /// Its type, such as `Worker`.
    pub kind: Arc<str>,
    /// Its id.
    pub id: Arc<str>,
    /// The policy.
    pub policy: Arc<str>,
    /// The policy's file.
    pub file: PathBuf,
    /// Line and column in characters, both from 1.
    pub place: (usize, usize),
}

/// Every entity that these policies name, each once a policy, in the order of the files.
pub(super) fn of(files: &[PolicyFile], written: &[PolicySource]) -> Vec<NamedEntity> {
    let mut named: Vec<NamedEntity> = Vec::new();
    for source in written {
        let Some(file) = files.get(source.file) else { continue };
        for uid in source.policy.entity_literals() {
            let entity = NamedEntity {
                kind: uid.type_name().to_string().into(),
                id: Arc::from(uid.id().unescaped()),
                policy: Arc::clone(&source.id),
                file: file.path.clone(),
                place: file.place(offset(file, source.offset, &uid)),
            };
            if !named.contains(&entity) {
                named.push(entity);
            }
        }
    }
    named
}

/// The files in which no policy is.
pub(super) fn empty(files: &[PolicyFile], written: &[PolicySource]) -> Vec<PathBuf> {
    let empty = files.iter().enumerate().filter(|(at, _)| written.iter().all(|source| source.file != *at));
    empty.map(|(_, file)| file.path.clone()).collect()
}

/// Where an entity stands behind the beginning of its policy; the beginning itself where it is written in an unusual way.
fn offset(file: &PolicyFile, policy: usize, uid: &EntityUid) -> usize {
    let behind = file.text.get(policy..).unwrap_or_default();
    behind.find(&uid.to_string()).map_or(policy, |at| policy + at)
}
