//! A part of a request that is a span of its own, below the request's: what is no work of anybody's, such as waiting.

use std::time::{Instant, SystemTime};

use super::{AttributeValue, Span, Traced, Traces};

/// A part under way. It ends when it is dropped, whatever comes of the request.
#[derive(Debug)]
pub struct TracedPart {
    /// There until it ends.
    span: Option<Span>,
    clock: Instant,
    traces: Traces,
}

impl Traced {
    /// Begins a part of this name, where the request is recorded. Boxed: those that wait are many, and mostly there is none.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<Box<TracedPart>> {
        if !self.is_recorded() {
            return None;
        }
        let span = Span {
            context: self.span.context.child()?,
            parent: Some(self.span.context.span),
            is_part: true,
            name: name.to_owned(),
            began: SystemTime::now(),
            took: std::time::Duration::ZERO,
            attributes: Vec::new(),
            failed: false,
        };
        Some(Box::new(TracedPart { span: Some(span), clock: Instant::now(), traces: self.traces.clone() }))
    }
}

impl TracedPart {
    /// Says something of it: what was said before under the same name does not count any more.
    pub fn set(&mut self, name: &'static str, value: impl Into<AttributeValue>) {
        if let Some(span) = &mut self.span {
            span.attributes.retain(|(before, _)| *before != name);
            span.attributes.push((name, value.into()));
        }
    }
}

impl Drop for TracedPart {
    fn drop(&mut self) {
        if let Some(mut span) = self.span.take() {
            span.took = self.clock.elapsed();
            self.traces.send(span);
        }
    }
}
