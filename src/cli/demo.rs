//! `hallgate demo`: the whole journey on embedded defaults, walked through with its own requests.

pub mod upstream;
