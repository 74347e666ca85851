//! What the registry answers: read strictly where a decision depends on it, and kept short.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::failure::Failure;
use crate::ids::{Digest, WorkerId};

/// The most characters that are kept of a text that only informs.
const TEXT: usize = 256;
/// The most banned hashes that are kept.
const MOST_BANS: usize = 100_000;

/// What the registry says of a worker, as far as it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Word {
    /// It is active.
    Active,
    /// It is revoked, retired or of another status that is not active.
    Revoked,
    /// It is banned.
    Banned,
    /// The registry does not know it.
    Unknown,
}

/// The answer to `GET /api/v1/verify/{id}`, in the reference's fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The worker.
    pub worker_id: String,
    /// `active`, `revoked`, `banned`, `unknown` or another word of the registry's.
    pub status: String,
    /// The hash of its code that the registry knows.
    pub current_hash: Option<String>,
    /// Whether it is banned.
    pub banned: bool,
    /// Why.
    pub ban_reason: Option<String>,
    /// When it was attested.
    pub attested_at: Option<String>,
    /// Whether its code was generated.
    pub ai_generated: bool,
    /// By which service.
    pub ai_service: Option<String>,
    /// By which model.
    pub ai_model: Option<String>,
    /// In which session.
    pub ai_session_fingerprint: Option<String>,
}

#[derive(Deserialize)]
struct WrittenVerified {
    worker_id: Option<String>,
    status: String,
    #[serde(alias = "attest_sha256")]
    current_hash: Option<String>,
    banned: Option<bool>,
    ban_status: Option<String>,
    ban_reason: Option<Value>,
    attested_at: Option<Value>,
    ai_generated: Option<Value>,
    ai_service: Option<Value>,
    ai_model: Option<Value>,
    ai_session_fingerprint: Option<Value>,
}

impl Verified {
    /// What a registry says that does not know the worker.
    #[must_use]
    pub fn unknown(worker: &str) -> Self {
        Self {
            worker_id: worker.to_owned(),
            status: "unknown".to_owned(),
            current_hash: None,
            banned: false,
            ban_reason: None,
            attested_at: None,
            ai_generated: false,
            ai_service: None,
            ai_model: None,
            ai_session_fingerprint: None,
        }
    }

    /// Reads the answer on a worker. The registry has two ways to say whether it is banned; an answer with neither, or with a
    /// word that we do not know, is none.
    pub(super) fn read(body: &[u8], worker: &WorkerId) -> Result<Self, String> {
        let written: WrittenVerified = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        if written.worker_id.as_deref().is_some_and(|id| id != worker.as_str()) {
            return Err("`worker_id` is another worker's".to_owned());
        }
        let by_word = match written.ban_status.as_deref() {
            None => None,
            Some("banned") => Some(true),
            Some("none" | "clear" | "not_banned") => Some(false),
            Some(_) => return Err("`ban_status` is no word that is known".to_owned()),
        };
        let banned = match (written.banned, by_word) {
            (None, None) => return Err("neither `banned` nor `ban_status` is there".to_owned()),
            (flag, word) => flag.unwrap_or(false) || word.unwrap_or(false),
        };
        Ok(Self {
            worker_id: worker.as_str().to_owned(),
            status: cut(written.status),
            current_hash: written.current_hash.map(cut),
            banned,
            ban_reason: text(written.ban_reason),
            attested_at: text(written.attested_at),
            ai_generated: written.ai_generated == Some(Value::Bool(true)),
            ai_service: text(written.ai_service),
            ai_model: text(written.ai_model),
            ai_session_fingerprint: text(written.ai_session_fingerprint),
        })
    }

    /// What counts of it.
    #[must_use]
    pub fn word(&self) -> Word {
        match self.status.as_str() {
            _ if self.banned => Word::Banned,
            "banned" => Word::Banned,
            "active" => Word::Active,
            "unknown" => Word::Unknown,
            _ => Word::Revoked,
        }
    }

    /// The hash of its code that the registry knows, when it is one.
    #[must_use]
    pub fn current(&self) -> Option<Digest> {
        digest(self.current_hash.as_deref()?)
    }
}

/// One banned hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BannedHash {
    /// The hash of the code.
    pub sha256: Digest,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub reported_at: Option<String>,
    /// By whom.
    pub source: Option<String>,
    /// How far the registry has looked at it. All of them count.
    pub review_status: Option<String>,
}

#[derive(Deserialize)]
struct WrittenHash {
    sha256: String,
    reason: Option<Value>,
    reported_at: Option<Value>,
    source: Option<Value>,
    review_status: Option<Value>,
}

