//! What was probably meant by a name that is none: the nearest of those that are.

/// Among `known`, what was probably meant by `written`: at most a third of its characters, and at most three, may differ.
#[must_use]
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
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

/// The Levenshtein distance: how many characters to insert, delete or replace.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.chars()) {
            let best = (diagonal + usize::from(x != y)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, best);
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised_and_a_different_word_is_not() {
        assert_eq!(distance("listen", "listne"), 2);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        let known = ["listen", "env", "upstreams", "routes"];
        assert_eq!(nearest("listne", known), Some("listen"));
        assert_eq!(nearest("upstream", known), Some("upstreams"));
        assert_eq!(nearest("enf", known), Some("env"));
        assert_eq!(nearest("password", known), None);
        assert_eq!(nearest("z", ["a", "b"]), None);
    }
}
