//! `GET /api/doctor`: what is well and what is not, down to what is wrong with a change of files and until when certificates count.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::error::NeedsReader;
use crate::api::reader::{ApiState, Reader};
use crate::api::response::json;
use crate::clock::{now_micros, timestamp};
use crate::hall::{Hall, Readiness};
use crate::tls;

/// What is well and what is not.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Doctor {
    checks: DoctorChecks,
    /// The worst of them, and of the certificates.
    overall: &'static str,
    /// The change of files that is not in force, where there is one; null for a token that is bound.
    refused_change: Option<RefusedFiles>,
    /// The remote registry, where there is one; null for a token that is bound.
    registry: Option<RegistryNews>,
    /// By which the listeners of this process prove themselves; none for a token that is bound.
    certificates: Vec<CertificateState>,
    checked_at: String,
}

/// A change of files that is not in force.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RefusedFiles {
    since: String,
    count: usize,
    /// The first 50, each with its place and what to change.
    problems: Vec<String>,
}

/// What a registry lately said.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegistryNews {
    url: String,
    /// When it last gave an answer; null when it has given none.
    answered_at: Option<String>,
    /// Why the last round did not get all answers.
    error: Option<String>,
    banned_hashes: Option<usize>,
    unverified_workers: usize,
}

/// A listener's certificate.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CertificateState {
    /// gate or hall.
    of: &'static str,
    /// Until when it and its chain can be verified.
    expires_at: Option<String>,
    days_left: Option<i64>,
    /// ok, warn (less than two weeks are left) or fail (it is over).
    status: &'static str,
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

/// What is well and what is not
#[utoipa::path(get, path = "/api/doctor", tag = "hall", security(("token" = [])),
    responses((status = 200, description = "each check", body = Doctor), NeedsReader))]
pub(super) async fn doctor(State(ApiState { hall, certificates, .. }): State<ApiState>, reader: Reader) -> Response {
    let (readiness, details) = (hall.readiness(), !reader.binding.is_bound());
    let checks = DoctorChecks::of(&hall, &readiness, details);
    let certificates = certificates.iter().filter(|_| details).map(|(of, tls)| CertificateState::of(of, tls));
    let certificates: Vec<CertificateState> = certificates.collect();
    let all =
        [&checks.connectivity, &checks.auth, &checks.binary_integrity, &checks.hall_server, &checks.db, &checks.config];
    let all = || all.iter().map(|check| check.status).chain(certificates.iter().map(|certificate| certificate.status));
    let overall = ["fail", "warn"].into_iter().find(|worst| all().any(|status| status == *worst)).unwrap_or("ok");
    let refused_change = readiness.refused_change.as_deref().filter(|_| details).map(|change| RefusedFiles {
        since: timestamp(change.since_micros),
        count: change.problems,
        problems: change.shown.clone(),
    });
    let registry = readiness.registry.as_ref().filter(|_| details).map(|registry| RegistryNews {
        url: registry.url.to_string(),
        answered_at: registry.answered_micros.map(timestamp),
        error: registry.error.as_ref().map(ToString::to_string),
        banned_hashes: registry.banned_hashes,
        unverified_workers: registry.unverified_workers,
    });
    json(
        StatusCode::OK,
        &Doctor { overall, checks, refused_change, registry, certificates, checked_at: timestamp(now_micros()) },
    )
}

/// How many days before its end somebody should see to a certificate.
const DAYS: i64 = 14;

impl CertificateState {
    fn of(of: &'static str, tls: &tls::Server) -> Self {
        let expires_at = tls.expires_at();
        let left = expires_at.map(|end| end.saturating_sub(now_micros() / 1_000_000));
        let status = match left {
            Some(left) if left <= 0 => "fail",
            Some(left) if left < DAYS * 86_400 => "warn",
            _ => "ok",
        };
        Self {
            of,
            expires_at: expires_at.map(|end| timestamp(end.saturating_mul(1_000_000))),
            days_left: left.map(|left| left.div_euclid(86_400)),
            status,
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
