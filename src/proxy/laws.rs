//! What holds of any request: what is valid is read in one way, goes where its route says, and claims no more than it may.
#![expect(clippy::unwrap_used, reason = "who looks for a breach stops at the first")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::sync::{Arc, LazyLock};

use http::header::HOST;
use http::{HeaderName, HeaderValue, Version};
use pingora_http::RequestHeader;

use super::correlation::correlation_id;
use super::describe::{Describe, RequestFacts};
use super::identify::{From, Identify, Who};
use super::pattern::PathPattern;
use super::routes::readers::{lenient, none_finds_another_route, route, table};
use super::settings::{CapabilityChoice, Identity, Route, TrustedHeaders, Workloads};
use super::target;
use super::validate::{Claims, ValidRequest, validate};
use crate::engine::Binding;
use crate::hall::{Scope, Token, TokenBook};
use crate::ids::{DataLabel, Digest, Env, SpiffeId};

/// A head as pingora has it: the request line, and then a header a line. What is no header is left out.
fn head(bytes: &[u8]) -> Option<RequestHeader> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut words = lines.next()?.split(|byte| *byte == b' ');
    let method = str::from_utf8(words.next()?).ok()?;
    let mut request = RequestHeader::build(method, words.next()?, None).ok()?;
    if words.next() == Some(b"HTTP/1.0") {
        request.set_version(Version::HTTP_10);
    }
    for line in lines {
        let Some(at) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(at);
        let value = HeaderValue::from_bytes(value.strip_prefix(b":").unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (str::from_utf8(name), value) {
            let _ = request.append_header(name.to_owned(), value);
        }
    }
    Some(request)
}

/// A name as a CGI program has it.
fn variable(name: &HeaderName) -> String {
    let fold = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.as_str().chars().map(fold).collect()
}

/// The law of admission, of a head.
pub fn admission(bytes: &[u8]) {
    let Some(request) = head(bytes) else { return };
    let valid = match validate(&request) {
        Ok(valid) => valid,
        Err(why) => {
            assert!(!why.is_empty() && why.len() < 600 && !why.contains('\n'), "{why}");
            return;
        }
    };
    one_host(&request, &valid);
    one_path(&valid);
    let mut claims = BTreeSet::new();
    for (name, value) in &request.headers {
        let variable = variable(name);
        if variable.starts_with("WCP_") {
            let once = claims.insert(variable.clone());
            let stamp = ["WCP_ARTIFACT_HASH", "WCP_CODE", "WCP_DECISION_ID", "WCP_RECEIPT"].contains(&&*variable);
            assert!(once || stamp, "{name} twice");
            assert!(
                name.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'),
                "{name} is like another"
            );
        }
        let astray =
            ["X_HTTP_METHOD_OVERRIDE", "X_HTTP_METHOD", "X_METHOD_OVERRIDE", "X_ORIGINAL_URL", "X_REWRITE_URL"];
        assert!(!astray.contains(&&*variable), "{name}");
        match &*variable {
            "CONTENT_LENGTH" => {
                assert_eq!(request.headers.get_all("content-length").iter().count(), 1);
                assert!(value.to_str().is_ok_and(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())));
            }
            "TRANSFER_ENCODING" => assert!(value.as_bytes().eq_ignore_ascii_case(b"chunked")),
            _ => {}
        }
    }
}

/// Who asks for what a host is called gets that host, and there is no second name for it.
fn one_host(request: &RequestHeader, valid: &ValidRequest<'_>) {
    let host = &*valid.host;
    if host.is_empty() {
        assert!(request.version == Version::HTTP_10 && !request.headers.contains_key(HOST), "a host without a name");
        return;
    }
    let v6 = host.parse::<Ipv6Addr>().is_ok();
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_');
    assert!(v6 || host.bytes().all(plain), "{host}");
    let mut again = RequestHeader::build("GET", b"/", None).unwrap();
    again.append_header("host", if v6 { format!("[{host}]") } else { host.to_owned() }).unwrap();
    let again = validate(&again).map(|again| again.host.into_owned());
    assert_eq!(again.as_deref(), Ok(host));
}

