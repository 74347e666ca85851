//! gRPC: what the gate answers to a call itself, and what of an upstream's answer it passes on. Real gRPC is in `tests/apps.rs`.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::{self, Fixture, at, fixed};
use crate::upstream::Upstream;
use crate::wire::ask;

async fn connect(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A call of `path` with one empty message, and this header besides.
fn call(path: &str, (name, value): (&str, &str)) -> Request<Full<Bytes>> {
    Request::post(format!("http://gate.example{path}"))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .header(name, value)
        .body(Full::from(&[0; 5][..]))
        .unwrap()
}

/// What a gRPC client gets of an answer that is nothing but a head.
async fn only_head(sender: &mut SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> HeaderMap {
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers().clone();
    assert!(hyper::body::Body::is_end_stream(response.body()), "something comes behind the head");
    assert_eq!(headers["content-type"], "application/grpc");
    headers
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

const NONE: (&str, &str) = ("x-nothing", "1");

#[tokio::test]
async fn a_denied_call_gets_a_grpc_status() {
    // Nobody listens there any more.
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let fixture = Fixture::start(fixture::settings(fixed(), at(nobody))).await;
    let mut sender = connect(fixture.h2c).await;
    let denied = only_head(&mut sender, call("/secret/Get", NONE)).await;
    let id = text(&denied, "wcp-decision-id").to_owned();
    assert_eq!((text(&denied, "grpc-status"), text(&denied, "wcp-code")), ("7", "DENY_NO_MATCHING_RULE"));
    let message = text(&denied, "grpc-message");
    assert!(
        message.starts_with("DENY_NO_MATCHING_RULE: ") && message.ends_with(&format!(" (decision {id})")),
        "{message}"
    );
    assert_eq!(fixture.entry("decision", &id).await["outcome"], "DENY");
    assert_eq!(text(&denied, "wcp-receipt").len(), 64);

    for (request, status, code) in [
        (call("/nowhere", NONE), "12", "DENY_NO_ROUTE"),
        (call("/public/Get", ("wcp-data-label", "secret")), "3", "DENY_MALFORMED_CLAIM"),
        (call("/public/Get", ("wcp-dry-run", "true")), "9", "DRY_RUN"),
        (call("/secret/Get", ("wcp-dry-run", "true")), "7", "DENY_NO_MATCHING_RULE"),
        (call("/public/Get", NONE), "14", "UPSTREAM_UNREACHABLE"),
    ] {
        let path = request.uri().path().to_owned();
        let answer = only_head(&mut sender, request).await;
        assert_eq!((text(&answer, "grpc-status"), text(&answer, "wcp-code")), (status, code), "{path}");
        assert!(!answer.contains_key("grpc-retry-pushback-ms"), "{path}");
    }
    // Not decided: worth another try.
    fixture.break_ledger();
    let answer = only_head(&mut sender, call("/public/Get", NONE)).await;
    assert_eq!((text(&answer, "grpc-status"), text(&answer, "wcp-code")), ("14", "DENY_AUDIT_UNAVAILABLE"));
    assert_eq!(text(&answer, "grpc-retry-pushback-ms"), "1000");
    assert!(!answer.contains_key("wcp-decision-id"));
}

#[tokio::test]
async fn what_is_no_call_gets_a_problem() {
    let upstream = Upstream::ok().await;
    let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
    let old = "POST /secret/Get HTTP/1.1\r\nHost: h\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(ask(fixture.gate, old).await.status(), 403);
    let mut sender = connect(fixture.h2c).await;
    let mut web = call("/secret/Get", NONE);
    web.headers_mut().insert("content-type", "application/grpc-web+proto".parse().unwrap());
    let response = sender.send_request(web).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap()["code"], "DENY_NO_MATCHING_RULE");
}

/// An HTTP/2 upstream whose answers end in trailers, one of them forged.
async fn with_trailers() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|request: Request<Incoming>| async move {
                assert_eq!(request.headers()["te"], "trailers");
                let trailers = HeaderMap::from_iter([
                    ("grpc-status".parse().unwrap(), "5".parse().unwrap()),
                    ("wcp-decision-id".parse().unwrap(), "forged".parse().unwrap()),
                    ("wcp-code".parse().unwrap(), "forged".parse().unwrap()),
                ]);
                let frames = [Frame::data(Bytes::from_static(&[0; 5])), Frame::trailers(trailers)];
                let body = StreamBody::new(stream::iter(frames.map(Ok::<_, hyper::Error>)));
                Ok::<_, hyper::Error>(
                    Response::builder().header("content-type", "application/grpc").body(body).unwrap(),
                )
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

#[tokio::test]
async fn trailers_pass_but_what_they_say_about_decisions_is_not_believed() {
    let mut to = at(with_trailers().await);
    to.h2 = true;
    let fixture = Fixture::start(fixture::settings(fixed(), to)).await;
    let mut sender = connect(fixture.h2c).await;
    let response = sender.send_request(call("/public/Get", NONE)).await.unwrap();
    assert_eq!(text(response.headers(), "wcp-decision-id").len(), 36);
    let body = response.into_body().collect().await.unwrap();
    let trailers = body.trailers().unwrap();
    assert_eq!((text(trailers, "grpc-status"), trailers.len()), ("5", 1), "{trailers:?}");
    assert_eq!(body.to_bytes(), &[0; 5][..]);
}
