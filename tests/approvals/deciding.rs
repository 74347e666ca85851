//! Whoever decides: who may, about what, and what comes of it.

use std::net::SocketAddr;

use serde_json::{Value, json};
use support::{Answer, get, post, until};

use crate::desk::{
    ANN, ASKER, ASKER2, BEA, CYD, DAN, GLOBEX, GLOBEX_ASKER, LOW, NARROW, READER, ask, fixture, granted, held, look,
    pending, resolve, state, write,
};

/// An id of nothing.
const NONE: &str = "11111111-1111-4111-8111-111111111111";

#[test]
fn what_is_not_a_tokens_to_know_is_not_there() {
    let fixture = fixture("{}");
    let process = fixture.serve();
    let hall = process.hall();
    let id = held(&ask(hall, json!({})));
    let body = |answer: Answer| {
        assert_eq!(answer.status, 404, "{}", answer.text());
        answer.bytes
    };
    let expected = body(look(hall, BEA, NONE));
    for (token, id) in [
        (GLOBEX, &*id),
        (NARROW, &id),
        (GLOBEX_ASKER, &id),
        (READER, &id),
        (BEA, "no-id-at-all"),
        (BEA, "%00"),
        (BEA, "%ff"),
        (ASKER, NONE),
    ] {
        assert_eq!(body(look(hall, token, id)), expected, "{token} {id}");
    }
    look(hall, "hst_nobody_at_all_0", &id).refused(401);

    // The same of deciding, but for the entry that says that it was tried.
    let tried = |token: &str, id: &str| resolve(hall, token, id, "approve", json!({})).refused(404);
    let expected = tried(BEA, NONE);
    for (token, id) in [(GLOBEX, &*id), (NARROW, &id), (BEA, "no-id-at-all"), (BEA, "")] {
        assert_eq!(tried(token, id), expected, "{token} {id}");
    }
    assert_eq!(state(hall, &id), "pending");

    for token in [BEA, CYD, LOW, ANN, READER, DAN] {
        assert_eq!(pending(hall, token), [&*id], "{token}");
    }
    assert!(pending(hall, GLOBEX).is_empty() && pending(hall, NARROW).is_empty());
    get(hall, ASKER, "/wcp/approvals/pending").refused(403);
}

#[test]
fn nobody_decides_about_what_they_asked_or_above_their_label_or_level() {
    let fixture = fixture("{}");
    let process = fixture.serve();
    let hall = process.hall();
    let id = held(&ask(hall, json!({})));
    for (token, why) in [(ANN, "somebody else must decide"), (LOW, "INTERNAL at most")] {
        for resolution in ["approve", "deny", "escalate"] {
            let said = resolve(hall, token, &id, resolution, json!({})).refused(403);
            assert!(said.contains(why), "{resolution}: {said}");
        }
        let seen = look(hall, token, &id).ok();
        assert_eq!(seen["may_decide"], false, "{seen}");
        assert!(seen["why_not"].as_str().unwrap().contains(why), "{seen}");
    }
    assert!(look(hall, LOW, &id).ok().get("contents").is_none(), "contents are for whoever may see such data");
    for (token, status) in [(ASKER, 403), (READER, 403)] {
        assert!(resolve(hall, token, &id, "approve", json!({})).refused(status).contains("`approve`"));
    }

    // A gatekeeper may have somebody above look at it, and decides no more.
    let before = look(hall, BEA, &id).ok();
    let escalated = resolve(hall, BEA, &id, "escalate", json!({"note": "too much for me"})).ok();
    assert_eq!(
        (&escalated["state"], &escalated["supervisor_level"]),
        (&json!("pending"), &json!("incident_commander"))
    );
    assert_eq!(escalated["expires_at"], before["expires_at"], "that moves nothing");
    let said = resolve(hall, BEA, &id, "approve", json!({})).refused(403);
    assert!(said.contains("incident_commander") && said.contains("escalate"), "{said}");
    let again = ask(hall, json!({}));
    assert_eq!((held(&again), &again["supervisor_level"]), (id.clone(), &json!("incident_commander")), "{again}");
    resolve(hall, CYD, &id, "approve", json!({})).ok();
    assert_eq!(granted(&ask(hall, json!({})), &id), ["cyd"]);

    // What is refused to a known token is on record.
    process.end();
    let refused =
        fixture.entries().into_iter().filter(|entry| entry["token"] == "ann2" || entry["token_name"] == "ann2");
    assert_eq!(refused.count(), 3);
}

