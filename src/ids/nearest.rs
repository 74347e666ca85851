//! What was probably meant by a name that is none: the nearest of those that are.

/// `did you mean …?`, if one of the known names is near enough; else the other help.
pub fn meant<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
    otherwise: impl FnOnce() -> String,
) -> String {
    nearest(written, known).map_or_else(otherwise, |meant| format!("did you mean `{meant}`?"))
}

/// Among `known`, what was probably meant by `written`: at most a third of its characters, and at most three, may differ; letters in
/// another case and what blank is around it do not count.
#[must_use]
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.trim();
    // One character may have four bytes.
    let longest = |name: &str| if written.is_ascii() && name.is_ascii() { MOST } else { 4 * MOST };
    known
        .into_iter()
        // What is that much longer or shorter need not be looked at.
        .filter(|name| name.len().abs_diff(written.len()) <= longest(name))
        .map(|name| (distance(written, name), name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).clamp(1, MOST) && *distance < name.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The most slips of the pen in one name.
const MOST: usize = 3;

/// How many characters to insert, delete or replace, or neighbours to swap (the distance of Damerau and Levenshtein, each piece
/// of the text being touched once).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    // The rows of the first characters of `a`: all but two, all but one.
    let (mut before, mut row): (Vec<usize>, Vec<usize>) = (Vec::new(), (0..=b.len()).collect());
    let mut previous = None;
    for (i, x) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX - 1);
            let replaced = cell(&row, j) + usize::from(!x.eq_ignore_ascii_case(y));
            let mut best = replaced.min(cell(&row, j + 1) + 1).min(cell(&next, j) + 1);
            let swapped = j.checked_sub(1).filter(|at| b.get(*at) == Some(&x) && previous == Some(*y));
            if let Some(at) = swapped {
                best = best.min(cell(&before, at) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
        previous = Some(x);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised_and_a_different_word_is_not() {
        assert_eq!(distance("listen", "listne"), 1);
        assert_eq!((distance("ab", "ba"), distance("abc", "cab"), distance("", "")), (1, 2, 0));
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        let known = ["listen", "env", "upstreams", "routes"];
        assert_eq!(nearest("listne", known), Some("listen"));
        assert_eq!(nearest("upstream", known), Some("upstreams"));
        assert_eq!(nearest("enf", known), Some("env"));
        assert_eq!(nearest("hgih", ["low", "high"]), Some("high"));
        assert_eq!(nearest(" Hgih\n", ["low", "high"]), Some("high"));
        assert_eq!(nearest("GET", ["get", "head"]), Some("get"));
        assert_eq!(nearest("password", known), None);
        assert_eq!(nearest("z", ["a", "b"]), None);
    }
}
