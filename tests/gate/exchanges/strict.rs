//! A reader of HTTP/1.1 that takes nothing but what the standard (RFC 9112) has a sender write.

use std::fmt;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

use crate::wire::PATIENCE;

/// The longest head, and the longest line of a chunk's size.
const LONGEST: usize = 64 * 1024;

/// Why there is no message.
#[derive(Debug)]
pub enum Broken {
    /// The connection ended within one.
    CutOff,
    /// Nothing came for too long.
    Silent,
    /// It is not HTTP/1.1.
    Malformed(String),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CutOff => f.write_str("the connection ends within a message"),
            Self::Silent => f.write_str("nothing comes"),
            Self::Malformed(what) => write!(f, "this is no HTTP/1.1: {what}"),
        }
    }
}

/// The head of a message.
#[derive(Debug)]
pub struct Head {
    /// Its first line.
    pub first: String,
    headers: Vec<(String, String)>,
}

impl Head {
    /// The only value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(own, _)| own == name);
        let value = values.next().map(|(_, value)| value.as_str());
        if values.next().is_some() { Some("said twice") } else { value }
    }

    /// Whether the connection ends with this message.
    pub fn closes(&self) -> bool {
        self.header("connection").is_some_and(|said| said.eq_ignore_ascii_case("close"))
    }

    /// An answer's status.
    pub fn status(&self) -> u16 {
        self.first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or_default()
    }
}

/// Reads messages from a connection, and nothing beyond their end.
pub struct Reader<R> {
    source: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub const fn new(source: R) -> Self {
        Self { source, buffer: Vec::new() }
    }

    /// The connection; what came and was not read is lost.
    pub fn into_source(self) -> R {
        self.source
    }

    /// What came and was not read yet.
    pub fn ahead(&self) -> &[u8] {
        &self.buffer
    }

    /// More bytes; false at the end.
    async fn more(&mut self) -> Result<bool, Broken> {
        let read = timeout(PATIENCE, self.source.read_buf(&mut self.buffer)).await.map_err(|_| Broken::Silent)?;
        Ok(read.unwrap_or(0) > 0)
    }

    /// Waits for the end of the connection; what comes before it is given.
    pub async fn rest(&mut self) -> Result<Vec<u8>, Broken> {
        while self.more().await? {}
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Takes this many bytes.
    pub async fn take(&mut self, count: usize) -> Result<Vec<u8>, Broken> {
        while self.buffer.len() < count {
            if !self.more().await? {
                return Err(Broken::CutOff);
            }
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// Takes all up to and with this end.
    async fn until(&mut self, end: &[u8]) -> Result<String, Broken> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                let taken: Vec<u8> = self.buffer.drain(..at + end.len()).collect();
                let text = String::from_utf8(taken).map_err(|error| malformed(error.as_bytes()))?;
                let lines = &text[..at];
                let sound = lines.split("\r\n").all(|line| line.bytes().all(|byte| byte == b'\t' || byte >= b' '));
                return if sound { Ok(lines.to_owned()) } else { Err(malformed(text.as_bytes())) };
            }
            if self.buffer.len() > LONGEST {
                return Err(malformed(&self.buffer));
            }
            if !self.more().await? {
                return Err(Broken::CutOff);
            }
        }
    }

    /// The next message's head; `None` when the connection has ended before it.
    pub async fn head(&mut self) -> Result<Option<Head>, Broken> {
        if self.buffer.is_empty() && !self.more().await? {
            return Ok(None);
        }
        let text = self.until(b"\r\n\r\n").await?;
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let mut headers = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(|| malformed(text.as_bytes()))?;
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if name.is_empty() || !name.bytes().all(token) {
                return Err(malformed(text.as_bytes()));
            }
            headers.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
        }
        let words: Vec<&str> = first.split(' ').collect();
        let sound = match *words {
            [method, target, "HTTP/1.1"] => {
                method.bytes().all(|byte| byte.is_ascii_uppercase()) && target.starts_with('/')
            }
            ["HTTP/1.1", status, ..] => status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit()),
            _ => false,
        };
        let head = Head { first, headers };
        let framed = (head.header("content-length"), head.header("transfer-encoding"));
        let sound = sound
            && match framed {
                (Some(length), None) => length.parse::<usize>().is_ok_and(|number| number.to_string() == length),
                (None, Some(coding)) => coding == "chunked",
                (None, None) => true,
                (Some(_), Some(_)) => false,
            };
        if sound { Ok(Some(head)) } else { Err(malformed(text.as_bytes())) }
    }

    /// The body behind a head: all of it, or what there was of it when the connection ended. `closed`: without a length it goes
    /// on to the end of the connection; else there is none.
    pub async fn body(&mut self, head: &Head, closed: bool) -> Result<(Vec<u8>, bool), Broken> {
        let mut body = Vec::new();
        let whole = match self.read_body(head, closed, &mut body).await {
            Ok(()) => true,
            Err(Broken::CutOff) => false,
            Err(broken) => return Err(broken),
        };
        Ok((body, whole))
    }

    async fn read_body(&mut self, head: &Head, closed: bool, body: &mut Vec<u8>) -> Result<(), Broken> {
        if let Some(length) = head.header("content-length") {
            let length = length.parse().map_err(|_| malformed(length.as_bytes()))?;
            return self.read_piece(length, body).await;
        }
        if head.header("transfer-encoding").is_none() {
            if closed {
                body.extend(self.rest().await?);
            }
            return Ok(());
        }
        loop {
            let line = self.until(b"\r\n").await?;
            let digits = line.bytes().all(|byte| byte.is_ascii_hexdigit());
            let size = usize::from_str_radix(&line, 16).ok().filter(|_| digits);
            let size = size.ok_or_else(|| malformed(format!("chunk {line:?}").as_bytes()))?;
            if size == 0 {
                break;
            }
            self.read_piece(size, body).await?;
            self.end_of_line().await?;
        }
        // Trailers are dropped on the way from HTTP/2 to HTTP/1.1 and within HTTP/1.1.
        self.end_of_line().await
    }

    async fn read_piece(&mut self, mut size: usize, body: &mut Vec<u8>) -> Result<(), Broken> {
        while size > 0 {
            if self.buffer.is_empty() && !self.more().await? {
                return Err(Broken::CutOff);
            }
            let piece = size.min(self.buffer.len());
            body.extend(self.buffer.drain(..piece));
            size -= piece;
        }
        Ok(())
    }

    async fn end_of_line(&mut self) -> Result<(), Broken> {
        let end = self.take(2).await?;
        if end == b"\r\n" { Ok(()) } else { Err(malformed(&[b"no end of a line: ", &*end, &self.buffer].concat())) }
    }
}

fn malformed(what: &[u8]) -> Broken {
    Broken::Malformed(what[..what.len().min(300)].escape_ascii().to_string())
}
