//! Looking decisions up: what is found is what a reading of all entries finds, whatever became of the index.

use std::sync::atomic::AtomicI64;

use super::retaining::{clock, keeping, open, prune};
use super::*;
use crate::engine::{Binding, Outcome};
use crate::ledger::read::service::ReadError;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

fn try_look(ledger: &Ledger, query: &DecisionQuery) -> Result<FoundDecisions, ReadError> {
    run(ledger.decisions(query.clone())).map(Option::unwrap)
}

fn look(ledger: &Ledger, query: &DecisionQuery) -> FoundDecisions {
    try_look(ledger, query).unwrap()
}

fn all(filter: DecisionFilter) -> DecisionQuery {
    DecisionQuery { filter, range: DecisionRange::default(), most: usize::MAX, counts: false }
}

fn ids(found: &FoundDecisions) -> Vec<String> {
    found.entries.iter().map(|entry| entry.receipt_id.to_string()).collect()
}

/// The ids of the decisions for which this holds, the newest first, by reading all entries.
fn read(settings: &Settings, holds: impl Fn(&serde_json::Value) -> bool) -> Vec<String> {
    among(&entries(settings), holds)
}

fn among(entries: &[serde_json::Value], holds: impl Fn(&serde_json::Value) -> bool) -> Vec<String> {
    let decisions = entries.iter().filter(|entry| entry["kind"] == "decision" && holds(entry));
    let mut ids: Vec<String> = decisions.map(|entry| entry["receipt_id"].as_str().unwrap().to_owned()).collect();
    ids.reverse();
    ids
}

/// Waits until the index reaches to the beginning, and gives everything that it leads to.
fn whole(ledger: &Ledger) -> FoundDecisions {
    until("the index is whole", || look(ledger, &all(DecisionFilter::default())).complete_since.is_none());
    look(ledger, &all(DecisionFilter::default()))
}

/// Decisions that differ in all that is looked up, outcomes and refusals between them.
fn vary(ledger: &Ledger, rounds: std::ops::Range<usize>) {
    for n in rounds {
        let outcome = Outcome::ALL[n % 3];
        let mut one = decision(["org.acme", "org.globex", "org.\"x\""][n % 3], outcome);
        one.input.capability_id = Arc::from(["cap.a", "cap.b\\\n", "cap.ü", ""][n % 4]);
        one.input.data_label = DataLabel::ALL[n % DataLabel::ALL.len()];
        one.input.env = Env::ALL[n % Env::ALL.len()];
        let verdict = Arc::make_mut(&mut one.verdict);
        verdict.worker_id = (n % 7 > 0).then(|| Arc::from(format!("wrk_{}", n % 5)));
        one.input.worker_id = None;
        if let Some(denial) = &mut verdict.denial {
            denial.code = DenyCode::ALL[n % DenyCode::ALL.len()];
        }
        let receipt = ledger.record_blocking(decided(one)).unwrap();
        if n % 3 == 0 {
            ledger.outcome(&receipt, ended());
            ledger.record_blocking(refusal()).unwrap();
        }
    }
}

