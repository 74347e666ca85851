//! The Hall's HTTP API, served by axum on a pingora listener: decisions, what was decided, receipts, the log, probes and metrics.
//!
//! Every answer but a 200 or 201 carries the error envelope of `error`, so that a client that looks only at `denied` is refused.
//! The exception is a request that is not HTTP at all: hyper answers it with a bare 400 and closes.

mod access_log;
mod alerts;
mod approvals;
mod asked;
mod body;
mod catalogue;
mod console;
mod cors;
mod credential;
mod decisions;
mod dispatches;
mod doctor;
mod enrolment;
mod error;
mod evidence;
mod front;
mod health;
mod ingest;
mod listener;
mod log;
mod middleware;
mod online;
pub mod openapi;
pub mod ops;
mod probes;
mod reader;
mod receipts;
mod registry;
mod response;
mod route;
pub(crate) mod route_response;
mod schemas;
pub mod settings;
mod text;
mod tokens;
mod why;
mod workers;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use pingora_core::listeners::ListenerConfig;
use pingora_core::protocols::l4::stream::L4BufferSettings;
use pingora_core::services::ServiceWithDependents;
use pingora_core::services::listening::Service;

use crate::connections::{Connections, Doorway};
use crate::hall::Hall;
use crate::tls;
use error::ApiError;
use listener::ApiListener;
use middleware::Middleware;
use reader::ApiState;

pub use settings::Settings;

/// Bytes of read and write buffer a connection; pingora's default of 64 KiB is more than these requests need.
const BUFFER: usize = 8 * 1024;

/// The API as services of a pingora `Server`, one per listener. Binds nothing until the server runs them. `certificates`: by which listeners
/// here prove themselves, each by the name of its section.
///
/// # Errors
/// A browser origin that cannot be one, or TLS that pingora refuses.
pub fn service(
    settings: Settings,
    hall: Arc<Hall>,
    certificates: Vec<(&'static str, tls::Server)>,
) -> Result<Vec<Box<dyn ServiceWithDependents>>, String> {
    let middleware = Middleware::new(&settings.cors_origins, settings.tls.is_some(), Arc::clone(&hall))?;
    let metrics = Arc::clone(hall.metrics());
    let tls = settings.tls.as_ref().map(|tls| tls.acceptor(false).map_err(|error| format!("`hall.tls`: {error}")));
    let connections = Connections::new("api", settings.connections, &metrics);
    let doorway = Doorway::new(connections, tls.transpose()?, listener::HEAD_TIME);
    let mut service = Service::new(
        "hall api".to_owned(),
        ApiListener::new(router(Arc::new(middleware), hall, &settings, certificates), doorway),
    );
    let listener = ListenerConfig::tcp(settings.listen.to_string());
    service.add_listener(listener.l4_buffer(L4BufferSettings::new(BUFFER, BUFFER)));
    service.threads = Some(settings.threads);
    Ok(vec![Box::new(service)])
}

/// Every path that is answered, and what all answers have.
fn router(
    middleware: Arc<Middleware>,
    hall: Arc<Hall>,
    settings: &Settings,
    certificates: Vec<(&'static str, tls::Server)>,
) -> Router {
    let log = if settings.public_tiles { get(log::public) } else { get(log::for_readers) };
    let metrics = if settings.metrics_need_token { get(probes::metrics_for_readers) } else { get(probes::metrics) };
    let behind_a_link = if settings.console { get(front::approval_in_console) } else { get(front::approval) };
    let sessions = settings.console.then(Arc::default);
    let shared = ApiState {
        hall: Arc::clone(&hall),
        monitor: settings.monitor_unauthenticated_loopback,
        viewers: Arc::default(),
        sessions,
        certificates: certificates.into(),
    };
    let paths = openapi::paths()
        .route("/", get(front::page))
        .route("/approvals/{pending_approval_id}", behind_a_link)
        .route("/log/{*resource}", log)
        .route("/metrics", metrics)
        .route("/openapi.json", get(openapi::document))
        .fallback(async || ApiError::not_found())
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .with_state(shared.clone());
    let pages = shared.sessions.map(|sessions| console::pages(hall, paths.clone(), sessions, settings.tls.is_some()));
    paths.merge(pages.unwrap_or_default()).layer(from_fn_with_state(middleware, middleware::around))
}
