//! A panic is one request's loss, and origins are checked when the hall starts.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::cache::{self, Verdicts};
use crate::engine::{Mode, RuleSet, Settings, Snapshot};
use crate::hall::TokenBook;
use crate::ledger::{Durability, Ledger};
use crate::telemetry::Metrics;

/// A hall that knows nothing, and the folder of its ledger.
fn hall() -> (Arc<Hall>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        mode: Mode::Strict,
        version: Arc::from("policy.test"),
        require_worker_id: [].into(),
        require_signatory: false,
        allowed_tenants: [].into(),
        require_worker_attestation: false,
        enforce_correlation_id: true,
        enforce_required_controls: true,
        enforce_blast_scoring_in_prod: true,
        enforce_privilege_envelopes: false,
        require_known_capability: false,
        egress_allowlist: [].into(),
        tenants: [].into(),
    };
    let rules = RuleSet::parse(r#"{"rules": []}"#, Mode::Strict).unwrap();
    let snapshot = Snapshot::build(settings, rules, Vec::new()).unwrap();
    let ledger = Ledger::open(&crate::ledger::Settings {
        path: folder.path().join("ledger"),
        durability: Durability::Process,
        key_file: folder.path().join("hallgate.key"),
        origin: "hallgate.test/ledger".to_owned(),
        checkpoint_every: std::time::Duration::from_secs(60),
        queue: 8,
        segment_bytes: 1 << 20,
        retention: crate::ledger::Retention::default(),
    })
    .unwrap();
    let verdicts = Verdicts::new(cache::Settings { capacity: 0 });
    (Arc::new(Hall::new(snapshot, verdicts, ledger, TokenBook::default(), Arc::new(Metrics::new()))), folder)
}

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
