//! The UDP socket: bound once, read until it would block, written without ever waiting.
//!
//! Addresses leave and enter here in one form only: an IPv4 address that comes through a dual-stack socket is shown as IPv4.
//! No error of the network is fatal: it is counted, and the protocol repairs what was lost.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Type};

use super::bind_error::BindError;
use super::local_ip::LocalIps;
use crate::machine::{Path, Transmit};
use crate::time::Instant;

/// Asked of the system for each direction: a second of 30 Mbit/s while the process is not scheduled. The system gives what
/// its limits allow (`net.core.rmem_max` on Linux), and that is taken without complaint.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// No UDP datagram is longer.
pub const MAX_DATAGRAM_BYTES: usize = 65_535;

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
    remote: SocketAddr,
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
        let socket = mio::net::UdpSocket::from_std(socket.into());
        let local = socket.local_addr().map_err(failed)?;
        Ok(Self {
            socket,
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

    /// Puts the next datagram at the front of `buffer`.
    pub fn receive(&mut self, now: Instant, buffer: &mut [u8]) -> Received {
        match self.socket.recv_from(buffer) {
            Ok((length, remote)) => {
                let remote = canonical(remote);
                Received::Datagram { length, path: Path { remote, local_ip: self.local_ip(remote, now) } }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Received::Empty,
            Err(error) => {
                self.count_receive_error(&error);
                Received::Error
            }
        }
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
        let sent = self.send_segments(transmit.path.remote, bytes, segment_size);
        if sent < bytes.len() {
            let bytes = bytes[sent..].to_vec();
            self.held = Some(Held { remote: transmit.path.remote, bytes, segment_size });
        }
    }

    /// Whether a send waits for room; nothing else may be sent before it.
    pub fn is_blocked(&self) -> bool {
        self.held.is_some()
    }

    /// Tries the waiting send again.
    pub fn send_held(&mut self) {
        if let Some(held) = self.held.take() {
            let sent = self.send_segments(held.remote, &held.bytes, held.segment_size);
            if sent < held.bytes.len() {
                self.held = Some(Held { bytes: held.bytes[sent..].to_vec(), ..held });
            }
        }
    }

    /// Returns how many bytes need not be sent again.
    fn send_segments(&mut self, remote: SocketAddr, bytes: &[u8], segment_size: usize) -> usize {
        let to = self.native(remote);
        let mut sent = 0;
        for segment in bytes.chunks(segment_size) {
            let result = loop {
                match self.socket.send_to(segment, to) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => break result,
                }
            };
            match result {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return sent,
                Err(error) => self.count_send_error(remote, segment.len(), &error),
            }
            sent += segment.len();
        }
        sent
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

    fn count_send_error(&mut self, remote: SocketAddr, length: usize, error: &io::Error) {
        log::debug!("{length} bytes to {remote} were not sent: {error}");
        if error.kind() == io::ErrorKind::ConnectionRefused {
            // The refusal was meant for an earlier datagram; the protocol repeats this one.
            self.counters.refused += 1;
        } else if is_message_size(error) {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A datagram.
    Datagram {
        /// How many bytes of the buffer.
        length: usize,
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

#[cfg(unix)]
fn is_message_size(error: &io::Error) -> bool {
    /// The number of EMSGSIZE, where the standard library has no kind for it.
    const MESSAGE_SIZE: i32 = if cfg!(target_os = "linux") { 90 } else { 40 };
    error.raw_os_error() == Some(MESSAGE_SIZE)
}

#[cfg(not(unix))]
fn is_message_size(error: &io::Error) -> bool {
    /// WSAEMSGSIZE.
    const MESSAGE_SIZE: i32 = 10_040;
    error.raw_os_error() == Some(MESSAGE_SIZE)
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

    fn receive_soon(socket: &mut Socket, buffer: &mut [u8]) -> Received {
        for _ in 0..1_000 {
            match socket.receive(Instant::ZERO, buffer) {
                Received::Empty => std::thread::sleep(std::time::Duration::from_millis(1)),
                received => return received,
            }
        }
        Received::Empty
    }

    fn datagram(remote: SocketAddr, length: usize, segment_size: Option<usize>) -> Transmit {
        Transmit { path: Path::to(remote), length, segment_size, ecn: None }
    }

    #[test]
    fn segments_arrive_as_datagrams_of_their_own() {
        let (mut sender, mut receiver) = (loopback(), loopback());
        sender.send(&datagram(receiver.local_address(), 5, Some(2)), b"abcde-not-sent");
        let mut buffer = [0; 16];
        for expected in [&b"ab"[..], b"cd", b"e"] {
            let Received::Datagram { length, path } = receive_soon(&mut receiver, &mut buffer) else {
                panic!("nothing arrived")
            };
            assert_eq!(&buffer[..length], expected);
            assert_eq!(path.remote, sender.local_address());
            assert_eq!(path.local_ip, Some(receiver.local_address().ip()));
        }
        assert_eq!(receiver.receive(Instant::ZERO, &mut buffer), Received::Empty);
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
        let mut buffer = [0; 16];
        let Received::Datagram { path, .. } = receive_soon(&mut v4, &mut buffer) else {
            panic!("nothing arrived")
        };
        v4.send(&datagram(path.remote, 2, None), b"yo");
        let Received::Datagram { path, .. } = receive_soon(&mut both, &mut buffer) else {
            panic!("nothing arrived")
        };
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
