//! Small messages that the other side has not confirmed are said again before anybody asks, newest first: in the frame of the new
//! ones, in what room is left, or in a packet of their own.
//!
//! How often, and how many bytes that may take, is told from above ([`super::super::redundancy`]).

use super::super::sent::Content;
use super::{Phase, SendStream, SendStreams};
use crate::wire::{Messages, PacketWriter};

/// What copies a packet may carry.
#[derive(Clone, Copy, Debug)]
pub struct Spare {
    /// How often each message may be sent in all.
    pub copies: u32,
    /// How many bytes copies may take.
    pub bytes: u64,
}

impl Spare {
    /// None.
    pub const NONE: Self = Self { copies: 1, bytes: 0 };

    fn takes(&mut self, bytes: u64) -> bool {
        let fits = bytes <= self.bytes;
        if fits {
            self.bytes -= bytes;
        }
        fits
    }
}

/// How far back copies reach. What was sent before has had its acks, or is found lost.
const REACH: u64 = 16;

/// Longer messages fill packets and are not said twice.
const LONGEST_BYTES: u64 = 400;

impl SendStreams {
    /// Whether a message was sent less than `copies` times and is not confirmed.
    pub fn wants_copies(&self, copies: u32) -> bool {
        copies > 1
            && self.streams.iter().any(|state| state.reach().any(|seq| state.may_be_copied(seq, copies)))
    }

    /// Fills what is left of a packet with copies, newest first.
    pub fn fill_copies(
        &mut self,
        writer: &mut PacketWriter<'_>,
        contents: &mut Vec<Content>,
        spare: &mut Spare,
    ) {
        for stream in 0..self.streams.len() {
            let mut above = self.streams[stream].next_new;
            while let Some((first, run)) = self.newest_run(stream, above, contents, spare, writer.room()) {
                if self.write_messages(stream as u32, first, run, writer, contents) < run {
                    return;
                }
                above = first;
            }
        }
    }

    /// How many messages just before `seq` can join those from `seq` on in one frame of `room` bytes more.
    pub(super) fn run_before(&self, stream: usize, seq: u64, room: usize, spare: &mut Spare) -> usize {
        let state = &self.streams[stream];
        let Some(unordered) = state.peek(seq).map(|message| message.options.unordered) else { return 0 };
        let (mut count, mut room) = (0, room as u64);
        while state.reach().contains(&(seq - count - 1)) && state.may_be_copied(seq - count - 1, spare.copies) {
            let Some(message) = state.peek(seq - count - 1) else { break };
            let bytes = message.length + Messages::ENTRY_BYTES as u64;
            if message.options.unordered != unordered || bytes > room || !spare.takes(bytes) {
                break;
            }
            room -= bytes;
            count += 1;
        }
        count as usize
    }

    /// The newest messages below `above` that one frame can carry: the first of them, and how many.
    fn newest_run(
        &self,
        stream: usize,
        above: u64,
        contents: &[Content],
        spare: &mut Spare,
        room: usize,
    ) -> Option<(u64, usize)> {
        let state = &self.streams[stream];
        let is_in = |seq| contents.contains(&Content::Message { stream: stream as u32, seq });
        let newest =
            state.reach().rev().find(|&seq| seq < above && state.may_be_copied(seq, spare.copies) && !is_in(seq))?;
        let message = state.peek(newest)?;
        let head = Messages::head_bytes(stream as u32, newest, message.options.unordered) + Messages::ENTRY_BYTES;
        let room = (room as u64).checked_sub(head as u64 + message.length)?;
        if !spare.takes(head as u64 + message.length) {
            return None;
        }
        let mut before = self.run_before(stream, newest, room as usize, spare);
        while before > 0 && is_in(newest - before as u64) {
            before -= 1;
        }
        Some((newest - before as u64, before + 1))
    }
}

impl SendStream {
    /// The newest messages that were sent, by number.
    fn reach(&self) -> std::ops::Range<u64> {
        self.next_new.saturating_sub(REACH).max(self.base)..self.next_new
    }

    fn may_be_copied(&self, seq: u64, copies: u32) -> bool {
        self.peek(seq).is_some_and(|message| {
            message.phase == Phase::OnItsWay && message.length <= LONGEST_BYTES && message.copies < copies
        })
    }
}
