//! How what would run differs from what else waits of the same worker and capability, in words.

use serde_json::Value;

use super::shown::text;
use crate::approvals::visible;

/// Lines about others that wait; none where the Hall says nothing of them.
pub(super) fn lines(approval: &Value) -> Vec<String> {
    let Some(similar) = approval.get("similar") else { return Vec::new() };
    let count = similar.get("count").and_then(Value::as_u64).unwrap_or_default();
    if count == 0 {
        return Vec::new();
    }
    let compared = similar.get("compared").and_then(Value::as_array).into_iter().flatten().flat_map(difference);
    let head = format!("{count} more of this worker and capability wait");
    std::iter::once(head).chain(compared).collect()
}

fn difference(other: &Value) -> Vec<String> {
    let head = format!("compared with {}, asked {}:", text(other, "pending_approval_id"), text(other, "opened_at"));
    let mut lines =
        [side(other, "here ", "only_here", "more_here"), side(other, "there", "only_there", "more_there")].concat();
    if lines.is_empty() {
        lines.push("| no line differs but by its place: look at who asks, and with what".to_owned());
    }
    lines.insert(0, head);
    lines
}

/// The lines that one side alone has.
fn side(other: &Value, name: &str, only: &str, more: &str) -> Vec<String> {
    let only = other.get(only).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let mut lines: Vec<String> = only.map(|line| format!("| {name} {}", visible(line))).collect();
    let more = other.get(more).and_then(Value::as_u64).unwrap_or_default();
    lines.extend((more > 0).then(|| format!("| {name} … and {more} more lines")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_line_is_of_one_side_and_can_be_seen() {
        let other = |here: Value, there: Value, more: u64| json!({"pending_approval_id": "a", "opened_at": "now", "only_here": here, "more_here": 0, "only_there": there, "more_there": more});
        let compared = [other(json!(["/a: 1"]), json!(["x: z\u{1b}"]), 2), other(json!([]), json!([]), 0)];
        assert_eq!(
            lines(&json!({"similar": {"count": 3, "compared": compared}})),
            [
                "3 more of this worker and capability wait",
                "compared with a, asked now:",
                "| here  /a: 1",
                "| there x: z\\u{1b}",
                "| there … and 2 more lines",
                "compared with a, asked now:",
                "| no line differs but by its place: look at who asks, and with what",
            ]
        );
        assert!(lines(&json!({"similar": {"count": 0, "compared": []}})).is_empty() && lines(&json!({})).is_empty());
    }
}
