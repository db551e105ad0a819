//! The wiring of one connection: who is asked in which order when a packet comes, a command, a time-out.
//!
//! Four families of methods: commands (`submit`, `close`, ...), `handle_*`, `poll_*`, and questions. After any command or
//! `handle_*`, drain `poll_transmit` and `poll_event` to None, then read `poll_timeout`.

mod handle;
mod protection;
mod timeout;
mod transmit;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

pub use timeout::Reason;

use protection::Protection;

use super::ack::Arrivals;
use super::config::Config;
use super::congestion::{Congestion, Controller};
use super::event::{Closed, Event, SendError, Violation};
use super::loss::LossDetector;
use super::mtu::PathMtu;
use super::pacing::Pacer;
use super::ranges::Ranges;
use super::recv::{Received, RecvStreams};
use super::redundancy::Redundancy;
use super::rtt::Rtt;
use super::send::{SendOptions, SendStreams};
use super::sent::{SentPacket, SentPackets};
use super::statistics::Statistics;
use crate::machine::Path;
use crate::secure::Entropy;
use crate::time::Instant;
use crate::wire::{ConnectionId, Limits};

/// One connection, from its first hello to the last echo of its close.
#[derive(Debug)]
pub struct Connection {
    /// Shared: a relay has thousands of connections that are alike.
    config: Arc<Config>,
    /// The name that packets to us carry.
    local_id: ConnectionId,
    /// The name that packets from us carry; None until the welcome.
    remote_id: Option<ConnectionId>,
    /// The keys; None in the clear.
    protection: Option<Box<Protection>>,
    state: State,
    /// Whether this side pings when nothing is said: the side that asked for the connection does.
    wanted: bool,
    /// Whether the application waits for the other side's own word.
    attentive: bool,
    /// Where packets go. It has proved that it receives.
    path: Path,
    /// Where packets have begun to come from, until that has proved the same.
    candidate: Option<Box<Candidate>>,
    /// Challenges to answer, each where it came from.
    answers: VecDeque<(Path, u64)>,
    /// What challenges are drawn from: the other side sees some of them and must not foresee the next.
    secrets: Entropy,

    arrivals: Arrivals,
    sent: SentPackets,
    loss: LossDetector,
    rtt: Rtt,
    congestion: Congestion,
    pacer: Pacer,
    mtu: PathMtu,
    redundancy: Redundancy,
    send: SendStreams,
    /// Whether the last packet with new messages had symbols of those before, or was due none.
    is_repairing: bool,
    recv: RecvStreams,
    grams_out: VecDeque<(Vec<u8>, Option<Instant>)>,
    grams_in: VecDeque<Vec<u8>>,
    /// Windows whose frame was lost: None is the connection's.
    windows_again: Vec<Option<u32>>,
    ping_due: bool,
    /// The `low` that was told last.
    low_told: u64,

    /// What the other side declared as its longest wait before an ack.
    peer_ack_delay: Duration,
    /// How long it lately waited: what is not shown is not waited for (UC-ARQ-010).
    ack_delay: Duration,
    /// After this much silence the connection is given up.
    idle_timeout: Duration,
    last_heard: Instant,
    last_sent: Instant,
    /// Since when an answer is owed.
    awaiting_since: Option<Instant>,
    silent: bool,
    /// Nothing but the answer to our close is taken any more.
    deaf: bool,
    /// The longest message that was refused for want of room.
    blocked: Option<usize>,
    events: VecDeque<Event>,
    statistics: Statistics,
    /// The bytes behind the head of the packet being written.
    scratch: Vec<u8>,
    /// The packets of the ack being handled.
    acked: Vec<(u64, SentPacket)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// The handshake is under way: messages may be queued, nothing can be sent.
    Connecting,
    Open,
    /// Close was asked for; what is queued goes first.
    Flushing(Box<Flushing>),
    /// Close frames go out until one is answered.
    Closing(Box<Closing>),
    /// Nothing is left but to answer a close that comes again.
    Closed {
        answer_due: bool,
        forget_at: Instant,
    },
}

/// Apart, as [`Closing`] is: each connection would hold the room for it all its life.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flushing {
    code: &'static str,
    reason: String,
    until: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Closing {
    code: &'static str,
    reason: String,
    tries: u32,
    next_at: Instant,
    closed: Closed,
}

/// An address that packets come from and that has not proved that it receives them.
#[derive(Debug)]
struct Candidate {
    path: Path,
    token: u64,
    received_bytes: u64,
    sent_bytes: u64,
    tries: u32,
    next_at: Instant,
}

