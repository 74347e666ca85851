//! `GET /openapi.json`: the API as OpenAPI 3.1, generated from the handlers, so that what is described is what is answered.
//!
//! Bodies that rooms without HTTP write are described in `schemas`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::credential::Credential;
use crate::api::error::ApiError;
use crate::api::reader::ApiState;
use crate::api::response::json;
use crate::api::{
    alerts, approvals, catalogue, console, decisions, dispatches, doctor, enrolment, evidence, health, ingest, log,
    online, probes, receipts, registry, route, tokens, why, workers,
};
use crate::hall::Hall;

/// What the handlers do not say themselves.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "hallgate: the Hall API",
        description = "Decisions of a WCP Hall, what it decided, and the evidence. Every body but a success has `denied: true`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(log::public, probes::metrics),
    modifiers(&Credentials),
    tags(
        (name = "route", description = "Decisions for no-code platforms and SDKs"),
        (name = "wcp", description = "WCP: decisions, discovery and receipts"),
        (name = "reference", description = "The paths of the reference's Hall API"),
        (name = "monitor", description = "What Hall Monitor polls"),
        (name = "hall", description = "The hall itself"),
        (name = "log", description = "The ledger as a transparency log"),
        (name = "probes", description = "What the platform asks")
    )
)]
struct Described;

/// The one credential.
struct Credentials;

impl Modify for Credentials {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        api.components.get_or_insert_default().add_security_scheme("token", bearer);
    }
}

/// Every handler that describes itself.
fn described() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(Described::openapi())
        .routes(routes!(route::route))
        .routes(routes!(route::full))
        .routes(routes!(ingest::ingest))
        .routes(routes!(health::health))
        .routes(routes!(health::status))
        .routes(routes!(health::monitored))
        .routes(routes!(health::compliance))
        .routes(routes!(doctor::doctor))
        .routes(routes!(workers::workers))
        .routes(routes!(workers::discovered))
        .routes(routes!(workers::crew))
        .routes(routes!(dispatches::dispatches))
        .routes(routes!(dispatches::dispatches_active))
        .routes(routes!(dispatches::recent))
        .routes(routes!(dispatches::active))
        .routes(routes!(decisions::decisions))
        .routes(routes!(why::explain))
        .routes(routes!(why::policy))
        .routes(routes!(decisions::feed::feed))
        .routes(routes!(evidence::export))
        .routes(routes!(evidence::check, evidence::begin_check))
        .routes(routes!(console::link))
        .routes(routes!(tokens::draft))
        .routes(routes!(alerts::alerts))
        .routes(routes!(alerts::monitored))
        .routes(routes!(alerts::acknowledge))
        .routes(routes!(catalogue::catalogue))
        .routes(routes!(catalogue::capabilities))
        .routes(routes!(enrolment::enroll))
        .routes(routes!(enrolment::preview::preview))
        .routes(routes!(enrolment::revoke))
        .routes(routes!(enrolment::restore))
        .routes(routes!(enrolment::ban))
        .routes(routes!(enrolment::unban))
        .routes(routes!(approvals::pending))
        .routes(routes!(approvals::approvers::approvers))
        .routes(routes!(approvals::one))
        .routes(routes!(approvals::resolve))
        .routes(routes!(approvals::several::resolve_several))
        .routes(routes!(approvals::escalate))
        .routes(routes!(approvals::void_all))
        .routes(routes!(registry::verify))
        .routes(routes!(registry::ban_list))
        .routes(routes!(online::go_online))
        .routes(routes!(online::go_offline))
        .routes(routes!(receipts::receipt))
        .routes(routes!(probes::livez))
        .routes(routes!(probes::readyz))
}

/// Their paths.
pub(super) fn paths() -> Router<ApiState> {
    described().split_for_parts().0
}

/// The description.
#[must_use]
pub fn description() -> utoipa::openapi::OpenApi {
    described().into_openapi()
}

/// `GET /openapi.json`, for whoever has a token, whatever its scope.
pub(super) async fn document(State(hall): State<Arc<Hall>>, credential: Credential) -> Result<Response, ApiError> {
    credential.present(&hall)?;
    Ok(json(StatusCode::OK, &description()))
}
