//! What honest nodes wrote, sealed or not: whoever watches has their secrets, and asks no machine.
//!
//! A key pair and a seed decide everything that an endpoint ever seals with. So each handshake is made a second time here, from
//! what it follows from, and gives keys of our own, with which every packet is opened as it leaves. What arrives is looked up
//! among what left: bytes that no honest node wrote say nothing, whatever they look like.
//!
//! Nothing here may be told to a node, and nothing of a node's own state is used.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use crate::endpoint::Protection;
use crate::random::keyed_draw;
use crate::secure::{Entropy, Initiator, KeyPair, Opener, PublicKey, Responder};
use crate::wire::{self, ConnectionId, Datagram, Handshake, SealedHead, SealedHello, Welcome};

/// The reader of everything.
#[derive(Debug, Default)]
pub struct Wiretap {
    nodes: Vec<Secrets>,
    /// Hellos, by the id of whoever asks.
    asked: BTreeMap<ConnectionId, Asked>,
    /// Whose packets go to an id, and what opens them.
    flows: BTreeMap<ConnectionId, Vec<Flow>>,
    /// Every sealed packet, by its receiver's id and its number.
    packets: BTreeMap<(ConnectionId, u64), Written>,
    /// Every sealed welcome, and what was said in those that answer an honest hello as it was sent.
    welcomes: BTreeMap<(ConnectionId, u64), Option<Welcome>>,
}

/// What a node's present life makes its keys from.
#[derive(Debug)]
struct Secrets {
    life: u32,
    /// None in the clear.
    keys: Option<Arc<KeyPair>>,
    entropy: Entropy,
    /// Where in the randomness each ephemeral key comes from, as far as it was followed.
    made: BTreeMap<[u8; KEY_BYTES], Entropy>,
}

#[derive(Debug)]
struct Asked {
    node: usize,
    life: u32,
    keys: Arc<KeyPair>,
    initiator: Initiator,
    message: Vec<u8>,
}

#[derive(Debug)]
struct Flow {
    from: (usize, u32),
    opener: Opener,
}

/// A sealed packet, and what it says.
#[derive(Debug)]
struct Written {
    digest: u64,
    text: Arc<[u8]>,
}

/// What a datagram says to whoever may read it.
#[derive(Clone, Debug)]
pub enum Said {
    /// What can be read of it.
    Plain,
    /// A sealed packet of an honest node.
    Packet(SealedHead, Arc<[u8]>),
    /// A sealed welcome of an honest node.
    Welcome(ConnectionId, Welcome),
    /// Nothing that its receiver may believe.
    Nothing,
}

const KEY_BYTES: usize = 32;

/// How far a node's randomness is followed in search of one key: every hello that comes may take a step of it, and a run has fewer.
const MAX_STEPS: u32 = 20_000;

impl Said {
    /// The same as a datagram of the clear form. `bytes` are the ones that it was asked of.
    pub fn datagram<'a>(&'a self, bytes: &'a [u8]) -> Option<Datagram<'a>> {
        match self {
            Self::Plain => wire::decode(bytes).ok(),
            Self::Packet(head, text) => {
                wire::decode_sealed(text, head.to, head.number).ok().map(Datagram::Packet)
            }
            Self::Welcome(to, welcome) => {
                Some(Datagram::Handshake(Handshake::Welcome { to: *to, welcome: welcome.clone() }))
            }
            Self::Nothing => None,
        }
    }

    /// Whether an honest node wrote it for a connection that the receiver can know it to be of.
    pub const fn is_authentic(&self) -> bool {
        matches!(self, Self::Packet(..) | Self::Welcome(..))
    }

    /// The epoch of a sealed packet.
    pub const fn epoch(&self) -> Option<u64> {
        match self {
            Self::Packet(head, _) => Some(head.epoch),
            _ => None,
        }
    }
}

