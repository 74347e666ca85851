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

/// What is well and what is not.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Doctor {
    checks: DoctorChecks,
    /// The worst of them.
    overall: &'static str,
    checked_at: String,
}

/// Each check.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DoctorChecks {
    connectivity: Check,
    auth: Check,
    binary_integrity: Check,
    hall_server: Check,
    db: Check,
    config: Check,
}

/// A check.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Check {
    /// ok, warn or fail.
    status: &'static str,
    message: String,
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

/// What is well and what is not
#[utoipa::path(get, path = "/api/doctor", tag = "hall", security(("token" = [])),
    responses((status = 200, description = "each check", body = Doctor), NeedsReader))]
pub(super) async fn doctor(State(hall): State<Arc<Hall>>, reader: Reader) -> Response {
    let readiness = hall.readiness();
    let checks = DoctorChecks::of(&hall, &readiness, !reader.binding.is_bound());
    let all =
        [&checks.connectivity, &checks.auth, &checks.binary_integrity, &checks.hall_server, &checks.db, &checks.config];
    let overall = ["fail", "warn"].into_iter().find(|worst| all.iter().any(|check| check.status == *worst));
    json(StatusCode::OK, &Doctor { overall: overall.unwrap_or("ok"), checks, checked_at: now() })
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

impl DoctorChecks {
    /// Details of the hall's own matters only for who is bound to nothing: they may name other tenants.
    fn of(hall: &Hall, readiness: &Readiness, details: bool) -> Self {
        let check = |status, message: String| Check { status, message };
        let detail = |detail: &str| if details { format!(": {detail}") } else { String::new() };
        let ledger = &readiness.ledger;
        Self {
            connectivity: match &readiness.registry {
                None => check("ok", "no registry is configured: local enrolment is the only authority".to_owned()),
                Some(registry) => match registry.error.as_ref().or(registry.unread_bans.as_ref()) {
                    Some(error) => check("warn", format!("the registry does not give all answers{}", detail(error))),
                    None => check("ok", "the registry answers".to_owned()),
                },
            },
            auth: check("ok", format!("session tokens in force: {}", hall.tokens().len())),
            binary_integrity: binary(),
            hall_server: if readiness.ready {
                check("ok", "ready".to_owned())
            } else {
                check("fail", format!("not ready{}", detail(&readiness.reasons.join("; "))))
            },
            db: match &ledger.error {
                _ if ledger.broken => check("fail", "the ledger is broken: run `audit verify`".to_owned()),
                Some(error) => check("fail", format!("the ledger is not writing{}", detail(error))),
                None if ledger.prune_error.is_some() => check("warn", "the ledger cannot be pruned".to_owned()),
                None => check("ok", format!("the ledger is writing{}", detail(&format!("{} entries", ledger.entries)))),
            },
            config: match &readiness.refused_change {
                Some(change) => check("warn", format!("a change of files is refused{}", detail(&change.first))),
                None => check("ok", format!("policy {} is in force", readiness.policy_version)),
            },
        }
    }
}

/// Whether the program on disk is still the one that runs. There is nothing here to compare either with.
fn binary() -> Check {
    let running = std::fs::metadata("/proc/self/exe");
    let on_disk = std::env::current_exe().and_then(std::fs::metadata);
    let same = |one: &std::fs::Metadata, other: &std::fs::Metadata| {
        use std::os::unix::fs::MetadataExt as _;
        (one.dev(), one.ino()) == (other.dev(), other.ino())
    };
    match (running, on_disk) {
        (Ok(running), Ok(on_disk)) if same(&running, &on_disk) => {
            Check { status: "ok", message: "the program on disk is the one that runs".to_owned() }
        }
        (Ok(_), _) => Check {
            status: "warn",
            message: "the program on disk was replaced since the start: start again to run it".to_owned(),
        },
        (Err(_), _) => Check { status: "warn", message: "this system does not say which program runs".to_owned() },
    }
}

/// The time, as the reference writes it.
fn now() -> String {
    timestamp(now_micros())
}
