//! The enrolment hash: which record was enrolled, byte for byte as the reference computes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::Json;
use crate::engine::artifact::compact_python_json;
use crate::ids::Digest;

/// The member that holds the hash, and is not part of what is hashed.
pub const ARTIFACT_HASH: &str = "artifact_hash";

/// The hash of a record: SHA-256 over all of it but its own `artifact_hash`, keys sorted, without spaces, ASCII only.
///
/// It is written with `sha256:` before it.
#[must_use]
pub fn of_record(record: &BTreeMap<Arc<str>, Json>) -> Digest {
    let mut hashed = record.clone();
    hashed.remove(ARTIFACT_HASH);
    let mut text = String::with_capacity(1024);
    compact_python_json(&Json::Object(hashed), &mut text);
    Digest::of(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> String {
        of_record(Json::parse(text.as_bytes()).unwrap().as_object().unwrap()).to_hex()
    }

    const HELLO: &str = r#"{"worker_id": "org.test.hello-worker", "worker_species_id": "wrk.doc.summarizer",
        "capabilities": ["cap.doc.summarize"], "risk_tier": "low", "owner": "org.test"}"#;

    #[test]
    fn hashes_are_the_references() {
        assert_eq!(hash(HELLO), "b348ddb1e23127821fc5053a8049587f4a80eaa7040e2f0a40b2da07798f0ffa");
        let accented = HELLO.replace("\"org.test\"", "\"org.té\"");
        assert_eq!(hash(&accented), "012153791f68e94e8ac4a896b52a828baaeb501f4ed53bf64675450fcd09d193");
    }

    #[test]
    fn only_the_hash_itself_is_left_out() {
        let with = HELLO.replacen('{', "{\"artifact_hash\": \"sha256:00\",", 1);
        assert_eq!(hash(&with), hash(HELLO));
        // Of a record within the record it is part.
        let within = HELLO.replacen('{', "{\"attestation\": {\"artifact_hash\": \"sha256:00\"},", 1);
        let without = HELLO.replacen('{', "{\"attestation\": {},", 1);
        assert_ne!(hash(&within), hash(&without));
        assert_ne!(hash(&HELLO.replace("low", "high")), hash(HELLO));
    }
}
