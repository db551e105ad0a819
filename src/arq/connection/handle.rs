//! A packet came.

use std::time::Duration;

use super::super::ack::Urgency;
use super::super::congestion::Controller;
use super::super::event::{Closed, Event, Violation};
use super::super::redundancy::Aim;
use super::super::sent::{Content, SentPacket};
use super::{Candidate, Connection, State};
use crate::machine::Path;
use crate::time::Instant;
use crate::wire::{Ack, Close, Frame, MAX_NUMBER, Packet, PathFrame, Window};

impl Connection {
    /// Takes a packet of this connection that came on `path` in a datagram of `bytes` bytes.
    pub fn handle_packet(&mut self, now: Instant, path: Path, packet: &Packet<'_>, bytes: usize) {
        if matches!(self.state, State::Connecting) {
            return;
        }
        if self.is_closed() {
            self.answer_after_close(packet);
            return;
        }
        if self.deaf {
            let close = packet.frames.iter().find_map(|frame| match frame {
                Frame::Close(close) => Some(close),
                _ => None,
            });
            if let Some(close) = close {
                self.handle_close(now, close);
            }
            return;
        }
        let mut urgency = urgency(&packet.frames);
        if bytes >= LONG_BYTES && urgency != Urgency::None {
            urgency = Urgency::Prompt;
        }
        if packet.frames.iter().any(|frame| matches!(frame, Frame::Repair(_))) {
            self.arrivals.expect_repairs();
        }
        if self.arrivals.is_duplicate(packet.number) {
            self.statistics.duplicates += 1;
            self.arrivals.record_duplicate(now, packet.number, urgency);
            return;
        }
        let is_newest = packet.number > self.arrivals.newest();
        self.arrivals.record(now, packet.number, urgency);
        self.statistics.packets_received += 1;
        self.statistics.bytes_received += bytes as u64;
        self.statistics.unknown_frames += packet.unknown_frames as u64;
        if let Some(low) = packet.low {
            self.arrivals.settle_below(low.min(packet.number));
        }
        self.heard(now);
        self.follow(now, path, bytes as u64, is_newest);

        for frame in &packet.frames {
            if let Err(violation) = self.handle_frame(now, path, packet.number, frame) {
                self.violate(now, violation);
                return;
            }
            if self.is_closed() {
                return;
            }
        }
        self.statistics.messages_repaired = self.recv.repaired();
        while let Some(stream) = self.recv.poll_readable() {
            // A burst of messages is one announcement.
            if self.events.back() != Some(&Event::Readable { stream }) {
                self.events.push_back(Event::Readable { stream });
            }
        }
    }

    fn handle_frame(
        &mut self,
        now: Instant,
        path: Path,
        number: u64,
        frame: &Frame<'_>,
    ) -> Result<(), Violation> {
        match frame {
            Frame::Ack(ack) => self.handle_ack(now, ack),
            // Nothing to do at once: what a nack names was overtaken, which the ack beside it says as well, and the reorder
            // window decides (UC-ARQ-009).
            Frame::Nack(_) | Frame::Ping | Frame::Pad { .. } => {}
            Frame::Have(have) => {
                if !self.send.on_have(have.stream, have.seq) {
                    self.statistics.dishonest_acks += 1;
                }
            }
            Frame::Msg(messages) => self.recv.on_messages(messages)?,
            Frame::Part(part) => self.recv.on_part(part)?,
            Frame::Repair(repair) => self.recv.on_repair(number, repair)?,
            Frame::Skip(skip) => self.recv.on_skip(skip)?,
            Frame::Gram { body } => self.keep_gram(body),
            Frame::Window(Window::Connection { bytes }) => self.send.raise_connection(*bytes),
            Frame::Window(Window::Stream { stream, bytes, seq }) => {
                self.send.raise_stream(*stream, *bytes, *seq);
            }
            Frame::Path(PathFrame::Challenge(token)) => self.keep_challenge(path, *token),
            Frame::Path(PathFrame::Answer(token)) => self.handle_answer(path, *token),
            Frame::Close(close) => self.handle_close(now, close),
        }
        Ok(())
    }

