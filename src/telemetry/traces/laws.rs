//! What holds of any `traceparent` that a caller sends: it is read as another reader of the same paragraph does, or not at all.

use http::{HeaderMap, HeaderValue};

use super::context::{Context, TRACEPARENT};

/// The law of `traceparent`, of the header's bytes.
pub fn traceparent(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let headers = HeaderMap::from_iter([(http::HeaderName::from_static(TRACEPARENT), value)]);
    let read = Context::of_caller(&headers);
    assert_eq!(read.map(|context| (context.trace, context.span, context.flags)), by_the_book(bytes));

    let Some(context) = read else { return };
    let written = context.traceparent();
    let written = written.as_ref().map(HeaderValue::as_bytes);
    // The first version is written as it was read; of a later one, what the first one knows.
    assert_eq!(written.and_then(|written| written.get(2..)), bytes.get(2..55));
    for sampled in [true, false] {
        let told = context.sampled(sampled);
        assert_eq!((told.trace, told.span, told.is_sampled()), (context.trace, context.span, sampled));
        assert!(told.flags <= 3, "a flag that nobody here knows goes on: {told:?}");
    }
}

/// Trace Context 3.2, read field by field from the text.
fn by_the_book(bytes: &[u8]) -> Option<([u8; 16], [u8; 8], u8)> {
    let text = String::from_utf8_lossy(bytes);
    let fields: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags, more @ ..] = &*fields else { return None };
    let hex = |field: &str, length| {
        let sound = field.len() == length && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        sound.then(|| u128::from_str_radix(field, 16).ok()).flatten()
    };
    let version = hex(version, 2)?;
    let (trace, parent, flags) = (hex(trace, 32)?, hex(parent, 16)?, hex(flags, 2)?);
    let sound = trace != 0 && parent != 0 && version != 0xff && (version != 0 || more.is_empty());
    let parent = u64::try_from(parent).ok()?;
    sound.then_some((trace.to_be_bytes(), parent.to_be_bytes(), u8::try_from(flags).ok()?))
}
