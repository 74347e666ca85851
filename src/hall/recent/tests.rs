//! Rows, counts and days, without a ledger.

use super::*;
use crate::engine::{DenyCode, Outcome};
use crate::ids::Env;

const DAY: i64 = 86_400_000_000;

fn row(number: u128, at_micros: i64, tenant: &str, worker: &str, code: Option<DenyCode>) -> Row {
    Row {
        id: Uuid::from_u128(number),
        at_micros,
        door: None,
        tenant: Some(tenant.into()),
        worker: (!worker.is_empty()).then(|| worker.into()),
        species: None,
        capability: Some("cap.data.read.v1".into()),
        label: None,
        env: Some(Env::Prod),
        outcome: if code.is_some() { Outcome::Deny } else { Outcome::Dispatch },
        code,
        reason: None,
        blast_score: None,
        artifact_hash: None,
        dry_run: false,
    }
}

fn bound(tenant: &str) -> Binding {
    Binding { tenant: Some(tenant.parse().unwrap()), ..Binding::default() }
}

#[test]
fn rows_come_newest_first_from_every_thread_and_are_bounded() {
    let recent = Recent::since(0);
    std::thread::scope(|scope| {
        for thread in 0..8_u128 {
            let recent = &recent;
            scope.spawn(move || (0..100).for_each(|n| recent.note(row(n * 8 + thread, 5, "org.acme", "w", None))));
        }
    });
    let all: Vec<_> = recent.rows(usize::MAX, |_| true).iter().map(|row| row.id.as_u128()).collect();
    assert_eq!(all, (0..800).rev().collect::<Vec<_>>());
    (800..4000).for_each(|n| recent.note(row(n, 5, "org.acme", "w", None)));
    let rows = recent.rows(usize::MAX, |_| true);
    assert_eq!(rows.len(), ROWS);
    let expected: Vec<_> = (0..4000).rev().take(ROWS).map(Uuid::from_u128).collect();
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), expected);
    assert_eq!(recent.rows(3, |_| true).len(), 3);
    assert_eq!(recent.total().decisions, 4000);
}

#[test]
fn a_tenant_sees_its_own_rows_and_no_claim_of_others_to_be_it() {
    let recent = Recent::since(0);
    recent.note(row(1, 5, "org.acme", "a", None));
    recent.note(row(2, 5, "org.globex", "g", None));
    recent.note(row(3, 5, "org.acme", "g", Some(DenyCode::UnknownTenant)));
    let seen = |tenant: &str| -> Vec<u128> {
        recent.rows(10, |row| row.visible_to(&bound(tenant))).iter().map(|row| row.id.as_u128()).collect()
    };
    assert_eq!(seen("org.acme"), [1]);
    assert_eq!(seen("org.globex"), [2]);
    assert_eq!(seen("org.other"), [0; 0]);
    assert_eq!(recent.rows(10, |row| row.visible_to(&Binding::default())).len(), 3);
    let today = recent.today(5);
    assert_eq!(today[&("org.acme".into(), "a".into())].within(None).decisions, 1);
    assert_eq!(today[&("".into(), "g".into())].within(None).denials, 1);
}

#[test]
fn a_new_day_begins_at_midnight_utc_and_probes_are_not_counted() {
    let recent = Recent::since(0);
    recent.note(row(1, DAY - 1, "org.acme", "a", None));
    recent.note(Row { dry_run: true, ..row(2, DAY - 1, "org.acme", "a", None) });
    assert_eq!(recent.today(DAY - 1).values().map(|counts| counts.within(None).decisions).sum::<u64>(), 1);
    assert!(recent.today(DAY).is_empty(), "yesterday's counts are not today's");
    recent.note(row(3, DAY, "org.acme", "a", Some(DenyCode::NoMatchingRule)));
    let today = recent.today(DAY);
    assert_eq!(today.len(), 1);
    let counts = today[&("org.acme".into(), "a".into())].within(None);
    assert_eq!((counts.decisions, counts.dispatches, counts.denials), (1, 0, 1));
    let within = |env| today[&("org.acme".into(), "a".into())].within(Some(&[env].into())).decisions;
    assert_eq!((within(Env::Prod), within(Env::Dev)), (1, 0));
    assert_eq!((recent.total().decisions, recent.rows(10, |_| true).len()), (2, 3));
}

#[test]
fn texts_that_callers_choose_take_no_more_than_their_bytes() {
    let recent = Recent::since(0);
    let long = |n: u128| -> Arc<str> { format!("{n:0500}").into() };
    for n in 0..20_000 {
        let texts = Row {
            reason: Some(long(n)),
            capability: Some(long(n)),
            species: Some(long(n)),
            ..row(n, 5, &long(n), &long(n), None)
        };
        recent.note(texts);
    }
    let shard = recent.shards.iter().map(|shard| lock(shard)).find(|shard| !shard.rows.is_empty()).unwrap();
    let bytes: usize = shard.rows.iter().map(Row::bytes).sum();
    assert!(shard.bytes == bytes && bytes <= BYTES + 4096 && shard.rows.len() > 100, "{bytes} {}", shard.rows.len());
    assert_eq!(shard.rows.back().unwrap().id.as_u128(), 19_999, "the newest is there");
    drop(shard);
    let names: usize = recent.today(5).keys().map(|(tenant, worker)| tenant.len() + worker.len()).sum();
    assert!(names <= 256 << 10, "{names}");
    assert_eq!(recent.total().decisions, 20_000);
}

#[test]
fn names_that_callers_choose_do_not_fill_the_memory() {
    let recent = Recent::since(0);
    for n in 0..20_000 {
        recent.note(row(n, 5, &format!("org.t{n}"), "", None));
    }
    let today = recent.today(5);
    assert!(today.len() <= 4097, "{}", today.len());
    assert_eq!(today.values().map(|counts| counts.within(None).decisions).sum::<u64>(), 20_000);
}