    /// Anything new from the other side ends its silence.
    fn heard(&mut self, now: Instant) {
        // After a real pause only: while packets keep coming and their acks do not, the round trip has grown, and the probes
        // have to slow down until it can be measured.
        if now.since(self.last_heard) >= self.config.probe_cap {
            self.loss.on_heard();
        }
        self.last_heard = now;
        self.awaiting_since = self.awaiting_since.map(|_| now);
        if std::mem::take(&mut self.silent) {
            self.events.push_back(Event::Resumed);
        }
    }

    fn handle_ack(&mut self, now: Instant, ack: &Ack) {
        let newest_claimed = ack.got.last().map_or(0, |range| range[1]);
        if newest_claimed >= self.sent.next_number() {
            // Nobody can have a packet that never left (UC-ARQ-015). Nothing of such an ack is believed.
            self.statistics.dishonest_acks += 1;
            return;
        }
        let mut acked = std::mem::take(&mut self.acked);
        self.sent.take_acked(now, &ack.got, &mut acked);
        self.settle_acked(now, ack, &acked);
        acked.clear();
        self.acked = acked;
    }

    /// What is newly confirmed is no longer owed, and tells of the path.
    fn settle_acked(&mut self, now: Instant, ack: &Ack, acked: &[(u64, SentPacket)]) {
        let newest_before = self.loss.newest_acked();
        let Some((newest, packet)) = acked.last() else {
            return;
        };
        if *newest > newest_before {
            let delay = Duration::from_micros(ack.delay_us).min(self.peer_ack_delay);
            let mut round_trip = now.since(packet.sent_at);
            if packet.lost_at.is_some() {
                // A datagram that was held up for long, or played back, must not stop the probes for half a minute.
                round_trip = round_trip.min(LATE_ROUND_TRIP);
            }
            self.rtt.sample(now, round_trip, delay);
            self.note_ack_delay(newest_before, acked);
        }
        let acked_bytes = acked.iter().map(|(_, packet)| packet.bytes).sum();
        let sample = self.sent.ack_sample(now, packet, acked_bytes, &self.rtt);
        self.congestion.on_ack(now, &sample);
        for (number, packet) in acked {
            let spurious = self.loss.on_acked(now, *number, packet, &self.rtt);
            self.mtu.on_acked(*number, packet.bytes);
            self.statistics.spurious_losses += u64::from(spurious);
            self.redundancy.on_settled(false);
            if spurious {
                self.redundancy.on_spurious();
            }
            // A ping's ack tells that the link is there, and nothing about what was said.
            if packet.contents.iter().any(|content| *content != Content::Ping) {
                self.statistics.bytes_confirmed += packet.bytes;
            }
            for &content in &packet.contents {
                self.send.on_acked(content);
            }
        }
        if self.sent.in_flight_bytes() == 0 {
            self.awaiting_since = None;
        }
        self.detect_losses(now);
    }

    /// Learns how long the other side waits for company before it acks: of two that left one after the other and are acked together,
    /// the first waited as long as the second left later.
    fn note_ack_delay(&mut self, newest_before: u64, acked: &[(u64, SentPacket)]) {
        let following = acked.iter().position(|(number, _)| *number > newest_before);
        let waited = following
            .zip(acked.last())
            .map_or(Duration::ZERO, |(first, (_, last))| last.sent_at.since(acked[first].1.sent_at));
        self.ack_delay = waited.max(self.ack_delay * 15 / 16).max(LEAST_ACK_DELAY).min(self.peer_ack_delay);
    }

    /// Finds what is lost and puts it back in its queue (UC-ARQ-016).
    pub(super) fn detect_losses(&mut self, now: Instant) {
        let lost = self.loss.detect(now, &self.sent, &self.rtt, self.ack_delay, &self.config);
        if !lost.is_empty() {
            let in_flight_before = self.sent.in_flight_bytes();
            for &number in &lost {
                self.redundancy.note_lost(number);
                self.mtu.on_lost(now, number, self.sent.bytes_of(number).unwrap_or_default());
            }
            if self.loss.is_probing() {
                self.mtu.on_silence(now);
            }
            let contents = self.sent.mark_lost(now, &lost);
            self.statistics.packets_lost += lost.len() as u64;
            lost.iter().for_each(|_| self.redundancy.on_settled(true));
            self.congestion.on_loss(now, in_flight_before - self.sent.in_flight_bytes());
            let copies = self.redundancy.copies(Aim::Spare);
            for content in contents {
                match content {
                    Content::ConnectionWindow => self.windows_again.push(None),
                    Content::StreamWindow(stream) => self.windows_again.push(Some(stream)),
                    Content::Ping => self.ping_due = true,
                    Content::Gram => {}
                    content => self.send.on_lost(content, self.is_repairing, copies),
                }
            }
        }
        if self.loss.is_probing() {
            // Nothing leaves but probes, which carry what is most needed.
            self.send.stop_repairing();
        }
        let memory = super::LossDetector::memory(&self.rtt);
        let newest_acked = self.loss.newest_acked();
        self.sent.forget_losses(newest_acked, now - memory, now - super::LossDetector::LONGEST_MEMORY);
        if self.sent.in_flight_bytes() == 0 && !self.has_content(now) {
            self.awaiting_since = None;
        }
    }

