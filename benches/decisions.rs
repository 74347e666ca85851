//! What it costs to look decisions up: the index of each entry, and the time of a search, over a million entries and more.
//!
//! `HALLGATE_BENCH_ENTRIES=10000000 cargo bench --bench decisions` is the long run; it takes 10 GB. A million is the default.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench may stop at the first surprise, and prints its figures"
)]

#[path = "ledger/appending.rs"]
#[expect(dead_code, reason = "other benches use the rest of it")]
mod appending;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use hallgate::engine::{Denial, DenyCode, Outcome};
use hallgate::ids::{DataLabel, Env};
use hallgate::ledger::{DecisionFilter, DecisionQuery, DecisionRange, Ledger, Record};
use tokio::runtime::Runtime;

use appending::{append, cpu_of, record, settings};

/// How often each search is made.
const SEARCHES: usize = 200;
/// Entries that are followed while they are written.
const FOLLOWED: u64 = 100_000;
/// Records that differ.
const VARIETY: usize = 5000;

/// CPU time of all threads of this process that are there.
fn all_cpu() -> Duration {
    let threads = fs::read_dir("/proc/self/task").expect("the benchmark runs on Linux");
    threads.flatten().filter_map(|task| cpu_of(&task.path())).sum()
}

/// CPU time of the thread that follows.
fn follower_cpu() -> Duration {
    let threads = fs::read_dir("/proc/self/task").expect("the benchmark runs on Linux").flatten();
    let is_it = |task: &Path| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "ledger-follow");
    threads.map(|task| task.path()).filter(|task| is_it(task)).filter_map(|task| cpu_of(&task)).sum()
}

/// A decision that differs from its neighbours in all that is looked up.
fn nth(n: usize) -> Record {
    let mut record = record();
    if let Record::Decision { decision, .. } = &mut record {
        let decision = Arc::make_mut(decision);
        let worker: Arc<str> = Arc::from(format!("wrk_{}", n % 1000));
        decision.input.worker_id = Some(Arc::clone(&worker));
        decision.input.tenant_id = Arc::from(format!("org.t{}", n % 10));
        decision.input.capability_id = Arc::from(format!("cap.data.c{}.v1", n % 20));
        decision.input.data_label = DataLabel::ALL[n % DataLabel::ALL.len()];
        decision.input.env = Env::ALL[n % Env::ALL.len()];
        let verdict = Arc::make_mut(&mut decision.verdict);
        verdict.worker_id = Some(worker);
        if n.is_multiple_of(4) {
            let code = if n.is_multiple_of(1000) { DenyCode::WorkerTampered } else { DenyCode::NoMatchingRule };
            let message = format!("no rule matches `cap.data.c{}.v1` in prod", n % 20);
            verdict.outcome = Outcome::Deny;
            verdict.denial = Some(Denial { code, message, extras: std::collections::BTreeMap::new() });
        }
    }
    record
}

fn query(filter: DecisionFilter) -> DecisionQuery {
    DecisionQuery { filter, range: DecisionRange::default(), most: 51, counts: false }
}

