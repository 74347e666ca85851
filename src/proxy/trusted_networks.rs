//! Trusted networks: those whose hosts may say who callers are.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// One network, or the gate's own Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustedNetworks {
    /// Whoever can open the Unix socket that the gate listens on.
    Unix,
    /// The hosts of a network.
    Network {
        /// Its address; no bit beyond the prefix is set.
        base: IpAddr,
        /// How many bits of it count, one at least.
        prefix: u8,
    },
}

/// Why a text names no network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoNetwork {
    /// It is not of the form.
    Malformed,
    /// It has bits behind its prefix; this is the network that they are in.
    HostBits(TrustedNetworks),
    /// It is everyone.
    Everyone,
}

impl TrustedNetworks {
    /// Whether this is where a connection came from; `None`: from the Unix socket.
    #[must_use]
    pub fn include(self, from: Option<IpAddr>) -> bool {
        match (self, from) {
            (Self::Unix, None) => true,
            (Self::Network { base, prefix }, Some(from)) => masked(from.to_canonical(), prefix) == Some(base),
            _ => false,
        }
    }
}

/// An address with all bits behind the prefix cleared; `None` when the address has not so many.
fn masked(address: IpAddr, prefix: u8) -> Option<IpAddr> {
    let prefix = u32::from(prefix);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(prefix)?).unwrap_or(0);
            Some(IpAddr::from((v4.to_bits() & mask).to_be_bytes()))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(prefix)?).unwrap_or(0);
            Some(IpAddr::from((v6.to_bits() & mask).to_be_bytes()))
        }
    }
}

impl FromStr for TrustedNetworks {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        if text == "unix" {
            return Ok(Self::Unix);
        }
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| NoNetwork::Malformed)?;
        // `::ffff:10.0.0.0/104` would be a network of addresses that are compared in their other form.
        if address != address.to_canonical() {
            return Err(NoNetwork::Malformed);
        }
        let all = if address.is_ipv4() { 32 } else { 128 };
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let prefix: u8 =
            prefix.map_or(Some(all), digits).filter(|prefix| *prefix <= all).ok_or(NoNetwork::Malformed)?;
        if prefix == 0 {
            return Err(NoNetwork::Everyone);
        }
        let base = masked(address, prefix).ok_or(NoNetwork::Malformed)?;
        let network = Self::Network { base, prefix };
        if base == address { Ok(network) } else { Err(NoNetwork::HostBits(network)) }
    }
}

impl fmt::Display for TrustedNetworks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix => f.write_str("unix"),
            Self::Network { base, prefix } => write!(f, "{base}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_includes_its_hosts_and_no_other() {
        for (network, inside, outside) in [
            (
                "10.1.0.0/16",
                &["10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3"][..],
                &["10.2.0.0", "10.0.255.255", "::1"][..],
            ),
            ("127.0.0.1", &["127.0.0.1"], &["127.0.0.2", "127.0.0.0", "::1", "::127.0.0.1"]),
            ("128.0.0.0/1", &["128.0.0.0", "255.255.255.255"], &["127.255.255.255"]),
            ("fd00:1::/32", &["fd00:1::", "fd00:1:ffff::9"], &["fd00:2::", "10.0.0.1", "::"]),
            ("::1", &["::1"], &["::2", "127.0.0.1", "0.0.0.1"]),
        ] {
            let peers: TrustedNetworks = network.parse().unwrap();
            for host in inside {
                assert!(peers.include(Some(host.parse().unwrap())), "{host} in {network}");
            }
            for host in outside {
                assert!(!peers.include(Some(host.parse().unwrap())), "{host} in {network}");
            }
            assert!(!peers.include(None), "a Unix socket in {network}");
        }
        assert!(
            TrustedNetworks::Unix.include(None) && !TrustedNetworks::Unix.include(Some("127.0.0.1".parse().unwrap()))
        );
    }

    #[test]
    fn what_is_no_network_is_refused() {
        let read = |text: &str| text.parse::<TrustedNetworks>();
        for bad in [
            "",
            "10",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "::/129",
            "localhost",
            "::ffff:10.0.0.0/104",
            "010.0.0.1",
        ] {
            assert_eq!(read(bad), Err(NoNetwork::Malformed), "{bad}");
        }
        assert_eq!(read("0.0.0.0/0"), Err(NoNetwork::Everyone));
        assert_eq!(read("::/0"), Err(NoNetwork::Everyone));
        assert_eq!(read("10.0.0.1/8"), Err(NoNetwork::HostBits(read("10.0.0.0/8").unwrap())));
        assert_eq!(read("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
    }
}
