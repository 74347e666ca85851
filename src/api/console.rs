//! The console at this API: it asks in this process, as the token that is signed in; and links that sign a token in once.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use tower::ServiceExt as _;
use utoipa::ToSchema;

use crate::api::asked::asked;
use crate::api::credential::{self, Credential};
use crate::api::error::{ApiError, ErrorEnvelope, NeedsReader};
use crate::api::reader::ApiState;
use crate::api::response::json;
use crate::clock::{now_micros, timestamp};
use crate::console::{self, Api, Applying, Sessions};
use crate::engine::DenyCode;
use crate::hall::{Applicant, Door, Hall, Scope, Token, TokenBook};
use crate::ids::TenantId;

/// The pages of the console, which ask these paths.
pub(super) fn pages(hall: Arc<Hall>, paths: Router, sessions: Arc<Sessions>, tls: bool) -> Router {
    console::pages(Arc::new(ApiInside { hall, paths }), sessions, tls)
}

/// The API in this process.
struct ApiInside {
    hall: Arc<Hall>,
    paths: Router,
}

#[async_trait]
impl Api for ApiInside {
    fn tokens(&self) -> Arc<TokenBook> {
        self.hall.tokens()
    }

    async fn admit(&self, applying: Applying) -> Result<(), Response> {
        let admitted = match &applying {
            Applying::As(token) => {
                let tenant = token.binding.tenant.as_ref().map(TenantId::shared);
                let known = Applicant::Known { token: Some(&token.name), tenant: tenant.as_ref() };
                credential::admit(&self.hall, known).await
            }
            Applying::Nobody(address) => {
                // As at the API: counted, and recorded together with all others of its second.
                self.hall.count_anonymous_refusal(Door::Api, DenyCode::Unauthenticated, *address);
                credential::admit(&self.hall, Applicant::Unknown(*address)).await
            }
        };
        admitted.map_err(IntoResponse::into_response)
    }

    async fn answer(&self, token: Arc<Token>, mut request: Request<Body>) -> Response {
        request.extensions_mut().insert(Credential::of_token(token));
        let Ok(answer) = self.paths.clone().oneshot(request).await;
        answer
    }
}

/// A link that signs a token in to the console, once.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ConsoleLink)]
pub(super) struct SignInLink {
    /// Behind the Hall's address. Whoever follows it in time is signed in as this token: it is a secret.
    path: String,
    /// Until when it leads anywhere.
    expires_at: String,
}

/// A link that signs this token in to the console, once: for whoever would rather not type a token into a browser
#[utoipa::path(post, path = "/api/console/link", tag = "hall", security(("token" = [])),
    responses(
        (status = 200, description = "the link", body = SignInLink),
        NeedsReader,
        (status = 501, description = "this hall has no console", body = ErrorEnvelope<'static>),
    ))]
pub(super) async fn link(
    State(ApiState { hall, sessions, .. }): State<ApiState>,
    credential: Credential,
    request: Request,
) -> Result<Response, ApiError> {
    let secret = credential.secret();
    asked(&hall, request, Scope::ALL, async |_, _, _| {
        let sessions = sessions.ok_or_else(ApiError::no_console)?;
        // Pages that ask for one have no secret of the token at hand.
        let secret = secret.ok_or_else(ApiError::no_console)?;
        let link = sessions.link(secret, Instant::now()).map_err(|error| {
            tracing::error!(%error, "the system gives no randomness");
            ApiError::internal()
        })?;
        let until = i64::try_from(Sessions::link_time().as_micros()).unwrap_or_default();
        let path = format!("/console/enter?link={link}");
        Ok(json(StatusCode::OK, &SignInLink { path, expires_at: timestamp(now_micros().saturating_add(until)) }))
    })
    .await
}
