//! The relay as the loop sees it: with a bad link before it, if one is wanted, and quiet while the disk has enough to do.

use crate::io::event_loop::Machine;
use crate::machine::{Path, Transmit};
use crate::random::{keyed_draw, scale};
use crate::relay::{Event, Relay};
use crate::time::{Instant, Now};

/// A relay behind a gate.
#[derive(Debug)]
pub(super) struct Gate {
    /// The machine.
    pub(super) relay: Relay,
    /// Whether its events are wanted. They wait in the relay otherwise, and with them those who wait for answers.
    pub(super) is_open: bool,
    loss_ppm: u32,
    seed: u64,
    arrived: u64,
    dropped: u64,
}

impl Gate {
    /// A relay; of a million datagrams that arrive so many are lost.
    pub(super) const fn new(relay: Relay, loss_ppm: u32, seed: u64) -> Self {
        Self { relay, is_open: true, loss_ppm, seed, arrived: 0, dropped: 0 }
    }

    /// How many datagrams were lost, if any are to be.
    pub(super) fn dropped(&self) -> Option<u64> {
        (self.loss_ppm > 0).then_some(self.dropped)
    }
}

impl Machine for Gate {
    type Event = Event;

    fn handle_datagram(&mut self, now: Now, path: Path, datagram: &mut [u8]) {
        self.arrived += 1;
        if scale(keyed_draw(&[self.seed, self.arrived]), 1_000_000) < u64::from(self.loss_ppm) {
            self.dropped += 1;
            return;
        }
        self.relay.handle_datagram(now, path, datagram);
    }

    fn stir(&mut self, now: Now, fresh: &[u8; 32]) {
        self.relay.stir(now, fresh);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.relay.handle_timeout(now);
    }

    fn poll_transmit(&mut self, now: Now, buffer: &mut Vec<u8>) -> Option<Transmit> {
        self.relay.poll_transmit(now, buffer)
    }

    fn poll_event(&mut self) -> Option<Event> {
        if self.is_open { self.relay.poll_event() } else { None }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.relay.poll_timeout().map(|(deadline, _)| deadline)
    }
}
