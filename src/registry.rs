//! Enrolled workers: who may be dispatched, and what they declare.

pub mod records;
