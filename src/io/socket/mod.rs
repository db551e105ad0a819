//! The UDP socket: bound once, read until it would block, written without ever waiting.
//!
//! Addresses leave and enter here in one form only: an IPv4 address that comes through a dual-stack socket is shown as IPv4.
//! Many datagrams are read with one call, and many to one address written with one, where the system can. No error of the
//! network is fatal: it is counted, and the protocol repairs what was lost.

mod batch;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use batch::Batch;
use mio::{Interest, Registry, Token};
use quinn_udp::{EcnCodepoint, UdpSocketState};
use socket2::{Domain, Protocol, Type};

use super::bind_error::BindError;
use super::local_ip::LocalIps;
use crate::machine::{Ecn, Path, Transmit};
use crate::time::Instant;

/// Asked of the system for each direction: a second of 30 Mbit/s while the process is not scheduled. The system gives what
/// its limits allow (`net.core.rmem_max` on Linux), and that is taken without complaint.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// No UDP datagram is longer.
pub const MAX_DATAGRAM_BYTES: usize = 65_535;

/// The most that one call may send, headers of IPv4 and UDP taken off.
const MAX_PAYLOAD_BYTES: usize = MAX_DATAGRAM_BYTES - 28;

/// The most datagrams that are handed over with one call: what the system cuts at once, in datagrams that pass Ethernet. Beyond
/// sixteen or so the call's own cost is nothing any more.
pub const MAX_SEGMENTS: usize = 44;

/// What went wrong at the socket since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketCounters {
    /// An ICMP message said that nobody listens at an address we sent to.
    pub refused: u64,
    /// A datagram was longer than the way allows.
    pub too_long: u64,
    /// Any other failed send, such as no route.
    pub send_errors: u64,
    /// Any other failed receive.
    pub receive_errors: u64,
}

/// A bound socket that never blocks.
#[derive(Debug)]
pub struct Socket {
    socket: mio::net::UdpSocket,
    /// What the system can do with it. It joins datagrams, so nothing else may read from the socket.
    state: UdpSocketState,
    incoming: Batch,
    local: SocketAddr,
    reach: Reach,
    local_ips: LocalIps,
    held: Option<Held>,
    waits_for_room: bool,
    counters: SocketCounters,
}

/// The families that a socket can send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// A dual-stack socket.
    Both,
}

impl Reach {
    /// Whether an address is of such a family, and has a port.
    pub fn includes(self, remote: SocketAddr) -> bool {
        let family = match self {
            Self::V4 => remote.is_ipv4(),
            Self::V6 => remote.is_ipv6(),
            Self::Both => true,
        };
        family && remote.port() != 0
    }
}

/// What the system had no room for.
#[derive(Debug)]
struct Held {
    path: Path,
    ecn: Option<Ecn>,
    bytes: Vec<u8>,
    segment_size: usize,
}

