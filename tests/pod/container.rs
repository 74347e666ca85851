//! A container of the image: the static program in a root with nothing but what the Dockerfile and a container runtime put there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::fabric::{Fabric, GATE_UID, run};

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The static program that `make` links, of this very source.
pub fn program() -> PathBuf {
    let program = root().join("target/static/hallgate");
    let made = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let newest = newest(&root().join("src"), &made);
    let current = program.exists() && made(&program) >= newest;
    assert!(current, "{} is missing or older than src/: run `make target/static/hallgate`", program.display());
    program
}

fn newest(folder: &Path, made: &impl Fn(&Path) -> SystemTime) -> SystemTime {
    let below = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = below.map(|path| if path.is_dir() { newest(&path, made) } else { made(&path) });
    files.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// A container in the pod of a network.
pub struct Container {
    root: PathBuf,
}

impl Container {
    /// Lays out its root: the program, certificates of authorities, devices, the resolver's configuration, an empty ledger.
    pub fn lay(fabric: &Fabric) -> Self {
        let container = Self { root: fabric.path("root") };
        for folder in ["dev", "etc/hallgate", "etc/ssl/certs", "var/lib/hallgate"] {
            fs::create_dir_all(container.path(folder)).unwrap();
        }
        for (device, minor) in [("null", "3"), ("random", "8"), ("urandom", "9")] {
            let node = container.path("dev").join(device);
            run(Command::new("mknod").args(["-m", "666"]).arg(node).args(["c", "1", minor]));
        }
        fs::copy(fabric.path("resolv.conf"), container.path("etc/resolv.conf")).unwrap();
        let authorities = "etc/ssl/certs/ca-certificates.crt";
        fs::copy(Path::new("/").join(authorities), container.path(authorities)).unwrap();
        fs::copy(program(), container.path("hallgate")).unwrap();
        run(Command::new("chown").arg(GATE_UID).arg(container.path("var/lib/hallgate")));
        container
    }

    /// A path below its root.
    pub fn path(&self, below: &str) -> PathBuf {
        self.root.join(below.trim_start_matches('/'))
    }

    /// The program in it, as the user and in the folder that the image names.
    pub fn command(&self, fabric: &Fabric, arguments: &[&str]) -> Command {
        self.command_in(GATE_UID, fabric, arguments)
    }

    /// The same in another group.
    pub fn command_in(&self, group: &str, fabric: &Fabric, arguments: &[&str]) -> Command {
        let root = self.root.to_str().unwrap();
        let inside = ["unshare", "--root", root, "--wd", "/var/lib/hallgate", "--setgid", group, "--setuid", GATE_UID];
        let mut command = fabric.command("pod", &inside);
        command.arg("/hallgate").args(arguments);
        command
    }
}
