//! The checker at a running hall: the whole ledger recomputed on a thread of its own, one time at once; what came of the last is kept.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::now_micros;
use crate::hall::Hall;
use crate::ledger::verify::{VerifyError, is_key, verify};
use crate::telemetry::threads;

/// The last check, and the one under way.
#[derive(Debug, Default, Clone)]
pub struct LedgerCheck(Arc<Mutex<CheckState>>);

/// How a check stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckState {
    /// When it was begun, in microseconds since 1970 UTC; `None`: none was since this process began.
    pub began_micros: Option<i64>,
    /// When it ended.
    pub ended_micros: Option<i64>,
    /// Under which key.
    pub key: String,
    /// What came of it, and in words.
    pub found: CheckFinding,
    /// In words.
    pub words: String,
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckFinding {
    /// None was made.
    Never,
    /// It is under way.
    Running,
    /// Everything holds.
    Sound,
    /// Something does not.
    Broken,
    /// Something cannot be read.
    Unreadable,
}

impl CheckFinding {
    /// In a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Running => "running",
            Self::Sound => "sound",
            Self::Broken => "broken",
            Self::Unreadable => "unreadable",
        }
    }
}

impl Default for CheckState {
    fn default() -> Self {
        Self {
            began_micros: None,
            ended_micros: None,
            key: String::new(),
            found: CheckFinding::Never,
            words: String::new(),
        }
    }
}

impl LedgerCheck {
    /// How it stands.
    #[must_use]
    pub fn state(&self) -> CheckState {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, CheckState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hall {
    /// How the last check of the ledger stands.
    #[must_use]
    pub fn ledger_check(&self) -> CheckState {
        self.ledger_check.state()
    }

    /// Begins a check of the whole ledger, under this verifier key or its own; one that is under way goes on. How it stands.
    ///
    /// # Errors
    /// The key is none: why. There is no thread: then that is what came of it.
    pub fn check_ledger(&self, key: Option<&str>) -> Result<CheckState, String> {
        let key = key.unwrap_or_else(|| self.ledger.vkey()).trim().to_owned();
        is_key(&key)?;
        let mut state = self.ledger_check.lock();
        if state.found == CheckFinding::Running {
            return Ok(state.clone());
        }
        *state = CheckState {
            began_micros: Some(now_micros()),
            key: key.clone(),
            found: CheckFinding::Running,
            ..CheckState::default()
        };
        let (check, folder) = (self.ledger_check.clone(), self.ledger.reader().folder().to_owned());
        let work = move || {
            // Whatever happens to this thread, nobody is told that it runs when it does not.
            let ended = Ended(check);
            let (found, words) = match verify(&folder, &key) {
                Ok(report) => (CheckFinding::Sound, report.to_string()),
                Err(error @ VerifyError::Broken(_)) => (CheckFinding::Broken, error.to_string()),
                Err(error @ VerifyError::Unreadable { .. }) => (CheckFinding::Unreadable, error.to_string()),
            };
            if found != CheckFinding::Sound {
                tracing::error!(found = found.as_str(), %words, "the ledger was checked");
            }
            let mut state = ended.0.lock();
            (state.found, state.words) = (found, words);
        };
        if let Err(error) = threads::start_once("ledger-check", work) {
            (state.found, state.words) = (CheckFinding::Unreadable, format!("there is no thread for it: {error}"));
            state.ended_micros = Some(now_micros());
        }
        Ok(state.clone())
    }
}

/// Says that a check is over.
struct Ended(LedgerCheck);

impl Drop for Ended {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if state.found == CheckFinding::Running {
            (state.found, state.words) = (CheckFinding::Unreadable, "the check failed inside".to_owned());
        }
        state.ended_micros = Some(now_micros());
    }
}
