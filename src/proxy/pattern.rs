//! A route's path: which canonical paths it matches, and what of them its `*` cover.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::proxy::target;

/// A path pattern. `*` stands for one segment, for the beginning of one whose end is written (`/models/*:generateContent`), and as
/// the last segment for everything below. A slash at the end of a request's path makes no difference; case does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: Box<str>,
    /// What comes before the first segment with a `*`, without a slash at its end.
    head: Box<str>,
    /// The segments from the first one with a `*` on, but a last one that is `*`.
    segments: Box<[Segment]>,
    /// Whether everything below matches, too.
    below: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    /// Any segment that is not empty.
    Any,
    /// Any that ends so, and has more.
    Ending(Box<str>),
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPattern {
    /// No request has such a path in canonical form.
    Path,
    /// A `*` is where it means nothing.
    Star,
}

impl PathPattern {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it has a `*`.
    #[must_use]
    pub fn has_star(&self) -> bool {
        self.below || !self.segments.is_empty()
    }

    /// Whether a canonical path is one of these. Upstreams tend to take `/a/` for `/a`: a route for one is a route for both, so
    /// that no other route opens it.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.walk(path, |_| {})
    }

    /// What of a canonical path that matches the `*` cover.
    #[must_use]
    pub fn covered(&self, path: &str) -> Vec<Range<usize>> {
        let mut covered = Vec::new();
        self.walk(path, |range| covered.push(range));
        covered
    }

    fn walk(&self, path: &str, mut covered: impl FnMut(Range<usize>)) -> bool {
        let Some(mut left) = path.strip_prefix(&*self.head) else { return false };
        for segment in &self.segments {
            let Some(behind) = left.strip_prefix('/') else { return false };
            let (this, next) = behind.split_at(behind.find('/').unwrap_or(behind.len()));
            let beginning = match segment {
                Segment::Literal(literal) if **literal == *this => None,
                Segment::Literal(_) => return false,
                Segment::Any => Some(this),
                Segment::Ending(end) => match this.strip_suffix(&**end) {
                    Some(beginning) => Some(beginning),
                    None => return false,
                },
            };
            if let Some(beginning) = beginning {
                if beginning.is_empty() {
                    return false;
                }
                let from = path.len() - behind.len();
                covered(from..from + beginning.len());
            }
            left = next;
        }
        if self.below && left.starts_with('/') {
            covered(path.len() - left.len()..path.len());
            return true;
        }
        left.is_empty() || (left == "/" && !self.below)
    }

    /// Whether it matches every path that another one does.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.all(), other.all());
        let long_enough = if self.below { ours.len() <= theirs.len() } else { ours.len() == theirs.len() };
        long_enough
            && (self.below || !other.below)
            && ours.iter().zip(&theirs).all(|(ours, theirs)| match (ours, theirs) {
                (Segment::Any, _) => true,
                (Segment::Literal(ours), Segment::Literal(theirs)) => ours == theirs,
                (Segment::Ending(end), Segment::Literal(theirs)) => {
                    theirs.len() > end.len() && theirs.ends_with(&**end)
                }
                (Segment::Ending(end), Segment::Ending(theirs)) => theirs.ends_with(&**end),
                _ => false,
            })
    }

    fn all(&self) -> Vec<Segment> {
        let head = self.head.split('/').skip(1).map(|literal| Segment::Literal(literal.into()));
        head.chain(self.segments.iter().cloned()).collect()
    }
}

impl FromStr for PathPattern {
    type Err = NoPattern;

    fn from_str(text: &str) -> Result<Self, NoPattern> {
        let (path, below) = match text.strip_suffix("/*") {
            Some(path) => (path, true),
            None => (text.strip_suffix('/').unwrap_or(text), false),
        };
        // An upstream may read `+` as a space, so that two paths are one to it; so a pattern has neither.
        let sound = text.starts_with('/') && !path.ends_with('/') && !path.contains(['%', '+']);
        if !sound || !(path.is_empty() || target::canonical(path).is_ok_and(|canonical| canonical == path)) {
            return Err(NoPattern::Path);
        }
        let at = path.split_inclusive('/').take_while(|part| !part.contains('*')).map(str::len).sum();
        let (head, rest) = path.split_at(at);
        // The slash before the first `*` is where that segment begins.
        let head = if rest.is_empty() { head } else { head.strip_suffix('/').unwrap_or(head) };
        let segments =
            if rest.is_empty() { Vec::new() } else { rest.split('/').map(segment).collect::<Result<_, _>>()? };
        Ok(Self { text: text.into(), head: head.into(), segments: segments.into(), below })
    }
}

