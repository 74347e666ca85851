//! Callers' connections: how many there may be, how their TLS begins, and where each HTTP/1.1 message on them ends.
//!
//! A connection has a place among all, and among those of its network. Until somebody on it is known it is a stranger's, and strangers
//! have few places together. Where there is none left a new connection takes one from a stranger, or from whoever has owed us something
//! for longest. So a caller is served however many others hold connections open.

pub mod framing;
mod places;
mod stream;
mod this_machine;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora_core::listeners::tls::Acceptor;
use pingora_core::protocols::{Digest, GetSocketDigest, Stream};

pub use framing::{FramingMode, SharedFraming};
pub use places::{ConnectionLimits, ConnectionPlace, Connections};
pub use stream::CallerConnection;
pub use this_machine::is_of_this_machine;

/// Who is at the other end; `None` when the socket does not say, as a Unix one does not.
#[must_use]
pub fn peer(stream: &(impl GetSocketDigest + ?Sized)) -> Option<SocketAddr> {
    stream.get_socket_digest()?.peer_addr()?.as_inet().copied()
}

/// A connection's place, as its stream carries it.
#[must_use]
pub fn place(stream: &Stream) -> Option<Arc<ConnectionPlace>> {
    stream::place(&*stream.get_proxy_digest()?).cloned()
}

/// The place of the connection on which a request came, by what pingora kept of it.
#[must_use]
pub fn place_of(digest: &Digest) -> Option<&Arc<ConnectionPlace>> {
    stream::place(digest.proxy_digest.as_deref()?)
}

/// What a listener does with a connection before a protocol is spoken on it.
pub struct Doorway {
    connections: Arc<Connections>,
    tls: Option<Acceptor>,
    handshake_time: Duration,
}

impl Doorway {
    /// A doorway for so many connections; with TLS each handshake has so much time.
    #[must_use]
    pub const fn new(connections: Arc<Connections>, tls: Option<Acceptor>, handshake_time: Duration) -> Self {
        Self { connections, tls, handshake_time }
    }

    /// Takes in a connection: it has a place from now on. `None`: there is none for it.
    pub async fn enter(&self, stream: Stream) -> Option<(CallerConnection, Arc<ConnectionPlace>)> {
        let peer = peer(&*stream).map(|peer| peer.ip());
        let place = Arc::new(self.connections.enter(peer).await?);
        Some((CallerConnection::in_place(stream, Arc::clone(&place)), place))
    }

    /// Shakes hands, where TLS is spoken. `None`: it failed, or took too long.
    pub async fn shake_hands(&self, connection: CallerConnection) -> Option<Stream> {
        let Some(tls) = &self.tls else { return Some(Box::new(connection)) };
        let peer = peer(&connection);
        match tokio::time::timeout(self.handshake_time, tls.tls_handshake(connection)).await {
            Ok(Ok(stream)) => Some(Box::new(stream)),
            Ok(Err(error)) => {
                tracing::debug!(?peer, %error, "a TLS handshake failed");
                None
            }
            Err(_) => {
                tracing::debug!(?peer, "a TLS handshake was not finished in time");
                None
            }
        }
    }
}
