//! Bodies that stall or drip give up their place, over every protocol.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use hallgate::proxy;
use http::Request;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::fixture::{self, Fixture, at, fixed};
use crate::upstream::Upstream;
use crate::wire::{PATIENCE, Wire};

/// A fixture whose gate has little patience, before an upstream that waits for bodies to end.
async fn fixture(idle: Duration, min_body_rate: u32) -> Fixture {
    let upstream = Upstream::script(|mut wire, _| async move {
        wire.message().await;
    })
    .await;
    let settings = fixture::settings(fixed(), at(upstream.address));
    Fixture::start(proxy::Settings { idle_timeout: idle, min_body_rate, ..settings }).await
}

/// How the one exchange of a fixture ended.
async fn ending(fixture: &Fixture) -> String {
    let decision = fixture.entries().into_iter().find(|entry| entry["kind"] == "decision").unwrap();
    let outcome = fixture.entry("outcome", decision["decision_id"].as_str().unwrap()).await;
    outcome["ending"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_body_that_stalls_over_http2_is_reset() {
    let fixture = fixture(Duration::from_millis(300), 0).await;
    let stream = TcpStream::connect(fixture.h2c).await.unwrap();
    let (mut sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let piece = futures_util::stream::iter([Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"some")))]);
    let body = StreamBody::new(piece.chain(futures_util::stream::pending()));
    let request = Request::post("http://gate.example/public/a").body(body).unwrap();
    let answer = timeout(PATIENCE, sender.send_request(request)).await.expect("it is not reset");
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(ending(&fixture).await, "aborted");
}

#[tokio::test]
async fn a_body_that_drips_is_408() {
    let fixture = fixture(Duration::from_millis(400), 1000).await;
    let mut wire = Wire::to(fixture.gate).await;
    wire.send("POST /public/a HTTP/1.1\r\nhost: gate.example\r\ncontent-length: 100000\r\n\r\n").await;
    let answer = timeout(PATIENCE, async {
        loop {
            wire.send("x").await;
            tokio::select! {
                head = wire.head() => return head.unwrap(),
                () = sleep(Duration::from_millis(50)) => {}
            }
        }
    });
    assert_eq!(answer.await.expect("it may drip for ever").status(), 408);
    assert_eq!(ending(&fixture).await, "aborted");
}

#[tokio::test]
async fn a_kept_connection_has_as_long_for_each_of_its_requests() {
    let (idle, header) = (Duration::from_millis(600), Duration::from_millis(500));
    let upstream = Upstream::ok().await;
    let settings = fixture::settings(fixed(), at(upstream.address));
    let fixture = Fixture::start(proxy::Settings { idle_timeout: idle, header_timeout: header, ..settings }).await;
    let request = "GET /public/a HTTP/1.1\r\nhost: gate.example\r\n\r\n";
    for unfinished in ["", "GET /public/a HTTP/1.1\r\nho"] {
        let mut wire = Wire::to(fixture.gate).await;
        // For longer than any of its silences may be: the alarm that the first of them set is none of the others'.
        for _ in 0..6 {
            assert_eq!(wire.ask(request).await.status(), 200);
            sleep(idle / 3).await;
        }
        assert_eq!(wire.ask(request).await.status(), 200);
        let since = Instant::now();
        wire.send(unfinished).await;
        assert!(timeout(PATIENCE, wire.closed()).await.expect("it may be silent for ever"));
        let least = if unfinished.is_empty() { idle } else { idle + header };
        assert!(since.elapsed() + Duration::from_millis(50) >= least, "closed after {:?}", since.elapsed());
    }
}
