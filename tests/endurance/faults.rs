//! Faults on order: what the system does to the program (`faults.c`), without privileges and without another clock.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Fixture, Process, until};

/// Where the faults of one process are ordered.
pub struct Faults {
    folder: PathBuf,
    preloaded: PathBuf,
    disk: PathBuf,
}

impl Faults {
    /// For a process of this fixture. The disk is this part of its folder.
    pub fn of(fixture: &Fixture, disk: &str) -> Self {
        let (folder, preloaded) = (fixture.path("faults"), fixture.path("faults.so"));
        fs::create_dir_all(&folder).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/endurance/faults.c");
        let compiled = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&preloaded).arg(source).output();
        let compiled = compiled.unwrap_or_else(|error| panic!("cc, which links this program, does not run: {error}"));
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        Self { folder, preloaded, disk: fixture.path(disk) }
    }

    /// Starts `serve` where faults can be ordered, and waits until it is ready.
    pub fn serve(&self, fixture: &Fixture) -> Process {
        let variable = |name: &str, value: &Path| format!("{name}={}", value.display());
        let above = [
            "env".to_owned(),
            variable("LD_PRELOAD", &self.preloaded),
            variable("HALLGATE_FAULTS", &self.folder),
            variable("HALLGATE_DISK", &self.disk),
        ];
        let process = fixture.serve_under(&above.iter().map(String::as_str).collect::<Vec<_>>());
        until(|| process.readiness() == Some(200));
        process
    }

    /// From now on it is so.
    pub fn order(&self, fault: &str) {
        fs::write(self.folder.join(fault), "").unwrap();
    }

    /// From now on the wall clock is off by so many seconds.
    pub fn set_clock(&self, seconds: i64) {
        fs::write(self.folder.join("clock.beside"), seconds.to_string()).unwrap();
        fs::rename(self.folder.join("clock.beside"), self.folder.join("clock")).unwrap();
    }

    /// From now on it is not.
    pub fn lift(&self, fault: &str) {
        fs::remove_file(self.folder.join(fault)).unwrap();
    }

    /// Whether it still waits for the process to meet it.
    pub fn waits(&self, fault: &str) -> bool {
        self.folder.join(fault).exists()
    }
}
