//! The sender's side of streams: messages wait here, whole, until the other side has them.
//!
//! A packet only names what it carried ([`Content`]); the bytes stay in the message. So a retransmission takes what is still
//! needed and nothing else, and an ack that comes twice does no harm.

mod copies;
mod fill;
mod repair;
mod stretch;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

pub use copies::{Spare, longest_copied};

use super::config::Config;
use super::event::{Outcome, SendError};
use super::flow::Credit;
use super::ranges::Ranges;
use super::sent::Content;
use crate::time::Instant;
use crate::wire::{Limits, MAX_SYMBOLS};

/// How one message is to travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendOptions {
    /// Hand it over as soon as it is whole, not after the messages before it.
    pub unordered: bool,
    /// Give it up at this time if it has not arrived.
    pub deadline: Option<Instant>,
    /// The other side caused it: what it takes is told apart in what is owed.
    pub is_answer: bool,
    /// Its outcome is told to nobody, and only that there was one. Who sends the same to a thousand others has no use for a
    /// thousand fates.
    pub is_quiet: bool,
}

/// All streams of one direction.
#[derive(Debug)]
pub struct SendStreams {
    streams: Vec<SendStream>,
    /// What was lost and is still wanted, oldest loss first.
    again: VecDeque<Content>,
    /// What was lost when nothing new was left to say, and how many more copies of it leave: the end of a transfer need not wait for
    /// one loss after another.
    ends: VecDeque<(Content, u32)>,
    /// Messages that were lost and get a symbol in the next packet that leaves anyway, before they are sent again.
    to_repair: VecDeque<(u32, u64)>,
    deadlines: BTreeSet<(Instant, u32, u64)>,
    credit: Credit,
    limits: Limits,
    queued_bytes: usize,
    /// Those of answers.
    owed_bytes: usize,
    queued_messages: usize,
    max_queued_bytes: usize,
    max_queued_messages: usize,
    /// The stream that the next packet begins with, so that none starves another.
    turn: usize,
    /// What [`SendStreams::poll_outcome`] has still to tell.
    outcomes: VecDeque<(u32, u64, Outcome)>,
    /// Whether a quiet message was settled since the last time that somebody asked.
    has_settled: bool,
}

#[derive(Debug)]
struct SendStream {
    /// The number of the first entry of `messages`.
    base: u64,
    messages: VecDeque<Outgoing>,
    /// The number of the first message that was not wholly sent once.
    next_new: u64,
    /// Where in an outage the next packet goes on with what is missing.
    missing_from: u64,
    /// The first message that was not sent yet when an ack was overdue last.
    doubt_below: u64,
    bytes: Credit,
    seq_edge: u64,
}

#[derive(Debug)]
struct Outgoing {
    /// Shared, so that one line to a thousand receivers is held once; None once it is settled.
    body: Option<Arc<[u8]>>,
    length: u64,
    options: SendOptions,
    phase: Phase,
    /// Bytes sent at least once.
    sent_bytes: u64,
    /// Bytes that arrived, of a message that travels in parts.
    acked: Ranges,
    /// How often a message that travels whole was sent.
    copies: u32,
    /// Whether it is in `again`.
    is_again: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    OnItsWay,
    /// Given up; the other side has still to learn it. `charged` is what it took of the windows.
    Skipped {
        charged: u64,
    },
    Settled,
}

impl SendStreams {
    /// No message yet. `limits` are the other side's, as far as they are known.
    pub const fn new(config: &Config, limits: Limits) -> Self {
        Self {
            streams: Vec::new(),
            again: VecDeque::new(),
            ends: VecDeque::new(),
            to_repair: VecDeque::new(),
            deadlines: BTreeSet::new(),
            credit: Credit::new(limits.connection_bytes),
            limits: within_windows(limits),
            queued_bytes: 0,
            owed_bytes: 0,
            queued_messages: 0,
            max_queued_bytes: config.send_queue_bytes,
            max_queued_messages: config.send_queue_messages,
            turn: 0,
            outcomes: VecDeque::new(),
            has_settled: false,
        }
    }

