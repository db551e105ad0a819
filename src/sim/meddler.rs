//! Somebody on the path of sealed connections, who reads, changes, invents and plays back, and has a key of their own.
//!
//! Nothing that leaves here is sealed with a key of a node's: whatever a node believes of it is a fault of the node's.

use std::borrow::Cow;
use std::net::SocketAddr;

use super::hostile::Overheard;
use super::network::{node_of, nowhere};
use super::node::body;
use super::wiretap::{keys_of, seed_of};
use crate::arq::Config;
use crate::random::Random;
use crate::secure::{Entropy, Initiator, Responder};
use crate::wire::{
    self, Ack, Close, ConnectionId, Datagram, Form, Frame, Handshake, Hello, Messages, Mode, PacketWriter,
    PathFrame, Refuse, SEAL_BYTES, SealedHead, SealedHello, Welcome, Wish,
};

/// What a meddler works with: everything that was heard, and the node that it is after.
#[derive(Debug)]
pub struct Meddler<'a> {
    /// Datagrams to the node.
    inward: Vec<&'a Overheard>,
    /// Datagrams of the node.
    outward: Vec<&'a Overheard>,
    /// All of them.
    all: Vec<&'a Overheard>,
    /// Whether it answers hellos in its own name. Whoever knows no keys would take it for the one that was called.
    is_impostor: bool,
    random: Random,
}

/// The node number that the meddler's own key is made for: no scenario has as many.
const NOBODY: usize = 1_000;

impl<'a> Meddler<'a> {
    /// After `node`, having heard all that.
    pub fn new(heard: &'a [Overheard], node: usize, is_impostor: bool, random: Random) -> Self {
        let picked = |is_meant: fn(&Overheard) -> SocketAddr| {
            heard.iter().filter(|heard| node_of(is_meant(heard)) == Some(node)).collect()
        };
        Self {
            inward: picked(|heard| heard.to),
            outward: picked(|heard| heard.from),
            all: heard.iter().collect(),
            is_impostor,
            random,
        }
    }

    /// One datagram and where it says that it comes from; None if nothing fitting was heard.
    pub fn next(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        let model = self.pick(&self.inward.clone())?;
        let bytes = match self.random.below(10) {
            0 => self.flipped(&model.bytes),
            1 => self.cut(&model.bytes),
            2 => return self.reflected(),
            3 => return self.of_others(),
            4 => self.clear_packet(model)?,
            5 | 6 => return self.answer_to_hello(),
            7 => self.changed_hello(model)?,
            8 => self.mixed_packet(model)?,
            _ => self.invented_packet(model)?,
        };
        let from = if self.random.below(8) == 0 { nowhere(self.random.next_u64()) } else { model.from };
        Some((from, bytes))
    }

