//! The configuration: the YAML as it is written, and what is true once all of it is checked. Every problem is reported together.
//!
//! What must never happen: a key that is passed over in silence, a secret in a message, a start on half a configuration.

mod alerts;
mod approvals;
mod env_file;
mod excerpt;
mod fixed;
mod gate;
mod hall;
mod identity;
mod kinds;
#[cfg(any(test, fuzzing))]
pub mod laws;
mod limits;
mod origins;
mod policy;
mod problem;
mod reader;
mod registry;
mod rules_file;
mod tls;
mod tokens;
mod variables;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::api::ops;
use crate::documents::{self, InvalidValue};
use crate::engine::Snapshot;
use crate::hall::Token;
use crate::hall::limits::Settings as Limits;
use crate::hall::webhook;
use crate::ledger::Durability;
use crate::proxy::settings::Listen;
use crate::registry::roster::Roster;
use crate::telemetry::{LogAllowed, LogFormat};
use crate::{api, cache, ledger, proxy, telemetry};

pub use approvals::owner_name;
pub use env_file::EnvFiles;
pub use excerpt::Excerpts;
pub use fixed::Fixed;
pub use origins::{Keys, Origins};
pub use policy::LoadedPolicy;
pub use problem::{Problem, Problems, Warning};
pub use reader::VARIABLE_WITHOUT_BRACES;
pub use registry::Registry;
pub use rules_file::place_in;
pub use tokens::WEAK_SECRET;
pub use variables::Environment;

use policy::Policy;
use reader::{Found, Map, Reading};

/// A configuration that is whole and sound.
#[derive(Debug)]
pub struct Config {
    /// The gate; `None` when this process is a Hall only.
    pub gate: Option<proxy::Settings>,
    /// The Hall API; `None` when this process is a gate only.
    pub hall: Option<api::Settings>,
    /// The session tokens; with a Hall one at least has the scope `route`, without one there are none.
    pub tokens: Vec<Token>,
    /// How much each door lets in.
    pub limits: Limits,
    /// Everything that decisions depend on, read from the policy's files.
    pub snapshot: Snapshot,
    /// Who is enrolled.
    pub roster: Roster,
    /// The file of what is enrolled over the API; `None`: nothing is.
    pub store: Option<PathBuf>,
    /// Who is asked; `None`: what wants a human is denied.
    pub approvals: Option<crate::approvals::Settings>,
    /// The remote registry; `None`: it is off.
    pub registry: Option<Registry>,
    /// The cache.
    pub cache: cache::Settings,
    /// The ledger.
    pub ledger: ledger::Settings,
    /// Where alerts are posted; `None`: nowhere.
    pub webhook: Option<webhook::Settings>,
    /// Logs.
    pub telemetry: telemetry::Settings,
    /// The operations door.
    pub ops: ops::Settings,
    /// How this process ends.
    pub shutdown: Shutdown,
    /// What of the text is not wise; what cannot work is [`crate::lint`]'s to find.
    pub warnings: Vec<Warning>,
    /// Where all of it was written.
    pub origins: Origins,
}

/// The `shutdown` section: how the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shutdown {
    /// How long callers are still taken after readiness has dropped.
    pub linger: Duration,
    /// How long requests in flight may then take to finish.
    pub grace: Duration,
}

/// A configuration of which as much was checked as is there.
#[derive(Debug)]
pub enum Checked {
    /// One that `serve` can run.
    Config(Box<Config>),
    /// A policy only.
    Policy(Box<LoadedPolicy>),
}

/// The files and folders that a configuration's policy, tokens and certificates come from, itself among them.
pub type Files = BTreeSet<PathBuf>;

/// The sections of a configuration.
const SECTIONS: [&str; 11] =
    ["gate", "hall", "ops", "policy", "approvals", "registry", "cache", "ledger", "alerts", "telemetry", "shutdown"];

/// That a text is an upstream's URL, wherever it is written.
///
/// # Errors
/// What is wrong with it, and what to change.
pub fn upstream_url(text: &str) -> Result<(), InvalidValue> {
    gate::url(text).map(|_| ())
}

/// That these are a route's method and path, wherever they are written.
///
/// # Errors
/// What is wrong with one of them, and what to change.
pub fn route_match(method: Option<&str>, path: &str) -> Result<(), InvalidValue> {
    method.map(kinds::method).transpose()?;
    kinds::path_pattern(path).map(|_| ())
}

impl Config {
    /// Reads a configuration and the policy that it names.
    ///
    /// # Errors
    /// Every problem of the file, the rules and the workers at once.
    pub fn load(file: &Path, environment: &Environment<'_>) -> Result<Self, Problems> {
        Self::load_from(file, environment).0
    }