#[test]
fn whoever_answers_for_the_asker_by_now_may_not_either_and_a_token_that_is_gone_decides_nothing() {
    let fixture = fixture("{}");
    let process = fixture.serve();
    let hall = process.hall();
    let id = held(&ask(hall, json!({})));
    assert_eq!(look(hall, BEA, &id).ok()["may_decide"], true);
    fixture.edit("tenant_id: org.acme, owner: ann }", "tenant_id: org.acme, owner: bea }");
    fixture
        .edit("owner: cyd, levels: [gatekeeper, executor, incident_commander] }", "owner: cyd, levels: [executor] }");
    fixture.edit("scopes: [approve, admin], owner: dan", "scopes: [admin], owner: dan");
    process.hang_up();
    until(|| look(hall, BEA, &id).ok()["may_decide"] == false);
    for token in [BEA, ANN] {
        assert!(resolve(hall, token, &id, "approve", json!({})).refused(403).contains("somebody else must decide"));
    }
    assert!(resolve(hall, CYD, &id, "approve", json!({})).refused(403).contains("gatekeeper"));
    assert!(resolve(hall, DAN, &id, "approve", json!({})).refused(403).contains("`approve`"));
    assert_eq!(state(hall, &id), "pending");
}

#[test]
fn a_vote_of_a_token_that_is_gone_or_may_less_does_not_count_any_more() {
    let fixture = fixture("{ quorum: { gatekeeper: 2 } }");
    let process = fixture.serve();
    let hall = process.hall();
    let row = |n: i32| json!({"request": {"row": n}});
    let [one, agreed] = [1, 2].map(|n| held(&ask(hall, row(n))));
    assert_eq!(resolve(hall, BEA, &one, "approve", json!({})).ok()["votes"], json!(["bea"]));
    resolve(hall, BEA, &agreed, "approve", json!({})).ok();
    resolve(hall, CYD, &agreed, "approve", json!({})).ok();

    // Bea is let go.
    let bea = format!("    - {{ name: bea, secret: {BEA}, scopes: [approve], owner: bea }}\n");
    fixture.edit(&bea, "");
    process.hang_up();
    until(|| look(hall, CYD, &one).ok()["votes"] == json!([]));
    let voted = resolve(hall, CYD, &one, "approve", json!({})).ok();
    assert_eq!((&voted["state"], &voted["votes"]), (&json!("pending"), &json!(["cyd"])), "{voted}");
    assert_eq!(held(&ask(hall, row(1))), one, "one is not enough");
    // What enough have agreed to is decided: it is taken back by whoever wants that.
    assert_eq!(granted(&ask(hall, row(2)), &agreed), ["bea", "cyd"]);

    // She is back, and Cyd is no gatekeeper any more.
    fixture.edit("    - { name: cyd,", &format!("{bea}    - {{ name: cyd,"));
    fixture.edit("levels: [gatekeeper, executor, incident_commander] }", "levels: [executor] }");
    process.hang_up();
    until(|| look(hall, BEA, &one).body["votes"] == json!([]));
    resolve(hall, BEA, &one, "approve", json!({})).ok();
    assert_eq!(resolve(hall, DAN, &one, "approve", json!({})).ok()["votes"], json!(["bea", "dan"]));
    // A restart finds the same in the ledger.
    process.kill();
    let process = fixture.serve();
    process.wait_for_log("approvals are as the ledger has them");
    assert_eq!(granted(&ask(process.hall(), row(1)), &one), ["bea", "dan"]);
    process.end();
    fixture.verify();
}

#[test]
fn two_must_agree_where_two_must_and_they_are_two_people() {
    let fixture = fixture("{ quorum: { gatekeeper: 2 } }");
    fixture.edit("owner: dan }", "owner: bea }");
    let process = fixture.serve();
    let hall = process.hall();
    let id = held(&ask(hall, json!({})));
    let voted = resolve(hall, BEA, &id, "approve", json!({})).ok();
    assert_eq!((&voted["state"], &voted["votes"], &voted["quorum"]), (&json!("pending"), &json!(["bea"]), &json!(2)));
    assert_eq!(held(&ask(hall, json!({}))), id, "one is not enough");
    for token in [BEA, DAN] {
        let said = resolve(hall, token, &id, "approve", json!({})).refused(409);
        assert!(said.contains("has agreed already"), "{said}");
        assert_eq!(look(hall, token, &id).ok()["may_decide"], false);
    }
    let approved = resolve(hall, CYD, &id, "approve", json!({})).ok();
    assert_eq!((&approved["state"], &approved["votes"]), (&json!("approved"), &json!(["bea", "cyd"])), "{approved}");
    assert_eq!(granted(&ask(hall, json!({})), &id), ["bea", "cyd"]);

    // One no is enough.
    let id = held(&ask(hall, json!({})));
    resolve(hall, BEA, &id, "approve", json!({})).ok();
    assert_eq!(resolve(hall, CYD, &id, "deny", json!({})).ok()["state"], "denied");
    process.end();
    fixture.verify();
}

