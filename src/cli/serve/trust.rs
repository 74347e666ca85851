//! What TLS goes by: the CA certificates by which upstreams are verified, one file, checked before pingora reads it; and the one
//! cryptography of all TLS in the process.
//!
//! pingora panics on a file that it cannot read, and starts without any trust where it finds none.

use std::path::{Path, PathBuf};

use crate::tls;
/// Has all TLS of this process use the cryptography that pingora's uses. To be called before a client is made; again does nothing.
pub fn one_provider() {
    pingora_core::tls::install_default_crypto_provider();
}

/// Where systems keep all their CA certificates in one file.
const SYSTEM: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The file of CA certificates: that of `SSL_CERT_FILE`, else the system's. When no upstream is verified by them, nothing is
/// read and nothing is trusted.
///
/// # Errors
/// There is none, or it holds something else than certificates.
pub fn ca_file(needed: bool) -> Result<String, String> {
    if !needed {
        return Ok("/dev/null".to_owned());
    }
    match std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) {
        Some(path) => checked(PathBuf::from(path), "the environment variable `SSL_CERT_FILE`"),
        None => {
            let found = SYSTEM.iter().map(Path::new).find(|path| path.is_file());
            let found =
                found.ok_or("no CA certificates are installed: install them, or set `gate.upstream_ca_file`")?;
            checked(found.to_owned(), "the system's CA certificates")
        }
    }
}

fn checked(path: PathBuf, from: &str) -> Result<String, String> {
    let file = format!("{from}: the file `{}`", path.display());
    tls::certificates(&path).map_err(|tls::Unusable { is, help }| format!("{file} {is}: {help}"))?;
    path.to_str().map(str::to_owned).ok_or_else(|| format!("{file} has a name that is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_of_certificates_is_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let certificate = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        assert!(checked(write("good", certificate), "here").is_ok());
        let key = format!("{certificate}-----BEGIN PRIVATE KEY-----\n");
        for (path, why) in [
            (write("empty", ""), "holds no certificate"),
            (write("key", &key), "holds a `PRIVATE KEY`"),
            (folder.path().join("none"), "cannot be read"),
        ] {
            let error = checked(path, "here").unwrap_err();
            assert!(error.contains(why) && error.starts_with("here: the file"), "{error}");
        }
        assert!(ca_file(false).is_ok());
    }
}
