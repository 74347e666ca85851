//! The `gate` section: listeners, identity, upstreams and routes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};

use super::reader::{Map, Value};
use super::{identity, kinds, limits, tls};
use crate::documents::InvalidValue;
use crate::hall::limits::DoorLimits;
use crate::ids::{DataLabel, meant};
use crate::proxy::Settings;
use crate::proxy::header_names;
use crate::proxy::settings::{
    CapabilityChoice, Forwarding, HoldWait, Identity, Listen, PathPattern, Route, TrustedNetworks, Upstream,
};
use crate::tls::{Authorities, Server};

/// What the section comes to.
#[derive(Debug)]
pub struct GateSection {
    /// The gate itself.
    pub gate: Settings,
    /// What is let in.
    pub limits: DoorLimits,
}

/// Reads the section; `None` when something in it is wrong.
pub fn read(mut gate: Map<'_>) -> Option<GateSection> {
    let listen = gate.read("listen", "127.0.0.1:8080", listen);
    let tls = gate.get("tls").map(|value| tls::server(value.map()?));
    let h2c = gate.get("listen_h2c");
    if tls.is_some()
        && let Some(value) = &h2c
    {
        value.wrong(
            "stands beside `tls`, and would take requests in cleartext",
            "remove it: `listen` speaks HTTP/2, too",
        );
    }
    let listen_h2c = h2c.map_or(Some(None), |value| value.read(kinds::address).map(Some));
    let env = gate.read("env", "prod", kinds::id);
    let identity = gate
        .need(
            "identity",
            "say who calls: `identity: { mode: fixed, worker_id: …, tenant_id: … }`, or `{ mode: token }`",
        )
        .and_then(|value| {
            let identity = identity::read(value.map()?)?;
            let verified = tls.as_ref().is_some_and(|tls| tls.as_ref().is_none_or(Server::verifies_clients));
            if matches!(identity, Identity::Mtls(_)) && !verified {
                value.wrong("is `mtls`, but no client is verified", "write `gate.tls` with a `client_ca_file`");
                return None;
            }
            Some(identity)
        });
    let upstream_ca = gate.get("upstream_ca_file").map(|value| tls::authorities(&value));
    let upstreams = gate
        .need("upstreams", "name where requests may go: `upstreams: { orders: { url: http://127.0.0.1:9000 } }`")
        .map(|value| Upstreams::read(&value, upstream_ca.as_ref().and_then(Option::as_ref)))
        .unwrap_or_default();
    let routes = gate
        .need("routes", "list which request asks for which capability; a request without a route is refused")
        .and_then(|value| routes(&value, &upstreams));
    let health_path = gate.get("health_path");
    let cors_origins = gate.list("cors_origins", kinds::origin_header);
    let dns_servers = gate.list("dns_servers", kinds::dns_server);
    let threads = gate.read("threads", "1", kinds::number(1, 256));
    let header_timeout = gate.read("header_timeout", "10s", kinds::some_time);
    let idle_timeout = gate.read("idle_timeout", "1m", kinds::some_time);
    let upgraded_idle_timeout = gate.read("upgraded_idle_timeout", "1h", kinds::some_time);
    let min_body_rate = gate.read("min_body_rate", "240", kinds::number(0, u32::MAX));
    let connections = gate.section("connections").and_then(|map| limits::connections(map, 2048));
    let limits = gate
        .section("limits")
        .and_then(|section| limits::of_gate(section, matches!(identity, Some(Identity::Fixed { .. }))));
    gate.done(&["catalogue"]);
    let health_path = health_path.map_or(Some(None), |value| health(&value, routes.as_deref()).map(Some));
    // An error in one of these files is an error here.
    let tls = tls.map_or(Some(None), |tls| tls.map(Some));
    if upstream_ca.is_some_and(|authorities| authorities.is_none()) {
        return None;
    }
    let settings = Settings {
        listen: listen?,
        tls: tls?,
        listen_h2c: listen_h2c?,
        env: env?,
        identity: identity?,
        upstreams: upstreams.sound,
        routes: routes?,
        health_path: health_path?,
        cors_origins: cors_origins?,
        dns_servers: dns_servers?,
        threads: threads?,
        header_timeout: header_timeout?,
        idle_timeout: idle_timeout?,
        upgraded_idle_timeout: upgraded_idle_timeout?,
        min_body_rate: min_body_rate?,
        connections: connections?,
    };
    Some(GateSection { gate: settings, limits: limits? })
}

