//! Reading the log, beside the writer or without one: by id, time or number, as tlog-tiles, and with proofs.

pub(crate) mod approvals;
pub(crate) mod bundle;
pub(crate) mod cursor;
pub(crate) mod export;
pub(crate) mod filter;
pub(crate) mod history;
pub mod past;
pub(crate) mod prove;
pub(crate) mod reader;
pub(crate) mod resource;
pub(crate) mod rows;
pub(crate) mod search;
pub(crate) mod service;
