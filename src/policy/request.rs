//! The caller's object, as far as policies read it: of which kind each value must be, and what becomes of one that is not.
//!
//! JSON and Cedar do not hold the same values: Cedar has no fractions, no null, no integer beyond 64 bits and no mixed sets. So
//! the kind of each value that is read is worked out from the policies, the schema is completed with it, and a value of
//! another kind is never left out, rounded or guessed at: it denies, whatever the policies say. What no policy reads does not
//! matter and is not looked at.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use cedar_policy::RestrictedExpression;

use crate::engine::policy_gate::{Claim, Policies};
use crate::engine::{Json, ReadAttribute};

/// Of which kind a value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueKind {
    Bool,
    Long,
    Text,
    Set(Element),
}

/// Of which kind the elements of a set are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    Bool,
    Long,
    Text,
    /// Nothing says so: only whether there are any is read.
    Unknown,
}

impl ValueKind {
    /// The set of such values; of what is no element of a set here, one of unknown elements.
    pub(super) fn set(of: Option<Self>) -> Self {
        Self::Set(match of {
            Some(Self::Bool) => Element::Bool,
            Some(Self::Long) => Element::Long,
            Some(Self::Text) => Element::Text,
            Some(Self::Set(_)) | None => Element::Unknown,
        })
    }

    /// The kind of its elements, if it is a set and that is known.
    pub(super) const fn element(self) -> Option<Self> {
        match self {
            Self::Set(Element::Bool) => Some(Self::Bool),
            Self::Set(Element::Long) => Some(Self::Long),
            Self::Set(Element::Text) => Some(Self::Text),
            _ => None,
        }
    }

    const fn in_words(self) -> &'static str {
        match self {
            Self::Bool => "a boolean",
            Self::Long => "an integer",
            Self::Text => "a text",
            Self::Set(Element::Bool) => "a list of booleans",
            Self::Set(Element::Long) => "a list of integers",
            Self::Set(Element::Text) => "a list of texts",
            Self::Set(Element::Unknown) => "a list",
        }
    }

    const fn in_schema(self) -> &'static str {
        match self {
            Self::Bool => "Bool",
            Self::Long => "Long",
            Self::Text => "String",
            Self::Set(Element::Bool) => "Set<Bool>",
            Self::Set(Element::Long) => "Set<Long>",
            Self::Set(Element::Text | Element::Unknown) => "Set<String>",
        }
    }
}

/// The policy that reads something.
#[derive(Debug, Clone, Copy)]
pub(super) struct PolicyClause {
    /// Its place.
    pub(super) policy: usize,
    /// Whether it forbids, or asks for a human.
    pub(super) forbids: bool,
}

/// What the policies were found to read of a value, while they are looked through.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ReadValue {
    /// By which policy, first.
    policy: usize,
    /// Whether a policy that forbids does.
    forbids: bool,
    /// As a value, not only for its attributes or for being there.
    used: bool,
    /// As which kinds, each with the policy that reads it so first.
    kinds: Vec<(ValueKind, usize)>,
    fields: BTreeMap<String, ReadValue>,
}

impl ReadValue {
    fn at(&mut self, path: &[&str], by: PolicyClause) -> &mut Self {
        path.iter().fold(self, |found, name| {
            let field = found.fields.entry((*name).to_owned());
            let field = field.or_insert_with(|| Self { policy: by.policy, ..Self::default() });
            field.forbids |= by.forbids;
            field
        })
    }

    /// Somebody asks whether it is there.
    pub(super) fn has(&mut self, path: &[&str], by: PolicyClause) {
        self.at(path, by);
    }

    /// Somebody reads it as a value, and where that can be told, of this kind.
    pub(super) fn reads(&mut self, path: &[&str], kind: Option<ValueKind>, by: PolicyClause) {
        let policy = by.policy;
        let found = self.at(path, by);
        found.used = true;
        let Some(kind) = kind else { return };
        let vague = ValueKind::Set(Element::Unknown);
        let is_set = matches!(kind, ValueKind::Set(_));
        if kind == vague && found.kinds.iter().any(|(known, _)| matches!(known, ValueKind::Set(_))) {
            return;
        }
        if is_set {
            found.kinds.retain(|(known, _)| *known != vague);
        }
        if !found.kinds.iter().any(|(known, _)| *known == kind) {
            found.kinds.push((kind, policy));
        }
    }

