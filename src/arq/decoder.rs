//! Repair symbols become the messages that are missing: elimination over what came, one equation for each symbol (UC-STR-016).
//!
//! It holds bounded copies of the newest messages, because symbols are sums of those that came and those that did not. It hands over
//! what it could compute and decides nothing else about it.

use std::collections::BTreeMap;

use super::field::{add, add_message, coefficient, inverse, message, product};
use crate::wire::{MAX_REPAIR_SPAN, Repair, SYMBOL_BYTES};

/// The messages of one stream that came lately, and the equations between those that did not.
#[derive(Debug, Default)]
pub struct Decoder {
    kept: BTreeMap<u64, Box<[u8]>>,
    /// In reduced echelon form: the first message of each is in no other.
    equations: Vec<Equation>,
    /// Computed, and not yet handed over.
    repaired: Vec<(u64, Vec<u8>)>,
    /// Whether what is computed waits for no other message.
    pub unordered: bool,
}

/// The sum of these messages, each by its share, is the symbol.
#[derive(Clone, Debug)]
struct Equation {
    /// Missing messages, ascending, each with its share, which is not 0; the first has the share 1.
    terms: Vec<(u64, u8)>,
    symbol: Vec<u8>,
}

impl Decoder {
    /// More equations than any sender keeps open: each packet of a window may have brought some, and most are solved at once. It
    /// bounds the work that a symbol can make.
    const MAX_EQUATIONS: usize = 32;

    /// A message came, or was computed.
    pub fn learn(&mut self, seq: u64, body: &[u8]) {
        if body.len() > SYMBOL_BYTES.end() - 2 {
            // No symbol can hold it, so whatever claims to do so is nonsense.
            self.equations.retain(|equation| equation.place(seq).is_err());
            return;
        }
        self.kept.insert(seq, body.into());
        if self.kept.len() > MAX_REPAIR_SPAN as usize {
            self.kept.pop_first();
        }
        let mut beheaded = Vec::new();
        for at in (0..self.equations.len()).rev() {
            let equation = &mut self.equations[at];
            let Ok(place) = equation.place(seq) else { continue };
            let (_, share) = equation.terms.remove(place);
            add_message(&mut equation.symbol, body, share);
            if place == 0 {
                beheaded.push(self.equations.swap_remove(at));
            }
        }
        beheaded.into_iter().for_each(|equation| self.insert(equation));
        self.collect();
    }

    /// Takes the symbols of packet `packet`. `is_here` tells whether a message came, kept or not.
    pub fn take(&mut self, packet: u64, repair: &Repair<'_>, is_here: impl Fn(u64) -> bool) {
        self.unordered = repair.unordered;
        let Some(&[_, newest]) = repair.of.last() else { return };
        // What so old a message has a share in was repaired otherwise, or will never be.
        self.equations.retain(|equation| equation.terms[0].0 + 2 * MAX_REPAIR_SPAN > newest);
        for (index, symbol) in repair.symbols.iter().enumerate() {
            let Some(equation) = self.equation(packet, index, repair, symbol, &is_here) else { return };
            self.insert(equation);
        }
        self.collect();
    }

    /// What could be computed, once each.
    pub fn poll(&mut self) -> Option<(u64, Vec<u8>)> {
        self.repaired.pop()
    }

    /// Entries that are held, for the bound's checker.
    pub fn entries(&self) -> usize {
        self.kept.len() + self.equations.iter().map(|equation| equation.terms.len()).sum::<usize>()
    }

    /// What a symbol says of the messages that are missing; None if that cannot be known, because one that came is not kept.
    fn equation(
        &self,
        packet: u64,
        index: usize,
        repair: &Repair<'_>,
        symbol: &[u8],
        is_here: impl Fn(u64) -> bool,
    ) -> Option<Equation> {
        let mut equation = Equation { terms: Vec::new(), symbol: symbol.to_vec() };
        for seq in repair.of.iter().flat_map(|&[first, last]| first..=last) {
            let share = coefficient(packet, index, seq);
            match self.kept.get(&seq) {
                Some(body) if body.len() + 2 > symbol.len() => return None,
                Some(body) => add_message(&mut equation.symbol, body, share),
                None if is_here(seq) => return None,
                None => equation.terms.push((seq, share)),
            }
        }
        Some(equation)
    }

