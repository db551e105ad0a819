//! From a command to chat on a connection, and from fates of the layer below to fates of words.

use std::borrow::Cow;

use super::conversation::{Conversation, Outgoing, Waiting};
use super::{CommandError, ConversationId, Destination, Event, FailReason, Peer, Quote, remote_party};
use crate::arq::{MAX_MESSAGE_BYTES, Outcome, SendError, SendOptions};
use crate::chat::{
    MAX_ECHO_BYTES, MAX_QUOTE_BYTES, MAX_TEXT_BYTES, MessageId, Said, Say, Words, cut, stream,
};
use crate::endpoint::Handle;
use crate::time::{Now, WallTime};

/// The most words that wait for a connection to open, in bytes and in number: as much as the connection itself would queue.
pub(super) const MAX_WAITING_BYTES: usize = 32 * 1024 * 1024;
/// Also the most words without a receipt, and the most receipts that wait for room: as long as nobody sends more words than the
/// other side can keep receipts for, both go on reading, and two full queues cannot wait for each other.
pub(super) const MAX_WAITING: usize = 16_384;

/// The most bytes of receipts and returned echoes that wait for room, beyond which nothing more is read: as many receipts as may wait,
/// of half a kilobyte, so that it is not the bytes that stop two honest sides.
const MAX_BACKLOG_BYTES: usize = 8 * 1024 * 1024;

/// The most bytes of them that are under way: the receipts of a whole window of small messages.
pub(super) const MAX_ANSWERS_UNDER_WAY: usize = 1024 * 1024;

impl Peer {
    /// Says something to the other side of a conversation, or through a relay.
    pub(super) fn say_to(
        &mut self,
        now: Now,
        to: Destination,
        text: String,
        reply_to: Option<Quote>,
    ) -> Result<MessageId, CommandError> {
        match to {
            Destination::Peer(to) if !self.is_relay(to) => self.say(now, to, text, false, reply_to),
            to => self.say_at(now, to, text, reply_to),
        }
    }

    /// Whether the other side is a relay that we are, or want to be, a member of.
    pub(super) fn is_relay(&self, id: ConversationId) -> bool {
        self.conversations.get(&id).is_some_and(|conversation| conversation.member.is_some())
    }

    pub(super) fn say(
        &mut self,
        now: Now,
        to: ConversationId,
        text: String,
        is_echo: bool,
        reply_to: Option<Quote>,
    ) -> Result<MessageId, CommandError> {
        if self.shutting_down {
            return Err(CommandError::ShuttingDown);
        }
        let limit = if is_echo { MAX_ECHO_BYTES } else { MAX_TEXT_BYTES };
        if text.len() > limit {
            return Err(CommandError::TooLong { bytes: text.len(), limit });
        }
        self.connect_if_needed(now, to)?;
        let (number, id) = (self.next_message, MessageId::new(&self.run, self.next_message));
        let waiting = Waiting { number, id: id.clone(), at: now.wall, text, is_echo, reply_to, sends: 0 };
        let most = self.most_words(to);
        let conversation = self.conversations.get_mut(&to).ok_or(CommandError::NoConversation)?;
        let bytes = conversation.bytes().saturating_add(waiting.text.len());
        if conversation.outgoing.len() >= most || bytes > MAX_WAITING_BYTES {
            conversation.blocked = true;
            return Err(CommandError::WouldBlock);
        }
        let primary = conversation.primary.filter(|_| conversation.waiting.is_empty());
        let open = primary.filter(|&handle| self.may_carry(to, handle));
        if let Some(handle) = open {
            self.submit_words(to, handle, &waiting)?;
            self.note_sent(to, handle, waiting);
        } else {
            self.keep_waiting(to, waiting)?;
        }
        self.next_message += 1;
        if let Some(conversation) = self.conversations.get_mut(&to) {
            conversation.outgoing.insert(id.clone(), Outgoing { number, since: now.instant, sent_on: open });
            if is_echo {
                conversation.remember_echo(id.clone(), now.instant);
            }
        }
        Ok(id)
    }

