//! What an app learns of its caller's connection: nothing, unless it asks; and then what the gate sees, whatever a caller invents.

use bytes::Bytes;
use hallgate::proxy::settings::{Forwarding, Upstream as Settings};
use http::Request;
use http_body_util::Full;

use crate::fixture::{self, Fixture, at, fixed};
use crate::http2;
use crate::upstream::Upstream;
use crate::wire::{Message, ask};

const INVENTED: &str = "X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX.Forwarded.Host: evil\r\nX-Forwarded-Prefix: /evil\r\n\
    Forwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nVia: 1.1 evil\r\nTrue-Client-IP: 6.6.6.6\r\n";

/// What an upstream gets of a request that invents what it can.
async fn got(change: impl Fn(&mut Settings)) -> Message {
    let upstream = Upstream::ok().await;
    let mut to = at(upstream.address);
    change(&mut to);
    let fixture = Fixture::start(fixture::settings(fixed(), to)).await;
    let request = format!("GET /public/a HTTP/1.1\r\nHost: Shop.Example:8080\r\n{INVENTED}\r\n");
    assert_eq!(ask(fixture.gate, request).await.status(), 200);
    upstream.only()
}

fn told<'a>(got: &'a Message, names: &[&str]) -> Vec<Option<&'a str>> {
    names.iter().map(|name| got.header(name)).collect()
}

const TOLD: [&str; 4] = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "forwarded"];

#[tokio::test]
async fn nothing_that_a_caller_invents_arrives() {
    let dropped = got(|_| {}).await;
    assert_eq!(told(&dropped, &TOLD), [None; 4]);
    assert!(dropped.header("host").unwrap().starts_with("127.0.0.1:"));

    let set = got(|to| to.forwarding = Forwarding::Set).await;
    let element = "for=127.0.0.1;host=\"shop.example:8080\";proto=http";
    let seen = [Some("127.0.0.1"), Some("shop.example:8080"), Some("http"), Some(element)];
    assert_eq!(told(&set, &TOLD), seen);

    let strangers = Forwarding::Append(vec!["10.0.0.0/8".parse().unwrap()]);
    let appended = got(|to| to.forwarding = strangers.clone()).await;
    assert_eq!(told(&appended, &TOLD), seen);
    for got in [dropped, set, appended] {
        let text = format!("{got:?}").to_lowercase();
        assert!(!text.contains("evil") && !text.contains("6.6.6.6"), "{text}");
    }
}

#[tokio::test]
async fn what_a_listed_proxy_says_arrives_with_what_the_gate_sees() {
    let proxies = Forwarding::Append(vec!["127.0.0.0/8".parse().unwrap()]);
    let got = got(|to| to.forwarding = proxies.clone()).await;
    assert_eq!(got.header("x-forwarded-for"), Some("6.6.6.6, 127.0.0.1"));
    assert_eq!(got.header("forwarded"), Some("for=6.6.6.6, for=127.0.0.1;host=\"shop.example:8080\";proto=http"));
    assert_eq!(
        told(&got, &["x-forwarded-prefix", "x-real-ip", "via"]),
        [Some("/evil"), Some("6.6.6.6"), Some("1.1 evil")]
    );
    // In other spellings than its own nobody says anything.
    assert_eq!(told(&got, &["x_forwarded_for", "x.forwarded.host", "true-client-ip"]), [None; 3]);
}

#[tokio::test]
async fn an_app_may_get_the_host_that_its_caller_asks_for() {
    let kept = got(|to| to.keeps_host = true).await;
    assert_eq!(told(&kept, &["host", "x-forwarded-host"]), [Some("shop.example:8080"), None]);

    // By HTTP/2 at both sides.
    let upstream = Upstream::ok().await;
    let mut to = at(upstream.address);
    to.keeps_host = true;
    to.forwarding = Forwarding::Set;
    let fixture = Fixture::start(fixture::settings(fixed(), to)).await;
    let mut sender = http2::connect(fixture.h2c).await;
    let request = Request::get("http://Shop.Example./public/a").body(Full::<Bytes>::from("")).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    let got = upstream.only();
    assert_eq!(told(&got, &["host", "x-forwarded-host"]), [Some("shop.example"); 2]);

    let (address, got) = http2::http2_upstream().await;
    let mut to = at(address);
    (to.h2, to.keeps_host) = (true, true);
    let fixture = Fixture::start(fixture::settings(fixed(), to)).await;
    let request = "GET /public/a HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    assert_eq!(ask(fixture.gate, request).await.status(), 200);
    assert_eq!(got.lock().unwrap()[0].1, "http://shop.example/public/a");
}
