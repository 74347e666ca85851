//! A visitor of policies, at load: notes what they read, of which kind it must be, and words that never occur.
//!
//! The walk may note too much, never too little. What it does not know counts as reading everything; and what it failed to
//! note would be missing when the policy is evaluated, which is an error, which denies.

use cedar_policy::pst::{
    BinaryOp, Clause, Effect, Expr, Literal, PrincipalConstraint, ResourceConstraint, Template, UnaryOp, Var,
};

use super::reads::{ATTRIBUTES, HTTP, PolicyReads};
use super::request::{PolicyClause, ValueKind};
use super::source::PolicySource;
use crate::ids::{DataLabel, Env, QosClass, TenantRisk, meant};

/// What the policies read.
///
/// The kind of one value may follow from that of another, so they are looked through until nothing new turns up: each time
/// but the last at least one more value has a kind.
pub(super) fn reads_of<'w>(written: impl IntoIterator<Item = &'w PolicySource> + Clone) -> PolicyReads {
    let mut reads = PolicyReads::default();
    loop {
        let before = reads.clone();
        reads.problems.clear();
        for (policy, written) in written.clone().into_iter().enumerate() {
            look_through(&written.body, policy, &mut reads);
        }
        if reads == before {
            return reads;
        }
    }
}

fn look_through(body: &Template, policy: usize, reads: &mut PolicyReads) {
    let by = PolicyClause { policy, forbids: body.effect == Effect::Forbid };
    match body.principal {
        PrincipalConstraint::Any => {}
        PrincipalConstraint::Eq(_) | PrincipalConstraint::Is(_) => reads.principal = true,
        PrincipalConstraint::In(_) | PrincipalConstraint::IsIn(..) => {
            reads.principal = true;
            reads.hierarchy = true;
        }
    }
    match body.resource {
        ResourceConstraint::Any => {}
        ResourceConstraint::Eq(_) | ResourceConstraint::Is(_) => reads.resource = true,
        ResourceConstraint::In(_) | ResourceConstraint::IsIn(..) => {
            reads.resource = true;
            reads.hierarchy = true;
        }
    }
    for clause in body.clauses() {
        let (Clause::When(condition) | Clause::Unless(condition)) = clause;
        Visitor { reads, by }.expression(condition, Some(ValueKind::Bool));
    }
}

/// A walk through one policy.
struct Visitor<'a> {
    reads: &'a mut PolicyReads,
    by: PolicyClause,
}

