//! A connection's words go to addresses that have shown to be its other side's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::{Checker, Invariant, Seen};
use crate::sim::ghost::Ghost;
use crate::sim::node::Node;
use crate::time::Instant;
use crate::wire::{ConnectionId, Datagram, Frame, Handshake, Packet, PathFrame};

/// What leaves for an address that has not shown to this very connection that it receives is a challenge, the answer to one, or an
/// ack; and no connection calls such an address its other side's.
///
/// An address has shown it when it was dialled and sent the welcome, when it sent a packet to the id that it alone was welcomed
/// with, or when it returned a challenge.
#[derive(Debug, Default)]
pub(super) struct ProvenPath {
    /// By the connection's own id: no two are called the same, in any life.
    shown: BTreeMap<ConnectionId, Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    /// Where the welcome went that named the connection.
    welcomed: Option<SocketAddr>,
    proven: BTreeSet<SocketAddr>,
    challenges: BTreeSet<(SocketAddr, u64)>,
}

impl Checker for ProvenPath {
    fn invariant(&self) -> Invariant {
        Invariant::ProvenPath
    }

    fn check(
        &mut self,
        _at: Instant,
        _index: usize,
        seen: &Seen<'_, '_>,
        _ghost: &Ghost,
    ) -> Result<(), String> {
        match seen {
            Seen::Emitted {
                datagram: Some(Datagram::Handshake(Handshake::Welcome { welcome, .. })),
                to,
                ..
            } => {
                self.shown.entry(welcome.id).or_default().welcomed = Some(*to);
                Ok(())
            }
            Seen::Emitted { datagram: Some(Datagram::Packet(packet)), to, node, .. } => {
                self.check_packet(*node, *to, packet)
            }
            Seen::Settled { node, .. } => self.check_paths(*node),
            _ => Ok(()),
        }
    }

    fn arriving(
        &mut self,
        _node: usize,
        from: SocketAddr,
        _length: usize,
        says: Option<&Datagram<'_>>,
        _ghost: &Ghost,
        _machine: &dyn Node,
    ) {
        match says {
            Some(Datagram::Handshake(Handshake::Welcome { to, .. })) => {
                self.shown.entry(*to).or_default().proven.insert(from);
            }
            Some(Datagram::Packet(packet)) => {
                let Some(shown) = self.shown.get_mut(&packet.to) else { return };
                let is_answered = packet.frames.iter().any(|frame| match frame {
                    Frame::Path(PathFrame::Answer(token)) => shown.challenges.contains(&(from, *token)),
                    _ => false,
                });
                if is_answered || shown.welcomed == Some(from) {
                    shown.proven.insert(from);
                }
            }
            _ => {}
        }
    }
}

impl ProvenPath {
    fn check_packet(&mut self, node: &dyn Node, to: SocketAddr, packet: &Packet<'_>) -> Result<(), String> {
        let mut connections = node.endpoint().connections();
        let sender = connections.find(|(_, connection)| connection.remote_id() == Some(packet.to));
        let Some(id) = sender.map(|(_, connection)| connection.local_id()) else { return Ok(()) };
        let shown = self.shown.entry(id).or_default();
        for frame in &packet.frames {
            match frame {
                Frame::Path(PathFrame::Challenge(token)) => drop(shown.challenges.insert((to, *token))),
                Frame::Path(_) | Frame::Ack(_) | Frame::Nack(_) => {}
                _ if shown.proven.contains(&to) => {}
                frame => {
                    return Err(format!(
                        "{id} sends {:?} to {to}, which has not shown that it receives",
                        frame.kind().name()
                    ));
                }
            }
        }
        Ok(())
    }

    fn check_paths(&self, node: &dyn Node) -> Result<(), String> {
        for (_, connection) in node.endpoint().connections().filter(|(_, it)| it.remote_id().is_some()) {
            let (id, remote) = (connection.local_id(), connection.path().remote);
            if self.shown.get(&id).is_none_or(|shown| !shown.proven.contains(&remote)) {
                return Err(format!("{id} is at {remote}, which has not shown that it receives"));
            }
        }
        Ok(())
    }
}
