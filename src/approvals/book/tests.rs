//! The rules of approvals, without a policy, a ledger or a store.

use std::collections::{BTreeMap, BTreeSet};

use super::super::approval::{Approver, Vote};
use super::super::resolving::{Action, Resolution};
use super::super::{UnboundHeaders, WaitingLimits};
use super::*;
use crate::engine::Binding;
use crate::ids::{DataLabel, Env, SupervisorLevel};

const TTL: Duration = Duration::from_secs(900);

fn settings() -> Settings {
    Settings {
        store: "none".into(),
        ttl: TTL,
        quorum: BTreeMap::new(),
        blast: None,
        most: 8,
        most_for_one: 4,
        most_a_minute: 100,
        no_contents_from: None,
        unbound_headers: UnboundHeaders::default(),
        waiting: WaitingLimits { most: 1, most_for_one: 1, bytes: 1 },
        callbacks: None,
    }
}

/// So many seconds after the beginning.
fn at(seconds: u64) -> BothClocks {
    static BEGAN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let micros = i64::try_from(seconds).unwrap() * 1_000_000;
    BothClocks { micros: 1_700_000_000_000_000 + micros, steady: *BEGAN + Duration::from_secs(seconds) }
}

fn asked(what: &str) -> HeldAsk {
    HeldAsk {
        digest: Digest::of(what.as_bytes()),
        basis: Digest::of(b"basis"),
        level: SupervisorLevel::Gatekeeper,
        tenant: "org.acme".into(),
        worker: Some("wrk_writer".into()),
        capability: "cap.data.write.v1".into(),
        env: Env::Prod,
        label: DataLabel::Confidential,
        door: "gate".to_owned(),
        rule: "write".into(),
        policies: Vec::new(),
        blast_score: None,
        reason: "because".to_owned(),
        correlation_id: "c".to_owned(),
    }
}

fn asker(owner: &str) -> Asker {
    Asker { token: Some(owner.parse().unwrap()), owner: Some(owner.into()) }
}

fn approver(owner: &str) -> Approver {
    Approver {
        token: owner.parse().unwrap(),
        owner: owner.into(),
        levels: BTreeSet::from([SupervisorLevel::Gatekeeper]),
        max_label: DataLabel::Restricted,
        binding: Binding::default(),
    }
}

fn entry(n: u8) -> Digest {
    Digest::of(&[n])
}

/// Opens what is asked: its id.
fn opened(book: &Arc<Book>, what: &str, now: BothClocks) -> Uuid {
    match book.enter(&asked(what), &asker("ann"), now, None) {
        Entered::New(opening) => {
            let id = opening.approval().id;
            opening.opened();
            id
        }
        other => panic!("{other:?}"),
    }
}

fn done(
    book: &Arc<Book>,
    id: Uuid,
    by: &str,
    resolution: Resolution,
    now: BothClocks,
) -> Result<Approval, NotResolved> {
    book.prepare(id, &approver(by), &resolution, None, |_, _| true, now).map(|step| step.take(entry(1)))
}

fn approve() -> Resolution {
    Resolution::Approve(None)
}

#[test]
fn what_was_agreed_to_is_claimed_once_and_the_next_asks_anew() {
    let book = Book::new(settings(), Vec::new(), 0, at(0));
    let id = opened(&book, "x", at(0));
    assert!(matches!(book.enter(&asked("x"), &asker("ann"), at(1), None), Entered::Pending(found) if found.id == id));
    assert_eq!(done(&book, id, "bea", approve(), at(2)).unwrap().state, State::Approved { entry: entry(1) });
    let Entered::Granted(claim) = book.enter(&asked("x"), &asker("ann"), at(3), None) else { panic!() };
    assert_eq!((claim.entry(), &*claim.by()), (entry(1), &["bea".parse().unwrap()][..]));
    // While it is being spent, an equal one asks anew, and what it waited for before is gone.
    assert!(matches!(book.enter(&asked("x"), &asker("ann"), at(3), Some(id)), Entered::Over(_)));
    let other = opened(&book, "x", at(3));
    assert_ne!(other, id);
    claim.spent();
    assert_eq!(book.find(id).unwrap().state, State::Spent);
    assert!(
        matches!(book.enter(&asked("x"), &asker("ann"), at(4), None), Entered::Pending(found) if found.id == other)
    );
}

