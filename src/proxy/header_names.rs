//! When two names of headers are one: the one rule for every header that could be taken for ours, or for an upstream's.
//!
//! Between us and an application stands what hands headers over as variables (CGI, WSGI, Rack, PHP, FastCGI), and each of these
//! folds names in its own way: `-` to `_` (RFC 3875 4.1.18), `.` to `_` (PHP), every character but letters and digits to `_`
//! (lighttpd). So a name is read as the coarsest of them reads it: case does not count, and everything but letters and digits is
//! `-`. Whoever looks for a name in a request looks by this rule; nothing is allocated for it.

use std::borrow::Cow;
use std::sync::LazyLock;

/// Headers by which some upstreams take another path or method than our routes did.
static REROUTING: LazyLock<HeaderNames> = LazyLock::new(|| {
    HeaderNames::of([
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-url",
        "x-override-url",
        "x-rewrite-url",
    ])
});

/// Headers by which a proxy tells what the connection before it was like, besides `x-forwarded-*`.
static FORWARDING: LazyLock<HeaderNames> = LazyLock::new(|| {
    HeaderNames::of([
        "cf-connecting-ip",
        "cf-connecting-ipv6",
        "client-ip",
        "fastly-client-ip",
        "fly-client-ip",
        "forwarded",
        "forwarded-for",
        "forwarded-host",
        "forwarded-proto",
        "front-end-https",
        "true-client-ip",
        "via",
        "x-arr-ssl",
        "x-azure-clientip",
        "x-azure-socketip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-envoy-external-address",
        "x-envoy-original-path",
        "x-forwarded",
        "x-forwarder-for",
        "x-host",
        "x-host-override",
        "x-http-destinationurl",
        "x-http-host-override",
        "x-original-forwarded-for",
        "x-original-host",
        "x-original-method",
        "x-original-proto",
        "x-original-remote-addr",
        "x-original-scheme",
        "x-original-uri",
        "x-originating-ip",
        "x-proxyuser-ip",
        "x-real-ip",
        "x-remote-addr",
        "x-remote-ip",
        "x-scheme",
        "x-script-name",
        "x-url-scheme",
    ])
});

/// Names that are looked for together.
#[derive(Debug, Default)]
pub struct HeaderNames {
    names: Vec<Cow<'static, str>>,
    /// A bit for each length that there is, the longest ones together: most headers of a request are of none.
    lengths: u64,
}

impl HeaderNames {
    /// These names, in any spelling.
    pub fn of(names: impl IntoIterator<Item = impl Into<Cow<'static, str>>>) -> Self {
        let names: Vec<Cow<'static, str>> = names.into_iter().map(Into::into).collect();
        let lengths = names.iter().fold(0, |lengths, name| lengths | length(name));
        Self { names, lengths }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.lengths == 0
    }

    /// Whether this name is one of them.
    #[must_use]
    pub fn have(&self, name: &str) -> bool {
        self.lengths & length(name) != 0 && self.names.iter().any(|known| are_one(known, name))
    }
}

fn length(name: &str) -> u64 {
    1 << name.len().min(63)
}

