//! Memory that callers fill has a bound in bytes, held against what the process really takes.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "policy/gated.rs"]
mod gated;

use std::fs;

use hallgate::cache::{Settings as CacheSettings, Verdicts};
use hallgate::engine::input::HttpFacts;
use hallgate::engine::{Facts, Question, RouteInput, Snapshot, decide};
use hallgate::ids::{DataLabel, Env};

use gated::gated_by;

/// What the process has in memory, in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
}

/// A policy that reads the path, so that each path is a question of its own.
fn snapshot() -> Snapshot {
    let policy = "permit(principal, action, resource) when { context has http && context.http.path like \"/o*\" };";
    gated_by(policy)
}

fn asking(path: String) -> RouteInput {
    RouteInput {
        data_label: DataLabel::Public,
        data_label_defaulted: false,
        correlation_id: "c-1".into(),
        http: Some(HttpFacts { method: "GET".into(), host: "orders".into(), path: path.into() }),
        ..RouteInput::new("cap.data.read.v1", Env::Dev, "org.acme")
    }
}

#[test]
fn remembered_verdicts_take_no_more_memory_than_they_may() {
    const MOST: u64 = 4 << 20;
    let snapshot = snapshot();
    // Short paths and long ones, allowed and denied: what one takes is chosen by callers.
    for path in ["/o/", "/x/", &format!("/o/{}", "y".repeat(600)), &format!("/x/{}", "y".repeat(600))] {
        let remembered = Verdicts::new(CacheSettings { max_bytes: MOST });
        let before = resident();
        for n in 0..6000 {
            let question = Question::ask(&asking(format!("{path}{n:06}")), &Facts::default(), &snapshot);
            remembered.verdict(question, |question| decide(question, &snapshot));
        }
        let (counted, taken) = (remembered.bytes(), resident().saturating_sub(before));
        println!("{} of {} bytes each: {counted} counted, {taken} taken", remembered.len(), path.len());
        assert!(counted <= MOST && counted > MOST / 2, "{counted}");
        // The allocator keeps what it has given back, so this says nothing of the later turns but that they need no more.
        assert!(taken <= MOST + MOST / 2, "{taken} bytes taken by what counts as {counted}");
        assert!(remembered.len() > 1000);
    }
}