#[test]
fn a_claim_that_is_dropped_is_spent_and_one_that_is_released_is_not() {
    let book = Book::new(settings(), Vec::new(), 0, at(0));
    for (released, becomes) in [(true, State::Approved { entry: entry(1) }), (false, State::Spent)] {
        let what = if released { "a" } else { "b" };
        let id = opened(&book, what, at(0));
        done(&book, id, "bea", approve(), at(0)).unwrap();
        let Entered::Granted(claim) = book.enter(&asked(what), &asker("ann"), at(1), None) else { panic!() };
        if released {
            claim.release()
        } else {
            drop(claim)
        }
        assert_eq!(book.find(id).unwrap().state, becomes);
        let again = book.enter(&asked(what), &asker("ann"), at(1), None);
        assert_eq!(matches!(again, Entered::Granted(_)), released, "{again:?}");
    }
}

#[test]
fn an_opening_that_is_not_kept_was_never_there() {
    let book = Book::new(settings(), Vec::new(), 0, at(0));
    let Entered::New(opening) = book.enter(&asked("x"), &asker("ann"), at(0), None) else { panic!() };
    let id = opening.approval().id;
    // Whoever asks the same meanwhile waits for the same.
    assert!(matches!(book.enter(&asked("x"), &asker("ann"), at(0), None), Entered::Pending(_)));
    assert!(matches!(book.prepare(id, &approver("bea"), &approve(), None, |_, _| true, at(0)), Err(NotResolved::Busy)));
    assert!(book.open().is_empty(), "nobody is asked yet");
    drop(opening);
    assert_eq!((book.find(id), book.pending().0), (None, 0));
    assert!(matches!(book.enter(&asked("x"), &asker("ann"), at(0), None), Entered::New(_)));
}

