//! Who gets in.

use serde_json::Value;
use support::{get, hallgate, post, run, until};

use crate::desk::{ADA, ASKER, BEA, Browser, fixture};

#[test]
fn there_is_none_unless_it_is_asked_for() {
    let fixture = fixture();
    fixture.edit("  console: true\n", "");
    let process = fixture.serve();
    assert_eq!(Browser::at(&process).look("/console/").status, 404);
    let said = post(process.hall(), ADA, "/api/console/link", "").refused(501);
    assert!(said.contains("hall.console: true"), "{said}");
}

#[test]
fn a_token_signs_in_and_a_cookie_says_no_more_than_that() {
    let fixture = fixture();
    let process = fixture.serve();
    let mut browser = Browser::at(&process);
    for path in
        ["/console/", "/console/decisions?worker=a%20b", "/console/approvals/x", "/console/workers", "/console/health"]
    {
        let answer = browser.look(path);
        let to = answer.header("location").unwrap().to_owned();
        assert_eq!(answer.status, 303, "{path}");
        assert!(to.starts_with("/console/sign-in?to=%2Fconsole%2F"), "{to}");
    }
    let form = browser.look("/console/sign-in?to=https://evil.example/");
    assert!(form.text().contains("name=\"to\" value=\"/console/\""), "{}", form.text());
    for (wrong, status) in [("hst_wrong", 401), ("", 401)] {
        let answer = browser.send("/console/sign-in", &format!("token={wrong}"));
        assert_eq!((answer.status, answer.header("set-cookie")), (status, None), "{wrong}");
    }
    let answer = browser.send("/console/sign-in", &format!("token={ADA}"));
    assert_eq!((answer.status, answer.header("location")), (303, Some("/console/")));
    let cookie = answer.header("set-cookie").unwrap();
    for part in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains(ADA), "{cookie}");
    browser.keep(&answer);
    let page = browser.look("/console/");
    assert_eq!(page.status, 200);
    let csp = page.header("content-security-policy").unwrap();
    assert!(
        csp.starts_with("default-src 'none'; script-src 'self';") && csp.contains("frame-ancestors 'none'"),
        "{csp}"
    );
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));

    // A cookie is a person's at pages, and nobody's at the API.
    assert_eq!(browser.look("/status").status, 401);
    // Signed out is signed out, also for whoever has kept the cookie.
    let out = browser.send("/console/sign-out", "");
    assert_eq!((out.status, out.header("location")), (303, Some("/console/sign-in")), "{}", out.text());
    assert_eq!(browser.look("/console/").status, 303);
}

#[test]
fn a_session_ends_with_its_token() {
    let fixture = fixture();
    let process = fixture.serve();
    let (ada, bea) = (Browser::signed_in(&process, ADA), Browser::signed_in(&process, BEA));
    assert_eq!(ada.look("/console/").status, 200);
    let tokens = fixture.read("tokens.yaml");
    fixture.write("tokens.yaml", &tokens.replace(ADA, "hst_ada_another_0123"));
    until(|| ada.look("/console/").status == 303);
    assert_eq!(bea.look("/console/approvals").status, 200, "another's goes on");
    fixture.write("tokens.yaml", &tokens);
    until(|| get(process.hall(), ADA, "/status").status == 200);
    assert_eq!(ada.look("/console/").status, 303, "it does not come back");
}

#[test]
fn a_link_signs_in_once_and_looking_at_it_uses_nothing_up() {
    let fixture = fixture();
    let process = fixture.serve();
    let url = format!("http://{}", process.hall());
    let mut command = hallgate(&["console", "link"]);
    let (code, out, err) = run(command.env("PYHALL_HALL_URL", &url).env("HALL_SESSION_TOKEN", BEA), "");
    assert_eq!(code, Some(0), "{err}");
    let path = out.trim().strip_prefix(&url).unwrap().to_owned();
    let mut browser = Browser::at(&process);
    for _ in 0..2 {
        let page = browser.see(&path);
        assert!(page.contains("<form method=\"post\" action=\"/console/enter\">"), "{page}");
    }
    let link = path.split_once('=').unwrap().1;
    let answer = browser.send("/console/enter", &format!("link={link}"));
    assert_eq!((answer.status, answer.header("location")), (303, Some("/console/")), "{}", answer.text());
    browser.keep(&answer);
    assert_eq!(browser.look("/console/").header("location"), Some("/console/approvals"), "she only approves");
    let again = Browser::at(&process).send("/console/enter", &format!("link={link}"));
    assert_eq!((again.status, again.header("set-cookie")), (401, None));
    assert!(again.text().contains("was followed before"));
    assert_eq!(Browser::at(&process).send("/console/enter", "link=").status, 401);
    // A cookie makes no link, and a token that may do nothing at the console gets one that shows it nothing.
    assert_eq!(browser.send("/api/console/link", "").status, 401);
    let link: Value = post(process.hall(), ASKER, "/api/console/link", "").ok();
    let mut asker = Browser::at(&process);
    let secret = link["path"].as_str().unwrap().split_once('=').unwrap().1.to_owned();
    let answer = asker.send("/console/enter", &format!("link={secret}"));
    asker.keep(&answer);
    for path in ["/console/approvals", "/console/decisions", "/console/workers", "/console/health"] {
        assert_eq!(asker.look(path).status, 403, "{path}");
    }
}

#[test]
fn it_is_shown_to_this_machine_alone_where_nobody_encrypts() {
    let fixture = fixture();
    let process = fixture.serve();
    let browser = Browser::signed_in(&process, ADA);
    for (name, value) in [
        ("host", "rebound.evil.example:8765"),
        ("x-forwarded-for", "10.0.0.1"),
        ("forwarded", "for=10.0.0.1"),
        ("via", "1.1 proxy"),
    ] {
        let answer = browser.ask("GET /console/", &[(name, value)], "");
        assert_eq!(answer.status, 403, "{name}");
        assert!(answer.text().contains("hall.tls"), "{}", answer.text());
    }
}

#[test]
fn a_form_is_taken_from_pages_of_the_console_alone() {
    let fixture = fixture();
    let process = fixture.serve();
    let browser = Browser::signed_in(&process, ADA);
    let same_port = format!("http://localhost:{}", process.hall().port());
    for headers in [
        &[][..],
        &[("origin", "null")],
        &[("origin", "https://evil.example")],
        &[("origin", same_port.as_str())],
        &[("origin", "http://127.0.0.1")],
    ] {
        for path in
            ["/console/workers/wrk_make_acme_prod", "/console/sign-out", "/console/sign-in", "/console/approvals/x"]
        {
            let answer =
                browser.ask(&format!("POST {path}"), headers, "change=revoke&token=x&resolution=deny&digest=x");
            assert_eq!(answer.status, 403, "{path} {headers:?}");
            assert!(answer.text().contains("not sent from a page of this console"), "{}", answer.text());
        }
    }
    assert_eq!(browser.look("/console/").status, 200, "nobody was signed out");
    let page = browser.see("/console/workers/wrk_make_acme_prod");
    assert!(page.contains("Revoke: it does not act any more"), "{page}");
    let huge = format!("change=revoke&reason={}", "x".repeat(70_000));
    assert_eq!(browser.send("/console/workers/wrk_make_acme_prod", &huge).status, 413);
    // A script of another site has the cookie with no request that it sends for itself.
    let cross = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
    assert!(browser.ask("GET /console/", &cross, "").header("access-control-allow-origin").is_none());
}
