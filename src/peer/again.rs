//! Words without a receipt are said again under the same ids, to the same key and to no other (UC-CHAT-015).
//!
//! Only a side that proves its key and remembers what it shows is told anything twice. While it cannot be reached its words wait,
//! and it is called again with pauses. It must never send words to another key than the one that they were meant for, tell two
//! fates of the same words, or let newer words overtake.

mod outbox;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

pub(super) use outbox::Outbox;

use super::conversation::{Conversation, Outgoing, Waiting};
use super::membership::{Reconnect, is_worth_another_try};
use super::outgoing::MAX_WAITING;
use super::{CloseReason, CommandError, ConversationId, Event, FailReason, Peer, Quote};
use crate::arq::{Closed, Outcome};
use crate::chat::MessageId;
use crate::endpoint::Handle;
use crate::secure::PublicKey;
use crate::time::{Instant, Now, WallTime};

/// The most words without a receipt to one side: two senders with as many fit into what a receiver remembers
/// ([`super::shown::MAX_SHOWN`]), and at a round trip of 100 ms they are 40 000 a second.
const MAX_UNCONFIRMED: usize = 4_096;

/// How words are said again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeats {
    /// How long to call somebody who was lost before the words' fate is told as far as it is known. None: for ever.
    pub patience: Option<Duration>,
    /// Whether words outlive the run: somebody takes what [`Peer::poll_outbox`] tells, before anything is sent.
    pub is_kept: bool,
}

/// Words that outlive the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Their name, under which they are known if they come twice.
    pub id: MessageId,
    /// The key that they are for.
    pub key: PublicKey,
    /// Where it was: the address as the user typed it, or the one that it called from.
    pub to: String,
    /// The text.
    pub text: String,
    /// When it was said.
    pub at: WallTime,
    /// What it answers.
    pub reply_to: Option<Quote>,
    /// Whether they left, so that they may have arrived.
    pub is_sent: bool,
}

/// What is to be written down before anything more is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboxChange {
    /// These words are about to leave.
    Keep(Kept),
    /// The fate of these is known, and not that they arrived: before it is told, or a later run would belie it.
    Drop(MessageId),
    /// These were delivered: once that was told, or nobody would ever be told. Said again, they are not shown twice.
    Confirm(MessageId),
}

/// What a conversation knows of words that may have to be said again.
#[derive(Debug, Default)]
pub(super) struct Again {
    /// The key that the words are for: the last one that was proved.
    key: Option<PublicKey>,
    /// Whether the program with that key remembers what it shows. None: it has not said, and what becomes of words that it may
    /// have shown is decided when it says so, on whatever connection that is.
    remembers: Option<bool>,
    /// What it said of that on the connections that are there.
    introduced: BTreeMap<Handle, bool>,
    /// Words that are on a connection, by their numbers.
    sent: BTreeMap<u64, Waiting>,
    sent_bytes: usize,
    /// Whether words wait for the other side to be found again.
    is_lost: bool,
    reconnect: Reconnect,
}

impl Again {
    /// Words that are on a connection, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.sent_bytes
    }

    /// Whether words wait for the other side to be found again.
    pub(super) const fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// An attempt is under way.
    pub(super) const fn set_retried(&mut self) {
        self.reconnect.retry_at = None;
    }

    /// A connection is gone.
    pub(super) fn forget_handle(&mut self, handle: Handle) {
        self.introduced.remove(&handle);
    }

    /// Words on a connection that have their fate.
    pub(super) fn forget_sent(&mut self, number: u64) -> Option<Waiting> {
        let words = self.sent.remove(&number)?;
        self.sent_bytes -= words.text.len();
        Some(words)
    }

    /// Whether words on a connection may have arrived, there or on an earlier one.
    pub(super) fn may_have_arrived(&self, number: u64) -> bool {
        self.sent.get(&number).is_none_or(|words| words.sends > 0)
    }

    fn poll_timeout(&self, patience: Option<Duration>) -> Option<Instant> {
        if !self.is_lost {
            return None;
        }
        let end = self.end_of_patience(patience);
        self.reconnect.retry_at.into_iter().chain(end).min()
    }

    fn end_of_patience(&self, patience: Option<Duration>) -> Option<Instant> {
        Some(self.reconnect.lost_at? + patience?)
    }
}

