//! Reading a catalogue's file: every problem at once. What is not read here is kept as it is written, for whoever lists it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Entity;
use crate::engine::json::{Fields, Finding, Json, present};
use crate::ids::{CapabilityId, EntityKind};

/// A file, as far as it could be read.
pub(super) struct File {
    pub(super) version: Arc<str>,
    pub(super) entities: BTreeMap<Arc<str>, Entity>,
}

pub(super) fn file(document: &Json) -> (File, Vec<Finding>) {
    let mut fields = Fields::new(true);
    let mut file = File { version: Arc::from("unversioned"), entities: BTreeMap::new() };
    if let Some(members) = fields.object(document) {
        if let Some(meta) = present(members, "_meta") {
            let version = fields.within("_meta", |fields| {
                fields.object(meta).and_then(|meta| fields.text(meta, "version")).map(Arc::clone)
            });
            file.version = version.unwrap_or(file.version);
        }
        if present(members, "entities").is_none() {
            fields.say("`entities` is missing", "write {\"entities\": [...]}");
        }
        let written = fields.list(members, "entities");
        fields.within("entities", |fields| {
            for (at, json) in written.iter().enumerate() {
                let entity = fields.within(at, |fields| entity(fields, json, &file.entities));
                file.entities.extend(entity);
            }
        });
    }
    (file, fields.findings)
}

fn entity(fields: &mut Fields, json: &Json, earlier: &BTreeMap<Arc<str>, Entity>) -> Option<(Arc<str>, Entity)> {
    let members = fields.object(json)?;
    let id = fields.required_text(members, "id");
    let kind = fields.required_text(members, "type");
    let kind: Option<EntityKind> = kind.and_then(|kind| fields.within("type", |fields| fields.parsed(kind)));
    let tier = fields.text(members, "risk_tier");
    let risk_tier = tier.and_then(|tier| fields.within("risk_tier", |fields| fields.parsed(tier)));
    let id = id?;
    fields.within("id", |fields| {
        if kind == Some(EntityKind::Capability) {
            fields.parsed::<CapabilityId>(id);
        }
        if earlier.contains_key(id) {
            fields.say(format!("`{id}` is the id of an earlier entity, too"), "keep one of them");
        }
    });
    Some((Arc::clone(id), Entity { kind: kind?, risk_tier, built_in: false, written: json.clone() }))
}
