//! The sockets: opened with large buffers, read and written without ever waiting, every failure counted.
//!
//! No error of the network ends anything: a target that is not there yet answers with ICMP, and the next
//! datagram may reach it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mio::net::UdpSocket;
use socket2::{Domain, Protocol, Socket, Type};

/// A burst of two thousand full datagrams. The system gives what its limits allow.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// What became of datagrams outside the bad link, for reasons that are not its plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mishaps {
    /// The system's send buffer was full.
    pub(crate) buffer_full: u64,
    /// ICMP said that nobody listens at the address of an earlier datagram.
    pub(crate) refused: u64,
    /// Any other failed call.
    pub(crate) failed: u64,
    /// The flow was gone when the datagram was due.
    pub(crate) orphaned: u64,
    /// There were too many clients, or no socket for another one.
    pub(crate) turned_away: u64,
}

impl Mishaps {
    fn count(&mut self, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => self.refused += 1,
            io::ErrorKind::WouldBlock => self.buffer_full += 1,
            _ => self.failed += 1,
        }
    }
}

/// A socket bound to `address`.
pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // With smaller buffers a burst may be lost in the system, and the counters of the two ends show it.
    let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

/// A socket on a free port that exchanges datagrams with `target` only.
pub(crate) fn connect(target: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = bind(SocketAddr::new(any, 0))?;
    socket.connect(target)?;
    Ok(socket)
}

/// What one attempt to read gave.
pub(crate) enum Received<T> {
    Datagram(T),
    /// There is nothing more for now.
    Empty,
    /// A failure, already counted; there may be more to read.
    Mishap,
}

/// Judges the result of a receiving call.
pub(crate) fn received<T>(result: io::Result<T>, mishaps: &mut Mishaps) -> Received<T> {
    match result {
        Ok(datagram) => Received::Datagram(datagram),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Received::Empty,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Received::Mishap,
        Err(error) => {
            mishaps.count(&error);
            Received::Mishap
        }
    }
}

/// Sends with `send`, once more where the system asks for that.
pub(crate) fn send(mishaps: &mut Mishaps, send: impl Fn() -> io::Result<usize>) {
    // A refusal is the answer to an earlier datagram, and this one was not sent; the second attempt is about
    // this one.
    for _ in 0..2 {
        match send() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => mishaps.count(&error),
            Err(error) => return mishaps.count(&error),
            Ok(_) => return,
        }
    }
}
