//! What sealing costs: a packet, beside ring's own AES-256-GCM over the same bytes, and a handshake.

#![expect(clippy::unwrap_used, reason = "the two sides of a bench verify each other")]

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use udpchat::secure::{Entropy, Initiator, KeyPair, Letter, Responder, Session};

fn main() {
    divan::main();
}

/// A datagram of 1200 bytes: the outer head of a packet in the middle of a conversation, what is sealed, and the seal.
const HEAD: &[u8] = b"{\"v\":1,\"to\":\"k3f9q2a1\",\"n\":40001}\n";
const TEXT_BYTES: usize = 1_200 - HEAD.len() - 16;

fn keys(secret: u8) -> KeyPair {
    KeyPair::from_secret([secret; 32])
}

/// A whole handshake, all messages of both sides.
fn handshake(asking: &KeyPair, granting: &KeyPair, entropy: &mut Entropy) -> [Session; 2] {
    let (mut initiator, first) = Initiator::begin(asking, entropy, b"{}");
    let (mut responder, _) = Responder::read(granting, entropy, &first).unwrap();
    let second = responder.answer(b"{}");
    let (session, _, third) = initiator.finish(asking, &second).unwrap();
    [session, responder.finish(granting, &third).unwrap()]
}

fn packet() -> Vec<u8> {
    let mut packet = HEAD.to_vec();
    packet.resize(HEAD.len() + TEXT_BYTES, b'x');
    packet
}

/// Sealing a packet of 1200 bytes in place, its head beside.
#[divan::bench]
fn seal_1200(bencher: Bencher<'_, '_>) {
    let [mut session, _] = handshake(&keys(1), &keys(2), &mut Entropy::from_seed([1; 32]));
    let (mut packet, mut number) = (packet(), 0);
    bencher.counter(BytesCount::new(1_200_u64)).bench_local(|| {
        number += 1;
        packet.truncate(HEAD.len() + TEXT_BYTES);
        session.sealer.seal(number, black_box(&mut packet), HEAD.len());
    });
}

/// Opening it. The copy that is opened is made anew each time, which ring's own pays too.
#[divan::bench]
fn open_1200(bencher: Bencher<'_, '_>) {
    let [mut session, mut other] = handshake(&keys(1), &keys(2), &mut Entropy::from_seed([1; 32]));
    let mut sealed = packet();
    session.sealer.seal(7, &mut sealed, HEAD.len());
    let mut datagram = sealed.clone();
    bencher.counter(BytesCount::new(1_200_u64)).bench_local(|| {
        datagram.copy_from_slice(&sealed);
        other.opener.open(7, 0, black_box(&mut datagram), HEAD.len()).unwrap()
    });
}

/// ring over the same bytes: the least that sealing can cost.
#[divan::bench]
fn ring_seal_1200(bencher: Bencher<'_, '_>) {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap());
    let mut packet = packet();
    bencher.counter(BytesCount::new(1_200_u64)).bench_local(|| {
        let (head, text) = black_box(&mut packet).split_at_mut(HEAD.len());
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        key.seal_in_place_separate_tag(nonce, Aad::from(&*head), text).unwrap()
    });
}

/// Opening, by ring alone.
#[divan::bench]
fn ring_open_1200(bencher: Bencher<'_, '_>) {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap());
    let nonce = || Nonce::assume_unique_for_key([0; 12]);
    let mut sealed = vec![b'x'; TEXT_BYTES];
    key.seal_in_place_append_tag(nonce(), Aad::from(HEAD), &mut sealed).unwrap();
    let mut text = sealed.clone();
    bencher.counter(BytesCount::new(1_200_u64)).bench_local(|| {
        text.copy_from_slice(&sealed);
        key.open_in_place(nonce(), Aad::from(HEAD), black_box(&mut text)).unwrap().len()
    });
}

/// Both sides of a handshake.
#[divan::bench]
fn handshake_both_sides(bencher: Bencher<'_, '_>) {
    let (asking, granting, mut entropy) = (keys(1), keys(2), Entropy::from_seed([1; 32]));
    bencher.bench_local(|| handshake(&asking, &granting, &mut entropy));
}

/// What a stranger's hello costs the side that answers it.
#[divan::bench]
fn answer_to_a_hello(bencher: Bencher<'_, '_>) {
    let (granting, mut entropy) = (keys(2), Entropy::from_seed([1; 32]));
    let (_, first) = Initiator::begin(&keys(1), &mut entropy, b"{}");
    bencher.bench_local(|| {
        let (mut responder, _) = Responder::read(&granting, &mut entropy, &first).unwrap();
        responder.answer(b"{}")
    });
}

/// A letter of 100 bytes, sealed and opened.
#[divan::bench]
fn letter_100(bencher: Bencher<'_, '_>) {
    let (sender, recipient, mut entropy) = (keys(1), keys(2), Entropy::from_seed([1; 32]));
    let letter = Letter {
        relay: keys(3).public(),
        sender: sender.public(),
        recipient: recipient.public(),
        id: "k3f9q2a1-1",
    };
    bencher.bench_local(|| {
        let sealed = letter.seal(&sender, &mut entropy, &[b'x'; 100]).unwrap();
        letter.open(&recipient, &sealed).unwrap()
    });
}
