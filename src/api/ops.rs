//! The operations door: alive, ready, how much. On a listener, a runtime and a thread of its own, which nothing that happens at
//! the other doors can take away, and not blind to them: what serves them has to show that it still turns.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{Request, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;

use super::error::ApiError;
use super::listener::Peer;
use super::middleware;
use super::probes;
use super::response::json;
use crate::hall::Hall;
use crate::telemetry::threads::{self, Thread};

/// Connections at one time. One more takes the place of the oldest: whoever holds all of them holds nobody up.
const CONNECTIONS: usize = 64;
/// For a whole connection, which is one request.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// For its head.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// Bytes of its head.
const HEAD_BYTES: usize = 8 << 10;
/// Before the next is accepted, when one could not be: there are no descriptors.
const PAUSE: Duration = Duration::from_millis(50);
/// How long its end is waited for.
const END: Duration = Duration::from_secs(1);
/// How often what serves a door shows that it turns.
const BEAT: Duration = Duration::from_secs(1);
/// For how long one may not have.
const SILENCE: Duration = Duration::from_secs(10);

/// The `ops` section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Where probes and scrapers connect.
    pub listen: SocketAddr,
    /// Whether that is written in the configuration, and not only the default.
    pub written: bool,
}

/// What serves each door, and when it last showed that it turns. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Pulses(Arc<Pulse>);

#[derive(Debug)]
struct Pulse {
    began: Instant,
    services: Mutex<Vec<(String, Arc<AtomicU64>)>>,
}

impl Default for Pulses {
    fn default() -> Self {
        Self(Arc::new(Pulse { began: Instant::now(), services: Mutex::default() }))
    }
}

impl Pulses {
    /// Beats without end for this service, on whatever runs it.
    pub async fn beat(self, service: String) {
        let beat = Arc::new(AtomicU64::new(self.now()));
        self.0.services.lock().unwrap_or_else(PoisonError::into_inner).push((service, Arc::clone(&beat)));
        loop {
            beat.store(self.now(), Ordering::Relaxed);
            sleep(BEAT).await;
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The services whose runtime has not turned for so long.
    fn silent(&self, longer_than: Duration) -> Vec<String> {
        let (now, most) = (self.now(), u64::try_from(longer_than.as_millis()).unwrap_or(u64::MAX));
        let services = self.0.services.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = services.iter().filter(|(_, beat)| now.saturating_sub(beat.load(Ordering::Relaxed)) > most);
        silent.map(|(service, _)| service.clone()).collect()
    }
}

/// The door. Dropped, it closes.
#[derive(Debug)]
pub struct Ops {
    end: watch::Sender<bool>,
    thread: Option<Thread>,
}

impl Ops {
    /// Opens the door on a listener that is bound.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn start(listener: TcpListener, hall: Arc<Hall>, pulses: Pulses, metrics_need_token: bool) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let (end, ended) = watch::channel(false);
        let metrics = if metrics_need_token { get(probes::metrics_for_readers) } else { get(probes::metrics) };
        let metrics = metrics.layer(from_fn_with_state(Arc::clone(&hall), authenticate));
        let router = Router::new()
            .route("/readyz", get(probes::readyz))
            .route("/metrics", metrics)
            .with_state(Arc::clone(&hall))
            .route("/livez", get(livez).with_state((hall, pulses)))
            .fallback(async || ApiError::not_found())
            .method_not_allowed_fallback(async || ApiError::method_not_allowed());
        let serve = move || {
            let served = tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
                let listener = listener.try_clone()?;
                runtime.block_on(accept(listener, &router, ended.clone()))
            });
            if let Err(error) = served {
                tracing::error!(%error, "the operations door cannot be served");
            }
        };
        Ok(Self { end, thread: Some(threads::start("ops", serve)?) })
    }
}

impl Drop for Ops {
    fn drop(&mut self) {
        self.end.send_replace(true);
        if let Some(thread) = self.thread.take() {
            thread.join(END);
        }
    }
}

/// Looks at the token of a request, as the Hall's own door does.
async fn authenticate(State(hall): State<Arc<Hall>>, mut request: axum::extract::Request, next: Next) -> Response {
    let peer = request.extensions().get().and_then(|Peer(peer)| *peer);
    match middleware::authenticate(&hall, &mut request, peer).await {
        Ok(_) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

/// Accepts connections until the end.
async fn accept(listener: TcpListener, router: &Router, mut ended: watch::Receiver<bool>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            _ = ended.wait_for(|ended| *ended) => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let served = tokio::spawn(timeout(CONNECTION_TIME, serve(stream, peer, router.clone())));
        open.push_back(served.abort_handle());
    }
}

/// Serves one request.
async fn serve(stream: TcpStream, peer: SocketAddr, router: Router) {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(Some(peer)));
        router.clone().oneshot(request)
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BYTES).keep_alive(false);
    // Who breaks off has heard what there was to hear.
    let _ended = server.serve_connection(TokioIo::new(stream), service).await;
}

#[derive(Serialize)]
struct Alive {
    status: &'static str,
}

/// Yes while each door's runtime turns.
async fn livez(State((hall, pulses)): State<(Arc<Hall>, Pulses)>) -> Response {
    let silent = pulses.silent(SILENCE);
    // At the end the doors close before this one does.
    if silent.is_empty() || hall.is_draining() {
        return json(StatusCode::OK, &Alive { status: "ok" });
    }
    tracing::error!(services = silent.join(", "), "nothing has turned for ten seconds in what serves these doors");
    json(StatusCode::SERVICE_UNAVAILABLE, &Alive { status: "stuck" })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::*;
    use crate::hall::tests::hall;

    fn door() -> (Ops, SocketAddr, Pulses, tempfile::TempDir) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let ((hall, folder), pulses) = (hall(), Pulses::default());
        (Ops::start(listener, hall, pulses.clone(), false).unwrap(), at, pulses, folder)
    }

    fn asked(at: SocketAddr, path: &str) -> String {
        let mut connection = TcpStream::connect(at).unwrap();
        connection.set_read_timeout(Some(CONNECTION_TIME)).unwrap();
        connection.write_all(format!("GET {path} HTTP/1.1\r\nhost: ops\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn whoever_holds_all_connections_holds_nobody_up() {
        let (_ops, at, _, _folder) = door();
        let held: Vec<TcpStream> = (0..CONNECTIONS * 2).map(|_| TcpStream::connect(at).unwrap()).collect();
        for path in ["/livez", "/readyz", "/metrics"] {
            let answer = asked(at, path);
            assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        }
        assert!(asked(at, "/other").starts_with("HTTP/1.1 404"));
        drop(held);
    }

    #[test]
    fn it_is_alive_while_what_serves_each_door_turns() {
        let (_ops, at, pulses, _folder) = door();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // It turns once, and never again.
        let service = pulses.clone().beat("gate".to_owned());
        runtime.block_on(async { timeout(Duration::from_millis(1), service).await.unwrap_err() });
        assert!(asked(at, "/livez").starts_with("HTTP/1.1 200"));
        assert_eq!(pulses.silent(SILENCE), Vec::<String>::new());
        let long_ago = Duration::from_millis(50);
        std::thread::sleep(long_ago * 2);
        assert_eq!(pulses.silent(long_ago), ["gate"]);
    }
}
