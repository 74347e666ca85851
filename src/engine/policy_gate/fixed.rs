//! For tests: a policy gate that always rules the same, whoever asks.

use super::{Asked, Claim, GateAnswer, GateReads, Policies, PolicyGate, Ruling};
use crate::engine::Json;
use crate::ids::Digest;

/// One policy, `p`, that rules this "because", and forbids unless it allows.
#[derive(Debug)]
pub(crate) struct FixedGate {
    pub(crate) ruling: Ruling,
    pub(crate) reads: GateReads,
    /// Sees what is asked before it is answered, and panics as it likes.
    pub(crate) sees: fn(&Asked<'_>),
}

impl FixedGate {
    /// A gate that reads nothing of what it is asked.
    pub(crate) fn says(ruling: Ruling) -> Self {
        Self { ruling, reads: GateReads::default(), sees: |_| () }
    }
}

impl PolicyGate for FixedGate {
    fn digest(&self) -> Digest {
        Digest::of(format!("{:?}", self.ruling).as_bytes())
    }

    fn policies(&self) -> usize {
        1
    }

    fn forbids(&self) -> bool {
        self.ruling != Ruling::Allow
    }

    fn reads(&self, _: Policies) -> GateReads {
        self.reads
    }

    fn claims(&self, _: &Json) -> Box<[Claim]> {
        Box::default()
    }

    fn answer(&self, _: Policies, asked: &Asked<'_>) -> GateAnswer {
        (self.sees)(asked);
        GateAnswer { ruling: self.ruling, reason: "because".into(), policies: ["p".into()].into() }
    }
}
