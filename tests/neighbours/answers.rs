//! The answers of real servers: a caller gets through the gate what it gets without it, one request after the other on one connection.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::SILENCE;
use crate::process::{Neighbour, address};
use support::Fixture;

const SERVERS: [&str; 6] = ["node", "node_http2", "uvicorn", "gunicorn", "nginx", "library"];
/// Callers of each server at a time, over HTTP/1.1; one more is over HTTP/2. They share the gate's connections to it.
const CALLERS: usize = 3;
/// What they all can answer.
const ANSWERS: [&str; 9] = ["length", "pieces", "empty", "nothing", "reset", "unmodified", "big", "close", "failed"];
/// A body that is announced, of which only the beginning is sent.
const UNFINISHED: usize = 100_000;

/// What is sent behind a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Body {
    Nothing,
    Length,
    Chunked,
    /// Once it is asked for (`Expect: 100-continue`).
    Expected,
    /// Its beginning, and no more: the answer comes early.
    Begun,
}

type Case = (&'static str, &'static str, Body);

fn cases(server: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = ANSWERS.iter().map(|name| ("GET", *name, Body::Nothing)).collect();
    cases.extend(["length", "pieces", "empty", "unmodified", "close"].map(|name| ("HEAD", name, Body::Nothing)));
    if server != "nginx" {
        // nginx takes a POST for none of its own files.
        cases.extend(["length", "pieces", "nothing", "close"].map(|name| ("POST", name, Body::Length)));
    }
    if server.starts_with("node") {
        cases.extend(["trailers", "hints"].map(|name| ("GET", name, Body::Nothing)));
    }
    if !matches!(server, "nginx" | "library") {
        cases.push(("POST", "length", Body::Chunked));
        cases.push(("PUT", "length", Body::Expected));
    }
    cases.push(("POST", "early", Body::Begun));
    cases
}

/// An answer as far as it is the caller's: not what is said of the connection, nor what the gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    interim: Vec<Vec<String>>,
    status: u16,
    headers: Vec<String>,
    body: String,
}

impl Answer {
    /// The same whatever the number of the request is, and with what the way that it took tells of: interim answers, trailers.
    fn of(&self, number: &str, interim: bool, trailers: bool) -> Self {
        let text = |text: &String| text.replace(number, "?");
        let told = |header: &&String| trailers || !header.starts_with("trailer ");
        Self {
            interim: if interim { self.interim.clone() } else { Vec::new() },
            status: self.status,
            headers: self.headers.iter().filter(told).map(text).collect(),
            body: text(&self.body),
        }
    }
}

/// Whether a header is the caller's.
fn is_callers(name: &str) -> bool {
    let hops = ["connection", "date", "keep-alive", "trailer", "transfer-encoding"];
    !hops.contains(&name) && !name.starts_with("wcp-")
}

