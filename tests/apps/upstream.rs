//! An upstream in a process of its own, which tells what it got.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::Value;
use support::{PATIENCE, root, venv};

/// What an upstream demands, and only the gate holds.
pub const CREDENTIAL: &str = "credential-of-the-upstream";

/// A running upstream. Dropped, it is killed.
pub struct Upstream {
    child: Child,
    told: Receiver<Value>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Upstream {
    /// Starts one of the scripts beside this file.
    pub fn start(script: &str) -> Self {
        Self::start_in(script, root())
    }

    /// The same in a folder that has what it reads.
    pub fn start_in(script: &str, folder: &Path) -> Self {
        let mut child = Command::new(venv("python"))
            .arg(root().join("tests/apps").join(script))
            .current_dir(folder)
            .env("CREDENTIAL", CREDENTIAL)
            .env("PYTHONPATH", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (tell, told) = channel();
        thread::spawn(move || {
            let lines = stdout.lines().map_while(Result::ok);
            lines.map(|line| serde_json::from_str(&line).unwrap()).try_for_each(|what: Value| tell.send(what))
        });
        let first: Value = told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{script} does not start"));
        let address = first["listening"].as_str().unwrap().parse().unwrap();
        Self { child, told, address }
    }

    /// The first thing that it tells by this name.
    pub fn wait_for(&self, name: &str) -> Value {
        loop {
            let mut what = self.told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("`{name}` is not told"));
            if what[name] != Value::Null {
                return what[name].take();
            }
        }
    }

    /// What it has told and nobody has heard yet: each request, with its headers.
    pub fn told(&self) -> Vec<Value> {
        self.told.try_iter().collect()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
