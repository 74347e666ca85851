//! The `hall` section: the API's listener and the session tokens.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use super::kinds;
use super::reader::{Map, Value, Wrong};
use super::tls;
use crate::api::Settings;
use crate::engine::Binding;
use crate::hall::{Scope, Token};

const TOKEN: &str = "add `- { name: make, secret: \"${HALL_SESSION_TOKEN}\", scopes: [route] }` to `hall.tokens` and set \
                     HALL_SESSION_TOKEN";

/// Reads the section; `None` when something in it is wrong.
pub fn read(mut hall: Map<'_>) -> Option<(Settings, Vec<Token>)> {
    let listen = hall.read("listen", "127.0.0.1:8765", kinds::address);
    let tls = hall.get("tls").map_or(Some(None), |value| tls::server(value.map()?).map(Some));
    let tokens = hall.need("tokens", TOKEN).and_then(|value| tokens(&value));
    let cors_origins = hall.list("cors_origins", kinds::origin);
    let metrics_need_token = hall.read("metrics_need_token", "false", kinds::flag);
    let threads = hall.read("threads", "1", kinds::number(1, 256));
    hall.done(&["console"]);
    let settings = Settings {
        listen: listen?,
        tls: tls?,
        cors_origins: cors_origins?,
        metrics_need_token: metrics_need_token?,
        // Written in the section `ledger`.
        public_tiles: false,
        threads: threads?,
    };
    Some((settings, tokens?))
}

fn tokens(value: &Value<'_>) -> Option<Vec<Token>> {
    let items = value.list()?;
    let read: Vec<Option<Token>> = items.iter().map(token).collect();
    for (later, item) in items.iter().enumerate() {
        let Some(Some(token)) = read.get(later) else { continue };
        for earlier in read.iter().take(later).flatten() {
            if earlier.name == token.name {
                item.wrong(
                    format!("the name `{}` is taken by an earlier token", token.name),
                    "give each token its own name",
                );
            }
            if earlier.secret == token.secret {
                item.wrong(
                    format!("has the same secret as the token `{}`", earlier.name),
                    "give each token its own secret",
                );
            }
        }
    }
    // A token with a problem of its own may be the one with the scope: one complaint at a time.
    if read.iter().all(|token| token.as_ref().is_some_and(|token| !token.may(Scope::Route))) {
        value.wrong("has no session token: none has the scope `route`", TOKEN);
        return None;
    }
    read.into_iter().collect()
}

fn token(item: &Value<'_>) -> Option<Token> {
    let mut map = item.map()?;
    let name = map.need("name", "name it, for records and logs").and_then(|value| value.read(kinds::id));
    let secret = map.get("secret");
    let file = map.get("secret_file");
    let secret = match (secret, file) {
        (Some(secret), None) => secret.read_secret(kinds::secret),
        (None, Some(file)) => file.read_file(kinds::secret),
        (Some(_), Some(file)) => {
            file.wrong("stands beside `secret`", "keep one of them");
            None
        }
        (None, None) => {
            map.wrong("secret", "is missing", "write `secret: \"${HALL_SESSION_TOKEN}\"`, or `secret_file: path`");
            None
        }
    };
    let scopes: Option<BTreeSet<Scope>> = map
        .need("scopes", "say what it may be used for, such as `scopes: [route]`")
        .and_then(|value| value.read_list(scope));
    let tenant = map.maybe("tenant_id", kinds::id);
    let workers = map.get("worker_ids").map_or(Some(None), |value| some_of(&value, kinds::id));
    let envs = map.get("envs").map_or(Some(None), |value| some_of(&value, kinds::id));
    let worker_optional = map.read("worker_optional", "false", kinds::flag);
    map.done(&[]);
    let binding = Binding {
        tenant: tenant?,
        workers: workers?.map(Arc::new),
        envs: envs?.map(Arc::new),
        worker_optional: worker_optional?,
    };
    Some(Token { name: name?, secret: secret?, scopes: scopes?, binding })
}

/// A list that binds: an empty one would allow nothing at all, and is more likely meant to allow anything.
fn some_of<T: Ord>(value: &Value<'_>, kind: impl Fn(&str) -> Result<T, Wrong>) -> Option<Option<BTreeSet<T>>> {
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

fn scope(text: &str) -> Result<Scope, Wrong> {
    Scope::from_str(text).map_err(|error| Wrong::new(format!("is not {}", error.expected), ""))
}
