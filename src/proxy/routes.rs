//! The route table: which request asks for which capability, and where it may go. The first match counts.

#[cfg(any(test, fuzzing))]
pub mod readers;

use std::sync::Arc;

use http::Method;

use crate::proxy::settings::{Route, Upstream};
use crate::proxy::target::Target;

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
}

/// Why a request has no route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoWay {
    /// None matches.
    NoRoute,
    /// One matches, and a reader that takes an encoded `/` for a `/` may find another; says what to change.
    Ambiguous(&'static str),
}

impl<T> Routes<T> {
    /// A table of these routes; `destination` says where an upstream is.
    ///
    /// # Errors
    /// There is no such destination; says which.
    pub fn new(routes: Vec<Route>, destination: impl Fn(&Arc<Upstream>) -> Result<T, String>) -> Result<Self, String> {
        let ways = routes.into_iter().map(|route| {
            Ok(Way { host: route.host.as_deref().map(Arc::from), destination: destination(&route.upstream)?, route })
        });
        Ok(Self { ways: ways.collect::<Result<_, String>>()? })
    }

    /// The first route for a host (lower-case, without port), a target and a method.
    ///
    /// An encoded `/` is accepted only by a route's own word: that its upstream takes it for a part of a segment. Even then no other
    /// route, one that asks for something else, may be the first for the path with a `/` in its place.
    ///
    /// # Errors
    /// None matches, or it is not clear which.
    pub fn find(&self, host: &str, target: &Target<'_>, method: &Method) -> Result<&Way<T>, NoWay> {
        let found = self.first(host, &target.path, method);
        if !target.has_encoded_slash() {
            return found.ok_or(NoWay::NoRoute);
        }
        let found = found.filter(|way| way.route.keeps_encoded_slash);
        let found = found.ok_or(NoWay::Ambiguous("the path holds an encoded `/`, which no route for it accepts"))?;
        match self.first(host, &target.opened(), method) {
            Some(other) if !other.route.asks_the_same(&found.route) => Err(NoWay::Ambiguous(
                "the path holds an encoded `/`, and with a `/` in its place it is another route's",
            )),
            _ => Ok(found),
        }
    }

    fn first(&self, host: &str, path: &str, method: &Method) -> Option<&Way<T>> {
        self.ways.iter().find(|way| {
            way.route.path.matches(path)
                && way.route.host.as_deref().is_none_or(|asked| asked == host)
                && (way.route.methods.is_empty() || way.route.methods.contains(method))
        })
    }
}

#[cfg(test)]
mod tests;
