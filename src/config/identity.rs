//! `gate.identity`: who callers are.

use std::collections::BTreeMap;

use http::HeaderName;

use super::kinds;
use super::reader::{Map, Value};
use crate::documents::InvalidValue;
use crate::ids::{NoNetwork, SpiffeId, TenantId, WorkerId};
use crate::proxy::settings::{Identity, Pattern, TrustedHeaders, TrustedNetworks, Workloads};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Fixed,
    Token,
    Mtls,
    TrustedHeaders,
}

const MODES: &[(&str, Mode)] =
    &[("fixed", Mode::Fixed), ("token", Mode::Token), ("mtls", Mode::Mtls), ("trusted_headers", Mode::TrustedHeaders)];

/// Where the keys of each mode belong, so that a stray one is told where.
const KEYS: [(&str, &str); 7] = [
    ("worker_id", "fixed"),
    ("tenant_id", "fixed"),
    ("ids", "mtls"),
    ("pattern", "mtls"),
    ("peers", "trusted_headers"),
    ("worker_header", "trusted_headers"),
    ("tenant_header", "trusted_headers"),
];

/// Reads the section; `None` when something in it is wrong.
pub fn read(mut map: Map<'_>) -> Option<Identity> {
    let mode =
        map.need("mode", "write `mode: fixed` for a sidecar of one worker, or `token`, `mtls` or `trusted_headers`");
    // What else the mapping holds depends on the mode.
    let mode = mode.and_then(|value| value.read(kinds::word(MODES)))?;
    let name = MODES.iter().find(|(_, known)| *known == mode).map_or("", |(name, _)| name);
    for (key, home) in KEYS {
        if home != name
            && let Some(value) = map.get(key)
        {
            let help = if mode == Mode::Token {
                "remove it: the token is bound to its workers in `hall.tokens`".to_owned()
            } else {
                format!("remove it, or write `mode: {home}`")
            };
            value.wrong(format!("belongs to `mode: {home}`"), help);
        }
    }
    let identity = match mode {
        Mode::Fixed => named(&mut map, "name the enrolled worker that this gate is the sidecar of")
            .map(|(worker_id, tenant_id)| Identity::Fixed { worker_id, tenant_id }),
        Mode::Token => Some(Identity::Token),
        Mode::Mtls => mtls(&mut map),
        Mode::TrustedHeaders => trusted_headers(&mut map),
    };
    map.done(&[]);
    identity
}

fn named(map: &mut Map<'_>, help: &str) -> Option<(WorkerId, TenantId)> {
    let worker = map.need("worker_id", help);
    let tenant = map.need("tenant_id", "name the worker's tenant, such as `org.acme`");
    let worker = worker.and_then(|value| value.read(kinds::id));
    worker.zip(tenant.and_then(|value| value.read(kinds::id)))
}

fn mtls(map: &mut Map<'_>) -> Option<Identity> {
    let ids = map.get("ids").map_or_else(|| Some(BTreeMap::new()), |value| ids(&value));
    let pattern = map.maybe("pattern", pattern);
    let (ids, pattern) = (ids?, pattern?);
    if ids.is_empty() && pattern.is_none() {
        let help = "write `ids: { \"spiffe://example.org/make\": { worker_id: …, tenant_id: … } }`, or `pattern`";
        map.wrong("ids", "names no workload: nobody would be known", help);
        return None;
    }
    Some(Identity::Mtls(Workloads { ids, pattern }))
}

fn ids(value: &Value<'_>) -> Option<BTreeMap<SpiffeId, (WorkerId, TenantId)>> {
    let entries = value.entries()?.into_iter().map(|(name, entry)| {
        let id = entry.read_name(&name, kinds::id);
        let worker = entry.map().and_then(|mut map| {
            let named = named(&mut map, "name the enrolled worker that this workload is");
            map.done(&[]);
            named
        });
        id.zip(worker)
    });
    entries.collect::<Vec<_>>().into_iter().collect()
}

fn pattern(text: &str) -> Result<Pattern, InvalidValue> {
    text.parse().map_err(|()| {
        InvalidValue::new(
            "is not a pattern of SPIFFE ids",
            "write such as `spiffe://example.org/{tenant_id}/{worker_id}`: both once, each a whole segment of the path",
        )
    })
}

fn trusted_headers(map: &mut Map<'_>) -> Option<Identity> {
    let peers = map.need("peers", "list the networks that identifying proxies are in, such as `peers: [10.0.3.0/24]`");
    let peers = peers.and_then(|value| {
        let listed: Vec<TrustedNetworks> = value.read_list(peer)?;
        if listed.is_empty() {
            value.wrong(
                "lists nobody: no request would be identified",
                "list a network, such as `10.0.3.0/24`, or `unix`",
            );
            return None;
        }
        Some(listed)
    });
    let worker = map.read("worker_header", "wcp-worker-id", header);
    let tenant = map.read("tenant_header", "wcp-tenant-id", header);
    if worker.is_some() && worker == tenant {
        map.wrong("tenant_header", "is the header of the worker, too", "name another header");
        return None;
    }
    Some(Identity::TrustedHeaders(TrustedHeaders { peers: peers?, worker: worker?, tenant: tenant? }))
}

/// A network whose word counts.
pub fn peer(text: &str) -> Result<TrustedNetworks, InvalidValue> {
    let everyone = "list the networks that only such proxies are in";
    text.parse()
        .map_err(|why| no_network(&why, "write such as `10.0.3.0/24`, `10.0.3.7`, `fd00::/8` or `unix`", everyone))
}

/// That a text names no network, with what to write where it is of another form, and where it is everyone.
pub fn no_network(why: &NoNetwork, malformed: &str, everyone: &str) -> InvalidValue {
    match why {
        NoNetwork::Malformed => InvalidValue::new("is not a network", malformed),
        NoNetwork::HostBits(network) => {
            InvalidValue::new("has bits behind its prefix", format!("write `{network}`, or a longer prefix"))
        }
        NoNetwork::Everyone => InvalidValue::new("is everyone", everyone),
    }
}

/// A header that says who the caller is. It is removed before a request goes on, so it is none that a request needs.
fn header(text: &str) -> Result<HeaderName, InvalidValue> {
    let name = text.to_ascii_lowercase();
    match name.as_str() {
        "wcp-worker-id" => Ok(HeaderName::from_static("wcp-worker-id")),
        "wcp-tenant-id" => Ok(HeaderName::from_static("wcp-tenant-id")),
        "authorization" | "cookie" => {
            Err(InvalidValue::new("is a header with a meaning of its own", "name another, such as `x-worker-id`"))
        }
        name if name.bytes().any(|byte| !byte.is_ascii_alphanumeric() && byte != b'-') => {
            let help = "name another of letters, digits and `-`, such as `x-worker-id`";
            Err(InvalidValue::new("has a character that some take for `-`", help))
        }
        name => kinds::header_name(name),
    }
}
