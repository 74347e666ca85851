//! Hostile connections of every kind, many at once: the gate goes on serving a caller and its probes, in little memory.
//!
//! Short by default. `HALLGATE_HOSTILE=2000` is how many of each there are in the long run (`make hostile`).
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise"
)]

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use support::{Fixture, PATIENCE, ask, metric};

const ACME: &str = "hst_acme-0123456789abcdef";
/// What the gate's own memory may come to, on the heap and on stacks.
const MEMORY: u64 = 192 * 1024 * 1024;

/// How many connections of each kind.
fn each() -> usize {
    std::env::var("HALLGATE_HOSTILE").map_or(600, |each| each.parse().unwrap())
}

/// Lets this process open as many files as it may.
fn open_files() {
    let process = std::process::id().to_string();
    let hard =
        Command::new("prlimit").args(["--pid", &process, "--nofile", "--output", "HARD", "--noheadings"]).output();
    let hard = String::from_utf8(hard.unwrap().stdout).unwrap();
    let limit = format!("--nofile={0}:{0}", hard.trim());
    assert!(Command::new("prlimit").args(["--pid", &process, &limit]).status().unwrap().success());
}

/// Answers whatever has come whole, and reads bodies to their end.
async fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
                loop {
                    let whole = match seen.windows(4).position(|four| four == b"\r\n\r\n") {
                        Some(_) if seen.starts_with(b"POST") => seen.ends_with(b"0\r\n\r\n"),
                        Some(_) => true,
                        None => false,
                    };
                    if whole {
                        seen.clear();
                        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 65536\r\n\r\n{}", "x".repeat(65536));
                        if connection.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                    match connection.read(&mut buffer).await {
                        Ok(read @ 1..) => seen.extend_from_slice(&buffer[..read]),
                        _ => return,
                    }
                }
            });
        }
    });
    address
}

/// A fixture with this identity whose gate is also there for HTTP/2 in clear.
fn fixture(upstream: SocketAddr, identity: &str) -> (Fixture, SocketAddr) {
    let fixture = Fixture::sample(upstream);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    fixture.edit("{ mode: fixed, worker_id: wrk_make_acme_prod, tenant_id: org.acme }", identity);
    fixture.edit("gate:\n", &format!("gate:\n  listen_h2c: {free}\n"));
    let token = format!(
        "tokens: [{{ name: acme, secret: {ACME}, scopes: [route], tenant_id: org.acme, worker_ids: [wrk_make_acme_prod] }}, "
    );
    fixture.edit("tokens: [", &token);
    (fixture, free)
}

