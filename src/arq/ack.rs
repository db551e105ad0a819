//! The receiver's side of acknowledgement: which packets arrived, and when to say so.
//!
//! This module decides about acks and nacks only; what a packet carries is none of its business.

use std::time::Duration;

use super::ranges::Ranges;
use crate::time::Instant;
use crate::wire::{Ack, MAX_ACK_RANGES, Nack};

/// The packets of one connection that arrived.
#[derive(Debug)]
pub struct Arrivals {
    received: Ranges,
    /// Everything below counts as arrived long ago: the sender said that it is settled, or the table overflowed.
    floor: u64,
    newest_at: Instant,
    /// Packets that came in order since the last hole.
    in_order: u32,
    /// When the last packet came that asks for an ack, and the mean time between two of them.
    asked_at: Option<Instant>,
    gap: Duration,
    /// For how many more packets what is missing may still be computed from what comes.
    repairs_expected: u32,
    /// The lowest number that came since the last ack, and what it was for each of the acks before.
    lowest_untold: Option<u64>,
    told: [u64; Self::TELLINGS - 1],
    /// Packets that ask for an ack and have none yet.
    owed: u32,
    ack_at: Option<Instant>,
    fresh_gaps: Vec<[u64; 2]>,
    max_delay: Duration,
}

impl Arrivals {
    /// How many ranges are kept (UC-ARQ-005). A thousand holes are more than any window has; beyond, the oldest are closed, which
    /// costs the sender a retransmission and never a message.
    const MAX_RANGES: usize = 1_024;

    /// A bulk sender gets one ack for this many packets, or one for each `BULK_DELAY`: its window moves in small steps.
    const BULK_PACKETS: u32 = 8;
    const BULK_DELAY: Duration = Duration::from_millis(5);

    /// Small packets on a clean path are acked in pairs: half the acks, and the sender still hears of each soon. Where more come within
    /// `LEAST_WAIT`, so many share one, up to those of a bulk sender: a busy room is one.
    const SMALL_PACKETS: u32 = 2;

    /// A timer that is shorter wakes a machine more often than it spares acks.
    const LEAST_WAIT: Duration = Duration::from_millis(5);

    /// A path is clean when so many packets came in order. On one that loses every twentieth that happens once in thirty.
    const CLEAN_PACKETS: u32 = 64;

    /// In how many acks an arrival is told. Where every third ack is lost, all of them are in one of 700 cases, and that costs
    /// the sender a repetition.
    pub const TELLINGS: usize = 6;

    /// A shorter wait is not worth telling: it is what a machine needs to answer.
    const LEAST_DELAY_US: u64 = 250;

    /// No packet yet; acks wait `max_delay` at most, as the handshake told the other side.
    pub const fn new(max_delay: Duration) -> Self {
        Self {
            received: Ranges::new(),
            floor: 1,
            newest_at: Instant::ZERO,
            in_order: 0,
            asked_at: None,
            gap: LONGEST_GAP,
            repairs_expected: 0,
            lowest_untold: None,
            told: [u64::MAX; Self::TELLINGS - 1],
            owed: 0,
            ack_at: None,
            fresh_gaps: Vec::new(),
            max_delay,
        }
    }

    /// Whether this packet arrived before, or is too old to tell (UC-ARQ-004).
    pub fn is_duplicate(&self, number: u64) -> bool {
        number < self.floor || self.received.contains(number)
    }

    /// The highest number that arrived; 0 before the first.
    pub fn newest(&self) -> u64 {
        self.received.highest().unwrap_or(self.floor - 1)
    }

