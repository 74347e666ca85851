//! Who is let in: of a flood hardly an entry, and under load the urgent before the rest.

use std::sync::Arc;

use super::*;
use crate::engine::input::tests::plain;
use crate::engine::{DenyCode, RouteInput};
use crate::hall::Ruled;
use crate::hall::tests::ledger_in;
use crate::hall::{Ask, Caller, CannotDecide, Recorded};
use crate::ledger::Ledger;

#[test]
fn a_wait_is_at_least_a_second_and_never_too_short() {
    for (wait, says) in [(0, 1), (1, 1), (999, 1), (1000, 1), (1001, 2), (59_001, 60)] {
        assert_eq!(seconds(Duration::from_millis(wait)), says, "{wait} ms");
    }
}

#[test]
fn of_a_flood_one_entry_a_second_is_kept() {
    let rate = Rate::new(NonZeroU32::MIN, Duration::from_secs(3600), NonZeroU32::MIN);
    let rates = Rates::new(DoorLimits { per_token: Some(rate), per_tenant: Some(rate), in_flight: None });
    let (make, n8n) = ("make".parse().unwrap(), "n8n".parse().unwrap());
    assert_eq!(rates.admit(Some(&make), None), Ok(()));
    let noted: Vec<bool> = (0..50).map(|_| rates.admit(Some(&make), None).unwrap_err().noted).collect();
    assert!(noted[0] && noted.iter().filter(|noted| **noted).count() <= 2, "{noted:?}");
    // A tenant's rate counts for all of its tokens, and for requests without one.
    assert_eq!(rates.admit(Some(&n8n), Some("org.acme")), Ok(()));
    let over = rates.admit(None, Some("org.acme")).unwrap_err();
    assert!(over.noted && over.message.contains("tenant `org.acme`") && over.seconds() > 3000, "{over:?}");
    assert_eq!(rates.admit(None, Some("org.other")), Ok(()));
    // Nobody's requests are nobody's: the engine denies them.
    assert_eq!(rates.admit(None, Some("")), Ok(()));
    assert_eq!(rates.admit(None, Some("")), Ok(()));
}

#[test]
fn whom_the_tenants_rate_refuses_is_not_charged_to_the_token() {
    let rate = |burst| Rate::new(NonZeroU32::MIN, Duration::from_secs(3600), NonZeroU32::new(burst).unwrap());
    let rates = Rates::new(DoorLimits { per_token: Some(rate(3)), per_tenant: Some(rate(1)), in_flight: None });
    let make = "make".parse().unwrap();
    assert_eq!(rates.admit(Some(&make), Some("org.acme")), Ok(()));
    for _ in 0..50 {
        assert!(rates.admit(Some(&make), Some("org.acme")).unwrap_err().message.contains("tenant"));
    }
    for tenant in ["org.b", "org.c"] {
        assert_eq!(rates.admit(Some(&make), Some(tenant)), Ok(()), "{tenant}");
    }
    assert!(rates.admit(Some(&make), Some("org.d")).unwrap_err().message.contains("token"));
}

#[test]
fn the_last_places_in_the_queue_are_kept_for_what_is_most_urgent() {
    assert!(RESERVED > gives_way_from(QosClass::P1) as usize && RESERVED < 100);
}

fn ask(qos_class: QosClass) -> Ask {
    let input = RouteInput { qos_class, ..plain() };
    Ask { caller: Caller::default(), input, door: Door::Api, raw_body: None, observed_until: None }
}

fn code(recorded: &Recorded) -> Option<DenyCode> {
    recorded.decision().verdict.denial.as_ref().map(|denial| denial.code)
}

#[tokio::test]
async fn when_the_ledger_is_behind_the_least_urgent_gives_way_first_and_the_last_places_are_kept_for_p0() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, writes, release) = Ledger::open_held(&ledger_in(folder.path(), 20));
    let hall = crate::hall::tests::over(ledger.clone());
    let begin = |class| {
        let hall = Arc::clone(&hall);
        tokio::spawn(async move { hall.rule(ask(class)).await.map(Ruled::recorded) })
    };
    let patience = std::time::Instant::now() + Duration::from_secs(60);
    let crowded = async |so: &dyn Fn() -> bool| {
        while !so() {
            assert!(std::time::Instant::now() < patience, "it does not become so: {} %", ledger.crowding());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    // The writer is in the write of the first; all others wait.
    let mut urgent = vec![begin(QosClass::P0)];
    crowded(&|| writes() && ledger.crowding() == 0).await;
    let mut shed = Vec::new();
    for percent in (0..100).step_by(5) {
        let gives_way = |class| hall.place(Door::Api, &"org.acme".into(), class).is_err();
        let now = [QosClass::P0, QosClass::P1, QosClass::P2, QosClass::P3].map(gives_way);
        assert_eq!(now, [false, percent >= 85, percent >= 70, percent >= 50], "{percent} %");
        let kept = hall.room_for(None).is_err();
        assert_eq!(kept, percent >= 90, "{percent} %");
        if kept {
            let refused = hall.rule(ask(QosClass::P1)).await.map(|_| ());
            assert_eq!(refused, Err(CannotDecide::Record(RecordError::QueueFull)));
        }
        // One of those that give way, for its entry; else one that does not.
        if percent == 50 {
            shed.push(begin(QosClass::P3))
        } else {
            urgent.push(begin(QosClass::P0))
        }
        crowded(&|| ledger.crowding() == percent + 5).await;
    }
    let refused = hall.rule(ask(QosClass::P0)).await.map(|_| ());
    assert_eq!(refused, Err(CannotDecide::Record(RecordError::QueueFull)), "there is no place left");
    release();
    for decided in urgent {
        assert_eq!(code(&decided.await.unwrap().unwrap()), Some(DenyCode::NoMatchingRule));
    }
    for decided in shed {
        let recorded = decided.await.unwrap().unwrap();
        assert_eq!(code(&recorded), Some(DenyCode::Overloaded));
        assert!(recorded.permit().is_err());
    }
    assert_eq!(ledger.health().entries, 21, "each has its entry");
    assert!(
        hall.rule(ask(QosClass::P3))
            .await
            .is_ok_and(|decided| code(&decided.recorded()) == Some(DenyCode::NoMatchingRule))
    );
}

#[tokio::test]
async fn who_waits_for_an_entry_has_a_place_already() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _, release) = Ledger::open_held(&ledger_in(folder.path(), 64));
    let four = NonZeroU32::new(4).unwrap();
    let gate =
        DoorLimits { in_flight: Some(InFlightLimits { in_all: four, per_tenant: four }), ..DoorLimits::default() };
    let hall =
        Arc::into_inner(crate::hall::tests::over(ledger)).unwrap().limited(Settings { gate, ..Settings::default() });
    // None of them has its entry when the last one asks. That the policy is only observed makes no place.
    let observed = || Ask { observed_until: Some(i64::MAX), door: Door::Gate, ..ask(QosClass::P0) };
    let asks = (0..10).map(|_| hall.rule(observed()));
    let ruled = futures_util::future::join_all(asks);
    let mut ruled = std::pin::pin!(ruled);
    assert!(futures_util::poll!(ruled.as_mut()).is_pending());
    release();
    let ruled: Vec<Recorded> = ruled.await.into_iter().map(|ruled| ruled.unwrap().recorded()).collect();
    let shed = ruled.iter().filter(|recorded| code(recorded) == Some(DenyCode::Overloaded));
    assert_eq!(shed.count(), 6);
    let passed = ruled.iter().filter(|recorded| code(recorded).is_none());
    assert_eq!(passed.count(), 4);
}
