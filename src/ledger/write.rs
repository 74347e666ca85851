//! Appending: what waits, what is written and synced, signed and in the end pruned.

pub(crate) mod active_segment;
pub(crate) mod batch;
pub(crate) mod checkpointer;
pub(crate) mod clock;
pub(crate) mod deadline;
pub(crate) mod id_generator;
pub(crate) mod index;
pub(crate) mod job;
pub(crate) mod prune;
pub(crate) mod queue;
pub(crate) mod renew;
pub(crate) mod rotation;
pub(crate) mod shared;
pub(crate) mod storage;
pub(crate) mod wait;
pub(crate) mod writer;
