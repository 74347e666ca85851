//! A load at a fixed rate: `pace ADDRESS PATH RATE SECONDS [--status 403] [--body TEXT] [HEADER…]` prints how many requests there were and
//! their p50, p90 and p99 in microseconds as JSON.
//!
//! Sixteen connections, each a thread that sleeps until its next request is due; so a slow answer delays only its own
//! connection, and what is measured is the exchange and not the queue of a saturated server.
#![expect(clippy::print_stdout, reason = "a bench says what it measured")]

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

const CONNECTIONS: u32 = 16;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let (Some(address), Some(path), Some(rate), Some(seconds)) = (args.next(), args.next(), args.next(), args.next())
    else {
        // `cargo bench` runs every bench; this one is a tool for `benches/gate.py`.
        println!("usage: pace ADDRESS PATH RATE SECONDS [--status 403] [--body TEXT] [HEADER…]");
        return Ok(());
    };
    let rate: u32 = rate.parse()?;
    let spell = Duration::from_secs(seconds.parse()?);
    let every = Duration::from_secs(1) * CONNECTIONS / rate;
    let (mut headers, mut body, mut status) = (String::new(), String::new(), "200".to_owned());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--status" => status = args.next().ok_or("--status of what?")?,
            "--body" => body = args.next().ok_or("--body of what?")?,
            _ => headers = headers + &arg + "\r\n",
        }
    }
    let (method, length) = match body.len() {
        0 => ("GET", String::new()),
        length => ("POST", format!("content-length: {length}\r\n")),
    };
    let request = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\n{headers}{length}\r\n{body}");
    let wanted = format!("http/1.1 {status}");
    let begin = Instant::now() + Duration::from_millis(50);
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|nth| {
            let (address, request, wanted) = (address.clone(), request.clone(), wanted.clone());
            let first = begin + every * nth / CONNECTIONS;
            thread::spawn(move || connection(&address, (&request, &wanted), first, every, begin + spell))
        })
        .collect();
    let mut took = Vec::new();
    for connection in connections {
        took.extend(connection.join().map_err(|_| "a connection panicked")??);
    }
    took.sort_unstable();
    let at = |share: f64| {
        let nth = (took.len() as f64 * share) as usize;
        took.get(nth.min(took.len().saturating_sub(1))).map_or(0.0, |took| took.as_secs_f64() * 1e6)
    };
    println!("{{\"requests\":{},\"p50\":{:.1},\"p90\":{:.1},\"p99\":{:.1}}}", took.len(), at(0.5), at(0.9), at(0.99));
    Ok(())
}

/// Sends a request whenever one is due, and says how long each exchange took.
fn connection(
    address: &str,
    (request, wanted): (&str, &str),
    first: Instant,
    every: Duration,
    end: Instant,
) -> Result<Vec<Duration>, Failure> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut took = Vec::new();
    let mut answer = Vec::with_capacity(4096);
    let mut due = first;
    while due < end {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let sent = Instant::now();
        stream.write_all(request.as_bytes())?;
        receive(&mut stream, &mut answer, wanted)?;
        took.push(sent.elapsed());
        due += every;
    }
    Ok(took)
}

/// Reads one answer of a known length; another status than the one that is wanted is a failure.
fn receive(stream: &mut TcpStream, answer: &mut Vec<u8>, wanted: &str) -> Result<(), Failure> {
    answer.clear();
    let mut piece = [0; 4096];
    loop {
        let read = stream.read(&mut piece)?;
        if read == 0 {
            return Err("the connection was closed".into());
        }
        answer.extend_from_slice(piece.get(..read).unwrap_or_default());
        let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head_text = String::from_utf8_lossy(answer.get(..head).unwrap_or_default()).to_ascii_lowercase();
        if !head_text.starts_with(wanted) {
            return Err(format!("not {wanted}: {}", head_text.lines().next().unwrap_or_default()).into());
        }
        let length = head_text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.ok_or("an answer without content-length")?.trim().parse()?;
        if answer.len() >= head + 4 + length {
            return Ok(());
        }
    }
}
