//! Asks Cedar, and makes a ruling of what it says.
//!
//! A `forbid` with `@gate("REQUIRE_HUMAN")` is given to Cedar as a permit under its own id: then one evaluation tells all
//! four things apart, namely what permits, what forbids, what asks for a human and what could not be evaluated. Cedar's own
//! answer would not say whether anything permits once something forbids.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use cedar_policy::pst::{Effect, Policy as Parsed, StaticPolicy};
use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    EvaluationError, Policy, PolicyId, PolicySet, Request, Response, RestrictedExpression,
};

use super::files::PolicyFile;
use super::named::{self, NamedEntity};
use super::probe::CedarProbe;
use super::reads::PolicyReads;
use super::request::{Shape, UnreadableClaim};
use super::source::PolicySource;
use super::visitor::reads_of;
use crate::engine::policy_gate::{
    Asked, Claim, GateAnswer, GateReads, Policies, PolicyGate, PolicyProbe, ProbedPolicy, Ruling,
};
use crate::engine::{Json, ReadAttribute};
use crate::ids::{DataLabel, Digest, Env, QosClass, SupervisorLevel, TenantRisk};

/// Cedar policies, ready to be asked.
pub struct CedarGate {
    all: Panel,
    /// Those of them that forbid or ask for a human.
    forbids: Panel,
    /// What it means that a policy applies, in the order of the files.
    meanings: Vec<Meaning>,
    shape: Shape,
    digest: Digest,
    files: Vec<Arc<str>>,
    /// The entities that they name.
    named: Vec<NamedEntity>,
    /// The files that hold no policy.
    empty_files: Vec<PathBuf>,
    authorizer: Authorizer,
    words: Words,
}

/// Policies that are asked together.
struct Panel {
    /// To Cedar their ids are their places among the meanings, which is cheaper to clone and hash than a text.
    policies: PolicySet,
    reads: PolicyReads,
    /// What they read of the caller's object.
    attributes: Vec<ReadAttribute>,
}

/// What it means that a policy applies.
struct Meaning {
    id: Arc<str>,
    /// Its file and line.
    place: Arc<str>,
    reason: Arc<str>,
    human: Option<SupervisorLevel>,
    /// Of its text.
    digest: Digest,
}

/// The types, entities and values that requests share.
struct Words {
    worker: EntityTypeName,
    tenant: EntityTypeName,
    capability: EntityTypeName,
    domain: EntityTypeName,
    dispatch: EntityUid,
    nobody: EntityUid,
    nothing: EntityUid,
    no_entities: Entities,
    envs: [RestrictedExpression; Env::ALL.len()],
    labels: [RestrictedExpression; DataLabel::ALL.len()],
    ranks: [RestrictedExpression; DataLabel::ALL.len()],
    risks: [RestrictedExpression; TenantRisk::ALL.len()],
    classes: [RestrictedExpression; QosClass::ALL.len()],
}

/// Why no answer could be asked for.
enum Unasked {
    /// The caller sent what the policies cannot read.
    Unreadable(UnreadableClaim),
    /// We failed, at this.
    Failed(&'static str),
}

impl CedarGate {
    pub(super) fn build(
        written: &[PolicySource],
        reads: &PolicyReads,
        shape: Shape,
        digest: Digest,
        files: &[PolicyFile],
    ) -> Result<Self, String> {
        let panel =
            |policies, reads| Panel { policies: PolicySet::new(), reads, attributes: shape.attributes(policies) };
        let mut all = panel(Policies::All, reads.clone());
        let forbidding = written.iter().filter(|written| written.forbids());
        let mut forbids = panel(Policies::Forbids, reads_of(forbidding));
        for (at, written) in written.iter().enumerate() {
            let mut body = written.body.clone();
            if written.human.is_some() {
                body.effect = Effect::Permit;
            }
            let parsed = StaticPolicy::try_from(body).map_err(|error| error.to_string())?;
            let policy = Policy::from_pst(Parsed::Static(parsed)).map_err(|error| error.to_string())?;
            let policy = policy.new_id(PolicyId::new(at.to_string()));
            if written.forbids() {
                forbids.policies.add(policy.clone()).map_err(|error| error.to_string())?;
            }
            all.policies.add(policy).map_err(|error| error.to_string())?;
        }
        let meaning = |written: &PolicySource| Meaning {
            id: Arc::clone(&written.id),
            place: files.get(written.file).map_or_else(
                || Arc::from(""),
                |file| Arc::from(format!("{}:{}", file.name, file.place(written.offset).0)),
            ),
            reason: Arc::clone(&written.reason),
            human: written.human,
            digest: Digest::of(written.policy.to_string().as_bytes()),
        };
        Ok(Self {
            all,
            forbids,
            meanings: written.iter().map(meaning).collect(),
            shape,
            digest,
            files: files.iter().map(|file| Arc::from(&*file.name)).collect(),
            named: named::of(files, written),
            empty_files: named::empty(files, written),
            authorizer: Authorizer::new(),
            words: Words::new()?,
        })
    }

