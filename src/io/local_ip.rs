//! Which of our own addresses the system would use towards another one.
//!
//! A socket bound to `0.0.0.0` does not say it. Asking costs a throw-away socket, so answers are remembered, for a while and
//! not without bound. No datagram is ever sent from here.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::time::Instant;

/// More remotes than one person talks to; a flood from made-up addresses must not make the memory grow.
const MAX_REMEMBERED: usize = 1024;

/// A laptop that changes networks shows its new address within this time.
const REMEMBERED_FOR: Duration = Duration::from_secs(30);

/// Remembers which local address leads to which remote one.
#[derive(Debug, Default)]
pub struct LocalIps {
    known: BTreeMap<IpAddr, Answer>,
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    local: Option<IpAddr>,
    asked_at: Instant,
}

impl LocalIps {
    /// Our address as far as `remote` is concerned; None if the system has no way there.
    pub fn towards(&mut self, remote: IpAddr, now: Instant) -> Option<IpAddr> {
        if let Some(answer) = self.known.get(&remote)
            && now.since(answer.asked_at) < REMEMBERED_FOR
        {
            return answer.local;
        }
        if self.known.len() >= MAX_REMEMBERED {
            self.known.clear();
        }
        let local = ask_system(remote);
        self.known.insert(remote, Answer { local, asked_at: now });
        local
    }
}

/// What to type on another machine to reach `bound`, if that is a wildcard address: ours on the way to the rest of the world.
pub fn reachable_address(bound: SocketAddr) -> Option<SocketAddr> {
    if !bound.ip().is_unspecified() {
        return None;
    }
    let local = ANYWHERE.into_iter().find_map(ask_system)?;
    Some(SocketAddr::new(local, bound.port()))
}

/// Addresses that no machine has (RFC 5737 and RFC 3849): good for asking which way the rest of the world is.
const ANYWHERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// Connecting a UDP socket sends nothing: it only makes the system choose a route, and with it our address.
fn ask_system(remote: IpAddr) -> Option<IpAddr> {
    let any: SocketAddr = match remote {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    // Any port but 0 does; this one is "discard".
    socket.connect((remote, 9)).ok()?;
    let local = socket.local_addr().ok()?.ip();
    (!local.is_unspecified()).then_some(local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_reached_from_loopback() {
        let mut ips = LocalIps::default();
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(ips.towards(loopback, Instant::ZERO), Some(loopback));
    }

    #[test]
    fn memory_stays_bounded() {
        let mut ips = LocalIps::default();
        for number in 0..=u16::try_from(MAX_REMEMBERED).expect("a small constant") {
            let [high, low] = number.to_be_bytes();
            ips.towards(IpAddr::V4(Ipv4Addr::new(127, 1, high, low)), Instant::ZERO);
        }
        assert!(ips.known.len() <= MAX_REMEMBERED);
    }
}
