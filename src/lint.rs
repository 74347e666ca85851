//! Lints: what loads and cannot work all the same, found by holding gate, rules, workers, catalogue and policies against each other.
//!
//! Each lint has a name, by which docs/reference/warnings.md says what to do, and is one pure function over what was loaded.

mod approvals;
mod asking;
mod gate;
mod locate;
mod policies;
mod routes;
mod rules;
mod tokens;
mod workers;

use std::path::PathBuf;

use crate::config::{Checked, Config, LoadedPolicy, Origins, VARIABLE_WITHOUT_BRACES, WEAK_SECRET, Warning};
use crate::engine::Snapshot;
use crate::engine::json::Step;
use crate::hall::Token;
use crate::ids::WorkerId;
use crate::proxy;
use crate::registry::roster::Roster;

/// The most findings of one lint.
const MOST: usize = 50;

/// What was loaded, as far as lints look at it.
#[derive(Debug, Clone, Copy)]
struct Loaded<'a> {
    /// The gate; `None` when there is none.
    gate: Option<&'a proxy::Settings>,
    /// The session tokens.
    tokens: &'a [Token],
    snapshot: &'a Snapshot,
    roster: &'a Roster,
    /// Whether workers are enrolled over the API, too: then one that is missing may still come.
    is_open: bool,
    origins: &'a Origins,
}

/// Where something is.
#[derive(Debug, Clone)]
enum At {
    /// At a key of the configuration.
    Key(String),
    /// In the rules.
    Rules(Vec<Step>),
    /// In a worker's record.
    Record(WorkerId, Vec<Step>),
    /// At a policy.
    Policy { file: PathBuf, place: Option<(usize, usize)>, policy: String },
}

/// What a lint finds: where, what, and what to change.
#[derive(Debug, Clone)]
struct Finding {
    at: At,
    message: String,
    help: String,
}

impl Finding {
    fn new(at: At, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { at, message: message.into(), help: help.into() }
    }
}

/// What one lint finds: as many as somebody reads, and whether there are more. No more of them are looked for, since what is configured
/// may be large, and neither a start nor a reload is to wait for it.
#[derive(Debug, Default)]
struct Findings {
    list: Vec<Finding>,
    more: bool,
}

impl Findings {
    fn one(finding: Finding) -> Self {
        Self { list: vec![finding], more: false }
    }

    fn push(&mut self, finding: Finding) {
        if self.list.len() < MOST {
            self.list.push(finding);
        } else {
            self.more = true;
        }
    }

    /// Whether nothing more need be found.
    const fn is_full(&self) -> bool {
        self.more
    }
}

impl FromIterator<Finding> for Findings {
    fn from_iter<I: IntoIterator<Item = Finding>>(found: I) -> Self {
        let mut findings = Self::default();
        let mut found = found.into_iter();
        while !findings.is_full()
            && let Some(finding) = found.next()
        {
            findings.push(finding);
        }
        findings
    }
}

