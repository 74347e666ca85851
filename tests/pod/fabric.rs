//! A network of its own: namespaces that are a pod and the hosts around it, on one bridge that leads nowhere else.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The longest that anything here may take; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// The user that the gate runs as, as in `k8s/`.
pub const GATE_UID: &str = "28765";

/// The network. Dropped, its processes and namespaces go.
pub struct Fabric {
    prefix: String,
    folder: TempDir,
    running: Vec<Child>,
}

/// What is on the bridge: a name and the last part of its addresses.
const HOSTS: [(&str, u8); 4] = [("pod", 2), ("orders", 3), ("other", 4), ("names", 5)];

impl Fabric {
    /// The pod, a host that a route names, one that none does, and a name server. `None`, loudly, where there can be no namespaces.
    pub fn lay() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("hg{}x{}", std::process::id() % 100_000, NEXT.fetch_add(1, Ordering::Relaxed));
        let probe = format!("{prefix}-probe");
        let made = Command::new("ip").args(["netns", "add", &probe]).output().unwrap();
        if !made.status.success() {
            let why = String::from_utf8_lossy(&made.stderr).into_owned();
            assert!(std::env::var_os("CI").is_none(), "no network namespaces here, and CI must have them: {why}");
            // Past the harness, which keeps what a passing test prints to itself.
            let said = format!("SKIPPED, nothing was tested: no network namespaces here (run it as root): {why}\n");
            std::io::stderr().write_all(said.as_bytes()).unwrap();
            return None;
        }
        run(Command::new("ip").args(["netns", "del", &probe]));

        let mut fabric = Self { prefix, folder: TempDir::new().unwrap(), running: Vec::new() };
        fs::set_permissions(fabric.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // As the kubelet writes it for a pod of the namespace `shops`, but for the second server.
        let resolver = "search shops.svc.cluster.local svc.cluster.local cluster.local\n\
            nameserver 10.77.0.5\nnameserver fd77::5\noptions ndots:5\n";
        fs::write(fabric.path("resolv.conf"), resolver).unwrap();
        let net = fabric.namespace("net");
        let mut lines = format!("netns add {net}\n");
        for (name, _) in HOSTS {
            lines += &format!("netns add {}\n", fabric.namespace(name));
        }
        fabric.ip(&[], &lines);
        let mut lines = "link add bridge type bridge\nlink set bridge up\n".to_owned();
        for (name, _) in HOSTS {
            let at = fabric.namespace(name);
            lines += &format!(
                "link add {name} type veth peer name eth0 netns {at}\nlink set {name} master bridge\nlink set {name} up\n"
            );
        }
        fabric.ip(&["-n", &net], &lines);
        for (name, n) in HOSTS {
            let lines = format!(
                "link set lo up\nlink set eth0 up\naddr add 10.77.0.{n}/24 dev eth0\naddr add fd77::{n}/64 dev eth0 nodad\n"
            );
            fabric.ip(&["-n", &fabric.namespace(name)], &lines);
        }
        for host in ["orders", "other"] {
            fabric.host(host, &["80", "9001"]);
        }
        let mut names = fabric.command("names", &["python3"]);
        names
            .arg(script("names.py"))
            .args(["orders.test=10.77.0.3,fd77::3", "orders.shops.svc.cluster.local=10.77.0.3,fd77::3"]);
        names.arg("other.test=10.77.0.4,fd77::4");
        fabric.start(names);
        Some(fabric)
    }

    /// Starts something in a namespace that answers on these ports, and logs who calls.
    pub fn host(&mut self, name: &str, ports: &[&str]) {
        let mut python = self.command(name, &["python3"]);
        python.arg(script("host.py")).arg(name).arg(self.path(name)).args(ports);
        self.start(python);
    }