    /// The same, and from which files: also when they do not make a configuration, because a change may mend them.
    pub fn load_from(file: &Path, environment: &Environment<'_>) -> (Result<Self, Problems>, Files) {
        let read = |top: Map<'_>| Parts::read(top, Needs::All);
        read_file(file, environment, read, |parts: Parts, found| parts.put_together(file, found))
    }

    /// Reads the `policy` section alone. The other sections may be there, and are not looked at.
    ///
    /// # Errors
    /// Every problem of the file's form, the section, the rules and the workers at once.
    pub fn load_policy(file: &Path, environment: &Environment<'_>) -> Result<Snapshot, Problems> {
        let read = |mut top: Map<'_>| {
            let policy = policy::alone(&mut top);
            for section in SECTIONS {
                top.get(section);
            }
            top.done(&[]);
            policy
        };
        let load = |policy: Option<Policy>, found: &mut Found| policy?.load(file, found).map(|loaded| loaded.snapshot);
        read_file(file, environment, read, load).0
    }

    /// The same, and where the `ledger` section has the ledger.
    ///
    /// # Errors
    /// Every problem of the file's form, the two sections, the rules and the workers at once.
    pub fn load_policy_and_ledger(file: &Path, environment: &Environment<'_>) -> Result<(Snapshot, PathBuf), Problems> {
        let read = |mut top: Map<'_>| {
            let policy = policy::alone(&mut top);
            let ledger = top.section("ledger").and_then(ledger);
            for section in SECTIONS {
                top.get(section);
            }
            top.done(&[]);
            policy.zip(ledger)
        };
        let load = |read: Option<(Policy, (ledger::Settings, bool))>, found: &mut Found| {
            let (policy, (ledger, _)) = read?;
            Some((policy.load(file, found)?.snapshot, ledger.path))
        };
        read_file(file, environment, read, load).0
    }

    /// Reads all that is there: without `gate` and `hall` it is a policy that `serve` cannot run, and is fine as such. Absolute paths in it
    /// are looked for in `root`.
    ///
    /// # Errors
    /// Every problem of the file, the rules and the workers at once.
    pub fn check(file: &Path, environment: &Environment<'_>, root: Option<&Path>) -> Result<Checked, Problems> {
        let read = |mut top: Map<'_>| {
            let serves = top.get("gate").is_some() || top.get("hall").is_some();
            (serves, Parts::read(top, if serves { Needs::All } else { Needs::NoDoor }))
        };
        let put_together = |(serves, parts): (bool, Parts), found: &mut Found| {
            if serves {
                return parts.put_together(file, found).map(|config| Checked::Config(Box::new(config)));
            }
            parts.policy.and_then(|policy| policy.load(file, found)).map(|loaded| Checked::Policy(Box::new(loaded)))
        };
        read_file_below(root, file, environment, read, put_together).0
    }
}