    /// The handshake told what the other side really accepts. What was queued for more than that fails.
    pub fn establish(&mut self, limits: Limits) {
        let limits = within_windows(limits);
        self.limits = limits;
        self.credit = Credit::new(limits.connection_bytes);
        for (stream, state) in (0_u32..).zip(&mut self.streams) {
            state.bytes = Credit::new(limits.stream_bytes);
            state.seq_edge = limits.stream_messages;
            for (seq, message) in (state.base..).zip(&mut state.messages) {
                let is_granted = stream < limits.streams;
                let fits = message.length <= limits.message_bytes && is_granted;
                if message.phase == Phase::Waiting && !fits {
                    let (freed, owed) = message.drop_body();
                    self.queued_bytes -= freed;
                    self.owed_bytes -= owed;
                    message.phase = Phase::Skipped { charged: 0 };
                    self.outcomes.push_back((stream, seq, Outcome::TooLong));
                }
                // On a stream that there is not, nobody can be told that a message was given up.
                if !is_granted && message.phase != Phase::Settled {
                    message.phase = Phase::Settled;
                    self.queued_messages -= 1;
                }
            }
        }
    }

    /// Queues a message and tells its number (UC-STR-001).
    pub fn submit(&mut self, stream: u32, body: Arc<[u8]>, options: SendOptions) -> Result<u64, SendError> {
        if stream >= self.limits.streams {
            return Err(SendError::NoSuchStream { limit: self.limits.streams });
        }
        let length = body.len() as u64;
        // What would not fit even into the empty queue would wait for ever.
        let limit = self.limits.message_bytes.min(self.max_queued_bytes as u64);
        if length > limit {
            return Err(SendError::TooLong { limit });
        }
        if self.queued_messages >= self.max_queued_messages
            || self.queued_bytes + body.len() > self.max_queued_bytes
        {
            return Err(SendError::WouldBlock);
        }
        while self.streams.len() <= stream as usize {
            self.streams.push(SendStream {
                base: 1,
                messages: VecDeque::new(),
                next_new: 1,
                missing_from: 1,
                doubt_below: 1,
                bytes: Credit::new(self.limits.stream_bytes),
                seq_edge: self.limits.stream_messages,
            });
        }
        let state = &mut self.streams[stream as usize];
        let seq = state.base + state.messages.len() as u64;
        self.queued_bytes += body.len();
        self.owed_bytes += if options.is_answer { body.len() } else { 0 };
        self.queued_messages += 1;
        if let Some(deadline) = options.deadline {
            self.deadlines.insert((deadline, stream, seq));
        }
        state.messages.push_back(Outgoing {
            body: Some(body),
            length,
            options,
            phase: Phase::Waiting,
            sent_bytes: 0,
            acked: Ranges::default(),
            copies: 0,
            is_again: false,
        });
        Ok(seq)
    }

    /// Whether a packet could carry something now, were there room in the congestion window.
    pub fn has_work(&self) -> bool {
        // Most connections have nothing to say, and of a silent one little is at hand.
        if self.queued_messages == 0 {
            return false;
        }
        self.again
            .iter()
            .chain(self.ends.iter().map(|(content, _)| content))
            .any(|&content| self.is_wanted(content))
            || (0..self.streams.len()).any(|index| self.is_sendable(index))
    }

    /// Whether more than so many bytes wait to leave for the first time.
    pub fn is_behind(&self, bytes: u64) -> bool {
        self.queued_bytes as u64 > bytes
            && self.streams.iter().any(|state| {
                let mut waiting = bytes;
                let from = usize::try_from(state.next_new - state.base).unwrap_or(usize::MAX);
                // What fits in so many bytes bounds the walk, but for messages of nothing.
                state.messages.iter().skip(from).take(bytes as usize).any(|message| {
                    let left = waiting.checked_sub(message.length.max(1));
                    waiting = left.unwrap_or_default();
                    left.is_none()
                })
            })
    }

    /// Whether nothing is left that the other side does not have.
    pub fn is_empty(&self) -> bool {
        self.queued_messages == 0
    }