#[test]
fn escalating_names_its_level_and_never_lowers_it() {
    let fixture = fixture("{}");
    let process = fixture.serve();
    let hall = process.hall();
    let id = held(&ask(hall, json!({})));
    let escalate = |token: &str, more: Value| {
        let mut body = json!({"pending_approval_id": id});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        post(hall, token, "/wcp/approvals/escalate", &body.to_string())
    };
    assert_eq!(escalate(BEA, json!({"supervisor_level": "executor"})).ok()["supervisor_level"], "executor");
    assert_eq!(escalate(CYD, json!({})).ok()["supervisor_level"], "incident_commander");
    for more in [json!({}), json!({"supervisor_level": "gatekeeper"}), json!({"supervisor_level": "executor"})] {
        let said = escalate(CYD, more).refused(409);
        assert!(said.contains("nobody is above incident_commander"), "{said}");
    }
    let said = escalate(CYD, json!({"supervisor_level": "boss"})).refused(400);
    assert!(said.contains("`supervisor_level`") && said.contains("`boss`"), "{said}");
}

#[test]
fn what_was_agreed_to_is_taken_back_by_one_or_all_at_once() {
    let fixture = fixture("{}");
    let process = fixture.serve();
    let hall = process.hall();
    let row = |n: i32| json!({"request": {"row": n}});
    let agreed = |n: i32| {
        let id = held(&ask(hall, row(n)));
        resolve(hall, BEA, &id, "approve", json!({})).ok();
        id
    };
    let id = held(&ask(hall, row(0)));
    assert!(resolve(hall, CYD, &id, "withdraw", json!({})).refused(409).contains("deny it instead"));
    let one = agreed(1);
    assert!(resolve(hall, ANN, &one, "withdraw", json!({})).refused(403).contains("somebody else"));
    let taken = resolve(hall, CYD, &one, "withdraw", json!({"note": "a mistake"})).ok();
    assert_eq!((&taken["state"], &taken["resolved_by"]), (&json!("withdrawn"), &json!("cyd")), "{taken}");
    assert_ne!(held(&ask(hall, row(1))), one, "it asks anew");
    let said = resolve(hall, BEA, &one, "approve", json!({})).refused(409);
    assert!(said.contains("withdrawn already"), "{said}");

    let both = [agreed(2), agreed(3)];
    let void = |token: &str, body: &str| post(hall, token, "/wcp/approvals/void-all", body);
    assert!(void(BEA, r#"{"note": "all"}"#).refused(403).contains("`admin`"));
    for body in ["{}", r#"{"note": "  "}"#] {
        assert!(void(DAN, body).refused(400).contains("`note`"));
    }
    assert_eq!(void(DAN, r#"{"note": "an incident"}"#).ok(), json!({"withdrawn": 2}));
    for id in &both {
        assert_eq!(state(hall, id), "withdrawn");
    }
    assert_ne!(held(&ask(hall, row(2))), both[0]);
    assert_eq!(state(hall, &id), "pending", "what nobody agreed to still waits");
    assert_eq!(void(DAN, r#"{"note": "again"}"#).ok(), json!({"withdrawn": 0}));
    process.end();
    fixture.verify();
}

#[test]
fn what_is_agreed_to_is_what_was_looked_at() {
    let fixture = fixture("{}");
    let process = fixture.serve();
    let hall = process.hall();
    let id = held(&ask(hall, json!({})));
    let said = resolve(hall, BEA, &id, "approve", json!({"digest": "0".repeat(64)})).refused(409);
    assert!(said.contains("not what was looked at"), "{said}");
    assert_eq!(state(hall, &id), "pending");

    let post = |body: &str| post(hall, BEA, "/wcp/approvals/resolve", body).refused(400);
    let named = |key: &str, value: Value| {
        let mut body = json!({"pending_approval_id": id, "resolution": "approve"});
        body[key] = value;
        post(&body.to_string())
    };
    for (said, field, value) in [
        (named("resolution", json!("agree")), "`resolution`", "`agree`"),
        (named("resolution", json!(1)), "`resolution`", "no text"),
        (named("resolution", Value::Null), "`resolution`", "missing"),
        (named("digest", json!("abc")), "`digest`", "`abc`"),
        (named("note", json!("x".repeat(501))), "`note`", "500"),
        (named("pending_approval_id", Value::Null), "`pending_approval_id`", "missing"),
        (named("pending_approval_id", json!([])), "`pending_approval_id`", "no text"),
        (post("[]"), "body", "no object"),
        (post("{"), "body", "not JSON"),
    ] {
        assert!(said.contains(field) && said.contains(value), "{field} {value}: {said}");
    }
    assert_eq!(state(hall, &id), "pending");
    resolve(hall, BEA, &id, "approve", json!({})).ok();
    assert!(resolve(hall, BEA, &id, "approve", json!({})).refused(409).contains("approved already"));
}

/// Which snapshot decides.
fn snapshot(hall: SocketAddr) -> Value {
    get(hall, DAN, "/readyz").body["snapshot"].clone()
}

#[test]
fn what_rests_on_something_else_by_now_is_void() {
    let fixture = fixture("{}");
    let process = fixture.serve();
    let hall = process.hall();
    let edit = |file: &str, from: &str, to: &str| {
        let (text, before) = (fixture.read(file), snapshot(hall));
        assert!(text.contains(from), "{text}");
        fixture.write(file, &text.replace(from, to));
        process.hang_up();
        until(|| snapshot(hall) != before);
    };
    let worker = "enrolled/wrk_make_acme_prod.json";
    let other = "enrolled/wrk_report_acme_prod.json";
    for (n, (file, from, to, is_void)) in [
        ("rules.json", "\"rr_data_write\",", "\"rr_data_write\", \"description\": \"another\",", true),
        ("policies/all.cedar", "RESTRICTED data needs a human", "RESTRICTED data needs somebody", true),
        // Another's record is nothing to it, nor is another's policy.
        (other, "\"low\"", "\"medium\"", false),
        ("policies/all.cedar", "CONFIDENTIAL data is written by hand", "CONFIDENTIAL data is written by a hand", false),
        (worker, "\"medium\"", "\"high\"", true),
    ]
    .into_iter()
    .enumerate()
    {
        let (agreed, waits) = (json!({"request": {"row": n}}), json!({"request": {"waits": n}}));
        let [id, waiting] = [&agreed, &waits].map(|fields| held(&ask(hall, fields.clone())));
        resolve(hall, BEA, &id, "approve", json!({})).ok();
        edit(file, from, to);
        let decision = ask(hall, agreed);
        if !is_void {
            granted(&decision, &id);
            assert_eq!(held(&ask(hall, waits)), waiting, "{file}");
            continue;
        }
        assert_ne!(held(&decision), id, "{file}");
        assert_ne!(held(&ask(hall, waits)), waiting, "{file}");
        for id in [&id, &waiting] {
            let own = look(hall, ASKER, id).ok();
            assert_eq!(own["state"], "void", "{file}: {own}");
            assert!(own["note"].as_str().unwrap().contains("another by now"), "{own}");
        }
    }
}

#[test]
fn several_are_decided_about_and_answered_each_by_itself() {
    let fixture = fixture("{}");
    let process = fixture.serve();
    let hall = process.hall();
    let [first, second, third, by_hand] = [
        json!({"request": {"row": 1}}),
        json!({"request": {"row": 2}}),
        json!({"request": {"row": 3}}),
        json!({"data_label": "CONFIDENTIAL"}),
    ]
    .map(|asked| held(&ask(hall, asked)));
    let digest = |id: &str| look(hall, CYD, id).ok()["digest"].as_str().unwrap().to_owned();
    let named = |id: &str| json!({"pending_approval_id": id, "digest": digest(id)});
    let several = |token: &str, body: &Value| post(hall, token, "/wcp/approvals/resolve-several", &body.to_string());
    let asked = |resolution: &str, approvals: Vec<Value>| json!({"resolution": resolution, "note": "payday", "approvals": approvals});

    let other = json!({"pending_approval_id": second, "digest": digest(&first)});
    let none = json!({"pending_approval_id": NONE, "digest": digest(&first)});
    let no_id = json!({"pending_approval_id": "no-id-at-all", "digest": digest(&first)});
    let all = vec![named(&first), other.clone(), none, no_id, named(&by_hand), named(&first)];
    let said = several(BEA, &asked("approve", all)).ok();
    let statuses: Vec<_> = said["approvals"].as_array().unwrap().iter().map(|one| one["status"].clone()).collect();
    assert_eq!(
        (said["resolved"].clone(), statuses),
        (json!(1), vec![json!(200), json!(409), json!(404), json!(404), json!(403), json!(409)]),
        "{said:#}"
    );
    assert_eq!(
        (&said["approvals"][0]["approval"]["state"], &said["approvals"][0]["refusal"]),
        (&json!("approved"), &Value::Null)
    );
    let differs = said["approvals"][1]["refusal"]["reason"].as_str().unwrap();
    assert!(differs.contains("the digest is another"), "{said:#}");
    assert!(said["approvals"][5]["refusal"]["reason"].as_str().unwrap().contains("approved already"), "{said:#}");
    assert_eq!(said["approvals"][1]["approval"], Value::Null);
    assert!(said["approvals"][2]["refusal"]["decision_id"].is_string(), "what is refused is on record: {said:#}");
    assert_eq!(state(hall, &second), "pending");

    // Nothing foreign, and a no to what was looked at and to nothing else.
    let said = several(GLOBEX, &asked("deny", vec![named(&second)])).ok();
    assert_eq!((&said["resolved"], &said["approvals"][0]["status"]), (&json!(0), &json!(404)), "{said:#}");
    let said = several(BEA, &asked("deny", vec![other, named(&third)])).ok();
    assert_eq!((&said["resolved"], &said["approvals"][0]["status"]), (&json!(1), &json!(409)), "{said:#}");
    assert_eq!((state(hall, &second), state(hall, &third)), ("pending".to_owned(), "denied".to_owned()));

    for (why, body) in [
        ("`approvals` is no list of 1 to 100", json!({"resolution": "approve"})),
        ("`approvals` is no list of 1 to 100", asked("approve", Vec::new())),
        ("`approvals` is no list of 1 to 100", asked("approve", vec![named(&second); 101])),
        ("an approval has no `digest`", asked("approve", vec![json!({"pending_approval_id": second})])),
        ("an approval has no `pending_approval_id`", asked("approve", vec![json!({"digest": digest(&second)})])),
        (
            "write the 64 lower-case hex digits",
            asked("approve", vec![json!({"pending_approval_id": second, "digest": "ff"})]),
        ),
        ("the body is no object", asked("approve", vec![json!("one")])),
        ("write approve or deny", asked("withdraw", vec![named(&second)])),
    ] {
        let refused = several(BEA, &body).refused(400);
        assert!(refused.contains(why), "{why}: {refused}");
    }
    several(ASKER, &asked("approve", vec![named(&second)])).refused(403);
    assert_eq!(state(hall, &second), "pending");
    process.end();
    let steps = |action: &str| {
        fixture.entries().iter().filter(|entry| entry["kind"] == "approval" && entry["action"] == action).count()
    };
    assert_eq!((steps("approved"), steps("denied")), (1, 1));
}

#[test]
fn an_approver_sees_how_one_differs_from_those_of_which_they_see_what_would_run() {
    let fixture = fixture("{}");
    let process = fixture.serve();
    let hall = process.hall();
    let row = |n: i32, token: &str, more: Value| {
        let mut asked = json!({"request": {"row": n, "of": "wages"}});
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        held(&post(hall, token, "/api/route", &write(asked)).ok())
    };
    let first = row(1, ASKER, json!({}));
    assert_eq!(look(hall, BEA, &first).ok()["similar"], json!({"count": 0, "compared": []}));
    // Another tenant's, another capability's and what is decided are not like it; another credential's is.
    row(2, GLOBEX_ASKER, json!({"tenant_id": "org.globex"}));
    let decided = row(3, ASKER, json!({}));
    resolve(hall, BEA, &decided, "deny", json!({})).ok();
    let ids: Vec<String> = (4..10).map(|n| row(n, ASKER2, json!({}))).collect();
    let similar = look(hall, BEA, &first).ok()["similar"].clone();
    assert_eq!(similar["count"], 6);
    let compared = similar["compared"].as_array().unwrap();
    let newest: Vec<_> = compared.iter().map(|one| one["pending_approval_id"].as_str().unwrap()).collect();
    assert_eq!(newest, ids.iter().rev().take(5).collect::<Vec<_>>());
    assert_eq!((&compared[0]["only_here"], &compared[0]["only_there"]), (&json!(["/row: 1"]), &json!(["/row: 9"])));
    assert_eq!((&compared[0]["more_here"], &compared[0]["more_there"]), (&json!(0), &json!(0)));
    // Who does not see what would run sees no part of it here, and whoever asked sees none at all.
    for (token, sees) in [(LOW, false), (CYD, true), (ASKER, false)] {
        assert_eq!(look(hall, token, &first).ok().get("similar").is_some(), sees, "{token}");
    }
    assert_eq!(look(hall, BEA, &decided).ok().get("similar"), None, "it is decided");
}
