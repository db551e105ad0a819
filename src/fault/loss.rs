//! Losses that come in runs: the Simple Gilbert model, made so that any place can be asked without walking
//! there.
//!
//! A link is either good or bad; in the bad state everything is lost. Usually one walks the chain of states
//! packet by packet. Here each place has a draw of its own, and most draws decide the state whatever it was
//! before, so looking back a few places is enough. A place that nobody asks about leaves all others as they
//! are.

use crate::random::{keyed_draw, scale};

/// The two probabilities of the chain, in billionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gilbert {
    share_ppm: u32,
    /// From good to bad.
    enter: u64,
    /// From bad to bad.
    stay: u64,
}

/// The longest mean run. Longer silences do not depend on the traffic and are better told in time.
pub(super) const MAX_MEAN_PACKETS: u32 = 400;

/// How many places share one chain. The first place of each block is drawn from the long-term share, which
/// bounds the look-back and cuts a run now and then; ten times the longest mean makes that rare.
const BLOCK: u64 = 4_096;

const BILLION: u64 = 1_000_000_000;
const MILLION: u64 = 1_000_000;

impl Gilbert {
    /// The chain that is bad in `share_ppm` of all places, in runs of `mean_run` places on average. What is
    /// impossible is moved to the nearest that is not; see [`Self::shortest_run`].
    pub(super) fn new(share_ppm: u32, mean_run: u32) -> Self {
        let share = u64::from(share_ppm).min(MILLION);
        let leave = BILLION / u64::from(mean_run.max(1));
        if share == MILLION {
            return Self { share_ppm, enter: BILLION, stay: BILLION };
        }
        Self { share_ppm, enter: (leave * share / (MILLION - share)).min(BILLION), stay: BILLION - leave }
    }

    /// The shortest mean run with which the share can be reached at all: from good to bad at every
    /// opportunity.
    pub(super) fn shortest_run(share_ppm: u32) -> u32 {
        let share = u64::from(share_ppm);
        let run = share.div_ceil(MILLION.saturating_sub(share).max(1));
        u32::try_from(run.max(1)).unwrap_or(u32::MAX)
    }

    /// Whether the chain named `chain` is bad at `index`.
    pub(super) fn is_bad(self, chain: u64, index: u64) -> bool {
        let mut at = index;
        let mut inverted = false;
        loop {
            let draw = keyed_draw(&[chain, at]);
            if at.is_multiple_of(BLOCK) {
                return (scale(draw, MILLION) < u64::from(self.share_ppm)) != inverted;
            }
            let level = scale(draw, BILLION);
            match (level < self.enter, level < self.stay) {
                (true, true) => return !inverted,
                (false, false) => return inverted,
                // Whatever it was, it stays.
                (false, true) => {}
                // Whatever it was, it changes; only for shares that are high for the length of the runs.
                (true, false) => inverted = !inverted,
            }
            at -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share of bad places in ppm, and the mean length of a run in hundredths.
    fn measure(gilbert: Gilbert) -> (u64, u64) {
        let places = 400_000;
        let states: Vec<bool> = (0..places).map(|index| gilbert.is_bad(5, index)).collect();
        let bad = states.iter().filter(|bad| **bad).count() as u64;
        let runs = states.windows(2).filter(|pair| !pair[0] && pair[1]).count() as u64;
        (bad * MILLION / places, bad * 100 / runs.max(1))
    }

    #[test]
    fn share_and_mean_run_come_out_as_asked() {
        for (share_ppm, mean_run) in
            [(10_000, 2), (50_000, 4), (200_000, 8), (300_000, 3), (500_000, 1), (600_000, 2)]
        {
            let (share, run) = measure(Gilbert::new(share_ppm, mean_run));
            let wanted = u64::from(share_ppm);
            assert!(share.abs_diff(wanted) < wanted / 15, "{share} ppm instead of {wanted}");
            assert!(
                run.abs_diff(u64::from(mean_run) * 100) <= u64::from(mean_run) * 5,
                "{run} for {mean_run}"
            );
        }
    }

    #[test]
    fn run_lengths_are_geometric() {
        let gilbert = Gilbert::new(200_000, 4);
        let mut lengths = [0_u32; 64];
        let mut length = 0;
        for index in 0..400_000 {
            if gilbert.is_bad(9, index) {
                length += 1;
            } else {
                lengths[length.min(63)] += 1;
                length = 0;
            }
        }
        let runs: u32 = lengths[1..].iter().sum();
        // Of runs with mean 4, a quarter has length 1, three sixteenths length 2, and so on.
        let mut expected = f64::from(runs) / 4.0;
        for (length, seen) in lengths.iter().enumerate().take(8).skip(1) {
            assert!(
                (f64::from(*seen) - expected).abs() < 5.0 * expected.sqrt(),
                "length {length}: {seen}, not {expected}"
            );
            expected *= 0.75;
        }
    }

    #[test]
    fn all_and_nothing_are_exact() {
        assert!((0..10_000).all(|index| Gilbert::new(1_000_000, 4).is_bad(1, index)));
        assert!(!(0..10_000).any(|index| Gilbert::new(0, 4).is_bad(1, index)));
        assert_eq!([0, 500_000, 500_001, 750_000].map(Gilbert::shortest_run), [1, 1, 2, 3]);
    }
}
