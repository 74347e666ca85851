//! Reload: when a file of the policy, the tokens or the certificates changes, what is on disk is loaded and put in force, whole or not at all.
//!
//! Files are looked at by their identity (device, inode, size and times of what a name leads to), twice a second. Notifications of
//! the kernel would be sooner but are not to be relied on: a watch follows an inode, and Kubernetes swaps the symlink above it;
//! network, overlay and 9p file systems give none; a queue may overflow. Looking works everywhere, and costs a stat a file. SIGHUP
//! has the files loaded at once.
//!
//! A change is loaded once it looks the same twice, so a file that is being written is not; and a load counts only when
//! everything looks the same before and after it, so no two states are mixed. What is refused is said once.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use super::warnings;
use crate::approvals::CallbackKey;
use crate::config::{Config, Files, Fixed, Problems, Warning};
use crate::documents::{self, FileState};
use crate::hall::{ActivationError, Changed, Hall, TokenBook};
use crate::lint;
use crate::telemetry::threads::{self, Thread};

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Two changes within this time may leave the same times on a file: what is so young is loaded once more when it is older.
const YOUNG: Duration = Duration::from_secs(2);
/// How often a load is tried again at once because files changed meanwhile.
const TRIES: usize = 8;
/// How long its end is waited for: it may be loading.
const END: Duration = Duration::from_secs(3);
/// How many problems of a refused change are logged one by one.
const LOGGED: usize = 20;

/// Watches the files of a configuration. Dropped, it stops.
#[derive(Debug)]
pub struct Reloader {
    told: Option<Sender<()>>,
    thread: Option<Thread>,
}

impl Reloader {
    /// Watches the files that this configuration came from. `fixed` is what of it cannot change.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn start(file: PathBuf, files: Files, fixed: Fixed, hall: Arc<Hall>) -> std::io::Result<Self> {
        let (told, tells) = channel();
        // What changed since the configuration was read is seen as a change: nothing is known of the files yet. So what there is to
        // warn of is found by the first look, and no caller waits for it.
        let mut watch = Watch {
            file,
            files,
            fixed,
            hall,
            taken: None,
            seen: None,
            again_at: None,
            said: String::new(),
            warned: Vec::new(),
            loading: false,
        };
        let thread = threads::start("reload", move || watch.run(&tells))?;
        Ok(Self { told: Some(told), thread: Some(thread) })
    }

    /// Has the files loaded at once, as SIGHUP does.
    pub fn now(&self) {
        if let Some(told) = &self.told {
            let _gone_with_the_thread = told.send(());
        }
    }
}

impl Drop for Reloader {
    fn drop(&mut self) {
        self.told = None;
        if let Some(thread) = self.thread.take() {
            thread.join(END);
        }
    }
}

struct Watch {
    file: PathBuf,
    files: Files,
    fixed: Fixed,
    hall: Arc<Hall>,
    /// How everything looked when it was last loaded.
    taken: Option<Looks>,
    /// How it looked last, if that is something else.
    seen: Option<Looks>,
    /// When to load again because a file was too young.
    again_at: Option<Instant>,
    /// What was last said of a refused change, or of sections that need a start.
    said: String,
    /// What was last said of what is in force.
    warned: Vec<Warning>,
    /// Whether it is loading; also when that has panicked.
    loading: bool,
}

