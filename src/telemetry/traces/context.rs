//! W3C Trace Context: whose child a request is, and what its upstream is told.
//!
//! What a caller sends here is believed for tracing and for nothing else.

use http::{HeaderMap, HeaderValue};

/// The header with the caller's trace and span.
pub const TRACEPARENT: &str = "traceparent";
/// The header in which tracing systems keep notes of their own; worth nothing without the other.
pub const TRACESTATE: &str = "tracestate";

const SAMPLED: u8 = 0x01;
/// The trace id is random (Trace Context, level 2).
const RANDOM: u8 = 0x02;

/// A span's place: in which trace, which one, and whether it is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The trace's id; not zero.
    pub trace: [u8; 16],
    /// The span's id; not zero.
    pub span: [u8; 8],
    /// As in `traceparent`.
    pub flags: u8,
}

impl Context {
    /// The caller's, from the one `traceparent` header; `None` when there is none, several, or a malformed one.
    pub fn of_caller(headers: &HeaderMap) -> Option<Self> {
        let mut sent = headers.get_all(TRACEPARENT).iter();
        match (sent.next(), sent.next()) {
            (Some(one), None) => Self::read(one.as_bytes()),
            _ => None,
        }
    }

    fn read(written: &[u8]) -> Option<Self> {
        let (known, more) = written.split_at_checked(55)?;
        let mut parts = known.split(|byte| *byte == b'-');
        let [version]: [u8; 1] = hex(parts.next()?)?;
        let (trace, span) = (hex(parts.next()?)?, hex(parts.next()?)?);
        let [flags]: [u8; 1] = hex(parts.next()?)?;
        // A later version may say more, behind another dash.
        let whole =
            if version == 0 { more.is_empty() } else { version != 0xff && matches!(more.first(), None | Some(b'-')) };
        (whole && trace != [0; 16] && span != [0; 8]).then_some(Self { trace, span, flags })
    }

    /// The first of a new trace.
    pub fn root() -> Option<Self> {
        let mut trace = [0; 16];
        getrandom::fill(&mut trace).ok()?;
        // Random, but not said to be: some implementations take a flag that they do not know for a malformed header.
        let root = Self { trace, span: [0; 8], flags: 0 };
        if trace == [0; 16] { None } else { root.child() }
    }

    /// A child of this one. `None` when there is no randomness.
    pub fn child(self) -> Option<Self> {
        let mut span = [0; 8];
        getrandom::fill(&mut span).ok()?;
        (span != [0; 8]).then_some(Self { span, ..self })
    }

    /// The same, recorded or not. Only the flags that are known are passed on.
    #[must_use]
    pub const fn sampled(self, sampled: bool) -> Self {
        let flags = self.flags & RANDOM | if sampled { SAMPLED } else { 0 };
        Self { flags, ..self }
    }

    /// Whether it is recorded.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The trace id's last 56 bits, which are random where any of it is.
    #[must_use]
    pub fn randomness(self) -> u64 {
        u128::from_be_bytes(self.trace) as u64 & ((1 << 56) - 1)
    }

    /// The header by which the next one becomes its child.
    #[must_use]
    pub fn traceparent(self) -> Option<HeaderValue> {
        let (trace, span) = (u128::from_be_bytes(self.trace), u64::from_be_bytes(self.span));
        HeaderValue::try_from(format!("00-{trace:032x}-{span:016x}-{:02x}", self.flags)).ok()
    }
}

/// Lower-case hex of exactly so many bytes.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn read(written: &[&str]) -> Option<Context> {
        let mut headers = HeaderMap::new();
        for value in written {
            headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
        }
        Context::of_caller(&headers)
    }

    #[test]
    fn a_sound_parent_is_read_and_written_as_it_was() {
        let context = read(&[SOUND]).unwrap();
        assert!(context.is_sampled());
        assert_eq!(context.traceparent().unwrap(), SOUND);
        let off = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        assert!(!read(&[off]).unwrap().is_sampled());
        for later in
            ["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", &format!("cc{}-what-else", &SOUND[2..])]
        {
            assert_eq!(read(&[later]).unwrap().span, context.span, "{later}");
        }
    }

    #[test]
    fn a_malformed_parent_is_none() {
        for bad in [
            &[][..],
            &[SOUND, SOUND],
            &[""],
            &["00"],
            &[&SOUND.to_uppercase()],
            &[&format!("{SOUND}-")],
            &[&format!("{SOUND}0")],
            &[&SOUND[..54]],
            &[&format!("ff{}", &SOUND[2..])],
            &[&format!("cc{}0", &SOUND[2..])],
            &[&SOUND.replace('-', "_")],
            &[&SOUND.replace("4bf9", "4bg9")],
            &["00-00000000000000000000000000000000-00f067aa0ba902b7-01"],
            &["00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"],
            &["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g"],
            &["00-4bf92f3577b34da6a3ce929d0e0e47360-0f067aa0ba902b7-01"],
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_child_is_another_span_of_the_same_trace() {
        let parent = read(&[SOUND]).unwrap();
        let child = parent.child().unwrap();
        assert_eq!(child.trace, parent.trace);
        assert_ne!(child.span, parent.span);
        assert_ne!(Context::root().unwrap().trace, Context::root().unwrap().trace);
        let unknown_flags = Context { flags: 0xff, ..parent };
        assert_eq!((unknown_flags.sampled(false).flags, unknown_flags.sampled(true).flags), (RANDOM, RANDOM | SAMPLED));
    }
}
