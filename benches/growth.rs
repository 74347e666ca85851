//! What growth costs: an append, a start, a verification and the files, after ten thousand entries and after many more.
//!
//! `HALLGATE_BENCH_ENTRIES=10000000 cargo bench --bench growth` is the long run that the README quotes; it takes 10 GB and some
//! minutes. A million is the default, and the most that is verified.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench may stop at the first surprise, and prints its figures"
)]

#[path = "ledger/appending.rs"]
mod appending;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use hallgate::ledger::{Ledger, verify};

use appending::{append, record, settings, writer_cpu};

/// Entries over which an append is measured.
const MEASURED: u64 = 100_000;
/// The most entries that are verified.
const VERIFIED: u64 = 1_000_000;

/// Bytes of all files below a folder.
fn bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| if entry.path().is_dir() { bytes(&entry.path()) } else { entry.metadata().expect("a file").len() })
        .sum()
}

fn main() {
    let most =
        std::env::var("HALLGATE_BENCH_ENTRIES").map_or(VERIFIED, |text| text.parse().expect("a number of entries"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let settings = settings(folder.path());
    let record = record();
    for entries in [10_000, VERIFIED, most] {
        let ledger = Ledger::open(&settings).expect("a ledger");
        let before = ledger.health().entries;
        if entries < before || entries > most {
            continue;
        }
        let measured = MEASURED.min(entries);
        append(&ledger, &runtime, &record, (entries - before).saturating_sub(measured));
        let (cpu, began, from) = (writer_cpu(), Instant::now(), ledger.health().entries);
        append(&ledger, &runtime, &record, measured);
        let (cpu, took) = (writer_cpu().saturating_sub(cpu), began.elapsed());
        let entries = ledger.health().entries;
        ledger.close();
        let each = |time: Duration| time.as_secs_f64() * 1e6 / (entries - from) as f64;
        println!(
            "{entries} entries: an append takes {:.2} us of the writer's CPU, {:.2} us in all",
            each(cpu),
            each(took)
        );

        let starts = (0..5).map(|_| {
            let began = Instant::now();
            let ledger = Ledger::open(&settings).expect("a ledger");
            let took = began.elapsed();
            ledger.close();
            took
        });
        let starts: Vec<Duration> = starts.collect();
        println!("{entries} entries: starts take {starts:.1?}");

        let of = |name: &str| bytes(&settings.path.join(name)) as f64 / entries as f64;
        let index = fs::metadata(settings.path.join("index")).expect("an index").len() as f64 / entries as f64;
        let (segments, tiles) = (of("segments"), of("tile"));
        println!(
            "{entries} entries: {segments:.0} bytes each, and for ever {tiles:.2} of tiles and {index:.2} of index"
        );
        if entries <= VERIFIED + MEASURED {
            let vkey = ledger.vkey().to_owned();
            let began = Instant::now();
            let report = verify::verify(&settings.path, &vkey).expect("it holds");
            println!("{} entries: verified in {:.2?}", report.entries, began.elapsed());
        }
    }
}
