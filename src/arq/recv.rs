//! The receiver's side of streams: fragments become messages, messages wait for their turn, and each is handed over once.

use std::collections::{BTreeMap, VecDeque};

use super::assembly::Assembly;
use super::event::Violation;
use super::flow::Grant;
use super::ranges::Ranges;
use crate::wire::{Limits, Messages, Part, Skip, Window};

/// All streams of one direction.
#[derive(Debug)]
pub struct RecvStreams {
    streams: BTreeMap<u32, RecvStream>,
    grant: Grant,
    limits: Limits,
    /// The memory that whatever waits takes: whole messages, and of others what came of them. The grant counts what the other side
    /// may have charged instead, which is more where a message has holes.
    held_bytes: u64,
    /// Streams that got something to take since the last poll.
    readable: VecDeque<u32>,
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
    ready: VecDeque<Received>,
    grant: Grant,
    seq_edge: u64,
}

impl RecvStreams {
    /// Nothing received; `limits` are what we told the other side.
    pub const fn new(limits: Limits) -> Self {
        Self {
            streams: BTreeMap::new(),
            grant: Grant::new(limits.connection_bytes, limits.message_bytes),
            limits,
            held_bytes: 0,
            readable: VecDeque::new(),
        }
    }

    /// Takes whole messages.
    pub fn on_messages(&mut self, messages: &Messages<'_>) -> Result<(), Violation> {
        for (seq, body) in (messages.seq..).zip(&messages.bodies) {
            self.check_message(body.len() as u64)?;
            if !self.stream(messages.stream)?.admits(seq)? {
                continue;
            }
            self.charge(messages.stream, seq, body.len() as u64)?;
            self.complete(messages.stream, seq, messages.unordered, body.to_vec());
        }
        Ok(())
    }

    /// Takes a fragment.
    pub fn on_part(&mut self, part: &Part<'_>) -> Result<(), Violation> {
        let end = part.offset + part.body.len() as u64;
        self.check_message(end)?;
        let stream = self.stream(part.stream)?;
        if !stream.admits(part.seq)? {
            return Ok(());
        }
        if stream.partial.get(&part.seq).is_some_and(|assembly| assembly.contradicts(part)) {
            return Err(Violation::PartMismatch);
        }
        self.charge(part.stream, part.seq, end)?;
        let stream = self.stream(part.stream)?;
        let assembly = stream.partial.entry(part.seq).or_default();
        let before = assembly.held_bytes();
        assembly.insert(part);
        let (after, is_whole) = (assembly.held_bytes(), assembly.is_whole());
        if assembly.is_scattered() {
            return Err(Violation::Scattered);
        }
        let whole = if is_whole { stream.partial.remove(&part.seq) } else { None };
        // It may be less than before: pieces that became one cost only once.
        self.held_bytes = self.held_bytes + after - before;
        if let Some(assembly) = whole {
            self.held_bytes -= after;
            self.complete(part.stream, part.seq, part.unordered, assembly.into_body());
        }
        Ok(())
    }

    /// Takes the sender's word that messages will not come (UC-STR-011).
    pub fn on_skip(&mut self, skip: &Skip) -> Result<(), Violation> {
        for (seq, &size) in (skip.seq..).zip(&skip.sizes) {
            self.check_message(size)?;
            if !self.stream(skip.stream)?.admits(seq)? {
                continue;
            }
            self.charge(skip.stream, seq, size)?;
            let stream = self.stream(skip.stream)?;
            // What it had charged is given back: nobody will take it.
            let partial = stream.partial.remove(&seq);
            let (had, held) = partial.map_or((0, 0), |partial| (partial.extent(), partial.held_bytes()));
            let charged = size.max(had);
            stream.grant.consume(charged);
            stream.settled.insert(seq);
            self.grant.consume(charged);
            self.held_bytes -= held;
            self.advance(skip.stream);
        }
        Ok(())
    }

    /// The next message of a stream, in order where its sender wanted order.
    pub fn take(&mut self, stream: u32) -> Option<Received> {
        let state = self.streams.get_mut(&stream)?;
        let received = state.ready.pop_front()?;
        super::give_back(&mut state.ready);
        let bytes = received.body.len() as u64;
        state.grant.consume(bytes);
        self.grant.consume(bytes);
        self.held_bytes -= bytes;
        Some(received)
    }

    /// A stream that has something to take, once for each time that it got something.
    pub fn poll_readable(&mut self) -> Option<u32> {
        let stream = self.readable.pop_front();
        super::give_back(&mut self.readable);
        stream
    }

