//! A short way for datagrams that look exactly as `udpchat` itself writes them: the same members in the same order, no space, no
//! escape. Nearly all are, and finding the members of such a head takes a small part of the time that any JSON takes.
//!
//! It cannot disagree with the general reader: it only finds the members. What they may say is checked by the same code for both, and
//! whatever it does not expect it declines, also what is wrong, so that the general reader decides and names the error. Where
//! debug assertions are on, each datagram is read both ways and compared, in [`super::decode`] and [`super::decode_sealed`].

use super::super::frame::{Ack, Frame, Have, Nack, Ranges};
use super::super::{ConnectionId, MAX_FRAMES, checksum};
use super::raw::{Lengths, RawFrame, RawLength, RawMessages, RawPart, RawRepair, RawWindow};
use super::{Carried, Datagram, Head, Packet, numbered, split};

/// Reads a packet, in the clear or the outside of a sealed one.
pub(super) fn datagram(datagram: &[u8]) -> Option<Datagram<'_>> {
    if datagram.starts_with(CLEAR) { clear(datagram).map(Datagram::Packet) } else { sealed(datagram) }
}

/// What was sealed in a packet.
pub(super) fn text(text: &[u8], to: ConnectionId, number: u64) -> Option<Packet<'_>> {
    let (head, payload) = split(text);
    let mut scanner = Scanner::new(head);
    scanner.skip(b"{")?;
    let low = scanner.optional(b"\"low\":")?;
    if low.is_some() {
        scanner.skip(b",")?;
    }
    scanner.skip(b"\"f\":[")?;
    numbered(to, number, low, carried(scanner, payload)?).ok()
}

/// How a datagram in the clear begins; the checksum's digits follow.
const CLEAR: &[u8; 12] = b"{\"v\":1,\"c\":\"";

fn clear(datagram: &[u8]) -> Option<Packet<'_>> {
    let (head, payload) = split(datagram);
    let mut scanner = Scanner::new(head);
    scanner.skip(CLEAR)?;
    let told = checksum::from_digits(scanner.take::<{ checksum::DIGITS }>()?)?;
    scanner.skip(b"\",\"to\":\"")?;
    let to = scanner.id()?;
    scanner.skip(b"\",\"n\":")?;
    let number = scanner.number()?;
    let low = scanner.optional(b",\"low\":")?;
    scanner.skip(b",\"f\":[")?;
    if checksum::checksum(datagram, CLEAR.len()) != told {
        return None;
    }
    numbered(to, number, low, carried(scanner, payload)?).ok()
}

fn sealed(datagram: &[u8]) -> Option<Datagram<'_>> {
    let mut scanner = Scanner::new(datagram);
    scanner.skip(b"{\"v\":1,\"to\":\"")?;
    let to = Some(scanner.id()?);
    scanner.skip(b"\",\"n\":")?;
    let number = Some(scanner.number()?);
    let epoch = scanner.optional(b",\"k\":")?;
    let finish = scanner.optional(b",\"finish\":")?;
    scanner.skip(b"}")?;
    let head_bytes = datagram.len() - scanner.rest.len();
    scanner.skip(b"\n")?;
    let head = Head { to, number, epoch, finish, ..Head::default() };
    head.check_sealed(head_bytes, datagram.len()).ok().map(Datagram::Sealed)
}

/// The frames, from behind the bracket that opens their list to the head's end.
fn carried<'a>(mut scanner: Scanner<'a>, mut payload: &'a [u8]) -> Option<Carried<'a>> {
    let mut carried = Carried::default();
    loop {
        carried.add(frame(&mut scanner)?, &mut payload).ok()?;
        if !scanner.skips(b",") {
            break;
        }
    }
    scanner.skip(b"]}")?;
    let is_whole = scanner.rest.is_empty() && payload.is_empty() && carried.frames.len() <= MAX_FRAMES;
    is_whole.then_some(carried)
}