impl Socket {
    /// Binds to `local`; port 0 lets the system choose one.
    pub fn bind(local: SocketAddr) -> Result<Self, BindError> {
        let failed = |error| BindError::from_system(local, error);
        let socket = socket2::Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))
            .map_err(failed)?;
        let reach = match local.ip() {
            IpAddr::V4(_) => Reach::V4,
            // Only the wildcard address can stand for both families.
            IpAddr::V6(ip) if ip.is_unspecified() && socket.set_only_v6(false).is_ok() => Reach::Both,
            IpAddr::V6(_) => Reach::V6,
        };
        // A smaller buffer only means more repairs.
        let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(BUFFER_BYTES);
        socket.set_nonblocking(true).map_err(failed)?;
        socket.bind(&local.into()).map_err(failed)?;
        let state = UdpSocketState::new((&socket).into()).map_err(failed)?;
        let socket = mio::net::UdpSocket::from_std(socket.into());
        let local = socket.local_addr().map_err(failed)?;
        Ok(Self {
            socket,
            state,
            incoming: Batch::new(),
            local,
            reach,
            local_ips: LocalIps::default(),
            held: None,
            waits_for_room: false,
            counters: SocketCounters::default(),
        })
    }

    /// Binds to the first port from `local`'s on that is free, trying `ports` of them.
    pub fn bind_first_free(local: SocketAddr, ports: u16) -> Result<Self, BindError> {
        let mut candidate = local;
        for offset in 1..ports {
            match Self::bind(candidate) {
                Err(BindError::InUse { .. }) => candidate.set_port(local.port().saturating_add(offset)),
                done => return done,
            }
        }
        Self::bind(candidate)
    }

    /// The address that the socket is bound to, with the port that the system chose.
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// What went wrong so far.
    pub fn counters(&self) -> SocketCounters {
        self.counters
    }

    /// What it can send to.
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// Has `registry` tell when there is something to read, and while a send waits, when there is room.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// Adjusts what [`Socket::register`] asked for. Room is asked for only while a send waits, since every datagram that
    /// leaves makes room and would wake the loop up.
    pub fn reregister(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        if self.waits_for_room == self.is_blocked() {
            return Ok(());
        }
        self.waits_for_room = self.is_blocked();
        let interest =
            if self.waits_for_room { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        registry.reregister(&mut self.socket, token, interest)
    }

    /// The next datagram. It may be changed where it lies: it is not read again.
    pub fn receive(&mut self, now: Instant) -> Received<'_> {
        if self.incoming.is_empty() {
            let (socket, state) = (&self.socket, &self.state);
            let filled = self
                .incoming
                .fill(|slices, messages| socket.try_io(|| state.recv(socket.into(), slices, messages)));
            match filled {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Received::Empty,
                Err(error) => {
                    self.count_receive_error(&error);
                    return Received::Error;
                }
            }
        }
        let bound = self.local.ip();
        let Some((message, datagram)) = self.incoming.take() else { return Received::Empty };
        let remote = canonical(message.addr);
        let local_ip = if bound.is_unspecified() {
            let told = message.dst_ip.map(|ip| ip.to_canonical()).filter(|&ip| is_of_one_machine(ip));
            told.or_else(|| self.local_ips.towards(remote.ip(), now))
        } else {
            Some(bound)
        };
        Received::Datagram { datagram, path: Path { remote, local_ip } }
    }

    /// Our address as `remote` sees it, as best we know.
    pub fn local_ip(&mut self, remote: SocketAddr, now: Instant) -> Option<IpAddr> {
        let bound = self.local.ip();
        if bound.is_unspecified() { self.local_ips.towards(remote.ip(), now) } else { Some(bound) }
    }

    /// Sends what a machine asked for. What the system has no room for is kept, and [`Socket::is_blocked`] says so.
    pub fn send(&mut self, transmit: &Transmit, bytes: &[u8]) {
        debug_assert!(!self.is_blocked(), "one transmit is held at most");
        let bytes = &bytes[..transmit.length];
        let segment_size = transmit.segment_size.unwrap_or(bytes.len()).max(1);
        let sent = self.send_segments(transmit.path, transmit.ecn, bytes, segment_size);
        if sent < bytes.len() {
            let bytes = bytes[sent..].to_vec();
            self.held = Some(Held { path: transmit.path, ecn: transmit.ecn, bytes, segment_size });
        }
    }

    /// Whether a send waits for room; nothing else may be sent before it.
    pub fn is_blocked(&self) -> bool {
        self.held.is_some()
    }

    /// Tries the waiting send again.
    pub fn send_held(&mut self) {
        if let Some(held) = self.held.take() {
            let sent = self.send_segments(held.path, held.ecn, &held.bytes, held.segment_size);
            if sent < held.bytes.len() {
                self.held = Some(Held { bytes: held.bytes[sent..].to_vec(), ..held });
            }
        }
    }

    /// Returns how many bytes need not be sent again.
    fn send_segments(&mut self, path: Path, ecn: Option<Ecn>, bytes: &[u8], segment_size: usize) -> usize {
        let mut sent = 0;
        while sent < bytes.len() {
            // The system cuts no more than this many, and none of them when it once could not.
            let most = self.state.max_gso_segments().min(MAX_PAYLOAD_BYTES / segment_size).max(1);
            let chunk = &bytes[sent..bytes.len().min(sent + most * segment_size)];
            match self.send_at_once(path, ecn, chunk, segment_size) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return sent,
                // The system's network card cannot cut; the library asks it no more, and now they go one by one.
                Err(_) if chunk.len() > segment_size && self.state.max_gso_segments() == 1 => continue,
                Err(error) => self.count_send_error(path.remote, chunk.len(), &error),
            }
            sent += chunk.len();
        }
        sent
    }

    fn send_at_once(
        &self,
        path: Path,
        ecn: Option<Ecn>,
        bytes: &[u8],
        segment_size: usize,
    ) -> io::Result<()> {
        let try_send = |src_ip| {
            let transmit = quinn_udp::Transmit {
                destination: self.native(path.remote),
                ecn: ecn.map(codepoint),
                contents: bytes,
                segment_size: (bytes.len() > segment_size).then_some(segment_size),
                src_ip,
            };
            self.socket.try_io(|| self.state.try_send((&self.socket).into(), &transmit))
        };
        let src_ip = path.local_ip.filter(|_| self.local.ip().is_unspecified()).map(|ip| self.native_ip(ip));
        match try_send(src_ip) {
            // An address that was ours is gone: a laptop changed its network. Any other will do.
            Err(error) if src_ip.is_some() && is_about_our_address(&error) => try_send(None),
            result => result,
        }
    }

    /// The form of an address that the system wants for this socket.
    fn native(&self, remote: SocketAddr) -> SocketAddr {
        match remote {
            SocketAddr::V4(v4) if self.reach == Reach::Both => {
                SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into()
            }
            other => other,
        }
    }

    fn native_ip(&self, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(v4) if self.reach == Reach::Both => v4.to_ipv6_mapped().into(),
            other => other,
        }
    }

    fn count_send_error(&mut self, remote: SocketAddr, length: usize, error: &io::Error) {
        log::debug!("{length} bytes to {remote} were not sent: {error}");
        if error.kind() == io::ErrorKind::ConnectionRefused {
            // The refusal was meant for an earlier datagram; the protocol repeats this one.
            self.counters.refused += 1;
        } else if quinn_udp::is_msg_size_err(error) {
            self.counters.too_long += 1;
        } else {
            self.counters.send_errors += 1;
        }
    }

    fn count_receive_error(&mut self, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => self.counters.refused += 1,
            io::ErrorKind::Interrupted => {}
            _ => {
                log::debug!("receiving failed: {error}");
                self.counters.receive_errors += 1;
            }
        }
    }
}

