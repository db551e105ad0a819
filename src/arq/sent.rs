//! The packets on their way: when each left, what it carried, and what became of it.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::congestion::AckSample;
use super::rtt::Rtt;
use crate::time::Instant;

/// One item whose packet may get lost, by name: the bytes stay with the stream, so a retransmission is a new packet with whatever
/// is still needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Whole messages, consecutive.
    Messages {
        /// Their stream.
        stream: u32,
        /// The first one's number.
        seq: u64,
        /// How many.
        count: u32,
    },
    /// A fragment.
    Part {
        /// Its stream.
        stream: u32,
        /// The message's number.
        seq: u64,
        /// Where it begins.
        offset: u64,
        /// Its length in bytes.
        length: u64,
    },
    /// A symbol for a message that was found lost. That it comes does not mean that the message does.
    Repair {
        /// Its stream.
        stream: u32,
        /// Its number.
        seq: u64,
    },
    /// The word that a message is given up.
    Skip {
        /// Its stream.
        stream: u32,
        /// Its number.
        seq: u64,
    },
    /// The upper edge of all streams.
    ConnectionWindow,
    /// The upper edges of one stream.
    StreamWindow(u32),
    /// A wish for an ack.
    Ping,
    /// A message that is not repeated.
    Gram,
}

/// What one packet carried: rarely more than the end of a message, whole ones, and the beginning of one.
pub type Contents = SmallVec<[Content; 3]>;

/// A packet that left.
#[derive(Debug)]
pub struct SentPacket {
    /// When.
    pub sent_at: Instant,
    /// Its length in bytes.
    pub bytes: u64,
    /// What it carried.
    pub contents: Contents,
    /// When it was found lost. It is remembered for a while: an ack that comes after all proves the loss spurious.
    pub lost_at: Option<Instant>,
    delivered_before: u64,
    delivered_before_at: Instant,
    limited_by_window: bool,
}

/// All packets of one direction that are not settled.
#[derive(Debug)]
pub struct SentPackets {
    /// The number of the first entry.
    low: u64,
    /// None is settled: acked, forgotten, or nothing that an ack is wanted for.
    packets: VecDeque<Option<SentPacket>>,
    in_flight_bytes: u64,
    delivered_bytes: u64,
    delivered_at: Instant,
}

impl SentPackets {
    /// No packet left yet; the first has the number 1 (UC-ARQ-001).
    pub const fn new() -> Self {
        Self {
            low: 1,
            packets: VecDeque::new(),
            in_flight_bytes: 0,
            delivered_bytes: 0,
            delivered_at: Instant::ZERO,
        }
    }

    /// The number of the next packet.
    pub fn next_number(&self) -> u64 {
        self.low + self.packets.len() as u64
    }

    /// Everything below is settled.
    pub const fn low(&self) -> u64 {
        self.low
    }

    /// Bytes of packets that are neither acked nor lost.
    pub const fn in_flight_bytes(&self) -> u64 {
        self.in_flight_bytes
    }

    /// How many packets are remembered, for the bound's checker.
    pub fn tracked(&self) -> usize {
        self.packets.len()
    }

    /// A packet with contents left. `limited_by_window` tells that more was waiting when the window was full.
    pub fn record(&mut self, now: Instant, bytes: u64, contents: Contents, limited_by_window: bool) {
        if self.in_flight_bytes == 0 {
            // After a pause the rate is measured from the first packet on, not over the pause.
            self.delivered_at = now;
        }
        self.in_flight_bytes += bytes;
        self.packets.push_back(Some(SentPacket {
            sent_at: now,
            bytes,
            contents,
            lost_at: None,
            delivered_before: self.delivered_bytes,
            delivered_before_at: self.delivered_at,
            limited_by_window,
        }));
    }

    /// A packet left for which no ack is wanted.
    pub fn record_unacked(&mut self) {
        if self.packets.is_empty() {
            self.low += 1;
        } else {
            self.packets.push_back(None);
        }
    }

    /// Takes the packets that the ranges cover out of the table and puts them into `acked`, in order, each once. The work is bounded
    /// by what is tracked, whatever the ranges claim.
    pub fn take_acked(&mut self, now: Instant, got: &[[u64; 2]], acked: &mut Vec<(u64, SentPacket)>) {
        acked.clear();
        for &[first, last] in got {
            let end = last.min(self.next_number() - 1);
            for number in first.max(self.low)..=end {
                let Some(packet) = self.slot(number).and_then(Option::take) else {
                    continue;
                };
                if packet.lost_at.is_none() {
                    self.in_flight_bytes -= packet.bytes;
                }
                self.delivered_bytes += packet.bytes;
                acked.push((number, packet));
            }
        }
        if !acked.is_empty() {
            self.delivered_at = now;
        }
        self.forget_settled();
    }

