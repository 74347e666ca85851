//! `approvals.callbacks`: where whoever asks may have itself told that a human has decided, and the secret by which it knows us.

use crate::approvals::{CallbackKey, CallbackPrefix, CallbackSettings, NotCallable};
use crate::config::identity::no_network;
use crate::config::kinds;
use crate::config::reader::{Map, Value};
use crate::documents::InvalidValue;
use crate::outbound::Reach;

/// The most that are looked through for each callback.
const MOST: usize = 64;
const NETWORK: &str = "write the private network that it is in, such as `10.1.0.0/16`, `fd12:3456::/32` or `127.0.0.1`";

/// Reads the keys: `Some(None)` when nobody is called.
pub fn read(map: &mut Map<'_>) -> Option<Option<CallbackSettings>> {
    let prefixes = map.get("callbacks").map_or(Some(Vec::new()), |value| prefixes(&value));
    let secret = map.get("callback_secret");
    let key = match (&secret, map.get("callback_secret_file")) {
        (None, None) => Some(None),
        (Some(secret), None) => secret.read_secret(key).map(Some),
        (None, Some(file)) => file.read_file(key).map(Some),
        (Some(_), Some(file)) => {
            file.wrong("stands beside `callback_secret`", "keep one of them");
            None
        }
    };
    let (prefixes, key) = (prefixes?, key?);
    match (prefixes.is_empty(), key) {
        (true, None) => Some(None),
        (false, Some(key)) => Some(Some(CallbackSettings { prefixes, key })),
        (false, None) => {
            let help =
                "write `callback_secret_file`: a file with a random secret, for example of `openssl rand -hex 32`";
            map.wrong("callback_secret_file", "is missing, and without it nobody knows who calls", help);
            None
        }
        (true, Some(_)) => {
            map.wrong(
                "callbacks",
                "is missing, but there is a secret for it",
                "write `callbacks`, or remove the secret",
            );
            None
        }
    }
}

fn key(text: &str) -> Result<CallbackKey, InvalidValue> {
    kinds::secret(text).map(|_| CallbackKey::new(text))
}

fn prefixes(value: &Value<'_>) -> Option<Vec<CallbackPrefix>> {
    let listed = value.list()?;
    if listed.len() > MOST {
        value.wrong(format!("has more than {MOST} entries"), "write shorter beginnings");
        return None;
    }
    let read: Vec<_> = listed.iter().map(prefix).collect();
    read.into_iter().collect()
}

fn prefix(value: &Value<'_>) -> Option<CallbackPrefix> {
    if !value.is_map() {
        return value.read(|text| CallbackPrefix::new(text, Reach::Public).map_err(wrong));
    }
    let mut map = value.map()?;
    let url = map.need("url", "write such as `http://n8n.internal:5678/webhook-waiting/`");
    let reach = map.get("private").map_or(Some(Reach::Public), |value| value.read(private));
    map.done(&[]);
    let reach = reach?;
    url?.read(|text| CallbackPrefix::new(text, reach).map_err(wrong))
}

fn private(text: &str) -> Result<Reach, InvalidValue> {
    let network = text.parse().map_err(|why| no_network(&why, NETWORK, NETWORK))?;
    Reach::into_network(network).ok_or_else(|| InvalidValue::new("is not a private network", NETWORK))
}

fn wrong(why: NotCallable) -> InvalidValue {
    InvalidValue::new(why.is, why.help)
}
