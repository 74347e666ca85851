//! How the hall is: the reference's `/health` and `/status`, what Hall Monitor polls, WCP's discovery, and the doctor.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::error::NeedsReader;
use crate::api::reader::{Monitor, Reader};
use crate::api::response::json;
use crate::api::text::plain;
use crate::clock::{now_micros, timestamp};
use crate::engine::Snapshot;
use crate::hall::{Hall, Readiness};
use crate::ids::Digest;

/// The specification that is spoken on the wire.
const WCP_VERSION: &str = "0.1";
/// Our own.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Whether the hall answers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Health)]
pub(super) struct HealthStatus {
    /// Always ok: `/readyz` says whether requests should be sent here.
    status: &'static str,
    timestamp: String,
    version: &'static str,
}

/// The hall in numbers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Status {
    hall_version: &'static str,
    hall_name: &'static str,
    /// Those that the token may see.
    workers_enrolled: usize,
    /// Those that are remembered: of this process and of the ledger's tail. For a token that is bound: today's.
    decisions_total: u64,
    decisions_today: u64,
    /// Held ones included.
    denials_today: u64,
    /// From when on today's counts are whole: midnight (UTC), unless there was too much to read at the start.
    counted_since: String,
    /// All entries of the ledger, outcomes and policies included; null for a token that is bound.
    ledger_entries: Option<u64>,
    timestamp: String,
    /// Whether requests should be sent here.
    online: bool,
    /// Null: this hall does not ask for an account's standing at a registry.
    account_standing: Option<String>,
    /// When the registry last answered.
    standing_checked_at: Option<String>,
}

/// The hall as Hall Monitor shows it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MonitorHealth {
    version: &'static str,
    workers: usize,
    dispatches_today: u64,
    refusals_today: u64,
    uptime_seconds: u64,
    started_at: String,
    rules_loaded: usize,
    /// The operator's name of the policy in force.
    profile: String,
    /// ready or offline.
    state: &'static str,
    wcp_enabled: bool,
    wcp_mode: &'static str,
    account_standing: Option<String>,
}

/// How far the hall complies.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WcpHealth {
    /// ok or unavailable.
    status: &'static str,
    wcp_version: &'static str,
    /// WCP-Full when every check holds, WCP-Standard when those of that level do, else WCP-Basic.
    compliance_level: &'static str,
    checks: Checks,
    rules_loaded: usize,
    /// The fingerprint of everything that decisions depend on.
    #[schema(value_type = String)]
    rules_hash: Digest,
    registry: RegistryHealth,
}

/// What this configuration does, by what each level asks for.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Checks {
    routing: bool,
    fail_closed: bool,
    deterministic: bool,
    controls: bool,
    telemetry: bool,
    dry_run: bool,
    blast_scoring: bool,
    privilege_envelopes: bool,
    policy_gate: bool,
    evidence_receipts: bool,
    discovery: bool,
    signatory_tenants: bool,
    worker_attestation: bool,
}

/// The remote registry.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegistryHealth {
    /// Null: none is configured, and local enrolment is the only authority.
    reachable: Option<bool>,
    ban_list_age_s: Option<u64>,
}

/// Whether the hall answers
#[utoipa::path(get, path = "/health", tag = "reference", security(("token" = [])),
    responses((status = 200, description = "it answers", body = HealthStatus), NeedsReader))]
pub(super) async fn health(_: Reader) -> Response {
    json(StatusCode::OK, &HealthStatus { status: "ok", timestamp: now(), version: VERSION })
}

/// The hall in numbers
#[utoipa::path(get, path = "/status", tag = "reference", security(("token" = [])),
    responses((status = 200, description = "as far as the token may know", body = Status), NeedsReader))]
pub(super) async fn status(State(hall): State<Arc<Hall>>, reader: Reader) -> Response {
    let (numbers, readiness) = (hall.numbers(&reader.binding), hall.readiness());
    let snapshot = hall.snapshot();
    let (account_standing, standing_checked_at) = standing(&hall);
    let status = Status {
        hall_version: VERSION,
        hall_name: "hallgate",
        workers_enrolled: hall.workers(&snapshot, &reader.binding).len(),
        decisions_total: numbers.total.decisions,
        decisions_today: numbers.today.decisions,
        denials_today: numbers.today.denials,
        counted_since: timestamp(numbers.counted_since_micros),
        ledger_entries: (!reader.binding.is_bound()).then_some(readiness.ledger.entries),
        timestamp: now(),
        online: readiness.ready,
        account_standing,
        standing_checked_at,
    };
    json(StatusCode::OK, &status)
}

