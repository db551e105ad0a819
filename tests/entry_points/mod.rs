//! What the fuzzer calls, and the tests with random bytes: each function takes any bytes and panics if something is wrong.
//!
//! Bytes become a script: an opcode, then what it needs. So every input means something, and a small change of it a small change of
//! what happens.

#![allow(dead_code, reason = "each fuzz target uses one of them")]
#![allow(clippy::unwrap_used, reason = "what cannot go on has failed")]

mod reader;
mod stage;

use reader::Reader;
use stage::{Bench, Partner};
use udpchat::chat::Say;
use udpchat::wire::{self, ConnectionId, Datagram, PacketWriter};

/// Anything as a datagram: it is read or refused, and what is read can be written and says the same again.
pub fn datagram(data: &[u8]) {
    let _ = wire::glance(data);
    let to = ConnectionId::parse("k3f9q2a1").unwrap();
    if let Ok(packet) = wire::decode_sealed(data, to, 7) {
        assert!(packet.frames.len() <= wire::MAX_FRAMES);
    }
    let (mut head, mut bytes) = (Vec::new(), Vec::new());
    match wire::decode(data) {
        Ok(Datagram::Packet(packet)) => {
            let limit = 2 * wire::MAX_DATAGRAM_BYTES;
            let mut writer =
                PacketWriter::new(&mut head, &mut bytes, packet.to, packet.number, packet.low, limit);
            assert!(packet.frames.iter().all(|frame| writer.push(frame)));
            writer.finish();
            let again = wire::decode(&head).unwrap();
            let Datagram::Packet(again) = again else { panic!("a packet became {again:?}") };
            assert_eq!(again.frames, packet.frames);
        }
        Ok(Datagram::Handshake(handshake)) => {
            let mut written = Vec::new();
            wire::encode_handshake(&mut written, &handshake);
            assert_eq!(wire::decode(&written), Ok(Datagram::Handshake(handshake)));
        }
        Ok(Datagram::Sealed(head)) => {
            assert!(head.finish_at <= head.sealed_at && head.sealed_at + wire::SEAL_BYTES <= data.len());
        }
        Err(_) => {}
    }
}

/// A handshake between two honest sides on a line where everything may be changed, repeated, sent elsewhere, or made up.
pub fn handshake(data: &[u8]) {
    let mut bench = Bench::new();
    let mut reader = Reader::new(data);
    bench.connect();
    while let Some(opcode) = reader.byte() {
        match opcode % 8 {
            0 | 1 => bench.deliver(reader.index()),
            2 => bench.drop(reader.index()),
            3 => bench.repeat(reader.index(), reader.flag()),
            4 => bench.deliver_changed(reader.index(), reader.number(), reader.byte().unwrap_or(1)),
            5 => bench.deliver_cut(reader.index(), reader.number()),
            6 => bench.deliver_made_up(reader.flag(), reader.chunk()),
            _ => bench.pass_time(reader.number()),
        }
        bench.check();
    }
    bench.calm_down();
}

/// A partner that has the keys and says anything: what is under the seal is not trusted either.
pub fn established(data: &[u8]) {
    let mut partner = Partner::connected();
    let mut reader = Reader::new(data);
    while let Some(opcode) = reader.byte() {
        match opcode % 8 {
            0..=3 => partner.say(reader.chunk()),
            4 => partner.say_again(reader.number()),
            5 => partner.skip_numbers(reader.number()),
            6 => partner.move_to(reader.byte().unwrap_or(0)),
            _ => partner.pass_time(reader.number()),
        }
        partner.check();
    }
}

/// Anything as something said: it is read or refused, and what is read can be written and says the same again.
pub fn chat(data: &[u8]) {
    if let Ok(say) = Say::decode(data) {
        let written = say.encode();
        let again = Say::decode(&written).unwrap();
        assert_eq!(again, say);
        assert_eq!(again.encode(), written);
    }
}
