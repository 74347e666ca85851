//! hallgate