    fn pick(&mut self, from: &[&'a Overheard]) -> Option<&'a Overheard> {
        if from.is_empty() {
            return None;
        }
        from.get(self.random.below(from.len() as u64) as usize).copied()
    }

    fn pick_where(
        &mut self,
        from: &[&'a Overheard],
        is_meant: fn(&Datagram<'_>) -> bool,
    ) -> Option<&'a Overheard> {
        let meant: Vec<&Overheard> = from
            .iter()
            .copied()
            .filter(|heard| wire::decode(&heard.bytes).is_ok_and(|it| is_meant(&it)))
            .collect();
        self.pick(&meant)
    }

    fn flipped(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        let bit = self.random.below(8 * bytes.len() as u64) as usize;
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    }

    fn cut(&mut self, bytes: &[u8]) -> Vec<u8> {
        bytes[..self.random.below(bytes.len() as u64) as usize].to_vec()
    }

    /// What the node sent, back to it, as if by whom it was for.
    fn reflected(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        let model = self.pick(&self.outward.clone())?;
        Some((model.to, model.bytes.clone()))
    }

    /// What somebody sent to anybody: the other side's packets to a third one, other connections', another life's.
    fn of_others(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        let model = self.pick(&self.all.clone())?;
        Some((model.from, model.bytes.clone()))
    }

    /// Unsealed words, acks and closes for a sealed connection.
    fn clear_packet(&mut self, model: &Overheard) -> Option<Vec<u8>> {
        let head = head_of(&model.bytes)?;
        let number = head.number + self.random.below(20);
        Some(self.packet(head.to, number, Form::Clear, None))
    }

    /// A packet of our own, with whatever ends a connection or puts words into it; sealed by nobody if the form is sealed.
    fn packet(&mut self, to: ConnectionId, number: u64, form: Form<'_>, text: Option<&[u8]>) -> Vec<u8> {
        let (mut head, mut bytes) = (Vec::new(), Vec::new());
        let words = body(self.random.next_u64(), 20);
        let mut writer = PacketWriter::in_form(&mut head, &mut bytes, (to, number), form, None, 1_200);
        writer.push(&match self.random.below(5) {
            0 => Frame::Close(Close { code: "done".into(), reason: "".into() }),
            1 => Frame::Ack(Ack { got: [[1, number]].as_slice().into(), delay_us: 0 }),
            2 => Frame::Path(PathFrame::Challenge(7)),
            3 => Frame::Ping,
            _ => Frame::Msg(Messages {
                stream: 0,
                seq: 1 + self.random.below(4),
                unordered: false,
                bodies: [&*words].into_iter().collect(),
            }),
        });
        let sealed_at = writer.sealed_at();
        writer.finish();
        if let Some(sealed_at) = sealed_at {
            match text {
                Some(text) => head.splice(sealed_at.., text.iter().copied()).for_each(drop),
                None => head.extend(body(self.random.next_u64(), SEAL_BYTES)),
            }
        }
        head
    }

    /// A sealed packet under another head: another connection's id, number, epoch, or handshake message in front.
    fn mixed_packet(&mut self, model: &Overheard) -> Option<Vec<u8>> {
        let head = head_of(&model.bytes)?;
        let other = self.pick_where(&self.all.clone(), |it| matches!(it, Datagram::Sealed(_)))?;
        let of_other = head_of(&other.bytes)?;
        let mut finish = &model.bytes[head.finish_at..head.sealed_at];
        let (mut to, mut number, mut epoch) = (head.to, head.number, head.epoch);
        match self.random.below(5) {
            0 => to = of_other.to,
            1 => number += 1 + self.random.below(1_000),
            2 => epoch = self.random.below(4),
            3 if finish.is_empty() => finish = &other.bytes[of_other.finish_at..of_other.sealed_at],
            3 => finish = &[],
            _ => finish = &other.bytes[of_other.finish_at..of_other.sealed_at],
        }
        let text = &model.bytes[head.sealed_at..];
        Some(self.packet(to, number, Form::Sealed { epoch, finish }, Some(text)))
    }

    /// A good head, also with a good handshake message, and nothing behind it that any key opens.
    fn invented_packet(&mut self, model: &Overheard) -> Option<Vec<u8>> {
        let head = head_of(&model.bytes)?;
        let finish = &model.bytes[head.finish_at..head.sealed_at];
        let (number, epoch) = (head.number + self.random.below(20), head.epoch + self.random.below(3));
        Some(self.packet(head.to, number, Form::Sealed { epoch, finish }, None))
    }

    /// Another hello in the place of one: unsealed, with other contents under it, for another silent connection.
    fn changed_hello(&mut self, model: &Overheard) -> Option<Vec<u8>> {
        let Ok(Datagram::Handshake(Handshake::SealedHello(hello))) = wire::decode(&model.bytes) else {
            // Somebody unknown asks to replace the connection that a packet is of.
            let old = Some(head_of(&model.bytes)?.to);
            let id = ConnectionId::random(&mut self.random);
            let wish = Wish { id, limits: Config::default().limits, old }.encode();
            let mut entropy = Entropy::from_seed(seed_of(self.random.next_u64()));
            let (_, message) = Initiator::begin(&keys_of(0, NOBODY), &mut entropy, &wish);
            return Some(encoded(&Handshake::SealedHello(SealedHello {
                id,
                cookie: None,
                message: &message,
            })));
        };
        let (id, limits) = (hello.id, Config::default().limits);
        let cookie = Some(Cow::from("0000000000000000000000000000000000000000"));
        Some(encoded(&match self.random.below(4) {
            0 => Handshake::Hello(Hello { id, mode: Mode::Clear, limits, old: None }),
            1 => Handshake::SealedHello(SealedHello { cookie, ..hello }),
            2 => {
                let message = self.flipped(hello.message);
                return Some(encoded(&Handshake::SealedHello(SealedHello { message: &message, ..hello })));
            }
            _ => {
                let id = ConnectionId::random(&mut self.random);
                Handshake::SealedHello(SealedHello { id, ..hello })
            }
        }))
    }

    /// An answer to a hello of the node's, as if by whom it asked.
    fn answer_to_hello(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        let is_hello = |it: &Datagram<'_>| matches!(it, Datagram::Handshake(Handshake::SealedHello(_)));
        let model = self.pick_where(&self.outward.clone(), is_hello)?;
        let Ok(Datagram::Handshake(Handshake::SealedHello(hello))) = wire::decode(&model.bytes) else {
            return None;
        };
        let welcome = Welcome {
            id: ConnectionId::random(&mut self.random),
            limits: Config::default().limits,
            alive: self.random.below(2) == 0,
        };
        let to = hello.id;
        let bytes = match self.random.below(5) {
            0 => encoded(&Handshake::Welcome { to, welcome }),
            1 => {
                let cookie = Cow::from(if self.random.below(2) == 0 { "" } else { "00000000ff" });
                encoded(&Handshake::Retry { to, cookie })
            }
            2 => {
                let code = ["version", "mode", "busy"][self.random.below(3) as usize];
                let refuse = Refuse { code: code.into(), speaks: vec![1, 2], accepts: Some(Mode::Clear) };
                encoded(&Handshake::Refuse { to: Some(to), refuse })
            }
            3 if self.is_impostor => {
                let mut entropy = Entropy::from_seed(seed_of(self.random.next_u64()));
                let keys = keys_of(0, NOBODY);
                let (mut responder, _) = Responder::read(&keys, &mut entropy, hello.message).ok()?;
                let message = responder.answer(&welcome.encode());
                encoded(&Handshake::SealedWelcome { to, message: &message })
            }
            _ => {
                let message = body(self.random.next_u64(), 150);
                encoded(&Handshake::SealedWelcome { to, message: &message })
            }
        };
        Some((model.to, bytes))
    }
}

/// A hello of nobody's that costs its receiver as much as any.
pub fn strange_hello(random: &mut Random) -> Vec<u8> {
    let id = ConnectionId::random(random);
    let wish = Wish { id, limits: Config::default().limits, old: None }.encode();
    // Any bytes are a key, so a flood costs its sender nothing.
    let message: Vec<u8> = body(random.next_u64(), 32).into_iter().chain(wish).collect();
    encoded(&Handshake::SealedHello(SealedHello { id, cookie: None, message: &message }))
}

fn head_of(bytes: &[u8]) -> Option<SealedHead> {
    match wire::decode(bytes) {
        Ok(Datagram::Sealed(head)) => Some(head),
        _ => None,
    }
}

fn encoded(handshake: &Handshake<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::encode_handshake(&mut bytes, handshake);
    bytes
}