impl Peer {
    /// What is to be written down before anything more is sent.
    pub fn poll_outbox(&mut self) -> Option<OutboxChange> {
        self.outbox.changes.pop_front()
    }

    /// The next message that the front end was handed and that is to be remembered on disk: after it was shown, before its receipt
    /// leaves.
    pub fn poll_shown(&mut self) -> Option<(PublicKey, MessageId)> {
        self.shown.poll_change()
    }

    /// What is shown cannot be written down any more: nobody is to say anything again.
    pub fn stop_remembering(&mut self, now: Now) {
        self.config.remembers = false;
        self.introduce_again(now);
    }

    /// Nothing can be written down any more: all words end with this run.
    pub fn stop_keeping(&mut self) {
        self.outbox = Outbox::default();
        if let Some(repeats) = &mut self.config.repeats {
            repeats.is_kept = false;
        }
    }

    /// Says again what an earlier run kept; the front end has opened the conversation with its key.
    pub(super) fn repeat(
        &mut self,
        to: ConversationId,
        words: Vec<Kept>,
        now: Now,
    ) -> Result<(), CommandError> {
        if self.shutting_down {
            return Err(CommandError::ShuttingDown);
        }
        let key = words.first().map(|words| words.key);
        let conversation = self.conversations.get_mut(&to).ok_or(CommandError::NoConversation)?;
        let is_other = conversation.again.key.is_some_and(|known| Some(known) != key);
        if conversation.member.is_some() || is_other {
            return Err(CommandError::NoConversation);
        }
        (conversation.again.key, conversation.again.remembers) = (key, Some(true));
        let mut before = Vec::new();
        for Kept { id, text, at, reply_to, is_sent, .. } in words {
            let number = self.next_message;
            self.next_message += 1;
            self.outbox.note(id.clone(), text.len(), is_sent);
            let outgoing = Outgoing { number, since: now.instant, sent_on: None };
            conversation.outgoing.insert(id.clone(), outgoing);
            before.push(Waiting {
                number,
                id,
                at,
                text,
                is_echo: false,
                reply_to,
                sends: u32::from(is_sent),
            });
        }
        // What the user said before this in the same run is newer all the same.
        before.into_iter().rev().for_each(|words| conversation.push_front(words));
        self.flush_waiting(to);
        Ok(())
    }

    /// Whether texts are held until their receipts, in case that they have to be said again.
    pub(super) fn retains(&self, id: ConversationId) -> bool {
        self.config.repeats.is_some()
            && self.endpoint.local_key().is_some()
            && self.conversations.get(&id).is_some_and(|conversation| conversation.member.is_none())
    }

    /// Whether the other side is known and may be able to tell what it was told before.
    fn can_repeat(&self, id: ConversationId) -> bool {
        let can = |it: &Conversation| it.again.remembers != Some(false) && it.again.key.is_some();
        self.retains(id) && self.conversations.get(&id).is_some_and(can)
    }

    /// The most words without a receipt.
    pub(super) fn most_words(&self, id: ConversationId) -> usize {
        if self.retains(id) { MAX_UNCONFIRMED } else { MAX_WAITING }
    }

