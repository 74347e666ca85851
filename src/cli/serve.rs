//! `hallgate serve`: wire ledger, hall and both doors together, run them, and end in order.

mod ending;
mod files;
mod listen;
mod refresh;
mod reload;
mod signals;
mod trust;
mod warnings;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server};
use tokio::sync::watch;

use super::{CANNOT, ConfigFile};
use crate::api::ops::{Ops, Pulses};
use crate::cache::Verdicts;
use crate::clock::{now_micros, timestamp};
use crate::config::{Config, Files, Fixed, Problems, Registry};
use crate::hall::approvals::ApprovalsError;
use crate::hall::enrolment::RegistryError;
use crate::hall::watch::Watch;
use crate::hall::webhook;
use crate::hall::{Hall, RemoteRegistry, TokenBook};
use crate::ledger::{Ledger, OpenError};
use crate::proxy::settings::{Listen, Upstream};
use crate::registry::remote::Client;
use crate::registry::store::Store;
use crate::telemetry::threads::{self, Thread};
use crate::telemetry::traces::Exporter;
use crate::telemetry::{self, Metrics, logs};
use crate::{api, proxy};
use ending::{ShutdownSequence, StopMode};
use listen::TakenError;
use refresh::Refresher;
use reload::Reloader;
use signals::Signals;
pub use trust::one_provider;

/// How long what is still under way has at the end, to be dropped and its outcome recorded…
const TASKS_END: Duration = Duration::from_secs(5);
/// …and how much later a thread that serves a door, and has not ended, is left to itself.
const SERVER_END: Duration = Duration::from_secs(2);
/// How long the process waits for the collector at its end.
const TRACES_END: Duration = Duration::from_secs(3);

/// Run the gate and the Hall
///
/// Rules, workers, tokens and the rest of the policy are loaded again when their files change, and at once on SIGHUP.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    file: ConfigFile,
}

