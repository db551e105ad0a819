//! Lost, or only late? A packet counts as lost when its own deadline passes, or when a later one was acked and the reorder window
//! is over. There is no threshold in packets: reordering by many packets is normal, by much time is not.

use std::time::Duration;

use super::config::Config;
use super::rtt::{GRAIN, Rtt};
use super::sent::{SentPacket, SentPackets};
use crate::time::Instant;

/// Decides which packets are lost, and paces the probes of a silent partner.
#[derive(Debug)]
pub struct LossDetector {
    newest_acked: u64,
    /// What reordering has shown to need, beyond the least window.
    learned_window: Duration,
    learned_at: Instant,
    /// Time-outs in a row without any ack.
    silent_rounds: u32,
    round_began: Instant,
    /// How much longer an overtaken packet is waited for, since what it carried is repaired without it.
    patience: Duration,
}

impl LossDetector {
    /// How long a loss is remembered when nothing later was confirmed.
    pub const LONGEST_MEMORY: Duration = Duration::from_secs(10);

    /// Nothing seen yet.
    pub const fn new() -> Self {
        Self {
            newest_acked: 0,
            learned_window: Duration::ZERO,
            learned_at: Instant::ZERO,
            silent_rounds: 0,
            round_began: Instant::ZERO,
            patience: Duration::ZERO,
        }
    }

    /// The highest packet number that the other side has confirmed.
    pub const fn newest_acked(&self) -> u64 {
        self.newest_acked
    }

    /// Takes note of a confirmed packet. One that had been given up was late, so the reorder window grows to its lateness and a
    /// quarter (UC-ARQ-012). Tells whether it was such a one.
    pub fn on_acked(&mut self, now: Instant, number: u64, packet: &SentPacket, rtt: &Rtt) -> bool {
        self.silent_rounds = 0;
        let newest = number > self.newest_acked;
        self.newest_acked = self.newest_acked.max(number);
        let spurious = packet.lost_at.is_some();
        if spurious && !newest {
            let lateness = now.since(packet.sent_at).saturating_sub(basis(rtt));
            // A whole round trip is the end: beyond it waiting costs more than repeating.
            let wanted = (lateness * 5 / 4).min(basis(rtt));
            if wanted > self.learned_window {
                self.learned_window = wanted;
            }
            self.learned_at = now;
        }
        spurious
    }

    /// What is overtaken may be repaired by what overtook it; whether it was is told so much later than it came.
    pub const fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Something new came from the other side: it is there, so what it misses is worth telling at once.
    pub const fn on_heard(&mut self) {
        self.silent_rounds = 0;
    }

    /// The packets that are lost at `now`, oldest first (UC-ARQ-010, UC-ARQ-011).
    pub fn detect(
        &mut self,
        now: Instant,
        sent: &SentPackets,
        rtt: &Rtt,
        peer_ack_delay: Duration,
        config: &Config,
    ) -> Vec<u64> {
        self.decay(now, rtt);
        let interval = self.interval(rtt, peer_ack_delay, config);
        let window = self.overtaken_after(rtt);
        let mut lost = Vec::new();
        let mut silent = false;
        for (number, packet) in sent.in_flight() {
            let overtaken = number < self.newest_acked && packet.sent_at + window <= now;
            let timed_out = packet.sent_at + interval <= now;
            if !overtaken && !timed_out {
                if number > self.newest_acked {
                    break;
                }
                continue;
            }
            silent |= timed_out && packet.sent_at >= self.round_began && number > self.newest_acked;
            lost.push(number);
        }
        if silent {
            self.silent_rounds += 1;
            self.round_began = now;
        }
        lost
    }

    /// When the next packet will count as lost.
    pub fn deadline(
        &self,
        sent: &SentPackets,
        rtt: &Rtt,
        peer_ack_delay: Duration,
        config: &Config,
    ) -> Option<Instant> {
        let (number, packet) = sent.oldest_in_flight()?;
        let interval = self.interval(rtt, peer_ack_delay, config);
        // Packets are numbered in the order of their departure, so the oldest one has the earliest deadline of either kind.
        let wait =
            if number < self.newest_acked { self.overtaken_after(rtt).min(interval) } else { interval };
        Some(packet.sent_at + wait)
    }

    /// The time-out of a packet: linear for the first silent rounds, then doubling up to the cap (UC-ARQ-013).
    pub fn interval(&self, rtt: &Rtt, peer_ack_delay: Duration, config: &Config) -> Duration {
        // What reordering delays for longer than the variance shows is late and not lost.
        let late = basis(rtt) + self.learned_window + peer_ack_delay;
        let base = rtt.timeout(peer_ack_delay).map_or(config.initial_timeout, |timeout| timeout.max(late));
        let doublings = self.silent_rounds.saturating_sub(config.linear_probes).min(16);
        (base * (1 << doublings)).min(config.probe_cap.max(base))
    }

    /// How long a loss is remembered, so that a late ack can prove it spurious.
    pub fn memory(rtt: &Rtt) -> Duration {
        (basis(rtt) * 3).max(Duration::from_millis(50))
    }

    /// Whether the other side has been silent for two time-outs: then probes go out and no more than probes (UC-ARQ-014).
    pub const fn is_probing(&self) -> bool {
        self.silent_rounds >= 2
    }

    /// Whether it has not been silent for so long that probes are to become seldom (UC-ARQ-013).
    pub const fn is_silence_short(&self, config: &Config) -> bool {
        self.silent_rounds <= config.linear_probes
    }