/// The answer to `GET /api/v1/ban-list`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BanList {
    /// Its entries, in the registry's order.
    pub entries: Vec<BannedHash>,
    /// Their hashes.
    pub hashes: BTreeSet<Digest>,
    /// Why there may be more of them than these. `None`: it is whole.
    pub unread: Option<Failure>,
}

impl BanList {
    /// Reads a list. One entry that cannot be read makes all of it unreadable: a ban must not be passed over.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let written: Vec<WrittenHash> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let entry = |(at, written): (usize, WrittenHash)| {
            let sha256 = digest(&written.sha256).ok_or_else(|| format!("`[{at}].sha256` is no SHA-256 in hex"))?;
            Ok(BannedHash {
                sha256,
                reason: text(written.reason),
                reported_at: text(written.reported_at),
                source: text(written.source),
                review_status: text(written.review_status),
            })
        };
        let entries = written.into_iter().enumerate().map(entry).collect::<Result<Vec<_>, String>>()?;
        let hashes = entries.iter().map(|entry| entry.sha256).collect();
        Ok(Self { entries, hashes, unread: None })
    }

    /// Takes the page that goes on from this entry. All of it counts, whether or not it is where it should be.
    ///
    /// # Errors
    /// Nobody knows what is behind it.
    pub(super) fn go_on(&mut self, joint: Digest, page: Self, is_last: bool) -> Result<(), String> {
        let (joins, before) = (page.hashes.contains(&joint), self.hashes.len());
        for entry in page.entries {
            self.keep(entry);
        }
        if !joins {
            Err("a page of the ban list does not begin where the one before it ends".to_owned())
        } else if is_last && page.hashes.is_subset(&self.hashes) {
            Ok(())
        } else if self.hashes.len() >= MOST_BANS {
            Err(format!("there are {MOST_BANS} banned hashes or more"))
        } else if self.hashes.len() == before {
            Err("the same page of the ban list comes again".to_owned())
        } else {
            Ok(())
        }
    }

    /// Takes hashes of a list before it. Without their texts: those of ever more lists would have no bound.
    pub(super) fn keep_hashes(&mut self, hashes: &BTreeSet<Digest>) {
        for sha256 in hashes.iter().copied() {
            self.keep(BannedHash { sha256, reason: None, reported_at: None, source: None, review_status: None });
        }
    }

    /// Takes an entry that it does not have, if there is room.
    fn keep(&mut self, entry: BannedHash) {
        if self.hashes.len() < MOST_BANS && self.hashes.insert(entry.sha256) {
            self.entries.push(entry);
        }
    }
}

/// The answer to `GET /api/account/standing`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// `ok`, `grace`, `degraded`, `suspended` or another word. Only `ok` goes online.
    pub standing: String,
    /// The account's tier.
    pub tier_id: Option<String>,
}

impl Account {
    /// Reads the answer. Without a standing it is `degraded`, as for the reference.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Written {
            standing: Option<String>,
            tier_id: Option<Value>,
        }
        let written: Written = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let standing = written.standing.map_or_else(|| "degraded".to_owned(), cut);
        Ok(Self { standing, tier_id: text(written.tier_id) })
    }
}

/// A hash as registries write it, with `sha256:` before it or not.
fn digest(text: &str) -> Option<Digest> {
    text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase().parse().ok()
}

