//! Policies as they are written: read from their files, and what their annotations mean here.

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::pst::{Policy as Parsed, Template};
use cedar_policy::{Effect, Policy, PolicyId, PolicySet};
use miette::Diagnostic;

use super::PolicyProblem;
use super::files::PolicyFile;
use crate::ids::{InvalidId, SupervisorLevel, meant, nearest};

/// The annotations that mean something here.
const ANNOTATIONS: [&str; 4] = ["id", "reason", "gate", "supervisor_level"];

/// The one value of `@gate`.
const REQUIRE_HUMAN: &str = "REQUIRE_HUMAN";

/// The longest id or reason, in characters.
const LONGEST: usize = 128;

/// A policy as it is written.
#[derive(Debug)]
pub(super) struct PolicySource {
    pub(super) file: usize,
    pub(super) offset: usize,
    /// Its `@id`, else file and line.
    pub(super) id: Arc<str>,
    /// Its `@reason`, else its id.
    pub(super) reason: Arc<str>,
    /// Whether it asks for a human rather than forbids, and of which level.
    pub(super) human: Option<SupervisorLevel>,
    pub(super) policy: Policy,
    pub(super) body: Template,
}

impl PolicySource {
    /// Whether it forbids, or asks for a human.
    pub(super) fn forbids(&self) -> bool {
        self.policy.effect() == Effect::Forbid
    }
}

/// Every policy of the files, in order, and what is wrong with them by themselves.
pub(super) fn parse(files: &[PolicyFile]) -> (Vec<PolicySource>, Vec<PolicyProblem>) {
    let mut reading = Reading { files, written: Vec::new(), ids: BTreeMap::new(), problems: Vec::new() };
    for file in 0..files.len() {
        reading.file(file);
    }
    (reading.written, reading.problems)
}

struct Reading<'a> {
    files: &'a [PolicyFile],
    written: Vec<PolicySource>,
    /// Where each id was written first.
    ids: BTreeMap<Arc<str>, (usize, usize)>,
    problems: Vec<PolicyProblem>,
}

