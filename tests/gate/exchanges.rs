//! One request in is one request out: random exchanges at every listener, through the gate, to upstreams that parse every byte.
//! What they count is what the ledger permitted, one to one, and each caller gets the answer to its own request.
//!
//! `HALLGATE_EXCHANGES_SECONDS` has it go on for as long (`make fuzz`), and `HALLGATE_EXCHANGES_SEED` draws what was drawn before.

#[path = "exchanges/caller.rs"]
mod caller;
#[path = "exchanges/plan.rs"]
mod plan;
#[path = "exchanges/strict.rs"]
mod strict;
#[path = "exchanges/upstream.rs"]
mod upstream;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::doors::Doors;
use crate::fixture::{self, Fixture, at, fixed};
use crate::random::Random;
use plan::{Abilities, Fate, Leaves, Plan};

/// How long random exchanges are made, unless it is said otherwise; and the longest round, since all of its ledger is read.
const ROUND: Duration = Duration::from_secs(30);
/// Callers at a time over each version of HTTP.
const CALLERS: u64 = 4;
/// How many faults are told.
const TOLD: usize = 8;

/// What callers planned, and what they and the upstream saw of it.
struct Book {
    http1_upstream: bool,
    next: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Exchanges that the ledger must have permitted, and those that it may have permitted.
    answered: HashSet<u64>,
    left: HashSet<u64>,
    /// Exchanges that must not have come to the upstream.
    kept_off: HashSet<u64>,
    /// What came to the upstream: the exchange by its decision.
    forwarded: HashMap<String, u64>,
    faults: Vec<String>,
}

impl Book {
    fn new(http1_upstream: bool) -> Arc<Self> {
        Arc::new(Self { http1_upstream, next: AtomicU64::new(1), kept: Mutex::default() })
    }

    const fn http1_upstream(&self) -> bool {
        self.http1_upstream
    }

    /// Plans one exchange.
    fn plan(&self, can: Abilities, random: &mut Random) -> Plan {
        let plan = Plan::draw(self.next.fetch_add(1, Ordering::Relaxed), can, random);
        let mut kept = self.kept.lock().unwrap();
        if plan.fate != Fate::Forwarded {
            kept.kept_off.insert(plan.number);
        } else if plan.leaves != Leaves::Never {
            kept.left.insert(plan.number);
        }
        plan
    }

    /// A caller got what was planned.
    fn answered(&self, plan: &Plan) {
        if plan.fate == Fate::Forwarded && matches!(plan.leaves, Leaves::Never | Leaves::InTheAnswer) {
            self.kept.lock().unwrap().answered.insert(plan.number);
        }
    }

    /// A caller sent it behind a request with which the gate ended the connection.
    fn unanswered(&self, plan: &Plan) {
        self.kept.lock().unwrap().kept_off.insert(plan.number);
    }

    /// It came to the upstream.
    fn forwarded(&self, plan: &Plan, decision: &str, correlation: &str) -> Result<(), String> {
        if correlation != plan::correlation(plan.number) {
            return Err(format!("{plan:?} came as {correlation}"));
        }
        match self.kept.lock().unwrap().forwarded.insert(decision.to_owned(), plan.number) {
            None => Ok(()),
            Some(other) if other == plan.number && plan.may_be_sent_again() => Ok(()),
            Some(other) => Err(format!("{plan:?} came by the decision of exchange {other}")),
        }
    }

    /// Something is not as it must be.
    fn fault(&self, fault: String) {
        self.kept.lock().unwrap().faults.push(fault);
    }

    fn has_faults(&self) -> bool {
        !self.kept.lock().unwrap().faults.is_empty()
    }

