//! Which runs of the relay its ledger knows, and how far a member's positions hold after the ledger was restored from a copy.
//!
//! Each run that stores something leaves its name in the ledger, with the position after which it began. A member says which runs it
//! was told of; where its list and the ledger's part, one of the two was copied before that (UC-RELAY-029). This module must never
//! take a restart for a restored copy: what a known run stored, its members may have been shown.

use std::collections::BTreeMap;

use crate::chat::MAX_RUNS;
use crate::ledger::Run;

/// The runs of a ledger.
#[derive(Debug)]
pub(super) struct Runs {
    /// The latest, as members are told; the present one is the last.
    told: Vec<String>,
    /// Where the run after each one began; of the present one: no end.
    ends: BTreeMap<String, u64>,
}

impl Runs {
    /// Oldest first. None: nothing can be restored, as every run begins another ledger.
    pub(super) fn new(runs: &[Run]) -> Self {
        let next = runs.iter().skip(1).map(|run| run.start).chain([u64::MAX]);
        let latest = runs.len().saturating_sub(MAX_RUNS);
        Self {
            told: runs.iter().skip(latest).map(|run| run.id.clone()).collect(),
            ends: runs.iter().map(|run| run.id.clone()).zip(next).collect(),
        }
    }

    /// What members are told.
    pub(super) fn told(&self) -> &[String] {
        &self.told
    }

    /// The position up to which somebody who was told these runs was shown this ledger's entries; None: all that it was shown.
    pub(super) fn void_after(&self, told: &[String]) -> Option<u64> {
        if told.is_empty() || self.ends.is_empty() {
            return None;
        }
        let known = told.iter().rev().take(MAX_RUNS).find_map(|run| self.ends.get(run).copied());
        // A ledger that knows none of them is older than all of them.
        Some(known.unwrap_or(0)).filter(|&end| end < u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(names: &[(&str, u64)]) -> Runs {
        let run = |&(id, start): &(&str, u64)| Run { id: id.to_owned(), start };
        Runs::new(&names.iter().map(run).collect::<Vec<_>>())
    }

    fn told(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    // UC-RELAY-029
    #[test]
    fn positions_hold_up_to_where_the_lists_part() {
        // A copy was made when `b` had stored up to 20, and `d` began on it; `b` had gone on, and then `c`.
        let restored = runs(&[("a", 0), ("b", 12), ("d", 20)]);
        assert_eq!(restored.void_after(&told(&["a", "b", "c"])), Some(20));
        assert_eq!(restored.void_after(&told(&["a", "b"])), Some(20));
        assert_eq!(restored.void_after(&told(&["a"])), Some(12));
        assert_eq!(restored.void_after(&told(&["x"])), Some(0));
        assert_eq!(restored.void_after(&told(&["a", "b", "d"])), None);
        assert_eq!(restored.void_after(&[]), None);
        assert_eq!(runs(&[]).void_after(&told(&["a"])), None);
    }

    #[test]
    fn no_more_runs_are_told_than_a_member_keeps() {
        let names: Vec<Run> = (0..100).map(|start| Run { id: format!("r{start}"), start }).collect();
        let runs = Runs::new(&names);
        assert_eq!((runs.told().len(), runs.told().last().map(String::as_str)), (MAX_RUNS, Some("r99")));
        assert_eq!(runs.void_after(&told(&["r3"])), Some(4), "the ledger knows all of them");
    }
}
