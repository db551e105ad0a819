//! From waiting messages to the frames of a packet: what was lost goes first, then what is new, one stream after the other.

use super::super::sent::Content;
use super::{Phase, SendStreams, Spare};
use crate::wire::{Frame, LEAST_PART_BYTES, Messages, PacketWriter, Part, Skip};

impl SendStreams {
    /// Fills a packet: first what was lost, then what is new, one stream after the other, with copies of what was sent just before.
    /// Names what went in.
    pub fn fill(&mut self, writer: &mut PacketWriter<'_>, contents: &mut Vec<Content>, spare: &mut Spare) {
        while let Some(&content) = self.again.front() {
            if !self.is_wanted(content) {
                self.again.pop_front();
            } else if !self.send_again(content, writer, contents) {
                return;
            }
        }
        let count = self.streams.len();
        for offset in 0..count {
            let index = (self.turn + offset) % count;
            while self.is_sendable(index) {
                if !self.send_new(index, writer, contents, spare) {
                    self.turn = (index + 1) % count;
                    return;
                }
            }
        }
    }

    /// Whether the stream has a new message, or the rest of one, that the windows let through.
    pub(super) fn is_sendable(&self, index: usize) -> bool {
        let state = &self.streams[index];
        let Some(message) = state.peek_new() else {
            return false;
        };
        let is_numbered = state.next_new <= state.seq_edge;
        match message.phase {
            Phase::OnItsWay | Phase::Settled => true,
            Phase::Skipped { .. } => is_numbered,
            Phase::Waiting => {
                is_numbered && state.bytes.covers(message.length) && self.credit.covers(message.length)
            }
        }
    }

    /// Sends the front of `again`, with its successors where one frame can carry them. False if the packet is full.
    fn send_again(
        &mut self,
        content: Content,
        writer: &mut PacketWriter<'_>,
        contents: &mut Vec<Content>,
    ) -> bool {
        match content {
            Content::Message { stream, seq } => {
                let mut run = 1;
                while self.again.get(run) == Some(&Content::Message { stream, seq: seq + run as u64 }) {
                    run += 1;
                }
                let sent = self.write_messages(stream, seq, run, writer, contents);
                self.again.drain(..sent);
                sent > 0
            }
            Content::Part { stream, seq, offset, length } => {
                let sent = self.write_part(stream, seq, offset, length, writer, contents);
                if sent == length {
                    self.again.pop_front();
                } else if sent > 0 {
                    self.again[0] =
                        Content::Part { stream, seq, offset: offset + sent, length: length - sent };
                }
                sent == length
            }
            Content::Skip { stream, seq } => {
                let fits = self.write_skip(stream, seq, writer, contents);
                if fits {
                    self.again.pop_front();
                }
                fits
            }
            _ => {
                self.again.pop_front();
                true
            }
        }
    }

    /// Sends the stream's next new messages, or the next part of one. False if the packet is full.
    fn send_new(
        &mut self,
        index: usize,
        writer: &mut PacketWriter<'_>,
        contents: &mut Vec<Content>,
        spare: &mut Spare,
    ) -> bool {
        let stream = index as u32;
        let state = &mut self.streams[index];
        let seq = state.next_new;
        let Some(message) = state.peek_new() else {
            return false;
        };
        if matches!(message.phase, Phase::Skipped { .. } | Phase::Settled) {
            // One that was begun is told with the losses; one that was not, here: its number is within the window now.
            let is_untold = message.phase != Phase::Settled && message.sent_bytes == 0;
            if is_untold && !self.write_skip(stream, seq, writer, contents) {
                return false;
            }
            self.streams[index].next_new += 1;
            return true;
        }
        // A message that an otherwise empty packet can carry travels whole, any other in parts (UC-STR-013).
        let whole = message.sent_bytes == 0 && message.length <= WHOLE_LIMIT_BYTES;
        if !whole {
            return self.send_new_part(index, writer, contents);
        }
        let (run, bytes) = self.sendable_run(index, writer.room());
        let head = Messages::head_bytes(stream, seq, true) + bytes as usize + run * Messages::ENTRY_BYTES;
        let before = self.run_before(index, seq, writer.room().saturating_sub(head), spare);
        let sent = self.write_messages(stream, seq - before as u64, before + run, writer, contents);
        let sent = sent.saturating_sub(before);
        spare.has_new |= sent > 0;
        for seq in seq..seq + sent as u64 {
            self.charge(stream, seq);
            if let Some(message) = self.outgoing(stream, seq) {
                message.sent_bytes = message.length;
            }
        }
        self.streams[index].next_new += sent as u64;
        sent > 0
    }