impl Watch {
    fn run(&mut self, tells: &Receiver<()>) {
        if std::mem::take(&mut self.loading) {
            // A mistake of ours must not end reloading, nor go on for ever over the same files.
            self.hall.refuse_change(&["loading has panicked; the log says where".to_owned()]);
            self.taken = Some(Looks::of(&self.files));
        }
        loop {
            let told = match tells.recv_timeout(LOOK) {
                Ok(()) => true,
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            while tells.try_recv().is_ok() {}
            self.loading = true;
            if told {
                self.load(true);
            } else {
                self.look();
            }
            self.loading = false;
        }
    }

    /// Looks whether anything has changed and come to rest.
    fn look(&mut self) {
        let looks = Looks::of(&self.files);
        if self.taken.as_ref() == Some(&looks) {
            self.seen = None;
            if self.again_at.is_some_and(|at| at <= Instant::now()) {
                self.load(false);
            }
        } else if self.seen.as_ref() == Some(&looks) {
            self.load(false);
        } else {
            self.seen = Some(looks);
        }
    }

    /// Loads what is there. When files change under it, it is tried again: at once if somebody waits, else at the next look.
    fn load(&mut self, told: bool) {
        self.seen = None;
        for _ in 0..if told { TRIES } else { 2 } {
            let now = SystemTime::now();
            let before = Looks::of(&self.files);
            let (loaded, files) = Config::load_from(&self.file, &crate::cli::environment);
            let same_files = files == self.files;
            self.files = files;
            // Files that were not looked at before may have changed while they were read.
            if !same_files || Looks::of(&self.files) != before {
                continue;
            }
            self.again_at = before.is_young(now).then(|| Instant::now() + YOUNG);
            self.taken = Some(before);
            match loaded {
                Ok(config) => self.activate(config, told),
                Err(problems) => self.refuse(&problems, told),
            }
            return;
        }
        if told {
            tracing::warn!("the files change while they are read: they are loaded when they have come to rest");
        }
    }

    fn activate(&mut self, config: Config, told: bool) {
        let read = Fixed::of(&config);
        let sections = self.fixed.differences(&read).join(", ");
        if !sections.is_empty() && sections != self.said {
            tracing::warn!(%sections, "sections have changed that count from the next start on only");
        }
        let refused = self.hall.readiness().refused_change;
        let mended = refused.is_some();
        self.said = sections;
        // What is said once need not be said again.
        let warnings = lint::of_config(&config);
        if warnings != self.warned {
            warnings::log(&warnings);
            self.warned = warnings;
        }
        let Config { snapshot, roster, tokens, approvals, .. } = config;
        let key = approvals.and_then(|approvals| approvals.callbacks).map(|callbacks| callbacks.key);
        let (rules, workers, fingerprint) = (snapshot.rules.len(), snapshot.workers.len(), snapshot.fingerprint);
        if !told && !mended && self.hall.holds(&snapshot, &roster, &tokens) {
            self.take_secrets(&read, key.as_ref());
            return;
        }
        let Changed { snapshot, tokens, shadow } = match self.hall.activate((snapshot, roster), TokenBook::new(tokens))
        {
            Ok(changed) => changed,
            Err(error) => {
                let why = match &error {
                    ActivationError::Record(error) => format!("the change cannot be recorded: {error}"),
                    ActivationError::Registry(error) => error.clone(),
                };
                if refused.is_none_or(|refused| refused.first != why) {
                    tracing::error!(%error, "a change of files is not in force: it is tried again");
                }
                self.hall.refuse_change(&[why]);
                self.again_at = Some(Instant::now() + YOUNG);
                return;
            }
        };
        // All of the change or nothing: what could go wrong has gone well.
        self.take_secrets(&read, key.as_ref());
        let snapshot = snapshot.is_some();
        match (snapshot, tokens) {
            (false, false) if shadow => {
                tracing::info!("reloaded: another shadow is asked from the next request on, or none")
            }
            (false, false) => tracing::info!(snapshot = %fingerprint, mended, "reloaded: nothing in force changes"),
            _ => tracing::info!(
                snapshot = %fingerprint, rules, workers, snapshot_changed = snapshot, tokens_changed = tokens, shadow_changed = shadow,
                "reloaded: in force from the next request on"
            ),
        }
    }

    /// Puts what proves us in force: certificates, and the key that callbacks are signed with.
    fn take_secrets(&self, read: &Fixed, callbacks: Option<&CallbackKey>) {
        if callbacks.is_some_and(|key| self.hall.sign_callbacks_with(key)) {
            tracing::info!("the secret of callbacks has changed: they are signed with it from the next attempt on");
        }
        if self.fixed.take_certificates(read) {
            tracing::info!("certificates have changed: they count from the next handshake on, and connections stay");
        }
    }

    fn refuse(&mut self, problems: &Problems, told: bool) {
        let said = problems.to_string();
        if said == self.said && !told {
            return;
        }
        let list = problems.list();
        self.hall.refuse_change(&list.iter().map(ToString::to_string).collect::<Vec<_>>());
        let in_force = self.hall.snapshot().fingerprint;
        tracing::error!(problems = list.len(), %in_force, "a change of files is refused: what was in force stays in force");
        for problem in list.iter().take(LOGGED) {
            tracing::error!(%problem, "refused");
        }
        self.said = said;
    }
}

/// How files look from the outside, what names lead to included.
#[derive(Debug, PartialEq, Eq)]
struct Looks(Vec<(PathBuf, Option<FileState>)>);

impl Looks {
    /// Of these files, and of what is in those that are folders.
    fn of(files: &BTreeSet<PathBuf>) -> Self {
        let mut looks = Vec::new();
        for file in files {
            looks.push((file.clone(), look(file)));
            looks.extend(documents::below(file).into_iter().map(|path| {
                let found = look(&path);
                (path, found)
            }));
        }
        Self(looks)
    }

    /// Whether any of them changed so short a time ago that another change might not be seen.
    fn is_young(&self, now: SystemTime) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed());
        let limit = YOUNG.as_secs().cast_signed();
        let ages = self.0.iter().filter_map(|(_, look)| Some(now.saturating_sub(look.as_ref()?.changed.0)));
        // A file from the future, by another machine's clock, is not young for ever.
        ages.into_iter().any(|age| (-limit..=limit).contains(&age))
    }
}

/// Symlinks are followed. `None`: nothing is there, or nothing that may be seen.
fn look(path: &Path) -> Option<FileState> {
    let found = fs::metadata(path).ok()?;
    let state = FileState::of(&found);
    // A folder's own size and times change with its names, which are looked at one by one.
    let of_folder = FileState { size: 0, modified: (0, 0), changed: (0, 0), ..state };
    Some(if found.is_dir() { of_folder } else { state })
}
