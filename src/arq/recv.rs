//! The receiver's side of streams: fragments become messages, messages wait for their turn, and each is handed over once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::assembly::Assembly;
use super::config::Config;
use super::decoder::Decoder;
use super::event::Violation;
use super::flow::Grant;
use super::ranges::Ranges;
use super::ready::{Ready, SHORT_BYTES};
use crate::wire::{Have, Limits, Messages, Part, Piece, Repair, Skip, Window};

/// All streams of one direction.
#[derive(Debug)]
pub struct RecvStreams {
    /// By their numbers. Most connections use two, and a tree would have room for eleven.
    streams: Vec<(u32, RecvStream)>,
    totals: Totals,
    /// Its limits are what we told the other side.
    config: Arc<Config>,
    /// Streams that got something to take since the last poll.
    readable: VecDeque<u32>,
    /// Messages that were computed from others.
    repaired: u64,
    /// Whether there may be something to tell, because a stream moved since the last look: of a silent connection among thousands nobody
    /// looks at the streams, which are far from everything else in memory.
    has_moved: bool,
}

/// What all streams have in common.
#[derive(Debug)]
struct Totals {
    grant: Grant,
    /// The memory that whatever waits takes: whole messages, and of others what came of them. The grant counts what the other side
    /// may have charged instead, which is more where a message has holes.
    held_bytes: u64,
    message_limit: u64,
}

/// A message that the application takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its number in its stream, from 1.
    pub seq: u64,
    /// Its bytes, exactly as they were submitted.
    pub body: Vec<u8>,
}

#[derive(Debug)]
struct RecvStream {
    /// Every message up to here was made ready, taken or skipped.
    floor: u64,
    /// The same for messages above the floor, and those in `held`.
    settled: Ranges,
    /// Whole messages that wait for the ones before them.
    held: BTreeMap<u64, Vec<u8>>,
    partial: BTreeMap<u64, Assembly>,
    /// What can be taken. The message just above the floor may have begun behind it, if it comes in order: most do, and need no
    /// tables.
    ready: Ready,
    grant: Grant,
    seq_edge: u64,
    /// What repairs are made from; None until the first comes.
    decoder: Option<Box<Decoder>>,
    /// In how many more acks our own word on what came is worth its bytes (UC-STR-017).
    tellings: u32,
}

impl RecvStreams {
    /// Nothing received.
    pub fn new(config: &Arc<Config>) -> Self {
        let limits = &config.limits;
        Self {
            streams: Vec::new(),
            totals: Totals {
                grant: Grant::new(limits.connection_bytes, limits.message_bytes),
                held_bytes: 0,
                message_limit: limits.message_bytes,
            },
            config: Arc::clone(config),
            readable: VecDeque::new(),
            repaired: 0,
            has_moved: false,
        }
    }

    /// Takes whole messages.
    pub fn on_messages(&mut self, messages: &Messages<'_>) -> Result<(), Violation> {
        self.visit(messages.stream, |stream, totals| {
            (messages.seq..).zip(&messages.bodies).try_for_each(|(seq, body)| {
                totals.check_message(body.len() as u64)?;
                stream.on_message(totals, seq, messages.unordered, body)
            })
        })
    }

    /// Takes a fragment, or a stretch of the stream.
    pub fn on_part(&mut self, part: &Part<'_>) -> Result<(), Violation> {
        self.visit(part.stream, |stream, totals| {
            part.pieces().try_for_each(|piece| {
                totals.check_message(piece.offset + piece.body.len() as u64)?;
                if piece.offset == 0 && piece.last && !stream.has_begun(piece.seq) {
                    stream.on_message(totals, piece.seq, part.unordered, piece.body)
                } else {
                    stream.on_piece(totals, &piece, part.unordered)
                }
            })
        })
    }

    /// Takes repair symbols, which came in packet `packet` (UC-STR-016).
    pub fn on_repair(&mut self, packet: u64, repair: &Repair<'_>) -> Result<(), Violation> {
        self.visit(repair.stream, |stream, _| {
            stream.on_repair(packet, repair);
            Ok(())
        })
    }