/// Why the doors did not open.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is not sound.
    #[error("{0}")]
    Configuration(Problems),
    /// Somebody else listens there, or nobody may.
    #[error(transparent)]
    Listen(#[from] TakenError),
    /// The ledger cannot be opened.
    #[error("`ledger`: {0}")]
    Ledger(#[from] OpenError),
    /// The registry's store cannot be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Nobody can be asked.
    #[error(transparent)]
    Approvals(#[from] ApprovalsError),
    /// A door cannot be built, or upstreams cannot be verified.
    #[error("{0}")]
    Door(String),
    /// There are no threads or signals to run with.
    #[error("no thread can be started: {0}")]
    Thread(#[from] io::Error),
}

/// A running gate and Hall. Dropped, it ends at once; [`Running::shutdown`] lets requests in flight finish.
#[derive(Debug)]
pub struct Running {
    gate: Option<Listen>,
    hall: Option<SocketAddr>,
    /// What decides, for both doors.
    decides: Arc<Hall>,
    ledger: Ledger,
    end: watch::Sender<StopMode>,
    registry: Option<Refresher>,
    server: Option<Thread>,
    /// Hears when pingora does of the end.
    told: Receiver<()>,
    watch: Option<Watch>,
    traces: Option<Exporter>,
    /// Closed last.
    /// The operations door before it is opened: who connects to it waits.
    bound_ops: Option<(TcpListener, Pulses, bool)>,
    ops: Option<Ops>,
}

/// Runs the command until a signal ends it. 0: it ended in order; 1: it did not; 2: it could not start.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    run_file(&options.file)
}

/// The same with this configuration.
pub(super) fn run_file(file: &ConfigFile) -> ExitCode {
    // Whatever becomes of it, also a panic: the last lines are written, and a reader that stalls does not keep the process.
    let _last_lines = LastLines;
    let ran = logs::start().and_then(|()| Signals::listen()).map_err(StartError::Thread);
    let ran = ran.and_then(|signals| {
        let (config, files) = file.load_from();
        let config = config.map_err(StartError::Configuration)?;
        let path = file.path().to_owned();
        telemetry::start_logs(&config.telemetry).map_err(StartError::Door)?;
        until_told(config, path, files, signals)
    });
    match ran {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let misconfigured = matches!(error, StartError::Configuration(_));
            logs::say(format_args!("{}{error}", if misconfigured { "" } else { "hallgate: " }));
            ExitCode::from(CANNOT)
        }
    }
}

/// Dropped, it waits for the last lines to be written, but not for long.
struct LastLines;

impl Drop for LastLines {
    fn drop(&mut self) {
        logs::flush();
    }
}

/// Runs until a signal. Whether it ended without a panic.
fn until_told(config: Config, path: PathBuf, files: Files, signals: Signals) -> Result<bool, StartError> {
    let fixed = Fixed::of(&config);
    let mut running = start_told(config, |end| signals.end_by(end.clone()))?;
    let reloader = Reloader::start(path, files, fixed, Arc::clone(&running.decides))?;
    signals.lead(running.end.clone(), reloader, || running.open_ops())?;
    Ok(running.wait())
}

/// Opens the ledger, builds the hall and both doors, and runs them on threads of their own. When this returns, callers can
/// connect.
///
/// # Errors
/// A listener is taken, the ledger cannot be opened, or a door cannot be built. Nothing runs then.
pub fn start(config: Config) -> Result<Running, StartError> {
    start_told(config, |_| {})
}

/// The same. Before anybody can connect it says by what the process is told to end: who has had an answer may end it in order.
fn start_told(config: Config, tell: impl FnOnce(&watch::Sender<StopMode>)) -> Result<Running, StartError> {
    one_provider();
    let Config { gate, hall: api, tokens, limits, snapshot, roster, store, approvals, .. } = config;
    let Config { registry, cache, ledger, webhook, telemetry, ops, shutdown, .. } = config;
    let remote_registry = registry.as_ref().map(asked_registry).transpose()?;
    if remote_registry.is_none() {
        tracing::info!(
            "the registry is off, since it has no key: the records of enrolled workers are the only authority"
        );
    }
    let public_url = api.as_ref().and_then(|api| api.public_url.clone());
    let mut bound = Vec::new();
    let mut gate = gate.map(|gate| listen::bind_gate(gate, &mut bound)).transpose()?;
    let mut api = api.map(|api| listen::bind_hall(api, &mut bound)).transpose()?;
    files::fit(gate.as_mut().map(|gate| &mut gate.connections), api.as_mut().map(|api| &mut api.connections));
    let ops = listen::bind_ops(ops)?;
    let (gate_at, hall_at) = (gate.as_ref().map(|gate| gate.listen.clone()), api.as_ref().map(|api| api.listen));
    let h2c_at = gate.as_ref().and_then(|gate| gate.listen_h2c);

    let folder = ledger.path.clone();
    let keeps_request = ledger.request_attributes;
    let ledger = Ledger::open_or_stand_in(&ledger)?;
    tracing::info!(
        gate = gate_at.as_ref().map(listen::text),
        h2c = h2c_at.map(tracing::field::display),
        hall = hall_at.map(tracing::field::display),
        ops = ops.as_ref().and_then(|ops| ops.local_addr().ok()).map(tracing::field::display),
        snapshot = %snapshot.fingerprint,
        rules = snapshot.rules.len(),
        workers = snapshot.workers.len(),
        ledger = %folder.display(),
        vkey = ledger.vkey(),
        "starting"
    );
    for (at, route, until) in
        gate.iter().flat_map(proxy::Settings::observing).filter(|(.., until)| now_micros() < *until)
    {
        let (key, until) = (format!("gate.routes[{at}]"), timestamp(until));
        tracing::warn!(route = key, matches = %route, until, "a route only observes the policy: what it denies passes");
    }
    let (verdicts, metrics) = (Verdicts::new(cache), Arc::new(Metrics::new()));
    let hall = Hall::new((snapshot, roster), verdicts, ledger.clone(), TokenBook::new(tokens), metrics);
    let hall = hall.limited(limits).logging(telemetry.log_allowed).keeping_request(keeps_request);
    let hall = match remote_registry {
        Some(remote_registry) => hall.asking(remote_registry),
        None => hall,
    };
    let traces = telemetry.traces.map(|settings| Exporter::start(settings, hall.metrics())).transpose();
    let (hall, traces) = match traces.map_err(StartError::Door)? {
        Some((traces, exporter)) => (hall.traced_by(traces), Some(exporter)),
        None => (hall, None),
    };
    let hall = Arc::new(hall);
    if let Some(webhook) = webhook {
        hall.tell_alerts(webhook::Settings { public_url, ..webhook })?;
    }
    if let Some(store) = store {
        hall.open_registry(Store::open(&store).map_err(RegistryError::from)?)?;
    }
    if let Some(approvals) = approvals {
        hall.ask_humans(approvals)?;
    }
    hall.begin();
    let registry = registry
        .map(|registry| Refresher::start(&registry.settings, registry.require_standing, Arc::clone(&hall)))
        .transpose()?;
    let watch = Watch::start(Arc::clone(&hall))?;
    let pulses = Pulses::default();
    let metrics_need_token = api.as_ref().is_some_and(|api| api.metrics_need_token);
    let bound_ops = ops.map(|listener| (listener, pulses.clone(), metrics_need_token));

    let of_gate = gate.as_ref().and_then(|gate| gate.tls.clone()).map(|tls| ("gate", tls));
    let of_hall = api.as_ref().and_then(|api| api.tls.clone()).map(|tls| ("hall", tls));
    let certificates = of_gate.into_iter().chain(of_hall).collect();
    let mut server = Server::new_with_opt_and_conf(None, server_conf(gate.as_ref())?);
    let gate = gate.map(|gate| proxy::service(gate, Arc::clone(&hall), &server.configuration)).transpose();
    let gate = gate.map_err(StartError::Door)?.unwrap_or_default();
    let api = api.map(|api| api::service(api, Arc::clone(&hall), certificates)).transpose();
    let api = api.map_err(StartError::Door)?.unwrap_or_default();
    let socket = match &gate_at {
        Some(Listen::Unix(path)) => Some(path.clone()),
        _ => None,
    };
    let (tells, told) = channel();
    let (end, ending) = ShutdownSequence::new(Arc::clone(&hall), ledger.clone(), socket, shutdown, pulses, tells);
    for service in gate.into_iter().chain(api) {
        let sockets = listen::claim(&*service, &mut bound).map_err(StartError::Door)?;
        server.add_boxed_service(Box::new(ending.door(service, sockets)));
    }
    tell(&end);
    let run = move || server.run(RunArgs { shutdown_signal: Box::new(ending) });
    let server = threads::start_once("server", run)?;
    Ok(Running {
        gate: gate_at,
        hall: hall_at,
        decides: hall,
        ledger,
        end,
        registry,
        server: Some(server),
        told,
        watch: Some(watch),
        traces,
        bound_ops,
        ops: None,
    })
}

/// The remote registry, of which nothing is known yet. Nothing is sent before the refresher starts.
fn asked_registry(registry: &Registry) -> Result<RemoteRegistry, StartError> {
    let client = Client::new(&registry.settings).map_err(StartError::Door)?;
    tracing::info!(
        url = %registry.settings.url,
        refresh = ?registry.settings.refresh,
        max_stale = ?registry.settings.max_stale,
        require_standing = registry.require_standing,
        "the registry is asked about every enrolled worker"
    );
    let standing_counts_for = registry.require_standing.then_some(registry.settings.max_stale);
    Ok(RemoteRegistry::new(Arc::new(client), registry.settings.required, standing_counts_for))
}

/// pingora's part of the configuration. It neither waits nor drains: [`ShutdownSequence`] does.
fn server_conf(gate: Option<&proxy::Settings>) -> Result<ServerConf, StartError> {
    let by_system = |upstream: &Arc<Upstream>| upstream.tls && upstream.authorities.is_none();
    let ca_file =
        trust::ca_file(gate.is_some_and(|gate| gate.upstreams.values().any(by_system))).map_err(StartError::Door)?;
    Ok(ServerConf {
        ca_file: Some(ca_file),
        grace_period_seconds: Some(0),
        // For tasks to be dropped, with their outcomes recorded, before the ledger closes.
        graceful_shutdown_timeout_seconds: Some(TASKS_END.as_secs()),
        // A connection stays on its thread: looking for others' work, and waking threads for it, takes an eighth of a denial's time.
        // pingora waits without a bound for such a thread to end: we do not ([`Running::wait`]).
        work_stealing: false,
        ..ServerConf::default()
    })
}

impl Running {
    /// Where the gate listens, when it does on TCP.
    #[must_use]
    pub fn gate_addr(&self) -> Option<SocketAddr> {
        match &self.gate {
            Some(Listen::Tcp(address)) => Some(*address),
            Some(Listen::Loopback(addresses)) => addresses.first().copied(),
            Some(Listen::Unix(_)) | None => None,
        }
    }

    /// Opens the operations door. Whoever hears there that this process is ready may also end it in order: so it is opened last.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn open_ops(&mut self) -> Result<(), StartError> {
        if let Some((listener, pulses, metrics_need_token)) = self.bound_ops.take() {
            self.ops = Some(Ops::start(listener, Arc::clone(&self.decides), pulses, metrics_need_token)?);
        }
        Ok(())
    }

    /// Where the Hall API listens, when there is one.
    #[must_use]
    pub const fn hall_addr(&self) -> Option<SocketAddr> {
        self.hall
    }

    /// The key with which anyone can verify the ledger.
    #[must_use]
    pub fn vkey(&self) -> &str {
        self.ledger.vkey()
    }

    /// Ends in order: readiness drops, requests in flight finish within the grace time, the ledger is closed, spans
    /// are sent.
    pub fn shutdown(mut self) {
        self.end.send_replace(StopMode::InOrder);
        self.wait();
    }

    /// Waits until the server has ended, then closes the ledger. Whether it ended without a panic.
    fn wait(&mut self) -> bool {
        // Until pingora hears of the end; an error says that it has ended by itself.
        let _gone = self.told.recv();
        let ended = self.server.take().is_none_or(|server| server.join(TASKS_END + SERVER_END));
        drop(self.registry.take());
        self.watch = None;
        self.decides.close_registry();
        self.decides.close_approvals();
        self.ledger.close();
        // Last, for evidence never waits for a collector, and not at all once the process is told to end at once.
        let patience = if *self.end.borrow() == StopMode::AtOnce { Duration::ZERO } else { TRACES_END };
        if let Some(traces) = self.traces.take() {
            traces.end(patience);
        }
        drop(self.ops.take());
        tracing::info!("ended");
        ended
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.end.send_replace(StopMode::AtOnce);
            self.wait();
        }
    }
}
