//! `hallgate gate`: a gate before one upstream without any file of its own: what it lets through is said on the command line.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::{ConfigFile, cannot, environment, say, serve, upstream_url};
use crate::config::{self, Config};
use crate::ids::{CapabilityId, DataLabel};

/// The kind of worker that the caller is, and the only one that the rule names.
const SPECIES: &str = "wrk.gate.caller";
const WORKER: &str = "wrk_gate";
const TENANT: &str = "org.local";

/// Run a gate before one upstream, without a file: what is not allowed here is denied
///
/// The app needs nothing but another base URL. Its own credential passes, unless `--header` sets one that only the gate holds. For
/// more than one upstream, label or caller, write a folder: `hallgate init`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where requests go, such as `https://api.openai.com`
    #[arg(long, value_name = "URL", value_parser = upstream_url)]
    to: String,
    /// What is let through, such as 'POST /v1/chat/completions' or '/orders/*' (any method); may be repeated
    #[arg(long = "allow", value_name = "[METHOD ]PATH", required = true, value_parser = allowed)]
    allow: Vec<Allowed>,
    /// What the data is: the label of every request, and the highest that is let through when a caller raises it
    #[arg(long, default_value = "INTERNAL")]
    label: DataLabel,
    /// Which capability it is that requests ask for
    #[arg(long, value_name = "CAPABILITY_ID", default_value = "cap.api.call")]
    capability: CapabilityId,
    /// A header that the gate sets, such as 'authorization: Bearer ${OPENAI_API_KEY}', taken from the environment; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<Header>,
    /// Where callers connect
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The folder of the ledger; its key is beside it
    #[arg(long, value_name = "FOLDER", default_value = "ledger")]
    ledger: PathBuf,
    /// How the log is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log: LogLines,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogLines {
    Text,
    Json,
}

/// A method, or any, and a path.
#[derive(Debug, Clone)]
struct Allowed {
    method: Option<String>,
    path: String,
}

/// A header as it was written; it may hold a secret, so nothing that is wrong with it repeats it.
#[derive(Clone)]
struct Header(String);

impl From<&str> for Header {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Header").finish_non_exhaustive()
    }
}

impl Header {
    /// Its name and its value.
    fn split(&self) -> Option<(&str, &str)> {
        self.0.split_once(':').map(|(name, value)| (name.trim(), value.trim()))
    }
}

fn allowed(text: &str) -> Result<Allowed, String> {
    let (method, path) = match text.split_once(' ') {
        Some((method, path)) => (Some(method), path.trim_start()),
        None => (None, text),
    };
    config::route_match(method, path).map_err(|why| format!("{}: {}", why.is, why.help))?;
    Ok(Allowed { method: method.map(str::to_owned), path: path.to_owned() })
}

/// Runs the command until a signal ends it. 0: it ended in order; 1: it did not; 2: it could not start.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    if options.headers.iter().any(|header| header.split().is_none()) {
        return cannot("a `--header` has no `:`: write 'NAME: VALUE'");
    }
    let folder = match tempfile::Builder::new().prefix("hallgate-gate-").tempdir() {
        Ok(folder) => folder,
        Err(error) => return cannot(format_args!("there is no place for temporary files: {error}: set TMPDIR")),
    };
    if let Err(error) = options.write(folder.path()) {
        return cannot(format_args!("its temporary files cannot be written: {error}"));
    }
    let config = folder.path().join("hallgate.yaml");
    // What is wrong is said of what was asked for, not of a file that nobody wrote.
    if let Err(problems) = Config::load(&config, &environment) {
        let said =
            problems.list().iter().map(|problem| format!("{}: {}: {}", problem.key, problem.message, problem.help));
        return cannot(said.collect::<Vec<_>>().join("\n"));
    }
    options.introduce();
    serve::run_file(&ConfigFile { config })
}

impl Options {
    /// The configuration and what it names. JSON is YAML, too, whatever is in it.
    fn write(&self, folder: &Path) -> std::io::Result<()> {
        let routes = self.allow.iter().map(|Allowed { method, path }| {
            let mut matched = json!({ "path": path });
            if let (Some(method), Value::Object(members)) = (method, &mut matched) {
                members.insert("methods".to_owned(), json!([method]));
            }
            json!({ "match": matched, "capability": self.capability.as_str(), "data_label": self.label.as_str(), "upstream": "to" })
        });
        let headers: serde_json::Map<_, _> = self
            .headers
            .iter()
            .filter_map(Header::split)
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect();
        let worker = json!({
            "worker_id": WORKER, "worker_species_id": SPECIES, "capabilities": [self.capability.as_str()],
            "risk_tier": "low", "allowed_environments": ["prod"],
        });
        let log = if matches!(self.log, LogLines::Json) { "json" } else { "text" };
        let configuration = json!({
            "gate": {
                "listen": self.listen.to_string(),
                "identity": { "mode": "fixed", "worker_id": WORKER, "tenant_id": TENANT },
                "upstreams": { "to": { "url": self.to, "headers": headers } },
                "routes": routes.collect::<Vec<_>>(),
            },
            "policy": { "rules": "rules.json", "workers": [worker], "tenants": { TENANT: { "risk": "low" } } },
            "ledger": { "path": std::path::absolute(&self.ledger)? },
            "telemetry": { "log": log },
        });
        let labels: Vec<_> =
            DataLabel::ALL.iter().filter(|label| **label <= self.label).map(|label| label.as_str()).collect();
        let rules = json!({ "rules": [{
            "rule_id": "rr_allowed_on_the_command_line",
            "match": { "capability_id": self.capability.as_str(), "env": "prod", "data_label": { "in": labels } },
            "decision": { "candidate_workers_ranked": [{ "worker_species_id": SPECIES }] },
        }] });
        fs::write(folder.join("hallgate.yaml"), configuration.to_string())?;
        fs::write(folder.join("rules.json"), rules.to_string())
    }

    fn introduce(&self) {
        say(format_args!("http://{} is a gate before {}\n", self.listen, self.to));
        for Allowed { method, path } in &self.allow {
            let method = method.as_deref().unwrap_or("any method");
            say(format_args!("  allowed   {method} {path} with data up to {}", self.label.as_str()));
        }
        let raised = if self.label < DataLabel::Restricted {
            ", such as the same with the header `wcp-data-label: RESTRICTED`"
        } else {
            ""
        };
        say(format_args!("  denied    everything else{raised}"));
        let key = self.ledger.with_file_name("hallgate.key.pub");
        say(format_args!(
            "  recorded  each of them: hallgate audit verify --ledger {} --key {}\n",
            self.ledger.display(),
            key.display()
        ));
    }
}
