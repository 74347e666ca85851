//! Where a client may connect whose address a caller has named: to public addresses, or into one network that an operator has named.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::ids::Network;

/// Networks of IPv4 in which nothing public is (the IANA's special-purpose registry, multicast, and what is reserved).
const NOT_PUBLIC_V4: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// The network of IPv6 in which public addresses are: what is outside is this host, a link, a site, a group, or an address of IPv4 in
/// another form, translated ones (NAT64) included.
const PUBLIC_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Networks in it that are not public: protocols and tunnels (Teredo), documentation, tunnels that name an address of IPv4 (6to4), and
/// documentation again.
const NOT_PUBLIC_V6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// The networks of which an operator may name one or a part: those of a site, of a provider, and of this host. Never a link's own, where
/// clouds say to their machines who they are.
const NAMEABLE: &[&str] =
    &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "fc00::/7", "::1/128"];

/// Which addresses a client may connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Those that are everybody's.
    Public,
    /// Those of one private network that an operator has named.
    Private(Network),
}

impl Reach {
    /// Into a private network that somebody names; `None` where it is not private.
    #[must_use]
    pub fn into_network(network: Network) -> Option<Self> {
        let nameable = NAMEABLE.iter().filter_map(|text| text.parse().ok());
        nameable.into_iter().any(|private| network.is_within(private)).then_some(Self::Private(network))
    }

    /// Whether an address may be connected to. One of IPv4 that is written for IPv6 may not.
    #[must_use]
    pub fn admits(self, address: IpAddr) -> bool {
        if address != address.to_canonical() {
            return false;
        }
        match (self, address) {
            (Self::Private(network), address) => network.includes(address),
            (Self::Public, IpAddr::V4(v4)) => !NOT_PUBLIC_V4
                .iter()
                .any(|(base, prefix)| same(v4.to_bits().into(), base.to_bits().into(), 32 - prefix)),
            (Self::Public, IpAddr::V6(v6)) => {
                let within = |(base, prefix): &(Ipv6Addr, u32)| same(v6.to_bits(), base.to_bits(), 128 - prefix);
                within(&PUBLIC_V6) && !NOT_PUBLIC_V6.iter().any(within)
            }
        }
    }
}

/// Whether two addresses are the same but for so many last bits.
const fn same(one: u128, other: u128, but: u32) -> bool {
    (one ^ other) >> but == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(reach: Reach, address: &str) -> bool {
        reach.admits(address.parse().unwrap())
    }

    #[test]
    fn only_public_addresses_are_public() {
        for public in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00::1",
            "2001:200::1",
            "3fff:1000::1",
        ] {
            assert!(admits(Reach::Public, public), "{public}");
        }
        for not in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:1.1.1.1",
            "::ffff:127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2001:10::1",
            "2002:7f00:1::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
        ] {
            assert!(!admits(Reach::Public, not), "{not}");
        }
    }

    #[test]
    fn into_a_private_network_leads_nothing_else() {
        let named = |text: &str| Reach::into_network(text.parse().unwrap());
        let site = named("10.1.0.0/16").unwrap();
        assert!(admits(site, "10.1.2.3"));
        for not in ["10.2.0.1", "1.1.1.1", "127.0.0.1", "169.254.169.254", "::ffff:10.1.2.3", "::10.1.2.3"] {
            assert!(!admits(site, not), "{not}");
        }
        assert!(admits(named("fd12::/48").unwrap(), "fd12::7") && admits(named("127.0.0.1").unwrap(), "127.0.0.1"));
        for not in ["1.1.1.0/24", "169.254.0.0/16", "169.254.169.254", "8.0.0.0/5", "fe80::/10", "::/96", "224.0.0.0/4"]
        {
            assert_eq!(named(not), None, "{not}");
        }
    }
}
