//! Asks the DNS, for both families at once (RFC 8305 3).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::lookup_ip::LookupIp;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::time::{sleep, timeout_at};

/// How long an answer for one family waits for the other's: some servers never answer for AAAA.
const RESOLUTION_DELAY: Duration = Duration::from_millis(250);

/// What the DNS says of a name.
#[derive(Debug)]
pub enum DnsAnswer {
    /// Its addresses, by turns of one family and of the other, and how long they are good.
    Addresses(Vec<IpAddr>, Instant),
    /// That it has none.
    Nothing,
    /// Nothing, or not in time; says why.
    Unknown(String),
}

/// Asks the DNS.
#[derive(Clone)]
pub struct Dns {
    ipv4: TokioResolver,
    ipv6: TokioResolver,
}

impl Dns {
    /// Of these servers; of the system's, if there are none.
    ///
    /// # Errors
    /// The system's resolver configuration cannot be read.
    pub fn of(servers: &[SocketAddr]) -> Result<Self, String> {
        let resolver = |strategy| {
            let mut builder = if servers.is_empty() {
                TokioResolver::builder_tokio().map_err(|error| {
                    format!(
                        "the system's DNS configuration cannot be read: {error}; set `gate.dns_servers` to name the servers"
                    )
                })?
            } else {
                let servers = servers.iter().map(|server| {
                    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                        connection.port = server.port();
                        connection
                    });
                    NameServerConfig::new(server.ip(), true, connections.into())
                });
                let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            };
            let options = builder.options_mut();
            options.ip_strategy = strategy;
            // What is remembered is remembered by us, once.
            options.cache_size = 0;
            builder.build().map_err(|error| format!("the DNS resolver cannot be built: {error}"))
        };
        Ok(Self { ipv4: resolver(LookupIpStrategy::Ipv4Only)?, ipv6: resolver(LookupIpStrategy::Ipv6Only)? })
    }

    /// The addresses of a name, in so long at most.
    pub async fn find(&self, host: &str, patience: Duration) -> DnsAnswer {
        let deadline = tokio::time::Instant::now() + patience;
        let ipv4 = timeout_at(deadline, self.ipv4.lookup_ip(host));
        let ipv6 = timeout_at(deadline, self.ipv6.lookup_ip(host));
        tokio::pin!(ipv4, ipv6);
        let (mut four, mut six) = (None, None);
        tokio::select! {
            found = &mut ipv4 => four = Some(found.unwrap_or(Err(NetError::Timeout))),
            found = &mut ipv6 => six = Some(found.unwrap_or(Err(NetError::Timeout))),
        }
        // Who has no address has nothing to go on with, and waits for the other as long as there is time.
        let delay = if matches!(four.as_ref().or(six.as_ref()), Some(Ok(_))) { RESOLUTION_DELAY } else { patience };
        tokio::select! {
            found = &mut ipv4, if four.is_none() => four = Some(found.unwrap_or(Err(NetError::Timeout))),
            found = &mut ipv6, if six.is_none() => six = Some(found.unwrap_or(Err(NetError::Timeout))),
            () = sleep(delay) => {}
        }
        both(four.unwrap_or(Err(NetError::Timeout)), six.unwrap_or(Err(NetError::Timeout)))
    }
}

/// What two answers come to. That one family has no address says nothing of the other.
fn both(four: Result<LookupIp, NetError>, six: Result<LookupIp, NetError>) -> DnsAnswer {
    let until = [&four, &six].into_iter().flatten().map(LookupIp::valid_until).min();
    let list = |found: &Result<LookupIp, NetError>| found.iter().flat_map(LookupIp::iter).collect::<Vec<_>>();
    let addresses = by_turns(&list(&six), &list(&four));
    match (until, four, six) {
        (Some(until), ..) if !addresses.is_empty() => DnsAnswer::Addresses(addresses, until),
        (_, Err(four), Err(six)) if four.is_no_records_found() && six.is_no_records_found() => DnsAnswer::Nothing,
        (_, Err(error), _) if !error.is_no_records_found() => DnsAnswer::Unknown(error.to_string()),
        (_, _, Err(error)) if !error.is_no_records_found() => DnsAnswer::Unknown(error.to_string()),
        _ => DnsAnswer::Nothing,
    }
}

/// One of the first, one of the second, and so on.
fn by_turns(first: &[IpAddr], second: &[IpAddr]) -> Vec<IpAddr> {
    let pair = |at: usize| [first.get(at), second.get(at)].into_iter().flatten().copied();
    (0..first.len().max(second.len())).flat_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let ips = |text: &str| text.split_whitespace().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        let turns = |first, second| by_turns(&ips(first), &ips(second));
        assert_eq!(turns("::1 ::2", "1.1.1.1 1.1.1.2 1.1.1.3"), ips("::1 1.1.1.1 ::2 1.1.1.2 1.1.1.3"));
        assert_eq!(turns("", "1.1.1.1"), ips("1.1.1.1"));
        assert_eq!(turns("::1", ""), ips("::1"));
        assert!(turns("", "").is_empty());
    }
}