    /// Adds an equation, if it says anything new.
    fn insert(&mut self, mut equation: Equation) {
        for known in &self.equations {
            if let Ok(place) = equation.place(known.terms[0].0) {
                let share = equation.terms[place].1;
                equation.subtract(known, share);
            }
        }
        let Some(&(first, share)) = equation.terms.first() else { return };
        equation.scale(inverse(share));
        for known in &mut self.equations {
            if let Ok(place) = known.place(first) {
                let share = known.terms[place].1;
                known.subtract(&equation, share);
            }
        }
        if self.equations.len() == Self::MAX_EQUATIONS {
            let oldest = (0..Self::MAX_EQUATIONS).min_by_key(|&at| self.equations[at].terms[0].0);
            self.equations.swap_remove(oldest.unwrap_or(0));
        }
        self.equations.push(equation);
    }

    /// Hands over what only one message has a share in.
    fn collect(&mut self) {
        for at in (0..self.equations.len()).rev() {
            if let [(seq, _)] = self.equations[at].terms[..] {
                let equation = self.equations.swap_remove(at);
                // Anything else is a sender's mistake, and the message comes by itself if it is wanted.
                if let Some(body) = message(&equation.symbol) {
                    self.kept.insert(seq, body.into());
                    self.repaired.push((seq, body.to_vec()));
                }
            }
        }
    }
}

impl Equation {
    fn place(&self, seq: u64) -> Result<usize, usize> {
        self.terms.binary_search_by_key(&seq, |&(seq, _)| seq)
    }

    /// Takes `share` times another one away, which is the same as adding it.
    fn subtract(&mut self, other: &Self, share: u8) {
        for &(seq, factor) in &other.terms {
            let change = product(factor, share);
            match self.place(seq) {
                Ok(place) if self.terms[place].1 == change => drop(self.terms.remove(place)),
                Ok(place) => self.terms[place].1 ^= change,
                Err(place) => self.terms.insert(place, (seq, change)),
            }
        }
        if self.symbol.len() < other.symbol.len() {
            self.symbol.resize(other.symbol.len(), 0);
        }
        add(&mut self.symbol, &other.symbol, share);
    }

