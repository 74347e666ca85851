//! A value in what people write, be it a file or a variable: what it must be, and why it cannot be used.

use std::fmt::Display;
use std::str::FromStr;

/// Why a value is not of its kind. Neither text names the value.
#[derive(Debug)]
pub struct InvalidValue {
    /// What is wrong, as the rest of a sentence that begins with the value: "is not a duration".
    pub is: String,
    /// What to change.
    pub help: String,
    /// Whether the value is not to be shown, as it may hold a secret.
    pub may_be_secret: bool,
}

impl InvalidValue {
    /// A reason and a help.
    pub fn new(is: impl Into<String>, help: impl Into<String>) -> Self {
        Self { is: is.into(), help: help.into(), may_be_secret: false }
    }

    /// The same of a value that is not to be shown.
    pub fn of_secret(is: impl Into<String>, help: impl Into<String>) -> Self {
        Self { may_be_secret: true, ..Self::new(is, help) }
    }
}

/// A whole number within bounds.
pub fn number<T>(least: T, most: T) -> impl Fn(&str) -> Result<T, InvalidValue>
where
    T: FromStr + PartialOrd + Display + Copy,
{
    move |text| {
        text.parse().ok().filter(|n| (least..=most).contains(n)).ok_or_else(|| {
            let is = format!("is not a whole number from {least} to {most}");
            InvalidValue::new(is, "write digits only, without a unit")
        })
    }
}
