//! From the outbox to the connection: entry first, then the rooms, then what was said and asked, in order.

use super::letters::Readiness;
use super::member::{OwnRequest, Phase};
use super::outbox::{Content, Entry, Target, Text};
use super::{MemberEvent, Refusal};
use crate::arq::{MAX_MESSAGE_BYTES, Outcome, SendError, SendOptions};
use crate::chat::{EVERYONE, MessageId, RefusalCode, Request, Said, Say, Words, stream};
use crate::endpoint::Handle;
use crate::machine::Path;
use crate::peer::outgoing::quoted;
use crate::peer::{CommandError, ConversationId, Event, FailReason, Peer, remote_party};
use crate::time::{Now, WallTime};

impl Peer {
    /// We said who we are on this connection: if it is the conversation's, it is the one to ask for entry on.
    pub(in crate::peer) fn come_in(&mut self, now: Now, id: ConversationId, handle: Handle) {
        if let Some(member) = self.member_mut(id)
            && !member.introduced.contains(&handle)
        {
            member.introduced.push(handle);
        }
        self.move_in(now, id);
    }

    /// Asks for entry on the conversation's connection, unless we have one.
    pub(super) fn move_in(&mut self, now: Now, id: ConversationId) {
        let Some(conversation) = self.conversations.get_mut(&id) else {
            return;
        };
        let Some(member) = &mut conversation.member else {
            return;
        };
        if member.connection.is_none() {
            member.connection = conversation.primary.filter(|primary| member.introduced.contains(primary));
        }
        self.pump(now, id);
    }

    /// Sends whatever may go now, in this order: entry, rooms, and what waits.
    pub(in crate::peer) fn pump(&mut self, now: Now, id: ConversationId) {
        let Some(member) = self.member_mut(id) else { return };
        member.outbox.is_stalled = false;
        let Some(handle) = member.connection else { return };
        if member.phase == Phase::Outside {
            let (mut enter, name) = (member.enter(), member.enter_for.clone());
            if let (Request::Enter { token, .. }, Some(_)) = (&mut enter, self.relay_key(id)) {
                // The key says who we are, and what is told to nobody cannot be told on.
                token.clear();
            }
            let name = name.unwrap_or_else(|| self.next_id().1);
            if self.submit_request(handle, &name, now.wall, enter).is_ok()
                && let Some(member) = self.member_mut(id)
            {
                member.phase = Phase::Entering;
                member.asked.insert(name, OwnRequest::Enter);
            }
        }
        if self.member(id).is_some_and(|member| member.phase == Phase::Inside)
            && self.ask_for_rooms(now, id, handle)
        {
            self.send_all_waiting(now, id);
        }
        self.update_attention(id);
    }

    /// Asks to join every room that we want to be in and are not; tells whether there was room for all.
    fn ask_for_rooms(&mut self, now: Now, id: ConversationId, handle: Handle) -> bool {
        loop {
            let Some(member) = self.member(id) else { return false };
            let wish = member.rooms.iter().find(|room| room.is_wish && !room.is_in && room.asked.is_none());
            let Some(wish) = wish else { return true };
            let (name, join) = (wish.name.clone(), member.join(wish));
            let request = self.next_id().1;
            if self.submit_request(handle, &request, now.wall, join).is_err() {
                return false;
            }
            if let Some(member) = self.member_mut(id) {
                if let Some(room) = member.room_mut(&name) {
                    room.asked = Some(request.clone());
                }
                member.asked.insert(request, OwnRequest::Join { room: name });
            }
        }
    }

    /// Sends everything that may go; what never can has failed.
    fn send_all_waiting(&mut self, now: Now, id: ConversationId) {
        let mut from = 0;
        while let Err((error, number)) = self.send_waiting(now, id, from) {
            if error == CommandError::WouldBlock {
                return;
            }
            from = number + 1;
            let reason = FailReason::Refused { words: error.to_string() };
            self.fail_entry(id, number, reason);
        }
    }

    /// Sends what waits from `number` on, up to the first that cannot be sent; after a loss, again under the same names
    /// (UC-RELAY-022).
    pub(super) fn send_waiting(
        &mut self,
        now: Now,
        id: ConversationId,
        number: u64,
    ) -> Result<(), (CommandError, u64)> {
        let mut from = number;
        loop {
            let Some(member) = self.member(id).filter(|member| member.phase == Phase::Inside) else {
                return Ok(());
            };
            let Some(handle) = member.connection.filter(|_| !member.outbox.is_stalled) else {
                return Ok(());
            };
            if self.is_doubted(id, handle) {
                return Ok(());
            }
            let Some((number, entry)) = member.outbox.next_waiting(from) else {
                return Ok(());
            };
            from = number + 1;
            if !member.may_send(entry) {
                continue;
            }
            match self.prepare(now, id, number) {
                Readiness::Ready => {}
                Readiness::Waits => continue,
                Readiness::Failed(reason) => {
                    self.fail_entry(id, number, reason);
                    continue;
                }
            }
            let Some(entry) = self.member(id).and_then(|member| member.outbox.entry(number)) else {
                continue;
            };
            let name = entry.id.clone();
            let result = self.submit_entry(id, handle, entry);
            let Some(conversation) = self.conversations.get_mut(&id) else {
                return Ok(());
            };
            let Some(member) = &mut conversation.member else {
                return Ok(());
            };
            match result {
                Ok(body) => {
                    let options = SendOptions::default();
                    match self.endpoint.submit(handle, stream::WORDS, body, options) {
                        Ok(seq) => {
                            member.outbox.mark_sent(number, handle);
                            member.note_join(number);
                            conversation.by_seq.insert((handle, stream::WORDS, seq), name);
                            self.endpoint.set_attentive(handle, true);
                        }
                        Err(error) => {
                            member.outbox.is_stalled = error == SendError::WouldBlock;
                            return refusal(error).map_or(Ok(()), |error| Err((error, number)));
                        }
                    }
                }
                Err(error) => return Err((error, number)),
            }
        }
    }

