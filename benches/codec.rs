//! What it costs to write and to read a datagram, for each kind of frame and for whole datagrams as they travel.

use std::borrow::Cow;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use udpchat::random::Random;
use udpchat::wire::{
    Ack, BASE_DATAGRAM_BYTES, Close, ConnectionId, Frame, Messages, Nack, PacketWriter, Part, PathFrame,
    Skip, Window, decode,
};

fn main() {
    divan::main();
}

/// What is measured, by name.
const CASES: [&str; 12] = [
    "ack_1_range",
    "ack_32_ranges",
    "nack",
    "msg_100_bytes",
    "msg_10_of_100_bytes",
    "part_full",
    "gram_100_bytes",
    "window",
    "skip",
    "ping",
    "path",
    "close",
];

static BODY: [u8; 1_400] = [b'x'; 1_400];

fn frame(case: &str) -> Frame<'static> {
    let messages =
        |count| Messages { stream: 0, seq: 4_711, unordered: false, bodies: vec![&BODY[..100]; count] };
    match case {
        "ack_1_range" => Frame::Ack(Ack { got: vec![[1, 40_000]], delay_us: 310 }),
        "ack_32_ranges" => Frame::Ack(Ack {
            got: (0..32).map(|n| [40_000 + 5 * n, 40_002 + 5 * n]).collect(),
            delay_us: 310,
        }),
        "nack" => Frame::Nack(Nack { miss: vec![[40_001, 40_002]] }),
        "msg_100_bytes" => Frame::Msg(messages(1)),
        "msg_10_of_100_bytes" => Frame::Msg(messages(10)),
        "part_full" => Frame::Part(Part {
            stream: 0,
            seq: 12,
            unordered: false,
            offset: 1_000_000,
            last: false,
            body: &BODY[..1_080],
        }),
        "gram_100_bytes" => Frame::Gram { body: &BODY[..100] },
        "window" => Frame::Window(Window::Stream { stream: 3, bytes: 1_000_000, seq: 4_096 }),
        "skip" => Frame::Skip(Skip { stream: 0, seq: 12, sizes: vec![100] }),
        "ping" => Frame::Ping,
        "path" => Frame::Path(PathFrame::Challenge(123_456_789_012_345)),
        _ => Frame::Close(Close { code: Cow::Borrowed("done"), reason: Cow::Borrowed("") }),
    }
}

fn write(head: &mut Vec<u8>, bytes: &mut Vec<u8>, to: ConnectionId, frames: &[Frame<'_>]) -> usize {
    head.clear();
    let mut writer = PacketWriter::new(head, bytes, to, 40_001, None, BASE_DATAGRAM_BYTES);
    for frame in frames {
        assert!(writer.push(frame), "every case fits in one datagram");
    }
    writer.finish()
}

fn id() -> ConnectionId {
    ConnectionId::random(&mut Random::from_seed(1))
}

/// A packet with one frame, written.
#[divan::bench(args = CASES)]
fn encode_packet(bencher: Bencher<'_, '_>, case: &str) {
    let (mut head, mut bytes, frames) = (Vec::new(), Vec::new(), [frame(case)]);
    let length = write(&mut head, &mut bytes, id(), &frames);
    bencher
        .counter(BytesCount::new(length))
        .bench_local(|| write(black_box(&mut head), &mut bytes, id(), black_box(&frames)));
}

/// The same packet, read.
#[divan::bench(args = CASES)]
fn decode_packet(bencher: Bencher<'_, '_>, case: &str) {
    let (mut head, mut bytes) = (Vec::new(), Vec::new());
    let length = write(&mut head, &mut bytes, id(), &[frame(case)]);
    bencher
        .counter(BytesCount::new(length))
        .bench_local(|| decode(black_box(&head)).map(|datagram| drop(black_box(datagram))));
}

/// A chat packet as it mostly is: an ack and one message of 100 bytes, written and read.
#[divan::bench]
fn chat_packet_there_and_back(bencher: Bencher<'_, '_>) {
    let (mut head, mut bytes) = (Vec::new(), Vec::new());
    let frames = [frame("ack_1_range"), frame("msg_100_bytes")];
    bencher.bench_local(|| {
        write(&mut head, &mut bytes, id(), black_box(&frames));
        decode(black_box(&head)).map(|datagram| drop(black_box(datagram)))
    });
}

/// Random bytes, refused.
#[divan::bench]
fn decode_garbage(bencher: Bencher<'_, '_>) {
    let mut random = Random::from_seed(2);
    let garbage: Vec<u8> = (0..1_200).map(|_| random.next_u64() as u8).collect();
    bencher.bench_local(|| decode(black_box(&garbage)).is_err());
}
