//! A Hall with a console, what was asked of it, and somebody at a browser without a script.

use std::net::SocketAddr;

use serde_json::json;
use support::{Answer, Fixture, NOWHERE, Process, ask, post};

/// Reads everything, approves and administers.
pub const ADA: &str = "hst_ada_012345678901";
/// Approves and nothing else.
pub const BEA: &str = "hst_bea_012345678901";
/// Reads what is org.acme's.
pub const ACME: &str = "hst_acme_01234567890";
/// Reads what is org.globex's, and approves there.
pub const GLOBEX: &str = "hst_globex_012345678";
/// Asks, for org.acme.
pub const ASKER: &str = "hst_asker_0123456789";
/// Asks, for org.globex.
pub const GLOBEX_ASKER: &str = "hst_globex_asker_012";

const TOKENS: &str = "
    - { name: ada, secret: hst_ada_012345678901, scopes: [read, approve, admin, enroll], owner: ada }
    - { name: bea, secret: hst_bea_012345678901, scopes: [approve], owner: bea }
    - { name: acme, secret: hst_acme_01234567890, scopes: [read], tenant_id: org.acme }
    - { name: globex, secret: hst_globex_012345678, scopes: [read, approve], tenant_id: org.globex, owner: gus }
    - { name: asker, secret: hst_asker_0123456789, scopes: [route], tenant_id: org.acme, owner: ann }
    - { name: globex-asker, secret: hst_globex_asker_012, scopes: [route], tenant_id: org.globex, owner: gil }
";
const POLICY: &str = r#"
@id("all")
permit(principal, action == Action::"dispatch", resource);
@id("restricted")
@reason("RESTRICTED data needs a human")
@gate("REQUIRE_HUMAN")
@supervisor_level("gatekeeper")
forbid(principal, action, resource) when { context.data_label == "RESTRICTED" };
"#;
/// What would do something, if it were not text.
pub const HOSTILE: &str = "<script>document.title='owned'</script><img src=x onerror=document.title='owned'>\"'`=1+1";

/// A folder with such a Hall.
pub fn fixture() -> Fixture {
    let fixture = Fixture::sample(NOWHERE).shutdown("{ linger: 0s, grace: 1s }");
    fixture.copy_from("conf");
    fixture.configure(
        "hall:\n  listen: 127.0.0.1:0\n  console: true\n  tokens_file: tokens.yaml\npolicy: { rules: rules.json, workers: enrolled, gate: \
         policies, store: registry.db }\nshutdown: { linger: 0s, grace: 1s }\napprovals: {}\n"
    );
    fixture.write("tokens.yaml", &format!("tokens:{TOKENS}"));
    for file in ["base", "restricted", "tenants"] {
        std::fs::remove_file(fixture.path(&format!("policies/{file}.cedar"))).unwrap();
    }
    fixture.write("policies/all.cedar", POLICY);
    fixture
}

/// Gives the Hall one more token, an item in braces, before it starts.
pub fn add_token(fixture: &Fixture, token: &str) {
    let tokens = fixture.read("tokens.yaml");
    fixture.write("tokens.yaml", &tokens.replace("tokens:\n", &format!("tokens:\n    - {token}\n")));
}

/// Asks for data of this label with these texts; the decision.
pub fn asks(process: &Process, token: &str, tenant: &str, label: &str, text: &str) -> serde_json::Value {
    let asked = json!({
        "capability_id": "cap.data.write.v1", "worker_id": "wrk_make_acme_prod", "env": "prod", "data_label": label, "tenant_id": tenant,
        "correlation_id": text, "request": {"note": text},
    });
    post(process.hall(), token, "/api/route", &asked.to_string()).ok()
}

/// Somebody at a browser.
pub struct Browser {
    hall: SocketAddr,
    /// The cookie, as it is sent.
    pub cookie: String,
}

impl Browser {
    /// Nobody yet.
    pub fn at(process: &Process) -> Self {
        Self { hall: process.hall(), cookie: String::new() }
    }

    /// Somebody who is signed in with this token.
    #[track_caller]
    pub fn signed_in(process: &Process, token: &str) -> Self {
        let mut browser = Self::at(process);
        let answer = browser.send("/console/sign-in", &format!("token={token}&to=%2Fconsole%2Fapprovals"));
        assert_eq!((answer.status, answer.header("location")), (303, Some("/console/approvals")), "{}", answer.text());
        browser.keep(&answer);
        browser
    }

    /// Keeps the cookie of an answer.
    #[track_caller]
    pub fn keep(&mut self, answer: &Answer) {
        let cookie = answer.header("set-cookie").unwrap();
        self.cookie = cookie.split(';').next().unwrap().to_owned();
    }

    /// Looks at a page.
    pub fn look(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), &[], "")
    }

    /// That there is a page, and its text.
    #[track_caller]
    pub fn see(&self, path: &str) -> String {
        let answer = self.look(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(answer.header("content-type").unwrap().starts_with("text/html"));
        answer.text()
    }

    /// Sends a form from a page of the console.
    pub fn send(&self, path: &str, form: &str) -> Answer {
        let origin = format!("http://{}", self.hall);
        self.ask(&format!("POST {path}"), &[("origin", &origin)], form)
    }

    /// Sends anything else.
    pub fn ask(&self, line: &str, headers: &[(&str, &str)], form: &str) -> Answer {
        let host = self.hall.to_string();
        let mut all = vec![("host", host.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        all.retain(|(name, _)| !headers.iter().any(|(other, _)| other == name));
        all.extend(headers);
        if !self.cookie.is_empty() {
            all.push(("cookie", &self.cookie));
        }
        ask(self.hall, line, &all, form)
    }
}
