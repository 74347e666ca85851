//! Which rules and policies have ever decided something: what nobody is ever judged by may be a mistake, or not needed any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use crate::engine::{Snapshot, Verdict};

/// The ids of those that have decided something. Noted when a verdict is found out, not each time it is given again, so that no request
/// that is answered from memory pays for it.
#[derive(Debug, Default)]
pub struct HasDecided {
    rules: RwLock<BTreeSet<Arc<str>>>,
    policies: RwLock<BTreeSet<Arc<str>>>,
}

impl HasDecided {
    /// Notes which of them have decided this. There are as many ids as rules and policies, and no caller chooses one.
    pub(in crate::hall) fn note(&self, verdict: &Verdict) {
        note(&self.rules, &verdict.matched_rule_id);
        for policy in verdict.gated.policies.iter() {
            note(&self.policies, policy);
        }
    }

    /// Whether the rule with this id has.
    #[must_use]
    pub fn rule(&self, id: &str) -> bool {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// Whether the policy with this id has.
    #[must_use]
    pub fn policy(&self, id: &str) -> bool {
        self.policies.read().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// Forgets those that are not what they were.
    pub(in crate::hall) fn forget_changed(&self, before: &Snapshot, now: &Snapshot) {
        let digests = |snapshot: &Snapshot| -> BTreeMap<Arc<str>, _> {
            snapshot.rules.rules.iter().map(|rule| (Arc::clone(&rule.id), rule.digest)).collect()
        };
        if before.rules.digest != now.rules.digest {
            let (old, new) = (digests(before), digests(now));
            keep(&self.rules, |id| old.get(id) == new.get(id));
        }
        let policy = |snapshot: &Snapshot, id: &str| snapshot.gate.as_ref().map(|gate| gate.policy_digest(id));
        keep(&self.policies, |id| policy(before, id) == policy(now, id));
    }
}

fn note(ids: &RwLock<BTreeSet<Arc<str>>>, id: &Arc<str>) {
    // Nearly always it is there.
    if !ids.read().unwrap_or_else(PoisonError::into_inner).contains(id) {
        ids.write().unwrap_or_else(PoisonError::into_inner).insert(Arc::clone(id));
    }
}

fn keep(ids: &RwLock<BTreeSet<Arc<str>>>, same: impl Fn(&Arc<str>) -> bool) {
    ids.write().unwrap_or_else(PoisonError::into_inner).retain(same);
}
