//! Framing agrees with the neighbours: real proxies before the gate and real servers behind it, and requests that somebody reads
//! in more than one way. No pair disagrees on where a request ends: the gate permits no request that the proxy before it did not
//! pass on as one, the server behind it gets none that was not permitted, and each caller gets answers to what it sent.
//!
//! `HALLGATE_NEIGHBOURS_ROUNDS` has each case sent more than once (`make neighbours`).
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "neighbours/answers.rs"]
mod answers;
#[path = "neighbours/cases.rs"]
mod cases;
#[path = "neighbours/lenient.rs"]
mod lenient;
#[path = "neighbours/process.rs"]
mod process;

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use cases::CASES;
use lenient::Lenient;
use process::Neighbour;
use support::{Fixture, TOKEN};

const BEFORE: [&str; 4] = ["nginx", "haproxy", "envoy", "caddy"];
const BEHIND: [&str; 4] = ["node", "uvicorn", "gunicorn", "nginx"];
/// Cases at a time. They share the connections of the proxies before and behind them: an answer too many is somebody else's.
const AT_ONCE: usize = 16;
/// How long a connection may be silent. All that are asked here give up sooner.
const SILENCE: Duration = Duration::from_secs(6);

/// A gate before these; `h2c` is where it speaks HTTP/2, too.
fn configuration(behind: &[Neighbour], h2c: Option<SocketAddr>) -> String {
    let listen_h2c = h2c.map_or_else(String::new, |address| format!("  listen_h2c: {address}\n"));
    let conf = fs::canonicalize("conf").unwrap();
    let http2 = |of: &Neighbour| if of.name == "node_http2" { ", http2: true" } else { "" };
    let upstream = |of: &Neighbour| format!("    {}: {{ url: \"http://{}\"{} }}\n", of.name, of.address, http2(of));
    let route = |of: &Neighbour| {
        let matched = format!("match: {{ path: /{}/* }}, upstream: {}", of.name, of.name);
        format!("    - {{ {matched}, capability: cap.data.read.v1, data_label: INTERNAL }}\n")
    };
    format!(
        "gate:\n  listen: 127.0.0.1:0\n{listen_h2c}  identity: {{ mode: fixed, worker_id: wrk_make_acme_prod, tenant_id: org.acme }}\n  \
         upstreams:\n{}  routes:\n{}hall:\n  listen: 127.0.0.1:0\n  tokens: [{{ name: make, secret: {TOKEN}, scopes: [route] }}]\n\
         policy: {{ gate: {conf}/policies, rules: {conf}/rules.json, workers: {conf}/enrolled }}\nshutdown: {{ linger: 0s }}\n",
        behind.iter().map(upstream).collect::<String>(),
        behind.iter().map(route).collect::<String>(),
        conf = conf.display()
    )
}

/// The answers on a connection on which this was sent, as far as they came whole: what each says it answers, or its status.
async fn answers(to: SocketAddr, sent: &[u8]) -> Vec<String> {
    let mut stream = TcpStream::connect(to).await.unwrap();
    // Who has answered already may not take the rest.
    let _ = stream.write_all(sent).await;
    let mut got = Vec::new();
    while let Ok(Ok(1..)) = timeout(SILENCE, stream.read_buf(&mut got)).await {}
    let mut answers = Vec::new();
    let mut rest = &got[..];
    let mut bodiless = sent.starts_with(b"HEAD");
    while let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&rest[..end]).to_ascii_lowercase();
        rest = &rest[end + 4..];
        let status = head.split(' ').nth(1).unwrap_or_default().to_owned();
        if status.starts_with('1') {
            continue;
        }
        let said = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let mut body = Vec::new();
        if std::mem::take(&mut bodiless) {
        } else if let Some(length) = said("content-length:").and_then(|length| length.parse().ok()) {
            let (own, others) = rest.split_at(rest.len().min(length));
            (body, rest) = (own.to_vec(), others);
        } else if said("transfer-encoding:").is_some() {
            while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
                let size = std::str::from_utf8(&rest[..line]).unwrap();
                let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("{size}: {got:?}"));
                let piece = rest.get(line + 2..line + 2 + size).unwrap_or_default();
                body.extend(piece);
                rest = rest.get(line + 4 + size..).unwrap_or_default();
                if size == 0 {
                    break;
                }
            }
        } else {
            body = std::mem::take(&mut rest).to_vec();
        }
        // What a proxy before the gate says itself says nothing of a request.
        let ours = said("wcp-decision-id:").is_some();
        answers.push(if ours && status == "200" { String::from_utf8_lossy(&body).into_owned() } else { status });
    }
    answers
}