/// What one attempt to receive gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// A datagram.
    Datagram {
        /// Its bytes.
        datagram: &'a mut [u8],
        /// Where from, and to which of our addresses.
        path: Path,
    },
    /// There is nothing more.
    Empty,
    /// The system reported an error; there may be more to read.
    Error,
}

/// An IPv4 address as such, also where a dual-stack socket wraps it.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_canonical() {
            IpAddr::V4(ip) => SocketAddr::new(ip.into(), v6.port()),
            IpAddr::V6(_) => address,
        },
        SocketAddr::V4(_) => address,
    }
}

/// Whether an address is one machine's, so that an answer may come from it: not a broadcast or a group.
fn is_of_one_machine(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast() && ip != IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// Whether the system may have refused a datagram for the address that it was to leave from.
fn is_about_our_address(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrNotAvailable, HostUnreachable, InvalidInput, NetworkUnreachable};
    matches!(error.kind(), AddrNotAvailable | HostUnreachable | InvalidInput | NetworkUnreachable)
}

fn codepoint(ecn: Ecn) -> EcnCodepoint {
    match ecn {
        Ecn::Capable0 => EcnCodepoint::Ect0,
        Ecn::Capable1 => EcnCodepoint::Ect1,
        Ecn::CongestionExperienced => EcnCodepoint::Ce,
    }
}

