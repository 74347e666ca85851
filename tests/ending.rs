//! How the process ends for those who are connected: upgraded connections go on and are closed in the end, idle ones hold nothing
//! up, and the last checkpoint has all entries under it.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::thread;
use std::time::Instant;

use support::{Fixture, NOWHERE, PATIENCE, program, signal, status, until};

/// The size of an upload, more than is kept on the way.
const UPLOAD: usize = 4 << 20;

/// An upstream that upgrades every request and sends back what it gets.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            thread::spawn(move || {
                head(&mut connection);
                let upgraded = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
                let mut bytes = [0; 256];
                let mut sent = connection.write_all(upgraded);
                while let (Ok(()), Ok(read @ 1..)) = (&sent, connection.read(&mut bytes)) {
                    sent = connection.write_all(bytes.get(..read).unwrap());
                }
            });
        }
    });
    address
}

/// An upstream that answers when it has all of a body.
fn taker() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            head(&mut connection);
            let mut body = vec![0; UPLOAD];
            if connection.read_exact(&mut body).is_ok() && body.iter().all(|byte| *byte == b'x') {
                connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").unwrap();
            }
        }
    });
    address
}

/// What comes until the end of a head.
fn head(connection: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && connection.read(&mut byte).is_ok_and(|read| read == 1) {
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

/// An upgraded connection through the gate.
fn upgraded(gate: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(gate).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(b"GET /orders HTTP/1.1\r\nhost: gate\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .unwrap();
    assert_eq!(status(&head(&mut stream)), Some(101));
    stream
}

fn echoes(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, text.as_bytes());
}

/// How many entries there are, and how many of them the last checkpoint signs.
fn entries_and_signed(fixture: &Fixture) -> (usize, usize) {
    let checkpoint = fixture.read("ledger/checkpoint");
    (fixture.entries().len(), checkpoint.lines().nth(1).unwrap().parse().unwrap())
}

#[test]
fn an_upgraded_connection_goes_on_after_the_listeners_have_closed() {
    let fixture = Fixture::sample(echo()).shutdown("{ linger: 0s, grace: 10m }");
    let process = fixture.serve();
    let mut stream = upgraded(process.gate());
    echoes(&mut stream, "before");
    process.terminate();
    until(|| TcpStream::connect(process.gate()).is_err() && process.readiness().is_none());
    echoes(&mut stream, "after");
    drop(stream);
    assert_eq!(process.ended(), Some(0), "{}", process.log());
    assert!(!process.log().contains("cut off"), "{}", process.log());
    assert_eq!(fixture.verify(), (1, 1));
}

#[test]
fn an_upload_goes_on_after_the_listeners_have_closed() {
    let fixture = Fixture::sample(taker()).shutdown("{ linger: 0s, grace: 10m }");
    let process = fixture.serve();
    let mut stream = TcpStream::connect(process.gate()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = vec![b'x'; UPLOAD];
    let (half, other_half) = body.split_at(UPLOAD / 2);
    write!(stream, "POST /orders HTTP/1.1\r\nhost: gate\r\ncontent-length: {UPLOAD}\r\n\r\n").unwrap();
    stream.write_all(half).unwrap();
    process.terminate();
    until(|| TcpStream::connect(process.gate()).is_err() && process.readiness().is_none());
    stream.write_all(other_half).unwrap();
    assert_eq!(status(&head(&mut stream)), Some(200));
    assert_eq!(process.ended(), Some(0), "{}", process.log());
    assert!(!process.log().contains("cut off"), "{}", process.log());
    assert_eq!(fixture.verify(), (1, 1));
}

#[test]
fn at_the_end_of_the_grace_time_it_is_closed_recorded_and_signed() {
    let fixture = Fixture::sample(echo()).shutdown("{ linger: 0s, grace: 300ms }");
    let process = fixture.serve();
    let mut stream = upgraded(process.gate());
    echoes(&mut stream, "before");
    process.terminate();
    // The end of the connection, and not an error on it.
    assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0);
    assert_eq!(process.ended(), Some(0), "{}", process.log());
    assert!(process.log().contains("the grace time is over"), "{}", process.log());
    assert_eq!(fixture.verify(), (1, 1));
    let (entries, signed) = entries_and_signed(&fixture);
    assert_eq!((entries, signed), (3, 3), "policy, decision and outcome");
}

#[test]
fn whoever_is_connected_and_asks_nothing_holds_nothing_up() {
    let fixture = Fixture::sample(echo()).shutdown("{ linger: 0s, grace: 10m }");
    let process = fixture.serve();
    let mut silent: Vec<TcpStream> =
        [process.gate(), process.hall()].map(|door| TcpStream::connect(door).unwrap()).into();
    for door in [process.gate(), process.hall()] {
        // Kept for another request.
        let mut kept = TcpStream::connect(door).unwrap();
        kept.write_all(b"GET /livez HTTP/1.1\r\nhost: any\r\n\r\n").unwrap();
        assert!(status(&head(&mut kept)).is_some());
        // In the middle of a head.
        let mut slow = TcpStream::connect(door).unwrap();
        slow.write_all(b"GET /livez HTTP/1.1\r\nhost:").unwrap();
        silent.extend([kept, slow]);
    }
    let began = Instant::now();
    process.end();
    assert!(began.elapsed() < PATIENCE / 2, "{:?}: {}", began.elapsed(), process.log());
}

#[test]
fn while_it_drains_callers_are_told_to_go_elsewhere() {
    let fixture = Fixture::sample(echo()).shutdown("{ linger: 10m, grace: 10m }");
    let process = fixture.serve();
    let ask = |door: SocketAddr| {
        let mut stream = TcpStream::connect(door).unwrap();
        stream.write_all(b"GET /nowhere HTTP/1.1\r\nhost: any\r\n\r\n").unwrap();
        head(&mut stream).to_ascii_lowercase()
    };
    for door in [process.gate(), process.hall()] {
        assert!(!ask(door).contains("connection: close"));
    }
    process.terminate();
    until(|| process.readiness() == Some(503));
    for door in [process.gate(), process.hall()] {
        assert!(ask(door).contains("connection: close"), "{}", ask(door));
    }
    process.end();
}

#[test]
fn a_unix_socket_is_for_its_owner_and_group_and_goes_with_the_process() {
    let fixture = Fixture::sample(NOWHERE);
    let socket = fixture.path("gate.sock");
    fixture.edit("gate:\n  listen: 127.0.0.1:0", &format!("gate:\n  listen: unix:{}", socket.display()));
    let process = fixture.serve();
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(b"GET /nowhere HTTP/1.1\r\nhost: any\r\n\r\n").unwrap();
    assert_eq!(status(&head(&mut stream)), Some(404));
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    process.end();
    assert!(!socket.exists());
}

/// Reading its configuration from a pipe that nobody writes, it starts for as long as we like.
fn starting(first_of_its_kind: bool) -> (tempfile::TempDir, Child) {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("hallgate.yaml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let hallgate = program();
    let mut command = match first_of_its_kind {
        true => {
            let mut command = Command::new("unshare");
            command.args(["--pid", "--fork", "--kill-child"]).arg(hallgate);
            command
        }
        false => Command::new(hallgate),
    };
    (folder, command.args(["serve", "--config"]).arg(pipe).spawn().unwrap())
}

/// The process that runs `hallgate serve`, this one or its child, once it listens to SIGTERM.
fn listening(child: &Child) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap_or_default();
    let ids = children.split_whitespace().map(|id| id.parse().unwrap()).chain([child.id()]);
    ids.into_iter().find(|id: &u32| {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t"));
        let caught = caught.map_or(0, |caught| u64::from_str_radix(caught, 16).unwrap());
        status.starts_with("Name:\thallgate") && caught >> (15 - 1) & 1 == 1
    })
}

#[test]
fn told_to_end_while_it_starts_it_ends_also_as_the_first_process_of_a_container() {
    for first_of_its_kind in [false, true] {
        let (_folder, child) = starting(first_of_its_kind);
        until(|| listening(&child).is_some());
        let serving = listening(&child).unwrap();
        signal(serving, "TERM");
        let child = RefCell::new(child);
        until(|| child.borrow_mut().try_wait().unwrap().is_some());
        let code = child.borrow_mut().wait().unwrap().code();
        assert_eq!(code, Some(1), "first of its kind: {first_of_its_kind}");
    }
}

#[test]
fn who_has_had_an_answer_may_end_the_process() {
    for _ in 0..5 {
        let fixture = Fixture::sample(NOWHERE);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        fixture.edit("hall:\n  listen: 127.0.0.1:0", &format!("hall:\n  listen: {port}"));
        let process = fixture.begin();
        until(|| support::ask_if_there(port, "GET /livez", &[], "").is_some());
        process.end();
    }
}
