//! Every way into the gate: HTTP/1.1 and HTTP/2, each in clear text and over TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use hallgate::proxy::Settings;
use hallgate::tls;
use rcgen::CertifiedKey;
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

use crate::fixture::Fixture;
use crate::wire::Wire;

/// Whose certificate the gate has.
const GATE: &str = "gate.example";

/// A connection to the gate.
pub trait Connection: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection for S {}

/// A gate with its HTTP/1.1 in clear text or over TLS, where it speaks HTTP/2, too.
pub struct Doors {
    /// The gate.
    pub fixture: Fixture,
    tls: Option<TlsConnector>,
}

impl Doors {
    /// Starts a gate of these settings.
    pub async fn open(mut settings: Settings, over_tls: bool) -> Self {
        let tls = over_tls.then(|| {
            let (server, client) = pair();
            settings.tls = Some(server);
            client
        });
        Self { fixture: Fixture::start(settings).await, tls }
    }

    async fn over_tls(&self, connector: &TlsConnector, protocol: &[u8], socket: TcpStream) -> Box<dyn Connection> {
        let mut config = ClientConfig::clone(connector.config());
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TlsConnector::from(Arc::new(config)).connect(GATE.try_into().unwrap(), socket).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
        Box::new(stream)
    }

    /// A connection for HTTP/1.1.
    pub async fn http1(&self) -> Wire<Box<dyn Connection>> {
        self.http1_on(Wire::to(self.fixture.gate).await.stream).await
    }

    /// The same; dropped, it is reset.
    pub async fn http1_reset(&self) -> Wire<Box<dyn Connection>> {
        self.http1_on(resetting(self.fixture.gate).await).await
    }

    async fn http1_on(&self, socket: TcpStream) -> Wire<Box<dyn Connection>> {
        let stream: Box<dyn Connection> = match &self.tls {
            Some(tls) => self.over_tls(tls, b"http/1.1", socket).await,
            None => Box::new(socket),
        };
        Wire::over(stream)
    }

    /// A connection for HTTP/2. It ends with its last sender, or with an error that each stream is told, too.
    pub async fn http2(&self) -> SendRequest<Bytes> {
        self.http2_on(Wire::to(self.http2_address()).await.stream).await.0
    }

    /// The same, and how to reset all of it.
    pub async fn http2_reset(&self) -> (SendRequest<Bytes>, AbortHandle) {
        self.http2_on(resetting(self.http2_address()).await).await
    }

    const fn http2_address(&self) -> SocketAddr {
        if self.tls.is_some() { self.fixture.gate } else { self.fixture.h2c }
    }

    async fn http2_on(&self, socket: TcpStream) -> (SendRequest<Bytes>, AbortHandle) {
        let stream: Box<dyn Connection> = match &self.tls {
            Some(tls) => self.over_tls(tls, b"h2", socket).await,
            None => Box::new(socket),
        };
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        (sender, tokio::spawn(connection).abort_handle())
    }
}

/// A connection that ends with a reset (RST) and not with an end (FIN), whatever was not sent or read by then.
async fn resetting(address: SocketAddr) -> TcpStream {
    let socket = Wire::to(address).await.stream;
    socket.set_zero_linger().unwrap();
    socket
}

/// A certificate for a listener, and a client that trusts nothing else.
fn pair() -> (tls::Server, TlsConnector) {
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed([GATE.to_owned()]).unwrap();
    let own = tls::pair(vec![cert.der().clone()], rustls::pki_types::PrivateKeyDer::from(signing_key)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let client = client.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    (tls::Server::new(own, None), TlsConnector::from(Arc::new(client.with_no_client_auth())))
}
