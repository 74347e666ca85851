//! A proxy before the gate as there are some: it takes a line feed for the end of any line, reads of a size or a length what it
//! can, and passes on what it got, byte for byte. It writes down what it takes for a request.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Such a proxy.
pub struct Lenient {
    pub address: SocketAddr,
    passed: Arc<Mutex<Vec<String>>>,
}

impl Lenient {
    pub async fn start(gate: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let lenient = Self { address: listener.local_addr().unwrap(), passed: Arc::default() };
        let passed = Arc::clone(&lenient.passed);
        tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                tokio::spawn(serve(Side::of(caller), gate, Arc::clone(&passed)));
            }
        });
        lenient
    }

    /// What it took for requests.
    pub fn passed(&self) -> Vec<String> {
        self.passed.lock().unwrap().clone()
    }
}

/// One side, and what came of it and was not passed on.
struct Side {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Side {
    const fn of(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    async fn more(&mut self) -> Option<()> {
        self.stream.read_buf(&mut self.buffer).await.ok().filter(|read| *read > 0).map(|_| ())
    }

    /// Takes up to the end of a line.
    async fn line(&mut self, into: &mut Vec<u8>) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                into.extend(&line);
                return Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            }
            self.more().await?;
        }
    }

    async fn take(&mut self, count: usize, into: &mut Vec<u8>) -> Option<()> {
        while self.buffer.len() < count {
            self.more().await?;
        }
        into.extend(self.buffer.drain(..count));
        Some(())
    }

    /// Takes a message: its bytes, its first line, and whether it is the last one.
    async fn message(&mut self, bodiless: bool) -> Option<(Vec<u8>, String, bool)> {
        let mut bytes = Vec::new();
        let first = self.line(&mut bytes).await?;
        let (mut length, mut chunked, mut last) = (0, false, false);
        loop {
            let line = self.line(&mut bytes).await?;
            if line.is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            match name.trim().to_ascii_lowercase().as_str() {
                "content-length" => length = number(value, 10)?,
                "transfer-encoding" => chunked |= value.contains("chunked"),
                "connection" => last |= value.trim() == "close",
                _ => {}
            }
        }
        if bodiless {
            return Some((bytes, first, last));
        }
        if !chunked {
            self.take(length, &mut bytes).await?;
            return Some((bytes, first, last));
        }
        loop {
            let size = number(&self.line(&mut bytes).await?, 16)?;
            if size == 0 {
                break;
            }
            self.take(size, &mut bytes).await?;
            self.line(&mut bytes).await?;
        }
        while !self.line(&mut bytes).await?.is_empty() {}
        Some((bytes, first, last))
    }
}

/// The number at the beginning of a text.
fn number(text: &str, base: u32) -> Option<usize> {
    let digits: String = text.trim().chars().take_while(|digit| digit.is_digit(base)).collect();
    usize::from_str_radix(&digits, base).ok().filter(|number| *number < 1 << 20)
}

async fn serve(mut caller: Side, gate: SocketAddr, passed: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let mut gate = Side::of(TcpStream::connect(gate).await.ok()?);
    loop {
        let (request, first, last) = caller.message(false).await?;
        passed.lock().unwrap().push(first.rsplit_once(' ')?.0.to_owned());
        gate.stream.write_all(&request).await.ok()?;
        loop {
            let head = first.starts_with("HEAD");
            let (answer, status, closed) = gate.message(head).await?;
            caller.stream.write_all(&answer).await.ok()?;
            if closed || last {
                return None;
            }
            if !status.starts_with("HTTP/1.1 1") {
                break;
            }
        }
    }
}
