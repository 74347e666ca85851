//! What humans may agree to.

use crate::ids::SupervisorLevel;

/// What humans may agree to, beside what rules and policies want one for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Approvable {
    /// The level of who may agree to too high a blast score; `None`: nobody.
    pub blast: Option<SupervisorLevel>,
}
