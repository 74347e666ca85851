//! An upstream that answers with the headers that it got, over TLS or without.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A running upstream.
pub struct Mirror {
    pub address: SocketAddr,
    calls: Arc<AtomicUsize>,
}

impl Mirror {
    pub fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mirror = Self { address: listener.local_addr().unwrap(), calls: Arc::default() };
        let calls = Arc::clone(&mirror.calls);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (connection, calls, tls) = (connection.unwrap(), Arc::clone(&calls), tls.clone());
                thread::spawn(move || match tls {
                    None => answer(connection, &calls),
                    Some(config) => {
                        answer(StreamOwned::new(ServerConnection::new(config).unwrap(), connection), &calls);
                    }
                });
            }
        });
        mirror
    }

    /// How often it was called.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

fn answer(mut connection: impl Read + Write, calls: &AtomicUsize) {
    let mut head = Vec::new();
    let mut byte = [0];
    while connection.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
        if head.ends_with(b"\r\n\r\n") {
            calls.fetch_add(1, Ordering::SeqCst);
            let got = head.splitn(2, |byte| *byte == b'\n').nth(1).unwrap();
            let answer = [format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", got.len()).as_bytes(), got].concat();
            if connection.write_all(&answer).and_then(|()| connection.flush()).is_err() {
                return;
            }
            head.clear();
        }
    }
}
