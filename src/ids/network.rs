//! Networks: what one caller can have many addresses of counts as one; and those that somebody names.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// The hosts whose addresses begin alike, such as `10.1.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// No bit beyond the prefix is set.
    base: IpAddr,
    /// How many bits of it count, one at least.
    prefix: u8,
}

/// Why a text names no network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoNetwork {
    /// It is not of the form.
    Malformed,
    /// It has bits behind its prefix; this is the network that they are in.
    HostBits(Network),
    /// It is everyone.
    Everyone,
}

impl Network {
    /// Whether an address is in it. One of IPv4 that is written for IPv6 is the one of IPv4.
    #[must_use]
    pub fn includes(self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.prefix) == Some(self.base)
    }

    /// Whether all of it is in another.
    #[must_use]
    pub fn is_within(self, other: Self) -> bool {
        self.prefix >= other.prefix && other.includes(self.base)
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

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
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
        let network = Self { base, prefix };
        if base == address { Ok(network) } else { Err(NoNetwork::HostBits(network)) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

/// The network of an address: a customer gets 2⁶⁴ addresses of IPv6, and one of IPv4.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> IpAddr {
        network(text.parse().unwrap())
    }

    #[test]
    fn one_customer_is_one_network() {
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"), "the same address, written for IPv6");
        assert_ne!(of("192.0.2.2"), of("192.0.2.1"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }

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
            let named: Network = network.parse().unwrap();
            for host in inside {
                assert!(named.includes(host.parse().unwrap()), "{host} in {network}");
            }
            for host in outside {
                assert!(!named.includes(host.parse().unwrap()), "{host} in {network}");
            }
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        let read = |text: &str| text.parse::<Network>();
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

    #[test]
    fn a_network_is_within_another_when_all_of_it_is() {
        let within = |inner: &str, outer: &str| inner.parse::<Network>().unwrap().is_within(outer.parse().unwrap());
        assert!(within("10.1.0.0/16", "10.0.0.0/8") && within("10.0.0.0/8", "10.0.0.0/8"));
        assert!(!within("10.0.0.0/7", "10.0.0.0/8") && !within("11.0.0.0/16", "10.0.0.0/8"));
        assert!(!within("fd00::/16", "10.0.0.0/8") && !within("10.0.0.0/8", "fc00::/7"));
    }
}