#[test]
fn what_comes_to_nothing_is_there_again_though_the_same_was_asked_for_meanwhile() {
    for (meanwhile, found) in [(None, true), (Some(approve()), true), (Some(Resolution::Deny(None)), false)] {
        let book = Book::new(settings(), Vec::new(), 0, at(0));
        let first = opened(&book, "x", at(0));
        done(&book, first, "bea", approve(), at(0)).unwrap();
        let Entered::Granted(claim) = book.enter(&asked("x"), &asker("ann"), at(1), None) else { panic!() };
        let second = opened(&book, "x", at(1));
        if let Some(resolution) = meanwhile.clone() {
            done(&book, second, "bea", resolution, at(1)).unwrap();
        }
        claim.release();
        let claim = match book.enter(&asked("x"), &asker("ann"), at(2), None) {
            Entered::Granted(claim) => claim,
            Entered::Refused(no) => {
                assert_eq!((no.id, found), (second, false), "one no is enough");
                continue;
            }
            other => panic!("{other:?}"),
        };
        assert!(found && (meanwhile.is_some() || claim.approval().id == first), "what was agreed to goes first");
        claim.spent();
        // And what was asked for meanwhile is found behind it.
        match (meanwhile, book.enter(&asked("x"), &asker("ann"), at(3), None)) {
            (None, Entered::Pending(left)) => assert_eq!(left.id, second),
            (Some(_), Entered::Granted(claim)) => claim.spent(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn votes_are_judged_by_what_their_credentials_may_when_the_next_one_comes() {
    let mut settings = settings();
    settings.quorum = [(SupervisorLevel::Gatekeeper, 2)].into();
    let book = Book::new(settings, Vec::new(), 0, at(0));
    let id = opened(&book, "x", at(0));
    done(&book, id, "bea", approve(), at(0)).unwrap();
    let as_now = |now: Option<Approver>| {
        let stands = move |asked: &Approval, vote: &Vote| now.as_ref().is_some_and(|by| asked.could_be_given(vote, by));
        book.prepare(id, &approver("cyd"), &approve(), None, stands, at(1)).unwrap()
    };
    let bea = || approver("bea");
    let other_tenant = Binding { tenant: Some("org.other".parse().unwrap()), ..Binding::default() };
    for now in [
        None,
        Some(Approver { owner: "ann".into(), ..bea() }),
        Some(Approver { owner: "bob".into(), ..bea() }),
        Some(Approver { levels: [SupervisorLevel::Executor].into(), ..bea() }),
        Some(Approver { max_label: DataLabel::Internal, ..bea() }),
        Some(Approver { binding: other_tenant, ..bea() }),
    ] {
        let step = as_now(now.clone());
        assert_eq!((step.action, step.agreed().len()), (Action::Vote, 1), "{now:?}");
    }
    let step = as_now(Some(bea()));
    assert_eq!((step.action, step.agreed().len()), (Action::Approve, 2));
    drop(step);
    // Without hers it is one vote, and she may agree anew.
    let voted = as_now(None).take(entry(2));
    assert_eq!((&voted.state, voted.votes.len()), (&State::Pending, 1));
    let agreed = done(&book, id, "bea", approve(), at(2)).unwrap();
    assert_eq!(agreed.votes.iter().map(|vote| vote.token.as_str()).collect::<Vec<_>>(), ["cyd", "bea"]);
}

#[test]
fn a_clock_that_was_set_back_before_a_restart_extends_nothing() {
    let book = Book::new(settings(), Vec::new(), 0, at(0));
    let id = opened(&book, "x", at(0));
    done(&book, id, "bea", approve(), at(300)).unwrap();
    let kept = book.unkept().0;
    // The newest entry is of five minutes later than the approval, and the wall clock of an hour before it.
    let back = |seconds: u64| BothClocks { micros: at(0).micros - 3_600_000_000, ..at(seconds) };
    let book = Book::new(settings(), kept, at(300).micros, back(3600));
    let Entered::Granted(claim) = book.enter(&asked("x"), &asker("ann"), back(4199), None) else { panic!() };
    claim.release();
    assert!(
        matches!(book.enter(&asked("x"), &asker("ann"), back(4200), None), Entered::New(_)),
        "the ten minutes that were left"
    );
    // And what is asked for now has its time, though the clock is behind.
    assert_eq!(opened(&book, "y", back(4200)), opened_again(&book, "y", back(5099)));
    assert!(matches!(book.enter(&asked("y"), &asker("ann"), back(5100), None), Entered::New(_)));
}

/// The id under which the same is asked for already.
fn opened_again(book: &Arc<Book>, what: &str, now: BothClocks) -> Uuid {
    match book.enter(&asked(what), &asker("ann"), now, None) {
        Entered::Pending(approval) => approval.id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_those_about_the_same_the_newest_counts_after_a_restart() {
    let book = Book::new(settings(), Vec::new(), 0, at(0));
    let old = opened(&book, "x", at(0));
    done(&book, old, "bea", Resolution::Deny(None), at(1)).unwrap();
    let new = opened(&book, "x", at(901));
    let mut kept = book.unkept().0;
    for _ in 0..2 {
        kept.reverse();
        let book = Book::new(settings(), kept.clone(), 0, at(902));
        assert!(
            matches!(book.enter(&asked("x"), &asker("ann"), at(902), None), Entered::Pending(found) if found.id == new)
        );
    }
    let book = Book::new(settings(), kept, 0, at(902));
    book.forget(new);
    assert_eq!((book.find(new), book.unkept().1), (None, vec![new]));
}

#[test]
fn a_no_is_remembered_until_it_would_have_expired() {
    let book = Book::new(settings(), Vec::new(), 0, at(0));
    let id = opened(&book, "x", at(0));
    let other = done(&book, id, "bea", Resolution::Deny(Some(Digest::of(b"not what was looked at"))), at(1));
    assert!(matches!(other, Err(NotResolved::Cannot(_))));
    done(&book, id, "bea", Resolution::Deny(Some(asked("x").digest)), at(1)).unwrap();
    assert!(matches!(book.enter(&asked("x"), &asker("ann"), at(899), None), Entered::Refused(found) if found.id == id));
    assert!(matches!(book.enter(&asked("x"), &asker("ann"), at(900), None), Entered::New(_)));
}

#[test]
fn it_is_over_by_either_clock_and_by_the_newest_entry() {
    for (now, saw) in [
        (at(900), 0),
        (BothClocks { steady: at(900).steady, ..at(0) }, 0),
        (BothClocks { micros: at(900).micros, ..at(0) }, 0),
        (at(1), at(900).micros),
    ] {
        let book = Book::new(settings(), Vec::new(), 0, at(0));
        let id = opened(&book, "x", at(0));
        done(&book, id, "bea", approve(), at(0)).unwrap();
        book.saw(saw);
        // Before anybody has said so.
        assert!(matches!(book.enter(&asked("x"), &asker("ann"), now, None), Entered::New(_)), "{now:?}");
        assert_eq!(done(&book, id, "bea", Resolution::Withdraw, now), Err(NotResolved::Expired));
        let steps = book.expire(now);
        assert_eq!(steps.iter().map(|step| step.approval.id).collect::<Vec<_>>(), [id]);
        for step in steps {
            step.take(entry(2));
        }
        assert_eq!(book.find(id).unwrap().state, State::Expired);
        assert_eq!(done(&book, id, "bea", approve(), now), Err(NotResolved::Expired));
    }
}

#[test]
fn what_rests_on_something_else_by_now_is_void() {
    for agreed in [false, true] {
        let book = Book::new(settings(), Vec::new(), 0, at(0));
        let id = opened(&book, "x", at(0));
        if agreed {
            done(&book, id, "bea", approve(), at(0)).unwrap();
        }
        let changed = HeldAsk { basis: Digest::of(b"another"), ..asked("x") };
        let Entered::Stale(step) = book.enter(&changed, &asker("ann"), at(1), None) else { panic!() };
        // Nothing else happens to it meanwhile, and without an entry nothing has.
        assert!(matches!(book.enter(&changed, &asker("ann"), at(1), None), Entered::Busy));
        drop(step);
        let Entered::Stale(step) = book.enter(&changed, &asker("ann"), at(1), None) else { panic!() };
        assert_eq!(step.action, Action::Void);
        assert_eq!(step.take(entry(2)).state, State::Void);
        assert!(matches!(book.enter(&changed, &asker("ann"), at(1), None), Entered::New(_)));
        assert_eq!(book.find(id).unwrap().state, State::Void);
    }
}

#[test]
fn who_may_decide() {
    let book = Book::new(settings(), Vec::new(), 0, at(0));
    let id = opened(&book, "x", at(0));
    let tried =
        |by: Approver, resolution| book.prepare(id, &by, &resolution, None, |_, _| true, at(1)).map(|step| step.action);
    let may_not = |found: Result<Action, NotResolved>| matches!(found, Err(NotResolved::MayNot(_)));
    assert!(may_not(tried(approver("ann"), approve())), "who asks");
    assert!(may_not(tried(approver("ann"), Resolution::Deny(None))));
    let other = || approver("bea");
    assert!(may_not(tried(Approver { max_label: DataLabel::Internal, ..other() }, approve())));
    let above = Approver { levels: [SupervisorLevel::IncidentCommander].into(), ..other() };
    assert!(may_not(tried(above.clone(), approve())), "levels are named one by one");
    assert_eq!(tried(above, Resolution::Escalate(None)), Ok(Action::Escalate(SupervisorLevel::IncidentCommander)));
    let elsewhere =
        Approver { binding: Binding { tenant: Some("org.other".parse().unwrap()), ..Binding::default() }, ..other() };
    assert_eq!(tried(elsewhere, approve()), Err(NotResolved::Unknown), "as if it were not there");
    assert_eq!(tried(other(), approve()), Ok(Action::Approve));
    let seen = |digest| tried(other(), Resolution::Approve(Some(digest)));
    assert_eq!(seen(asked("x").digest), Ok(Action::Approve));
    assert!(matches!(seen(asked("y").digest), Err(NotResolved::Cannot(_))), "what was looked at is something else");
    assert!(matches!(tried(other(), Resolution::Done), Err(NotResolved::Cannot(_))));
    assert!(matches!(tried(other(), Resolution::Withdraw), Err(NotResolved::Cannot(_))));
    assert!(matches!(
        tried(other(), Resolution::Escalate(Some(SupervisorLevel::Gatekeeper))),
        Err(NotResolved::Cannot(_))
    ));
    done(&book, id, "bea", Resolution::Deny(None), at(1)).unwrap();
    assert_eq!(tried(other(), approve()), Err(NotResolved::Resolved("denied")));
}

#[test]
fn what_a_human_does_is_not_run() {
    let book = Book::new(settings(), Vec::new(), 0, at(0));
    let executor = HeldAsk { level: SupervisorLevel::Executor, ..asked("x") };
    let Entered::New(opening) = book.enter(&executor, &asker("ann"), at(0), None) else { panic!() };
    let id = opening.approval().id;
    opening.opened();
    let by = Approver { levels: [SupervisorLevel::Executor].into(), ..approver("bea") };
    assert!(matches!(book.prepare(id, &by, &approve(), None, |_, _| true, at(0)), Err(NotResolved::Cannot(_))));
    let step = book.prepare(id, &by, &Resolution::Done, Some("by hand".into()), |_, _| true, at(0)).unwrap();
    assert_eq!(step.take(entry(1)).state, State::Done);
    assert!(matches!(book.enter(&executor, &asker("ann"), at(1), None), Entered::Refused(_)));
}

#[test]
fn a_quorum_is_of_different_owners_and_begins_anew_when_it_is_escalated() {
    let mut settings = settings();
    settings.quorum = [(SupervisorLevel::Gatekeeper, 2)].into();
    let book = Book::new(settings, Vec::new(), 0, at(0));
    let id = opened(&book, "x", at(0));
    assert_eq!(done(&book, id, "bea", approve(), at(0)).unwrap().state, State::Pending);
    assert!(matches!(done(&book, id, "bea", approve(), at(0)), Err(NotResolved::Cannot(_))), "one owner is one vote");
    let step = book.prepare(id, &approver("cyd"), &approve(), None, |_, _| true, at(0)).unwrap();
    assert_eq!(step.agreed(), ["bea", "cyd"].map(|name| name.parse().unwrap()));
    drop(step);
    let up = done(&book, id, "cyd", Resolution::Escalate(None), at(0)).unwrap();
    assert_eq!(
        (up.asked.level, up.votes.len(), up.expires_at_micros),
        (SupervisorLevel::IncidentCommander, 0, at(900).micros)
    );
}

#[test]
fn only_so_much_waits() {
    let book = Book::new(settings(), Vec::new(), 0, at(0));
    for n in 0..4 {
        opened(&book, &n.to_string(), at(0));
    }
    let tried = |asked: &HeldAsk, owner: &str| book.enter(asked, &asker(owner), at(0), None);
    assert!(matches!(tried(&asked("4"), "ann"), Entered::TooMany(_)), "of one worker");
    let of = |worker: &str, what: &str| HeldAsk { worker: Some(worker.into()), ..asked(what) };
    assert!(matches!(tried(&of("wrk_b", "5"), "ann"), Entered::TooMany(_)), "of one credential");
    for n in 5..9 {
        let Entered::New(opening) = tried(&of("wrk_b", &n.to_string()), "bob") else { panic!("{n}") };
        opening.opened();
    }
    assert!(matches!(tried(&of("wrk_c", "9"), "cyd"), Entered::TooMany(why) if why.contains("approvals.most")));
    // What is asked already may be asked.
    assert!(matches!(tried(&asked("0"), "ann"), Entered::Pending(_)));
}

#[test]
fn one_switch_takes_back_all_that_was_agreed_to() {
    let book = Book::new(settings(), Vec::new(), 0, at(0));
    let ids = ["a", "b", "c"].map(|what| opened(&book, what, at(0)));
    for id in &ids[..2] {
        done(&book, *id, "bea", approve(), at(0)).unwrap();
    }
    let steps = book.void_all(&approver("cyd"), &"an incident".into());
    assert_eq!(steps.len(), 2);
    for step in steps {
        assert_eq!(step.take(entry(3)).state, State::Withdrawn);
    }
    assert_eq!(book.open().iter().map(|approval| approval.id).collect::<Vec<_>>(), ids[2..]);
}

#[test]
fn what_is_on_record_is_taken_over_once() {
    let book = Book::new(settings(), Vec::new(), 0, at(0));
    let id = opened(&book, "x", at(0));
    let by = Some(Vote { token: "bea".parse().unwrap(), owner: "bea".into() });
    let approved =
        TakenMove { action: Action::Approve, by, agreed: vec!["bea".parse().unwrap()], note: None, entry: entry(7) };
    assert!(book.replay(id, Some(approved.clone())));
    assert!(!book.replay(id, Some(approved)), "it is known");
    let Entered::Granted(claim) = book.enter(&asked("x"), &asker("ann"), at(1), None) else { panic!() };
    assert_eq!((claim.entry(), claim.by().len()), (entry(7), 1));
    claim.release();
    assert!(book.replay(id, None));
    assert_eq!(book.find(id).unwrap().state, State::Spent);
    assert!(!book.replay(id, None) && !book.replay(Uuid::new_v4(), None));
}

#[test]
fn the_store_is_told_what_has_changed_until_it_has_it() {
    let book = Book::new(settings(), Vec::new(), 0, at(0));
    let id = opened(&book, "x", at(0));
    let (changed, gone) = book.unkept();
    assert_eq!((changed.len(), gone.len()), (1, 0));
    assert_eq!(book.unkept(), (Vec::new(), Vec::new()));
    book.still_unkept([id].into_iter());
    assert_eq!(book.unkept().0, changed);
    done(&book, id, "bea", Resolution::Deny(None), at(0)).unwrap();
    let kept = book.unkept().0;
    let again = Book::new(settings(), kept.clone(), 0, at(1));
    assert_eq!(again.find(id).as_ref(), kept.first());
    assert!(matches!(again.enter(&asked("x"), &asker("ann"), at(2), None), Entered::Refused(_)));
    // Long after, nobody asks.
    assert!(again.expire(at(1801)).is_empty());
    assert_eq!(again.unkept(), (Vec::new(), vec![id]));
}

#[test]
fn who_asks_often_is_held_to_it_for_a_minute_also_where_little_is_remembered() {
    let few = Settings { ttl: Duration::from_secs(1), most_a_minute: 2, ..settings() };
    let book = Book::new(few, Vec::new(), 0, at(0));
    for (seconds, what) in [(0, "x"), (10, "y")] {
        let id = opened(&book, what, at(seconds));
        done(&book, id, "bea", Resolution::Deny(None), at(seconds)).unwrap();
    }
    book.expire(at(30));
    let too_many = |seconds| match book.enter(&asked("z"), &asker("ann"), at(seconds), None) {
        Entered::TooMany(why) => why.contains("most_a_minute"),
        Entered::New(_) => false,
        other => panic!("{other:?}"),
    };
    assert!(too_many(30) && too_many(59));
    assert!(!too_many(60), "the first one is a minute ago");
}

#[test]
fn somebody_is_told_of_each_once_and_again_of_each_level_and_of_what_was_not_taken() {
    let book = Book::new(settings(), Vec::new(), 0, at(0));
    let (first, second) = (opened(&book, "x", at(0)), opened(&book, "y", at(1)));
    let told = |only: Option<Uuid>, seconds| book.tell(only.or_else(|| book.untold(at(seconds)))?, at(seconds));
    let before = told(None, 2).unwrap();
    assert_eq!((before.id, before.told), (first, None));
    assert!(told(Some(first), 2).is_none(), "once");
    book.tell_again(&before);
    assert_eq!(told(Some(first), 2).unwrap().id, first);
    assert_eq!(told(None, 2).unwrap().id, second);
    assert!(told(None, 2).is_none());
    let up = Resolution::Escalate(Some(SupervisorLevel::IncidentCommander));
    done(&book, first, "bea", up, at(3)).unwrap();
    let before = told(None, 4).unwrap();
    assert_eq!((before.id, before.told), (first, Some(SupervisorLevel::Gatekeeper)));
    book.tell_again(&before);
    assert!(told(Some(second), 4).is_none());
    // Of what is over by the clock nobody is told.
    assert!(told(None, TTL.as_secs()).is_none());
}
