//! SPIFFE ids: which workload, in which trust domain.

use super::InvalidId;

/// The longest that the standard asks anyone to take.
const MAX_LENGTH: usize = 2048;
/// What every id begins with.
pub const SCHEME: &str = "spiffe://";

/// The trust domain and the segments of the path of an id, where it is one (SPIFFE-ID 2).
///
/// # Errors
/// The text is no SPIFFE id.
pub fn parts(text: &str) -> Result<(&str, impl Iterator<Item = &str>), InvalidId> {
    let sound = |text: &str, byte: fn(u8) -> bool| !text.is_empty() && text.bytes().all(byte);
    let domain_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    let path_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let rest = text.strip_prefix(SCHEME).filter(|_| text.len() <= MAX_LENGTH);
    rest.map(|rest| rest.split_once('/').map_or((rest, None), |(domain, path)| (domain, Some(path))))
        .filter(|(domain, path)| {
            let segment = |segment: &str| sound(segment, path_byte) && segment != "." && segment != "..";
            domain.len() <= 255 && sound(domain, domain_byte) && path.is_none_or(|path| path.split('/').all(segment))
        })
        .map(|(domain, path)| (domain, path.into_iter().flat_map(|path| path.split('/'))))
        .ok_or_else(|| InvalidId::new(text, "a SPIFFE id"))
}

pub(super) fn is_spiffe_id(text: &str) -> bool {
    parts(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SpiffeId;

    #[test]
    fn an_id_has_one_form() {
        for good in ["spiffe://example.org", "spiffe://a/b", "spiffe://a_b.c-d/Ns/x.y/sa/..."] {
            assert_eq!(good.parse::<SpiffeId>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "spiffe://",
            "spiffe:///a",
            "spiffe://A/b",
            "SPIFFE://a/b",
            "spiffe://a/",
            "spiffe://a//b",
            "spiffe://a/./b",
            "spiffe://a/..",
            "spiffe://a:80/b",
            "spiffe://u@a/b",
            "spiffe://a/b?c",
            "spiffe://a/b#c",
            "spiffe://a/%62",
            "spiffe://a/é",
            "spiffe://a/b ",
            "https://a/b",
            &format!("spiffe://a/{}", "b".repeat(MAX_LENGTH)),
        ] {
            assert!(bad.parse::<SpiffeId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_id_comes_apart() {
        let (domain, segments) = parts("spiffe://a.b/c/d").unwrap();
        assert_eq!((domain, segments.collect::<Vec<_>>()), ("a.b", vec!["c", "d"]));
        assert_eq!(parts("spiffe://a").unwrap().1.count(), 0);
    }
}
