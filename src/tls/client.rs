//! What a caller's connection proves: who its certificate says it is, and whether it is to be served at all.

use pingora_core::protocols::tls::SslDigest;
use rustls::pki_types::UnixTime;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::ids::SpiffeId;

/// What is known of a TLS connection once its handshake is complete.
#[derive(Debug, Default)]
pub struct Connection {
    workload: Option<Workload>,
    refused: bool,
}

/// Who a verified certificate names, and until when.
#[derive(Debug)]
pub(super) struct Workload {
    pub(super) id: SpiffeId,
    not_after: u64,
}

impl Connection {
    /// A connection without a certificate, or whose certificate names no workload.
    pub(super) fn anonymous() -> Self {
        Self::default()
    }

    /// A connection that may not be used: a session was resumed whose certificate does not count any more.
    pub(super) fn refused() -> Self {
        Self { refused: true, ..Self::default() }
    }

    /// A connection whose client has proved this certificate, which was verified just now.
    pub(super) fn proved(certificate: &[u8]) -> Self {
        Self { workload: Workload::of(certificate), ..Self::default() }
    }

    /// Whether nothing may be served on it.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        self.refused
    }

    /// The workload at the other end; `None` when none was proved, or its certificate has expired since.
    #[must_use]
    pub fn workload(&self) -> Option<&SpiffeId> {
        let workload = self.workload.as_ref()?;
        (UnixTime::now().as_secs() <= workload.not_after).then_some(&workload.id)
    }
}

impl Workload {
    /// The workload that a certificate names: exactly one URI among its names, and that one a SPIFFE id (X509-SVID 2).
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let names = certificate.subject_alternative_name().ok()??;
        let mut uris = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        let (only, None) = (uris.next()?, uris.next()) else { return None };
        let not_after = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
        Some(Self { id: only.parse().ok()?, not_after })
    }
}

/// What is known of a connection by what pingora kept of its handshake. `None`: nothing, so nothing may be served on it.
#[must_use]
pub fn connection(digest: &SslDigest) -> Option<&Connection> {
    digest.extension.get::<Connection>()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType, date_time_ymd};

    use super::*;

    fn workload(names: &[SanType], year: i32) -> Option<String> {
        let mut params = CertificateParams::new([]).unwrap();
        params.subject_alt_names = names.to_vec();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Connection::proved(certificate.der()).workload().map(ToString::to_string)
    }

    #[test]
    fn a_certificate_names_one_workload_until_it_expires() {
        let uri = |text: &str| SanType::URI(text.try_into().unwrap());
        let host = SanType::DnsName("a.example".try_into().unwrap());
        assert_eq!(workload(&[host.clone(), uri("spiffe://a/b")], 4096).as_deref(), Some("spiffe://a/b"));
        assert_eq!(workload(&[uri("spiffe://a/b")], 2020), None, "on a connection that outlived it");
        for names in [
            &[][..],
            &[host],
            &[uri("https://a/b")],
            &[uri("spiffe://a/b"), uri("spiffe://a/b")],
            &[uri("spiffe://a/b"), uri("https://a/b")],
            &[uri("spiffe://a/b/")],
        ] {
            assert_eq!(workload(names, 4096), None, "{names:?}");
        }
        assert!(Connection::proved(b"no certificate").workload().is_none());
        assert!(Connection::refused().workload().is_none() && Connection::refused().is_refused());
    }
}