    /// A connection with this key opened: words for another one have no way any more.
    pub(super) fn bind_words(&mut self, id: ConversationId, key: PublicKey) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        let before = conversation.again.key.replace(key);
        if before.is_some_and(|before| before != key) {
            conversation.again.remembers = None;
            self.find_again(id);
            self.fail_waiting(id, &FailReason::WrongKey);
        }
    }

    /// The user says that another key is the right one: what waits was said to the one before, and what comes is not.
    pub(super) fn unbind_words(&mut self, id: ConversationId) {
        self.find_again(id);
        self.fail_waiting(id, &FailReason::WrongKey);
        if let Some(conversation) = self.conversations.get_mut(&id) {
            (conversation.again.key, conversation.again.remembers) = (None, None);
        }
    }

    /// What the other side says of itself on a connection (UC-CHAT-015).
    pub(super) fn note_memory(&mut self, id: ConversationId, handle: Handle, remembers: bool) {
        let Some(key) = self.endpoint.remote_key(handle) else { return };
        if !self.retains(id) {
            return;
        }
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        if conversation.again.introduced.insert(handle, remembers) == Some(remembers) {
            return;
        }
        conversation.again.remembers = Some(remembers);
        if remembers {
            self.find_again(id);
            self.take_over_words(id, key);
        } else {
            self.settle_unrepeatable(id);
        }
        self.flush_waiting(id);
    }

    /// It says words and did not say before that it remembers any.
    pub(super) fn note_no_memory(&mut self, id: ConversationId, handle: Handle) {
        let again = self.conversations.get(&id).map(|conversation| &conversation.again);
        if again.is_some_and(|again| !again.introduced.contains_key(&handle)) {
            self.note_memory(id, handle, false);
        }
    }

    /// Whether words wait until the other side has said on this connection whether it remembers: some may have been shown.
    pub(super) fn is_held(&self, id: ConversationId, handle: Handle) -> bool {
        let Some(conversation) = self.conversations.get(&id) else { return false };
        if conversation.again.introduced.contains_key(&handle) || !self.retains(id) {
            return false;
        }
        let is_repeated = conversation.waiting.front().is_some_and(|words| words.sends > 0);
        is_repeated || self.lost_with(id, self.endpoint.remote_key(handle)).is_some()
    }

    /// Another conversation whose words wait for the same key.
    fn lost_with(&self, id: ConversationId, key: Option<PublicKey>) -> Option<ConversationId> {
        let is_same = |other: &&ConversationId| {
            let again = self.conversations.get(other).map(|it| &it.again);
            **other != id && key.is_some() && again.is_some_and(|again| again.key == key)
        };
        self.lost.iter().find(is_same).copied()
    }

    /// Somebody who was lost is here, at another address: what waits for them goes before what is newer.
    fn take_over_words(&mut self, id: ConversationId, key: PublicKey) {
        while let Some(other) = self.lost_with(id, Some(key)) {
            let Some(from) = self.conversations.get_mut(&other) else { return };
            let (mut words, outgoing) = (Vec::new(), std::mem::take(&mut from.outgoing));
            while let Some(waiting) = from.pop_waiting() {
                words.push(waiting);
            }
            let (address, reason) = (from.address, from.again.reconnect.reason.clone());
            let is_calling = from.primary.is_some();
            self.find_again(other);
            let Some(conversation) = self.conversations.get_mut(&id) else { return };
            conversation.outgoing.extend(outgoing);
            while let Some(waiting) = conversation.pop_waiting() {
                words.push(waiting);
            }
            // What was sent is older than what was not.
            words.sort_by_key(|words| (words.sends == 0, words.number));
            words.into_iter().rev().for_each(|words| conversation.push_front(words));
            if !is_calling {
                self.events.push_back(Event::Closed { conversation: other, address, reason });
            }
        }
    }

    /// Notes words that go out on a connection now, before they leave.
    pub(super) fn note_sent(&mut self, id: ConversationId, handle: Handle, mut words: Waiting) {
        if words.is_echo || !self.retains(id) {
            return;
        }
        words.sends += 1;
        self.keep(id, &words);
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        if conversation.again.introduced.get(&handle) != Some(&false) {
            conversation.again.sent_bytes += words.text.len();
            conversation.again.sent.insert(words.number, words);
        }
    }

    /// Has words outlive the run, if there is room; otherwise they end with it.
    pub(super) fn keep(&mut self, id: ConversationId, words: &Waiting) {
        let Some(conversation) = self.conversations.get(&id) else { return };
        let is_wanted = self.config.repeats.is_some_and(|repeats| repeats.is_kept) && !words.is_echo;
        // What it is, it has not said yet on a connection that just opened.
        let is_of_use =
            conversation.again.remembers != Some(false) || conversation.again.introduced.is_empty();
        let Some(key) = conversation.again.key.filter(|_| is_wanted && is_of_use && self.retains(id)) else {
            return;
        };
        let is_sent = words.sends > 0;
        let known = self.outbox.kept.get(&words.id).map(|(_, was_sent)| *was_sent);
        // The next run is not to call something unsent that left.
        if known.map_or(!self.outbox.has_room(words.text.len()), |was_sent| was_sent || !is_sent) {
            return;
        }
        let to = conversation.named.address.clone().unwrap_or_else(|| conversation.address.to_string());
        let Waiting { id, at, text, reply_to, .. } = words;
        self.outbox.note(id.clone(), text.len(), is_sent);
        let (id, at, text, reply_to) = (id.clone(), *at, text.clone(), reply_to.clone());
        self.outbox.changes.push_back(OutboxChange::Keep(Kept { id, key, to, text, at, reply_to, is_sent }));
    }

    /// The layer below gives words back with their connection. True: what becomes of them is decided when that one's end is told.
    pub(super) fn take_back(&mut self, id: ConversationId, words: &MessageId, outcome: &Outcome) -> bool {
        let Some(conversation) = self.conversations.get_mut(&id) else { return false };
        let Some(number) = conversation.outgoing.get(words).map(|outgoing| outgoing.number) else {
            return false;
        };
        let Some(retained) = conversation.again.sent.get_mut(&number) else { return false };
        match outcome {
            Outcome::Arrived | Outcome::Unknown => true,
            Outcome::Expired | Outcome::NotSent => {
                retained.sends -= 1;
                true
            }
            Outcome::TooLong => false,
        }
    }

    /// Whether words may have arrived on an earlier connection than the one that they are on.
    pub(super) fn was_sent_before(&self, id: ConversationId, words: &MessageId) -> bool {
        let Some(conversation) = self.conversations.get(&id) else { return false };
        let number = conversation.outgoing.get(words).map(|outgoing| outgoing.number);
        number.and_then(|number| conversation.again.sent.get(&number)).is_some_and(|words| words.sends > 1)
    }

    /// A connection ended: its words go back to those that wait, or get the fate that is known. Tells whether words may be said
    /// again on another connection.
    pub(super) fn lose_words(&mut self, id: ConversationId, handle: Handle, closed: &Closed) -> bool {
        let is_closing = self.conversations.get(&id).is_none_or(|it| it.closing_at.is_some());
        let is_worth = is_worth_another_try(closed) || matches!(closed, Closed::WrongKey { .. });
        let may_repeat = is_worth && !is_closing && !self.shutting_down && self.can_repeat(id);
        if may_repeat {
            self.recall(id, handle);
        } else if self.shutting_down {
            self.keep_rest(id);
        }
        self.settle_sent(id, handle);
        if let Some(conversation) = self.conversations.get_mut(&id) {
            conversation.again.forget_handle(handle);
        }
        may_repeat
    }

    fn recall(&mut self, id: ConversationId, handle: Handle) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        let numbers: Vec<u64> = conversation.again.sent.keys().copied().collect();
        let mut recalled = Vec::new();
        for number in numbers {
            let words = &conversation.again.sent[&number];
            let Some(outgoing) = conversation.outgoing.get_mut(&words.id) else { continue };
            if outgoing.sent_on == Some(handle) {
                outgoing.sent_on = None;
                recalled.extend(conversation.again.forget_sent(number));
            }
        }
        recalled.into_iter().rev().for_each(|words| conversation.push_front(words));
    }

    /// No connection is left, and words wait: the other side is called again.
    pub(super) fn lose(&mut self, now: Now, id: ConversationId, reason: CloseReason) {
        self.fail_waiting_echoes(id);
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        if conversation.outgoing.is_empty() {
            return self.find_again(id);
        }
        let has_limit = self.config.repeats.is_some_and(|repeats| repeats.patience.is_some());
        if has_limit && matches!(reason, CloseReason::WrongKey { .. }) {
            // Without a person nobody accepts the key, and waiting would only hide what is wrong (UC-KEY-009).
            let (address, was_lost) = (conversation.address, conversation.again.is_lost);
            self.settle_waiting(id, &reason);
            return self.events.extend(was_lost.then_some(Event::Closed {
                conversation: id,
                address,
                reason,
            }));
        }
        let again = &mut conversation.again;
        again.reconnect.reason = reason;
        again.reconnect.lost_at.get_or_insert(now.instant);
        let delay = again.reconnect.next_delay(&mut self.random);
        again.reconnect.retry_at = Some(now.instant + delay);
        if !std::mem::replace(&mut again.is_lost, true) {
            let (address, count) = (conversation.address, conversation.outgoing.len());
            self.lost.insert(id);
            self.events.push_back(Event::Waiting { conversation: id, address, count });
        }
    }

    /// Nothing waits for the other side to be found any more.
    pub(super) fn find_again(&mut self, id: ConversationId) {
        self.lost.remove(&id);
        if let Some(conversation) = self.conversations.get_mut(&id) {
            conversation.again.is_lost = false;
            conversation.again.reconnect.succeed();
        }
    }

    /// When somebody is to be called again, or to be given up.
    pub(super) fn poll_lost(&self) -> Option<Instant> {
        let patience = self.config.repeats?.patience;
        let lost = self.lost.iter().filter_map(|id| self.conversations.get(id));
        lost.filter_map(|conversation| conversation.again.poll_timeout(patience)).min()
    }

    /// Calls everybody again whose pause is over, and gives up where the patience is.
    pub(super) fn call_lost(&mut self, now: Now) {
        let Some(patience) = self.config.repeats.map(|repeats| repeats.patience) else { return };
        for id in self.lost.iter().copied().collect::<Vec<_>>() {
            let Some(conversation) = self.conversations.get_mut(&id) else { continue };
            let again = &mut conversation.again;
            if again.end_of_patience(patience).is_some_and(|at| at <= now.instant) {
                self.lose_hope(now, id);
            } else if again.reconnect.retry_at.is_some_and(|at| at <= now.instant) {
                again.set_retried();
                if let Some(carrier) = self.carrier(id) {
                    self.take_over_words(carrier.0, carrier.1);
                    self.flush_waiting(carrier.0);
                } else if self.connect_if_needed(now, id).is_err() {
                    let reason = self.conversations[&id].again.reconnect.reason.clone();
                    self.lose(now, id, reason);
                }
            }
        }
    }

    /// An open conversation with the same key that remembers.
    fn carrier(&self, id: ConversationId) -> Option<(ConversationId, PublicKey)> {
        let key = self.conversations.get(&id)?.again.key?;
        let carries = |it: &Conversation| {
            let open = it.primary.filter(|&handle| self.is_open(handle));
            it.again.key == Some(key)
                && open.is_some_and(|open| it.again.introduced.get(&open) == Some(&true))
        };
        let found = self.conversations.iter().find(|(other, it)| **other != id && carries(it));
        found.map(|(&other, _)| (other, key))
    }

    fn lose_hope(&mut self, now: Now, id: ConversationId) {
        let Some(conversation) = self.conversations.get(&id) else { return };
        let (address, reason) = (conversation.address, conversation.again.reconnect.reason.clone());
        let handles: Vec<Handle> = conversation.handles().collect();
        self.settle_waiting(id, &reason);
        if handles.is_empty() {
            self.events.push_back(Event::Closed { conversation: id, address, reason });
        }
        for handle in handles {
            self.endpoint.give_up(now, handle, "done", "");
        }
    }

    fn settle_waiting(&mut self, id: ConversationId, reason: &CloseReason) {
        let unsent = match reason {
            CloseReason::WrongKey { .. } => FailReason::WrongKey,
            CloseReason::NoAnswer { .. } => FailReason::NoAnswer,
            _ => FailReason::NotSent,
        };
        self.find_again(id);
        self.fail_waiting(id, &unsent);
    }

    /// Somebody who is called again is not to be called any more; tells whether that was all that there was to end.
    pub(super) fn stop_calling(&mut self, id: ConversationId) -> bool {
        if !self.lost.contains(&id) {
            return false;
        }
        if self.shutting_down {
            self.keep_rest(id);
        }
        self.settle_waiting(id, &CloseReason::ByUs);
        let Some(conversation) = self.conversations.get(&id) else { return true };
        let (address, is_calling) = (conversation.address, conversation.primary.is_some());
        if !is_calling {
            self.events.push_back(Event::Closed { conversation: id, address, reason: CloseReason::ByUs });
        }
        !is_calling
    }

    /// The run ends: what is kept for the next one is said to be.
    pub(super) fn keep_rest(&mut self, id: ConversationId) {
        if !self.can_repeat(id) {
            return;
        }
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        let kept = |id: &MessageId| self.outbox.kept.contains_key(id);
        let mut words: Vec<(u64, MessageId)> = conversation
            .outgoing
            .iter()
            .filter(|(id, _)| kept(id))
            .map(|(id, outgoing)| (outgoing.number, id.clone()))
            .collect();
        words.sort();
        let mut rest = Vec::new();
        while let Some(waiting) = conversation.pop_waiting() {
            rest.push(waiting);
        }
        rest.retain(|waiting| !kept(&waiting.id));
        rest.into_iter().rev().for_each(|waiting| conversation.push_front(waiting));
        for (number, words) in words {
            conversation.again.forget_sent(number);
            conversation.outgoing.remove(&words);
            self.outbox.leave(&words);
            self.events.push_back(Event::Kept { id: words });
        }
        if conversation.outgoing.is_empty() {
            self.find_again(id);
        }
    }

    /// The other side remembers nothing: what may have arrived before is not said again, and nothing is held any more.
    fn settle_unrepeatable(&mut self, id: ConversationId) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        let sent = std::mem::take(&mut conversation.again.sent);
        conversation.again.sent_bytes = 0;
        let (mut waiting, mut doubtful) = (Vec::new(), Vec::new());
        while let Some(words) = conversation.pop_waiting() {
            if words.sends > 0 { doubtful.push(words.id) } else { waiting.push(words) }
        }
        let rest =
            sent.into_values().map(|words| words.id).chain(waiting.iter().map(|words| words.id.clone()));
        let rest: Vec<MessageId> = rest.collect();
        waiting.into_iter().rev().for_each(|words| conversation.push_front(words));
        rest.iter().for_each(|words| self.outbox.settle(words));
        self.find_again(id);
        for words in doubtful {
            self.tell_outcome(id, &words, |id| Event::Unknown { id });
        }
    }

    /// An echo tells how things are now, and is not asked for again.
    fn fail_waiting_echoes(&mut self, id: ConversationId) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        let echoes = conversation.waiting.iter().filter(|words| words.is_echo).map(|words| words.id.clone());
        let echoes: Vec<MessageId> = echoes.collect();
        conversation.remove_waiting(|words| words.is_echo);
        for echo in echoes {
            self.tell_outcome(id, &echo, |id| Event::Failed { id, reason: FailReason::NotSent });
        }
    }
}