/// A hundred filters, each with what it says in the entries' own words.
fn filters() -> Vec<(DecisionFilter, Vec<(&'static str, String)>)> {
    let mut filters = Vec::new();
    for n in 0..128_usize {
        let (mut filter, mut said) = (DecisionFilter::default(), Vec::new());
        if n & 1 > 0 {
            filter.worker = Some(format!("wrk_{}", n % 6));
            said.push(("worker_id", format!("wrk_{}", n % 6)));
        }
        if n & 2 > 0 {
            filter.verdict = Some(Outcome::ALL[n % 3]);
            said.push(("outcome", Outcome::ALL[n % 3].as_str().to_owned()));
        }
        if n & 4 > 0 {
            filter.capability = Some(["cap.a", "cap.b\\\n", "cap.ü", "", "cap.none"][n % 5].to_owned());
            said.push(("capability_id", filter.capability.clone().unwrap()));
        }
        if n & 8 > 0 {
            filter.label = Some(DataLabel::ALL[n % DataLabel::ALL.len()]);
            said.push(("data_label", filter.label.unwrap().as_str().to_owned()));
        }
        if n & 16 > 0 {
            filter.tenant = Some(["org.acme", "org.globex", "org.\"x\""][n % 3].to_owned());
            said.push(("tenant_id", filter.tenant.clone().unwrap()));
        }
        if n & 32 > 0 {
            filter.env = Some(Env::ALL[n % Env::ALL.len()]);
            said.push(("env", filter.env.unwrap().as_str().to_owned()));
        }
        if n & 64 > 0 {
            filter.code = Some(DenyCode::ALL[n % DenyCode::ALL.len()]);
            said.push(("deny_code", filter.code.unwrap().as_str().to_owned()));
        }
        filters.push((filter, said));
    }
    filters
}

/// What is found is what reading finds. Gives how many were found in all.
pub(super) fn agrees(ledger: &Ledger, settings: &Settings) -> usize {
    whole(ledger);
    let entries = entries(settings);
    let mut found = 0;
    for (filter, said) in filters() {
        let wanted = among(&entries, |entry| said.iter().all(|(key, value)| entry[key] == value.as_str()));
        assert!(ids(&look(ledger, &all(filter.clone()))) == wanted, "{filter:?}");
        found += wanted.len();
    }
    found
}

#[test]
fn what_is_found_is_what_a_reading_of_all_entries_finds() {
    let folder = tempfile::tempdir().unwrap();
    // More than a page of marks in a segment, and more than one segment.
    let settings = Settings { segment_bytes: 2 << 20, ..settings(folder.path()) };
    let ledger = Ledger::open(&settings).unwrap();
    assert_eq!(look(&ledger, &all(DecisionFilter::default())).entries.len(), 0);
    vary(&ledger, 0..1500);
    let before = agrees(&ledger, &settings);
    assert!(before > 4000, "{before}");
    vary(&ledger, 1500..3000);
    assert!(agrees(&ledger, &settings) > before, "and of what came since");
    assert!(segment::list(&segments(&settings.path)).unwrap().len() > 1);
    ledger.close();

    // After a start the index goes on where it was, without being made again.
    let marks = || {
        let files = fs::read_dir(layout::decisions(&settings.path)).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        files.into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect::<Vec<_>>()
    };
    let before = marks();
    let ledger = Ledger::open(&settings).unwrap();
    agrees(&ledger, &settings);
    assert!(before == marks() && before.len() > 1, "{}", before.len());
}

#[test]
fn times_bounds_and_counts_hold_page_after_page_while_entries_come() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, clock) = (Settings { segment_bytes: 50_000, ..settings(folder.path()) }, clock());
    let ledger = open(&settings, &clock);
    for n in 0..200 {
        // The clock is set back every now and then: the ledger's times stand still meanwhile.
        clock.fetch_add(if n % 50 == 0 { -5_000_000 } else { 1_000_000 }, Ordering::SeqCst);
        ledger.record_blocking(allowed("org.acme")).unwrap();
    }
    let times: Vec<i64> = whole(&ledger).entries.iter().map(EntrySummary::recorded_at_micros).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older));
    for (since, before) in
        [(times[150], times[20]), (times[150], times[150]), (times[199], times[0] + 1), (0, times[199])]
    {
        let filter = DecisionFilter { since: Some(since), before: Some(before), ..DecisionFilter::default() };
        let wanted = times.iter().filter(|time| **time >= since && **time < before).count();
        assert_eq!(look(&ledger, &all(filter)).entries.len(), wanted, "{since} {before}");
    }

    let everything = ids(&look(&ledger, &all(DecisionFilter::default())));
    let (mut paged, mut range) = (Vec::new(), DecisionRange::default());
    loop {
        let page = look(&ledger, &DecisionQuery { range, most: 7, ..all(DecisionFilter::default()) });
        let Some(last) = page.entries.last() else { break };
        range.before = Some(last.receipt_id);
        paged.extend(ids(&page));
        ledger.record_blocking(allowed("org.acme")).unwrap();
    }
    assert_eq!(paged, everything, "what came meanwhile shifts nothing");

    let after = Some(everything[100].parse().unwrap());
    let range = DecisionRange { after, before: None };
    let newer = look(&ledger, &DecisionQuery { range, most: 5, counts: true, ..all(DecisionFilter::default()) });
    let came = look(&ledger, &all(DecisionFilter::default())).entries.len() - everything.len();
    assert_eq!((newer.entries.len(), newer.more), (5, (100 + came - 5) as u64));
    let newest = newer.entries[0].receipt_id;
    assert_eq!(newer.up_to, Some(newest));
    let range = DecisionRange { after: Some(newest), before: None };
    assert!(look(&ledger, &DecisionQuery { range, counts: true, ..all(DecisionFilter::default()) }).entries.is_empty());
}

#[test]
fn a_reader_sees_what_it_is_bound_to_and_no_claim_to_be_it() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let ledger = Ledger::open(&settings).unwrap();
    vary(&ledger, 0..300);
    ledger.record_blocking(decided(of_unknown_tenant("org.acme"))).unwrap();
    let bound = |binding: Binding| look(&ledger, &all(DecisionFilter { reader: binding, ..DecisionFilter::default() }));
    let tenant = Some("org.acme".parse().unwrap());
    let wanted =
        read(&settings, |entry| entry["tenant_id"] == "org.acme" && entry["deny_code"] != "DENY_UNKNOWN_TENANT");
    assert_eq!(ids(&bound(Binding { tenant: tenant.clone(), ..Binding::default() })), wanted);
    assert!(wanted.len() >= 98, "{}", wanted.len());
    let workers = Some(Arc::new(["wrk_1".parse().unwrap(), "wrk_2".parse().unwrap()].into()));
    let wanted = read(&settings, |entry| entry["worker_id"] == "wrk_1" || entry["worker_id"] == "wrk_2");
    assert_eq!(ids(&bound(Binding { workers, ..Binding::default() })), wanted);
    let envs = Some(Arc::new([Env::Dev, Env::Edge].into()));
    let wanted = read(&settings, |entry| entry["env"] == "dev" || entry["env"] == "edge");
    assert_eq!(ids(&bound(Binding { envs, ..Binding::default() })), wanted);
    let other = DecisionFilter {
        tenant: Some("org.globex".to_owned()),
        reader: Binding { tenant, ..Binding::default() },
        ..DecisionFilter::default()
    };
    assert!(look(&ledger, &all(other)).entries.is_empty());
}

