//! What may be asked for: the catalogue as it is written, and the capabilities with the workers that declare them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::error::{ApiError, NeedsReader};
use crate::api::reader::{Monitor, Reader};
use crate::api::response::json;
use crate::engine::Json;
use crate::hall::Hall;
use crate::ids::{EntityKind, RiskTier, nearest};

/// The catalogue, in the public taxonomy's form.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CatalogueAnswer<'a> {
    #[serde(rename = "_meta")]
    meta: CatalogueMeta,
    /// Each as it is written, with `id` and `type` at least.
    #[schema(value_type = Vec<Object>)]
    entities: Vec<&'a Json>,
    count: usize,
}

/// Which catalogue it is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CatalogueMeta {
    /// The file's own version, or built-in.
    version: String,
    total_entities: usize,
}

/// A capability.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CapabilityRow {
    id: String,
    /// low, medium, high, critical, or unknown.
    risk_tier: &'static str,
    /// catalog, or local where only workers declare it.
    source: &'static str,
    /// Those that declare it and that the token may see.
    workers: Vec<String>,
}

/// Capabilities, by id.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Capabilities)]
pub(super) struct CapabilityList {
    catalog_version: String,
    capabilities: Vec<CapabilityRow>,
    count: usize,
}

/// Which kind.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfKind {
    /// Only entities of this kind.
    #[serde(rename = "type")]
    #[param(value_type = Option<Kind>, inline)]
    kind: Option<String>,
}

/// The kinds, for the description alone.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "only described")]
enum Kind {
    Capability,
    WorkerSpecies,
    Control,
    Profile,
    Policy,
}

/// The catalogue
#[utoipa::path(get, path = "/api/catalog", tag = "monitor", params(OfKind), security(("token" = [])),
    responses((status = 200, description = "the catalogue in force", body = CatalogueAnswer),
        (status = 400, description = "no kind of entity", body = super::error::ErrorEnvelope), NeedsReader))]
pub(super) async fn catalogue(
    State(hall): State<Arc<Hall>>,
    Monitor(_): Monitor,
    query: Result<Query<OfKind>, QueryRejection>,
) -> Result<Response, ApiError> {
    let wrong = |what: &str, written: &str| {
        let kinds = || EntityKind::ALL.iter().map(|kind| kind.as_str());
        let help = nearest(written, kinds()).map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
        ApiError::bad_parameter("type", what, &format!("one of {}{help}", kinds().collect::<Vec<_>>().join(", ")))
    };
    let Ok(Query(OfKind { kind })) = query else { return Err(wrong("is there twice or is no text", "")) };
    let kind: Option<EntityKind> =
        kind.map(|kind| kind.parse().map_err(|_| wrong("is no kind of entity", &kind))).transpose()?;
    let snapshot = hall.snapshot();
    let all = &snapshot.catalogue;
    let entities: Vec<&Json> = all
        .entities()
        .filter(|(_, entity)| kind.is_none_or(|kind| entity.kind == kind))
        .map(|(_, entity)| &entity.written)
        .collect();
    let meta = CatalogueMeta { version: all.version().to_string(), total_entities: all.entities().count() };
    Ok(json(StatusCode::OK, &CatalogueAnswer { meta, count: entities.len(), entities }))
}

/// The capabilities that are known, and who declares them
#[utoipa::path(get, path = "/wcp/capabilities", tag = "wcp", security(("token" = [])),
    responses((status = 200, description = "of the catalogue and of the workers that the token may see", body = CapabilityList), NeedsReader))]
pub(super) async fn capabilities(State(hall): State<Arc<Hall>>, reader: Reader) -> Response {
    let snapshot = hall.snapshot();
    let mut declared: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (worker, _) in hall.workers(&snapshot, &reader.binding) {
        for capability in &worker.capabilities {
            declared.entry(capability.as_str()).or_default().push(worker.worker_id.to_string());
        }
    }
    for (id, entity) in snapshot.catalogue.entities() {
        if entity.kind == EntityKind::Capability {
            declared.entry(id).or_default();
        }
    }
    let rows = declared.into_iter().map(|(id, workers)| {
        let entity = snapshot.catalogue.capability(id);
        CapabilityRow {
            id: id.to_owned(),
            risk_tier: entity.and_then(|entity| entity.risk_tier).map_or("unknown", RiskTier::as_str),
            source: if entity.is_some() { "catalog" } else { "local" },
            workers,
        }
    });
    let capabilities: Vec<CapabilityRow> = rows.collect();
    let catalog_version = snapshot.catalogue.version().to_string();
    json(StatusCode::OK, &CapabilityList { catalog_version, count: capabilities.len(), capabilities })
}
