//! Kinds of values: what a text must be to count as a duration, an address, an identifier, a secret.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use crate::documents::InvalidValue;
pub use crate::documents::number;
use crate::ids::{InvalidId, meant};
use crate::proxy::header_names;
use crate::proxy::settings::{NoPattern, PathPattern};

type Read<T> = Result<T, InvalidValue>;

/// An identifier or a word of a closed vocabulary.
pub fn id<T: FromStr<Err = InvalidId>>(text: &str) -> Read<T> {
    text.parse().map_err(|error: InvalidId| {
        let help = error.meant.map_or_else(String::new, |word| format!("did you mean `{word}`?"));
        InvalidValue::new(format!("is not {}", error.expected), help)
    })
}

/// One of these words.
pub fn word<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&str) -> Read<T> {
    move |text| {
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let all: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            let help = meant(text, words.iter().map(|(word, _)| *word), String::new);
            InvalidValue::new(format!("is not one of {}", all.join(", ")), help)
        })
    }
}

/// `true` or `false`.
pub fn flag(text: &str) -> Read<bool> {
    text.parse().map_err(|_| {
        let help = meant(text, ["true", "false"], || "write `true` or `false`".to_owned());
        InvalidValue::new("is neither `true` nor `false`", help)
    })
}

/// A duration, at most a year.
pub fn duration(text: &str) -> Read<Duration> {
    const YEAR: Duration = Duration::from_secs(366 * 86_400);
    humantime::parse_duration(text).ok().filter(|duration| *duration <= YEAR).ok_or_else(|| {
        InvalidValue::new("is not a duration", "write a number with its unit, such as `500ms`, `30s` or `5m`")
    })
}

/// A duration that is not zero.
pub fn some_time(text: &str) -> Read<Duration> {
    let duration = duration(text)?;
    if duration.is_zero() {
        return Err(InvalidValue::new("is no time at all", "write a duration above zero, such as `10s`"));
    }
    Ok(duration)
}

/// A duration above zero of up to a century: how long something is kept.
pub fn long_time(text: &str) -> Read<Duration> {
    const CENTURY: Duration = Duration::from_secs(36_525 * 86_400);
    humantime::parse_duration(text)
        .ok()
        .filter(|duration| !duration.is_zero() && *duration <= CENTURY)
        .ok_or_else(|| InvalidValue::new("is not a time to keep something", "write such as `90d`, `18months` or `10y`"))
}

/// The end of a day in UTC, or a time, in microseconds since 1970 UTC.
pub fn until(text: &str) -> Read<i64> {
    let end = match text.parse::<jiff::civil::Date>() {
        Ok(day) if text.len() == "2027-01-31".len() => {
            day.tomorrow().ok().and_then(|next| jiff::tz::TimeZone::UTC.to_timestamp(next.at(0, 0, 0, 0)).ok())
        }
        _ => text.parse::<jiff::Timestamp>().ok(),
    };
    end.map(jiff::Timestamp::as_microsecond).ok_or_else(|| {
        InvalidValue::new(
            "is neither a day nor a time",
            "write a day such as `2027-01-31`, which is the last, or a time such as `2027-01-31T18:00:00Z`",
        )
    })
}

/// Bytes, with a unit.
pub fn size(text: &str) -> Read<u64> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let bytes = units.iter().find_map(|(unit, shift)| {
        let number: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        number.checked_mul(1 << shift)
    });
    bytes.ok_or_else(|| {
        InvalidValue::new("is not a size", "write a whole number with its unit, such as `500MiB` or `20GiB`")
    })
}

/// An IP address and a port.
pub fn address(text: &str) -> Read<SocketAddr> {
    text.parse().map_err(|_| {
        InvalidValue::new(
            "is not an address and a port",
            "write such as `127.0.0.1:8080`, `[::]:8080` (everywhere) or `[::1]:8080`",
        )
    })
}

/// A DNS server: an IP address, with a port when it is not 53.
pub fn dns_server(text: &str) -> Read<SocketAddr> {
    match text.parse() {
        Ok(ip) => Ok(SocketAddr::new(ip, 53)),
        Err(_) => text
            .parse()
            .map_err(|_| InvalidValue::new("is not an IP address", "write such as `10.0.0.2` or `10.0.0.2:5353`")),
    }
}

