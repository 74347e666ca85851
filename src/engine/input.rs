//! What is asked: one routing request, described but not yet judged, and the facts that were looked up for it.

pub mod written;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::Json;
use crate::ids::{DataLabel, Env, QosClass, TenantId, TenantRisk, WorkerId};

/// The most characters of a caller's text that are said back.
const SAID: usize = 128;

/// A routing request (WCP_SPEC 4.1). Texts are the caller's own and may be blank: a blank one is a denial, not an error.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteInput {
    /// The capability that is asked for, as written.
    pub capability_id: Arc<str>,
    /// The worker that asks, as written; `None` when the request names none.
    pub worker_id: Option<Arc<str>>,
    /// Where.
    pub env: Env,
    /// How sensitive the data is.
    pub data_label: DataLabel,
    /// True when the label was absent or empty and RESTRICTED was put in its place.
    pub data_label_defaulted: bool,
    /// For whom; blank is denied.
    pub tenant_id: Arc<str>,
    /// The caller's word on the tenant's risk; `None` when the caller said nothing.
    pub tenant_risk: Option<TenantRisk>,
    /// Service class.
    pub qos_class: QosClass,
    /// Ties this request to others; blank is denied where a rule or the hall demands one.
    pub correlation_id: Arc<str>,
    /// The caller's object about the request itself; an object.
    pub request: Json,
    /// The caller's blast radius object, if any.
    pub blast_radius: Option<Json>,
    /// The caller's blast score, 0 to 100; outside of it the request is denied.
    pub blast_score: Option<i64>,
    /// The caller's privilege context object, if any.
    pub privilege_context: Option<Json>,
    /// A credential of the tenant. Hashed, never interpreted (WCP 0.1).
    pub tenant_credential: Option<Arc<str>>,
    /// Decide and record, but dispatch nothing.
    pub dry_run: bool,
    /// What the request is on the wire, when it came through the gate.
    pub http: Option<HttpFacts>,
}

impl RouteInput {
    /// One that says nothing else: the label is the highest, as where a caller names none.
    #[must_use]
    pub fn new(capability_id: &str, env: Env, tenant_id: &str) -> Self {
        Self {
            capability_id: capability_id.into(),
            worker_id: None,
            env,
            data_label: DataLabel::Restricted,
            data_label_defaulted: true,
            tenant_id: tenant_id.into(),
            tenant_risk: None,
            qos_class: QosClass::P2,
            correlation_id: "".into(),
            request: Json::Object(BTreeMap::new()),
            blast_radius: None,
            blast_score: None,
            privilege_context: None,
            tenant_credential: None,
            dry_run: false,
            http: None,
        }
    }

    /// How many bytes of memory it takes, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let Self { capability_id, worker_id, tenant_id, correlation_id, request, tenant_credential, http, .. } = self;
        let texts = [
            Some(capability_id),
            Some(tenant_id),
            Some(correlation_id),
            worker_id.as_ref(),
            tenant_credential.as_ref(),
        ];
        let http = http.as_ref().map_or(0, |http| http.method.len() + http.host.len() + http.path.len());
        let objects = [Some(request), self.blast_radius.as_ref(), self.privilege_context.as_ref()];
        size_of::<Self>()
            + texts.into_iter().flatten().map(|text| text.len()).sum::<usize>()
            + http
            + objects.into_iter().flatten().map(Json::bytes).sum::<usize>()
    }

    /// What is asked and for whom, in words. Callers choose how long their texts are, and only so much of each is said.
    #[must_use]
    pub fn in_words(&self) -> String {
        let defaulted = if self.data_label_defaulted { " (none was sent)" } else { "" };
        let worker = self.worker_id.as_deref().filter(|id| !id.is_empty());
        let worker = worker.map_or_else(|| "no worker named".to_owned(), |id| format!("worker {}", said(id)));
        let (capability, tenant) = (said(&self.capability_id), said(&self.tenant_id));
        format!("{capability} on {}{defaulted} in {} for {tenant}, {worker}", self.data_label, self.env)
    }

    /// Whether the caller's object says that data leaves.
    #[must_use]
    pub fn declares_egress(&self) -> bool {
        self.declares(["egress", "external_call"])
    }

    /// Whether the caller's object says that state changes.
    #[must_use]
    pub fn declares_writes(&self) -> bool {
        self.declares(["writes", "mutates_state"])
    }

    fn declares(&self, keys: [&str; 2]) -> bool {
        let members = self.request.as_object();
        keys.iter().any(|key| members.and_then(|members| members.get(*key)).is_some_and(Json::truthy))
    }
}

/// What is said of a text: most often it is plain and short, and said as it stands.
fn said(text: &str) -> Cow<'_, str> {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\'' | b'\\');
    if text.len() <= SAID && text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().take(SAID).flat_map(char::escape_debug).collect())
}

/// The request on the wire, when it came through the gate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpFacts {
    /// The method, such as `POST`.
    pub method: Arc<str>,
    /// The host that the caller asked for.
    pub host: Arc<str>,
    /// The normalised path that was matched and is forwarded, without the query.
    pub path: Arc<str>,
}

/// What is known about a request beyond what it says, looked up before the decision.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// What the caller's credential is bound to.
    pub binding: Binding,
    /// Whether the policy is only observed where the request came in: what it denies is said and not enforced.
    pub observed: bool,
}

/// What a credential is bound to. `None` binds nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Binding {
    /// The only tenant for which it may ask.
    pub tenant: Option<TenantId>,
    /// The only workers as which it may ask.
    pub workers: Option<Arc<BTreeSet<WorkerId>>>,
    /// The only environments in which it may ask.
    pub envs: Option<Arc<BTreeSet<Env>>>,
    /// True when this credential need not name a worker even where the policy requires one.
    pub worker_optional: bool,
}

impl Binding {
    /// Whether it is bound to some tenant, workers or environments.
    #[must_use]
    pub const fn is_bound(&self) -> bool {
        self.tenant.is_some() || self.workers.is_some() || self.envs.is_some()
    }

    /// Whether whoever is bound like this may see what is of this tenant, worker and environment.
    #[must_use]
    pub fn sees(&self, tenant: Option<&str>, worker: Option<&str>, env: Option<Env>) -> bool {
        let Self { tenant: of, workers, envs, worker_optional: _ } = self;
        of.as_ref().is_none_or(|of| tenant.is_some_and(|tenant| of.as_str() == tenant))
            && workers.as_ref().is_none_or(|among| worker.is_some_and(|worker| among.contains(worker)))
            && envs.as_ref().is_none_or(|among| env.is_some_and(|env| among.contains(&env)))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The first hash vector's request: a plain write in prod.
    pub(crate) fn plain() -> RouteInput {
        RouteInput {
            data_label: DataLabel::Internal,
            data_label_defaulted: false,
            tenant_risk: Some(TenantRisk::Low),
            correlation_id: "11111111-1111-4111-8111-111111111111".into(),
            ..RouteInput::new("cap.data.write.v1", Env::Prod, "org.acme")
        }
    }
}
