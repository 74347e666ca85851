//! The sample upstream: a model API and an orders API that answer nobody who does not hold their credential.
//!
//! It speaks enough of the OpenAI chat API (plain and streamed) for the official SDKs, and a small REST API with a WebSocket
//! echo. It is what the demo stands in front of, and a counterpart for tests.

mod chat;
mod orders;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A sample upstream that is listening. Dropped, it takes no more connections.
#[derive(Debug)]
pub struct SampleUpstream {
    addr: SocketAddr,
    answered: Arc<AtomicU64>,
    served: JoinHandle<io::Result<()>>,
}

impl SampleUpstream {
    /// Listens on `addr` (port 0: any) and answers only requests with `Authorization: Bearer <credential>`.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(addr: SocketAddr, credential: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let answered = Arc::new(AtomicU64::new(0));
        let door = Door { expected: Arc::from(format!("Bearer {credential}")), answered: Arc::clone(&answered) };
        let served = tokio::spawn(axum::serve(listener, router(door)).into_future());
        Ok(Self { addr, answered, served })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many requests held the credential and were let in.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

impl Drop for SampleUpstream {
    fn drop(&mut self) {
        self.served.abort();
    }
}

/// Who is let in, and how many were.
#[derive(Debug, Clone)]
struct Door {
    expected: Arc<str>,
    answered: Arc<AtomicU64>,
}

/// Both APIs behind one door.
fn router(door: Door) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat::complete))
        .route("/v1/models", get(chat::models))
        .route("/orders", get(orders::list).post(orders::create))
        .route("/orders/ws", any(orders::echo))
        .route("/orders/{id}", get(orders::one))
        .with_state(Arc::new(orders::Orders::seeded()))
        .layer(middleware::from_fn_with_state(door, demand_credential))
}

/// Whoever does not come through the gate does not hold the credential and gets no further than this.
async fn demand_credential(State(door): State<Door>, request: Request, next: Next) -> Response {
    let presented = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if presented == Some(&*door.expected) {
        door.answered.fetch_add(1, Ordering::Relaxed);
        return next.run(request).await;
    }
    let error = json!({ "error": {
        "message": "incorrect credential: this upstream answers the gate only",
        "type": "invalid_request_error",
        "code": "invalid_api_key",
    }});
    (StatusCode::UNAUTHORIZED, axum::Json(error)).into_response()
}

/// The decision under which the gate forwarded this request, as the gate says it.
fn decided_by(headers: &HeaderMap) -> Option<&str> {
    headers.get("wcp-decision-id")?.to_str().ok()
}

#[cfg(test)]
mod tests;
