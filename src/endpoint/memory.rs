//! What the other sides make this endpoint hold: messages that wait to be completed or taken, and answers that wait to be taken there.
//!
//! All connections share one budget for both (UC-STR-014). A side that grants nothing and asks for much would otherwise have its answers kept here
//! for as long as it likes, on as many connections as it gets.
//!
//! This module must never count what our own user has to say: nobody else may have that refused, or a connection closed for it.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use super::{Endpoint, Handle};
use crate::arq::{SendError, SendOptions};
use crate::time::Instant;

/// Messages that wait for room in a connection, oldest first.
#[derive(Debug, Default)]
pub struct Backlog {
    bodies: VecDeque<Arc<[u8]>>,
    bytes: usize,
}

impl Backlog {
    /// Adds one.
    pub fn push(&mut self, body: impl Into<Arc<[u8]>>) {
        let body = body.into();
        self.bytes += body.len();
        self.bodies.push_back(body);
    }

    /// The oldest.
    pub fn front(&self) -> Option<&Arc<[u8]>> {
        self.bodies.front()
    }

    /// Takes the oldest away.
    pub fn pop(&mut self) {
        if let Some(body) = self.bodies.pop_front() {
            self.bytes -= body.len();
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.bodies.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bodies.is_empty()
    }

    /// How long they are together.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Endpoint {
    /// Queues answers while there is room and fewer than `most` bytes of answers are under way; tells whether none is left. Answers that
    /// can never be sent go: whoever waits for them learns that the connection is over.
    pub fn submit_answers(
        &mut self,
        handle: Handle,
        stream: u32,
        backlog: &mut Backlog,
        most: usize,
    ) -> bool {
        let options =
            SendOptions { unordered: true, is_answer: true, is_quiet: true, ..SendOptions::default() };
        while let Some(body) = backlog.front() {
            let under_way = self.connection(handle).map_or(0, |connection| connection.owed_bytes());
            if under_way >= most
                || self.submit(handle, stream, Arc::clone(body), options) == Err(SendError::WouldBlock)
            {
                break;
            }
            backlog.pop();
        }
        if let Some(entry) = self.entry_mut(handle) {
            entry.backlog_bytes = backlog.bytes() as u64;
            self.note_held(handle.index);
        }
        backlog.is_empty()
    }

    /// Takes note of how much the other side of a connection makes us hold.
    pub(super) fn note_held(&mut self, index: usize) {
        if let Some(entry) = self.connections.get_mut(index) {
            if !entry.connection.is_open() {
                // Nothing more is queued, so nobody keeps it.
                entry.backlog_bytes = 0;
            }
            let owed_bytes = entry.connection.owed_bytes() as u64 + entry.backlog_bytes;
            let held_bytes = entry.connection.held_bytes() + owed_bytes;
            let before = mem::replace(&mut entry.held_bytes, held_bytes);
            self.held_bytes = self.held_bytes + held_bytes - before;
        }
    }

    /// Takes note of it after a packet, and closes those for which most is held until all together hold little enough. What is answered
    /// to a packet is weighed when the next one comes: it is little more than what the packet made complete.
    pub(super) fn count_held(&mut self, now: Instant, index: usize) {
        self.note_held(index);
        while self.held_bytes > self.config.held_bytes {
            let greediest = self.connections.iter().max_by_key(|(_, entry)| entry.held_bytes);
            let Some((greediest, _)) = greediest.filter(|(_, entry)| entry.held_bytes > 0) else {
                return;
            };
            let entry = &mut self.connections[greediest];
            entry.connection.give_up(now, "busy", "no memory is left for what you send and do not take");
            entry.connection.drop_received();
            entry.backlog_bytes = 0;
            self.held_bytes -= mem::take(&mut entry.held_bytes);
            self.statistics.closed_for_memory += 1;
            self.touch(greediest);
        }
    }
}
