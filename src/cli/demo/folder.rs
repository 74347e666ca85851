//! The demo's folder: fresh, with configuration, rules and workers, and random secrets.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::config::{Config, Problems};

const FILES: &[(&str, &str)] = &[
    ("hallgate.yaml", include_str!("folder/hallgate.yaml")),
    ("rules.json", include_str!("folder/rules.json")),
    ("enrolled/wrk_shop_acme_prod.json", include_str!("folder/wrk_shop_acme_prod.json")),
    ("enrolled/wrk_make_acme_prod.json", include_str!("folder/wrk_make_acme_prod.json")),
];

/// A fresh folder. Dropped, it goes.
#[derive(Debug)]
pub struct DemoFolder {
    folder: TempDir,
    token: String,
    read_token: String,
    approver_token: String,
    upstream_credential: String,
}

/// Where the demo's listeners are.
#[derive(Debug, Clone, Copy)]
pub struct DemoAddresses {
    /// The gate.
    pub gate: SocketAddr,
    /// The Hall.
    pub hall: SocketAddr,
    /// The sample upstream.
    pub upstream: SocketAddr,
}

impl DemoFolder {
    /// Makes the folder and everything in it but the ledger.
    ///
    /// # Errors
    /// The folder or a file cannot be written, or there is no randomness.
    pub fn make() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("hallgate-demo-").tempdir()?;
        fs::create_dir(folder.path().join("enrolled"))?;
        for (name, text) in FILES {
            fs::write(folder.path().join(name), text)?;
        }
        let token = |file: &str| {
            let token = format!("hst_{}", secret()?);
            fs::write(folder.path().join(file), &token)?;
            Ok::<_, io::Error>(token)
        };
        let (token, read_token, approver_token) = (token("token")?, token("read-token")?, token("approver-token")?);
        Ok(Self { folder, token, read_token, approver_token, upstream_credential: secret()? })
    }

    /// The session token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// An auditor's token, which may read all that is recorded and nothing else.
    #[must_use]
    pub fn read_token(&self) -> &str {
        &self.read_token
    }

    /// The token of somebody who agrees to what is held.
    #[must_use]
    pub fn approver_token(&self) -> &str {
        &self.approver_token
    }

    /// What the sample upstream demands, and only the gate holds.
    #[must_use]
    pub fn upstream_credential(&self) -> &str {
        &self.upstream_credential
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The ledger's folder.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    /// Loads its configuration as `serve` would, with these addresses.
    ///
    /// # Errors
    /// Every problem of the configuration.
    pub fn configuration(&self, at: DemoAddresses) -> Result<Config, Problems> {
        let environment = |name: &str| match name {
            "GATE" => Some(at.gate.to_string()),
            "HALL" => Some(at.hall.to_string()),
            "UPSTREAM" => Some(at.upstream.to_string()),
            "UPSTREAM_CREDENTIAL" => Some(self.upstream_credential.clone()),
            _ => None,
        };
        Config::load(&self.folder.path().join("hallgate.yaml"), &environment)
    }

    /// Keeps the folder for those who want to look, and says where it is.
    #[must_use]
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }
}

/// 128 random bits as hex.
fn secret() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_the_folder_is_warned_of() {
        let folder = DemoFolder::make().unwrap();
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let config = folder.configuration(DemoAddresses { gate: at(1), hall: at(2), upstream: at(3) }).unwrap();
        assert_eq!(crate::lint::of_config(&config), []);
    }
}
