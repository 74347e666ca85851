//! `POST /api/tokens/draft`: a secret, and the entry that has a token of it once somebody puts it in the configuration. Nothing is in force, and
//! nothing kept, until then.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::asked::{read, wrong};
use crate::api::credential::{self, Credential};
use crate::api::error::{ApiError, ErrorEnvelope, NeedsBody};
use crate::api::response::json;
use crate::engine::Binding;
use crate::engine::artifact::python_json;
use crate::hall::tokens::entry::{TokenEntry, secret};
use crate::hall::{Hall, NotChanged, Scope, Token};
use crate::ids::{Digest, Env, TenantId, TokenName, WorkerId};

/// What a token of somebody's making may be used for: never to agree, and never to administer.
const SCOPES: &[Scope] = &[Scope::Route, Scope::Read, Scope::Ingest, Scope::Enroll];

/// What the token is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "make", "scopes": ["route"], "tenant_id": "org.acme", "worker_ids": ["wrk_make_acme_prod"]}))]
pub(super) struct TokenDraft {
    /// In records and logs.
    name: String,
    /// route, read, ingest or enroll.
    scopes: Vec<String>,
    /// What it is bound to; a token that is bound makes such as are bound to no more than it.
    tenant_id: Option<String>,
    #[serde(default)]
    worker_ids: Vec<String>,
    #[serde(default)]
    envs: Vec<String>,
}

/// A token that is not in force.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DraftedToken {
    /// Said this once, and kept nowhere.
    secret: String,
    /// What goes below `tokens:`, in the section `hall` or in the file that `hall.tokens_file` names. From then on the secret is a token.
    entry: String,
}

/// Make a token's secret and its entry for the configuration: needs the scope `admin`
///
/// It answers for whom the token answers that asks, and has never the scopes approve or admin. Nothing is in force until somebody puts the entry in its place.
#[utoipa::path(post, path = "/api/tokens/draft", tag = "hall", security(("token" = [])), request_body = TokenDraft,
    responses((status = 200, description = "the secret, this once, and the entry", body = DraftedToken), NeedsBody,
        (status = 409, description = "a token has this name", body = ErrorEnvelope<'static>)))]
pub(super) async fn draft(State(hall): State<Arc<Hall>>, request: Request) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let token = Credential::of(&head.extensions).present(&hall)?;
    credential::require(&token, Scope::Admin)?;
    let mut text = String::new();
    python_json(&read(&head.headers, body).await?, &mut text);
    let draft: TokenDraft = serde_json::from_str(&text).map_err(|error| ApiError::bad_body(&error.to_string()))?;
    let entry = entry(&hall, &token, &draft)?;
    let secret = secret().map_err(|error| {
        tracing::error!(%error, "the system gives no randomness");
        ApiError::internal()
    })?;
    let entry = TokenEntry { secret: Digest::of(secret.as_bytes()), ..entry }.to_string();
    Ok(json(StatusCode::OK, &DraftedToken { secret, entry }))
}

/// The entry, without its secret.
fn entry(hall: &Hall, maker: &Token, draft: &TokenDraft) -> Result<TokenEntry, ApiError> {
    let field = |field: &str, why: String| wrong(&format!("invalid field: {field}"), format!("`{field}`: {why}"));
    let name: TokenName = draft.name.parse().map_err(|error| field("name", format!("{error}")))?;
    // Who is bound learns of no other's; then the configuration refuses the name.
    if !maker.binding.is_bound() && hall.tokens().owner_of(&name).is_some() {
        let taken = format!("`name`: a token has the name `{name}`; choose another");
        return Err(ApiError::not_changed(&NotChanged::Conflict(taken)));
    }
    let known = || SCOPES.iter().map(Scope::to_string).collect::<Vec<_>>().join(", ");
    let scope = |text: &String| SCOPES.iter().copied().find(|scope| scope.to_string() == *text);
    let scopes: Option<BTreeSet<Scope>> = draft.scopes.iter().map(scope).collect();
    let scopes = scopes.filter(|scopes| !scopes.is_empty());
    let scopes = scopes.ok_or_else(|| field("scopes", format!("name one or more of {}", known())))?;
    let all = |texts: &[String], key: &str| -> Result<Vec<WorkerId>, ApiError> {
        texts.iter().map(|text| text.parse().map_err(|error| field(key, format!("{error}")))).collect()
    };
    let workers = all(&draft.worker_ids, "worker_ids")?;
    let envs: Result<Vec<Env>, ApiError> =
        draft.envs.iter().map(|env| env.parse().map_err(|error| field("envs", format!("{error}")))).collect();
    let tenant: Option<TenantId> = draft
        .tenant_id
        .as_ref()
        .map(|id| id.parse().map_err(|error| field("tenant_id", format!("{error}"))))
        .transpose()?;
    let Binding { tenant: of, workers: among, envs: within, worker_optional: _ } = &maker.binding;
    let (mut workers, mut envs, mut tenant) = (workers, envs?, tenant);
    let beyond = |key: &str| field(key, "is beyond what your token is bound to".to_owned());
    if let Some(of) = of {
        if tenant.as_ref().is_some_and(|tenant| tenant != of) {
            return Err(beyond("tenant_id"));
        }
        tenant = Some(of.clone());
    }
    if let Some(among) = among {
        if !workers.iter().all(|worker| among.contains(worker)) {
            return Err(beyond("worker_ids"));
        }
        if workers.is_empty() {
            workers = among.iter().cloned().collect();
        }
    }
    if let Some(within) = within {
        if !envs.iter().all(|env| within.contains(env)) {
            return Err(beyond("envs"));
        }
        if envs.is_empty() {
            envs = within.iter().copied().collect();
        }
    }
    Ok(TokenEntry {
        name,
        secret: Digest::of(b""),
        scopes: scopes.into_iter().collect(),
        tenant,
        workers,
        envs,
        worker_optional: false,
        owner: Some(maker.owner()),
        levels: Vec::new(),
        max_label: None,
    })
}
