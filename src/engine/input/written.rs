//! A request as it was written, before it is a [`RouteInput`]. Every door and command that reads JSON reads it here.
//!
//! Two steps with two kinds of no: JSON that is malformed, lacks a field or has one of another type is [`InvalidRequest`];
//! well-formed fields with a value that means nothing are [`Unacceptable`], a denial, so that a client that branches on
//! `denied` sees it.
//!
//! An optional text that is null or empty counts as absent: Make sends the empty text where a mapping has no value. The
//! exception is `correlation_id`, where an empty one is a caller's mistake that the gates deny.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::RouteInput;
use crate::engine::artifact::python_json;
use crate::engine::json::present;
use crate::engine::{Json, Mode};
use crate::ids::{CapabilityId, DataLabel, Digest, Env, InvalidId, QosClass, TenantId, TenantRisk, WorkerId};

/// The most bytes of a request that are read.
pub const LONGEST: usize = 256 * 1024;

/// What a whole RouteInput has (WCP_SPEC 4.1).
const DEMANDED: [&str; 7] =
    ["capability_id", "env", "data_label", "tenant_id", "tenant_risk", "qos_class", "correlation_id"];

/// The most characters of a correlation id.
const CORRELATION_ID_CHARS: usize = 128;

/// Why a text is no request at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidRequest {
    /// It is no JSON that is read here.
    Malformed(String),
    /// It is JSON, but no object; what it is instead.
    NoObject(&'static str),
    /// A required field is absent or null.
    Missing(&'static str),
    /// A field is of another JSON type: what it must be, and what it is.
    WrongType(&'static str, &'static str, &'static str),
}

impl InvalidRequest {
    /// The field that it is about.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::Malformed(_) | Self::NoObject(_) => None,
            Self::Missing(field) | Self::WrongType(field, ..) => Some(field),
        }
    }

    /// For programs; stable. `whole` is what the text is called where it was read, such as `the body`.
    #[must_use]
    pub fn error(&self, whole: &str) -> Cow<'static, str> {
        match self {
            Self::Malformed(_) => Cow::Owned(format!("malformed {}", whole.strip_prefix("the ").unwrap_or(whole))),
            Self::NoObject(_) => Cow::Owned(format!("wrong type: {whole}")),
            Self::Missing(field) => Cow::Owned(format!("missing field: {field}")),
            Self::WrongType(field, ..) => Cow::Owned(format!("wrong type: {field}")),
        }
    }

    /// For humans: what is wrong and what to change.
    #[must_use]
    pub fn reason(&self, whole: &str) -> String {
        match self {
            Self::NoObject(found) => format!("{whole} must be an object, not {found}"),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(reason) => f.write_str(reason),
            Self::NoObject(found) => write!(f, "must be an object, not {found}"),
            Self::Missing(field) => write!(f, "missing field: {field}; send it as a string"),
            Self::WrongType(field, expected, found) => write!(f, "{field} must be {expected}, not {found}"),
        }
    }
}

/// What stands in for fields that a request leaves out.
pub struct Absent<'a> {
    /// The tenant that the caller's credential is bound to.
    pub tenant: Option<&'a TenantId>,
    /// Makes a correlation id of its own for each request that has none.
    pub correlation_id: &'a (dyn Fn() -> Arc<str> + Sync),
}

/// The fields of a request, of the right types and with their defaults, their values as they were written.
#[derive(Debug)]
pub struct Written {
    /// The capability.
    pub capability_id: Arc<str>,
    /// The worker, if one is named.
    pub worker_id: Option<Arc<str>>,
    /// The environment.
    pub env: Arc<str>,
    /// The data label, if one is given.
    pub data_label: Option<Arc<str>>,
    /// The tenant; that of [`Absent`] where none is named, else blank.
    pub tenant_id: Arc<str>,
    /// The tenant's risk, if it is given.
    pub tenant_risk: Option<Arc<str>>,
    /// The service class, if one is given.
    pub qos_class: Option<Arc<str>>,
    /// The correlation id; a fresh one where none is given.
    pub correlation_id: Arc<str>,
    /// Whether nothing is to be dispatched.
    pub dry_run: bool,
    request: Json,
    blast_radius: Option<Json>,
    /// An integer of any size.
    blast_score: Option<Json>,
    privilege_context: Option<Json>,
    tenant_credential: Option<Arc<str>>,
    /// Where whoever asks wants to be told that a human has decided, if they do: no decision depends on it.
    pub callback_url: Option<Arc<str>>,
}

/// Fields with a value that means nothing, and which one it is.
#[derive(Debug)]
pub struct Unacceptable {
    /// The fields.
    pub written: Written,
    /// What is wrong and what to change.
    pub message: String,
}

/// The members of a request, taken one by one.
struct Members(BTreeMap<Arc<str>, Json>);

