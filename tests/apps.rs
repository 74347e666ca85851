//! The pages about apps: each page's gate before an upstream of its kind, and the page's samples run as they stand, with the real
//! clients. What a page claims and does not show is in the scripts under `tests/apps/`.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "apps/behind.rs"]
mod behind;
#[path = "readme/page.rs"]
mod page;
#[path = "apps/upstream.rs"]
mod upstream;

use std::fs;

use behind::{Behind, Page};
use page::{blocks, pages};
use serde_json::json;
use upstream::Upstream;

const OPENAI: &str = "https://api.openai.com";
const ANTHROPIC: &str = "https://api.anthropic.com";

/// A gate that waits a second for a caller that sends nothing.
const IDLE: (&str, &str) = ("gate:\n", "gate:\n  idle_timeout: 1s\n");
/// A gate that lets one request in two seconds through.
const RATE: (&str, &str) = ("gate:\n", "gate:\n  limits: { per_tenant: { rate: 30/m, burst: 1 } }\n");

#[test]
fn the_openai_page_is_true() {
    let model_api = Upstream::start("model_api.py");
    let app = Behind::gate(Page::open("openai.md"), &[(OPENAI, &model_api)], &[]);
    app.run_samples();
    let access = app.finish(&[&model_api]);
    // Denied once: not one more try than the app's own.
    let denied = access.iter().filter(|line| line["status"] == 403).count();
    assert_eq!((denied, access.len()), (1, 5), "{access:#?}");
}

#[test]
fn the_anthropic_page_is_true() {
    let model_api = Upstream::start("model_api.py");
    let app = Behind::gate(Page::open("anthropic.md"), &[(ANTHROPIC, &model_api)], &[]);
    app.run_samples();
    let access = app.finish(&[&model_api]);
    let denied = access.iter().filter(|line| line["status"] == 403).count();
    assert_eq!((denied, access.len()), (1, 5), "{access:#?}");
}

#[test]
fn the_langchain_page_is_true() {
    let model_api = Upstream::start("model_api.py");
    let app = Behind::gate(Page::open("langchain.md"), &[(OPENAI, &model_api), (ANTHROPIC, &model_api)], &[]);
    app.run_samples();
    let access = app.finish(&[&model_api]);
    let denied = access.iter().filter(|line| line["status"] == 403).count();
    assert_eq!((denied, access.len()), (2, 5), "{access:#?}");
}

#[test]
fn the_databases_page_is_true() {
    let tables = Upstream::start("tables.py");
    let app = Behind::gate(Page::open("databases.md"), &[("http://127.0.0.1:3000", &tables)], &[]);
    app.run_samples();
    let access = app.finish(&[&tables]);
    let denied: Vec<_> = access.iter().filter(|line| line["status"] == 403).collect();
    assert_eq!((denied.len(), access.len()), (2, 7), "{access:#?}");
    let count = |capability: &str| access.iter().filter(|line| line["capability"] == capability).count();
    assert_eq!((count("cap.data.read.v1"), count("cap.data.write.v1")), (5, 2), "{access:#?}");
}

#[test]
fn the_grpc_page_is_true() {
    let stock = stock();
    let app = Behind::gate(Page::open("grpc.md"), &[("http://127.0.0.1:50051", &stock)], &[]);
    app.run_samples();
    let access = app.finish(&[&stock]);
    let statuses: Vec<_> = access.iter().map(|line| (&line["status"], &line["grpc_status"])).collect();
    let (ok, denied) = (json!(0), json!(7));
    let ended = |status| statuses.iter().filter(|line| line.0 == 200 && line.1 == status).count();
    assert_eq!((ended(&ok), ended(&denied), statuses.len()), (4, 2, 6), "{access:#?}");
}

/// The service of the gRPC page.
fn stock() -> Upstream {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("stock.proto"), Page::open("grpc.md").proto()).unwrap();
    Upstream::start_in("stock.py", folder.path())
}

#[test]
fn grpc_is_whole_behind_the_gate() {
    calls(IDLE);
}

#[test]
fn grpc_is_whole_over_tls() {
    calls(("  listen_h2c: 127.0.0.1:8081\n", "  idle_timeout: 1s\n  tls: { cert_file: tls.crt, key_file: tls.key }\n"));
}

