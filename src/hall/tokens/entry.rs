//! A token's entry for a configuration: what knows its secret by the digest only.

use std::fmt;
use std::sync::Arc;

use crate::hall::Scope;
use crate::ids::{DataLabel, Digest, Env, SupervisorLevel, TenantId, TokenName, WorkerId};

/// Bytes of randomness in a secret.
const RANDOM: usize = 32;

/// What stands below `tokens:`.
#[derive(Debug, Clone)]
pub struct TokenEntry {
    /// Its name in records and logs.
    pub name: TokenName,
    /// SHA-256 of its secret.
    pub secret: Digest,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// The tenant that it is bound to.
    pub tenant: Option<TenantId>,
    /// The workers that it is bound to; none: to no worker.
    pub workers: Vec<WorkerId>,
    /// The environments that it is bound to; none: to no environment.
    pub envs: Vec<Env>,
    /// Whether it need not name a worker.
    pub worker_optional: bool,
    /// Who answers for it.
    pub owner: Option<Arc<str>>,
    /// The levels for which it may agree.
    pub levels: Vec<SupervisorLevel>,
    /// The highest label for which it may agree.
    pub max_label: Option<DataLabel>,
}

/// A new secret: `hst_` and 64 hex digits of randomness.
///
/// # Errors
/// The system gives none.
pub fn secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; RANDOM];
    getrandom::fill(&mut bytes)?;
    Ok(format!("hst_{}", Digest::from_bytes(bytes)))
}

/// An item of a list that is indented by two. All that is put in is free of what YAML would take otherwise.
impl fmt::Display for TokenEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |values: Vec<String>| format!("[{}]", values.join(", "));
        write!(f, "  - name: \"{}\"", self.name)?;
        write!(f, "\n    secret_sha256: \"{}\"", self.secret)?;
        write!(f, "\n    scopes: {}", list(self.scopes.iter().map(Scope::to_string).collect()))?;
        if let Some(tenant) = &self.tenant {
            write!(f, "\n    tenant_id: \"{tenant}\"")?;
        }
        if !self.workers.is_empty() {
            let workers = self.workers.iter().map(|worker| format!("\"{worker}\""));
            write!(f, "\n    worker_ids: {}", list(workers.collect()))?;
        }
        if !self.envs.is_empty() {
            write!(f, "\n    envs: {}", list(self.envs.iter().map(Env::to_string).collect()))?;
        }
        if self.worker_optional {
            f.write_str("\n    worker_optional: true")?;
        }
        if let Some(owner) = &self.owner {
            // A JSON text is one of YAML, too.
            write!(f, "\n    owner: {}", serde_json::Value::from(&**owner))?;
        }
        if !self.levels.is_empty() {
            write!(f, "\n    levels: {}", list(self.levels.iter().map(SupervisorLevel::to_string).collect()))?;
        }
        if let Some(label) = self.max_label {
            write!(f, "\n    max_label: {label}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_secrets_are_alike() {
        let secrets: std::collections::BTreeSet<String> = (0..100).map(|_| secret().unwrap()).collect();
        assert_eq!(secrets.len(), 100);
        assert!(secrets.iter().all(|secret| secret.len() == 68 && secret.starts_with("hst_")));
    }
}
