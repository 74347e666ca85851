//! The addresses of a name, looked up and checked in one: what was not admitted is never connected to, whatever the name says next.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::Reach;

/// Looks names up.
#[async_trait]
pub trait Lookup: fmt::Debug + Send + Sync {
    /// All addresses of a name, one at least.
    ///
    /// # Errors
    /// It has none, or nobody says.
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// As the system does.
#[derive(Debug, Clone, Copy)]
pub struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// A name has an address to which the client may not connect. It is not said which: whoever named it must not learn it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its host has an address that may not be connected to")]
pub struct OutOfReach;

/// The resolver of a client: each connection is made to an address that came out of here.
#[derive(Debug, Clone)]
pub(super) struct CheckedLookup {
    pub(super) reach: Reach,
    pub(super) lookup: Arc<dyn Lookup>,
}

impl Resolve for CheckedLookup {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { reach, lookup } = self.clone();
        Box::pin(async move {
            let addresses = lookup.addresses(name.as_str()).await?;
            // One bad address spoils the name: a good one beside it is there to be tried first.
            if addresses.is_empty() || !addresses.iter().all(|address| reach.admits(*address)) {
                return Err(OutOfReach.into());
            }
            let sockets = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(sockets) as Addrs)
        })
    }
}
