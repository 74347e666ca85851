//! Upstream names: looked up, looked up again when they change, and more than one address tried.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;

use crate::fixture::{self, Fixture, fixed};
use crate::upstream::Upstream;
use crate::wire::{Message, PATIENCE, ask, get};

/// A DNS server that answers every question for A and AAAA with the addresses that it holds, good for no time at all.
#[derive(Clone)]
struct Dns {
    address: SocketAddr,
    holds: Arc<Mutex<Vec<IpAddr>>>,
    silent: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Dns {
    async fn start(holds: &[&str]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let dns = Self { address, holds: Arc::default(), silent: Arc::default(), asked: Arc::default() };
        dns.now_holds(holds);
        let server = dns.clone();
        tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query).await {
                server.asked.fetch_add(1, Ordering::Relaxed);
                if !server.silent.load(Ordering::Relaxed) {
                    let answer = answer(&query[..length], &server.holds.lock().unwrap());
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        });
        dns
    }

    fn now_holds(&self, holds: &[&str]) {
        *self.holds.lock().unwrap() = holds.iter().map(|ip| ip.parse().unwrap()).collect();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// RFC 1035: the query's id and question, and a record for each address of the kind that is asked for.
fn answer(query: &[u8], all: &[IpAddr]) -> Vec<u8> {
    let name = query[12..].iter().position(|byte| *byte == 0).unwrap() + 13;
    let question = &query[12..name + 4];
    let ipv4 = query[name..name + 2] == [0, 1];
    let holds: Vec<&IpAddr> = all.iter().filter(|ip| ip.is_ipv4() == ipv4).collect();
    // Nothing held at all: there is no such name (3).
    let code = u8::from(all.is_empty()) * 3;
    let mut answer =
        vec![query[0], query[1], 0x81, 0x80 | code, 0, 1, 0, u8::try_from(holds.len()).unwrap(), 0, 0, 0, 0];
    answer.extend(question);
    for address in holds {
        let (kind, octets) = match address {
            IpAddr::V4(ip) => (1, ip.octets().to_vec()),
            IpAddr::V6(ip) => (28, ip.octets().to_vec()),
        };
        answer.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 0, 0, u8::try_from(octets.len()).unwrap()]);
        answer.extend(octets);
    }
    answer
}

/// Two upstreams that say who they are, on one port of two addresses.
async fn two() -> (u16, [Upstream; 2]) {
    let one = Upstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\none").await;
    let port = one.address.port();
    let other = SocketAddr::new(Ipv4Addr::new(127, 0, 0, 2).into(), port);
    let two =
        Upstream::answering_at(other, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\ntwo").await;
    (port, [one, two])
}

async fn fixture(dns: &Dns, port: u16) -> Fixture {
    let mut settings = fixture::settings(fixed(), fixture::upstream("upstream.example", port));
    settings.dns_servers = vec![dns.address];
    Fixture::start(settings).await
}

/// Asks until the answer is this one. What is known is used while it is looked up again.
async fn until(fixture: &Fixture, done: impl Fn(&Message) -> bool) {
    let began = Instant::now();
    loop {
        let answer = ask(fixture.gate, get("/public/a", "")).await;
        if done(&answer) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_name_is_looked_up_again_when_it_changes() {
    let (port, _upstreams) = two().await;
    let dns = Dns::start(&["127.0.0.1"]).await;
    let fixture = fixture(&dns, port).await;
    assert_eq!(ask(fixture.gate, get("/public/a", "")).await.body, b"one");
    dns.now_holds(&["127.0.0.2"]);
    until(&fixture, |answer| answer.body == b"two").await;
    dns.now_holds(&[]);
    until(&fixture, |answer| answer.status() == 502).await;
    dns.now_holds(&["127.0.0.1"]);
    until(&fixture, |answer| answer.body == b"one").await;
}

#[tokio::test]
async fn no_request_waits_for_the_dns_where_something_is_known() {
    let (port, _upstreams) = two().await;
    let dns = Dns::start(&["127.0.0.1"]).await;
    let fixture = fixture(&dns, port).await;
    assert_eq!(ask(fixture.gate, get("/public/a", "")).await.body, b"one");
    // Its answer is good for a second; then the DNS is asked, and says nothing for longer than a request may take.
    dns.silent.store(true, Ordering::Relaxed);
    let before = dns.asked();
    while dns.asked() == before {
        let began = Instant::now();
        assert_eq!(ask(fixture.gate, get("/public/a", "")).await.body, b"one");
        assert!(began.elapsed() < Duration::from_millis(1500), "a request waited {:?}", began.elapsed());
    }
    for _ in 0..20 {
        assert_eq!(ask(fixture.gate, get("/public/a", "")).await.body, b"one");
    }
}

#[tokio::test]
async fn that_there_is_no_address_is_remembered() {
    let dns = Dns::start(&[]).await;
    let fixture = fixture(&dns, 1).await;
    let began = Instant::now();
    for _ in 0..200 {
        assert_eq!(ask(fixture.gate, get("/public/a", "")).await.status(), 502);
    }
    // Both kinds are asked for once a second, and not for each request.
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    assert!(dns.asked() <= seconds * 4, "{} questions in {seconds} s", dns.asked());
}

#[tokio::test]
async fn the_family_that_works_is_found() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nsix";
    let upstream = Upstream::answering_at("[::1]:0".parse().unwrap(), answer).await;
    let port = upstream.address.port();
    // Nobody listens on the others.
    for dead in [&["127.0.0.9", "::1"][..], &["127.0.0.9", "127.0.0.10", "127.0.0.11", "127.0.0.12", "::1"], &["::1"]] {
        let dns = Dns::start(dead).await;
        let fixture = fixture(&dns, port).await;
        for _ in 0..6 {
            assert_eq!(ask(fixture.gate, get("/public/a", "")).await.body, b"six", "{dead:?}");
        }
    }
    let (port, _upstreams) = two().await;
    let dns = Dns::start(&["::1", "100::1", "127.0.0.1"]).await;
    let fixture = fixture(&dns, port).await;
    for _ in 0..4 {
        assert_eq!(ask(fixture.gate, get("/public/a", "")).await.body, b"one");
    }
}

#[tokio::test]
async fn addresses_take_turns_and_one_that_fails_is_passed_over() {
    let (port, _upstreams) = two().await;
    let dns = Dns::start(&["127.0.0.1", "127.0.0.2"]).await;
    let fixture = fixture(&dns, port).await;
    let who = async || String::from_utf8(ask(fixture.gate, get("/public/a", "")).await.body).unwrap();
    let mut both = [who().await, who().await];
    both.sort();
    assert_eq!(both, ["one", "two"]);
    // Nobody listens on the first of these: the request goes to the other, whatever its method.
    dns.now_holds(&["127.0.0.3", "127.0.0.2"]);
    until(&fixture, |_| dns.asked() > 4).await;
    until(&fixture, |answer| answer.body == b"two").await;
    until(&fixture, |answer| answer.body == b"two").await;
    for _ in 0..4 {
        assert_eq!(who().await, "two");
    }
    let post = "POST /public/a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(ask(fixture.gate, post).await.body, b"two");
}
