//! How much may be on its way at once, and how fast it leaves. A small trait, because what is best on a bad link is still being
//! measured, and one controller behind it.
//!
//! It sees acks and losses and nothing else; it must never decide what is sent or whether a packet is lost.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::train::{Train, rate};
use crate::time::Instant;

/// Decides how many bytes may be in flight (UC-ARQ-021), and how fast they leave (UC-ARQ-023).
pub trait Controller: fmt::Debug {
    /// The most bytes in flight now.
    fn window_bytes(&self) -> u64;

    /// Bytes a second; None where the window alone bounds what leaves.
    fn pacing_rate(&self) -> Option<u64>;

    /// A first round trip is known, before anything was sent.
    fn on_first_rtt(&mut self, rtt: Duration);

    /// Packets were acked.
    fn on_ack(&mut self, now: Instant, ack: &AckSample);

    /// Bytes were found lost.
    fn on_loss(&mut self, now: Instant, lost_bytes: u64);
}

/// What one ack told about the path.
#[derive(Clone, Copy, Debug)]
pub struct AckSample {
    /// Bytes that this ack newly confirmed.
    pub acked_bytes: u64,
    /// Bytes confirmed since the newest of them was sent, and how long that took: the delivery rate (Cheng et al.,
    /// draft-ietf-ccwg-bbr section 4.1). None if the time was too short to divide by.
    pub delivered_bytes: u64,
    /// See `delivered_bytes`.
    pub elapsed: Duration,
    /// When the newest of them was sent.
    pub sent_at: Instant,
    /// Bytes confirmed since the connection began.
    pub total_bytes: u64,
    /// Bytes in flight after this ack.
    pub in_flight_bytes: u64,
    /// Whether the sender had more to send all the while; without, the rate tells about the sender and not the path.
    pub was_limited_by_window: bool,
    /// The shortest recent round trip.
    pub minimum_rtt: Duration,
    /// The last one.
    pub latest_rtt: Duration,
}

/// The controller of one connection, which is there while it has something to learn: most talks never have more than a few packets on
/// their way, and a relay has thousands of them.
#[derive(Debug)]
pub struct Congestion {
    minimum_rtt: Duration,
    controller: Option<Box<dyn Controller + Send>>,
}

impl Congestion {
    /// With so much in flight a path is tried: four packets, as on the way to a longer datagram (UC-ARQ-024).
    const TRIED_BYTES: u64 = 4 * 1_200;

    /// Nothing is known.
    pub const fn new() -> Self {
        Self { minimum_rtt: Duration::ZERO, controller: None }
    }

    /// Forgets the path: nothing was said for so long that what was known of it is not true any more.
    pub fn rest(&mut self) {
        self.controller = None;
    }

    fn learn(&mut self) -> &mut (dyn Controller + Send) {
        let minimum_rtt = self.minimum_rtt;
        &mut **self.controller.get_or_insert_with(|| {
            let mut controller = Box::new(PathRate::new());
            controller.on_first_rtt(minimum_rtt);
            controller
        })
    }
}

impl Default for Congestion {
    fn default() -> Self {
        Self::new()
    }
}

impl Controller for Congestion {
    fn window_bytes(&self) -> u64 {
        let known = self.controller.as_ref().map(|controller| controller.window_bytes());
        known.unwrap_or_else(|| PathRate::first_window_bytes(self.minimum_rtt))
    }

    fn pacing_rate(&self) -> Option<u64> {
        match &self.controller {
            Some(controller) => controller.pacing_rate(),
            None => PathRate::is_paced(self.minimum_rtt).then(|| PathRate::first_rate(self.minimum_rtt)),
        }
    }

    fn on_first_rtt(&mut self, rtt: Duration) {
        self.minimum_rtt = rtt;
    }

    fn on_ack(&mut self, now: Instant, ack: &AckSample) {
        self.minimum_rtt = ack.minimum_rtt;
        if self.controller.is_some() || ack.in_flight_bytes + ack.acked_bytes >= Self::TRIED_BYTES {
            self.learn().on_ack(now, ack);
        }
    }

    fn on_loss(&mut self, now: Instant, lost_bytes: u64) {
        if self.controller.is_some() || lost_bytes >= Self::TRIED_BYTES {
            self.learn().on_loss(now, lost_bytes);
        }
    }
}

