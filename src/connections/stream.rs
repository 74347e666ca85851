//! A caller's connection: below TLS it carries its place, and above, where HTTP/1.1 is spoken on it, its bytes are read along.

use std::any::Any;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::{SslDigest, TlsRef};
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use pingora_http::ResponseHeader;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::{Framing, FramingMode, Stop};
use super::places::ConnectionPlace;

/// What a connection's reader and its requests share.
#[derive(Debug, Clone)]
pub struct SharedFraming(Arc<Mutex<Framing>>);

impl SharedFraming {
    /// The reader. It is never held for long: the connection is one task's.
    pub fn lock(&self) -> MutexGuard<'_, Framing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller's connection.
#[derive(Debug)]
pub struct CallerConnection {
    stream: Stream,
    /// What pingora keeps of a connection has room for this alone: for whoever serves a request on it to find its place.
    digest: Option<Arc<ProxyDigest>>,
    place: Option<Arc<ConnectionPlace>>,
    framing: Option<SharedFraming>,
}

impl CallerConnection {
    /// A connection that has this place for as long as it lives.
    pub(super) fn in_place(stream: Stream, place: Arc<ConnectionPlace>) -> Self {
        let kept: Box<dyn Any + Send + Sync> = Box::new(Arc::clone(&place));
        let digest = ResponseHeader::build(200, None).map(|head| ProxyDigest::new(Box::new(head), Some(kept)));
        Self { stream, digest: digest.ok().map(Arc::new), place: Some(place), framing: None }
    }

    /// Reads along from here on, for whoever reads in this way. The reader is what the connection's requests are held against.
    #[must_use]
    pub fn framed(stream: Stream, reading: FramingMode) -> (Self, SharedFraming) {
        let framing = SharedFraming(Arc::new(Mutex::new(Framing::new(reading))));
        let place = super::place(&stream);
        (Self { stream, digest: None, place, framing: Some(framing.clone()) }, framing)
    }
}

impl CallerConnection {
    /// Notes whether the caller reads what is written.
    fn note(&self, blocked: bool) {
        if let Some(place) = &self.place {
            place.is_blocked(blocked);
        }
    }
}

/// The place in what is kept of a connection.
pub(super) fn place(digest: &ProxyDigest) -> Option<&Arc<ConnectionPlace>> {
    digest.user_data.as_ref()?.downcast_ref()
}

impl AsyncRead for CallerConnection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(framing) = &this.framing else { return Pin::new(&mut this.stream).poll_read(context, buffer) };
        let mut framing = framing.lock();
        if framing.has_stopped() {
            return stopped(&framing);
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        let read = framing.read(buffer.filled().get(before..).unwrap_or_default());
        if let Some(place) = &this.place {
            place.holds(framing.unfinished());
        }
        match read {
            Ok(()) => {}
            // The sound bytes before it pass; the next read ends it.
            Err(Stop::Body(sound)) if sound > 0 => buffer.set_filled(before + sound),
            Err(Stop::Body(_)) => {
                buffer.set_filled(before);
                return stopped(&framing);
            }
            Err(Stop::Head(sound)) => {
                // Whoever reads answers 400 to what cannot be in a head; pingora would go on reading up to 1 MiB of what can.
                buffer.set_filled(before + sound);
                buffer.put_slice(b"\0");
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Where nothing more is read. What was read ahead of the request under way is not that request's fault: it goes on, driven by its
/// upstream, and whoever wants more than is there is out of patience before long. Then it is the turn of the malformed one.
fn stopped(framing: &Framing) -> Poll<io::Result<()>> {
    if framing.is_ahead() {
        return Poll::Pending;
    }
    Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "what follows cannot be told apart")))
}

impl AsyncWrite for CallerConnection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.note(written.is_pending());
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, bytes);
        this.note(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        this.note(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[async_trait]
impl Shutdown for CallerConnection {
    async fn shutdown(&mut self) {
        self.stream.shutdown().await;
    }
}

impl UniqueID for CallerConnection {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for CallerConnection {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.stream.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for CallerConnection {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> std::time::Duration {
        self.stream.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> std::time::Duration {
        self.stream.get_write_pending_time()
    }
}

impl GetProxyDigest for CallerConnection {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.digest.clone().or_else(|| self.stream.get_proxy_digest())
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.stream.set_proxy_digest(digest);
    }
}

impl GetSocketDigest for CallerConnection {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.stream.set_socket_digest(digest);
    }
}

/// Only plaintext HTTP/2 is peeked for, and that is not read along.
#[async_trait]
impl Peek for CallerConnection {
    async fn try_peek(&mut self, bytes: &mut [u8]) -> io::Result<bool> {
        self.stream.try_peek(bytes).await
    }
}