    /// Windows that are worth telling anew, the connection's first (UC-STR-010). [`RecvStreams::on_window_sent`] marks one as told.
    pub fn next_windows(&self) -> impl Iterator<Item = Window> {
        let connection = self.grant.next_edge().map(|bytes| Window::Connection { bytes });
        let streams = self.streams.iter().filter_map(|(&stream, state)| {
            let seq = state.next_seq_edge(self.limits.stream_messages);
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
            Window::Connection { bytes } => self.grant.tell(bytes),
            Window::Stream { stream, bytes, seq } => {
                if let Some(state) = self.streams.get_mut(&stream) {
                    state.grant.tell(bytes);
                    state.seq_edge = seq;
                }
            }
        }
    }

    /// The windows as they were last told, to repeat a frame that was lost.
    pub fn told_window(&self, stream: Option<u32>) -> Option<Window> {
        match stream {
            None => Some(Window::Connection { bytes: self.grant.edge() }),
            Some(stream) => self.streams.get(&stream).map(|state| Window::Stream {
                stream,
                bytes: state.grant.edge(),
                seq: state.seq_edge,
            }),
        }
    }

    /// The memory that is taken by what waits for the application or for its missing neighbours.
    pub const fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// How much of the connection's window is in use, for the bound's checker.
    pub const fn charged_bytes(&self) -> u64 {
        self.grant.held()
    }

    /// Entries in every table, for the bound's checker.
    pub fn entries(&self) -> usize {
        self.streams
            .values()
            .map(|state| {
                let holes: usize = state.partial.values().map(Assembly::entries).sum();
                holes + state.held.len() + state.ready.len() + state.settled.as_slice().len()
            })
            .sum()
    }

    fn check_message(&self, length: u64) -> Result<(), Violation> {
        if length > self.limits.message_bytes { Err(Violation::MessageLimit) } else { Ok(()) }
    }

    fn stream(&mut self, stream: u32) -> Result<&mut RecvStream, Violation> {
        if stream >= self.limits.streams {
            return Err(Violation::StreamLimit);
        }
        let limits = self.limits;
        Ok(self.streams.entry(stream).or_insert_with(|| RecvStream {
            floor: 0,
            settled: Ranges::default(),
            held: BTreeMap::new(),
            partial: BTreeMap::new(),
            ready: VecDeque::new(),
            grant: Grant::new(limits.stream_bytes, limits.message_bytes),
            seq_edge: limits.stream_messages,
        }))
    }

    /// Charges what a message has newly shown of its length. An unfinished message counts up to its furthest byte.
    fn charge(&mut self, stream: u32, seq: u64, extent: u64) -> Result<(), Violation> {
        let state = self.stream(stream)?;
        let known = state.partial.get(&seq).map_or(0, Assembly::extent);
        let more = extent.saturating_sub(known);
        let within_stream = state.grant.receive(more);
        if within_stream && self.grant.receive(more) { Ok(()) } else { Err(Violation::WindowOverrun) }
    }

    fn complete(&mut self, stream: u32, seq: u64, unordered: bool, body: Vec<u8>) {
        let Some(state) = self.streams.get_mut(&stream) else {
            return;
        };
        state.settled.insert(seq);
        // It may have begun in fragments and come whole.
        let replaced = state.partial.remove(&seq).map_or(0, |partial| partial.held_bytes());
        self.held_bytes = self.held_bytes + body.len() as u64 - replaced;
        if unordered {
            state.ready.push_back(Received { seq, body });
            self.readable.push_back(stream);
        } else {
            state.held.insert(seq, body);
        }
        self.advance(stream);
    }

    /// Moves the floor over what is settled and makes ready what waited for it (UC-STR-004).
    fn advance(&mut self, stream: u32) {
        let Some(state) = self.streams.get_mut(&stream) else {
            return;
        };
        let Some(&[first, last]) = state.settled.as_slice().first() else {
            return;
        };
        if first > state.floor + 1 {
            return;
        }
        state.floor = state.floor.max(last);
        state.settled.remove_below(state.floor + 1);
        let still_held = state.held.split_off(&(state.floor + 1));
        let released = std::mem::replace(&mut state.held, still_held);
        if !released.is_empty() {
            self.readable.push_back(stream);
        }
        state.ready.extend(released.into_iter().map(|(seq, body)| Received { seq, body }));
    }
}

impl RecvStream {
    /// Whether a message is still wanted: false if it was settled before (UC-STR-003).
    fn admits(&self, seq: u64) -> Result<bool, Violation> {
        if seq > self.seq_edge {
            return Err(Violation::WindowOverrun);
        }
        Ok(seq > self.floor && !self.settled.contains(seq))
    }

    /// The next edge of message numbers, once a quarter of the window was used. Messages that nobody took count as used, so an
    /// application that does not read bounds its own queue.
    fn next_seq_edge(&self, window: u64) -> Option<u64> {
        let edge = (self.floor + window).saturating_sub(self.ready.len() as u64);
        (edge >= self.seq_edge + window.div_ceil(4)).then_some(edge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        message_bytes: 100,
        connection_bytes: 400,
        stream_bytes: 200,
        stream_messages: 8,
        streams: 2,
        datagram_bytes: 1_200,
        ack_delay_us: 0,
        idle_ms: 0,
    };

    fn message(seq: u64, unordered: bool, body: &[u8]) -> Messages<'_> {
        Messages { stream: 0, seq, unordered, bodies: vec![body] }
    }

    fn part(offset: u64, last: bool, body: &[u8]) -> Part<'_> {
        Part { stream: 0, seq: 1, unordered: false, offset, last, body }
    }

    fn taken(streams: &mut RecvStreams) -> Vec<String> {
        std::iter::from_fn(|| streams.take(0))
            .map(|received| format!("{}:{}", received.seq, String::from_utf8(received.body).unwrap()))
            .collect()
    }

    // UC-STR-003, UC-STR-004
    #[test]
    fn ordered_messages_wait_for_each_other_and_unordered_ones_for_nobody() {
        let mut streams = RecvStreams::new(LIMITS);
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
        let mut streams = RecvStreams::new(LIMITS);
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
        let mut streams = RecvStreams::new(LIMITS);
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
        let mut streams = RecvStreams::new(LIMITS);
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
        assert_eq!(act(&mut RecvStreams::new(LIMITS)), Err(expected));
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
        let mut streams = RecvStreams::new(LIMITS);
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
