//! A courier: a thread of its own that delivers letters to others, tries each again for a while, and never holds anybody up.

use std::io;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::telemetry::threads::{self, Thread};

/// Letters of a kind, and how each is delivered.
pub(super) trait Letters: Send + 'static {
    /// A letter.
    type Letter: Send + 'static;
    /// Before each further attempt.
    const PAUSES: &[Duration];
    /// The most letters that are under way at once.
    const AT_ONCE: usize;

    /// One attempt.
    async fn once(&self, letter: &Self::Letter) -> Result<(), NotDelivered>;

    /// No further attempt is made: whether it is delivered, or why not.
    fn ended(&self, letter: Self::Letter, result: Result<(), NotDelivered>);
}

/// Why an attempt failed. Neither says anything of the address, which may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotDelivered {
    /// Another attempt may not; and how long its receiver wants to be left alone until then.
    ForNow(String, Duration),
    /// Every other would, too.
    ForGood(String),
    /// It may not go there at all.
    Refused(String),
}

/// Delivers letters until it is dropped; what waits then is not delivered.
#[derive(Debug)]
pub(super) struct Courier<L> {
    waiting: Sender<L>,
    thread: Thread,
}

impl<L: Send + 'static> Courier<L> {
    /// Starts the thread. So many letters may wait for it.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(super) fn start<A>(name: &'static str, waiting: usize, letters: A) -> io::Result<Self>
    where
        A: Letters<Letter = L>,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (waiting, mut coming) = channel(waiting);
        let thread = threads::start(name, move || runtime.block_on(run(&letters, &mut coming)))?;
        Ok(Self { waiting, thread })
    }

    /// Hands a letter over. Never waits: where too many wait it is not taken, and that is said.
    pub(super) fn hand_over(&self, letter: L) -> bool {
        self.waiting.try_send(letter).is_ok()
    }

    /// Ends the thread, which drops what it has; waits so long for that.
    pub(super) fn end(self, patience: Duration) {
        drop(self.waiting);
        self.thread.join(patience);
    }
}

async fn run<A: Letters>(letters: &A, coming: &mut Receiver<A::Letter>) {
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            // Told to end, it does not begin another attempt.
            biased;
            letter = coming.recv(), if under_way.len() < A::AT_ONCE => match letter {
                Some(letter) => under_way.push(deliver(letters, letter)),
                None => return,
            },
            Some(()) = under_way.next(), if !under_way.is_empty() => {}
        }
    }
}

async fn deliver<A: Letters>(letters: &A, letter: A::Letter) {
    let mut pauses = A::PAUSES.iter();
    let result = loop {
        match letters.once(&letter).await {
            Err(NotDelivered::ForNow(why, after)) => match pauses.next() {
                Some(pause) => tokio::time::sleep(after.max(*pause)).await,
                None => break Err(NotDelivered::ForNow(why, after)),
            },
            ended => break ended,
        }
    };
    letters.ended(letter, result);
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::mpsc;
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// Letters that are taken at the attempt of this number; 0: never, and it is no use to try.
    struct Tried {
        attempts: Mutex<HashMap<u32, u32>>,
        ends: mpsc::Sender<(u32, u32, bool)>,
    }

    impl Letters for Tried {
        type Letter = (u32, u32);
        const PAUSES: &[Duration] = &[Duration::from_millis(1); 3];
        const AT_ONCE: usize = 2;

        async fn once(&self, (id, at): &(u32, u32)) -> Result<(), NotDelivered> {
            let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
            let attempt = attempts.entry(*id).or_default();
            *attempt += 1;
            match at {
                0 => Err(NotDelivered::ForGood("never".to_owned())),
                at if at == attempt => Ok(()),
                _ => Err(NotDelivered::ForNow("not yet".to_owned(), Duration::ZERO)),
            }
        }

        fn ended(&self, (id, _): (u32, u32), result: Result<(), NotDelivered>) {
            let attempts = self.attempts.lock().unwrap()[&id];
            self.ends.send((id, attempts, result.is_ok())).unwrap();
        }
    }

    #[test]
    fn a_letter_is_tried_again_for_a_while_and_no_longer() {
        let (ends, ended) = mpsc::channel();
        let courier = Courier::start("courier-test", 8, Tried { attempts: Mutex::default(), ends }).unwrap();
        for letter in [(1, 1), (2, 3), (3, 4), (4, 5), (5, 0)] {
            assert!(courier.hand_over(letter));
        }
        let mut all: Vec<_> = (0..5).map(|_| ended.recv_timeout(Duration::from_secs(60)).unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, [(1, 1, true), (2, 3, true), (3, 4, true), (4, 4, false), (5, 1, false)]);
        courier.end(Duration::from_secs(60));
        assert!(ended.recv().is_err(), "the thread has ended");
    }
}
