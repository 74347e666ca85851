//! The first match counts, and no reader of what is forwarded finds another.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use proptest::prelude::*;

use super::*;
use crate::ids::DataLabel;
use crate::proxy::settings::{CapabilityChoice, Forwarding};
use crate::proxy::target;

fn upstream() -> Arc<Upstream> {
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
        connect_timeout: Duration::from_secs(1),
        read_timeout: Duration::from_secs(1),
        idle_timeout: Duration::from_secs(1),
    })
}

fn route(host: Option<&str>, path: &str, methods: &[Method]) -> Route {
    Route {
        host: host.map(str::to_owned),
        path: path.parse().unwrap(),
        keeps_encoded_slash: false,
        methods: methods.to_vec(),
        capability: CapabilityChoice::Fixed("cap.a".parse().unwrap()),
        data_label: DataLabel::Public,
        upstream: upstream(),
    }
}

fn found(routes: &Routes<()>, host: &str, path: &str, method: &Method) -> Result<String, NoWay> {
    let target = target::read(path.as_bytes()).unwrap();
    routes.find(host, &target, method).map(|way| way.route.path.to_string())
}

#[test]
fn the_first_match_counts() {
    let routes = Routes::new(
        vec![
            route(Some("a.example"), "/*", &[]),
            route(None, "/admin", &[Method::GET]),
            route(None, "/orders/*/items", &[]),
            route(None, "/orders/*:cancel", &[]),
            route(None, "/orders/*", &[Method::GET, Method::POST]),
            route(None, "/orders/*", &[]),
            route(None, "/", &[]),
        ],
        |_| Ok(()),
    )
    .unwrap();
    let find = |host, path, method| found(&routes, host, path, &method).ok();
    assert_eq!(find("a.example", "/x/y", Method::PUT).as_deref(), Some("/*"));
    for path in ["/admin", "/admin/"] {
        assert_eq!(find("b", path, Method::GET).as_deref(), Some("/admin"));
        assert_eq!(find("b", path, Method::POST), None);
    }
    for path in ["/orders", "/orders/", "/orders/7", "/orders/7/items/9", "/orders/:cancel"] {
        assert_eq!(find("b", path, Method::DELETE).as_deref(), Some("/orders/*"));
    }
    assert_eq!(find("b", "/orders/7/items", Method::PUT).as_deref(), Some("/orders/*/items"));
    assert_eq!(find("b", "/orders/7%3Acancel", Method::PUT).as_deref(), Some("/orders/*:cancel"));
    for path in ["/ordersx", "/admin/x", "/x", "/Admin"] {
        assert_eq!(find("b", path, Method::GET), None, "{path}");
    }
    assert_eq!(find("b", "/", Method::GET).as_deref(), Some("/"));
}

