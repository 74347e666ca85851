//! Session tokens: those of `hall.tokens`, and those of a file of their own, `hall.tokens_file`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::approvals;
use super::kinds::{self, Secret};
use super::reader::{Map, Value};
use crate::documents::InvalidValue;
use crate::engine::Binding;
use crate::hall::{Scope, Token};
use crate::ids::{DataLabel, Digest, SupervisorLevel};

/// A secret that can be guessed.
pub const WEAK_SECRET: &str = "weak-secret";
/// A secret with fewer bits may be guessed.
const ENOUGH_BITS: u32 = 128;
/// How to write one.
pub const TOKEN: &str = "add `- { name: make, secret: \"${HALL_SESSION_TOKEN}\", scopes: [route] }` to `hall.tokens` and set \
                     HALL_SESSION_TOKEN";

/// Reads the tokens of both places; `None` when something is wrong with one, or none has the scope `route`.
pub fn read(hall: &mut Map<'_>) -> Option<Vec<Token>> {
    let mut read = Vec::new();
    let written = hall.get("tokens");
    let file = hall.get("tokens_file");
    if let Some(value) = &written {
        tokens(value, &mut read);
    }
    if let Some(value) = &file {
        let listed = value.document("write `tokens:` and the tokens below it", |mut map| {
            let listed = map.need("tokens", "list the tokens below `tokens:`; `hallgate token new` prints one");
            map.done(&[]);
            listed.map(|value| tokens(&value, &mut read))
        });
        if listed.is_none() {
            read.push(None);
        }
    }
    let place = written.or(file);
    if place.is_none() {
        hall.wrong("tokens", "is missing", TOKEN);
    }
    // A token with a problem of its own may be the one with the scope: one complaint at a time.
    if read.iter().all(|token| token.as_ref().is_some_and(|token| !token.may(Scope::Route))) {
        place?.wrong("has no session token: none has the scope `route`", TOKEN);
        return None;
    }
    read.into_iter().collect()
}

/// Reads a list of tokens behind those that were read before; a wrong one is `None`.
fn tokens(value: &Value<'_>, read: &mut Vec<Option<Token>>) {
    let Some(items) = value.list() else { return read.push(None) };
    for item in items {
        let token = token(&item);
        for (earlier, token) in read.iter().flatten().filter_map(|earlier| Some((earlier, token.as_ref()?))) {
            if earlier.name == token.name {
                item.wrong(
                    format!("the name `{}` is taken by an earlier token", token.name),
                    "give each token its own name; one that is rotated has two secrets",
                );
            }
            if earlier.secrets.iter().any(|secret| token.secrets.contains(secret)) {
                item.wrong(
                    format!("has the same secret as the token `{}`", earlier.name),
                    "give each token its own secret",
                );
            }
        }
        read.push(token);
    }
}

fn token(item: &Value<'_>) -> Option<Token> {
    let mut map = item.map()?;
    let name = map.need("name", "name it, for records and logs").and_then(|value| value.read(kinds::id));
    let secrets = secrets(&mut map);
    let scopes: Option<BTreeSet<Scope>> = map
        .need("scopes", "say what it may be used for, such as `scopes: [route]`")
        .and_then(|value| value.read_list(kinds::id));
    let tenant = map.maybe("tenant_id", kinds::id);
    let workers = map.get("worker_ids").map_or(Some(None), |value| some_of(&value, kinds::id));
    let envs = map.get("envs").map_or(Some(None), |value| some_of(&value, kinds::id));
    let worker_optional = map.read("worker_optional", "false", kinds::flag);
    let owner = map.get("owner").map_or(Some(None), |value| approvals::owner(&value).map(Some));
    let approves = scopes.as_ref().is_some_and(|scopes| scopes.contains(&Scope::Approve));
    let levels = levels(&mut map, approves);
    let max_label = map.maybe("max_label", kinds::id::<DataLabel>);
    map.done(&[]);
    let binding = Binding {
        tenant: tenant?,
        workers: workers?.map(Arc::new),
        envs: envs?.map(Arc::new),
        worker_optional: worker_optional?,
    };
    Some(Token {
        name: name?,
        secrets: secrets?,
        scopes: scopes?,
        binding,
        owner: owner?,
        levels: levels?,
        max_label: max_label?.unwrap_or(DataLabel::Restricted),
    })
}

