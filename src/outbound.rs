//! HTTP clients of ours: made here and nowhere else, without a proxy, a redirect, an answer without end or a wait without one.

mod lookup;
mod reach;

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use lookup::CheckedLookup;
use reqwest::{Certificate, ClientBuilder, redirect};

pub use lookup::{Lookup, OutOfReach, SystemLookup};
pub use reach::Reach;
pub use reqwest::{Error, RequestBuilder, Response, Url};

/// A client for one address. What it sends may hold a credential, and goes to that address: no proxy that the environment names gets
/// it, not even for this machine's own addresses, and no redirect leads it elsewhere.
#[derive(Debug, Clone)]
pub struct HttpClient(reqwest::Client);

impl HttpClient {
    /// A client for this address, with so long for each request from the connection to the last byte. Over TLS it is verified by
    /// these authorities (PEM), or by the system's. The process's TLS provider must have been chosen.
    ///
    /// # Errors
    /// There are no authorities by which it could be verified.
    pub fn to(address: &Url, patience: Duration, authorities: Option<&[u8]>) -> Result<Self, Error> {
        builder(address.scheme() == "https", patience, authorities)?.build().map(Self)
    }

    /// The same for addresses of one scheme that others name: the client connects only where it may reach. That is checked of each address
    /// that a name has, when it is looked up to connect. **A host that is written as an address is not looked up**: check it by
    /// [`Reach::admits`].
    ///
    /// # Errors
    /// There are no authorities by which it could be verified.
    pub fn reaching(reach: Reach, tls: bool, patience: Duration, lookup: Arc<dyn Lookup>) -> Result<Self, Error> {
        builder(tls, patience, None)?.dns_resolver(Arc::new(CheckedLookup { reach, lookup })).build().map(Self)
    }

    /// A request.
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.0.request(method, url)
    }

    /// `GET url`
    pub fn get(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.0.get(url.as_ref())
    }

    /// `POST url`
    pub fn post(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.0.post(url.as_ref())
    }
}

fn builder(tls: bool, patience: Duration, authorities: Option<&[u8]>) -> Result<ClientBuilder, Error> {
    let builder = reqwest::Client::builder();
    let builder = match authorities {
        Some(pem) => builder.tls_certs_only(Certificate::from_pem_bundle(pem)?),
        // Without TLS nothing needs to be trusted, and the system need not have CA certificates.
        None if !tls => builder.tls_certs_only([]),
        None => builder,
    };
    let builder = builder.no_proxy().redirect(redirect::Policy::none()).referer(false).https_only(tls);
    let builder = builder.timeout(patience).pool_max_idle_per_host(4);
    Ok(builder.user_agent(concat!("hallgate/", env!("CARGO_PKG_VERSION"))))
}

/// Whether a request was not sent because its host has an address that its client may not connect to.
#[must_use]
pub fn was_out_of_reach(error: &Error) -> bool {
    std::iter::successors(error.source(), |cause| (*cause).source()).any(|cause| cause.is::<OutOfReach>())
}

/// An answer's body; `None` when it has more than `most` bytes.
///
/// # Errors
/// It broke off.
pub async fn body(mut answer: Response, most: usize) -> Result<Option<Vec<u8>>, Error> {
    if answer.content_length().is_some_and(|length| length > most as u64) {
        return Ok(None);
    }
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await? {
        if body.len() + piece.len() > most {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}

/// Whether these are certificates, one at least, as PEM.
#[must_use]
pub fn are_certificates(pem: &[u8]) -> bool {
    Certificate::from_pem_bundle(pem).is_ok_and(|certificates| !certificates.is_empty())
}