    /// Of which kind it is, as far as that is known.
    pub(super) fn kind(&self, path: &[&str]) -> Option<ValueKind> {
        let found = path.iter().try_fold(self, |found, name| found.fields.get(*name))?;
        found.kinds.first().map(|(kind, _)| *kind)
    }

    /// What is read of it, and what makes no sense in that: policy, message and what to change.
    pub(super) fn shape(&self, path: &str, problems: &mut Vec<(usize, String, String)>) -> Shape {
        let field = |(name, found): (&String, &Self)| {
            let path = format!("{path}.{name}");
            let field = Field { is: found.field(&path, problems), forbids: found.forbids };
            (Arc::from(name.as_str()), field)
        };
        Shape(self.fields.iter().map(field).collect())
    }

    fn field(&self, path: &str, problems: &mut Vec<(usize, String, String)>) -> Read {
        let one_kind = || "read a value as one kind in all policies".to_owned();
        if let Some((first, rest)) = self.kinds.split_first() {
            for (kind, policy) in rest {
                let message =
                    format!("reads `{path}` as {}, which is read as {}, too", kind.in_words(), first.0.in_words());
                problems.push((*policy, message, one_kind()));
            }
            if !self.fields.is_empty() {
                let message = format!("reads `{path}` as {}, which is read as an object, too", first.0.in_words());
                problems.push((first.1, message, one_kind()));
            }
        } else if self.used {
            let (how, help) = if self.fields.is_empty() {
                ("without saying as what", format!("compare it with a literal, such as `{path} == \"text\"`"))
            } else {
                ("as a whole", "read its attributes one by one".to_owned())
            };
            problems.push((self.policy, format!("reads `{path}` {how}"), help));
        }
        match self.kinds.first() {
            _ if !self.fields.is_empty() => Read::Record(self.shape(path, problems)),
            Some((kind, _)) => Read::Value(*kind),
            None => Read::Presence,
        }
    }
}

/// What is read of an object: each attribute in the order in which its claims are given.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Shape(BTreeMap<Arc<str>, Field>);

/// An attribute that is read.
#[derive(Debug, Clone, PartialEq)]
struct Field {
    is: Read,
    /// Whether a policy that forbids reads it.
    forbids: bool,
}

/// What is read of an attribute.
#[derive(Debug, Clone, PartialEq)]
enum Read {
    /// Only whether it is there.
    Presence,
    Value(ValueKind),
    Record(Shape),
}

/// A claim that denies: its path and what it is.
pub(super) struct UnreadableClaim {
    pub(super) path: String,
    pub(super) is: &'static str,
    pub(super) wanted: &'static str,
}

impl Shape {
    /// The type in the schema.
    pub(super) fn in_schema(&self) -> String {
        let mut text = String::from("{");
        for (name, field) in &self.0 {
            // Rust escapes a string literal as Cedar does. Writing to a string cannot fail.
            let _ = write!(text, " {name:?}?: {},", field.is.in_schema());
        }
        text.push_str(" }");
        text
    }

    /// The attributes that these policies read, each with the way to it.
    pub(super) fn attributes(&self, policies: Policies) -> Vec<ReadAttribute> {
        let mut found = Vec::new();
        self.collect(policies, &mut Vec::new(), &mut found);
        found
    }

    fn collect(&self, policies: Policies, way: &mut Vec<Arc<str>>, found: &mut Vec<ReadAttribute>) {
        for (name, field) in self.0.iter().filter(|(_, field)| policies == Policies::All || field.forbids) {
            way.push(Arc::clone(name));
            match &field.is {
                Read::Record(shape) => shape.collect(policies, way, found),
                is => found.push(ReadAttribute { path: way.as_slice().into(), value: *is != Read::Presence }),
            }
            way.pop();
        }
    }

    /// What is read of an object, in order.
    pub(super) fn claims(&self, request: &Json) -> Box<[Claim]> {
        let mut claims = Vec::with_capacity(self.0.len());
        self.claim(Some(request), &mut claims);
        claims.into_boxed_slice()
    }

    fn claim(&self, object: Option<&Json>, claims: &mut Vec<Claim>) {
        let members = object.and_then(Json::as_object);
        for (name, field) in &self.0 {
            let value = members.and_then(|members| members.get(name));
            match &field.is {
                Read::Presence => claims.push(presence(value)),
                Read::Value(kind) => claims.push(value.map_or(Claim::Absent, |value| claim(value, *kind))),
                Read::Record(shape) => {
                    claims.push(match value {
                        Some(Json::Object(_)) | None => presence(value),
                        Some(other) => Claim::Unreadable(kind_of(other)),
                    });
                    shape.claim(value, claims);
                }
            }
        }
    }

