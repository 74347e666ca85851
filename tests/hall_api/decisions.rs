//! What was decided, looked up in the ledger: by all that it is looked up by, page by page, over a restart, and in a spreadsheet.

use serde_json::Value;
use support::{Answer, ask, get, post};

use crate::hall::{ANY, DENIED, MAKE, READ, READER, fixture};

fn ids(answer: &Value) -> Vec<String> {
    let decisions = answer["decisions"].as_array().unwrap().iter();
    decisions.map(|one| one["decision_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn decisions_are_found_by_each_word_page_by_page_and_after_a_restart() {
    let fixture = fixture("", "", "");
    let process = fixture.serve();
    let mut decided = Vec::new();
    for n in 0..30 {
        let asked = if n % 3 == 0 { DENIED } else { READ };
        let asked = if n % 5 == 0 { asked.replace("PUBLIC", "INTERNAL") } else { asked.to_owned() };
        let answer = post(process.hall(), MAKE, "/api/route", &asked).ok();
        decided.push((n, answer["decision_id"].as_str().unwrap().to_owned()));
    }
    post(process.hall(), ANY, "/api/route", &READ.replace("org.acme", "org.globex").replace("prod\"", "dev\"")).ok();
    assert_eq!(post(process.hall(), MAKE, "/api/route", "[]").status, 400, "it is refused, and on record");
    let wanted = |holds: &dyn Fn(usize) -> bool| -> Vec<String> {
        decided.iter().rev().filter(|(n, _)| holds(*n)).map(|(_, id)| id.clone()).collect()
    };
    let check = |hall| {
        let found = |words: &str| ids(&get(hall, READER, &format!("/api/decisions?limit=200&{words}")).ok());
        assert_eq!(found("").len(), 32);
        assert_eq!(found("capability=cap.no.rule&tenant=org.acme"), wanted(&|n| n % 3 == 0));
        assert_eq!(found("verdict=DENY&capability=cap.no.rule"), wanted(&|n| n % 3 == 0));
        assert_eq!(found("verdict=DISPATCH&worker=wrk_make_acme_prod&tenant=org.acme"), wanted(&|n| n % 3 > 0));
        assert_eq!(found("label=INTERNAL&code=DENY_NO_MATCHING_RULE"), wanted(&|n| n % 15 == 0));
        assert_eq!(found("label=PUBLIC&tenant=org.acme&env=prod"), wanted(&|n| n % 5 > 0));
        assert_eq!((found("tenant=org.globex").len(), found("worker=wrk_nobody").len()), (1, 0));
        let all = get(hall, READER, "/api/decisions?limit=200").ok();
        assert_eq!((&all["complete_since"], &all["next"]), (&Value::Null, &Value::Null));
        let at = |n: usize| all["decisions"][n]["decided_at"].as_str().unwrap().to_owned();
        assert_eq!(found(&format!("since={}", at(9))).len(), 10, "a `+` that nobody escaped is one");
        assert_eq!(found(&format!("before={}", at(9).replace('+', "%2B"))).len(), 22);
        assert_eq!(found("before=2026-01-01").len(), 0);
        let (mut paged, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = get(hall, READER, &format!("/api/decisions?limit=7{cursor}")).ok();
            paged.extend(ids(&page));
            // What comes meanwhile shifts nothing; but the other calls here count what there is.
            let Some(next) = page["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(paged, ids(&all));
    };
    check(process.hall());
    process.kill();
    std::fs::remove_dir_all(fixture.path("ledger/decisions")).unwrap();
    let again = fixture.serve();
    check(again.hall());
    let hall = again.hall();
    for (wrong, named) in [
        ("verdict=MAYBE", "verdict"),
        ("label=SECRETS", "label"),
        ("env=moon", "env"),
        ("code=DENY_ME", "code"),
        ("since=soon", "since"),
        ("before=12", "before"),
        ("cursor=x", "cursor"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=5001&format=csv", "limit"),
        ("format=xml", "format"),
        ("worker=a&worker=b", "parameters"),
        ("colour=red", "parameters"),
    ] {
        let said = get(hall, READER, &format!("/api/decisions?{wrong}")).refused(400);
        assert!(said.contains(&format!("`{named}`")) && said.contains("send "), "{wrong}: {said}");
    }
    get(hall, MAKE, "/api/decisions").refused(403);
}

/// The cells of CSV, by the rules of RFC 4180.
fn cells(text: &str) -> Vec<Vec<String>> {
    let (mut lines, mut line, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut all = text.chars().peekable();
    while let Some(c) = all.next() {
        match c {
            '"' if quoted && all.peek() == Some(&'"') => cell.extend(all.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => line.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                line.push(std::mem::take(&mut cell));
                lines.push(std::mem::take(&mut line));
            }
            c => cell.push(c),
        }
    }
    lines
}

#[test]
fn in_a_spreadsheet_nothing_that_a_caller_wrote_is_calculated() {
    let fixture = fixture("", "", "");
    let process = fixture.serve();
    let hall = process.hall();
    let hostile = [
        "=HYPERLINK(\\\"http://evil.example\\\",\\\"x\\\")",
        "+1",
        "-2+3",
        "-2-3",
        "-1",
        "@SUM(A1)",
        "\\t=1",
        "\\r=1",
        "=1\\r\\n=2",
        "a\\\",\\\"=1",
    ];
    for id in hostile {
        post(hall, ANY, "/api/route", &READ.replace("wrk_make_acme_prod", id)).ok();
    }
    post(hall, MAKE, "/api/route", READ).ok();
    let check = |answer: Answer| {
        assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
        assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"decisions.csv\""));
        let lines = cells(&answer.text());
        let (head, rows) = lines.split_first().unwrap();
        let found = get(hall, READER, "/api/decisions?limit=200").ok();
        let found = found["decisions"].as_array().unwrap();
        assert!(rows.len() == found.len() && rows.len() > hostile.len() / 2, "{}", answer.text());
        let mut inert = 0;
        for (row, decision) in rows.iter().zip(found) {
            assert_eq!(row.len(), head.len(), "{row:?}");
            for (name, cell) in head.iter().zip(row) {
                assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']), "{name}: {cell:?}");
                let value = match &decision[name] {
                    Value::Null => String::new(),
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                inert += usize::from(*cell == format!("'{value}"));
                assert!(*cell == value || *cell == format!("'{value}"), "{name}: {cell:?} {value:?}");
            }
        }
        // Of what a caller may call a worker only these begin so; what may not be one is quoted in a sentence.
        assert_eq!(inert, 2, "{}", answer.text());
    };
    check(get(hall, READER, "/api/decisions?format=csv"));
    let read = format!("Bearer {READER}");
    check(ask(hall, "GET /api/decisions", &[("authorization", &read), ("accept", "text/csv, */*;q=0.1")], ""));
    let plain =
        ask(hall, "GET /api/decisions", &[("authorization", &read), ("accept", "application/json, text/csv")], "");
    assert!(plain.ok()["count"].as_u64().unwrap() > 4);
    let page = get(hall, READER, "/api/decisions?format=csv&limit=2&env=prod");
    let next = page.header("link").unwrap().split(['<', '>']).nth(1).unwrap().to_owned();
    let lines = cells(&get(hall, READER, &next).text());
    assert!(next.contains("env=prod") && next.contains("format=csv") && lines.len() == 2, "{next} {lines:?}");
}
