//! The first match counts, and no reader of what is forwarded finds another.

use percent_encoding::percent_decode_str;
use proptest::prelude::*;

use super::readers::{route, upstream};
use super::*;
use crate::proxy::target;

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
        readers::none_finds_another_route(&readers::table(&table, same), written.as_bytes());
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
