//! Nobody can make a node send much to somebody who did not ask.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::{Checker, Invariant, Seen};
use crate::sim::ghost::Ghost;
use crate::sim::node::{Node, Report};
use crate::time::Instant;
use crate::wire::{ConnectionId, Datagram, Frame, Handshake, PathFrame};

/// Bytes out to an address that has not proved itself, against three times the bytes in.
///
/// An address has proved itself when the node's own user named it, when a packet came from it to an id that was told to it alone,
/// or when it returned a challenge.
#[derive(Debug)]
pub(super) struct AntiAmplification {
    nodes: Vec<Addresses>,
}

#[derive(Clone, Debug, Default)]
struct Addresses {
    life: u32,
    by_address: BTreeMap<SocketAddr, Account>,
    told_ids: BTreeMap<ConnectionId, SocketAddr>,
    challenges: BTreeSet<(SocketAddr, u64)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Account {
    bytes_in: u64,
    bytes_out: u64,
    is_proved: bool,
}

impl AntiAmplification {
    pub(super) fn new(count: usize) -> Self {
        Self { nodes: vec![Addresses::default(); count] }
    }

    /// What the node's present life knows.
    fn of(&mut self, node: usize, ghost: &Ghost) -> &mut Addresses {
        let (known, life) = (&mut self.nodes[node], ghost.nodes[node].life);
        if known.life != life {
            *known = Addresses { life, ..Addresses::default() };
        }
        known
    }
}

impl Checker for AntiAmplification {
    fn invariant(&self) -> Invariant {
        Invariant::AntiAmplification
    }

    fn check(&mut self, _at: Instant, node: usize, seen: &Seen<'_, '_>, ghost: &Ghost) -> Result<(), String> {
        let known = self.of(node, ghost);
        match seen {
            Seen::Report(Report::Dialled { to, .. } | Report::Named { to }) => {
                known.by_address.entry(*to).or_default().is_proved = true;
                Ok(())
            }
            Seen::Emitted { to, length, datagram, .. } => known.count_out(*to, *length as u64, *datagram),
            _ => Ok(()),
        }
    }

    fn arriving(
        &mut self,
        node: usize,
        from: SocketAddr,
        length: usize,
        says: Option<&Datagram<'_>>,
        ghost: &Ghost,
        _machine: &dyn Node,
    ) {
        self.of(node, ghost).count_in(from, length as u64, says);
    }
}

impl Addresses {
    fn count_in(&mut self, from: SocketAddr, bytes: u64, datagram: Option<&Datagram<'_>>) {
        let account = self.by_address.entry(from).or_default();
        account.bytes_in += bytes;
        if let Some(Datagram::Packet(packet)) = datagram {
            account.is_proved |= self.told_ids.get(&packet.to) == Some(&from);
            account.is_proved |= packet.frames.iter().any(|frame| match frame {
                Frame::Path(PathFrame::Answer(token)) => self.challenges.contains(&(from, *token)),
                _ => false,
            });
        }
    }

    fn count_out(
        &mut self,
        to: SocketAddr,
        bytes: u64,
        datagram: Option<&Datagram<'_>>,
    ) -> Result<(), String> {
        match datagram {
            Some(Datagram::Handshake(Handshake::Welcome { welcome, .. })) => {
                self.told_ids.insert(welcome.id, to);
            }
            Some(Datagram::Packet(packet)) => {
                for frame in &packet.frames {
                    if let Frame::Path(PathFrame::Challenge(token)) = frame {
                        self.challenges.insert((to, *token));
                    }
                }
            }
            _ => {}
        }
        let account = self.by_address.entry(to).or_default();
        account.bytes_out += bytes;
        if !account.is_proved && account.bytes_out > 3 * account.bytes_in {
            return Err(format!(
                "{} bytes to {to}, from where {} came; the last are {datagram:?}",
                account.bytes_out, account.bytes_in
            ));
        }
        Ok(())
    }
}