#[test]
fn an_encoded_slash_is_where_a_route_accepts_it() {
    let keeping = |path: &str| Route { keeps_encoded_slash: true, ..route(None, path, &[]) };
    let one = upstream();
    let same = |path: &str| Route { upstream: Arc::clone(&one), ..keeping(path) };
    let table = vec![
        route(None, "/models/*/admin", &[]),
        same("/models/*/invoke"),
        keeping("/packages/*/latest"),
        same("/models/*"),
        route(None, "/plain/*", &[]),
    ];
    let routes = Routes::new(table, |_| Ok(())).unwrap();
    let find = |path| found(&routes, "h", path, &Method::GET);
    assert_eq!(find("/models/a%2fb").as_deref(), Ok("/models/*"));
    // To a reader that takes it for a `/` this is another route, which asks for the same.
    assert_eq!(find("/models/a%2Fb/invoke").as_deref(), Ok("/models/*/invoke"));
    // And this is none.
    assert_eq!(find("/packages/@a%2Fb/latest").as_deref(), Ok("/packages/*/latest"));
    for path in ["/plain/a%2Fb", "/nowhere/a%2Fb", "/models%2Fa", "/models/a%2Fadmin", "/models/a/b%2Fc/admin%2Fd"] {
        let refused = matches!(find(path), Err(NoWay::Ambiguous(_)));
        assert_eq!(refused, path != "/models/a/b%2Fc/admin%2Fd", "{path}: {:?}", find(path));
    }
    assert_eq!(find("/nowhere/a"), Err(NoWay::NoRoute));
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

fn any_route() -> impl Strategy<Value = (String, bool)> {
    let words = prop::sample::select(vec!["a", "b", "a:b", "admin", "x@y", "*", "*", "*:a", "*:b", "*-3A", "*.b"]);
    let words = prop::collection::vec(words, 0..4).prop_map(|words| format!("/{}", words.join("/")));
    (words, any::<bool>())
}

/// Spellings of what routes are made of, and of what leads astray.
fn any_path() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "/",
        "/",
        "/",
        "/",
        "a",
        "b",
        "admin",
        "%61dmin",
        "%41",
        ":",
        "%3A",
        "%3a",
        ":b",
        "%3ab",
        "%3Ab",
        "-3A",
        "%2D3A",
        "@",
        "%40",
        "x",
        "%2F",
        "%2f",
        "%252f",
        "%25",
        "2e",
        "..",
        "%2e%2e",
        ".",
        "%2E",
        "%2eb",
        ";",
        "%3b",
        "%5c",
        "%e2%82%ac",
        "%E2%82%AC",
        "%c3%a9",
        "%20",
        "%2b",
        "%2B",
        "+",
        "%00",
        "%c0%af",
        "!",
        "%21",
        "*",
        "%2a",
        "//",
    ]);
    prop::collection::vec(pieces, 0..9).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]
    /// The heart of it: whatever a reader makes of the path that goes on, it is none that another route would have matched. An
    /// encoded `/` goes on only where a route accepts it, and even a reader that takes it for a `/` finds there what asks for the same,
    /// or nothing.
    #[test]
    fn no_reader_reads_a_path_of_another_route(
        table in prop::collection::vec(any_route(), 1..6), same in any::<bool>(), written in any_path()
    ) {
        let one = upstream();
        let routes = table.iter().map(|(path, keeps)| Route {
            keeps_encoded_slash: *keeps,
            upstream: if same { Arc::clone(&one) } else { upstream() },
            ..route(None, path, &[])
        });
        let routes = Routes::new(routes.collect(), |_| Ok(())).unwrap();
        let Ok(target) = target::read(written.as_bytes()) else { return Ok(()) };
        let Ok(way) = routes.find("h", &target, &Method::GET) else { return Ok(()) };
        let forwarded = target.spelled(&way.route.path.covered(&target.path));

        // It is what was asked for: to who decodes, and, where it was sent so and a `*` covers it, to the letter.
        prop_assert_eq!(decoded(forwarded.as_bytes()), decoded(written.as_bytes()));
        prop_assert_eq!(target::canonical(&forwarded).unwrap(), &*target.path);
        if *target.path == *written {
            prop_assert_eq!(&forwarded, &written);
        }
        for (reader, read) in READERS {
            let read = read(&forwarded);
            let first = routes.ways.iter().find(|other| is_for(other.route.path.as_str(), &read));
            let opens = target.has_encoded_slash() && reader.starts_with("decodes");
            match first {
                Some(first) => prop_assert!(
                    first.route.path == way.route.path || (opens && first.route.asks_the_same(&way.route)),
                    "who {} finds {} in {}, which is for {}", reader, first.route.path, forwarded, way.route.path
                ),
                None => prop_assert!(opens, "who {} finds nothing in {}, which is for {}", reader, forwarded, way.route.path),
            }
        }
    }
}

#[test]
fn what_a_star_covers_arrives_as_it_was_sent() {
    let routes = Routes::new(
        vec![
            route(None, "/deployments/*/chat:run", &[]),
            route(None, "/models/*:generate", &[]),
            Route { keeps_encoded_slash: true, ..route(None, "/arn/*", &[]) },
        ],
        |_| Ok(()),
    )
    .unwrap();
    for (written, forwarded) in [
        ("/deployments/gpt%3a4%2d%c3%a9/chat%3Arun", "/deployments/gpt%3a4-%c3%a9/chat:run"),
        ("/deployments/%40x/%63hat:run/", "/deployments/%40x/chat:run/"),
        ("/models/a%3Ab%3Agenerate", "/models/a%3Ab:generate"),
        ("/arn/arn%3Aaws%3Abedrock%3a%3Amodel%2fx/invoke%21", "/arn/arn%3Aaws%3Abedrock%3a%3Amodel%2fx/invoke%21"),
    ] {
        let target = target::read(written.as_bytes()).unwrap();
        let way = routes.find("h", &target, &Method::GET).unwrap();
        assert_eq!(target.spelled(&way.route.path.covered(&target.path)), forwarded);
        assert_eq!(percent_decode_str(forwarded).decode_utf8(), percent_decode_str(written).decode_utf8());
    }
}