    /// Takes the sender's word that messages will not come (UC-STR-011).
    pub fn on_skip(&mut self, skip: &Skip) -> Result<(), Violation> {
        self.visit(skip.stream, |stream, totals| {
            (skip.seq..).zip(&skip.sizes).try_for_each(|(seq, &size)| {
                totals.check_message(size)?;
                stream.on_skip(totals, seq, size)
            })
        })
    }

    /// What to say of messages whose packets may not have come (UC-STR-017).
    pub fn haves(&self) -> impl Iterator<Item = Have> {
        let telling = self.moved().iter().filter(|(_, state)| state.tellings > 0 && state.floor > 0);
        telling.map(|&(stream, ref state)| Have { stream, seq: state.floor })
    }

    /// It was said.
    pub fn on_haves_sent(&mut self) {
        if self.has_moved {
            self.streams.iter_mut().for_each(|(_, state)| state.tellings = state.tellings.saturating_sub(1));
            self.has_moved = self.haves().next().is_some() || self.next_windows().next().is_some();
        }
    }

    /// The streams, if there may be something to tell.
    fn moved(&self) -> &[(u32, RecvStream)] {
        if self.has_moved { &self.streams } else { &[] }
    }

    /// How many messages were computed from others.
    pub const fn repaired(&self) -> u64 {
        self.repaired
    }

    /// The next message of a stream, in order where its sender wanted order.
    pub fn take(&mut self, stream: u32) -> Option<Received> {
        let state = find(&mut self.streams, stream)?;
        let received = state.ready.take()?;
        self.has_moved = true;
        self.totals.consume(state, received.body.len() as u64);
        Some(received)
    }

    /// The same into `body`, which keeps its memory; tells the message's number.
    pub fn take_into(&mut self, stream: u32, body: &mut Vec<u8>) -> Option<u64> {
        let state = find(&mut self.streams, stream)?;
        let seq = state.ready.take_into(body)?;
        self.has_moved = true;
        self.totals.consume(state, body.len() as u64);
        Some(seq)
    }

    /// A stream that has something to take, once for each time that it got something.
    pub fn poll_readable(&mut self) -> Option<u32> {
        self.readable.pop_front()
    }

    /// Windows that are worth telling anew, the connection's first (UC-STR-010). [`RecvStreams::on_window_sent`] marks one as told.
    pub fn next_windows(&self) -> impl Iterator<Item = Window> {
        let connection = self.totals.grant.next_edge().map(|bytes| Window::Connection { bytes });
        let streams = self.moved().iter().filter_map(|&(stream, ref state)| {
            let seq = state.next_seq_edge(self.config.limits.stream_messages);
            let bytes = state.grant.next_edge();
            (bytes.is_some() || seq.is_some()).then(|| Window::Stream {
                stream,
                bytes: bytes.unwrap_or_else(|| state.grant.edge()),
                seq: seq.unwrap_or(state.seq_edge),
            })
        });
        connection.into_iter().chain(streams)
    }

    /// A window was told; its edge binds us now.
    pub fn on_window_sent(&mut self, window: Window) {
        match window {
            Window::Connection { bytes } => self.totals.grant.tell(bytes),
            Window::Stream { stream, bytes, seq } => {
                if let Some(state) = find(&mut self.streams, stream) {
                    state.grant.tell(bytes);
                    state.seq_edge = seq;
                }
            }
        }
    }

    /// The windows as they were last told, to repeat a frame that was lost.
    pub fn told_window(&self, stream: Option<u32>) -> Option<Window> {
        match stream {
            None => Some(Window::Connection { bytes: self.totals.grant.edge() }),
            Some(stream) => self
                .streams
                .iter()
                .find(|(number, _)| *number == stream)
                .map(|(_, state)| Window::Stream { stream, bytes: state.grant.edge(), seq: state.seq_edge }),
        }
    }

    /// The memory that is taken by what waits for the application or for its missing neighbours.
    pub const fn held_bytes(&self) -> u64 {
        self.totals.held_bytes
    }

    /// Gives back what is kept for messages to come: nothing was said for a while.
    pub fn rest(&mut self) {
        for (_, stream) in &mut self.streams {
            stream.ready.rest();
            stream.settled.shrink_to_fit();
        }
        self.readable.shrink_to_fit();
    }

    /// Forgets what repairs are made from: nobody has spoken for so long that nothing is missing.
    pub fn forget_repairs(&mut self) {
        self.streams.iter_mut().for_each(|(_, stream)| stream.decoder = None);
    }

