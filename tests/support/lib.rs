//! What the tests share that run the program from the outside: a folder with a configuration, the program in it, callers and
//! upstreams. Nothing of it knows the library, so that it is compiled once, whatever changes in `src`.

mod demo;
mod feed;
mod fixture;
mod hook;
mod http;
mod process;
mod upstream;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

pub use demo::{ANY_PORTS, Demo, EXPORTED};
pub use feed::{Event, Feed};
pub use fixture::{Fixture, READ, TOKEN};
pub use hook::{Hook, HookAnswer, Posted};
pub use http::{Answer, Connection, ask, ask_if_there, gauge, get, metric, post, rest, route, status};
pub use process::Process;
use serde_json::Value;
pub use upstream::{Held, Upstream};

/// The longest that anything here may take; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Where nobody listens.
pub const NOWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1));

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// The program, which cargo builds before its tests: beside the folder that the test programs are in.
pub fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.ancestors().nth(2).unwrap().join("hallgate");
    assert!(program.exists(), "{} is not there; run the tests by `cargo test`", program.display());
    program
}

/// The program, with nothing in its environment.
pub fn hallgate(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).env_clear();
    command
}

/// A program of the virtual environment that `make test` makes.
pub fn venv(program: &str) -> PathBuf {
    let path = root().join("target/venv/bin").join(program);
    assert!(path.exists(), "{} is missing; run `make test`, which installs it", path.display());
    path
}

/// The Node.js that `make test` installs beside the JavaScript clients.
pub fn node() -> PathBuf {
    let path = root().join("target/node/node_modules/.bin/node");
    assert!(path.exists(), "{} is missing; run `make test`, which installs it", path.display());
    path
}

/// Runs a command to its end with this input: exit code, stdout, stderr. One that does not end has failed.
pub fn run(command: &mut Command, input: &str) -> (Option<i32>, String, String) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.as_bytes().to_vec();
    // Beside the reading, so that neither side waits for the other; a command that needs no input does not read.
    let writing = thread::spawn(move || drop(std::io::Write::write_all(&mut stdin, &input)));
    let process = child.id();
    let (ended, end) = channel::<()>();
    thread::spawn(move || {
        if end.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            signal(process, "KILL");
        }
    });
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    drop(ended);
    writing.join().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// Sends a signal. The shell's own `kill` is there on every machine.
pub fn signal(process: u32, name: &str) {
    assert!(Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status().unwrap().success());
}

/// Looks again until it is so.
#[track_caller]
pub fn until(so: impl Fn() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "it does not become so");
        thread::sleep(Duration::from_millis(10));
    }
}

/// How many send the same at once. `HALLGATE_REPEATS=1000` is the long run (`make kills`).
pub fn repeats() -> usize {
    std::env::var("HALLGATE_REPEATS").map_or(100, |text| text.parse().unwrap())
}

/// How a text differs from its golden file; `None` where it does not. With `UPDATE_GOLDEN` set the file is written anew.
pub fn differs_from_golden(golden: &Path, text: &str) -> Option<String> {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, text).unwrap();
    }
    let there = std::fs::read_to_string(golden).unwrap_or_default();
    (there != text).then(|| format!("{} should be:\n{text}", golden.display()))
}

/// Whether every key of what is expected is there with the same value; ours may carry more.
pub fn agrees(expected: &Value, ours: &Value) -> bool {
    match (expected, ours) {
        (Value::Object(expected), Value::Object(ours)) => {
            expected.iter().all(|(key, value)| ours.get(key).is_some_and(|ours| agrees(value, ours)))
        }
        (Value::Array(expected), Value::Array(ours)) => {
            expected.len() == ours.len() && expected.iter().zip(ours).all(|(a, b)| agrees(a, b))
        }
        _ => expected == ours,
    }
}