/// Sends as fast as the path delivers, and lets a short queue tell when that is too fast.
///
/// The path's rate is the highest delivery rate of the last rounds, and what random loss takes is added to it: loss without a queue
/// is no congestion, and a link that drops a fifth behind its bottleneck must be sent as much as the bottleneck takes. Loss
/// together with a queue is congestion and lowers a ceiling. After BBR (draft-ietf-ccwg-bbr), with a queue target in place of its
/// blind cycle of gains.
#[derive(Debug)]
pub struct PathRate {
    phase: Phase,
    /// (round, bytes a second), the largest first: a maximum over the last rounds.
    rates: VecDeque<(u64, u64)>,
    round: Round,
    /// The share of packets that is lost while no queue stands, in millionths.
    random_loss: u64,
    /// How many rounds that was learned from, up to those that count.
    loss_rounds: u64,
    /// The most that the path was seen to take, in bytes a second; forgotten slowly.
    peak: u64,
    minimum_rtt: Duration,
    /// The shortest queue of the last few acks, which jitter does not make longer.
    queue: Shortest,
    in_flight_bytes: u64,
    /// The most in flight since congestion was seen.
    ceiling_bytes: Option<u64>,
    /// By how much of itself, in percent, the next probe lifts the ceiling.
    lift_percent: u64,
    /// By how much each round without a queue lifts it.
    quiet_lift_percent: u64,
    /// Rounds in a row that asked for all the path gives and found its queue empty; None once one was found that start-up did not leave.
    empty_rounds: Option<u64>,
    /// The round from which on losses are no longer those of start-up.
    settled_at: u64,
    /// What may be in flight in start-up.
    start_window_bytes: u64,
    /// What start-up measures.
    train: Train,
    /// When the rate is to be tried upwards.
    probe_at: Instant,
    /// The last round in which there was more to send than the path took.
    limited_round: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The rate is still growing by much: the best one so far, and for how many rounds it has not grown.
    StartUp {
        best: u64,
        stale_rounds: u32,
    },
    /// What start-up has put into the queue flows off.
    Drain,
    Cruise,
    /// More than the rate, for a round; and on, as long as it is more than what was known `before`.
    Probe {
        until: Instant,
        before: u64,
    },
}

/// One round trip's worth of acks.
#[derive(Debug, Default)]
struct Round {
    number: u64,
    /// It ends when what is sent from now on is acked.
    ends_at_bytes: u64,
    acked_bytes: u64,
    lost_bytes: u64,
    has_queue: bool,
    longest_queue: Duration,
    /// Whether there was more to send all the while: otherwise nothing is learned of the path.
    is_limited: bool,
    /// Whether the round before had one: what was lost to a full queue is found out when it has become shorter.
    had_queue: bool,
}

/// The least of the last few values, in microseconds.
#[derive(Debug, Default)]
struct Shortest {
    values_us: [u32; 8],
    next: usize,
}

impl Shortest {
    fn add(&mut self, value: Duration) {
        self.values_us[self.next] = u32::try_from(value.as_micros()).unwrap_or(u32::MAX);
        self.next = (self.next + 1) % self.values_us.len();
    }

    fn least(&self) -> Duration {
        Duration::from_micros(self.values_us.iter().min().copied().unwrap_or_default().into())
    }
}

/// Parts of a million.
const MILLION: u64 = 1_000_000;

impl PathRate {
    /// Thirty packets: the floor on short links, where scheduling, not the path, makes most of the round trip, and a fair
    /// start where nothing is known (RFC 6928 has ten; chat bursts fit in thirty). 36 KB fit in every system's receive buffer.
    const FLOOR_BYTES: u64 = 36_000;

    /// The first window where a round trip is known over which it can be spread: half of what QUIC stacks send in a burst.
    const FIRST_WINDOW_BYTES: u64 = 128_000;

    /// Four packets: with fewer, a loss is found out only when its time is over. Many may share a slow path, and its queue may hold
    /// no more.
    const LEAST_CEILING_BYTES: u64 = 4 * 1_200;

    /// Far above what any socket buffer holds, so that a wrong estimate stays harmless.
    const CEILING_BYTES: u64 = 8 * 1024 * 1024;

