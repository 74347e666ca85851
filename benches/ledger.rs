//! What an append costs: the writer thread's own CPU time, with 64 requests in flight, on an empty ledger and on a long one.
//!
//! The clock is the thread's, from the kernel, and not the wall: a busy machine does not blur it. An append is a decision of
//! about a thousand bytes: queued, minted, serialised, chained, written, answered, and added to tree, tiles and index.
#![expect(clippy::expect_used, reason = "a bench may stop at the first surprise")]

#[path = "ledger/appending.rs"]
mod appending;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hallgate::ledger::Ledger;

use appending::{append, record, settings, writer_cpu};

fn bench(criterion: &mut Criterion) {
    // HALLGATE_BENCH_ENTRIES=10000000 for the long one that the README quotes; it takes 10 GB and some minutes.
    let long =
        std::env::var("HALLGATE_BENCH_ENTRIES").map_or(200_000, |text| text.parse().expect("a number of entries"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(folder.path());
    let ledger = Ledger::open(&settings).expect("a ledger");
    let record = record();
    let mut group = criterion.benchmark_group("ledger append, writer's CPU");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    for before in [10_000, long] {
        append(&ledger, &runtime, &record, before - ledger.health().entries.min(before));
        group.bench_function(format!("after {before} entries"), |bencher| {
            bencher.iter_custom(|entries| {
                let before = writer_cpu();
                append(&ledger, &runtime, &record, entries);
                writer_cpu().saturating_sub(before)
            });
        });
    }
    group.finish();
    ledger.close();
}

criterion_group!(benches, bench);
criterion_main!(benches);