    /// How many streams the other side granted.
    pub const fn stream_count(&self) -> u32 {
        self.limits.streams
    }

    /// Bytes and messages that wait for the other side to have them.
    pub const fn queued(&self) -> (usize, usize) {
        (self.queued_bytes, self.queued_messages)
    }

    /// Bytes of answers among them.
    pub const fn owed_bytes(&self) -> usize {
        self.owed_bytes
    }

    /// Whether a submission of so many bytes that was refused for want of room would be worth another try: a quarter of
    /// the queue is free, and it fits.
    pub const fn has_room(&self, bytes: usize) -> bool {
        self.queued_bytes <= self.max_queued_bytes / 4 * 3
            && self.queued_bytes + bytes <= self.max_queued_bytes
            && self.queued_messages <= self.max_queued_messages / 4 * 3
    }

    /// The other side has it.
    pub fn on_acked(&mut self, content: Content) {
        match content {
            Content::Messages { stream, seq, count } => {
                self.settle_arrived(stream, seq, seq + u64::from(count));
            }
            Content::Part { stream, seq, offset, length } => {
                let Some(message) = self.outgoing(stream, seq) else {
                    return;
                };
                if (offset, length) == (0, message.length) {
                    self.settle_arrived(stream, seq, seq + 1);
                } else if message.phase == Phase::OnItsWay {
                    message.acked.insert_range(offset, offset + length - 1);
                    if message.acked.as_slice() == [[0, message.length - 1]] {
                        self.settle_arrived(stream, seq, seq + 1);
                    }
                }
            }
            Content::Skip { stream, seq } => {
                self.settle_where(stream, seq, seq + 1, None, |phase| matches!(phase, Phase::Skipped { .. }));
            }
            // What it says to have comes before what it acks: the symbol was not enough.
            Content::Repair { stream, seq } => self.send_message_again(stream, seq),
            _ => {}
        }
    }

    /// The other side has all of a stream up to `seq`, by its own word (UC-STR-017). False if that cannot be, because it never left.
    pub fn on_have(&mut self, stream: u32, seq: u64) -> bool {
        let Some(state) = self.streams.get(stream as usize).filter(|state| seq < state.next_new) else {
            return false;
        };
        let base = state.base;
        self.settle_arrived(stream, base, seq + 1);
        true
    }

    /// Its packet was lost. `is_repaired` tells whether symbols are on their way that may say the same, and `copies` how many it
    /// takes for one to arrive.
    pub fn on_lost(&mut self, content: Content, is_repaired: bool, copies: u32) {
        match content {
            Content::Messages { stream, seq, count } => {
                for seq in seq..seq + u64::from(count) {
                    if is_repaired && self.may_be_repaired(stream, seq) {
                        self.to_repair.push_back((stream, seq));
                    } else {
                        self.send_message_again(stream, seq);
                        self.send_more_at_the_end(Content::Messages { stream, seq, count: 1 }, copies);
                    }
                    if self.to_repair.len() > MAX_SYMBOLS {
                        // More than the next packet's symbols can make up for.
                        self.stop_repairing();
                    }
                }
            }
            Content::Repair { stream, seq } => self.send_message_again(stream, seq),
            content if self.is_wanted(content) => {
                self.again.push_back(content);
                self.send_more_at_the_end(content, copies);
            }
            _ => {}
        }
    }

    /// Where nothing new waits, the link is free for copies of what is repeated.
    fn send_more_at_the_end(&mut self, content: Content, copies: u32) {
        let piece = match content {
            Content::Part { .. } => Some(content),
            Content::Messages { stream, seq, .. } => self.peek(stream, seq).and_then(|message| {
                let is_long = message.length > copies::KEPT_WHOLE_BYTES && message.phase == Phase::OnItsWay;
                is_long.then_some(Content::Part { stream, seq, offset: 0, length: message.length })
            }),
            _ => None,
        };
        if let Some(piece) = piece
            && !(0..self.streams.len()).any(|index| self.is_sendable(index))
        {
            self.ends.push_back((piece, copies.max(2) - 1));
        }
    }

