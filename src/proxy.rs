//! The gate: pingora's phases, each one line of ours: admit, identify, describe, rule, forward or reject.

pub mod settings;

pub use settings::Settings;