/// What is wrong with the answers to a case, if anything is: each is that of a request which was sent, in the order in which it was.
fn fault(path: &str, (method, head, _): (&str, &str, &str), answers: &[String]) -> Option<String> {
    let sent = [format!("{} {path}", method.trim_end()), format!("GET {path}/smuggled"), format!("GET {path}/end")];
    let mut at = 0;
    for answer in answers {
        let refused = answer.len() == 3;
        // Envoy leaves out the body of an answer by which an upgrade is refused.
        let unsaid = answer.is_empty() && (method == "HEAD" || head.contains("Upgrade: websocket"));
        match sent.iter().skip(at).position(|sent| sent == answer) {
            Some(found) => at += found + 1,
            None if refused || unsaid => at += 1,
            None => return Some(format!("{answers:?}")),
        }
    }
    None
}

/// What the proxies before the gate took for requests, once they have ended.
fn passed(before: Vec<Neighbour>, folder: &Path) -> Vec<String> {
    drop(before);
    let read = |name: &str| fs::read_to_string(folder.join(format!("{name}.passed"))).unwrap();
    let lines = BEFORE.map(|name| read(name).lines().map(str::to_owned).collect::<Vec<_>>()).concat();
    let plain = |line: String| match serde_json::from_str::<Value>(&line) {
        Ok(caddy) => {
            let text = |name: &str| caddy["request"][name].as_str().unwrap_or_default().to_owned();
            format!("{} {}", text("method"), text("uri"))
        }
        Err(_) => line,
    };
    lines.into_iter().map(plain).collect()
}

/// How often each case is sent.
fn rounds() -> usize {
    std::env::var("HALLGATE_NEIGHBOURS_ROUNDS").map_or(1, |text| text.parse().unwrap())
}

/// How often each is there.
fn count(texts: impl Iterator<Item = String>) -> HashMap<String, usize> {
    texts.fold(HashMap::new(), |mut counts, text| {
        *counts.entry(text).or_default() += 1;
        counts
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_pair_disagrees_on_where_a_request_ends() {
    let rounds = rounds();
    let fixture = Fixture::new("");
    let folder = fixture.path("");
    let behind = BEHIND.map(|name| Neighbour::behind(name, "back", &folder));
    fixture.configure(&configuration(&behind, None));
    let process = fixture.serve();
    let before: Vec<_> = BEFORE.iter().map(|name| Neighbour::before(name, &folder, process.gate())).collect();
    let lenient = Lenient::start(process.gate()).await;
    let others = [("lenient", lenient.address), ("nobody", process.gate())];
    let doors: Vec<_> = before.iter().map(|before| (before.name, before.address)).chain(others).collect();

    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = Vec::new();
    for round in 0..rounds {
        for (nth, case) in CASES.into_iter().enumerate() {
            for (front, address) in doors.clone() {
                for back in BEHIND {
                    let path = format!("/{back}/{front}/{nth}.{round}");
                    let place = Arc::clone(&places).acquire_owned().await.unwrap();
                    running.push(tokio::spawn(async move {
                        let answers = answers(address, &cases::bytes(case, &path)).await;
                        drop(place);
                        (path, case, answers)
                    }));
                }
            }
        }
    }
    let mut faults = Vec::new();
    for case in running {
        let (path, case, answers) = case.await.unwrap();
        faults.extend(fault(&path, case, &answers).map(|fault| format!("{path} {case:?}: {fault}")));
    }

    let permitted = fixture
        .entries()
        .into_iter()
        .filter(|entry| entry["kind"] == "decision" && entry["outcome"] == "DISPATCH")
        .map(|entry| {
            let text = |name: &str| entry["http"][name].as_str().unwrap().to_owned();
            format!("{} {}", text("method"), text("path"))
        });
    let permitted = count(permitted);
    let seen = BEHIND.map(|name| fs::read_to_string(folder.join(format!("{name}.seen"))).unwrap()).concat();
    let seen = count(seen.lines().map(str::to_owned));
    let passed = count(passed(before, &folder).into_iter().chain(lenient.passed()));
    for (request, times) in &seen {
        let permitted = permitted.get(request).copied().unwrap_or_default();
        if *times > permitted {
            faults.push(format!("`{request}` was permitted {permitted} times and came {times} times"));
        }
    }
    for (request, times) in &permitted {
        let passed = passed.get(request).copied().unwrap_or_default();
        if *times > passed && !request.contains("/nobody/") {
            faults.push(format!("`{request}` was permitted {times} times, and passed on {passed} times"));
        }
    }
    faults.sort();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let least = rounds * doors.len() * BEHIND.len();
    assert!(seen.len() > least, "too little came through to say anything: {}", seen.len());
}
