//! A house for one test: a folder with a configuration on free ports, an upstream that answers when told, and the real binary.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The longest that anything here may take; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The session token of every house.
pub const TOKEN: &str = "hst_0123456789abcdef";

/// A folder with a configuration. Dropped, it goes.
pub struct House {
    folder: TempDir,
    upstream: SocketAddr,
    /// Each message ends one answer of the upstream that is under way.
    pub finish: Sender<()>,
    /// Each message is one answer that the upstream has begun.
    pub begun: Receiver<()>,
}

impl House {
    /// A house whose process ends as this `shutdown` section says.
    pub fn build(shutdown: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream = listener.local_addr().unwrap();
        let (finish, finished) = channel();
        let (beginning, begun) = channel();
        thread::spawn(move || serve_upstream(&listener, &finished, &beginning));
        let house = Self { folder: TempDir::new().unwrap(), upstream, finish, begun };
        house.write(&house.configuration(shutdown));
        house
    }

    /// A configuration with a gate and a Hall on free ports.
    pub fn configuration(&self, shutdown: &str) -> String {
        format!(
            "gate:\n  listen: 127.0.0.1:0\n  identity: {{ mode: fixed, worker_id: wrk_make_acme_prod, tenant_id: org.acme }}\n  \
             upstreams: {{ orders: {{ url: \"http://{}\" }} }}\n  routes:\n    - {{ match: {{ path: /orders }}, capability: \
             cap.data.read.v1, data_label: INTERNAL, upstream: orders }}\nhall:\n  listen: 127.0.0.1:0\n  tokens: [{{ name: make, \
             secret: \"${{HALL_SESSION_TOKEN}}\", scopes: [route] }}]\npolicy:\n  gate: {1}/policies\n  rules: {1}/rules.json\n  workers: \
             {1}/enrolled\nshutdown: {2}\n",
            self.upstream,
            fs::canonicalize("conf").unwrap().display(),
            shutdown
        )
    }

    /// Writes the configuration.
    pub fn write(&self, configuration: &str) {
        fs::write(self.path("hallgate.yaml"), configuration).unwrap();
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hallgate"));
        command.args(arguments).current_dir(self.folder.path()).env_clear().env("HALL_SESSION_TOKEN", TOKEN);
        command
    }

    /// Runs a command to its end: exit code, stdout, stderr. One that does not end has failed.
    pub fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let child = self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let process = child.id().to_string();
        let (ended, end) = channel::<()>();
        thread::spawn(move || {
            if end.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                Command::new("kill").args(["-KILL", &process]).status().unwrap();
            }
        });
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        drop(ended);
        (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    }

    /// Starts `serve` and waits until it is ready.
    pub fn serve(&self) -> Process {
        let process = self.serve_under(&[]);
        until(|| process.readiness() == Some(200));
        process
    }

    /// Starts `serve` and waits for nothing.
    pub fn begin(&self) -> Child {
        let mut command = self.command(&["serve", "--config", "hallgate.yaml"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Starts `serve` under a command that becomes it, or that leaves it our child, and waits until it says where it listens.
    pub fn serve_under(&self, above: &[&str]) -> Process {
        let serve = ["serve", "--config", "hallgate.yaml"];
        let mut command = match above.split_first() {
            None => self.command(&serve),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(env!("CARGO_BIN_EXE_hallgate")).args(serve);
                command.current_dir(self.folder.path()).env("HALL_SESSION_TOKEN", TOKEN);
                command
            }
        };
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, log) = channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let mut process = Process { child, log, seen: String::new(), gate: None, hall: None };
        let line = process.wait_for_log("\"starting\"");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        process.gate = line["gate"].as_str().and_then(|gate| gate.parse().ok());
        process.hall = line["hall"].as_str().and_then(|hall| hall.parse().ok());
        process
    }

    /// Verifies the ledger with the real command: decisions and outcomes.
    pub fn verify(&self) -> (u64, u64) {
        let (code, out, err) = self.run(&["audit", "verify"]);
        assert_eq!(code, Some(0), "{out}{err}");
        let counts: Vec<u64> = out.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
        (counts[1], counts[2])
    }
}

/// A running `serve`. Dropped, it is killed.
pub struct Process {
    child: Child,
    log: Receiver<String>,
    /// What was logged, as far as it was read.
    pub seen: String,
    gate: Option<SocketAddr>,
    hall: Option<SocketAddr>,
}

impl Process {
    pub fn gate(&self) -> SocketAddr {
        self.gate.unwrap()
    }

    pub fn hall(&self) -> SocketAddr {
        self.hall.unwrap()
    }

    /// The first log line from now on with this in it.
    pub fn wait_for_log(&mut self, what: &str) -> String {
        let began = Instant::now();
        loop {
            // Others may be logged without end.
            let left = PATIENCE.saturating_sub(began.elapsed());
            let line = self.log.recv_timeout(left).unwrap_or_else(|_| panic!("no {what} in:\n{}", self.seen));
            self.seen.push_str(&line);
            self.seen.push('\n');
            if line.contains(what) {
                return line;
            }
        }
    }

    /// The status of `/readyz`; `None` when nobody listens.
    pub fn readiness(&self) -> Option<u16> {
        let mut connection = TcpStream::connect(self.hall()).ok()?;
        connection.write_all(b"GET /readyz HTTP/1.1\r\nhost: hall\r\nconnection: close\r\n\r\n").ok()?;
        status(&rest(&mut connection))
    }

    /// Begins a request through the gate whose answer the upstream does not end before it is told to.
    pub fn begin(&self, house: &House) -> TcpStream {
        let mut connection = TcpStream::connect(self.gate()).unwrap();
        connection.write_all(b"GET /orders HTTP/1.1\r\nhost: gate\r\n\r\n").unwrap();
        house.begun.recv_timeout(PATIENCE).unwrap();
        connection
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as no process can notice (SIGKILL).
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Waits for its end, and gives its exit code.
    pub fn ended(&mut self) -> Option<i32> {
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.seen.push_str(&line);
                    self.seen.push('\n');
                }
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap().code(),
                Err(RecvTimeoutError::Timeout) => panic!("it does not end:\n{}", self.seen),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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

/// All that comes until the other side closes.
pub fn rest(connection: &mut TcpStream) -> String {
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    // A connection that is cut off has said what it has said.
    let _ = connection.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

pub fn status(answer: &str) -> Option<u16> {
    answer.split(' ').nth(1)?.parse().ok()
}

/// Answers each request with a stream of two chunks, the second when it is told to.
fn serve_upstream(listener: &TcpListener, finish: &Receiver<()>, begun: &Sender<()>) {
    for connection in listener.incoming() {
        let mut connection = connection.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if connection.read(&mut byte).unwrap_or(0) == 0 {
                break;
            }
            head.push(byte[0]);
        }
        let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n5\r\nfirst\r\n";
        if connection.write_all(answer).is_err() || begun.send(()).is_err() || finish.recv().is_err() {
            return;
        }
        let _ = connection.write_all(b"4\r\nlast\r\n0\r\n\r\n");
    }
}
