//! The README and the pages under `docs/`: every command in them is run, every answer compared, every configuration loaded.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "readme/page.rs"]
mod page;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use hallgate::config::Config;
use page::{Block, agrees, blocks, pages};
use serde_json::Value;
use support::{Demo, Fixture, ask, root, venv};

#[test]
fn every_sample_on_every_page_is_true() {
    let demo = Demo::start();
    for page in pages() {
        let mut said: Option<Value> = None;
        for Block { at, language, text } in blocks(&page) {
            let before = said.take();
            match language.as_str() {
                "sh" if text.starts_with("make ") || text.starts_with("hallgate serve") => {} // tested below
                "sh" => said = run(&demo, &at, &text),
                "json" => {
                    let sample: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{at}: {error}"));
                    if let Some(said) = before {
                        assert!(agrees(&sample, &said), "{at} shows {sample:#}\nbut the answer is {said:#}");
                    }
                }
                "json request" => said = Some(asked(&demo, &at, &text)),
                "python" | "ts" | "js step" => said = Some(script(&demo, &at, &language, &text)),
                "python node" => {
                    said = Some(node(&at, &text, &before.unwrap_or_else(|| panic!("{at}: no answer before it"))))
                }
                "yaml" => load(&at, &text),
                "cedar" => permit(&at, &text),
                "json rules" | "yaml rules" => govern(&at, &language, &text),
                "text" | "proto" => {}
                "sh approvals" | "python receiver" | "js receiver" => {} // tests/approvals.rs
                language if language.ends_with(" held") => {}            // tests/approvals/flows.rs
                // A sample test is one that is run.
                "rust" => assert!(fs::read_to_string(root().join("tests/serve.rs")).unwrap().contains(&text), "{at}"),
                language if language.ends_with(" app") => {} // tests/apps.rs
                other => panic!("{at}: nothing tests a block of `{other}`"),
            }
        }
    }
    let (code, rest) = demo.end("TERM");
    assert_eq!(code, Some(0), "{rest}");
}

/// Runs a block as a reader of the page would. Gives what it printed, if that is JSON.
fn run(demo: &Demo, at: &str, script: &str) -> Option<Value> {
    let script = script
        .replace("http://127.0.0.1:8080", demo.introduced("gate"))
        .replace("http://127.0.0.1:8765", demo.introduced("hall"));
    let folder = tempfile::tempdir().unwrap();
    for copied in ["conf", "k8s"] {
        assert!(Command::new("cp").arg("-R").arg(root().join(copied)).arg(folder.path()).status().unwrap().success());
    }
    // `make test` brings kubectl where the machine has none.
    let script = format!("PATH=\"$PATH:{}\"\n{script}", root().join("target/kubectl").display());
    let run = demo.shell(&script, folder.path()).output().unwrap();
    assert!(run.status.success(), "{at}: {script}\n{}", String::from_utf8_lossy(&run.stderr));
    serde_json::from_slice(&run.stdout).ok()
}

/// What a platform's fields stand for.
fn mapped(text: &str) -> String {
    let mut parts = text.split("{{");
    let mut mapped = parts.next().unwrap().to_owned();
    for part in parts {
        let (field, rest) = part.split_once("}}").unwrap();
        let value = [("worker_id", "wrk_make_acme_prod"), ("data_label", "INTERNAL")]
            .iter()
            .find(|(name, _)| field.contains(name));
        mapped.push_str(value.unwrap_or_else(|| panic!("what does {field} stand for?")).1);
        mapped.push_str(rest);
    }
    mapped
}

/// Posts the body that a page has a platform send, and gives the answer.
fn asked(demo: &Demo, at: &str, body: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("body"), mapped(body)).unwrap();
    let post = "curl -sS --fail-with-body $HALL/api/route -H \"Authorization: Bearer $HALL_SESSION_TOKEN\" \
                -H 'Content-Type: application/json' --data-binary @body";
    let run = demo.shell(post, folder.path()).env("HALL", demo.introduced("hall")).output().unwrap();
    let answer = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{at}: {answer}");
    serde_json::from_str(&answer).unwrap()
}

