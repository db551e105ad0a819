//! Datagrams that no honest node sent: old ones again, old ones changed, random bytes, hellos of nobody, and a meddler's.
//!
//! Nothing here may know a secret of a node's.

use std::net::SocketAddr;

use super::meddler::{Meddler, strange_hello};
use super::network::{node_of, nowhere};
use super::node::body;
use super::scenario::Action;
use crate::arq::Config;
use crate::random::{Random, keyed_draw};
use crate::wire::{self, ConnectionId, Handshake, Hello, Mode};

/// Whoever listens and plays back.
#[derive(Debug)]
pub struct Hostile {
    seed: u64,
    heard: Vec<Overheard>,
    /// How many were heard, to keep a fair sample of them.
    count: u64,
}

/// A datagram that somebody listened to.
#[derive(Debug)]
pub struct Overheard {
    /// Whose address it left from.
    pub from: SocketAddr,
    /// Which address it was for.
    pub to: SocketAddr,
    /// What it is.
    pub bytes: Vec<u8>,
}

/// Enough to reach back over handshakes, rebindings and restarts of a run.
const MAX_HEARD: usize = 512;

impl Hostile {
    /// Nothing heard yet.
    pub const fn new(seed: u64) -> Self {
        Self { seed, heard: Vec::new(), count: 0 }
    }

    /// Remembers a datagram: the first ones for ever, of the later ones a sample.
    pub fn remember(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.count += 1;
        if self.heard.len() < MAX_HEARD {
            self.heard.push(Overheard { from, to, bytes: bytes.to_vec() });
        } else {
            let place = keyed_draw(&[self.seed, self.count]) % self.count;
            if let Some(heard) = usize::try_from(place).ok().and_then(|place| self.heard.get_mut(place)) {
                *heard = Overheard { from, to, bytes: bytes.to_vec() };
            }
        }
    }

    /// The datagrams of an attack on a node, each with the address that it says it comes from.
    pub fn attack(
        &self,
        node: usize,
        is_sealed: bool,
        action: &Action,
        key: u64,
    ) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut random = Random::from_seed(keyed_draw(&[self.seed, key]));
        match *action {
            Action::Replay { count, is_spoofed } => self
                .pick(node, count, &mut random)
                .map(|heard| (if is_spoofed { nowhere(key) } else { heard.from }, heard.bytes.clone()))
                .collect(),
            Action::Mutate { count } => {
                let picked: Vec<&Overheard> = self.pick(node, count, &mut random).collect();
                picked.into_iter().map(|heard| (heard.from, mutate(&heard.bytes, &mut random))).collect()
            }
            Action::Garbage { count } => (0..count)
                .map(|_| {
                    // Up to twice a full packet, so that length is no defence.
                    let length = random.below(3_000) as usize;
                    (nowhere(random.next_u64()), body(random.next_u64(), length))
                })
                .collect(),
            Action::Flood { count } => (0..count)
                .map(|_| {
                    let from = nowhere(random.next_u64());
                    (from, if is_sealed { strange_hello(&mut random) } else { hello(&mut random) })
                })
                .collect(),
            Action::Meddle { count, is_impostor } => {
                let mut meddler = Meddler::new(&self.heard, node, is_impostor, random);
                (0..count).filter_map(|_| meddler.next()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// All that is remembered: for which node, from where, and what.
    pub fn everything(&self) -> Vec<(usize, SocketAddr, Vec<u8>)> {
        let heard = self.heard.iter();
        heard.filter_map(|heard| Some((node_of(heard.to)?, heard.from, heard.bytes.clone()))).collect()
    }

    fn pick(&self, node: usize, count: u32, random: &mut Random) -> impl Iterator<Item = &Overheard> {
        let to_node: Vec<&Overheard> =
            self.heard.iter().filter(|heard| node_of(heard.to) == Some(node)).collect();
        let count = if to_node.is_empty() { 0 } else { count };
        let picks: Vec<usize> = (0..count).map(|_| random.below(to_node.len() as u64) as usize).collect();
        picks.into_iter().map(move |pick| to_node[pick])
    }
}

/// A few bytes changed, a piece cut out, doubled, or the end lost.
fn mutate(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    for _ in 0..=random.below(3) {
        let Some(last) = changed.len().checked_sub(1) else { break };
        let at = random.below(last as u64 + 1) as usize;
        let end = (at + 1 + random.below(40) as usize).min(changed.len());
        match random.below(5) {
            0 => changed.truncate(at),
            1 => drop(changed.drain(at..end)),
            2 => {
                let piece = changed[at..end].to_vec();
                changed.splice(at..at, piece);
            }
            3 => changed[at] = b"0123456789{}[],:\"\n"[random.below(18) as usize],
            _ => changed[at] = random.next_u64() as u8,
        }
    }
    changed
}

fn hello(random: &mut Random) -> Vec<u8> {
    let hello = Hello {
        id: ConnectionId::random(random),
        mode: Mode::Clear,
        limits: Config::default().limits,
        old: None,
    };
    let mut bytes = Vec::new();
    wire::encode_handshake(&mut bytes, &Handshake::Hello(hello));
    bytes
}
