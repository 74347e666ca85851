//! Upstreams in threads of their own. They stop with the test.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::PATIENCE;

/// Does this with each connection to an address that is free, in a thread of its own.
pub(crate) fn listen(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(connection));
        }
    });
    address
}

/// One head, to its empty line; `None` when the connection ends before.
pub(crate) fn head(from: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if from.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

pub(crate) fn values(head: &str, name: &str) -> Vec<String> {
    let headers = head.lines().filter_map(|line| line.split_once(": "));
    headers.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect()
}

/// An upstream that gives every request the same answer, and remembers what it was asked.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Upstream {
    /// One that says `ok`.
    pub fn start() -> Self {
        Self::answering("ok")
    }

    /// One that says this.
    pub fn answering(body: &'static str) -> Self {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let (into, and_into) = (Arc::clone(&heads), Arc::clone(&bodies));
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let address = listen(move |connection| {
            let mut reader = BufReader::new(&connection);
            while let Some(head) = head(&mut reader) {
                let length = values(&head, "content-length").first().map_or(0, |length| length.parse().unwrap());
                let mut body = vec![0; length];
                if reader.read_exact(&mut body).is_err() {
                    return;
                }
                and_into.lock().unwrap().push(body);
                into.lock().unwrap().push(head);
                if (&mut &connection).write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        });
        Self { address, heads, bodies }
    }

    /// The bodies that came since they were last asked for.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.bodies.lock().unwrap())
    }

    /// The values of a header in the last request that came, in order.
    pub fn last(&self, header: &str) -> Vec<String> {
        values(self.heads.lock().unwrap().last().unwrap(), header)
    }

    /// The decisions under which it was called since it was last asked for them.
    pub fn called(&self) -> Vec<String> {
        let heads = std::mem::take(&mut *self.heads.lock().unwrap());
        heads.iter().map(|head| values(head, "wcp-decision-id").pop().unwrap()).collect()
    }
}

/// An upstream that begins an answer and ends it when it is told to.
pub struct Held {
    /// Where it listens.
    pub address: SocketAddr,
    finish: Sender<()>,
    begun: Receiver<()>,
}

impl Held {
    /// Starts one. It takes one connection after another.
    pub fn start() -> Self {
        let (finish, finished) = channel();
        let (beginning, begun) = channel();
        let both = Mutex::new((finished, beginning));
        let address = listen(move |mut connection| {
            let (finished, beginning) = &*both.lock().unwrap();
            let _ = head(&mut BufReader::new(&connection));
            let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n5\r\nfirst\r\n";
            if connection.write_all(answer).is_ok() && beginning.send(()).is_ok() && finished.recv().is_ok() {
                let _ = connection.write_all(b"4\r\nlast\r\n0\r\n\r\n");
            }
        });
        Self { address, finish, begun }
    }

    /// Begins a request through a gate, whose answer does not end before it is told to.
    pub fn begin(&self, gate: SocketAddr) -> TcpStream {
        let mut connection = TcpStream::connect(gate).unwrap();
        connection.write_all(b"GET /orders HTTP/1.1\r\nhost: gate\r\n\r\n").unwrap();
        self.begun.recv_timeout(PATIENCE).unwrap();
        connection
    }

    /// Ends the answer that is under way.
    pub fn finish(&self) {
        self.finish.send(()).unwrap();
    }
}
