//! What is published: tiles, partial tiles and bundles at many sizes, entries found by id and time, a checkpoint when asked for.

use tlog_tiles::{Hash, HashReader, record_hash, tree_hash};
use uuid::Uuid;

use super::*;
use crate::engine::Binding;

fn fetch(published: &LogReader, path: &str) -> Option<Vec<u8>> {
    published.fetch(LogResource::parse(path).unwrap_or_else(|| panic!("{path}"))).unwrap()
}

/// The entries of a bundle.
fn unbundled(mut bundle: &[u8]) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk::<2>() {
        let (entry, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        entries.push(entry.to_vec());
        bundle = rest;
    }
    entries
}

/// A ledger of a tenant's decision and so many ends, which nobody waits for: quickly long, and good for all but `verify`.
fn long(settings: &Settings, entries: u64) {
    let ledger = Ledger::open(settings).unwrap();
    let receipt = record(&ledger, allowed("org.acme")).unwrap();
    for _ in 1..entries {
        ledger.outcome(&receipt, ended());
    }
    ledger.close();
}

#[test]
fn tiles_and_bundles_are_those_of_the_entries_and_make_up_the_signed_root() {
    for size in [1_u64, 2, 255, 256, 257, 600, 66_000] {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { segment_bytes: 150_000, ..settings(folder.path()) };
        long(&settings, size);
        let published = LogReader::new(&settings.path);
        let (note, head) = published.checkpoint().unwrap();
        assert_eq!((head.size, fetch(&published, "checkpoint")), (size, Some(note)));

        let name = |prefix: &str, number: u64, count: u64| {
            let stem = match number {
                0..1000 => format!("tile/{prefix}/{number:03}"),
                _ => format!("tile/{prefix}/x{:03}/{:03}", number / 1000, number % 1000),
            };
            if count == 256 { stem } else { format!("{stem}.p/{count}") }
        };
        let mut level: Vec<Hash> = Vec::new();
        for start in (0..size).step_by(256) {
            let count = (size - start).min(256);
            let bundle = fetch(&published, &name("entries", start / 256, count)).unwrap();
            let entries = unbundled(&bundle);
            assert_eq!(entries.len() as u64, count);
            level.extend(entries.iter().map(|entry| record_hash(entry)));
            if count > 1 {
                let part = fetch(&published, &name("entries", start / 256, count - 1)).unwrap();
                assert!(bundle.starts_with(&part) && part.len() < bundle.len());
            }
            assert_eq!(fetch(&published, &name("entries", start / 256, 256)).is_some(), count == 256);
        }
        assert_eq!(tree_hash(size, &Leaves(&level)).unwrap(), head.root, "{size}");
        for depth in 0.. {
            let size = size >> (8 * depth);
            if size == 0 {
                assert_eq!(fetch(&published, &format!("tile/{depth}/000.p/1")), None);
                break;
            }
            for (number, hashes) in level.chunks(256).enumerate() {
                let expected: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
                let number = number as u64;
                let tile = fetch(&published, &name(&depth.to_string(), number, hashes.len() as u64));
                assert_eq!(tile, Some(expected.clone()), "{depth} {number}");
                let part = fetch(&published, &format!("{}.p/1", name(&depth.to_string(), number, 256)));
                assert_eq!(part.as_deref(), expected.get(..32));
                if hashes.len() < 255 {
                    let wider = name(&depth.to_string(), number, hashes.len() as u64 + 1);
                    assert_eq!(fetch(&published, &wider), None, "{wider} is not covered");
                }
            }
            let whole = level.chunks(256).filter(|hashes| hashes.len() == 256);
            level = whole.map(|hashes| tree_hash(256, &Leaves(hashes)).unwrap()).collect();
        }
        assert_eq!(fetch(&published, &name("0", size / 256 + 1, 256)), None);
        assert_eq!(fetch(&published, "tile/63/000"), None);
        assert_eq!(fetch(&published, "tile/entries/x999/x999/999"), None);
    }
}

/// The crate's own reading of a tree of leaves in memory.
struct Leaves<'a>(&'a [Hash]);
impl HashReader for Leaves<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::tlog::Error> {
        let hash = |index: &u64| {
            let (level, n) = tlog_tiles::split_stored_hash_index(*index);
            let start = (n << level) as usize;
            let mut row = self.0[start..start + (1 << level)].to_vec();
            while row.len() > 1 {
                row = row.chunks(2).map(|pair| tlog_tiles::node_hash(pair[0], pair[1])).collect();
            }
            row[0]
        };
        Ok(indexes.iter().map(hash).collect())
    }
}

