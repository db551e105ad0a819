//! What share of packets a link loses: a steady figure while the link is the same, a new one soon after it changed.
//!
//! It counts what it is told, and decides nothing.

/// The measure of one connection. Shares are in millionths.
#[derive(Debug)]
pub struct LossRate {
    long: Memory,
    short: Memory,
    /// How many packets have arrived since one was lost.
    since_loss: u32,
    /// The last packet that was lost, and how many in a row with it.
    last_lost: u64,
    run: u32,
    /// Long runs, fading.
    bursts: u64,
}

/// Packets that were lost and packets whose fate is known, in millionths, both fading.
#[derive(Clone, Copy, Debug)]
struct Memory {
    lost: u64,
    settled: u64,
}

/// One packet, and all of them.
pub const ONE: u64 = 1_000_000;

impl LossRate {
    /// Of a link that stays the same so many packets are remembered: a fifth is then known to within a fortieth, and what is made
    /// from it needs no margin.
    const LONG: u64 = 256;

    /// And so many tell that it changed.
    const SHORT: u64 = 24;

    /// It did if both differ by so much: twice what chance does to the short one where a fifth is lost.
    const CHANGED: u64 = ONE * 16 / 100;

    /// As if so many packets had arrived before the first: two early losses are not half of everything.
    const PRIOR: u64 = 4 * ONE;

    /// A single loss is no bad link.
    const LEAST_LOSSES: u64 = ONE + ONE / 10;

    /// Below one in a hundred repairing is quick enough, and a clean link pays nothing.
    const LEAST: u64 = ONE / 100;

    /// For so many packets after a loss more of them are expected.
    const EXPECTED: u32 = 12;

    /// So many in a row are no chance, nor acks that chance kept away.
    const BURST: u32 = 10;

    /// A burst is remembered for so many packets, and makes a link bursty together with another one.
    const BURST_MEMORY: u64 = 512;

    /// Nothing seen.
    pub const fn new() -> Self {
        let nothing = Memory { lost: 0, settled: 0 };
        Self { long: nothing, short: nothing, since_loss: u32::MAX, last_lost: 0, run: 0, bursts: 0 }
    }

    /// A packet arrived, or was found lost.
    pub const fn on_settled(&mut self, is_lost: bool) {
        self.long.count(is_lost, Self::LONG);
        self.short.count(is_lost, Self::SHORT);
        self.bursts -= self.bursts / Self::BURST_MEMORY;
        self.since_loss = if is_lost { 0 } else { self.since_loss.saturating_add(1) };
        let is_known = self.short.settled > (Self::SHORT - 4) * ONE;
        if is_known && self.short.share(0).abs_diff(self.long.share(0)) > Self::CHANGED {
            self.long = self.short;
        }
    }

    /// Which one was found lost; they are told in the order of their numbers.
    pub const fn note_lost(&mut self, number: u64) {
        self.run = if number == self.last_lost + 1 { self.run + 1 } else { 1 };
        self.last_lost = number;
        if self.run == Self::BURST {
            self.bursts += ONE;
        }
    }

    /// Whether the link is gone for a while every now and then, and does not just lose some.
    pub const fn is_bursty(&self) -> bool {
        self.bursts > ONE
    }

    /// One that was found lost had only been late; it was counted as arrived as well.
    pub const fn on_spurious(&mut self) {
        self.long.uncount();
        self.short.uncount();
    }

    /// The share that is lost; 0 while it is not worth doing anything about it.
    pub const fn share(&self) -> u64 {
        let share = self.long.share(Self::PRIOR);
        if share < Self::LEAST || self.long.lost < Self::LEAST_LOSSES { 0 } else { share }
    }

    /// Whether one was lost a moment ago. Until more is known, the next ones had better not depend on a single packet.
    pub const fn is_loss_expected(&self) -> bool {
        self.since_loss < Self::EXPECTED
    }
}

impl Memory {
    const fn count(&mut self, is_lost: bool, length: u64) {
        self.lost -= self.lost / length;
        self.settled -= self.settled / length;
        self.settled += ONE;
        if is_lost {
            self.lost += ONE;
        }
    }

    const fn uncount(&mut self) {
        self.lost = self.lost.saturating_sub(ONE);
        self.settled = self.settled.saturating_sub(ONE);
    }

    const fn share(&self, prior: u64) -> u64 {
        match (self.lost * ONE).checked_div(self.settled + prior) {
            Some(share) => share,
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// The share after so many packets of a link that loses this many of a hundred.
    fn follow(rate: &mut LossRate, random: &mut Random, percent: u64, packets: u32) -> u64 {
        (0..packets).for_each(|_| rate.on_settled(random.below(100) < percent));
        rate.share() * 100 / ONE
    }

    #[test]
    fn a_steady_link_gives_a_steady_figure() {
        let (mut rate, mut random) = (LossRate::new(), Random::from_seed(3));
        follow(&mut rate, &mut random, 20, 300);
        let shares: Vec<u64> = (0..40).map(|_| follow(&mut rate, &mut random, 20, 50)).collect();
        let near = shares.iter().filter(|share| (16..=24).contains(*share)).count();
        assert!(near >= 36, "{shares:?}");
    }

    #[test]
    fn a_link_that_changes_is_known_soon() {
        let (mut rate, mut random) = (LossRate::new(), Random::from_seed(4));
        assert_eq!(follow(&mut rate, &mut random, 0, 1_000), 0);
        assert!(follow(&mut rate, &mut random, 30, 40) >= 15);
        follow(&mut rate, &mut random, 30, 1_000);
        assert!(follow(&mut rate, &mut random, 0, 60) <= 12);
        assert_eq!(follow(&mut rate, &mut random, 0, 700), 0);
    }

    #[test]
    fn bursts_are_told_from_single_losses() {
        let mut random = Random::from_seed(6);
        let mut after = |lose: &mut dyn FnMut(u64, &mut Random) -> bool| {
            let mut rate = LossRate::new();
            for number in 0..2_000 {
                let is_lost = lose(number, &mut random);
                rate.on_settled(is_lost);
                if is_lost {
                    rate.note_lost(number);
                }
            }
            rate.is_bursty()
        };
        assert!(!after(&mut |_, random| random.below(10) < 2));
        assert!(after(&mut |number, _| number % 60 < 12));
    }

    #[test]
    fn a_single_loss_is_no_bad_link_and_makes_careful_for_a_moment() {
        let mut rate = LossRate::new();
        rate.on_settled(true);
        assert_eq!((rate.share(), rate.is_loss_expected()), (0, true));
        (0..12).for_each(|_| rate.on_settled(false));
        assert!(!rate.is_loss_expected());
        rate.on_settled(true);
        assert!(rate.share() > 0);
        rate.on_spurious();
        assert_eq!(rate.share(), 0, "it had only been late");
    }
}
