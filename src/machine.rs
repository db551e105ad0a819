//! The vocabulary that every machine shares: where a datagram came from, what is to be sent, and why to wake up.
//!
//! A machine is a pure state machine with one contract at every layer ([`crate::arq::Connection`], [`crate::endpoint::Endpoint`],
//! [`crate::peer::Peer`], [`crate::fault::Link`]):
//!
//! ```text
//! handle_datagram(now, Path, bytes)      handle_command(now, Command)      handle_timeout(now)
//! poll_transmit(now, &mut buffer) -> Option<Transmit>
//! poll_event() -> Option<Event>          poll_timeout() -> Option<(Instant, Reason)>
//! ```
//!
//! After any `handle_*`, drain both polls to `None`, then read `poll_timeout`. An earlier `now` counts as the last one.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The two ends of the way that a datagram takes, seen from this end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// The other end's address.
    pub remote: SocketAddr,
    /// The address of ours that the datagram came to or is to leave from, where it is known.
    pub local_ip: Option<IpAddr>,
}

impl Path {
    /// The way to `remote` from whichever address the system picks.
    pub const fn to(remote: SocketAddr) -> Self {
        Self { remote, local_ip: None }
    }
}

/// One call's worth of bytes to send, at the front of the buffer that was handed to `poll_transmit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub path: Path,
    /// How many bytes of the buffer.
    pub length: usize,
    /// If set, the bytes are several datagrams of this many bytes each, the last one possibly shorter: the system may be asked
    /// to cut them (GSO). None means one datagram.
    pub segment_size: Option<usize>,
    /// The congestion marking to send with.
    pub ecn: Option<Ecn>,
}

impl Transmit {
    /// How many datagrams it is.
    pub const fn count(&self) -> u64 {
        match self.segment_size {
            Some(size) => self.length.div_ceil(size) as u64,
            None => 1,
        }
    }

    /// Its datagrams, which are at the front of `buffer`.
    pub fn datagrams<'b>(&self, buffer: &'b mut [u8]) -> impl Iterator<Item = &'b mut [u8]> + use<'b> {
        buffer[..self.length].chunks_mut(self.segment_size.unwrap_or(self.length).max(1))
    }
}

/// The two bits of explicit congestion notification (RFC 3168, section 5) that a sender may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ecn {
    /// ECT(0): this transport understands marks.
    Capable0,
    /// ECT(1).
    Capable1,
    /// CE: a router on the way was congested.
    CongestionExperienced,
}

/// Whoever has one address of it can have them all: one for IPv4, a /64 for IPv6.
pub fn neighbourhood(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}