    fn keep_gram(&mut self, body: &[u8]) {
        if self.grams_in.len() == Self::MAX_GRAMS {
            self.grams_in.pop_front();
            self.statistics.grams_dropped += 1;
        }
        self.grams_in.push_back(body.to_vec());
        self.events.push_back(Event::GramReadable);
    }

    /// Packets from a new address: it has to prove that it receives what we send before it gets more than a challenge
    /// (UC-PATH-001). Only the newest packet counts, or a late one from before a move would lead back.
    fn follow(&mut self, now: Instant, path: Path, bytes: u64, is_newest: bool) {
        if path.remote == self.path.remote {
            if is_newest {
                self.path = path;
                self.candidate = None;
            }
            return;
        }
        match &mut self.candidate {
            Some(candidate) if candidate.path.remote == path.remote => candidate.received_bytes += bytes,
            _ if is_newest => {
                self.candidate = Some(Box::new(Candidate {
                    path,
                    token: self.secrets.below(MAX_NUMBER),
                    received_bytes: bytes,
                    sent_bytes: 0,
                    tries: 0,
                    next_at: now,
                }));
            }
            _ => {}
        }
    }

    fn keep_challenge(&mut self, path: Path, token: u64) {
        // More than a few at once are an attempt to make us talk (UC-PATH-004).
        if self.answers.len() < 4 {
            self.answers.push_back((path, token));
        }
    }

    fn handle_answer(&mut self, path: Path, token: u64) {
        let proved = self
            .candidate
            .as_ref()
            .is_some_and(|candidate| candidate.token == token && candidate.path.remote == path.remote);
        if proved {
            self.candidate = None;
            self.path = path;
            self.events.push_back(Event::Moved { path });
        } else {
            self.statistics.stray_path_answers += 1;
        }
    }

    fn handle_close(&mut self, now: Instant, close: &Close<'_>) {
        // An answer without a question: its close was lost, and so were its words.
        let is_answer = close.code == Self::CLOSED;
        let closed = match &self.state {
            State::Closing(closing) => closing.closed.clone(),
            _ => Closed::ByPeer { code: close.code.to_string(), reason: close.reason.to_string() },
        };
        while let Some(stream) = self.recv.poll_readable() {
            self.events.push_back(Event::Readable { stream });
        }
        self.finish(now, closed);
        if let State::Closed { answer_due, .. } = &mut self.state {
            *answer_due = !is_answer;
        }
    }

    /// A close that comes again is answered again, and so is anything else but an answer (UC-CLOSE-003).
    fn answer_after_close(&mut self, packet: &Packet<'_>) {
        let is_answer = packet
            .frames
            .iter()
            .any(|frame| matches!(frame, Frame::Close(close) if close.code == Self::CLOSED));
        if let State::Closed { answer_due, .. } = &mut self.state {
            *answer_due |= !is_answer;
        }
    }
}

/// What a busy machine may need to answer, however short the path is.
pub(super) const LEAST_ACK_DELAY: Duration = Duration::from_millis(5);

/// The most that a late ack is believed: longer than any round trip on Earth, by satellite too. What is longer still is measured
/// once packets are no longer called lost before their acks can come.
const LATE_ROUND_TRIP: Duration = Duration::from_secs(2);

/// So long a packet is a window's good part by itself, and waits for no others before it is acked (UC-ARQ-006): as much as eight
/// of the usual ones.
const LONG_BYTES: usize = 8 * 1_452;

