//! The standard variables: what they come to, and what is said of those that come to nothing.

use crate::collector::{Collector, Mood, said};
use crate::terminate::{file, terminate};
use crate::{fixture, get};
use support::{Upstream, metric, run, until};

#[test]
fn the_collector_gets_what_the_variables_say() {
    let (upstream, collector) = (Upstream::start(), Collector::start(Mood::Takes));
    let fixture = fixture(upstream.address);
    let environment = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &*format!("{}/in/here", collector.url())),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20s3cret,x-scope=a"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_SERVICE_NAME", "gate-of-orders"),
        ("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=p-1,service.name=other"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2"),
        ("OTEL_BSP_SCHEDULE_DELAY", "60000"),
    ];
    let process = fixture.serve_with(&environment);
    for _ in 0..5 {
        assert_eq!(get(&process, "/orders/1", &[]).status, 200);
    }
    // Full batches do not wait; the rest is sent at the end.
    assert_eq!(collector.spans(4).len(), 4);
    process.end();
    let posted = collector.posted();
    assert_eq!((posted.len(), collector.spans(5).len()), (3, 5));
    for posted in &posted {
        assert!(posted.head.starts_with("post /in/here http/1.1\r\n"), "{}", posted.head);
        for header in [
            "authorization: basic s3cret\r\n",
            "x-scope: a\r\n",
            "content-encoding: gzip\r\n",
            "content-type: application/x-protobuf\r\n",
        ] {
            assert!(posted.head.contains(header), "{header} in {}", posted.head);
        }
    }
    for resource in collector.resources() {
        let attributes = resource.resource.unwrap().attributes;
        let of = |key| said(&attributes, key).unwrap_or_default();
        assert_eq!((of("service.name"), of("k8s.pod.name")), ("gate-of-orders".to_owned(), "p-1".to_owned()));
        assert_eq!(of("telemetry.sdk.language"), "rust");
        let scope = resource.scope_spans[0].scope.clone().unwrap();
        assert_eq!((&*scope.name, &*scope.version), ("hallgate", env!("CARGO_PKG_VERSION")));
    }
    assert!(!process.log().contains("s3cret"), "{}", process.log());
}

#[test]
fn a_collector_is_verified_before_it_gets_anything() {
    let (upstream, collector) = (Upstream::start(), Collector::start(Mood::Takes));
    let fixture = fixture(upstream.address);
    let endpoint = format!("https://{}", terminate(collector.address));
    let common = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=s3cret"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "300"),
        ("OTEL_BSP_SCHEDULE_DELAY", "1"),
    ];
    let (ours, others) = (file("ca.pem"), file("other.pem"));
    for trusted in [("OTEL_EXPORTER_OTLP_CERTIFICATE", &*ours), ("SSL_CERT_FILE", &ours)] {
        let before = collector.posted().len();
        let process = fixture.serve_with(&[&common[..], &[trusted]].concat());
        assert_eq!(get(&process, "/orders/1", &[]).status, 200);
        until(|| collector.posted().len() > before);
    }
    let before = collector.posted().len();
    // The variable of traces comes before that of all signals.
    let doubted = [("OTEL_EXPORTER_OTLP_CERTIFICATE", &*ours), ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", &others)];
    let process = fixture.serve_with(&[&common[..], &doubted].concat());
    assert_eq!(get(&process, "/orders/1", &[]).status, 200);
    until(|| metric(process.hall(), "hallgate_spans_dropped_total") == 1);
    assert!(process.wait_for_log("spans were dropped").contains("certificate"));
    assert_eq!(collector.posted().len(), before);
}

#[test]
fn variables_that_cannot_be_used_are_refused_all_at_once() {
    let fixture = fixture(Upstream::start().address);
    for command in ["serve", "check"] {
        let (code, _, said) = run(
            fixture
                .command(&[command, "--config", "hallgate.yaml"])
                .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:s3cret@collector:4317")
                .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
                .env("OTEL_EXPORTER_OTLP_HEADERS", "s3cret")
                .env("OTEL_TRACES_SAMPLER", "sometimes"),
            "",
        );
        assert_eq!(code, Some(2), "{said}");
        for problem in [
            "`OTEL_EXPORTER_OTLP_ENDPOINT`: holds a credential\n    help: send it in OTEL_EXPORTER_OTLP_HEADERS instead",
            "`OTEL_EXPORTER_OTLP_PROTOCOL`: `grpc` is not spoken here\n    help: write `http/protobuf`",
            "`OTEL_EXPORTER_OTLP_HEADERS`: is no list of pairs\n    help: write",
            "`OTEL_TRACES_SAMPLER`: `sometimes` is not known\n    help: write one of `always_on`",
            "4 problems",
        ] {
            assert!(said.contains(problem), "{problem} in:\n{said}");
        }
        assert!(!said.contains("s3cret"), "{said}");
    }
}
