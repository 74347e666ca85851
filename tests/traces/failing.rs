//! A collector that is down, slow or full: requests go on as without one, spans are counted, and the process ends in time.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::collector::{Collector, Mood};
use crate::{fixture, get};
use support::{Upstream, metric, until};

/// Far more than a request takes, and far less than a collector may.
const SOON: Duration = Duration::from_secs(5);
/// The most that the end waits for a collector, and what else it takes.
const END: Duration = Duration::from_secs(10);

const DROPPED: &str = "hallgate_spans_dropped_total";
const EXPORTED: &str = "hallgate_spans_exported_total";

#[test]
fn a_collector_that_hangs_holds_nobody_up() {
    let (upstream, collector) = (Upstream::start(), Collector::start(Mood::Hangs));
    let fixture = fixture(upstream.address);
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url()),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "8"),
        ("OTEL_BSP_SCHEDULE_DELAY", "1"),
    ];
    let process = fixture.serve_with(&environment);
    assert_eq!(get(&process, "/orders/1", &[]).status, 200);
    until(|| !collector.posted().is_empty());
    let began = Instant::now();
    for _ in 0..50 {
        assert_eq!(get(&process, "/orders/1", &[]).status, 200);
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    // Eight wait, and one is under way.
    until(|| metric(process.hall(), DROPPED) == 42);

    let began = Instant::now();
    process.end();
    assert!(began.elapsed() < END, "{:?}", began.elapsed());
    let log = process.log();
    let line = log.lines().find(|line| line.contains("the process ends before")).unwrap();
    assert!(line.contains("\"spans\":9"), "{line}");
    assert_eq!(fixture.verify(), (51, 51));
}

#[test]
fn a_second_signal_does_not_wait_for_a_collector() {
    let (upstream, collector) = (Upstream::start(), Collector::start(Mood::Hangs));
    let fixture = fixture(upstream.address);
    let process = fixture.serve_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())]);
    assert_eq!(get(&process, "/orders/1", &[]).status, 200);
    // Its body does not come, so that the process waits for it.
    let mut open = TcpStream::connect(process.gate()).unwrap();
    open.write_all(b"POST /orders/2 HTTP/1.1\r\nhost: here\r\ncontent-length: 5\r\n\r\nhe").unwrap();
    until(|| metric(process.hall(), "hallgate_exchanges_in_flight") == 1);
    process.terminate();
    process.wait_for_log("no longer ready");
    let began = Instant::now();
    process.end();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(process.log().contains("told to end at once") && process.log().contains("the process ends before"));
    assert_eq!(fixture.verify(), (2, 2));
}

#[test]
fn a_collector_that_is_down_is_complained_of_once() {
    let upstream = Upstream::start();
    let fixture = fixture(upstream.address);
    // Bound and dropped: nobody listens there.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*format!("http://{nobody}")),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "20"),
        ("OTEL_BSP_SCHEDULE_DELAY", "1"),
    ];
    let process = fixture.serve_with(&environment);
    for sent in 1..=5 {
        assert_eq!(get(&process, "/orders/1", &[]).status, 200);
        until(|| metric(process.hall(), DROPPED) == sent);
    }
    let began = Instant::now();
    process.end();
    assert!(began.elapsed() < END, "{:?}", began.elapsed());
    let log = process.log();
    let complaints: Vec<&str> = log.lines().filter(|line| line.contains("spans were dropped")).collect();
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints[0].contains("refused") && !complaints[0].contains(&nobody.to_string()), "{complaints:?}");
}

#[test]
fn a_collector_that_asks_for_more_time_than_there_is_costs_its_batch_only() {
    let (upstream, collector) = (Upstream::start(), Collector::start(Mood::Takes));
    let fixture = fixture(upstream.address);
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url()), ("OTEL_BSP_SCHEDULE_DELAY", "1")];
    let process = fixture.serve_with(&environment);
    let asked =
        ["18446744073709551615", "18446744073709551616", "-1", "Fri, 31 Dec 9999 23:59:59 GMT", "9223372036854775807"];
    for after in asked {
        collector.turn(Mood::Limits(after));
        let (posted, exported) = (collector.posted().len(), metric(process.hall(), EXPORTED));
        assert_eq!(get(&process, "/orders/1", &[]).status, 200);
        until(|| collector.posted().len() > posted);
        collector.turn(Mood::Takes);
        assert_eq!(get(&process, "/orders/1", &[]).status, 200);
        until(|| metric(process.hall(), EXPORTED) > exported);
    }
    assert_eq!(metric(process.hall(), "hallgate_thread_panics_total"), 0);
    process.end();
}

#[test]
fn what_passes_is_tried_again_and_what_does_not_is_dropped() {
    let (upstream, collector) = (Upstream::start(), Collector::start(Mood::Says(503)));
    let fixture = fixture(upstream.address);
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url()), ("OTEL_BSP_SCHEDULE_DELAY", "1")];
    let process = fixture.serve_with(&environment);
    assert_eq!(get(&process, "/orders/1", &[]).status, 200);
    until(|| !collector.posted().is_empty());
    collector.turn(Mood::Takes);
    until(|| metric(process.hall(), EXPORTED) == 1);
    let posted = collector.posted();
    assert!(posted.len() >= 2 && posted.iter().all(|again| again.body == posted[0].body));

    collector.turn(Mood::Says(500));
    assert_eq!(get(&process, "/orders/1", &[]).status, 200);
    until(|| metric(process.hall(), DROPPED) == 1);
    assert_eq!(collector.posted().len(), posted.len() + 1);

    collector.turn(Mood::Rejects(1));
    assert_eq!(get(&process, "/orders/1", &[]).status, 200);
    until(|| metric(process.hall(), DROPPED) == 2);
    assert_eq!(metric(process.hall(), EXPORTED), 1);
    process.end();
}