    fn send_message_again(&mut self, stream: u32, seq: u64) {
        // Another packet with a copy of it may have been lost, too.
        if let Some(message) = self.outgoing(stream, seq)
            && message.phase == Phase::OnItsWay
            && !std::mem::replace(&mut message.is_again, true)
        {
            self.again.push_back(Content::Messages { stream, seq, count: 1 });
        }
    }

    /// Gives up what is past its deadline.
    pub fn expire(&mut self, now: Instant) {
        while let Some(&(deadline, stream, seq)) = self.deadlines.first() {
            if deadline > now {
                return;
            }
            self.deadlines.pop_first();
            self.skip(stream, seq);
        }
    }

    /// When the next message will be past its deadline.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, ..)| deadline)
    }

    /// The other side granted more, to all streams.
    pub const fn raise_connection(&mut self, bytes: u64) {
        self.credit.raise(bytes);
    }

    /// The other side granted more, to one stream.
    pub fn raise_stream(&mut self, stream: u32, bytes: u64, seq: u64) {
        if let Some(state) = self.streams.get_mut(stream as usize) {
            state.bytes.raise(bytes);
            state.seq_edge = state.seq_edge.max(seq);
        }
    }

    /// The connection is over: every message that has no outcome gets one.
    pub fn abandon(&mut self) {
        for (stream, state) in (0_u32..).zip(&mut self.streams) {
            for (seq, message) in (state.base..).zip(state.messages.drain(..)) {
                let outcome = match message.phase {
                    Phase::Waiting => Outcome::NotSent,
                    Phase::OnItsWay => Outcome::Unknown,
                    Phase::Skipped { .. } | Phase::Settled => continue,
                };
                if message.options.is_quiet {
                    self.has_settled = true;
                    continue;
                }
                self.outcomes.push_back((stream, seq, outcome));
            }
        }
        self.again.clear();
        self.ends.clear();
        self.to_repair.clear();
        self.deadlines.clear();
        (self.queued_bytes, self.owed_bytes, self.queued_messages) = (0, 0, 0);
    }

    /// What became of a message, once for each.
    pub fn poll_outcome(&mut self) -> Option<(u32, u64, Outcome)> {
        self.outcomes.pop_front()
    }

    /// Gives back what is kept for messages to come: nothing was said for a while.
    pub fn rest(&mut self) {
        self.streams.iter_mut().for_each(|stream| stream.messages.shrink_to_fit());
        self.streams.shrink_to_fit();
        self.again.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.outcomes.shrink_to_fit();
    }

    /// Whether quiet messages were settled since the last time.
    pub const fn take_settled(&mut self) -> bool {
        std::mem::replace(&mut self.has_settled, false)
    }

    fn outgoing(&mut self, stream: u32, seq: u64) -> Option<&mut Outgoing> {
        self.streams.get_mut(stream as usize)?.peek_mut(seq)
    }

    fn peek(&self, stream: u32, seq: u64) -> Option<&Outgoing> {
        self.streams.get(stream as usize)?.peek(seq)
    }

    /// Whether the other side still needs it.
    fn is_wanted(&self, content: Content) -> bool {
        match content {
            // Those in `again` are single ones, and some were sent again meanwhile for another reason.
            Content::Messages { stream, seq, .. } => self
                .peek(stream, seq)
                .is_some_and(|message| message.phase == Phase::OnItsWay && message.is_again),
            Content::Part { stream, seq, offset, length } => self.peek(stream, seq).is_some_and(|message| {
                message.phase == Phase::OnItsWay
                    && message.acked.gaps(offset, offset + length - 1).next().is_some()
            }),
            Content::Skip { stream, seq } => {
                self.peek(stream, seq).is_some_and(|message| matches!(message.phase, Phase::Skipped { .. }))
            }
            _ => false,
        }
    }

    /// Charges a message to the windows when it is begun (UC-STR-007).
    fn charge(&mut self, stream: u32, seq: u64) {
        let Some(message) = self.outgoing(stream, seq) else {
            return;
        };
        if message.phase != Phase::Waiting {
            return;
        }
        message.phase = Phase::OnItsWay;
        let length = message.length;
        self.credit.spend(length);
        self.streams[stream as usize].bytes.spend(length);
    }

    /// Gives up one message (UC-STR-011).
    fn skip(&mut self, stream: u32, seq: u64) {
        let Some(message) = self.outgoing(stream, seq) else {
            return;
        };
        let (charged, outcome) = match message.phase {
            Phase::Waiting => (0, Outcome::Expired),
            Phase::OnItsWay => (message.length, Outcome::Unknown),
            Phase::Skipped { .. } | Phase::Settled => return,
        };
        // One that waits is told when its turn comes: until then its number may be beyond the window.
        let is_begun = message.phase == Phase::OnItsWay;
        message.phase = Phase::Skipped { charged };
        let (freed, owed) = message.drop_body();
        self.queued_bytes -= freed;
        self.owed_bytes -= owed;
        if is_begun {
            self.again.push_back(Content::Skip { stream, seq });
        }
        self.outcomes.push_back((stream, seq, outcome));
    }

    /// The other side has the messages from `first` on and below `end`, as far as they are on their way.
    fn settle_arrived(&mut self, stream: u32, first: u64, end: u64) {
        let outcome = Some(Outcome::Arrived);
        self.settle_where(stream, first, end, outcome, |phase| phase == Phase::OnItsWay);
    }

    /// Ends the lives here of the messages from `first` on and below `end` that are meant, and forgets all settled ones at the
    /// stream's front.
    fn settle_where(
        &mut self,
        stream: u32,
        first: u64,
        end: u64,
        outcome: Option<Outcome>,
        is_meant: fn(Phase) -> bool,
    ) {
        let Some(state) = self.streams.get_mut(stream as usize) else {
            return;
        };
        let first = first.max(state.base);
        let [from, to] = [first, end].map(|seq| {
            usize::try_from(seq.saturating_sub(state.base))
                .map_or(state.messages.len(), |index| index.min(state.messages.len()))
        });
        for (seq, message) in (first..).zip(state.messages.range_mut(from.min(to)..to)) {
            if !is_meant(message.phase) {
                continue;
            }
            message.phase = Phase::Settled;
            message.acked = Ranges::default();
            let (freed, owed) = message.drop_body();
            self.queued_bytes -= freed;
            self.owed_bytes -= owed;
            self.queued_messages -= 1;
            if let Some(deadline) = message.options.deadline {
                self.deadlines.remove(&(deadline, stream, seq));
            }
            if message.options.is_quiet {
                self.has_settled = true;
            } else if let Some(outcome) = outcome {
                self.outcomes.push_back((stream, seq, outcome));
            }
        }
        while state.messages.front().is_some_and(|message| message.phase == Phase::Settled) {
            state.messages.pop_front();
            state.base += 1;
        }
        state.next_new = state.next_new.max(state.base);
    }
}

impl Outgoing {
    /// What is left of it to say.
    fn body(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_default()
    }

    /// Frees the bytes: how many, and how many of them are an answer's.
    fn drop_body(&mut self) -> (usize, usize) {
        let freed = self.body.take().map_or(0, |body| body.len());
        (freed, if self.options.is_answer { freed } else { 0 })
    }
}

impl SendStream {
    fn peek(&self, seq: u64) -> Option<&Outgoing> {
        self.messages.get(usize::try_from(seq.checked_sub(self.base)?).ok()?)
    }

    fn peek_mut(&mut self, seq: u64) -> Option<&mut Outgoing> {
        self.messages.get_mut(usize::try_from(seq.checked_sub(self.base)?).ok()?)
    }

    fn peek_new(&self) -> Option<&Outgoing> {
        self.peek(self.next_new)
    }
}

/// A message is charged whole: one that is longer than a window would wait for ever.
const fn within_windows(mut limits: Limits) -> Limits {
    let window = if limits.stream_bytes < limits.connection_bytes {
        limits.stream_bytes
    } else {
        limits.connection_bytes
    };
    if limits.message_bytes > window {
        limits.message_bytes = window;
    }
    limits
}
