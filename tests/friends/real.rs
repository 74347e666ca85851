//! The real n8n imports the workflow and runs it, and Bruno's program runs the collection; `make friends` brings both.
#![expect(clippy::print_stdout, reason = "says that it was left out")]

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::{NOWHERE, TOKEN, root, run};

use crate::hall::{Hall, answer, in_its_place};
use crate::imported;

/// Where the programs are; `None` without `make friends`.
pub fn programs() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("HALLGATE_FRIENDS") else {
        println!("left out: `make friends` installs n8n and Bruno, and runs this");
        return None;
    };
    let programs = root().join(folder).join("node_modules/.bin");
    assert!(programs.join("n8n").exists(), "{} has no n8n; run `make friends`", programs.display());
    Some(programs)
}

/// One of them, with nothing else in its environment.
fn program(programs: &Path, name: &str, home: &Path) -> Command {
    let mut command = Command::new(programs.join(name));
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display());
    command.current_dir(home).env_clear().env("PATH", path).env("HOME", home);
    command
}

/// A port that nobody listens at.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The credential under this id, as n8n imports it.
pub fn credential(id: &str, secret: &str) -> Value {
    let data = json!({ "name": "Authorization", "value": format!("Bearer {secret}") });
    json!({ "id": id, "name": "Hall session token", "type": "httpHeaderAuth", "data": data })
}

/// n8n with a folder of its own, in which it trusts this Hall's authority and talks to nobody else.
pub struct N8n<'a> {
    pub programs: &'a Path,
    pub hall: &'a Hall,
}

impl N8n<'_> {
    pub fn command(&self, arguments: &[&str]) -> Command {
        let home = self.hall.path("n8n");
        fs::create_dir_all(&home).unwrap();
        // It takes a port of its own whatever it is told to do.
        let mut command = program(self.programs, "n8n", &home);
        command.args(arguments).env("N8N_USER_FOLDER", &home).env("N8N_RUNNERS_BROKER_PORT", free_port().to_string());
        command.env("NODE_EXTRA_CA_CERTS", self.hall.authority()).env("N8N_ENCRYPTION_KEY", "of-this-test-only");
        for quiet in ["N8N_DIAGNOSTICS_ENABLED", "N8N_VERSION_NOTIFICATIONS_ENABLED", "N8N_TEMPLATES_ENABLED"] {
            command.env(quiet, "false");
        }
        command
    }

    pub fn run(&self, arguments: &[&str]) -> String {
        let (code, out, err) = run(&mut self.command(arguments), "");
        assert_eq!(code, Some(0), "n8n {arguments:?}: {out}{err}");
        out
    }

    /// Executes a workflow. Gives the branch that ran, which is one, and what it keeps.
    fn execute(&self, id: &str) -> (&'static str, Value) {
        let out = self.run(&["execute", &format!("--id={id}"), "--rawOutput"]);
        let (_, text) = out.split_once("\n{\n").unwrap_or_else(|| panic!("{id}: {out}"));
        let text = format!("{{{text}");
        let result: Value = serde_json::Deserializer::from_str(&text).into_iter().next().unwrap().unwrap();
        let ran = &result["data"]["resultData"]["runData"];
        let mut branches = ["Allowed", "Denied"].into_iter().filter(|name| ran.get(name).is_some());
        let branch = branches.next().unwrap_or_else(|| panic!("{id}: neither branch: {ran:#}"));
        assert_eq!(branches.next(), None, "{id}: both branches: {ran:#}");
        assert_eq!(ran[branch].as_array().unwrap().len(), 1, "{id}");
        (branch, ran[branch][0]["data"]["main"][0][0]["json"].clone())
    }
}

/// A workflow as its user has it after the import: with an address, a label, and a credential that has been chosen.
struct Case {
    id: &'static str,
    url: String,
    label: &'static str,
    credential: &'static str,
    /// What the reason says, if it goes to a denial's branch.
    denied: Option<&'static str>,
}

impl Case {
    fn workflow(&self) -> String {
        let mut text = imported("n8n-workflow.json");
        let mut put = |from: &str, to: &str| {
            assert!(text.contains(from), "no {from}");
            text = text.replace(from, to);
        };
        put("https://hall.example.org", &self.url);
        put("\"INTERNAL\"", &format!("\"{}\"", self.label));
        put("hallgateSession", self.credential);
        put("hallgateAskFirst", self.id);
        put("\"timeout\": 10000", "\"timeout\": 2000");
        text
    }
}