#[test]
fn what_was_pruned_is_not_there_and_what_is_damaged_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { segment_bytes: 50_000, ..settings(folder.path()) };
    let receipts = filled(&settings, 234);
    let published = LogReader::new(&settings.path);
    let firsts = segment::list(&segments(&settings.path)).unwrap();
    fs::remove_file(segment::path(&segments(&settings.path), firsts[0])).unwrap();
    assert_eq!(fetch(&published, "tile/entries/000"), None);
    assert_eq!(published.find(receipts[0].id()).unwrap(), None);
    assert!(fetch(&published, "tile/entries/002.p/190").is_some());
    assert!(fetch(&published, "tile/0/000").is_some(), "tiles stay");

    fs::write(settings.path.join("tile/0/000"), [0; 100]).unwrap();
    let error = published.fetch(LogResource::parse("tile/0/000").unwrap()).unwrap_err();
    assert!(error.to_string().contains("tile/0/000` has 100 bytes"), "{error}");
    let index = index_file(&settings.path);
    let mut bytes = fs::read(&index).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&index, bytes).unwrap();
    let error = published.fetch(LogResource::parse("tile/entries/002.p/1").unwrap()).unwrap_err();
    assert!(error.to_string().contains("no sound record 2"), "{error}");
}

#[test]
fn an_entry_is_found_by_its_id_also_while_it_is_written_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { segment_bytes: 30_000, ..settings(folder.path()) };
    let ledger = Ledger::open(&settings).unwrap();
    let published = LogReader::new(&settings.path);
    assert_eq!(published.find(Uuid::max()).unwrap(), None);
    let receipts = fill(&ledger, 200);
    for (number, entry) in (0_u64..).zip(entries(&settings)) {
        let id: Uuid = entry["receipt_id"].as_str().unwrap().parse().unwrap();
        let found = published.find(id).unwrap().unwrap();
        assert_eq!((found.number, serde_json::from_slice::<serde_json::Value>(&found.json).unwrap()), (number, entry));
        for other in [id.as_u128() - 1, id.as_u128() + 1] {
            assert_eq!(published.find(Uuid::from_u128(other)).unwrap(), None);
        }
    }
    assert_eq!(Digest::of(&published.find(receipts[0].id()).unwrap().unwrap().json), receipts[0].hash());
    ledger.close();
}

#[test]
fn a_bound_reader_sees_its_own_stream_workers_and_environments() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let ledger = Ledger::open(&settings).unwrap();
    let acme = record(&ledger, allowed("org.acme")).unwrap();
    // A claim to be a tenant is not that tenant's: the refusal is in the hall's own stream.
    let claim = record(&ledger, decided(of_unknown_tenant("org.acme"))).unwrap();
    ledger.close();
    let published = LogReader::new(&settings.path);
    let sees =
        |binding: &Binding| [&acme, &claim].map(|of| published.find(of.id()).unwrap().unwrap().visible_to(binding));
    let tenant = |name: &str| Binding { tenant: Some(name.parse().unwrap()), ..Binding::default() };
    assert_eq!(sees(&Binding::default()), [true, true]);
    assert_eq!(sees(&tenant("org.acme")), [true, false]);
    assert_eq!(sees(&tenant("org.globex")), [false, false]);
    let worker =
        |id: &str| Binding { workers: Some(Arc::new(BTreeSet::from([id.parse().unwrap()]))), ..Binding::default() };
    assert_eq!(sees(&worker("wrk_make_acme_prod")), [true, true]);
    assert_eq!(sees(&worker("wrk_other")), [false, false]);
    let env = Binding { envs: Some(Arc::new(BTreeSet::from([Env::Dev]))), ..Binding::default() };
    assert_eq!(sees(&env), [false, false]);
}

#[test]
fn a_proof_of_a_new_entry_has_the_next_checkpoint_signed_at_once_for_all_who_wait() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let ledger = Ledger::open(&settings).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        for _ in 0..3 {
            let mut receipts = Vec::new();
            for _ in 0..20 {
                receipts.push(ledger.record(allowed("org.acme")).await.unwrap());
            }
            let before = ledger.reader().signed().unwrap();
            let waiting: Vec<_> = receipts
                .into_iter()
                .map(|receipt| {
                    let ledger = ledger.clone();
                    tokio::spawn(async move {
                        let found = ledger.find(receipt.id()).await.unwrap().unwrap();
                        ledger.prove(found).await.unwrap()
                    })
                })
                .collect();
            let mut notes = BTreeSet::new();
            for proof in waiting {
                let proof = serde_json::to_value(proof.await.unwrap()).unwrap();
                notes.insert(proof["checkpoint"].as_str().unwrap().to_owned());
            }
            // Its own interval is an hour; and whoever waits while one is signed needs the one after it at most.
            assert!(ledger.reader().signed().unwrap() > before && notes.len() <= 2, "{notes:?}");
        }
    });
    ledger.close();
    check(&settings).unwrap();
}