/// One frame of a frequent kind.
fn frame<'a>(scanner: &mut Scanner<'a>) -> Option<RawFrame<'a>> {
    scanner.skip(b"{\"t\":\"")?;
    let frame = if scanner.skips(b"part\",") {
        RawFrame::Part(part(scanner)?)
    } else if scanner.skips(b"msg\",") {
        RawFrame::Msg(messages(scanner)?)
    } else if scanner.skips(b"ack\",\"got\":") {
        let got = scanner.ranges()?;
        let delay_us = scanner.optional(b",\"delay_us\":")?.unwrap_or(0);
        RawFrame::Whole(Frame::Ack(Ack { got, delay_us }))
    } else if scanner.skips(b"repair\",") {
        RawFrame::Repair(repair(scanner)?)
    } else if scanner.skips(b"have\",") {
        let stream = scanner.stream()?;
        scanner.skip(b"\"seq\":")?;
        RawFrame::Whole(Frame::Have(Have { stream, seq: scanner.number()? }))
    } else if scanner.skips(b"nack\",\"miss\":") {
        RawFrame::Whole(Frame::Nack(Nack { miss: scanner.ranges()? }))
    } else if scanner.skips(b"window\",") {
        RawFrame::Window(window(scanner)?)
    } else if scanner.skips(b"ping\"") {
        RawFrame::Whole(Frame::Ping)
    } else if scanner.skips(b"gram\",\"len\":") {
        RawFrame::Gram(RawLength { len: scanner.short_number()? })
    } else {
        return None;
    };
    scanner.skip(b"}")?;
    Some(frame)
}

fn messages(scanner: &mut Scanner<'_>) -> Option<RawMessages> {
    let st = scanner.stream()?;
    scanner.skip(b"\"seq\":")?;
    let seq = scanner.number()?;
    let unordered = scanner.skips(b",\"unordered\":true");
    scanner.skip(b",\"len\":")?;
    Some(RawMessages { st, seq, unordered, len: scanner.lengths()? })
}

fn part(scanner: &mut Scanner<'_>) -> Option<RawPart> {
    let st = scanner.stream()?;
    scanner.skip(b"\"seq\":")?;
    let seq = scanner.number()?;
    let unordered = scanner.skips(b",\"unordered\":true");
    scanner.skip(b",\"off\":")?;
    let off = scanner.number()?;
    let last = scanner.skips(b",\"last\":true");
    scanner.skip(b",\"len\":")?;
    Some(RawPart { st, seq, unordered, off, last, len: scanner.lengths()? })
}

fn repair(scanner: &mut Scanner<'_>) -> Option<RawRepair> {
    let st = scanner.stream()?;
    scanner.skip(b"\"of\":")?;
    let of = scanner.ranges()?;
    let unordered = scanner.skips(b",\"unordered\":true");
    scanner.skip(b",\"len\":")?;
    Some(RawRepair { st, of, unordered, len: scanner.lengths()? })
}

fn window(scanner: &mut Scanner<'_>) -> Option<RawWindow> {
    if scanner.skips(b"\"total\":") {
        return Some(RawWindow { total: Some(scanner.number()?), st: 0, bytes: None, seq: None });
    }
    let st = scanner.stream()?;
    scanner.skip(b"\"bytes\":")?;
    let bytes = Some(scanner.number()?);
    scanner.skip(b",\"seq\":")?;
    Some(RawWindow { total: None, st, bytes, seq: Some(scanner.number()?) })
}

