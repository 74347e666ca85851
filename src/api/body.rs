//! The body of `POST /api/route`, first as it was written and then as a [`RouteInput`].
//!
//! Two steps with two kinds of no: JSON that is malformed, lacks a field or has one of another type is an HTTP error;
//! well-formed fields with a value that means nothing are a denial, so that a client that branches on `denied` sees it.
//!
//! An optional text that is null or empty counts as absent: Make sends the empty text where a mapping has no value. The
//! exception is `correlation_id`, where an empty one is a caller's mistake that the engine denies.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

use crate::api::error::Refused;
use crate::engine::artifact::python_json;
use crate::engine::{Json, RouteInput};
use crate::ids::{CapabilityId, DataLabel, Digest, Env, InvalidId, QosClass, TenantId, TenantRisk, WorkerId};

/// The most characters of a correlation id.
const CORRELATION_ID_CHARS: usize = 128;

/// The fields of the body, of the right types and with their defaults, their values as they were written.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) capability_id: Arc<str>,
    pub(super) worker_id: Option<Arc<str>>,
    pub(super) env: Arc<str>,
    pub(super) data_label: Option<Arc<str>>,
    /// The token's tenant where the body names none, else blank.
    pub(super) tenant_id: Arc<str>,
    pub(super) tenant_risk: Option<Arc<str>>,
    pub(super) qos_class: Option<Arc<str>>,
    /// A fresh UUID where the body has none.
    pub(super) correlation_id: Arc<str>,
    pub(super) dry_run: bool,
    request: Json,
    blast_radius: Option<Json>,
    /// An integer of any size.
    blast_score: Option<Json>,
    privilege_context: Option<Json>,
    tenant_credential: Option<Arc<str>>,
}

/// Fields with a value that means nothing, and which one it is.
#[derive(Debug)]
pub(super) struct Unacceptable {
    pub(super) fields: Fields,
    pub(super) message: String,
}

/// The members of the body, taken one by one.
struct Members(BTreeMap<Arc<str>, Json>);

impl Members {
    /// A member; null counts as absent.
    fn take(&mut self, name: &str) -> Option<Json> {
        self.0.remove(name).filter(|value| *value != Json::Null)
    }

    fn text(&mut self, name: &str) -> Result<Option<Arc<str>>, Refused> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(other) => Err(Refused::wrong_type(name, "a string", other.kind())),
        }
    }

    /// A text that must be there, blank or not.
    fn required(&mut self, name: &str) -> Result<Arc<str>, Refused> {
        self.text(name)?.ok_or_else(|| Refused::missing(name))
    }

    /// A text that need not be there; an empty one is not.
    fn optional(&mut self, name: &str) -> Result<Option<Arc<str>>, Refused> {
        Ok(self.text(name)?.filter(|text| !text.is_empty()))
    }

    fn object(&mut self, name: &str) -> Result<Option<Json>, Refused> {
        match self.take(name) {
            None => Ok(None),
            Some(object @ Json::Object(_)) => Ok(Some(object)),
            Some(other) => Err(Refused::wrong_type(name, "an object", other.kind())),
        }
    }

    /// An integer; `7.0` is 7, as it is for the reference.
    fn integer(&mut self, name: &str) -> Result<Option<Json>, Refused> {
        match self.take(name) {
            None => Ok(None),
            Some(digits @ Json::Int(_)) => Ok(Some(digits)),
            Some(Json::Float(value)) if value.fract() == 0.0 => Ok(Some(Json::Int(format!("{value:.0}").into()))),
            Some(Json::Float(_)) => Err(Refused::wrong_type(name, "an integer", "a fraction")),
            Some(other) => Err(Refused::wrong_type(name, "an integer", other.kind())),
        }
    }

    /// A boolean, strictly: neither null nor the word. Absent is false.
    fn flag(&mut self, name: &str) -> Result<bool, Refused> {
        match self.0.remove(name) {
            None => Ok(false),
            Some(Json::Bool(value)) => Ok(value),
            Some(other) => Err(Refused::wrong_type(name, "true or false", other.kind())),
        }
    }
}

impl Fields {
    /// Reads a body. Unknown members are ignored here; the digest of the body as it was sent is what records them.
    pub(super) fn read(body: &[u8], token_tenant: Option<&TenantId>) -> Result<Self, Refused> {
        let json = Json::parse(body).map_err(|error| Refused::malformed(error.to_string()))?;
        let Json::Object(members) = json else {
            return Err(Refused::wrong_type("the body", "an object", json.kind()));
        };
        let mut members = Members(members);
        Ok(Self {
            capability_id: members.required("capability_id")?,
            env: members.required("env")?,
            worker_id: members.optional("worker_id")?,
            data_label: members.optional("data_label")?,
            tenant_id: members
                .optional("tenant_id")?
                .unwrap_or_else(|| token_tenant.map_or_else(|| Arc::from(""), TenantId::shared)),
            tenant_risk: members.optional("tenant_risk")?,
            qos_class: members.optional("qos_class")?,
            correlation_id: members.text("correlation_id")?.unwrap_or_else(|| Arc::from(Uuid::new_v4().to_string())),
            dry_run: members.flag("dry_run")?,
            request: members.object("request")?.unwrap_or_else(|| Json::Object(BTreeMap::new())),
            blast_radius: members.object("blast_radius")?,
            blast_score: members.integer("blast_score")?,
            privilege_context: members.object("privilege_context")?,
            tenant_credential: members.text("tenant_credential")?,
        })
    }

    /// The request that these fields describe.
    pub(super) fn describe(self) -> Result<RouteInput, Box<Unacceptable>> {
        match self.values() {
            Err(message) => Err(Box::new(Unacceptable { fields: self, message })),
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

    /// What the texts mean. A blank tenant or correlation id passes: the engine has codes of its own for those.
    fn values(&self) -> Result<Values, String> {
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

    /// The correlation id, when it can be written anywhere: not blank, not long, without control characters.
    pub(super) fn sound_correlation_id(&self) -> Option<Arc<str>> {
        let id = &self.correlation_id;
        let sound =
            !id.trim().is_empty() && id.chars().count() <= CORRELATION_ID_CHARS && !id.chars().any(char::is_control);
        sound.then(|| Arc::clone(id))
    }

    /// The artifact hash of fields that cannot be a [`RouteInput`]: the same 13 keys, their values as they were written.
    pub(super) fn artifact_hash(&self) -> Digest {
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