/// Runs a program of a page, and gives what it prints: JSON.
fn script(demo: &Demo, at: &str, language: &str, text: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(if language == "python" { "sample.py" } else { "sample.mjs" });
    // A step's default export is run as Pipedream does it.
    let text = if language == "js step" {
        let event = "{ worker_id: 'wrk_make_acme_prod', data_label: 'INTERNAL' }";
        let step = text.replacen("export default", "const step =", 1);
        format!(
            "const defineComponent = (component) => component;\nconst $ = {{ flow: {{ exit: (why) => {{ throw new Error(why) }} }} }};\n\
             {step}\nconsole.log(JSON.stringify(await step.run({{ steps: {{ trigger: {{ event: {event} }} }}, $ }})));\n"
        )
    } else {
        text.to_owned()
    };
    fs::write(&file, text).unwrap();
    let program = if language == "python" { venv("python") } else { PathBuf::from("node") };
    let run = Command::new(program)
        .arg(&file)
        .env("PYHALL_HALL_URL", demo.introduced("hall"))
        .env("HALL_SESSION_TOKEN", demo.exported("HALL_SESSION_TOKEN"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{at}: {said}{}", String::from_utf8_lossy(&run.stderr));
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{at}: {error}: {said}"))
}

/// Runs a code node of Dify on an answer of the Hall, and on what is no decision, which must never pass.
fn node(at: &str, text: &str, answer: &Value) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.py");
    let call = "import sys\nprint(json.dumps(main(sys.argv[1], int(sys.argv[2]))))\n";
    let unindented: Vec<&str> = text.lines().map(|line| line.strip_prefix("   ").unwrap_or(line)).collect();
    fs::write(&file, format!("{}\n{call}", unindented.join("\n"))).unwrap();
    let main = |body: &Value, status: &str| {
        let run = Command::new(venv("python")).arg(&file).args([&body.to_string(), status]).output().unwrap();
        assert!(run.status.success(), "{at}: {}", String::from_utf8_lossy(&run.stderr));
        serde_json::from_slice::<Value>(&run.stdout).unwrap()
    };
    let refused = serde_json::json!({ "error": "unavailable", "denied": true, "decision_id": null });
    assert_eq!(main(&refused, "503")["denied"], "true", "{at}");
    assert_eq!(main(answer, "500")["denied"], "true", "{at}");
    main(answer, "200")
}

/// Loads a configuration beside the policy of `conf/`.
fn load(at: &str, text: &str) {
    let fixture = Fixture::copy_of("conf");
    fixture.write("sample.yaml", text);
    for (from, to) in [("one.crt", "tls.crt"), ("one.key", "tls.key"), ("other.crt", "ca.crt")] {
        fs::copy(root().join("tests/config/tls").join(from), fixture.path(to)).unwrap();
    }
    fixture.write("catalogue.json", r#"{ "entities": [{ "id": "cap.ml.infer", "type": "capability" }] }"#);
    if !text.contains("gate: policies") {
        // A sample shows a part: without policies no rule asks for one.
        fixture.write("rules.json", &fixture.read("rules.json").replace("\"policy_gate\": true", ""));
    }
    if text.contains("worker_species_id") {
        // A sample that has its workers in it: of the rules those are for them.
        let mut rules: Value = serde_json::from_str(&fixture.read("rules.json")).unwrap();
        let known = |candidate: &Value| text.contains(candidate["worker_species_id"].as_str().unwrap());
        rules["rules"].as_array_mut().unwrap().retain_mut(|rule| {
            let candidates = rule["decision"]["candidate_workers_ranked"].as_array_mut().unwrap();
            candidates.retain(known);
            let is_for_it = !candidates.is_empty();
            is_for_it && rule["match"]["capability_id"].as_str().is_some_and(|id| text.contains(id))
        });
        fixture.write("rules.json", &rules.to_string());
    }
    // Any value will do for a secret, but not for an address.
    let secret = |name: &str| !["PYHALL_REGISTRY", "OTEL_"].iter().any(|other| name.starts_with(other));
    let environment = |name: &str| secret(name).then(|| "0123456789abcdef".to_owned());
    let loaded = Config::load(&fixture.path("sample.yaml"), &environment);
    let loaded = loaded.unwrap_or_else(|problems| panic!("{at} does not load:\n{problems}"));
    // The secrets of samples are short.
    let mut warnings = hallgate::lint::of_config(&loaded);
    warnings.retain(|warning| warning.name != hallgate::config::WEAK_SECRET);
    let said: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert!(said.is_empty(), "{at} is warned of:\n{}", said.join("\n"));
}

/// Loads rules beside the workers and policies of `conf/`.
fn govern(at: &str, language: &str, text: &str) {
    let file = format!("sample.{}", language.trim_end_matches(" rules"));
    let fixture = Fixture::copy_of("conf");
    fixture.configure(&format!("policy: {{ rules: {file}, workers: enrolled, gate: policies }}\n"));
    fixture.write(&file, text);
    let (code, _, problems) = fixture.run(&["check", "hallgate.yaml"]);
    assert_eq!(code, Some(0), "{at}: {problems}");
}

/// Loads policies.
fn permit(at: &str, text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gate.cedar");
    fs::write(&file, text).unwrap();
    hallgate::policy::load(&file).unwrap_or_else(|problems| panic!("{at} does not load:\n{problems:#?}"));
}

/// `make` as in a shell of its own: without what this run's cargo and make have set.
fn make() -> Command {
    let mut make = Command::new("make");
    make.arg("--no-print-directory").current_dir(root());
    for (name, _) in std::env::vars_os() {
        let ours = name.to_str().is_some_and(|name| {
            ["CARGO", "RUSTUP_TOOLCHAIN", "MAKE", "MFLAGS"].iter().any(|set| name.starts_with(set))
        });
        if ours && name != "CARGO_HOME" && name != "CARGO_TARGET_DIR" {
            make.env_remove(name);
        }
    }
    make
}

#[test]
fn make_demo_takes_the_walk() {
    let run = make().args(["demo", "ARGS=--once --gate-port 0 --hall-port 0"]).output().unwrap();
    let page = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success() && page.contains("it holds"), "{page}{}", String::from_utf8_lossy(&run.stderr));
}

/// `make test` cannot run itself: that it runs all tests is what its recipe says, and that it works is this run.
#[test]
fn make_test_runs_every_test() {
    let run = make().args(["--dry-run", "test"]).output().unwrap();
    let recipe = String::from_utf8(run.stdout).unwrap();
    let all = recipe.lines().any(|line| line.starts_with("cargo test --locked --no-fail-fast"));
    assert!(run.status.success() && all, "{recipe}");
    let checks = fs::read_to_string(root().join(".ci/run")).unwrap();
    assert!(checks.contains("make check") && checks.trim_end().ends_with("make test"), "{checks}");
}

#[test]
fn serve_starts_with_the_sample_configuration() {
    let fixture = Fixture::copy_of("conf");
    for address in ["127.0.0.1:8080", "127.0.0.1:8765", "127.0.0.1:8766"] {
        fixture.edit(address, "127.0.0.1:0");
    }
    let process = fixture.serve_with(&[("OPENAI_API_KEY", "0123456789abcdef")]);
    assert_eq!(ask(process.door("ops"), "GET /readyz", &[], "").status, 200);
    process.end();
}
