//! The first minutes: a gate alone, and folders and gates that are made by a command and work as they are.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use support::{Answer, Fixture, Process, Upstream, ask, post, root, run, until, venv};

/// A gate without a Hall, and with that without a token.
const GATE_ALONE: &str = "\
gate:
  listen: 127.0.0.1:0
  identity: { mode: fixed, worker_id: wrk_make_acme_prod, tenant_id: org.acme }
  upstreams: { models: { url: \"http://UPSTREAM\" } }
  routes: [{ match: { path: /v1/chat/completions, methods: [POST] }, capability: cap.ml.infer, data_label: INTERNAL, upstream: models }]
policy: { rules: CONF/rules.json, workers: CONF/enrolled, gate: CONF/policies, tenants: { org.acme: { risk: low } } }
ops: { listen: 127.0.0.1:0 }
shutdown: { linger: 0s }
";

/// Waits until requests should be sent to it: a gate alone says so at the operations door only.
fn ready(process: &Process) {
    until(|| ask(process.door("ops"), "GET /readyz", &[], "").status == 200);
}

/// One call that the rules allow, and the same with a label that they do not.
fn one_yes_and_one_no(process: &Process, upstream: &Upstream) {
    let call = |headers: &[(&str, &str)]| ask(process.gate(), "POST /v1/chat/completions", headers, "{}");
    assert_eq!(call(&[]).text(), "ok");
    let denied = call(&[("wcp-data-label", "RESTRICTED")]);
    assert_eq!((denied.status, &denied.body["code"]), (403, &"DENY_NO_MATCHING_RULE".into()), "{}", denied.text());
    assert_eq!(upstream.called().len(), 1);
}

#[test]
fn a_gate_alone_needs_no_hall_and_no_token() {
    let upstream = Upstream::start();
    let conf = root().join("conf").display().to_string();
    let fixture = Fixture::new(&GATE_ALONE.replace("UPSTREAM", &upstream.address.to_string()).replace("CONF", &conf));
    let (code, out, err) = fixture.run(&["check", "--config", "hallgate.yaml"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("hallgate.yaml is sound: "), "{out}");

    let process = Process::start(&mut fixture.command(&["serve", "--config", "hallgate.yaml"]));
    ready(&process);
    one_yes_and_one_no(&process, &upstream);
    // What changes is loaded again, as where there is a Hall.
    process.hang_up();
    process.wait_for_log("reloaded");
    process.end();
    assert!(!process.log().contains("\"hall\""), "{}", process.log());
    assert_eq!(fixture.verify(), (2, 1));
}

/// One file says who calls and what it may do, and another what is allowed: there is no worker's record, Hall or token.
#[test]
fn a_gate_of_its_own_configuration_needs_no_workers_file() {
    let upstream = Upstream::start();
    let configuration = GATE_ALONE.replace("UPSTREAM", &upstream.address.to_string()).replace(
        "policy: { rules: CONF/rules.json, workers: CONF/enrolled, gate: CONF/policies, tenants: { org.acme: { risk: low } } }",
        "policy:\n  rules: rules.yaml\n  tenants: { org.acme: { risk: low } }\n  workers:\n\
         \x20   - { worker_id: \"${WORKER}\", worker_species_id: wrk.app, capabilities: [cap.ml.infer], status: active }",
    );
    let fixture = Fixture::new(&configuration);
    fixture.write(
        "rules.yaml",
        "rules:\n  - rule_id: rr_infer\n    match: { capability_id: cap.ml.infer, data_label: { in: [PUBLIC, INTERNAL] } }\n\
         \x20   decision: { candidate_workers_ranked: [{ worker_species_id: wrk.app }] }\n",
    );
    let with_worker = |arguments: &[&str]| {
        let mut command = fixture.command(arguments);
        command.env("WORKER", "wrk_make_acme_prod");
        command
    };
    let (code, out, err) = run(&mut with_worker(&["check", "--deny-warnings", "hallgate.yaml"]), "");
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let asked = "{\"capability_id\":\"cap.ml.infer\",\"worker_id\":\"wrk_make_acme_prod\",\"env\":\"prod\",\"data_label\":\"PUBLIC\",\"tenant_id\":\"org.acme\"}\n";
    let (_, out, _) = run(&mut with_worker(&["decide", "--config", "hallgate.yaml"]), asked);
    assert!(out.contains("\"outcome\":\"DISPATCH\""), "{out}");

    let process = Process::start(&mut with_worker(&["serve", "--config", "hallgate.yaml"]));
    ready(&process);
    one_yes_and_one_no(&process, &upstream);
    let code = || ask(process.gate(), "POST /v1/chat/completions", &[], "{}").body["code"].clone();
    // It is loaded again when it changes, and whoever is named is enrolled there, or is denied.
    fixture.edit("status: active", "status: revoked");
    until(|| code() == "DENY_WORKER_REVOKED");
    assert!(!upstream.called().is_empty());
    fixture.edit("worker_id: \"${WORKER}\"", "worker_id: wrk_other");
    until(|| code() == "DENY_WORKER_NOT_ENROLLED");
    assert!(upstream.called().is_empty());
    // What is no record changes nothing.
    fixture.edit("worker_species_id: wrk.app,", "worker_species_id: app,");
    process.wait_for_log("policy.workers[0].worker_species_id");
    assert_eq!(code(), "DENY_WORKER_NOT_ENROLLED");
    process.end();
    assert_eq!(fixture.run(&["audit", "verify"]).0, Some(0));
}

/// What stands for an upstream's credential.
const CREDENTIAL: &str = "the-upstreams-own";

/// A folder that was made for a template, before this upstream, that serves; nothing in it was changed but ports, and a log for machines.
fn made(template: &str, upstream: Option<&Upstream>) -> (Fixture, Process) {
    let fixture = Fixture::new("");
    std::fs::remove_file(fixture.path("hallgate.yaml")).unwrap();
    let url = upstream.map(|upstream| format!("http://{}", upstream.address));
    let mut init = vec!["init", ".", "--for", template];
    init.extend(url.iter().flat_map(|url| ["--to", url]));
    let (code, out, err) = fixture.run(&init);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("hallgate serve --config ./hallgate.yaml"), "{out}");

    let credentials =
        ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AZURE_OPENAI_API_KEY", "GEMINI_API_KEY", "POSTGREST_JWT"];
    let with = |arguments: &[&str]| {
        let mut command = fixture.command(arguments);
        command.envs(credentials.map(|name| (name, CREDENTIAL)));
        command
    };
    let (code, out, err) = run(&mut with(&["check", "--deny-warnings", "--config", "hallgate.yaml"]), "");
    assert_eq!((code, err.as_str()), (Some(0), ""), "{template}: {out}");

    fixture.edit("log: text", "log: json");
    fixture.edit(if upstream.is_some() { "127.0.0.1:8080" } else { "127.0.0.1:8765" }, "127.0.0.1:0");
    fixture.add("ops: { listen: 127.0.0.1:0 }\nshutdown: { linger: 0s }");
    let process = Process::start(&mut with(&["serve", "--config", "hallgate.yaml"]));
    ready(&process);
    (fixture, process)
}

/// What a template's gate says to a request, and to the same with its label raised.
fn asked(template: &str, line: &str, label: &str, code: &str) {
    let upstream = Upstream::start();
    let (fixture, process) = made(template, Some(&upstream));
    assert_eq!(ask(process.gate(), line, &[], "{}").text(), "ok", "{template}");
    let credentials = ["authorization", "x-api-key", "api-key", "x-goog-api-key"].map(|name| upstream.last(name));
    assert!(credentials.concat().concat().ends_with(CREDENTIAL), "{template}: {credentials:?}");
    let denied = ask(process.gate(), line, &[("wcp-data-label", label)], "{}");
    assert_eq!((denied.status, &denied.body["code"]), (403, &code.into()), "{template}: {}", denied.text());
    assert_eq!(upstream.called().len(), 1, "{template}");
    process.end();
    assert_eq!(fixture.verify(), (2, 1), "{template}");
}

#[test]
fn each_gate_that_is_made_lets_one_through_and_not_the_other() {
    const NO_RULE: &str = "DENY_NO_MATCHING_RULE";
    std::thread::scope(|scope| {
        for (template, line, label) in [
            ("openai", "POST /v1/chat/completions", "CONFIDENTIAL"),
            ("anthropic", "POST /v1/messages", "CONFIDENTIAL"),
            ("azure", "POST /openai/deployments/gpt-5-mini/chat/completions", "CONFIDENTIAL"),
            ("gemini", "POST /v1beta/models/gemini-3:generateContent", "CONFIDENTIAL"),
            ("postgrest", "PATCH /orders", "CONFIDENTIAL"),
        ] {
            scope.spawn(move || asked(template, line, label, NO_RULE));
        }
    });
}

#[test]
fn the_hall_that_is_made_lets_one_through_and_not_the_other() {
    let (fixture, process) = made("make", None);
    let secret = fixture.read("token");
    assert_eq!(std::fs::metadata(fixture.path("token")).unwrap().permissions().mode() & 0o777, 0o600);
    let ask = |label: &str| -> Answer {
        let body = format!(
            r#"{{"capability_id":"cap.data.write.v1","worker_id":"wrk_make_prod","env":"prod","data_label":"{label}","tenant_id":"org.example"}}"#
        );
        post(process.hall(), secret.trim_end(), "/api/route", &body)
    };
    assert_eq!(ask("INTERNAL").ok()["denied"], false);
    assert_eq!(ask("CONFIDENTIAL").ok()["deny_code"], "DENY_NO_MATCHING_RULE");
    process.end();
}

#[test]
fn the_real_sdk_goes_through_and_is_told_why_not() {
    let upstream = Upstream::answering(r#"{"id":"1","object":"list","data":[]}"#);
    let (_fixture, process) = made("openai", Some(&upstream));
    let program = "import openai\nclient = openai.OpenAI(max_retries=0)\nclient.embeddings.with_raw_response.create(model='m', input='x')\n\
                   try: client.embeddings.create(model='m', input='x', extra_headers={'wcp-data-label': 'CONFIDENTIAL'})\n\
                   except openai.PermissionDeniedError as denied: print(denied)\n";
    let mut python = Command::new(venv("python"));
    python.args(["-c", program]).env("OPENAI_BASE_URL", format!("http://{}/v1", process.gate()));
    let (code, out, err) = run(python.env("OPENAI_API_KEY", "unused"), "");
    assert!(code == Some(0) && out.contains("DENY_NO_MATCHING_RULE"), "{out}{err}");
    assert_eq!(upstream.called().len(), 1);
}

#[test]
fn a_folder_with_files_in_it_stays_as_it_is() {
    let fixture = Fixture::new("mine");
    let (code, out, err) = fixture.run(&["init", ".", "--for", "make"]);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    assert!(err.contains("is not empty: it has hallgate.yaml;") && err.contains("--force"), "{err}");
    assert_eq!(std::fs::read_dir(fixture.path("")).unwrap().count(), 1);
    assert_eq!(fixture.run(&["init", ".", "--for", "make", "--force"]).0, Some(0));
    assert!(fixture.configuration().contains("secret_file: token"));
    // What cannot work is said before anything is written.
    for (arguments, said) in [
        (&["init", "new", "--for", "azure"][..], "add `--to`, such as `--to https://NAME.openai.azure.com`"),
        (&["init", "new", "--for", "openai", "--to", "api.openai.com"], "such as `https://api.openai.com`"),
        (&["init", "new", "--for", "openai", "--to", "https://api.openai.com/v1"], "write `https://api.openai.com`"),
        (&["init", "new", "--for", "make", "--to", "https://api.openai.com"], "leave it out"),
    ] {
        let (code, _, err) = fixture.run(arguments);
        assert!(code == Some(2) && err.contains(said), "{arguments:?}: {err}");
        assert!(!fixture.path("new").exists());
    }
}

#[test]
fn a_gate_without_a_file_lets_one_through_and_not_the_other() {
    let upstream = Upstream::start();
    let fixture = Fixture::new("");
    let to = format!("http://{}", upstream.address);
    let gate = ["gate", "--to", &to, "--allow", "POST /v1/chat/completions", "--allow", "/orders/*"];
    let more = ["--header", "x-api-key: ${KEY}", "--listen", "127.0.0.1:0", "--log", "json"];
    let process = Process::start(fixture.command(&[&gate[..], &more].concat()).env("KEY", CREDENTIAL));
    one_yes_and_one_no(&process, &upstream);
    assert_eq!(ask(process.gate(), "GET /orders/1", &[], "").text(), "ok");
    assert_eq!(upstream.last("x-api-key"), [CREDENTIAL]);
    assert_eq!(ask(process.gate(), "GET /v1/chat/completions", &[], "").status, 404);
    process.end();
    assert_eq!(fixture.run(&["audit", "verify"]).0, Some(0));

    for (arguments, said) in [
        (&["--to", "api.openai.com", "--allow", "/v1/*"][..], "such as `https://api.openai.com`"),
        (&["--to", &to, "--allow", "post /v1"], "did you mean `POST`?"),
        (&["--to", &to, "--allow", "POST v1"], "write an absolute path"),
        (&["--to", &to, "--allow", "/v1/*", "--label", "SECRETS"], "SECRETS"),
        (&["--to", &to, "--allow", "/v1/*", "--header", "x-api-key: ${NOT_SET}"], "set `NOT_SET`"),
        (&["--to", &to, "--allow", "/v1/*", "--header", "x-api-key s3cret"], "has no `:`: write 'NAME: VALUE'"),
        (&["--to", &to, "--allow", "/v1/*", "--header", "x api key: s3cret"], "gate.upstreams.to.headers"),
        (&["--to", &to, "--allow", "/v1/*", "--allow", "GET /v1/models"], "is never reached"),
    ] {
        let (code, out, err) = fixture.run(&[&["gate"], arguments].concat());
        assert!(code == Some(2) && out.is_empty() && err.contains(said), "{arguments:?}: {err}");
        assert!(!err.contains("hallgate-gate-") && !err.contains("s3cret"), "{err}");
    }
}
