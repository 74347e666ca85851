//! Where a request's body ends: in every way that HTTP has to say so, at every listener, and nowhere else. A connection to an
//! upstream is kept, so an end too many would be the beginning of the next caller's request there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::doors::Doors;
use crate::fixture::{self, at, fixed};
use crate::upstream::Upstream;
use crate::wire::{PATIENCE, Wire};

/// What an upstream has read so far, as it reads it.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    Head,
    Piece(Vec<u8>),
    End,
}

/// An upstream on whose connections nothing may come but requests. It answers each with its own target.
struct Strict {
    upstream: Upstream,
    read: mpsc::UnboundedReceiver<Read>,
    connections: Arc<AtomicUsize>,
}

impl Strict {
    async fn start() -> Self {
        let connections = Arc::new(AtomicUsize::new(0));
        let (tell, read) = mpsc::unbounded_channel();
        let counted = Arc::clone(&connections);
        let upstream = Upstream::script(move |mut wire: Wire, seen| {
            counted.fetch_add(1, Ordering::SeqCst);
            let tell = tell.clone();
            async move {
                while let Some(mut request) = wire.head().await {
                    let _ = tell.send(Read::Head);
                    if request.header("transfer-encoding").is_some() {
                        loop {
                            let chunk = wire.chunk().await;
                            if chunk.is_empty() {
                                break;
                            }
                            request.body.extend(&chunk);
                            let _ = tell.send(Read::Piece(chunk));
                        }
                    } else if let Some(length) = request.header("content-length") {
                        let mut left: usize = length.parse().unwrap();
                        while left > 0 {
                            let mut piece = vec![0; left];
                            let count = wire.rest(&mut piece).await;
                            assert!(count > 0, "the connection was closed {left} bytes early");
                            piece.truncate(count);
                            left -= count;
                            request.body.extend(&piece);
                            let _ = tell.send(Read::Piece(piece));
                        }
                    }
                    let _ = tell.send(Read::End);
                    // What is no request is answered all the same, as an upstream does: the answer is the next caller's.
                    let target = request.first.split(' ').nth(1).unwrap_or("nobody's").to_owned();
                    seen.lock().unwrap().push(request);
                    wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len())).await;
                }
            }
        })
        .await;
        Self { upstream, read, connections }
    }

    /// Waits until it has read this.
    async fn has_read(&mut self, what: &Read) {
        while timeout(PATIENCE, self.read.recv()).await.expect("the upstream reads nothing more").unwrap() != *what {}
    }
}

/// A body over HTTP/2: whether its length is announced, its frames, and whether trailers end it. Else the last frame does.
type Frames = (bool, &'static [&'static str], bool);

const FRAMES: [Frames; 12] = [
    (false, &[], false),
    (false, &["one"], false),
    (false, &["one", "two"], false),
    (false, &["one", ""], false),
    (false, &["one", "", "", ""], false),
    (false, &[""], false),
    (false, &["", "one", "", "two", ""], false),
    (false, &["one"], true),
    (false, &["one", ""], true),
    (true, &["one", ""], false),
    (true, &["one"], false),
    (true, &[""], false),
];

/// Sends one request. In `steps`, nothing is sent before the upstream has what was sent before it.
async fn over_http2(doors: &Doors, upstream: &mut Strict, frames: Frames, target: &str, steps: bool) -> Bytes {
    let (announced, pieces, trailers) = frames;
    let mut request = Request::post(format!("http://gate.example{target}"));
    if announced {
        request = request.header("content-length", pieces.concat().len());
    }
    let mut sender = doors.http2().await.ready().await.unwrap();
    let (answer, mut body) = sender.send_request(request.body(()).unwrap(), pieces.is_empty()).unwrap();
    if steps {
        upstream.has_read(&Read::Head).await;
    }
    for (nth, piece) in pieces.iter().enumerate() {
        body.send_data(Bytes::from(*piece), nth + 1 == pieces.len() && !trailers).unwrap();
        if steps && !piece.is_empty() {
            upstream.has_read(&Read::Piece(piece.as_bytes().to_vec())).await;
        }
    }
    if trailers {
        body.send_trailers(HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("3"))])).unwrap();
    }
    let answer = timeout(PATIENCE, answer).await.expect("no answer").unwrap();
    assert_eq!(answer.status(), 200, "{target}");
    let mut body = answer.into_body();
    let mut whole = Vec::new();
    while let Some(piece) = timeout(PATIENCE, body.data()).await.expect("no end of the answer") {
        whole.extend(piece.unwrap());
    }
    whole.into()
}

