//! Threads of ours: each has a name, and a panic of one is caught, counted, logged, and followed by another try.
//!
//! A thread that ends in silence is a promise that nobody keeps any more: alerts unsent, segments unpruned, a registry unheard.
//! And a thread that cannot end must not keep the process: whoever waits for one says for how long.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::Counter;

/// Panics of all threads of ours in this process.
static PANICS: LazyLock<Counter> = LazyLock::new(Counter::default);

/// What work comes to of which a request may not die; `None` where it panics, which is counted with the panics of threads.
pub fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(work)).ok();
    if done.is_none() {
        PANICS.inc();
    }
    done
}

/// Before work that has panicked is tried again; twice as long after each further panic…
const PAUSE: Duration = Duration::from_millis(100);
/// …up to this…
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// …and from the beginning when it has gone well for so long.
const WELL: Duration = Duration::from_secs(60);

/// How often threads of ours have panicked.
pub(super) fn panics() -> Counter {
    PANICS.clone()
}

/// A thread that works in the background. Dropped, it goes on.
#[derive(Debug)]
pub struct Thread {
    name: &'static str,
    life: Arc<Life>,
}

#[derive(Debug, Default)]
struct Life {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    /// What panics from now on is not tried again.
    last: bool,
    ended: bool,
    panicked: bool,
}

impl Life {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is so, at most for this time. Whether it is.
    fn wait(&self, so: impl Fn(&State) -> bool, patience: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), patience, |state| !so(state));
        so(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Runs work once. Whether it came to its end.
    fn run(&self, name: &'static str, work: impl FnOnce()) -> bool {
        if catch_unwind(AssertUnwindSafe(work)).is_ok() {
            return true;
        }
        PANICS.inc();
        self.lock().panicked = true;
        tracing::error!(thread = name, "a thread has panicked");
        false
    }

    fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }
}

/// Starts work that is begun again where it has panicked, until it returns.
///
/// # Errors
/// There is no thread for it.
pub fn start(name: &'static str, mut work: impl FnMut() + Send + 'static) -> io::Result<Thread> {
    spawn(name, move |life| {
        let (mut pause, mut began) = (PAUSE, None::<Instant>);
        // The pause is in the net, too: what waits to be tried again must not end by that.
        let mut again = move || {
            if let Some(began) = began.take() {
                pause = if began.elapsed() >= WELL { PAUSE } else { pause };
                if life.wait(|state| state.last, pause) {
                    return;
                }
                pause = LONGEST_PAUSE.min(pause * 2);
            }
            began = Some(Instant::now());
            work();
        };
        while !life.run(name, &mut again) {}
    })
}

/// Starts work that cannot be begun again: whoever depends on it must see that it is gone.
///
/// # Errors
/// There is no thread for it.
pub fn start_once(name: &'static str, work: impl FnOnce() + Send + 'static) -> io::Result<Thread> {
    spawn(name, move |life| {
        life.run(name, work);
    })
}

fn spawn(name: &'static str, run: impl FnOnce(&Life) + Send + 'static) -> io::Result<Thread> {
    let life = Arc::new(Life::default());
    let lived = Arc::clone(&life);
    Builder::new().name(name.to_owned()).spawn(move || {
        run(&lived);
        lived.end();
    })?;
    Ok(Thread { name, life })
}

impl Thread {
    /// Waits until the thread has ended, at most for this time; its work must have been told to end. Whether it has, and without
    /// a panic. One that has not is left to itself: the process does not wait for it.
    pub fn join(self, patience: Duration) -> bool {
        self.join_while(patience, || 0)
    }

    /// The same for work that may have much to do: it is waited for while what it has done grows within each such time.
    pub fn join_while(self, patience: Duration, done: impl Fn() -> u64) -> bool {
        self.life.lock().last = true;
        self.life.changed.notify_all();
        let (mut before, mut ended) = (done(), false);
        while !ended {
            ended = self.life.wait(|state| state.ended, patience);
            let now = done();
            if now == std::mem::replace(&mut before, now) {
                break;
            }
        }
        if !ended {
            tracing::error!(thread = self.name, ?patience, "a thread has not ended in time: it is not waited for");
        }
        ended && !self.life.lock().panicked
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    #[test]
    fn work_that_panics_is_begun_again_with_what_it_had_and_counted() {
        let (before, mut runs) = (panics().get(), 0);
        let thread = start("again", move || {
            runs += 1;
            assert!(runs > 2, "twice it goes wrong");
        });
        let thread = thread.unwrap();
        assert!(thread.life.wait(|state| state.ended, SOON));
        assert!(panics().get() >= before + 2);
        assert!(!thread.join(SOON), "it has panicked");
    }

    #[test]
    fn work_that_cannot_be_begun_again_is_not() {
        let (ran, runs) = channel();
        let thread = start_once("once", move || {
            ran.send(()).unwrap();
            panic!("it goes wrong");
        });
        assert!(!thread.unwrap().join(SOON));
        assert_eq!(runs.iter().count(), 1);
    }

    #[test]
    fn who_waits_for_an_end_waits_for_no_pause_and_no_longer_than_said() {
        let (hold, held) = channel::<String>();
        let stuck = start_once("stuck", move || held.into_iter().for_each(drop)).unwrap();
        assert!(!stuck.join(Duration::from_millis(1)), "it has not ended");
        drop(hold);

        let (ran, runs) = channel();
        let panics = start("panics", move || {
            ran.send(()).unwrap();
            panic!("it goes wrong");
        });
        let panics = panics.unwrap();
        // The pauses after six panics come to more than the test may take.
        runs.recv_timeout(SOON).unwrap();
        panics.life.lock().last = true;
        let began = Instant::now();
        assert!(!panics.join(SOON));
        assert!(began.elapsed() < SOON);
    }
}