    /// The entities that the policies name.
    #[must_use]
    pub fn named(&self) -> &[NamedEntity] {
        &self.named
    }

    /// The files that hold no policy.
    #[must_use]
    pub fn empty_files(&self) -> &[PathBuf] {
        &self.empty_files
    }

    fn panel(&self, policies: Policies) -> &Panel {
        match policies {
            Policies::All => &self.all,
            Policies::Forbids => &self.forbids,
        }
    }

    fn ask(&self, policies: Policies, asked: &Asked<'_>) -> Result<GateAnswer, Unasked> {
        let response = self.evaluate(policies, asked, &self.panel(policies).policies)?;
        let errors = response.diagnostics().errors().map(|error| match error {
            AuthorizationError::PolicyEvaluationError(error) => (place(error.policy_id()), error.inner()),
        });
        if let Some((at, error)) = errors.min_by_key(|(at, _)| *at) {
            return Ok(self.erred(at, error));
        }
        let mut applied: Vec<usize> = response.diagnostics().reason().map(place).collect();
        applied.sort_unstable();
        Ok(self.rule(policies, response.decision(), &applied))
    }

    /// What Cedar says of a request to a set of policies that reads no more than these.
    fn evaluate(&self, policies: Policies, asked: &Asked<'_>, set: &PolicySet) -> Result<Response, Unasked> {
        let panel = self.panel(policies);
        // What Cedar says of a failure may hold the caller's values, so it is not passed on.
        let context =
            Context::from_pairs(self.context(policies, asked)?).map_err(|_| Unasked::Failed("the context"))?;
        let (principal, resource) = (self.principal(panel, asked)?, self.resource(panel, asked)?);
        let entities = self.entities(panel, asked, &principal, &resource)?;
        let request = Request::new(principal, self.words.dispatch.clone(), resource, context, None)
            .map_err(|_| Unasked::Failed("the request"))?;
        let entities = entities.as_ref().unwrap_or(&self.words.no_entities);
        Ok(self.authorizer.is_authorized(&request, set, entities))
    }

    /// The places of those permits that hold for a request; none where it cannot be put together.
    fn holding(&self, policies: Policies, asked: &Asked<'_>, permits: &PolicySet) -> Vec<usize> {
        let response = self.evaluate(policies, asked, permits);
        response.map_or_else(|_| Vec::new(), |response| response.diagnostics().reason().map(place).collect())
    }

    /// The ruling when these policies apply, all of which were evaluated.
    fn rule(&self, policies: Policies, decision: Decision, applied: &[usize]) -> GateAnswer {
        let all = || applied.iter().filter_map(|at| self.meanings.get(*at));
        // Once a policy forbids, those that permit are not named: what applies forbids.
        if decision == Decision::Deny {
            return match (all().next(), policies) {
                (Some(first), _) => answer(Ruling::Deny, &first.reason, all()),
                (None, Policies::All) => answer(Ruling::Deny, &Arc::from("no policy permits this"), std::iter::empty()),
                (None, Policies::Forbids) => answer(Ruling::Allow, &Arc::from(""), std::iter::empty()),
            };
        }
        let asking = || all().filter(|meaning| meaning.human.is_some());
        let permits = || all().filter(|meaning| meaning.human.is_none());
        let level = asking().filter_map(|meaning| meaning.human).max();
        // To tell somebody is not to permit: an advisory lets pass only what a policy permits, where one must.
        let permitted = policies == Policies::Forbids || permits().next().is_some();
        if level.is_none_or(|level| level == SupervisorLevel::Advisory) && !permitted {
            return answer(Ruling::Deny, &Arc::from("no policy permits this"), std::iter::empty());
        }
        let Some(level) = level else { return answer(Ruling::Allow, &Arc::from(""), permits()) };
        let first = asking().find(|meaning| meaning.human == Some(level));
        let reason = first.map_or_else(|| Arc::from(""), |meaning| Arc::clone(&meaning.reason));
        // The policy that asks for the highest level comes first: it gives the reason.
        let rest = asking().filter(|meaning| first.is_none_or(|first| first.id != meaning.id));
        answer(Ruling::RequireHuman(level), &reason, first.into_iter().chain(rest))
    }