/// Any text.
pub fn shared(text: &str) -> Read<Arc<str>> {
    Ok(Arc::from(text))
}

/// What to log: levels, for all or by the beginning of a target, such as `info,pingora=warn`.
pub fn log_filter(text: &str) -> Read<String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let level = |word: &str| LEVELS.contains(&word);
    let target = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:".contains(&b));
    let sound = text.split(',').all(|part| part.split_once('=').map_or(level(part), |(t, l)| target(t) && level(l)));
    if sound {
        return Ok(text.to_owned());
    }
    // The level of the first part that has none.
    let levels = text.split(',').map(|part| part.split_once('=').map_or(part, |(_, level)| level));
    let wrong = levels.into_iter().find(|word| !level(word)).unwrap_or_default();
    let help = meant(wrong, LEVELS, || {
        "write `off`, `error`, `warn`, `info`, `debug` or `trace`, and such as `,pingora=warn` behind it".to_owned()
    });
    Err(InvalidValue::new("is not a log filter", help))
}

/// A browser origin.
pub fn origin(text: &str) -> Read<String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let sound = |host: &str| {
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-:[]".contains(&b))
    };
    match host {
        Some(host) if sound(host) => Ok(text.to_owned()),
        _ => Err(InvalidValue::new(
            "is not a browser origin",
            "write scheme, host and port in lower case without a path, such as `https://app.example.org`; `*` is not allowed",
        )),
    }
}

/// A browser origin as a header's value.
pub fn origin_header(text: &str) -> Read<HeaderValue> {
    HeaderValue::try_from(origin(text)?).map_err(|_| InvalidValue::new("is not a browser origin", "write it in ASCII"))
}

/// Where alerts are posted: https, or http to this machine. The value may hold a secret, so it is not repeated.
pub fn webhook(text: &str) -> Read<String> {
    let help = "write such as `https://hooks.example.org/hallgate`, or http:// to localhost";
    let wrong = |is: &str| InvalidValue::new(is.to_owned(), help);
    let uri: http::Uri = text.parse().map_err(|_| wrong("is not a URL"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) | (Some("http"), Some("localhost" | "127.0.0.1" | "[::1]")) => Ok(text.to_owned()),
        (Some("http"), Some(_)) => Err(wrong("is not encrypted")),
        _ => Err(wrong("is not a URL of https")),
    }
}

/// Where people find the Hall: https, or http to this machine, and nothing behind a path. Without a `/` at its end.
pub fn public_url(text: &str) -> Read<Arc<str>> {
    let help = "write scheme, host and path, such as `https://hall.example.org`, or http:// to localhost";
    webhook(text).map_err(|wrong| InvalidValue::new(wrong.is, help))?;
    let sound = |c: char| c.is_ascii_alphanumeric() || "-._~/:[]".contains(c);
    if !text.chars().all(sound) {
        return Err(InvalidValue::new("has a query, a user or another character that is none of an address", help));
    }
    Ok(text.trim_end_matches('/').into())
}

/// A secret that is sent as a bearer; marked sensitive, so that it is never printed.
pub fn bearer(text: &str) -> Read<HeaderValue> {
    secret(text)?;
    header_value(&format!("Bearer {text}"))
}