impl Wiretap {
    /// A node's program begins, its first one or the next. A peer's endpoint has randomness that was made from the peer's.
    pub fn begin(&mut self, node: usize, protection: &Protection, is_peer: bool) {
        let (keys, seed) = match protection {
            Protection::Clear => (None, [0; 32].into()),
            Protection::Sealed { keys, seed } => (Some(Arc::clone(keys)), seed.clone()),
        };
        let life = self.nodes.get(node).map_or(0, |secrets| secrets.life + 1);
        let mut entropy = Entropy::from_seed(seed);
        if is_peer {
            entropy = Entropy::from_seed(entropy.split());
        }
        let secrets = Secrets { life, keys, entropy, made: BTreeMap::new() };
        if node < self.nodes.len() {
            self.nodes[node] = secrets;
        } else {
            self.nodes.push(secrets);
        }
    }

    /// A node sends. The error is that nobody could read it, or that it breaks what sealing rests on.
    pub fn written(&mut self, node: usize, bytes: &[u8]) -> Result<Said, String> {
        let datagram = wire::decode(bytes).map_err(|error| {
            format!("it sent {} bytes that cannot be read: {}", bytes.len(), error.name())
        })?;
        let is_sealed = self.nodes[node].keys.is_some();
        match datagram {
            Datagram::Sealed(head) => self.note_packet(node, &head, bytes),
            Datagram::Handshake(Handshake::SealedHello(hello)) => {
                self.note_hello(node, &hello).map(|()| Said::Plain)
            }
            Datagram::Handshake(Handshake::SealedWelcome { to, message }) => {
                self.note_welcome(node, to, message)
            }
            Datagram::Handshake(Handshake::Retry { .. } | Handshake::Refuse { .. }) => Ok(Said::Plain),
            _ if is_sealed => Err(format!("it is to seal and sent this in the clear: {datagram:?}")),
            _ => Ok(Said::Plain),
        }
    }

    /// What comes says to a node.
    pub fn heard(&self, node: usize, bytes: &[u8]) -> Said {
        if self.nodes[node].keys.is_none() {
            return Said::Plain;
        }
        match wire::decode(bytes) {
            Ok(Datagram::Sealed(head)) => match self.packets.get(&(head.to, head.number)) {
                Some(written) if written.digest == digest(bytes) => {
                    Said::Packet(head, Arc::clone(&written.text))
                }
                _ => Said::Nothing,
            },
            Ok(Datagram::Handshake(Handshake::SealedWelcome { to, message })) => {
                match self.welcomes.get(&(to, digest(message))) {
                    Some(Some(welcome)) => Said::Welcome(to, welcome.clone()),
                    _ => Said::Nothing,
                }
            }
            _ => Said::Nothing,
        }
    }

    fn note_hello(&mut self, node: usize, hello: &SealedHello<'_>) -> Result<(), String> {
        if self.asked.get(&hello.id).is_some_and(|asked| asked.message == hello.message) {
            return Ok(());
        }
        let secrets = &mut self.nodes[node];
        let (mut entropy, keys) = secrets.find(hello.message)?;
        let (initiator, message) = Initiator::begin(&keys, &mut entropy, &hello.message[KEY_BYTES..]);
        if message != hello.message {
            return Err(format!("the hello {} does not follow from its sender's keys", hello.id));
        }
        let asked = Asked { node, life: secrets.life, keys, initiator, message };
        if self.asked.insert(hello.id, asked).is_some() {
            return Err(format!("two hellos are called {}", hello.id));
        }
        Ok(())
    }

