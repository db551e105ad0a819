//! Messages of a few packets at most that the other side has not confirmed are said again before anybody asks, newest first: in the
//! frame of the new ones, in what room is left, or in packets of their own.
//!
//! How often, and how many bytes that may take, is told from above ([`super::super::redundancy`]).

use super::super::sent::{Content, Contents};
use super::stretch::WHOLE_LIMIT_BYTES;
use super::{Phase, SendStream, SendStreams};
use crate::wire::{Messages, PacketWriter};

/// What copies a packet may carry.
#[derive(Clone, Copy, Debug)]
pub struct Spare {
    /// How often each message may be sent in all.
    pub copies: u32,
    /// The longest message that is said again.
    pub longest: u64,
    /// How many bytes copies may take.
    pub bytes: u64,
    /// Whether nothing is lost: then no message need stay whole to be copied.
    pub is_unneeded: bool,
    /// Whether the packet has a message that never left before; told by [`SendStreams::fill`].
    pub has_new: bool,
}

impl Spare {
    /// The same, of those that a packet holds whole.
    fn longest_whole(&self) -> u64 {
        self.longest.min(WHOLE_LIMIT_BYTES)
    }

    pub(super) fn takes(&mut self, bytes: u64) -> bool {
        let fits = bytes <= self.bytes;
        if fits {
            self.bytes -= bytes;
        }
        fits
    }
}

/// How far back copies reach. What was sent before has had its acks, or is found lost.
const REACH: u64 = 16;

/// What is longer is cut wherever a packet ends: to keep it whole for its copies would leave packets half empty.
pub(super) const KEPT_WHOLE_BYTES: u64 = 400;

/// The longest message of a talk that is said again: four packets. On a path of half a megabit that is a tenth of a second; copies of
/// more would stand in the way of what is said next.
const LONGEST_BYTES: u64 = 4 * 1_200;

/// The longest message that is said again beside `in_flight_bytes`: where that is more than two such messages it is a transfer, whose
/// packets are full, and in which what was lost matters more than what may be.
pub const fn longest_copied(in_flight_bytes: u64) -> u64 {
    if in_flight_bytes > 2 * LONGEST_BYTES { KEPT_WHOLE_BYTES } else { LONGEST_BYTES }
}

impl SendStreams {
    /// Whether a message of at most `longest` bytes was sent less than `copies` times and is not confirmed.
    pub fn wants_copies(&self, copies: u32, longest: u64) -> bool {
        let may_be_copied =
            |state: &SendStream| state.reach().any(|seq| state.may_be_copied(seq, copies, longest));
        copies > 1 && self.streams.iter().any(may_be_copied)
    }

    /// Whether one is missing that a packet holds whole.
    pub fn is_any_missing(&self, longest: u64) -> bool {
        self.wants_copies(u32::MAX, longest.min(WHOLE_LIMIT_BYTES))
    }

    /// Puts what no packet holds whole, and was sent less than `copies` times, where what is lost waits.
    pub fn copy_long(&mut self, copies: u32, spare: &mut Spare) {
        for (stream, state) in (0_u32..).zip(&mut self.streams) {
            for seq in state.reach().rev() {
                let is_long = state.peek(seq).is_some_and(|message| message.length > WHOLE_LIMIT_BYTES);
                if !is_long || !state.may_be_copied(seq, copies, spare.longest) {
                    continue;
                }
                let Some(message) = state.peek_mut(seq) else { continue };
                let missing = message.acked.gaps(0, message.length - 1);
                let missing: Vec<_> = missing.map(|[first, last]| (first, last + 1 - first)).collect();
                if !spare.takes(missing.iter().map(|(_, length)| length).sum()) {
                    return;
                }
                message.copies += 1;
                let parts = missing.into_iter();
                self.again.extend(parts.map(|(offset, length)| Content::Part {
                    stream,
                    seq,
                    offset,
                    length,
                }));
            }
        }
    }

    /// Fills what is left of a packet with copies, newest first.
    pub fn fill_copies(&mut self, writer: &mut PacketWriter<'_>, contents: &mut Contents, spare: &mut Spare) {
        for stream in 0..self.streams.len() {
            let mut above = self.streams[stream].next_new;
            while let Some((first, run)) = self.newest_run(stream, above, contents, spare, writer.room()) {
                if self.write_messages(stream as u32, first, run, writer, contents) < run {
                    return;
                }
                above = first;
            }
        }
    }

