//! A caller's connection whose bytes are read along.

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
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Framing, Stop};

/// What a connection's reader and its requests share.
#[derive(Debug, Clone)]
pub struct SharedFraming(Arc<Mutex<Framing>>);

impl SharedFraming {
    /// The reader. It is never held for long: the connection is one task's.
    pub fn lock(&self) -> MutexGuard<'_, Framing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection whose bytes pass by a [`Framing`].
#[derive(Debug)]
pub struct Framed {
    stream: Stream,
    framing: SharedFraming,
}

impl Framed {
    /// Reads along from here on.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self { stream, framing: SharedFraming(Arc::new(Mutex::new(Framing::new()))) }
    }

    /// What the connection's requests are held against.
    #[must_use]
    pub fn framing(&self) -> SharedFraming {
        self.framing.clone()
    }
}

impl AsyncRead for Framed {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut framing = this.framing.lock();
        if framing.has_stopped() {
            return stopped(&framing);
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        match framing.read(buffer.filled().get(before..).unwrap_or_default()) {
            Ok(()) => {}
            // The sound bytes before it pass; the next read ends it.
            Err(Stop::Body(sound)) if sound > 0 => buffer.set_filled(before + sound),
            Err(Stop::Body(_)) => {
                buffer.set_filled(before);
                return stopped(&framing);
            }
            Err(Stop::Head) => {
                // pingora answers 400 to what cannot be in a head, and would go on reading up to 1 MiB of what can.
                buffer.set_filled(before);
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

impl AsyncWrite for Framed {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[async_trait]
impl Shutdown for Framed {
    async fn shutdown(&mut self) {
        self.stream.shutdown().await;
    }
}

impl UniqueID for Framed {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for Framed {
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

impl GetTimingDigest for Framed {
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

impl GetProxyDigest for Framed {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.stream.set_proxy_digest(digest);
    }
}

impl GetSocketDigest for Framed {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.stream.set_socket_digest(digest);
    }
}

/// Only plaintext HTTP/2 is peeked for, and that is not framed here.
impl Peek for Framed {}
