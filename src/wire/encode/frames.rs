//! The text of a frame. The kinds that nearly every packet is made of are written piece by piece, which takes a small part of the time
//! that a general writer of JSON takes; the others are left to serde. Both write the same bytes, and a test compares them for every
//! kind: the types in [`super::super::frame`] stay the one place that says what a frame looks like.

use super::super::frame::{Ack, Frame, Have, Messages, Part, Repair, Window};
use super::write_json;

/// Appends a frame's head.
pub(super) fn write_frame(buffer: &mut Vec<u8>, frame: &Frame<'_>) {
    match frame {
        Frame::Part(part) => write_part(buffer, part),
        Frame::Msg(messages) => write_messages(buffer, messages),
        Frame::Ack(Ack { got, delay_us }) => {
            buffer.extend_from_slice(b"{\"t\":\"ack\",\"got\":");
            write_ranges(buffer, got);
            if *delay_us > 0 {
                write_member(buffer, b",\"delay_us\":", *delay_us);
            }
        }
        Frame::Have(Have { stream, seq }) => {
            buffer.extend_from_slice(b"{\"t\":\"have\",");
            write_stream(buffer, *stream);
            write_member(buffer, b"\"seq\":", *seq);
        }
        Frame::Repair(repair) => write_repair(buffer, repair),
        Frame::Nack(nack) => {
            buffer.extend_from_slice(b"{\"t\":\"nack\",\"miss\":");
            write_ranges(buffer, &nack.miss);
        }
        Frame::Window(Window::Connection { bytes }) => {
            write_member(buffer, b"{\"t\":\"window\",\"total\":", *bytes);
        }
        Frame::Window(Window::Stream { stream, bytes, seq }) => {
            buffer.extend_from_slice(b"{\"t\":\"window\",");
            write_stream(buffer, *stream);
            write_member(buffer, b"\"bytes\":", *bytes);
            write_member(buffer, b",\"seq\":", *seq);
        }
        Frame::Ping => buffer.extend_from_slice(b"{\"t\":\"ping\""),
        Frame::Gram { body } => write_member(buffer, b"{\"t\":\"gram\",\"len\":", body.len() as u64),
        Frame::Skip(_) | Frame::Path(_) | Frame::Close(_) | Frame::Pad { .. } => {
            return write_json(buffer, frame);
        }
    }
    buffer.push(b'}');
}

fn write_messages(buffer: &mut Vec<u8>, messages: &Messages<'_>) {
    buffer.extend_from_slice(b"{\"t\":\"msg\",");
    write_stream(buffer, messages.stream);
    write_member(buffer, b"\"seq\":", messages.seq);
    if messages.unordered {
        buffer.extend_from_slice(b",\"unordered\":true");
    }
    buffer.extend_from_slice(b",\"len\":");
    write_lengths(buffer, &messages.bodies);
}

fn write_part(buffer: &mut Vec<u8>, part: &Part<'_>) {
    buffer.extend_from_slice(b"{\"t\":\"part\",");
    write_stream(buffer, part.stream);
    write_member(buffer, b"\"seq\":", part.seq);
    if part.unordered {
        buffer.extend_from_slice(b",\"unordered\":true");
    }
    write_member(buffer, b",\"off\":", part.offset);
    if part.last {
        buffer.extend_from_slice(b",\"last\":true");
    }
    buffer.extend_from_slice(b",\"len\":");
    match part.bodies[..] {
        [body] => write_number(buffer, body.len() as u64),
        _ => write_lengths(buffer, &part.bodies),
    }
}

fn write_repair(buffer: &mut Vec<u8>, repair: &Repair<'_>) {
    buffer.extend_from_slice(b"{\"t\":\"repair\",");
    write_stream(buffer, repair.stream);
    buffer.extend_from_slice(b"\"of\":");
    write_ranges(buffer, &repair.of);
    if repair.unordered {
        buffer.extend_from_slice(b",\"unordered\":true");
    }
    buffer.extend_from_slice(b",\"len\":");
    write_lengths(buffer, &repair.symbols);
}

