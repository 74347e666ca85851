//! What a span says of its request and of the decision, and what it never says.

use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use crate::collector::{Collector, Mood, said};
use crate::{CREDENTIAL, PARENT, fixture, get};
use support::{TOKEN, Upstream, ask, metric, route, until};

/// Each of these attributes says this, and `-` stands for one that is not there.
#[track_caller]
fn says(span: &Span, expected: &[(&str, &str)]) {
    for (key, value) in expected {
        assert_eq!(said(&span.attributes, key).as_deref().unwrap_or("-"), *value, "{key} of {span:#?}");
    }
}

fn failed(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32)
}

#[test]
fn every_answer_of_the_gate_is_one_span_with_its_decision() {
    let (upstream, collector) = (Upstream::start(), Collector::start(Mood::Takes));
    let fixture = fixture(upstream.address);
    let process = fixture.serve_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())]);
    let forwarded = ask(process.gate(), "POST /orders/7?page=2", &[("wcp-correlation-id", "c-1")], "hello");
    let hash = upstream.last("wcp-artifact-hash").swap_remove(0);
    let held = get(&process, "/vault/7", &[]);
    let dry = get(&process, "/orders/7", &[("wcp-dry-run", "true")]);
    let malformed = get(&process, "/orders/7", &[("wcp-data-label", "secret")]);
    let unrouted = get(&process, "/nowhere/7", &[]);
    let gone = get(&process, "/gone/7", &[]);
    let odd = ask(process.gate(), "PURGE /orders/7", &[], "");
    let answers = [&forwarded, &held, &dry, &malformed, &unrouted, &gone, &odd];
    assert_eq!(answers.map(|answer| answer.status), [200, 403, 200, 400, 404, 502, 200]);
    process.end();

    let spans = collector.spans(7);
    assert_eq!(spans.len(), 7);
    for (span, answer) in spans.iter().zip(answers) {
        assert_eq!(span.kind, SpanKind::Server as i32);
        let id = answer.header("wcp-decision-id").or_else(|| answer.body["decision_id"].as_str());
        let id = id.unwrap_or_else(|| panic!("no id in {answer:?}"));
        says(
            span,
            &[
                ("http.response.status_code", &answer.status.to_string()),
                ("wcp.decision_id", id),
                ("url.scheme", "http"),
                ("network.protocol.version", "1.1"),
                ("url.path", "-"),
                ("url.query", "-"),
            ],
        );
    }
    let [forwarded, held, dry, malformed, unrouted, gone, odd] = &spans[..] else { panic!("{spans:?}") };

    assert_eq!((&*forwarded.name, failed(forwarded)), ("POST /orders/*", false));
    says(
        forwarded,
        &[
            ("http.request.method", "POST"),
            ("http.route", "/orders/*"),
            ("server.address", "here"),
            ("http.request.body.size", "5"),
            ("http.response.body.size", "2"),
            ("wcp.verdict", "DISPATCH"),
            ("wcp.code", "-"),
            ("wcp.rule_id", "rr_data_read"),
            ("wcp.capability", "cap.data.read.v1"),
            ("wcp.worker_id", "wrk_make_acme_prod"),
            ("wcp.tenant_id", "org.acme"),
            ("wcp.env", "prod"),
            ("wcp.data_label", "INTERNAL"),
            ("wcp.artifact_hash", &hash),
            ("wcp.correlation_id", "c-1"),
            ("wcp.dry_run", "false"),
            ("wcp.cache", "miss"),
            ("wcp.upstream", "orders"),
            ("wcp.ending", "complete"),
            ("error.type", "-"),
            ("gen_ai.operation.name", "-"),
        ],
    );
    let code = "DENY_REQUIRES_HUMAN_APPROVAL";
    says(held, &[("wcp.verdict", "STEWARD_HOLD"), ("wcp.code", code), ("wcp.ending", "-"), ("error.type", "-")]);
    says(dry, &[("wcp.dry_run", "true"), ("wcp.verdict", "DISPATCH"), ("wcp.ending", "-")]);
    says(malformed, &[("wcp.code", "DENY_MALFORMED_CLAIM"), ("wcp.verdict", "-"), ("http.route", "/orders/*")]);
    says(unrouted, &[("wcp.code", "DENY_NO_ROUTE"), ("http.route", "-"), ("server.address", "-")]);
    assert_eq!((&*held.name, &*unrouted.name), ("GET /vault/*", "GET"));
    says(gone, &[("error.type", "ConnectRefused"), ("wcp.verdict", "DISPATCH"), ("wcp.ending", "upstream_failed")]);
    assert_eq!((&*odd.name, failed(odd)), ("HTTP /orders/*", false));
    says(odd, &[("http.request.method", "_OTHER")]);
    // Only what is ours to mend is an error.
    assert_eq!(spans.iter().filter(|span| failed(span)).count(), 1);
    assert!(failed(gone));
}