#[test]
fn the_newest_and_the_entries_of_a_time_tenant_and_verdict_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { segment_bytes: 30_000, ..settings(folder.path()) };
    let ledger = Ledger::open(&settings).unwrap();
    fill(&ledger, 150);
    let middle = fill(&ledger, 1)[0].recorded_at_micros();
    fill(&ledger, 150);
    ledger.close();
    let published = LogReader::new(&settings.path);
    let all = entries(&settings);
    for count in [0, 1, 10, 300, 2000] {
        let mut newest = published.newest(count).unwrap();
        let mut found = Vec::new();
        while let Some((_, json)) = newest.next().unwrap() {
            found.push(serde_json::from_slice::<serde_json::Value>(json).unwrap());
        }
        assert_eq!(found, all[all.len() - all.len().min(count as usize)..]);
    }
    let select = |filter: &Filter| {
        let mut found = Vec::new();
        let mut entries = published.filtered(filter).unwrap();
        while let Some((_, json)) = entries.next().unwrap() {
            match filter.apply(json).unwrap() {
                Filtered::Kept => found.push(serde_json::from_slice::<serde_json::Value>(json).unwrap()),
                Filtered::Skipped => {}
                Filtered::Done => break,
            }
        }
        found
    };
    let time = |entry: &serde_json::Value| ids::micros(entry["receipt_id"].as_str().unwrap().parse().unwrap());
    let expect =
        |keep: &dyn Fn(&serde_json::Value) -> bool| all.iter().filter(|entry| keep(entry)).cloned().collect::<Vec<_>>();
    let filter = Filter::default;
    assert_eq!(select(&filter()), all);
    let since = Filter { since: Some(middle), ..filter() };
    assert_eq!(select(&since), expect(&|entry| time(entry) >= middle));
    let until = Filter { until: Some(middle), ..filter() };
    assert_eq!(select(&until), expect(&|entry| time(entry) < middle));
    let tenant = Filter { tenant: Some("org.globex".to_owned()), since: Some(middle), ..filter() };
    assert_eq!(select(&tenant), expect(&|entry| time(entry) >= middle && entry["stream"] == "org.globex"));
    let denied = Filter { policy_decision: Some("DENY"), ..filter() };
    assert_eq!(select(&denied), expect(&|entry| entry["policy_decision"] == "DENY"));
    let capability = Filter { capability: Some("cap.data.write.v1".to_owned()), ..filter() };
    assert_eq!(select(&capability).len(), 301);
    assert_eq!(select(&Filter { since: Some(i64::MAX), ..filter() }), [] as [serde_json::Value; 0]);
}

#[test]
fn a_reading_to_the_end_tells_damage_from_the_torn_end_of_a_write() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { segment_bytes: 4000, ..settings(folder.path()) };
    filled(&settings, 20);
    let reader = LogReader::new(&settings.path);
    let read = || {
        let mut entries = reader.entries()?;
        let mut count = 0;
        while entries.next()?.is_some() {
            count += 1;
        }
        entries.ends().map(|()| count)
    };
    assert_eq!(read().unwrap(), 60);
    let folder = segments(&settings.path);
    let firsts = segment::list(&folder).unwrap();
    let [first, second, .., last] = *firsts.as_slice() else { panic!("{firsts:?}") };
    let [first, second, last] = [first, second, last].map(|first| segment::path(&folder, first));
    let with = |path: &Path, change: &dyn Fn(&mut Vec<u8>)| {
        let whole = fs::read(path).unwrap();
        let mut bytes = whole.clone();
        change(&mut bytes);
        fs::write(path, &bytes).unwrap();
        let found = read();
        fs::write(path, whole).unwrap();
        found
    };
    let problem = |found: std::io::Result<u64>| found.unwrap_err().to_string();
    assert_eq!(with(&last, &|bytes| bytes.truncate(bytes.len() - 1)).unwrap(), 59);
    assert_eq!(with(&last, &|bytes| bytes.extend([0; 5000])).unwrap(), 60);
    for path in [&first, &second] {
        let cut = problem(with(path, &|bytes| bytes.truncate(bytes.len() - 1)));
        assert!(cut.contains("has a damaged frame at byte") && cut.contains(path.to_str().unwrap()), "{cut}");
    }
    assert!(problem(with(&last, &|bytes| bytes[segment::HEADER + 20] ^= 1)).contains("damaged frame at byte 32"));
    assert!(problem(with(&second, &|bytes| bytes[0] ^= 1)).contains("damaged header"));
    fs::remove_file(&second).unwrap();
    assert!(problem(read()).contains("is missing"));
}