    /// Cedar would pass over a policy that errs. Never told: the values, which are the caller's.
    fn erred(&self, at: usize, error: &EvaluationError) -> GateAnswer {
        let what = match error {
            EvaluationError::IntegerOverflow(_) => "an integer overflows",
            EvaluationError::FailedExtensionFunctionExecution(_) => "a function refuses its argument",
            EvaluationError::RecursionLimit(_) => "it is nested too deep",
            _ => "a value is missing or of another kind",
        };
        let policy = self.meanings.get(at);
        let id = policy.map_or("", |policy| &policy.id);
        let reason = Arc::from(format!("policy `{id}` could not be evaluated: {what}"));
        answer(Ruling::Erred, &reason, policy.into_iter())
    }

    /// What these policies read of the context. What they do not read is not there.
    fn context(&self, policies: Policies, asked: &Asked<'_>) -> Result<Vec<(String, RestrictedExpression)>, Unasked> {
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let words = &self.words;
        let reads = &self.panel(policies).reads;
        let mut pairs = Vec::with_capacity(reads.attributes.len());
        for name in &reads.attributes {
            let value = match *name {
                "env" => words.envs.get(asked.env as usize).cloned(),
                "data_label" => asked.label.and_then(|label| words.labels.get(label as usize)).cloned(),
                "label_rank" => asked.label.and_then(|label| words.ranks.get(label as usize)).cloned(),
                "tenant_risk" => asked.tenant_risk.and_then(|risk| words.risks.get(risk as usize)).cloned(),
                "qos_class" => asked.qos.and_then(|class| words.classes.get(class as usize)).cloned(),
                "blast_score" => asked.blast.map(|score| RestrictedExpression::new_long(i64::from(score))),
                "dry_run" => asked.dry_run.map(RestrictedExpression::new_bool),
                "species" => asked.species.map(text),
                "http" => match asked.http {
                    Some(http) => {
                        let known = [("method", http.method), ("host", http.host), ("path", http.path)];
                        let known = known.into_iter().filter(|(name, _)| reads.http.contains(name));
                        let read = known.filter_map(|(name, value)| Some((name.to_owned(), text(value?))));
                        Some(record(read)?)
                    }
                    None => None,
                },
                "request" => {
                    let mut claims = asked.claims.iter();
                    let members = self.shape.record(policies, "request", &mut claims).map_err(Unasked::Unreadable)?;
                    Some(record(members)?)
                }
                _ => None,
            };
            pairs.extend(value.map(|value| ((*name).to_owned(), value)));
        }
        Ok(pairs)
    }

    fn principal(&self, panel: &Panel, asked: &Asked<'_>) -> Result<EntityUid, Unasked> {
        match (panel.reads.principal, asked.worker, asked.tenant) {
            (false, ..) => Ok(self.words.nobody.clone()),
            (true, Some(worker), Some(_)) => Ok(uid(&self.words.worker, worker)),
            (true, None, Some(tenant)) => Ok(uid(&self.words.tenant, tenant)),
            (true, _, None) => Err(Unasked::Failed("the principal")),
        }
    }

    fn resource(&self, panel: &Panel, asked: &Asked<'_>) -> Result<EntityUid, Unasked> {
        match (panel.reads.resource, asked.capability) {
            (false, _) => Ok(self.words.nothing.clone()),
            (true, Some(capability)) => Ok(uid(&self.words.capability, capability)),
            (true, None) => Err(Unasked::Failed("the resource")),
        }
    }

    /// Who belongs to whom, where a policy asks: the worker to its tenant, the capability to every domain that it begins with.
    fn entities(
        &self,
        panel: &Panel,
        asked: &Asked<'_>,
        principal: &EntityUid,
        resource: &EntityUid,
    ) -> Result<Option<Entities>, Unasked> {
        if !panel.reads.hierarchy {
            return Ok(None);
        }
        let tenant = asked.worker.and(asked.tenant).filter(|_| panel.reads.principal);
        let of_worker = tenant.map(|tenant| {
            Entity::new_no_attrs(principal.clone(), std::iter::once(uid(&self.words.tenant, tenant)).collect())
        });
        let of_capability = asked.capability.filter(|_| panel.reads.resource).map(|capability| {
            let domains = capability.match_indices('.').filter_map(|(dot, _)| capability.get(..dot));
            Entity::new_no_attrs(resource.clone(), domains.map(|domain| uid(&self.words.domain, domain)).collect())
        });
        Entities::from_entities(of_worker.into_iter().chain(of_capability), None)
            .map(Some)
            .map_err(|_| Unasked::Failed("the entities"))
    }
}

impl PolicyGate for CedarGate {
    fn digest(&self) -> Digest {
        self.digest
    }