/// What is left of a head. What is not as it is asked for is None and ends the reading.
struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// Goes past these bytes if they are next; tells whether they were.
    fn skips<const N: usize>(&mut self, bytes: &[u8; N]) -> bool {
        let rest = self.rest.strip_prefix(bytes);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn skip<const N: usize>(&mut self, bytes: &[u8; N]) -> Option<()> {
        self.skips(bytes).then_some(())
    }

    fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(taken)
    }

    fn id(&mut self) -> Option<ConnectionId> {
        ConnectionId::from_bytes(self.take()?)
    }

    /// A whole number as JSON writes it, without a leading zero. The longest that may stand in a head has 16 digits; no more fit
    /// surely in 64 bits.
    fn number(&mut self) -> Option<u64> {
        let (mut value, mut digits) = (0_u64, 0);
        while let Some(&digit @ b'0'..=b'9') = self.rest.get(digits) {
            if digits == 16 {
                return None;
            }
            value = 10 * value + u64::from(digit - b'0');
            digits += 1;
        }
        if digits == 0 || (digits > 1 && self.rest[0] == b'0') {
            return None;
        }
        self.rest = &self.rest[digits..];
        Some(value)
    }

    fn short_number(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    /// A number behind this name, or nothing if the name is not next.
    #[expect(
        clippy::option_option,
        reason = "the outer None ends the reading, the inner one is a member left out"
    )]
    fn optional<const N: usize>(&mut self, name: &[u8; N]) -> Option<Option<u64>> {
        if self.skips(name) { self.number().map(Some) } else { Some(None) }
    }

    /// The number of a stream with its name and the comma behind, which is left out for stream 0.
    fn stream(&mut self) -> Option<u32> {
        if !self.skips(b"\"st\":") {
            return Some(0);
        }
        let stream = self.short_number()?;
        self.skip(b",")?;
        Some(stream)
    }

    /// One length, or a list with at least one.
    fn lengths(&mut self) -> Option<Lengths> {
        let mut lengths = Lengths::default();
        if !self.skips(b"[") {
            lengths.0.push(self.short_number()?);
            return Some(lengths);
        }
        loop {
            lengths.0.push(self.short_number()?);
            if !self.skips(b",") {
                break;
            }
        }
        self.skip(b"]")?;
        Some(lengths)
    }

    /// A list of at least one range.
    fn ranges(&mut self) -> Option<Ranges> {
        let mut ranges = Ranges::new();
        self.skip(b"[")?;
        loop {
            self.skip(b"[")?;
            let first = self.number()?;
            self.skip(b",")?;
            ranges.push([first, self.number()?]);
            self.skip(b"]")?;
            if !self.skips(b",") {
                break;
            }
        }
        self.skip(b"]")?;
        Some(ranges)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::super::super::{Form, Messages, PacketWriter, Part, Repair, SEAL_BYTES, Skip, Window};
    use super::super::decode_any;
    use super::super::sealed::decode_any_sealed;
    use super::*;

    static BYTES: [u8; 300] = [b'7'; 300];

    fn to() -> ConnectionId {
        ConnectionId::parse("k3f9q2a1").unwrap()
    }

    fn number() -> impl Strategy<Value = u64> {
        (1..=crate::wire::MAX_NUMBER, 0_u32..53).prop_map(|(number, shift)| (number >> shift).max(1))
    }

    /// Ranges that may be said, from steps between their ends.
    fn ranges() -> impl Strategy<Value = Ranges> {
        vec([2..900_u64, 0..900_u64], 1..8).prop_map(|steps| {
            let mut last = 0;
            let range = |[gap, length]: [u64; 2]| {
                let first = last + gap;
                last = first + length;
                [first, last]
            };
            steps.into_iter().map(range).collect()
        })
    }

    /// A frame of a frequent kind, or, the last ones, of a kind that is declined.
    fn frame() -> impl Strategy<Value = Frame<'static>> {
        let stream = prop_oneof![Just(0), any::<u32>()];
        let lengths = vec(1..BYTES.len(), 1..6);
        let common = (stream, number(), number(), any::<[bool; 2]>(), lengths, ranges());
        (common, 0..12).prop_map(|((stream, seq, other, [unordered, last], lengths, ranges), kind)| {
            let (seq, offset) = (seq.min(1 << 52), other.min(1 << 52));
            let bodies = lengths.iter().map(|&length| &BYTES[..length]).collect();
            match kind {
                0 | 1 => Frame::Msg(Messages { stream, seq, unordered, bodies }),
                2 | 3 => Frame::Part(Part { stream, seq, unordered, offset, last, bodies }),
                4 => Frame::Ack(Ack { got: ranges, delay_us: other }),
                5 => Frame::Nack(Nack { miss: ranges }),
                6 => Frame::Window(Window::Connection { bytes: other }),
                7 => Frame::Window(Window::Stream { stream, bytes: other, seq }),
                8 => Frame::Ping,
                9 => Frame::Have(Have { stream, seq }),
                10 => {
                    let of = [[seq, seq + 3], [seq + 9, seq + 20]].into_iter().collect();
                    let symbols = lengths.iter().take(4).map(|_| &BYTES[..lengths[0].max(3)]).collect();
                    Frame::Repair(Repair { stream, of, unordered, symbols })
                }
                _ => Frame::Skip(Skip { stream, seq, sizes: vec![other] }),
            }
        })
    }

    fn is_frequent(frame: &Frame<'_>) -> bool {
        !matches!(frame, Frame::Skip(_))
    }

    fn write(
        form: Form<'_>,
        number: u64,
        low: Option<u64>,
        frames: &[Frame<'_>],
    ) -> (Vec<u8>, Option<usize>) {
        let (mut head, mut bytes) = (Vec::new(), Vec::new());
        let limit = crate::wire::MAX_DATAGRAM_BYTES;
        let mut writer = PacketWriter::in_form(&mut head, &mut bytes, (to(), number), form, low, limit);
        assert!(frames.iter().all(|frame| writer.push(frame)));
        let sealed_at = writer.sealed_at();
        writer.finish();
        (head, sealed_at)
    }

    /// Changes a byte to one that heads are made of, takes one out, or puts one in.
    fn mutate(bytes: &mut Vec<u8>, change: u8, at: &Index, with: u8) {
        let at = at.index(bytes.len());
        match change % 3 {
            0 => bytes[at] = with,
            1 => drop(bytes.remove(at)),
            _ => bytes.insert(at, with),
        }
    }

    fn scrap() -> impl Strategy<Value = u8> {
        prop::sample::select(b"0123456789-.eE \n\\\",:[]{}tfnulmsgpartck".as_slice())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn what_we_write_is_read_the_short_way_and_says_the_same(
            frames in vec(frame(), 1..6),
            numbers in (number(), prop::option::of(number())),
            epoch in 0..3_u64,
        ) {
            let (number, low) = numbers;
            let is_frequent = frames.iter().all(is_frequent);
            let (clear, _) = write(Form::Clear, number, low, &frames);
            let read = datagram(&clear);
            prop_assert_eq!(read.is_some(), is_frequent);
            prop_assert!(read.is_none_or(|read| Ok(read) == decode_any(&clear)));
            let finish = [9; crate::wire::FINISH_BYTES];
            for finish in [&[], finish.as_slice()] {
                let (mut packet, sealed_at) = write(Form::Sealed { epoch, finish }, number, low, &frames);
                packet.extend([0; SEAL_BYTES]);
                let read = datagram(&packet);
                prop_assert!(read.is_some());
                prop_assert_eq!(Ok(read.unwrap()), decode_any(&packet));
                let inside = &packet[sealed_at.unwrap()..packet.len() - SEAL_BYTES];
                let read = text(inside, to(), number);
                prop_assert_eq!(read.is_some(), is_frequent);
                prop_assert!(read.is_none_or(|read| Ok(read) == decode_any_sealed(inside, to(), number)));
            }
        }

        #[test]
        fn what_is_nearly_so_is_declined_or_says_the_same(
            frames in vec(frame().prop_filter("frequent", is_frequent), 1..4),
            low in prop::option::of(number()),
            mutations in vec((any::<u8>(), any::<Index>(), scrap()), 1..3),
        ) {
            let (mut clear, _) = write(Form::Clear, 7, low, &frames);
            let (sealed, sealed_at) = write(Form::Sealed { epoch: 1, finish: &[] }, 7, low, &frames);
            let sealed_at = sealed_at.unwrap();
            let (mut outside, mut inside) = (sealed[..sealed_at].to_vec(), sealed[sealed_at..].to_vec());
            for (change, at, with) in &mutations {
                mutate(&mut clear, *change, at, *with);
                mutate(&mut outside, *change, at, *with);
                mutate(&mut inside, *change, at, *with);
            }
            if clear.len() >= CLEAR.len() + checksum::DIGITS {
                // Or the checksum would find all of them.
                checksum::seal(&mut clear, CLEAR.len());
            }
            prop_assert!(datagram(&clear).is_none_or(|read| Ok(read) == decode_any(&clear)));
            outside.extend([0; SEAL_BYTES]);
            prop_assert!(datagram(&outside).is_none_or(|read| Ok(read) == decode_any(&outside)));
            let read = text(&inside, to(), 7);
            prop_assert!(read.is_none_or(|read| Ok(read) == decode_any_sealed(&inside, to(), 7)));
        }
    }
}