    /// What the ack of `packet` tells about the path.
    pub fn ack_sample(&self, now: Instant, packet: &SentPacket, acked_bytes: u64, rtt: &Rtt) -> AckSample {
        let minimum_rtt = rtt.minimum().unwrap_or_default();
        AckSample {
            acked_bytes,
            delivered_bytes: self.delivered_bytes - packet.delivered_before,
            // Acks that come squeezed together would show a rate that no path has; the time is at least a round trip.
            elapsed: now.since(packet.delivered_before_at).max(minimum_rtt),
            sent_at: packet.sent_at,
            total_bytes: self.delivered_bytes,
            in_flight_bytes: self.in_flight_bytes,
            was_limited_by_window: packet.limited_by_window,
            minimum_rtt,
            latest_rtt: rtt.latest(),
        }
    }

    /// The length of a packet that is remembered.
    pub fn bytes_of(&self, number: u64) -> Option<u64> {
        let index = usize::try_from(number.checked_sub(self.low)?).ok()?;
        self.packets.get(index)?.as_ref().map(|packet| packet.bytes)
    }

    /// The oldest packet in flight.
    pub fn oldest_in_flight(&self) -> Option<(u64, &SentPacket)> {
        self.in_flight().next()
    }

    /// The packets in flight, oldest first.
    pub fn in_flight(&self) -> impl Iterator<Item = (u64, &SentPacket)> {
        (self.low..)
            .zip(&self.packets)
            .filter_map(|(number, packet)| Some((number, packet.as_ref()?)))
            .filter(|(_, packet)| packet.lost_at.is_none())
    }

    /// Declares packets lost and tells what they carried.
    pub fn mark_lost(&mut self, now: Instant, numbers: &[u64]) -> Vec<Content> {
        let mut contents = Vec::new();
        for &number in numbers {
            let Some(Some(packet)) = self.slot(number) else {
                continue;
            };
            if packet.lost_at.replace(now).is_none() {
                contents.extend_from_slice(&packet.contents);
                let bytes = packet.bytes;
                self.in_flight_bytes -= bytes;
            }
        }
        contents
    }

    /// Forgets the losses older than `before`: an ack for them would be too late to teach anything. Those above `newest_acked` are
    /// kept until `long_before`: while nothing later was confirmed, their ack may be the first to tell how long a round trip is.
    pub fn forget_losses(&mut self, newest_acked: u64, before: Instant, long_before: Instant) {
        while let Some(Some(packet)) = self.packets.front() {
            let limit = if self.low < newest_acked { before } else { long_before };
            if packet.lost_at.is_none_or(|lost_at| lost_at >= limit) {
                break;
            }
            self.packets.pop_front();
            self.low += 1;
            self.forget_settled();
        }
    }

    /// Gives back what is kept for packets to come: nothing was said for a while.
    pub fn rest(&mut self) {
        self.packets.shrink_to_fit();
    }

    fn slot(&mut self, number: u64) -> Option<&mut Option<SentPacket>> {
        let index = usize::try_from(number.checked_sub(self.low)?).ok()?;
        self.packets.get_mut(index)
    }

    fn forget_settled(&mut self) {
        while let Some(None) = self.packets.front() {
            self.packets.pop_front();
            self.low += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;

    fn at(milliseconds: u64) -> Instant {
        Instant::from_nanos(milliseconds * 1_000_000)
    }

    // UC-ARQ-001
    #[test]
    fn numbers_never_come_back_and_low_follows_what_is_settled() {
        let mut sent = SentPackets::new();
        for n in 0..4 {
            assert_eq!(sent.next_number(), n + 1);
            sent.record(at(n), 100, smallvec![Content::Ping], false);
        }
        let mut acked = Vec::new();
        sent.take_acked(at(9), &[[1, 1], [3, 3]], &mut acked);
        assert_eq!(acked.len(), 2);
        assert_eq!((sent.low(), sent.in_flight_bytes()), (2, 200));
        assert_eq!(sent.mark_lost(at(10), &[2]), [Content::Ping]);
        assert_eq!((sent.low(), sent.in_flight_bytes()), (2, 100));
        sent.forget_losses(3, at(11), at(0));
        assert_eq!((sent.low(), sent.next_number()), (4, 5));
    }

    // UC-ARQ-015
    #[test]
    fn an_ack_of_the_whole_number_space_costs_no_more_than_the_table() {
        let mut sent = SentPackets::new();
        sent.record(at(0), 100, smallvec![Content::Ping], false);
        let mut acked = Vec::new();
        sent.take_acked(at(1), &[[1, crate::wire::MAX_NUMBER]], &mut acked);
        assert_eq!(acked.len(), 1);
        sent.take_acked(at(1), &[[1, 1]], &mut acked);
        assert_eq!(acked.len(), 0);
    }
}
