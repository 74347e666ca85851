//! Bodies pass as they come: streams chunk by chunk, WebSockets, large bodies in constant memory, and callers that leave.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite;

use crate::fixture::{self, Fixture, at, fixed};
use crate::upstream::Upstream;
use crate::wire::{Message, PATIENCE, Wire, ask, get};

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Begins a stream, as an upstream.
async fn begin(wire: &mut Wire) {
    wire.message().await;
    wire.send(STREAM).await;
    wire.send("2\r\nhi\r\n").await;
}

/// Asks for a stream through a gate, and reads the head of the answer.
async fn streamed(upstream: &Upstream) -> (Fixture, Wire, Message) {
    let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
    let mut wire = Wire::to(fixture.gate).await;
    wire.send(get("/public/stream", "")).await;
    let head = wire.head().await.unwrap();
    (fixture, wire, head)
}

#[tokio::test]
async fn a_stream_arrives_event_by_event() {
    let next = Arc::new(Notify::new());
    let go = Arc::clone(&next);
    let upstream = Upstream::script(move |mut wire, _| {
        let go = Arc::clone(&go);
        async move {
            wire.message().await;
            wire.send(STREAM).await;
            for event in ["1", "2", "3"] {
                wire.send(format!("9\r\ndata: {event}\n\n\r\n")).await;
                // The next is sent only when this one has arrived.
                go.notified().await;
            }
            wire.send("0\r\n\r\n").await;
        }
    })
    .await;
    let (fixture, mut wire, head) = streamed(&upstream).await;
    assert_eq!((head.status(), head.header("content-type")), (200, Some("text/event-stream")));
    for event in ["1", "2", "3"] {
        assert_eq!(wire.chunk().await, format!("data: {event}\n\n").as_bytes());
        next.notify_one();
    }
    assert!(wire.chunk().await.is_empty());
    let outcome = fixture.entry("outcome", head.header("wcp-decision-id").unwrap()).await;
    assert_eq!((&outcome["ending"], &outcome["response_bytes"]), (&"complete".into(), &27.into()));
}

#[tokio::test]
async fn a_caller_that_leaves_ends_the_exchange_upstream() {
    let (ended, mut upstream_ended) = mpsc::unbounded_channel();
    let upstream = Upstream::script(move |mut wire, _| {
        let ended = ended.clone();
        async move {
            begin(&mut wire).await;
            while wire.more().await {}
            ended.send(()).unwrap();
        }
    })
    .await;
    let (fixture, mut wire, head) = streamed(&upstream).await;
    assert_eq!(wire.chunk().await, b"hi");
    drop(wire);
    timeout(PATIENCE, upstream_ended.recv()).await.expect("the upstream was not told").unwrap();
    let outcome = fixture.entry("outcome", head.header("wcp-decision-id").unwrap()).await;
    assert_eq!((&outcome["ending"], &outcome["status"]), (&"client_gone".into(), &200.into()));
}

#[tokio::test]
async fn an_upstream_that_breaks_off_is_seen_to_break_off() {
    let upstream = Upstream::script(|mut wire, _| async move {
        begin(&mut wire).await;
    })
    .await;
    let (fixture, mut wire, head) = streamed(&upstream).await;
    assert_eq!(wire.chunk().await, b"hi");
    // No last chunk: the caller can tell that something is missing.
    assert!(wire.until(b"0\r\n\r\n").await.is_none());
    let outcome = fixture.entry("outcome", head.header("wcp-decision-id").unwrap()).await;
    assert_eq!(outcome["ending"], "upstream_failed");
}

#[tokio::test]
async fn a_websocket_passes_both_ways() {
    let upstream = Upstream::script(|wire, seen| async move {
        let note = |request: &tungstenite::handshake::server::Request, response| {
            let headers =
                request.headers().iter().map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned())).collect();
            let first = format!("GET {} HTTP/1.1", request.uri());
            seen.lock().unwrap().push(Message { first, headers, body: Vec::new() });
            Ok(response)
        };
        let mut socket = tokio_tungstenite::accept_hdr_async(wire.stream, note).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() {
                socket.send(message).await.unwrap();
            }
        }
    })
    .await;
    let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
    let url = format!("ws://{}/public/echo", fixture.gate);
    let (mut socket, response) = tokio_tungstenite::connect_async(url).await.unwrap();
    let id = response.headers()["wcp-decision-id"].to_str().unwrap().to_owned();
    for text in ["one", "two"] {
        socket.send(text.into()).await.unwrap();
        assert_eq!(timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap(), text.into());
    }
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = timeout(PATIENCE, socket.next()).await.unwrap() {}
    drop(socket);
    assert_eq!(upstream.only().header("wcp-decision-id"), Some(&*id));
    assert_eq!(fixture.entry("outcome", &id).await["status"], 101);
    // A denied one is not opened.
    let denied = tokio_tungstenite::connect_async(format!("ws://{}/secret/echo", fixture.gate)).await;
    assert!(matches!(denied, Err(tungstenite::Error::Http(response)) if response.status() == 403));
}