/// An HTTP method.
pub fn method(text: &str) -> Read<Method> {
    const KNOWN: [Method; 7] =
        [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    KNOWN.iter().find(|method| method.as_str() == text).cloned().ok_or_else(|| {
        let help = meant(text, KNOWN.iter().map(Method::as_str), || {
            "write GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS, in upper case".to_owned()
        });
        InvalidValue::new("is not a method that is forwarded", help)
    })
}

/// The name of a header that an upstream may be given.
pub fn header_name(text: &str) -> Read<HeaderName> {
    const FRAMING: [&str; 9] = [
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
    ];
    let name: HeaderName =
        text.parse().map_err(|_| InvalidValue::new("is not a header name", "write letters, digits and `-`"))?;
    let framing = FRAMING.into_iter().any(|framing| header_names::are_one(framing, name.as_str()));
    if framing || header_names::is_wcp(name.as_str()) || header_names::begins_with(name.as_str(), "proxy-") {
        return Err(InvalidValue::new("is a header that the gate itself sets or removes", "remove it"));
    }
    Ok(name)
}

/// The name of a parameter of a query.
pub fn parameter(text: &str) -> Read<String> {
    let sound = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
    if sound {
        Ok(text.to_owned())
    } else {
        Err(InvalidValue::new("is not a parameter", "write its name, such as `api_key`"))
    }
}

/// A header's value; marked sensitive, so that it is never printed.
pub fn header_value(text: &str) -> Read<HeaderValue> {
    let mut value: HeaderValue = text.parse().map_err(|_| {
        InvalidValue::new("has characters that a header cannot carry", "remove line ends and control characters")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The shortest secret that counts as one.
pub const SECRET_CHARACTERS: usize = 16;

/// A session token's secret.
pub fn secret(text: &str) -> Read<Secret> {
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(InvalidValue::new(
            "has spaces or other characters that an `authorization` header cannot carry",
            "use visible ASCII characters only",
        ));
    }
    if text.len() < SECRET_CHARACTERS {
        return Err(InvalidValue::new(
            format!("has {} characters, fewer than {SECRET_CHARACTERS}", text.len()),
            "use a random secret, for example of `openssl rand -hex 32`",
        ));
    }
    Ok(Secret { digest: crate::ids::Digest::of(text.as_bytes()), bits: Some(bits(text)) })
}

/// A secret that is not kept, and what it is worth.
#[derive(Debug, Clone, Copy)]
pub struct Secret {
    /// Its SHA-256.
    pub digest: crate::ids::Digest,
    /// The most bits that it can have, by its length and its alphabet; `None` when only the digest is written.
    pub bits: Option<u32>,
}

/// The most bits that a text can have whose characters are chosen at random from the smallest usual alphabet that has them all.
fn bits(text: &str) -> u32 {
    let text = text.strip_prefix("hst_").unwrap_or(text);
    let all = |of: fn(u8) -> bool| text.bytes().all(of);
    let hex = |upper: bool| {
        text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_hexdigit() && b.is_ascii_uppercase() == upper)
    };
    let distinct = text.bytes().collect::<std::collections::BTreeSet<u8>>().len();
    let alphabet = if all(|b| b.is_ascii_digit()) {
        10
    } else if hex(false) || hex(true) {
        16
    } else if all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
        || all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
    {
        36
    } else if all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'+' | b'/' | b'=')) {
        64
    } else {
        94
    };
    // Few different characters in a long text were not chosen at random.
    let alphabet = if distinct < 8 { distinct } else { alphabet };
    let each = f64::from(u32::try_from(alphabet).unwrap_or(1)).log2();
    let bits = each * f64::from(u32::try_from(text.len()).unwrap_or(u32::MAX));
    // Never negative, and far below the most that fits.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number of bits is all that is said"
    )]
    let whole = bits.floor() as u32;
    whole
}

/// The content of a file of session tokens: a secret, or two lines with the new one and the old one while it is rotated.
pub fn secrets(text: &str) -> Read<Vec<Secret>> {
    let line = |line: &str| match line.strip_suffix('\r').unwrap_or(line) {
        "" => {
            Err(InvalidValue::new("has an empty line", "write one secret, or two while it is rotated, each on a line"))
        }
        line => secret(line),
    };
    text.split('\n').map(line).collect()
}

/// A SHA-256 digest.
pub fn digest(text: &str) -> Read<crate::ids::Digest> {
    text.parse().map_err(|_| {
        let help = "write what `hallgate token new` prints, or the hash of the secret without a newline, in lower case";
        InvalidValue::new("is not a SHA-256 digest of 64 hex digits", help)
    })
}

/// A host name in lower case without port.
pub fn host(text: &str) -> Read<String> {
    let sound = text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        });
    if sound {
        Ok(text.to_owned())
    } else {
        Err(InvalidValue::new("is not a host", "write a lower-case name without a port"))
    }
}

/// A route's path.
pub fn path_pattern(text: &str) -> Read<PathPattern> {
    text.parse().map_err(|why| match why {
        NoPattern::Path => InvalidValue::new(
            "is not a path that a request can have",
            "write an absolute path without `//`, `.`, `..`, `%`, `+`, `;`, `?` or `#`, such as `/v1/orders`, or `/orders/*` for all below",
        ),
        NoPattern::Star => InvalidValue::new(
            "has a `*` that means nothing there",
            "write `*` for one segment (`/deployments/*/chat`), before a segment's end (`/models/*:generateContent`), or last for all below",
        ),
    })
}