impl Members {
    /// A member; null counts as absent.
    fn take(&mut self, name: &'static str) -> Option<Json> {
        self.0.remove(name).filter(|value| *value != Json::Null)
    }

    fn text(&mut self, name: &'static str) -> Result<Option<Arc<str>>, InvalidRequest> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(other) => Err(InvalidRequest::WrongType(name, "a string", other.kind())),
        }
    }

    /// A text that must be there, blank or not.
    fn required(&mut self, name: &'static str) -> Result<Arc<str>, InvalidRequest> {
        self.text(name)?.ok_or(InvalidRequest::Missing(name))
    }

    /// A text that need not be there; an empty one is not.
    fn optional(&mut self, name: &'static str) -> Result<Option<Arc<str>>, InvalidRequest> {
        Ok(self.text(name)?.filter(|text| !text.is_empty()))
    }

    fn object(&mut self, name: &'static str) -> Result<Option<Json>, InvalidRequest> {
        match self.take(name) {
            None => Ok(None),
            Some(object @ Json::Object(_)) => Ok(Some(object)),
            Some(other) => Err(InvalidRequest::WrongType(name, "an object", other.kind())),
        }
    }

    /// An integer; `7.0` is 7, as it is for the reference.
    fn integer(&mut self, name: &'static str) -> Result<Option<Json>, InvalidRequest> {
        match self.take(name) {
            None => Ok(None),
            Some(digits @ Json::Int(_)) => Ok(Some(digits)),
            Some(Json::Float(value)) if value.fract() == 0.0 => Ok(Some(Json::Int(format!("{value:.0}").into()))),
            Some(Json::Float(_)) => Err(InvalidRequest::WrongType(name, "an integer", "a fraction")),
            Some(other) => Err(InvalidRequest::WrongType(name, "an integer", other.kind())),
        }
    }

    /// A boolean, strictly: neither null nor the word. Absent is false.
    fn flag(&mut self, name: &'static str) -> Result<bool, InvalidRequest> {
        match self.0.remove(name) {
            None => Ok(false),
            Some(Json::Bool(value)) => Ok(value),
            Some(other) => Err(InvalidRequest::WrongType(name, "true or false", other.kind())),
        }
    }
}

impl Written {
    /// Reads a request. Unknown members are ignored; the digest of the text as it was sent is what records them.
    ///
    /// # Errors
    /// It is malformed, lacks a field, or has one of another type.
    pub fn read(text: &[u8], absent: &Absent<'_>) -> Result<Self, InvalidRequest> {
        let json = Json::parse(text).map_err(|error| InvalidRequest::Malformed(error.to_string()))?;
        Self::from_json(json, absent)
    }

    /// The same of a whole RouteInput: what WCP_SPEC 4.1 demands has to be there.
    ///
    /// # Errors
    /// As [`Self::read`], and for a field that has a default there.
    pub fn read_full(text: &[u8], absent: &Absent<'_>) -> Result<Self, InvalidRequest> {
        let json = Json::parse(text).map_err(|error| InvalidRequest::Malformed(error.to_string()))?;
        if let Some(members) = json.as_object() {
            let missing = DEMANDED.into_iter().find(|name| present(members, name).is_none());
            missing.map_or(Ok(()), |name| Err(InvalidRequest::Missing(name)))?;
        }
        Self::from_json(json, absent)
    }

    /// The same, of a text that has been parsed.
    ///
    /// # Errors
    /// It lacks a field, or has one of another type.
    pub fn from_json(json: Json, absent: &Absent<'_>) -> Result<Self, InvalidRequest> {
        let Json::Object(members) = json else { return Err(InvalidRequest::NoObject(json.kind())) };
        let mut members = Members(members);
        Ok(Self {
            capability_id: members.required("capability_id")?,
            env: members.required("env")?,
            worker_id: members.optional("worker_id")?,
            data_label: members.optional("data_label")?,
            tenant_id: members
                .optional("tenant_id")?
                .unwrap_or_else(|| absent.tenant.map_or_else(|| Arc::from(""), TenantId::shared)),
            tenant_risk: members.optional("tenant_risk")?,
            qos_class: members.optional("qos_class")?,
            correlation_id: members.text("correlation_id")?.unwrap_or_else(absent.correlation_id),
            dry_run: members.flag("dry_run")?,
            request: members.object("request")?.unwrap_or_else(|| Json::Object(BTreeMap::new())),
            blast_radius: members.object("blast_radius")?,
            blast_score: members.integer("blast_score")?,
            privilege_context: members.object("privilege_context")?,
            tenant_credential: members.text("tenant_credential")?,
            callback_url: members.optional("callback_url")?,
        })
    }