#[tokio::test]
async fn nothing_of_ours_is_written_into_a_tunnel() {
    let upstream = Upstream::script(|mut wire, _| async move {
        wire.head().await;
        wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello").await;
        // It is silent for too long, or what was sent is not read: the connection is reset.
        if wire.until(b"go").await.is_none() {
            wire.more().await;
        }
    })
    .await;
    let mut settings = fixture::settings(fixed(), at(upstream.address));
    settings.upgraded_idle_timeout = std::time::Duration::from_millis(300);
    let fixture = Fixture::start(settings).await;
    for last in ["", "go, and more that nobody reads"] {
        let mut wire = Wire::to(fixture.gate).await;
        wire.send(get("/public/tunnel", "Connection: Upgrade\r\nUpgrade: websocket\r\n")).await;
        let head = wire.head().await.unwrap();
        assert_eq!(head.status(), 101);
        wire.send(last).await;
        while wire.more().await {}
        assert_eq!(String::from_utf8_lossy(wire.ahead()), "hello", "{last}");
        let outcome = fixture.entry("outcome", head.header("wcp-decision-id").unwrap()).await;
        assert_eq!(outcome["status"], 101);
    }
}

#[tokio::test]
async fn a_connection_ends_where_its_caller_says_so_on_any_line() {
    let upstream = Upstream::ok().await;
    let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
    let mut wire = Wire::to(fixture.gate).await;
    let first = get("/public/a", "Connection: keep-alive\r\nConnection: close\r\n");
    wire.send(first + &get("/public/not-to-be-processed", "")).await;
    let answer = wire.message().await.unwrap();
    assert_eq!((answer.status(), answer.header("connection")), (200, Some("close")));
    assert!(wire.closed().await);
    assert_eq!(upstream.only().target(), "/public/a");
}

#[tokio::test]
async fn a_caller_that_expects_100_continue_gets_it_from_the_upstream_and_only_when_permitted() {
    let upstream = Upstream::script(|mut wire, _| async move {
        let head = wire.head().await.unwrap();
        assert_eq!(head.header("expect"), Some("100-continue"));
        wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        assert_eq!(wire.take(5).await, b"hello");
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    })
    .await;
    let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
    let request =
        |path| format!("POST {path} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let mut wire = Wire::to(fixture.gate).await;
    wire.send(request("/public/a")).await;
    assert_eq!(wire.head().await.unwrap().status(), 100);
    assert_eq!(wire.ask("hello").await.status(), 200);
    // A denial comes at once; what would follow is not waited for.
    let mut wire = Wire::to(fixture.gate).await;
    let denied = wire.ask(request("/secret/a")).await;
    assert_eq!((denied.status(), denied.header("connection")), (403, Some("close")));
    assert!(wire.closed().await);
}

/// The resident memory of this process at its highest, in bytes.
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// `HALLGATE_TEST_BODY_MIB` sets another size: 1024 was run by hand.
fn body_size() -> usize {
    std::env::var("HALLGATE_TEST_BODY_MIB").map_or(256, |mib| mib.parse().unwrap()) << 20
}

const PIECE: usize = 1 << 18;

/// Sends a body of one byte, repeated.
async fn pour(wire: &mut Wire, size: usize, byte: u8) {
    let piece = vec![byte; PIECE];
    for _ in 0..size / PIECE {
        wire.stream.write_all(&piece).await.unwrap();
    }
}

/// Reads a body and looks at every byte of it.
async fn swallow(wire: &mut Wire, size: usize, byte: u8) {
    let (mut piece, all) = (vec![0; PIECE], vec![byte; PIECE]);
    let mut left = size;
    while left > 0 {
        let got = wire.rest(&mut piece[..left.min(PIECE)]).await;
        assert!(got > 0, "{left} bytes are missing");
        assert!(piece[..got] == all[..got], "other bytes came than were sent");
        left -= got;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_pass_both_ways_in_constant_memory() {
    let size = body_size();
    let upstream = Upstream::script(move |mut wire, _| async move {
        while let Some(head) = wire.head().await {
            if head.first.starts_with("POST") {
                swallow(&mut wire, size, b'u').await;
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            } else {
                wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")).await;
                pour(&mut wire, size, b'd').await;
            }
        }
    })
    .await;
    let fixture = Fixture::start(fixture::settings(fixed(), at(upstream.address))).await;
    assert_eq!(ask(fixture.gate, get("/nowhere", "")).await.status(), 404);
    let before = peak_memory();

    let mut wire = Wire::to(fixture.gate).await;
    wire.send(format!("POST /public/up HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n")).await;
    pour(&mut wire, size, b'u').await;
    let response = wire.message().await.unwrap();
    assert_eq!(response.status(), 200);
    let outcome = fixture.entry("outcome", response.header("wcp-decision-id").unwrap()).await;
    assert_eq!(outcome["request_bytes"], size);

    let mut wire = Wire::to(fixture.gate).await;
    wire.send(get("/public/down", "")).await;
    let head = wire.head().await.unwrap();
    swallow(&mut wire, size, b'd').await;
    let outcome = fixture.entry("outcome", head.header("wcp-decision-id").unwrap()).await;
    assert_eq!((&outcome["response_bytes"], &outcome["ending"]), (&size.into(), &"complete".into()));

    let grown = peak_memory() - before;
    assert!(grown < 96 << 20, "memory grew by {} MiB", grown >> 20);
}