    fn scale(&mut self, factor: u8) {
        self.terms.iter_mut().for_each(|(_, share)| *share = product(*share, factor));
        self.symbol.iter_mut().for_each(|byte| *byte = product(*byte, factor));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// A message of its own for each number, of different lengths.
    fn body(seq: u64) -> Vec<u8> {
        (0..3 + seq * 7 % 40).map(|at| (seq * 31 + at * at) as u8).collect()
    }

    /// The symbols of a packet over these messages.
    fn symbols(packet: u64, of: &[[u64; 2]], count: usize) -> Vec<Vec<u8>> {
        let symbol = |index| {
            let mut symbol = vec![0; 45];
            for seq in of.iter().flat_map(|&[first, last]| first..=last) {
                add_message(&mut symbol, &body(seq), coefficient(packet, index, seq));
            }
            symbol
        };
        (0..count).map(symbol).collect()
    }

    struct Receiver {
        decoder: Decoder,
        here: Vec<u64>,
    }

    impl Receiver {
        fn new() -> Self {
            Self { decoder: Decoder::default(), here: Vec::new() }
        }

        fn message(&mut self, seq: u64) -> Vec<u64> {
            self.here.push(seq);
            self.decoder.learn(seq, &body(seq));
            self.repaired()
        }

        fn repair(&mut self, packet: u64, of: &[[u64; 2]], count: usize) -> Vec<u64> {
            let symbols = symbols(packet, of, count);
            let symbols = symbols.iter().map(Vec::as_slice).collect();
            let repair = Repair { stream: 0, of: of.into(), unordered: false, symbols };
            let here = self.here.clone();
            self.decoder.take(packet, &repair, |seq| here.contains(&seq));
            self.repaired()
        }

        fn repaired(&mut self) -> Vec<u64> {
            let mut repaired = Vec::new();
            while let Some((seq, text)) = self.decoder.poll() {
                assert_eq!(text, body(seq), "message {seq}");
                self.here.push(seq);
                repaired.push(seq);
            }
            repaired.sort_unstable();
            repaired
        }
    }

    // UC-STR-016
    #[test]
    fn as_many_symbols_as_messages_are_missing_are_enough() {
        let mut receiver = Receiver::new();
        for seq in [1, 2, 5, 6] {
            assert_eq!(receiver.message(seq), [0_u64; 0]);
        }
        assert_eq!(receiver.repair(7, &[[1, 6]], 1), [0_u64; 0], "one equation for two messages");
        assert_eq!(receiver.repair(8, &[[2, 6]], 1), [3, 4]);
        assert_eq!(receiver.repair(9, &[[2, 6]], 2), [0_u64; 0], "nothing is missing any more");
        assert_eq!(receiver.decoder.equations.len(), 0);
    }

    // UC-STR-016
    #[test]
    fn a_message_that_comes_late_makes_an_equation_shorter() {
        let mut receiver = Receiver::new();
        receiver.message(1);
        assert_eq!(receiver.repair(2, &[[1, 3]], 1), [0_u64; 0]);
        assert_eq!(receiver.message(2), [3]);
        assert_eq!(receiver.repair(3, &[[1, 1], [4, 6]], 2), [0_u64; 0]);
        assert_eq!(receiver.message(6), [4, 5]);
    }

    #[test]
    fn what_came_before_the_first_symbol_is_not_kept_and_its_symbols_tell_nothing() {
        let mut receiver = Receiver::new();
        receiver.here.push(1);
        assert_eq!(receiver.repair(2, &[[1, 2]], 4), [0_u64; 0]);
        assert_eq!(receiver.repair(3, &[[2, 2]], 1), [2]);
    }

    #[test]
    fn nonsense_repairs_nothing_and_leaves_nothing_behind() {
        let mut receiver = Receiver::new();
        let symbol = [9; 20];
        let repair = Repair {
            stream: 0,
            of: [[3, 3]].as_slice().into(),
            unordered: false,
            symbols: [symbol.as_slice()].into_iter().collect(),
        };
        receiver.decoder.take(1, &repair, |_| false);
        assert_eq!((receiver.decoder.poll(), receiver.decoder.entries()), (None, 0));
        receiver.decoder.learn(4, &[7; 30]);
        let repair = Repair { of: [[4, 5]].as_slice().into(), ..repair };
        receiver.decoder.take(2, &repair, |_| false);
        assert_eq!(receiver.decoder.entries(), 1, "the message is longer than the symbol");
    }

    // UC-STR-016: a link that loses every third packet, and everything that can be computed is.
    #[test]
    fn a_stream_over_a_bad_link_is_repaired_and_stays_bounded() {
        let mut random = Random::from_seed(5);
        let (mut receiver, mut missing, mut equations) = (Receiver::new(), Vec::<u64>::new(), 0);
        let mut repaired = 0;
        for seq in 1..=2_000_u64 {
            let of = [[seq.saturating_sub(20).max(1), (seq - 1).max(1)]];
            if random.below(3) == 0 {
                missing.push(seq);
                continue;
            }
            let mut came = receiver.message(seq);
            came.extend(if seq > 1 { receiver.repair(seq, &of, 1) } else { Vec::new() });
            equations += 1;
            missing.retain(|seq| !came.contains(seq));
            repaired += came.len();
            assert!(receiver.decoder.entries() <= 64 + 32 * 64);
            receiver.here.retain(|here| here + 70 > seq);
        }
        assert!(repaired > 600, "{repaired} of {equations} repaired");
        assert!(missing.len() < 20, "{missing:?} were not");
    }
}
