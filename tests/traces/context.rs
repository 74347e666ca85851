//! Whose child a span is, and what the upstream is told of it.

use crate::collector::{Collector, Mood, hex};
use crate::{PARENT, fixture, get};
use support::Upstream;

const STATE: &str = "congo=t61rcWkgMzE";

/// The one `traceparent` in parts: trace, span, flags.
#[track_caller]
fn told(upstream: &Upstream) -> (String, String, String) {
    let told = upstream.last("traceparent");
    assert_eq!(told.len(), 1, "{told:?}");
    let parts: Vec<&str> = told[0].split('-').collect();
    assert_eq!((parts[0], parts[1].len(), parts[2].len(), parts.len()), ("00", 32, 16, 4), "{told:?}");
    (parts[1].to_owned(), parts[2].to_owned(), parts[3].to_owned())
}

#[test]
fn a_span_is_its_callers_child_and_its_upstreams_parent() {
    let (upstream, collector) = (Upstream::start(), Collector::start(Mood::Takes));
    let fixture = fixture(upstream.address);
    let process = fixture.serve_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())]);

    let traced = [("traceparent", PARENT), ("tracestate", STATE), ("tracestate", "rojo=1")];
    assert_eq!(get(&process, "/orders/1", &traced).status, 200);
    let (trace, child, flags) = told(&upstream);
    assert_eq!((&*trace, &*flags), ("4bf92f3577b34da6a3ce929d0e0e4736", "01"));
    assert_ne!(child, "00f067aa0ba902b7");
    assert_eq!(upstream.last("tracestate"), [STATE, "rojo=1"]);
    // It goes on to tie the request to others.
    assert_eq!(upstream.last("wcp-correlation-id"), [&*trace]);

    assert_eq!(get(&process, "/orders/2", &[("tracestate", STATE)]).status, 200);
    let (new_trace, root, _) = told(&upstream);
    assert_eq!(upstream.last("tracestate"), [""; 0]);
    process.end();

    let spans = collector.spans(2);
    let ids = |n: usize| (hex(&spans[n].trace_id), hex(&spans[n].span_id), hex(&spans[n].parent_span_id));
    assert_eq!(ids(0), (trace, child, "00f067aa0ba902b7".to_owned()));
    assert_eq!(ids(1), (new_trace, root, String::new()));
    assert_eq!(spans.len(), 2);
    assert!(
        spans.iter().all(|span| 0 < span.start_time_unix_nano && span.start_time_unix_nano <= span.end_time_unix_nano)
    );
}

#[test]
fn a_malformed_parent_is_not_believed() {
    let (upstream, collector) = (Upstream::start(), Collector::start(Mood::Takes));
    let fixture = fixture(upstream.address);
    let process = fixture.serve_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())]);
    let upper = PARENT.to_uppercase();
    let long = format!("{PARENT}-more");
    for bad in [
        &[("traceparent", "nonsense"), ("tracestate", STATE)][..],
        &[("traceparent", &*upper), ("tracestate", STATE)],
        &[("traceparent", &*long), ("tracestate", STATE)],
        &[("traceparent", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"), ("tracestate", STATE)],
        &[("traceparent", PARENT), ("traceparent", PARENT), ("tracestate", STATE)],
    ] {
        assert_eq!(get(&process, "/orders/1", bad).status, 200, "{bad:?}");
        let (trace, _, flags) = told(&upstream);
        assert!(!PARENT.contains(&trace) && trace.bytes().any(|b| b != b'0'), "{bad:?}: {trace}");
        assert_eq!(flags, "01");
        assert_eq!(upstream.last("tracestate"), [""; 0], "{bad:?}");
    }
}

#[test]
fn what_is_not_sampled_is_passed_on_as_such() {
    let (upstream, collector) = (Upstream::start(), Collector::start(Mood::Takes));
    let fixture = fixture(upstream.address);
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url());
    let off = PARENT.replace("-01", "-00");

    let by_parent = fixture.serve_with(&[endpoint]);
    assert_eq!(get(&by_parent, "/orders/1", &[("traceparent", &off), ("tracestate", STATE)]).status, 200);
    let (trace, span, flags) = told(&upstream);
    assert!(off.contains(&trace) && !off.contains(&span));
    assert_eq!((&*flags, upstream.last("tracestate")), ("00", vec![STATE.to_owned()]));
    by_parent.end();

    let never = fixture.serve_with(&[endpoint, ("OTEL_TRACES_SAMPLER", "always_off")]);
    assert_eq!(get(&never, "/orders/1", &[("traceparent", PARENT)]).status, 200);
    assert_eq!(told(&upstream).2, "00");
    assert_eq!(get(&never, "/orders/1", &[]).status, 200);
    assert_eq!(told(&upstream).2, "00");
    never.end();
    assert!(collector.posted().is_empty());

    let sampler = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "1")];
    let always = fixture.serve_with(&[&[endpoint][..], &sampler].concat());
    assert_eq!(get(&always, "/orders/1", &[("traceparent", &off)]).status, 200);
    assert_eq!(told(&upstream).2, "01");
    always.end();
    assert_eq!(collector.spans(1).len(), 1);
}

#[test]
fn without_traces_headers_pass_as_they_came() {
    let upstream = Upstream::start();
    let fixture = fixture(upstream.address);
    for off in [&[][..], &[("OTEL_SDK_DISABLED", "true"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")]] {
        let process = fixture.serve_with(off);
        for sent in [PARENT, "nonsense"] {
            assert_eq!(get(&process, "/orders/1", &[("traceparent", sent), ("tracestate", STATE)]).status, 200);
            assert_eq!(upstream.last("traceparent"), [sent]);
            assert_eq!(upstream.last("tracestate"), [STATE]);
        }
        assert_eq!(get(&process, "/orders/1", &[]).status, 200);
        assert_eq!(upstream.last("traceparent"), [""; 0]);
    }
}
