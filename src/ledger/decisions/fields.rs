//! What the index keeps of an entry, read out of its canonical JSON without parsing the rest: every entry comes by here.
//!
//! Canonical JSON (RFC 8785) has no spaces and one form for each text, so texts are compared as they are written, escapes and all.

/// The members by which decisions are looked up, as they are written between their quotes. Words of closed sets are empty where there is none.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct DecisionFields<'a> {
    pub(super) kind: &'a [u8],
    pub(super) receipt_id: &'a [u8],
    pub(super) worker: Option<&'a [u8]>,
    pub(super) capability: Option<&'a [u8]>,
    pub(super) tenant: Option<&'a [u8]>,
    pub(super) code: &'a [u8],
    pub(super) outcome: &'a [u8],
    pub(super) label: &'a [u8],
    pub(super) env: &'a [u8],
}

impl<'a> DecisionFields<'a> {
    /// Reads an entry; `None` when it is no canonical object.
    pub(super) fn read(json: &'a [u8]) -> Option<Self> {
        let mut fields = Self::default();
        let mut at = 1;
        if json.first() != Some(&b'{') {
            return None;
        }
        loop {
            let (key, after) = text(json, at)?;
            at = after + 1;
            match (json.get(after)?, json.get(at)?) {
                (b':', b'"') => {
                    let (value, after) = text(json, at)?;
                    at = after;
                    fields.take(key, value);
                }
                (b':', b'{' | b'[') => at = nested(json, at)?,
                (b':', _) => at += json.get(at..)?.iter().position(|byte| matches!(byte, b',' | b'}'))?,
                _ => return None,
            }
            match json.get(at)? {
                b',' => at += 1,
                b'}' if at + 1 == json.len() => return Some(fields),
                _ => return None,
            }
        }
    }

    const fn take(&mut self, key: &[u8], value: &'a [u8]) {
        match key {
            b"kind" => self.kind = value,
            b"receipt_id" => self.receipt_id = value,
            b"worker_id" => self.worker = Some(value),
            b"capability_id" => self.capability = Some(value),
            b"tenant_id" => self.tenant = Some(value),
            b"deny_code" => self.code = value,
            b"outcome" => self.outcome = value,
            b"data_label" => self.label = value,
            b"env" => self.env = value,
            _ => {}
        }
    }
}

/// The text that begins here, without its quotes, and where it is over.
fn text(json: &[u8], at: usize) -> Option<(&[u8], usize)> {
    if json.get(at) != Some(&b'"') {
        return None;
    }
    let begin = at + 1;
    let mut end = begin;
    loop {
        end = special(json, end)?;
        match json.get(end)? {
            b'"' => return Some((json.get(begin..end)?, end + 1)),
            _ => end += 2,
        }
    }
}

/// Where the first quote or backslash is from here on. Most texts are short: eight bytes at a time, in place, are sooner looked at than a search is called.
fn special(json: &[u8], mut at: usize) -> Option<usize> {
    const EACH: u64 = u64::MAX / 255;
    // The lowest byte of these that is not zero is one that was zero.
    let zeros = |word: u64| word.wrapping_sub(EACH) & !word & (EACH << 7);
    loop {
        let rest = json.get(at..)?;
        let Some(word) = rest.first_chunk() else {
            return rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).map(|found| at + found);
        };
        let word = u64::from_le_bytes(*word);
        let found = zeros(word ^ (EACH * u64::from(b'"'))) | zeros(word ^ (EACH * u64::from(b'\\')));
        if found > 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
}

/// Where the object or array that begins here is over.
fn nested(json: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    loop {
        match json.get(at)? {
            b'"' => {
                at = text(json, at)?.1;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_quote_or_backslash_is_found_wherever_it_is_and_whatever_is_around_it() {
        for length in 0..40_usize {
            for around in [0_u8, 1, b'!', b'#', b'[', b']', 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                let mut text = vec![around; length];
                assert_eq!(special(&text, 0), None);
                for at in (0..length).rev() {
                    text[at] = if at % 3 == 0 { b'\\' } else { b'"' };
                    for from in 0..length {
                        assert_eq!(
                            special(&text, from),
                            Some(at.max(from)).filter(|found| *found < length),
                            "{text:?} {from}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn members_of_the_entry_alone_are_read_and_texts_as_they_are_written() {
        let json = br#"{"a":{"kind":"x","b":["}","\"]",{}]},"blast_score":45,"c":null,"capability_id":"cap.\"a\\","d":[],"kind":"decision","outcome":"DENY","worker_id":""}"#;
        let fields = DecisionFields::read(json).unwrap();
        let wanted = DecisionFields {
            kind: b"decision",
            capability: Some(br#"cap.\"a\\"#),
            worker: Some(b""),
            outcome: b"DENY",
            ..DecisionFields::default()
        };
        assert_eq!(fields, wanted);
        for end in 0..json.len() {
            assert_eq!(DecisionFields::read(&json[..end]), None, "{end}");
        }
        for none in ["", "{}", "[]", "{\"a\":1}x", "{\"a\" :1}", "{a:1}", "{\"a\":]}", "{\"a\":\"\\"] {
            let _ = DecisionFields::read(none.as_bytes());
        }
        assert_eq!(DecisionFields::read(b"{\"a\":1}x"), None);
    }
}
