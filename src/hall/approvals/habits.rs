//! How often and how fast approvers decide: who agrees to everything at once looks at nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::ids::TokenName;
use crate::ledger::ApprovalAction;

/// The decisions of each that count.
const LAST: usize = 100;
/// Who agrees within so many seconds has hardly read it.
const QUICK: i64 = 10;

/// What approvers did of late, since the process began.
#[derive(Debug, Default)]
pub(super) struct Habits(Mutex<BTreeMap<TokenName, VecDeque<Decided>>>);

#[derive(Debug, Clone, Copy)]
struct Decided {
    agreed: bool,
    seconds: i64,
}

/// How an approver decided of late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Habit {
    /// Who.
    pub approver: TokenName,
    /// How often they agreed.
    pub agreed: usize,
    /// How often they did something else.
    pub otherwise: usize,
    /// After how many seconds since it was asked for, in the middle.
    pub median_seconds: i64,
    /// How often they agreed within ten seconds.
    pub quick: usize,
}

impl Habits {
    /// Somebody has done this, so many seconds after it was asked for.
    pub(super) fn note(&self, by: &TokenName, action: ApprovalAction, seconds: i64) {
        let agreed = matches!(action, ApprovalAction::Voted | ApprovalAction::Approved);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = all.entry(by.clone()).or_default();
        if of.len() >= LAST {
            of.pop_front();
        }
        of.push_back(Decided { agreed, seconds });
    }

    /// Each approver's, by name.
    pub(super) fn all(&self) -> Vec<Habit> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let habit = |(approver, decided): (&TokenName, &VecDeque<Decided>)| {
            let mut seconds: Vec<i64> = decided.iter().map(|one| one.seconds).collect();
            seconds.sort_unstable();
            let agreed = decided.iter().filter(|one| one.agreed);
            Habit {
                approver: approver.clone(),
                agreed: agreed.clone().count(),
                otherwise: decided.iter().filter(|one| !one.agreed).count(),
                median_seconds: seconds.get(seconds.len() / 2).copied().unwrap_or_default(),
                quick: agreed.filter(|one| one.seconds < QUICK).count(),
            }
        };
        all.iter().map(habit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_the_last_decisions_count() {
        let habits = Habits::default();
        let name = |name: &str| name.parse::<TokenName>().unwrap();
        (0..LAST).for_each(|_| habits.note(&name("cyd"), ApprovalAction::Denied, 500));
        for seconds in [2, 30, 9] {
            habits.note(&name("bea"), ApprovalAction::Approved, seconds);
        }
        habits.note(&name("bea"), ApprovalAction::Escalated, 400);
        habits.note(&name("cyd"), ApprovalAction::Voted, 1);
        let habit = |approver, agreed, otherwise, median_seconds, quick| Habit {
            approver: name(approver),
            agreed,
            otherwise,
            median_seconds,
            quick,
        };
        assert_eq!(habits.all(), [habit("bea", 3, 1, 30, 2), habit("cyd", 1, LAST - 1, 500, 1)]);
    }
}
