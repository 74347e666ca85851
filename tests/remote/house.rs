//! A house that asks a registry: a folder with rules and workers, and a real `serve`.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// The longest that anything here may take; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A token that may do everything.
pub const TOKEN: &str = "hst_0123456789abcdef";
/// One that may only ask for decisions.
pub const ROUTES: &str = "hst_fedcba9876543210";
/// The registry's key.
pub const KEY: &str = "pyhall_acme_0f1e2d3c4b5a";

/// A worker in a namespace of the registry, and one of nobody's.
pub const NAMESPACED: &str = "org.acme.reader";
pub const LOCAL: &str = "wrk_reader";

pub struct House {
    pub folder: TempDir,
}

impl House {
    /// With this section `registry`, or none.
    pub fn build(registry: &str) -> Self {
        let house = Self { folder: TempDir::new().unwrap() };
        fs::create_dir(house.folder.path().join("enrolled")).unwrap();
        house.enroll(NAMESPACED, None);
        house.enroll(LOCAL, None);
        let rules = json!({"rules": [{
            "rule_id": "rr_read", "match": {"capability_id": "cap.data.read.v1"},
            "decision": {"candidate_workers_ranked": [{"worker_species_id": "wrk.data.reader"}]},
        }]});
        fs::write(house.folder.path().join("rules.json"), rules.to_string()).unwrap();
        let upstream = upstream();
        let text = format!(
            "gate:\n  listen: 127.0.0.1:0\n  identity: {{ mode: fixed, worker_id: {LOCAL}, tenant_id: org.acme }}\n  upstreams: {{ \
             orders: {{ url: \"http://{upstream}\" }} }}\n  routes: [{{ match: {{ path: /* }}, capability: cap.data.read.v1, data_label: \
             PUBLIC, upstream: orders }}]\nhall:\n  listen: 127.0.0.1:0\n  tokens:\n    - {{ name: ops, secret: {TOKEN}, scopes: [route, \
             read, admin] }}\n    - {{ name: make, secret: {ROUTES}, scopes: [route] }}\npolicy:\n  tenants: {{ org.acme: {{ risk: low }} \
             }}\n{registry}\nshutdown: {{ linger: 0s }}\n"
        );
        fs::write(house.folder.path().join("hallgate.yaml"), text).unwrap();
        house
    }

    /// A registry that is asked every second and whose answers count for so long.
    pub fn asking(url: &str, max_stale: &str) -> Self {
        Self::build(&format!("registry: {{ url: \"{url}\", api_key: {KEY}, refresh: 1s, max_stale: {max_stale} }}"))
    }

    pub fn enroll(&self, worker: &str, code_hash: Option<&str>) {
        let record = json!({"worker_id": worker, "worker_species_id": "wrk.data.reader", "capabilities": ["cap.data.read.v1"],
            "attestation": code_hash.map(|hash| json!({"code_hash": hash})).unwrap_or_else(|| json!({}))});
        let folder = self.folder.path();
        fs::write(folder.join(".beside"), record.to_string()).unwrap();
        fs::rename(folder.join(".beside"), folder.join("enrolled").join(format!("{worker}.json"))).unwrap();
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hallgate"));
        command.args(arguments).current_dir(self.folder.path()).env_clear().envs(environment.iter().copied());
        command.output().unwrap()
    }

    pub fn serve(self) -> Process {
        self.serve_with(&[])
    }

    /// With this environment.
    pub fn serve_with(self, environment: &[(&str, &str)]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hallgate"));
        command.args(["serve", "--config", "hallgate.yaml"]).current_dir(self.folder.path()).env_clear();
        command.envs(environment.iter().copied());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&log);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut log = into.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let nowhere = "127.0.0.1:0".parse().unwrap();
        let mut process = Process { house: self, child, log, gate: nowhere, hall: nowhere };
        until(|| process.logged("\"starting\""));
        let log = process.log.lock().unwrap().clone();
        let starting = log.lines().find(|line| line.contains("\"starting\"")).unwrap();
        let starting: Value = serde_json::from_str(starting).unwrap();
        process.gate = starting["gate"].as_str().unwrap().parse().unwrap();
        process.hall = starting["hall"].as_str().unwrap().parse().unwrap();
        until(|| process.try_call(process.hall, "GET", "/livez", "", "").is_some());
        process
    }
}

/// An upstream that answers everything with 200.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}");
            });
        }
    });
    addr
}

/// A running `serve`. Dropped, it is gone.
pub struct Process {
    pub house: House,
    child: Child,
    log: Arc<Mutex<String>>,
    pub gate: SocketAddr,
    pub hall: SocketAddr,
}

impl Process {
    pub fn logged(&self, what: &str) -> bool {
        self.log.lock().unwrap().contains(what)
    }

    fn try_call(&self, to: SocketAddr, method: &str, path: &str, token: &str, body: &str) -> Option<(u16, Value)> {
        let mut stream = TcpStream::connect(to).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // A credential that is none would count as one that is wrong.
        let credential = if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: hall\r\n{credential}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()))))
    }

    /// Asks the Hall.
    pub fn call(&self, method: &str, path: &str, token: &str) -> (u16, Value) {
        let answer = self.try_call(self.hall, method, path, token, "");
        answer.unwrap_or_else(|| panic!("{method} {path} has no answer"))
    }

    /// Asks the Hall with a body.
    pub fn post(&self, path: &str, token: &str, body: &str) -> (u16, Value) {
        self.try_call(self.hall, "POST", path, token, body).unwrap_or_else(|| panic!("{path} has no answer"))
    }

    /// The status of a request through the gate, and the body.
    pub fn through(&self) -> (u16, Value) {
        self.try_call(self.gate, "GET", "/orders", "", "").unwrap()
    }

    /// The answer to a request for a worker in an environment.
    pub fn route(&self, worker: &str, env: &str, dry_run: bool) -> (u16, Value) {
        let body = json!({"capability_id": "cap.data.read.v1", "env": env, "data_label": "PUBLIC", "tenant_id": "org.acme",
            "worker_id": worker, "dry_run": dry_run});
        self.try_call(self.hall, "POST", "/api/route", TOKEN, &body.to_string()).unwrap()
    }

    /// The deny code of such a request; `ALLOWED` when there is none.
    pub fn verdict(&self, worker: &str, env: &str) -> String {
        let (_, answer) = self.route(worker, env, false);
        answer["deny_reason"].as_str().map_or_else(|| "ALLOWED".to_owned(), str::to_owned)
    }

    pub fn readyz(&self) -> Value {
        self.call("GET", "/readyz", TOKEN).1
    }

    /// The value of a metric, by the beginning of its line.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.call("GET", "/metrics", "");
        let text = text.as_str().unwrap().to_owned();
        let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |value| value.parse().unwrap())
    }

    /// Ends it at once, and gives its house.
    pub fn kill(mut self) -> House {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.house, House { folder: TempDir::new().unwrap() })
    }

    /// Ends it in order, and gives its house and all that it logged.
    pub fn end(mut self) -> (House, String) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        let log = self.log.lock().unwrap().clone();
        let house = std::mem::replace(&mut self.house, House { folder: TempDir::new().unwrap() });
        (house, log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("{}", self.log.lock().unwrap());
        }
    }
}

/// Looks again until it is so.
#[track_caller]
pub fn until(so: impl Fn() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "it does not become so");
        thread::sleep(Duration::from_millis(20));
    }
}