/// Asks over a new connection for as long as it is told to, and counts answers; each has to come.
async fn caller(gate: SocketAddr, hall: SocketAddr, go_on: Arc<AtomicBool>) -> u64 {
    let mut answered = 0;
    while go_on.load(Ordering::Relaxed) {
        for (to, request) in [
            (gate, format!("GET /orders HTTP/1.1\r\nhost: gate\r\nwcp-token: {ACME}\r\nconnection: close\r\n\r\n")),
            (hall, "GET /livez HTTP/1.1\r\nhost: hall\r\nconnection: close\r\n\r\n".to_owned()),
            (hall, "GET /readyz HTTP/1.1\r\nhost: hall\r\nconnection: close\r\n\r\n".to_owned()),
        ] {
            let answer = tokio::time::timeout(PATIENCE, async {
                let mut connection = TcpStream::connect(to).await.unwrap();
                connection.write_all(request.as_bytes()).await.unwrap();
                let mut answer = Vec::new();
                let _ = connection.read_to_end(&mut answer).await;
                answer
            });
            let answer = answer.await.unwrap_or_else(|_| panic!("no answer to {request}"));
            let said = String::from_utf8_lossy(&answer);
            assert!(said.starts_with("HTTP/1.1 200 "), "{request}: {said:.500}\n{}", closed(hall).join("\n"));
            answered += 1;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    answered
}

/// Why connections were closed, as the metrics say it.
fn closed(hall: SocketAddr) -> Vec<String> {
    let answer = ask(hall, "GET /metrics", &[], "").text();
    answer.lines().filter(|line| line.starts_with("hallgate_connections_closed_total{")).map(str::to_owned).collect()
}

/// What somebody does who means no good.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Connects and says nothing.
    Idle,
    /// Begins a large head and does not end it.
    UnfinishedHead,
    /// Asks and asks, and reads no answer.
    SlowReader,
    /// The same of HTTP/2's preface.
    UnfinishedPreface,
    /// Begins a body over HTTP/2 and does not go on.
    StalledBody,
}

const KINDS: [Kind; 5] =
    [Kind::Idle, Kind::UnfinishedHead, Kind::SlowReader, Kind::UnfinishedPreface, Kind::StalledBody];

/// Holds one connection until it is closed, or for as long as the test goes on.
async fn hold(kind: Kind, gate: SocketAddr, h2c: SocketAddr, hall: SocketAddr, nth: usize, held: Arc<AtomicU64>) {
    let to = match kind {
        Kind::UnfinishedPreface | Kind::StalledBody => h2c,
        // Every fourth goes to the Hall.
        _ if nth % 4 == 3 => hall,
        _ => gate,
    };
    let Ok(mut connection) = TcpStream::connect(to).await else { return };
    held.fetch_add(1, Ordering::Relaxed);
    let said: Vec<u8> = match kind {
        Kind::Idle => Vec::new(),
        Kind::UnfinishedHead => format!("GET /orders HTTP/1.1\r\nhost: gate\r\nx: {}", "x".repeat(60_000)).into_bytes(),
        Kind::SlowReader => format!(
            "GET /orders HTTP/1.1\r\nhost: gate\r\nwcp-token: {}\r\n\r\n",
            if nth.is_multiple_of(2) { ACME } else { "wrong" }
        )
        .repeat(50)
        .into_bytes(),
        Kind::UnfinishedPreface => b"PRI * HTTP/2.0\r\n".to_vec(),
        Kind::StalledBody => {
            let Ok((mut sender, driver)) = http2::handshake(TokioExecutor::new(), TokioIo::new(connection)).await
            else {
                return;
            };
            let driver = tokio::spawn(driver);
            let piece = Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"some")));
            let piece = futures_util::stream::iter([piece]);
            let body = StreamBody::new(futures_util::StreamExt::chain(piece, futures_util::stream::pending()));
            let token = if nth.is_multiple_of(2) { ACME } else { "wrong" };
            let request = http::Request::post("http://gate/orders").header("wcp-token", token).body(body).unwrap();
            let _ = sender.send_request(request).await;
            let _ = driver.await;
            return;
        }
    };
    let _ = connection.write_all(&said).await;
    // Never read: until the other side closes, which writing finds out.
    while connection.write_all(b"").await.is_ok() && connection.writable().await.is_ok() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if matches!(kind, Kind::Idle | Kind::UnfinishedPreface)
            && connection.peek(&mut [0]).await.is_ok_and(|read| read == 0)
        {
            return;
        }
    }
}

async fn beset(identity: &str) {
    let (fixture, h2c) = fixture(upstream().await, identity);
    let process = fixture.serve();
    let (gate, hall) = (process.gate(), process.hall());
    let go_on = Arc::new(AtomicBool::new(true));
    let asking = tokio::spawn(caller(gate, hall, Arc::clone(&go_on)));
    let mut most = 0;
    let mut all = Vec::new();
    for kind in KINDS {
        let held = Arc::<AtomicU64>::default();
        let before = metric(hall, "hallgate_ledger_entries");
        let began = Instant::now();
        all.extend((0..each()).map(|nth| tokio::spawn(hold(kind, gate, h2c, hall, nth, Arc::clone(&held)))));
        while held.load(Ordering::Relaxed) < each() as u64 {
            assert!(began.elapsed() < PATIENCE, "{kind:?}: only {} connections", held.load(Ordering::Relaxed));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // They do their worst.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = process.memory("RssAnon");
        most = most.max(now);
        println!(
            "{identity}, {kind:?}: {} MiB, {} connections at the gate, {} at the Hall, {} entries",
            now >> 20,
            metric(hall, "hallgate_gate_connections"),
            metric(hall, "hallgate_hall_connections"),
            metric(hall, "hallgate_ledger_entries") - before
        );
    }
    assert!(most < MEMORY, "{} MiB", most >> 20);
    go_on.store(false, Ordering::Relaxed);
    let answered = asking.await.unwrap();
    assert!(answered > 0);
    println!("{identity}: {answered} answers meanwhile");
    for one in all {
        one.abort();
    }
    drop(process);
    fixture.verify();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_is_served_among_strangers() {
    open_files();
    beset("{ mode: token }").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_is_served_among_its_like() {
    open_files();
    beset("{ mode: fixed, worker_id: wrk_make_acme_prod, tenant_id: org.acme }").await;
}
