//! What every command that talks needs: a bound socket, the loop around it, and a peer.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::complain;
use super::exit::{Exit, Failure};
use crate::io::clock::Clock;
use crate::io::entropy;
use crate::io::event_loop::EventLoop;
use crate::io::resolve::Target;
use crate::io::socket::Socket;
use crate::io::stdin::Chunks;
use crate::io::trace::Trace;
use crate::peer::{Command, Peer, PeerConfig};
use crate::time::Now;

/// Where a peer listens unless it is told otherwise. Any machine on the network can reach it there.
pub(super) const DEFAULT_ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 6000);

/// Ports that are tried from the default one on: more peers than anybody starts on one machine by hand, and still below the
/// relay's default.
pub(super) const DEFAULT_PORTS: u16 = 100;

/// How long a goodbye may take. The messages were given their time before; this is only courtesy.
pub(super) const GOODBYE: Duration = Duration::from_secs(3);

/// Below this, some systems want special rights.
const FIRST_ORDINARY_PORT: u16 = 1024;

/// A peer, ready to run.
pub(super) struct Station {
    /// The loop.
    pub(super) event_loop: EventLoop,
    /// The machine in it.
    pub(super) peer: Peer,
    /// The loop's clock.
    pub(super) clock: Clock,
}

impl Station {
    /// Puts a peer on `socket`; the port in `config` is the socket's, whatever it says.
    pub(super) fn new(socket: Socket, trace: Option<&str>, config: PeerConfig) -> Result<Self, Failure> {
        let trace = trace.map(open_trace).transpose()?;
        let clock = Clock::new();
        let local_port = socket.local_address().port();
        let event_loop = EventLoop::new(socket, clock, trace).map_err(Failure::failed)?;
        let seed = entropy::seed().map_err(Failure::failed)?;
        let config = PeerConfig { local_port, ..config };
        Ok(Self { event_loop, peer: Peer::new(config, seed, clock.now()), clock })
    }
}

/// Nobody can see any more what is shown, so nothing more is confirmed: receipts that did not leave are dropped, and the other
/// sides hear a goodbye. A reader that has had enough (`| head`) is no failure.
pub(super) fn output_lost(now: Now, peer: &mut Peer, failure: &io::Error) -> Exit {
    // Giving up has nothing to refuse.
    let _ = peer.handle_command(now, Command::GiveUp);
    if failure.kind() == io::ErrorKind::BrokenPipe {
        return Exit::Done;
    }
    complain(&format!("what arrives cannot be shown any more, and is not confirmed: {failure}"));
    Exit::Failed
}

/// A key names nobody where nothing proves one.
pub(super) fn check_no_key<'a>(targets: impl IntoIterator<Item = &'a Target>) -> Result<(), Failure> {
    if targets.into_iter().any(|target| target.key().is_some()) {
        return Err(Failure::usage(
            "--clear shows nobody's key, so no KEY@ can be demanded: leave one of them out",
        ));
    }
    Ok(())
}

/// Binds to what the user wrote.
pub(super) fn bind(target: &Target) -> Result<Socket, Failure> {
    if target.key().is_some() {
        return Err(Failure::usage("--bind takes an address of this machine, without a key"));
    }
    if (1..FIRST_ORDINARY_PORT).contains(&target.port()) {
        complain(&format!(
            "port {} is below {FIRST_ORDINARY_PORT}: some systems keep these for system services",
            target.port()
        ));
    }
    let mut result = Err(Failure::failed(format!("{target} has no address to listen on")));
    for address in look_up(target)? {
        result = Socket::bind(address).map_err(Failure::failed);
        if result.is_ok() {
            break;
        }
    }
    result
}

/// The addresses that a target on the command line stands for. Nothing else happens meanwhile, so it may take its time.
pub(super) fn look_up(target: &Target) -> Result<Vec<SocketAddr>, Failure> {
    target.look_up().map_err(Failure::failed)
}

/// Begins to read standard input.
pub(super) fn read_stdin(event_loop: &EventLoop) -> Result<Chunks, Failure> {
    Chunks::read_stdin(event_loop.waker())
        .map_err(|error| Failure::failed(format!("standard input cannot be read: {error}")))
}

/// Begins a trace.
pub(super) fn open_trace(name: &str) -> Result<Trace, Failure> {
    Trace::create(name)
        .map_err(|error| Failure::failed(format!("the trace cannot be written to {name}: {error}")))
}