    /// How long after its departure a packet counts as lost once a later one was acked.
    fn overtaken_after(&self, rtt: &Rtt) -> Duration {
        let least = rtt.minimum().map_or(GRAIN, |minimum| (minimum / 8).max(GRAIN));
        basis(rtt) + least.max(self.learned_window) + self.patience
    }

    /// A link that stopped reordering gets its quick repairs back: half the learned window goes in sixteen round trips
    /// (RFC 8985 resets after sixteen recoveries).
    fn decay(&mut self, now: Instant, rtt: &Rtt) {
        let half_life = (basis(rtt) * 16).max(Duration::from_secs(1));
        while !self.learned_window.is_zero() && now.since(self.learned_at) >= half_life {
            self.learned_window /= 2;
            self.learned_at += half_life;
            if self.learned_window < GRAIN {
                self.learned_window = Duration::ZERO;
            }
        }
    }
}

/// The round trip that lateness is measured against.
fn basis(rtt: &Rtt) -> Duration {
    rtt.smoothed().unwrap_or_default().max(rtt.latest())
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::super::sent::Content;
    use super::*;

    const RTT: Duration = Duration::from_millis(100);
    const ACK_DELAY: Duration = Duration::from_millis(5);

    fn at(milliseconds: u64) -> Instant {
        Instant::from_nanos(milliseconds * 1_000_000)
    }

    fn settled_rtt() -> Rtt {
        let mut rtt = Rtt::new();
        for _ in 0..60 {
            rtt.sample(Instant::ZERO, RTT, Duration::ZERO);
        }
        rtt
    }

    /// Packets 1.. that left at these times, in milliseconds.
    fn acked(sent: &mut SentPackets, now: Instant, got: &[[u64; 2]]) -> Vec<(u64, SentPacket)> {
        let mut acked = Vec::new();
        sent.take_acked(now, got, &mut acked);
        acked
    }

    fn sent_at(times_ms: &[u64]) -> SentPackets {
        let mut sent = SentPackets::new();
        for &time_ms in times_ms {
            sent.record(at(time_ms), 100, smallvec![Content::Ping], false);
        }
        sent
    }

    // UC-ARQ-010
    #[test]
    fn a_packet_has_its_own_deadline_even_when_nothing_later_is_acked() {
        let (mut detector, rtt, config) = (LossDetector::new(), settled_rtt(), Config::default());
        let mut sent = sent_at(&[0, 50]);
        // 100 ms, a twentieth of it as slack, 5 ms that the other side may wait.
        assert_eq!(detector.deadline(&sent, &rtt, ACK_DELAY, &config), Some(at(110)));
        assert_eq!(detector.detect(at(109), &sent, &rtt, ACK_DELAY, &config), [0_u64; 0]);
        let lost = detector.detect(at(110), &sent, &rtt, ACK_DELAY, &config);
        assert_eq!(lost, [1]);
        sent.mark_lost(at(110), &lost);
        assert_eq!(detector.deadline(&sent, &rtt, ACK_DELAY, &config), Some(at(160)));
    }

    // UC-ARQ-011
    #[test]
    fn an_overtaken_packet_is_lost_after_the_reorder_window_and_not_before() {
        let (mut detector, rtt, config) = (LossDetector::new(), settled_rtt(), Config::default());
        let mut sent = sent_at(&[0, 1]);
        for (number, packet) in acked(&mut sent, at(101), &[[2, 2]]) {
            assert!(!detector.on_acked(at(101), number, &packet, &rtt));
        }
        // An eighth of the round trip is the least window, but the deadline of 110 ms comes first.
        assert_eq!(detector.deadline(&sent, &rtt, ACK_DELAY, &config), Some(at(110)));
        assert_eq!(detector.detect(at(110), &sent, &rtt, ACK_DELAY, &config), [1]);
    }

    // UC-ARQ-012
    #[test]
    fn a_late_ack_widens_the_window_and_quiet_narrows_it_again() {
        let (mut detector, rtt, config) = (LossDetector::new(), settled_rtt(), Config::default());
        let mut sent = sent_at(&[0, 1, 2]);
        for (number, packet) in acked(&mut sent, at(102), &[[3, 3]]) {
            detector.on_acked(at(102), number, &packet, &rtt);
        }
        let lost = detector.detect(at(115), &sent, &rtt, ACK_DELAY, &config);
        sent.mark_lost(at(115), &lost);
        for (number, packet) in acked(&mut sent, at(140), &[[1, 1]]) {
            assert!(detector.on_acked(at(140), number, &packet, &rtt));
        }
        assert_eq!(detector.overtaken_after(&rtt), Duration::from_millis(150));
        detector.decay(at(140 + 1_600), &rtt);
        assert_eq!(detector.overtaken_after(&rtt), Duration::from_millis(125));
    }

    // UC-ARQ-013, UC-ARQ-014
    #[test]
    fn probes_are_linear_for_eight_rounds_and_then_double_up_to_the_cap() {
        let (mut detector, rtt, config) = (LossDetector::new(), settled_rtt(), Config::default());
        let mut sent = SentPackets::new();
        let mut intervals_ms = Vec::new();
        let mut now = at(0);
        for _ in 0..14 {
            sent.record(now, 100, smallvec![Content::Ping], false);
            let deadline = detector.deadline(&sent, &rtt, ACK_DELAY, &config).unwrap();
            intervals_ms.push(deadline.since(now).as_millis());
            now = deadline;
            let lost = detector.detect(now, &sent, &rtt, ACK_DELAY, &config);
            sent.mark_lost(now, &lost);
        }
        assert_eq!(intervals_ms, [110, 110, 110, 110, 110, 110, 110, 110, 110, 220, 440, 880, 1500, 1500]);
        assert!(detector.is_probing());
    }
}
