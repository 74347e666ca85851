//! Enrolled workers as lists, in the reference's words and in Hall Monitor's: each row has the fields of both.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::error::NeedsReader;
use crate::api::reader::{Monitor, Reader};
use crate::api::response::json;
use crate::clock::timestamp;
use crate::engine::snapshot::{Worker, WorkerStatus};
use crate::hall::alerts::AlertKind;
use crate::hall::{Counts, Hall};
use crate::ids::RiskTier;

/// A worker.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkerRow {
    worker_id: String,
    /// The worker's id, too.
    id: String,
    worker_species_id: String,
    /// The species, too.
    species_id: String,
    /// The worker's id, too: records have no other name.
    name: String,
    capabilities: Vec<String>,
    /// low, medium, high, critical, or unknown.
    risk_tier: &'static str,
    /// When it was enrolled; null for a record in a folder, of which that is not known.
    enrolled_at: Option<String>,
    /// In `/api/workers` the same as `health`, else the same as `standing`.
    status: &'static str,
    /// active, revoked, banned, or unverified (in prod and edge it needs the registry's word, which is missing or too old).
    standing: &'static str,
    /// active (dispatched today), idle, gated (revoked, banned or unverified), or error (its code was changed).
    health: &'static str,
    /// 0 to 100; null where the record has no blast radius.
    blast_score: Option<u8>,
    /// Null: records do not say.
    guarantee: Option<&'static str>,
    allowed_environments: Option<Vec<&'static str>>,
    /// `sha256:` and the hash of its record.
    artifact_hash: Option<String>,
    /// The hash of its code that was registered.
    code_hash: Option<String>,
    /// record or code: which of these hashes is banned here.
    hash_banned: Option<&'static str>,
    dispatches_today: u64,
    refusals_today: u64,
    failures_today: u64,
    /// Always 0: this hall keeps no dead letters.
    dlq_count: u64,
}

/// Workers, by id.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Workers {
    workers: Vec<WorkerRow>,
    count: usize,
}

/// The enrolled workers
#[utoipa::path(get, path = "/workers", tag = "reference", security(("token" = [])),
    responses((status = 200, description = "the workers that the token may see", body = Workers), NeedsReader))]
pub(super) async fn workers(State(hall): State<Arc<Hall>>, reader: Reader) -> Response {
    json(StatusCode::OK, &list(&hall, &reader, |row| row.standing))
}

/// The enrolled workers, as discovery lists them
#[utoipa::path(get, path = "/wcp/workers", tag = "wcp", security(("token" = [])),
    responses((status = 200, description = "the workers that the token may see", body = Workers), NeedsReader))]
pub(super) async fn discovered(State(hall): State<Arc<Hall>>, reader: Reader) -> Response {
    json(StatusCode::OK, &list(&hall, &reader, |row| row.standing))
}

/// The enrolled workers, as Hall Monitor's crew
#[utoipa::path(get, path = "/api/workers", tag = "monitor", security(("token" = [])),
    responses((status = 200, description = "the workers that the token may see", body = Workers), NeedsReader))]
pub(super) async fn crew(State(hall): State<Arc<Hall>>, Monitor(reader): Monitor) -> Response {
    json(StatusCode::OK, &list(&hall, &reader, |row| row.health))
}

fn list(hall: &Hall, reader: &Reader, status: impl Fn(&WorkerRow) -> &'static str) -> Workers {
    let alerts = hall.alerts(&reader.binding);
    let open = alerts.iter().filter(|alert| alert.acknowledged_at_micros.is_none());
    let tampered: BTreeSet<&str> = open
        .filter(|alert| alert.last.kind == AlertKind::WorkerTampered)
        .filter_map(|alert| alert.last.worker.as_deref())
        .collect();
    let (snapshot, roster) = (hall.snapshot(), hall.roster());
    let rows = hall.workers(&snapshot, &reader.binding).into_iter().map(|(worker, counts)| {
        let mut row = row(worker, counts, tampered.contains(worker.worker_id.as_str()));
        let listed = roster.find(worker.worker_id.as_str());
        row.enrolled_at = listed.and_then(|listed| listed.enrolled_at_micros).map(timestamp);
        if let Some(listed) = listed {
            let (record, code) = (listed.enrolled.hash, worker.attestation.registered);
            let banned = |hash| roster.is_banned(&hash);
            row.artifact_hash = Some(format!("sha256:{record}"));
            row.hash_banned =
                if banned(record) { Some("record") } else { code.filter(|code| banned(*code)).map(|_| "code") };
        }
        row.status = status(&row);
        row
    });
    let workers: Vec<WorkerRow> = rows.collect();
    Workers { count: workers.len(), workers }
}

fn row(worker: &Worker, counts: Counts, tampered: bool) -> WorkerRow {
    let status = match worker.status {
        WorkerStatus::Active => "active",
        WorkerStatus::Revoked => "revoked",
        WorkerStatus::Banned => "banned",
        WorkerStatus::Unverified => "unverified",
    };
    let health = match worker.status {
        _ if tampered => "error",
        WorkerStatus::Revoked | WorkerStatus::Banned | WorkerStatus::Unverified => "gated",
        WorkerStatus::Active if counts.dispatches > 0 => "active",
        WorkerStatus::Active => "idle",
    };
    WorkerRow {
        worker_id: worker.worker_id.to_string(),
        id: worker.worker_id.to_string(),
        worker_species_id: worker.species.to_string(),
        species_id: worker.species.to_string(),
        name: worker.worker_id.to_string(),
        capabilities: worker.capabilities.iter().map(ToString::to_string).collect(),
        risk_tier: worker.risk_tier.map_or("unknown", RiskTier::as_str),
        enrolled_at: None,
        status,
        standing: status,
        health,
        // The record's sum is of 25.
        blast_score: worker.blast_sum.map(|sum| sum.saturating_mul(4)),
        guarantee: None,
        allowed_environments: worker
            .allowed_environments
            .as_ref()
            .map(|envs| envs.iter().map(|env| env.as_str()).collect()),
        artifact_hash: None,
        code_hash: worker.attestation.registered.map(|hash| format!("sha256:{hash}")),
        hash_banned: None,
        dispatches_today: counts.dispatches,
        refusals_today: counts.denials,
        failures_today: counts.failures,
        dlq_count: 0,
    }
}
