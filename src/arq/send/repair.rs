//! A busy talk says its small messages again as sums: a symbol helps whichever of them was lost, where a copy helps one (UC-STR-015).
//!
//! How many symbols go along, and how many bytes they may take, is told from above ([`super::super::redundancy`]).

use super::super::field::{add_message, coefficient};
use super::super::sent::{Content, Contents};
use super::{Phase, SendStreams, Spare};
use crate::wire::{Frame, MAX_REPAIR_SPAN, MAX_SYMBOLS, PacketWriter, Ranges, Repair, SYMBOL_BYTES};

/// The messages that a repair is about.
struct Window {
    of: Ranges,
    count: usize,
    longest: u64,
    unordered: bool,
}

impl SendStreams {
    /// Whether symbols are better than copies: the other side takes them, and a stream has more messages on their way than a packet
    /// gets symbols. With fewer, copies say as much, and need no computing.
    pub fn wants_repairs(&self, symbols: usize) -> bool {
        let least = symbols.max(1);
        // A transfer of long messages need not be searched for short ones, packet after packet.
        let are_short = self.queued_bytes <= self.queued_messages * SYMBOL_BYTES.end();
        self.limits.repair_messages > 0
            && are_short
            && (0..self.streams.len()).any(|stream| self.on_their_way(stream).nth(least).is_some())
    }

    /// Whether a message that was lost waits for a symbol.
    pub fn awaits_repair(&self) -> bool {
        !self.to_repair.is_empty()
    }

    /// No packet leaves that could take symbols along: what waits for one is sent again itself.
    pub fn stop_repairing(&mut self) {
        while let Some((stream, seq)) = self.to_repair.pop_front() {
            self.send_message_again(stream, seq);
        }
    }

    /// Adds symbols for each stream that has enough to make them from, over what `contents` does not have: `count`, and one more for
    /// each message that was found lost.
    pub fn write_repairs(
        &mut self,
        packet: u64,
        count: usize,
        writer: &mut PacketWriter<'_>,
        contents: &mut Contents,
        spare: &mut Spare,
    ) {
        for stream in 0..self.streams.len() {
            let lost = self.to_repair.iter().filter(|(of, _)| *of == stream as u32).count();
            let count = (count + lost).min(MAX_SYMBOLS);
            if count == 0 {
                continue;
            }
            if let Some(window) = self.window(stream, contents).filter(|window| window.count > count) {
                let is_written = self.write_repair(packet, stream, &window, count, writer, spare);
                if is_written {
                    self.note_repaired(stream, &window, contents);
                }
            }
        }
        self.stop_repairing();
    }

    /// What waited for a symbol of this stream has one.
    fn note_repaired(&mut self, stream: usize, window: &Window, contents: &mut Contents) {
        self.to_repair.retain(|&(of, seq)| {
            let is_in =
                of == stream as u32 && window.of.iter().any(|range| (range[0]..=range[1]).contains(&seq));
            if is_in {
                contents.push(Content::Repair { stream: of, seq });
            }
            !is_in
        });
    }

    /// Whether a message can have a share in the next symbols.
    pub(super) fn may_be_repaired(&self, stream: u32, seq: u64) -> bool {
        self.on_their_way(stream as usize).any(|wanted| wanted == seq)
            && !self.to_repair.contains(&(stream, seq))
    }

    fn write_repair(
        &mut self,
        packet: u64,
        stream: usize,
        window: &Window,
        count: usize,
        writer: &mut PacketWriter<'_>,
        spare: &mut Spare,
    ) -> bool {
        let newest = window.of.last().map_or(0, |last| last[1]);
        let length = 2 + window.longest as usize;
        let bytes_of = |count: usize| {
            let head = Repair::head_bytes(stream as u32, newest, window.unordered, window.of.len(), count);
            head + count * length
        };
        let fitting = (1..=count.min(MAX_SYMBOLS)).rev().find(|&count| bytes_of(count) <= writer.room());
        let Some(count) = fitting.filter(|&count| spare.takes(bytes_of(count) as u64)) else { return false };
        let numbers = || window.of.iter().flat_map(|&[first, last]| first..=last);
        let symbol = |index| {
            let mut symbol = vec![0; length];
            for seq in numbers() {
                if let Some(message) = self.streams[stream].peek(seq) {
                    add_message(&mut symbol, message.body(), coefficient(packet, index, seq));
                }
            }
            symbol
        };
        let symbols: Vec<Vec<u8>> = (0..count).map(symbol).collect();
        let repair = Repair {
            stream: stream as u32,
            of: window.of.clone(),
            unordered: window.unordered,
            symbols: symbols.iter().map(Vec::as_slice).collect(),
        };
        let is_written = writer.push(&Frame::Repair(repair));
        for seq in numbers().filter(|_| is_written) {
            if let Some(message) = self.outgoing(stream as u32, seq) {
                message.copies += 1;
            }
        }
        is_written
    }

    /// What is on its way and not in this packet anyway.
    fn window(&self, stream: usize, contents: &Contents) -> Option<Window> {
        let newest = self.on_their_way(stream).next_back()?;
        let unordered = self.streams[stream].peek(newest)?.options.unordered;
        let mut window = Window { of: Ranges::new(), count: 0, longest: 0, unordered };
        for seq in self.on_their_way(stream) {
            let Some(message) = self.streams[stream].peek(seq) else { continue };
            if message.options.unordered != unordered || super::copies::is_in(contents, stream, seq) {
                continue;
            }
            window.count += 1;
            window.longest = window.longest.max(message.length);
            match window.of.last_mut() {
                Some(last) if last[1] + 1 == seq => last[1] = seq,
                _ => window.of.push([seq, seq]),
            }
        }
        let most = crate::wire::MAX_ACK_RANGES;
        (1..=most).contains(&window.of.len()).then_some(window)
    }

