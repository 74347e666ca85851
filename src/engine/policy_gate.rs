//! What a policy gate is to the decision: which parts of a request it reads, and what it answers. Pure, like the engine itself.

#[cfg(test)]
pub(crate) mod fixed;

use std::fmt::Debug;
use std::sync::Arc;

use crate::engine::Json;
use crate::engine::kept_request::ReadAttribute;
use crate::ids::{DataLabel, Digest, Env, QosClass, SupervisorLevel, TenantRisk};

/// Policies that a rule may ask. Equal questions get equal answers: an implementation does no I/O and keeps no state.
pub trait PolicyGate: Debug + Send + Sync {
    /// The digest of all that answers depend on: part of the snapshot's fingerprint.
    fn digest(&self) -> Digest;

    /// The digest of one policy's text; where that is not known by itself, of all of them.
    fn policy_digest(&self, _id: &str) -> Digest {
        self.digest()
    }

    /// How many policies there are.
    fn policies(&self) -> usize;

    /// The files that they were read from, by their names below their folder.
    fn files(&self) -> &[Arc<str>] {
        &[]
    }

    /// Whether any of them forbids, or asks for a human.
    fn forbids(&self) -> bool;

    /// What of a request an answer of these policies can depend on, besides the environment and what the rules themselves make
    /// of it.
    fn reads(&self, policies: Policies) -> GateReads;

    /// What the policies read in the caller's object, in an order that the gate knows.
    fn claims(&self, request: &Json) -> Box<[Claim]>;

    /// The attributes of the caller's object that these policies read.
    fn attributes(&self, _: Policies) -> &[ReadAttribute] {
        &[]
    }

    /// What tells which policies and which of their conditions went which way; `None` where nothing can.
    fn probe(&self) -> Option<Box<dyn PolicyProbe + '_>> {
        None
    }

    /// The answer of these policies to one request. What [`PolicyGate::reads`] leaves out is `None` here.
    fn answer(&self, policies: Policies, asked: &Asked<'_>) -> GateAnswer;
}

/// Tells which policies and which of their conditions went which way. For tests of policies: it costs more than an answer.
pub trait PolicyProbe {
    /// The policies, in the order of their files.
    fn policies(&self) -> &[ProbedPolicy];

    /// Which ways one request took, when it is put to these policies.
    fn taken(&self, policies: Policies, asked: &Asked<'_>) -> Vec<Taken>;
}

/// A policy whose ways are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbedPolicy {
    /// Its id.
    pub id: Arc<str>,
    /// Its file and line.
    pub place: Arc<str>,
    /// Whether it forbids, or asks for a human.
    pub forbids: bool,
    /// Its conditions: what stands between `&&`, `||`, `!` and `if`, in the order in which they are looked at.
    pub conditions: Vec<Arc<str>>,
}

/// A way that was taken; policies and conditions by their places, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Taken {
    /// The request was put to this policy.
    Asked(usize),
    /// This policy applied.
    Applied(usize),
    /// This condition of this policy was looked at, and was true or false.
    Condition(usize, usize, bool),
}

/// Which policies a request is put to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policies {
    /// All of them: what none permits is denied.
    All,
    /// Those that forbid or ask for a human: what none of them forbids is allowed. What only permits read is not looked at.
    Forbids,
}

/// What of a request the policies read. What is false here never reaches them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GateReads {
    /// The principal: the tenant, and the worker that is named.
    pub principal: bool,
    /// The capability.
    pub capability: bool,
    /// The data label, or its rank.
    pub label: bool,
    /// The tenant's risk.
    pub tenant_risk: bool,
    /// The service class.
    pub qos: bool,
    /// The blast score.
    pub blast: bool,
    /// Whether it is a dry run.
    pub dry_run: bool,
    /// Whether it came through the gate; also when only a part of it is read.
    pub http: bool,
    /// The HTTP method.
    pub method: bool,
    /// The host.
    pub host: bool,
    /// The path.
    pub path: bool,
    /// The caller's object.
    pub request: bool,
}

impl GateReads {
    /// Everything.
    pub const ALL: Self = Self {
        principal: true,
        capability: true,
        label: true,
        tenant_risk: true,
        qos: true,
        blast: true,
        dry_run: true,
        http: true,
        method: true,
        host: true,
        path: true,
        request: true,
    };
}

/// One value of the caller's object, as the policies read it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Claim {
    /// It is not there.
    Absent,
    /// It is there, and no more of it is read.
    Present,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Long(i64),
    /// A text.
    Text(Arc<str>),
    /// A set: sorted, nothing twice.
    Set(Box<[Claim]>),
    /// It is there, and not of the kind that the policies read: this kind, in words.
    Unreadable(&'static str),
}

/// What a policy gate is asked.
#[derive(Debug)]
pub struct Asked<'a> {
    /// For whom.
    pub tenant: Option<&'a str>,
    /// The enrolled worker that the request names.
    pub worker: Option<&'a str>,
    /// The capability that is asked for.
    pub capability: Option<&'a str>,
    /// Where.
    pub env: Env,
    /// How sensitive the data is.
    pub label: Option<DataLabel>,
    /// The tenant's risk that counts.
    pub tenant_risk: Option<TenantRisk>,
    /// Service class.
    pub qos: Option<QosClass>,
    /// The blast score that counts.
    pub blast: Option<u8>,
    /// Decide and record, but dispatch nothing.
    pub dry_run: Option<bool>,
    /// The species that would act, when one can.
    pub species: Option<&'a str>,
    /// What of the request on the wire is read, when it came through the gate.
    pub http: Option<HttpRead<'a>>,
    /// What is read of the caller's object.
    pub claims: &'a [Claim],
}

/// What is read of a request on the wire.
#[derive(Debug, Clone, Copy)]
pub struct HttpRead<'a> {
    /// The method.
    pub method: Option<&'a str>,
    /// The host.
    pub host: Option<&'a str>,
    /// The path.
    pub path: Option<&'a str>,
}

/// What a policy gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateAnswer {
    /// Yes, no, or a human.
    pub ruling: Ruling,
    /// Why, in the policies' words; empty for a yes.
    pub reason: Arc<str>,
    /// The policies that decided, by id, in the order of the files.
    pub policies: Arc<[Arc<str>]>,
}

/// Yes, no, or a human.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// A policy permits or no permit is needed, and none forbids.
    Allow,
    /// A policy forbids, or none permits where one must.
    Deny,
    /// A policy could not be evaluated, which is a no.
    Erred,
    /// A human of this level is needed, or with advisory told.
    RequireHuman(SupervisorLevel),
    /// The gate itself failed.
    Failed,
}
