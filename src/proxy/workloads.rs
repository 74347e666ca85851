//! Which workload is which worker of which tenant.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::ids::spiffe::{SCHEME, parts};
use crate::ids::{SpiffeId, TenantId, WorkerId};

/// A worker and its tenant.
pub type WorkloadIdentity = (WorkerId, TenantId);

/// The workloads that are known: each by its id, or all of one form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workloads {
    /// Those that are listed.
    pub ids: BTreeMap<SpiffeId, WorkloadIdentity>,
    /// The form of all others.
    pub pattern: Option<Pattern>,
}

impl Workloads {
    /// The worker and tenant of a workload. What is listed comes before the pattern.
    #[must_use]
    pub fn named(&self, id: &SpiffeId) -> Option<WorkloadIdentity> {
        self.ids.get(id).cloned().or_else(|| self.pattern.as_ref()?.named(id))
    }
}

/// A SPIFFE id in which one whole segment is the worker and another the tenant:
/// `spiffe://example.org/{tenant_id}/{worker_id}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    domain: String,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Worker,
    Tenant,
}

impl Pattern {
    fn named(&self, id: &SpiffeId) -> Option<WorkloadIdentity> {
        let (domain, segments) = parts(id.as_str()).ok()?;
        let written: Vec<&str> = segments.collect();
        if domain != self.domain || written.len() != self.segments.len() {
            return None;
        }
        let (mut worker, mut tenant) = (None, None);
        for (segment, text) in self.segments.iter().zip(written) {
            match segment {
                Segment::Literal(literal) if literal == text => {}
                Segment::Literal(_) => return None,
                Segment::Worker => worker = Some(text.parse().ok()?),
                Segment::Tenant => tenant = Some(text.parse().ok()?),
            }
        }
        worker.zip(tenant)
    }
}

impl FromStr for Pattern {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        // Braces are in no id: what stands where they were is checked like the rest.
        let filled = text.replace("{worker_id}", "w").replace("{tenant_id}", "t");
        if parts(&filled).is_err() {
            return Err(());
        }
        let (domain, path) = text.strip_prefix(SCHEME).and_then(|rest| rest.split_once('/')).ok_or(())?;
        let segments: Result<Vec<Segment>, ()> = path
            .split('/')
            .map(|segment| match segment {
                "{worker_id}" => Ok(Segment::Worker),
                "{tenant_id}" => Ok(Segment::Tenant),
                literal if literal.contains('{') => Err(()),
                literal => Ok(Segment::Literal(literal.to_owned())),
            })
            .collect();
        let segments = segments?;
        let times = |wanted: &Segment| segments.iter().filter(|segment| *segment == wanted).count();
        if domain.contains('{') || times(&Segment::Worker) != 1 || times(&Segment::Tenant) != 1 {
            return Err(());
        }
        Ok(Self { domain: domain.to_owned(), segments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(workloads: &Workloads, id: &str) -> Option<(String, String)> {
        workloads.named(&id.parse().unwrap()).map(|(worker, tenant)| (worker.to_string(), tenant.to_string()))
    }

    fn some(worker: &str, tenant: &str) -> Option<(String, String)> {
        Some((worker.to_owned(), tenant.to_owned()))
    }

    #[test]
    fn a_listed_id_is_matched_as_a_whole() {
        let ids = BTreeMap::from([("spiffe://a/b".parse().unwrap(), ("w".parse().unwrap(), "t".parse().unwrap()))]);
        let workloads = Workloads { ids, pattern: None };
        assert_eq!(named(&workloads, "spiffe://a/b"), some("w", "t"));
        for other in ["spiffe://a", "spiffe://a/b/c", "spiffe://a/B", "spiffe://aa/b", "spiffe://a/bb"] {
            assert_eq!(named(&workloads, other), None, "{other}");
        }
    }

    #[test]
    fn a_pattern_names_both_by_whole_segments() {
        let ids =
            BTreeMap::from([("spiffe://a/x/w/t9".parse().unwrap(), ("w0".parse().unwrap(), "t0".parse().unwrap()))]);
        let pattern = Some("spiffe://a/x/{worker_id}/{tenant_id}".parse().unwrap());
        let workloads = Workloads { ids, pattern };
        assert_eq!(named(&workloads, "spiffe://a/x/wrk_1/org.t"), some("wrk_1", "org.t"));
        assert_eq!(named(&workloads, "spiffe://a/x/w/t9"), some("w0", "t0"), "what is listed comes first");
        let long = format!("spiffe://a/x/{}/t", "w".repeat(129));
        for other in [
            "spiffe://b/x/w/t",
            "spiffe://a/y/w/t",
            "spiffe://a/x/w",
            "spiffe://a/x/w/t/u",
            "spiffe://a.b/x/w/t",
            &long,
        ] {
            assert_eq!(named(&workloads, other), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in [
            "",
            "spiffe://a",
            "spiffe://a/{worker_id}",
            "spiffe://a/{tenant_id}",
            "spiffe://a/{tenant_id}/{worker_id}/{worker_id}",
            "spiffe://a/x-{worker_id}/{tenant_id}",
            "spiffe://{tenant_id}/{worker_id}",
            "spiffe://{tenant_id}/{tenant_id}/{worker_id}",
            "spiffe://a/{tenant}/{worker_id}/{tenant_id}",
            "spiffe://a/*/{worker_id}/{tenant_id}",
            "spiffe://a/{worker_id}/{tenant_id}/",
            "https://a/{worker_id}/{tenant_id}",
        ] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }
}