    /// Holds all of it against the ledger.
    async fn hold(&self, fixture: &Fixture) -> usize {
        fixture.metric("hallgate_exchanges_in_flight 0").await;
        fixture.metric("hallgate_ledger_queue_depth 0").await;
        let deadline = Instant::now() + Duration::from_secs(20);
        let permitted = loop {
            let (mut permitted, mut ended) = (HashMap::new(), HashMap::new());
            for entry in fixture.entries() {
                let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
                match &*text("kind") {
                    "decision" if entry["outcome"] == "DISPATCH" => {
                        let number = text("correlation_id").trim_start_matches("exchange-").parse::<u64>().unwrap();
                        permitted.insert(text("receipt_id"), number);
                    }
                    "outcome" => {
                        ended.insert(text("decision_id"), (entry["status"].as_u64(), text("ending")));
                    }
                    _ => {}
                }
            }
            if ended.len() == permitted.len() {
                break permitted.into_iter().map(move |(decision, number)| {
                    let end = ended.remove(&decision);
                    (decision, (number, end.unwrap_or_default()))
                });
            }
            assert!(Instant::now() < deadline, "{} were permitted, {} have ended", permitted.len(), ended.len());
        };
        let permitted: HashMap<_, _> = permitted.collect();
        let mut kept = self.kept.lock().unwrap();
        let Kept { answered, left, kept_off, forwarded, faults } = &mut *kept;
        for (decision, number) in &*forwarded {
            if permitted.get(decision).is_none_or(|(permitted, _)| permitted != number) {
                faults
                    .push(format!("exchange {number} came to the upstream by {decision}, which permits no such thing"));
            }
            if kept_off.contains(number) {
                faults.push(format!("exchange {number} came to the upstream, but must not have"));
            }
        }
        for (decision, (number, (status, ending))) in &permitted {
            if !forwarded.contains_key(decision) {
                if !left.contains(number) {
                    faults.push(format!(
                        "exchange {number} was permitted by {decision}, but did not come to the upstream"
                    ));
                }
                // Who left before it was sent on is seen to have.
                if status.is_some() || !matches!(&**ending, "client_gone" | "aborted") {
                    faults.push(format!("exchange {number} never came, and ended as {ending}, {status:?}"));
                }
            } else if answered.contains(number) && (ending.is_empty() || (status.is_none() && ending == "complete")) {
                faults.push(format!("exchange {number} was answered, and ended as {ending}, {status:?}"));
            }
        }
        let numbers: HashSet<u64> = permitted.values().map(|(number, _)| *number).collect();
        faults.extend(answered.difference(&numbers).map(|number| format!("exchange {number} has no entry")));
        if numbers.len() != permitted.len() {
            faults.push("an exchange was permitted more than once".to_owned());
        }
        permitted.len()
    }
}

/// Makes random exchanges for a while, with a gate and a ledger of their own.
async fn round(over_tls: bool, http1_upstream: bool, spell: Duration, seed: u64) -> String {
    let book = Book::new(http1_upstream);
    let mut to = at(upstream::start(&book, http1_upstream).await);
    to.h2 = !http1_upstream;
    let doors = Arc::new(Doors::open(fixture::settings(fixed(), to), over_tls).await);
    let end = Instant::now() + spell;
    let callers: Vec<_> = (0..2 * CALLERS)
        .map(|caller| {
            let (doors, book, mut random) = (Arc::clone(&doors), Arc::clone(&book), Random::new(seed + caller));
            tokio::spawn(async move {
                while Instant::now() < end && !book.has_faults() {
                    if caller < CALLERS {
                        caller::over_http1(&doors, &book, &mut random).await;
                    } else {
                        caller::over_http2(&doors, &book, &mut random).await;
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let permitted = book.hold(&doors.fixture).await;
    let kept = book.kept.lock().unwrap();
    let planned = book.next.load(Ordering::Relaxed) - 1;
    assert!(kept.faults.is_empty(), "seed {seed}: {}", kept.faults[..kept.faults.len().min(TOLD)].join("\n\n"));
    assert!(permitted > 0, "nothing was tried");
    format!(
        "TLS: {over_tls}, HTTP/1.1 upstream: {http1_upstream}, seed {seed}: {planned} exchanges, {permitted} permitted"
    )
}

/// In clear text, over TLS, and to an upstream that speaks HTTP/2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_in_is_one_request_out() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let time = number("HALLGATE_EXCHANGES_SECONDS").map_or(ROUND, Duration::from_secs);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut seed = number("HALLGATE_EXCHANGES_SEED").unwrap_or_else(|| u64::from(now.subsec_nanos()));
    let began = Instant::now();
    while let Some(left) = time.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
        let spell = left.min(ROUND);
        let rounds = tokio::join!(
            round(false, true, spell, seed),
            round(true, true, spell, seed + 2 * CALLERS),
            round(true, false, spell, seed + 4 * CALLERS),
        );
        println!("{rounds:#?}");
        seed += 6 * CALLERS;
    }
}