    /// A welcome tells everything that its connection is sealed with, to whoever has both sides' secrets.
    fn note_welcome(&mut self, node: usize, to: ConnectionId, message: &[u8]) -> Result<Said, String> {
        let place = (to, digest(message));
        if let Some(known) = self.welcomes.get(&place) {
            return Ok(known.clone().map_or(Said::Nothing, |welcome| Said::Welcome(to, welcome)));
        }
        // A hello of nobody's, or one that was changed on its way, has a welcome that nobody can use.
        let read = self.asked.get_mut(&to).and_then(|asked| {
            let read = asked.initiator.finish(&asked.keys, message).ok()?;
            asked.initiator.begin_again(&asked.keys);
            Some((asked, read))
        });
        let Some((asked, (theirs, payload, finish))) = read else {
            self.welcomes.insert(place, None);
            return Ok(Said::Nothing);
        };
        let secrets = &mut self.nodes[node];
        let (mut entropy, keys) = secrets.find(message)?;
        let responder = Responder::read(&keys, &mut entropy, &asked.message);
        let (mut responder, _) = responder.map_err(|_| format!("the hello {to} cannot be read"))?;
        if responder.answer(&payload) != message {
            return Err(format!("the welcome to {to} does not follow from its sender's keys"));
        }
        let ours = responder.finish(&keys, &finish).map_err(|_| format!("{to} cannot finish"))?;
        let welcome =
            Welcome::decode(&payload).ok_or_else(|| format!("the welcome to {to} is no welcome"))?;
        let (asking, granting) = ((asked.node, asked.life), (node, secrets.life));
        self.flows.entry(welcome.id).or_default().push(Flow { from: asking, opener: ours.opener });
        self.flows.entry(to).or_default().push(Flow { from: granting, opener: theirs.opener });
        self.welcomes.insert(place, Some(welcome.clone()));
        Ok(Said::Welcome(to, welcome))
    }

    fn note_packet(&mut self, node: usize, head: &SealedHead, bytes: &[u8]) -> Result<Said, String> {
        let from = (node, self.nodes[node].life);
        let flows = self.flows.get_mut(&head.to).into_iter().flatten();
        let opened = flows.filter(|flow| flow.from == from).find_map(|flow| {
            let mut copy = bytes.to_vec();
            let text = flow.opener.open(head.number, head.epoch, &mut copy, head.sealed_at).ok()?;
            Some(Arc::<[u8]>::from(&copy[text]))
        });
        let (to, number) = (head.to, head.number);
        let text = opened.ok_or_else(|| format!("packet {number} to {to} opens with no key of its own"))?;
        wire::decode_sealed(&text, to, number)
            .map_err(|error| format!("packet {number} to {to} cannot be read: {}", error.name()))?;
        let written = Written { digest: digest(bytes), text: Arc::clone(&text) };
        if self.packets.insert((to, number), written).is_some() {
            // Under one key that gives away both texts and the key that authenticates.
            return Err(format!("the number {number} is used for two packets to {to}"));
        }
        Ok(Said::Packet(*head, text))
    }
}

impl Secrets {
    /// Where in the node's randomness a handshake's message comes from, by the key at its beginning.
    fn find(&mut self, message: &[u8]) -> Result<(Entropy, Arc<KeyPair>), String> {
        let keys = self.keys.clone().ok_or_else(|| "it has no keys and seals".to_owned())?;
        let wanted = message.first_chunk::<KEY_BYTES>().ok_or_else(|| "a message of no key".to_owned())?;
        for _ in 0..MAX_STEPS {
            if let Some(entropy) = self.made.get(wanted) {
                return Ok((entropy.clone(), keys));
            }
            let here = self.entropy.clone();
            // Every use takes as much.
            self.entropy.split();
            let (_, first) = Initiator::begin(&keys, &mut here.clone(), b"");
            if let Some(made) = first.first_chunk::<KEY_BYTES>() {
                self.made.insert(*made, here);
            }
        }
        Err("its key follows from no randomness of its own".to_owned())
    }
}

/// Whose keys a node has, in all its lives.
pub fn keys_of(seed: u64, node: usize) -> KeyPair {
    KeyPair::from_secret(secret(&[seed, node as u64, 1]))
}

/// Who a node is.
pub fn name_of(seed: u64, node: usize) -> PublicKey {
    keys_of(seed, node).public()
}

/// What all keys of a life are made from.
pub fn seed_of(seed: u64) -> [u8; 32] {
    secret(&[seed, 2])
}

fn secret(words: &[u64]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (place, chunk) in (0..).zip(bytes.chunks_exact_mut(8)) {
        chunk.copy_from_slice(&keyed_draw(&[keyed_draw(words), place]).to_le_bytes());
    }
    bytes
}

/// Tells datagrams apart. Fixed keys: the same in every run.
fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