    fn keep_waiting(&mut self, to: ConversationId, waiting: Waiting) -> Result<(), CommandError> {
        let conversation = self.conversations.get_mut(&to).ok_or(CommandError::NoConversation)?;
        if conversation.waiting.len() >= MAX_WAITING {
            conversation.blocked = true;
            return Err(CommandError::WouldBlock);
        }
        let is_lost = conversation.again.is_lost();
        conversation.waiting_bytes += waiting.text.len();
        conversation.waiting.push_back(waiting);
        if is_lost {
            self.keep_last(to);
        }
        Ok(())
    }

    /// Has the words that were said last outlive the run: the other side is called again, perhaps by the next one.
    fn keep_last(&mut self, id: ConversationId) {
        let Some(words) = self.conversations.get_mut(&id).and_then(|it| it.waiting.pop_back()) else {
            return;
        };
        self.keep(id, &words);
        if let Some(conversation) = self.conversations.get_mut(&id) {
            conversation.waiting.push_back(words);
        }
    }

    /// Sends what waited for the connection.
    pub(super) fn flush_waiting(&mut self, id: ConversationId) {
        while let Some(conversation) = self.conversations.get(&id) {
            let primary = conversation.primary;
            let open = primary.filter(|&handle| self.may_carry(id, handle));
            let Some(handle) = open else {
                return;
            };
            let waiting = self.conversations.get_mut(&id).and_then(Conversation::pop_waiting);
            let Some(waiting) = waiting else { break };
            match self.submit_words(id, handle, &waiting) {
                Ok(()) => self.note_sent(id, handle, waiting),
                Err(CommandError::WouldBlock) => {
                    if let Some(conversation) = self.conversations.get_mut(&id) {
                        conversation.push_front(waiting);
                    }
                    return;
                }
                Err(_) if waiting.sends > 0 => self.tell_outcome(id, &waiting.id, |id| Event::Unknown { id }),
                Err(error) => {
                    let reason = FailReason::Refused { words: error.to_string() };
                    self.tell_outcome(id, &waiting.id, |id| Event::Failed { id, reason });
                }
            }
        }
        if let Some(conversation) = self.conversations.get_mut(&id)
            && std::mem::take(&mut conversation.blocked)
        {
            self.events.push_back(Event::Writable { conversation: id });
        }
    }

    /// Whether words may go out on a connection.
    fn may_carry(&self, id: ConversationId, handle: Handle) -> bool {
        self.is_open(handle) && !self.is_held(id, handle) && !self.is_doubted(id, handle)
    }

    fn submit_words(
        &mut self,
        to: ConversationId,
        handle: Handle,
        words: &Waiting,
    ) -> Result<(), CommandError> {
        let reply_to = words.reply_to.as_ref().map(quoted);
        let said = Said::Words(Words {
            id: words.id.clone(),
            text: Cow::Borrowed(&words.text),
            sealed: None,
            is_echo: words.is_echo,
            reply_to,
            place: None,
        });
        let body = self.encode(handle, words.at, said);
        let bytes = body.len();
        if bytes as u64 > MAX_MESSAGE_BYTES {
            return Err(CommandError::TooLong { bytes, limit: MAX_MESSAGE_BYTES as usize });
        }
        let seq =
            self.endpoint.submit(handle, stream::WORDS, body, SendOptions::default()).map_err(|error| {
                match error {
                    SendError::TooLong { limit } => CommandError::TooLong { bytes, limit: limit as usize },
                    SendError::WouldBlock => CommandError::WouldBlock,
                    SendError::NoSuchStream { .. } | SendError::Closed => CommandError::NoConversation,
                }
            })?;
        self.choose(to);
        if let Some(conversation) = self.conversations.get_mut(&to) {
            conversation.by_seq.insert((handle, stream::WORDS, seq), words.id.clone());
            self.endpoint.set_attentive(handle, true);
            if let Some(outgoing) = conversation.outgoing.get_mut(&words.id) {
                outgoing.sent_on = Some(handle);
            }
        }
        Ok(())
    }

