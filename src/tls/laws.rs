//! What holds of any certificate: the workload that it names is the one URI that another reader finds in it.

use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;

use super::client::Workload;
use crate::ids::spiffe;

/// id-ce-subjectAltName, 2.5.29.17.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// The law of a client's certificate, of its bytes.
pub fn certificates(bytes: &[u8]) {
    let Some(workload) = Workload::of(bytes) else { return };
    let id = workload.id.as_str();
    // No other way leads from what it is made of to an id.
    let Ok((domain, path)) = spiffe::parts(id) else { unreachable!("{id} is no SPIFFE id") };
    let path: Vec<&str> = path.collect();
    let separator = if path.is_empty() { "" } else { "/" };
    assert_eq!(id, format!("{}{domain}{separator}{}", spiffe::SCHEME, path.join("/")));
    assert!(!domain.is_empty() && path.iter().all(|segment| !matches!(*segment, "" | "." | "..")));
    // Nobody proves what rustls does not read.
    if ParsedCertificate::try_from(&CertificateDer::from(bytes)).is_ok() {
        assert_eq!(uris(bytes).as_deref(), Some(&[id.as_bytes()][..]));
    }
}

/// The URIs among a certificate's names, found by hand.
fn uris(certificate: &[u8]) -> Option<Vec<&[u8]>> {
    const SEQUENCE: u8 = 0x30;
    let (_, certificate, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, signed, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, extensions) = all(signed)?.into_iter().find(|(tag, _)| *tag == 0xa3)?;
    let (_, extensions, _) = element(extensions)?;
    let mut uris = Vec::new();
    for (_, extension) in all(extensions)? {
        let parts = all(extension)?;
        if parts.first()?.1 == ALTERNATIVE_NAMES {
            let (_, names, _) = element(parts.last()?.1)?;
            uris.extend(all(names)?.into_iter().filter(|(tag, _)| *tag == 0x86).map(|(_, uri)| uri));
        }
    }
    Some(uris)
}

/// All elements of what an element holds.
fn all(mut content: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut elements = Vec::new();
    while !content.is_empty() {
        let (tag, inside, rest) = element(content)?;
        elements.push((tag, inside));
        content = rest;
    }
    Some(elements)
}

/// The first element's tag and content, and what follows it (X.690 8.1; tags of one byte, as in certificates).
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, first, rest @ ..] = bytes else { return None };
    let more = usize::from(first.checked_sub(0x80).unwrap_or_default());
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(more).filter(|_| (1..=4).contains(&more))?;
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}
