//! An approval in words. Callers have written some of it: nothing of it reaches a terminal but what can be seen, and no line of what
//! would run can be taken for one of ours.

use serde_json::Value;

use super::similar;
use crate::approvals::visible as safe;

/// A line of a list, in columns between tabs.
pub(super) fn line(approval: &Value) -> String {
    let keys = [
        "pending_approval_id",
        "supervisor_level",
        "data_label",
        "tenant_id",
        "worker_id",
        "capability_id",
        "expires_at",
        "reason",
    ];
    keys.map(|key| text(approval, key)).join("\t")
}

/// All of it, with exactly what would run.
pub(super) fn whole(approval: &Value) -> String {
    let of = |key: &str| text(approval, key);
    let mut lines = vec![format!("approval   {} is {}", of("pending_approval_id"), of("state"))];
    if approval.get("digest").is_none() {
        // Whoever asked is told no more.
        lines.push(format!("level      {}", of("supervisor_level")));
        lines.push(format!("until      {}", of("expires_at")));
        lines.extend(noted(approval));
        return lines.join("\n");
    }
    let voted = list(approval, "votes");
    let votes = if voted.is_empty() { String::new() } else { format!(" ({})", voted.join(", ")) };
    let policies = list(approval, "policies");
    lines.extend([
        format!("asks       {}, for {}", of("requested_by"), of("tenant_id")),
        format!("worker     {}", of("worker_id")),
        format!(
            "for        {} in {}, {} data, by the door `{}`",
            of("capability_id"),
            of("env"),
            of("data_label"),
            of("door")
        ),
        format!("why        {}", of("reason")),
        format!("rule       {}", of("matched_rule_id")),
        format!("policies   {}", if policies.is_empty() { "-".to_owned() } else { policies.join(", ") }),
        format!("score      {}", of("blast_score")),
        format!("level      {}: {} of {} agree{votes}", of("supervisor_level"), voted.len(), of("quorum")),
        format!("asked      {} with correlation id {}", of("opened_at"), of("correlation_id")),
        format!("until      {}", of("expires_at")),
        format!("digest     {}", of("digest")),
    ]);
    lines.extend(noted(approval));
    lines.push(match approval.get("why_not").and_then(Value::as_str) {
        Some(why) => format!("you        may not decide: {}", safe(why)),
        None => "you        may decide".to_owned(),
    });
    lines.extend(contents(approval));
    lines.extend(similar::lines(approval));
    lines.join("\n")
}

/// Who ended it, and why.
fn noted(approval: &Value) -> Option<String> {
    let (by, note) = (text(approval, "resolved_by"), text(approval, "note"));
    (by != "-" || note != "-").then(|| format!("ended      by {by}: {note}"))
}

/// Exactly what would run.
fn contents(approval: &Value) -> Vec<String> {
    let Some(contents) = approval.get("contents") else {
        let why = match text(approval, "state").as_str() {
            "pending" => "what would run is not for this token to see",
            _ => "what would run is not kept any more",
        };
        return vec![why.to_owned()];
    };
    if contents.get("is_withheld") == Some(&Value::Bool(true)) {
        let bytes = text(contents, "bytes");
        let mut lines =
            vec![format!("what would run ({bytes} bytes of body) is kept from everybody, as its label wants:")];
        lines.extend(contents.get("http").and_then(Value::as_str).map(|line| format!("| {}", safe(line))));
        return lines;
    }
    let hex = if contents.get("is_hex") == Some(&Value::Bool(true)) { ", no text: as hex digits" } else { "" };
    let mut lines = vec![format!("what would run ({} bytes of body{hex}):", text(contents, "bytes"))];
    if contents.get("http").is_some_and(Value::is_string) {
        lines.push(format!("| {}", text(contents, "http")));
        let headers = contents.get("headers").and_then(Value::as_array).into_iter().flatten();
        lines.extend(headers.map(|header| format!("| {}: {}", text(header, "name"), text(header, "value"))));
        lines.push("|".to_owned());
    }
    let body = contents.get("body").and_then(Value::as_str).unwrap_or_default();
    lines.extend(body.split('\n').map(|line| format!("| {}", safe(line))));
    lines
}

fn list(approval: &Value, key: &str) -> Vec<String> {
    approval.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(safe).collect()
}

/// A value, as it can be shown; `-` where there is none.
pub(super) fn text(of: &Value, key: &str) -> String {
    match of.get(key) {
        Some(Value::String(text)) => safe(text),
        None | Some(Value::Null) => "-".to_owned(),
        Some(value) => safe(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_line_of_what_would_run_looks_like_one_of_ours() {
        let approval = json!({
            "pending_approval_id": "8d0c6c0e-4e0f-4c83-9a2e-6c2d2a9b7c11", "state": "pending", "digest": "00", "votes": ["bea"],
            "quorum": 2, "supervisor_level": "gatekeeper", "reason": "x\ndigest     ff", "why_not": null,
            "contents": {"http": "POST https://a/\u{1b}", "headers": [{"name": "x", "value": "y\nz"}], "body": "one\ndigest     ff\n",
                "is_hex": false, "bytes": 19},
        });
        let shown = whole(&approval);
        assert_eq!(shown.lines().filter(|line| line.starts_with("digest")).count(), 1, "{shown}");
        let told = shown.split_once("what would run (19 bytes of body):\n").unwrap().1;
        assert_eq!(told, "| POST https://a/\\u{1b}\n| x: y\\nz\n|\n| one\n| digest     ff\n| ");
        assert!(shown.contains("level      gatekeeper: 1 of 2 agree (bea)\n"), "{shown}");
        assert!(shown.contains("why        x\\ndigest     ff\n"), "{shown}");
        let line = line(&json!({"pending_approval_id": "id", "reason": "a\tb\nc", "worker_id": null}));
        assert_eq!(line, "id\t-\t-\t-\t-\t-\t-\ta\\tb\\nc");
    }
}