    /// What the receive buffer of a system with its usual settings holds.
    const SHORT_FLOOR_BYTES: u64 = 200_000;

    /// For so many rounds a rate is remembered.
    const RATE_ROUNDS: u64 = 10;

    /// Paths shorter than this are not paced: the loop's timers are a millisecond coarse, and the round trip is the machines' own.
    const SHORTEST_PACED: Duration = Duration::from_millis(2);

    /// Doubles the rate each round (BBR, section 5.3.1: 4 ln 2).
    const START_UP_PERCENT: u64 = 277;

    /// For so long after start-up what it lost is still being found out. With four, a loss-driven flow that starts beside this one was
    /// pushed through an overflow of its own before this one gave way.
    const SETTLING_ROUNDS: u64 = 2;

    /// After so many empty rounds the rate is taken for being less than the path's: at 1.04 a round it has grown by a fifth meanwhile.
    const EMPTY_ROUNDS: u64 = 5;

    /// The peak is halved in 350 round trips: a loss-driven flow needs about as many to take back what it lost.
    const PEAK_ROUNDS: u64 = 512;

    /// A lone flow finds new room this often; a loss-driven one beside it needs that long to recover (BBR, section 5.3.3).
    const PROBE_INTERVAL: Duration = Duration::from_secs(2);

    /// Others may have the room, so little is tried at first, and twice as much each time that it was there.
    const FIRST_LIFT_PERCENT: u64 = 12;

    /// A round without a queue may be chance: a loss-driven flow beside this one has just halved its window.
    const LEAST_QUIET_LIFT_PERCENT: u64 = 3;

    /// The second in a row is surer. More takes what a loss-driven flow is slowly coming back to.
    const MOST_QUIET_LIFT_PERCENT: u64 = 6;

    /// A controller that knows nothing yet.
    pub fn new() -> Self {
        Self {
            phase: Phase::StartUp { best: 0, stale_rounds: 0 },
            rates: VecDeque::new(),
            round: Round::default(),
            random_loss: 0,
            loss_rounds: 0,
            peak: 0,
            minimum_rtt: Duration::ZERO,
            queue: Shortest::default(),
            in_flight_bytes: 0,
            ceiling_bytes: None,
            lift_percent: Self::FIRST_LIFT_PERCENT,
            quiet_lift_percent: Self::LEAST_QUIET_LIFT_PERCENT,
            empty_rounds: Some(0),
            settled_at: u64::MAX,
            start_window_bytes: Self::FIRST_WINDOW_BYTES,
            train: Train::default(),
            probe_at: Instant::ZERO,
            limited_round: None,
        }
    }

    /// What the bottleneck takes, in bytes a second: what arrives and what is lost behind it.
    fn capacity(&self) -> u64 {
        let shown = match self.phase {
            Phase::StartUp { .. } => self.train.passed().max(self.train.drawn_out()),
            _ => 0,
        };
        scale(self.best_rate().max(shown), MILLION, MILLION - self.random_loss)
    }

    /// The highest delivery rate that is remembered; 0 before the first.
    fn best_rate(&self) -> u64 {
        self.rates.front().map_or(0, |&(_, best)| best)
    }

    /// The first window leaves in a sixth of a round trip. Where the path takes it more slowly, the train is drawn out, and shows the
    /// bottleneck's rate in the first round trip; spread over half of one it showed no more than was sent, and the rate was known two
    /// round trips later. In less time than this, more of it would be called lost on a path that reorders before that is learned.
    fn first_rate(minimum_rtt: Duration) -> u64 {
        rate(6 * Self::FIRST_WINDOW_BYTES, minimum_rtt)
    }

    const fn first_window_bytes(minimum_rtt: Duration) -> u64 {
        if Self::is_paced(minimum_rtt) { Self::FIRST_WINDOW_BYTES } else { Self::FLOOR_BYTES }
    }

    /// Whether start-up has sent faster than the path takes, as far as trains tell: then it goes on more slowly, until a queue shows that
    /// it is so.
    fn is_bottleneck_seen(&self) -> bool {
        let drawn_out = self.train.drawn_out();
        drawn_out > 0 && drawn_out >= self.train.passed().max(self.best_rate())
    }