impl Reading<'_> {
    fn file(&mut self, at: usize) {
        let Some(file) = self.files.get(at) else { return };
        let set: PolicySet = match file.text.parse() {
            Ok(set) => set,
            Err(errors) => {
                for error in cedar_policy::ParseErrors::iter(&errors) {
                    self.problems.push(of_diagnostic(file, "", error, 0, "correct the policy's syntax"));
                }
                return;
            }
        };
        for template in set.templates() {
            let offset = file.text.find(&template.to_cedar()).unwrap_or(0);
            let message = "is a template, and nothing here fills its slots";
            self.note(at, offset, "", message, "name the principal or the resource in the policy");
        }
        // Cedar names the policies of a file `policy0`, `policy1`, ….
        let number = |policy: &&Policy| policy.id().to_string().trim_start_matches("policy").parse::<usize>().ok();
        let mut policies: Vec<&Policy> = set.policies().collect();
        policies.sort_by_key(number);
        let mut from = 0;
        for policy in policies {
            let text = policy.to_cedar().unwrap_or_default();
            let offset = file.text.get(from..).and_then(|rest| rest.find(&text)).map_or(from, |found| from + found);
            from = offset + text.len();
            self.policy(at, offset, &text, policy);
        }
    }

    fn policy(&mut self, at: usize, offset: usize, text: &str, policy: &Policy) {
        let Some(file) = self.files.get(at) else { return };
        let place_of = |name: &str| offset + text.find(&format!("@{name}")).unwrap_or(0);
        let unnamed = || match file.place(offset) {
            (line, 1) => Arc::from(format!("{}:{line}", file.name)),
            (line, column) => Arc::from(format!("{}:{line}:{column}", file.name)),
        };
        let mut id: Arc<str> = policy.annotation("id").filter(|id| sound(id)).map_or_else(unnamed, Arc::from);
        for (name, value) in policy.annotations() {
            match name {
                "id" | "reason" if !sound(value) => self.note(
                    at,
                    place_of(name),
                    &id,
                    format!("`@{name}` is empty, longer than {LONGEST} characters or has control characters"),
                    format!("write `@{name}(\"a few words\")`"),
                ),
                known if ANNOTATIONS.contains(&known) => {}
                _ => {
                    let help = match nearest(name, ANNOTATIONS) {
                        Some(meant) => format!("did you mean `@{meant}`?"),
                        None => format!("remove it, or write one of @{}", ANNOTATIONS.join(", @")),
                    };
                    self.note(at, place_of(name), &id, format!("`@{name}` has no meaning here"), help);
                }
            }
        }
        let human = self.human(at, &place_of, &id, policy);
        if let Some((first, line)) = self.ids.get(&id) {
            let first = self.files.get(*first).map_or("", |file| &file.name);
            let message = format!("`{id}` is the id of a policy in {first}:{line}, too");
            self.note(at, place_of("id"), &id.clone(), message, "give each policy an id of its own");
            // Only so that the rest of it can still be checked.
            id = Arc::from(format!("{id} in {}:{}", file.name, file.place(offset).0));
        } else {
            self.ids.insert(Arc::clone(&id), (at, file.place(place_of("id")).0));
        }
        let reason =
            policy.annotation("reason").filter(|reason| sound(reason)).map_or_else(|| Arc::clone(&id), Arc::from);
        let policy = policy.new_id(PolicyId::new(&id));
        match policy.to_pst() {
            Ok(Parsed::Static(parsed)) => {
                let body = parsed.body().clone();
                self.written.push(PolicySource { file: at, offset, id, reason, human, policy, body });
            }
            Ok(_) => self.note(at, offset, &id, "is linked to a template", "write it as a policy"),
            Err(error) => self.note(at, offset, &id, error.to_string(), "say it in another way"),
        }
    }

    /// Whether a policy asks for a human. What stands beside a policy that cannot is a problem, not a comment.
    fn human(
        &mut self,
        at: usize,
        place_of: &impl Fn(&str) -> usize,
        id: &str,
        policy: &Policy,
    ) -> Option<SupervisorLevel> {
        let gate = policy.annotation("gate");
        match gate {
            Some(REQUIRE_HUMAN) if policy.effect() == Effect::Permit => {
                let message = "`@gate(\"REQUIRE_HUMAN\")` stands at a permit";
                self.note(at, place_of("gate"), id, message, "write it at a forbid, which a human can then lift");
            }
            None | Some(REQUIRE_HUMAN) => {}
            Some(other) => {
                let message = format!("`@gate({other:?})` has no meaning here");
                let otherwise = || "write `@gate(\"REQUIRE_HUMAN\")`, or remove it".to_owned();
                self.note(at, place_of("gate"), id, message, meant(other, [REQUIRE_HUMAN], otherwise));
            }
        }
        let level = match policy.annotation("supervisor_level").map(str::parse) {
            None => SupervisorLevel::Gatekeeper,
            Some(Ok(_)) if gate.is_none() => {
                let message = "`@supervisor_level` stands without `@gate`";
                self.note(
                    at,
                    place_of("supervisor_level"),
                    id,
                    message,
                    "add `@gate(\"REQUIRE_HUMAN\")`, or remove it",
                );
                SupervisorLevel::Gatekeeper
            }
            Some(Ok(level)) => level,
            Some(Err(error)) => {
                let InvalidId { value, expected, meant } = error;
                let message = format!("`@supervisor_level({value:?})` is not {expected}");
                let help =
                    meant.map_or_else(|| "correct the value".to_owned(), |word| format!("did you mean `{word}`?"));
                self.note(at, place_of("supervisor_level"), id, message, help);
                SupervisorLevel::Gatekeeper
            }
        };
        gate.map(|_| level)
    }

    fn note(&mut self, at: usize, offset: usize, policy: &str, message: impl Into<String>, help: impl Into<String>) {
        let Some(file) = self.files.get(at) else { return };
        self.problems.push(PolicyProblem {
            file: file.path.clone(),
            place: Some(file.place(offset)),
            policy: policy.to_owned(),
            message: message.into(),
            help: help.into(),
        });
    }
}

/// Whether a text can stand in a decision.
fn sound(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= LONGEST && !text.contains(char::is_control)
}

/// What Cedar says, in our form.
pub(super) fn of_diagnostic(
    file: &PolicyFile,
    policy: &str,
    said: &(impl Diagnostic + ?Sized),
    otherwise: usize,
    help: &str,
) -> PolicyProblem {
    let offset = said.labels().and_then(|mut labels| labels.next()).map_or(otherwise, |label| label.offset());
    let message = said.to_string();
    let named = format!("for policy `{policy}`, ");
    let message = message.strip_prefix(&named).unwrap_or(&message).to_owned();
    PolicyProblem {
        file: file.path.clone(),
        place: Some(file.place(offset)),
        policy: policy.to_owned(),
        message,
        help: said.help().map_or_else(|| help.to_owned(), |help| help.to_string().replace(&named, "")),
    }
}