const fn folded(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

fn fold_alike(one: &[u8], other: &[u8]) -> bool {
    one.iter().zip(other).all(|(one, other)| folded(*one) == folded(*other))
}

/// Whether two names are one to somebody.
#[must_use]
pub fn are_one(one: &str, other: &str) -> bool {
    one.len() == other.len() && fold_alike(one.as_bytes(), other.as_bytes())
}

/// Whether a name begins with this to somebody.
#[must_use]
pub fn begins_with(name: &str, begin: &str) -> bool {
    // Most names differ in their first byte.
    let alike = |(one, other): (&u8, &u8)| folded(*one) == folded(*other);
    name.len() >= begin.len()
        && name.as_bytes().first().zip(begin.as_bytes().first()).is_none_or(alike)
        && fold_alike(name.as_bytes(), begin.as_bytes())
}

/// Whether it is a claim, or what we say about a decision.
#[must_use]
pub fn is_wcp(name: &str) -> bool {
    begins_with(name, "wcp-")
}

/// Whether some upstream could take another path or method by it.
#[must_use]
pub fn is_rerouting(name: &str) -> bool {
    REROUTING.have(name)
}

/// Whether it says where a body ends.
#[must_use]
pub fn is_framing(name: &str) -> bool {
    are_one(name, "content-length") || are_one(name, "transfer-encoding")
}

/// Whether it tells of the connection to a proxy before us: where the caller is, and which host, scheme and path it asked for.
#[must_use]
pub fn is_forwarding(name: &str) -> bool {
    begins_with(name, "x-forwarded-") || FORWARDING.have(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every character of a name that is neither letter nor digit (RFC 9110 5.6.2).
    const MARKS: &str = "!#$%&'*+-.^_`|~";

    /// A name as an upstream could be told it, in other words: a mark for a mark, a case for a case.
    fn spelled(name: &'static str) -> impl Strategy<Value = String> {
        let marks: Vec<char> = MARKS.chars().collect();
        let spellings = name.chars().map(move |character| match character {
            '-' => prop::sample::select(marks.clone()).boxed(),
            letter => prop::sample::select(vec![letter, letter.to_ascii_uppercase()]).boxed(),
        });
        spellings.collect::<Vec<_>>().prop_map(|characters| characters.into_iter().collect())
    }

    proptest! {
        #[test]
        fn every_spelling_is_found(
            method in spelled("x-http-method-override"), url in spelled("x-original-url"), ip in spelled("x-real-ip"),
            forwarded in spelled("x-forwarded-for"), any in "[a-z0-9!#$%&'*+.^_`|~-]{0,20}", claim in spelled("wcp-worker-id"),
            length in spelled("content-length"), coding in spelled("transfer-encoding"),
        ) {
            prop_assert!(is_rerouting(&method) && is_rerouting(&url));
            prop_assert!(is_forwarding(&ip) && is_forwarding(&forwarded) && begins_with(&["x.forwarded_", &any].concat(), "x-forwarded-"));
            prop_assert!(is_framing(&length) && is_framing(&coding) && is_wcp(&claim));
        }

        /// The rule is that of the variables' names: two are one exactly when a CGI program cannot tell them apart.
        #[test]
        fn names_are_one_when_variables_are(one in "[a-cA-C!#$%&'*+.^_`|~-]{1,3}", other in "[a-cA-C!#$%&'*+.^_`|~-]{1,3}") {
            let variable = |name: &str| {
                name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect::<String>()
            };
            prop_assert_eq!(are_one(&one, &other), variable(&one) == variable(&other));
            prop_assert_eq!(HeaderNames::of([one.clone()]).have(&other), variable(&one) == variable(&other));
            prop_assert_eq!(begins_with(&one, &other), variable(&one).starts_with(&variable(&other)));
        }
    }

    #[test]
    fn usual_headers_are_none_of_them() {
        for usual in [
            "host",
            "content-type",
            "content-encoding",
            "accept",
            "user-agent",
            "traceparent",
            "x-request-id",
            "te",
            "idempotency-key",
            "x-goog-user-project",
            "x-amz-date",
            "cookie",
            "wcp",
            "x-forward",
            "forward",
        ] {
            assert!(!is_rerouting(usual) && !is_forwarding(usual) && !is_framing(usual) && !is_wcp(usual), "{usual}");
        }
    }

    #[test]
    fn long_names_are_told_apart() {
        let long = |end: &str| format!("x-{}-{end}", "a".repeat(80));
        let names = HeaderNames::of([long("key")]);
        assert!(names.have(&long("key").replace('-', "_")) && !names.have(&long("kex")) && !names.have(&long("keys")));
    }
}