#[test]
fn n8n_goes_on_after_a_yes_only() {
    let Some(programs) = programs() else { return };
    let hall = Hall::start();
    let stranger = Hall::start();
    let place = |kind: &str, body: &str| format!("http://{}", in_its_place(Some(answer("200 OK", kind, body))));
    let case = |id, url: &str, label, credential, denied| Case { id, url: url.to_owned(), label, credential, denied };
    let (url, token) = (hall.url(), "right");
    let empty = case("empty", &place("application/json", "{}"), "INTERNAL", token, Some("no decision"));
    // What the page warns of: the other way to compare takes what is not there for a yes.
    let is_false = empty.workflow().replace("\"empty\"", "\"isFalse\"").replace("\"equals\"", "\"false\"");
    let cases = [
        empty,
        case("allow", &url, "INTERNAL", token, None),
        case("deny", &url, "RESTRICTED", token, Some("RESTRICTED")),
        case("unmapped", &url, "", token, Some("RESTRICTED")),
        case("token", &url, "INTERNAL", "wrong", Some("401")),
        case("stranger", &stranger.url(), "INTERNAL", token, Some("SSL Issue")),
        case("silent", &format!("http://{}", in_its_place(None)), "INTERNAL", token, Some("timeout of")),
        case("text", &place("application/json", r#"{"denied": "false"}"#), "INTERNAL", token, Some("no decision")),
        case("page", &place("text/html", "<p>Sign in</p>"), "INTERNAL", token, Some("no decision")),
        case("unrecorded", &url, "INTERNAL", token, Some("503")),
        case("down", &url, "INTERNAL", token, Some("ECONNREFUSED")),
    ];
    let credentials = json!([credential("right", TOKEN), credential("wrong", "hst_not-one-of-ours")]);
    fs::write(hall.path("credentials.json"), credentials.to_string()).unwrap();
    fs::create_dir(hall.path("workflows")).unwrap();
    for case in &cases {
        fs::write(hall.path("workflows").join(format!("{}.json", case.id)), case.workflow()).unwrap();
    }
    fs::write(hall.path("workflows/isFalse.json"), is_false).unwrap();
    let n8n = N8n { programs: &programs, hall: &hall };
    n8n.run(&["import:credentials", &format!("--input={}", hall.path("credentials.json").display())]);
    n8n.run(&["import:workflow", "--separate", &format!("--input={}", hall.path("workflows").display())]);
    assert_eq!(n8n.execute("isFalse").0, "Allowed");
    for Case { id, denied, .. } in &cases {
        match *id {
            "unrecorded" => hall.cannot_record(),
            "down" => hall.process.kill(),
            _ => {}
        }
        let (branch, row) = n8n.execute(id);
        println!("n8n, {id}: {branch}: {}", row["reason"].as_str().unwrap_or("it may go on"));
        let Some(why) = denied else {
            assert_eq!((branch, &row["denied"]), ("Allowed", &json!(false)), "{id}: {row}");
            assert!(hall.has_recorded(row["decision_id"].as_str().unwrap()), "{row}");
            continue;
        };
        assert_eq!((branch, &row["denied"]), ("Denied", &json!(true)), "{id}: {row}");
        assert!(row["reason"].as_str().unwrap().contains(why), "{id}: {row}");
        let decided = row["decision_id"] != "";
        assert_eq!(decided, ["deny", "unmapped"].contains(id), "{id}: {row}");
        assert!(!decided || hall.has_recorded(row["decision_id"].as_str().unwrap()), "{row}");
    }
}

/// Runs the collection. Gives the exit code, and of each request whether its tests passed.
fn bruno(programs: &Path, hall: &Hall, url: &str, variables: &[&str]) -> (Option<i32>, BTreeMap<String, bool>) {
    let mut command = program(programs, "bru", &hall.path(""));
    command.current_dir(root().join("docs/integrate/import/bruno")).env("HALL_SESSION_TOKEN", hall.token());
    let results = hall.path("results.json");
    command.args(["run", "--env", "hall", "--env-var", &format!("hall_url={url}")]);
    for variable in variables {
        command.args(["--env-var", variable]);
    }
    command.arg("--cacert").arg(hall.authority()).arg("--reporter-json").arg(&results);
    let (code, out, err) = run(&mut command, "");
    let text = fs::read_to_string(&results).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    let results: Value = serde_json::from_str(&text).unwrap();
    let mut passed = BTreeMap::new();
    for result in results[0]["results"].as_array().unwrap_or_else(|| panic!("{results:#}")) {
        let tests = result["testResults"].as_array().unwrap();
        let all = !tests.is_empty() && tests.iter().all(|test| test["status"] == "pass");
        passed.insert(result["name"].as_str().unwrap().to_owned(), all);
    }
    assert_eq!(passed.len(), 8, "{out}{err}");
    (code, passed)
}

/// The requests whose tests did not pass.
fn failed(passed: &BTreeMap<String, bool>) -> Vec<&str> {
    passed.iter().filter(|(_, passed)| !**passed).map(|(name, _)| name.as_str()).collect()
}

#[test]
fn bruno_finds_a_hall_as_it_should_be_and_notices_one_that_is_not() {
    let Some(programs) = programs() else { return };
    let hall = Hall::start();
    let (code, passed) = bruno(&programs, &hall, &hall.url(), &[]);
    assert_eq!((code, failed(&passed)), (Some(0), vec![]));
    println!("Bruno, the Hall of conf: {} requests, all as they should be", passed.len());

    // A Hall that `init` makes, once the environment names what it made.
    let made = Hall::made();
    let own = ["worker_id=wrk_make_prod", "tenant_id=org.example"];
    let (code, passed) = bruno(&programs, &made, &made.url(), &own);
    assert_eq!((code, failed(&passed)), (Some(0), vec![]));
    println!("Bruno, the Hall of `init`: {} requests, all as they should be", passed.len());

    let (code, passed) = bruno(&programs, &hall, &hall.url(), &["worker_id=wrk_nobody"]);
    assert_eq!((code, failed(&passed)), (Some(1), vec!["2 allowed"]));
    let (code, passed) = bruno(&programs, &hall, &format!("https://{NOWHERE}"), &[]);
    assert_eq!((code, failed(&passed).len()), (Some(1), 8));
}
