//! Any bytes, bounded work, one disposition; and the same again from the same seed.

use super::{Checker, Invariant, Seen};
use crate::random::keyed_draw;
use crate::sim::ghost::Ghost;
use crate::time::Instant;

/// Datagrams are counted once, a repeated one changes nothing, timers do not spin. Panics and unequal repetitions are found by
/// whoever runs the scenario.
#[derive(Debug)]
pub(super) struct Total;

/// How often a node's timers may go off at one instant: a handful of connections, each with at most ten reasons to wake.
const MAX_ROUNDS: u32 = 100;

impl Checker for Total {
    fn invariant(&self) -> Invariant {
        Invariant::TotalAndDeterministic
    }

    fn check(
        &mut self,
        _at: Instant,
        index: usize,
        seen: &Seen<'_, '_>,
        ghost: &Ghost,
    ) -> Result<(), String> {
        match seen {
            Seen::Arrived { is_again: true, reports, datagram, .. } if *reports > 0 => Err(format!(
                "a datagram that came before made the application see {reports} things: {datagram:?}"
            )),
            Seen::Settled { node, rounds } => {
                if *rounds > MAX_ROUNDS {
                    let reason = node.endpoint().poll_timeout().map(|(_, reason)| reason.name());
                    return Err(format!(
                        "timers went off {rounds} times at one instant, the last for {reason:?}"
                    ));
                }
                let statistics = node.endpoint().statistics();
                let standing = &ghost.nodes[index];
                let counted: u64 = statistics.dispositions().map(|(_, count)| count).sum();
                let expected = [standing.datagrams_in, standing.datagrams_in, standing.datagrams_out];
                let told = [statistics.datagrams_received, counted, statistics.datagrams_sent];
                if told != expected {
                    return Err(format!(
                        "datagrams in, by disposition and out are {expected:?}; it counted {told:?}"
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// A number that stands for everything that happened in a run, in its order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace(u64);

impl Trace {
    /// One more thing happened.
    pub fn note(&mut self, words: &[u64]) {
        self.0 = keyed_draw(&[self.0, keyed_draw(words)]);
    }

    /// One more thing happened, and these bytes were part of it.
    pub fn note_bytes(&mut self, words: &[u64], bytes: &[u8]) {
        self.note(words);
        self.note(&[u64::from(crc32c::crc32c(bytes)), bytes.len() as u64]);
    }
}
