//! What was found to hold.

use std::fmt;

use super::recovered::Loss;
use crate::ids::Digest;

/// What was found to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Entries in the log, all of them sound that are kept.
    pub entries: u64,
    /// Entries that were pruned: the tree over them holds, and what they said is no longer here.
    pub pruned: u64,
    /// Decisions and refusals that are kept.
    pub decisions: u64,
    /// Ends of exchanges that are kept.
    pub outcomes: u64,
    /// Policies that came into force.
    pub policies: u64,
    /// Changes of the registry.
    pub registry: u64,
    /// Steps of approvals, and dispatches that rest on one.
    pub approvals: u64,
    /// Of these dispatches, those that were agreed to in another log, or before what is kept.
    pub approved_elsewhere: u64,
    /// Hash chains.
    pub streams: usize,
    /// Entries under the signed checkpoint.
    pub signed: u64,
    /// The checkpoint's root.
    pub root: Digest,
    /// Entries under the older checkpoint from which the log was found to go on, if one was given.
    pub since: Option<u64>,
    /// Where entries that no checkpoint signed were lost, as far as their entries are kept.
    pub losses: Vec<Loss>,
    /// How many such losses there were, those before the edge included.
    pub recoveries: u64,
    /// Bytes after the last entry: the torn end of a write that was never acknowledged, or one that goes on right now.
    pub torn_bytes: u64,
    /// Whether a process had the ledger open meanwhile.
    pub live: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entries, pruned, decisions, outcomes, policies, registry, streams, signed, root, since, .. } = self;
        let Self { losses, recoveries, .. } = self;
        write!(
            f,
            "{entries} entries hold ({decisions} decisions, {outcomes} outcomes, {policies} policies, {registry} registry \
             changes, {streams} streams); the checkpoint signs {signed} of them with root {root}"
        )?;
        if self.approvals > 0 {
            write!(
                f,
                "; {} steps of approvals hold, and nothing was dispatched that was not agreed to",
                self.approvals
            )?;
        }
        if self.approved_elsewhere > 0 {
            let count = self.approved_elsewhere;
            write!(f, ", but for {count} dispatches that were agreed to in another log, or before what is kept")?;
        }
        if let Some(older) = since {
            write!(f, " and goes on from the older one over {older}")?;
        }
        if *pruned > 0 {
            write!(f, "; the first {pruned} were pruned behind a signed edge: the tree over them holds")?;
        }
        let pruned_losses = recoveries.saturating_sub(losses.len() as u64);
        if pruned_losses > 0 {
            write!(f, "\nLOST before the edge: {pruned_losses} times, of which `lost/` keeps what was behind the gap")?;
        }
        for loss in losses {
            write!(f, "\n{loss}")?;
        }
        Ok(())
    }
}