/// The canonical path is its own canonical form, and so is every way in which it may go on.
fn one_path(valid: &ValidRequest<'_>) {
    let path = &*valid.target.path;
    assert_eq!(target::canonical(path).as_deref(), Ok(path));
    assert_eq!(valid.target.spelled(&[]), path);
    let spelled = valid.target.spelled(std::slice::from_ref(&(0..path.len())));
    assert_eq!(target::canonical(&spelled).as_deref(), Ok(path));
    assert_eq!(lenient(&spelled), lenient(path));
}

/// The law of paths: the routes' patterns, a line each (`+` before one that accepts encoded slashes; an empty one: all ask for the
/// same), and a request target behind the last line feed.
pub fn paths(bytes: &[u8]) {
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let Some(written) = lines.pop() else { return };
    let mut patterns = Vec::new();
    for line in lines.iter().take(8) {
        let (keeps, line) = line.strip_prefix(b"+").map_or((false, *line), |line| (true, line));
        let Ok(text) = str::from_utf8(line) else { continue };
        if text.parse::<PathPattern>().is_ok() {
            patterns.push((text.to_owned(), keeps));
        }
    }
    none_finds_another_route(&table(&patterns, lines.iter().any(|line| line.is_empty())), written);
}

/// The ways in which callers are identified, each with the only workers that it may name.
static WAYS: LazyLock<Vec<Identify>> = LazyLock::new(|| {
    let id = "spiffe://example.org/ns/default/sa/writer".parse().unwrap();
    let named = ("wrk_listed".parse().unwrap(), "org.listed".parse().unwrap());
    let workloads = Workloads {
        ids: BTreeMap::from([(id, named)]),
        pattern: Some("spiffe://example.org/{tenant_id}/{worker_id}".parse().unwrap()),
    };
    let (worker, tenant) = (HeaderName::from_static("x-worker"), HeaderName::from_static("x-tenant"));
    let peers = vec!["10.0.0.0/8".parse().unwrap()];
    [
        Identity::Fixed { worker_id: "wrk_fixed".parse().unwrap(), tenant_id: "org.fixed".parse().unwrap() },
        Identity::Token,
        Identity::Mtls(workloads),
        Identity::TrustedHeaders(TrustedHeaders { peers, worker, tenant }),
    ]
    .map(Identify::new)
    .into()
});

/// Two tokens: one is bound, one may ask as anyone.
static TOKENS: LazyLock<TokenBook> = LazyLock::new(|| {
    let token = |name: &str, binding| {
        Token::new(
            name.parse().unwrap(),
            vec![Digest::of(format!("hst_{name}").as_bytes())],
            BTreeSet::from([Scope::Route]),
            binding,
        )
    };
    let bound = Binding {
        tenant: Some("org.acme".parse().unwrap()),
        workers: Some(Arc::new(BTreeSet::from(["wrk_acme".parse().unwrap()]))),
        ..Binding::default()
    };
    TokenBook::new(vec![token("bound", bound), token("free", Binding::default())])
});

/// Routes that take their capability from themselves and from the caller.
static ROUTES: LazyLock<[Route; 2]> =
    LazyLock::new(|| {
        let some = ["cap.data.read", "cap.data.write.v1"].map(|name| name.parse().unwrap());
        [CapabilityChoice::Fixed("cap.a".parse().unwrap()), CapabilityChoice::Header(some.into())]
            .map(|capability| Route { capability, data_label: DataLabel::Internal, ..route(None, "/*", &[]) })
    });

