//! Lints of the gate by itself: its own worker, and where its upstreams lead.

use std::net::{IpAddr, SocketAddr};

use crate::clock::{now_micros, timestamp};
use crate::engine::DenyCode;
use crate::engine::snapshot::{Worker, WorkerStatus};
use crate::ids::{WorkerId, meant};
use crate::proxy::Settings;
use crate::proxy::settings::{Identity, Listen};

use super::{At, Finding, Findings, Loaded};

const WORKER: &str = "gate.identity.worker_id";

/// The worker that a gate is the sidecar of.
fn own_worker<'a>(loaded: &Loaded<'a>) -> Option<(&'a Settings, &'a WorkerId)> {
    let gate = loaded.gate?;
    match &gate.identity {
        Identity::Fixed { worker_id, .. } => Some((gate, worker_id)),
        Identity::Token | Identity::Mtls(_) | Identity::TrustedHeaders { .. } => None,
    }
}

/// The gate's worker is not enrolled.
pub(super) fn worker_not_enrolled(loaded: &Loaded<'_>) -> Findings {
    let Some((_, worker)) = own_worker(loaded) else { return Findings::default() };
    if loaded.snapshot.workers.contains_key(worker) {
        return Findings::default();
    }
    let message = format!(
        "`{worker}` is not enrolled: every request of this gate will be denied with {}",
        DenyCode::WorkerNotEnrolled.as_str()
    );
    let help = meant(worker.as_str(), loaded.snapshot.workers.keys().map(WorkerId::as_str), || {
        format!("add a record with `worker_id` `{worker}` to `policy.workers`: to its folder, or to the list there")
    });
    Findings::one(Finding::new(At::Key(WORKER.to_owned()), message, help))
}

/// The gate's worker is enrolled, and may not act where the gate is.
pub(super) fn worker_cannot_act(loaded: &Loaded<'_>) -> Findings {
    let Some((gate, id)) = own_worker(loaded) else { return Findings::default() };
    let Some(worker) = loaded.snapshot.workers.get(id) else { return Findings::default() };
    let Worker { status, allowed_environments, .. } = &**worker;
    let (why, code, help) = match (status, allowed_environments) {
        (WorkerStatus::Revoked, _) => {
            ("is not active".to_owned(), DenyCode::WorkerRevoked, "write `status: active` into its record".to_owned())
        }
        (WorkerStatus::Banned, _) => ("is banned".to_owned(), DenyCode::WorkerBanned, "name another worker".to_owned()),
        (WorkerStatus::Active | WorkerStatus::Unverified, Some(envs)) if !envs.contains(&gate.env) => (
            format!("is not allowed in {}, where this gate is", gate.env),
            DenyCode::EnvNotAllowed,
            format!("add \"{}\" to `allowed_environments` of its record, or correct `gate.env`", gate.env),
        ),
        (WorkerStatus::Active | WorkerStatus::Unverified, _) => return Findings::default(),
    };
    let message = format!("`{id}` {why}: every request of this gate will be denied with {}", code.as_str());
    Findings::one(Finding::new(At::Key(WORKER.to_owned()), message, help))
}

/// A path is in the upstream's URL and in the route, so that it is sent twice.
pub(super) fn path_doubled(loaded: &Loaded<'_>) -> Findings {
    let routes = loaded.gate.into_iter().flat_map(|gate| gate.routes.iter().enumerate());
    let doubled = routes.filter(|(_, route)| {
        let (base, path) = (&*route.upstream.base_path, route.path.as_str());
        let behind = path.strip_prefix(base).filter(|_| !base.is_empty());
        behind.is_some_and(|behind| behind.is_empty() || behind.starts_with('/'))
    });
    let finding = |(at, route): (usize, &crate::proxy::settings::Route)| {
        let (base, path, name) = (&route.upstream.base_path, route.path.as_str(), &route.upstream.name);
        let message = format!("the upstream `{name}` would be asked for `{base}{path}`: `{base}` is in its URL, too");
        let help = format!("take `{base}` out of `gate.upstreams.{name}.url`, or out of the route's path");
        Finding::new(At::Key(format!("gate.routes[{at}].match.path")), message, help)
    };
    doubled.map(finding).collect()
}

/// The time for which a route only observes is over.
pub(super) fn observe_over(loaded: &Loaded<'_>) -> Findings {
    let now = now_micros();
    let over = loaded.gate.into_iter().flat_map(Settings::observing).filter(|(.., until)| *until <= now);
    let finding = |(at, _, until): (usize, &crate::proxy::settings::Route, i64)| {
        let message = format!("enforces the policy since {}: `observe` does nothing any more", timestamp(until));
        Finding::new(At::Key(format!("gate.routes[{at}].observe")), message, "remove it, or write a later day")
    };
    over.map(finding).collect()
}

/// An upstream is the gate itself, so that a request would come back to it.
pub(super) fn upstream_is_the_gate(loaded: &Loaded<'_>) -> Findings {
    let Some(gate) = loaded.gate else { return Findings::default() };
    let mut listens: Vec<SocketAddr> = gate.listen_h2c.into_iter().collect();
    match &gate.listen {
        Listen::Tcp(address) => listens.push(*address),
        Listen::Loopback(addresses) => listens.extend(addresses),
        Listen::Unix(_) => {}
    }
    let leads_back = |host: &str, port: u16| {
        listens.iter().any(|listen| {
            let this_machine = |ip: IpAddr| ip == listen.ip() || (listen.ip().is_unspecified() && ip.is_loopback());
            let same = match host.parse::<IpAddr>() {
                Ok(ip) => this_machine(ip),
                Err(_) => host == "localhost" && (listen.ip().is_loopback() || listen.ip().is_unspecified()),
            };
            same && listen.port() == port && port != 0
        })
    };
    let back = gate.upstreams.values().filter(|upstream| leads_back(&upstream.host, upstream.port));
    let finding = |upstream: &std::sync::Arc<crate::proxy::settings::Upstream>| {
        let message = "is where this gate listens: each request would come back to it".to_owned();
        let help = "write where the app or API behind the gate listens".to_owned();
        Finding::new(At::Key(format!("gate.upstreams.{}.url", upstream.name)), message, help)
    };
    back.map(finding).collect()
}
