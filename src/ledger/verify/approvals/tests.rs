//! A sound approval holds, and each thing that is wrong with one is found.

use serde_json::json;

use super::*;

const AT: [&str; 5] =
    ["2026-11-30T10:00:00", "2026-11-30T10:01:00", "2026-11-30T10:02:00", "2026-11-30T10:03:00", "2026-11-30T10:20:00"];
const EXPIRES: &str = "2026-11-30T10:15:00";

fn hash(of: &str) -> String {
    Digest::of(of.as_bytes()).to_hex()
}

fn held() -> Value {
    json!({"policy_decision": "REQUIRE_HUMAN", "data_label": "CONFIDENTIAL", "recorded_at": AT[0],
           "approval": {"id": "one", "digest": hash("d"), "basis": hash("b"), "level": "gatekeeper", "owner": "ann", "expires_at": EXPIRES}})
}

fn step(action: &str, by: Option<(&str, &str)>, quorum: u64) -> Value {
    let mut step = json!({"action": action, "data_label": "CONFIDENTIAL", "recorded_at": AT[1], "quorum": quorum,
           "approval": {"id": "one", "digest": hash("d"), "level": "gatekeeper", "expires_at": EXPIRES}});
    if let Some((token, owner)) = by {
        step["approver"] = json!({"token": token, "owner": owner, "levels": ["gatekeeper"], "max_label": "RESTRICTED"});
    }
    step
}

/// The last of these agrees behind the others, and so many must.
fn agrees(action: &str, by: &[&str], quorum: u64) -> Value {
    let last = by.last().copied().unwrap_or_default();
    let mut step = step(action, Some((last, last)), quorum);
    step["approved_by"] = json!(by);
    step
}

fn approved(by: &[&str], quorum: u64) -> Value {
    agrees("approved", by, quorum)
}

fn voted(by: &[&str], quorum: u64) -> Value {
    agrees("voted", by, quorum)
}

fn spent(by: &[&str]) -> Value {
    json!({"policy_decision": "ALLOW", "data_label": "CONFIDENTIAL", "recorded_at": AT[2], "dry_run": false,
           "approval": {"id": "one", "digest": hash("d"), "basis": hash("b"), "level": "gatekeeper", "expires_at": EXPIRES,
                        "approved_by": by, "receipt_hash": hash("entry")}})
}

/// Checks entries in order; steps are those with an action, and have the hash of `entry`. The field of the first fault.
fn check(entries: &[Value]) -> Result<ApprovalCheck, &'static str> {
    let mut check = ApprovalCheck::default();
    for entry in entries {
        let found = match entry.get("action") {
            Some(_) => check.step(entry, Digest::of(b"entry")),
            None => check.decision(entry),
        };
        found.map_err(|(field, _)| field)?;
    }
    Ok(check)
}

fn with(mut entry: Value, path: &str, value: Value) -> Value {
    *entry.pointer_mut(path).unwrap() = value;
    entry
}

#[test]
fn what_was_agreed_to_is_spent_once() {
    let sound = [held(), held(), approved(&["bea"], 1), spent(&["bea"])];
    let found = check(&sound).ok().unwrap();
    assert_eq!((found.steps, found.spent, found.elsewhere), (2, 1, 0));
    let two = [held(), voted(&["bea"], 2), approved(&["bea", "cyd"], 2), spent(&["bea", "cyd"])];
    assert!(check(&two).is_ok());
    // A vote that counts no more is named no more; whoever gave it may agree anew.
    let left = [held(), voted(&["bea"], 2), voted(&["cyd"], 2), approved(&["cyd", "bea"], 2), spent(&["cyd", "bea"])];
    assert!(check(&left).is_ok());
    // Of another log, or before what is looked at.
    let found = check(&[spent(&["bea"])]).ok().unwrap();
    assert_eq!((found.spent, found.elsewhere), (1, 1));
    assert_eq!(check(&[spent(&["bea"]), spent(&["bea"])]).err(), Some("approval.id"), "and not twice either");
}

