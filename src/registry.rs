//! Enrolled workers: who may be dispatched, what they declare, and what their code is now.

pub mod code;
pub mod hash;
pub mod records;
pub mod remote;
pub mod sources;