/// The levels for which it may agree: gatekeeper, where none is named.
fn levels(map: &mut Map<'_>, approves: bool) -> Option<BTreeSet<SupervisorLevel>> {
    let Some(value) = map.get("levels") else {
        return Some(if approves { [SupervisorLevel::Gatekeeper].into() } else { BTreeSet::new() });
    };
    let levels: BTreeSet<SupervisorLevel> = value.read_list(kinds::id)?;
    if !approves {
        value.wrong("is said of a token that approves nothing", "add `approve` to its scopes, or remove the key");
        return None;
    }
    if levels.is_empty() || levels.contains(&SupervisorLevel::Advisory) {
        let help = "name gatekeeper, executor or incident_commander: advisory is told, and agrees to nothing";
        value.wrong("names no level that agrees to anything", help);
        return None;
    }
    Some(levels)
}

/// The digests of a token's secret, or of the new one and the old one while it is rotated.
fn secrets(map: &mut Map<'_>) -> Option<Vec<Digest>> {
    let secrets = written(map)?;
    if let Some(bits) = secrets.iter().filter_map(|secret| secret.bits).find(|bits| *bits < ENOUGH_BITS) {
        map.warn(
            WEAK_SECRET,
            format!("names a secret of {bits} bits at most; guessing is bounded by nothing else"),
            "make one with `hallgate token new` (256 bits)",
        );
    }
    Some(secrets.iter().map(|secret| secret.digest).collect())
}

/// The secrets as they are written.
fn written(map: &mut Map<'_>) -> Option<Vec<Secret>> {
    let (secret, file, digest) = (map.get("secret"), map.get("secret_file"), map.get("secret_sha256"));
    let secrets = match (&secret, &file, &digest) {
        (Some(secret), None, None) => one_or_more(secret, |value| value.read_secret(kinds::secret)),
        (None, Some(file), None) => file.read_file(kinds::secrets),
        (None, None, Some(digest)) => one_or_more(digest, |value| {
            value.read_secret(|text| kinds::digest(text).map(|digest| Secret { digest, bits: None }))
        }),
        (None, None, None) => {
            let help = "write `secret: \"${HALL_SESSION_TOKEN}\"`, or `secret_file: path`";
            map.wrong("secret", "is missing", help);
            None
        }
        _ => {
            let beside = if secret.is_some() { "secret" } else { "secret_file" };
            let extra = if beside == "secret" { file.as_ref().or(digest.as_ref()) } else { digest.as_ref() };
            if let Some(value) = extra {
                value.wrong(format!("stands beside `{beside}`"), "keep one of them");
            }
            None
        }
    }?;
    let place = secret.or(file).or(digest)?;
    match secrets.as_slice() {
        [one, other] if one.digest == other.digest => {
            place.wrong("names one secret twice", "write it once; two are for a new one and the old one");
            None
        }
        [_] | [_, _] => Some(secrets),
        [] => {
            place.wrong("names no secret", "name one, or two while it is rotated");
            None
        }
        [..] => {
            let help = "keep two: the new one, and the old one until nobody uses it any more";
            place.wrong(format!("names {} secrets", secrets.len()), help);
            None
        }
    }
}

/// One value, or those of a list.
fn one_or_more<T>(value: &Value<'_>, read: impl Fn(&Value<'_>) -> Option<T>) -> Option<Vec<T>> {
    if !value.is_list() {
        return read(value).map(|one| vec![one]);
    }
    let each: Vec<Option<T>> = value.list()?.iter().map(read).collect();
    each.into_iter().collect()
}

/// A list that binds: an empty one would allow nothing at all, and is more likely meant to allow anything.
fn some_of<T: Ord>(value: &Value<'_>, kind: impl Fn(&str) -> Result<T, InvalidValue>) -> Option<Option<BTreeSet<T>>> {
    let listed: BTreeSet<T> = value.read_list(kind)?;
    if listed.is_empty() {
        value.wrong(
            "is an empty list, which no request could satisfy",
            "list what is allowed, or remove the key to allow all",
        );
        return None;
    }
    Some(Some(listed))
}
