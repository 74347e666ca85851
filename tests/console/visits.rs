//! What is seen, and what is changed.

use support::Feed;

use crate::desk::{ACME, ADA, ASKER, BEA, Browser, GLOBEX, GLOBEX_ASKER, HOSTILE, asks, fixture};
use support::until;

#[test]
fn each_page_shows_what_the_hall_knows_and_what_callers_wrote_as_text() {
    let fixture = fixture();
    let process = fixture.serve();
    asks(&process, ASKER, "org.acme", "INTERNAL", HOSTILE);
    let denied = asks(&process, ASKER, "org.acme", "INTERNAL", "plain");
    let held = asks(&process, ASKER, "org.acme", "RESTRICTED", HOSTILE);
    let approval = held["pending_approval_id"].as_str().unwrap();
    let browser = Browser::signed_in(&process, ADA);
    let status = browser.see("/console/");
    assert!(status.contains("Ready") && status.contains("<b>1</b> waiting for a human"), "{status}");
    let list = browser.see("/console/decisions?worker=wrk_make_acme_prod&verdict=STEWARD_HOLD");
    assert_eq!(list.matches("href=\"/console/decisions/").count(), 1, "{list}");
    assert!(browser.see("/console/decisions?worker=wrk_other").contains("There are none."));
    assert_eq!(browser.look("/console/decisions?verdict=MAYBE").status, 400);
    let one = browser.see(&format!("/console/decisions/{}", denied["decision_id"].as_str().unwrap()));
    assert!(one.contains("Allowed") && one.contains("of a log of"), "{one}");
    let page = browser.see(&format!("/console/approvals/{approval}"));
    assert!(page.contains("Exactly this would run") && page.contains("{&#34;note&#34;"));
    for path in ["/console/", "/console/decisions", "/console/approvals", "/console/workers", "/console/health"] {
        let page = browser.see(path);
        assert!(!page.contains("<script>document") && !page.contains("<img"), "{path}: {page}");
        assert!(!page.contains(" style=") && !page.contains(" onclick="), "{path}");
    }
    assert!(!page.contains("<script>document") && page.contains("&#60;script&#62;"), "{page}");
    assert!(
        browser
            .see("/console/decisions?worker=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
            .contains("&#60;script&#62;alert")
    );
    assert_eq!(browser.look("/console/nothing").status, 404);
    for file in ["style.css", "script.js"] {
        assert_eq!(Browser::at(&process).look(&format!("/console/{file}")).status, 200);
    }
}

#[test]
fn decisions_come_as_they_are_recorded_to_whoever_is_signed_in_and_are_a_file_for_spreadsheets() {
    let fixture = fixture();
    let process = fixture.serve();
    let first = asks(&process, ASKER, "org.acme", "INTERNAL", "x");
    let id = |decision: &serde_json::Value| decision["decision_id"].as_str().unwrap().to_owned();
    let (ada, globex) = (Browser::signed_in(&process, ADA), Browser::signed_in(&process, GLOBEX));
    let feed = |browser: &Browser, path: &str| {
        Feed::open(process.hall(), &format!("/console/decisions/feed{path}"), &[("cookie", &browser.cookie)])
    };
    let page = ada.see("/console/decisions?label=INTERNAL&capability=cap.data.write.v1");
    let address = "data-feed=\"/console/decisions/feed?&#38;capability=cap.data.write.v1&#38;label=INTERNAL\"";
    assert!(page.contains(address) && page.contains(&format!("<tr data-id=\"{}\">", id(&first))), "{page}");
    assert!(!ada.see("/console/decisions?before=2026-01-01").contains("data-feed"), "what is old does not change");
    let (mut all, mut own, mut none) = (feed(&ada, ""), feed(&globex, "?"), feed(&ada, "?label=PUBLIC&seen=x"));
    assert_eq!((all.status(), own.status(), none.status()), (200, 200, 400));
    assert!(all.head.contains("content-security-policy") && all.head.contains("text/event-stream"), "{}", all.head);
    let second = asks(&process, ASKER, "org.acme", "INTERNAL", "x");
    let foreign = asks(&process, GLOBEX_ASKER, "org.globex", "INTERNAL", "x");
    let mut told = feed(&ada, &format!("?label=INTERNAL&seen={}", id(&first)));
    let comes = |feed: &mut Feed, wanted: &serde_json::Value| {
        let event = feed.next().unwrap();
        assert_eq!((&*event.kind, event.id), ("row", Some(id(wanted))));
        assert!(event.data.starts_with("<tr data-id=") && event.data.ends_with("</tr>"), "{}", event.data);
    };
    comes(&mut all, &second);
    comes(&mut own, &foreign);
    comes(&mut told, &second);
    comes(&mut told, &foreign);
    assert_eq!(none.next(), None);
    assert_eq!(ada.send("/console/sign-out", "").status, 303);
    asks(&process, ASKER, "org.acme", "INTERNAL", "x");
    assert_eq!(told.next(), None, "signed out is signed out");

    let lines = globex.look("/console/decisions.csv?label=INTERNAL");
    assert_eq!(lines.header("content-disposition"), Some("attachment; filename=\"decisions.csv\""));
    let text = lines.text();
    assert!(text.lines().count() == 2 && text.contains(&id(&foreign)) && !text.contains("org.acme"), "{text}");
    assert_eq!(Browser::at(&process).look("/console/decisions.csv").status, 303);
    assert_eq!(feed(&Browser::at(&process), "").status(), 303);
}

#[test]
fn a_receipt_is_downloaded_as_the_command_takes_it() {
    let fixture = fixture();
    let process = fixture.serve();
    let decision = asks(&process, ASKER, "org.acme", "INTERNAL", "x");
    let id = decision["decision_id"].as_str().unwrap();
    let browser = Browser::signed_in(&process, ADA);
    let receipt = browser.look(&format!("/console/decisions/{id}/receipt.json"));
    assert_eq!(receipt.header("content-disposition"), Some(&*format!("attachment; filename=\"receipt-{id}.json\"")));
    fixture.write("receipt.json", &receipt.text());
    let (code, out, err) = fixture.run(&["audit", "verify-proof", "receipt.json"]);
    assert_eq!(code, Some(0), "{out}{err}");
}

#[test]
fn what_was_looked_at_is_agreed_to_and_nothing_else() {
    let fixture = fixture();
    let process = fixture.serve();
    let held = asks(&process, ASKER, "org.acme", "RESTRICTED", "c-1");
    let id = held["pending_approval_id"].as_str().unwrap();
    let bea = Browser::signed_in(&process, BEA);
    let path = format!("/console/approvals/{id}");
    // A notice's link leads there.
    assert_eq!(Browser::at(&process).look(&format!("/approvals/{id}")).header("location"), Some(&*path));
    let page = bea.see(&path);
    let digest = page.split("name=\"digest\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(digest.len(), 64);
    let other = bea.send(&path, &format!("resolution=approve&digest={}", "0".repeat(64)));
    assert_eq!(other.status, 409, "{}", other.text());
    assert_eq!(bea.send(&path, "resolution=approve&digest=").status, 400);
    assert_eq!(bea.send(&path, "resolution=maybe&digest=").status, 400);
    assert!(bea.see(&path).contains("pending"));
    let agreed = bea.send(&path, &format!("resolution=approve&digest={digest}&note=looked+at+it+%3Cb%3E"));
    assert_eq!((agreed.status, agreed.header("location")), (303, Some(&*path)), "{}", agreed.text());
    assert!(bea.see(&path).contains("<strong>approved</strong>"));
    let run = asks(&process, ASKER, "org.acme", "RESTRICTED", "c-1");
    assert_eq!(run["approval"]["approved_by"][0], "bea", "{run}");
    process.end();
    let steps = fixture.entries();
    assert!(
        steps.iter().any(|entry| entry.to_string().contains("looked at it <b>") && entry.to_string().contains("bea")),
        "{steps:#?}"
    );
}

#[test]
fn what_is_ticked_is_decided_about_together_and_each_is_answered() {
    let fixture = fixture();
    let process = fixture.serve();
    let ids = ["first", HOSTILE, "third"].map(|text| {
        let held = asks(&process, ASKER, "org.acme", "RESTRICTED", text);
        held["pending_approval_id"].as_str().unwrap().to_owned()
    });
    let bea = Browser::signed_in(&process, BEA);
    let list = bea.see("/console/approvals");
    let boxes = |list: &str| -> Vec<String> {
        let values = list.split("name=\"chosen\" value=\"").skip(1);
        values.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    };
    let chosen = boxes(&list);
    assert_eq!(chosen.iter().map(|value| &value[..36]).collect::<Vec<_>>(), ids, "{list}");
    assert!(chosen.iter().all(|value| list.contains(&format!("<code>{}</code>", &value[37..]))), "{list}");
    assert!(list.contains("<code>{&#34;note&#34;: &#34;first&#34;}</code>"), "{list}");
    let one = bea.see(&format!("/console/approvals/{}", ids[0]));
    assert!(one.contains("2 more of this worker and capability wait"), "{one}");
    assert!(one.contains("<code class=\"line\">/note: &#34;third&#34;</code>"), "{one}");

    let form = |values: &[&str], resolution: &str| {
        let chosen: Vec<String> = values.iter().map(|value| format!("chosen={}&", value.replace(' ', "+"))).collect();
        format!("{}note=payday&resolution={resolution}", chosen.concat())
    };
    assert_eq!(bea.send("/console/approvals", &form(&[], "approve")).status, 400);
    assert_eq!(bea.send("/console/approvals", &form(&[&chosen[0]], "withdraw")).status, 400);
    assert_eq!(bea.send("/console/approvals", &form(&[&ids[0]], "approve")).status, 400, "without what was looked at");
    let other = format!("{} {}", ids[1], "0".repeat(64));
    let said = bea.send("/console/approvals", &form(&[&chosen[0], &other], "approve"));
    assert_eq!(said.status, 200, "{}", said.text());
    assert!(said.text().contains("1 of 2 decided") && said.text().contains("the digest is another"), "{}", said.text());
    let said = bea.send("/console/approvals", &form(&[&chosen[1], &chosen[2]], "deny"));
    assert!(said.text().contains("2 of 2 decided"), "{}", said.text());
    assert!(boxes(&bea.see("/console/approvals")).is_empty());
    let run = asks(&process, ASKER, "org.acme", "RESTRICTED", "first");
    assert_eq!(run["approval"]["approved_by"][0], "bea", "{run}");
    let globex = Browser::signed_in(&process, GLOBEX);
    let foreign = asks(&process, ASKER, "org.acme", "RESTRICTED", "fourth");
    let foreign = format!("{} {}", foreign["pending_approval_id"].as_str().unwrap(), "0".repeat(64));
    let said = globex.send("/console/approvals", &form(&[&foreign], "deny")).text();
    assert!(said.contains("0 of 1 decided") && !said.contains("org.acme"), "{said}");
}

#[test]
fn what_is_kept_from_everybody_is_said_to_be() {
    let fixture = fixture();
    fixture.edit("approvals: {}", "approvals: { contents: { none_from: RESTRICTED } }");
    let process = fixture.serve();
    let held = asks(&process, ASKER, "org.acme", "RESTRICTED", "a-delicate-word");
    let page = Browser::signed_in(&process, BEA)
        .see(&format!("/console/approvals/{}", held["pending_approval_id"].as_str().unwrap()));
    assert!(page.contains("you agree to the digest alone") && !page.contains("<pre"), "{page}");
}

#[test]
fn a_worker_is_revoked_and_restored_by_a_form_and_it_is_on_record_who_did_it() {
    let fixture = fixture();
    let process = fixture.serve();
    let ada = Browser::signed_in(&process, ADA);
    let path = "/console/workers/wrk_make_acme_prod";
    assert_eq!(ada.send(path, "change=revoke&reason=it+is+odd").header("location"), Some(path));
    assert!(ada.see(path).contains("revoked"));
    let denied = asks(&process, ASKER, "org.acme", "INTERNAL", "x");
    assert_eq!(denied["denied"], true, "{denied}");
    assert_eq!(ada.send(path, "change=restore").status, 303);
    assert!(ada.see(path).contains("active"));
    assert_eq!(ada.send(path, "change=promote").status, 400);
    let acme = Browser::signed_in(&process, ACME);
    assert!(!acme.see(path).contains("<textarea"), "who may not has no form");
    assert_eq!(acme.send(path, "change=revoke").status, 403);
    process.end();
    let entries = fixture.entries();
    let by: Vec<_> =
        entries.iter().filter(|entry| entry["kind"] == "registry").map(|entry| entry["token"].clone()).collect();
    assert!(by.iter().filter(|token| **token == "ada").count() >= 2, "{entries:#?}");
}

#[test]
fn a_change_of_files_that_is_refused_is_told_with_all_that_is_wrong() {
    let fixture = fixture();
    let process = fixture.serve();
    let ada = Browser::signed_in(&process, ADA);
    assert!(!ada.see("/console/health").contains("is not in force"));
    let rule = |env: &str| format!(r#"{{"rule_id":"a","match":{{"env":"{env}"}},"decision":{{}}}}"#);
    fixture.write("rules.json", &format!("{{\"rules\":[{},{}]}}", rule("prdo"), rule("<img>")));
    until(|| ada.see("/console/health").contains("is not in force"));
    let page = ada.see("/console/health");
    assert!(page.contains("prdo") && page.contains("&#60;img&#62;") && page.contains("rules.json:1"), "{page}");
    let globex = Browser::signed_in(&process, GLOBEX);
    assert!(!globex.see("/console/health").contains("prdo"), "what is the Hall's is not a tenant's");
}

#[test]
fn a_tenants_token_sees_nothing_foreign_on_any_page() {
    let fixture = fixture();
    let process = fixture.serve();
    let foreign = asks(&process, ASKER, "org.acme", "RESTRICTED", "acme-secret-word");
    let own = asks(&process, GLOBEX_ASKER, "org.globex", "RESTRICTED", "globex-word");
    let globex = Browser::signed_in(&process, GLOBEX);
    for path in [
        "/console/",
        "/console/decisions",
        "/console/decisions?tenant=org.acme",
        "/console/approvals",
        "/console/workers",
        "/console/health",
    ] {
        let page = globex.see(path);
        assert!(!page.contains("acme-secret-word") && !page.contains("<td>org.acme"), "{path}: {page}");
        assert!(!page.contains(foreign["decision_id"].as_str().unwrap()), "{path}: {page}");
    }
    let id = |decision: &serde_json::Value, key: &str| decision[key].as_str().unwrap_or("none").to_owned();
    assert_eq!(globex.look(&format!("/console/decisions/{}", id(&foreign, "decision_id"))).status, 404);
    assert_eq!(globex.look(&format!("/console/decisions/{}/receipt.json", id(&foreign, "decision_id"))).status, 404);
    assert_eq!(globex.look(&format!("/console/approvals/{}", id(&foreign, "pending_approval_id"))).status, 404);
    let deny =
        globex.send(&format!("/console/approvals/{}", id(&foreign, "pending_approval_id")), "resolution=deny&digest=");
    assert_eq!(deny.status, 404);
    assert_eq!(globex.look(&format!("/console/decisions/{}", id(&own, "decision_id"))).status, 200);
}