    /// How much of the connection's window is in use, for the bound's checker.
    pub const fn charged_bytes(&self) -> u64 {
        self.totals.grant.held()
    }

    /// Entries in every table, for the bound's checker.
    pub fn entries(&self) -> usize {
        self.streams
            .iter()
            .map(|(_, state)| {
                let holes: usize = state.partial.values().map(Assembly::entries).sum();
                let repairs = state.decoder.as_ref().map_or(0, |decoder| decoder.entries());
                holes + repairs + state.held.len() + state.ready.len() + state.settled.as_slice().len()
            })
            .sum()
    }

    /// Lets `take` have a stream, and notes whether there is more to take afterwards.
    fn visit(
        &mut self,
        number: u32,
        take: impl FnOnce(&mut RecvStream, &mut Totals) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        if number >= self.config.limits.streams {
            return Err(Violation::StreamLimit);
        }
        let place = self.streams.partition_point(|(before, _)| *before < number);
        if self.streams.get(place).is_none_or(|(at, _)| *at != number) {
            self.streams.reserve_exact(1);
            self.streams.insert(place, (number, RecvStream::new(&self.config.limits)));
        }
        self.has_moved = true;
        let stream = &mut self.streams[place].1;
        let before = stream.ready.len();
        let result = take(stream, &mut self.totals).and_then(|()| {
            self.repaired += stream.take_repaired(&mut self.totals)?;
            Ok(())
        });
        if stream.ready.len() > before && self.readable.back() != Some(&number) {
            self.readable.push_back(number);
        }
        result
    }
}

impl Totals {
    const fn check_message(&self, length: u64) -> Result<(), Violation> {
        if length > self.message_limit { Err(Violation::MessageLimit) } else { Ok(()) }
    }

    const fn consume(&mut self, stream: &mut RecvStream, bytes: u64) {
        stream.grant.consume(bytes);
        self.grant.consume(bytes);
        self.held_bytes -= bytes;
    }
}

fn find(streams: &mut [(u32, RecvStream)], number: u32) -> Option<&mut RecvStream> {
    streams.iter_mut().find(|(at, _)| *at == number).map(|(_, stream)| stream)
}

impl RecvStream {
    fn new(limits: &Limits) -> Self {
        Self {
            floor: 0,
            settled: Ranges::default(),
            held: BTreeMap::new(),
            partial: BTreeMap::new(),
            ready: Ready::default(),
            grant: Grant::new(limits.stream_bytes, limits.message_bytes),
            seq_edge: limits.stream_messages,
            decoder: None,
            tellings: 0,
        }
    }

    fn on_repair(&mut self, packet: u64, repair: &Repair<'_>) {
        let mut decoder = self.decoder.take().unwrap_or_default();
        decoder.take(packet, repair, |seq| seq <= self.floor || self.settled.contains(seq));
        self.decoder = Some(decoder);
    }

    /// Takes what could be computed; tells how many messages.
    fn take_repaired(&mut self, totals: &mut Totals) -> Result<u64, Violation> {
        let mut count = 0;
        while let Some(decoder) = &mut self.decoder
            && let Some((seq, body)) = decoder.poll()
        {
            let unordered = decoder.unordered;
            if self.admits(seq)? {
                totals.check_message(body.len() as u64)?;
                self.on_message(totals, seq, unordered, &body)?;
                self.tellings = TELLINGS;
                count += 1;
            }
        }
        Ok(count)
    }

    fn on_message(
        &mut self,
        totals: &mut Totals,
        seq: u64,
        unordered: bool,
        body: &[u8],
    ) -> Result<(), Violation> {
        if !self.admits(seq)? {
            return Ok(());
        }
        self.charge(totals, seq, body.len() as u64)?;
        // It may have begun in fragments and come whole.
        self.forget_pieces(totals, seq);
        totals.held_bytes += body.len() as u64;
        if let Some(decoder) = &mut self.decoder {
            decoder.learn(seq, body);
        }
        if seq == self.floor + 1 || unordered {
            self.set_begun_aside();
            self.ready.push(seq, body);
        } else {
            self.held.insert(seq, body.to_vec());
        }
        self.settle(seq);
        Ok(())
    }

