//! Which web pages may read answers (CORS).

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    VARY,
};
use http::{HeaderMap, HeaderValue};

/// The request comes from a web page that may not read the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct ForeignOrigin;

/// The browser origins that are let in.
#[derive(Debug)]
pub(super) struct AllowedOrigins(Vec<HeaderValue>);

impl AllowedOrigins {
    /// Those of the configuration.
    ///
    /// # Errors
    /// One of them can be none.
    pub(super) fn new(origins: &[String]) -> Result<Self, String> {
        let origins = origins.iter().map(|origin| {
            // Compared to the byte with what browsers send, so anything else would silently match nothing.
            let is_origin =
                origin.split_once("://").is_some_and(|(_, host)| !host.is_empty() && !host.contains(['/', '*']));
            let value = HeaderValue::from_str(origin).ok().filter(|_| is_origin);
            value.ok_or_else(|| {
                format!(
                    "`hall.cors_origins` `{origin}` is no origin; write it as `https://app.example.org`, without a path"
                )
            })
        });
        origins.collect::<Result<_, _>>().map(Self)
    }

    /// Whether pages of this origin may read.
    pub(super) fn contains(&self, origin: &HeaderValue) -> bool {
        self.0.contains(origin)
    }

    /// Lets a listed browser origin read the answer.
    pub(super) fn allow(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        headers.append(VARY, HeaderValue::from_static("origin"));
        let Some(origin) = origin.filter(|origin| self.contains(origin)) else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type"));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_that_no_browser_would_send_is_refused_at_start() {
        let new = |origin: &str| AllowedOrigins::new(&[origin.to_owned()]).map(|_| ());
        for ok in ["https://app.example.org", "http://localhost:5173", "tauri://localhost"] {
            assert_eq!(new(ok), Ok(()));
        }
        for bad in [
            "",
            "*",
            "app.example.org",
            "https://",
            "https://app.example.org/",
            "https://*.example.org",
            "https://a\nb",
        ] {
            assert!(new(bad).unwrap_err().contains("hall.cors_origins"), "{bad}");
        }
    }
}
