//! The other end of a connection.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use crate::auth::SubjectAltName;

/// The other end of a connection. In the extensions of each request that comes from there.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// The names in its certificate, which was verified. None without a certificate.
    pub(crate) sans: Arc<[SubjectAltName]>,
}

impl Peer {
    /// The network that its limits count for.
    pub(crate) fn network(&self) -> IpAddr {
        network(self.address.ip())
    }
}

/// The network that limits of an address count for. Of IPv6 it is the /64: the owner of
/// one address has all of it, and would get around the limits otherwise.
pub(crate) fn network(ip: IpAddr) -> IpAddr {
    // IPv4 on a dual-stack socket comes as ::ffff:a.b.c.d, of which all addresses are in one /64.
    match ip.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => {
            let network = ip.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_count_for_an_ipv4_address_or_an_ipv6_network() {
        for (ip, expected) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("::1", "::1"),
        ] {
            let network = network(ip.parse().expect("an address"));
            assert_eq!(network.to_string(), expected, "{ip}");
        }
    }
}
