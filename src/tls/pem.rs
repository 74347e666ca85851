//! Certificates and keys in PEM files.

use std::path::Path;

use crate::documents;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why a file cannot be used: the rest of a sentence that begins with the file, and what to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// What is wrong with it.
    pub is: String,
    /// What to change.
    pub help: &'static str,
}

impl Unusable {
    pub(super) fn new(is: impl Into<String>, help: &'static str) -> Self {
        Self { is: is.into(), help }
    }
}

/// The certificates of a file that holds nothing else, one at least.
///
/// # Errors
/// It cannot be read, or holds something else, or nothing.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let text = read(path)?;
    let mut labels = labels(&text);
    if let Some(other) = labels.find(|label| *label != "CERTIFICATE") {
        return Err(Unusable::new(format!("holds a `{other}`"), "keep nothing but certificates in it"));
    }
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match found {
        Ok(found) if found.is_empty() => Err(Unusable::new(
            "holds no certificate in PEM form",
            "write one or more `-----BEGIN CERTIFICATE-----` blocks into it",
        )),
        Ok(found) => Ok(found),
        Err(_) => Err(Unusable::new("holds a damaged certificate", "copy it anew, from BEGIN to END")),
    }
}

/// The one private key of a file. A certificate beside it is passed over: some tools write both into one file.
///
/// # Errors
/// It cannot be read, or holds no key, or more than one.
pub fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Unusable> {
    let text = read(path)?;
    match labels(&text).filter(|label| label.ends_with("PRIVATE KEY")).count() {
        0 => {
            return Err(Unusable::new(
                "holds no private key in PEM form",
                "write a `-----BEGIN PRIVATE KEY-----` block into it",
            ));
        }
        1 => {}
        _ => return Err(Unusable::new("holds more than one private key", "keep one of them")),
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
        Unusable::new(
            "holds a private key that cannot be read",
            "write it without encryption as PKCS#8: `openssl pkcs8 -topk8 -nocrypt`",
        )
    })
}

fn read(path: &Path) -> Result<String, Unusable> {
    let bytes = documents::bytes(path, documents::SMALL)
        .map_err(|why| Unusable::new(why.to_string(), "name a file that can be read"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What the blocks of a PEM file say they are.
fn labels(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("-----BEGIN ")?.trim_end().strip_suffix("-----"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_what_it_is_for() {
        let folder = tempfile::tempdir().unwrap();
        let write = |text: &str| {
            let path = folder.path().join("file.pem");
            std::fs::write(&path, text).unwrap();
            path
        };
        let own = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let (certificate, secret) = (own.cert.pem(), own.signing_key.serialize_pem());
        assert_eq!(certificates(&write(&format!("a comment\n{certificate}\n{certificate}"))).unwrap().len(), 2);
        assert!(key(&write(&secret)).is_ok() && key(&write(&format!("{certificate}{secret}"))).is_ok());

        let is = |unusable: Unusable| unusable.is;
        assert_eq!(certificates(&write("")).map_err(is), Err("holds no certificate in PEM form".to_owned()));
        assert_eq!(
            certificates(&write(&format!("{certificate}{secret}"))).map_err(is),
            Err("holds a `PRIVATE KEY`".to_owned())
        );
        let torn: String = certificate.chars().take(certificate.len() / 2).collect();
        assert!(certificates(&write(&torn)).is_err());
        assert!(certificates(&folder.path().join("none")).map_err(is).unwrap_err().starts_with("cannot be read"));
        assert_eq!(key(&write(&certificate)).map_err(is).unwrap_err(), "holds no private key in PEM form");
        assert_eq!(
            key(&write(&format!("{secret}{secret}"))).map_err(is).unwrap_err(),
            "holds more than one private key"
        );
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert!(key(&write(encrypted)).is_err());
    }
}