    /// The request that these fields describe. In reference mode ids may be any text, as they may there.
    ///
    /// # Errors
    /// A value means nothing.
    pub fn describe(self, mode: Mode) -> Result<RouteInput, Box<Unacceptable>> {
        match self.values(mode) {
            Err(message) => Err(Box::new(Unacceptable { written: self, message })),
            Ok(values) => Ok(RouteInput {
                capability_id: self.capability_id,
                worker_id: self.worker_id,
                env: values.env,
                data_label: values.data_label.unwrap_or(DataLabel::Restricted),
                data_label_defaulted: values.data_label.is_none(),
                tenant_id: self.tenant_id,
                tenant_risk: values.tenant_risk,
                qos_class: values.qos_class.unwrap_or(QosClass::P2),
                correlation_id: self.correlation_id,
                request: self.request,
                blast_radius: self.blast_radius,
                blast_score: values.blast_score,
                privilege_context: self.privilege_context,
                tenant_credential: self.tenant_credential,
                dry_run: self.dry_run,
                http: None,
            }),
        }
    }

    /// What the texts mean. A blank tenant or correlation id passes: the gates have codes of their own for those.
    fn values(&self, mode: Mode) -> Result<Values, String> {
        if mode == Mode::Strict {
            self.check_ids()?;
        }
        let blast_score = match &self.blast_score {
            None => None,
            Some(score) => Some(score.as_i64().ok_or("blast_score must be 0 to 100")?),
        };
        Ok(Values {
            env: value("env", &self.env)?,
            data_label: self.data_label.as_deref().map(|label| value("data_label", label)).transpose()?,
            tenant_risk: self.tenant_risk.as_deref().map(|risk| value("tenant_risk", risk)).transpose()?,
            qos_class: self.qos_class.as_deref().map(|class| value("qos_class", class)).transpose()?,
            blast_score,
        })
    }

    fn check_ids(&self) -> Result<(), String> {
        value::<CapabilityId>("capability_id", &self.capability_id)?;
        if let Some(worker_id) = &self.worker_id {
            value::<WorkerId>("worker_id", worker_id)?;
        }
        if !self.tenant_id.trim().is_empty() {
            value::<TenantId>("tenant_id", &self.tenant_id)?;
        }
        if !self.correlation_id.trim().is_empty() && self.sound_correlation_id().is_none() {
            return Err(format!(
                "correlation_id must be at most {CORRELATION_ID_CHARS} characters and none of them a control character"
            ));
        }
        Ok(())
    }

    /// The correlation id, when it can be written anywhere: not blank, not long, without control characters.
    #[must_use]
    pub fn sound_correlation_id(&self) -> Option<Arc<str>> {
        sound_correlation_id(&self.correlation_id)
    }

    /// The artifact hash of fields that cannot be a [`RouteInput`]: the same 13 keys, their values as they were written.
    #[must_use]
    pub fn artifact_hash(&self) -> Digest {
        let text = |text: &Arc<str>| Json::String(Arc::clone(text));
        let or_null = |value: &Option<Arc<str>>| value.as_ref().map_or(Json::Null, text);
        let object = |value: &Option<Json>| value.clone().unwrap_or(Json::Null);
        let or_default = |value: &Option<Arc<str>>, default: &str| {
            value.as_ref().map_or_else(|| Json::String(Arc::from(default)), text)
        };
        let members = [
            ("blast_radius", object(&self.blast_radius)),
            ("blast_score", object(&self.blast_score)),
            ("capability_id", text(&self.capability_id)),
            ("correlation_id", text(&self.correlation_id)),
            ("data_label", or_default(&self.data_label, DataLabel::Restricted.as_str())),
            ("dry_run", Json::Bool(self.dry_run)),
            ("env", text(&self.env)),
            ("privilege_context", object(&self.privilege_context)),
            ("qos_class", or_default(&self.qos_class, QosClass::P2.as_str())),
            ("request", self.request.clone()),
            ("tenant_credential", or_null(&self.tenant_credential)),
            ("tenant_id", text(&self.tenant_id)),
            ("tenant_risk", or_null(&self.tenant_risk)),
        ];
        let mut written = String::new();
        python_json(&Json::Object(members.map(|(name, value)| (Arc::from(name), value)).into()), &mut written);
        Digest::of(written.as_bytes())
    }
}

/// A correlation id, when it can be written anywhere, logs included: not blank, not long, without control characters.
#[must_use]
pub fn sound_correlation_id(id: &Arc<str>) -> Option<Arc<str>> {
    let sound =
        !id.trim().is_empty() && id.chars().count() <= CORRELATION_ID_CHARS && !id.chars().any(char::is_control);
    sound.then(|| Arc::clone(id))
}

/// What the closed vocabularies among the fields mean.
struct Values {
    env: Env,
    data_label: Option<DataLabel>,
    tenant_risk: Option<TenantRisk>,
    qos_class: Option<QosClass>,
    blast_score: Option<i64>,
}

fn value<T: FromStr<Err = InvalidId>>(field: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{field}: {error}"))
}

#[cfg(test)]
mod tests;