#[test]
fn what_waits_for_a_human_has_a_span_of_its_own_that_says_how_the_wait_ended() {
    let (upstream, collector) = (Upstream::start(), Collector::start(Mood::Takes));
    let fixture = fixture(upstream.address);
    let vault = "path: /vault/* }, capability: cap.data.read.v1, data_label: RESTRICTED, upstream: orders";
    fixture.edit(vault, &format!("{vault}, hold: {{ wait: 1m }}"));
    let bea = "hst_bea_012345678901";
    fixture.edit(
        "scopes: [route] }]",
        &format!("scopes: [route] }}, {{ name: bea, secret: {bea}, scopes: [approve], owner: bea }}]"),
    );
    fixture.add("approvals: {}");
    let process = fixture.serve_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())]);
    let waits = |path: &str| {
        let listed = support::get(process.hall(), bea, "/wcp/approvals/pending").ok()["approvals"].clone();
        let ids = listed.as_array().unwrap().iter().map(|one| one["pending_approval_id"].as_str().unwrap().to_owned());
        let seen = |id: &String| support::get(process.hall(), bea, &format!("/wcp/approvals/{id}")).ok();
        ids.into_iter().find(|id| seen(id)["contents"]["http"].as_str().unwrap().ends_with(path))
    };
    let decided = |path: &str, resolution: &str, status: u16| {
        std::thread::scope(|threads| {
            let asks = threads.spawn(|| get(&process, path, &[("traceparent", PARENT)]));
            until(|| waits(path).is_some());
            let id = waits(path).unwrap();
            let said = format!(r#"{{"pending_approval_id": "{id}", "resolution": "{resolution}"}}"#);
            support::post(process.hall(), bea, "/wcp/approvals/resolve", &said).ok();
            let answer = asks.join().unwrap();
            assert_eq!(answer.status, status, "{}", answer.text());
            id
        })
    };
    let ids = [decided("/vault/1", "approve", 200), decided("/vault/2", "deny", 403)];
    assert_eq!(get(&process, "/vault/3", &[("prefer", "wait=1")]).status, 403);
    assert_eq!(get(&process, "/vault/4", &[("prefer", "wait=0")]).status, 403);
    let mut leaves = TcpStream::connect(process.gate()).unwrap();
    leaves.write_all(b"GET /vault/5 HTTP/1.1\r\nhost: here\r\n\r\n").unwrap();
    until(|| metric(process.hall(), "hallgate_approvals_waiting") == 1);
    drop(leaves);
    until(|| metric(process.hall(), "hallgate_approvals_waiting") == 0);
    process.end();

    let spans = collector.spans(9);
    let (parts, requests): (Vec<&Span>, Vec<&Span>) = spans.iter().partition(|span| span.name == "wait for a human");
    let ended = ["approved", "denied", "timed_out", "caller_left"];
    assert_eq!(parts.len(), ended.len(), "who does not wait has none: {spans:#?}");
    for (part, ended) in parts.iter().zip(ended) {
        says(part, &[("wcp.approval_wait_ended", ended)]);
        let request = requests.iter().find(|request| request.span_id == part.parent_span_id).unwrap();
        assert_eq!((&part.trace_id, part.kind), (&request.trace_id, SpanKind::Internal as i32));
        assert!(part.start_time_unix_nano >= request.start_time_unix_nano, "{spans:#?}");
        assert!(part.end_time_unix_nano <= request.end_time_unix_nano, "{spans:#?}");
        assert_eq!(part.flags & 0x300, 0x100, "its parent is of this process");
    }
    let [approved, denied] =
        [0, 1].map(|at| requests.iter().find(|request| request.span_id == parts[at].parent_span_id).unwrap());
    assert!(said(&approved.attributes, "wcp.supervisor_level").is_some(), "{approved:#?}");
    says(parts[0], &[("wcp.approval_id", &ids[0])]);
    says(parts[1], &[("wcp.approval_id", &ids[1])]);
    says(approved, &[("wcp.approval_id", &ids[0]), ("wcp.approved_by", "bea"), ("wcp.verdict", "DISPATCH")]);
    says(denied, &[("wcp.code", "DENY_REFUSED_BY_HUMAN")]);
    assert!(said(&approved.attributes, "wcp.approval_wait_ms").unwrap().parse::<u64>().is_ok(), "{approved:#?}");
}

