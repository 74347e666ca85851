//! HTTP/1.1 as bytes: what is sent is what the test wrote, and what came back is looked at as it came.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One message: a request or a response.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// The first line.
    pub first: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Message {
    /// The only value of a header; `None` when it is not there.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} is there twice: {self:?}");
        value
    }

    /// A response's status.
    pub fn status(&self) -> u16 {
        self.first.split(' ').nth(1).unwrap_or_default().parse().unwrap_or_else(|_| panic!("no response: {self:?}"))
    }

    /// A request's target.
    pub fn target(&self) -> &str {
        self.first.split(' ').nth(1).unwrap()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// A connection on which messages are read.
#[derive(Debug)]
pub struct Wire<S = TcpStream> {
    /// The socket.
    pub stream: S,
    buffer: Vec<u8>,
}

impl Wire {
    /// Connects.
    pub async fn to(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).await.unwrap())
    }

    /// On an accepted socket.
    pub fn on(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Over any stream.
    pub const fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Writes bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends a request and reads the response.
    pub async fn ask(&mut self, request: impl AsRef<[u8]>) -> Message {
        self.send(request).await;
        self.message().await.expect("the connection was closed without a response")
    }

    /// More bytes; false at the end.
    pub async fn more(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await.expect("nothing comes");
        read.unwrap_or(0) > 0
    }

    /// What came and was not taken.
    pub fn ahead(&self) -> &[u8] {
        &self.buffer
    }

    /// Reads until these bytes have come, and takes everything up to their end.
    pub async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return Some(self.buffer.drain(..at + end.len()).collect());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Takes this many bytes.
    pub async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.more().await, "the connection was closed {} bytes early", count - self.buffer.len());
        }
        self.buffer.drain(..count).collect()
    }

    /// Reads what comes next into a buffer; 0 at the end.
    pub async fn rest(&mut self, into: &mut [u8]) -> usize {
        if self.buffer.is_empty() {
            return timeout(PATIENCE, self.stream.read(into)).await.expect("nothing comes").unwrap();
        }
        let count = self.buffer.len().min(into.len());
        into[..count].copy_from_slice(&self.buffer[..count]);
        self.buffer.drain(..count);
        count
    }

    /// Reads the head of a message.
    pub async fn head(&mut self) -> Option<Message> {
        let head = String::from_utf8(self.until(b"\r\n\r\n").await?).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let first = lines.next().unwrap().to_owned();
        let headers = lines.map(|line| line.split_once(':').unwrap());
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        Some(Message { first, headers, body: Vec::new() })
    }

    /// One chunk of a chunked body; empty at its end.
    pub async fn chunk(&mut self) -> Vec<u8> {
        let size = self.until(b"\r\n").await.expect("no chunk");
        let size = usize::from_str_radix(std::str::from_utf8(&size).unwrap().trim(), 16).unwrap();
        let chunk = self.take(size).await;
        self.take(2).await;
        chunk
    }

    /// Reads a whole message; `None` when the connection was closed before one began.
    pub async fn message(&mut self) -> Option<Message> {
        let mut message = self.head().await?;
        if message.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            loop {
                let chunk = self.chunk().await;
                if chunk.is_empty() {
                    break;
                }
                message.body.extend(chunk);
            }
        } else if let Some(length) = message.header("content-length") {
            message.body = self.take(length.parse().unwrap()).await;
        }
        Some(message)
    }

    /// Whether the other side has closed.
    pub async fn closed(&mut self) -> bool {
        !self.more().await
    }
}

/// One request on a connection of its own.
pub async fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> Message {
    Wire::to(address).await.ask(request).await
}

/// A GET with more headers, each ending in CRLF.
pub fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: gate.example\r\n{headers}\r\n")
}
