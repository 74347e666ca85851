//! The policy as a matrix: what would be decided of each capability, label and environment, by whoever is enrolled for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::judge::Judge;
use crate::engine::policy_gate::ProbedPolicy;
use crate::engine::rules::Capabilities;
use crate::engine::{Binding, DenyCode, Facts, GateFinding, Outcome, RouteInput, Verdict};
use crate::ids::{DataLabel, Env, SupervisorLevel, TenantRisk};
use crate::ledger::past::KnownRequest;

/// The most capabilities of one matrix.
pub const CAPABILITIES: usize = 25;
/// The most workers that are tried for one cell.
const WORKERS: usize = 8;

/// What a matrix is asked for.
#[derive(Debug, Clone, Default)]
pub struct MatrixRequest {
    /// For which tenant; `None`: a reader's own, or one that nobody knows.
    pub tenant: Option<Arc<str>>,
    /// As which worker; `None`: whoever is enrolled for the capability.
    pub worker: Option<Arc<str>>,
    /// Only capabilities whose id begins so.
    pub prefix: Option<String>,
    /// Only those behind this one.
    pub after: Option<String>,
}

/// A matrix.
#[derive(Debug)]
pub struct PolicyMatrix {
    /// For which tenant it was asked.
    pub tenant: Arc<str>,
    /// As which worker; `None`: as whoever gets the most, also where one was named that this reader may not be told of.
    pub worker: Option<Arc<str>>,
    /// Which risk counts for it.
    pub tenant_risk: TenantRisk,
    /// The policies, in the order of their files; none for a reader who is bound.
    pub policies: Vec<ProbedPolicy>,
    /// By capability.
    pub rows: Vec<MatrixRow>,
    /// Behind which one more follow.
    pub next: Option<String>,
}

/// What would be decided of one capability.
#[derive(Debug)]
pub struct MatrixRow {
    /// The capability.
    pub capability: String,
    /// By environment and label, in their order.
    pub cells: Vec<MatrixCell>,
}

/// What would be decided there.
#[derive(Debug)]
pub struct MatrixCell {
    /// Where.
    pub env: Env,
    /// Of which data.
    pub label: DataLabel,
    /// The verdict: the best that anybody gets who was tried.
    pub outcome: Outcome,
    /// Why not.
    pub code: Option<DenyCode>,
    /// Who would have to agree.
    pub supervisor: Option<SupervisorLevel>,
    /// By which rule.
    pub rule: Arc<str>,
    /// Who gets it; `None`: nobody need be named.
    pub worker: Option<Arc<str>>,
    /// What of the request the policies that were asked read besides: another one may be decided otherwise.
    pub reads: Option<String>,
    /// What the shadow says, where it says otherwise.
    pub shadow: Option<(Outcome, Option<DenyCode>)>,
}

/// The matrix of a policy, as far as this reader may know it: of these workers, where it is not all.
pub(super) fn of(
    judge: &Judge,
    wanted: &MatrixRequest,
    reader: &Binding,
    named: Option<&BTreeSet<String>>,
) -> PolicyMatrix {
    let snapshot = &judge.snapshot;
    let sees = |worker: &str| named.is_none_or(|named| named.contains(worker));
    let mut declared: BTreeMap<&str, Vec<Arc<str>>> = BTreeMap::new();
    for worker in snapshot.workers.values().filter(|worker| sees(worker.worker_id.as_str())) {
        for capability in &worker.capabilities {
            declared.entry(capability.as_str()).or_default().push(worker.worker_id.shared());
        }
    }
    for rule in &snapshot.rules.rules {
        let Capabilities::Only(named) = &rule.capabilities else { continue };
        for id in named {
            declared.entry(id).or_default();
        }
    }
    let wants = |id: &str| {
        wanted.prefix.as_deref().is_none_or(|prefix| id.starts_with(prefix))
            && wanted.after.as_deref().is_none_or(|after| id > after)
    };
    let mut all = declared.into_iter().filter(|(id, _)| wants(id));
    let page: Vec<(&str, Vec<Arc<str>>)> = all.by_ref().take(CAPABILITIES).collect();
    let next = all.next().and(page.last()).map(|(id, _)| (*id).to_owned());
    let tenant = reader.tenant.as_ref().map(|tenant| tenant.shared()).or_else(|| wanted.tenant.clone());
    let tenant = tenant.unwrap_or_else(|| Arc::from(NOBODY));
    let tenant_risk = snapshot.tenant_risk(&RouteInput::new("", Env::Dev, &tenant));
    let facts = Facts { binding: reader.clone(), observed: false };
    let shadow = snapshot.shadow.as_ref().map(|shadow| Judge::new(Arc::clone(shadow)));
    let sieve = Sieve { judge, shadow, facts, tenant: &tenant, worker: wanted.worker.as_ref().filter(|id| sees(id)) };
    let rows = page.into_iter().map(|(capability, workers)| sieve.row(capability, &workers)).collect();
    let probe = snapshot.gate.as_ref().filter(|_| !reader.is_bound()).and_then(|gate| gate.probe());
    let policies = probe.map_or_else(Vec::new, |probe| probe.policies().to_vec());
    let worker = sieve.worker.cloned();
    PolicyMatrix { tenant: Arc::clone(&tenant), worker, tenant_risk, policies, rows, next }
}

