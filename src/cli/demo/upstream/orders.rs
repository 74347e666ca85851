//! The sample data API: orders to list, read and place, and a WebSocket that says everything back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// How many orders there are at first: their list is a little over 64 KiB.
const SEEDED: u64 = 300;

/// An order to be placed.
#[derive(Debug, Deserialize)]
pub(super) struct NewOrder {
    item: String,
    quantity: u32,
    #[serde(default)]
    note: String,
}

/// An order.
#[derive(Debug, Clone, Serialize)]
struct Order {
    id: u64,
    item: String,
    quantity: u32,
    note: String,
    /// The decision under which it was written; `null` for those that were there before.
    decision_id: Option<String>,
}

/// The orders by id.
#[derive(Debug)]
pub(super) struct Orders {
    by_id: Mutex<BTreeMap<u64, Order>>,
}

impl Orders {
    /// The orders that are there at first.
    pub(super) fn seeded() -> Self {
        let seed = |id| Order {
            id,
            item: format!("part-{id:04}"),
            quantity: u32::try_from(id % 9 + 1).unwrap_or(1),
            note: format!("sample order {id}, ").repeat(9),
            decision_id: None,
        };
        Self { by_id: Mutex::new((1..=SEEDED).map(|id| (id, seed(id))).collect()) }
    }

    /// Runs `with` on the orders; no lock outlives it, and none is held across an await.
    fn locked<T>(&self, with: impl FnOnce(&mut BTreeMap<u64, Order>) -> T) -> T {
        with(&mut self.by_id.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `GET /orders`: all of them, a little over 64 KiB.
pub(super) async fn list(State(orders): State<Arc<Orders>>) -> Response {
    let all: Vec<Order> = orders.locked(|by_id| by_id.values().cloned().collect());
    Json(json!({ "count": all.len(), "orders": all })).into_response()
}

/// `GET /orders/{id}`
pub(super) async fn one(State(orders): State<Arc<Orders>>, Path(id): Path<u64>) -> Response {
    orders.locked(|by_id| by_id.get(&id).cloned()).map_or_else(
        || (StatusCode::NOT_FOUND, Json(json!({ "error": format!("there is no order {id}") }))).into_response(),
        |order| Json(order).into_response(),
    )
}

/// `POST /orders`: places one and remembers the decision under which it was written.
pub(super) async fn create(
    State(orders): State<Arc<Orders>>,
    headers: HeaderMap,
    Json(new): Json<NewOrder>,
) -> Response {
    let NewOrder { item, quantity, note } = new;
    let decision_id = super::decided_by(&headers).map(str::to_owned);
    let order = orders.locked(|by_id| {
        let id = by_id.last_key_value().map_or(1, |(last, _)| last + 1);
        let order = Order { id, item, quantity, note, decision_id };
        by_id.insert(id, order.clone());
        order
    });
    (StatusCode::CREATED, Json(order)).into_response()
}

/// `GET /orders/ws`: a WebSocket that says everything back.
pub(super) async fn echo(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(say_back)
}

async fn say_back(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if !matches!(message, Message::Text(_) | Message::Binary(_)) {
            continue;
        }
        if socket.send(message).await.is_err() {
            return;
        }
    }
}
