//! A panic is one request's loss, and origins are checked when the hall starts.

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
    let frame = Arc::new(Frame::new(&[], Arc::clone(&hall)).unwrap());
    let router = Router::new()
        .route("/explode", get(explode))
        .route("/fine", get(async || "fine"))
        .layer(from_fn_with_state(frame, super::frame));
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

#[test]
fn an_origin_that_no_browser_would_send_is_refused_at_start() {
    let (hall, _folder) = hall();
    let new = |origin: &str| Frame::new(&[origin.to_owned()], Arc::clone(&hall)).map(|_| ());
    for ok in ["https://app.example.org", "http://localhost:5173", "tauri://localhost"] {
        assert_eq!(new(ok), Ok(()));
    }
    for bad in
        ["", "*", "app.example.org", "https://", "https://app.example.org/", "https://*.example.org", "https://a\nb"]
    {
        assert!(new(bad).unwrap_err().contains("hall.cors_origins"), "{bad}");
    }
}