/// Reads a file in two steps: what is written, and what it comes to. A value only when nothing is wrong.
fn read_file<Read, T>(
    file: &Path,
    environment: &Environment<'_>,
    read: impl FnOnce(Map<'_>) -> Read,
    put_together: impl FnOnce(Read, &mut Found) -> Option<T>,
) -> (Result<T, Problems>, Files) {
    read_file_below(None, file, environment, read, put_together)
}

/// The same, with absolute paths in a folder.
fn read_file_below<Read, T>(
    root: Option<&Path>,
    file: &Path,
    environment: &Environment<'_>,
    read: impl FnOnce(Map<'_>) -> Read,
    put_together: impl FnOnce(Read, &mut Found) -> Option<T>,
) -> (Result<T, Problems>, Files) {
    let text = match documents::text(file, documents::LARGE) {
        Ok(text) => text,
        Err(why) => {
            let problem = Problem {
                file: file.to_owned(),
                place: None,
                key: String::new(),
                message: why.to_string(),
                help: "name a configuration file, such as `--config conf/hallgate.yaml`".to_owned(),
                quotable: false,
            };
            return (Err(Problems(vec![problem])), Files::from([file.to_owned()]));
        }
    };
    read_text(root, file, &text, environment, read, put_together)
}

/// The same of a file whose text is at hand.
fn read_text<Read, T>(
    root: Option<&Path>,
    file: &Path,
    text: &str,
    environment: &Environment<'_>,
    read: impl FnOnce(Map<'_>) -> Read,
    put_together: impl FnOnce(Read, &mut Found) -> Option<T>,
) -> (Result<T, Problems>, Files) {
    let reading = Reading::new(file, text, environment).below(root);
    let (document, faults) = yaml::parse(text);
    for fault in faults {
        reading.note(fault.place, "", fault.message, fault.help);
    }
    let parts = document.as_ref().map(|document| read(reading.document(document)));
    let mut found = reading.into_found();
    let value = parts.and_then(|parts| put_together(parts, &mut found));
    let Found { problems, files, .. } = found;
    match value {
        Some(value) if problems.is_empty() => (Ok(value), files),
        _ => (Err(Problems(problems)), files),
    }
}

/// The sections as far as each could be read.
struct Parts {
    gate: Option<Option<gate::GateSection>>,
    hall: Option<self::hall::HallSection>,
    policy: Option<Policy>,
    approvals: Option<Option<crate::approvals::Settings>>,
    registry: Option<Option<Registry>>,
    cache: Option<cache::Settings>,
    ledger: Option<(ledger::Settings, bool)>,
    alerts: Option<Option<webhook::Settings>>,
    telemetry: Option<telemetry::Settings>,
    ops: Option<ops::Settings>,
    shutdown: Option<Shutdown>,
}

/// Which sections have to be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// What `serve` needs.
    All,
    /// No door: nobody will be served.
    NoDoor,
}

impl Parts {
    fn read(mut top: Map<'_>, needs: Needs) -> Self {
        let gate = match top.get("gate") {
            Some(value) => value.map().and_then(gate::read).map(Some),
            None => Some(None),
        };
        let hall = match needs {
            Needs::All if matches!(gate, Some(None)) || top.get("hall").is_some() => {
                top.section("hall").and_then(hall::read)
            }
            Needs::All => gate.as_ref().and_then(|gate| hall::absent(&top, gate.as_ref())),
            Needs::NoDoor => None,
        };
        let written = top.get("approvals");
        let approvals = self::approvals::read(written.as_ref());
        if let (Some(value), Some(Some(settings)), Some(hall)) = (&written, &approvals, &hall) {
            self::approvals::check(value, settings, &hall.tokens, hall.api.is_some());
        }
        let parts = Self {
            policy: policy::of(&mut top, approvals.as_ref()),
            approvals,
            registry: top.section("registry").and_then(registry::read),
            cache: top.section("cache").and_then(cache),
            ledger: top.section("ledger").and_then(ledger),
            alerts: top.section("alerts").and_then(alerts::read),
            telemetry: top.section("telemetry").and_then(telemetry),
            ops: top.section("ops").and_then(ops),
            shutdown: top.section("shutdown").and_then(shutdown),
            gate,
            hall,
        };
        parts.check_listeners(&top);
        top.done(&[]);
        parts
    }

    /// No two listeners on one address.
    fn check_listeners(&self, top: &Map<'_>) {
        let mut taken: Vec<(&str, SocketAddr)> = Vec::new();
        let gate = self.gate.iter().flatten().map(|read| &read.gate);
        let listeners = gate.flat_map(|gate| {
            let listen = match &gate.listen {
                Listen::Tcp(address) => std::slice::from_ref(address),
                Listen::Loopback(addresses) => addresses,
                Listen::Unix(_) => &[],
            };
            let listen = listen.iter().map(|address| ("gate.listen", *address));
            listen.chain(gate.listen_h2c.map(|address| ("gate.listen_h2c", address)))
        });
        let hall = self.hall.iter().filter_map(|read| read.api.as_ref()).map(|api| ("hall.listen", api.listen));
        let ops = self.ops.map(|ops| ("ops.listen", ops.listen));
        for (key, address) in listeners.chain(hall).chain(ops).filter(|(_, address)| address.port() != 0) {
            if let Some((earlier, _)) = taken.iter().find(|(_, other)| *other == address) {
                top.wrong(key, format!("`{address}` is taken by `{earlier}`"), "give each listener its own port");
            }
            taken.push((key, address));
        }
    }

    fn put_together(self, file: &Path, found: &mut Found) -> Option<Config> {
        let loaded = self.policy.and_then(|policy| policy.load(file, found));
        let gate = self.gate?;
        let self::hall::HallSection { api: mut hall, tokens, limits, failures } = self.hall?;
        let limits = Limits { gate: gate.as_ref().map(|read| read.limits).unwrap_or_default(), hall: limits, failures };
        let (ledger, public_tiles) = self.ledger?;
        if let Some(hall) = &mut hall {
            hall.public_tiles = public_tiles;
        }
        let LoadedPolicy { snapshot, roster, store, warnings, origins } = loaded?;
        Some(Config {
            gate: gate.map(|read| read.gate),
            hall,
            tokens,
            limits,
            snapshot,
            roster,
            store,
            approvals: self.approvals?,
            registry: self.registry?,
            cache: self.cache?,
            ledger,
            webhook: self.alerts?,
            telemetry: self.telemetry?,
            ops: self.ops?,
            shutdown: self.shutdown?,
            warnings,
            origins,
        })
    }
}

fn cache(mut map: Map<'_>) -> Option<cache::Settings> {
    let max_mib: Option<u64> = map.read("max_mib", "16", kinds::number(0, 65_536));
    map.done(&[]);
    Some(cache::Settings { max_bytes: max_mib? << 20 })
}

/// The section, and whether the log's hashes are public, which is the API's to know.
fn ledger(mut map: Map<'_>) -> Option<(ledger::Settings, bool)> {
    const DURABILITIES: &[(&str, Durability)] = &[("process", Durability::Process), ("power", Durability::Power)];
    let path = map.path("path", "ledger");
    let durability = map.read("durability", "process", kinds::word(DURABILITIES));
    // No key named: beside the ledger.
    let key_file = match map.get("key_file") {
        Some(value) => value.path(),
        None => path.as_ref().map(|path| path.with_file_name("hallgate.key")),
    };
    let origin = map.read("origin", "hallgate.local/ledger", origin);
    let checkpoint_every = map.read("checkpoint_every", "5s", kinds::some_time);
    let queue = map.read("queue", "4096", kinds::number(1, 1_000_000));
    let segment_mib: Option<u64> = map.read("segment_mib", "64", kinds::number(1, 4096));
    let keep = map.maybe("keep", kinds::long_time);
    let max_size = map.maybe("max_size", kinds::size);
    if let (Some(Some(most)), Some(mib)) = (max_size, segment_mib)
        && most < 2 * (mib << 20)
    {
        let help = "write at least twice `segment_mib`: the segment that is written is never pruned";
        map.wrong("max_size", "is less than two segments", help);
    }
    let export_dir = map.get("export_dir").map(|value| value.path());
    if export_dir.is_some() && matches!((keep, max_size), (Some(None), Some(None))) {
        map.wrong("export_dir", "is set, but nothing is ever pruned", "write `keep` or `max_size`, too, or remove it");
    }
    let request_attributes = map.read("request_attributes", "true", kinds::flag);
    let public_tiles = map.read("public_tiles", "false", kinds::flag);
    map.done(&["witnesses"]);
    let settings = ledger::Settings {
        path: path?,
        durability: durability?,
        key_file: key_file?,
        origin: origin?,
        checkpoint_every: checkpoint_every?,
        queue: queue?,
        segment_bytes: segment_mib? << 20,
        request_attributes: request_attributes?,
        retention: ledger::Retention { keep: keep?, max_bytes: max_size?, export_dir: export_dir.flatten() },
    };
    Some((settings, public_tiles?))
}

/// The log's name in checkpoints: a schema-less URL without spaces and `+` (C2SP tlog-checkpoint, signed-note).
fn origin(text: &str) -> Result<String, InvalidValue> {
    if text.len() <= 255 && text.bytes().all(|b| b.is_ascii_graphic() && b != b'+') {
        return Ok(text.to_owned());
    }
    Err(InvalidValue::new("is not a log's name", "write such as `hall.example.org/ledger`, without spaces and `+`"))
}

fn telemetry(mut map: Map<'_>) -> Option<telemetry::Settings> {
    const FORMATS: &[(&str, LogFormat)] = &[("json", LogFormat::Json), ("text", LogFormat::Text)];
    const ALLOWED: &[(&str, LogAllowed)] =
        &[("all", LogAllowed::All), ("sample", LogAllowed::Sample), ("none", LogAllowed::None)];
    let log = map.read("log", "json", kinds::word(FORMATS));
    let level = map.read("level", "info,pingora=warn", kinds::log_filter);
    let log_allowed = map.read("log_allowed", "sample", kinds::word(ALLOWED));
    let traces = telemetry::traces::Settings::of_environment(&|name| map.variable(name));
    let traces = traces.map_err(|missets| missets.into_iter().for_each(|misset| map.misset(misset)));
    map.done(&[]);
    Some(telemetry::Settings { log: log?, level: level?, log_allowed: log_allowed?, traces: traces.ok()? })
}

fn ops(mut map: Map<'_>) -> Option<ops::Settings> {
    let written = map.get("listen").is_some();
    let listen = map.read("listen", "127.0.0.1:8766", kinds::address);
    map.done(&[]);
    Some(ops::Settings { listen: listen?, written })
}

fn shutdown(mut map: Map<'_>) -> Option<Shutdown> {
    let linger = map.read("linger", "1s", kinds::duration);
    let grace = map.read("grace", "30s", kinds::duration);
    map.done(&[]);
    Some(Shutdown { linger: linger?, grace: grace? })
}