    /// Takes note of a new packet. `urgency` says how soon its sender should hear of it.
    pub fn record(&mut self, now: Instant, number: u64, urgency: Urgency) {
        let newest = self.newest();
        let in_order = number == newest + 1;
        if number > newest {
            self.newest_at = now;
            if !in_order && self.fresh_gaps.len() < MAX_ACK_RANGES {
                self.fresh_gaps.push([newest + 1, number - 1]);
            }
        }
        self.in_order = if in_order { self.in_order.saturating_add(1) } else { 0 };
        self.received.insert(number);
        self.lowest_untold = Some(self.lowest_untold.map_or(number, |lowest| lowest.min(number)));
        while self.received.as_slice().len() > Self::MAX_RANGES {
            let [_, last] = self.received.pop_lowest().unwrap_or_default();
            self.floor = self.floor.max(last + 1);
        }
        if urgency == Urgency::None {
            return;
        }
        // The first hole is told at once, and so is what fills one: the sender's timers depend on both (UC-ARQ-006).
        let at = match urgency {
            Urgency::Bulk if in_order && self.owed + 1 < Self::BULK_PACKETS => {
                now + self.max_delay.min(Self::BULK_DELAY)
            }
            Urgency::Small if self.expects_company() && self.owed + 1 < self.small_packets() => {
                now + (self.gap * 3 / 2).max(Self::LEAST_WAIT).min(self.max_delay)
            }
            _ => now,
        };
        let gap = self.asked_at.map_or(LONGEST_GAP, |before| now.since(before)).min(LONGEST_GAP);
        self.gap = (self.gap * 7 + gap) / 8;
        self.repairs_expected = self.repairs_expected.saturating_sub(1);
        self.asked_at = Some(now);
        self.owed += 1;
        self.ack_at = Some(self.ack_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Whether a small packet's ack may wait for the next packet: they come one soon after the other, and nothing was missed lately,
    /// or what was missed is repaired without anybody's asking.
    fn expects_company(&self) -> bool {
        self.gap <= self.max_delay && (self.in_order >= Self::CLEAN_PACKETS || self.repairs_expected > 0)
    }

    /// How many small packets share an ack (UC-ARQ-006).
    fn small_packets(&self) -> u32 {
        let come_meanwhile = Self::LEAST_WAIT.as_nanos() / self.gap.as_nanos().max(1);
        u32::try_from(come_meanwhile).unwrap_or(u32::MAX).clamp(Self::SMALL_PACKETS, Self::BULK_PACKETS)
    }

    /// A packet brings repair symbols.
    pub const fn expect_repairs(&mut self) {
        self.repairs_expected = Self::CLEAN_PACKETS;
    }

    /// A packet came again: the ack for it may have been lost, so it is told once more (UC-ARQ-007).
    pub fn record_duplicate(&mut self, now: Instant, number: u64, urgency: Urgency) {
        self.lowest_untold = Some(self.lowest_untold.map_or(number, |lowest| lowest.min(number)));
        if urgency != Urgency::None && !self.received.is_empty() {
            self.ack_at = Some(now);
        }
    }

    /// The sender wants no acks below `low` any more (UC-ARQ-005). Never goes back, and never beyond what arrived.
    pub fn settle_below(&mut self, low: u64) {
        let low = low.min(self.newest());
        if low > self.floor {
            self.floor = low;
            self.received.remove_below(low);
        }
    }

    /// When the next ack is due.
    pub const fn deadline(&self) -> Option<Instant> {
        self.ack_at
    }

    /// Whether an ack is owed at all, due or not: then it rides along with whatever is sent.
    pub const fn is_owed(&self) -> bool {
        self.ack_at.is_some()
    }

    /// The ack to send now (UC-ARQ-003); None if nothing arrived yet.
    pub fn ack(&self, now: Instant) -> Option<Ack> {
        let ranges = self.received.as_slice();
        let lowest = self.told.iter().copied().chain(self.lowest_untold).min().unwrap_or(0);
        // What changed lately, and the newest in any case.
        let told = ranges.partition_point(|range| range[1] < lowest).min(ranges.len().saturating_sub(1));
        let newest = &ranges[told.max(ranges.len().saturating_sub(MAX_ACK_RANGES))..];
        let delay_us = u64::try_from(now.since(self.newest_at).as_micros()).unwrap_or(0);
        let delay_us = if delay_us < Self::LEAST_DELAY_US { 0 } else { delay_us };
        (!newest.is_empty()).then(|| Ack { got: newest.into(), delay_us })
    }

    /// The holes that opened since the last nack and are still open (UC-ARQ-008); None if there are none, or they are expected to be
    /// filled without anybody's asking.
    pub fn nack(&self) -> Option<Nack> {
        if self.repairs_expected > 0 {
            return None;
        }
        let mut miss = Ranges::default();
        for &[first, last] in &self.fresh_gaps {
            for [first, last] in self.received.gaps(first.max(self.floor), last) {
                miss.insert_range(first, last);
            }
        }
        let ranges = miss.as_slice();
        let newest = &ranges[ranges.len().saturating_sub(MAX_ACK_RANGES)..];
        (!newest.is_empty()).then(|| Nack { miss: newest.into() })
    }

    /// An ack went out.
    pub fn on_ack_sent(&mut self) {
        self.owed = 0;
        self.ack_at = None;
        self.fresh_gaps.clear();
        self.told.rotate_left(1);
        self.told[Self::TELLINGS - 2] = self.lowest_untold.take().unwrap_or(u64::MAX);
    }

    /// Gives back what is kept for packets to come: nothing came for a while.
    pub fn rest(&mut self) {
        self.received.shrink_to_fit();
        self.fresh_gaps.shrink_to_fit();
    }

    /// How many ranges are held, for the bound's checker.
    pub fn range_count(&self) -> usize {
        self.received.as_slice().len()
    }

    /// What arrived, for the honesty checker.
    pub const fn received(&self) -> &Ranges {
        &self.received
    }
}

/// How soon the sender of a packet should hear that it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Not at all: there is nothing in it but acks (UC-ARQ-002).
    None,
    /// With its neighbours: it belongs to a long message.
    Bulk,
    /// With the next one, if the path is clean: it holds small messages.
    Small,
    /// At once: somebody waits for it.
    Prompt,
}

/// A pause in a talk says nothing about the talk.
const LONGEST_GAP: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds packets, two a millisecond, and tells what would be said after each.
    fn check(numbers: &[u64], urgency: Urgency, expected: &[&str]) {
        let mut arrivals = Arrivals::new(Duration::from_millis(50));
        let mut said = Vec::new();
        for (half_ms, &number) in (0_u64..).zip(numbers) {
            let now = Instant::from_nanos(half_ms * 500_000);
            if arrivals.is_duplicate(number) {
                arrivals.record_duplicate(now, number, urgency);
            } else {
                arrivals.record(now, number, urgency);
            }
            said.push(if arrivals.deadline().is_some_and(|at| at <= now) {
                let ack = arrivals.ack(now).unwrap();
                let nack = arrivals.nack().map_or(String::new(), |nack| format!(" miss {:?}", nack.miss));
                arrivals.on_ack_sent();
                format!("got {:?}{nack}", ack.got)
            } else {
                "-".to_owned()
            });
        }
        assert_eq!(said, expected);
    }