/// A connection over HTTP/1.1.
struct Caller {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Caller {
    async fn to(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), buffer: Vec::new() }
    }

    async fn more(&mut self) -> Result<bool, String> {
        let read = timeout(SILENCE, self.stream.read_buf(&mut self.buffer)).await;
        Ok(read.map_err(|_| "nothing comes".to_owned())?.unwrap_or(0) > 0)
    }

    async fn line(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !self.more().await? {
                return Err(format!("the connection ends in `{}`", self.buffer.escape_ascii()));
            }
        }
    }

    async fn take(&mut self, count: usize) -> Result<Vec<u8>, String> {
        while self.buffer.len() < count {
            if !self.more().await? {
                return Err(format!("the connection ends {} bytes early", count - self.buffer.len()));
            }
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// A head: its status, and its headers in lower case.
    async fn head(&mut self) -> Result<(u16, Vec<(String, String)>), String> {
        let first = self.line().await?;
        let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
        let status = status.ok_or_else(|| format!("`{first}` is no answer"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok((status, headers))
    }

    /// Asks, and reads the answer; whether the connection goes on.
    async fn ask(&mut self, (method, _, body): Case, target: &str) -> Result<(Answer, bool), String> {
        let text = "0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n";
        let (framing, mut late) = match body {
            Body::Nothing => (String::new(), None),
            Body::Length => (format!("Content-Length: {}\r\n\r\n{text}", text.len()), None),
            Body::Begun => (format!("Content-Length: {UNFINISHED}\r\n\r\n{text}"), None),
            Body::Expected => (format!("Expect: 100-continue\r\nContent-Length: {}\r\n\r\n", text.len()), Some(text)),
            Body::Chunked => {
                (format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{text}\r\n0\r\n\r\n", text.len()), None)
            }
        };
        let end = if body == Body::Nothing { "\r\n" } else { "" };
        let request = format!("{method} {target} HTTP/1.1\r\nHost: h\r\n{framing}{end}");
        self.stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
        let mut interim = Vec::new();
        let (status, said) = loop {
            let (status, said) = self.head().await?;
            if status >= 200 {
                break (status, said);
            }
            interim.push(said.into_iter().map(|(name, value)| format!("{status} {name}: {value}")).collect());
            if status == 100
                && let Some(body) = late.take()
            {
                self.stream.write_all(body.as_bytes()).await.map_err(|error| error.to_string())?;
            }
        };
        let header = |name: &str| said.iter().find(|(own, _)| own == name).map(|(_, value)| &**value);
        let mut closes = header("connection") == Some("close") || body == Body::Begun || late.is_some();
        let mut own = Vec::new();
        if method == "HEAD" || matches!(status, 204 | 304) {
        } else if header("transfer-encoding").is_some() {
            loop {
                let size = self.line().await?;
                let size = usize::from_str_radix(&size, 16).map_err(|_| format!("`{size}` is no size"))?;
                if size == 0 {
                    break;
                }
                own.extend(self.take(size).await?);
                self.take(2).await?;
            }
            while !self.line().await?.is_empty() {}
        } else if let Some(length) = header("content-length") {
            own = self.take(length.parse().map_err(|_| format!("`{length}` is no length"))?).await?;
        } else {
            while self.more().await? {}
            own = std::mem::take(&mut self.buffer);
            closes = true;
        }
        let headers = said.iter().filter(|(name, _)| is_callers(name));
        let mut headers: Vec<_> = headers.map(|(name, value)| format!("{name}: {value}")).collect();
        headers.sort();
        let body = String::from_utf8_lossy(&own).into_owned();
        Ok((Answer { interim, status, headers, body }, !closes))
    }
}

async fn http2(address: SocketAddr) -> SendRequest<Bytes> {
    let (sender, connection) = h2::client::handshake(TcpStream::connect(address).await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn listed(headers: &HeaderMap, what: &str) -> Vec<String> {
    let own = headers.iter().filter(|(name, _)| is_callers(name.as_str()));
    let mut listed: Vec<_> = own.map(|(name, value)| format!("{what}{name}: {}", value.to_str().unwrap())).collect();
    listed.sort();
    listed
}

/// Asks over HTTP/2.
async fn ask(sender: &SendRequest<Bytes>, (method, _, body): Case, target: &str) -> Result<Answer, String> {
    let text = "0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n";
    let mut request = Request::builder().method(method).uri(format!("http://h{target}"));
    match body {
        Body::Nothing | Body::Chunked => {}
        Body::Length => request = request.header("content-length", text.len()),
        Body::Begun => request = request.header("content-length", UNFINISHED),
        Body::Expected => request = request.header("content-length", text.len()).header("expect", "100-continue"),
    }
    let said = |error: h2::Error| error.to_string();
    let mut sender = sender.clone().ready().await.map_err(said)?;
    let (answer, mut stream) = sender.send_request(request.body(()).unwrap(), body == Body::Nothing).map_err(said)?;
    if body != Body::Nothing {
        stream.send_data(Bytes::from(text), body != Body::Begun).map_err(said)?;
    }
    let silent = |_| "nothing comes".to_owned();
    let answer = timeout(SILENCE, answer).await.map_err(silent)?.map_err(said)?;
    let status = answer.status().as_u16();
    let mut headers = listed(answer.headers(), "");
    let mut incoming = answer.into_body();
    let mut own = Vec::new();
    while let Some(piece) = timeout(SILENCE, incoming.data()).await.map_err(silent)? {
        let piece = piece.map_err(said)?;
        own.extend(&piece);
        let _ = incoming.flow_control().release_capacity(piece.len());
    }
    if let Some(trailers) = timeout(SILENCE, incoming.trailers()).await.map_err(silent)?.map_err(said)? {
        headers.extend(listed(&trailers, "trailer "));
    }
    Ok(Answer { interim: Vec::new(), status, headers, body: String::from_utf8_lossy(&own).into_owned() })
}

/// An answer as it is told.
fn brief(answer: &impl std::fmt::Debug) -> String {
    format!("{answer:?}").replace(&"b".repeat(1000), "…").chars().take(1500).collect()
}

/// A request of its own.
fn target(server: &str, name: &str, number: &str) -> String {
    format!("/{server}/{name}?{number}")
}

/// What a server answers without a gate, each on a connection of its own.
async fn directly(server: &Neighbour) -> HashMap<Case, Answer> {
    let mut answers = HashMap::new();
    for case in cases(server.name) {
        let target = target(server.name, case.1, "000000");
        let answer = if server.name == "node_http2" {
            ask(&http2(server.address).await, case, &target).await
        } else {
            Caller::to(server.address).await.ask(case, &target).await.map(|(answer, _)| answer)
        };
        let answer = answer.unwrap_or_else(|fault| panic!("{} answers {case:?} so: {fault}", server.name));
        answers.insert(case, answer.of("000000", true, true));
    }
    answers
}

/// Each case of a server, in turn, through the gate. What is not as it is without: told.
async fn through(
    gate: SocketAddr,
    server: &'static str,
    caller: usize,
    rounds: usize,
    direct: Arc<HashMap<Case, Answer>>,
) -> Vec<String> {
    let mut faults = Vec::new();
    let by_http2 = caller == CALLERS;
    let sender = if by_http2 { Some(http2(gate).await) } else { None };
    let mut kept = None;
    let mut cases = cases(server);
    let count = cases.len();
    for round in 0..rounds {
        // Each caller in an order of its own.
        cases.rotate_left((caller * 5 + round) % count);
        for (nth, case) in cases.iter().enumerate() {
            let number = format!("{:06}", (caller + 1) * 100_000 + round * count + nth);
            let target = target(server, case.1, &number);
            let answer = if let Some(sender) = &sender {
                ask(sender, *case, &target).await
            } else {
                let mut connection = match kept.take() {
                    Some(kept) => kept,
                    None => Caller::to(gate).await,
                };
                let answer = connection.ask(*case, &target).await;
                answer.map(|(answer, goes_on)| {
                    kept = goes_on.then_some(connection);
                    answer
                })
            };
            // Over HTTP/2 interim answers are not asked about, and from there pingora passes none on.
            let interim = !by_http2 && server != "node_http2";
            let expected = direct[case].of("000000", interim, by_http2);
            match answer.map(|answer| answer.of(&number, interim, true)) {
                Ok(answer) if answer == expected => {}
                answer => {
                    faults.push(format!("{case:?} of {server}, {number}:\n{}\n{}", brief(&answer), brief(&expected)))
                }
            }
        }
    }
    faults
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_gets_what_the_server_answers() {
    let fixture = Fixture::new("");
    let folder = fixture.path("");
    std::fs::write(
        folder.join("pieces.txt"),
        "It is <!--# echo var=\"request_uri\" --> and <!--# echo var=\"uri\" -->.",
    )
    .unwrap();
    let servers = SERVERS.map(|name| Neighbour::behind(name, "answers", &folder));
    let h2c = address();
    fixture.configure(&crate::configuration(&servers, Some(h2c)));
    let process = fixture.serve();
    let mut running = Vec::new();
    for server in &servers {
        let direct = Arc::new(directly(server).await);
        for caller in 0..=CALLERS {
            let gate = if caller == CALLERS { h2c } else { process.gate() };
            running.push(tokio::spawn(through(gate, server.name, caller, crate::rounds(), Arc::clone(&direct))));
        }
    }
    let mut faults = Vec::new();
    for caller in running {
        faults.extend(caller.await.unwrap());
    }
    let some = &faults[..faults.len().min(8)];
    assert!(faults.is_empty(), "{} faults: {}", faults.len(), some.join("\n\n"));
}
