//! Which methods are said: a caller may write anything there, and as much of it as a head has room for.

use http::Method;

/// The longest method; those that are registered have 17 characters at most.
const LONGEST: usize = 32;

/// Whether it is a method as all are registered: in upper case, and not long. Case counts (RFC 9110 9.1), but not to every
/// application: to some `delete` is `DELETE`, while routes and policies know only the one.
#[must_use]
pub fn is_sound(method: &Method) -> bool {
    let method = method.as_str();
    let sound = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    method.len() <= LONGEST && method.bytes().all(sound)
}

/// The method as it is logged.
#[must_use]
pub fn said(method: &Method) -> &str {
    if is_sound(method) { method.as_str() } else { "_OTHER" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_in_upper_case_and_not_long() {
        let method = |text: &str| Method::from_bytes(text.as_bytes()).unwrap();
        for sound in ["GET", "VERSION-CONTROL", "M-SEARCH", "UPDATEREDIRECTREF", &"X".repeat(32)] {
            assert_eq!(said(&method(sound)), sound);
        }
        for unsound in ["get", "Delete", "PoST", "DELETE~", "A.B", "G`ET", &"X".repeat(33), &"X".repeat(60_000)] {
            assert_eq!(said(&method(unsound)), "_OTHER", "{unsound}");
        }
    }
}