    /// Says who we are, before anything else.
    pub(super) fn introduce(&mut self, now: Now, handle: Handle) {
        let run = self.run.clone();
        // In the clear anybody could say the same again.
        let remembers = self.config.remembers && self.endpoint.remote_key(handle).is_some();
        let body = self.encode(handle, now.wall, Said::Introduce { run: Cow::Owned(run), remembers });
        // A queue that has no room for it is busy with words, and those carry the nick as well.
        let _ = self.endpoint.submit(handle, stream::WORDS, body, SendOptions::default());
    }

    /// Says something that nobody waits to have confirmed, on the connection that it answers (UC-CHAT-014). If the queue is full it
    /// is kept, and reading stops until it is out.
    pub(super) fn answer(&mut self, id: ConversationId, handle: Handle, at: WallTime, said: Said<'_>) {
        let body = self.encode(handle, at, said);
        if let Some(conversation) = self.conversations.get_mut(&id) {
            conversation.receipts.entry(handle).or_default().push(body);
        }
        self.flush_receipts(id, handle);
    }

    /// Sends what receipts find room; tells whether more may be kept.
    pub(super) fn flush_receipts(&mut self, id: ConversationId, handle: Handle) -> bool {
        self.send_receipts(id, handle, MAX_ANSWERS_UNDER_WAY)
    }

    /// The same with at most so many bytes of them under way.
    pub(super) fn send_receipts(&mut self, id: ConversationId, handle: Handle, most: usize) -> bool {
        let Some(conversation) = self.conversations.get_mut(&id) else {
            return true;
        };
        let Some(backlog) = conversation.receipts.get_mut(&handle) else {
            return true;
        };
        let streams = self.endpoint.connection(handle).map_or(0, |connection| connection.stream_count());
        let stream = stream::of_receipts(streams);
        if self.endpoint.submit_answers(handle, stream, backlog, most) {
            conversation.receipts.remove(&handle);
            return true;
        }
        backlog.len() < MAX_WAITING && backlog.bytes() < MAX_BACKLOG_BYTES
    }

    /// Room may have come for receipts that waited, or the connection is over and they go.
    pub(super) fn go_on_answering(&mut self, now: Now, id: ConversationId, handle: Handle) {
        let has_backlog = self
            .conversations
            .get(&id)
            .is_some_and(|conversation| conversation.receipts.contains_key(&handle));
        if has_backlog && self.flush_receipts(id, handle) && self.is_open(handle) {
            self.read(now, id, handle);
        }
    }

    /// What became of a message of the layer below.
    pub(super) fn handle_outcome(
        &mut self,
        id: ConversationId,
        handle: Handle,
        stream: u32,
        seq: u64,
        outcome: Outcome,
    ) {
        let Some(conversation) = self.conversations.get_mut(&id) else {
            return;
        };
        let Some(words) = conversation.by_seq.remove(&(handle, stream, seq)) else {
            return;
        };
        if self.take_back(id, &words, &outcome) {
            return;
        }
        let Some(conversation) = self.conversations.get(&id) else { return };
        match outcome {
            // It is in the other side's hands; the receipt is still to come.
            _ if !conversation.outgoing.contains_key(&words) => {
                self.handle_member_outcome(id, handle, &words, outcome);
            }
            Outcome::Arrived => {}
            Outcome::Expired | Outcome::NotSent => {
                self.tell_outcome(id, &words, |id| Event::Failed { id, reason: FailReason::NotSent });
            }
            Outcome::Unknown => self.tell_outcome(id, &words, |id| Event::Unknown { id }),
            Outcome::TooLong if self.was_sent_before(id, &words) => {
                self.tell_outcome(id, &words, |id| Event::Unknown { id });
            }
            Outcome::TooLong => {
                let words_refused = "the other side accepts no message that long".to_owned();
                let reason = FailReason::Refused { words: words_refused };
                self.tell_outcome(id, &words, |id| Event::Failed { id, reason });
            }
        }
    }

