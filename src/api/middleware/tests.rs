//! A panic is one request's loss.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::hall::tests::hall;

#[tokio::test]
async fn a_panic_is_a_counted_500_that_denies() {
    async fn explode() -> &'static str {
        panic!("on purpose")
    }
    let (hall, _folder) = hall();
    let middleware = Arc::new(Middleware::new(&[], false, Arc::clone(&hall)).unwrap());
    let router = Router::new()
        .route("/explode", get(explode))
        .route("/fine", get(async || "fine"))
        .layer(from_fn_with_state(middleware, around));
    let get = async |path: &str| {
        let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap()
    };
    let answer = get("/explode").await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&body["denied"], &body["deny_reason"]), (&true.into(), &"DENY_INTERNAL_ERROR".into()));
    assert_eq!(hall.metrics().panics.get(), 1);
    assert_eq!(get("/fine").await.status(), StatusCode::OK);
    assert_eq!(hall.metrics().panics.get(), 1);
}
