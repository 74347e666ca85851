//! Authorities, certificates and TLS clients for tests.

use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use support::PATIENCE;

/// Whom every test's listener is.
pub const GATE: &str = "gate.example";

/// An authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pub pem: String,
}

/// A certificate with its key.
pub struct Issued {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    pub pem: String,
    pub key_pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        // Else it has the name that its certificates have, and OpenSSL takes those for self-signed ones.
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), certificate: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }

    /// A certificate with these names: URIs, and names of hosts or addresses.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_until(names, 4096)
    }

    /// The same, which ended with this year.
    pub fn issue_until(&self, names: &[&str], year: i32) -> Issued {
        let key = KeyPair::generate().unwrap();
        let (uris, hosts): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains("://"));
        let mut params = CertificateParams::new(hosts.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            key_pem: key.serialize_pem(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }
}

/// A client that trusts one authority, and may prove itself.
pub fn client(trusted: &Authority, own: Option<&Issued>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.certificate.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    Arc::new(match own {
        None => builder.with_no_client_auth(),
        Some(own) => builder.with_client_auth_cert(vec![own.certificate.clone()], own.key.clone_key()).unwrap(),
    })
}

/// TLS over a connection; nothing is sent before the first write.
pub fn over(connection: TcpStream, client: &Arc<ClientConfig>) -> StreamOwned<ClientConnection, TcpStream> {
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    let session = ClientConnection::new(Arc::clone(client), GATE.try_into().unwrap()).unwrap();
    StreamOwned::new(session, connection)
}