    /// The object that these policies see, from its claims.
    pub(super) fn record<'c>(
        &self,
        policies: Policies,
        path: &str,
        claims: &mut impl Iterator<Item = &'c Claim>,
    ) -> Result<Vec<(String, RestrictedExpression)>, UnreadableClaim> {
        let mut members = Vec::with_capacity(self.0.len());
        for (name, field) in &self.0 {
            if policies == Policies::Forbids && !field.forbids {
                field.is.pass_over(claims);
                continue;
            }
            let claim = claims.next().unwrap_or(&Claim::Unreadable("missing"));
            if let Claim::Unreadable(is) = claim {
                return Err(UnreadableClaim { path: format!("{path}.{name}"), is, wanted: field.is.in_words() });
            }
            let value = match &field.is {
                Read::Presence | Read::Value(_) => expression(claim),
                Read::Record(shape) => {
                    // An object that is not there has claims, too, and none of them is there.
                    let inner = shape.record(policies, &format!("{path}.{name}"), claims)?;
                    match claim {
                        Claim::Absent => None,
                        _ => RestrictedExpression::new_record(inner).ok(),
                    }
                }
            };
            members.extend(value.map(|value| (name.to_string(), value)));
        }
        Ok(members)
    }
}

impl Read {
    /// Takes the claims of what nobody who is asked reads.
    fn pass_over<'c>(&self, claims: &mut impl Iterator<Item = &'c Claim>) {
        claims.next();
        if let Self::Record(shape) = self {
            shape.0.values().for_each(|field| field.is.pass_over(claims));
        }
    }

    fn in_schema(&self) -> String {
        match self {
            Self::Presence => ValueKind::Bool.in_schema().to_owned(),
            Self::Value(kind) => kind.in_schema().to_owned(),
            Self::Record(shape) => shape.in_schema(),
        }
    }

    const fn in_words(&self) -> &'static str {
        match self {
            Self::Presence => "a value",
            Self::Value(kind) => kind.in_words(),
            Self::Record(_) => "an object",
        }
    }
}

/// Null is no value to Cedar, and not the same as absent to whoever gets the request.
fn presence(value: Option<&Json>) -> Claim {
    match value {
        None => Claim::Absent,
        Some(Json::Null) => Claim::Unreadable("null"),
        Some(_) => Claim::Present,
    }
}

fn claim(value: &Json, kind: ValueKind) -> Claim {
    let claim = match (kind, value) {
        (ValueKind::Bool, Json::Bool(value)) => Some(Claim::Bool(*value)),
        (ValueKind::Long, Json::Int(_)) => value.as_i64().map(Claim::Long),
        (ValueKind::Text, Json::String(text)) => Some(Claim::Text(Arc::clone(text))),
        (ValueKind::Set(_), Json::Array(elements)) => set(elements, kind.element().unwrap_or(ValueKind::Text)),
        _ => None,
    };
    claim.unwrap_or_else(|| Claim::Unreadable(kind_of(value)))
}

fn set(elements: &[Json], kind: ValueKind) -> Option<Claim> {
    let mut set = Vec::with_capacity(elements.len());
    for element in elements {
        match claim(element, kind) {
            Claim::Unreadable(_) => return None,
            claim => set.push(claim),
        }
    }
    set.sort_unstable();
    set.dedup();
    Some(Claim::Set(set.into_boxed_slice()))
}

fn kind_of(value: &Json) -> &'static str {
    match value {
        Json::Float(_) => "a number with a fraction or an exponent",
        Json::Int(_) if value.as_i64().is_none() => "an integer beyond 64 bits",
        Json::Int(_) => "an integer",
        Json::Array(_) => "a list of other or of mixed values",
        Json::String(_) => "a text",
        other => other.kind(),
    }
}

fn expression(claim: &Claim) -> Option<RestrictedExpression> {
    Some(match claim {
        Claim::Absent | Claim::Unreadable(_) => return None,
        Claim::Present => RestrictedExpression::new_bool(true),
        Claim::Bool(value) => RestrictedExpression::new_bool(*value),
        Claim::Long(value) => RestrictedExpression::new_long(*value),
        Claim::Text(text) => RestrictedExpression::new_string(text.to_string()),
        Claim::Set(set) => RestrictedExpression::new_set(set.iter().filter_map(expression)),
    })
}