/// Calls of every kind, through a gate with this edit.
fn calls(edit: (&str, &str)) {
    let stock = stock();
    let app = Behind::gate(Page::open("grpc.md"), &[("http://127.0.0.1:50051", &stock)], &[edit]);
    app.run_script("grpc_calls.py", &[]);
    let access = app.finish(&[]);
    let told = stock.told();
    let late = told.iter().find(|what| what["ended"] == "late").unwrap();
    let left = late["left"].as_f64().unwrap();
    assert!(left > 0.0 && left < 1.5, "the upstream was told of {left} seconds");
    assert!(told.iter().any(|what| what["ended"] == "endless"), "{told:#?}");
    let noted = told.iter().find(|what| what["headers"]["x-note"] == "1").unwrap();
    assert_eq!(noted["headers"]["x-trace-bin"], "00ff", "{noted}");
    assert!(told.iter().all(|what| what["headers"].is_null() || what["headers"]["wcp-decision-id"].is_string()));
    let not_found = access.iter().filter(|line| line["grpc_status"] == 5).count();
    assert_eq!(not_found, 1, "{access:#?}");
}

#[test]
fn a_grpc_stream_ends_when_its_upstream_is_silent_for_too_long() {
    let stock = stock();
    let edit = ("http2: true", "http2: true, read_timeout: 1s");
    let app = Behind::gate(Page::open("grpc.md"), &[("http://127.0.0.1:50051", &stock)], &[edit]);
    app.run_script("grpc_silence.py", &[]);
    let access = app.finish(&[&stock]);
    let endings: Vec<_> =
        access.iter().map(|line| json!([line["ending"], line["error"], line["grpc_status"]])).collect();
    let silent = || json!(["upstream_failed", "ReadTimedout", 4]);
    assert_eq!(endings, [silent(), silent()], "{access:#?}");
}

#[test]
fn grpc_retries_wait_as_the_gate_says() {
    let stock = stock();
    let app = Behind::gate(Page::open("grpc.md"), &[("http://127.0.0.1:50051", &stock)], &[RATE]);
    app.run_script("grpc_retries.py", &[]);
    let access = app.finish(&[&stock]);
    let over = access.iter().filter(|line| line["grpc_status"] == 8).count();
    // A client that did not wait would be over the rate with all its tries at once.
    assert!(over > 0 && access.len() == 3 + over, "{access:#?}");
}

#[test]
fn sdks_wait_as_the_gate_says() {
    let model_api = Upstream::start("model_api.py");
    let places = [(OPENAI, &model_api), (ANTHROPIC, &model_api)];
    let app = Behind::gate(Page::open("langchain.md"), &places, &[RATE]);
    app.run_script("retries.py", &["gpt-5-mini"]);
    let access = app.finish(&[&model_api]);
    let over = access.iter().filter(|line| line["status"] == 429).count();
    assert!(over > 1, "{access:#?}");
}

#[test]
fn a_slow_model_is_waited_for() {
    let model_api = Upstream::start("model_api.py");
    let places = [(OPENAI, &model_api), (ANTHROPIC, &model_api)];
    let app = Behind::gate(Page::open("langchain.md"), &places, &[IDLE]);
    app.run_script("retries.py", &["slow"]);
    let access = app.finish(&[&model_api]);
    assert!(access.len() == 4 && access.iter().all(|line| line["status"] == 200), "{access:#?}");
}

/// The text of each SDK's exception has what was recorded: code, reason and the decision's id.
#[test]
fn every_sdk_shows_why_it_was_refused() {
    let app = Behind::gate(Page::open("langchain.md"), &[], &[]);
    let shown = app.refusals();
    assert_eq!(shown.len(), 84);
    app.recorded_as_shown(shown);
    app.finish(&[]);
}

#[test]
fn a_web_page_of_another_origin_shows_why_it_was_refused() {
    let model_api = Upstream::start("model_api.py");
    let site = Upstream::start("page.py");
    let origin = format!("gate:\n  cors_origins: [\"http://{}\"]\n", site.address);
    let app = Behind::gate(Page::open("openai.md"), &[(OPENAI, &model_api)], &[("gate:\n", &origin)]);
    let mut shown = app.browse(&site);
    let refused = shown.split_off(2);
    assert_eq!((shown.len(), refused.len()), (2, 6));
    app.recorded_as_shown(refused);
    let access = app.finish(&[&model_api]);
    for (line, access) in shown.iter().zip(access.iter().filter(|line| line["upstream"].is_string())) {
        let text = line["text"].as_str().unwrap();
        assert!(text.starts_with(access["decision_id"].as_str().unwrap()) && text.contains("rules"), "{line:#}");
    }
}

#[test]
fn every_page_with_an_apps_samples_is_run() {
    let mut about: Vec<String> = pages()
        .iter()
        .filter(|page| blocks(page).iter().any(|block| block.language.ends_with(" app")))
        .map(|page| page.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    about.sort();
    let this = fs::read_to_string(support::root().join("tests/apps.rs")).unwrap();
    let mut run: Vec<String> =
        this.split("Page::open(\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect();
    run.retain(|name| name.ends_with(".md"));
    run.sort();
    run.dedup();
    assert_eq!(about, run, "pages with samples of apps (left), and those that are run here (right)");
}