/// The wildcard address that can send to all of `targets`: dual-stack if any of them is IPv6.
pub fn wildcard_for(targets: &[SocketAddr]) -> SocketAddr {
    if targets.iter().any(SocketAddr::is_ipv6) {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    } else {
        (std::net::Ipv4Addr::UNSPECIFIED, 0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> Socket {
        Socket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("loopback can be bound")
    }

    fn receive_soon(socket: &mut Socket) -> Option<(Vec<u8>, Path)> {
        for _ in 0..1_000 {
            match socket.receive(Instant::ZERO) {
                Received::Empty => std::thread::sleep(std::time::Duration::from_millis(1)),
                Received::Datagram { datagram, path } => return Some((datagram.to_vec(), path)),
                Received::Error => {}
            }
        }
        None
    }

    fn datagram(remote: SocketAddr, length: usize, segment_size: Option<usize>) -> Transmit {
        Transmit { path: Path::to(remote), length, segment_size, ecn: None }
    }

    #[test]
    fn segments_arrive_as_datagrams_of_their_own() {
        let (mut sender, mut receiver) = (loopback(), loopback());
        sender.send(&datagram(receiver.local_address(), 5, Some(2)), b"abcde-not-sent");
        for expected in [&b"ab"[..], b"cd", b"e"] {
            let (datagram, path) = receive_soon(&mut receiver).expect("it arrives");
            assert_eq!(datagram, expected);
            assert_eq!(path.remote, sender.local_address());
            assert_eq!(path.local_ip, Some(receiver.local_address().ip()));
        }
        assert_eq!(receiver.receive(Instant::ZERO), Received::Empty);
    }

    #[test]
    fn more_segments_than_the_system_cuts_at_once_arrive_all() {
        let (mut sender, mut receiver) = (loopback(), loopback());
        let bytes: Vec<u8> = (0..200_u8).flat_map(|number| [number; 1_000]).collect();
        sender.send(&datagram(receiver.local_address(), bytes.len(), Some(1_000)), &bytes);
        for number in 0..200 {
            let (datagram, _) = receive_soon(&mut receiver).expect("it arrives");
            assert_eq!(datagram, [number; 1_000]);
        }
    }

    /// Every address of 127.0.0.0/8 is this machine's.
    #[cfg(target_os = "linux")]
    #[test]
    fn an_answer_leaves_from_the_address_that_was_asked() {
        let (mut asking, mut wildcard) = (loopback(), Socket::bind(([0, 0, 0, 0], 0).into()).expect("any"));
        let asked = SocketAddr::from(([127, 9, 8, 7], wildcard.local_address().port()));
        asking.send(&datagram(asked, 2, None), b"hi");
        let (_, path) = receive_soon(&mut wildcard).expect("it arrives");
        assert_eq!(path.local_ip, Some(asked.ip()));
        wildcard.send(&Transmit { path, length: 2, segment_size: None, ecn: None }, b"yo");
        let (answer, path) = receive_soon(&mut asking).expect("it arrives");
        assert_eq!((answer.as_slice(), path.remote), (&b"yo"[..], asked));
    }

    #[test]
    fn an_address_that_is_no_longer_ours_is_given_up() {
        let (mut receiver, mut wildcard) = (loopback(), Socket::bind(([0, 0, 0, 0], 0).into()).expect("any"));
        let gone = Path { remote: receiver.local_address(), local_ip: Some(IpAddr::from([192, 0, 2, 1])) };
        wildcard.send(&Transmit { path: gone, length: 2, segment_size: None, ecn: None }, b"hi");
        assert_eq!(receive_soon(&mut receiver).expect("it arrives").0, b"hi");
        assert_eq!(wildcard.counters(), SocketCounters::default());
    }

    #[test]
    fn dual_stack_socket_shows_ipv4_as_ipv4() {
        let Ok(mut both) = Socket::bind((Ipv6Addr::UNSPECIFIED, 0).into()) else {
            return;
        };
        if both.reach != Reach::Both {
            return;
        }
        let mut v4 = loopback();
        both.send(&datagram(v4.local_address(), 2, None), b"hi");
        let (_, path) = receive_soon(&mut v4).expect("it arrives");
        v4.send(&datagram(path.remote, 2, None), b"yo");
        let (_, path) = receive_soon(&mut both).expect("it arrives");
        assert_eq!(path.remote, v4.local_address());
        assert_eq!(path.local_ip, Some(v4.local_address().ip()));
    }

    #[test]
    fn too_long_datagram_is_counted_and_forgotten() {
        let (mut sender, receiver) = (loopback(), loopback());
        let bytes = vec![0; MAX_DATAGRAM_BYTES];
        sender.send(&datagram(receiver.local_address(), bytes.len(), None), &bytes);
        assert_eq!(sender.counters(), SocketCounters { too_long: 1, ..SocketCounters::default() });
        assert!(!sender.is_blocked());
    }

    #[test]
    fn busy_port_is_told_and_the_next_one_taken() {
        let first = loopback();
        let address = first.local_address();
        assert!(matches!(Socket::bind(address), Err(BindError::InUse { .. })));
        let second = Socket::bind_first_free(address, 100).expect("one of a hundred is free");
        assert!(second.local_address().port() > address.port());
    }

    #[test]
    fn only_families_that_the_socket_speaks() {
        let socket = loopback();
        assert!(socket.reach().includes(SocketAddr::from(([127, 0, 0, 1], 1))));
        assert!(!socket.reach().includes(SocketAddr::from(([127, 0, 0, 1], 0))));
        assert!(!socket.reach().includes((Ipv6Addr::LOCALHOST, 1).into()));
    }
}
