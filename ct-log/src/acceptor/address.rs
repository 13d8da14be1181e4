//! Who a client is, as far as its connection tells.

use std::net::{IpAddr, Ipv6Addr};

/// Prefix length of the smallest IPv6 network that is given to one customer (RFC 4291 section
/// 2.5.1, RFC 6177): everybody who has one address of it has all of them.
const IPV6_PREFIX: u32 = 64;

/// The address of a client, in the extensions of each of its requests. It is absent if the
/// connection comes from a proxy: then it tells nothing about the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientAddress(IpAddr);

/// What has one share: an IPv4 address, or the /64 of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientNetwork(IpAddr);

impl ClientAddress {
    /// The address of a peer. An IPv4 address that a dual-stack socket shows as IPv6
    /// (`::ffff:192.0.2.1`) is the IPv4 address.
    #[must_use]
    pub fn new(peer: IpAddr) -> Self {
        Self(peer.to_canonical())
    }

    /// The address itself.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        self.0
    }

    /// The key by which clients are counted wherever each has a share.
    #[must_use]
    pub fn network(self) -> ClientNetwork {
        ClientNetwork(match self.0 {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let mask = u128::MAX << (u128::BITS - IPV6_PREFIX);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_counted_by_ipv4_address_and_by_ipv6_network() {
        let network = |address: &str| ClientAddress::new(address.parse().unwrap()).network();
        for (one, other) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1", "::ffff:192.0.2.1"),
            ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"),
        ] {
            assert_eq!(network(one), network(other), "{one} {other}");
        }
        for (one, other) in [
            ("192.0.2.1", "192.0.2.2"),
            ("2001:db8::1", "2001:db8:0:1::1"),
            ("192.0.2.1", "::192.0.2.1"),
        ] {
            assert_ne!(network(one), network(other), "{one} {other}");
        }
    }
}
