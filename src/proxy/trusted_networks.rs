//! Trusted networks: those whose hosts may say who callers are.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::ids::{Network, NoNetwork};

/// One network, or the gate's own Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustedNetworks {
    /// Whoever can open the Unix socket that the gate listens on.
    Unix,
    /// The hosts of a network.
    Hosts(Network),
}

impl TrustedNetworks {
    /// Whether this is where a connection came from; `None`: from the Unix socket.
    #[must_use]
    pub fn include(self, from: Option<IpAddr>) -> bool {
        match (self, from) {
            (Self::Unix, None) => true,
            (Self::Hosts(network), Some(from)) => network.includes(from),
            _ => false,
        }
    }
}

impl FromStr for TrustedNetworks {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        if text == "unix" { Ok(Self::Unix) } else { text.parse().map(Self::Hosts) }
    }
}

impl fmt::Display for TrustedNetworks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix => f.write_str("unix"),
            Self::Hosts(network) => network.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_come_over_the_network_and_never_through_the_socket() {
        let hosts: TrustedNetworks = "10.1.0.0/16".parse().unwrap();
        let from = |address: &str| Some(address.parse().unwrap());
        assert!(hosts.include(from("10.1.2.3")) && !hosts.include(from("10.2.0.0")) && !hosts.include(None));
        let unix: TrustedNetworks = "unix".parse().unwrap();
        assert!(unix.include(None) && !unix.include(from("127.0.0.1")));
        assert_eq!((hosts.to_string(), unix.to_string()), ("10.1.0.0/16".to_owned(), "unix".to_owned()));
    }
}
