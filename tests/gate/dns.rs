//! Upstream names: looked up, looked up again when they change, and more than one address tried.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;

use crate::house::{self, House, fixed};
use crate::upstream::Upstream;
use crate::wire::{ask, get};

/// A DNS server that answers every question for A with the addresses that it holds, good for no time at all.
#[derive(Clone)]
struct Dns {
    address: SocketAddr,
    holds: Arc<Mutex<Vec<Ipv4Addr>>>,
}

impl Dns {
    async fn start(holds: &[Ipv4Addr]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let dns = Self { address: socket.local_addr().unwrap(), holds: Arc::new(Mutex::new(holds.to_vec())) };
        let holds = Arc::clone(&dns.holds);
        tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query).await {
                let answer = answer(&query[..length], &holds.lock().unwrap());
                let _ = socket.send_to(&answer, from).await;
            }
        });
        dns
    }

    fn now_holds(&self, holds: &[Ipv4Addr]) {
        *self.holds.lock().unwrap() = holds.to_vec();
    }
}

/// RFC 1035: the query's id and question, and an A record for each address.
fn answer(query: &[u8], holds: &[Ipv4Addr]) -> Vec<u8> {
    let name = query[12..].iter().position(|byte| *byte == 0).unwrap() + 13;
    let question = &query[12..name + 4];
    let kind = u16::from_be_bytes([query[name], query[name + 1]]);
    let holds = if kind == 1 { holds } else { &[] };
    // Nothing held at all: there is no such name (3).
    let code = u8::from(holds.is_empty() && kind == 1) * 3;
    let mut answer =
        vec![query[0], query[1], 0x81, 0x80 | code, 0, 1, 0, u8::try_from(holds.len()).unwrap(), 0, 0, 0, 0];
    answer.extend(question);
    for address in holds {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend(address.octets());
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

async fn house(dns: &Dns, port: u16) -> House {
    let mut settings = house::settings(fixed(), house::upstream("upstream.example", port));
    settings.dns_servers = vec![dns.address];
    House::start(settings).await
}

#[tokio::test]
async fn a_name_is_looked_up_again_when_it_changes() {
    let (port, _upstreams) = two().await;
    let dns = Dns::start(&[Ipv4Addr::LOCALHOST]).await;
    let house = house(&dns, port).await;
    let who = async || ask(house.gate, get("/public/a", "")).await;
    assert_eq!(who().await.body, b"one");
    dns.now_holds(&[Ipv4Addr::new(127, 0, 0, 2)]);
    assert_eq!(who().await.body, b"two");
    dns.now_holds(&[]);
    assert_eq!(who().await.status(), 502);
    dns.now_holds(&[Ipv4Addr::LOCALHOST]);
    assert_eq!(who().await.body, b"one");
}

#[tokio::test]
async fn addresses_take_turns_and_one_that_fails_is_passed_over() {
    let (port, _upstreams) = two().await;
    let dns = Dns::start(&[Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)]).await;
    let house = house(&dns, port).await;
    let who = async || String::from_utf8(ask(house.gate, get("/public/a", "")).await.body).unwrap();
    let mut both = [who().await, who().await];
    both.sort();
    assert_eq!(both, ["one", "two"]);
    // Nobody listens on the first of these: the request goes to the other, whatever its method.
    dns.now_holds(&[Ipv4Addr::new(127, 0, 0, 3), Ipv4Addr::new(127, 0, 0, 2)]);
    for _ in 0..4 {
        assert_eq!(who().await, "two");
    }
    let post = "POST /public/a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(ask(house.gate, post).await.body, b"two");
}
