//! Models of upstreams: what each might make of the path that it gets. For the laws that no test and no fuzzer may break.
#![expect(clippy::unwrap_used, reason = "who looks for a breach stops at the first")]

use std::time::Duration;

use super::*;
use crate::ids::DataLabel;
use crate::proxy::settings::{CapabilityChoice, Forwarding, HoldWait};
use crate::proxy::target;

/// An upstream that nobody else is.
pub fn upstream() -> Arc<Upstream> {
    Arc::new(Upstream {
        name: "u".into(),
        tls: false,
        authorities: None,
        h2: false,
        host: "127.0.0.1".to_owned(),
        port: 1,
        base_path: String::new(),
        headers: Vec::new(),
        strip_headers: Vec::new(),
        strip_query: Vec::new(),
        forwarding: Forwarding::Drop,
        keeps_host: false,
        told_all: false,
        connect_timeout: Duration::from_secs(1),
        read_timeout: Duration::from_secs(1),
        idle_timeout: Duration::from_secs(1),
    })
}

/// A route that is for any data.
pub fn route(host: Option<&str>, path: &str, methods: &[Method]) -> Route {
    Route {
        host: host.map(str::to_owned),
        path: path.parse().unwrap(),
        keeps_encoded_slash: false,
        methods: methods.to_vec(),
        capability: CapabilityChoice::Fixed("cap.a".parse().unwrap()),
        data_label: DataLabel::Public,
        upstream: upstream(),
        observed_until: None,
        hold: HoldWait::default(),
    }
}

/// A table of these patterns, each with its word on encoded slashes; `same`: all ask for the same at one upstream.
pub fn table(patterns: &[(String, bool)], same: bool) -> Routes<()> {
    let one = upstream();
    let routes = patterns.iter().map(|(path, keeps)| Route {
        keeps_encoded_slash: *keeps,
        upstream: if same { Arc::clone(&one) } else { upstream() },
        ..route(None, path, &[])
    });
    Routes::new(routes.collect(), |_| Ok(())).unwrap()
}

/// What a segment is to a reader.
type Reading = Vec<Vec<u8>>;

type Reader = fn(&str) -> Reading;

/// How upstreams read the path that they get.
const READERS: [(&str, Reader); 7] = [
    ("never decodes", |path| apart(path.as_bytes())),
    ("never decodes, and takes hex digits of either case for the same", |path| apart(upper_hex(path).as_bytes())),
    ("decodes once", |path| apart(&decoded(path.as_bytes()))),
    ("decodes once, and then takes hex digits of either case for the same", |path| {
        apart(upper_hex(&String::from_utf8_lossy(&decoded(path.as_bytes()))).as_bytes())
    }),
    ("decodes until nothing changes", |path| apart(&decoded_whole(path.as_bytes()))),
    ("takes apart, then decodes once", |path| apart(path.as_bytes()).iter().map(|segment| decoded(segment)).collect()),
    ("takes apart, then decodes until nothing changes", |path| {
        apart(path.as_bytes()).iter().map(|segment| decoded_whole(segment)).collect()
    }),
];

/// Segments as the most lenient reader has them: folded, parameters cut, dots resolved.
fn apart(path: &[u8]) -> Reading {
    let mut segments = Reading::new();
    for segment in path.split(|byte| matches!(byte, b'/' | b'\\')) {
        let segment = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            segment => segments.push(segment.to_vec()),
        }
    }
    segments
}

fn decoded(path: &[u8]) -> Vec<u8> {
    percent_encoding::percent_decode(path).collect()
}

fn decoded_whole(path: &[u8]) -> Vec<u8> {
    let once = decoded(path);
    if once == path { once } else { decoded_whole(&once) }
}

fn upper_hex(path: &str) -> String {
    let mut upper = String::new();
    let mut escape = 0;
    for c in path.chars() {
        escape = if c == '%' { 2 } else { escape };
        let digit = c != '%' && escape > 0;
        upper.push(if digit { c.to_ascii_uppercase() } else { c });
        escape -= u8::from(digit);
    }
    upper
}

/// Whether a route is for what a reader reads: the words of its pattern, without any code of [`PathPattern`].
///
/// [`PathPattern`]: crate::proxy::pattern::PathPattern
fn is_for(pattern: &str, read: &Reading) -> bool {
    let (words, below) = pattern.strip_suffix("/*").map_or((pattern, false), |words| (words, true));
    let words: Vec<&str> = words.split('/').filter(|word| !word.is_empty()).collect();
    let fits = |(word, segment): (&&str, &Vec<u8>)| match word.strip_prefix('*') {
        Some(end) => segment.len() > end.len() && segment.ends_with(end.as_bytes()),
        None => segment == word.as_bytes(),
    };
    (if below { words.len() <= read.len() } else { words.len() == read.len() }) && words.iter().zip(read).all(fits)
}

/// What the most lenient upstream might make of a path: decoded until nothing changes, folded, parameters cut, resolved.
pub fn lenient(path: &str) -> String {
    let mut bytes = path.as_bytes().to_vec();
    loop {
        let again: Vec<u8> = percent_encoding::percent_decode(&bytes).collect();
        if again == bytes {
            break;
        }
        bytes = again;
    }
    let text = String::from_utf8_lossy(&bytes).replace('\\', "/");
    let mut resolved: Vec<&str> = Vec::new();
    for segment in text.split('/').map(|segment| segment.split(';').next().unwrap_or("")) {
        match segment {
            "" | "." => {}
            ".." => drop(resolved.pop()),
            segment => resolved.push(segment),
        }
    }
    format!("/{}", resolved.join("/"))
}

/// The heart of it: whatever a reader makes of the path that goes on, it is none that another route would have matched. An encoded
/// `/` goes on only where a route accepts it, and even a reader that takes it for a `/` finds there what asks for the same, or nothing.
pub fn none_finds_another_route(routes: &Routes<()>, written: &[u8]) {
    let path = written.split(|byte| *byte == b'?').next().unwrap_or_default();
    let Ok(target) = target::read(written) else { return };
    let Ok(way) = routes.find("h", &target, &Method::GET) else { return };
    let forwarded = target.spelled(&way.route.path.covered(&target.path));

    // It is what was asked for: to who decodes, and, where it was sent so and a `*` covers it, to the letter.
    assert_eq!(decoded(forwarded.as_bytes()), decoded(path));
    assert_eq!(target::canonical(&forwarded).unwrap(), &*target.path);
    if target.path.as_bytes() == path {
        assert_eq!(forwarded.as_bytes(), path);
    }
    for (reader, read) in READERS {
        let read = read(&forwarded);
        let first = routes.ways.iter().find(|other| is_for(other.route.path.as_str(), &read));
        let opens = target.has_encoded_slash() && reader.starts_with("decodes");
        match first {
            Some(first) => assert!(
                first.route.path == way.route.path || (opens && first.route.asks_the_same(&way.route)),
                "who {} finds {} in {}, which is for {}",
                reader,
                first.route.path,
                forwarded,
                way.route.path
            ),
            None => assert!(opens, "who {} finds nothing in {}, which is for {}", reader, forwarded, way.route.path),
        }
    }
}