fn listen(text: &str) -> Result<Listen, InvalidValue> {
    match text.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') => Ok(Listen::Unix(PathBuf::from(path))),
        Some(_) => Err(InvalidValue::new("is not an absolute path", "write such as `unix:/run/hallgate/gate.sock`")),
        None => match text.strip_prefix("localhost:") {
            Some(port) => kinds::number(0, u16::MAX)(port)
                .map(|port| Listen::Loopback(loopback(port)))
                .map_err(|_| InvalidValue::new("has no port behind `localhost:`", "write such as `localhost:8080`")),
            None => kinds::address(text).map(Listen::Tcp),
        },
    }
}

fn loopback(port: u16) -> Vec<SocketAddr> {
    let addresses: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    addresses.map(|address| SocketAddr::new(address, port)).to_vec()
}

/// The upstreams that are sound, and the names of all.
#[derive(Default)]
struct Upstreams {
    sound: BTreeMap<String, Arc<Upstream>>,
    named: BTreeSet<String>,
}

impl Upstreams {
    /// `authorities` verify those that have none of their own.
    fn read(value: &Value<'_>, authorities: Option<&Authorities>) -> Self {
        let mut upstreams = Self::default();
        for (name, entry) in value.entries().unwrap_or_default() {
            let upstream = upstream(&name.text, &entry, authorities);
            if let Some(upstream) = upstream {
                upstreams.sound.insert(name.text.clone(), Arc::new(upstream));
            }
            upstreams.named.insert(name.text);
        }
        upstreams
    }

    /// The upstream of this name; an error only when no upstream is called so.
    fn find(&self, name: &str) -> Result<Option<Arc<Upstream>>, InvalidValue> {
        if self.named.contains(name) {
            return Ok(self.sound.get(name).cloned());
        }
        let names = self.named.iter().map(String::as_str);
        let help = meant(name, names.clone(), || {
            format!("name one of `gate.upstreams`: {}", names.collect::<Vec<_>>().join(", "))
        });
        Err(InvalidValue::new("is not the name of an upstream", help))
    }
}

fn upstream(name: &str, value: &Value<'_>, authorities: Option<&Authorities>) -> Option<Upstream> {
    let mut map = value.map()?;
    let url = map.need("url", "write its base URL, such as `https://api.openai.com`").and_then(|v| v.read(url));
    let headers = map.get("headers").map_or_else(|| Some(Vec::new()), |value| headers(&value));
    let strip_headers = map.list("strip_headers", kinds::header_name);
    let strip_query = map.list("strip_query", kinds::parameter);
    let forwarding = forwarding(&mut map);
    let keeps_host = map.read("host", "upstream", kinds::word(&[("upstream", false), ("keep", true)]));
    let told_all = map.read("decision_headers", "id", kinds::word(&[("id", false), ("all", true)]));
    let h2 = map.read("http2", "false", kinds::flag);
    let connect_timeout = map.read("connect_timeout", "5s", kinds::some_time);
    let read_timeout = map.read("read_timeout", "5m", kinds::some_time);
    let idle_timeout = map.read("idle_timeout", "4s", kinds::some_time);
    let ca_file = map.get("ca_file");
    map.done(&[]);
    let Url { tls, host, port, base_path } = url?;
    if !tls && let Some(value) = &ca_file {
        value.wrong("stands at an upstream without TLS", "write `https://`, or remove it");
    }
    let authorities = match ca_file {
        Some(value) => Some(tls::authorities(&value)?),
        None => authorities.cloned(),
    };
    Some(Upstream {
        name: Arc::from(name),
        tls,
        authorities: authorities.filter(|_| tls),
        h2: h2?,
        host,
        port,
        base_path,
        headers: headers?,
        strip_headers: strip_headers?,
        strip_query: strip_query?,
        forwarding: forwarding?,
        keeps_host: keeps_host?,
        told_all: told_all?,
        connect_timeout: connect_timeout?,
        read_timeout: read_timeout?,
        idle_timeout: idle_timeout?,
    })
}

