//! Enrolled workers: who may be dispatched, what they declare, and what their code is now.

pub mod change;
pub mod code;
pub mod hash;
pub mod records;
pub mod remote;
pub mod roster;
pub mod sources;
pub mod store;