impl Connection {
    /// The most unreliable messages that wait in either direction: a tenth of a second of a busy game. More would be late anyway.
    const MAX_GRAMS: usize = 256;

    /// A connection that waits for its handshake. Messages may be queued already.
    pub fn new(
        now: Instant,
        config: &Arc<Config>,
        local_id: ConnectionId,
        path: Path,
        wanted: bool,
        secrets: Entropy,
    ) -> Self {
        Self {
            config: Arc::clone(config),
            local_id,
            remote_id: None,
            protection: None,
            state: State::Connecting,
            wanted,
            attentive: false,
            path,
            candidate: None,
            answers: VecDeque::new(),
            secrets,
            arrivals: Arrivals::new(Duration::from_micros(config.limits.ack_delay_us)),
            sent: SentPackets::new(),
            loss: LossDetector::new(),
            rtt: Rtt::new(),
            congestion: Congestion::new(),
            pacer: Pacer::new(now),
            mtu: PathMtu::new(config.datagram_bytes, config.longest_datagram_bytes),
            redundancy: Redundancy::new(now),
            // Until the welcome tells better, the other side is taken to accept what we accept.
            send: SendStreams::new(config, config.limits),
            is_repairing: false,
            recv: RecvStreams::new(config),
            grams_out: VecDeque::new(),
            grams_in: VecDeque::new(),
            windows_again: Vec::new(),
            ping_due: false,
            low_told: 1,
            peer_ack_delay: Duration::ZERO,
            ack_delay: Duration::ZERO,
            idle_timeout: config.idle_timeout,
            last_heard: now,
            last_sent: now,
            awaiting_since: None,
            silent: false,
            deaf: false,
            blocked: None,
            events: VecDeque::new(),
            statistics: Statistics::default(),
            scratch: Vec::new(),
            acked: Vec::new(),
        }
    }

    /// The handshake is complete: the other side is `remote_id`, accepts `limits` and is at `path`.
    pub fn establish(&mut self, now: Instant, remote_id: ConnectionId, limits: &Limits, path: Path) {
        if self.state != State::Connecting {
            return;
        }
        self.state = State::Open;
        self.remote_id = Some(remote_id);
        self.path = path;
        self.last_heard = now;
        // An ack delay beyond a quarter of a second would switch retransmission off; it is not believed.
        self.peer_ack_delay = Duration::from_micros(limits.ack_delay_us.min(250_000));
        self.ack_delay = self.peer_ack_delay.min(handle::LEAST_ACK_DELAY);
        self.idle_timeout = self.config.idle_timeout.min(Duration::from_millis(limits.idle_ms.max(1_000)));
        self.mtu.establish(datagram_bytes(limits));
        self.send.establish(*limits);
        // The side that was welcomed must be heard once, or the other side keeps no state (UC-HS-008). Whatever
        // else goes out takes the ping's place.
        self.ping_due = self.wanted;
        self.events.push_back(Event::Connected);
        self.announce_outcomes();
    }

    /// The handshake measured a round trip.
    pub fn seed_rtt(&mut self, now: Instant, round_trip: Duration) {
        self.rtt.sample(now, round_trip, Duration::ZERO);
        self.congestion.on_first_rtt(round_trip);
    }

    /// Queues a message on a stream and tells its number, from 1.
    pub fn submit(
        &mut self,
        stream: u32,
        body: impl Into<Arc<[u8]>>,
        options: SendOptions,
    ) -> Result<u64, SendError> {
        let body = body.into();
        if !matches!(self.state, State::Connecting | State::Open) {
            return Err(SendError::Closed);
        }
        let length = body.len();
        let result = self.send.submit(stream, body, options);
        if result == Err(SendError::WouldBlock) {
            self.blocked = self.blocked.max(Some(length));
        }
        result
    }

    /// Queues a message that is sent once, before `deadline` or never (UC-STR-012). If too many wait, the oldest is dropped: it is
    /// the latest.
    pub fn submit_gram(&mut self, body: Vec<u8>, deadline: Option<Instant>) -> Result<(), SendError> {
        if !matches!(self.state, State::Connecting | State::Open) {
            return Err(SendError::Closed);
        }
        let limit = self.max_gram_bytes();
        if body.len() > limit {
            return Err(SendError::TooLong { limit: limit as u64 });
        }
        if self.grams_out.len() == Self::MAX_GRAMS {
            self.grams_out.pop_front();
            self.statistics.grams_dropped += 1;
        }
        self.grams_out.push_back((body, deadline));
        Ok(())
    }