#[test]
fn an_index_that_is_missing_torn_or_of_other_entries_is_made_again_the_newest_first() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { segment_bytes: 50_000, ..settings(folder.path()) };
    let ledger = Ledger::open(&settings).unwrap();
    vary(&ledger, 0..400);
    agrees(&ledger, &settings);
    ledger.close();
    let index = layout::decisions(&settings.path);
    let files = || {
        let mut files: Vec<_> = fs::read_dir(&index).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files
    };
    assert!(files().len() > 5);
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Settings { segment_bytes: 50_000, ..super::settings(elsewhere.path()) };
    let others = Ledger::open(&other).unwrap();
    vary(&others, 0..400);
    whole(&others);
    others.close();
    let damages: [&dyn Fn(); 5] = [
        &|| fs::remove_dir_all(&index).unwrap(),
        &|| files().iter().for_each(|file| fs::write(file, b"hallgate marks 0 of another version").unwrap()),
        &|| {
            for file in files() {
                let bytes = fs::read(&file).unwrap();
                fs::write(file, &bytes[..bytes.len() * 2 / 3]).unwrap();
            }
        },
        &|| {
            // Of equal form, and of other entries: the first segments of both ledgers begin alike.
            for file in fs::read_dir(layout::decisions(&other.path)).unwrap().map(Result::unwrap) {
                fs::copy(file.path(), index.join(file.file_name())).unwrap();
            }
        },
        &|| fs::write(index.join("00000000000000009999.marks"), b"of no segment").unwrap(),
    ];
    for (n, damage) in damages.iter().enumerate() {
        damage();
        let ledger = Ledger::open(&settings).unwrap();
        let found = look(&ledger, &all(DecisionFilter::default()));
        if let Some(since) = found.complete_since {
            // What is not there yet is older than all that is.
            let wanted = read(&settings, |_| true);
            assert!(!found.entries.is_empty() && wanted.starts_with(&ids(&found)), "{n}");
            assert!(found.entries.iter().all(|entry| entry.recorded_at_micros() >= since));
        }
        agrees(&ledger, &settings);
        ledger.close();
        assert!(!index.join("00000000000000009999.marks").exists());
    }

    // A page that rots while it is open is found when it is read, and made again.
    let ledger = Ledger::open(&settings).unwrap();
    agrees(&ledger, &settings);
    let mut bytes = fs::read(&files()[1]).unwrap();
    bytes[72 + 40 + 3] ^= 1;
    fs::write(&files()[1], bytes).unwrap();
    assert!(look(&ledger, &all(DecisionFilter::default())).complete_since.is_some());
    agrees(&ledger, &settings);
}

#[test]
fn what_is_pruned_is_not_looked_up_any_more_and_has_no_index() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, clock): (Settings, Arc<AtomicI64>) = (keeping(folder.path()), clock());
    let ledger = open(&Settings { retention: Retention::default(), ..settings.clone() }, &clock);
    fill(&ledger, 100);
    assert_eq!(whole(&ledger).entries.len(), 200);
    ledger.close();
    let edge = prune(&settings, &clock, 50);
    let ledger = open(&settings, &clock);
    until("all that is left is found", || {
        let found = look(&ledger, &all(DecisionFilter::default()));
        found.complete_since.is_none() && ids(&found) == read(&settings, |_| true)
    });
    until("the index of what is gone is gone", || {
        let firsts = fs::read_dir(layout::decisions(&settings.path)).unwrap();
        firsts.into_iter().all(|file| file.unwrap().file_name().to_str().unwrap()[..20].parse::<u64>().unwrap() >= edge)
    });
}

#[test]
fn a_ledger_that_lost_its_end_is_looked_up_as_it_is_now() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { checkpoint_every: Duration::from_millis(1), ..settings(folder.path()) };
    let ledger = Ledger::open(&settings).unwrap();
    vary(&ledger, 0..1200);
    look(&ledger, &all(DecisionFilter::default()));
    // A copy of before, to which other things happen: its index is of a future that never was.
    let (before, copied) = (folder.path().join("before"), folder.path().join("copy"));
    copy(&settings.path, &before);
    vary(&ledger, 1200..2600);
    look(&ledger, &all(DecisionFilter::default()));
    ledger.close();
    copy(&before, &copied);
    for file in fs::read_dir(layout::decisions(&settings.path)).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), layout::decisions(&copied).join(file.file_name())).unwrap();
    }
    let torn = Settings { path: copied, ..settings };
    let ledger = Ledger::open(&torn).unwrap();
    vary(&ledger, 0..50);
    agrees(&ledger, &torn);
}