    fn send_new_part(
        &mut self,
        index: usize,
        writer: &mut PacketWriter<'_>,
        contents: &mut Vec<Content>,
    ) -> bool {
        let stream = index as u32;
        let seq = self.streams[index].next_new;
        let Some(message) = self.peek(stream, seq) else {
            return false;
        };
        let (offset, length) = (message.sent_bytes, message.length);
        let sent = self.write_part(stream, seq, offset, length - offset, writer, contents);
        if sent == 0 {
            return false;
        }
        self.charge(stream, seq);
        if let Some(message) = self.outgoing(stream, seq) {
            message.sent_bytes += sent;
        }
        if offset + sent == length {
            self.streams[index].next_new += 1;
        }
        // A part leaves the packet full, unless it was the message's last.
        offset + sent == length
    }

    /// How many messages from the next new one on can go in one frame: whole ones, of one kind, within the windows and the room.
    /// Also tells their bytes.
    fn sendable_run(&self, index: usize, room: usize) -> (usize, u64) {
        let state = &self.streams[index];
        let first = (state.next_new - state.base) as usize;
        let Some(unordered) = state.messages.get(first).map(|message| message.options.unordered) else {
            return (0, 0);
        };
        let (mut run, mut bytes) = (0, 0_u64);
        for message in state.messages.range(first..) {
            let bytes_with = bytes + message.length;
            let seq = state.next_new + run as u64;
            if message.phase != Phase::Waiting
                || message.options.unordered != unordered
                || bytes_with > room as u64
                || seq > state.seq_edge
                || !state.bytes.covers(bytes_with)
                || !self.credit.covers(bytes_with)
            {
                break;
            }
            (run, bytes) = (run + 1, bytes_with);
        }
        (run, bytes)
    }

    /// Writes up to `run` messages as one frame; tells how many fitted.
    pub(super) fn write_messages(
        &mut self,
        stream: u32,
        seq: u64,
        run: usize,
        writer: &mut PacketWriter<'_>,
        contents: &mut Vec<Content>,
    ) -> usize {
        let Some(unordered) = self.peek(stream, seq).map(|message| message.options.unordered) else {
            return 0;
        };
        let mut room = writer.room().saturating_sub(Messages::head_bytes(stream, seq, unordered));
        let mut bodies = Vec::with_capacity(run.min(crate::wire::MAX_LIST));
        for seq in seq..seq + run.min(crate::wire::MAX_LIST) as u64 {
            let Some(message) = self.peek(stream, seq) else {
                break;
            };
            let needed = message.body.len() + Messages::ENTRY_BYTES;
            let alive = matches!(message.phase, Phase::Waiting | Phase::OnItsWay);
            if needed > room || message.options.unordered != unordered || !alive {
                break;
            }
            room -= needed;
            bodies.push(&*message.body);
        }
        let count = bodies.len();
        if count == 0 || !writer.push(&Frame::Msg(Messages { stream, seq, unordered, bodies })) {
            return 0;
        }
        for seq in seq..seq + count as u64 {
            contents.push(Content::Message { stream, seq });
            if let Some(message) = self.outgoing(stream, seq) {
                message.copies += 1;
                message.is_again = false;
            }
        }
        count
    }

    /// Writes as much of a part as fits; tells how many bytes.
    fn write_part(
        &self,
        stream: u32,
        seq: u64,
        offset: u64,
        length: u64,
        writer: &mut PacketWriter<'_>,
        contents: &mut Vec<Content>,
    ) -> u64 {
        let Some(message) = self.peek(stream, seq) else {
            return 0;
        };
        let unordered = message.options.unordered;
        let room = writer.room().saturating_sub(Part::head_bytes(stream, seq, unordered, offset)) as u64;
        if room < length.min(LEAST_PART_BYTES as u64) {
            return 0;
        }
        let taken = length.min(room);
        let body = &message.body[offset as usize..(offset + taken) as usize];
        let last = offset + taken == message.length;
        if !writer.push(&Frame::Part(Part { stream, seq, unordered, offset, last, body })) {
            return 0;
        }
        contents.push(Content::Part { stream, seq, offset, length: taken });
        taken
    }

    /// Writes that a message was given up; tells whether it fitted.
    fn write_skip(
        &self,
        stream: u32,
        seq: u64,
        writer: &mut PacketWriter<'_>,
        contents: &mut Vec<Content>,
    ) -> bool {
        let charged = match self.peek(stream, seq).map(|message| message.phase) {
            Some(Phase::Skipped { charged }) => charged,
            _ => 0,
        };
        let sizes = vec![charged];
        let fits = writer.push(&Frame::Skip(Skip { stream, seq, sizes }));
        if fits {
            contents.push(Content::Skip { stream, seq });
        }
        fits
    }
}

/// The longest message that travels whole. The rest of the shortest packet is for its head, that of a `msg` frame, and an ack
/// of a few ranges.
const WHOLE_LIMIT_BYTES: u64 = crate::wire::BASE_DATAGRAM_BYTES as u64 - 200;
