//! The gate: pingora's phases, each one line of ours: validate, identify, admit, route, describe, decide, forward or reject.

pub mod settings;

mod access;
mod arrival;
mod connection;
mod correlation;
mod cors;
mod credentials;
mod describe;
mod destination;
mod exchange;
mod forward;
mod forwarded;
mod gate;
mod gen_ai;
mod grpc;
pub mod header_names;
pub mod holding;
mod identify;
#[cfg(any(test, fuzzing))]
pub mod laws;
mod pattern;
mod persistence;
mod pipeline;
mod pooling;
mod problem;
mod reject;
mod resolve;
mod response;
mod routes;
mod target;
mod traced;
mod trusted_networks;
mod upstream_peer;
mod validate;
mod workloads;
mod would_run;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use pingora_core::listeners::{L4BufferSettings, ListenerConfig};
use pingora_core::server::configuration::ServerConf;
use pingora_core::services::ServiceWithDependents;
use pingora_core::services::listening::Service;

use crate::connections::{Connections, Doorway};
use crate::hall::Hall;
use crate::proxy::connection::{GateListener, Patience};
use crate::proxy::cors::Cors;
use crate::proxy::describe::Describe;
use crate::proxy::destination::Destination;
use crate::proxy::gate::{Gate, Parts};
use crate::proxy::identify::Identify;
use crate::proxy::routes::Routes;
use crate::proxy::settings::Listen;
use crate::tls;

pub use settings::Settings;

/// Bytes that are read from a caller at once. pingora's 64 KiB double the memory of a connection for 2 % of throughput.
const READ_BUFFER: usize = 8 * 1024;

/// The gate as services of a pingora server, one for each kind of listener. Nothing is bound before the server runs them.
///
/// # Errors
/// The settings cannot be used; names the key and what to change.
pub fn service(
    settings: Settings,
    hall: Arc<Hall>,
    conf: &Arc<ServerConf>,
) -> Result<Vec<Box<dyn ServiceWithDependents>>, String> {
    let Settings { listen, tls, listen_h2c, header_timeout, idle_timeout, connections, threads, .. } = &settings;
    let patience = Patience { header: *header_timeout, idle: *idle_timeout };
    let listeners = match listen {
        Listen::Tcp(address) => vec![tcp(*address)],
        Listen::Loopback(addresses) => addresses.iter().copied().map(tcp).collect(),
        Listen::Unix(path) => {
            let path = path.to_str().ok_or("`gate.listen` is not UTF-8")?;
            vec![ListenerConfig::uds(path).permissions(Permissions::from_mode(0o660))]
        }
    };
    let connections = Connections::new("gate", *connections, hall.metrics());
    let doorway = |tls: Option<&tls::Server>| {
        let acceptor = tls.map(|tls| tls.acceptor(true).map_err(|error| format!("`gate.tls`: {error}"))).transpose();
        acceptor.map(|acceptor| Doorway::new(Arc::clone(&connections), acceptor, patience.header))
    };
    let mut doors = vec![("gate", listeners, doorway(tls.as_ref())?, false)];
    if let Some(address) = listen_h2c {
        doors.push(("gate-h2c", vec![tcp(*address)], doorway(None)?, true));
    }
    let threads = *threads;

    let gate = gate(settings, hall)?;
    let services = doors.into_iter().map(|(name, listeners, doorway, h2c)| {
        let door = GateListener::new(gate.clone(), conf, doorway, h2c, patience);
        let mut service = Service::new(name.to_owned(), door);
        service.threads = Some(threads);
        for listener in listeners {
            service.add_listener(listener.l4_buffer(L4BufferSettings::default().read(READ_BUFFER)));
        }
        Box::new(service) as Box<dyn ServiceWithDependents>
    });
    Ok(services.collect())
}

fn tcp(address: SocketAddr) -> ListenerConfig {
    ListenerConfig::tcp(address.to_string())
}

fn gate(settings: Settings, hall: Arc<Hall>) -> Result<Gate, String> {
    let named = settings.upstreams.values().any(|upstream| resolve::literal(upstream).is_none());
    let dns = named.then(|| resolve::Dns::of(&settings.dns_servers)).transpose()?;
    let identify = Identify::new(settings.identity);
    let mut destinations = BTreeMap::new();
    for (group, (name, upstream)) in (0..).step_by(2).zip(&settings.upstreams) {
        let destination = Destination::new(upstream, group, dns.clone(), &identify.headers(), hall.metrics())?;
        destinations.insert(name.as_str(), Arc::new(destination));
    }
    let routes = Routes::new(settings.routes, |upstream| {
        destinations.get(&*upstream.name).cloned().ok_or_else(|| format!("`gate.upstreams` has no `{}`", upstream.name))
    })?;
    Ok(Gate::new(Parts {
        hall,
        identify,
        describe: Describe::new(settings.env),
        routes,
        cors: Cors::new(settings.cors_origins),
        health_path: settings.health_path,
        idle_timeout: settings.idle_timeout,
        upgraded_idle_timeout: settings.upgraded_idle_timeout,
        min_body_rate: settings.min_body_rate,
    }))
}
