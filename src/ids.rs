//! Identifiers and closed vocabularies, valid by construction: who, what, where and how sensitive.
//!
//! The sources of the specification disagree on several of these; each is decided here once (WCP_SPEC 3.2, 4.1).

mod nearest;
mod network;
pub mod spiffe;

pub use nearest::{meant, nearest};
pub use network::{Network, NoNetwork, network};

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A value that is not of its identifier's form. Carries what was expected, for the error message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not {expected}{}", Meant(.meant))]
pub struct InvalidId {
    /// The text as it was given, cut to 80 characters.
    pub value: String,
    /// The form that was expected, as a phrase: "a capability such as `cap.data.write.v1`".
    pub expected: &'static str,
    /// Which word of a closed set was probably meant.
    pub meant: Option<&'static str>,
}

/// What was probably meant, behind what is wrong.
struct Meant<'a>(&'a Option<&'static str>);

impl fmt::Display for Meant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |word| write!(f, "; did you mean `{word}`?"))
    }
}

impl InvalidId {
    fn new(value: &str, expected: &'static str) -> Self {
        Self { value: value.chars().take(80).collect(), expected, meant: None }
    }

    /// Of a text that is none of these words.
    pub(crate) fn among(text: &str, expected: &'static str, words: impl Iterator<Item = &'static str>) -> Self {
        Self { meant: nearest(text, words), ..Self::new(text, expected) }
    }
}

/// Defines a string identifier that is checked when it is made and cheap to clone.
macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $valid:path, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The identifier as shared text.
            #[must_use]
            pub fn shared(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if $valid(text) { Ok(Self(Arc::from(text))) } else { Err(InvalidId::new(text, $expected)) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                parsed(d)
            }
        }
    };
}

/// `prefix` and then one to `most` dot-separated segments of lower-case letters, digits, `-` and, where sources use it, `_`.
fn dotted(text: &str, prefix: &str, most: usize) -> bool {
    let Some(rest) = text.strip_prefix(prefix) else { return false };
    let segments = rest.split('.');
    text.len() <= 128
        && segments.clone().count() <= most
        && segments.into_iter().all(|segment| {
            !segment.is_empty()
                && segment.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        })
}

fn is_capability(text: &str) -> bool {
    dotted(text, "cap.", 3) && text.len() <= 64 && !text.contains('_')
}
fn is_species(text: &str) -> bool {
    dotted(text, "wrk.", 7)
}
/// As the reference's registry has it; the specification's form is narrower, but records are written against this one.
fn is_control(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("ctrl.") else { return false };
    text.len() <= 128
        && rest.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
}
fn is_opaque_key(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/'))
}

identifier! {
    /// A capability: `cap.` and one to three segments, at most 64 characters (WCP_SPEC 3.2).
    CapabilityId, is_capability, "a capability such as `cap.data.write.v1` (`cap.`, then one to three segments of a-z, 0-9 and `-`)"
}
identifier! {
    /// A worker species: `wrk.` and segments (WCP_SPEC 3.2).
    SpeciesId, is_species, "a worker species such as `wrk.data.writer`"
}
identifier! {
    /// A control: `ctrl.` and a name. Hyphens and underscores both occur in the sources.
    ControlId, is_control, "a control such as `ctrl.obs.audit-log-append-only` (lower case)"
}
identifier! {
    /// A worker: an opaque lookup key such as `wrk_make_acme_prod` or `org.acme.my-worker.i-1`.
    WorkerId, is_opaque_key, "a worker id of 1 to 128 letters, digits, `.`, `_`, `-` or `/`"
}
identifier! {
    /// A tenant: an opaque key such as `org.acme`.
    TenantId, is_opaque_key, "a tenant id of 1 to 128 letters, digits, `.`, `_`, `-` or `/`"
}
identifier! {
    /// The name of a session token or approver: for records and logs, never the secret itself.
    TokenName, is_opaque_key, "a name of 1 to 128 letters, digits, `.`, `_`, `-` or `/`"
}