#[test]
fn strangers_and_the_impatient_are_spans_without_a_decision() {
    let (upstream, collector) = (Upstream::start(), Collector::start(Mood::Takes));
    let fixture = fixture(upstream.address);
    let fixed = "identity: { mode: fixed, worker_id: wrk_make_acme_prod, tenant_id: org.acme }";
    fixture.edit(fixed, "identity: { mode: token }\n  limits: { per_token: { rate: 1/h, burst: 1 } }");
    let process = fixture.serve_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())]);
    let known = [("wcp-token", TOKEN), ("wcp-worker-id", "wrk_make_acme_prod"), ("wcp-tenant-id", "org.acme")];
    assert_eq!(get(&process, "/orders/1", &[]).status, 401);
    assert_eq!(get(&process, "/orders/1", &known).status, 200);
    assert_eq!(get(&process, "/orders/1", &known).status, 429);
    process.end();

    let spans = collector.spans(3);
    assert!(spans.iter().all(|span| !failed(span)));
    says(&spans[0], &[("http.response.status_code", "401"), ("wcp.code", "DENY_UNAUTHENTICATED"), ("http.route", "-")]);
    says(&spans[1], &[("wcp.verdict", "DISPATCH"), ("http.route", "/orders/*")]);
    says(&spans[2], &[("http.response.status_code", "429"), ("wcp.code", "DENY_RATE_LIMITED"), ("wcp.verdict", "-")]);
}

#[test]
fn a_request_that_the_end_cuts_off_is_a_span_that_failed() {
    let (upstream, collector) = (Upstream::start(), Collector::start(Mood::Takes));
    let fixture = fixture(upstream.address);
    fixture.edit("grace: 5s", "grace: 0s");
    let process = fixture.serve_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())]);
    // Its body does not come.
    let mut open = TcpStream::connect(process.gate()).unwrap();
    open.write_all(b"POST /orders/2 HTTP/1.1\r\nhost: here\r\ncontent-length: 5\r\n\r\nhe").unwrap();
    until(|| metric(process.hall(), "hallgate_exchanges_in_flight") == 1);
    process.end();

    let spans = collector.spans(1);
    assert_eq!((spans.len(), &*spans[0].name, failed(&spans[0])), (1, "POST /orders/*", true));
    says(
        &spans[0],
        &[
            ("error.type", "cut_off"),
            ("http.response.status_code", "-"),
            ("wcp.ending", "aborted"),
            ("wcp.verdict", "DISPATCH"),
            ("server.address", "here"),
        ],
    );
}

#[test]
fn the_halls_answers_are_spans_and_probes_are_not() {
    let (upstream, collector) = (Upstream::start(), Collector::start(Mood::Takes));
    let fixture = fixture(upstream.address);
    let process = fixture.serve_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())]);
    let hall = process.hall();
    let traced = ("traceparent", crate::PARENT);
    let answer = route(hall, TOKEN);
    assert_eq!(ask(hall, "POST /api/route", &[traced], "{}").status, 401);
    let authorization = format!("Bearer {TOKEN}");
    assert_eq!(ask(hall, "POST /api/route", &[("authorization", &authorization)], "nonsense").status, 400);
    for probe in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(ask(hall, &format!("GET {probe}"), &[], "").status, 200);
    }
    assert_eq!(ask(hall, "GET /s3cret-path", &[], "").status, 404);
    process.end();

    let spans = collector.spans(4);
    assert_eq!(spans.len(), 4, "{spans:#?}");
    assert!(spans.iter().all(|span| span.kind == SpanKind::Server as i32 && !failed(span)));
    let names: Vec<&str> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["POST /api/route", "POST /api/route", "POST /api/route", "GET"]);
    says(
        &spans[0],
        &[
            ("http.response.status_code", "200"),
            ("http.route", "/api/route"),
            ("wcp.decision_id", answer.body["decision_id"].as_str().unwrap()),
            ("wcp.artifact_hash", answer.body["artifact_hash"].as_str().unwrap()),
            ("wcp.correlation_id", answer.body["correlation_id"].as_str().unwrap()),
            ("wcp.verdict", "DISPATCH"),
            ("wcp.capability", "cap.data.read.v1"),
            ("wcp.worker_id", "wrk_make_acme_prod"),
        ],
    );
    says(
        &spans[1],
        &[("http.response.status_code", "401"), ("wcp.code", "DENY_UNAUTHENTICATED"), ("wcp.decision_id", "-")],
    );
    assert_eq!(crate::collector::hex(&spans[1].parent_span_id), "00f067aa0ba902b7");
    says(&spans[2], &[("http.response.status_code", "400"), ("wcp.code", "DENY_INVALID_INPUT")]);
    says(&spans[3], &[("http.response.status_code", "404"), ("http.route", "-")]);
}