    /// The bytes of an entry as they travel now: from the address and under the name that we have by now.
    fn submit_entry(
        &self,
        id: ConversationId,
        handle: Handle,
        entry: &Entry,
    ) -> Result<Vec<u8>, CommandError> {
        let body = match &entry.content {
            Content::Words(text) => self.encode_text(id, handle, entry, text),
            Content::Request(ask) => {
                let request = self
                    .member(id)
                    .map_or_else(|| ask.request.clone(), |member| member.fill_in(&ask.request));
                self.encode(handle, entry.at, Said::Request { id: entry.id.clone(), ask: request })
            }
        };
        let (bytes, limit) = (body.len(), MAX_MESSAGE_BYTES as usize);
        if bytes > limit { Err(CommandError::TooLong { bytes, limit }) } else { Ok(body) }
    }

    fn encode_text(&self, id: ConversationId, handle: Handle, entry: &Entry, text: &Text) -> Vec<u8> {
        // A connection in use has a path; a message without addresses would be no message.
        let unknown = Path::to(([0, 0, 0, 0], 0).into());
        let path = self.endpoint.connection(handle).map_or(unknown, |connection| connection.path());
        let mut from = self.local_party(path);
        from.nick = self.member(id).map(|member| member.nick.clone());
        let mut to = remote_party(path, None);
        match &text.to {
            Target::Relay => {}
            Target::Room(room) => to.room = Some(room.clone()),
            Target::Member(nick) => to.nick = Some(nick.clone()),
            Target::Everyone => to.room = Some(EVERYONE.to_owned()),
        }
        // Kept of an earlier connection that was sealed; whether this one is has been seen to.
        let sealed = text.sealed.as_ref().map(|(_, sealed)| sealed.clone());
        let plain = sealed.is_none().then_some(text);
        let words = Words {
            id: entry.id.clone(),
            text: plain.map_or("", |plain| plain.text.as_str()).into(),
            sealed,
            is_echo: text.is_echo,
            reply_to: plain.and_then(|plain| plain.reply_to.as_ref()).map(quoted),
            place: None,
        };
        Say { from, to, at: entry.at, said: Said::Words(words) }.encode()
    }

    pub(super) fn submit_request(
        &mut self,
        handle: Handle,
        id: &MessageId,
        at: WallTime,
        ask: Request,
    ) -> Result<(), SendError> {
        let body = self.encode(handle, at, Said::Request { id: id.clone(), ask });
        self.endpoint.submit(handle, stream::WORDS, body, SendOptions::default()).map(|_| ())
    }

    /// What became of a message of the layer below that carried something from the outbox.
    pub(in crate::peer) fn handle_member_outcome(
        &mut self,
        id: ConversationId,
        handle: Handle,
        words: &MessageId,
        outcome: Outcome,
    ) {
        let Some(member) = self.member_mut(id) else { return };
        let Some(number) = member.outbox.number(words) else { return };
        if member.outbox.entry(number).is_none_or(|entry| entry.sent_on != Some(handle)) {
            return;
        }
        match outcome {
            // The relay's word is still to come; if the connection dies first, it is said again on the next one.
            Outcome::Arrived | Outcome::Unknown => {}
            Outcome::Expired | Outcome::NotSent => member.outbox.mark_not_sent(number),
            Outcome::TooLong => {
                let words = "the relay accepts no message that long".to_owned();
                self.fail_entry(id, number, FailReason::Refused { words });
            }
        }
    }

    /// Something from the outbox can never be sent.
    fn fail_entry(&mut self, id: ConversationId, number: u64, reason: FailReason) {
        let Some(entry) = self.member_mut(id).and_then(|member| member.outbox.remove(number)) else {
            return;
        };
        self.events.push_back(match entry.content {
            Content::Words(_) => Event::Failed { id: entry.id, reason },
            Content::Request(_) => {
                let refusal =
                    Refusal { code: RefusalCode::TooLong, words: reason.to_string(), suggestion: None };
                let event = MemberEvent::Done { id: entry.id, result: Err(refusal) };
                Event::Member { relay: id, event }
            }
        });
        self.relieve(id);
    }

    /// After an outcome: what the front end may say again, and whether the connection may rest.
    pub(super) fn relieve(&mut self, id: ConversationId) {
        if self.member_mut(id).is_some_and(|member| member.outbox.take_relief()) {
            self.events.push_back(Event::Writable { conversation: id });
        }
        self.update_attention(id);
    }
}

/// Why something cannot be sent; None if it is because the connection is ending, and the next one will carry it.
fn refusal(error: SendError) -> Option<CommandError> {
    match error {
        SendError::WouldBlock => Some(CommandError::WouldBlock),
        SendError::TooLong { limit } => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            Some(CommandError::TooLong { bytes: limit.saturating_add(1), limit })
        }
        SendError::NoSuchStream { .. } | SendError::Closed => None,
    }
}
