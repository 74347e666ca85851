//! `hallgate decide` from the outside: the conformance vectors, what is refused, and lines without number or end.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use support::{Fixture, agrees, hallgate, root, run};

/// What a run came to: exit code, the lines of stdout as JSON, stderr.
struct Ran {
    code: Option<i32>,
    answers: Vec<Value>,
    said: String,
}

/// Runs `decide` with this configuration and stdin.
fn decide(config: &Path, more: &[&str], input: &str) -> Ran {
    let (code, stdout, said) = run(hallgate(&["decide", "--config"]).arg(config).args(more), input);
    let answers = stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")));
    Ran { code, answers: answers.collect(), said }
}

fn sample() -> PathBuf {
    root().join("tests/commands/sample/hallgate.yaml")
}

fn request(more: Value) -> String {
    let mut request = json!({"capability_id": "cap.data.write.v1", "worker_id": "wrk_make_acme_prod", "env": "prod",
        "data_label": "INTERNAL", "tenant_id": "org.acme"});
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    format!("{request}\n")
}

#[test]
fn it_answers_every_vector_as_the_reference_does() {
    let mut compared = 0;
    for folder in 0..30 {
        let folder = root().join(format!("tests/vectors/{folder:03}"));
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        let config = folder.join("hallgate.yaml");
        let ran = decide(&config, &[folder.join("inputs.jsonl").to_str().unwrap()], "");
        let expected: Vec<Value> =
            read("decisions.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(ran.answers.len(), expected.len(), "{}: {}", folder.display(), ran.said);
        assert_eq!(ran.code, Some(i32::from(ran.answers.iter().any(|answer| answer["denied"] == true))));
        for (number, (expected, answer)) in expected.iter().zip(&ran.answers).enumerate() {
            assert!(
                agrees(expected, answer),
                "{} line {}: expected\n{expected}\nnot\n{answer}",
                folder.display(),
                number + 1
            );
            compared += 1;
        }
    }
    assert_eq!(compared, 600);
}

#[test]
fn an_answer_has_the_keys_that_clients_read_and_no_receipt() {
    let ran = decide(&sample(), &[], &(request(json!({})) + &request(json!({"correlation_id": "c-1"}))));
    assert_eq!((ran.code, ran.said.as_str()), (Some(0), ""));
    let (first, second) = (&ran.answers[0], &ran.answers[1]);
    for (key, value) in [
        ("allowed", json!(true)),
        ("denied", json!(false)),
        ("outcome", json!("DISPATCH")),
        ("deny_code", Value::Null),
        ("policy_version", json!("policy.v0")),
        ("matched_rule_id", json!("rr_data_write")),
    ] {
        assert_eq!(first[key], value, "{key}");
    }
    assert_eq!(first["snapshot"].as_str().map(str::len), Some(64));
    assert_eq!((first.get("proof"), first.get("receipt_id"), first.get("explain")), (None, None, None));
    let uuid = |value: &Value| value.as_str().unwrap().parse::<uuid::Uuid>().unwrap();
    assert_eq!(uuid(&first["correlation_id"]).get_version_num(), 4);
    assert_ne!(uuid(&first["decision_id"]), uuid(&second["decision_id"]));
    assert_eq!(second["correlation_id"], "c-1");
    let time: jiff::Timestamp = first["timestamp"].as_str().unwrap().parse().unwrap();
    assert!(jiff::Timestamp::now().duration_since(time).as_secs() < 3600, "{time}");
}

#[test]
fn what_cannot_be_read_gets_its_own_line_and_the_worst_counts() {
    let good = request(json!({}));
    let denied = request(json!({"capability_id": "cap.none.v1"}));
    let unacceptable = request(json!({"env": "Prod"}));
    let huge = request(json!({"request": {"x": "y".repeat(300_000)}}));
    let text =
        format!("{good}not json\n\n{denied}7\n{huge}{unacceptable}{{\"env\":\"dev\"}}\n\u{feff}{good}{}", good.trim());
    let ran = decide(&sample(), &[], &text);
    assert_eq!(ran.code, Some(2), "{}", ran.said);
    let said: Vec<_> = ran
        .answers
        .iter()
        .map(|answer| answer["error"].as_str().or(answer["deny_code"].as_str()).unwrap_or("allowed").to_owned())
        .collect();
    assert_eq!(
        said,
        [
            "allowed",
            "malformed request",
            "DENY_NO_MATCHING_RULE",
            "wrong type: the request",
            "malformed request",
            "DENY_INVALID_INPUT",
            "missing field: capability_id",
            "malformed request",
            "allowed"
        ]
    );
    let places: Vec<_> = ran.answers.iter().filter_map(|answer| answer.get("line")?.as_u64()).collect();
    assert_eq!(places, [2, 5, 6, 8, 9]);
    for answer in ran.answers.iter().filter(|answer| answer.get("error").is_some()) {
        assert_eq!((&answer["denied"], &answer["allowed"]), (&json!(true), &json!(false)), "{answer}");
        assert!(!answer["reason"].as_str().unwrap().is_empty());
    }
    assert!(ran.answers[4]["reason"].as_str().unwrap().contains("262144 bytes"), "{}", ran.answers[4]);

    let exits = |text: &str| decide(&sample(), &[], text).code;
    assert_eq!((exits(""), exits(&good), exits(&denied)), (Some(0), Some(0), Some(1)));
    assert_eq!(exits(&format!("{good}{unacceptable}")), Some(1));
}

#[test]
fn json_of_any_layout_is_read_and_a_human_is_answered_in_words() {
    let one = request(json!({"correlation_id": "one"}));
    let two: Value =
        serde_json::from_str(&request(json!({"correlation_id": "two", "capability_id": "cap.none.v1"}))).unwrap();
    let text = format!("\n{two:#}\n[{one},\n{two:#}]\n{}{}", one.trim(), one.trim());
    let ran = decide(&sample(), &[], &text);
    let ids: Vec<_> = ran.answers.iter().map(|answer| answer["correlation_id"].as_str().unwrap()).collect();
    assert_eq!((ran.code, ids), (Some(1), vec!["two", "one", "two", "one", "one"]), "{}", ran.said);
    // A request that is cut off costs itself alone.
    let ran = decide(&sample(), &[], &format!("{}\n{one}{{\"a\":\n", one.trim().trim_end_matches('}')));
    let said: Vec<_> = ran.answers.iter().map(|answer| answer["error"].as_str().unwrap_or("allowed")).collect();
    assert_eq!((ran.code, said), (Some(2), vec!["malformed request", "allowed", "malformed request"]));

    let words = |more: &[&str], text: &str| {
        run(hallgate(&["decide", "--format", "text", "--config"]).arg(sample()).args(more), text)
    };
    let (code, out, err) = words(&[], &text);
    assert_eq!((code, err.as_str()), (Some(1), ""), "{out}");
    for said in [
        "line 2: DENY DENY_NO_MATCHING_RULE by rule `NO_MATCH`\n  asked: cap.none.v1 on INTERNAL in prod for org.acme, worker wrk_make_acme_prod\n",
        "  what to do: add a rule for this capability, environment and label\n",
        "DISPATCH by rule `rr_data_write` to `wrk.data.writer`\n  asked: cap.data.write.v1",
    ] {
        assert!(out.contains(said), "{said} in:\n{out}");
    }
    let (code, out, err) = words(&["--explain"], &format!("{one}x\n{}", request(json!({"env": "Prod"}))));
    assert_eq!((code, err.as_str()), (Some(2), ""), "{out}");
    for said in [
        "line 1: DISPATCH",
        "rule `rr_data_write`, number 3 of 7",
        "line 2: cannot be read: ",
        "line 3: DENY DENY_INVALID_INPUT",
        "did you mean `prod`?",
    ] {
        assert!(out.contains(said), "{said} in:\n{out}");
    }
}

/// On a terminal, which `script` makes, an answer is in words.
#[test]
fn a_terminal_gets_words() {
    let fixture = Fixture::new("");
    fixture.write("input", &request(json!({})));
    let program = env!("CARGO_BIN_EXE_hallgate");
    let command = format!("{program} decide --config {} input", sample().display());
    let script = std::process::Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .current_dir(fixture.path(""))
        .output();
    let said = String::from_utf8(script.unwrap().stdout).unwrap();
    assert!(said.starts_with("line 1: DISPATCH by rule"), "{said}");
}

#[test]
fn files_are_answered_in_order_and_one_that_is_not_there_is_told() {
    let fixture = Fixture::new("");
    let path = |name: &str| fixture.path(name).to_str().unwrap().to_owned();
    fixture.write("a", &request(json!({"correlation_id": "a"})));
    fixture.write("b", &request(json!({"correlation_id": "b"})));
    let ran =
        decide(&sample(), &[&path("b"), &path("none"), "-", &path("a")], &request(json!({"correlation_id": "in"})));
    let ids: Vec<_> = ran.answers.iter().map(|answer| answer["correlation_id"].as_str().unwrap()).collect();
    assert_eq!((ran.code, ids), (Some(2), vec!["b", "in", "a"]));
    assert!(ran.said.contains("none` cannot be read"), "{}", ran.said);
    let ran = decide(Path::new("none.yaml"), &[], "");
    assert!(ran.code == Some(2) && ran.said.contains("none.yaml: cannot be read"), "{}", ran.said);
}

#[test]
fn an_explanation_names_every_gate_for_programs_and_for_humans() {
    let text = request(json!({})) + &request(json!({"data_label": "RESTRICTED"})) + &request(json!({"env": "Prod"}));
    let ran = decide(&sample(), &["--explain"], &text);
    let gates = |at: usize| ran.answers[at]["explain"]["gates"].as_array().unwrap();
    assert!(gates(0).iter().all(|gate| gate["said"] == "passed"), "{}", ran.answers[0]);
    assert_eq!(ran.answers[0]["explain"]["rule"]["rule_id"], "rr_data_write");
    let refused: Vec<_> = gates(1).iter().filter(|gate| gate["said"] == "refused").collect();
    assert_eq!(refused.len(), 1);
    assert_eq!((&refused[0]["gate"], &refused[0]["code"]), (&json!("matching"), &json!("DENY_NO_MATCHING_RULE")));
    assert_eq!(ran.answers[1]["explain"]["nearest_rules"][0]["differs_in"], json!(["data_label"]));
    assert!(gates(2).iter().all(|gate| gate["said"] == "not reached"));
    for said in [
        "line 1: DISPATCH",
        "rule `rr_data_write`, number 3 of 7",
        "line 2: DENY DENY_NO_MATCHING_RULE",
        "near: rule `rr_data_write` (number 3) takes data_label",
        "what to do: add a rule",
        "line 3: DENY DENY_INVALID_INPUT",
    ] {
        assert!(ran.said.contains(said), "{said} in:\n{}", ran.said);
    }
}

#[test]
fn only_the_policy_section_is_needed_and_the_others_are_left_alone() {
    let fixture = Fixture::new("");
    let config = fixture.path("hallgate.yaml");
    let conf = root().join("tests/commands/sample");
    let policy = format!("policy: {{ rules: {0}/rules.json, workers: {0}/enrolled, tenants: {{}} }}\n", conf.display());
    for more in ["", "hall: {}\n", "gate: { routes: 7 }\nledger: none\n"] {
        fixture.configure(&format!("{policy}{more}"));
        let ran = decide(&config, &[], &request(json!({})));
        assert_eq!(ran.code, Some(0), "{more}: {}", ran.said);
    }
    fixture.configure(&format!("{policy}gates: {{}}\n"));
    let ran = decide(&config, &[], &request(json!({})));
    assert!(ran.code == Some(2) && ran.said.contains("did you mean `gate`?"), "{}", ran.said);
}

#[test]
fn in_reference_mode_ids_may_be_anything_and_events_stay_one_line() {
    let rule = json!({"rule_id": "any", "match": {}, "decision": {"candidate_workers_ranked": [
        {"worker_species_id": "wrk.data.writer"}]}});
    let workers = root().join("tests/commands/sample/enrolled");
    let fixture = Fixture::new(&format!("policy: {{ mode: reference, workers: {} }}", workers.display()));
    fixture.write("rules.json", &json!({"rules": [rule]}).to_string());
    let odd = json!({"capability_id": "cap.my_own\nthing", "worker_id": null, "tenant_id": "a\nb", "env": "dev",
        "correlation_id": "c\u{7f}1", "tenant_risk": "low", "qos_class": "P2"});
    let ran = decide(&fixture.path("hallgate.yaml"), &[], &request(odd));
    assert_eq!(ran.code, Some(0), "{:?}", ran.answers);
    let answer = &ran.answers[0];
    assert_eq!((&answer["tenant_id"], &answer["capability_id"]), (&json!("a\nb"), &json!("cap.my_own\nthing")));
    let event = &answer["telemetry_envelopes"][0];
    assert_eq!((&event["tenant_id"], &event["correlation_id"]), (&json!("ab"), &json!("c1")), "{event}");
    assert_eq!(event["capability_id"], "cap.my_ownthing");
}

/// A `decide` that is talked to.
struct Talk {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Talk {
    fn start() -> Self {
        let mut command = hallgate(&["decide", "--config"]);
        command.arg(sample()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, answers }
    }

    fn ask(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// The most memory that it has had, in KiB.
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

#[test]
fn each_question_is_answered_before_the_next_is_waited_for() {
    let mut talk = Talk::start();
    for number in 0..3 {
        talk.ask(&request(json!({"correlation_id": format!("c-{number}")})));
        assert_eq!(talk.answer()["correlation_id"], format!("c-{number}"));
    }
    drop(talk.child.stdin.take());
    assert_eq!(talk.child.wait().unwrap().code(), Some(0));
}

#[test]
fn memory_does_not_grow_with_lines_or_with_their_length() {
    let mut talk = Talk::start();
    let line = request(json!({"correlation_id": "c"}));
    let mut many = |lines: usize| {
        for _ in 0..lines / 50 {
            talk.ask(&line.repeat(50));
            for _ in 0..50 {
                assert_eq!(talk.answer()["allowed"], true);
            }
        }
        talk.peak()
    };
    let before = many(1000);
    let after = many(20_000);
    assert!(after < before + 4096, "{before} KiB after a thousand lines, {after} KiB after twenty thousand more");
    for _ in 0..64 {
        talk.ask(&"x".repeat(1 << 20));
    }
    talk.ask("\n");
    assert_eq!(talk.answer()["error"], "malformed request");
    let huge = talk.peak();
    assert!(huge < after + 4096, "{after} KiB before a line of 64 MiB, {huge} KiB after it");
    let _ = talk.child.kill();
    let _ = talk.child.wait();
}

#[test]
fn a_reader_that_has_read_enough_is_no_failure() {
    let fixture = Fixture::new("");
    fixture.write("input", &request(json!({"capability_id": "cap.none.v1"})).repeat(2000));
    let mut command = hallgate(&["decide", "--config"]);
    command.arg(sample()).arg(fixture.path("input")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let mut answers = BufReader::new(child.stdout.take().unwrap());
    answers.read_line(&mut line).unwrap();
    drop(answers);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
}
