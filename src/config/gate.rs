//! The `gate` section: listeners, identity, upstreams and routes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};

use super::problem::nearest;
use super::reader::{Map, Value, Wrong};
use super::{kinds, limits};
use crate::hall::limits::DoorLimits;
use crate::ids::DataLabel;
use crate::proxy::Settings;
use crate::proxy::settings::{CapabilityChoice, Identity, Listen, Route, Upstream};

/// What the section comes to.
#[derive(Debug)]
pub struct Read {
    /// The gate itself.
    pub gate: Settings,
    /// The file of CA certificates for upstreams.
    pub upstream_ca_file: Option<PathBuf>,
    /// What is let in.
    pub limits: DoorLimits,
}

/// Reads the section; `None` when something in it is wrong.
pub fn read(mut gate: Map<'_>) -> Option<Read> {
    let listen = gate.read("listen", "127.0.0.1:8080", listen);
    let listen_h2c = gate.maybe("listen_h2c", kinds::address);
    let env = gate.read("env", "prod", kinds::id);
    let identity = gate
        .need(
            "identity",
            "say who calls: `identity: { mode: fixed, worker_id: …, tenant_id: … }`, or `{ mode: token }`",
        )
        .and_then(|value| identity(value.map()?));
    let upstreams = gate
        .need("upstreams", "name where requests may go: `upstreams: { orders: { url: http://127.0.0.1:9000 } }`")
        .map(|value| Upstreams::read(&value))
        .unwrap_or_default();
    let routes = gate
        .need("routes", "list which request asks for which capability; a request without a route is refused")
        .and_then(|value| routes(&value, &upstreams));
    let dns_servers = gate.list("dns_servers", kinds::dns_server);
    let threads = gate.read("threads", "1", kinds::number(1, 256));
    let header_timeout = gate.read("header_timeout", "10s", kinds::some_time);
    let idle_timeout = gate.read("idle_timeout", "1m", kinds::some_time);
    let upgraded_idle_timeout = gate.read("upgraded_idle_timeout", "1h", kinds::some_time);
    let upstream_ca_file = gate.get("upstream_ca_file").map(|value| value.path());
    let limits = gate.section("limits").and_then(limits::of_gate);
    gate.done(&["tls", "catalogue"]);
    let settings = Settings {
        listen: listen?,
        listen_h2c: listen_h2c?,
        env: env?,
        identity: identity?,
        upstreams: upstreams.sound,
        routes: routes?,
        dns_servers: dns_servers?,
        threads: threads?,
        header_timeout: header_timeout?,
        idle_timeout: idle_timeout?,
        upgraded_idle_timeout: upgraded_idle_timeout?,
    };
    Some(Read { gate: settings, upstream_ca_file: upstream_ca_file.flatten(), limits: limits? })
}

fn listen(text: &str) -> Result<Listen, Wrong> {
    match text.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') => Ok(Listen::Unix(PathBuf::from(path))),
        Some(_) => Err(Wrong::new("is not an absolute path", "write such as `unix:/run/hallgate/gate.sock`")),
        None => match text.strip_prefix("localhost:") {
            Some(port) => kinds::number(0, u16::MAX)(port)
                .map(|port| Listen::Loopback(loopback(port)))
                .map_err(|_| Wrong::new("has no port behind `localhost:`", "write such as `localhost:8080`")),
            None => kinds::address(text).map(Listen::Tcp),
        },
    }
}

fn loopback(port: u16) -> Vec<SocketAddr> {
    let addresses: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    addresses.map(|address| SocketAddr::new(address, port)).to_vec()
}

#[derive(Clone, Copy)]
enum IdentityMode {
    Fixed,
    Token,
}

fn identity_mode(text: &str) -> Result<IdentityMode, Wrong> {
    if matches!(text, "mtls" | "trusted_headers") {
        return Err(Wrong::new("is not available yet in this version", "use `fixed` or `token`"));
    }
    kinds::word(&[("fixed", IdentityMode::Fixed), ("token", IdentityMode::Token)])(text)
}

fn identity(mut map: Map<'_>) -> Option<Identity> {
    let mode = map.need("mode", "write `mode: fixed` for a sidecar of one worker, or `mode: token`");
    let mode = mode.and_then(|value| value.read(identity_mode));
    let identity = match mode {
        Some(IdentityMode::Fixed) => {
            let worker = map.need("worker_id", "name the enrolled worker that this gate is the sidecar of");
            let tenant = map.need("tenant_id", "name the worker's tenant, such as `org.acme`");
            let worker_id = worker.and_then(|value| value.read(kinds::id));
            let tenant_id = tenant.and_then(|value| value.read(kinds::id));
            worker_id.zip(tenant_id).map(|(worker_id, tenant_id)| Identity::Fixed { worker_id, tenant_id })
        }
        Some(IdentityMode::Token) => {
            for key in ["worker_id", "tenant_id"] {
                if let Some(value) = map.get(key) {
                    value.wrong(
                        "belongs to `mode: fixed`",
                        "remove it: the token is bound to its workers in `hall.tokens`",
                    );
                }
            }
            Some(Identity::Token)
        }
        // What else the mapping holds depends on the mode.
        None => return None,
    };
    map.done(&[]);
    identity
}

