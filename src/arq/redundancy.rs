//! How often small messages are said without being asked: as the measured loss demands, within a budget, and never while a queue
//! grows (UC-ARQ-022). It counts and decides; which messages are said again is decided where they wait.

use std::time::Duration;

use super::loss_rate::{LossRate, ONE};
use super::rtt::Rtt;
use crate::time::Instant;
use crate::wire::MAX_SYMBOLS;

/// How sure the receiver's having a message is to be before anything was heard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// All but one of ninety: worth a packet of its own.
    Own,
    /// All but one of four hundred: worth spare room in packets that leave anyway.
    Spare,
}

/// Keeps the budget of one connection.
#[derive(Debug)]
pub struct Redundancy {
    rate: LossRate,
    budget_bytes: u64,
    filled_at: Instant,
    /// The mean time between packets with new messages.
    gap: Duration,
    last_new_at: Option<Instant>,
    last_copy_at: Instant,
    /// What of a repair symbol the packets so far have left over, in millionths.
    symbol_share: u64,
}

impl Redundancy {
    /// Nobody gains by more.
    const MOST_COPIES: u32 = 8;

    /// What a message of its own is worth after a single loss, until more is known: as where a fifth is lost.
    const CAREFUL_COPIES: u32 = 3;

    /// By this factor symbols outnumber what is lost, and so many more there are, in millionths. The least, by simulation, with which
    /// one message of a hundred waits for longer than three others take to come.
    const SYMBOLS_PER_LOSS: u64 = 9;
    const MORE_SYMBOLS: u64 = ONE * 30 / 100;

    /// Copies may take so much in any case: what an outage asks for, a packet of what is missing every 15 ms.
    const BYTES_PER_SECOND: u64 = 80_000;

    /// And a quarter of what is sent otherwise.
    const SHARE_OF_SENT: u64 = 4;

    /// What may be saved up: half a second's.
    const BURST_BYTES: u64 = 40_000;

    /// Nothing measured, and a full budget.
    pub const fn new(now: Instant) -> Self {
        Self {
            rate: LossRate::new(),
            budget_bytes: Self::BURST_BYTES,
            filled_at: now,
            gap: Duration::ZERO,
            last_new_at: None,
            last_copy_at: now,
            symbol_share: 0,
        }
    }

    /// A packet arrived, or was found lost.
    pub const fn on_settled(&mut self, is_lost: bool) {
        self.rate.on_settled(is_lost);
    }

    /// Which one was found lost.
    pub const fn note_lost(&mut self, number: u64) {
        self.rate.note_lost(number);
    }

    /// For how long an ack is waited for before all that was sent counts as in doubt: for longer than chance keeps acks away, unless
    /// the link is known to be gone every now and then.
    pub fn patience(&self, round_trip: Duration) -> Duration {
        if self.rate.is_bursty() { round_trip * 5 / 4 } else { round_trip * 3 / 2 }
    }

    /// One that was found lost had only been late; it was counted as arrived as well.
    pub const fn on_spurious(&mut self) {
        self.rate.on_spurious();
    }

    /// How often a message is to be on its way, its first time included.
    pub fn copies(&self, aim: Aim) -> u32 {
        let loss = self.rate.share();
        let (left, least) = match aim {
            Aim::Own if self.rate.is_loss_expected() => (ONE / 90, Self::CAREFUL_COPIES),
            Aim::Own => (ONE / 90, 1),
            Aim::Spare => (ONE / 400, 1),
        };
        let (mut copies, mut missing) = (1, loss);
        while missing > left && copies < Self::MOST_COPIES {
            missing = missing * loss / ONE;
            copies += 1;
        }
        copies.max(least)
    }

    /// Whether what is said needs to be said more than once, in copies or in symbols.
    pub fn is_needed(&self) -> bool {
        self.rate.share() > 0
    }

    /// The most repair symbols that a packet with new messages gets.
    pub fn most_symbols(&self) -> usize {
        self.symbol_rate().div_ceil(ONE) as usize
    }

    /// How many symbols the packet gets that leaves now.
    pub fn take_symbols(&mut self) -> usize {
        self.symbol_share += self.symbol_rate();
        let symbols = self.symbol_share / ONE;
        self.symbol_share %= ONE;
        symbols as usize
    }

    /// How many symbols each packet with new messages gets, in millionths.
    fn symbol_rate(&self) -> u64 {
        match self.rate.share() {
            0 => 0,
            loss => (loss * Self::SYMBOLS_PER_LOSS + Self::MORE_SYMBOLS).min(MAX_SYMBOLS as u64 * ONE),
        }
    }

