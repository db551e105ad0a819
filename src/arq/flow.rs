//! How much the other side may send, and how much we may: windows with edges that only move up.
//!
//! A message is charged whole, by its length, when its first byte is sent. So a receiver that grants a window can always hold
//! what comes, and a sender that has begun a message can always finish it.

/// A sender's view: what it may still send.
#[derive(Clone, Copy, Debug)]
pub struct Credit {
    used: u64,
    edge: u64,
}

impl Credit {
    /// Nothing used of what the handshake granted.
    pub const fn new(edge: u64) -> Self {
        Self { used: 0, edge }
    }

    /// Whether `bytes` more may be sent.
    pub const fn covers(&self, bytes: u64) -> bool {
        self.used.saturating_add(bytes) <= self.edge
    }

    /// Charges a message.
    pub const fn spend(&mut self, bytes: u64) {
        self.used += bytes;
    }

    /// The other side granted more. An edge below the known one is an old frame that came late (UC-STR-008).
    pub const fn raise(&mut self, edge: u64) {
        if edge > self.edge {
            self.edge = edge;
        }
    }
}

/// A receiver's view: what it granted, and what of it is in use.
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    size: u64,
    /// What the sender has charged so far, as far as it can be known here.
    received: u64,
    consumed: u64,
    edge: u64,
    /// How much more has to be free before it is told.
    step: u64,
}

impl Grant {
    /// The window that the handshake granted. `message_bytes` is the longest message that must always find room in it.
    pub const fn new(size: u64, message_bytes: u64) -> Self {
        // A message is charged whole, so what is free and not told must never be what the longest one lacks.
        let spare = size.saturating_sub(message_bytes);
        let quarter = size.div_ceil(4);
        let step = if spare < quarter { spare } else { quarter };
        Self { size, received: 0, consumed: 0, edge: size, step: if step == 0 { 1 } else { step } }
    }

    /// More arrived. False if it is more than was granted: the other side broke the rule (UC-STR-009).
    #[must_use]
    pub const fn receive(&mut self, bytes: u64) -> bool {
        self.received = self.received.saturating_add(bytes);
        self.received <= self.edge
    }

    /// The application took it.
    pub const fn consume(&mut self, bytes: u64) {
        self.consumed += bytes;
    }

    /// The new edge, once it is worth a frame: when a quarter of the window has been used since the last one was told, or when
    /// the longest message would not fit any more.
    pub const fn next_edge(&self) -> Option<u64> {
        let edge = self.consumed + self.size;
        if edge - self.edge >= self.step { Some(edge) } else { None }
    }

    /// The edge as it was last told.
    pub const fn edge(&self) -> u64 {
        self.edge
    }

    /// The edge was told.
    pub const fn tell(&mut self, edge: u64) {
        self.edge = edge;
    }

    /// Bytes that arrived and were not taken.
    pub const fn held(&self) -> u64 {
        self.received.saturating_sub(self.consumed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // UC-STR-008
    #[test]
    fn credit_is_spent_and_raised_and_never_lowered() {
        let mut credit = Credit::new(100);
        assert!(credit.covers(100));
        credit.spend(60);
        assert!(!credit.covers(41));
        credit.raise(50);
        assert!(credit.covers(40));
        credit.raise(200);
        assert!(credit.covers(140));
    }

    // UC-STR-009, UC-STR-010
    #[test]
    fn the_longest_message_always_finds_room_in_the_end() {
        for (size, message_bytes) in [(100, 100), (100, 99), (100, 80), (100, 75), (100, 10), (1, 1)] {
            let mut grant = Grant::new(size, message_bytes);
            for used in 1..=3 * size {
                assert!(grant.receive(1));
                grant.consume(1);
                if let Some(edge) = grant.next_edge() {
                    grant.tell(edge);
                }
                assert!(grant.edge() - used >= message_bytes, "{size} {message_bytes} {used}");
            }
        }
    }

    #[test]
    fn a_grant_is_renewed_by_quarters_and_guards_its_edge() {
        let mut grant = Grant::new(100, 75);
        assert!(grant.receive(100));
        assert_eq!(grant.next_edge(), None);
        grant.consume(24);
        assert_eq!(grant.next_edge(), None);
        grant.consume(1);
        assert_eq!(grant.next_edge(), Some(125));
        grant.tell(125);
        assert_eq!(grant.held(), 75);
        assert!(grant.receive(25));
        assert!(!grant.receive(1));
    }
}
