//! The request target: one canonical form, which is what routes match, and the spelling in which it goes on.
//!
//! An upstream may decode, fold or resolve a path once more than we do. So whatever two readers could read differently is
//! refused, and whatever they read alike is matched in one way only: encoded bytes that need no encoding are decoded, the
//! others keep upper-case hex. A client that builds its URLs by the book never meets a refusal.
//!
//! Signatures (SigV4) cover the spelling: so what a `*` of the route covers goes on with its reserved characters encoded or not, and
//! the hex digits of either case, as they came. A reader that decodes reads the same, and one that does not finds there none of the
//! route's words.

use std::borrow::Cow;
use std::ops::Range;

/// The longest target that is read, in bytes.
pub const MAX_TARGET: usize = 16 * 1024;

/// What a request asks for, in canonical form.
#[derive(Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The path; borrowed when it arrived in canonical form.
    pub path: Cow<'a, str>,
    /// The query as it was written, without its `?`.
    pub query: Option<&'a str>,
    /// The path as it was written.
    written: &'a str,
}

impl Target<'_> {
    /// Whether a segment holds an encoded `/`.
    #[must_use]
    pub fn has_encoded_slash(&self) -> bool {
        matches!(&self.path, Cow::Owned(path) if path.contains(SLASH))
    }

    /// The canonical path as it is to who decodes an encoded `/` before taking the path apart.
    #[must_use]
    pub fn opened(&self) -> String {
        self.path.replace(SLASH, "/")
    }

    /// The path as it goes on: canonical but in these parts of it, which keep their spelling.
    #[must_use]
    pub fn spelled(&self, kept: &[Range<usize>]) -> String {
        let mut spelled = String::with_capacity(self.written.len());
        let (mut written, mut canonical) = (self.written, &*self.path);
        while let Some(first) = written.bytes().next() {
            let at = self.path.len() - canonical.len();
            // Both are sound, so an escape has two digits, and what is no escape is one byte.
            let (piece, rest) = written.split_at_checked(if first == b'%' { 3 } else { 1 }).unwrap_or((written, ""));
            let encoded = canonical.starts_with('%');
            let (plain, left) = canonical.split_at_checked(if encoded { 3 } else { 1 }).unwrap_or((canonical, ""));
            let is_kept = !plain.bytes().all(is_unreserved) && kept.iter().any(|kept| kept.contains(&at));
            spelled.push_str(if is_kept { piece } else { plain });
            (written, canonical) = (rest, left);
        }
        spelled
    }
}

/// An encoded `/` in canonical form.
const SLASH: &str = "%2F";

/// Reads a request target in origin-form.
///
/// # Errors
/// It is not in origin-form, or could mean one thing to a route and another to an upstream; says which.
pub fn read(raw: &[u8]) -> Result<Target<'_>, &'static str> {
    if raw.len() > MAX_TARGET {
        return Err("the target is longer than 16384 bytes");
    }
    let raw = std::str::from_utf8(raw).map_err(|_| "the target is not UTF-8; percent-encode it")?;
    let (path, query) = raw.split_once('?').map_or((raw, None), |(path, query)| (path, Some(query)));
    Ok(Target { path: canonical(path)?, query, written: path })
}

/// The one way in which a path is written. An encoded `/` stays: whether it may be there is its route's to say.
///
/// # Errors
/// The path is ambiguous; says why.
pub fn canonical(path: &str) -> Result<Cow<'_, str>, &'static str> {
    if !path.starts_with('/') {
        return Err("the target is not in origin-form: send a path that begins with `/`");
    }
    let path = if path.bytes().all(stands_for_itself) { Cow::Borrowed(path) } else { Cow::Owned(decode(path)?) };
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "" if segments.peek().is_some() => return Err("the path holds an empty segment (`//`)"),
            "." | ".." => return Err(DOTS),
            _ => {}
        }
        if segment.contains(SLASH) {
            // To some reader each part is a segment.
            for part in segment.split(SLASH) {
                match part {
                    "" => return Err("the path holds an encoded `/` beside another, or at the end of a segment"),
                    "." | ".." => return Err(DOTS),
                    _ => {}
                }
            }
        }
    }
    Ok(path)
}

const DOTS: &str = "the path holds a dot segment; resolve it before sending";

/// Bytes that are the same encoded or not, to everybody (RFC 3986 2.3).
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Bytes that a path holds unencoded and that nobody reads as anything else.
///
/// Not `;`: some servers cut path parameters off, so that `/a;b/c` is `/a/c` to them and another path to us.
const fn stands_for_itself(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'/' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@')
}

