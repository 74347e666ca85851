//! When something stalls or is taken up: whoever reads the log, or the doors. Requests go on, probes are answered, and the process ends
//! when it is told to.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::{BufRead as _, BufReader, PipeReader, PipeWriter, Read as _, Write as _, pipe};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::{Fixture, NOWHERE, TOKEN, ask, metric, route, signal, until};

/// Far more than an answer takes, and far less than a reader that stalls.
const SOON: Duration = Duration::from_secs(10);
const DROPPED: &str = "hallgate_log_lines_dropped_total";

/// Dropped, it is killed.
struct Serve(Child);

impl Serve {
    fn start(fixture: &Fixture, stderr: PipeWriter) -> Self {
        let mut command = fixture.command(&["serve", "--config", "hallgate.yaml"]);
        Self(command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap())
    }

    fn terminate(&self) {
        signal(self.0.id(), "TERM");
    }

    /// Waits for its end, and gives its exit code.
    #[track_caller]
    fn ended(&mut self) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(began.elapsed() < SOON, "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A fixture that logs all it can.
fn talkative() -> Fixture {
    let fixture = Fixture::sample(NOWHERE).shutdown("{ linger: 0s, grace: 1s }");
    fixture.add("telemetry: { level: trace }");
    fixture
}

/// Where both doors are, from the log, of which nothing more is read than that.
fn addresses(log: &mut impl std::io::BufRead) -> (SocketAddr, SocketAddr) {
    let line = log.lines().map(Result::unwrap).find(|line| line.contains("\"starting\"")).unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let at = |door: &str| line[door].as_str().unwrap().parse().unwrap();
    (at("gate"), at("hall"))
}

/// Asks at both doors until lines are dropped. Each request is answered as if somebody read the log.
fn until_lines_are_dropped(gate: SocketAddr, hall: SocketAddr) {
    let before = metric(hall, DROPPED);
    for _ in 0..5000 {
        let began = Instant::now();
        assert_eq!(ask(gate, "GET /nowhere", &[], "").status, 404);
        assert_eq!(route(hall, TOKEN).status, 200);
        assert_eq!(ask(hall, "GET /readyz", &[], "").status, 200);
        assert!(began.elapsed() < SOON, "requests wait for who reads the log");
        if metric(hall, DROPPED) > before {
            return;
        }
    }
    panic!("no line is dropped");
}

#[test]
fn a_stalled_log_reader_costs_lines_and_no_answers() {
    let fixture = talkative();
    let (reader, stderr): (PipeReader, PipeWriter) = pipe().unwrap();
    let mut serve = Serve::start(&fixture, stderr);
    let mut log = BufReader::new(reader);
    let (gate, hall) = addresses(&mut log);
    until_lines_are_dropped(gate, hall);

    // The reader is back, and is told what it has missed.
    let said = log.by_ref().lines().map(Result::unwrap).find(|line| line.contains("log lines were dropped")).unwrap();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let (lines, dropped) = (said["lines"].as_u64().unwrap(), metric(hall, DROPPED));
    assert!((1..=dropped).contains(&lines), "{said}, of {dropped}");

    // It stalls again, and the process ends in its time all the same.
    until_lines_are_dropped(gate, hall);
    serve.terminate();
    assert_eq!(serve.ended(), Some(0));
    fixture.verify();
}

/// A pipe that takes nothing more.
fn full() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    let filled = writer.try_clone().unwrap();
    // Filled to the last byte when this one waits, and while it does.
    thread::spawn(move || drop(writer.write_all(&vec![b'x'; 1 << 20])));
    thread::sleep(Duration::from_millis(100));
    (reader, filled)
}

#[test]
fn it_starts_and_ends_also_where_nobody_reads_its_log() {
    let fixture = Fixture::sample(NOWHERE).shutdown("{ linger: 0s, grace: 1s }");
    let [gate, hall] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string());
    let configuration = fixture.configuration();
    let configuration = configuration.replacen("127.0.0.1:0", &gate, 1).replacen("127.0.0.1:0", &hall, 1);
    fixture.configure(&configuration);
    let (_reader, stderr) = full();
    let mut serve = Serve::start(&fixture, stderr.try_clone().unwrap());
    let hall = hall.parse().unwrap();
    until(|| std::net::TcpStream::connect(hall).is_ok() && ask(hall, "GET /readyz", &[], "").status == 200);
    serve.terminate();
    assert_eq!(serve.ended(), Some(0));

    // What cannot start ends, too.
    fixture.configure("gate: 5\n");
    assert_eq!(Serve::start(&fixture, stderr).ended(), Some(2));
}

#[test]
fn the_operations_door_is_there_to_the_end_and_tells_strangers_yes_or_no() {
    let fixture = Fixture::sample(NOWHERE).shutdown("{ linger: 2s, grace: 5s }");
    let configuration = fixture.configuration();
    fixture.configure(&format!("{configuration}ops: {{ listen: 127.0.0.1:0 }}\n"));
    let process = fixture.serve();
    let ops = process.door("ops");
    assert_eq!(ask(ops, "GET /livez", &[], "").body, serde_json::json!({"status": "ok"}));
    assert_eq!(ask(ops, "GET /readyz", &[], "").body, serde_json::json!({"ready": true}));
    let known = [("authorization", &*format!("Bearer {TOKEN}"))];
    assert_eq!(ask(ops, "GET /readyz", &known, "").body["ledger"]["writing"], true);
    assert_eq!(metric(ops, "hallgate_ledger_writing"), 1);
    assert_eq!(ask(ops, "GET /api/health", &known, "").status, 404, "nothing else is there");
    // All its places are held, and so are many of the Hall's.
    let held: Vec<_> = [ops, process.hall()].iter().flat_map(|at| [*at; 200]).collect();
    let held: Vec<_> = held.into_iter().map(|at| std::net::TcpStream::connect(at).unwrap()).collect();
    assert_eq!(ask(ops, "GET /readyz", &[], "").status, 200);
    drop(held);

    process.terminate();
    until(|| ask(ops, "GET /readyz", &[], "").status == 503);
    assert_eq!(ask(ops, "GET /livez", &[], "").status, 200);
    assert_eq!(process.ended(), Some(0), "{}", process.log());

    // An address that is written is this door's, or there is no start.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    fixture.configure(&format!("{configuration}ops: {{ listen: {} }}\n", taken.local_addr().unwrap()));
    let (code, _, err) = fixture.run(&["serve", "--config", "hallgate.yaml"]);
    assert!(code == Some(2) && err.contains("`ops.listen`"), "{err}");
}
