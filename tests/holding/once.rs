//! What was agreed to leaves once: a caller is told to go on once, and no byte of a request is sent twice.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use support::Connection;

use crate::gate::{ASKER, Gate, ROW, held, started};

/// An upstream that answers the first request of its first connection and leaves every later one on it without an answer; others it
/// answers. The head of each request that came.
fn forgetful() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (came, heads) = channel();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
            let mut reader = BufReader::new(stream);
            for request in 0.. {
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if reader.read_line(&mut head).unwrap_or(0) == 0 {
                        break;
                    }
                }
                if head.is_empty() {
                    break;
                }
                let length = head
                    .lines()
                    .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
                reader.read_exact(&mut vec![0; length.unwrap_or(0)]).unwrap();
                let continues =
                    if head.to_ascii_lowercase().contains("expect:") { "HTTP/1.1 100 Continue\r\n\r\n" } else { "" };
                came.send(head).unwrap();
                if number == 0 && request > 0 {
                    break;
                }
                let answer = format!("{continues}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
                reader.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        }
    });
    (address, heads)
}

/// An HTTP/2 upstream that says `ok`.
fn http2() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok((request, mut answer))) = connection.accept().await {
                        assert!(!request.headers().contains_key("expect"));
                        let head = http::Response::builder().header("content-length", 2).body(()).unwrap();
                        let mut body = answer.send_response(head, false).unwrap();
                        body.send_data("ok".into(), true).unwrap();
                    }
                });
            }
        });
    });
    address
}

/// A gate in front of another upstream.
fn before(upstream: &str) -> Gate {
    let mut gate = started("{}", "");
    gate.process.end();
    let own = format!("rows: {{ url: \"http://{}\" }}", gate.upstream.address);
    gate.fixture.edit(&own, &format!("rows: {{ {upstream} }}"));
    gate.process = gate.fixture.serve();
    gate
}

#[test]
fn what_was_agreed_to_is_not_sent_again_once_a_byte_has_left() {
    let (upstream, heads) = forgetful();
    let gate = before(&format!("url: \"http://{upstream}\""));
    let agreed = |line: &str| {
        let id = held(&gate.send(line, &[], ROW));
        gate.resolve(&id, "approve");
        gate.send(line, &[], ROW)
    };
    assert_eq!(agreed("PUT /rows?first").status, 200);
    // The connection is kept, and ends under the next request: pingora would send what is idempotent on another one.
    let answer = agreed("PUT /rows?second");
    assert_eq!(answer.status, 502, "{}", answer.text());
    let came: Vec<String> = heads.try_iter().map(|head| head.lines().next().unwrap().to_owned()).collect();
    assert_eq!(came, ["PUT /rows?first HTTP/1.1", "PUT /rows?second HTTP/1.1"]);
    // It was spent: the same asks a human again.
    held(&gate.send("PUT /rows?second", &[], ROW));
    gate.process.end();
    gate.fixture.verify();
}

#[test]
fn who_was_told_to_go_on_is_not_told_again() {
    let (upstream, heads) = forgetful();
    for upstream in [format!("url: \"http://{upstream}\""), format!("url: \"http://{}\", http2: true", http2())] {
        let gate = before(&upstream);
        let mut waits = Connection::to(gate.process.gate());
        let length = ROW.len();
        let head = format!(
            "POST /wait/a HTTP/1.1\r\nhost: here\r\nwcp-token: {ASKER}\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
        );
        assert_eq!(waits.send(head).receive().unwrap().status, 100);
        waits.send(ROW);
        gate.resolve(&gate.only_pending(), "approve");
        let answer = waits.receive().unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{}", answer.head);
    }
    assert!(!heads.recv().unwrap().to_ascii_lowercase().contains("expect:"));
}
