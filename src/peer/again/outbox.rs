//! What of a run's words goes again after the next start: what the file of the profile holds, as far as this run knows.
//!
//! Bookkeeping with a bound. It must never have words dropped that nobody told a fate of, or is about to.

use std::collections::{BTreeMap, VecDeque};

use super::OutboxChange;
use crate::chat::MessageId;
use crate::peer::outgoing::{MAX_WAITING, MAX_WAITING_BYTES};

/// What goes again after the next start, its bytes, and whether it is kept as one that left; and what has its fate.
#[derive(Debug, Default)]
pub(in crate::peer) struct Outbox {
    pub(super) kept: BTreeMap<MessageId, (usize, bool)>,
    bytes: usize,
    pub(super) changes: VecDeque<OutboxChange>,
}

impl Outbox {
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.kept.len() < MAX_WAITING && self.bytes.saturating_add(bytes) <= MAX_WAITING_BYTES
    }

    pub(super) fn note(&mut self, id: MessageId, bytes: usize, is_sent: bool) {
        self.bytes += bytes;
        self.bytes -= self.kept.insert(id, (bytes, is_sent)).map_or(0, |(bytes, _)| bytes);
    }

    /// It stays where it is written, for the next run.
    pub(super) fn leave(&mut self, id: &MessageId) -> bool {
        let bytes = self.kept.remove(id);
        self.bytes -= bytes.map_or(0, |(bytes, _)| bytes);
        bytes.is_some()
    }

    /// It has its fate.
    pub(in crate::peer) fn settle(&mut self, id: &MessageId) {
        if self.leave(id) {
            self.changes.push_back(OutboxChange::Drop(id.clone()));
        }
    }

    /// It was delivered.
    pub(in crate::peer) fn confirm(&mut self, id: &MessageId) {
        if self.leave(id) {
            self.changes.push_back(OutboxChange::Confirm(id.clone()));
        }
    }
}
