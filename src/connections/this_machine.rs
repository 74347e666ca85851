//! Whether a request comes from a program on this machine that means this machine: not through a proxy on it, and not under a name that a
//! web page elsewhere made to lead here.

use std::net::SocketAddr;

use http::header::{FORWARDED, HOST, VIA};
use http::request::Parts;

/// Whether it does.
#[must_use]
pub fn is_of_this_machine(parts: &Parts, peer: Option<SocketAddr>) -> bool {
    let Parts { headers, uri, .. } = parts;
    let peer = peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let proxied = [FORWARDED, VIA].iter().any(|name| headers.contains_key(name))
        || headers.keys().any(|name| name.as_str().starts_with("x-forwarded-") || name.as_str() == "x-real-ip");
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().is_ok_and(names_this_machine),
        _ => false,
    };
    let target = uri.authority().is_none_or(|authority| names_this_machine(authority.as_str()));
    peer && !proxied && host && target
}

/// Whether a `host` means this machine, whatever the port.
fn names_this_machine(host: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].into_iter().any(|name| {
        let rest = host.get(..name.len()).filter(|start| start.eq_ignore_ascii_case(name));
        let port = rest.and_then(|_| host.get(name.len()..));
        port.is_some_and(|port| {
            port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_count() {
        for yes in ["localhost", "localhost:8765", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:8765", "[::1]:8765", "[::1]"]
        {
            assert!(names_this_machine(yes), "{yes}");
        }
        for no in [
            "",
            "localhost.evil.example",
            "localhost:evil",
            "evil.example:8765",
            "127.0.0.1.nip.io",
            "127.0.0.11",
            "::1",
        ] {
            assert!(!names_this_machine(no), "{no}");
        }
    }
}
