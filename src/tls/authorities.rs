//! The authorities by which an upstream is verified, when they are its own and not the system's.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use pingora_core::protocols::tls::CaType;
use pingora_core::utils::tls::WrappedX509;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::pem::{self, Unusable};

/// The authorities of one upstream. Clones are one and the same, and change together.
#[derive(Clone)]
pub struct Authorities(Arc<ArcSwap<Known>>);

struct Known {
    certificates: Vec<CertificateDer<'static>>,
    list: Arc<CaType>,
    generation: u64,
}

impl Authorities {
    /// Those of a file.
    ///
    /// # Errors
    /// It cannot be read, or holds something that is no authority's certificate.
    pub fn load(file: &Path) -> Result<Self, Unusable> {
        let certificates = pem::certificates(file)?;
        // Whether a certificate can be an authority is found out here, and not at the first connection.
        roots(&certificates)?;
        let mut list = Vec::new();
        for certificate in &certificates {
            let wrapped = WrappedX509::try_new(certificate.to_vec(), |der| {
                X509Certificate::from_der(der).map(|(_, certificate)| certificate)
            });
            list.push(wrapped.map_err(|_| no_authority())?);
        }
        let known = Known { certificates, list: list.into(), generation: 0 };
        Ok(Self(Arc::new(ArcSwap::from_pointee(known))))
    }

    /// The authorities of now, and a number that is another one whenever they change.
    #[must_use]
    pub fn now(&self) -> (Arc<CaType>, u64) {
        let known = self.0.load();
        (Arc::clone(&known.list), known.generation)
    }

    /// Takes the authorities that another has. Whether they were different.
    pub fn take(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.0.load(), other.0.load());
        let differ = ours.certificates != theirs.certificates;
        if differ {
            self.0.store(Arc::new(Known {
                certificates: theirs.certificates.clone(),
                list: Arc::clone(&theirs.list),
                generation: ours.generation + 1,
            }));
        }
        differ
    }
}

/// A store that trusts these authorities.
///
/// # Errors
/// One of them is no certificate that can be trusted.
pub fn roots(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, Unusable> {
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        store.add(certificate.clone()).map_err(|_| no_authority())?;
    }
    Ok(store)
}

fn no_authority() -> Unusable {
    Unusable::new("holds a certificate that cannot be read", "write certificates of authorities (X.509 v3) into it")
}

/// As settings they are equal: what is in the file may change while the process runs.
impl PartialEq for Authorities {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Authorities {}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({})", self.0.load().certificates.len())
    }
}
