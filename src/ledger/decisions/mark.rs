//! Marks: what the index keeps of each decision, 27 bytes whatever its texts are.
//!
//! Names are kept as 32 bits of a hash under a key that nobody knows, so that no caller can choose names that are taken for another's;
//! words of closed sets by their place among them. A mark only says where to look: the entry says what was decided.

use ahash::RandomState;
use uuid::Uuid;

use super::fields::DecisionFields;
use crate::engine::{DenyCode, Outcome};
use crate::ids::{DataLabel, Env};

/// Bytes of a mark.
pub(crate) const MARK: usize = 27;
/// Bytes of an offset.
const OFFSET: usize = 5;
/// A word that is in no set of ours.
const OTHER: u8 = u8::MAX;

/// A decision's mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DecisionMark {
    /// The upper half of its id: its time, in the order of times.
    pub(super) time: u64,
    /// Where in its segment its frame begins.
    pub(super) offset: u64,
    pub(super) worker: u32,
    pub(super) capability: u32,
    pub(super) tenant: u32,
    /// Its deny code's place, from 1; 0: none.
    pub(super) code: u8,
    /// Verdict, environment and label, as [`words`] has them.
    pub(super) words: u8,
}

/// The upper half of an id.
pub(super) const fn time_of(id: Uuid) -> u64 {
    (id.as_u128() >> 64) as u64
}

/// The smallest upper half of the ids of this time, in microseconds since 1970 UTC.
pub(super) fn time_from(micros: i64) -> u64 {
    let micros = micros.clamp(0, 281_474_976_710_655_999).unsigned_abs();
    ((micros / 1000) << 16) | (7 << 12) | (micros % 1000)
}

/// Verdict, environment and label in one byte: two, three and three bits; 0 of three bits: none.
pub(super) fn words(outcome: u8, env: u8, label: u8) -> u8 {
    outcome.min(3) | env.min(7) << 2 | label.min(7) << 5
}

/// The place of a word among these, from 1; 0: there is none.
pub(super) fn place<T: Copy>(words: &[T], as_str: impl Fn(T) -> &'static str, written: &[u8]) -> u8 {
    if written.is_empty() {
        return 0;
    }
    let at = words.iter().position(|word| as_str(*word).as_bytes() == written);
    at.and_then(|at| u8::try_from(at + 1).ok()).unwrap_or(OTHER)
}

/// What all words come to: an index that was made with others is another's.
pub(super) fn vocabulary() -> u32 {
    let mut sum = crc32fast::Hasher::new();
    let codes = DenyCode::ALL.iter().map(|code| code.as_str());
    let envs = Env::ALL.iter().map(|env| env.as_str());
    let labels = DataLabel::ALL.iter().map(|label| label.as_str());
    for word in codes.chain(envs).chain(labels).chain(Outcome::ALL.iter().map(|outcome| outcome.as_str())) {
        sum.update(word.as_bytes());
        sum.update(b"\n");
    }
    sum.finalize()
}

/// What names are hashed by.
#[derive(Debug, Clone)]
pub(super) struct Names {
    key: [u64; 4],
    state: RandomState,
}

impl Names {
    /// By this key.
    pub(super) fn under(key: [u64; 4]) -> Self {
        let [first, second, third, fourth] = key;
        Self { key, state: RandomState::with_seeds(first, second, third, fourth) }
    }

    /// By a key that nobody knows.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        let (words, _) = bytes.as_chunks::<8>();
        let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
        let mut next = || words.next().unwrap_or_default();
        Ok(Self::under([next(), next(), next(), next()]))
    }

    pub(super) const fn key(&self) -> [u64; 4] {
        self.key
    }

    /// What a known text comes to: another version of the hash, or another processor's, is another.
    pub(super) fn check(&self) -> u64 {
        self.state.hash_one(b"hallgate".as_slice())
    }

    /// A name as it is written in an entry; 0: there is none.
    pub(super) fn hash(&self, written: Option<&[u8]>) -> u32 {
        written.map_or(0, |written| (self.state.hash_one(written) as u32).max(1))
    }
}

