//! The Hall's HTTP API, served by axum on a pingora listener.

pub mod settings;

pub use settings::Settings;
