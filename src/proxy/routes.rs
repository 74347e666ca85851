//! The route table: which request asks for which capability, and where it may go. The first match counts.

use std::sync::Arc;

use http::Method;

use crate::proxy::settings::{Route, Upstream};
use crate::proxy::target;

/// The routes in order, each with the destination that `T` stands for.
#[derive(Debug)]
pub struct Routes<T> {
    ways: Vec<Way<T>>,
}

/// One route, ready to match.
#[derive(Debug)]
pub struct Way<T> {
    /// The route as configured.
    pub route: Route,
    /// The route's host as shared text, for records.
    pub host: Option<Arc<str>>,
    /// Where it leads.
    pub destination: T,
    pattern: Pattern,
}

#[derive(Debug)]
enum Pattern {
    /// This path, with or without a slash at its end.
    Exact(Box<str>),
    /// This path and everything below it; empty is everything.
    Below(Box<str>),
}

impl Pattern {
    fn read(text: &str) -> Result<Self, String> {
        let (path, below) = match text.strip_suffix("/*") {
            Some(path) => (path, true),
            None => (text.strip_suffix('/').unwrap_or(text), false),
        };
        // An upstream may read `+` as a space, so that two paths are one to it.
        let sound = text.starts_with('/') && !path.ends_with('/') && !path.contains(['*', '+']);
        let canonical = path.is_empty() || target::canonical(path).is_ok_and(|canonical| canonical == path);
        if !sound || !canonical {
            return Err(format!(
                "`gate.routes` path `{text}` can never match: write a path in canonical form such as `/a/b` or `/a/*`"
            ));
        }
        Ok(if below { Self::Below(path.into()) } else { Self::Exact(path.into()) })
    }

    /// Upstreams tend to take `/a/` for `/a`: a route for one is a route for both, so that no other route opens it.
    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path.strip_prefix(&**exact).is_some_and(|rest| matches!(rest, "" | "/")),
            Self::Below(above) => {
                path.strip_prefix(&**above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }
}

impl<T> Routes<T> {
    /// A table of these routes; `destination` says where an upstream is.
    ///
    /// # Errors
    /// A path can never match, or there is no such destination; says which and what to write.
    pub fn new(routes: Vec<Route>, destination: impl Fn(&Arc<Upstream>) -> Result<T, String>) -> Result<Self, String> {
        let ways = routes.into_iter().map(|route| {
            Ok(Way {
                pattern: Pattern::read(&route.path)?,
                host: route.host.as_deref().map(Arc::from),
                destination: destination(&route.upstream)?,
                route,
            })
        });
        Ok(Self { ways: ways.collect::<Result<_, String>>()? })
    }

    /// The first route for a host (lower-case, without port), a canonical path and a method.
    pub fn find(&self, host: &str, path: &str, method: &Method) -> Option<&Way<T>> {
        self.ways.iter().find(|way| {
            way.pattern.matches(path)
                && way.route.host.as_deref().is_none_or(|asked| asked == host)
                && (way.route.methods.is_empty() || way.route.methods.contains(method))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::ids::DataLabel;
    use crate::proxy::settings::CapabilityChoice;

    fn route(host: Option<&str>, path: &str, methods: &[Method]) -> Route {
        Route {
            host: host.map(str::to_owned),
            path: path.to_owned(),
            methods: methods.to_vec(),
            capability: CapabilityChoice::Fixed("cap.a".parse().unwrap()),
            data_label: DataLabel::Public,
            upstream: Arc::new(Upstream {
                name: "u".into(),
                tls: false,
                authorities: None,
                h2: false,
                host: "127.0.0.1".to_owned(),
                port: 1,
                base_path: String::new(),
                headers: Vec::new(),
                connect_timeout: Duration::from_secs(1),
                read_timeout: Duration::from_secs(1),
            }),
        }
    }

    fn found(routes: &Routes<()>, host: &str, path: &str, method: &Method) -> Option<String> {
        routes.find(host, path, method).map(|way| way.route.path.clone())
    }

    #[test]
    fn the_first_match_counts() {
        let routes = Routes::new(
            vec![
                route(Some("a.example"), "/*", &[]),
                route(None, "/admin", &[Method::GET]),
                route(None, "/orders/*", &[Method::GET, Method::POST]),
                route(None, "/orders/*", &[]),
                route(None, "/", &[]),
            ],
            |_| Ok(()),
        )
        .unwrap();
        let find = |host, path, method| found(&routes, host, path, &method);
        assert_eq!(find("a.example", "/x/y", Method::PUT).as_deref(), Some("/*"));
        for path in ["/admin", "/admin/"] {
            assert_eq!(find("b", path, Method::GET).as_deref(), Some("/admin"));
            assert_eq!(find("b", path, Method::POST), None);
        }
        for path in ["/orders", "/orders/", "/orders/7/items"] {
            assert_eq!(find("b", path, Method::DELETE).as_deref(), Some("/orders/*"));
        }
        for path in ["/ordersx", "/admin/x", "/x", "/Admin"] {
            assert_eq!(find("b", path, Method::GET), None, "{path}");
        }
        assert_eq!(find("b", "/", Method::GET).as_deref(), Some("/"));
    }

    #[test]
    fn a_path_that_can_never_match_is_refused() {
        for bad in ["", "a", "*", "/a/*/b", "/a*", "/a//b", "/a/../b", "/%41", "/a%2fb", "/a b", "/a+b", "//*", "/a/?q"]
        {
            assert!(Routes::new(vec![route(None, bad, &[])], |_| Ok(())).is_err(), "{bad}");
        }
        for good in ["/", "/*", "/a", "/a/", "/a/*", "/a%20b", "/v1/models/x:generate"] {
            assert!(Routes::new(vec![route(None, good, &[])], |_| Ok(())).is_ok(), "{good}");
        }
    }

    proptest! {
        /// No way of writing a target opens a route that its written normal path would not.
        #[test]
        fn no_spelling_opens_another_route(
            parts in prop::collection::vec(prop::sample::select(vec![
                "/", "public", "admin", "..", "%2e%2e", "%2f", "%5c", ";x", "%61dmin", "%2E", ".", "//", "%25", "x", "\\", "%00",
            ]), 0..8)
        ) {
            let routes = Routes::new(vec![route(None, "/admin/*", &[]), route(None, "/public/*", &[])], |_| Ok(())).unwrap();
            let written = format!("/{}", parts.concat());
            if let Ok(path) = target::canonical(&written) {
                let plain = percent_encoding::percent_decode_str(&path).decode_utf8().unwrap().into_owned();
                prop_assert_eq!(
                    found(&routes, "h", &path, &Method::GET),
                    found(&routes, "h", &plain, &Method::GET)
                );
                prop_assert_eq!(plain.split('/').nth(1) == Some("admin"), found(&routes, "h", &path, &Method::GET).as_deref() == Some("/admin/*"));
            }
        }
    }
}