#[test]
fn each_thing_that_is_wrong_is_found() {
    let agreed = || approved(&["bea"], 1);
    let ends = |action: &str, by| vec![held(), agreed(), step(action, by, 1), spent(&["bea"])];
    for (entries, field) in [
        (vec![held(), spent(&["bea"])], "approval.id"),
        (vec![held(), agreed(), spent(&["bea"]), spent(&["bea"])], "approval.id"),
        (ends("withdrawn", Some(("bea", "bea"))), "approval.id"),
        (ends("void", None), "approval.id"),
        (ends("expired", None), "approval.id"),
        (vec![held(), step("denied", Some(("bea", "bea")), 1), agreed()], "action"),
        (vec![held(), step("sold", Some(("bea", "bea")), 1)], "action"),
        (vec![held(), step("denied", None, 1)], "approver"),
        (vec![held(), step("withdrawn", Some(("bea", "bea")), 1)], "action"),
        (vec![held(), agreed(), with(spent(&["bea"]), "/approval/digest", hash("x").into())], "approval.digest"),
        (vec![held(), agreed(), with(spent(&["bea"]), "/approval/basis", hash("x").into())], "approval.digest"),
        (
            vec![held(), agreed(), with(spent(&["bea"]), "/approval/receipt_hash", hash("x").into())],
            "approval.receipt_hash",
        ),
        (vec![held(), agreed(), with(spent(&["bea"]), "/approval/level", "executor".into())], "approval.level"),
        (vec![held(), agreed(), with(spent(&["bea"]), "/recorded_at", AT[4].into())], "approval.expires_at"),
        (vec![held(), agreed(), spent(&["cyd"])], "approval.approved_by"),
        (vec![held(), agreed(), with(spent(&["bea"]), "/policy_decision", "DENY".into())], "approval"),
        (vec![with(held(), "/policy_decision", "DENY".into())], "approval"),
        (vec![held(), with(held(), "/approval/digest", hash("x").into())], "approval.digest"),
        (vec![held(), approved(&["ann"], 1)], "approver.owner"),
        (vec![held(), with(agreed(), "/approver/levels", json!(["executor"]))], "approver"),
        (vec![held(), with(agreed(), "/approver/max_label", "INTERNAL".into())], "approver"),
        (vec![held(), with(agreed(), "/recorded_at", AT[4].into())], "recorded_at"),
        (vec![held(), with(agreed(), "/approval/level", "executor".into())], "approval.level"),
        (vec![held(), with(agreed(), "/approval/digest", hash("x").into())], "approval.digest"),
        (vec![held(), with(agreed(), "/data_label", "PUBLIC".into())], "approval.digest"),
        (vec![held(), approved(&["bea"], 2)], "quorum"),
        (vec![held(), voted(&["bea"], 1)], "quorum"),
        (vec![held(), step("voted", Some(("bea", "bea")), 2)], "approved_by"),
        (vec![held(), voted(&["bea"], 2), approved(&["cyd"], 2)], "quorum"),
        (vec![held(), voted(&["bea"], 2), voted(&["cyd"], 2), approved(&["bea", "cyd", "dan"], 2)], "approved_by"),
        (vec![held(), with(agreed(), "/approved_by", json!(["bea", "cyd"]))], "approved_by"),
        (vec![held(), voted(&["bea"], 2), approved(&["bea", "bea"], 2)], "approved_by"),
        (
            vec![held(), voted(&["bea"], 2), with(approved(&["bea", "cyd"], 2), "/approver/owner", "bea".into())],
            "approver.owner",
        ),
        (vec![held(), step("escalated", Some(("bea", "bea")), 1)], "approval.level"),
    ] {
        assert_eq!(check(&entries).err(), Some(field), "{entries:#?}");
    }
}

#[test]
fn an_escalation_begins_anew_with_its_level() {
    let up = with(step("escalated", Some(("bea", "bea")), 1), "/approval/level", "incident_commander".into());
    let above = |mut entry: Value| {
        entry["approval"]["level"] = "incident_commander".into();
        if entry.get("approver").is_some() {
            entry["approver"]["levels"] = json!(["incident_commander"]);
        }
        entry
    };
    assert!(check(&[held(), up.clone(), above(approved(&["eve"], 1)), above(spent(&["eve"]))]).is_ok());
    assert_eq!(check(&[held(), up, approved(&["bea"], 1)]).err(), Some("approver"));
}
