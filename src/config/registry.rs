//! The `registry` section: the remote registry. Without a key it is off.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Uri};

use super::kinds;
use super::reader::Map;
use crate::documents::InvalidValue;
use crate::engine::snapshot::Required;
use crate::registry::remote::Settings;

/// The variables that name the registry: two, because clients know it by either.
const URL_VARIABLES: [&str; 2] = ["PYHALL_REGISTRY", "PYHALL_REGISTRY_URL"];
const KEY_VARIABLE: &str = "PYHALL_API_KEY";
const PUBLIC: &str = "https://api.pyhall.dev";

/// The shortest time between two refreshes: the registry is everybody's.
const SHORTEST: Duration = Duration::from_secs(1);

/// What the section says, and of the account's standing what only the hall needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// How it is asked.
    pub settings: Settings,
    /// Whether the hall decides only while the account's standing is `ok`.
    pub require_standing: bool,
}

/// Reads the section: `Some(None)` without a key, `None` when something in it is wrong.
pub fn read(mut map: Map<'_>) -> Option<Option<Registry>> {
    const REQUIRED: &[(&str, Required)] =
        &[("namespaced", Required::Namespaced), ("all", Required::All), ("none", Required::None)];
    let url = url_of(&mut map);
    let authorization = key(&mut map);
    let refresh = map.read("refresh", "60s", refresh);
    let max_stale = map.read("max_stale", "10m", kinds::some_time);
    let required = map.read("require", "namespaced", kinds::word(REQUIRED));
    let require_standing = map.read("require_standing", "false", kinds::flag);
    if let (Some(refresh), Some(max_stale)) = (refresh, max_stale)
        && max_stale < 2 * refresh
    {
        let help = "write at least twice `refresh`, or every answer that is late denies";
        map.wrong("max_stale", format!("{max_stale:?} is less than two refreshes of {refresh:?}"), help);
        return None;
    }
    map.done(&[]);
    let (url, authorization, refresh, max_stale) = (url?, authorization?, refresh?, max_stale?);
    let (required, require_standing) = (required?, require_standing?);
    Some(authorization.map(|authorization| Registry {
        settings: Settings { url, authorization, refresh, max_stale, required },
        require_standing,
    }))
}

/// The address: as it is written, else that of the environment, else the public one.
fn url_of(map: &mut Map<'_>) -> Option<Arc<str>> {
    let mut named = URL_VARIABLES.into_iter().filter_map(|name| Some((name, map.variable(name)?)));
    let (from_environment, other) = (named.next(), named.next());
    if let (Some((first, one)), Some((second, other))) = (&from_environment, &other)
        && one.trim_end_matches('/') != other.trim_end_matches('/')
    {
        let message = format!("`{first}` and `{second}` name different registries");
        map.wrong("url", message, "set one of them, or both to the same");
        return None;
    }
    match (map.get("url"), from_environment) {
        (Some(written), _) => written.read(url),
        (None, Some((name, value))) => url(&value)
            .map_err(|wrong| map.wrong("url", format!("the value of `{name}` {}", wrong.is), wrong.help))
            .ok(),
        (None, None) => Some(Arc::from(PUBLIC)),
    }
}

/// The key as an `authorization` header; `Some(None)` when there is none.
fn key(map: &mut Map<'_>) -> Option<Option<HeaderValue>> {
    let written = map.get("api_key");
    let file = map.get("api_key_file");
    match (written, file) {
        (Some(_), Some(file)) => {
            file.wrong("stands beside `api_key`", "keep one of them");
            None
        }
        (None, Some(file)) => file.read_file(bearer).map(Some),
        // `"${PYHALL_API_KEY:-}"` may come to nothing: then there is no key.
        (Some(written), None) if written.comes_to_nothing() => Some(None),
        (Some(written), None) => written.read_secret(bearer).map(Some),
        (None, None) => match map.variable(KEY_VARIABLE).map(|key| bearer(&key)) {
            None => Some(None),
            Some(Ok(key)) => Some(Some(key)),
            Some(Err(wrong)) => {
                map.wrong("api_key", format!("the value of `{KEY_VARIABLE}` {}", wrong.is), wrong.help);
                None
            }
        },
    }
}

fn bearer(key: &str) -> Result<HeaderValue, InvalidValue> {
    let wrong = || {
        InvalidValue::new(
            "has spaces or other characters that an `authorization` header cannot carry",
            "write the key as the registry gave it, without `Bearer`",
        )
    };
    if !key.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(wrong());
    }
    kinds::header_value(&format!("Bearer {key}")).map_err(|_| wrong())
}

fn refresh(text: &str) -> Result<Duration, InvalidValue> {
    kinds::some_time(text).and_then(|refresh| {
        if refresh < SHORTEST {
            return Err(InvalidValue::new("is less than a second", "write a second or more, such as `60s`"));
        }
        Ok(refresh)
    })
}

/// Scheme, host and perhaps a path. A key goes over TLS, or nowhere beyond this machine.
fn url(text: &str) -> Result<Arc<str>, InvalidValue> {
    let wrong = |is: &str| InvalidValue::new(is, "write such as `https://api.pyhall.dev`");
    let uri: Uri = text.parse().map_err(|_| wrong("is not a URL"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(wrong("is not a URL with a scheme and a host"));
    };
    if authority.as_str().contains('@') || uri.query().is_some() || text.contains('#') {
        return Err(wrong("has more than a scheme, a host and a path"));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match scheme {
        "https" => {}
        "http" if loopback => {}
        "http" => {
            let help = "write https://; http:// is for a loopback address only";
            return Err(InvalidValue::new("would send the key in the clear", help));
        }
        _ => return Err(wrong("is neither https:// nor http://")),
    }
    Ok(Arc::from(text.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_over_tls_or_stays_on_this_machine() {
        for (written, read) in [
            ("https://api.pyhall.dev/", "https://api.pyhall.dev"),
            ("https://registry.example.org:8443/wcp", "https://registry.example.org:8443/wcp"),
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
            ("http://127.9.9.9", "http://127.9.9.9"),
            ("http://[::1]:9000", "http://[::1]:9000"),
            ("http://localhost:9000", "http://localhost:9000"),
        ] {
            assert_eq!(url(written).ok().as_deref(), Some(read), "{written}");
        }
        for wrong in [
            "http://api.pyhall.dev",
            "http://10.0.0.1",
            "http://localhost.example.org",
            "http://127.0.0.1.example.org",
            "ftp://127.0.0.1",
            "api.pyhall.dev",
            "https://",
            "https://key@api.pyhall.dev",
            "https://api.pyhall.dev?x=1",
            "https://api.pyhall.dev#x",
            "/wcp",
        ] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        let key = bearer("pyhall_acme_0123456789").unwrap();
        assert!(!format!("{key:?}").contains("pyhall_"), "{key:?}");
        assert!(bearer("two words").is_err() && bearer("line\nend").is_err());
    }
}
