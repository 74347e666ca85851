//! What is asked: the route names the capability and the floor of the label; the claims fill in the rest, within limits.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use http::Method;

use crate::engine::input::HttpFacts;
use crate::engine::{DenyCode, Json, RouteInput};
use crate::ids::{CapabilityId, DataLabel, Env, QosClass, TenantId, WorkerId};
use crate::proxy::identify::Who;
use crate::proxy::settings::{CapabilityChoice, Route};
use crate::proxy::validate::Claims;

/// Why a request cannot be described: the code, and one sentence.
pub type Undescribed = (DenyCode, String);

/// The request on the wire.
#[derive(Debug)]
pub struct RequestFacts<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The host that is asked for, as it is recorded.
    pub host: Arc<str>,
    /// The canonical path.
    pub path: &'a str,
}

/// What every request through one gate has in common.
#[derive(Debug)]
pub struct Describe {
    env: Env,
    reads: Json,
    writes: Json,
    methods: Vec<(Method, Arc<str>)>,
}

impl Describe {
    /// For a gate in this environment.
    #[must_use]
    pub fn new(env: Env) -> Self {
        let methods =
            [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
        Self {
            env,
            reads: Json::Object(BTreeMap::new()),
            writes: Json::Object(BTreeMap::from([(Arc::from("writes"), Json::Bool(true))])),
            methods: methods.into_iter().map(|method| (method.clone(), Arc::from(method.as_str()))).collect(),
        }
    }

    fn http(&self, RequestFacts { method, host, path }: RequestFacts<'_>) -> HttpFacts {
        let known = self.methods.iter().find(|(known, _)| known == method).map(|(_, text)| Arc::clone(text));
        HttpFacts { method: known.unwrap_or_else(|| Arc::from(method.as_str())), host, path: Arc::from(path) }
    }

    /// Describes a request: who asks is known, and the route is found.
    ///
    /// The caller's `request` object is ours here: `{"writes": true}` for a method that may change something, which the
    /// blast heuristic reads; `{}` for GET, HEAD and OPTIONS.
    ///
    /// # Errors
    /// A claim is malformed, or the capability that is claimed is not one of the route's.
    pub fn describe(
        &self,
        route: &Route,
        who: &Who,
        claims: &Claims<'_>,
        correlation_id: Arc<str>,
        request: RequestFacts<'_>,
    ) -> Result<RouteInput, Undescribed> {
        read::<WorkerId>("wcp-worker-id", claims.worker)?;
        read::<TenantId>("wcp-tenant-id", claims.tenant)?;
        let raised = read::<DataLabel>("wcp-data-label", claims.data_label)?;
        let http = self.http(request);
        let safe = matches!(&*http.method, "GET" | "HEAD" | "OPTIONS");
        Ok(RouteInput {
            capability_id: capability(&route.capability, claims.capability)?.shared(),
            worker_id: who.worker.clone(),
            env: self.env,
            data_label: raised.map_or(route.data_label, |raised| raised.max(route.data_label)),
            data_label_defaulted: false,
            tenant_id: Arc::clone(&who.tenant),
            tenant_risk: read("wcp-tenant-risk", claims.tenant_risk)?,
            qos_class: read("wcp-qos-class", claims.qos_class)?.unwrap_or(QosClass::P2),
            correlation_id,
            request: if safe { self.reads.clone() } else { self.writes.clone() },
            blast_radius: None,
            blast_score: read("wcp-blast-score", claims.blast_score)?,
            privilege_context: None,
            tenant_credential: None,
            dry_run: read("wcp-dry-run", claims.dry_run)?.unwrap_or(false),
            http: Some(http),
        })
    }
}

/// The capability that a request asks for.
fn capability<'a>(choice: &'a CapabilityChoice, claim: Option<&str>) -> Result<&'a CapabilityId, Undescribed> {
    let allowed = match choice {
        CapabilityChoice::Fixed(only) => {
            if claim.is_none_or(|claim| claim == only.as_str()) {
                return Ok(only);
            }
            std::slice::from_ref(only)
        }
        CapabilityChoice::Header(some) => some,
    };
    allowed.iter().find(|allowed| claim == Some(allowed.as_str())).ok_or_else(|| {
        let names: Vec<&str> = allowed.iter().map(CapabilityId::as_str).collect();
        let why = if claim.is_some() { "wcp-capability names another" } else { "wcp-capability is missing" };
        (DenyCode::CapabilityNotOnRoute, format!("{why}; this route knows {}", names.join(", ")))
    })
}

