//! Decisions by who asked, for what, and how it ended: an index beside the segments, and answers out of the entries that it leads to.
//!
//! The ledger is the truth. The index is derived: it is kept by a thread of its own behind the writer, is made again where it is missing, torn,
//! of another version or of other entries, and what it leads to is held against the entry before it is given out.

mod fields;
pub(crate) mod file;
pub(crate) mod filter;
pub(crate) mod follow;
mod growing;
pub(crate) mod mark;
pub(crate) mod search;
pub(crate) mod service;
