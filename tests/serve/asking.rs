//! One request over a connection of its own, and its answer in parts.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    /// Its body, when it is JSON.
    pub body: Value,
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The whole seconds of `Retry-After`.
    pub fn retry_after(&self) -> u64 {
        self.header("retry-after").unwrap_or_else(|| panic!("no retry-after in {self:?}")).parse().unwrap()
    }
}

/// Asks.
pub fn ask(to: SocketAddr, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut connection = TcpStream::connect(to).unwrap();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let request = format!("{line} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n{headers}{length}\r\n{body}");
    connection.write_all(request.as_bytes()).unwrap();
    let answer = crate::house::rest(&mut connection);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {line}: {answer}"));
    Answer {
        status: crate::house::status(&answer).unwrap(),
        head: head.to_owned(),
        body: serde_json::from_str(body).unwrap_or(Value::Null),
    }
}

/// Asks the Hall for a decision on reading that the sample's rules allow, with this token.
pub fn route(hall: SocketAddr, token: &str) -> Answer {
    let body = r#"{"capability_id":"cap.data.read.v1","worker_id":"wrk_make_acme_prod","env":"prod","data_label":"INTERNAL","tenant_id":"org.acme"}"#;
    ask(hall, "POST /api/route", &[("authorization", &format!("Bearer {token}"))], body)
}

/// What the Hall answers at a path that needs no token.
pub fn text(hall: SocketAddr, path: &str) -> String {
    let mut connection = TcpStream::connect(hall).unwrap();
    connection.write_all(format!("GET {path} HTTP/1.1\r\nhost: hall\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
    crate::house::rest(&mut connection)
}

/// A metric of the Hall, by the beginning of its line; zero when it is not there.
pub fn metric(hall: SocketAddr, name: &str) -> u64 {
    let metrics = text(hall, "/metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}