/// A text that only informs: anything else in its place says nothing.
fn text(value: Option<Value>) -> Option<String> {
    match value {
        Some(Value::String(text)) => Some(cut(text)),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(TEXT) {
        Some((at, _)) => text.get(..at).unwrap_or_default().to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Verified, String> {
        Verified::read(body.as_bytes(), &"org.acme.writer".parse().unwrap())
    }

    #[test]
    fn the_reference_and_the_site_say_the_same_in_two_ways() {
        for (body, word) in [
            (r#"{"worker_id":"org.acme.writer","status":"active","banned":false,"ai_generated":null}"#, Word::Active),
            (r#"{"namespace":"org.acme","status":"active","attested":true,"ban_status":"none"}"#, Word::Active),
            (r#"{"status":"active","ban_status":"banned"}"#, Word::Banned),
            (r#"{"status":"active","banned":true}"#, Word::Banned),
            (r#"{"status":"active","banned":false,"ban_status":"banned"}"#, Word::Banned),
            (r#"{"status":"banned","banned":false}"#, Word::Banned),
            (r#"{"status":"revoked","banned":false}"#, Word::Revoked),
            (r#"{"status":"Active","banned":false}"#, Word::Revoked),
            (r#"{"status":"retired","banned":false}"#, Word::Revoked),
            (r#"{"status":"unknown","banned":false}"#, Word::Unknown),
        ] {
            assert_eq!(read(body).unwrap().word(), word, "{body}");
        }
        let hash = "b348ddb1e23127821fc5053a8049587f4a80eaa7040e2f0a40b2da07798f0ffa";
        let known =
            read(&format!(r#"{{"status":"active","banned":false,"attest_sha256":"sha256:{hash}","attested_at":5}}"#))
                .unwrap();
        assert_eq!((known.current().unwrap().to_hex().as_str(), known.attested_at.as_deref()), (hash, Some("5")));
    }

    #[test]
    fn an_answer_that_might_mean_anything_is_none() {
        for body in [
            "",
            "null",
            "[]",
            r#"{"status":"active""#,
            r#"{"banned":false}"#,
            r#"{"status":"active"}"#,
            r#"{"status":"active","banned":"false"}"#,
            r#"{"status":"active","banned":0}"#,
            r#"{"status":["active"],"banned":false}"#,
            r#"{"status":"active","ban_status":"pending"}"#,
            r#"{"status":"revoked","status":"active","banned":false}"#,
            r#"{"worker_id":"org.acme.other","status":"active","banned":false}"#,
        ] {
            assert!(read(body).is_err(), "{body}");
        }
    }

    #[test]
    fn a_ban_list_is_whole_or_none() {
        let hash = "b348ddb1e23127821fc5053a8049587f4a80eaa7040e2f0a40b2da07798f0ffa";
        let one = format!(r#"{{"sha256":"{}","reason":"leaks","reported_at":null}}"#, hash.to_uppercase());
        let list = BanList::read(format!("[{one},{one}]").as_bytes()).unwrap();
        assert_eq!((list.entries.len(), list.hashes.len()), (2, 1));
        assert_eq!(list.entries[0].reason.as_deref(), Some("leaks"));
        assert_eq!(BanList::read(b"[]").unwrap(), BanList::default());
        for body in ["{}", "null", r#"[{"sha256":"b3"}]"#, &format!("[{one},{{}}]"), &format!("[{one}"), r#"["b3"]"#] {
            assert!(BanList::read(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_page_goes_on_from_the_last_entry_of_the_one_before() {
        let page = |ns: std::ops::Range<usize>| {
            let hashes: Vec<_> =
                ns.map(|n| serde_json::json!({"sha256": Digest::of(&n.to_le_bytes()).to_hex()})).collect();
            BanList::read(&serde_json::to_vec(&hashes).unwrap()).unwrap()
        };
        let joint = |n: usize| Digest::of(&n.to_le_bytes());
        let mut list = page(0..5);
        list.go_on(joint(4), page(4..9), false).unwrap();
        // One was put before the others: what is there twice is one, and nothing is missing.
        list.go_on(joint(8), page(7..12), false).unwrap();
        list.go_on(joint(11), page(11..12), true).unwrap();
        assert_eq!((list.entries.len(), list.hashes.len()), (12, 12));
        // One was taken away before: what is read counts, and something may be missing.
        assert!(list.go_on(joint(11), page(13..15), true).unwrap_err().contains("does not begin"));
        assert_eq!(list.hashes.len(), 14);
        assert!(list.go_on(joint(11), page(0..0), true).is_err());
        assert!(list.clone().go_on(joint(4), page(0..5), false).unwrap_err().contains("same page"));
        let mut long = page(0..MOST_BANS - 1);
        long.go_on(joint(MOST_BANS - 2), page(MOST_BANS - 2..MOST_BANS), true).unwrap();
        let more = page(MOST_BANS - 1..MOST_BANS + 4);
        assert!(long.clone().go_on(joint(MOST_BANS - 1), more.clone(), true).unwrap_err().contains("or more"));
        assert!(long.go_on(joint(MOST_BANS - 1), more, false).unwrap_err().contains("or more"));
        assert_eq!((long.entries.len(), long.hashes.len()), (MOST_BANS, MOST_BANS));
    }

    #[test]
    fn a_standing_that_is_missing_is_not_ok() {
        let account = |body: &str| Account::read(body.as_bytes());
        assert_eq!(account(r#"{"standing":"ok","tier_id":"pro"}"#).unwrap().tier_id.as_deref(), Some("pro"));
        assert_eq!(account("{}").unwrap().standing, "degraded");
        assert!(account(r#"{"standing":true}"#).is_err());
    }

    #[test]
    fn texts_that_only_inform_are_kept_short() {
        let body = format!(r#"{{"status":"{0}","banned":false,"ban_reason":"{0}"}}"#, "é".repeat(10_000));
        let read = read(&body).unwrap();
        assert_eq!((read.status.chars().count(), read.ban_reason.unwrap().chars().count()), (TEXT, TEXT));
    }
}
