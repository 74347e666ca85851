//! What is approved: a digest over exactly what would run, and who asks for it. Never over the correlation id or a time, so that the same
//! sent again is the same.

use crate::engine::description::Description;
use crate::engine::{RouteInput, artifact};
use crate::ids::{Digest, TokenName};

/// What would run, as a description that is added to field by field.
#[derive(Debug)]
pub struct Subject(Description);

impl Subject {
    /// What is asked, by whom, through which door.
    #[must_use]
    pub fn of(input: &RouteInput, token: Option<&TokenName>, door: &str) -> Self {
        let mut all = Description::with_capacity(1024);
        all.text("hallgate approval 1");
        all.text(door);
        all.maybe(token.map(TokenName::as_str));
        all.text(&input.tenant_id);
        all.maybe(input.worker_id.as_deref());
        all.text(&input.capability_id);
        all.text(input.env.as_str());
        all.text(input.data_label.as_str());
        all.maybe(input.tenant_credential.as_deref());
        Self(all)
    }

    /// With the caller's object and its privilege context, as values: at the Hall these are what would run.
    #[must_use]
    pub fn request(mut self, input: &RouteInput) -> Digest {
        let mut text = String::new();
        artifact::python_json(&input.request, &mut text);
        self.0.text(&text);
        text.clear();
        if let Some(context) = &input.privilege_context {
            artifact::python_json(context, &mut text);
        }
        self.0.maybe(input.privilege_context.as_ref().map(|_| &*text));
        self.0.end()
    }

    /// With a request on the wire, as it is forwarded. `headers` are those that count, by name, the values of each in their order.
    #[must_use]
    pub fn http<'a>(
        mut self,
        [method, upstream, target]: [&str; 3],
        headers: &[(&'a str, &'a [u8])],
        body: &Digest,
    ) -> Digest {
        for text in [method, upstream, target] {
            self.0.text(text);
        }
        self.0.number(headers.len() as u64);
        for (name, value) in headers {
            self.0.text(name);
            self.0.bytes(value);
        }
        self.0.digest(body);
        self.0.end()
    }
}