impl DecisionMark {
    /// That of an entry; `None` when it is no decision.
    pub(super) fn of(fields: &DecisionFields<'_>, id: Uuid, offset: u64, names: &Names) -> Option<Self> {
        if fields.kind != b"decision" {
            return None;
        }
        let outcome = place(Outcome::ALL, Outcome::as_str, fields.outcome).wrapping_sub(1);
        let env = place(Env::ALL, Env::as_str, fields.env);
        let label = place(DataLabel::ALL, DataLabel::as_str, fields.label);
        Some(Self {
            time: time_of(id),
            offset,
            worker: names.hash(fields.worker),
            capability: names.hash(fields.capability),
            tenant: names.hash(fields.tenant),
            code: place(DenyCode::ALL, DenyCode::as_str, fields.code),
            words: words(outcome, env, label),
        })
    }

    pub(super) fn push_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.time.to_le_bytes());
        out.extend_from_slice(self.offset.to_le_bytes().first_chunk::<OFFSET>().map_or(&[], |low| low.as_slice()));
        for name in [self.worker, self.capability, self.tenant] {
            out.extend_from_slice(&name.to_le_bytes());
        }
        out.extend_from_slice(&[self.code, self.words]);
    }

    pub(super) fn read(bytes: &[u8; MARK]) -> Self {
        let [
            t0,
            t1,
            t2,
            t3,
            t4,
            t5,
            t6,
            t7,
            o0,
            o1,
            o2,
            o3,
            o4,
            w0,
            w1,
            w2,
            w3,
            c0,
            c1,
            c2,
            c3,
            n0,
            n1,
            n2,
            n3,
            code,
            words,
        ] = *bytes;
        Self {
            time: u64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
            offset: u64::from_le_bytes([o0, o1, o2, o3, o4, 0, 0, 0]),
            worker: u32::from_le_bytes([w0, w1, w2, w3]),
            capability: u32::from_le_bytes([c0, c1, c2, c3]),
            tenant: u32::from_le_bytes([n0, n1, n2, n3]),
            code,
            words,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_as_it_was_and_words_fit_into_their_bits() {
        let names = Names::new().unwrap();
        let fields = DecisionFields {
            kind: b"decision",
            worker: Some(b"wrk_a"),
            tenant: Some(b"org.a"),
            code: b"DENY_NO_MATCHING_RULE",
            outcome: b"DENY",
            env: b"prod",
            label: b"RESTRICTED",
            ..DecisionFields::default()
        };
        let id = Uuid::from_u128(u128::MAX / 3);
        let mark = DecisionMark::of(&fields, id, (1 << 40) - 1, &names).unwrap();
        let mut bytes = Vec::new();
        mark.push_to(&mut bytes);
        assert_eq!(DecisionMark::read(bytes.first_chunk().unwrap()), mark);
        assert_eq!((bytes.len(), mark.capability), (MARK, 0));
        assert!(mark.worker > 0 && mark.code > 0 && mark.code < OTHER);
        assert!(Env::ALL.len() < 7 && DataLabel::ALL.len() < 7 && DenyCode::ALL.len() < usize::from(OTHER));
        assert_eq!(DecisionMark::of(&DecisionFields { kind: b"outcome", ..fields }, id, 0, &names), None);
        assert_eq!(Names::under(names.key()).hash(Some(b"wrk_a")), mark.worker);
        assert_ne!(
            Names::new().unwrap().hash(Some(b"wrk_a")),
            mark.worker,
            "another key, one in four thousand million"
        );
    }

    #[test]
    fn times_are_in_the_order_of_ids() {
        let id = |micros: i64, low: u128| {
            let micros = micros.unsigned_abs();
            Uuid::from_u128(u128::from(micros / 1000) << 80 | 7 << 76 | u128::from(micros % 1000) << 64 | 2 << 62 | low)
        };
        for micros in [0, 1, 999, 1000, 1_767_225_600_000_042] {
            assert_eq!(time_of(id(micros, 5)), time_from(micros));
            assert!(time_of(id(micros, 5)) < time_from(micros + 1));
        }
        assert!(time_from(-5) == time_from(0) && time_from(i64::MAX) > time_from(253_402_207_199_999_999));
    }
}
