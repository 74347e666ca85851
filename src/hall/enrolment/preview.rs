//! What an enrolment would come to: the record's hash, and how it differs from the one that is in force. Nothing is changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{NotChanged, authorize, validate};
use crate::engine::Json;
use crate::hall::{Hall, Token};
use crate::ids::Digest;
use crate::ledger::RegistryAction;
use crate::registry::hash;

/// What an enrolment would come to.
#[derive(Debug)]
pub struct EnrolmentPreview {
    /// The worker.
    pub worker_id: String,
    /// The hash of the record.
    pub hash: Digest,
    /// The record with it, as it is to be sent.
    pub record: Json,
    /// What would happen; `None`: it is enrolled with this record.
    pub action: Option<RegistryAction>,
    /// How it differs from the record in force; all of it, where there is none.
    pub differences: Vec<RecordDifference>,
}

/// A member that is another.
#[derive(Debug)]
pub struct RecordDifference {
    /// Its name.
    pub member: Arc<str>,
    /// What it was.
    pub was: Option<Json>,
    /// What it would be.
    pub now: Option<Json>,
}

impl Hall {
    /// What enrolling this record would come to, by its hash as it is, whatever it says of it.
    ///
    /// # Errors
    /// As [`Hall::enroll`].
    pub fn preview_enrolment(&self, token: &Token, record: Json) -> Result<EnrolmentPreview, NotChanged> {
        if self.enrolment_worker.get().is_none() {
            return Err(NotChanged::NoStore);
        }
        let Json::Object(mut members) = record else {
            return Err(NotChanged::Field {
                error: "invalid record".to_owned(),
                reason: format!("the body is {}, not an object; send a registry record", record.kind()),
            });
        };
        let hash = hash::of_record(&members);
        members.insert(hash::ARTIFACT_HASH.into(), Json::String(format!("sha256:{hash}").into()));
        let record = Json::Object(members.clone());
        let roster = self.roster();
        let (enrolled, _) = validate::read(record.clone(), &roster.reading().of_others())?;
        validate::may_enroll(token, &enrolled).map_err(NotChanged::NotAllowed)?;
        let action = authorize::enroll(token, &enrolled, &roster)?;
        // Whose is not the caller's was refused before.
        let known = roster.find(enrolled.worker.worker_id.as_str());
        let before = known.as_ref().and_then(|known| known.enrolled.record.as_object());
        let names: BTreeSet<&Arc<str>> =
            members.keys().chain(before.into_iter().flat_map(|before| before.keys())).collect();
        let value = |members: &std::collections::BTreeMap<Arc<str>, Json>, name: &str| members.get(name).cloned();
        let differences = names.into_iter().filter_map(|name| {
            let (was, now) = (before.and_then(|before| value(before, name)), value(&members, name));
            (was != now).then(|| RecordDifference { member: Arc::clone(name), was, now })
        });
        let differences = differences.collect();
        let worker_id = enrolled.worker.worker_id.to_string();
        Ok(EnrolmentPreview { worker_id, hash, record, action, differences })
    }
}
