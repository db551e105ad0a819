//! Every address that a socket can be reached at.
//!
//! A socket bound to `0.0.0.0` does not say it, and whoever wants to join needs one that works. It never sends anything.

use std::net::{IpAddr, SocketAddr};

use if_addrs::{IfOperStatus, Interface};

use super::local_ip::reachable_address;

/// Interfaces that containers and virtual machines make: their addresses lead nowhere from elsewhere.
const BRIDGES: [&str; 8] = ["docker", "br-", "veth", "virbr", "cni", "podman", "lxc", "flannel"];

/// What to type on another machine to reach `bound`, the most useful first: the machine's own addresses, those of bridges, those
/// that only this machine can use.
pub fn reachable_addresses(bound: SocketAddr) -> Vec<SocketAddr> {
    if !bound.ip().is_unspecified() {
        return vec![bound];
    }
    let mut found = if_addrs::get_if_addrs().unwrap_or_default();
    found
        .retain(|interface| interface.oper_status != IfOperStatus::Down && is_reached(bound, interface.ip()));
    found.sort_by_key(|interface| (rank(interface), interface.ip()));
    let mut addresses: Vec<SocketAddr> =
        found.iter().map(|interface| SocketAddr::new(interface.ip(), bound.port())).collect();
    addresses.dedup();
    if addresses.is_empty() {
        addresses.extend(reachable_address(bound));
    }
    addresses
}

/// Whether datagrams for `ip` come to the wildcard address `bound`. A link-local IPv6 address says nothing without the name of an
/// interface, which is another one on the other side.
fn is_reached(bound: SocketAddr, ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => bound.is_ipv6() && !ip.is_unicast_link_local(),
    }
}

fn rank(interface: &Interface) -> u8 {
    if interface.is_loopback() {
        2
    } else {
        u8::from(BRIDGES.iter().any(|bridge| interface.name.starts_with(bridge)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_reached_at_every_address_loopback_last() {
        let addresses = reachable_addresses("0.0.0.0:6100".parse().expect("it is one"));
        assert!(addresses.iter().all(|address| address.is_ipv4() && address.port() == 6100), "{addresses:?}");
        let loopback = "127.0.0.1:6100".parse().expect("it is one");
        assert!(addresses.last().is_some_and(|last| last.ip().is_loopback()), "{addresses:?}");
        assert!(addresses.contains(&loopback), "{addresses:?}");
    }

    #[test]
    fn another_address_is_reached_at_itself() {
        let bound = "127.0.0.1:6100".parse().expect("it is one");
        assert_eq!(reachable_addresses(bound), [bound]);
    }
}
