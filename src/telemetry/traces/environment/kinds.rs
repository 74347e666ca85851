//! The kinds of values that only these variables have.

use std::path::Path;
use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use crate::documents::{self, InvalidValue};
use crate::outbound::{self, Url};

/// One of a few words, in any case.
pub fn word<T: Copy>(value: &str, words: &[(&str, T)]) -> Result<T, InvalidValue> {
    let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(value));
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let known: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        InvalidValue::new("is not known", format!("write one of {}", known.join(", ")))
    })
}

/// A share.
pub fn ratio(value: &str) -> Result<f64, InvalidValue> {
    let ratio = value.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| InvalidValue::new("is no share of traces", "write a number from 0 to 1, such as `0.1`"))
}

/// The one protocol that is spoken.
pub fn protocol(value: &str) -> Result<(), InvalidValue> {
    match value.to_ascii_lowercase().as_str() {
        "http/protobuf" => Ok(()),
        "grpc" | "http/json" => Err(InvalidValue::new(
            "is not spoken here",
            "write `http/protobuf`, and the collector's port for OTLP over HTTP (4318 by default) in the endpoint",
        )),
        _ => Err(InvalidValue::new("is not known", "write `http/protobuf`")),
    }
}

/// An address without a credential.
pub fn url(value: &str) -> Result<Url, InvalidValue> {
    let help = "write such as `http://collector:4318`";
    let url = Url::parse(value).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = url.ok_or_else(|| InvalidValue::of_secret("is no http or https address", help))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidValue::of_secret("holds a credential", "send it in OTEL_EXPORTER_OTLP_HEADERS instead"));
    }
    Ok(url)
}

/// `name=value` pairs between commas, the values percent-encoded.
pub fn pairs(
    value: &str,
    wrong: impl Fn(&'static str, &'static str) -> InvalidValue,
) -> Result<Vec<(String, String)>, InvalidValue> {
    let mut pairs = Vec::new();
    for pair in value.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair
            .split_once('=')
            .filter(|(name, _)| !name.trim().is_empty())
            .ok_or_else(|| wrong("is no list of pairs", "write such as `name=value,other=value`"))?;
        let value = percent_decode_str(value.trim())
            .decode_utf8()
            .map_err(|_| wrong("holds a value that is not UTF-8", "percent-encode it as UTF-8"))?;
        pairs.push((name.trim().to_owned(), value.into_owned()));
    }
    Ok(pairs)
}

/// Headers, marked sensitive.
pub fn headers(value: &str) -> Result<HeaderMap, InvalidValue> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs(value, InvalidValue::of_secret)? {
        let wrong = |is| InvalidValue::of_secret(is, "write such as `authorization=Bearer%20…,other=value`");
        let name = HeaderName::from_str(&name).map_err(|_| wrong("holds a name that is no header's"))?;
        let mut value = HeaderValue::from_str(&value).map_err(|_| wrong("holds a value that no header can carry"))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

/// The PEM of a file of certificates.
pub fn authorities(value: &str) -> Result<Vec<u8>, InvalidValue> {
    let help = "name a PEM file of the authorities that the collector's certificate is signed by";
    let pem =
        documents::bytes(Path::new(value), documents::SMALL).map_err(|why| InvalidValue::new(why.to_string(), help))?;
    if outbound::are_certificates(&pem) { Ok(pem) } else { Err(InvalidValue::new("holds no certificate", help)) }
}