impl Visitor<'_> {
    /// Looks through an expression, of which a value of the kind `wanted` is expected, where that is known.
    fn expression(&mut self, expression: &Expr, wanted: Option<ValueKind>) {
        if let Some(path) = path_of(expression) {
            return self.reads_path(&path, wanted);
        }
        match expression {
            Expr::Literal(_) | Expr::Var(Var::Action | Var::Context) => {}
            Expr::Var(Var::Principal) => self.reads.principal = true,
            Expr::Var(Var::Resource) => self.reads.resource = true,
            Expr::GetAttr { expr, .. } => self.expression(expr, None),
            Expr::HasAttr { expr, attrs } => match path_of(expr) {
                Some(mut path) => {
                    for attr in attrs {
                        path.push(attr);
                        self.asks_for(&path);
                    }
                }
                None => self.expression(expr, None),
            },
            Expr::Like { expr, .. } => self.expression(expr, Some(ValueKind::Text)),
            Expr::Is { expr, in_expr, .. } => {
                self.reads.hierarchy |= in_expr.is_some();
                self.expression(expr, None);
                if let Some(group) = in_expr {
                    self.expression(group, None);
                }
            }
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                self.expression(cond, Some(ValueKind::Bool));
                self.expression(then_expr, wanted.or_else(|| self.kind_of(else_expr)));
                self.expression(else_expr, wanted.or_else(|| self.kind_of(then_expr)));
            }
            Expr::Set(elements) => {
                let known = wanted.and_then(ValueKind::element);
                let kind = known.or_else(|| elements.iter().find_map(|element| self.kind_of(element)));
                for element in elements {
                    self.expression(element, kind);
                }
            }
            Expr::Record(members) => {
                for member in members.values() {
                    self.expression(member, None);
                }
            }
            Expr::UnaryOp { op, expr } => self.unary(*op, expr),
            Expr::BinaryOp { op, left, right } => self.binary(*op, left, right),
            _ => self.reads_everything(),
        }
    }

    fn unary(&mut self, op: UnaryOp, operand: &Expr) {
        let wanted = match op {
            UnaryOp::Not => Some(ValueKind::Bool),
            UnaryOp::Neg => Some(ValueKind::Long),
            UnaryOp::IsEmpty => Some(ValueKind::set(None)),
            UnaryOp::Decimal | UnaryOp::Datetime | UnaryOp::Duration | UnaryOp::Ip => Some(ValueKind::Text),
            _ => None,
        };
        self.expression(operand, wanted);
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr) {
        use BinaryOp as Op;
        let (of_left, of_right) = (self.kind_of(left), self.kind_of(right));
        let (left_wanted, right_wanted) = match op {
            Op::Eq | Op::NotEq => {
                self.can_be(left, right);
                self.can_be(right, left);
                (of_right, of_left)
            }
            Op::Less | Op::LessEq | Op::Greater | Op::GreaterEq | Op::Add | Op::Sub | Op::Mul => {
                (Some(ValueKind::Long), Some(ValueKind::Long))
            }
            Op::And | Op::Or => (Some(ValueKind::Bool), Some(ValueKind::Bool)),
            Op::Contains => {
                if let Expr::Set(elements) = left {
                    elements.iter().for_each(|element| self.can_be(right, element));
                }
                (Some(ValueKind::set(of_right)), of_left.and_then(ValueKind::element))
            }
            Op::ContainsAll | Op::ContainsAny => {
                let set = |of: Option<ValueKind>| {
                    of.filter(|kind| matches!(kind, ValueKind::Set(_))).or(Some(ValueKind::set(None)))
                };
                (set(of_right), set(of_left))
            }
            Op::In => {
                self.reads.hierarchy = true;
                (None, None)
            }
            _ => (None, None),
        };
        self.expression(left, left_wanted);
        self.expression(right, right_wanted);
    }

    /// A value is read.
    fn reads_path(&mut self, path: &[&str], wanted: Option<ValueKind>) {
        match path {
            [] => self.problem("reads the context as a whole", "read its attributes one by one"),
            ["request"] => self.problem("reads `context.request` as a whole", "read its attributes one by one"),
            ["http"] => {
                self.reads.attributes.insert("http");
                self.reads.http.extend(HTTP);
            }
            ["request", inner @ ..] => {
                self.reads.attributes.insert("request");
                self.reads.request.reads(inner, wanted, self.by);
            }
            _ => self.asks_for(path),
        }
    }

    /// Whether something is there is read.
    fn asks_for(&mut self, path: &[&str]) {
        let Some((first, inner)) = path.split_first() else { return };
        self.reads.attributes.extend(PolicyReads::attribute(first));
        match (*first, inner) {
            ("request", [_, ..]) => self.reads.request.has(inner, self.by),
            ("http", [name, ..]) => self.reads.http.extend(HTTP.iter().find(|known| *known == name)),
            _ => {}
        }
    }

    fn reads_everything(&mut self) {
        self.problem("uses something of Cedar that is not known here", "say it in another way");
        self.reads.principal = true;
        self.reads.resource = true;
        self.reads.hierarchy = true;
        self.reads.attributes.extend(ATTRIBUTES.iter().map(|(name, _)| name));
        self.reads.attributes.insert("http");
        self.reads.http.extend(HTTP);
    }

    /// Of which kind a value is, as far as that is known by now.
    fn kind_of(&self, expression: &Expr) -> Option<ValueKind> {
        if let Some(path) = path_of(expression) {
            return match path.as_slice() {
                ["request", inner @ ..] => self.reads.request.kind(inner),
                ["http", _] => Some(ValueKind::Text),
                [name] => ATTRIBUTES.iter().find(|(known, _)| known == name).map(|(_, kind)| *kind),
                _ => None,
            };
        }
        match expression {
            Expr::Literal(Literal::Bool(_)) | Expr::Like { .. } | Expr::Is { .. } | Expr::HasAttr { .. } => {
                Some(ValueKind::Bool)
            }
            Expr::Literal(Literal::Long(_)) => Some(ValueKind::Long),
            Expr::Literal(Literal::String(_)) => Some(ValueKind::Text),
            Expr::IfThenElse { then_expr, else_expr, .. } => {
                self.kind_of(then_expr).or_else(|| self.kind_of(else_expr))
            }
            Expr::Set(elements) => Some(ValueKind::set(elements.iter().find_map(|element| self.kind_of(element)))),
            Expr::UnaryOp { op, .. } => match op {
                UnaryOp::Neg
                | UnaryOp::ToMilliseconds
                | UnaryOp::ToSeconds
                | UnaryOp::ToMinutes
                | UnaryOp::ToHours
                | UnaryOp::ToDays => Some(ValueKind::Long),
                UnaryOp::Not | UnaryOp::IsEmpty => Some(ValueKind::Bool),
                UnaryOp::IsIPv4 | UnaryOp::IsIPV6 | UnaryOp::IsLoopback | UnaryOp::IsMulticast => Some(ValueKind::Bool),
                _ => None,
            },
            Expr::BinaryOp { op, .. } => match op {
                BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => Some(ValueKind::Long),
                BinaryOp::GetTag | BinaryOp::Offset | BinaryOp::DurationSince => None,
                _ => Some(ValueKind::Bool),
            },
            _ => None,
        }
    }

    /// Notes a literal that a value is compared with and never has. A `forbid` with a typing error would never forbid.
    fn can_be(&mut self, value: &Expr, literal: &Expr) {
        let (Some(path), Expr::Literal(Literal::String(text))) = (path_of(value), literal) else { return };
        let [name] = path.as_slice() else { return };
        let Some(words) = words(name) else { return };
        if !words.contains(&text.as_str()) {
            let message = format!("`context.{name}` is never {:?}", text.as_str());
            let otherwise = || format!("write one of {}", words.join(", "));
            let written = other_name(name, text).unwrap_or(text);
            self.problem(message, meant(written, words.iter().copied(), otherwise));
        }
    }

    fn problem(&mut self, message: impl Into<String>, help: impl Into<String>) {
        self.reads.problems.push((self.by.policy, message.into(), help.into()));
    }
}

/// Every value that an attribute of the context can have, if those are words.
fn words(attribute: &str) -> Option<Vec<&'static str>> {
    Some(match attribute {
        "env" => Env::ALL.iter().map(|value| value.as_str()).collect(),
        "data_label" => DataLabel::ALL.iter().map(|value| value.as_str()).collect(),
        "tenant_risk" => TenantRisk::ALL.iter().map(|value| value.as_str()).collect(),
        "qos_class" => QosClass::ALL.iter().map(|value| value.as_str()).collect(),
        _ => return None,
    })
}

/// The word of which this is another name, which requests may use and policies never see.
fn other_name(attribute: &str, text: &str) -> Option<&'static str> {
    match attribute {
        "env" => text.parse().ok().map(Env::as_str),
        "data_label" => text.parse().ok().map(DataLabel::as_str),
        _ => None,
    }
}

/// The path from the context to a value, if an expression is one.
fn path_of(expression: &Expr) -> Option<Vec<&str>> {
    match expression {
        Expr::Var(Var::Context) => Some(Vec::new()),
        Expr::GetAttr { expr, attr } => {
            let mut path = path_of(expr)?;
            path.push(attr);
            Some(path)
        }
        _ => None,
    }
}