/// How soon the sender of these frames should hear of them.
fn urgency(frames: &[Frame<'_>]) -> Urgency {
    frames
        .iter()
        .map(|frame| match frame {
            Frame::Ack(_)
            | Frame::Nack(_)
            | Frame::Have(_)
            | Frame::Path(_)
            | Frame::Close(_)
            | Frame::Pad { .. } => Urgency::None,
            Frame::Part(part) if !part.last => Urgency::Bulk,
            Frame::Part(_) | Frame::Msg(_) | Frame::Repair(_) => Urgency::Small,
            _ => Urgency::Prompt,
        })
        .max()
        .unwrap_or(Urgency::None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arq::Config;
    use crate::random::Random;
    use crate::secure::Entropy;
    use crate::wire::{ConnectionId, Limits};

    const NOW: Instant = Instant::from_nanos(1_000_000_000);

    fn path(host: u8) -> Path {
        Path::to(([10, 0, 0, host], 6_000).into())
    }

    /// An open connection with somebody at host 1, whose packets are written by hand.
    struct Partner {
        connection: Connection,
    }

    impl Partner {
        fn new(seed: u8) -> Self {
            let [here, there] = [1, 2].map(|seed| ConnectionId::random(&mut Random::from_seed(seed)));
            let secrets = Entropy::from_seed([seed; 32]);
            let mut connection =
                Connection::new(NOW, &Config::default().into(), here, path(1), false, secrets);
            connection.establish(NOW, there, &Limits::default(), path(1));
            Self { connection }
        }

        fn say(&mut self, number: u64, host: u8, frame: Frame<'_>) {
            let to = self.connection.local_id();
            let packet = Packet { to, number, low: None, frames: vec![frame].into(), unknown_frames: 0 };
            self.connection.handle_packet(NOW, path(host), &packet, 1_000);
        }

        fn answer(&mut self, number: u64, host: u8, token: u64) -> (Path, u64) {
            self.say(number, host, Frame::Path(PathFrame::Answer(token)));
            (self.connection.path(), self.connection.statistics().stray_path_answers)
        }

        /// What was asked of the other address last.
        fn token(&self) -> u64 {
            self.connection.candidate.as_ref().unwrap().token
        }
    }

    // UC-PATH-001, UC-PATH-003
    #[test]
    fn a_wrong_answer_to_a_challenge_proves_nothing_and_is_counted() {
        let mut partner = Partner::new(1);
        partner.say(2, 9, Frame::Ping);
        let token = partner.token();
        for (number, wrong) in (3..).zip([token ^ 1, 0, MAX_NUMBER, token + 1]) {
            assert_eq!(partner.answer(number, 9, wrong), (path(1), number - 2));
        }
        assert_eq!(partner.answer(1, 8, token), (path(1), 5), "the right one from elsewhere, overtaken");
        assert_eq!(partner.answer(7, 8, token), (path(1), 6), "that address has a challenge of its own");
        let token = partner.token();
        assert_eq!(partner.answer(8, 8, token), (path(8), 6));
        assert_eq!(partner.answer(9, 8, token), (path(8), 7), "nobody waits for it any more");
    }

    // UC-STR-017
    #[test]
    fn a_claim_to_have_what_never_left_is_counted() {
        let mut partner = Partner::new(1);
        partner.connection.submit(0, b"oi".as_slice(), crate::arq::SendOptions::default()).unwrap();
        partner.say(2, 1, Frame::Have(crate::wire::Have { stream: 0, seq: 1 }));
        partner.say(3, 1, Frame::Have(crate::wire::Have { stream: 9, seq: 1 }));
        assert_eq!(partner.connection.statistics().dishonest_acks, 2);
        assert_eq!(partner.connection.queued().1, 1);
    }

    // UC-PATH-003
    #[test]
    fn challenges_that_were_seen_do_not_tell_the_next() {
        let mut partner = Partner::new(1);
        let mut tokens = Vec::new();
        for host in 2..=9 {
            partner.say(host.into(), host, Frame::Ping);
            tokens.push(partner.token());
        }
        // They are one step of the generator each, which keeps nothing of the steps before.
        let mut secrets = Entropy::from_seed([1; 32]);
        assert!(tokens.iter().all(|token| *token == secrets.below(MAX_NUMBER)));
        assert_eq!(tokens.iter().collect::<std::collections::BTreeSet<_>>().len(), tokens.len());
    }
}