/// Stream 0 is left out.
fn write_stream(buffer: &mut Vec<u8>, stream: u32) {
    if stream != 0 {
        write_member(buffer, b"\"st\":", stream.into());
        buffer.push(b',');
    }
}

fn write_lengths(buffer: &mut Vec<u8>, bodies: &[&[u8]]) {
    buffer.push(b'[');
    for (place, body) in bodies.iter().enumerate() {
        if place > 0 {
            buffer.push(b',');
        }
        write_number(buffer, body.len() as u64);
    }
    buffer.push(b']');
}

fn write_ranges(buffer: &mut Vec<u8>, ranges: &[[u64; 2]]) {
    buffer.push(b'[');
    for (place, &[first, last]) in ranges.iter().enumerate() {
        if place > 0 {
            buffer.push(b',');
        }
        write_member(buffer, b"[", first);
        write_member(buffer, b",", last);
        buffer.push(b']');
    }
    buffer.push(b']');
}

/// A number with what stands before it.
pub(super) fn write_member<const N: usize>(buffer: &mut Vec<u8>, before: &[u8; N], number: u64) {
    buffer.extend_from_slice(before);
    write_number(buffer, number);
}

/// The number's decimal digits.
fn write_number(buffer: &mut Vec<u8>, number: u64) {
    buffer.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{Nack, PathFrame, Skip};

    static BYTES: [u8; 70_000] = [b'x'; 70_000];

    /// Numbers of every length, also longer ones than may be sent.
    fn number() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0_u32..64).prop_map(|(number, shift)| number >> shift)
    }

    fn frame() -> impl Strategy<Value = Frame<'static>> {
        let stream = prop_oneof![Just(0), any::<u32>()];
        let ranges = || vec([number(), number()], 0..40);
        let lengths = vec(0..BYTES.len(), 0..40);
        let common = (stream, number(), any::<bool>(), number(), any::<bool>(), lengths);
        let kinds = prop_oneof![
            (ranges(), number()).prop_map(|(got, delay_us)| Frame::Ack(Ack { got: got.into(), delay_us })),
            ranges().prop_map(|miss| Frame::Nack(Nack { miss: miss.into() })),
            ranges().prop_map(|got| Frame::Ack(Ack { got: got.into(), delay_us: 0 })),
            number().prop_map(|bytes| Frame::Window(Window::Connection { bytes })),
            number().prop_map(|token| Frame::Path(PathFrame::Answer(token))),
            Just(Frame::Ping),
        ];
        let content = (common, ranges(), 0..7).prop_map(
            |((stream, seq, unordered, offset, last, lengths), of, kind)| {
                let bodies = lengths.iter().map(|&length| &BYTES[..length]).collect();
                match kind {
                    0 => Frame::Msg(Messages { stream, seq, unordered, bodies }),
                    1 => Frame::Part(Part { stream, seq, unordered, offset, last, bodies }),
                    2 => Frame::Window(Window::Stream { stream, bytes: offset, seq }),
                    3 => Frame::Have(Have { stream, seq }),
                    4 => Frame::Repair(Repair { stream, of: of.into(), unordered, symbols: bodies }),
                    5 => Frame::Gram { body: bodies.first().copied().unwrap_or_default() },
                    _ => Frame::Skip(Skip { stream, seq, sizes: vec![offset] }),
                }
            },
        );
        prop_oneof![kinds, content]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn every_frame_is_written_as_serde_writes_it(frame in frame()) {
            let mut written = b"before".to_vec();
            write_frame(&mut written, &frame);
            let expected = format!("before{}", serde_json::to_string(&frame).unwrap());
            prop_assert_eq!(String::from_utf8(written).unwrap(), expected);
        }
    }
}
