//! Values that are JSON to whoever reads them, such as registry records that are written in a configuration.

use std::sync::Arc;

use marked_yaml::Node;

use super::Value;
use crate::config::yaml::{self, Scalar};
use crate::engine::Json;
use crate::engine::json::MAX_DEPTH;

impl Value<'_> {
    /// The value as JSON, variables replaced. The place of everything in it is noted, and what is wrong with it; then there is none.
    pub fn json(&self) -> Option<Json> {
        self.json_within(MAX_DEPTH)
    }

    fn json_within(&self, depth: usize) -> Option<Json> {
        let Some(deeper) = depth.checked_sub(1) else {
            self.wrong(format!("is nested deeper than {MAX_DEPTH} levels"), "write it flatter");
            return None;
        };
        match self.node {
            Node::Mapping(_) => {
                let members = self.entries()?.into_iter().map(|(name, value)| {
                    let value = value.json_within(deeper)?;
                    Some((Arc::from(name.text), value))
                });
                // All of them, for what else is wrong.
                let read: Vec<_> = members.collect();
                read.into_iter().collect::<Option<_>>().map(Json::Object)
            }
            Node::Sequence(_) => {
                let read: Vec<_> = self.list()?.into_iter().map(|value| value.json_within(deeper)).collect();
                read.into_iter().collect::<Option<_>>().map(Json::Array)
            }
            Node::Scalar(scalar) => match yaml::scalar(scalar) {
                Scalar::Null => Some(Json::Null),
                Scalar::Bool(flag) => Some(Json::Bool(flag)),
                Scalar::Number(digits) => {
                    let number = Json::parse(digits.as_bytes());
                    number.map_err(|why| self.wrong(why.message, "write a smaller number, or a text in quotes")).ok()
                }
                Scalar::Text(_) => self.text().map(|text| Json::String(Arc::from(text))),
            },
        }
    }
}