    /// What the path holds without a queue.
    fn product_bytes(&self) -> u64 {
        let minimum_rtt_ns = u64::try_from(self.minimum_rtt.as_nanos()).unwrap_or(u64::MAX);
        scale(self.capacity(), minimum_rtt_ns, 1_000_000_000)
    }

    /// Whether the rate that is known is the path's, and not that of a talk which asked for no more.
    fn is_rate_tried(&self) -> bool {
        self.limited_round.is_some_and(|round| round + Self::RATE_ROUNDS >= self.round.number)
    }

    const fn is_paced(minimum_rtt: Duration) -> bool {
        minimum_rtt.as_nanos() >= Self::SHORTEST_PACED.as_nanos()
    }

    /// On a short path what passes in a millisecond may be on its way: acks come as late as the other machine's loop is coarse, and a
    /// call to the system is worth it only for many packets.
    fn short_floor_bytes(&self) -> u64 {
        (self.capacity() / 1_000).clamp(Self::FLOOR_BYTES, Self::SHORT_FLOOR_BYTES)
    }

    /// A queue this long keeps the bottleneck busy and delays nobody by much.
    fn target(&self) -> Duration {
        (self.minimum_rtt / 8).max(Duration::from_millis(2))
    }

    /// The queue to which this flow does not give way yet: a longer one if it once had more than twice as much of the path. Then the queue
    /// is somebody else's, and giving way to a flow that waits for losses ends with nothing.
    fn endured_queue(&self) -> Duration {
        self.target() * if self.capacity() < self.peak / 2 { 2 } else { 1 }
    }

    /// Cruising at the path's rate makes a queue within two rounds. Where none comes, start-up was ended by something else: a busy machine
    /// delays acks as a queue does.
    fn is_start_cut_short(&self) -> bool {
        self.empty_rounds.is_some_and(|rounds| rounds >= Self::EMPTY_ROUNDS) && self.ceiling_bytes.is_none()
    }

    fn gain_percent(&self) -> u64 {
        let (queue, target) = (self.queue.least(), self.endured_queue());
        match self.phase {
            Phase::StartUp { .. } if self.is_bottleneck_seen() => 150,
            Phase::StartUp { .. } => Self::START_UP_PERCENT,
            Phase::Drain => 50,
            Phase::Probe { .. } => 115,
            Phase::Cruise if queue > target * 2 => 92,
            Phase::Cruise if queue > target => 98,
            Phase::Cruise if self.is_start_cut_short() => 125,
            Phase::Cruise => 104,
        }
    }

    fn note_rate(&mut self, ack: &AckSample) {
        if ack.elapsed.is_zero() {
            return;
        }
        let rate = rate(ack.delivered_bytes, ack.elapsed);
        if ack.was_limited_by_window {
            self.limited_round = Some(self.round.number);
        } else if rate <= self.best_rate() {
            return;
        }
        self.remember_rate(rate);
    }

    fn remember_rate(&mut self, rate: u64) {
        while self.rates.back().is_some_and(|&(_, older)| older <= rate) {
            self.rates.pop_back();
        }
        self.rates.push_back((self.round.number, rate));
        let oldest = self.round.number.saturating_sub(Self::RATE_ROUNDS);
        while self.rates.front().is_some_and(|&(round, _)| round < oldest) && self.rates.len() > 1 {
            self.rates.pop_front();
        }
    }

