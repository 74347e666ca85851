//! HTTP/2 in clear text: in on a listener of its own, out to upstreams that are configured so.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::{self, CREDENTIAL, Fixture, at, fixed};
use crate::upstream::Upstream;
use crate::wire::{Wire, ask, get};

pub async fn connect(address: std::net::SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(method: &str, uri: &str, body: &'static str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(uri)
        .header("wcp-decision-id", "forged")
        .header("proxy-authorization", "Basic mine")
        .body(Full::from(body))
        .unwrap()
}

#[tokio::test]
async fn http2_comes_in() {
    let upstream = Upstream::ok().await;
    let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
    let mut sender = connect(fixture.h2c).await;
    let response = sender.send_request(request("POST", "http://gate.example/public/%61?x", "hello")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let id = response.headers()["wcp-decision-id"].to_str().unwrap().to_owned();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
    let got = upstream.only();
    assert_eq!(got.first, "POST /public/a?x HTTP/1.1");
    assert_eq!((&*got.body, got.header("wcp-decision-id")), (&b"hello"[..], Some(&*id)));
    assert_eq!(got.header("host"), Some(&*upstream.address.to_string()));
    assert_eq!(fixture.entry("decision", &id).await["http"]["host"], "gate.example");
    assert_eq!(fixture.entry("outcome", &id).await["ending"], "complete");

    // The same connection goes on after a no.
    for (uri, status) in [
        ("http://gate.example/secret/a", StatusCode::FORBIDDEN),
        ("http://gate.example/public//a", StatusCode::BAD_REQUEST),
        ("http://gate.example/public/a", StatusCode::OK),
    ] {
        let response = sender.send_request(request("GET", uri, "")).await.unwrap();
        assert_eq!(response.status(), status, "{uri}");
        response.into_body().collect().await.unwrap();
    }
    // HTTP/1.1 has no business there, nor HTTP/2 at the other door.
    let mut wire = Wire::to(fixture.h2c).await;
    wire.send(get("/public/a", "")).await;
    assert!(wire.closed().await);
    let mut wire = Wire::to(fixture.gate).await;
    wire.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn cookies_that_http2_splits_arrive_in_one_line() {
    let upstream = Upstream::ok().await;
    let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
    let mut sender = connect(fixture.h2c).await;
    let request = Request::get("http://gate.example/public/a");
    let request = ["a=1", "b=2; c=3", "d=4"].into_iter().fold(request, |request, line| request.header("cookie", line));
    let response = sender.send_request(request.body(Full::from("")).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(upstream.only().header("cookie"), Some("a=1; b=2; c=3; d=4"));
    let response = ask(fixture.gate, get("/public/a", "Cookie: a=1\r\ncookie: b=2\r\n")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(upstream.seen().last().unwrap().header("cookie"), Some("a=1; b=2"));
}

/// What an HTTP/2 upstream got: the version, the target and the headers.
pub type Got = Arc<Mutex<Vec<(Version, String, http::HeaderMap)>>>;

pub async fn http2_upstream() -> (std::net::SocketAddr, Got) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let got = Got::default();
    let notes = Arc::clone(&got);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let notes = Arc::clone(&notes);
            let service = service_fn(move |request: Request<Incoming>| {
                let note = (request.version(), request.uri().to_string(), request.headers().clone());
                notes.lock().unwrap().push(note);
                async move {
                    let body = request.into_body().collect().await?.to_bytes();
                    Ok::<_, hyper::Error>(
                        Response::builder().header("wcp-receipt", "forged").body(Full::new(body)).unwrap(),
                    )
                }
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, got)
}

#[tokio::test]
async fn http2_goes_out() {
    let (address, got) = http2_upstream().await;
    let mut to = at(address);
    to.h2 = true;
    let fixture = Fixture::start(fixture::settings(fixed(), to)).await;
    let asked = "POST /public/a?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nwcp-token: t\r\n\r\nhello";
    let response = ask(fixture.gate, asked).await;
    assert_eq!((response.status(), &*response.body), (200, &b"hello"[..]));
    assert_ne!(response.header("wcp-receipt"), Some("forged"));

    let mut sender = connect(fixture.h2c).await;
    let response = sender.send_request(request("POST", "http://gate.example/public/b", "both")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "both");

    let got = got.lock().unwrap();
    assert_eq!(got.len(), 2);
    for ((version, uri, headers), path) in got.iter().zip(["/public/a?x=1", "/public/b"]) {
        assert_eq!((*version, uri.as_str()), (Version::HTTP_2, &*format!("http://{address}{path}")));
        assert_eq!(headers["authorization"], CREDENTIAL);
        assert_ne!(headers["wcp-decision-id"], "forged");
        assert!(!headers.contains_key("wcp-token") && !headers.contains_key("proxy-authorization"));
    }
}
