//! Somebody who looks on: server-sent events, one after the other.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::PATIENCE;

/// Server-sent events of one connection.
pub struct Feed {
    stream: BufReader<TcpStream>,
    /// The head of the answer.
    pub head: String,
    text: String,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its kind.
    pub kind: String,
    /// Its id, if it has one.
    pub id: Option<String>,
    /// What it says.
    pub data: String,
}

impl Event {
    /// What it says, as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

impl Feed {
    /// Asks for this path with these headers.
    #[track_caller]
    pub fn open(to: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {to}\r\n{headers}\r\n").as_bytes()).unwrap();
        let (mut stream, mut head) = (BufReader::new(stream), String::new());
        while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).is_ok_and(|read| read > 0) {}
        Self { stream, head, text: String::new() }
    }

    /// With this token.
    #[track_caller]
    pub fn of(to: SocketAddr, path: &str, token: &str) -> Self {
        Self::open(to, path, &[("authorization", &format!("Bearer {token}"))])
    }

    /// The status of the answer.
    #[track_caller]
    pub fn status(&self) -> u16 {
        crate::status(&self.head).unwrap()
    }
}

impl Iterator for Feed {
    type Item = Event;

    /// The next event; `None`: it is over.
    fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let value = |name: &str| {
                    let lines = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    let lines: Vec<&str> = lines.collect();
                    (!lines.is_empty()).then(|| lines.join("\n"))
                };
                let event =
                    value("data").map(|data| Event { kind: value("event").unwrap_or_default(), id: value("id"), data });
                self.text = rest.to_owned();
                if event.is_some() {
                    return event;
                }
                continue;
            }
            let mut line = String::new();
            self.stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
            let length = usize::from_str_radix(line.trim(), 16).ok().filter(|length| *length > 0)?;
            let mut chunk = vec![0; length + 2];
            self.stream.read_exact(&mut chunk).ok()?;
            self.text += std::str::from_utf8(&chunk[..length]).unwrap();
        }
    }
}
