//! The neighbours: each a process on an address of its own, with its configuration from this folder.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use support::{PATIENCE, root, venv};

/// A running neighbour. Dropped, it is ended.
pub struct Neighbour {
    pub name: &'static str,
    pub address: SocketAddr,
    child: Child,
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        // nginx leaves its workers behind when it is killed.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// An address of its own under 127/8 in each process and for each neighbour: no port is ever taken by another.
pub fn address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let ip = Ipv4Addr::from(0x7f80_0000 | (std::process::id() & 0x3fff) << 8 | (n & 0xff));
    SocketAddr::new(ip.into(), 8080)
}

impl Neighbour {
    fn start(name: &'static str, address: SocketAddr, command: &mut Command) -> Self {
        // Where Debian keeps some commands, and an ordinary user does not look.
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let child = command.env("PATH", path).stdin(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{name} cannot be run: {error}; `make test` installs it"));
        let neighbour = Self { name, address, child };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(began.elapsed() < PATIENCE, "{name} does not come up");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        neighbour
    }

    /// What stands behind the gate. Its application `back` writes down in `folder` what it was asked, and `answers` answers in many ways.
    pub fn behind(name: &'static str, application: &str, folder: &Path) -> Self {
        let (address, seen) = (address(), folder.join(format!("{name}.seen")));
        fs::write(&seen, "").unwrap();
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let source = root().join("tests/neighbours");
        let mut command = match name {
            "node" => {
                let mut node = Command::new("node");
                node.arg(source.join(format!("{application}.mjs"))).args([&host, &port]).arg(&seen);
                node
            }
            "node_http2" => {
                let mut node = Command::new("node");
                node.arg(source.join(format!("{application}.mjs"))).args([&host, &port, "h2"]);
                node
            }
            "library" => {
                let mut python = Command::new(venv("python"));
                python.arg(source.join(format!("{application}.py"))).args([&host, &port]);
                python
            }
            "uvicorn" => {
                let mut python = Command::new(venv("python"));
                python.args([
                    "-m",
                    "uvicorn",
                    &format!("{application}:asgi"),
                    "--host",
                    &host,
                    "--port",
                    &port,
                    "--log-level",
                    "critical",
                ]);
                python
            }
            "gunicorn" => {
                let mut python = Command::new(venv("python"));
                let bind = address.to_string();
                python.args([
                    "-m",
                    "gunicorn",
                    &format!("{application}:wsgi"),
                    "--bind",
                    &bind,
                    "--worker-class",
                    "gthread",
                    "--threads",
                    "32",
                ]);
                python.args(["--keep-alive", "5", "--log-level", "critical"]);
                python
            }
            "nginx" => nginx(&format!("nginx-{application}.conf"), folder, &[("LISTEN", &address.to_string())]),
            _ => unreachable!(),
        };
        Self::start(
            name,
            address,
            command.current_dir(source).stdout(Stdio::null()).env("SEEN", seen).env("PYTHONDONTWRITEBYTECODE", "1"),
        )
    }

    /// What stands before the gate.
    pub fn before(name: &'static str, folder: &Path, gate: SocketAddr) -> Self {
        let address = address();
        let listen = address.to_string();
        let gate_address = gate.to_string();
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let (gate_host, gate_port) = (gate.ip().to_string(), gate.port().to_string());
        let mut command = match name {
            "nginx" => nginx(
                "nginx-front.conf",
                folder,
                &[("LISTEN", &listen), ("server GATE", &format!("server {gate_address}"))],
            ),
            "haproxy" => {
                let mut haproxy = Command::new("haproxy");
                haproxy.arg("-db").arg("-f");
                haproxy.arg(written("haproxy-front.cfg", folder, &[("LISTEN", &listen), ("GATE", &gate_address)]));
                haproxy
            }
            "envoy" => {
                let places: [(&str, &str); 4] = [
                    ("GATE_HOST", &gate_host),
                    ("GATE_PORT", &gate_port),
                    ("\"HOST\"", &format!("\"{host}\"")),
                    ("PORT", &port),
                ];
                let mut envoy = Command::new(venv("envoy"));
                envoy.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "off", "--config-path"]);
                envoy.arg(written("envoy-front.json", folder, &places));
                envoy
            }
            "caddy" => {
                let mut caddy = Command::new("caddy");
                caddy.args(["run", "--adapter", "caddyfile", "--config"]);
                caddy.arg(written("Caddyfile", folder, &[("PORT", &port), ("HOST", &host), ("GATE", &gate_address)]));
                caddy.env("HOME", folder);
                caddy
            }
            _ => unreachable!(),
        };
        let passed = fs::File::create(folder.join(format!("{name}.passed"))).unwrap();
        if name == "haproxy" {
            command.stdout(passed);
        } else {
            command.stdout(Stdio::null());
        }
        Self::start(name, address, &mut command)
    }
}

fn nginx(configuration: &str, folder: &Path, places: &[(&str, &str)]) -> Command {
    let mut nginx = Command::new("nginx");
    nginx.arg("-p").arg(folder).arg("-e").arg("stderr").arg("-c").arg(written(configuration, folder, places));
    nginx
}

/// A configuration of this folder with what is to be in its places.
fn written(name: &str, folder: &Path, places: &[(&str, &str)]) -> std::path::PathBuf {
    let source = root().join("tests/neighbours").join(name);
    let mut text = fs::read_to_string(source).unwrap().replace("FOLDER", folder.to_str().unwrap());
    for (place, with) in places {
        assert!(text.contains(place), "{name} has no {place}");
        text = text.replace(place, with);
    }
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}
