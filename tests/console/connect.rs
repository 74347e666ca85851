//! What an app or a platform needs to ask: it has this Hall's address, a token made here asks once it is put in its place, and it never
//! may more than its maker.

use serde_json::{Value, json};

use crate::desk::{ACME, ADA, ASKER, BEA, Browser, add_token, fixture};
use support::{post, until};

#[test]
fn samples_and_files_have_this_halls_address() {
    let fixture = fixture();
    let process = fixture.serve();
    let ada = Browser::signed_in(&process, ADA);
    let page = ada.see("/console/connect");
    let address = format!("http://{}", process.hall());
    assert!(page.matches(&address).count() >= 4, "{page}");
    assert!(!page.contains("hall.example.org") && !page.contains("localhost:8765"), "{page}");
    let mut files = 0;
    for link in page.split("href=\"/console/connect/").skip(1) {
        let name = link.split('"').next().unwrap();
        let file = ada.look(&format!("/console/connect/{name}"));
        assert_eq!(file.header("content-disposition"), Some(&*format!("attachment; filename=\"{name}\"")));
        serde_json::from_str::<Value>(&file.text()).unwrap();
        assert!(file.text().contains(&format!("{address}/api/route")), "{name}");
        files += 1;
    }
    assert_eq!(files, 5);
    assert_eq!(ada.look("/console/connect/nothing.json").status, 404);
    // A name that a proxy may have written is no address for a shell.
    let odd = ada.ask("GET /console/connect", &[("host", "127.0.0.1';id;'")], "");
    assert!(!odd.text().contains(";id;"), "{}", odd.text());
}

#[test]
fn a_token_that_is_made_here_asks_once_it_is_put_in_its_place() {
    let fixture = fixture();
    let process = fixture.serve();
    let ada = Browser::signed_in(&process, ADA);
    let form = "name=flow&scope=route&tenant=org.acme&worker=wrk_make_acme_prod";
    let made = ada.send("/console/connect/token", form);
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let made = made.text();
    let shown = |at: usize| {
        made.split("<pre tabindex=\"0\">").nth(at).unwrap().split("</pre>").next().unwrap().replace("&#34;", "\"")
    };
    let (secret, entry) = (shown(1), shown(2));
    let asked =
        r#"{"capability_id":"cap.data.read.v1","worker_id":"wrk_make_acme_prod","env":"prod","data_label":"PUBLIC"}"#;
    assert_eq!(post(process.hall(), &secret, "/api/route", asked).status, 401, "nothing is in force");
    let tokens = fixture.read("tokens.yaml").replace("    - ", "  - ");
    fixture.write("tokens.yaml", &tokens.replace("tokens:\n", &format!("tokens:\n{entry}\n")));
    until(|| post(process.hall(), &secret, "/api/route", asked).status == 200);
    assert_eq!(post(process.hall(), &secret, "/api/route", asked).ok()["tenant_id"], "org.acme");
    // Who has made it answers for it.
    assert!(entry.contains("owner: \"ada\"") && entry.contains("worker_ids: [\"wrk_make_acme_prod\"]"), "{entry}");
    assert_eq!(ada.send("/console/connect/token", form).status, 409, "there is one of this name now");
}

#[test]
fn nobody_makes_a_token_that_may_more_than_its_maker_or_agrees_to_anything() {
    let fixture = fixture();
    add_token(
        &fixture,
        "{ name: local, secret: hst_local_0123456789, scopes: [admin, read], tenant_id: org.acme, envs: [dev] }",
    );
    let process = fixture.serve();
    let ask = |token: &str, draft: Value| post(process.hall(), token, "/api/tokens/draft", &draft.to_string());
    for (draft, why) in [
        (json!({"name": "a", "scopes": ["approve"]}), "scopes"),
        (json!({"name": "a", "scopes": ["route", "admin"]}), "scopes"),
        (json!({"name": "a", "scopes": []}), "scopes"),
        (json!({"name": "a b", "scopes": ["route"]}), "name"),
        (json!({"name": "a", "scopes": ["route"], "tenant_id": "x y"}), "tenant_id"),
        (json!({"name": "a", "scopes": ["route"], "envs": ["moon"]}), "envs"),
        (json!({"name": "a", "scopes": ["route"], "owner": "bea"}), "owner"),
    ] {
        let reason = ask(ADA, draft.clone()).refused(400);
        assert!(reason.contains(why), "{draft}: {reason}");
    }
    let local = "hst_local_0123456789";
    assert!(
        ask(local, json!({"name": "a", "scopes": ["route"], "tenant_id": "org.globex"}))
            .refused(400)
            .contains("beyond")
    );
    assert!(ask(local, json!({"name": "a", "scopes": ["route"], "envs": ["prod"]})).refused(400).contains("beyond"));
    let bound = ask(local, json!({"name": "a", "scopes": ["route"]})).ok();
    let entry = bound["entry"].as_str().unwrap();
    assert!(entry.contains("tenant_id: \"org.acme\"") && entry.contains("envs: [dev]"), "{entry}");
    for token in [BEA, ACME, ASKER] {
        assert_eq!(ask(token, json!({"name": "a", "scopes": ["route"]})).status, 403);
    }
    let acme = Browser::signed_in(&process, ACME);
    assert!(!acme.see("/console/connect").contains("/console/connect/token"));
    assert_eq!(acme.send("/console/connect/token", "name=a&scope=route").status, 403);
}

#[test]
fn a_test_request_is_a_dry_run_on_record() {
    let fixture = fixture();
    add_token(&fixture, "{ name: both, secret: hst_both_01234567890, scopes: [read, route], tenant_id: org.acme }");
    let process = fixture.serve();
    assert!(Browser::signed_in(&process, ADA).see("/console/connect").contains("may not ask for decisions"));
    let both = Browser::signed_in(&process, "hst_both_01234567890");
    let form = "capability_id=cap.data.read.v1&env=prod&data_label=PUBLIC&worker_id=wrk_make_acme_prod&tenant_id=";
    let tested = both.send("/console/connect/test", form);
    assert_eq!(tested.status, 200, "{}", tested.text());
    assert!(tested.text().contains("<span class=\"yes\">Allowed</span>"), "{}", tested.text());
    process.end();
    let entries = fixture.entries();
    let dry: Vec<_> = entries.iter().filter(|entry| entry["kind"] == "decision").collect();
    assert_eq!((dry.len(), &dry[0]["dry_run"], &dry[0]["token"]), (1, &json!(true), &json!("both")));
}