/// What an upstream is told of the caller's connection, and whose word on it counts.
fn forwarding(map: &mut Map<'_>) -> Option<Forwarding> {
    #[derive(Clone, Copy, PartialEq)]
    enum Word {
        Drop,
        Set,
        Append,
    }
    let word = kinds::word(&[("drop", Word::Drop), ("set", Word::Set), ("append", Word::Append)]);
    let word = map.read("forwarded", "drop", word);
    let Some(trusted) = map.get("trusted_peers") else {
        if word == Some(Word::Append) {
            let help = "list the networks of the proxies before the gate, such as `trusted_peers: [10.0.3.0/24]`, or write `set`";
            map.wrong("forwarded", "is `append`, but nobody's word counts", help);
            return None;
        }
        return Some(if word? == Word::Set { Forwarding::Set } else { Forwarding::Drop });
    };
    let peers: Vec<TrustedNetworks> = trusted.read_list(identity::peer)?;
    if word? != Word::Append {
        trusted.wrong("stands beside another `forwarded` than `append`", "write `forwarded: append`, or remove it");
        return None;
    }
    if peers.is_empty() {
        trusted.wrong("lists nobody", "list a network, such as `10.0.3.0/24`, or write `forwarded: set`");
        return None;
    }
    Some(Forwarding::Append(peers))
}

/// An upstream's URL in its parts.
pub struct Url {
    tls: bool,
    host: String,
    port: u16,
    base_path: String,
}

/// Reads an upstream's URL.
pub fn url(text: &str) -> Result<Url, InvalidValue> {
    let wrong =
        |is: &str| InvalidValue::new(is, "write scheme, host, port and path only, such as `https://api.openai.com`");
    let uri: http::Uri = text.parse().map_err(|_| wrong("is not a URL"))?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(wrong("is not a URL that begins with `http://` or `https://`")),
    };
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(InvalidValue::new("has a credential in it", "move it to `headers`, as `authorization`"));
    }
    if uri.query().is_some() || text.contains('#') {
        return Err(wrong("has a query or a fragment"));
    }
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    if host.is_empty() {
        return Err(wrong("has no host"));
    }
    let base_path = uri.path().trim_end_matches('/').to_owned();
    if !base_path.is_empty() {
        kinds::base_path(&base_path)?;
    }
    Ok(Url { tls, host, port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }), base_path })
}

/// Headers by name: a text, or `{ file: path }`. Each value may be a credential, so none is ever quoted.
fn headers(value: &Value<'_>) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let mut headers: Vec<Option<(HeaderName, HeaderValue)>> = Vec::new();
    for (name, entry) in value.entries()? {
        let header = entry.read_name(&name, kinds::header_name);
        let content = if entry.is_map() {
            entry.map().and_then(|mut map| {
                let file = map.need("file", "name the file that holds the header's value");
                map.done(&[]);
                file?.read_file(kinds::header_value)
            })
        } else {
            entry.read_secret(kinds::header_value)
        };
        if let Some(header) = &header
            && headers.iter().flatten().any(|(earlier, _)| header_names::are_one(earlier.as_str(), header.as_str()))
        {
            entry.wrong("is the same header as an earlier one", "keep one of them");
        }
        headers.push(header.zip(content));
    }
    headers.into_iter().collect()
}

fn routes(value: &Value<'_>, upstreams: &Upstreams) -> Option<Vec<Route>> {
    let items = value.list()?;
    if items.is_empty() {
        value.wrong("has no route: every request would be refused", "add a route, or remove the section `gate`");
        return None;
    }
    let read: Vec<Option<Route>> = items.iter().map(|item| route(item, upstreams)).collect();
    for (later, item) in items.iter().enumerate() {
        let Some(Some(route)) = read.get(later) else { continue };
        let before: Vec<_> = read.iter().take(later).map(Option::as_ref).collect();
        if let Some(covering) = covering(&before, route) {
            let message = match &*covering {
                [earlier] => format!("is never reached: route {earlier} matches all that it matches"),
                several => {
                    let several: Vec<String> = several.iter().map(ToString::to_string).collect();
                    format!("is never reached: routes {} together match all that it matches", several.join(" and "))
                }
            };
            item.wrong(message, "move it up, or remove it");
        }
    }
    read.into_iter().collect()
}

/// The gate's own path: no route may be for it alone.
fn health(value: &Value<'_>, routes: Option<&[Route]>) -> Option<PathPattern> {
    let path = value.read(kinds::own_path)?;
    if let Some(at) = routes.unwrap_or_default().iter().position(|route| path.covers(&route.path)) {
        value.wrong(
            format!("is the path of route {at}, which would never be reached"),
            "choose a path that the upstreams have not, such as `/-/health`",
        );
        return None;
    }
    Some(path)
}

