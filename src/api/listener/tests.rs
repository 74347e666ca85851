//! Slow connections end, and a full hall closes what is too much.

use std::time::Instant;

use axum::routing::get;
use futures_util::stream;
use pingora_core::protocols::l4::stream::Stream as L4;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;
use crate::connections::{ConnectionLimits, Connections};
use crate::telemetry::Metrics;

const SOON: Duration = Duration::from_millis(150);

fn listener(head_time: Duration, stall_time: Duration, places: usize) -> Arc<ApiListener> {
    let router = Router::new().route("/", get(async || "hello"));
    let most = ConnectionLimits { in_all: places, per_network: places, unknown: places };
    let connections = Connections::new("api", most, &Arc::new(Metrics::new()));
    Arc::new(ApiListener { router, doorway: Doorway::new(connections, None, head_time), head_time, stall_time })
}

/// Serves one connection; the client's end of it.
async fn connect(listener: &Arc<ApiListener>, shutdown: &ShutdownWatch) -> TcpStream {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(socket.local_addr().unwrap()).await.unwrap();
    let (served, _) = socket.accept().await.unwrap();
    let (listener, shutdown) = (Arc::clone(listener), shutdown.clone());
    tokio::spawn(async move { listener.process_new(Box::new(L4::from(served)), &shutdown).await });
    client
}

/// Reads until the other end closes.
async fn rest(client: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let _ = client.read_to_end(&mut all).await;
    String::from_utf8(all).unwrap()
}

const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn a_head_that_does_not_end_is_cut_however_it_began() {
    let (_stop, shutdown) = watch::channel(false);
    let listener = listener(SOON, LONG, 8);
    for beginning in ["", "P", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nhost: h\r\nx: "] {
        let mut client = connect(&listener, &shutdown).await;
        client.write_all(beginning.as_bytes()).await.unwrap();
        assert!(!rest(&mut client).await.contains("hello"), "{beginning}");
    }
    // Drop by drop is no faster.
    let mut client = connect(&listener, &shutdown).await;
    let began = Instant::now();
    while client.write_all(b"G").await.is_ok() && began.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(20), "a dripping head was never cut");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_answer() {
    let (_stop, shutdown) = watch::channel(false);
    let mut client = connect(&listener(SOON, LONG, 8), &shutdown).await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    assert!(rest(&mut client).await.ends_with("hello"));
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut() {
    let (_stop, shutdown) = watch::channel(false);
    let mut client = connect(&listener(LONG, SOON, 8), &shutdown).await;
    let request = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n".repeat(1000);
    let began = Instant::now();
    while client.write_all(&request).await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(60), "a deaf client was never cut");
    }
}

#[tokio::test]
async fn an_answer_without_an_end_goes_on_for_whoever_reads_it_and_for_nobody_else() {
    let (_stop, shutdown) = watch::channel(false);
    let mut listener = listener(LONG, SOON, 8);
    let chunks = |request: Request<Body>, length: usize| {
        let progress = request.extensions().get::<Progress>().unwrap().clone();
        let chunks = stream::unfold(progress, move |progress| async move {
            tokio::time::sleep(SOON / 10).await;
            progress.goes_on();
            Some((Ok::<_, std::convert::Infallible>(vec![b'x'; length]), progress))
        });
        async { Body::from_stream(chunks) }
    };
    let endless = move |length| move |request| chunks(request, length);
    let router = Router::new().route("/few", get(endless(10))).route("/many", get(endless(1 << 20)));
    Arc::get_mut(&mut listener).unwrap().router = router;
    let mut reads = connect(&listener, &shutdown).await;
    reads.write_all(b"GET /few HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let (began, mut some) = (Instant::now(), [0; 1000]);
    while began.elapsed() < SOON * 6 {
        assert!(reads.read(&mut some).await.unwrap() > 0, "it was cut off");
    }
    let mut deaf = connect(&listener, &shutdown).await;
    deaf.write_all(b"GET /many HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let began = Instant::now();
    while deaf.write_all(b" ").await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(60), "a deaf viewer was never cut");
        tokio::time::sleep(SOON).await;
    }
}

#[tokio::test]
async fn a_new_connection_takes_the_place_of_one_on_which_nobody_is_known() {
    let (_stop, shutdown) = watch::channel(false);
    let listener = listener(LONG, LONG, 1);
    let mut first = connect(&listener, &shutdown).await;
    first.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let mut some = [0; 15];
    first.read_exact(&mut some).await.unwrap();
    let mut next = connect(&listener, &shutdown).await;
    next.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(rest(&mut next).await.ends_with("hello"));
    assert!(rest(&mut first).await.ends_with("hello"), "it had its answer, and is closed");
}

#[tokio::test]
async fn a_head_that_can_be_read_in_two_ways_is_refused_behind_the_answer_to_the_one_before_it() {
    let (_stop, shutdown) = watch::channel(false);
    for bad in
        ["GET / HTTP/1.1\r\nhost: h\nx: y\r\n\r\n", "GET / HTTP/1.1\r\ncontent-length: 0\r\ncontent-length: 0\r\n\r\n"]
    {
        let mut client = connect(&listener(LONG, LONG, 8), &shutdown).await;
        client.write_all(format!("GET / HTTP/1.1\r\nhost: h\r\n\r\n{bad}{bad}").as_bytes()).await.unwrap();
        let said = rest(&mut client).await;
        assert!(said.matches("hello").count() == 1 && said.matches("400 Bad Request").count() == 1, "{bad:?}: {said}");
    }
}

#[tokio::test]
async fn a_shutdown_ends_idle_connections() {
    let (stop, shutdown) = watch::channel(false);
    let listener = listener(LONG, LONG, 8);
    let mut idle = connect(&listener, &shutdown).await;
    stop.send(true).unwrap();
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(rest(&mut connect(&listener, &shutdown).await).await, "");
}
