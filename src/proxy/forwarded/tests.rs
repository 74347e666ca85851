//! What an upstream is told, by each of its words.

use super::*;
use crate::proxy::routes::readers;
use crate::proxy::settings::TrustedNetworks;

type Headers<'a> = &'a [(&'static str, &'a str)];

const FORGED: Headers<'_> = &[
    ("x-forwarded-for", "6.6.6.6"),
    ("x-forwarded-for", "7.7.7.7"),
    ("X_Forwarded_For", "6.6.6.6"),
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-prefix", "/admin"),
    ("x.forwarded.port", "1"),
    ("x-forwarded-user", "root"),
    ("forwarded", "for=6.6.6.6;host=evil.example"),
    ("x-real-ip", "6.6.6.6"),
    ("x_real_ip", "6.6.6.6"),
    ("true-client-ip", "6.6.6.6"),
    ("via", "1.1 evil"),
];

fn upstream(forwarding: Forwarding, keeps_host: bool) -> Upstream {
    Upstream { forwarding, keeps_host, ..Upstream::clone(&readers::upstream()) }
}

fn appending(networks: &[&str]) -> Upstream {
    upstream(
        Forwarding::Append(networks.iter().map(|network| network.parse::<TrustedNetworks>().unwrap()).collect()),
        false,
    )
}

/// What is left of these headers and told besides.
fn told(upstream: &Upstream, peer: Option<&str>, headers: Headers<'_>) -> Vec<String> {
    let mut request = RequestHeader::build("GET", b"/", None).unwrap();
    let peer = peer.map(|peer| peer.parse::<IpAddr>().unwrap().to_canonical());
    let seen = CallerView { peer, host: Some("shop.example:8080".to_owned()), scheme: "http" };
    let believed = seen.is_believed(upstream);
    for (name, value) in headers {
        if !is_stripped(&name.parse().unwrap(), believed) {
            request.append_header(*name, *value).unwrap();
        }
    }
    seen.tell(upstream, &mut request).unwrap();
    let mut told: Vec<_> =
        request.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    told.sort();
    told
}

/// What is told where nothing is believed.
fn ours(peer: &str, element: &str) -> Vec<String> {
    [
        format!("forwarded: {element}"),
        format!("x-forwarded-for: {peer}"),
        "x-forwarded-host: shop.example:8080".to_owned(),
        "x-forwarded-proto: http".to_owned(),
    ]
    .into()
}

#[test]
fn an_upstream_is_told_nothing_unless_it_asks() {
    assert_eq!(told(&upstream(Forwarding::Drop, false), Some("10.0.0.1"), FORGED), [""; 0]);
    assert_eq!(told(&upstream(Forwarding::Drop, true), Some("10.0.0.1"), FORGED), ["host: shop.example:8080"]);
}

#[test]
fn it_is_told_what_we_see() {
    let set = upstream(Forwarding::Set, false);
    let element = "for=10.0.0.1;host=\"shop.example:8080\";proto=http";
    assert_eq!(told(&set, Some("10.0.0.1"), FORGED), ours("10.0.0.1", element));
    assert_eq!(told(&set, Some("::ffff:10.0.0.1"), &[]), ours("10.0.0.1", element));
    let element = "for=\"[fd00::1]\";host=\"shop.example:8080\";proto=http";
    assert_eq!(told(&set, Some("fd00::1"), FORGED), ours("fd00::1", element));
    // A Unix socket has no address.
    let mut unix = ours("", "host=\"shop.example:8080\";proto=http");
    unix.remove(1);
    assert_eq!(told(&set, None, FORGED), unix);
}

#[test]
fn what_a_listed_proxy_says_is_gone_on_with() {
    let append = appending(&["10.0.0.0/8"]);
    let element = "for=10.0.0.1;host=\"shop.example:8080\";proto=http";
    let by = |peer, headers| told(&append, Some(peer), headers);
    // Anybody else's is not.
    assert_eq!(by("192.0.2.1", FORGED), ours("192.0.2.1", &element.replace("10.0.0.1", "192.0.2.1")));
    // The languages that the proxy speaks, and in its own spelling alone.
    assert_eq!(
        by("10.0.0.1", FORGED),
        [
            "forwarded: for=6.6.6.6;host=evil.example, for=10.0.0.1;host=\"shop.example:8080\";proto=http",
            "via: 1.1 evil",
            "x-forwarded-for: 6.6.6.6, 7.7.7.7, 10.0.0.1",
            "x-forwarded-host: evil.example",
            "x-forwarded-prefix: /admin",
            "x-forwarded-proto: https",
            "x-real-ip: 6.6.6.6",
        ]
    );
    assert_eq!(
        by("10.0.0.1", &[("x-forwarded-for", "203.0.113.9")]),
        ["x-forwarded-for: 203.0.113.9, 10.0.0.1", "x-forwarded-host: shop.example:8080", "x-forwarded-proto: http"]
    );
    let https = [("forwarded", "for=203.0.113.9;proto=https")];
    assert_eq!(by("10.0.0.1", &https), [format!("forwarded: for=203.0.113.9;proto=https, {element}")]);
    assert_eq!(by("10.0.0.1", &[]), ours("10.0.0.1", element));
    let unix = appending(&["unix"]);
    assert_eq!(told(&unix, None, &[("x-forwarded-for", "203.0.113.9")])[0], "x-forwarded-for: 203.0.113.9");
}

#[test]
fn the_host_is_the_one_that_was_matched() {
    let asked = |host: &str| {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        request.insert_header("host", host).unwrap();
        asked_host(&request)
    };
    for (host, is) in [
        ("Shop.Example", "shop.example"),
        ("shop.example.:8080", "shop.example:8080"),
        ("shop.example.", "shop.example"),
        ("[::1]:80", "[::1]:80"),
        ("[::1]", "[::1]"),
    ] {
        assert_eq!(asked(host).as_deref(), Some(is));
    }
    assert_eq!(asked_host(&RequestHeader::build("GET", b"/", None).unwrap()), None);
    assert_eq!(asked(""), None);
}