/// The upstreams that are sound, and the names of all.
#[derive(Default)]
struct Upstreams {
    sound: BTreeMap<String, Arc<Upstream>>,
    named: BTreeSet<String>,
}

impl Upstreams {
    fn read(value: &Value<'_>) -> Self {
        let mut upstreams = Self::default();
        for (name, entry) in value.entries().unwrap_or_default() {
            let upstream = upstream(&name.text, &entry);
            if let Some(upstream) = upstream {
                upstreams.sound.insert(name.text.clone(), Arc::new(upstream));
            }
            upstreams.named.insert(name.text);
        }
        upstreams
    }

    /// The upstream of this name; an error only when no upstream is called so.
    fn find(&self, name: &str) -> Result<Option<Arc<Upstream>>, Wrong> {
        if self.named.contains(name) {
            return Ok(self.sound.get(name).cloned());
        }
        let names = self.named.iter().map(String::as_str);
        let help = match nearest(name, names.clone()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("name one of `gate.upstreams`: {}", names.collect::<Vec<_>>().join(", ")),
        };
        Err(Wrong::new("is not the name of an upstream", help))
    }
}

fn upstream(name: &str, value: &Value<'_>) -> Option<Upstream> {
    let mut map = value.map()?;
    let url = map.need("url", "write its base URL, such as `https://api.openai.com`").and_then(|v| v.read(url));
    let headers = map.get("headers").map_or_else(|| Some(Vec::new()), |value| headers(&value));
    let h2 = map.read("http2", "false", kinds::flag);
    let connect_timeout = map.read("connect_timeout", "5s", kinds::some_time);
    let read_timeout = map.read("read_timeout", "5m", kinds::some_time);
    map.done(&["tls", "ca_file"]);
    let Url { tls, host, port, base_path } = url?;
    Some(Upstream {
        name: Arc::from(name),
        tls,
        h2: h2?,
        host,
        port,
        base_path,
        headers: headers?,
        connect_timeout: connect_timeout?,
        read_timeout: read_timeout?,
    })
}

struct Url {
    tls: bool,
    host: String,
    port: u16,
    base_path: String,
}

fn url(text: &str) -> Result<Url, Wrong> {
    let wrong = |is: &str| Wrong::new(is, "write scheme, host, port and path only, such as `https://api.openai.com`");
    let uri: http::Uri = text.parse().map_err(|_| wrong("is not a URL"))?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(wrong("is not a URL that begins with `http://` or `https://`")),
    };
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(Wrong::new("has a credential in it", "move it to `headers`, as `authorization`"));
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
        kinds::path_pattern(&base_path)?;
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
            && headers.iter().flatten().any(|(earlier, _)| earlier == header)
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
        let before = read.iter().take(later).position(|earlier| earlier.as_ref().is_some_and(|e| covers(e, route)));
        if let Some(earlier) = before {
            let message = format!("is never reached: route {earlier} matches all that it matches");
            item.wrong(message, "move it up, or remove it");
        }
    }
    read.into_iter().collect()
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
    map.done(&[]);
    let (host, path, methods) = matched?;
    Some(Route { host, path, methods, capability: capability?, data_label: data_label?, upstream: upstream?? })
}

fn matching(mut map: Map<'_>) -> Option<(Option<String>, String, Vec<Method>)> {
    let host = map.maybe("host", kinds::host);
    let path = map.need("path", "write `path: /*` for every path").and_then(|value| value.read(kinds::path_pattern));
    let methods = map.list("methods", kinds::method);
    map.done(&[]);
    Some((host?, path?, methods?))
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

/// Whether every request that `later` matches is matched by `earlier`.
fn covers(earlier: &Route, later: &Route) -> bool {
    let path = match earlier.path.strip_suffix("/*") {
        Some(above) => later.path.strip_prefix(above).is_some_and(|below| below.starts_with('/')),
        None => earlier.path == later.path,
    };
    let methods = earlier.methods.is_empty()
        || (!later.methods.is_empty() && later.methods.iter().all(|method| earlier.methods.contains(method)));
    path && methods && (earlier.host.is_none() || earlier.host == later.host)
}
