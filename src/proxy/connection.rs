//! Downstream connections: from a listener, each request's header within a deadline, HTTP/2 only where it is expected.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora_core::protocols::{ALPN, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::HttpProxy;
use tokio::time::{Instant, Sleep};

use crate::connections::{CallerConnection, Doorway, FramingMode, SharedFraming, place};
use crate::proxy::arrival::Arrival;
use crate::proxy::gate::Gate;
use crate::tls;

const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of answers that wait for a caller on each of its HTTP/2 streams; the default, 400 KiB on each of a hundred, is more than a
/// sidecar has.
const H2_SEND_BUFFER: usize = 64 * 1024;

/// How long the gate waits for its callers.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For the whole head of a request, and for a TLS handshake.
    pub header: Duration,
    /// For the next piece of a body, and for the next request of a kept connection.
    pub idle: Duration,
}

/// How soon a request's head is there, once it is waited for.
#[derive(Clone, Copy)]
struct HeadWithin {
    /// Its first byte.
    begun: Duration,
    /// All of it.
    whole: Duration,
}

/// What a listener hands its connections to.
pub struct GateListener {
    doorway: Doorway,
    requests: Arc<Requests>,
    h2c: bool,
    patience: Patience,
}

impl GateListener {
    /// A door to the gate; `h2c` for the listener of cleartext HTTP/2.
    #[must_use]
    pub fn new(gate: Gate, conf: &Arc<ServerConf>, doorway: Doorway, h2c: bool, patience: Patience) -> Self {
        let mut proxy = HttpProxy::new(gate, Arc::clone(conf));
        proxy.handle_init_modules();
        let mut options = HttpServerOptions::default();
        options.h2c = h2c;
        options.h2_idle_timeout = Some(patience.idle);
        let requests = Requests { proxy: Arc::new(proxy), options, idle: patience.idle };
        Self { doorway, requests: Arc::new(requests), h2c, patience }
    }

    async fn serve(&self, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        if self.h2c {
            return self.h2(stream, shutdown).await;
        }
        if let Some(digest) = stream.get_ssl_digest() {
            tls::connection(&digest).filter(|known| !known.is_refused())?;
            if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
                return self.h2_over_tls(stream, shutdown).await;
            }
        }
        self.h1(stream, shutdown).await;
        None
    }

    /// HTTP/2 with prior knowledge. pingora waits for the preface forever; we do not, and take nothing else.
    async fn h2(&self, mut stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let mut preface = [0; 24];
        let peeked = tokio::time::timeout(self.patience.header, stream.try_peek(&mut preface)).await;
        if matches!(peeked, Ok(Ok(true))) && preface == *H2_PREFACE {
            return self.requests.process_new(stream, shutdown).await;
        }
        None
    }

    /// HTTP/2 over TLS. pingora waits for its preface forever, too, and cannot peek into TLS: so the first request is what we
    /// wait for. Later silences are pingora's to end.
    async fn h2_over_tls(&self, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let place = place(&stream)?;
        let mut connection = pin!(self.requests.process_new(stream, shutdown));
        tokio::select! {
            biased;
            done = &mut connection => return done,
            () = tokio::time::sleep(self.patience.header) => {}
        }
        if place.has_spoken() { connection.await } else { None }
    }

    async fn h1(&self, stream: Stream, shutdown: &ShutdownWatch) {
        let (framed, framing) = CallerConnection::framed(stream, FramingMode::Asking);
        let mut session = ServerSession::new_http1(Box::new(framed));
        // Without an end of pingora's, which would set a timer for each request: the alarm is the connection's.
        session.set_keepalive((!*shutdown.borrow()).then_some(0));
        let mut alarm = pin!(tokio::time::sleep(self.patience.header));
        let mut within = HeadWithin { begun: self.patience.header, whole: self.patience.header };
        while let Some(done) = self.h1_request(session, &framing, within, alarm.as_mut(), shutdown).await {
            let (stream, settings) = done.consume();
            session = ServerSession::new_http1(stream);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
            // A kept connection may be silent before its next request.
            within = HeadWithin { begun: self.patience.idle, whole: self.patience.idle + self.patience.header };
        }
    }

    /// One request of a connection. pingora limits each read of a head, but not all of them together.
    ///
    /// The alarm is set once and looked after when it rings: setting one for each request costs more than the rings do.
    async fn h1_request(
        &self,
        session: ServerSession,
        framing: &SharedFraming,
        within: HeadWithin,
        mut alarm: Pin<&mut Sleep>,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let arrival = Arrival::expected(Some(framing.clone()));
        let began = arrival.began();
        if alarm.deadline() > began + within.begun {
            alarm.as_mut().reset(began + within.begun);
        }
        let exchange = self.requests.proxy.process_new_http(session, shutdown);
        let mut exchange = pin!(Arc::clone(&arrival).scope(exchange));
        poll_fn(|context| {
            if let Poll::Ready(done) = exchange.as_mut().poll(context) {
                return Poll::Ready(done);
            }
            // From here on others watch over it.
            if arrival.is_there() {
                return Poll::Pending;
            }
            while alarm.as_mut().poll(context).is_ready() {
                let has_begun = framing.lock().unfinished() > 0;
                let due = began + if has_begun { within.whole } else { within.begun };
                if due <= Instant::now() {
                    return Poll::Ready(None);
                }
                alarm.as_mut().reset(due);
            }
            Poll::Pending
        })
        .await
    }
}

#[async_trait]
impl ServerApp for GateListener {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let (connection, place) = self.doorway.enter(stream).await?;
        let serve = async {
            let stream = self.doorway.shake_hands(connection).await?;
            self.serve(stream, shutdown).await
        };
        // Apart, because those that wait for a place are many, and should be small.
        place.hold(Box::pin(serve)).await
    }

    async fn cleanup(&self) {
        self.requests.proxy.http_cleanup().await;
    }
}

/// The requests of an HTTP/2 connection. pingora has no timeout for their bodies: one that stalls is reset.
struct Requests {
    proxy: Arc<HttpProxy<Gate>>,
    options: HttpServerOptions,
    idle: Duration,
}

#[async_trait]
impl HttpServerApp for Requests {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let arrival = Arrival::expected(None);
        let exchange = Arc::clone(&arrival).scope(self.proxy.process_new_http(session, shutdown));
        tokio::select! {
            biased;
            done = exchange => done,
            () = arrival.stalls(self.idle) => {
                tracing::info!("a request was reset: nothing of its body has arrived for {:?}", self.idle);
                None
            }
        }
    }

    fn h2_options(&self) -> Option<H2Options> {
        let mut options = default_h2_options();
        options.max_send_buffer_size(H2_SEND_BUFFER);
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}