#[test]
fn calls_of_models_are_recognised() {
    let (upstream, collector) = (Upstream::start(), Collector::start(Mood::Takes));
    let fixture = fixture(upstream.address);
    let process = fixture.serve_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())]);
    let post = |target: &str| ask(process.gate(), &format!("POST {target}"), &[], r#"{"model":"in-the-body"}"#).status;
    assert_eq!(post("/v1/chat/completions"), 200);
    assert_eq!(post("/v1beta/models/gemini-9:streamGenerateContent?alt=sse"), 200);
    // Held before anything is sent there.
    assert_eq!(post("/openai/responses"), 403);
    assert_eq!(get(&process, "/v1/chat/completions", &[]).status, 200);
    process.end();

    let spans = collector.spans(4);
    let of = |operation, model, provider| {
        [("gen_ai.operation.name", operation), ("gen_ai.request.model", model), ("gen_ai.provider.name", provider)]
    };
    says(&spans[0], &of("chat", "-", "-"));
    says(&spans[1], &of("generate_content", "gemini-9", "-"));
    says(&spans[2], &of("chat", "-", "openai"));
    says(&spans[3], &of("-", "-", "-"));
}

#[test]
fn a_grpc_call_says_how_it_ended() {
    let (upstream, collector) = (Upstream::start(), Collector::start(Mood::Takes));
    let fixture = fixture(upstream.address);
    fixture.edit("gate:\n", "gate:\n  listen_h2c: 127.0.0.1:0\n");
    let process = fixture.serve_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())]);
    let call = |path: &str| {
        let url = format!("http://{}{path}", process.door("h2c"));
        let curl =
            ["-sS", "--http2-prior-knowledge", "-o", "/dev/null", "-d", "x", "-H", "content-type: application/grpc"];
        assert!(Command::new("curl").args(curl).arg(url).status().unwrap().success());
    };
    call("/vault/shop.v1.Stock/Get");
    call("/gone/shop.v1.Stock/Get");
    process.end();

    let spans = collector.spans(2);
    let of = |status, error| {
        [
            ("http.response.status_code", "200"),
            ("rpc.system.name", "grpc"),
            ("rpc.response.status_code", status),
            ("error.type", error),
        ]
    };
    says(&spans[0], &of("PERMISSION_DENIED", "-"));
    says(&spans[1], &of("UNAVAILABLE", "ConnectRefused"));
    assert_eq!((failed(&spans[0]), failed(&spans[1])), (false, true));
}

#[test]
fn no_secret_query_body_or_header_reaches_a_collector() {
    let (upstream, collector) = (Upstream::start(), Collector::start(Mood::Takes));
    let fixture = fixture(upstream.address);
    let process = fixture.serve_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())]);
    let headers = [
        ("authorization", "Bearer s3cret-a"),
        ("cookie", "s3cret-b"),
        ("x-api-key", "s3cret-c"),
        ("user-agent", "s3cret-d"),
        ("traceparent", crate::PARENT),
        ("tracestate", "s3cret=e"),
        ("wcp-token", "s3cret-f"),
    ];
    for target in ["/orders/s3cret-path?q=s3cret", "/vault/s3cret-path?q=s3cret", "/gone/x?q=s3cret", "/s3cret-path"] {
        ask(process.gate(), &format!("POST {target}"), &headers, "s3cret body");
    }
    ask(process.gate(), "GET /orders/1", &[("wcp-data-label", "s3cret")], "");
    ask(process.gate(), "S3CRET /orders/1", &[], "");
    let hall = process.hall();
    let body = r#"{"capability_id":"cap.data.read.v1","env":"prod","tenant_id":"org.acme","request":{"a":"s3cret"}}"#;
    ask(hall, "POST /api/route?t=s3cret", &[("authorization", &format!("Bearer {TOKEN}")), ("x-a", "s3cret")], body);
    ask(hall, "POST /api/route", &[("authorization", "Bearer s3cret")], body);
    process.end();

    assert_eq!(collector.spans(8).len(), 8);
    for posted in collector.posted() {
        let text = String::from_utf8_lossy(&posted.body).to_lowercase();
        for secret in ["s3cret", CREDENTIAL, TOKEN] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
