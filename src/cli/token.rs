//! `hallgate token`: make session tokens.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::{cannot, say};
use crate::config;
use crate::hall::Scope;
use crate::hall::tokens::entry::{self, TokenEntry};
use crate::ids::{DataLabel, Digest, Env, SupervisorLevel, TenantId, TokenName, WorkerId};

/// Make session tokens
#[derive(Debug, clap::Subcommand)]
pub enum Options {
    New(NewToken),
}

/// Make a session token: its entry for the configuration on stdout, its secret, this once, on stderr
///
/// The entry knows the secret by its digest only. It has its place below `tokens:`, in the section `hall` or in the file that
/// `hall.tokens_file` names:
///
/// hallgate token new make --scope route >> tokens.yaml
#[derive(Debug, Args)]
pub struct NewToken {
    /// Its name in records and logs
    name: TokenName,
    /// What it may be used for: route, read, enroll, ingest, approve or admin; may be repeated
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    scopes: Vec<Scope>,
    /// The tenant that it is bound to; without it, to none
    #[arg(long, value_name = "TENANT_ID")]
    tenant: Option<TenantId>,
    /// A worker that it is bound to; may be repeated; without it, to none
    #[arg(long = "worker", value_name = "WORKER_ID")]
    workers: Vec<WorkerId>,
    /// An environment that it is bound to; may be repeated; without it, to none
    #[arg(long = "env", value_name = "ENV")]
    envs: Vec<Env>,
    /// It need not name a worker even where the policy requires one
    #[arg(long)]
    worker_optional: bool,
    /// Who answers for it: nobody agrees to what a token of the same owner asks; without it, it answers for itself
    #[arg(long, value_name = "NAME", value_parser = owner)]
    owner: Option<Arc<str>>,
    /// With the scope approve, a level for which it may agree: gatekeeper, executor or incident_commander; may be repeated
    #[arg(long = "level", value_name = "LEVEL")]
    levels: Vec<SupervisorLevel>,
    /// With the scope approve, the highest label for which it may agree; without it, any
    #[arg(long, value_name = "LABEL")]
    max_label: Option<DataLabel>,
}

/// Somebody's name.
fn owner(text: &str) -> Result<Arc<str>, String> {
    config::owner_name(text).map_err(|why| format!("{}: {}", why.is, why.help))
}

/// Runs the command. 0: a token is made; 2: there is no randomness, or nobody to hear the secret.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let Options::New(new) = options;
    let secret = match entry::secret() {
        Ok(secret) => secret,
        Err(error) => return cannot(format_args!("there is no randomness for a secret: {error}")),
    };
    // First the secret: an entry whose secret nobody has heard would be of no use.
    if writeln!(io::stderr(), "{secret}").is_err() {
        return ExitCode::from(super::CANNOT);
    }
    say(new.entry(Digest::of(secret.as_bytes())));
    ExitCode::SUCCESS
}

impl NewToken {
    /// Its entry.
    fn entry(&self, secret: Digest) -> TokenEntry {
        TokenEntry {
            name: self.name.clone(),
            secret,
            scopes: self.scopes.clone(),
            tenant: self.tenant.clone(),
            workers: self.workers.clone(),
            envs: self.envs.clone(),
            worker_optional: self.worker_optional,
            owner: self.owner.clone(),
            levels: self.levels.clone(),
            max_label: self.max_label,
        }
    }
}
