//! Restarts under load, again and again over the same ledger and addresses: no answer is lost from the ledger, and a caller that
//! tries again where nobody answered sees no failed request.
//!
//! Short by default. `HALLGATE_RESTARTS=100` is a long run.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "endurance/stored.rs"]
#[expect(dead_code, reason = "the endurance tests use the rest of it")]
mod stored;

use std::collections::HashSet;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder};
use serde_json::Value;

use stored::{build, entries};
use support::{Fixture, PATIENCE, READ, TOKEN, Upstream};

/// Callers at a time, half of them at each door.
const CALLERS: usize = 12;
const RESTARTS: usize = 6;

/// What became of all calls.
#[derive(Default)]
struct Tally {
    end: AtomicBool,
    answered: AtomicUsize,
    /// Nobody listened.
    refused: AtomicUsize,
    /// The connection ended before anything of an answer came.
    unanswered: AtomicUsize,
}

/// The answer to a request that is tried again as long as nobody answers. Anything that is answered has to be a whole 200.
async fn answered(tally: &Tally, request: impl Fn() -> RequestBuilder) -> (reqwest::header::HeaderMap, Vec<u8>) {
    let began = Instant::now();
    loop {
        match request().send().await {
            Ok(answer) => {
                assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
                let headers = answer.headers().clone();
                let body = answer.bytes().await.unwrap_or_else(|error| panic!("an answer is cut off: {error:?}"));
                tally.answered.fetch_add(1, Ordering::Relaxed);
                return (headers, body.to_vec());
            }
            Err(error) => {
                assert!(error.is_connect() || error.is_request(), "{error:?}");
                let count = if error.is_connect() { &tally.refused } else { &tally.unanswered };
                count.fetch_add(1, Ordering::Relaxed);
                assert!(began.elapsed() < PATIENCE, "nobody answers: {error:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Calls one door until the end: decision ids with their receipt hashes.
async fn call(gate: bool, at: String, tally: Arc<Tally>) -> Vec<(String, String)> {
    let client = Client::new();
    let mut given = Vec::new();
    while !tally.end.load(Ordering::Relaxed) {
        given.push(if gate {
            let (headers, body) = answered(&tally, || client.get(format!("{at}/orders"))).await;
            assert_eq!(body, b"ok");
            let header = |name: &str| headers[name].to_str().unwrap().to_owned();
            (header("wcp-decision-id"), header("wcp-receipt"))
        } else {
            let question = || {
                let request = client.post(format!("{at}/api/route")).bearer_auth(TOKEN);
                request.header("content-type", "application/json").body(READ)
            };
            let (_, body) = answered(&tally, question).await;
            let body: Value = serde_json::from_slice(&body).unwrap();
            let text = |name: &str| body[name].as_str().unwrap().to_owned();
            (text("decision_id"), text("proof"))
        });
    }
    given
}

/// A fixture at addresses that stay: under 127/8, of this process alone.
fn lasting(upstream: &Upstream) -> Fixture {
    let fixture = build(upstream, "{ checkpoint_every: 50ms, segment_mib: 1 }");
    let ip = Ipv4Addr::from(0x7f60_0000 | (std::process::id() & 0xffff) << 4 | 1);
    let text = fixture.configuration();
    let text = text.replacen("127.0.0.1:0", &format!("{ip}:8080"), 1).replacen("127.0.0.1:0", &format!("{ip}:8765"), 1);
    fixture.configure(&text.replace("linger: 0s", "linger: 50ms"));
    fixture
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_under_load_lose_no_answer_and_fail_no_request() {
    hallgate::cli::serve::one_provider();
    let restarts = std::env::var("HALLGATE_RESTARTS").map_or(RESTARTS, |text| text.parse().unwrap());
    let upstream = Upstream::start();
    let fixture = lasting(&upstream);
    let mut process = fixture.serve();
    let tally = Arc::new(Tally::default());
    let callers: Vec<_> = (0..CALLERS)
        .map(|n| {
            let at = if n % 2 == 0 { process.gate() } else { process.hall() };
            tokio::spawn(call(n % 2 == 0, format!("http://{at}"), Arc::clone(&tally)))
        })
        .collect();
    let mut starts = Vec::new();
    for restart in 0..restarts {
        let target = tally.answered.load(Ordering::Relaxed) + 20 * CALLERS + restart * 7;
        let began = Instant::now();
        while tally.answered.load(Ordering::Relaxed) < target {
            assert!(began.elapsed() < PATIENCE, "the callers come to a halt");
            assert!(callers.iter().all(|caller| !caller.is_finished()), "a caller has failed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        process.end();
        assert!(!process.log().contains("cut off"), "{}", process.log());
        // What was there at the end is under the last checkpoint: nothing is left for the next start to mend.
        let (code, out, err) = fixture.run(&["audit", "verify"]);
        assert_eq!(code, Some(0), "{out}{err}");
        let begun = Instant::now();
        process = fixture.serve();
        starts.push(begun.elapsed());
    }
    tally.end.store(true, Ordering::Relaxed);
    let mut given = Vec::new();
    for caller in callers {
        given.extend(caller.await.unwrap());
    }
    process.end();

    let stored = entries(&[&fixture.path("ledger/segments")]);
    for (id, hash) in &given {
        assert_eq!(stored.get(id), Some(hash), "an answer without its entry");
    }
    for id in upstream.called() {
        assert!(stored.contains_key(&id), "forwarded without an entry: {id}");
    }
    let ids: HashSet<_> = given.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), given.len(), "a decision id was given twice");
    let count = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    assert!(count(&tally.refused) > 0, "no restart was ever noticed: this test shows nothing");
    println!(
        "{restarts} restarts: {} answers; nobody listened {} times, and {} connections ended before an answer; starts took {starts:?}",
        given.len(),
        count(&tally.refused),
        count(&tally.unanswered)
    );
}
