//! What the logs say, and what they must not: the other tests run again in a child that logs everything it can.

use std::process::Command;

use crate::fixture::{CREDENTIAL, TOKEN};

/// Set in the child: the filter to log by.
pub const LEVEL: &str = "HALLGATE_TEST_LOG";

#[test]
fn no_secret_query_or_body_reaches_a_log() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["forwarding::", "rejecting::", "streams::a_", "--nocapture"])
        .env(LEVEL, "trace")
        .output()
        .unwrap();
    let logs = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{logs}");
    for secret in [TOKEN, CREDENTIAL, "hst_", "Bearer mine", "q=%2F", "upstream-credential", "hello"] {
        let line = logs.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "`{secret}` is in a log: {line:?}");
    }
    let lines = logs.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let access: Vec<_> = lines.filter(|line| line["target"] == "hallgate::access").collect();
    let line = access.iter().find(|line| line["correlation_id"] == "c-1").expect("a request without a line");
    assert_eq!((&line["status"], &line["path"]), (&201.into(), &"/public/things".into()), "{line}");
    assert_eq!((&line["upstream"], &line["ending"]), (&"u".into(), &"complete".into()), "{line}");
    assert_eq!((&line["request_bytes"], &line["response_bytes"]), (&5.into(), &2.into()), "{line}");
    assert!(line["decision_id"].as_str().is_some_and(|id| id.len() == 36), "{line}");
    assert!(access.iter().any(|line| line["code"] == "DENY_NO_MATCHING_RULE" && line["status"] == 403));
}
