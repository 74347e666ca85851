//! Entries of the kind `registry`: who may act, by our own records, by a remote registry's word, or because the hall is switched.

use serde_json::Value;

use super::fault::{Fault, HALL, fault, text};
use crate::ids::Digest;

/// Checks one. Changes of our own records have an `action`, the others a `cause`.
pub(super) fn sound(entry: &Value, stream: &str) -> Result<(), Fault> {
    if entry.get("action").is_some() {
        return own(entry);
    }
    if stream != HALL {
        return fault("stream", "is not the hall's own");
    }
    match entry.get("cause").and_then(Value::as_str) {
        Some("remote") => remote(entry),
        Some("account") => {
            text(entry, "account_standing")?;
            match entry.get("online") {
                Some(Value::Bool(_)) => Ok(()),
                _ => fault("online", "is missing or no boolean"),
            }
        }
        Some("go-online" | "go-offline") => text(entry, "token").map(|_| ()),
        _ => fault("cause", "is none that this program knows"),
    }
}

/// A change of our own records says what happened, and to whom or to what.
fn own(entry: &Value) -> Result<(), Fault> {
    let about = match text(entry, "action")? {
        "enrolled" | "updated" => &["worker_id", "record", "hash"][..],
        "revoked" | "restored" => &["worker_id"],
        "banned" | "unbanned" => &["hash"],
        _ => return fault("action", "is none that this program knows"),
    };
    for field in about {
        text(entry, field)?;
    }
    match entry.get("hash").and_then(Value::as_str).map(str::parse::<Digest>) {
        Some(Err(error)) => fault("hash", error.to_string()),
        _ => Ok(()),
    }
}

/// From here on these workers have this standing, by a remote registry's word.
fn remote(entry: &Value) -> Result<(), Fault> {
    if !matches!(text(entry, "standing")?, "active" | "unverified" | "revoked" | "banned") {
        return fault("standing", "is none that this program knows");
    }
    match entry.get("workers").and_then(Value::as_array) {
        Some(workers) if !workers.is_empty() && workers.iter().all(Value::is_string) => Ok(()),
        _ => fault("workers", "is no list of worker ids"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_says_what_it_has_to() {
        let field = |entry: Value, stream: &str| sound(&entry, stream).map_err(|(field, _)| field);
        let remote =
            |standing: &str, workers: Value| json!({"cause": "remote", "standing": standing, "workers": workers});
        assert_eq!(field(remote("revoked", json!(["w"])), HALL), Ok(()));
        assert_eq!(field(remote("revoked", json!(["w"])), "org.acme"), Err("stream"));
        assert_eq!(field(remote("fine", json!(["w"])), HALL), Err("standing"));
        assert_eq!(field(remote("banned", json!([])), HALL), Err("workers"));
        assert_eq!(field(json!({"cause": "go-online"}), HALL), Err("token"));
        assert_eq!(field(json!({"cause": "go-offline", "token": "ops"}), HALL), Ok(()));
        assert_eq!(field(json!({"cause": "account", "account_standing": "ok", "online": "no"}), HALL), Err("online"));
        assert_eq!(field(json!({"cause": "account", "account_standing": null}), HALL), Err("account_standing"));
        assert_eq!(field(json!({}), HALL), Err("cause"));
        assert_eq!(field(json!({"action": "revoked"}), "org.acme"), Err("worker_id"));
        assert_eq!(field(json!({"action": "banned", "hash": "x"}), "org.acme"), Err("hash"));
        assert_eq!(field(json!({"action": "sold"}), "org.acme"), Err("action"));
    }
}