/// A path of the gate's own.
pub fn own_path(text: &str) -> Read<PathPattern> {
    path_pattern(text).ok().filter(|path| !path.has_star()).ok_or_else(|| {
        InvalidValue::new(
            "is not one path",
            "write an absolute path without `*`, `%` and the like, such as `/-/health`",
        )
    })
}

/// The path of an upstream's base URL.
pub fn base_path(text: &str) -> Read<String> {
    let pattern = path_pattern(text)?;
    if pattern.has_star() {
        return Err(InvalidValue::new(
            "has a `*` in its path",
            "write the path that the upstream's own paths begin with",
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_worth_what_its_length_and_alphabet_say() {
        for (text, least, most) in [
            ("hst_0123456789abcdef", 64, 64),
            ("hst_00112233445566778899aabbccddeeff", 128, 128),
            ("12345678901234567890", 66, 66),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 0, 0),
            ("Zm9vYmFyYmF6cXV4MTIzNA", 130, 132),
            ("correct horse battery", 0, 200),
        ] {
            let bits = bits(text);
            assert!((least..=most).contains(&bits), "{text}: {bits}");
        }
        assert_eq!(bits(&format!("hst_{}", crate::ids::Digest::of(b"x"))), 256);
    }

    #[test]
    fn a_day_ends_at_midnight_in_utc() {
        let said = |text| until(text).map(crate::clock::timestamp).map_err(|wrong| wrong.is);
        assert_eq!(said("2027-01-31").as_deref(), Ok("2027-02-01T00:00:00.000000+00:00"));
        assert_eq!(said("2028-02-29").as_deref(), Ok("2028-03-01T00:00:00.000000+00:00"));
        assert_eq!(said("2027-01-31T18:00:00+02:00").as_deref(), Ok("2027-01-31T16:00:00.000000+00:00"));
        for bad in
            ["", "2027-02-29", "31.01.2027", "2027-01-31T18:00:00", "20270131", "2027-1-31", "9999-12-31", "forever"]
        {
            assert!(until(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_star_in_a_base_path_is_refused() {
        assert!(base_path("/v1/a.b").is_ok());
        for bad in ["/v1/*", "/*/a", "/v1/*:x", "/a%20b", "/a//b"] {
            assert!(base_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn headers_that_frame_or_claim_cannot_be_set() {
        assert!(header_name("Authorization").is_ok());
        for bad in
            ["host", "Content-Length", "content_length", "wcp-token", "WCP_Token", "proxy-authorization", "a b", ""]
        {
            assert!(header_name(bad).is_err(), "{bad:?}");
        }
        assert!(format!("{:?}", header_value("Bearer key").unwrap()).contains("Sensitive"));
        assert!(header_value("a\nb").is_err());
    }

    #[test]
    fn parameters_are_named_as_they_are_decoded() {
        assert!(parameter("api_key").is_ok() && parameter("X-Sig.v2").is_ok());
        for bad in ["", "a=b", "%6bey", "a b", "key[]"] {
            assert!(parameter(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn numbers_durations_and_origins_have_bounds() {
        assert!(number(1, 64)("0").is_err() && number(1, 64)("64").is_ok() && number(1_u64, 64)("-1").is_err());
        assert!(duration("30s").is_ok() && duration("30").is_err() && duration("400 days").is_err());
        assert!(some_time("0s").is_err() && some_time("1ms").is_ok());
        assert!(origin("https://app.example.org").is_ok() && origin("http://localhost:3000").is_ok());
        for bad in ["*", "null", "https://", "https://a/", "https://A", "app.example.org"] {
            assert!(origin(bad).is_err(), "{bad}");
        }
        assert!(log_filter("info").is_ok() && log_filter("info,pingora=warn,hallgate::hall=trace").is_ok());
        for bad in ["", "infoo", "info,", "pingora=", "=warn", "info,pingora", "info, pingora=warn"] {
            assert!(log_filter(bad).is_err(), "{bad}");
        }
        assert_eq!(dns_server("10.0.0.2").unwrap().port(), 53);
        assert_eq!(dns_server("[::1]:5353").unwrap().port(), 5353);
    }
}