/// A body over HTTP/1.1 as it is on the wire, in the pieces in which it is sent, each with what the upstream reads by it.
type Pieces = (&'static str, &'static [(&'static str, &'static str)], &'static str);

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
const PIECES: [Pieces; 9] = [
    ("", &[], ""),
    ("Content-Length: 0\r\n", &[], ""),
    ("Content-Length: 3\r\n", &[("on", "on"), ("e", "e")], "one"),
    (CHUNKED, &[("3\r\none\r\n0\r\n\r\n", "")], "one"),
    (CHUNKED, &[("3\r\none\r\n", "one"), ("0\r\n\r\n", "")], "one"),
    (CHUNKED, &[("3\r\none\r\n", "one"), ("0\r\n", ""), ("\r\n", "")], "one"),
    (CHUNKED, &[("3\r\none\r\n", "one"), ("0\r\nX-Sum: 3\r\n", ""), ("\r\n", "")], "one"),
    (CHUNKED, &[("0\r\n\r\n", "")], ""),
    (CHUNKED, &[("0", ""), ("\r\n\r", ""), ("\n", "")], ""),
];

async fn over_http1(doors: &Doors, upstream: &mut Strict, pieces: Pieces, target: &str, steps: bool) -> Bytes {
    let (framing, pieces, _) = pieces;
    let mut wire = doors.http1().await;
    let head = format!("POST {target} HTTP/1.1\r\nHost: gate.example\r\n{framing}\r\n");
    if steps {
        wire.send(head).await;
        upstream.has_read(&Read::Head).await;
        for (piece, read) in pieces {
            wire.send(piece).await;
            if !read.is_empty() {
                upstream.has_read(&Read::Piece(read.as_bytes().to_vec())).await;
            }
        }
    } else {
        let body = pieces.iter().map(|(piece, _)| *piece).collect::<String>();
        wire.send(head + &body).await;
    }
    let answer = wire.message().await.expect("no answer");
    assert_eq!(answer.status(), 200, "{target}");
    answer.body.into()
}

#[tokio::test]
async fn a_body_has_one_end() {
    for over_tls in [false, true] {
        let mut upstream = Strict::start().await;
        let doors = Doors::open(fixture::settings(fixed(), at(upstream.upstream.address)), over_tls).await;
        let mut expected = Vec::new();
        for steps in [false, true] {
            for (nth, frames) in FRAMES.into_iter().enumerate() {
                let target = format!("/public/h2/{nth}?{steps}");
                assert_eq!(over_http2(&doors, &mut upstream, frames, &target, steps).await, target, "{frames:?}");
                expected.push((format!("POST {target} HTTP/1.1"), frames.1.concat()));
            }
            for (nth, pieces) in PIECES.into_iter().enumerate() {
                let target = format!("/public/h1/{nth}?{steps}");
                assert_eq!(over_http1(&doors, &mut upstream, pieces, &target, steps).await, target, "{pieces:?}");
                expected.push((format!("POST {target} HTTP/1.1"), pieces.2.to_owned()));
            }
        }
        let seen = upstream.upstream.seen();
        let seen: Vec<_> =
            seen.iter().map(|got| (got.first.clone(), String::from_utf8(got.body.clone()).unwrap())).collect();
        assert_eq!(seen, expected);
        // Kept connections were used again; not always, for a connection is given back just behind its answer.
        let connections = upstream.connections.load(Ordering::SeqCst);
        assert!(connections < seen.len() / 2, "{connections} connections for {} requests", seen.len());
    }
}