fn read<T: FromStr<Err: Display>>(name: &str, claim: Option<&str>) -> Result<Option<T>, Undescribed> {
    let read = claim.map(T::from_str).transpose();
    read.map_err(|error| (DenyCode::MalformedClaim, format!("{name}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hall::Caller;
    use crate::proxy::routes::readers;

    fn route(capability: CapabilityChoice) -> Route {
        Route { capability, data_label: DataLabel::Internal, ..readers::route(None, "/*", &[]) }
    }

    fn fixed() -> CapabilityChoice {
        CapabilityChoice::Fixed("cap.a".parse().unwrap())
    }

    fn described(choice: CapabilityChoice, method: Method, claims: &Claims<'_>) -> Result<RouteInput, Undescribed> {
        let who = Who { caller: Caller::default(), worker: claims.worker.map(Arc::from), tenant: "org.t".into() };
        let describe = Describe::new(Env::Prod);
        let request = RequestFacts { method: &method, host: "h".into(), path: "/p" };
        describe.describe(&route(choice), &who, claims, "c".into(), request)
    }

    #[test]
    fn a_label_is_only_raised() {
        for (claim, label) in [
            (None, DataLabel::Internal),
            (Some("PUBLIC"), DataLabel::Internal),
            (Some("CONFIDENTIAL"), DataLabel::Confidential),
            (Some("SECRET"), DataLabel::Restricted),
        ] {
            let claims = Claims { data_label: claim, ..Claims::default() };
            assert_eq!(described(fixed(), Method::GET, &claims).unwrap().data_label, label, "{claim:?}");
        }
    }

    #[test]
    fn the_route_decides_which_capabilities_can_be_asked_for() {
        let asked = |choice, claim| {
            described(choice, Method::GET, &Claims { capability: claim, ..Claims::default() })
                .map(|input| input.capability_id.to_string())
                .map_err(|(code, _)| code)
        };
        let some = || CapabilityChoice::Header(vec!["cap.a".parse().unwrap(), "cap.b".parse().unwrap()]);
        assert_eq!(asked(fixed(), None).as_deref(), Ok("cap.a"));
        assert_eq!(asked(fixed(), Some("cap.a")).as_deref(), Ok("cap.a"));
        assert_eq!(asked(fixed(), Some("cap.b")), Err(DenyCode::CapabilityNotOnRoute));
        assert_eq!(asked(some(), Some("cap.b")).as_deref(), Ok("cap.b"));
        for bad in [None, Some("cap.c"), Some("cap.a,cap.b"), Some("CAP.A")] {
            assert_eq!(asked(some(), bad), Err(DenyCode::CapabilityNotOnRoute), "{bad:?}");
        }
    }

    #[test]
    fn claims_out_of_their_vocabulary_are_malformed() {
        let good = Claims {
            tenant_risk: Some("high"),
            qos_class: Some("P0"),
            blast_score: Some("70"),
            dry_run: Some("true"),
            worker: Some("w"),
            ..Claims::default()
        };
        let input = described(fixed(), Method::POST, &good).unwrap();
        assert_eq!((input.blast_score, input.dry_run, input.qos_class), (Some(70), true, QosClass::P0));
        for bad in [
            Claims { tenant_risk: Some("High"), ..Claims::default() },
            Claims { qos_class: Some("P9"), ..Claims::default() },
            Claims { blast_score: Some("7.0"), ..Claims::default() },
            Claims { dry_run: Some("yes"), ..Claims::default() },
            Claims { data_label: Some("public"), ..Claims::default() },
            Claims { worker: Some("w,w"), ..Claims::default() },
        ] {
            assert_eq!(
                described(fixed(), Method::POST, &bad).map_err(|(code, _)| code),
                Err(DenyCode::MalformedClaim),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn unsafe_methods_count_as_writes() {
        let writes = |method: &str| {
            let input = described(fixed(), method.parse().unwrap(), &Claims::default()).unwrap();
            input.request.as_object().unwrap().contains_key("writes")
        };
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert!(!writes(method), "{method}");
        }
        for method in ["POST", "PUT", "DELETE", "PATCH", "PROPFIND", "get"] {
            assert!(writes(method), "{method}");
        }
    }
}