    /// The newest small messages that were sent whole and are not confirmed, by number.
    fn on_their_way(&self, stream: usize) -> impl DoubleEndedIterator<Item = u64> {
        let state = &self.streams[stream];
        let span = self.limits.repair_messages.min(MAX_REPAIR_SPAN);
        let longest = SYMBOL_BYTES.end() - 2;
        let oldest = state.next_new.saturating_sub(span).max(state.base);
        (oldest..state.next_new).filter(move |&seq| {
            state.peek(seq).is_some_and(|message| {
                message.phase == Phase::OnItsWay && (1..=longest as u64).contains(&message.length)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Config, SendOptions};
    use super::*;
    use crate::random::Random;
    use crate::wire::{ConnectionId, Datagram, Limits, decode};

    struct Sender {
        streams: SendStreams,
        packet: u64,
    }

    impl Sender {
        fn new(repair_messages: u64) -> Self {
            let config = Config::default();
            let mut streams = SendStreams::new(&config, config.limits);
            streams.establish(Limits { repair_messages, ..Limits::default() });
            Self { streams, packet: 0 }
        }

        /// A packet with one more message and so many symbols: what it says, and what it is remembered for.
        fn packet(&mut self, symbols: usize) -> (String, Vec<Content>) {
            self.packet += 1;
            let body = vec![self.packet as u8; 10 + self.packet as usize];
            self.streams.submit(0, body.into(), SendOptions::default()).unwrap();
            let to = ConnectionId::random(&mut Random::from_seed(1));
            let (mut head, mut bytes, mut contents) = (Vec::new(), Vec::new(), Contents::new());
            let mut writer = PacketWriter::new(&mut head, &mut bytes, to, self.packet, None, 1_200);
            let mut spare =
                Spare { copies: 1, longest: 0, bytes: 10_000, is_unneeded: false, has_new: false };
            self.streams.fill(&mut writer, &mut contents, &mut spare);
            self.streams.write_repairs(self.packet, symbols, &mut writer, &mut contents, &mut spare);
            writer.finish();
            let Ok(Datagram::Packet(packet)) = decode(&head) else { panic!("{head:?}") };
            let said = packet.frames.iter().map(|frame| match frame {
                Frame::Msg(messages) => format!("{}+{}", messages.seq, messages.bodies.len()),
                Frame::Repair(repair) => {
                    format!("{} x{} of {:?}", repair.symbols[0].len(), repair.symbols.len(), repair.of)
                }
                other => format!("{other:?}"),
            });
            (said.collect::<Vec<_>>().join(", "), contents.into_vec())
        }
    }

    // UC-STR-015, UC-ARQ-022
    #[test]
    fn a_packet_has_symbols_of_what_is_on_its_way_and_of_nothing_else() {
        let mut sender = Sender::new(64);
        let said: Vec<String> = (0..4).map(|_| sender.packet(2).0).collect();
        assert_eq!(said, ["1+1", "2+1", "3+1", "4+1, 15 x2 of [[1, 3]]"]);
        sender.streams.on_acked(Content::Messages { stream: 0, seq: 2, count: 1 });
        assert_eq!(sender.packet(1).0, "5+1, 16 x1 of [[1, 1], [3, 4]]");
        assert!(sender.streams.wants_repairs(2) && !sender.streams.wants_repairs(4));
        assert_eq!(sender.packet(0).0, "6+1", "none are due");
    }

    #[test]
    fn a_side_that_repairs_nothing_gets_no_symbols() {
        let mut sender = Sender::new(0);
        (0..8).for_each(|_| drop(sender.packet(0)));
        assert!(!sender.streams.wants_repairs(1));
    }

    // UC-ARQ-022
    #[test]
    fn what_was_lost_gets_one_more_symbol_and_is_sent_again_if_that_was_not_enough() {
        let mut sender = Sender::new(64);
        (0..5).for_each(|_| drop(sender.packet(0)));
        sender.streams.on_lost(Content::Messages { stream: 0, seq: 2, count: 1 }, true, 1);
        assert!(sender.streams.awaits_repair() && !sender.streams.has_work());
        let (said, contents) = sender.packet(1);
        assert_eq!(said, "6+1, 17 x2 of [[1, 5]]");
        assert_eq!(contents[1], Content::Repair { stream: 0, seq: 2 });
        assert!(!sender.streams.awaits_repair());
        sender.streams.on_acked(contents[1]);
        assert_eq!(sender.packet(0).0, "2+1, 7+1");
        assert!(sender.streams.on_have(0, 5));
        sender.streams.on_lost(contents[1], true, 1);
        assert!(!sender.streams.has_work(), "it is there");
        assert!(!sender.streams.on_have(0, 8), "that one never left");
    }

    #[test]
    fn more_losses_than_symbols_can_make_up_for_are_sent_again() {
        let mut sender = Sender::new(64);
        (0..9).for_each(|_| drop(sender.packet(0)));
        for seq in 1..=5 {
            sender.streams.on_lost(Content::Messages { stream: 0, seq, count: 1 }, true, 1);
        }
        assert!(!sender.streams.awaits_repair());
        assert_eq!(sender.packet(1).0, "1+5, 10+1, 21 x1 of [[6, 9]]");
    }
}
