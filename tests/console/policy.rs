//! Why, what would be decided of what, and what a draft would say.

use crate::desk::{ACME, ADA, ASKER, Browser, GLOBEX, HOSTILE, asks, fixture};

#[test]
fn the_matrix_leads_from_each_cell_to_what_every_gate_says() {
    let fixture = fixture();
    let process = fixture.serve();
    let ada = Browser::signed_in(&process, ADA);
    let page = ada.see("/console/policy?tenant=org.acme&capability=cap.data.write");
    assert!(page.contains("cap.data.write.v1") && !page.contains("row\">cap.data.read.v1"), "{page}");
    let said = |words: &str| page.contains(&format!("prod, {words}"));
    assert!(said("INTERNAL: allowed, by rule rr_data_write"), "{page}");
    assert!(said("RESTRICTED: held for a gatekeeper, by rule rr_data_write"), "{page}");
    let cell = page.split("href=\"").find(|link| link.contains("env=prod&#38;data_label=RESTRICTED")).unwrap();
    let tried = ada.see(&cell.split('"').next().unwrap().replace("&#38;", "&"));
    assert!(tried.contains("wants a human") && tried.contains("<span class=\"wait\">held</span>"), "{tried}");
    assert!(tried.contains(&format!("curl -sS http://{}/api/route", process.hall())), "{tried}");
    assert_eq!(fixture.entries().iter().filter(|entry| entry["kind"] == "decision").count(), 0, "nothing is recorded");
    let denied = ada.see("/console/try?capability_id=cap.ml.infer&env=prod&data_label=RESTRICTED&tenant_id=org.acme&worker_id=wrk_make_acme_prod");
    assert!(denied.contains("Nearest: rule <code>rr_model_call</code>"), "{denied}");
    assert!(denied.contains("What would change it") && denied.contains("What to do"), "{denied}");
}

#[test]
fn what_is_tried_is_text_and_what_is_no_request_is_said_to_be_none() {
    let fixture = fixture();
    let process = fixture.serve();
    let ada = Browser::signed_in(&process, ADA);
    let hostile = percent_encoding::utf8_percent_encode(HOSTILE, percent_encoding::NON_ALPHANUMERIC).to_string();
    for field in ["capability_id", "env", "data_label", "worker_id", "tenant_id"] {
        let page = ada.see(&format!("/console/try?capability_id=cap.data.read.v1&env=prod&{field}={hostile}"));
        assert!(!page.contains("<script>document") && !page.contains("<img"), "{field}: {page}");
    }
    let filtered = ada.see(&format!("/console/policy?worker={hostile}&tenant={hostile}&capability={hostile}"));
    assert!(!filtered.contains("<script>document") && !filtered.contains("<img"), "{filtered}");
    let wrong = ada.look("/console/try?capability_id=cap.data.read.v1&env=prod&request=%5B1");
    assert_eq!(wrong.status, 400);
    assert!(wrong.text().contains("is no JSON object"), "{}", wrong.text());
    let moon = ada.see("/console/try?capability_id=cap.data.read.v1&env=moon");
    assert!(moon.contains("DENY_INVALID_INPUT") && moon.contains("moon"), "{moon}");
    // What a shell would read is not taken from a header that anybody's proxy may write.
    let quoted = ada.see("/console/try?capability_id=cap.data.read.v1&env=prod&request=%7B%22a%22:%22it's%22%7D");
    assert!(quoted.contains("it&#39;\\&#39;&#39;s"), "{quoted}");
}

#[test]
fn a_decision_says_why_and_what_a_draft_would_say_and_becomes_a_case_that_passes() {
    let fixture = fixture();
    let process = fixture.serve();
    let decision = asks(&process, ASKER, "org.acme", "INTERNAL", "c-1");
    let id = decision["decision_id"].as_str().unwrap();
    let ada = Browser::signed_in(&process, ADA);
    let path = format!("/console/decisions/{id}");
    let page = ada.see(&path);
    assert!(page.contains("By what is in force now: <span class=\"yes\">allowed</span>"), "{page}");
    assert!(page.contains("number 3 of 7"), "{page}");
    let draft = ada.send(&format!("{path}/replay"), "rules=%7B%22rules%22%3A%5B%5D%7D");
    assert_eq!(draft.status, 200);
    let text = draft.text();
    assert!(text.contains("DENY_NO_MATCHING_RULE") && text.contains("<strong>another</strong>"), "{text}");
    for (rules, why) in [("%7B", "is no JSON"), ("%5B%7B%7D%5D", "rules[0]")] {
        let refused = ada.send(&format!("{path}/replay"), &format!("rules={rules}"));
        assert_eq!(refused.status, 400);
        assert!(refused.text().contains(why), "{}", refused.text());
    }
    let case = ada.look(&format!("{path}/case.json"));
    assert_eq!(case.header("content-disposition"), Some(&*format!("attachment; filename=\"case-{id}.json\"")));
    fixture.write("case.json", &case.text());
    let (code, out, err) = fixture.run(&["test", "--config", "hallgate.yaml", "case.json"]);
    assert_eq!(code, Some(0), "{}{out}{err}", case.text());
    // It is a test: by another policy it fails.
    let rules = fixture.read("rules.json").replace("cap.data.write.v1", "cap.data.wrote.v1");
    fixture.write("rules.json", &rules);
    assert_eq!(fixture.run(&["test", "--config", "hallgate.yaml", "case.json"]).0, Some(1));
}

#[test]
fn a_tenants_token_tries_as_itself_and_learns_of_nobody_else() {
    let fixture = fixture();
    let process = fixture.serve();
    let foreign = asks(&process, ASKER, "org.acme", "INTERNAL", "acme-secret-word");
    let globex = Browser::signed_in(&process, GLOBEX);
    for path in
        ["/console/policy", "/console/policy?tenant=org.acme", "/console/try?capability_id=cap.data.write.v1&env=prod"]
    {
        let page = globex.see(path);
        assert!(!page.contains("wrk_make_acme_prod") && !page.contains("restricted"), "{path}: {page}");
    }
    let id = foreign["decision_id"].as_str().unwrap();
    assert_eq!(globex.look(&format!("/console/decisions/{id}/case.json")).status, 404);
    assert_eq!(globex.send(&format!("/console/decisions/{id}/replay"), "rules=%5B%5D").status, 404);
    let acme = Browser::signed_in(&process, ACME);
    assert!(acme.see("/console/policy").contains("for <code>org.acme</code>"));
}