    /// A connection is gone: what went out on it and has no receipt may have been shown.
    pub(super) fn settle_sent(&mut self, id: ConversationId, handle: Handle) {
        let Some(conversation) = self.conversations.get_mut(&id) else {
            return;
        };
        conversation.by_seq.retain(|&(of, ..), _| of != handle);
        let mut sent: Vec<(u64, MessageId, bool)> = conversation
            .outgoing
            .iter()
            .filter(|(_, outgoing)| outgoing.sent_on == Some(handle))
            .map(|(id, outgoing)| {
                (outgoing.number, id.clone(), conversation.again.may_have_arrived(outgoing.number))
            })
            .collect();
        sent.sort();
        for (_, words, may_have_arrived) in &sent {
            self.tell_outcome(id, words, |id| match may_have_arrived {
                true => Event::Unknown { id },
                false => Event::Failed { id, reason: FailReason::NotSent },
            });
        }
    }

    /// No connection is left: what waited for its first one was never sent.
    pub(super) fn fail_waiting(&mut self, id: ConversationId, reason: &FailReason) {
        while let Some(words) = self.conversations.get_mut(&id).and_then(Conversation::pop_waiting) {
            self.tell_outcome(id, &words.id, |id| match words.sends {
                0 => Event::Failed { id, reason: reason.clone() },
                _ => Event::Unknown { id },
            });
        }
    }

    /// Tells the outcome of words, unless it was told.
    pub(super) fn tell_outcome(
        &mut self,
        id: ConversationId,
        words: &MessageId,
        event: impl FnOnce(MessageId) -> Event,
    ) {
        let most = self.most_words(id);
        let Some(conversation) = self.conversations.get_mut(&id) else {
            return;
        };
        let Some(outgoing) = conversation.outgoing.remove(words) else {
            return;
        };
        conversation.again.forget_sent(outgoing.number);
        let event = event(words.clone());
        if matches!(event, Event::Delivered { .. }) {
            self.outbox.confirm(words);
        } else {
            self.outbox.settle(words);
        }
        if !conversation.is_awaiting() {
            for handle in outgoing.sent_on.into_iter().chain(conversation.handles()).collect::<Vec<_>>() {
                self.endpoint.set_attentive(handle, false);
            }
        }
        let has_room = conversation.blocked
            && conversation.outgoing.len() <= most / 4 * 3
            && conversation.bytes() <= MAX_WAITING_BYTES / 4 * 3;
        conversation.blocked &= !has_room;
        self.events.push_back(event);
        if has_room {
            self.events.push_back(Event::Writable { conversation: id });
        }
    }

    /// A connection is attentive while the other side's own word is awaited.
    pub(super) fn update_attention(&mut self, id: ConversationId) {
        let Some(conversation) = self.conversations.get(&id) else {
            return;
        };
        let is_awaiting = conversation.is_awaiting();
        for handle in conversation.handles().collect::<Vec<_>>() {
            self.endpoint.set_attentive(handle, is_awaiting);
        }
    }

    /// The name of the next thing that is said, and its number.
    pub(super) fn next_id(&mut self) -> (u64, MessageId) {
        let number = self.next_message;
        self.next_message += 1;
        (number, MessageId::new(&self.run, number))
    }

    pub(super) fn encode(&self, handle: Handle, at: WallTime, said: Said<'_>) -> Vec<u8> {
        let path = self.endpoint.connection(handle).map(|connection| connection.path());
        // A handle of ours that is in use has a connection; a message without addresses would be no message.
        let path = path.unwrap_or(crate::machine::Path::to(([0, 0, 0, 0], 0).into()));
        Say { from: self.local_party(path), to: remote_party(path, None), at, said }.encode()
    }

    pub(super) fn is_open(&self, handle: Handle) -> bool {
        self.endpoint.connection(handle).is_some_and(|connection| connection.is_open())
    }
}

/// What a reply quotes, as it travels.
pub(super) fn quoted(quote: &Quote) -> (MessageId, Cow<'_, str>, WallTime) {
    (quote.id.clone(), Cow::Borrowed(cut(&quote.text, MAX_QUOTE_BYTES)), quote.sent_at)
}