/// Stands in for a tenant where none is named: nobody knows it.
const NOBODY: &str = "org.unknown";

/// What the cells are asked with.
struct Sieve<'a> {
    judge: &'a Judge,
    shadow: Option<Judge>,
    facts: Facts,
    tenant: &'a Arc<str>,
    worker: Option<&'a Arc<str>>,
}

impl Sieve<'_> {
    fn row(&self, capability: &str, workers: &[Arc<str>]) -> MatrixRow {
        let cells = Env::ALL.iter().filter(|env| self.facts.binding.envs.as_ref().is_none_or(|of| of.contains(env)));
        let cells = cells.flat_map(|env| DataLabel::ALL.iter().map(|label| (*env, *label)));
        let cells = cells.filter_map(|(env, label)| self.cell(capability, env, label, workers)).collect();
        MatrixRow { capability: capability.to_owned(), cells }
    }

    /// The best of those who are tried.
    fn cell(&self, capability: &str, env: Env, label: DataLabel, workers: &[Arc<str>]) -> Option<MatrixCell> {
        let tried: Vec<Option<&Arc<str>>> = match self.worker {
            Some(worker) => vec![Some(worker)],
            None if workers.is_empty() => vec![None],
            None => workers.iter().take(WORKERS).map(Some).collect(),
        };
        let mut best: Option<MatrixCell> = None;
        for worker in tried {
            let cell = self.tried(capability, env, label, worker);
            if best.as_ref().is_none_or(|best| rank(cell.outcome) > rank(best.outcome)) {
                best = Some(cell);
            }
            if best.as_ref().is_some_and(|best| best.outcome == Outcome::Dispatch) {
                break;
            }
        }
        best
    }

    fn tried(&self, capability: &str, env: Env, label: DataLabel, worker: Option<&Arc<str>>) -> MatrixCell {
        let input = RouteInput {
            worker_id: worker.cloned(),
            data_label: label,
            data_label_defaulted: false,
            correlation_id: Arc::from("matrix"),
            ..RouteInput::new(capability, env, self.tenant)
        };
        let shadow = self.shadow.as_ref().map(|shadow| shadow.decide(input.clone(), &self.facts, None, false).0);
        let (decision, why) = self.judge.explain(input, &self.facts, None);
        let verdict = &decision.verdict;
        let code = |verdict: &Verdict| verdict.denial.as_ref().map(|denial| denial.code);
        let supervisor = why.gates.iter().find_map(|report| match report.said {
            GateFinding::WantsHuman(level, _) => Some(level),
            _ => None,
        });
        MatrixCell {
            env,
            label,
            outcome: verdict.outcome,
            code: code(verdict),
            supervisor: supervisor.filter(|_| verdict.outcome == Outcome::Hold),
            rule: Arc::clone(&verdict.matched_rule_id),
            worker: verdict.worker_id.clone().or_else(|| worker.cloned()),
            reads: why.asked.and_then(|policies| KnownRequest::Declared.lacks(self.judge.reads(policies))),
            shadow: shadow
                .map(|other| (other.verdict.outcome, code(&other.verdict)))
                .filter(|other| *other != (verdict.outcome, code(verdict))),
        }
    }
}

/// How much somebody gets.
const fn rank(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Deny => 0,
        Outcome::Hold => 1,
        Outcome::Dispatch => 2,
    }
}