    /// Fills what is left of a packet with whatever is not confirmed, oldest first, and goes on in the next packet where this one ends:
    /// in an outage nobody knows which will be the first to pass.
    pub fn fill_missing(
        &mut self,
        writer: &mut PacketWriter<'_>,
        contents: &mut Contents,
        spare: &mut Spare,
    ) {
        let longest = spare.longest_whole();
        for stream in 0..self.streams.len() {
            let state = &self.streams[stream];
            let (base, end) = (state.base, state.next_new);
            let from = if (base..end).contains(&state.missing_from) { state.missing_from } else { base };
            for range in [from..end, base..from] {
                let mut seq = range.start;
                while let Some(first) =
                    (seq..range.end).find(|&seq| self.is_missing(stream, seq, contents, longest))
                {
                    let run = (first..range.end).take_while(|&seq| {
                        let Some(message) = self.streams[stream].peek(seq) else { return false };
                        // What was found lost is to be sent again anyway.
                        let bytes =
                            if message.is_again { 0 } else { message.length + Messages::ENTRY_BYTES as u64 };
                        self.is_missing(stream, seq, contents, longest) && spare.takes(bytes)
                    });
                    let run = run.count();
                    let written = self.write_messages(stream as u32, first, run, writer, contents);
                    if run == 0 || written < run {
                        self.streams[stream].missing_from = first + written as u64;
                        return;
                    }
                    seq = first + written as u64;
                }
            }
        }
    }

    /// An ack is overdue: whatever was sent may be lost.
    pub fn doubt_all(&mut self) {
        self.streams.iter_mut().for_each(|state| state.doubt_below = state.next_new);
    }

    /// Whether something of that is still not confirmed.
    pub fn is_in_doubt(&self) -> bool {
        self.streams.iter().any(|state| state.base < state.doubt_below)
    }

    /// Whether a message is no longer than `longest`, not confirmed, and not in this packet.
    fn is_missing(&self, stream: usize, seq: u64, contents: &[Content], longest: u64) -> bool {
        self.streams[stream].may_be_copied(seq, u32::MAX, longest) && !is_in(contents, stream, seq)
    }

    /// How many messages just before `seq` can join those from `seq` on in one frame of `room` bytes more.
    pub(super) fn run_before(&self, stream: usize, seq: u64, room: usize, spare: &mut Spare) -> usize {
        let state = &self.streams[stream];
        let Some(unordered) = state.peek(seq).map(|message| message.options.unordered) else { return 0 };
        let (mut count, mut room) = (0, room as u64);
        while state.reach().contains(&(seq - count - 1))
            && state.may_be_copied(seq - count - 1, spare.copies, spare.longest_whole())
        {
            let Some(message) = state.peek(seq - count - 1) else { break };
            let bytes = message.length + Messages::ENTRY_BYTES as u64;
            if message.options.unordered != unordered || bytes > room || !spare.takes(bytes) {
                break;
            }
            room -= bytes;
            count += 1;
        }
        count as usize
    }

    /// The newest messages below `above` that one frame can carry: the first of them, and how many.
    fn newest_run(
        &self,
        stream: usize,
        above: u64,
        contents: &[Content],
        spare: &mut Spare,
        room: usize,
    ) -> Option<(u64, usize)> {
        let state = &self.streams[stream];
        let is_in = |seq| is_in(contents, stream, seq);
        let newest = state.reach().rev().find(|&seq| {
            seq < above && state.may_be_copied(seq, spare.copies, spare.longest_whole()) && !is_in(seq)
        })?;
        let message = state.peek(newest)?;
        let head =
            Messages::head_bytes(stream as u32, newest, message.options.unordered) + Messages::ENTRY_BYTES;
        let room = (room as u64).checked_sub(head as u64 + message.length)?;
        if !spare.takes(head as u64 + message.length) {
            return None;
        }
        let mut before = self.run_before(stream, newest, room as usize, spare);
        while before > 0 && is_in(newest - before as u64) {
            before -= 1;
        }
        Some((newest - before as u64, before + 1))
    }
}

/// Whether a packet has a message whole.
pub(super) fn is_in(contents: &[Content], stream: usize, wanted: u64) -> bool {
    contents.iter().any(|content| match *content {
        Content::Messages { stream: of, seq, count } => {
            of == stream as u32 && (seq..seq + u64::from(count)).contains(&wanted)
        }
        _ => false,
    })
}

impl SendStream {
    /// The newest messages that were sent, by number.
    fn reach(&self) -> std::ops::Range<u64> {
        self.next_new.saturating_sub(REACH).max(self.base)..self.next_new
    }