/// A lint.
#[derive(Debug)]
pub struct Lint {
    /// What it is called.
    pub name: &'static str,
    /// What it means, and what it costs.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    /// How it is looked for; those of the text itself are found by whoever reads it.
    find: Option<fn(&Loaded<'_>) -> Findings>,
}

/// Every lint that there is.
pub const LINTS: &[Lint] = &[
    Lint {
        name: VARIABLE_WITHOUT_BRACES,
        meaning: "a value holds `$NAME`, which stays as it is written and goes upstream so",
        remedy: "write `${NAME}`; a text with a `$` of its own goes into a file (`{ file: … }`, `secret_file`)",
        find: None,
    },
    Lint {
        name: WEAK_SECRET,
        meaning: "a token's secret has less than 128 bits, and guessing is bounded by nothing else",
        remedy: "make one with `hallgate token new`",
        find: None,
    },
    Lint {
        name: "approvals-in-reference-mode",
        meaning: "there is a section `approvals`, and in `mode: reference` nothing is held for anybody",
        remedy: "write `mode: strict`, or remove the section",
        find: Some(approvals::in_reference_mode),
    },
    Lint {
        name: "approver-asked-nothing",
        meaning: "a token has the scope `approve`, and without a section `approvals` nobody is asked",
        remedy: "add `approvals: {}`, or remove the scope",
        find: Some(approvals::nobody_is_asked),
    },
    Lint {
        name: "approver-without-owner",
        meaning: "a token that may agree does not say who answers for it: one person with two of them could agree to what they ask",
        remedy: "give each token an `owner`",
        find: Some(approvals::without_owner),
    },
    Lint {
        name: "gate-worker-not-enrolled",
        meaning: "the gate is the sidecar of a worker that nobody enrolled: every request is denied",
        remedy: "correct `gate.identity.worker_id`, or add the worker's record",
        find: Some(gate::worker_not_enrolled),
    },
    Lint {
        name: "gate-worker-cannot-act",
        meaning: "the gate's worker is revoked or banned, or not allowed in `gate.env`: every request is denied",
        remedy: "correct `status` or `allowed_environments` of its record, or `gate.env`",
        find: Some(gate::worker_cannot_act),
    },
    Lint {
        name: "path-doubled",
        meaning: "a route's path begins with the path of its upstream's URL, so that the upstream is asked for it twice",
        remedy: "take it out of the URL, or out of the route",
        find: Some(gate::path_doubled),
    },
    Lint {
        name: "upstream-is-the-gate",
        meaning: "an upstream's address is the gate's own: each request would come back to it",
        remedy: "write where the app or API behind the gate listens",
        find: Some(gate::upstream_is_the_gate),
    },
    Lint {
        name: "observe-over",
        meaning: "the day until which a route only observes the policy is over: it enforces, and the key does nothing",
        remedy: "remove `observe`, or write a later day",
        find: Some(gate::observe_over),
    },
    Lint {
        name: "route-without-rule",
        meaning: "a route asks for a capability for which no rule matches, with its label and in the gate's environment: denied",
        remedy: "correct the capability or `data_label`, or write a rule",
        find: Some(routes::without_rule),
    },
    Lint {
        name: "route-always-denied",
        meaning: "a rule matches, and nobody who may come by this route can be dispatched; the deny code says why",
        remedy: "do what [the code](deny-codes.md) says",
        find: Some(routes::always_denied),
    },
    Lint {
        name: "token-worker-not-enrolled",
        meaning: "a token is bound to a worker that nobody enrolled: what it asks as that worker is denied",
        remedy: "correct `worker_ids`, or add the worker's record",
        find: Some(tokens::worker_not_enrolled),
    },
    Lint {
        name: "tenant-not-allowed",
        meaning: "`policy.require_signatory` is on, and the tenant of the gate or of a token is not listed: denied",
        remedy: "add the tenant to `policy.allowed_tenants`",
        find: Some(tokens::tenant_not_allowed),
    },
    Lint {
        name: "empty-configuration",
        meaning: "the file says nothing, and everything has its default",
        remedy: "name the file that you meant",
        find: Some(tokens::empty_configuration),
    },
    Lint {
        name: "no-rules",
        meaning: "there is no rule: every request is denied",
        remedy: "write rules",
        find: Some(rules::none),
    },
    Lint {
        name: "rule-matches-everything",
        meaning: "a rule has no condition: it takes requests for capabilities that nobody has thought of",
        remedy: "name the capabilities that it is for",
        find: Some(rules::matches_everything),
    },
    Lint {
        name: "rule-without-candidates",
        meaning: "a rule names no species that may act: what it matches is denied",
        remedy: "write `candidate_workers_ranked`, or remove the rule",
        find: Some(rules::without_candidates),
    },
    Lint {
        name: "rule-asks-missing-gate",
        meaning: "a rule asks the policy gate, and none is configured: what it matches is denied",
        remedy: "name policies in `policy.gate`, or take `policy_gate` out",
        find: Some(rules::asks_missing_gate),
    },
    Lint {
        name: "rule-capability-not-declared",
        meaning: "a rule is for a capability that no worker of its candidates declares: whoever names its worker is denied",
        remedy: "add the capability to a worker's record, or correct the rule",
        find: Some(rules::capability_not_declared),
    },
    Lint {
        name: "rule-capability-unknown",
        meaning: "only capabilities of the catalogue count, and a rule is for another: denied",
        remedy: "add it to the catalogue, or correct the rule",
        find: Some(rules::capability_unknown),
    },
    Lint {
        name: "rule-candidates-cannot-act",
        meaning: "no candidate of a rule is active and allowed in one of its environments: what it matches is denied",
        remedy: "correct the workers' records, or add a candidate",
        find: Some(rules::candidates_cannot_act),
    },
    Lint {
        name: "no-workers",
        meaning: "no worker is enrolled: every request is denied",
        remedy: "write a registry record, or set `policy.store`",
        find: Some(workers::none),
    },
    Lint {
        name: "unknown-record-key",
        meaning: "a record has a key that nothing reads",
        remedy: "correct it, or begin it with `x-` if it is a note of your own",
        find: Some(workers::unknown_key),
    },
    Lint {
        name: "unknown-status",
        meaning: "a record's status is no word that there is, and counts as revoked",
        remedy: "write `active`, `revoked`, `retired` or `banned`",
        find: Some(workers::unknown_status),
    },
    Lint {
        name: "wrong-artifact-hash",
        meaning: "in `mode: reference` a record is enrolled that is not the one its `artifact_hash` says; `strict` refuses it",
        remedy: "look who changed the record, then write the hash that `hallgate worker hash` prints",
        find: Some(workers::wrong_hash),
    },
    Lint {
        name: "worker-never-candidate",
        meaning: "no rule has a worker's species as a candidate: it can never act",
        remedy: "add the species to the rules that it is for, or correct it",
        find: Some(workers::never_candidate),
    },
    Lint {
        name: "worker-nowhere-allowed",
        meaning: "a record's list of environments is empty: the worker can act in none",
        remedy: "list environments, or remove the key to allow all",
        find: Some(workers::nowhere_allowed),
    },
    Lint {
        name: "attestation-file-missing",
        meaning: "the source file that was attested is not there: where attestation is required the worker is denied",
        remedy: "correct `attestation.source_file`",
        find: Some(workers::attestation_file_missing),
    },
    Lint {
        name: "policy-file-empty",
        meaning: "a file of policies holds none",
        remedy: "write them, or remove the file",
        find: Some(policies::file_empty),
    },
    Lint {
        name: "policy-worker-unknown",
        meaning: "a policy names a worker that nobody enrolled: for it the policy never applies",
        remedy: "correct the id",
        find: Some(policies::worker_unknown),
    },
    Lint {
        name: "policy-tenant-unknown",
        meaning: "a policy names a tenant that nothing else names: for it the policy never applies",
        remedy: "correct the id, or write the tenant into `policy.tenants`",
        find: Some(policies::tenant_unknown),
    },
    Lint {
        name: "policy-capability-unknown",
        meaning: "a policy names a capability that no rule, route, worker or catalogue names",
        remedy: "correct the id",
        find: Some(policies::capability_unknown),
    },
    Lint {
        name: "policy-domain-unknown",
        meaning: "a policy names a domain in which no capability is",
        remedy: "write the beginning of a capability up to one of its dots",
        find: Some(policies::domain_unknown),
    },
];

/// Everything about a configuration that is sound and cannot work, or is not wise, in the order of its files.
#[must_use]
pub fn of_config(config: &Config) -> Vec<Warning> {
    let Config { gate, tokens, snapshot, roster, store, origins, warnings, .. } = config;
    let loaded = Loaded { gate: gate.as_ref(), tokens, snapshot, roster, is_open: store.is_some(), origins };
    found(warnings, &loaded)
}

/// The same of a policy alone.
#[must_use]
pub fn of_policy(policy: &LoadedPolicy) -> Vec<Warning> {
    let LoadedPolicy { snapshot, roster, store, origins, warnings } = policy;
    found(warnings, &Loaded { gate: None, tokens: &[], snapshot, roster, is_open: store.is_some(), origins })
}

/// The same of as much as was checked.
#[must_use]
pub fn of_checked(checked: &Checked) -> Vec<Warning> {
    match checked {
        Checked::Config(config) => of_config(config),
        Checked::Policy(policy) => of_policy(policy),
    }
}

fn found(of_text: &[Warning], loaded: &Loaded<'_>) -> Vec<Warning> {
    let mut warnings = of_text.to_vec();
    let mut locator = locate::Locator::of(loaded);
    for (name, find) in LINTS.iter().filter_map(|lint| Some((lint.name, lint.find?))) {
        let Findings { mut list, more } = find(loaded);
        if let Some(last) = list.last_mut().filter(|_| more) {
            last.message.push_str("; more of this kind are not listed");
        }
        warnings.extend(list.into_iter().map(|finding| Warning { name, about: locator.put(finding) }));
    }
    locator.sort(&mut warnings);
    warnings
}
