//! `hallgate demo`: the whole journey on embedded defaults, walked through with its own requests.

pub mod call;
pub mod page;
pub mod upstream;
pub mod walk;