fn route(item: &Value<'_>, upstreams: &Upstreams) -> Option<Route> {
    let mut map = item.map()?;
    let matched = map.need("match", "say which requests: `match: { path: /orders/*, methods: [GET] }`");
    let matched = matched.and_then(|value| matching(value.map()?));
    let capability = map.need("capability", "name the capability, such as `cap.data.read.v1`");
    let capability = capability.and_then(|value| choice(&value));
    let data_label = map.read("data_label", DataLabel::Restricted.as_str(), kinds::id);
    let upstream = map.need("upstream", "name one of `gate.upstreams`");
    let upstream = upstream.and_then(|value| value.read(|name| upstreams.find(name)));
    let observed_until = map.get("observe").map_or(Some(None), |value| observe(&value).map(Some));
    let hold = map.get("hold").map_or(Some(HoldWait::default()), |value| value.map().and_then(hold));
    map.done(&[]);
    let Matching { host, path, methods, keeps_encoded_slash } = matched?;
    Some(Route {
        host,
        path,
        methods,
        keeps_encoded_slash,
        capability: capability?,
        data_label: data_label?,
        upstream: upstream??,
        observed_until: observed_until?,
        hold: hold?,
    })
}

/// How long a caller is kept waiting when a human has to agree.
fn hold(mut map: Map<'_>) -> Option<HoldWait> {
    let wait = map.read("wait", "0s", kinds::duration);
    let max_wait = map.maybe("max_wait", kinds::duration);
    let (wait, max_wait) = (wait?, max_wait?);
    if let Some(most) = max_wait.filter(|most| *most < wait) {
        map.wrong("max_wait", format!("{most:?} is less than `wait`, {wait:?}"), "write at least as much as `wait`");
        return None;
    }
    map.done(&[]);
    Some(HoldWait { wait, max_wait: max_wait.unwrap_or(wait) })
}

/// Until when the policy is only observed. A route that never enforces would be no rollout, so the date has to be said.
fn observe(value: &Value<'_>) -> Option<i64> {
    let mut map = value.map()?;
    let help =
        "say which day is the last on which the policy is only observed, such as `observe: { until: 2027-01-31 }`";
    let until = map.need("until", help).and_then(|value| value.read(kinds::until));
    map.done(&[]);
    until
}

struct Matching {
    host: Option<String>,
    path: PathPattern,
    methods: Vec<Method>,
    keeps_encoded_slash: bool,
}

fn matching(mut map: Map<'_>) -> Option<Matching> {
    let host = map.maybe("host", kinds::host);
    let path = map.need("path", "write `path: /*` for every path").and_then(|value| value.read(kinds::path_pattern));
    let methods = map.list("methods", kinds::method);
    let slash = map.get("encoded_slash");
    map.done(&[]);
    let path = path?;
    let keeps_encoded_slash = slash.as_ref().map_or(Some(false), |slash| slash.read(kinds::flag));
    if keeps_encoded_slash == Some(true)
        && !path.has_star()
        && let Some(slash) = slash
    {
        slash.wrong("is `true`, but the path has no `*` that an encoded `/` could be in", "remove it");
    }
    Some(Matching { host: host?, path, methods: methods?, keeps_encoded_slash: keeps_encoded_slash? })
}

fn choice(value: &Value<'_>) -> Option<CapabilityChoice> {
    if !value.is_map() {
        return value.read(kinds::id).map(CapabilityChoice::Fixed);
    }
    let mut map = value.map()?;
    let header = map.need("header", "list the capabilities that the `wcp-capability` header may name");
    map.done(&[]);
    let header = header?;
    let listed: Vec<_> = header.read_list(kinds::id)?;
    if listed.is_empty() {
        header.wrong("lists no capability", "list those that the `wcp-capability` header may name");
        return None;
    }
    Some(CapabilityChoice::Header(listed))
}

/// Routes that together match every request that a later one matches; for each of its methods, the first that does.
fn covering(before: &[Option<&Route>], later: &Route) -> Option<Vec<usize>> {
    let by = |method: Option<&Method>| {
        before.iter().position(|earlier| {
            earlier.is_some_and(|earlier| {
                earlier.path.covers(&later.path)
                    && (earlier.host.is_none() || earlier.host == later.host)
                    && (earlier.methods.is_empty() || method.is_some_and(|method| earlier.methods.contains(method)))
            })
        })
    };
    if later.methods.is_empty() {
        return Some(vec![by(None)?]);
    }
    let mut covering = later.methods.iter().map(|method| by(Some(method))).collect::<Option<Vec<_>>>()?;
    covering.sort_unstable();
    covering.dedup();
    Some(covering)
}
