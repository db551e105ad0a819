//! What it costs to write and to read a datagram, for each kind of frame and for whole datagrams as they travel: time, and how often
//! memory is asked for.

use std::borrow::Cow;

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher, black_box};
use udpchat::random::Random;
use udpchat::wire::{
    Ack, BASE_DATAGRAM_BYTES, Close, ConnectionId, Datagram, Form, Frame, Messages, Nack, PacketWriter, Part,
    PathFrame, SEAL_BYTES, Skip, Window, decode, decode_sealed,
};

#[global_allocator]
static MEMORY: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// Each kind of frame alone in its packet, by name.
const KINDS: [&str; 11] = [
    "ack_32_ranges",
    "nack",
    "msg_100_bytes",
    "part_full",
    "part_stretch",
    "gram_100_bytes",
    "window",
    "skip",
    "ping",
    "path",
    "close",
];

/// Packets as most of them are while there is much to say.
const FREQUENT: [&str; 3] = ["bulk", "msg_12_of_100_bytes", "ack"];

static BODY: [u8; 1_400] = [b'x'; 1_400];

fn frames(case: &str) -> Vec<Frame<'static>> {
    let messages = |count| {
        Frame::Msg(Messages {
            stream: 0,
            seq: 4_711,
            unordered: false,
            bodies: (0..count).map(|_| &BODY[..100]).collect(),
        })
    };
    let part = |lengths: &[usize]| {
        Frame::Part(Part {
            stream: 0,
            seq: 40_712,
            unordered: false,
            offset: 612,
            last: false,
            bodies: lengths.iter().map(|&length| &BODY[..length]).collect(),
        })
    };
    let ack = |ranges: u64| {
        let got = (0..ranges).map(|n| [40_000 + 5 * n, 40_002 + 5 * n]).collect();
        Frame::Ack(Ack { got, delay_us: 310 })
    };
    vec![match case {
        "bulk" => part(&[412, 640]),
        "msg_12_of_100_bytes" => messages(12),
        "ack" => ack(1),
        "ack_32_ranges" => ack(32),
        "nack" => Frame::Nack(Nack { miss: [[40_001, 40_002]].into_iter().collect() }),
        "msg_100_bytes" => messages(1),
        "part_full" => part(&[1_050]),
        "part_stretch" => part(&[300, 100, 100, 100, 200]),
        "gram_100_bytes" => Frame::Gram { body: &BODY[..100] },
        "window" => Frame::Window(Window::Stream { stream: 3, bytes: 1_000_000, seq: 4_096 }),
        "skip" => Frame::Skip(Skip { stream: 0, seq: 12, sizes: vec![100] }),
        "ping" => Frame::Ping,
        "path" => Frame::Path(PathFrame::Challenge(123_456_789_012_345)),
        _ => Frame::Close(Close { code: Cow::Borrowed("done"), reason: Cow::Borrowed("") }),
    }]
}

/// Twelve messages of 100 bytes do not fit in what is sent without asking.
const LIMIT: usize = BASE_DATAGRAM_BYTES + 200;

const SEALED: Form<'_> = Form::Sealed { epoch: 1, finish: &[] };

fn write(
    head: &mut Vec<u8>,
    bytes: &mut Vec<u8>,
    to: ConnectionId,
    form: Form<'_>,
    frames: &[Frame<'_>],
) -> usize {
    head.clear();
    let mut writer = PacketWriter::in_form(head, bytes, (to, 40_001), form, Some(39_900), LIMIT);
    for frame in frames {
        assert!(writer.push(frame), "every case fits in one datagram");
    }
    writer.finish()
}

fn id() -> ConnectionId {
    ConnectionId::random(&mut Random::from_seed(1))
}

fn bench_write(bencher: Bencher<'_, '_>, form: Form<'_>, case: &str) {
    let (mut head, mut bytes, to, frames) = (Vec::new(), Vec::new(), id(), frames(case));
    let length = write(&mut head, &mut bytes, to, form, &frames);
    bencher
        .counter(BytesCount::new(length))
        .bench_local(|| write(black_box(&mut head), &mut bytes, to, form, black_box(&frames)));
}

/// A packet in the clear, written: its checksum too.
#[divan::bench(args = FREQUENT.into_iter().chain(KINDS))]
fn write_clear(bencher: Bencher<'_, '_>, case: &str) {
    bench_write(bencher, Form::Clear, case);
}

/// A packet that is to be sealed, written; the seal itself is measured elsewhere.
#[divan::bench(args = FREQUENT)]
fn write_sealed(bencher: Bencher<'_, '_>, case: &str) {
    bench_write(bencher, SEALED, case);
}

/// A packet in the clear, read.
#[divan::bench(args = FREQUENT.into_iter().chain(KINDS))]
fn read_clear(bencher: Bencher<'_, '_>, case: &str) {
    let (mut head, mut bytes) = (Vec::new(), Vec::new());
    let length = write(&mut head, &mut bytes, id(), Form::Clear, &frames(case));
    bencher
        .counter(BytesCount::new(length))
        .bench_local(|| decode(black_box(&head)).map(|datagram| drop(black_box(datagram))));
}

/// A sealed packet, read: its outer head, and what stood under the seal.
#[divan::bench(args = FREQUENT)]
fn read_sealed(bencher: Bencher<'_, '_>, case: &str) {
    let (mut head, mut bytes) = (Vec::new(), Vec::new());
    let length = write(&mut head, &mut bytes, id(), SEALED, &frames(case));
    head.extend_from_slice(&[0; SEAL_BYTES]);
    bencher.counter(BytesCount::new(length)).bench_local(|| {
        let Ok(Datagram::Sealed(outer)) = decode(black_box(&head)) else {
            panic!("a sealed packet");
        };
        let text = &head[outer.sealed_at..head.len() - SEAL_BYTES];
        decode_sealed(black_box(text), outer.to, outer.number).map(|packet| drop(black_box(packet)))
    });
}

/// A chat packet as it mostly is: an ack and one message of 100 bytes, written and read.
#[divan::bench]
fn chat_packet_there_and_back(bencher: Bencher<'_, '_>) {
    let (mut head, mut bytes, to) = (Vec::new(), Vec::new(), id());
    let frames = [frames("ack"), frames("msg_100_bytes")].concat();
    bencher.bench_local(|| {
        write(&mut head, &mut bytes, to, Form::Clear, black_box(&frames));
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
