//! Entries of the kind `registry` that come from elsewhere than our own records: workers whose standing a remote registry changes, and
//! the hall that is switched on and off, by an operator or by the standing of its account.

use std::sync::Arc;

use uuid::Uuid;

use crate::engine::snapshot::WorkerStatus;
use crate::ids::{TokenName, WorkerId};
use crate::ledger::format::canonical::{self, Object};
use crate::ledger::format::stamp::{Stamp, cut};

/// The most workers of one entry: with the longest ids it still fits a transparency log's bundle.
pub const MOST_WORKERS: usize = 256;

/// The most characters of a standing, which others choose.
const STANDING: usize = 64;

/// A change of who may act that no record of ours makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusChange {
    /// From here on these workers have this standing, by what a remote registry says or no longer says.
    Workers {
        /// The registry's address.
        registry: Arc<str>,
        /// The standing.
        standing: WorkerStatus,
        /// Whose; [`MOST_WORKERS`] at most.
        workers: Vec<WorkerId>,
    },
    /// From here on the hall decides, or does not.
    Hall {
        /// Whether it decides.
        online: bool,
        /// Who has switched it.
        token: TokenName,
        /// The account's standing with the remote registry, where it was asked.
        account_standing: Option<Arc<str>>,
    },
    /// From here on the account's standing lets the hall decide, or does not.
    Account {
        /// Whether it does.
        online: bool,
        /// The standing, as the remote registry says it.
        standing: Arc<str>,
    },
}

impl StatusChange {
    /// Whether somebody may do less from then on.
    pub(crate) const fn takes_away(&self) -> bool {
        match self {
            Self::Workers { standing, .. } => !matches!(standing, WorkerStatus::Active),
            Self::Hall { online, .. } | Self::Account { online, .. } => !*online,
        }
    }

    const fn cause(&self) -> &'static str {
        match self {
            Self::Workers { .. } => "remote",
            Self::Account { .. } => "account",
            Self::Hall { online: true, .. } => "go-online",
            Self::Hall { online: false, .. } => "go-offline",
        }
    }
}

/// Appends the entry.
pub(crate) fn push(out: &mut Vec<u8>, change: &StatusChange, stamp: &Stamp<'_>) {
    let mut id = Uuid::encode_buffer();
    let mut entry = Object::begin(out);
    match change {
        StatusChange::Workers { .. } => {}
        StatusChange::Hall { account_standing, .. } => entry.maybe("account_standing", account_standing.as_deref()),
        StatusChange::Account { standing, .. } => entry.string("account_standing", &cut(standing, STANDING)),
    }
    entry.string("canon", canonical::NAME);
    entry.string("cause", change.cause());
    entry.string("kind", "registry");
    if let StatusChange::Account { online, .. } = change {
        entry.boolean("online", *online);
    }
    stamp.previous(&mut entry);
    entry.string("receipt_id", stamp.id.as_hyphenated().encode_lower(&mut id));
    entry.string("recorded_at", stamp.recorded_at);
    if let StatusChange::Workers { registry, standing, .. } = change {
        entry.string("registry", registry);
        entry.string("standing", standing.as_str());
    }
    entry.string("stream", stamp.stream);
    match change {
        StatusChange::Workers { workers, .. } => entry.strings("workers", workers.iter().map(WorkerId::as_str)),
        StatusChange::Hall { token, .. } => entry.string("token", token.as_str()),
        StatusChange::Account { .. } => {}
    }
    entry.end();
}

/// Whether an entry of this kind and cause switches the hall on, or off; `None` for every other entry.
pub(crate) fn switched(kind: &str, cause: Option<&str>) -> Option<bool> {
    match cause.filter(|_| kind == "registry")? {
        "go-online" => Some(true),
        "go-offline" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn written(change: &StatusChange) -> Value {
        let stamp = Stamp { id: Uuid::nil(), recorded_at: "then", stream: ":hall", previous: None };
        let (mut bytes, mut again) = (Vec::new(), Vec::new());
        push(&mut bytes, change, &stamp);
        let entry: Value = serde_json::from_slice(&bytes).unwrap();
        canonical::canonicalise(&entry, &mut again).unwrap();
        assert_eq!(bytes, again, "it is not canonical");
        assert!(bytes.len() <= crate::ledger::format::stamp::LONGEST);
        entry
    }

    #[test]
    fn a_change_says_whose_standing_is_what_from_here_on() {
        let id = |n: usize| format!("org.{}.{n:04}", "x".repeat(119)).parse().unwrap();
        let change = StatusChange::Workers {
            registry: "https://api.example.org".into(),
            standing: WorkerStatus::Revoked,
            workers: (0..MOST_WORKERS).map(id).collect(),
        };
        let entry = written(&change);
        assert_eq!((&entry["cause"], &entry["standing"]), (&json!("remote"), &json!("revoked")));
    }

    #[test]
    fn a_switch_says_who_and_on_which_standing() {
        let switched = |online, account_standing| {
            written(&StatusChange::Hall { online, token: "ops".parse().unwrap(), account_standing })
        };
        let on = switched(true, Some("ok".into()));
        assert_eq!(
            (&on["cause"], &on["token"], &on["account_standing"]),
            (&json!("go-online"), &json!("ops"), &json!("ok"))
        );
        let off = switched(false, None);
        assert_eq!((&off["cause"], off.get("account_standing")), (&json!("go-offline"), None));
        let account = written(&StatusChange::Account { online: false, standing: "suspended".into() });
        assert_eq!((&account["account_standing"], &account["online"]), (&json!("suspended"), &json!(false)));
    }
}
