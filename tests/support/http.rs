//! Callers that say exactly what they are told to, and answers in parts.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::{PATIENCE, READ};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its status line and headers.
    pub head: String,
    /// Its body.
    pub bytes: Vec<u8>,
    /// Its body, when it is JSON.
    pub body: Value,
}

impl Answer {
    fn new(head: &str, bytes: Vec<u8>) -> Option<Self> {
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        Some(Self { status: status(head)?, head: head.to_owned(), bytes, body })
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The text of a body in chunks; `None` where it broke off.
    pub fn whole(&self) -> Option<String> {
        let (mut rest, mut whole) = (self.bytes.as_slice(), Vec::new());
        loop {
            let end = rest.windows(2).position(|two| two == b"\r\n")?;
            let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
            rest = &rest[end + 2..];
            if length == 0 {
                return String::from_utf8(whole).ok();
            }
            whole.extend_from_slice(rest.get(..length)?);
            rest = rest.get(length + 2..)?;
        }
    }

    /// The whole seconds of `Retry-After`.
    #[track_caller]
    pub fn retry_after(&self) -> u64 {
        self.header("retry-after").unwrap_or_else(|| panic!("no retry-after in {self:?}")).parse().unwrap()
    }

    /// That it is a success, and its body.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(matches!(self.status, 200 | 201), "{} {}", self.head, self.text());
        self.body
    }

    /// That it is the error envelope with this status, and its reason.
    #[track_caller]
    pub fn refused(self, status: u16) -> String {
        assert_eq!(self.status, status, "{} {}", self.head, self.text());
        assert_eq!((&self.body["denied"], &self.body["allowed"]), (&true.into(), &false.into()), "{}", self.body);
        self.body["reason"].as_str().unwrap().to_owned()
    }
}

/// One request over a connection of its own. `line` is its method and target.
#[track_caller]
pub fn ask(to: SocketAddr, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    ask_if_there(to, line, headers, body).unwrap_or_else(|| panic!("no answer to {line}"))
}

/// The same; `None` when nobody is there, or the connection ends without an answer.
pub fn ask_if_there(to: SocketAddr, line: &str, headers: &[(&str, &str)], body: &str) -> Option<Answer> {
    let mut connection = TcpStream::connect(to).ok()?;
    let host = if headers.iter().any(|(name, _)| *name == "host") { "" } else { "host: here\r\n" };
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let request = format!("{line} HTTP/1.1\r\n{host}connection: close\r\n{headers}{length}\r\n{body}");
    connection.write_all(request.as_bytes()).ok()?;
    let said = everything(&mut connection);
    let end = said.windows(4).position(|four| four == b"\r\n\r\n")?;
    Answer::new(&String::from_utf8_lossy(&said[..end]), said[end + 4..].to_vec())
}

/// What is at this path for this token.
#[track_caller]
pub fn get(to: SocketAddr, token: &str, path: &str) -> Answer {
    ask(to, &format!("GET {path}"), &[("authorization", &format!("Bearer {token}"))], "")
}

/// Posts JSON with this token.
#[track_caller]
pub fn post(to: SocketAddr, token: &str, path: &str, body: &str) -> Answer {
    let headers = [("authorization", &*format!("Bearer {token}")), ("content-type", "application/json")];
    ask(to, &format!("POST {path}"), &headers, body)
}

/// Asks a Hall for a decision on [`READ`] with this token.
#[track_caller]
pub fn route(hall: SocketAddr, token: &str) -> Answer {
    post(hall, token, "/api/route", READ)
}

/// A counter of the metrics, by the beginning of its line; zero when it is not there.
#[track_caller]
pub fn metric(hall: SocketAddr, name: &str) -> u64 {
    gauge(hall, name) as u64
}

/// The same for what is no whole number.
#[track_caller]
pub fn gauge(hall: SocketAddr, name: &str) -> f64 {
    let metrics = ask(hall, "GET /metrics", &[], "").text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

/// All that comes until the other side closes.
pub fn rest(connection: &mut TcpStream) -> String {
    String::from_utf8_lossy(&everything(connection)).into_owned()
}

fn everything(connection: &mut TcpStream) -> Vec<u8> {
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    // A connection that is cut off has said what it has said.
    let _ = connection.read_to_end(&mut bytes);
    bytes
}

/// The status of an answer.
pub fn status(answer: &str) -> Option<u16> {
    answer.split(' ').nth(1)?.parse().ok()
}

/// A connection that stays.
pub struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    /// To this address.
    pub fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, read: Vec::new() }
    }

    /// Writes; a server that has heard enough may have closed.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.stream.write_all(bytes.as_ref());
        self
    }

    /// Reads one answer with a body of the length that it says; `None` when the connection ends without one.
    pub fn receive(&mut self) -> Option<Answer> {
        let end = self.until(|read| read.windows(4).position(|four| four == b"\r\n\r\n"))?;
        let head = String::from_utf8(self.read.drain(..end + 4).collect()).unwrap();
        let mut answer = Answer::new(&head, Vec::new())?;
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        self.until(|read| (read.len() >= length).then_some(()))?;
        answer = Answer::new(&head, self.read.drain(..length).collect())?;
        Some(answer)
    }

    /// Whether the other side has closed.
    pub fn closed(&mut self) -> bool {
        !matches!(self.stream.read(&mut [0; 64]), Ok(1..))
    }

    fn until<T>(&mut self, done: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        loop {
            if let Some(found) = done(&self.read) {
                return Some(found);
            }
            let mut more = [0; 16 * 1024];
            match self.stream.read(&mut more) {
                Ok(n @ 1..) => self.read.extend_from_slice(&more[..n]),
                _ => return None,
            }
        }
    }
}
