//! The way in: connections from a listener, each request's header within a deadline, HTTP/2 only where it is expected.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::{ALPN, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::HttpProxy;

use crate::proxy::framing::{Framed, SharedFraming};
use crate::proxy::gate::Gate;
use crate::tls;

const H2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the gate is told of the connection on which a request arrives.
#[derive(Debug)]
pub struct Arrival {
    /// Set by the gate when the request's header has arrived whole.
    pub arrived: Arc<AtomicBool>,
    /// The reader of the connection.
    pub framing: SharedFraming,
}

/// What a listener hands its connections to.
pub struct Door {
    proxy: Arc<HttpProxy<Gate>>,
    h2c: bool,
    header_timeout: Duration,
    idle_timeout: Duration,
}

impl Door {
    /// A door to the gate; `h2c` for the listener of cleartext HTTP/2.
    #[must_use]
    pub fn new(
        gate: Gate,
        conf: &Arc<ServerConf>,
        h2c: bool,
        header_timeout: Duration,
        idle_timeout: Duration,
    ) -> Self {
        let mut proxy = HttpProxy::new(gate, Arc::clone(conf));
        proxy.handle_init_modules();
        let mut options = HttpServerOptions::default();
        options.h2c = h2c;
        options.h2_idle_timeout = Some(idle_timeout);
        proxy.server_options = Some(options);
        Self { proxy: Arc::new(proxy), h2c, header_timeout, idle_timeout }
    }

    /// HTTP/2 with prior knowledge. pingora waits for the preface forever; we do not, and take nothing else.
    async fn h2(&self, mut stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let mut preface = [0; 24];
        let peeked = tokio::time::timeout(self.header_timeout, stream.try_peek(&mut preface)).await;
        if matches!(peeked, Ok(Ok(true))) && preface == *H2_PREFACE {
            return self.proxy.process_new(stream, shutdown).await;
        }
        None
    }

    /// HTTP/2 over TLS. pingora waits for its preface forever, too, and cannot peek into TLS: so the first request is what we
    /// wait for. Later silences are pingora's to end.
    async fn h2_over_tls(&self, stream: Stream, known: &tls::Connection, shutdown: &ShutdownWatch) -> Option<Stream> {
        let mut connection = pin!(self.proxy.process_new(stream, shutdown));
        tokio::select! {
            biased;
            done = &mut connection => return done,
            () = tokio::time::sleep(self.header_timeout) => {}
        }
        if known.spoke() { connection.await } else { None }
    }

    /// One request of a connection. pingora limits each read of a header, but not all of them together.
    async fn h1(
        &self,
        mut session: ServerSession,
        framing: &SharedFraming,
        patience: Duration,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let arrived = Arc::new(AtomicBool::new(false));
        let arrival = Arrival { arrived: Arc::clone(&arrived), framing: framing.clone() };
        session.set_connection_user_context(Some(Box::new(arrival)));
        let mut exchange = pin!(self.proxy.process_new_http(session, shutdown));
        tokio::select! {
            biased;
            done = &mut exchange => return done,
            () = tokio::time::sleep(patience) => {}
        }
        if arrived.load(Ordering::Relaxed) { exchange.await } else { None }
    }
}

#[async_trait]
impl ServerApp for Door {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        if self.h2c {
            return self.h2(stream, shutdown).await;
        }
        if let Some(digest) = stream.get_ssl_digest() {
            let known = tls::connection(&digest).filter(|known| !known.is_refused())?;
            if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
                return self.h2_over_tls(stream, known, shutdown).await;
            }
        }
        let framed = Framed::new(stream);
        let framing = framed.framing();
        let mut session = ServerSession::new_http1(Box::new(framed));
        let stay = !*shutdown.borrow();
        session.set_keepalive(stay.then(|| self.idle_timeout.as_secs().max(1)));
        let mut patience = self.header_timeout;
        while let Some(done) = self.h1(session, &framing, patience, shutdown).await {
            let (stream, settings) = done.consume();
            session = ServerSession::new_http1(stream);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
            // A kept connection may be silent before its next request.
            patience = self.idle_timeout + self.header_timeout;
        }
        None
    }

    async fn cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}
