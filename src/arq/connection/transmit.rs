//! What goes out next.

use std::borrow::Cow;
use std::time::Duration;

use smallvec::smallvec;

use super::super::congestion::Controller;
use super::super::redundancy::Aim;
use super::super::send::{Spare, longest_copied};
use super::super::sent::{Content, Contents};
use super::protection::form;
use super::{Candidate, Closing, Connection, State};
use crate::machine::{Path, Transmit};
use crate::time::Instant;
use crate::wire::{Close, Frame, PacketWriter, PathFrame, Window};

impl Connection {
    /// How often a close is sent before its sender stops waiting for the answer (UC-CLOSE-002).
    pub(super) const CLOSE_TRIES: u32 = 5;

    /// The code of a close that answers a close; it is never answered itself.
    pub(super) const CLOSED: &'static str = "closed";

    /// How often a new address is asked to prove itself.
    pub(super) const CHALLENGE_TRIES: u32 = 6;

    /// The next datagram, in `buffer`; None if there is nothing to send now.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Option<Transmit> {
        if matches!(self.state, State::Connecting) {
            return None;
        }
        if let State::Closed { answer_due, .. } = &mut self.state {
            return std::mem::take(answer_due).then(|| self.write_close(now, buffer, Self::CLOSED, ""));
        }
        let limit = self.mtu.bytes();
        if let Some((path, token)) = self.answers.pop_front() {
            let answer = Frame::Path(PathFrame::Answer(token));
            let transmit = self.write_alone(now, buffer, path, &answer, limit);
            if let Some(candidate) = self.candidate.as_mut()
                && candidate.path.remote == path.remote
            {
                // Both sides may ask each other at once; the answer counts against what may go there.
                candidate.sent_bytes += transmit.length as u64;
            }
            return Some(transmit);
        }
        if let Some(transmit) = self.poll_challenge(now, buffer) {
            return Some(transmit);
        }
        self.begin_closing(now);
        if matches!(self.state, State::Closing(_)) {
            return self.poll_close(now, buffer);
        }
        self.write_packets(now, buffer)
    }

    /// The close that is due, until it was said often enough (UC-CLOSE-002).
    fn poll_close(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Option<Transmit> {
        let interval = self.close_interval();
        let State::Closing(closing) = &mut self.state else { return None };
        if closing.next_at > now || closing.tries >= Self::CLOSE_TRIES {
            return None;
        }
        closing.tries += 1;
        closing.next_at = now + interval;
        let (code, reason) = (closing.code, closing.reason.clone());
        Some(self.write_close(now, buffer, code, &reason))
    }

    /// A challenge to a new address (UC-PATH-003), within three times what came from there (UC-PATH-002).
    fn poll_challenge(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Option<Transmit> {
        let candidate = self.candidate.as_mut()?;
        if candidate.next_at > now || candidate.tries >= Self::CHALLENGE_TRIES || !candidate.may_be_asked() {
            return None;
        }
        candidate.tries += 1;
        let (path, token, budget) = (candidate.path, candidate.token, candidate.budget_bytes() as usize);
        // Not the interval of the probes: those doubled while the old address was dead.
        let interval = self.rtt.timeout(self.ack_delay).unwrap_or(self.config.initial_timeout);
        let challenge = Frame::Path(PathFrame::Challenge(token));
        let transmit = self.write_alone(now, buffer, path, &challenge, budget.min(self.mtu.bytes()));
        if let Some(candidate) = &mut self.candidate {
            candidate.sent_bytes += transmit.length as u64;
            candidate.next_at = now + interval;
        }
        Some(transmit)
    }

    /// When all is flushed, or there is no time left for it, the close begins.
    fn begin_closing(&mut self, now: Instant) {
        let State::Flushing(flushing) = &mut self.state else {
            return;
        };
        if (self.send.is_empty() && self.grams_out.is_empty()) || flushing.until <= now {
            self.state = State::Closing(Box::new(Closing {
                code: flushing.code,
                reason: std::mem::take(&mut flushing.reason),
                tries: 0,
                next_at: now,
                closed: super::Closed::ByUs,
            }));
        }
    }

    /// A packet, and those behind it that are as long, or one that is shorter and the last: the system sends them with one call.
    fn write_packets(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Option<Transmit> {
        buffer.clear();
        if let Some(transmit) = self.poll_mtu_probe(now, buffer) {
            return Some(transmit);
        }
        let segment = self.write_packet(now, buffer, self.mtu.bytes())?;
        let mut transmit = self.transmit(self.path, segment);
        // A packet that is far from full was all there was to say, or all that may be said now.
        let is_full = segment * 4 >= self.mtu.bytes() * 3;
        while is_full
            && buffer.len().is_multiple_of(segment)
            && buffer.len() / segment < self.config.max_segments
            && self.send.has_work()
        {
            let Some(length) = self.write_packet(now, buffer, segment) else { break };
            self.transmit(self.path, length);
            (transmit.length, transmit.segment_size) = (buffer.len(), Some(segment));
        }
        Some(transmit)
    }

    /// A packet of acks and of whatever the window lets through, of `limit` bytes at most and behind what stands in `buffer`; its length.
    fn write_packet(&mut self, now: Instant, buffer: &mut Vec<u8>, limit: usize) -> Option<usize> {
        let remote_id = self.remote_id?;
        let ack_due = self.arrivals.deadline().is_some_and(|at| at <= now);
        let is_copy_due = self.copy_at().is_some_and(|at| at <= now);
        let has_content = self.has_content(now);
        // Most packets of an idle connection are acks alone, and nobody need ask what the path takes.
        let is_in_window = (has_content || is_copy_due) && self.sent.in_flight_bytes() < self.window_bytes();
        let wants = is_in_window && has_content || is_copy_due && (is_in_window || self.loss.is_probing());
        let may_send = wants && self.is_in_pace(now);
        if !wants {
            self.pacer.rest();
        }
        if is_copy_due {
            self.redundancy.defer(now);
        }
        if !ack_due && !may_send {
            return None;
        }
        self.advance_key(now);
        let number = self.sent.next_number();
        let low = if may_send { self.low_to_tell() } else { None };
        let mut scratch = std::mem::take(&mut self.scratch);
        let limit = limit - self.seal_bytes();
        // Taken out while the rest of the connection fills the packet.
        let protection = self.protection.take();
        let form = form(protection.as_deref());
        let start = buffer.len();
        let mut writer = PacketWriter::in_form(buffer, &mut scratch, (remote_id, number), form, low, limit);
        let acked = self.arrivals.is_owed() && self.write_acks(now, &mut writer);
        let mut contents = Contents::new();
        let (mut copied_bytes, mut has_new) = (0, false);
        if may_send {
            (copied_bytes, has_new) =
                self.write_contents(now, number, &mut writer, &mut contents, is_copy_due);
        }
        let (is_empty, sealed_at) = (writer.is_empty(), writer.sealed_at());
        writer.finish();
        self.scratch = scratch;
        self.protection = protection;
        if is_empty {
            buffer.truncate(start);
            return None;
        }
        let length = self.seal(number, buffer, start, sealed_at);
        if acked {
            self.arrivals.on_ack_sent();
            self.recv.on_haves_sent();
        }
        if contents.is_empty() {
            self.sent.record_unacked();
        } else {
            self.low_told = low.unwrap_or(self.low_told);
            // Probes are bounded by their number; what passed of them tells nothing of the path's rate.
            let is_probe = self.loss.is_probing();
            if !is_probe {
                self.pacer.on_sent(length as u64);
            }
            self.redundancy.on_sent(now, length as u64, copied_bytes, has_new);
            self.statistics.bytes_copied += copied_bytes;
            let is_limited = self.send.has_work() && !is_probe && !self.send.is_in_doubt();
            self.sent.record(now, length as u64, contents, is_limited);
            self.awaiting_since.get_or_insert(now);
            self.last_sent = now;
        }
        Some(length)
    }

    /// A datagram of nothing, as long as the other side takes them, once there is enough to say to be worth it (UC-ARQ-024).
    fn poll_mtu_probe(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Option<Transmit> {
        let bytes = self.mtu.probe_bytes(now)?;
        // Several full packets are on their way and more waits: this is no talk.
        let is_bulk = self.sent.in_flight_bytes() >= 4 * self.mtu.bytes() as u64 && self.send.has_work();
        if !is_bulk || self.loss.is_probing() || self.sent.in_flight_bytes() >= self.window_bytes() {
            return None;
        }
        self.advance_key(now);
        let number = self.sent.next_number();
        let mut scratch = std::mem::take(&mut self.scratch);
        let remote_id = self.remote_id?;
        let limit = bytes - self.seal_bytes();
        let protection = self.protection.take();
        let form = form(protection.as_deref());
        let mut writer = PacketWriter::in_form(buffer, &mut scratch, (remote_id, number), form, None, limit);
        writer.push(&Frame::Ping);
        let padding = vec![b'.'; writer.room().saturating_sub(PAD_HEAD_BYTES)];
        writer.push(&Frame::Pad { bytes: &padding });
        let sealed_at = writer.sealed_at();
        writer.finish();
        self.scratch = scratch;
        self.protection = protection;
        let length = self.seal(number, buffer, 0, sealed_at);
        self.mtu.on_probe_sent(number, bytes);
        self.pacer.on_sent(length as u64);
        self.sent.record(now, length as u64, smallvec![Content::Ping], true);
        self.awaiting_since.get_or_insert(now);
        self.last_sent = now;
        Some(self.transmit(self.path, length))
    }

    /// Whether another packet may leave by now (UC-ARQ-023). Probes of a silent side are few anyway.
    fn is_in_pace(&mut self, now: Instant) -> bool {
        match self.congestion.pacing_rate() {
            Some(rate) if !self.loss.is_probing() => self.pacer.may_send(now, rate),
            _ => true,
        }
    }

    /// How much may be in flight: what congestion allows, but two packets at most while the other side is silent, and
    /// four while the path's length is measured anew.
    fn window_bytes(&self) -> u64 {
        if self.loss.is_probing() {
            2 * self.mtu.bytes() as u64
        } else if self.rtt.is_draining() {
            self.congestion.window_bytes().min(4 * self.mtu.bytes() as u64)
        } else {
            self.congestion.window_bytes()
        }
    }

    pub(super) fn has_content(&mut self, now: Instant) -> bool {
        while self
            .grams_out
            .front()
            .is_some_and(|(_, deadline)| deadline.is_some_and(|deadline| deadline <= now))
        {
            self.grams_out.pop_front();
            self.statistics.grams_dropped += 1;
        }
        self.ping_due
            || !self.windows_again.is_empty()
            || !self.grams_out.is_empty()
            || self.recv.next_windows().next().is_some()
            || self.send.has_work()
    }

    /// `low`, when telling it is worth its bytes (UC-ARQ-005): the other side's table shrinks by many entries, or to nothing.
    fn low_to_tell(&self) -> Option<u64> {
        let low = self.sent.low();
        let worth = low >= self.low_told + 16 || (low > self.low_told && self.sent.in_flight_bytes() == 0);
        worth.then_some(low)
    }

    fn write_acks(&self, now: Instant, writer: &mut PacketWriter<'_>) -> bool {
        let Some(ack) = self.arrivals.ack(now) else {
            return false;
        };
        // Before the ack: what is here need not be called lost because of it.
        for have in self.recv.haves() {
            writer.push(&Frame::Have(have));
        }
        let mut frame = Frame::Ack(ack);
        // 32 ranges of the longest numbers are more than a packet holds. The oldest are left out until it fits.
        while !writer.push(&frame) {
            match &mut frame {
                Frame::Ack(ack) if ack.got.len() > 1 => drop(ack.got.remove(0)),
                _ => return false,
            }
        }
        if let Some(nack) = self.arrivals.nack() {
            writer.push(&Frame::Nack(nack));
        }
        true
    }

    /// Tells how many bytes of it are copies, and whether it has small messages that never left before.
    fn write_contents(
        &mut self,
        now: Instant,
        number: u64,
        writer: &mut PacketWriter<'_>,
        contents: &mut Contents,
        is_copy_due: bool,
    ) -> (u64, bool) {
        self.write_windows(writer, contents);
        self.write_grams(now, writer, contents);
        if is_copy_due {
            self.send.stop_repairing();
        }
        // More waits than two packets hold: the path takes no more, and a copy would take the place of something new. On a clean path
        // there is nothing to copy, and nobody need look.
        let is_overdue = self.is_overdue(now);
        let may_repeat = is_overdue || is_copy_due || self.send.is_in_doubt() || self.redundancy.is_needed();
        let is_behind =
            may_repeat && !self.loss.is_probing() && self.send.is_behind(2 * self.mtu.bytes() as u64);
        if is_overdue && !is_behind {
            self.send.doubt_all();
        }
        // One packet that passed does not mean that the next ones do: until what was in doubt is there, nothing else is said twice.
        let is_in_doubt = self.send.is_in_doubt();
        let is_coded = !is_in_doubt && self.send.wants_repairs(self.redundancy.most_symbols());
        let copies = if is_in_doubt || is_coded { 1 } else { self.redundancy.copies(Aim::Spare) };
        let bytes = if is_behind { 0 } else { self.redundancy.allowance(now, &self.rtt) };
        let is_unneeded = !self.redundancy.is_needed();
        let longest = self.longest_copied();
        let mut spare = Spare { copies, longest, bytes, is_unneeded, has_new: false };
        let allowed = spare.bytes;
        if is_in_doubt && !is_behind && !self.ping_due {
            writer.set_aside(NEWEST_BYTES);
            self.send.fill_missing(writer, contents, &mut spare);
            writer.give_back(NEWEST_BYTES);
        }
        let own_copies = (is_copy_due && !is_in_doubt).then(|| self.redundancy.copies(Aim::Own));
        if let Some(copies) = own_copies {
            self.send.copy_long(copies, &mut spare);
        }
        self.send.fill(writer, contents, &mut spare);
        if is_coded && spare.has_new {
            let symbols = self.redundancy.take_symbols();
            self.send.write_repairs(number, symbols, writer, contents, &mut spare);
        }
        if spare.has_new {
            self.is_repairing = is_coded;
            self.loss.set_patience(if is_coded { self.ack_delay } else { Duration::ZERO });
        }
        if let Some(copies) = own_copies {
            spare.copies = copies;
            self.send.fill_copies(writer, contents, &mut spare);
        }
        if std::mem::take(&mut self.ping_due) && contents.is_empty() {
            if writer.push(&Frame::Ping) {
                contents.push(Content::Ping);
            } else {
                self.ping_due = true;
            }
        }
        (allowed - spare.bytes, spare.has_new)
    }

    /// Whether an ack should have come: what was sent in the last round trip and more may all be lost.
    fn is_overdue(&self, now: Instant) -> bool {
        let round_trip = self.rtt.smoothed().unwrap_or(self.config.initial_timeout);
        self.awaiting_since
            .is_some_and(|since| since + self.redundancy.patience(round_trip) + self.ack_delay <= now)
    }

    /// The longest message that is said again unasked now.
    fn longest_copied(&self) -> u64 {
        longest_copied(self.sent.in_flight_bytes())
    }

    /// When copies get a packet of their own.
    pub(super) fn copy_at(&self) -> Option<Instant> {
        if self.loss.is_probing() {
            return self.probe_at();
        }
        let copies = self.redundancy.copies(Aim::Own);
        let wants_copies = copies > 1 && self.send.wants_copies(copies, self.longest_copied());
        (wants_copies || self.send.awaits_repair()).then(|| self.redundancy.copy_at(&self.rtt))
    }

    /// When another probe goes out beside the two in flight: while the silence is short, within the budget of copies. So what is
    /// missing arrives soon after the link is back.
    fn probe_at(&self) -> Option<Instant> {
        let is_worth_it = self.loss.is_silence_short(&self.config)
            && self.redundancy.has_budget()
            && self.send.is_any_missing(self.longest_copied());
        is_worth_it.then(|| self.redundancy.probe_at(&self.rtt))
    }

    /// Tells windows that moved, and tells again the ones whose frame was lost, with the edges of today.
    fn write_windows(&mut self, writer: &mut PacketWriter<'_>, contents: &mut Contents) {
        let moved: Vec<Window> = self.recv.next_windows().collect();
        for window in moved {
            if !writer.push(&Frame::Window(window)) {
                return;
            }
            self.recv.on_window_sent(window);
            contents.push(match window {
                Window::Connection { .. } => Content::ConnectionWindow,
                Window::Stream { stream, .. } => Content::StreamWindow(stream),
            });
        }
        while let Some(&which) = self.windows_again.last() {
            let content = which.map_or(Content::ConnectionWindow, Content::StreamWindow);
            if let Some(window) = self.recv.told_window(which)
                && !contents.contains(&content)
            {
                if !writer.push(&Frame::Window(window)) {
                    return;
                }
                contents.push(content);
            }
            self.windows_again.pop();
        }
    }

    fn write_grams(&mut self, now: Instant, writer: &mut PacketWriter<'_>, contents: &mut Contents) {
        while let Some((body, deadline)) = self.grams_out.front() {
            if deadline.is_some_and(|deadline| deadline <= now) {
                self.statistics.grams_dropped += 1;
            } else if writer.push(&Frame::Gram { body }) {
                contents.push(Content::Gram);
            } else {
                return;
            }
            self.grams_out.pop_front();
        }
    }

    fn write_close(&mut self, now: Instant, buffer: &mut Vec<u8>, code: &str, reason: &str) -> Transmit {
        let close = Frame::Close(Close { code: Cow::Borrowed(code), reason: Cow::Borrowed(reason) });
        self.write_alone(now, buffer, self.path, &close, self.mtu.bytes())
    }

    /// A packet of one frame that wants no ack, with an ack beside it if that goes to the same place.
    fn write_alone(
        &mut self,
        now: Instant,
        buffer: &mut Vec<u8>,
        path: Path,
        frame: &Frame<'_>,
        limit: usize,
    ) -> Transmit {
        self.advance_key(now);
        buffer.clear();
        let mut scratch = std::mem::take(&mut self.scratch);
        // Only an established connection gets here.
        let remote_id = self.remote_id.unwrap_or(self.local_id);
        let number = self.sent.next_number();
        let limit = limit - self.seal_bytes();
        let protection = self.protection.take();
        let form = form(protection.as_deref());
        let mut writer = PacketWriter::in_form(buffer, &mut scratch, (remote_id, number), form, None, limit);
        // What is acked has arrived, even if the same packet ends the connection, and frames are taken in their order. After
        // the close nothing is taken note of any more, so there is nothing true to tell.
        let is_last_word = matches!(frame, Frame::Close(_)) && !self.is_closed();
        if is_last_word && self.arrivals.is_owed() && self.write_acks(now, &mut writer) {
            self.arrivals.on_ack_sent();
        }
        writer.push(frame);
        if let Frame::Path(PathFrame::Challenge(_)) = frame
            && let Some(ack) = self.arrivals.ack(now)
        {
            // Most likely the other side is here and no longer there, and waits to hear what arrived. The ack also goes where
            // it has to go.
            writer.push(&Frame::Ack(ack));
        }
        let sealed_at = writer.sealed_at();
        writer.finish();
        self.scratch = scratch;
        self.protection = protection;
        let length = self.seal(number, buffer, 0, sealed_at);
        self.sent.record_unacked();
        self.transmit(path, length)
    }

    fn transmit(&mut self, path: Path, length: usize) -> Transmit {
        self.statistics.packets_sent += 1;
        self.statistics.bytes_sent += length as u64;
        Transmit { path, length, segment_size: None, ecn: None }
    }
}

impl Candidate {
    /// Whether one more challenge stays within three times what came from there (UC-PATH-002).
    pub(super) const fn may_be_asked(&self) -> bool {
        self.budget_bytes() >= CHALLENGE_BYTES
    }

    /// How many bytes may still go there before it has proved itself.
    const fn budget_bytes(&self) -> u64 {
        (3 * self.received_bytes).saturating_sub(self.sent_bytes)
    }
}

/// What a packet in an outage keeps free of what is missing, so that something new gets in, too.
const NEWEST_BYTES: usize = 160;

/// The most bytes that a packet with nothing but a challenge takes, sealed and with the handshake's last message.
const CHALLENGE_BYTES: u64 = 192;

/// What a `pad` frame's head takes.
const PAD_HEAD_BYTES: usize = r#"{"t":"pad","len":1234}"#.len();