    fn on_piece(&mut self, totals: &mut Totals, piece: &Piece<'_>, unordered: bool) -> Result<(), Violation> {
        if !self.admits(piece.seq)? {
            return Ok(());
        }
        let end = piece.offset + piece.body.len() as u64;
        if let Some(new) = self.continues(piece, unordered) {
            self.charge(totals, piece.seq, end)?;
            totals.held_bytes += new.len() as u64;
            self.ready.begin(new);
            if piece.last {
                self.ready.finish(piece.seq);
                self.settle(piece.seq);
            }
            return Ok(());
        }
        if piece.seq == self.floor + 1 {
            self.set_begun_aside();
        }
        if self.partial.get(&piece.seq).is_some_and(|assembly| assembly.contradicts(piece)) {
            return Err(Violation::PartMismatch);
        }
        self.charge(totals, piece.seq, end)?;
        let assembly = self.partial.entry(piece.seq).or_default();
        let before = assembly.held_bytes();
        assembly.insert(piece);
        // It may be less than before: pieces that became one cost only once.
        totals.held_bytes = totals.held_bytes + assembly.held_bytes() - before;
        if assembly.is_scattered() {
            return Err(Violation::Scattered);
        }
        if assembly.is_whole()
            && let Some(assembly) = self.partial.remove(&piece.seq)
        {
            self.on_assembled(totals, piece.seq, unordered, assembly);
        }
        Ok(())
    }

    fn on_assembled(&mut self, totals: &mut Totals, seq: u64, unordered: bool, assembly: Assembly) {
        let held = assembly.held_bytes();
        let body = assembly.into_body();
        totals.held_bytes = totals.held_bytes + body.len() as u64 - held;
        if seq == self.floor + 1 || unordered {
            self.set_begun_aside();
            self.ready.push_long(seq, body);
        } else {
            self.held.insert(seq, body);
        }
        self.settle(seq);
    }

    fn on_skip(&mut self, totals: &mut Totals, seq: u64, size: u64) -> Result<(), Violation> {
        if !self.admits(seq)? {
            return Ok(());
        }
        self.charge(totals, seq, size)?;
        // What it had charged is given back: nobody will take it.
        let charged = size.max(self.forget_pieces(totals, seq));
        self.grant.consume(charged);
        totals.grant.consume(charged);
        self.settle(seq);
        Ok(())
    }

    /// Whether a message is still wanted: false if it was settled before (UC-STR-003).
    fn admits(&self, seq: u64) -> Result<bool, Violation> {
        if seq > self.seq_edge {
            return Err(Violation::WindowOverrun);
        }
        Ok(seq > self.floor && (self.settled.is_empty() || !self.settled.contains(seq)))
    }

    /// Whether something of a message is here, which what comes now may contradict.
    fn has_begun(&self, seq: u64) -> bool {
        (seq == self.floor + 1 && self.ready.begun_bytes() > 0)
            || (!self.partial.is_empty() && self.partial.contains_key(&seq))
    }

