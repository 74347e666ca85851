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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::engine::Json;
    use crate::engine::input::tests::plain;
    use crate::ids::{DataLabel, Env};

    #[test]
    fn each_field_of_who_asks_for_what_is_part_of_it_and_what_differs_each_time_is_not() {
        let name: TokenName = "asker".parse().unwrap();
        let of = |input: &RouteInput, token: Option<&TokenName>, door| Subject::of(input, token, door).request(input);
        let base = || RouteInput { worker_id: Some("wrk_a".into()), ..plain() };
        let others = [
            RouteInput { worker_id: Some("wrk_b".into()), ..base() },
            RouteInput { worker_id: None, ..base() },
            RouteInput { tenant_id: "org.acme2".into(), ..base() },
            RouteInput { capability_id: "cap.data.write.v2".into(), ..base() },
            RouteInput { env: Env::Stage, ..base() },
            RouteInput { data_label: DataLabel::Confidential, ..base() },
            RouteInput { tenant_credential: Some("one".into()), ..base() },
            RouteInput { request: Json::parse(b"{\"row\": 1}").unwrap(), ..base() },
        ];
        let mut digests: HashSet<Digest> = others.iter().map(|input| of(input, Some(&name), "api")).collect();
        let one = of(&base(), Some(&name), "api");
        digests.extend([one, of(&base(), None, "api"), of(&base(), Some(&"other".parse().unwrap()), "api")]);
        digests.insert(of(&base(), Some(&name), "gate"));
        assert_eq!(digests.len(), others.len() + 4, "each is another");
        let again = RouteInput { correlation_id: "another".into(), ..base() };
        assert_eq!(of(&again, Some(&name), "api"), one);

        let http = |line: [&str; 3], headers: &[(&'static str, &'static [u8])], body: &[u8]| {
            Subject::of(&base(), Some(&name), "gate").http(line, headers, &Digest::of(body))
        };
        let line = ["POST", "rows", "/rows?x=1"];
        let all = [
            http(line, &[("a", b"1")], b"body"),
            http(["PUT", line[1], line[2]], &[("a", b"1")], b"body"),
            http([line[0], "row", "s/rows?x=1"], &[("a", b"1")], b"body"),
            http([line[0], line[1], "/rows?x=2"], &[("a", b"1")], b"body"),
            http(line, &[("a", b"2")], b"body"),
            http(line, &[("b", b"1")], b"body"),
            http(line, &[("a", b"1"), ("a", b"1")], b"body"),
            http(line, &[], b"body"),
            http(line, &[("a", b"1")], b"bodz"),
        ];
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    }
}