fn decode(path: &str) -> Result<String, &'static str> {
    let mut decoded = String::with_capacity(path.len());
    let mut beyond_ascii = false;
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            if !stands_for_itself(byte) {
                return Err("the path holds a byte that must be percent-encoded, or a `;` or `\\`");
            }
            decoded.push(char::from(byte));
            continue;
        }
        let hex = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (hex(bytes.next()), hex(bytes.next())) else {
            return Err("the path holds a `%` without two hex digits");
        };
        match u8::try_from(high << 4 | low).unwrap_or(0) {
            0..=0x1f | 0x7f => return Err("the path holds an encoded control character"),
            b'\\' | b';' => return Err("the path holds an encoded `\\` or `;`"),
            b'/' => decoded.push_str(SLASH),
            b'%' => return Err("the path holds an encoded `%`, which a second decoding would read"),
            // Some upstreams read `+` as a space; its encoded form never.
            b'+' => decoded.push_str("%2B"),
            byte if stands_for_itself(byte) => decoded.push(char::from(byte)),
            byte => {
                beyond_ascii |= !byte.is_ascii();
                decoded.push('%');
                decoded
                    .extend([high, low].map(|digit| char::from_digit(digit, 16).unwrap_or('0').to_ascii_uppercase()));
            }
        }
    }
    // An overlong form (`%c0%af`) is `/` to a lenient decoder.
    if beyond_ascii && percent_encoding::percent_decode_str(&decoded).decode_utf8().is_err() {
        return Err("the path holds encoded bytes that are not UTF-8");
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proxy::routes::readers::lenient;

    #[test]
    fn a_plain_target_is_borrowed_as_it_is() {
        for path in
            ["/", "/v1/chat/completions", "/orders/", "/a.b/..c/...", "/v1/models/x:generate", "/u/a@b.c", "/a+b"]
        {
            let target = read(path.as_bytes()).unwrap();
            assert!(matches!(target.path, Cow::Borrowed(same) if same == path), "{path}");
        }
        let target = read(b"/a?b=/../%2f&c=d?e").unwrap();
        assert_eq!((&*target.path, target.query), ("/a", Some("b=/../%2f&c=d?e")));
        assert_eq!(read(b"/a?").unwrap().query, Some(""));
    }

    #[test]
    fn what_all_read_alike_is_written_one_way() {
        for (written, path) in [
            ("/%41%62c", "/Abc"),
            ("/a%2eb", "/a.b"),
            ("/a%2Db%5f%7E", "/a-b_~"),
            ("/u/a%40b.c", "/u/a@b.c"),
            ("/v1/x%3Agenerate", "/v1/x:generate"),
            ("/a%20b", "/a%20b"),
            ("/%e2%82%ac", "/%E2%82%AC"),
            ("/a%2bb", "/a%2Bb"),
            ("/a%3fb%23c", "/a%3Fb%23c"),
            ("/a%2fb%2Fc", "/a%2Fb%2Fc"),
        ] {
            assert_eq!(canonical(written).as_deref(), Ok(path), "{written}");
        }
    }

    #[test]
    fn what_two_could_read_differently_is_refused() {
        for written in [
            "",
            "a",
            "*",
            "http://h/a",
            "h:80",
            "?a",
            "//a",
            "/a//b",
            "/a//",
            "/.",
            "/..",
            "/./a",
            "/a/..",
            "/a/../b",
            "/a/.",
            "/%2e",
            "/%2E%2e/a",
            "/a/.%2e/b",
            "/a%2f",
            "/%2Fa/b",
            "/a%2f%2fb",
            "/a/..%2fb",
            "/a%2F.",
            "/a%2f%2e%2e%2fb",
            "/a%252fb",
            "/a%5cb",
            "/a\\b",
            "/a%00",
            "/a%0d%0ab",
            "/a%7f",
            "/a%",
            "/a%4",
            "/a%zz",
            "/a%u002e",
            "/a%252e",
            "/%25",
            "/a;b",
            "/..;/a",
            "/a%3bb",
            "/%c0%ae%c0%ae/a",
            "/a%c0%afb",
            "/%ff",
            "/a b",
            "/a\"b",
            "/a<b",
            "/a#b",
            "/é",
        ] {
            assert!(canonical(written).is_err(), "{written}");
        }
        assert!(read(b"/\xff").is_err());
        assert!(read(&[b"/".as_slice(), &[b'a'; MAX_TARGET]].concat()).is_err());
    }

    #[test]
    fn what_is_kept_is_spelled_as_it_came() {
        let kept =
            |written: &str, from, to| read(written.as_bytes()).unwrap().spelled(std::slice::from_ref(&(from..to)));
        // Where nothing is kept, it is the canonical form.
        assert_eq!(kept("/%41%3a/b%3A/%e2%82%ac", 0, 0), "/A:/b:/%E2%82%AC");
        // What needs no encoding is decoded, what needs one or may have one stays.
        assert_eq!(kept("/%41%3a/b%3A/%e2%82%ac%7e%2D", 0, 99), "/A%3a/b%3A/%e2%82%ac~-");
        assert_eq!(kept("/m/a%3Ab%3Arun", 3, 6), "/m/a%3Ab:run");
        assert_eq!(kept("/m/%2B+%2b%20/%40%2f%40", 3, 11), "/m/%2B+%2b%20/@%2F@");
        assert_eq!(kept("/m/%2B+%2b%20/%40%2f%40", 14, 99), "/m/%2B+%2B%20/%40%2f%40");
        assert_eq!(kept("/a/b", 0, 99), "/a/b");
    }

    proptest! {
        #[test]
        fn a_canonical_path_is_its_own_canonical_form(path in "/[-a-z0-9./%;\\\\+@:]{0,24}") {
            if let Ok(once) = canonical(&path) {
                let twice = canonical(&once).map(Cow::into_owned);
                prop_assert_eq!(twice.as_deref(), Ok(&*once));
            }
        }

        /// The heart of it: whatever an upstream makes of the path that we forward, it is what our routes matched.
        #[test]
        fn no_upstream_reads_another_path_than_the_routes_did(
            parts in prop::collection::vec(prop::sample::select(vec![
                "/", "//", "a", "admin", ".", "..", "%2e", "%2E", "%2f", "%5c", "\\", "%25", "2e", "2f", ";", "%3b", "%00", "%41",
                "%c0%af", "%e2%82%ac", "%20", "+", "%2b", "%", "..;", "%252e", "%61dmin", "@", "%40",
            ]), 0..10)
        ) {
            let written = format!("/{}", parts.concat());
            if let Ok(path) = canonical(&written) {
                let read = String::from_utf8(percent_encoding::percent_decode_str(&path).collect()).unwrap();
                prop_assert_eq!(lenient(&path), read.strip_suffix('/').filter(|r| !r.is_empty()).unwrap_or(&read));
                prop_assert_eq!(lenient(&written), lenient(&path));
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(raw in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = read(&raw);
        }
    }
}
