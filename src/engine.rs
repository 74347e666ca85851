//! The decision: a pure function of a question and a snapshot. No I/O, clock, randomness, async or logging.
//!
//! [`Question::ask`] projects a [`RouteInput`] and its [`Facts`] onto what this [`Snapshot`] can depend on; [`decide`] sees
//! nothing else. The question is therefore exactly the key under which a verdict may be remembered. Where the verdict depends on
//! the code of whoever acts, [`whose_code`] says so, and [`Question::knowing`] takes what was found.

pub mod artifact;
pub mod catalogue;
pub mod counterfactuals;
pub mod decision;
pub mod description;
pub mod explain;
pub mod gates;
pub mod input;
pub mod json;
pub mod kept_request;
#[cfg(any(test, fuzzing))]
pub mod laws;
pub mod policy_gate;
pub mod question;
pub mod route_decision;
pub mod rules;
pub mod snapshot;

pub use catalogue::Catalogue;
pub use decision::{
    ApprovalMark, Attested, Candidate, Decision, Denial, DenyCode, Granted, Outcome, ShadowVerdict, Verdict, WouldBe,
};
pub use explain::{Explanation, GateFinding, explain};
pub use gates::{basis, decide, decide_granted, shed, whose_code, with_asked};
pub use input::{Binding, Facts, RouteInput};
pub use json::{Json, JsonError};
pub use kept_request::{KeptRequest, ReadAttribute};
pub use policy_gate::PolicyGate;
pub use question::Question;
pub use route_decision::{RouteDecision, route_decision};
pub use rules::RuleSet;
pub use snapshot::{Code, Fingerprint, Mode, Settings, Snapshot};
