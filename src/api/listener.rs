//! Connections: pingora accepts them, hyper speaks HTTP/1.1 on them, and none can hold its place by being slow.
//!
//! HTTP/1.1 only. No client of the Hall speaks cleartext HTTP/2, and telling the two apart would let a caller who sends the
//! first byte of a method and then nothing wait without a limit.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use http::header::CONNECTION;
use http::{HeaderValue, Request};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pingora_core::apps::ServerApp;
use pingora_core::protocols::Stream;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::server::ShutdownWatch;
use tower::ServiceExt;

use crate::connections::{CallerConnection, ConnectionPlace, Doorway, FramingMode, peer};
use crate::tls;

/// For the whole head of a request, from the end of the one before: also the longest a kept-alive connection is idle.
pub(super) const HEAD_TIME: Duration = Duration::from_secs(30);
/// Bytes of a request's head, and of hyper's read buffer.
const HEAD_BYTES: usize = 32 * 1024;
/// A connection on which no request began within one such span, and no answer without an end went on, is closed, whatever it waits for: a
/// caller that sends requests and does not read the answers is caught by nothing else.
const STALL_TIME: Duration = Duration::from_secs(60);

/// While the process ends, a connection on which nothing is being answered is closed after this long: its caller is in the middle
/// of a head, or still reads the answer before.
const LAST_TIME: Duration = Duration::from_secs(2);

/// Who is at the other end of the connection. `None` when the socket does not say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) Option<SocketAddr>);

/// That an answer without an end goes on: its caller takes what is sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<AtomicU64>);

impl Progress {
    /// It does.
    pub(super) fn goes_on(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Serves a router on the connections that pingora accepts.
pub(super) struct ApiListener {
    router: Router,
    doorway: Doorway,
    head_time: Duration,
    stall_time: Duration,
}

impl ApiListener {
    /// A listener for these paths.
    pub(super) const fn new(router: Router, doorway: Doorway) -> Self {
        Self { router, doorway, head_time: HEAD_TIME, stall_time: STALL_TIME }
    }
}

#[async_trait]
impl ServerApp for ApiListener {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let (connection, place) = self.doorway.enter(stream).await?;
        let serve = async {
            let stream = self.doorway.shake_hands(connection).await?;
            self.serve(stream, Arc::clone(&place), shutdown).await
        };
        // Apart, because those that wait for a place are many, and should be small.
        place.hold(Box::pin(serve)).await
    }
}

impl ApiListener {
    async fn serve(&self, stream: Stream, place: Arc<ConnectionPlace>, shutdown: &ShutdownWatch) -> Option<Stream> {
        let peer = Peer(peer(&*stream));
        // What the handshake left is there, and does not say that nothing may be served.
        let refused = |digest: Arc<SslDigest>| tls::connection(&digest).is_none_or(tls::Connection::is_refused);
        if stream.get_ssl_digest().is_some_and(refused) {
            return None;
        }
        // What is malformed for anyone is malformed here, too: nobody can say where the next request begins.
        let (stream, _) = CallerConnection::framed(stream, FramingMode::Unaware);
        let (begun, answered, progress) = (AtomicU64::new(0), AtomicU64::new(0), Progress::default());
        let service = service_fn(|request: Request<hyper::body::Incoming>| {
            begun.fetch_add(1, Ordering::Relaxed);
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(Arc::clone(&place));
            request.extensions_mut().insert(progress.clone());
            let answer = self.router.clone().oneshot(request);
            let (answered, place) = (&answered, &place);
            place.speaks();
            place.works(true);
            async move {
                let mut answer = answer.await;
                if place.is_waited_for()
                    && let Ok(answer) = &mut answer
                {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                place.works(false);
                answered.fetch_add(1, Ordering::Relaxed);
                answer
            }
        });
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.head_time)
                .max_buf_size(HEAD_BYTES)
                .serve_connection(TokioIo::new(stream), service)
        );
        let mut shutdown = shutdown.clone();
        let mut draining = *shutdown.borrow_and_update();
        if draining {
            connection.as_mut().graceful_shutdown();
        }
        let mut stalled = pin!(tokio::time::sleep(self.stall_time));
        let mut last = pin!(tokio::time::sleep(LAST_TIME));
        let mut seen = 0;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(peer = ?peer.0, %error, "a connection broke off");
                    }
                    return None;
                }
                changed = shutdown.changed(), if !draining => {
                    // An error means that the server is gone: drain, too.
                    draining = changed.is_err() || *shutdown.borrow_and_update();
                    if draining {
                        connection.as_mut().graceful_shutdown();
                        last.as_mut().reset(tokio::time::Instant::now() + LAST_TIME);
                    }
                }
                () = last.as_mut(), if draining => {
                    if begun.load(Ordering::Relaxed) == answered.load(Ordering::Relaxed) {
                        return None;
                    }
                    last.as_mut().reset(tokio::time::Instant::now() + LAST_TIME);
                }
                () = stalled.as_mut() => {
                    let now = begun.load(Ordering::Relaxed) + progress.0.load(Ordering::Relaxed);
                    if now == seen {
                        tracing::debug!(peer = ?peer.0, "a connection was closed: no request began on it");
                        return None;
                    }
                    seen = now;
                    stalled.as_mut().reset(tokio::time::Instant::now() + self.stall_time);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