    fn end_round(&mut self, now: Instant, total_bytes: u64) {
        let is_limited = self.round.is_limited;
        let Round { acked_bytes, lost_bytes, has_queue, had_queue, number, .. } = self.round;
        let lost = scale(lost_bytes, MILLION, acked_bytes + lost_bytes).min(MILLION / 2);
        let (longest, target) = (self.round.longest_queue, self.target());
        self.empty_rounds = match self.empty_rounds {
            Some(_) if longest > target && number >= self.settled_at => None,
            Some(rounds) if is_limited && longest < target / 4 => Some(rounds + 1),
            empty_rounds => empty_rounds.map(|_| 0),
        };
        if has_queue || had_queue {
            self.quiet_lift_percent = Self::LEAST_QUIET_LIFT_PERCENT;
        }
        if !has_queue && !had_queue {
            // Nobody else is there, or not any more: the longer, the surer.
            self.lift_ceiling(100 + self.quiet_lift_percent);
            self.quiet_lift_percent = (self.quiet_lift_percent * 2).min(Self::MOST_QUIET_LIFT_PERCENT);
            // The mean of the first rounds, then an eighth of each: at twenty rounds a second half a second of memory. A few packets
            // tell nothing of a share.
            if acked_bytes + lost_bytes >= Self::FLOOR_BYTES {
                self.loss_rounds = (self.loss_rounds + 1).min(8);
                self.random_loss = (self.random_loss * (self.loss_rounds - 1) + lost) / self.loss_rounds;
            }
        } else if number < self.settled_at {
            // What start-up lost to the queue is found out after its end.
        } else if lost > self.random_loss * 5 / 4 + MILLION / 25 {
            let ceiling = self.in_flight_bytes.max(self.product_bytes()) * 3 / 4;
            // On a short path a busy machine looks like a queue.
            let least =
                if Self::is_paced(self.minimum_rtt) { Self::LEAST_CEILING_BYTES } else { Self::FLOOR_BYTES };
            self.ceiling_bytes = Some(ceiling.max(least));
            self.lift_percent = Self::FIRST_LIFT_PERCENT;
            self.probe_at = now + Self::PROBE_INTERVAL;
            if self.phase != Phase::Drain {
                self.phase = Phase::Cruise;
            }
        } else {
            // A share that was taken for too large makes a queue, in which it is not measured: it must not stay for that.
            self.random_loss -= self.random_loss / 16;
        }
        self.round = Round {
            number: number + 1,
            ends_at_bytes: total_bytes + self.in_flight_bytes,
            had_queue: has_queue,
            ..Round::default()
        };
        self.peak = self.capacity().max(self.peak - self.peak / Self::PEAK_ROUNDS);
        let now_best = self.best_rate();
        if let Phase::StartUp { best, stale_rounds } = &mut self.phase {
            if now_best >= *best + *best / 4 {
                (*best, *stale_rounds) = (now_best, 0);
            } else {
                *stale_rounds += u32::from(is_limited);
            }
        }
    }

    fn measure_start(&mut self, now: Instant, ack: &AckSample) {
        if !ack.was_limited_by_window {
            return self.train.end();
        }
        self.train.add(now, ack.sent_at, ack.acked_bytes, ack.minimum_rtt);
        // What is lost on the way takes its part of the window, and is not heard of.
        let grown = scale(ack.acked_bytes, MILLION, MILLION - self.random_loss);
        self.start_window_bytes = (self.start_window_bytes + grown).min(Self::CEILING_BYTES);
    }

    /// One that is above all that may be in flight is none.
    fn lift_ceiling(&mut self, percent: u64) {
        let lifted = self.ceiling_bytes.map(|ceiling| scale(ceiling, percent, 100));
        self.ceiling_bytes = lifted.filter(|&ceiling| ceiling < Self::CEILING_BYTES);
    }

    fn next_phase(&mut self, now: Instant) {
        let (queue, target, product) = (self.queue.least(), self.target(), self.product_bytes());
        match self.phase {
            Phase::StartUp { stale_rounds, .. }
                if stale_rounds >= 3 || queue > target / 2 && Self::is_paced(self.minimum_rtt) =>
            {
                if Self::is_paced(self.minimum_rtt) && self.train.last() > self.best_rate() {
                    // Packets that stood in a queue arrive at the bottleneck's own rate.
                    self.remember_rate(self.train.last());
                }
                self.phase = Phase::Drain;
                self.settled_at = self.round.number + Self::SETTLING_ROUNDS;
            }
            Phase::Drain if self.in_flight_bytes <= product || queue < target / 2 => {
                (self.phase, self.probe_at) = (Phase::Cruise, now + Self::PROBE_INTERVAL);
            }
            Phase::Cruise if self.probe_at <= now => {
                // What leaves now is heard of in the round after.
                let until = now + (self.minimum_rtt + queue) * 2;
                self.phase = Phase::Probe { until, before: self.capacity() };
                // Room that was not there may be now.
                self.lift_ceiling(100 + self.lift_percent);
                self.lift_percent = (self.lift_percent * 2).min(100);
            }
            Phase::Probe { .. } if queue > target * 2 => self.phase = Phase::Drain,
            Phase::Probe { until, before } if until <= now => {
                let known = self.capacity();
                let has_grown = known > before + before / 16;
                let until = now + self.minimum_rtt + queue;
                self.phase = if has_grown { Phase::Probe { until, before: known } } else { Phase::Drain };
            }
            _ => {}
        }
    }
}

