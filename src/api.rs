//! The Hall's HTTP API, served by axum on a pingora listener: `POST /api/route`, receipts, the log, probes and metrics.
//!
//! Every answer but a 200 or 201 carries the error envelope of `error`, so that a client that looks only at `denied` is refused.
//! The exception is a request that is not HTTP at all: hyper answers it with a bare 400 and closes.

pub(crate) mod answer;
mod credential;
mod enrolment;
mod error;
mod frame;
mod listener;
mod log;
mod online;
mod probes;
mod receipts;
mod registry;
mod route;
pub mod settings;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use pingora_core::listeners::ListenerConfig;
use pingora_core::protocols::l4::stream::L4BufferSettings;
use pingora_core::services::ServiceWithDependents;
use pingora_core::services::listening::Service;

use crate::hall::Hall;
use error::Refused;
use frame::Frame;
use listener::Listener;

pub use settings::Settings;

/// Bytes of read and write buffer a connection; pingora's default of 64 KiB is more than these requests need.
const BUFFER: usize = 8 * 1024;

/// The API as services of a pingora `Server`, one per listener. Binds nothing until the server runs them.
///
/// # Errors
/// A browser origin that cannot be one.
pub fn service(settings: Settings, hall: Arc<Hall>) -> Result<Vec<Box<dyn ServiceWithDependents>>, String> {
    let frame = Arc::new(Frame::new(&settings.cors_origins, Arc::clone(&hall))?);
    let mut service = Service::new("hall api".to_owned(), Listener::new(router(frame, hall, &settings)));
    service.add_listener(
        ListenerConfig::tcp(settings.listen.to_string()).l4_buffer(L4BufferSettings::new(BUFFER, BUFFER)),
    );
    service.threads = Some(settings.threads);
    Ok(vec![Box::new(service)])
}

/// Every path that is answered, and what all answers have.
fn router(frame: Arc<Frame>, hall: Arc<Hall>, settings: &Settings) -> Router {
    let log = if settings.public_tiles { get(log::public) } else { get(log::for_readers) };
    let metrics = if settings.metrics_need_token { get(probes::metrics_for_readers) } else { get(probes::metrics) };
    Router::new()
        .route("/api/route", post(route::route))
        .route("/enroll", post(enrolment::enroll))
        .route("/wcp/workers/{worker_id}/revoke", post(enrolment::revoke))
        .route("/wcp/workers/{worker_id}/restore", post(enrolment::restore))
        .route("/wcp/registry/ban", post(enrolment::ban))
        .route("/wcp/registry/unban", post(enrolment::unban))
        .route("/api/server/go-online", post(online::go_online))
        .route("/api/server/go-offline", post(online::go_offline))
        .route("/wcp/receipts/{decision_id}", get(receipts::receipt))
        .route("/wcp/registry/verify/{worker_id}", get(registry::verify))
        .route("/wcp/registry/ban-list", get(registry::ban_list))
        .route("/log/{*resource}", log)
        .route("/livez", get(probes::livez))
        .route("/readyz", get(probes::readyz))
        .route("/metrics", metrics)
        .fallback(async || Refused::not_found())
        .method_not_allowed_fallback(async || Refused::method_not_allowed())
        .layer(from_fn_with_state(frame, frame::frame))
        .with_state(hall)
}
