//! From waiting messages to the frames of a packet: what was lost goes first, then what is new, one stream after the other.

use super::super::sent::{Content, Contents};
use super::stretch::{Span, Stretch, WHOLE_LIMIT_BYTES};
use super::{Phase, SendStreams, Spare};
use crate::wire::{Bodies, Frame, MAX_LIST, Messages, PacketWriter, Part, Skip};

impl SendStreams {
    /// Fills a packet: first what was lost, then what is new, one stream after the other, with copies of what was sent just before.
    /// Names what went in.
    pub fn fill(&mut self, writer: &mut PacketWriter<'_>, contents: &mut Contents, spare: &mut Spare) {
        while let Some(&content) = self.again.front() {
            if !self.is_wanted(content) {
                self.again.pop_front();
            } else if !self.send_again(content, writer, contents) {
                return;
            }
        }
        if !self.ends.is_empty() && contents.is_empty() {
            // All of it was sent again once more.
            self.again.extend(self.ends.iter().map(|(content, _)| content));
            self.ends.retain_mut(|(_, copies)| {
                *copies -= 1;
                *copies > 0
            });
            return self.fill(writer, contents, spare);
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

    /// Sends the front of `again`, with what follows on it where one frame can carry both. False if the packet is full.
    fn send_again(
        &mut self,
        content: Content,
        writer: &mut PacketWriter<'_>,
        contents: &mut Contents,
    ) -> bool {
        match content {
            Content::Messages { .. } | Content::Part { .. } => self.repeat(writer, contents),
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

    /// Sends what was lost of messages, as much as one frame takes. False if that is nothing.
    fn repeat(&mut self, writer: &mut PacketWriter<'_>, contents: &mut Contents) -> bool {
        let Some(stretch) = self.lost_stretch(writer.room()) else { return false };
        if !self.write_stretch(&stretch, writer, contents) {
            return false;
        }
        for span in stretch.spans() {
            let Some(front) = self.again.front_mut() else { break };
            match front {
                Content::Part { offset, length, .. } if *length > span.length => {
                    (*offset, *length) = (*offset + span.length, *length - span.length);
                }
                _ => drop(self.again.pop_front()),
            }
            if let Some(message) = self.outgoing(stretch.stream, span.seq) {
                message.copies += 1;
                message.is_again = false;
            }
        }
        true
    }

    /// The front of `again` and what follows on it without a gap; None if not even that fits.
    fn lost_stretch(&self, room: usize) -> Option<Stretch> {
        let mut stretch: Option<Stretch> = None;
        for &content in &self.again {
            let (Content::Messages { stream, seq, .. } | Content::Part { stream, seq, .. }) = content else {
                break;
            };
            let Some(message) = self.peek(stream, seq).filter(|_| self.is_wanted(content)) else { break };
            let (offset, length, is_whole) = match content {
                Content::Part { offset, length, .. } => (offset, length, false),
                _ => (0, message.length, true),
            };
            let unordered = message.options.unordered;
            let so_far = stretch.get_or_insert_with(|| Stretch::new(stream, (seq, offset), unordered, room));
            let follows = so_far.len() == 0
                || (so_far.stream, so_far.next_seq(), 0) == (stream, seq, offset)
                    && so_far.unordered == unordered;
            if !follows || so_far.push(length, offset + length == message.length, !is_whole).is_none() {
                break;
            }
        }
        stretch.filter(|stretch| stretch.len() > 0)
    }

    /// Sends the stream's next new messages, or parts of them. False if the packet is full.
    fn send_new(
        &mut self,
        index: usize,
        writer: &mut PacketWriter<'_>,
        contents: &mut Contents,
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
        let Some(stretch) = self.new_stretch(index, writer.room(), spare.is_unneeded) else { return false };
        let room = stretch.room() as usize;
        let before = if stretch.is_whole() { self.run_before(index, seq, room, spare) } else { 0 };
        let before = before.min(MAX_LIST - stretch.len());
        let is_written = if before > 0 {
            let run = before + stretch.len();
            self.write_messages(stream, seq - before as u64, run, writer, contents) == run
        } else {
            self.write_stretch(&stretch, writer, contents)
        };
        if is_written {
            self.note_first_time(&stretch);
            spare.has_new |= stretch.is_whole();
        }
        is_written && stretch.ends()
    }

    /// What of the stream's new messages can go in one frame: within the windows and the room, and of one kind; None if that is
    /// nothing.
    fn new_stretch(&self, index: usize, room: usize, is_uncopied: bool) -> Option<Stretch> {
        let state = &self.streams[index];
        let first = state.peek_new()?;
        let from = (state.next_new, first.sent_bytes);
        let unordered = first.options.unordered;
        let mut stretch = Stretch::new(index as u32, from, unordered, room).cut_as(is_uncopied);
        let mut charged = 0;
        for message in state.messages.range((state.next_new - state.base) as usize..) {
            let is_begun = message.sent_bytes > 0;
            charged += if is_begun { 0 } else { message.length };
            let is_sendable = match message.phase {
                Phase::Waiting => {
                    stretch.next_seq() <= state.seq_edge
                        && state.bytes.covers(charged)
                        && self.credit.covers(charged)
                }
                // Only the first one was begun.
                phase => phase == Phase::OnItsWay && is_begun && stretch.len() == 0,
            };
            let rest = message.length - message.sent_bytes;
            let may_be_cut = is_begun || self.may_be_cut(message.length);
            if !is_sendable
                || message.options.unordered != unordered
                || stretch.push(rest, true, may_be_cut).is_none()
            {
                break;
            }
        }
        (stretch.len() > 0).then_some(stretch)
    }

    /// Whether a message may travel in parts: one that no packet can carry must, and where the other side has to know about parts
    /// anyway, packets are filled with the beginning of the next message (UC-STR-013).
    const fn may_be_cut(&self, length: u64) -> bool {
        length > WHOLE_LIMIT_BYTES || self.limits.message_bytes > WHOLE_LIMIT_BYTES
    }

    /// What was sent of a stream's new messages is charged, and is new no more.
    fn note_first_time(&mut self, stretch: &Stretch) {
        let stream = stretch.stream;
        for Span { seq, offset, length, ends } in stretch.spans() {
            self.charge(stream, seq);
            if let Some(message) = self.outgoing(stream, seq) {
                message.sent_bytes = offset + length;
                message.copies = message.copies.max(1);
            }
            if ends {
                self.streams[stream as usize].next_new += 1;
            }
        }
    }

    /// Writes a stretch as one frame; tells whether it fitted.
    fn write_stretch(
        &self,
        stretch: &Stretch,
        writer: &mut PacketWriter<'_>,
        contents: &mut Contents,
    ) -> bool {
        let &Stretch { stream, seq, offset, unordered, .. } = stretch;
        let body = |span: Span| {
            let message = self.peek(stream, span.seq)?;
            message.body().get(span.offset as usize..(span.offset + span.length) as usize)
        };
        let Some(bodies) = stretch.spans().map(body).collect::<Option<Bodies<'_>>>() else { return false };
        let frame = if stretch.is_whole() {
            Frame::Msg(Messages { stream, seq, unordered, bodies })
        } else {
            Frame::Part(Part { stream, seq, unordered, offset, last: stretch.ends(), bodies })
        };
        let fits = writer.push(&frame);
        if fits {
            stretch.name(contents);
        }
        fits
    }

    /// Writes up to `run` messages as one frame; tells how many fitted.
    pub(super) fn write_messages(
        &mut self,
        stream: u32,
        seq: u64,
        run: usize,
        writer: &mut PacketWriter<'_>,
        contents: &mut Contents,
    ) -> usize {
        let Some(unordered) = self.peek(stream, seq).map(|message| message.options.unordered) else {
            return 0;
        };
        let mut stretch = Stretch::new(stream, (seq, 0), unordered, writer.room());
        for seq in seq..seq + run as u64 {
            let Some(message) = self.peek(stream, seq) else {
                break;
            };
            let alive = matches!(message.phase, Phase::Waiting | Phase::OnItsWay);
            if message.options.unordered != unordered
                || !alive
                || stretch.push(message.length, true, false).is_none()
            {
                break;
            }
        }
        if stretch.len() == 0 || !self.write_stretch(&stretch, writer, contents) {
            return 0;
        }
        for span in stretch.spans() {
            if let Some(message) = self.outgoing(stream, span.seq) {
                message.copies += 1;
                message.is_again = false;
            }
        }
        stretch.len()
    }

    /// Writes that a message was given up; tells whether it fitted.
    fn write_skip(
        &self,
        stream: u32,
        seq: u64,
        writer: &mut PacketWriter<'_>,
        contents: &mut Contents,
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
