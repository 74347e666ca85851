//! A listener's side of TLS: its certificate, and the authorities by which it verifies clients. Both are those of now: what a
//! reload brings counts from the next handshake on, and connections under way stay.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora_core::listeners::tls::{Acceptor, TlsSettings};
use pingora_core::listeners::{ALPN, TlsAccept};
use pingora_core::protocols::tls::TlsRef;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::authorities::roots;
use super::client::Connection;
use super::pem::Unusable;

/// A listener's TLS. Clones are one and the same, and change together.
#[derive(Clone)]
pub struct Server(Arc<Parts>);

struct Parts {
    now: ArcSwap<Credentials>,
    provider: Arc<CryptoProvider>,
}

#[derive(Clone)]
struct Credentials {
    own: Arc<CertifiedKey>,
    /// To tell whether another key is another one; rustls does not compare keys.
    secret: Arc<PrivateKeyDer<'static>>,
    clients: Option<Clients>,
}

/// How clients are verified.
#[derive(Clone)]
pub struct Clients {
    authorities: Vec<CertificateDer<'static>>,
    verifier: Arc<dyn ClientCertVerifier>,
    required: bool,
}

impl Clients {
    /// By these authorities; `required`: who has no certificate does not get through the handshake.
    ///
    /// # Errors
    /// One of them is no authority's certificate.
    pub fn new(authorities: Vec<CertificateDer<'static>>, required: bool) -> Result<Self, Unusable> {
        let roots = Arc::new(roots(&authorities)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::new(ring::default_provider()))
            .build()
            .map_err(|error| {
            Unusable::new(format!("cannot verify anyone: {error}"), "write an authority's certificate into it")
        })?;
        Ok(Self { authorities, verifier, required })
    }
}

/// A certificate chain and its private key, as they are used together.
#[derive(Debug)]
pub struct Pair {
    own: Arc<CertifiedKey>,
    secret: Arc<PrivateKeyDer<'static>>,
}

/// Puts a chain, the listener's own certificate first, and its key together.
///
/// # Errors
/// The key is of a kind that cannot be used, or another certificate's.
pub fn pair(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Pair, Unusable> {
    let own =
        CertifiedKey::from_der(chain, key.clone_key(), &ring::default_provider()).map_err(|error| match error {
            Error::InconsistentKeys(_) => Unusable::new(
                "is the key of another certificate",
                "name the key that belongs to the first certificate of `cert_file`",
            ),
            Error::InvalidCertificate(_) => Unusable::new(
                "stands beside a certificate that cannot be read",
                "write an X.509 v3 certificate into `cert_file`",
            ),
            _ => Unusable::new("holds a key that cannot be used", "use an ECDSA P-256 or P-384, Ed25519 or RSA key"),
        })?;
    Ok(Pair { own: Arc::new(own), secret: Arc::new(key) })
}

impl Server {
    /// A listener that proves itself by this pair.
    #[must_use]
    pub fn new(pair: Pair, clients: Option<Clients>) -> Self {
        let Pair { own, secret } = pair;
        let now = ArcSwap::from_pointee(Credentials { own, secret, clients });
        Self(Arc::new(Parts { now, provider: Arc::new(ring::default_provider()) }))
    }

    /// Whether clients are asked for certificates.
    #[must_use]
    pub fn verifies_clients(&self) -> bool {
        self.0.now.load().clients.is_some()
    }

    /// Until when the listener's certificate, and those of its chain, can be verified, in seconds since 1970 UTC; `None`: it does not say.
    #[must_use]
    pub fn expires_at(&self) -> Option<i64> {
        let now = self.0.now.load();
        let end = |certificate: &CertificateDer<'static>| {
            Some(X509Certificate::from_der(certificate).ok()?.1.validity().not_after.timestamp())
        };
        now.own.cert.iter().filter_map(end).min()
    }

    /// Takes the certificate and the authorities that another has. Whether they were different.
    pub fn take(&self, other: &Self) -> bool {
        let theirs = other.0.now.load();
        let differ = **theirs != **self.0.now.load();
        if differ {
            self.0.now.store(Arc::clone(&theirs));
        }
        differ
    }

    /// What shakes hands; `h2`: HTTP/2 is spoken, too.
    ///
    /// # Errors
    /// pingora refuses it.
    pub fn acceptor(&self, h2: bool) -> Result<Acceptor, String> {
        let mut settings = TlsSettings::with_callbacks(Box::new(self.clone())).map_err(|error| error.to_string())?;
        settings.set_alpn(if h2 { ALPN::H2H1 } else { ALPN::H1 });
        settings.set_cert_resolver(Arc::new(self.clone()));
        settings.set_client_cert_verifier(Arc::new(self.clone()));
        Ok(settings.build())
    }

    /// What a completed handshake comes to. A resumed session brings the certificate of its first handshake along, which rustls
    /// does not verify again: so it is verified here, by the authorities and the clock of now.
    fn completed(&self, chain: Option<&[CertificateDer<'static>]>) -> Connection {
        let now = self.0.now.load();
        match (&now.clients, chain.and_then(<[_]>::split_first)) {
            (None, _) => Connection::anonymous(),
            (Some(clients), None) if clients.required => Connection::refused(),
            (Some(_), None) => Connection::anonymous(),
            (Some(clients), Some((certificate, others))) => {
                match clients.verifier.verify_client_cert(certificate, others, UnixTime::now()) {
                    Ok(_) => Connection::proved(certificate),
                    Err(_) => Connection::refused(),
                }
            }
        }
    }
}

#[async_trait]
impl TlsAccept for Server {
    async fn handshake_complete_callback(&self, tls: &TlsRef) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(Arc::new(self.completed(tls.peer_cert_chain_der())))
    }
}

impl ResolvesServerCert for Server {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.now.load().own))
    }
}

impl ClientCertVerifier for Server {
    fn offer_client_auth(&self) -> bool {
        self.verifies_clients()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.now.load().clients.as_ref().is_some_and(|clients| clients.required)
    }

    /// None: they would have to outlive a reload. A client that has more than one certificate is configured with the right one.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        at: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let now = self.0.now.load();
        // Gone since the handshake began: nobody is trusted.
        let clients = now.clients.as_ref().ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        clients.verifier.verify_client_cert(certificate, others, at)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        let clients = |of: &Self| of.clients.as_ref().map(|clients| (clients.authorities.clone(), clients.required));
        self.own.cert == other.own.cert && self.secret == other.secret && clients(self) == clients(other)
    }
}

/// As settings they are equal: what is in the files may change while the process runs.
impl PartialEq for Server {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Server {}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clients = self.0.now.load().clients.as_ref().map(|clients| (clients.authorities.len(), clients.required));
        f.debug_struct("Server").field("clients", &clients).finish_non_exhaustive()
    }
}