    fn may_be_copied(&self, seq: u64, copies: u32, longest: u64) -> bool {
        self.peek(seq).is_some_and(|message| {
            message.phase == Phase::OnItsWay && message.length <= longest && message.copies < copies
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Config, SendOptions};
    use super::*;
    use crate::random::Random;
    use crate::wire::{ConnectionId, Limits};

    /// What is sent, packet by packet.
    struct Sender {
        streams: SendStreams,
        bytes: u64,
    }

    impl Sender {
        fn new(bytes: u64) -> Self {
            let config = Config::default();
            let mut streams = SendStreams::new(&config, config.limits);
            streams.establish(Limits::default());
            Self { streams, bytes }
        }

        fn submit(&mut self, length: usize) {
            self.streams.submit(0, vec![7; length].into(), SendOptions::default()).unwrap();
        }

        /// The numbers of the messages in the next packet of so many bytes.
        fn packet(&mut self, copies: u32, limit: usize, is_copy_due: bool) -> Vec<u64> {
            let to = ConnectionId::random(&mut Random::from_seed(1));
            let (mut head, mut bytes, mut contents) = (Vec::new(), Vec::new(), Contents::new());
            let mut writer = PacketWriter::new(&mut head, &mut bytes, to, 1, None, limit);
            let mut spare = Spare {
                copies,
                longest: LONGEST_BYTES,
                bytes: self.bytes,
                is_unneeded: false,
                has_new: false,
            };
            if is_copy_due {
                self.streams.copy_long(copies, &mut spare);
            }
            self.streams.fill(&mut writer, &mut contents, &mut spare);
            if is_copy_due {
                self.streams.fill_copies(&mut writer, &mut contents, &mut spare);
            }
            self.bytes = spare.bytes;
            let numbers = contents.iter().flat_map(|content| match *content {
                Content::Messages { seq, count, .. } => seq..seq + u64::from(count),
                Content::Part { seq, .. } => seq..seq + 1,
                other => panic!("{other:?}"),
            });
            numbers.collect()
        }
    }

    // UC-ARQ-022
    #[test]
    fn what_is_new_takes_along_what_is_not_confirmed() {
        let mut sender = Sender::new(10_000);
        let mut packets = Vec::new();
        for _ in 0..5 {
            sender.submit(100);
            packets.push(sender.packet(3, 1_200, false));
        }
        assert_eq!(packets, [vec![1], vec![1, 2], vec![1, 2, 3], vec![2, 3, 4], vec![3, 4, 5]]);
        sender.streams.on_acked(Content::Messages { stream: 0, seq: 4, count: 1 });
        assert!(sender.streams.wants_copies(3, LONGEST_BYTES));
        assert_eq!(sender.packet(3, 1_200, true), [5]);
        assert_eq!(sender.packet(3, 1_200, true), [5]);
        assert!(!sender.streams.wants_copies(3, LONGEST_BYTES), "three times each");
        assert_eq!(sender.packet(3, 1_200, true), [0_u64; 0]);
    }

    #[test]
    fn copies_take_no_room_from_what_is_new() {
        let mut sender = Sender::new(10_000);
        sender.submit(300);
        assert_eq!(sender.packet(3, 1_200, false), [1]);
        (0..4).for_each(|_| sender.submit(250));
        assert_eq!(sender.packet(3, 1_200, false), [2, 3, 4, 5]);
    }

    #[test]
    fn long_messages_and_an_empty_budget_make_no_copies() {
        let mut sender = Sender::new(150);
        sender.submit(401);
        assert_eq!(sender.packet(3, 1_200, false), [1]);
        assert_eq!(sender.packet(3, 1_200, true), [0_u64; 0]);
        for _ in 0..2 {
            sender.submit(100);
        }
        assert_eq!(sender.packet(3, 1_200, false), [2, 3]);
        sender.submit(100);
        assert_eq!(sender.packet(3, 1_200, false), [3, 4], "the budget holds one");
        sender.submit(100);
        assert_eq!(sender.packet(3, 1_200, false), [5]);
    }

    // UC-ARQ-022
    #[test]
    fn what_no_packet_holds_whole_is_copied_in_parts_and_only_where_it_is_missing() {
        let mut sender = Sender::new(10_000);
        sender.submit(2_000);
        assert_eq!([sender.packet(2, 1_200, false), sender.packet(2, 1_200, false)], [[1], [1]]);
        assert!(!sender.streams.has_work() && sender.streams.wants_copies(2, LONGEST_BYTES));
        sender.streams.on_acked(Content::Part { stream: 0, seq: 1, offset: 0, length: 1_500 });
        assert_eq!(sender.packet(2, 1_200, true), [1]);
        assert_eq!(sender.bytes, 10_000 - 500);
        assert!(!sender.streams.has_work() && !sender.streams.wants_copies(2, LONGEST_BYTES));
        sender.submit(LONGEST_BYTES as usize + 1);
        while !sender.packet(2, 1_200, false).is_empty() {}
        assert!(!sender.streams.wants_copies(2, LONGEST_BYTES), "that is too long");
        assert_eq!(
            [2, 3].map(|packets| longest_copied(packets * LONGEST_BYTES)),
            [LONGEST_BYTES, KEPT_WHOLE_BYTES]
        );
    }

    #[test]
    fn a_loss_of_several_copies_is_one_loss() {
        let mut sender = Sender::new(10_000);
        sender.submit(100);
        assert_eq!(sender.packet(3, 1_200, false), [1]);
        assert_eq!(sender.packet(3, 1_200, true), [1]);
        let lost = Content::Messages { stream: 0, seq: 1, count: 1 };
        sender.streams.on_lost(lost, false, 1);
        sender.streams.on_lost(lost, false, 1);
        assert_eq!(sender.packet(1, 1_200, false), [1]);
        assert!(!sender.streams.has_work());
        sender.streams.on_lost(lost, false, 1);
        assert_eq!(sender.packet(1, 1_200, false), [1], "and again when it is lost again");
    }
}