    /// How many bytes of copies may leave now.
    pub fn allowance(&mut self, now: Instant, rtt: &Rtt) -> u64 {
        let passed = now.since(self.filled_at);
        let earned = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX).min(1_000_000)
            * Self::BYTES_PER_SECOND
            / 1_000_000;
        if earned > 0 {
            self.filled_at = now;
            self.budget_bytes = (self.budget_bytes + earned).min(Self::BURST_BYTES);
        }
        if is_queueing(rtt) { 0 } else { self.budget_bytes }
    }

    /// When the next probe of a silent side may leave.
    pub fn probe_at(&self, rtt: &Rtt) -> Instant {
        let round_trip = rtt.smoothed().unwrap_or_default();
        let pause = if self.rate.is_bursty() {
            (round_trip / 10).max(LEAST_PROBE_PAUSE)
        } else {
            (round_trip / 8).max(2 * LEAST_PROBE_PAUSE)
        };
        self.last_copy_at + pause
    }

    /// Whether a full packet of copies may leave, as far as was known when the last one did.
    pub const fn has_budget(&self) -> bool {
        self.budget_bytes >= crate::wire::BASE_DATAGRAM_BYTES as u64
    }

    /// A packet left, with at most so many bytes of copies in it.
    pub fn on_sent(&mut self, now: Instant, bytes: u64, copied_bytes: u64, has_new: bool) {
        let earned = bytes.saturating_sub(copied_bytes) / Self::SHARE_OF_SENT;
        self.budget_bytes = (self.budget_bytes.saturating_sub(copied_bytes) + earned).min(Self::BURST_BYTES);
        self.last_copy_at = now;
        if has_new {
            let gap = self.last_new_at.map_or(Duration::MAX, |before| now.since(before)).min(LONGEST_GAP);
            self.gap = if self.gap.is_zero() { gap } else { (self.gap * 3 + gap) / 4 };
            self.last_new_at = Some(now);
        }
    }

    /// Copies were due and could not leave: the budget was empty, or the window full.
    pub const fn defer(&mut self, now: Instant) {
        self.last_copy_at = now;
    }

    /// When copies that found no spare room get a packet of their own: an eighth of a round trip after the packet before, or later
    /// if the next message is likely to come soon and to take them along.
    pub fn copy_at(&self, rtt: &Rtt) -> Instant {
        let round_trip = rtt.smoothed().unwrap_or_default();
        let pause = (round_trip / 8).max(LEAST_PAUSE);
        let company = self.gap * 3 / 2;
        let pause = if company < round_trip / 2 { pause.max(company) } else { pause };
        self.last_copy_at + pause
    }
}

/// Losses that come so soon after each other have one cause.
const LEAST_PAUSE: Duration = Duration::from_millis(2);

/// What is missing after an outage takes several probes. One message of a hundred waits for 266 ms where probes leave every 10 ms and
/// outages take 60 on average (`tests/golden/tails.txt`), for 240 where they leave every 5; more often than that made nothing shorter.
/// Where losses do not come in runs, twice as seldom does as well.
const LEAST_PROBE_PAUSE: Duration = Duration::from_millis(5);

/// A pause in a talk says nothing about the talk.
const LONGEST_GAP: Duration = Duration::from_secs(1);

/// Whether the path's queue grows: then what is lost is lost to too much, and more would make it worse.
fn is_queueing(rtt: &Rtt) -> bool {
    let (Some(smoothed), Some(minimum)) = (rtt.smoothed(), rtt.minimum()) else { return true };
    smoothed.saturating_sub(minimum) > (minimum / 2).max(Duration::from_millis(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(outcomes: impl IntoIterator<Item = bool>) -> Redundancy {
        let mut redundancy = Redundancy::new(Instant::ZERO);
        outcomes.into_iter().for_each(|is_lost| redundancy.on_settled(is_lost));
        redundancy
    }

    #[test]
    fn a_clean_link_pays_nothing() {
        let redundancy = after([false; 1_000]);
        assert_eq!((redundancy.copies(Aim::Own), redundancy.copies(Aim::Spare)), (1, 1));
        assert_eq!(redundancy.most_symbols(), 0);
        let redundancy = after([false, true, false]);
        assert_eq!(redundancy.copies(Aim::Spare), 1, "one loss says nothing");
        assert_eq!(redundancy.copies(Aim::Own), 3, "but whoever has no company had better be careful");
    }

    // UC-ARQ-022
    #[test]
    fn copies_follow_the_loss() {
        let told = [100, 20, 10, 5, 3].map(|every| {
            let redundancy = after((1..2_000).map(|number| number % every == 0));
            (every, redundancy.copies(Aim::Own), redundancy.copies(Aim::Spare))
        });
        assert_eq!(told, [(100, 1, 1), (20, 2, 2), (10, 3, 3), (5, 3, 4), (3, 5, 6)]);
    }

    // UC-ARQ-022
    #[test]
    fn symbols_follow_the_loss() {
        let told = [100, 20, 10, 5, 3].map(|every| {
            let mut redundancy = after((1..2_000).map(|number| number % every == 0));
            (every, (0..100).map(|_| redundancy.take_symbols()).sum::<usize>())
        });
        assert_eq!(told, [(100, 0), (20, 72), (10, 117), (5, 205), (3, 325)]);
    }

    #[test]
    fn the_budget_is_spent_and_earned() {
        let (mut redundancy, mut rtt) = (after([]), Rtt::new());
        rtt.sample(Instant::ZERO, Duration::from_millis(50), Duration::ZERO);
        let at = |milliseconds: u64| Instant::from_nanos(milliseconds * 1_000_000);
        assert_eq!(redundancy.allowance(at(0), &rtt), 40_000);
        redundancy.on_sent(at(0), 40_000, 40_000, false);
        assert_eq!(redundancy.allowance(at(0), &rtt), 0);
        assert_eq!(redundancy.allowance(at(100), &rtt), 8_000);
        redundancy.on_sent(at(100), 4_000, 0, true);
        assert_eq!(redundancy.allowance(at(100), &rtt), 9_000);
        // A queue grows.
        for _ in 0..20 {
            rtt.sample(at(100), Duration::from_millis(90), Duration::ZERO);
        }
        assert_eq!(redundancy.allowance(at(100), &rtt), 0);
    }
}