identifier! {
    /// A workload, as its certificate names it: `spiffe://<trust domain>/<path>`.
    SpiffeId, spiffe::is_spiffe_id, "a SPIFFE id such as `spiffe://example.org/make/acme` (lower-case trust domain; no empty segment, port, query or `%`)"
}

/// Defines a closed vocabulary: the variants in rising order, their wire text, and accepted aliases.
macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident, $expected:literal { $($(#[$vdoc:meta])* $variant:ident = $text:literal $(| $alias:literal)*),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in rising order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The canonical text on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                match text {
                    $($text $(| $alias)* => Ok(Self::$variant),)+
                    _ => Err(InvalidId::among(text, $expected, [$($text),+].into_iter())),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                parsed(d)
            }
        }
    };
}

vocabulary! {
    /// The environment in which a worker acts. Nothing is folded or trimmed beyond the two aliases.
    Env, "an environment: dev, stage (staging), prod (production) or edge" {
        /// Development.
        Dev = "dev",
        /// Staging.
        Stage = "stage" | "staging",
        /// Production.
        Prod = "prod" | "production",
        /// Edge locations; as strict as production.
        Edge = "edge",
    }
}

impl Env {
    /// Whether the strict production rules hold here: `prod` and `edge`.
    #[must_use]
    pub const fn is_production(self) -> bool {
        matches!(self, Self::Prod | Self::Edge)
    }
}

vocabulary! {
    /// How sensitive the data is, in rising order. SECRET is another name of RESTRICTED.
    DataLabel, "a data label: PUBLIC, INTERNAL, CONFIDENTIAL or RESTRICTED (SECRET)" {
        /// Anyone may know it.
        Public = "PUBLIC",
        /// Inside the organisation.
        Internal = "INTERNAL",
        /// Named groups only.
        Confidential = "CONFIDENTIAL",
        /// The strictest; also what an absent label counts as.
        Restricted = "RESTRICTED" | "SECRET",
    }
}

vocabulary! {
    /// How risky a tenant is, in rising order.
    TenantRisk, "a tenant risk: low, medium, high or critical" {
        /// Low risk.
        Low = "low",
        /// Medium risk.
        Medium = "medium",
        /// High risk; also what an unknown tenant counts as in strict mode.
        High = "high",
        /// Critical risk.
        Critical = "critical",
    }
}

vocabulary! {
    /// What kind of thing a catalogue describes.
    EntityKind, "a kind of entity: capability, worker_species, control, profile or policy" {
        /// Something that may be asked for.
        Capability = "capability",
        /// Something that may do it.
        WorkerSpecies = "worker_species",
        /// Something that holds it in check.
        Control = "control",
        /// Controls that go together.
        Profile = "profile",
        /// A policy.
        Policy = "policy",
    }
}

vocabulary! {
    /// How much can go wrong with a capability or a worker, in rising order.
    RiskTier, "a risk tier: low, medium, high or critical" {
        /// Little.
        Low = "low",
        /// Something.
        Medium = "medium",
        /// Much.
        High = "high",
        /// The worst.
        Critical = "critical",
    }
}

vocabulary! {
    /// The service class of a request; P0 is the most urgent.
    QosClass, "a QoS class: P0, P1, P2 or P3" {
        /// Most urgent.
        P0 = "P0",
        /// Urgent.
        P1 = "P1",
        /// The default.
        P2 = "P2",
        /// Shed first under load.
        P3 = "P3",
    }
}

vocabulary! {
    /// Who must act before a request goes on, in rising order (WCP_SPEC 5.8).
    SupervisorLevel, "a supervisor level: advisory, gatekeeper, executor or incident_commander" {
        /// Is told; the request goes on.
        Advisory = "advisory",
        /// Must approve first; also what counts when nothing else is said.
        Gatekeeper = "gatekeeper",
        /// Does it instead.
        Executor = "executor",
        /// Decides in an incident.
        IncidentCommander = "incident_commander",
    }
}

