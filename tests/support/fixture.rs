//! A folder with a configuration and what it names. Dropped, it goes.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::Process;
use crate::{hallgate, program, root, run, until};

/// The session token of [`Fixture::sample`], which may ask for decisions. It is in the environment of every command.
pub const TOKEN: &str = "hst_0123456789abcdef";
/// What the rules of [`Fixture::sample`] allow.
pub const READ: &str = r#"{"capability_id":"cap.data.read.v1","worker_id":"wrk_make_acme_prod","env":"prod","data_label":"INTERNAL","tenant_id":"org.acme"}"#;

const SERVE: [&str; 3] = ["serve", "--config", "hallgate.yaml"];

/// A folder for one test.
pub struct Fixture {
    folder: TempDir,
}

impl Fixture {
    /// With this `hallgate.yaml`.
    pub fn new(configuration: &str) -> Self {
        let fixture = Self { folder: TempDir::new().unwrap() };
        fixture.configure(configuration);
        fixture
    }

    /// With a copy of what is in a folder of the repository.
    pub fn copy_of(folder: &str) -> Self {
        let fixture = Self { folder: TempDir::new().unwrap() };
        fixture.copy_from(folder);
        fixture
    }

    /// Copies what is in a folder of the repository over what is here.
    pub fn copy_from(&self, folder: &str) {
        let from = root().join(folder).join(".");
        assert!(Command::new("cp").arg("-R").arg(from).arg(self.path("")).status().unwrap().success());
    }

    /// With the policy of `conf/` for a gate and a Hall on free ports: who asks for `/orders` is a worker that may read, and is
    /// forwarded to this upstream.
    pub fn sample(upstream: SocketAddr) -> Self {
        let conf = root().join("conf");
        Self::new(&format!(
            "gate:\n  listen: 127.0.0.1:0\n  identity: {{ mode: fixed, worker_id: wrk_make_acme_prod, tenant_id: org.acme }}\n  \
             upstreams: {{ orders: {{ url: \"http://{upstream}\" }} }}\n  routes:\n    - {{ match: {{ path: /orders }}, capability: \
             cap.data.read.v1, data_label: INTERNAL, upstream: orders }}\nhall:\n  listen: 127.0.0.1:0\n  tokens: [{{ name: make, \
             secret: \"${{HALL_SESSION_TOKEN}}\", scopes: [route] }}]\npolicy:\n  gate: {0}/policies\n  rules: {0}/rules.json\n  \
             workers: {0}/enrolled\nshutdown: {{ linger: 0s }}\n",
            conf.display()
        ))
    }

    /// The same with another section `shutdown`.
    #[must_use]
    pub fn shutdown(self, section: &str) -> Self {
        self.edit("shutdown: { linger: 0s }", &format!("shutdown: {section}"));
        self
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a file where it belongs as a careful editor does: whole or not at all.
    pub fn write(&self, name: &str, text: &str) {
        let (file, beside) = (self.path(name), self.path(".beside"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&beside, text).unwrap();
        fs::rename(beside, file).unwrap();
    }

    /// What a file says.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Writes another configuration.
    pub fn configure(&self, configuration: &str) {
        self.write("hallgate.yaml", configuration);
    }

    /// The configuration.
    pub fn configuration(&self) -> String {
        self.read("hallgate.yaml")
    }

    /// Changes the configuration wherever this stands, which it must.
    #[track_caller]
    pub fn edit(&self, from: &str, to: &str) {
        let text = self.configuration();
        assert!(text.contains(from), "no `{from}` in:\n{text}");
        self.configure(&text.replace(from, to));
    }

    /// Adds a section to the configuration.
    pub fn add(&self, section: &str) {
        self.configure(&format!("{}{section}\n", self.configuration()));
    }

    /// The program in the folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = hallgate(arguments);
        command.current_dir(self.path("")).env("HALL_SESSION_TOKEN", TOKEN);
        command
    }

    /// Runs the program to its end: exit code, stdout, stderr.
    pub fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        run(&mut self.command(arguments), "")
    }

    /// Starts `serve` and waits until it is ready.
    pub fn serve(&self) -> Process {
        self.serve_with(&[])
    }

    /// The same with these variables in its environment.
    pub fn serve_with(&self, environment: &[(&str, &str)]) -> Process {
        let process = Process::start(self.command(&SERVE).envs(environment.iter().copied()));
        until(|| process.readiness() == Some(200));
        process
    }

    /// Starts `serve` under a command that becomes it, or that leaves it our child, and waits until it says where it listens.
    pub fn serve_under(&self, above: &[&str]) -> Process {
        Process::start(&mut match above.split_first() {
            None => self.command(&SERVE),
            Some((first, more)) => {
                let mut command = Command::new(first);
                command.args(more).arg(program()).args(SERVE);
                command.current_dir(self.path("")).env("HALL_SESSION_TOKEN", TOKEN);
                command
            }
        })
    }

    /// Starts `serve` and waits for nothing.
    pub fn begin(&self) -> Process {
        Process::begin(&mut self.command(&SERVE))
    }

    /// Verifies the ledger with the real command: decisions and outcomes.
    #[track_caller]
    pub fn verify(&self) -> (u64, u64) {
        let (code, out, err) = self.run(&["audit", "verify"]);
        assert_eq!(code, Some(0), "{out}{err}");
        let counts: Vec<u64> = out.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
        (counts[1], counts[2])
    }

    /// The ledger's entries, as the real command prints them.
    #[track_caller]
    pub fn entries(&self) -> Vec<Value> {
        let (code, out, err) = self.run(&["audit", "export", "--ledger", "ledger"]);
        assert_eq!(code, Some(0), "{err}");
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