    /// What a piece adds to the message that comes in order, if it is one to add to.
    fn continues<'a>(&self, piece: &Piece<'a>, unordered: bool) -> Option<&'a [u8]> {
        let begun = self.ready.begun_bytes();
        let is_next = piece.seq == self.floor + 1 && !unordered;
        let is_short = piece.offset + piece.body.len() as u64 <= SHORT_BYTES as u64;
        if !is_next || !is_short || (begun == 0 && self.partial.contains_key(&piece.seq)) {
            return None;
        }
        let known = (begun as u64).checked_sub(piece.offset)?;
        piece.body.get(known as usize..).filter(|new| !new.is_empty())
    }

    /// The message that began to come in order does not go on so: it becomes one of those that come in pieces.
    fn set_begun_aside(&mut self) {
        if self.ready.begun_bytes() > 0 {
            let begun = Assembly::from_front(self.ready.take_begun());
            self.partial.insert(self.floor + 1, begun);
        }
    }

    /// Forgets what came of a message so far; tells how far that reached.
    fn forget_pieces(&mut self, totals: &mut Totals, seq: u64) -> u64 {
        if seq == self.floor + 1 && self.ready.begun_bytes() > 0 {
            let begun = self.ready.take_begun().len() as u64;
            totals.held_bytes -= begun;
            return begun;
        }
        if self.partial.is_empty() {
            return 0;
        }
        self.partial.remove(&seq).map_or(0, |partial| {
            totals.held_bytes -= partial.held_bytes();
            partial.extent()
        })
    }

    /// Charges what a message has newly shown of its length. An unfinished message counts up to its furthest byte.
    fn charge(&mut self, totals: &mut Totals, seq: u64, extent: u64) -> Result<(), Violation> {
        let begun = if seq == self.floor + 1 { self.ready.begun_bytes() as u64 } else { 0 };
        let known = match begun {
            0 if self.partial.is_empty() => 0,
            0 => self.partial.get(&seq).map_or(0, Assembly::extent),
            begun => begun,
        };
        let more = extent.saturating_sub(known);
        let is_granted = self.grant.receive(more) && totals.grant.receive(more);
        if is_granted { Ok(()) } else { Err(Violation::WindowOverrun) }
    }

    /// Nothing of a message is wanted any more. Moves the floor over what is settled and makes ready what waited for it
    /// (UC-STR-004).
    fn settle(&mut self, seq: u64) {
        if seq != self.floor + 1 {
            self.settled.insert(seq);
            return;
        }
        self.floor = seq;
        let Some(&[first, last]) = self.settled.as_slice().first() else {
            return;
        };
        if first > self.floor + 1 {
            return;
        }
        self.floor = self.floor.max(last);
        self.settled.remove_below(self.floor + 1);
        let still_held = self.held.split_off(&(self.floor + 1));
        let released = std::mem::replace(&mut self.held, still_held);
        released.into_iter().for_each(|(seq, body)| self.ready.push_long(seq, body));
    }

    /// The next edge of message numbers, once a quarter of the window was used. Messages that nobody took count as used, so an
    /// application that does not read bounds its own queue.
    fn next_seq_edge(&self, window: u64) -> Option<u64> {
        let edge = (self.floor + window).saturating_sub(self.ready.len() as u64);
        (edge >= self.seq_edge + window.div_ceil(4)).then_some(edge)
    }
}

/// In how many acks a repair is told: as an arrival is.
const TELLINGS: u32 = super::ack::Arrivals::TELLINGS as u32;

#[cfg(test)]
mod tests {
    use super::*;

    fn streams() -> RecvStreams {
        RecvStreams::new(&Arc::new(Config { limits: LIMITS, ..Config::default() }))
    }

    const LIMITS: Limits = Limits {
        message_bytes: 100,
        connection_bytes: 400,
        stream_bytes: 200,
        stream_messages: 8,
        streams: 2,
        datagram_bytes: 1_200,
        ack_delay_us: 0,
        idle_ms: 0,
        repair_messages: 64,
    };