/// The hall, as Hall Monitor shows it
#[utoipa::path(get, path = "/api/health", tag = "monitor", security(("token" = [])),
    responses((status = 200, description = "as far as the token may know", body = MonitorHealth), NeedsReader))]
pub(super) async fn monitored(State(hall): State<Arc<Hall>>, Monitor(reader): Monitor) -> Response {
    let (numbers, readiness, snapshot) = (hall.numbers(&reader.binding), hall.readiness(), hall.snapshot());
    let health = MonitorHealth {
        version: VERSION,
        workers: hall.workers(&snapshot, &reader.binding).len(),
        dispatches_today: numbers.today.dispatches,
        refusals_today: numbers.today.denials,
        uptime_seconds: hall.uptime_seconds(),
        started_at: timestamp(hall.began_micros()),
        rules_loaded: snapshot.rules.len(),
        profile: plain(&snapshot.settings.version),
        state: if readiness.ready { "ready" } else { "offline" },
        wcp_enabled: true,
        wcp_mode: snapshot.settings.mode.as_str(),
        account_standing: standing(&hall).0,
    };
    json(StatusCode::OK, &health)
}

/// How far the hall complies with WCP as it is configured
#[utoipa::path(get, path = "/wcp/health", tag = "wcp", security(("token" = [])),
    responses((status = 200, description = "what is checked and what is not", body = WcpHealth), NeedsReader))]
pub(super) async fn compliance(State(hall): State<Arc<Hall>>, _: Reader) -> Response {
    let (readiness, snapshot) = (hall.readiness(), hall.snapshot());
    let checks = Checks::of(&snapshot, &readiness);
    let health = WcpHealth {
        status: if readiness.ready { "ok" } else { "unavailable" },
        wcp_version: WCP_VERSION,
        compliance_level: checks.level(),
        checks,
        rules_loaded: snapshot.rules.len(),
        rules_hash: snapshot.fingerprint,
        registry: RegistryHealth::of(&hall),
    };
    json(StatusCode::OK, &health)
}

impl RegistryHealth {
    fn of(hall: &Hall) -> Self {
        let seen = hall.remote_registry().map(|remote_registry| remote_registry.seen());
        Self {
            reachable: seen.as_ref().map(|seen| seen.asked && seen.failure.is_none()),
            ban_list_age_s: seen.and_then(|seen| Some(seen.bans_whole?.instant.elapsed().as_secs())),
        }
    }
}

/// The account's standing at the registry, and when that last answered; when they are known.
fn standing(hall: &Hall) -> (Option<String>, Option<String>) {
    let Some(seen) = hall.remote_registry().map(|remote_registry| remote_registry.seen()) else { return (None, None) };
    let Some(account) = &seen.account else { return (None, None) };
    (Some(account.standing.clone()), seen.answered.map(|answered| timestamp(answered.micros)))
}

impl Checks {
    /// What always holds of this program is said so; the rest is as it is configured.
    fn of(snapshot: &Snapshot, readiness: &Readiness) -> Self {
        let settings = &snapshot.settings;
        Self {
            routing: !snapshot.rules.is_empty(),
            fail_closed: true,
            deterministic: true,
            controls: settings.enforce_required_controls,
            telemetry: true,
            dry_run: true,
            blast_scoring: settings.enforce_blast_scoring_in_prod,
            privilege_envelopes: settings.enforce_privilege_envelopes,
            policy_gate: snapshot.gate.is_some(),
            evidence_receipts: readiness.ledger.writing,
            discovery: true,
            signatory_tenants: settings.require_signatory,
            worker_attestation: settings.require_worker_attestation,
        }
    }

    const fn level(self) -> &'static str {
        let standard = self.routing && self.controls;
        let full = standard
            && self.blast_scoring
            && self.privilege_envelopes
            && self.policy_gate
            && self.evidence_receipts
            && self.signatory_tenants
            && self.worker_attestation;
        if full {
            "WCP-Full"
        } else if standard {
            "WCP-Standard"
        } else {
            "WCP-Basic"
        }
    }
}

/// The time, as the reference writes it.
fn now() -> String {
    timestamp(now_micros())
}
