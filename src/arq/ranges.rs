//! A set of numbers kept as ranges: packets that arrived, messages that are settled, bytes of a message that are here.

use smallvec::SmallVec;

/// A set of numbers as closed ranges, ascending, with gaps between them.
///
/// Nearly every insertion is at the upper end, so a plain vector beats any tree here; and mostly there is one range, which needs no
/// memory of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    ranges: SmallVec<[[u64; 2]; 1]>,
}

impl Ranges {
    /// None.
    pub const fn new() -> Self {
        Self { ranges: SmallVec::new_const() }
    }

    /// Gives back what is kept for ranges to come.
    pub fn shrink_to_fit(&mut self) {
        self.ranges.shrink_to_fit();
    }

    /// Adds a number; tells whether it was new.
    pub fn insert(&mut self, number: u64) -> bool {
        self.insert_range(number, number) > 0
    }

    /// Adds the closed range; tells how many of its numbers were new.
    pub fn insert_range(&mut self, first: u64, last: u64) -> u64 {
        debug_assert!(first <= last, "an empty range");
        // Ranges that overlap the new one or touch it are at `from..to`.
        let from = self.ranges.partition_point(|range| range[1].saturating_add(1) < first);
        let to = from + self.ranges[from..].partition_point(|range| range[0] <= last.saturating_add(1));
        let old: u64 = self.ranges[from..to].iter().map(|range| overlap(*range, first, last)).sum();
        let merged = match self.ranges.get(from..to) {
            Some([]) | None => [first, last],
            Some(touched) => [first.min(touched[0][0]), last.max(touched[touched.len() - 1][1])],
        };
        if from < to {
            self.ranges[from] = merged;
            self.ranges.drain(from + 1..to);
        } else {
            self.ranges.insert(from, merged);
        }
        last - first + 1 - old
    }

    /// Whether the number is in the set.
    pub fn contains(&self, number: u64) -> bool {
        let at = self.ranges.partition_point(|range| range[1] < number);
        self.ranges.get(at).is_some_and(|range| range[0] <= number)
    }

    /// Forgets every number below `floor`.
    pub fn remove_below(&mut self, floor: u64) {
        let gone = self.ranges.partition_point(|range| range[1] < floor);
        self.ranges.drain(..gone);
        if let Some(first) = self.ranges.first_mut() {
            first[0] = first[0].max(floor);
        }
    }

    /// Forgets the lowest range and tells it.
    pub fn pop_lowest(&mut self) -> Option<[u64; 2]> {
        (!self.ranges.is_empty()).then(|| self.ranges.remove(0))
    }

    /// The ranges, ascending.
    pub fn as_slice(&self) -> &[[u64; 2]] {
        &self.ranges
    }

    /// The highest number.
    pub fn highest(&self) -> Option<u64> {
        self.ranges.last().map(|range| range[1])
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The numbers of `first..=last` that are not in the set, as ranges.
    pub fn gaps(&self, first: u64, last: u64) -> impl Iterator<Item = [u64; 2]> {
        let mut next = first;
        let from = self.ranges.partition_point(|range| range[1] < first);
        let mut inside = self.ranges[from..].iter().take_while(move |range| range[0] <= last);
        std::iter::from_fn(move || {
            loop {
                if next > last {
                    return None;
                }
                let Some(range) = inside.next() else {
                    let gap = [next, last];
                    next = last.saturating_add(1);
                    return Some(gap);
                };
                let gap = [next, range[0].saturating_sub(1)];
                let empty = range[0] <= next;
                next = next.max(range[1].saturating_add(1));
                if !empty {
                    return Some(gap);
                }
            }
        })
    }
}

fn overlap(range: [u64; 2], first: u64, last: u64) -> u64 {
    let (low, high) = (range[0].max(first), range[1].min(last));
    if low <= high { high - low + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_join_where_they_touch() {
        let mut ranges = Ranges::default();
        assert_eq!(ranges.insert_range(1, 3), 3);
        assert_eq!(ranges.insert_range(7, 9), 3);
        assert!(ranges.insert(5));
        assert_eq!(ranges.as_slice(), [[1, 3], [5, 5], [7, 9]]);
        assert!(ranges.insert(4));
        assert_eq!(ranges.as_slice(), [[1, 5], [7, 9]]);
        assert!(!ranges.insert(9));
        assert_eq!(ranges.insert_range(2, 8), 1);
        assert_eq!(ranges.as_slice(), [[1, 9]]);
    }

    #[test]
    fn gaps_are_what_is_missing() {
        let mut ranges = Ranges::default();
        ranges.insert_range(3, 4);
        ranges.insert(8);
        assert_eq!(ranges.gaps(1, 10).collect::<Vec<_>>(), [[1, 2], [5, 7], [9, 10]]);
        assert_eq!(ranges.gaps(4, 8).collect::<Vec<_>>(), [[5, 7]]);
        assert_eq!(ranges.gaps(3, 4).count(), 0);
    }

    proptest! {
        #[test]
        fn the_set_is_the_set_of_a_plain_set(steps in proptest::collection::vec((0_u64..60, 0_u64..6, any::<bool>()), 0..60)) {
            let mut ranges = Ranges::default();
            let mut model = BTreeSet::new();
            for (first, more, cut) in steps {
                if cut {
                    ranges.remove_below(first);
                    model = model.split_off(&first);
                } else {
                    let new = ranges.insert_range(first, first + more);
                    let before = model.len();
                    model.extend(first..=first + more);
                    prop_assert_eq!(new, (model.len() - before) as u64);
                }
                for number in 0..70 {
                    prop_assert_eq!(ranges.contains(number), model.contains(&number));
                }
                prop_assert!(ranges.as_slice().windows(2).all(|pair| pair[0][1] + 1 < pair[1][0]));
                let missing: Vec<u64> = ranges.gaps(5, 50).flat_map(|gap| gap[0]..=gap[1]).collect();
                let expected: Vec<u64> = (5..=50).filter(|number| !model.contains(number)).collect();
                prop_assert_eq!(missing, expected);
            }
        }
    }
}