    fn policy_digest(&self, id: &str) -> Digest {
        self.meanings.iter().find(|meaning| &*meaning.id == id).map_or(self.digest, |meaning| meaning.digest)
    }

    fn policies(&self) -> usize {
        self.meanings.len()
    }

    fn files(&self) -> &[Arc<str>] {
        &self.files
    }

    fn forbids(&self) -> bool {
        !self.forbids.policies.is_empty()
    }

    fn reads(&self, policies: Policies) -> GateReads {
        self.panel(policies).reads.in_question()
    }

    fn claims(&self, request: &Json) -> Box<[Claim]> {
        self.shape.claims(request)
    }

    fn attributes(&self, policies: Policies) -> &[ReadAttribute] {
        &self.panel(policies).attributes
    }

    fn probe(&self) -> Option<Box<dyn PolicyProbe + '_>> {
        let forbids = |at: usize| self.forbids.policies.policy(&PolicyId::new(at.to_string())).is_some();
        let policies = self.meanings.iter().enumerate().filter_map(|(at, meaning)| {
            let parsed = self.all.policies.policy(&PolicyId::new(at.to_string()))?.to_pst().ok()?;
            let (id, place) = (Arc::clone(&meaning.id), Arc::clone(&meaning.place));
            let policy = ProbedPolicy { id, place, forbids: forbids(at), conditions: Vec::new() };
            Some((policy, parsed.body().clone()))
        });
        let holding =
            |policies: Policies, asked: &Asked<'_>, permits: &PolicySet| self.holding(policies, asked, permits);
        CedarProbe::of(holding, policies).ok().map(|probe| Box::new(probe) as _)
    }

    fn answer(&self, policies: Policies, asked: &Asked<'_>) -> GateAnswer {
        self.ask(policies, asked).unwrap_or_else(|unasked| match unasked {
            Unasked::Unreadable(UnreadableClaim { path, is, wanted }) => {
                let reason = format!("`{path}` is {is}, and the policies read {wanted}");
                answer(Ruling::Deny, &Arc::from(reason), std::iter::empty())
            }
            Unasked::Failed(at) => {
                let reason = format!("the policies could not be asked: {at} could not be put together");
                answer(Ruling::Failed, &Arc::from(reason), std::iter::empty())
            }
        })
    }
}

impl fmt::Debug for CedarGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.meanings.iter().map(|policy| &*policy.id).collect();
        f.debug_struct("CedarGate").field("policies", &ids).field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl Words {
    fn new() -> Result<Self, String> {
        let name = |text: &str| text.parse::<EntityTypeName>().map_err(|error| error.to_string());
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let (tenant, capability) = (name("Tenant")?, name("Capability")?);
        let rank = |rank: i64| RestrictedExpression::new_long(rank);
        Ok(Self {
            worker: name("Worker")?,
            domain: name("Domain")?,
            dispatch: uid(&name("Action")?, "dispatch"),
            nobody: uid(&tenant, ""),
            nothing: uid(&capability, ""),
            no_entities: Entities::empty(),
            envs: [Env::Dev, Env::Stage, Env::Prod, Env::Edge].map(|env| text(env.as_str())),
            labels: [DataLabel::Public, DataLabel::Internal, DataLabel::Confidential, DataLabel::Restricted]
                .map(|label| text(label.as_str())),
            ranks: [0, 1, 2, 3].map(rank),
            risks: [TenantRisk::Low, TenantRisk::Medium, TenantRisk::High, TenantRisk::Critical]
                .map(|risk| text(risk.as_str())),
            classes: [QosClass::P0, QosClass::P1, QosClass::P2, QosClass::P3].map(|class| text(class.as_str())),
            tenant,
            capability,
        })
    }
}

/// The place of a policy, which is its id to Cedar.
fn place(id: &PolicyId) -> usize {
    <PolicyId as AsRef<str>>::as_ref(id).parse().unwrap_or(usize::MAX)
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn record(members: impl IntoIterator<Item = (String, RestrictedExpression)>) -> Result<RestrictedExpression, Unasked> {
    RestrictedExpression::new_record(members).map_err(|_| Unasked::Failed("an object"))
}

fn answer<'a>(ruling: Ruling, reason: &Arc<str>, policies: impl Iterator<Item = &'a Meaning>) -> GateAnswer {
    GateAnswer {
        ruling,
        reason: Arc::clone(reason),
        policies: policies.map(|meaning| Arc::clone(&meaning.id)).collect(),
    }
}