    // UC-ARQ-003, UC-ARQ-006, UC-ARQ-007, UC-ARQ-008
    #[test]
    fn prompt_packets_are_acked_one_by_one_and_a_hole_is_told_once() {
        check(
            &[1, 2, 4, 5, 3, 3],
            Urgency::Prompt,
            &[
                "got [[1, 1]]",
                "got [[1, 2]]",
                "got [[1, 2], [4, 4]] miss [[3, 3]]",
                "got [[1, 2], [4, 5]]",
                "got [[1, 5]]",
                "got [[1, 5]]",
            ],
        );
    }

    // UC-ARQ-006
    #[test]
    fn bulk_is_acked_every_eighth_packet_but_a_hole_at_once() {
        check(
            &[1, 2, 3, 4, 5, 6, 7, 8, 10, 9],
            Urgency::Bulk,
            &[
                "-",
                "-",
                "-",
                "-",
                "-",
                "-",
                "-",
                "got [[1, 8]]",
                "got [[1, 8], [10, 10]] miss [[9, 9]]",
                "got [[1, 10]]",
            ],
        );
    }

    // UC-ARQ-006
    #[test]
    fn small_packets_on_a_clean_path_are_acked_in_pairs_until_a_hole_comes() {
        let mut arrivals = Arrivals::new(Duration::from_millis(15));
        let mut said = Vec::new();
        for number in (1..=69).chain(71..=73) {
            let now = Instant::from_nanos(number * 10_000_000);
            arrivals.record(now, number, Urgency::Small);
            if arrivals.deadline().is_some_and(|at| at <= now) {
                arrivals.on_ack_sent();
                said.push(number);
            }
        }
        assert_eq!(said, (1..=63).chain([65, 67, 69, 71, 72, 73]).collect::<Vec<_>>());
    }

