//! hallgate: a reverse-proxy sidecar and Hall Server that decides, records and only then forwards.
#![forbid(unsafe_code)]

pub mod api;
pub mod cache;
pub mod cli;
pub mod config;
pub mod engine;
pub mod hall;
pub mod ids;
pub mod ledger;
pub mod proxy;
pub mod registry;
pub mod telemetry;