/// A SHA-256 digest; text form is 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A digest from its 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hex digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        String::from_utf8_lossy(&self.hex_digits()).into_owned()
    }

    /// The same as bytes of ASCII, in no memory of their own.
    #[must_use]
    pub fn hex_digits(&self) -> [u8; 64] {
        let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
        let mut digits = [0; 64];
        let (pairs, _) = digits.as_chunks_mut::<2>();
        for ([high, low], byte) in pairs.iter_mut().zip(self.0) {
            (*high, *low) = (digit(byte >> 4), digit(byte & 15));
        }
        digits
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl FromStr for Digest {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        const EXPECTED: &str = "a SHA-256 digest of 64 lower-case hex digits";
        let nibble = |b: u8| match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            _ => None,
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return Err(InvalidId::new(text, EXPECTED));
        }
        let mut bytes = [0; 32];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            match (nibble(*high), nibble(*low)) {
                (Some(high), Some(low)) => *byte = high << 4 | low,
                _ => return Err(InvalidId::new(text, EXPECTED)),
            }
        }
        Ok(Self(bytes))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        parsed(d)
    }
}

/// A value that is written as a text.
fn parsed<'de, T: FromStr<Err = InvalidId>, D: serde::Deserializer<'de>>(d: D) -> Result<T, D::Error> {
    String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.to_hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_accept_every_form_that_clients_send() {
        for ok in ["wrk_make_acme_prod", "org.acme.my-worker.i-1", "wrk_abc123", "org/x"] {
            assert!(ok.parse::<WorkerId>().is_ok(), "{ok}");
        }
        for bad in ["", "a b", "é", "a\n", &"x".repeat(129)] {
            assert!(bad.parse::<WorkerId>().is_err(), "{bad:?}");
        }
        assert!("cap.data.write.v1".parse::<CapabilityId>().is_ok());
        for bad in ["cap", "cap.", "cap.a.b.c.d", "cap.Data", "cap.a_b", "cap.a\n", " cap.a"] {
            assert!(bad.parse::<CapabilityId>().is_err(), "{bad:?}");
        }
        assert!("ctrl.blast_radius_scoring".parse::<ControlId>().is_ok());
        for bad in ["ctrl.Obs", "ctrl.", "ctrl", "ctrl._a", "ctrl.-a", "ctrl..a", "ctrl.a\n", "ctrl.é", "xctrl.a"] {
            assert!(bad.parse::<ControlId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn vocabularies_fold_only_their_aliases() {
        assert_eq!("staging".parse(), Ok(Env::Stage));
        assert_eq!("SECRET".parse(), Ok(DataLabel::Restricted));
        for bad in ["Prod", "PROD", " prod", "prod\n", ""] {
            assert!(bad.parse::<Env>().is_err(), "{bad:?}");
        }
        assert!("internal".parse::<DataLabel>().is_err());
    }

    #[test]
    fn the_word_of_a_closed_set_that_was_meant_is_named() {
        let said = |error: InvalidId| error.to_string();
        for (text, meant) in [("INTERNL", "INTERNAL"), ("internal", "INTERNAL"), ("Public ", "PUBLIC")] {
            let said = said(text.parse::<DataLabel>().unwrap_err());
            assert!(said.ends_with(&format!("(SECRET); did you mean `{meant}`?")), "{said}");
        }
        let said = said("orange".parse::<Env>().unwrap_err());
        assert!(said.ends_with("or edge"), "{said}");
    }

    #[test]
    fn digests_round_trip_and_refuse_other_forms() {
        let digest = Digest::of(b"hallgate");
        assert_eq!(digest.to_hex().parse(), Ok(digest));
        for bad in ["", "00", &digest.to_hex().to_uppercase(), &format!("{digest}\n")] {
            assert!(bad.parse::<Digest>().is_err(), "{bad:?}");
        }
    }
}