/// The law of claims: a head, and before its first line feed the id of the workload that a certificate proved.
pub fn claims(bytes: &[u8]) {
    let (workload, bytes) = bytes.split_at(bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0));
    let workload: Option<SpiffeId> = str::from_utf8(workload).ok().and_then(|id| id.parse().ok());
    let Some(request) = head(bytes.get(1..).unwrap_or_default()) else { return };
    let Ok(ValidRequest { claims, target, .. }) = validate(&request) else { return };
    for identify in &*WAYS {
        for address in [None, Some("10.1.2.3".parse().unwrap()), Some("192.0.2.1".parse().unwrap())] {
            let from = From { address, workload: workload.as_ref() };
            let Ok(who) = identify.who(&claims, &request.headers, from, &TOKENS) else { continue };
            proved(identify, &who, &claims, &request, from);
            for route in &*ROUTES {
                described(route, &who, &claims, &request, &target.path);
            }
        }
    }
}

/// Nobody is who only a claim says, unless a token lets it claim that.
fn proved(identify: &Identify, who: &Who, claims: &Claims<'_>, request: &RequestHeader, from: From<'_>) {
    let binding = &who.caller.binding;
    let bound = |id: &str| binding.workers.as_ref().is_some_and(|workers| workers.len() == 1 && workers.contains(id));
    match identify {
        Identify::Fixed(_) => assert_eq!((who.worker.as_deref(), &*who.tenant), (Some("wrk_fixed"), "org.fixed")),
        Identify::Token => {
            let token = who.caller.token.as_ref().map(ToString::to_string);
            assert_eq!(claims.token, token.map(|name| format!("hst_{name}")).as_deref());
            return;
        }
        Identify::Mtls(_) => {
            let id = from.workload.unwrap().as_str();
            let name = format!("spiffe://example.org/{}/{}", who.tenant, who.worker.as_deref().unwrap_or_default());
            let listed =
                id == "spiffe://example.org/ns/default/sa/writer" && who.worker.as_deref() == Some("wrk_listed");
            assert!(listed || id == name, "{id} is {name}");
        }
        Identify::TrustedHeaders(TrustedHeaders { worker, tenant, .. }) => {
            assert_eq!(from.address, Some("10.1.2.3".parse().unwrap()));
            for (name, id) in [(worker, who.worker.as_deref().unwrap_or_default()), (tenant, &who.tenant)] {
                let spelled = request.headers.iter().filter(|(other, _)| variable(other) == variable(name));
                let values: Vec<&[u8]> = spelled.map(|(_, value)| value.as_bytes()).collect();
                assert_eq!(values, [id.as_bytes()]);
            }
        }
    }
    assert!(who.caller.token.is_none() && bound(who.worker.as_deref().unwrap()));
    assert_eq!(binding.tenant.as_ref().map(|tenant| tenant.as_str()), Some(&*who.tenant));
}

/// What is asked is within what the route lets anyone ask, and the rest is as it was claimed.
fn described(route: &Route, who: &Who, claims: &Claims<'_>, request: &RequestHeader, path: &str) {
    let describe = Describe::new(Env::Prod);
    let id = correlation_id(claims, &request.headers);
    assert!((1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
    let facts = RequestFacts { method: &request.method, host: Arc::from("h"), path };
    let input = match describe.describe(route, who, claims, id, facts) {
        Ok(input) => input,
        Err((_, why)) => {
            assert!(!why.is_empty() && why.len() < 1024, "{why}");
            return;
        }
    };
    match &route.capability {
        CapabilityChoice::Fixed(only) => assert_eq!(&*input.capability_id, only.as_str()),
        CapabilityChoice::Header(some) => {
            assert!(
                some.iter().any(|one| Some(one.as_str()) == claims.capability && one.as_str() == &*input.capability_id)
            );
        }
    }
    assert!(input.data_label >= route.data_label && !input.data_label_defaulted);
    let claimed = claims.data_label.map(|label| label.parse::<DataLabel>().unwrap());
    assert_eq!(input.data_label, claimed.map_or(route.data_label, |label| label.max(route.data_label)));
    assert_eq!((input.env, &input.worker_id, &input.tenant_id), (Env::Prod, &who.worker, &who.tenant));
    assert_eq!(input.dry_run, claims.dry_run == Some("true"));
    let score = claims.blast_score.map(|score| score.parse().unwrap());
    assert_eq!(input.blast_score, score);
}
