//! The console: the Hall as pages for people. It asks the Hall's API as whoever is signed in, and has no way of its own around it.
//!
//! Pages are whole without a script, load nothing from elsewhere and say what callers wrote as text. Looking never changes anything: each
//! change is a form that is sent from a page of ours, and becomes the API call that a script would make.

mod approvals;
mod ask;
mod connect;
mod decisions;
mod enrol;
mod evidence;
mod guard;
mod health;
mod page;
mod policy;
mod session;
mod sign_in;
mod status;
mod why;
mod workers;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::response::Redirect;
use axum::routing::{get, post};
use http::HeaderValue;

pub use ask::{Api, Applying};
use guard::Console;
pub use session::Sessions;

/// Where a request for a page comes from.
#[derive(Debug, Clone, Default)]
pub struct CameFrom {
    /// Who is at the other end of the connection.
    pub peer: Option<SocketAddr>,
    /// The page that has sent it, by its origin.
    pub origin: Option<HeaderValue>,
}

/// The pages of a Hall whose API this is; `tls`: whether its listener speaks it. [`CameFrom`] has to be in each request's extensions.
pub fn pages(api: Arc<dyn Api>, sessions: Arc<Sessions>, tls: bool) -> Router {
    Router::new()
        .route("/console", get(async || Redirect::permanent("/console/")))
        .route("/console/", get(status::page))
        .route("/console/sign-in", get(sign_in::form).post(sign_in::by_token))
        .route("/console/enter", get(sign_in::door).post(sign_in::by_link))
        .route("/console/sign-out", post(sign_in::out))
        .route("/console/decisions", get(decisions::list))
        .route("/console/decisions.csv", get(decisions::lines))
        .route("/console/decisions/feed", get(decisions::feed))
        .route("/console/decisions/{id}", get(decisions::one))
        .route("/console/decisions/{id}/receipt.json", get(decisions::receipt))
        .route("/console/decisions/{id}/case.json", get(why::case))
        .route("/console/decisions/{id}/replay", post(why::replay))
        .route("/console/policy", get(policy::page))
        .route("/console/try", get(why::attempt))
        .route("/console/approvals", get(approvals::list).post(approvals::several::resolve))
        .route("/console/approvals/{id}", get(approvals::one).post(approvals::resolve))
        .route("/console/workers", get(workers::list))
        .route("/console/workers/{id}", get(workers::one).post(workers::change))
        .route("/console/enrol", get(enrol::form).post(enrol::send))
        .route("/console/connect", get(connect::page))
        .route("/console/connect/token", post(connect::make_token))
        .route("/console/connect/test", post(connect::test))
        .route("/console/connect/{file}", get(connect::import))
        .route("/console/evidence", get(evidence::page))
        .route("/console/evidence/entries", get(evidence::entries))
        .route("/console/evidence/check", post(evidence::check))
        .route("/console/health", get(health::page))
        .route("/console/alerts/{id}", post(health::acknowledge))
        .route("/console/style.css", get(page::style))
        .route("/console/script.js", get(page::script))
        .route("/console/{*rest}", get(page::none))
        .with_state(Console { api, sessions, tls })
}