    /// The longest unreliable message: it must fit in one packet beside the longest head.
    pub fn max_gram_bytes(&self) -> usize {
        self.config.datagram_bytes - GRAM_MARGIN_BYTES
    }

    /// Tells whether the application waits for the other side's own word: then silence is noticed sooner.
    pub const fn set_attentive(&mut self, attentive: bool) {
        self.attentive = attentive;
    }

    /// There is reason to think that the link is back: a packet goes out now, and not when the next probe would be due.
    pub const fn probe(&mut self) {
        self.loss.on_heard();
        self.ping_due = true;
    }

    /// The next message of a stream, taken out of the receive buffer; the window grows by it.
    pub fn take(&mut self, stream: u32) -> Option<Received> {
        self.recv.take(stream)
    }

    /// The same into `body`, which keeps its memory; tells the message's number.
    pub fn take_into(&mut self, stream: u32, body: &mut Vec<u8>) -> Option<u64> {
        self.recv.take_into(stream, body)
    }

    /// The next unreliable message.
    pub fn take_gram(&mut self) -> Option<Vec<u8>> {
        self.grams_in.pop_front()
    }

    /// Ends the connection gracefully: what is queued goes first, for a bounded time (UC-CLOSE-001). `code` is from the registry.
    pub fn close(&mut self, now: Instant, code: &'static str, reason: &str) {
        match self.state {
            State::Connecting => self.finish(now, Closed::ByUs),
            State::Open => {
                let until = now + self.config.flush_timeout;
                self.state = State::Flushing(Box::new(Flushing { code, reason: clip(reason), until }));
            }
            State::Flushing(_) | State::Closing(_) | State::Closed { .. } => {}
        }
    }

    /// Ends the connection without waiting for anything but the answer to its close: what has no outcome gets one now.
    pub fn give_up(&mut self, now: Instant, code: &'static str, reason: &str) {
        match self.state {
            State::Connecting => self.finish(now, Closed::ByUs),
            State::Open | State::Flushing(_) => {
                self.begin_closing_now(now, code, clip(reason), Closed::ByUs);
            }
            State::Closing(_) | State::Closed { .. } => {}
        }
    }

    /// Ends the connection now, without a word: nobody would hear it.
    pub fn abort(&mut self, now: Instant, closed: Closed) {
        self.finish(now, closed);
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.announce_outcomes();
        let event = self.events.pop_front();
        if matches!(event, Some(Event::Closed(_))) {
            // After the close nothing is handed over (UC-CLOSE-005), so nothing is kept.
            self.recv = RecvStreams::new(&self.config);
            self.grams_in.clear();
        }
        event
    }

    /// The name that packets to us carry.
    pub const fn local_id(&self) -> ConnectionId {
        self.local_id
    }

    /// The name that packets from us carry; None before the handshake is complete.
    pub const fn remote_id(&self) -> Option<ConnectionId> {
        self.remote_id
    }

    /// Where the other side is.
    pub const fn path(&self) -> Path {
        self.path
    }

    /// How many streams the other side granted; what we grant until it told.
    pub const fn stream_count(&self) -> u32 {
        self.send.stream_count()
    }

    /// Whether this side wants the connection even when nothing is said, or has something to say, and was not
    /// asked to end it.
    pub fn is_wanted(&self) -> bool {
        matches!(self.state, State::Connecting | State::Open) && (self.wanted || !self.send.is_empty())
    }

