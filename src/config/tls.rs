//! `gate.tls` and `hall.tls`, and the authorities of upstreams: what is in the files is read with the rest, so that a bad
//! certificate is reported like any other mistake.

use std::path::Path;

use super::kinds;
use super::reader::{Map, Value};
use crate::tls::{self, Authorities, Clients, Server, Unusable};

/// Reads a listener's section; `None` when something in it is wrong.
pub fn server(mut map: Map<'_>) -> Option<Server> {
    let chain = map.need("cert_file", "name the file with the listener's certificate and those of its issuers");
    let chain = chain.and_then(|value| read(&value, tls::certificates));
    let key_file = map.need("key_file", "name the file with the certificate's private key");
    let key = key_file.as_ref().and_then(|value| read(value, tls::key));
    let required = map.get("require_client_cert");
    let client_ca = map.get("client_ca_file");
    if client_ca.is_none()
        && let Some(value) = &required
    {
        value.wrong("is set, but no client can be verified", "write `client_ca_file`, too, or remove it");
    }
    let required = required.map_or(Some(true), |value| value.read(kinds::flag));
    let clients = client_ca.map(|value| {
        let required = required?;
        read(&value, |file| Clients::new(tls::certificates(file)?, required))
    });
    map.done(&[]);
    let pair = match (chain, key, key_file) {
        (Some(chain), Some(key), Some(value)) => read(&value, |_| tls::pair(chain, key)),
        _ => None,
    };
    match clients {
        Some(clients) => Some(Server::new(pair?, Some(clients?))),
        None => Some(Server::new(pair?, None)),
    }
}

/// The authorities in a file.
pub fn authorities(value: &Value<'_>) -> Option<Authorities> {
    read(value, Authorities::load)
}

/// What is in the file that a value names.
fn read<T>(value: &Value<'_>, kind: impl FnOnce(&Path) -> Result<T, Unusable>) -> Option<T> {
    let file = value.path()?;
    kind(&file).map_err(|Unusable { is, help }| value.wrong(format!("`{}` {is}", file.display()), help)).ok()
}