    // UC-ARQ-006
    #[test]
    fn small_packets_that_come_close_together_share_an_ack_with_more() {
        let told = [5_000, 2_500, 1_250, 500, 100].map(|apart_us| {
            let mut arrivals = Arrivals::new(Duration::from_millis(25));
            let mut acks = 0;
            for number in 1..=1_000 {
                let now = Instant::from_nanos(number * apart_us * 1_000);
                arrivals.record(now, number, Urgency::Small);
                if arrivals.deadline().is_some_and(|at| at <= now) {
                    arrivals.on_ack_sent();
                    acks += u32::from(number > 200);
                }
            }
            (apart_us, 800 / acks)
        });
        assert_eq!(told, [(5_000, 2), (2_500, 2), (1_250, 4), (500, 8), (100, 8)]);
    }

    // UC-ARQ-006
    #[test]
    fn a_small_packet_that_comes_after_a_pause_waits_for_no_other() {
        let mut arrivals = Arrivals::new(Duration::from_millis(15));
        for number in 1..=100 {
            let now = Instant::from_nanos(number * 250_000_000);
            arrivals.record(now, number, Urgency::Small);
            assert_eq!(arrivals.deadline(), Some(now));
            arrivals.on_ack_sent();
        }
    }

    // UC-ARQ-003
    #[test]
    fn what_was_told_six_times_is_told_no_more() {
        let mut arrivals = Arrivals::new(Duration::from_millis(15));
        for number in (2..60).step_by(2) {
            arrivals.record(Instant::ZERO, number, Urgency::Small);
            arrivals.on_ack_sent();
        }
        arrivals.record(Instant::ZERO, 60, Urgency::Small);
        let got = arrivals.ack(Instant::ZERO).unwrap().got;
        assert_eq!((got.len(), got[0], got[5]), (6, [50, 50], [60, 60]));
        arrivals.record_duplicate(Instant::ZERO, 6, Urgency::Small);
        assert_eq!(arrivals.ack(Instant::ZERO).unwrap().got[0], [6, 6], "its sender did not hear of it");
    }

    // UC-ARQ-002
    #[test]
    fn packets_that_want_no_ack_get_none() {
        check(&[1, 3, 2, 2], Urgency::None, &["-", "-", "-", "-"]);
    }

    // UC-ARQ-004, UC-ARQ-005
    #[test]
    fn what_is_settled_is_forgotten_and_counts_as_a_duplicate() {
        let mut arrivals = Arrivals::new(Duration::from_millis(5));
        for number in [1, 2, 5, 6] {
            arrivals.record(Instant::ZERO, number, Urgency::Prompt);
        }
        arrivals.settle_below(5);
        assert_eq!(arrivals.ack(Instant::ZERO).unwrap().got.as_slice(), [[5, 6]]);
        assert!(arrivals.is_duplicate(3));
        arrivals.settle_below(900);
        assert!(!arrivals.is_duplicate(7), "a sender cannot settle what never arrived");
    }

    // UC-ARQ-003, UC-ARQ-005
    #[test]
    fn holes_without_end_stay_bounded() {
        let mut arrivals = Arrivals::new(Duration::from_millis(5));
        for number in 1..10_000 {
            arrivals.record(Instant::ZERO, number * 2, Urgency::Prompt);
        }
        assert_eq!(arrivals.range_count(), Arrivals::MAX_RANGES);
        assert!(arrivals.ack(Instant::ZERO).unwrap().got.len() <= MAX_ACK_RANGES);
        assert!(arrivals.is_duplicate(3));
    }
}
