//! Somebody who wants to be called back, and what they hear. It stops with the test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    /// The request line and the headers.
    pub head: String,
    /// The body.
    pub body: Value,
    /// The same as it came.
    bytes: Vec<u8>,
}

impl Call {
    /// A header's value.
    pub fn header(&self, name: &str) -> &str {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).unwrap_or_else(|| panic!("no {name}: {}", self.head)).1
    }

    /// The body as it came.
    pub fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).unwrap()
    }

    /// What it is asked for.
    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }
}

/// Somebody who listens at a free port of this machine.
pub struct Receiver {
    /// Where.
    pub address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Receiver {
    /// One that gives to each call, by its number, a status; 0 is no answer at all.
    pub fn answering(status: impl Fn(usize) -> u16 + Send + Sync + 'static) -> Self {
        Self::saying(move |n| match status(n) {
            0 => String::new(),
            status => format!("HTTP/1.1 {status} Said\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
        })
    }

    /// The same with whole answers; one that is empty is none.
    pub fn saying(answer: impl Fn(usize) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, calls) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let (into, answer) = (Arc::clone(&calls), Arc::new(answer));
        thread::spawn(move || {
            for mut connection in listener.incoming().map_while(Result::ok) {
                let (into, answer) = (Arc::clone(&into), Arc::clone(&answer));
                thread::spawn(move || {
                    let mut reader = BufReader::new(connection.try_clone().unwrap());
                    let mut head = String::new();
                    while !head.ends_with("\r\n\r\n") {
                        if reader.read_line(&mut head).unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let call = Call { head, body: Value::Null, bytes: Vec::new() };
                    let mut body = vec![0; call.header("content-length").parse().unwrap()];
                    reader.read_exact(&mut body).unwrap();
                    let call = Call { body: serde_json::from_slice(&body).unwrap(), bytes: body, ..call };
                    let n = {
                        let mut calls = into.lock().unwrap();
                        calls.push(call);
                        calls.len()
                    };
                    let answer = answer(n);
                    if answer.is_empty() {
                        // Until the other side has had enough.
                        let _ = reader.read(&mut [0; 1]);
                    }
                    let _ = connection.write_all(answer.as_bytes());
                });
            }
        });
        Self { address, calls }
    }

    /// Its URL below `/flows/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/flows/{path}", self.address)
    }

    /// What may be called of it, as an entry of `approvals.callbacks`.
    pub fn entry(&self) -> String {
        format!("{{ url: \"{}\", private: 127.0.0.1 }}", self.url(""))
    }

    /// What has come so far.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}