/// Waits until all that there is can be looked up.
fn whole(ledger: &Ledger, runtime: &Runtime) {
    loop {
        let found = runtime.block_on(ledger.decisions(DecisionQuery { most: 0, ..query(DecisionFilter::default()) }));
        if found.expect("it is read").expect("an index").complete_since.is_none() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn main() {
    let entries = std::env::var("HALLGATE_BENCH_ENTRIES").map_or(1_000_000, |text| text.parse().expect("a number"));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let settings = settings(folder.path());
    let ledger = Ledger::open(&settings).expect("a ledger");
    let needle = |n: usize, name: &str| {
        let mut record = nth(n);
        if let Record::Decision { decision, .. } = &mut record {
            Arc::make_mut(&mut Arc::make_mut(decision).verdict).worker_id = Some(Arc::from(name));
        }
        record
    };
    append(&ledger, &runtime, &needle(1, "wrk_oldest"), 1);
    let records: Vec<Record> = (0..VARIETY).map(nth).collect();
    let share = entries / VARIETY as u64;
    for record in &records {
        append(&ledger, &runtime, record, share);
    }
    whole(&ledger, &runtime);
    let followed = follower_cpu();
    for n in 0..100 {
        append(&ledger, &runtime, &nth(n * 7), FOLLOWED / 100);
    }
    thread::sleep(Duration::from_secs(3));
    let followed = (follower_cpu() - followed).as_secs_f64() * 1e6 / FOLLOWED as f64;
    let held = ledger.health().entries;
    ledger.close();
    drop(ledger);

    let index = settings.path.join("decisions");
    let bytes = |folder: &Path| -> u64 {
        fs::read_dir(folder)
            .expect("a folder")
            .map(|file| file.expect("a file").metadata().expect("a file").len())
            .sum()
    };
    let size = bytes(&index) as f64 / held as f64;
    fs::remove_dir_all(&index).expect("the index is there");
    let ledger = Ledger::open(&settings).expect("a ledger");
    thread::sleep(Duration::from_millis(300));
    let (cpu, began) = (all_cpu(), Instant::now());
    whole(&ledger, &runtime);
    let (cpu, took) = ((all_cpu() - cpu).as_secs_f64() * 1e6 / held as f64, began.elapsed());
    println!("{held} entries, each a decision: {size:.1} bytes of the index for an entry");
    println!(
        "CPU for an entry: {followed:.2} µs while they are written, {cpu:.2} µs when it is made again, which took {took:.1?}"
    );

    let none = DecisionFilter::default;
    let times = |n: u64| {
        let newest = DecisionQuery { most: usize::try_from(n).expect("a number"), ..query(none()) };
        let found = runtime.block_on(ledger.decisions(newest)).expect("it is read").expect("an index");
        found.entries.last().map(|entry| (entry.recorded_at_micros(), entry.receipt_id)).expect("an entry")
    };
    let (hundredth, deep) = (times(10_000).0, times(100_000).1);
    let searches: Vec<(&str, DecisionQuery)> = vec![
        ("the newest", query(none())),
        ("one worker of a thousand", query(DecisionFilter { worker: Some("wrk_7".to_owned()), ..none() })),
        ("a code of one in a thousand", query(DecisionFilter { code: Some(DenyCode::WorkerTampered), ..none() })),
        (
            "a verdict and a label",
            query(DecisionFilter { verdict: Some(Outcome::Deny), label: Some(DataLabel::Restricted), ..none() }),
        ),
        (
            "a tenant, a capability and an environment",
            query(DecisionFilter {
                tenant: Some("org.t3".to_owned()),
                capability: Some("cap.data.c13.v1".to_owned()),
                env: Some(Env::Prod),
                ..none()
            }),
        ),
        ("a worker that never was", query(DecisionFilter { worker: Some("wrk_nobody".to_owned()), ..none() })),
        (
            "words that never met",
            query(DecisionFilter { tenant: Some("org.t1".to_owned()), worker: Some("wrk_2".to_owned()), ..none() }),
        ),
        ("the oldest of all", query(DecisionFilter { worker: Some("wrk_oldest".to_owned()), ..none() })),
        (
            "nothing in the newest ten thousand",
            query(DecisionFilter { worker: Some("wrk_nobody".to_owned()), since: Some(hundredth), ..none() }),
        ),
        ("before all that is", query(DecisionFilter { before: Some(1), ..none() })),
        (
            "a page behind a hundred thousand",
            DecisionQuery { range: DecisionRange { before: Some(deep), after: None }, ..query(none()) },
        ),
        ("a page of 200", DecisionQuery { most: 201, ..query(none()) }),
        ("5,000 lines", DecisionQuery { most: 5001, ..query(none()) }),
    ];
    println!("{:44} {:>8} {:>8} {:>8}", "", "found", "p50 ms", "p95 ms");
    for (name, query) in searches {
        let (mut took, mut found) = (Vec::new(), 0);
        for _ in 0..SEARCHES {
            let began = Instant::now();
            found =
                runtime.block_on(ledger.decisions(query.clone())).expect("it is read").expect("an index").entries.len();
            took.push(began.elapsed().as_secs_f64() * 1e3);
        }
        took.sort_by(f64::total_cmp);
        println!("{name:44} {found:>8} {:8.2} {:8.2}", took[SEARCHES / 2], took[SEARCHES * 95 / 100]);
    }
}