    /// Whether messages can travel.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open | State::Flushing(_))
    }

    /// Whether the connection is over.
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Whether it is over for so long that nothing about it need be remembered.
    pub fn is_forgettable(&self, now: Instant) -> bool {
        matches!(self.state, State::Closed { forget_at, .. } if forget_at <= now) && self.events.is_empty()
    }

    /// Whether an answer has been owed for long.
    pub const fn is_silent(&self) -> bool {
        self.silent
    }

    /// When the answer that is owed became too late.
    pub fn silent_since(&self) -> Instant {
        self.awaiting_since.unwrap_or(self.last_heard) + self.config.silent_after
    }

    /// Bytes and messages that wait for the other side to have them.
    pub const fn queued(&self) -> (usize, usize) {
        self.send.queued()
    }

    /// Bytes of answers among them: the other side caused them, and it is slow to take them.
    pub const fn owed_bytes(&self) -> usize {
        self.send.owed_bytes()
    }

    /// What was counted.
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The round-trip estimate.
    pub const fn rtt(&self) -> &Rtt {
        &self.rtt
    }

    /// The packets that arrived, for the checker of honest acks.
    pub const fn arrived(&self) -> &Ranges {
        self.arrivals.received()
    }

    /// What is held here, for the checker of bounds.
    pub fn load(&self) -> Load {
        Load {
            send_bytes: self.send.queued().0,
            receive_bytes: self.recv.held_bytes(),
            receive_window: self.recv.charged_bytes(),
            receive_entries: self.recv.entries(),
            tracked_packets: self.sent.tracked(),
            arrival_ranges: self.arrivals.range_count(),
            in_flight_bytes: self.sent.in_flight_bytes(),
        }
    }

    /// The memory that is taken by what waits for the application or for its missing neighbours.
    pub const fn held_bytes(&self) -> u64 {
        self.recv.held_bytes()
    }

    /// Forgets everything that waits to be taken, and takes nothing more: there is no memory for it.
    pub fn drop_received(&mut self) {
        self.recv = RecvStreams::new(&self.config);
        self.grams_in.clear();
        self.deaf = true;
    }

    fn violate(&mut self, now: Instant, violation: Violation) {
        if matches!(self.state, State::Closing(_) | State::Closed { .. }) {
            return;
        }
        // The packet that broke the rule was recorded before it was read; an ack would say that it was taken.
        self.arrivals.on_ack_sent();
        self.begin_closing_now(now, "violation", violation.rule().to_owned(), Closed::Violation(violation));
    }

    fn begin_closing_now(&mut self, now: Instant, code: &'static str, reason: String, closed: Closed) {
        self.send.abandon();
        self.grams_out.clear();
        self.state = State::Closing(Box::new(Closing { code, reason, tries: 0, next_at: now, closed }));
    }

    fn finish(&mut self, now: Instant, closed: Closed) {
        if self.is_closed() {
            return;
        }
        self.send.abandon();
        self.announce_outcomes();
        self.grams_out.clear();
        self.events.push_back(Event::Closed(closed));
        let forget_at = now + self.linger();
        self.state = State::Closed { answer_due: false, forget_at };
    }

    /// The time between two closes. However long a round trip seems to be, an end that nobody answers comes soon.
    fn close_interval(&self) -> Duration {
        self.loss.interval(&self.rtt, self.ack_delay, &self.config).min(self.config.probe_cap)
    }

    /// How long a closed connection is remembered: as long as the other side may repeat its close (UC-CLOSE-004).
    fn linger(&self) -> Duration {
        if self.remote_id.is_none() {
            return Duration::ZERO;
        }
        self.close_interval() * (Self::CLOSE_TRIES + 1)
    }

    fn announce_outcomes(&mut self) {
        while let Some((stream, seq, outcome)) = self.send.poll_outcome() {
            self.events.push_back(Event::Outcome { stream, seq, outcome });
        }
        if self.send.take_settled() && self.events.back() != Some(&Event::Settled) {
            self.events.push_back(Event::Settled);
        }
        // With less room than it needs the submission would be refused again at once, and announced again, without end.
        if let Some(length) = self.blocked
            && matches!(self.state, State::Open)
            && self.send.has_room(length)
        {
            self.blocked = None;
            self.events.push_back(Event::Writable);
        }
    }
}

/// What a connection holds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Bytes of messages that wait to arrive.
    pub send_bytes: usize,
    /// The memory that messages take which wait to be taken or completed.
    pub receive_bytes: u64,
    /// How much of the window they use: a message that is not complete counts as far as it reaches.
    pub receive_window: u64,
    /// Entries of all receive tables.
    pub receive_entries: usize,
    /// Packets that are remembered as sent.
    pub tracked_packets: usize,
    /// Ranges of packets that arrived.
    pub arrival_ranges: usize,
    /// Bytes in flight.
    pub in_flight_bytes: u64,
}

/// The head of a packet and of a `gram` frame, an ack of a few ranges; what sealing takes, with the handshake's last message.
const GRAM_MARGIN_BYTES: usize = 320;

/// The other side's receive limit, within what this version can use.
fn datagram_bytes(limits: &Limits) -> usize {
    let limit = usize::try_from(limits.datagram_bytes).unwrap_or(usize::MAX);
    limit.clamp(crate::wire::BASE_DATAGRAM_BYTES, crate::wire::MAX_DATAGRAM_BYTES)
}

/// A reason no longer than a frame may carry, cut between characters.
fn clip(reason: &str) -> String {
    reason
        .chars()
        .scan(0, |bytes, c| {
            *bytes += c.len_utf8();
            (*bytes <= crate::wire::MAX_REASON_BYTES).then_some(c)
        })
        .collect()
}
