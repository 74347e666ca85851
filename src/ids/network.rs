//! Networks: what one caller can have many addresses of counts as one.

use std::net::{IpAddr, Ipv6Addr};

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
}
