//! Spans on the wire: the messages of OTLP 1 that traces need, by their field numbers. Texts that are too long are cut.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use prost::{Message, Oneof};

use super::{AttributeValue, Span};

/// The longest text of an attribute, in bytes: some of them are a caller's.
const LONGEST: usize = 1024;
/// The conventions by which attributes are named.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";
const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const FAILED: i32 = 2;
/// The flags say whether the parent is another process's, and it is.
const PARENT_IS_REMOTE: u32 = 0x300;
/// The flags say whether the parent is another process's, and there is none, or one of ours.
const NO_REMOTE_PARENT: u32 = 0x100;

/// What is posted.
#[derive(Message)]
pub struct Request {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceSpans>,
}

#[derive(Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<OtlpResource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeSpans>,
    #[prost(string, tag = "3")]
    schema_url: String,
}

/// Which process it is.
#[derive(Clone, Message)]
pub struct OtlpResource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<Attribute>,
}

#[derive(Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Written>,
    #[prost(string, tag = "3")]
    schema_url: String,
}

#[derive(Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Message)]
struct Written {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    began: u64,
    #[prost(fixed64, tag = "8")]
    ended: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<Attribute>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Any>,
}

#[derive(Clone, Message)]
struct Any {
    #[prost(oneof = "Kind", tags = "1, 2, 3")]
    kind: Option<Kind>,
}

#[derive(Clone, Oneof)]
enum Kind {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Flag(bool),
    #[prost(int64, tag = "3")]
    Number(i64),
}

/// What a collector answers.
#[derive(Message)]
pub struct Response {
    #[prost(message, optional, tag = "1")]
    partial: Option<Partial>,
}

#[derive(Message)]
struct Partial {
    #[prost(int64, tag = "1")]
    rejected: i64,
}

impl OtlpResource {
    /// Of these names and values.
    pub fn new(attributes: &[(Cow<'static, str>, String)]) -> Self {
        let attribute = |(name, value): &(Cow<'static, str>, String)| Attribute {
            name: name.clone().into_owned(),
            value: Some(Any { kind: Some(Kind::Text(value.clone())) }),
        };
        Self { attributes: attributes.iter().map(attribute).collect() }
    }
}

impl Request {
    /// One batch of spans of this process.
    pub fn new(resource: &OtlpResource, spans: &mut Vec<Span>) -> Self {
        let scope = Scope { name: "hallgate".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let spans = spans.drain(..).map(Written::from).collect();
        let scopes = vec![ScopeSpans { scope: Some(scope), spans, schema_url: SCHEMA.to_owned() }];
        let resource = Some(resource.clone());
        Self { resources: vec![ResourceSpans { resource, scopes, schema_url: SCHEMA.to_owned() }] }
    }
}

impl Response {
    /// How many of the spans that were posted it did not take.
    pub fn rejected(body: &[u8]) -> u64 {
        // A collector that has nothing to complain about may answer anything.
        let partial = Self::decode(body).ok().and_then(|response| response.partial);
        partial.map_or(0, |partial| u64::try_from(partial.rejected).unwrap_or(0))
    }
}

impl From<Span> for Written {
    fn from(span: Span) -> Self {
        let began = span.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let is_remote = span.parent.is_some() && !span.is_part;
        let parent = if is_remote { PARENT_IS_REMOTE } else { NO_REMOTE_PARENT };
        Self {
            trace_id: span.context.trace.to_vec(),
            span_id: span.context.span.to_vec(),
            parent_span_id: span.parent.map(|parent| parent.to_vec()).unwrap_or_default(),
            name: span.name,
            kind: if span.is_part { INTERNAL } else { SERVER },
            began: nanos(began),
            ended: nanos(began + span.took),
            attributes: span.attributes.into_iter().map(Attribute::from).collect(),
            status: span.failed.then_some(Status { code: FAILED }),
            flags: u32::from(span.context.flags) | parent,
        }
    }
}

impl From<(&'static str, AttributeValue)> for Attribute {
    fn from((name, value): (&'static str, AttributeValue)) -> Self {
        let kind = match value {
            AttributeValue::Word(word) => Kind::Text(word.to_owned()),
            AttributeValue::Text(text) => Kind::Text(cut(&text).to_owned()),
            AttributeValue::Number(number) => Kind::Number(number),
            AttributeValue::Flag(flag) => Kind::Flag(flag),
        };
        Self { name: name.to_owned(), value: Some(Any { kind: Some(kind) }) }
    }
}

/// As much of a text as may be sent.
fn cut(text: &str) -> &str {
    if text.len() <= LONGEST {
        return text;
    }
    (0..=LONGEST).rev().find_map(|end| text.get(..end)).unwrap_or_default()
}

fn nanos(since: Duration) -> u64 {
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long: String = "é".repeat(LONGEST);
        let attribute = Attribute::from(("wcp.capability", AttributeValue::from(format!("x{long}"))));
        let Some(Kind::Text(text)) = attribute.value.unwrap().kind else { panic!("no text") };
        assert_eq!(text.len(), LONGEST - 1);
        assert!(text.ends_with('é'));
    }

    #[test]
    fn what_a_collector_rejects_is_read_and_all_else_is_no_complaint() {
        assert_eq!(Response::rejected(&[0x0a, 0x02, 0x08, 0x03]), 3);
        for other in [&b""[..], b"{}", b"ok", &[0x0a, 0x00]] {
            assert_eq!(Response::rejected(other), 0, "{other:?}");
        }
    }
}