fn segment(text: &str) -> Result<Segment, NoPattern> {
    match text.split_once('*') {
        None => Ok(Segment::Literal(text.into())),
        Some(("", "")) => Ok(Segment::Any),
        // With a letter or digit first, the end of an encoded byte could be taken for the written end: `%3Ab` ends in `Ab`.
        Some(("", end)) if !end.contains('*') && !end.starts_with(|first: char| first.is_ascii_alphanumeric()) => {
            Ok(Segment::Ending(end.into()))
        }
        Some(_) => Err(NoPattern::Star),
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> PathPattern {
        text.parse().unwrap_or_else(|why| panic!("{text}: {why:?}"))
    }

    #[test]
    fn a_star_is_a_segment_its_beginning_or_all_below() {
        for (text, yes, no) in [
            ("/", &["/"][..], &["/a"][..]),
            ("/*", &["/", "/a", "/a/b/"], &[]),
            ("/a", &["/a", "/a/"], &["/ab", "/a/b", "/A", "/"]),
            ("/a/", &["/a", "/a/"], &["/a/b"]),
            ("/a/*", &["/a", "/a/", "/a/b", "/a/b/c/"], &["/ab", "/b"]),
            ("/*/b", &["/a/b", "/a/b/"], &["/b", "//b", "/a/c", "/a/b/c", "/a/x/b"]),
            ("/a/*/c/*/e", &["/a/b/c/d/e", "/a/c/c/c/e/"], &["/a/b/c/e", "/a/b/c/d/e/f", "/a/b/x/d/e"]),
            ("/a/*/c/*", &["/a/b/c", "/a/b/c/", "/a/b/c/d/e"], &["/a/b", "/a/b/cd", "/a/c"]),
            (
                "/m/*:run",
                &["/m/x:run", "/m/x:run/", "/m/a:b:run", "/m/:run:run"],
                &["/m/:run", "/m/x:runs", "/m/x/y:run"],
            ),
            ("/m/*:run/x", &["/m/a:run/x"], &["/m/a/x", "/m/a:run"]),
        ] {
            let pattern = pattern(text);
            for path in yes {
                assert!(pattern.matches(path), "{text} {path}");
            }
            for path in no {
                assert!(!pattern.matches(path), "{text} {path}");
            }
            assert_eq!(pattern.has_star(), text.contains('*'));
        }
    }

    #[test]
    fn what_the_stars_cover_is_known() {
        let covered = |text: &str, path: &'static str| -> Vec<&str> {
            pattern(text).covered(path).into_iter().map(|range| &path[range]).collect()
        };
        assert_eq!(covered("/a/b", "/a/b/"), [""; 0]);
        assert_eq!(covered("/*", "/a/b"), ["/a/b"]);
        assert_eq!(covered("/a/*/c/*:run/*", "/a/b/c/m:x:run/y/z"), ["b", "m:x", "/y/z"]);
    }

    #[test]
    fn a_path_that_can_never_match_is_refused() {
        for bad in [
            "", "a", "*", "/a//b", "/a/../b", "/.", "/%41", "/a%20b", "/a%2fb", "/a b", "/a+b", "/a;b", "//*", "/a/?q",
            "/é",
        ] {
            assert_eq!(bad.parse::<PathPattern>(), Err(NoPattern::Path), "{bad}");
        }
        for bad in ["/a*", "/a*/b", "/**", "/*x", "/*3A", "/*:a*", "/a/*b/*"] {
            assert_eq!(bad.parse::<PathPattern>(), Err(NoPattern::Star), "{bad}");
        }
        for good in ["/", "/*", "/a/", "/a/*/b", "/v1/models/x:generate", "/a/*:b", "/*.json", "/*/*"] {
            assert_eq!(pattern(good).to_string(), good);
        }
    }

    fn any_pattern() -> impl Strategy<Value = String> {
        let segments = prop::sample::select(vec!["a", "b", "a:b", ":b", "*", "*:b", "*:a:b"]);
        prop::collection::vec(segments, 0..4).prop_map(|segments| format!("/{}", segments.join("/")))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// What a pattern covers, it matches; and where it does not cover another, a path tells them apart.
        #[test]
        fn one_covers_another_where_it_matches_all_its_paths(one in any_pattern(), other in any_pattern()) {
            let (one, other) = (pattern(&one), pattern(&other));
            let mut paths = vec![String::new()];
            let mut told_apart = false;
            for _ in 0..4 {
                let segments = ["a", "b", "a:b", ":b", "z", "z:b", "z:a:b", "z:b:b"];
                paths = paths.iter().flat_map(|path| segments.map(|segment| format!("{path}/{segment}"))).collect();
                for path in paths.iter().map(String::as_str).chain(["/"]) {
                    let told = other.matches(path) && !one.matches(path);
                    prop_assert!(!(told && one.covers(&other)), "{} does not match {}", one, path);
                    told_apart |= told;
                }
            }
            prop_assert_eq!(one.covers(&other), !told_apart, "{} and {}", one, other);
        }
    }
}
