//! When something stalls or is taken up: whoever reads the log, or the doors. Requests go on, probes are answered, and the process ends
//! when it is told to.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "serve/asking.rs"]
#[expect(dead_code, reason = "the tests of `limits` use the rest of it")]
mod asking;
#[path = "serve/house.rs"]
#[expect(dead_code, reason = "the tests of `serve` use the rest of it")]
mod house;

use std::io::{BufRead as _, BufReader, PipeReader, PipeWriter, Read as _, Write as _, pipe};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use asking::{ask, metric, route};
use house::{House, TOKEN, until};

/// Far more than an answer takes, and far less than a reader that stalls.
const SOON: Duration = Duration::from_secs(10);
const DROPPED: &str = "hallgate_log_lines_dropped_total";

/// Dropped, it is killed.
struct Serve(Child);

impl Serve {
    fn start(house: &House, stderr: PipeWriter) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hallgate"));
        command.args(["serve", "--config", "hallgate.yaml"]).current_dir(house.path("")).env_clear();
        command.env("HALL_SESSION_TOKEN", TOKEN).stdout(Stdio::null()).stderr(stderr);
        Self(command.spawn().unwrap())
    }

    fn terminate(&self) {
        assert!(Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap().success());
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

/// A house that logs all it can.
fn talkative() -> House {
    let house = House::build("{ linger: 0s, grace: 1s }");
    house.write(&format!("{}telemetry: {{ level: trace }}\n", house.configuration("{ linger: 0s, grace: 1s }")));
    house
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
    let house = talkative();
    let (reader, stderr): (PipeReader, PipeWriter) = pipe().unwrap();
    let mut serve = Serve::start(&house, stderr);
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
    house.verify();
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
    let house = House::build("{ linger: 0s, grace: 1s }");
    let [gate, hall] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string());
    let configuration = house.configuration("{ linger: 0s, grace: 1s }");
    let configuration = configuration.replacen("127.0.0.1:0", &gate, 1).replacen("127.0.0.1:0", &hall, 1);
    house.write(&configuration);
    let (_reader, stderr) = full();
    let mut serve = Serve::start(&house, stderr.try_clone().unwrap());
    let hall = hall.parse().unwrap();
    until(|| std::net::TcpStream::connect(hall).is_ok() && ask(hall, "GET /readyz", &[], "").status == 200);
    serve.terminate();
    assert_eq!(serve.ended(), Some(0));

    // What cannot start ends, too.
    house.write("gate: 5\n");
    assert_eq!(Serve::start(&house, stderr).ended(), Some(2));
}

/// The address of the operations door, from the log.
fn operations(process: &mut house::Process) -> SocketAddr {
    let line = process.seen.lines().find(|line| line.contains("\"starting\"")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    line["ops"].as_str().unwrap().parse().unwrap()
}

#[test]
fn the_operations_door_is_there_to_the_end_and_tells_strangers_yes_or_no() {
    let house = House::build("{ linger: 2s, grace: 5s }");
    let configuration = house.configuration("{ linger: 2s, grace: 5s }");
    house.write(&format!("{configuration}ops: {{ listen: 127.0.0.1:0 }}\n"));
    let mut process = house.serve();
    let ops = operations(&mut process);
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

    process.signal();
    until(|| ask(ops, "GET /readyz", &[], "").status == 503);
    assert_eq!(ask(ops, "GET /livez", &[], "").status, 200);
    assert_eq!(process.ended(), Some(0), "{}", process.seen);

    // An address that is written is this door's, or there is no start.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    house.write(&format!("{configuration}ops: {{ listen: {} }}\n", taken.local_addr().unwrap()));
    let (code, _, err) = house.run(&["serve", "--config", "hallgate.yaml"]);
    assert!(code == Some(2) && err.contains("`ops.listen`"), "{err}");
}