impl Default for PathRate {
    fn default() -> Self {
        Self::new()
    }
}

impl Controller for PathRate {
    fn window_bytes(&self) -> u64 {
        let product = self.product_bytes();
        if self.rates.is_empty() {
            return Self::first_window_bytes(self.minimum_rtt);
        }
        // Lost packets are taken for being in flight until they are found out, and acks come in clumps.
        let (percent, floor) = match self.phase {
            _ if !Self::is_paced(self.minimum_rtt) => (200, self.short_floor_bytes()),
            // More than a quarter more each round trip, or start-up would take it for the end: what drew the train out may have been a
            // hiccup. Half as much again overran the queue where it was the bottleneck.
            Phase::StartUp { .. } if self.is_bottleneck_seen() => (140, self.start_window_bytes),
            // Twice as much each round trip, as what was sent is heard of: a rate is known a round trip later. Where trains tell one,
            // that is not waited for: 1.5 times what they show began later, and twice as much overran the queue where they showed all
            // that there is.
            Phase::StartUp { .. } if self.train.passed() > 0 => (175, self.start_window_bytes),
            Phase::StartUp { .. } => (0, self.start_window_bytes),
            Phase::Drain => (100, Self::FLOOR_BYTES),
            Phase::Probe { .. } => (150, Self::FLOOR_BYTES),
            Phase::Cruise => (135, Self::FLOOR_BYTES),
        };
        let window = scale(product, percent, 100).max(floor);
        self.ceiling_bytes.map_or(window, |ceiling| window.min(ceiling)).min(Self::CEILING_BYTES)
    }

    fn pacing_rate(&self) -> Option<u64> {
        if !Self::is_paced(self.minimum_rtt) {
            return None;
        }
        let known = self.capacity();
        if known == 0 {
            return Some(Self::first_rate(self.minimum_rtt));
        }
        let floor = match self.phase {
            Phase::StartUp { .. } if self.is_bottleneck_seen() => Self::FLOOR_BYTES,
            Phase::StartUp { .. } => Self::first_rate(self.minimum_rtt),
            _ if self.is_rate_tried() => Self::FLOOR_BYTES,
            // The least window, over a round trip.
            _ => rate(Self::FLOOR_BYTES, self.minimum_rtt),
        };
        Some(scale(known, self.gain_percent(), 100).max(floor))
    }

    fn on_first_rtt(&mut self, rtt: Duration) {
        self.minimum_rtt = rtt;
    }

    fn on_ack(&mut self, now: Instant, ack: &AckSample) {
        self.minimum_rtt = ack.minimum_rtt;
        self.in_flight_bytes = ack.in_flight_bytes;
        self.queue.add(ack.latest_rtt.saturating_sub(ack.minimum_rtt));
        self.round.acked_bytes += ack.acked_bytes;
        self.round.is_limited |= ack.was_limited_by_window;
        self.round.longest_queue = self.round.longest_queue.max(self.queue.least());
        self.round.has_queue |= self.queue.least() > self.target() * 2;
        self.note_rate(ack);
        if matches!(self.phase, Phase::StartUp { .. }) {
            self.measure_start(now, ack);
        }
        if ack.total_bytes >= self.round.ends_at_bytes {
            self.end_round(now, ack.total_bytes);
        }
        self.next_phase(now);
    }

    fn on_loss(&mut self, _now: Instant, lost_bytes: u64) {
        self.round.lost_bytes += lost_bytes;
        // They are not in flight any more.
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(lost_bytes);
    }
}

/// `value` times `by`, through `of`.
fn scale(value: u64, by: u64, of: u64) -> u64 {
    let of = of.max(1);
    match value.checked_mul(by) {
        // This is asked for each packet, and dividing takes long, of 128 bits several times as long.
        _ if by == of => value,
        Some(product) => product / of,
        None => u64::try_from(u128::from(value) * u128::from(by) / u128::from(of)).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests;