    fn message(seq: u64, unordered: bool, body: &[u8]) -> Messages<'_> {
        Messages { stream: 0, seq, unordered, bodies: vec![body].into() }
    }

    fn part(offset: u64, last: bool, body: &[u8]) -> Part<'_> {
        Part { stream: 0, seq: 1, unordered: false, offset, last, bodies: vec![body].into() }
    }

    fn taken(streams: &mut RecvStreams) -> Vec<String> {
        std::iter::from_fn(|| streams.take(0))
            .map(|received| format!("{}:{}", received.seq, String::from_utf8(received.body).unwrap()))
            .collect()
    }

    // UC-STR-003, UC-STR-004
    #[test]
    fn ordered_messages_wait_for_each_other_and_unordered_ones_for_nobody() {
        let mut streams = streams();
        streams.on_messages(&message(2, false, b"two")).unwrap();
        streams.on_messages(&message(3, true, b"three")).unwrap();
        assert_eq!(taken(&mut streams), ["3:three"]);
        streams.on_messages(&message(1, false, b"one")).unwrap();
        assert_eq!(taken(&mut streams), ["1:one", "2:two"]);
        for seq in 1..=3 {
            streams.on_messages(&message(seq, false, b"again")).unwrap();
        }
        assert_eq!(taken(&mut streams), Vec::<String>::new());
    }

    // UC-STR-006
    #[test]
    fn parts_in_any_order_make_the_message() {
        let mut streams = streams();
        streams.on_part(&part(4, true, b"ef")).unwrap();
        streams.on_part(&part(0, false, b"ab")).unwrap();
        streams.on_part(&part(0, false, b"abcd")).unwrap();
        assert_eq!(taken(&mut streams), ["1:abcdef"]);
        streams.on_part(&part(0, false, b"ab")).unwrap();
        assert_eq!(taken(&mut streams), Vec::<String>::new());
        assert_eq!(streams.held_bytes(), 0);
    }

    // UC-STR-009
    #[test]
    fn what_is_held_is_what_came_and_what_is_charged_is_how_far_it_reaches() {
        let mut streams = streams();
        streams.on_part(&part(90, false, b"far")).unwrap();
        let held = streams.held_bytes();
        assert!((3..=100).contains(&held), "{held}");
        assert_eq!(streams.charged_bytes(), 93);
        streams.on_part(&part(0, false, b"near")).unwrap();
        assert_eq!((streams.held_bytes(), streams.charged_bytes()), (held + 4, 93));
        streams.on_messages(&message(2, true, b"whole")).unwrap();
        assert_eq!((streams.held_bytes(), streams.charged_bytes()), (held + 9, 98));
        // The same message comes whole after all: what came of it in fragments goes.
        streams.on_messages(&message(1, true, &[b'w'; 93])).unwrap();
        assert_eq!((streams.held_bytes(), streams.charged_bytes()), (98, 98));
        taken_bytes(&mut streams);
        assert_eq!((streams.held_bytes(), streams.charged_bytes()), (0, 0));
    }

    // UC-STR-011
    #[test]
    fn a_skip_lets_the_next_ones_through_and_gives_the_window_back() {
        let mut streams = streams();
        streams.on_messages(&message(2, false, b"two")).unwrap();
        streams.on_part(&part(0, false, b"half")).unwrap();
        streams.on_skip(&Skip { stream: 0, seq: 1, sizes: vec![50] }).unwrap();
        assert_eq!(taken(&mut streams), ["2:two"]);
        assert_eq!(streams.held_bytes(), 0);
        streams.on_part(&part(0, true, b"late")).unwrap();
        assert_eq!(taken(&mut streams), Vec::<String>::new());
    }

    #[track_caller]
    fn check_violation(act: impl Fn(&mut RecvStreams) -> Result<(), Violation>, expected: Violation) {
        assert_eq!(act(&mut streams()), Err(expected));
    }

    // UC-STR-002, UC-STR-005, UC-STR-006, UC-STR-009
    #[test]
    fn what_breaks_a_rule_is_named() {
        let (long, full) = ([0; 101], [0; 100]);
        check_violation(|streams| streams.on_messages(&message(1, false, &long)), Violation::MessageLimit);
        check_violation(|streams| streams.on_messages(&message(9, false, b"")), Violation::WindowOverrun);
        check_violation(
            |streams| (2..=4).try_for_each(|seq| streams.on_messages(&message(seq, false, &full))),
            Violation::WindowOverrun,
        );
        let foreign = Messages { stream: 2, ..message(1, false, b"") };
        check_violation(|streams| streams.on_messages(&foreign), Violation::StreamLimit);
        for contradiction in
            [[part(3, true, b"d"), part(1, true, b"bc")], [part(9, false, b"x"), part(0, true, b"ab")]]
        {
            check_violation(
                |streams| contradiction.iter().try_for_each(|part| streams.on_part(part)),
                Violation::PartMismatch,
            );
        }
    }

    // UC-STR-010
    #[test]
    fn windows_are_told_again_by_quarters() {
        let mut streams = streams();
        for seq in 1..=2 {
            streams.on_messages(&message(seq, false, &[7; 50])).unwrap();
        }
        assert_eq!(streams.next_windows().count(), 0);
        taken_bytes(&mut streams);
        let windows: Vec<Window> = streams.next_windows().collect();
        assert_eq!(
            windows,
            [Window::Connection { bytes: 500 }, Window::Stream { stream: 0, bytes: 300, seq: 10 }]
        );
        windows.into_iter().for_each(|window| streams.on_window_sent(window));
        assert_eq!(streams.next_windows().count(), 0);
    }

    fn taken_bytes(streams: &mut RecvStreams) -> usize {
        std::iter::from_fn(|| streams.take(0)).map(|received| received.body.len()).sum()
    }
}
