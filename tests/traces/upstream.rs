//! An upstream that remembers the headers that it got, and says `ok`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

/// An upstream. It stops with the test.
#[derive(Debug, Clone)]
pub struct Upstream {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream = Self { address: listener.local_addr().unwrap(), heads: Arc::default() };
        let heads = Arc::clone(&upstream.heads);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (connection, heads) = (connection.unwrap(), Arc::clone(&heads));
                thread::spawn(move || {
                    let mut reader = BufReader::new(&connection);
                    loop {
                        let mut head = String::new();
                        while !head.ends_with("\r\n\r\n") {
                            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                                return;
                            }
                        }
                        let length =
                            values(&head, "content-length").first().map_or(0, |length| length.parse().unwrap());
                        reader.read_exact(&mut vec![0; length]).unwrap();
                        heads.lock().unwrap().push(head);
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                        if (&mut &connection).write_all(answer).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        upstream
    }

    /// The values of a header in the last request that came, in order.
    pub fn last(&self, header: &str) -> Vec<String> {
        values(self.heads.lock().unwrap().last().unwrap(), header)
    }
}

fn values(head: &str, name: &str) -> Vec<String> {
    let headers = head.lines().filter_map(|line| line.split_once(": "));
    headers.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect()
}
