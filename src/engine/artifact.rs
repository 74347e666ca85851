//! The artifact hash: SHA-256 over the request as the reference writes it, byte for byte (WCP_SPEC 5.7).

use crate::engine::{Json, RouteInput};
use crate::ids::{Digest, TenantRisk};

/// The hash of a request. `decided` is the risk that is hashed when the caller gave none.
#[must_use]
pub fn artifact_hash(input: &RouteInput, decided: TenantRisk) -> Digest {
    let _ = (input, decided);
    todo!()
}

/// Appends a value as Python's `json.dumps` writes it: `, ` and `: `, ASCII only, keys sorted.
pub fn python_json(value: &Json, into: &mut String) {
    let _ = (value, into);
    todo!()
}