    /// A file of this network's.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    fn ip(&self, options: &[&str], lines: &str) {
        let batch = self.path("batch");
        fs::write(&batch, lines).unwrap();
        run(Command::new("ip").args(options).arg("-batch").arg(batch));
    }

    /// A command in a namespace, with the network's name server.
    pub fn command(&self, name: &str, what: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(name), "sh", "-c"]);
        command.arg("mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"").arg(self.path("resolv.conf")).args(what);
        command.current_dir(self.folder.path());
        command
    }

    /// Starts something that says `up` when it is, and has it end with the network.
    fn start(&mut self, mut command: Command) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.running.push(child);
        assert_eq!(line, "up\n", "{command:?}");
    }

    /// What runs in the pod as an app may: without capabilities, and as another user than the gate.
    pub fn app(&self, uid: &str, what: &[&str]) -> Output {
        let mut app = self.command("pod", &["setpriv", "--reuid", uid, "--regid", uid, "--clear-groups"]);
        app.args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]).args(what);
        app.output().unwrap()
    }

    /// `curl` as an app runs it: its exit code, and what the answer was.
    pub fn curl(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let fixed = ["curl", "-sS", "--max-time", "10", "-w", "%{http_code}"];
        let done = self.app("1000", &[&fixed[..], arguments].concat());
        (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// Runs `k8s/redirect.sh` in the pod, with the one capability that the manifests give it.
    pub fn redirect(&self, to: &str) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s/redirect.sh");
        let only = ["--bounding-set=-all,+net_admin", "--inh-caps=-all,+net_admin", "--no-new-privs", "sh"];
        self.command("pod", &["setpriv"]).args(only).arg(script).args([GATE_UID, to]).output().unwrap()
    }

    /// The rules that are in force in the pod.
    pub fn rules(&self) -> String {
        let save = "iptables-save; ip6tables-save";
        let saved = run(&mut self.command("pod", &["sh", "-c", save]));
        // Counters and comments with the time differ each time.
        saved.lines().filter(|line| line.starts_with("-A")).map(|line| format!("{line}\n")).collect()
    }

    /// What a host has seen since it was last asked.
    pub fn seen(&self, host: &str) -> Vec<String> {
        let log = self.path(host);
        let seen = fs::read_to_string(&log).unwrap();
        // The host appends, so it goes on where the file now ends.
        fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(0).unwrap();
        seen.lines().map(str::to_owned).collect()
    }

    /// Starts the gate in the pod as its own user.
    pub fn gate(&mut self) -> usize {
        let folder = self.path("gate");
        fs::create_dir(&folder).unwrap();
        let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
        run(Command::new("cp").arg("-R").arg(conf.join(".")).arg(&folder));
        fs::write(folder.join("hallgate.yaml"), include_str!("hallgate.yaml")).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_hallgate"), folder.join("hallgate")).unwrap();
        run(Command::new("chown").arg("-R").arg(GATE_UID).arg(&folder));
        let mut gate = self.command("pod", &["setpriv", "--reuid", GATE_UID, "--clear-groups", "--bounding-set=-all"]);
        gate.arg("--no-new-privs")
            .arg(folder.join("hallgate"))
            .args(["serve", "--config"])
            .arg(folder.join("hallgate.yaml"));
        self.serve(gate)
    }

    /// Starts a gate in the pod, and waits until it is ready. Gives the number under which it can be killed.
    pub fn serve(&mut self, mut gate: Command) -> usize {
        self.running.push(gate.stderr(fs::File::create(self.path("gate.log")).unwrap()).spawn().unwrap());
        let began = Instant::now();
        let ready = ["curl", "-sf", "-o", "/dev/null", "http://127.0.0.1:8766/readyz"];
        while !self.command("pod", &ready).status().unwrap().success() {
            let ended = self.running.last_mut().unwrap().try_wait().unwrap();
            let waited = ended.is_none() && began.elapsed() < PATIENCE;
            assert!(waited, "the gate is not ready:\n{}", fs::read_to_string(self.path("gate.log")).unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        self.running.len() - 1
    }

    /// Kills what was started, as the kernel would.
    pub fn kill(&mut self, started: usize) {
        let child = &mut self.running[started];
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Fabric {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
        for name in HOSTS.map(|(name, _)| name).into_iter().chain(["net"]) {
            let _ = Command::new("ip").args(["netns", "del", &self.namespace(name)]).output();
        }
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pod").join(name)
}

/// Runs a command that must succeed. Gives what it printed.
pub fn run(command: &mut Command) -> String {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{command:?}:\n{said}{}", String::from_utf8_lossy(&done.stderr));
    said
}
