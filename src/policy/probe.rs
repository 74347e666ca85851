//! Probes: which policies and which of their conditions came out true and false, one by one.
//!
//! Each condition becomes two permits of its own, with the policy's scope and with what must hold before the condition is looked at:
//! one for when it is true, one for when it is false. One evaluation of all of them then tells which way each went. A condition
//! is what stands between `&&`, `||`, `!` and `if`; what was never looked at went neither way.

use std::sync::Arc;

use cedar_policy::pst::{BinaryOp, Clause, Effect, Expr, Literal, Policy as Parsed, StaticPolicy, Template, UnaryOp};
use cedar_policy::{Policy, PolicyId, PolicySet};

use crate::engine::policy_gate::{Asked, Policies, PolicyProbe, ProbedPolicy, Taken};

/// Probes of a gate's policies.
pub(super) struct CedarProbe<H> {
    /// Tells the places of those permits that hold for a request.
    holding: H,
    /// To Cedar their ids are their places among what they stand for.
    probes: PolicySet,
    stands_for: Vec<Taken>,
    policies: Vec<ProbedPolicy>,
}

impl<H: Fn(Policies, &Asked<'_>, &PolicySet) -> Vec<usize>> CedarProbe<H> {
    /// Of these policies, each with what is known of it, in their order.
    pub(super) fn of(holding: H, written: impl Iterator<Item = (ProbedPolicy, Template)>) -> Result<Self, String> {
        let mut probe = Self { holding, probes: PolicySet::new(), stands_for: Vec::new(), policies: Vec::new() };
        for (policy, body) in written {
            probe.policies.push(policy);
            let clauses = body.clauses().clone();
            probe.add(&body, &clauses, Taken::Applied(probe.policies.len() - 1))?;
            let mut before = Vec::new();
            for clause in clauses {
                let (Clause::When(condition) | Clause::Unless(condition)) = &clause;
                probe.branches(&body, &before, condition)?;
                before.push(clause);
            }
        }
        Ok(probe)
    }

    /// Adds the probes of a condition, which is looked at once these clauses hold.
    fn branches(&mut self, body: &Template, before: &[Clause], condition: &Arc<Expr>) -> Result<(), String> {
        let and = |clause: Clause| [before, &[clause]].concat();
        match &**condition {
            Expr::BinaryOp { op: BinaryOp::And, left, right } => {
                self.branches(body, before, left)?;
                self.branches(body, &and(Clause::When(Arc::clone(left))), right)
            }
            Expr::BinaryOp { op: BinaryOp::Or, left, right } => {
                self.branches(body, before, left)?;
                self.branches(body, &and(Clause::Unless(Arc::clone(left))), right)
            }
            Expr::UnaryOp { op: UnaryOp::Not, expr } => self.branches(body, before, expr),
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                self.branches(body, before, cond)?;
                self.branches(body, &and(Clause::When(Arc::clone(cond))), then_expr)?;
                self.branches(body, &and(Clause::Unless(Arc::clone(cond))), else_expr)
            }
            // It goes one way only, whatever is asked.
            Expr::Literal(Literal::Bool(_)) => Ok(()),
            _ => {
                let at = self.policies.len() - 1;
                let Some(policy) = self.policies.last_mut() else { return Ok(()) };
                policy.conditions.push(Arc::from(condition.to_string()));
                let number = policy.conditions.len() - 1;
                let (is, is_not) = (Clause::When(Arc::clone(condition)), Clause::Unless(Arc::clone(condition)));
                self.add(body, &and(is), Taken::Condition(at, number, true))?;
                self.add(body, &and(is_not), Taken::Condition(at, number, false))
            }
        }
    }

    fn add(&mut self, body: &Template, clauses: &[Clause], stands_for: Taken) -> Result<(), String> {
        let mut probe = body.clone().try_with_clauses(clauses.to_vec()).map_err(|error| error.to_string())?;
        probe.effect = Effect::Permit;
        let probe = StaticPolicy::try_from(probe).map_err(|error| error.to_string())?;
        let probe = Policy::from_pst(Parsed::Static(probe)).map_err(|error| error.to_string())?;
        let probe = probe.new_id(PolicyId::new(self.stands_for.len().to_string()));
        self.probes.add(probe).map_err(|error| error.to_string())?;
        self.stands_for.push(stands_for);
        Ok(())
    }
}

impl<H: Fn(Policies, &Asked<'_>, &PolicySet) -> Vec<usize>> PolicyProbe for CedarProbe<H> {
    fn policies(&self) -> &[ProbedPolicy] {
        &self.policies
    }

    fn taken(&self, policies: Policies, asked: &Asked<'_>) -> Vec<Taken> {
        let is_asked =
            |at: usize| policies == Policies::All || self.policies.get(at).is_some_and(|policy| policy.forbids);
        let mut taken: Vec<Taken> = (0..self.policies.len()).filter(|at| is_asked(*at)).map(Taken::Asked).collect();
        let holding = (self.holding)(policies, asked, &self.probes).into_iter();
        let holding = holding.filter_map(|place| self.stands_for.get(place).copied());
        taken.extend(holding.filter(|taken| match *taken {
            Taken::Asked(at) | Taken::Applied(at) | Taken::Condition(at, ..) => is_asked(at),
        }));
        taken
    }
}
