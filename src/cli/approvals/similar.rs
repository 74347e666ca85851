//! How what would run differs from what else waits of the same worker and capability: who is asked often is shown what is new.

use std::collections::BTreeSet;

use serde_json::Value;

use super::list::{PENDING, approvals};
use super::{show, shown};
use crate::approvals::visible;
use crate::cli::client::HallAddress;

/// The most others that one is compared with, the newest first.
const OTHERS: usize = 5;
/// The most lines of each side that are printed.
const LINES: usize = 20;

/// An approval in words, and how it differs from others.
pub(super) fn whole(hall: &HallAddress, approval: &Value) -> String {
    let mut lines = vec![shown::whole(approval)];
    lines.extend(differences(hall, approval));
    lines.join("\n")
}

/// Lines about others that wait; none where nothing of this one is shown, or the Hall does not say.
fn differences(hall: &HallAddress, approval: &Value) -> Vec<String> {
    let Some(here) = contents(approval) else { return Vec::new() };
    let Some(list) = hall.get(PENDING).ok().filter(|answer| answer.is_success()) else { return Vec::new() };
    let id = shown::text(approval, "pending_approval_id");
    let same = |other: &&Value| {
        let keys = ["tenant_id", "worker_id", "capability_id", "door"];
        keys.into_iter().all(|key| other.get(key) == approval.get(key))
            && shown::text(other, "pending_approval_id") != id
    };
    let mut others: Vec<&Value> = approvals(&list).filter(same).collect();
    if others.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("{} more of this worker and capability wait", others.len())];
    others.reverse();
    for other in others.into_iter().take(OTHERS) {
        let id = shown::text(other, "pending_approval_id");
        let there = show::fetch(hall, &id).ok().filter(|answer| answer.is_success());
        let Some(there) = there.and_then(|answer| contents(&answer.body)) else { continue };
        lines.push(format!("compared with {id}, asked {}:", shown::text(other, "opened_at")));
        lines.extend(compared(&here, &there));
    }
    lines
}

/// The lines of one that the other does not have, and the other way round.
fn compared(here: &[String], there: &[String]) -> Vec<String> {
    let side = |name: &str, of: &[String], without: &[String]| {
        let without: BTreeSet<&String> = without.iter().collect();
        let only: Vec<&String> = of.iter().filter(|line| !without.contains(line)).collect();
        let more = only.len().saturating_sub(LINES);
        let shown = only.into_iter().take(LINES).map(|line| format!("| {name} {}", visible(line)));
        shown.chain((more > 0).then(|| format!("| {name} … and {more} more lines"))).collect::<Vec<_>>()
    };
    let lines = [side("here ", here, there), side("there", there, here)].concat();
    if lines.is_empty() {
        vec!["| no line differs but by its place: look at who asks, and with what".to_owned()]
    } else {
        lines
    }
}

/// What would run, line by line, where it is shown: of JSON a line for each value.
fn contents(approval: &Value) -> Option<Vec<String>> {
    let contents = approval.get("contents")?;
    if contents.get("is_withheld") == Some(&Value::Bool(true)) {
        return None;
    }
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut lines: Vec<String> = contents.get("http").and_then(Value::as_str).map(str::to_owned).into_iter().collect();
    let headers = contents.get("headers").and_then(Value::as_array).into_iter().flatten();
    lines.extend(headers.map(|header| format!("{}: {}", text(header, "name"), text(header, "value"))));
    let body = text(contents, "body");
    match serde_json::from_str::<Value>(&body) {
        Ok(value) if value.is_object() || value.is_array() => flat("", &value, &mut lines),
        _ => lines.extend(body.split('\n').map(str::to_owned)),
    }
    // A key that is there twice is one value of what was parsed: the bytes tell.
    lines.push(format!("body of {} bytes", contents.get("bytes").and_then(Value::as_u64).unwrap_or_default()));
    Some(lines)
}

fn flat(at: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            members.iter().for_each(|(key, value)| flat(&format!("{at}/{key}"), value, lines));
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(n, value)| flat(&format!("{at}/{n}"), value, lines));
        }
        value => lines.push(format!("{at}: {value}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_differs_is_said_and_of_json_by_value() {
        let of = |body: &str, header: &str| {
            let headers = json!([{"name": "x", "value": header}]);
            let bytes = body.len();
            contents(
                &json!({"contents": {"http": "POST https://a/", "headers": headers, "body": body, "bytes": bytes}}),
            )
            .unwrap()
        };
        let said =
            compared(&of(r#"{"a": {"b": 1}, "c": [1, 2]}"#, "y"), &of(r#"{"a": {"b": 2}, "c": [1, 2]}"#, "z\u{1b}"));
        assert_eq!(said, ["| here  x: y", "| here  /a/b: 1", "| there x: z\\u{1b}", "| there /a/b: 2"]);
        let said = compared(&of("one\ntwo", "y"), &of("one\ntoo", "y"));
        assert_eq!(said, ["| here  two", "| there too"]);
        assert_eq!(compared(&of("1", "y"), &of("1", "y")).len(), 1);
    }

    #[test]
    fn what_is_withheld_is_compared_with_nothing() {
        assert_eq!(contents(&json!({"contents": {"is_withheld": true, "body": ""}})), None);
    }
}
