//! What the user wants of a relay: to be there, to say and to ask.

use std::net::SocketAddr;

use super::member::{Member, Phase, Room};
use super::outbox::{Ask, Content, Entry, Target, Text};
use super::{MemberEvent, Membership, Refusal};
use crate::chat::{EVERYONE, MAX_TEXT_BYTES, MessageId, RefusalCode, Request, is_nick};
use crate::peer::{CommandError, ConversationId, Destination, Named, Peer, Quote};
use crate::time::Now;

impl Peer {
    /// Opens the conversation with a relay and wants to be let in.
    pub(in crate::peer) fn attend(
        &mut self,
        now: Now,
        addresses: Vec<SocketAddr>,
        named: Named,
        membership: Membership,
    ) -> Result<ConversationId, CommandError> {
        if !is_nick(&membership.nick) {
            return Err(CommandError::BadNick);
        }
        let id = self.open(now, addresses, named)?;
        let conversation = self.conversations.get_mut(&id).ok_or(CommandError::NoConversation)?;
        match &mut conversation.member {
            Some(member) => member.wish_for(membership.rooms),
            None => conversation.member = Some(Box::new(Member::new(membership))),
        }
        // The conversation may have been one before it became a membership; then all that are open know who we are.
        for handle in
            self.conversations.get(&id).map(|it| it.handles().collect::<Vec<_>>()).unwrap_or_default()
        {
            if self.is_open(handle) {
                self.come_in(now, id, handle);
            }
        }
        Ok(id)
    }

    /// Says something at a relay.
    pub(in crate::peer) fn say_at(
        &mut self,
        now: Now,
        to: Destination,
        text: String,
        reply_to: Option<Quote>,
    ) -> Result<MessageId, CommandError> {
        let (relay, to) = match to {
            Destination::Peer(_) => return Err(CommandError::NoPlace),
            Destination::Room { relay, room } if room == EVERYONE => (relay, Target::Everyone),
            Destination::Room { relay, room } => (relay, Target::Room(room)),
            Destination::Member { relay, nick } => (relay, Target::Member(nick)),
            Destination::Everyone { relay } => (relay, Target::Everyone),
        };
        self.submit_text(now, relay, Text { to, text, is_echo: false, reply_to, sealed: None })
    }

    /// Asks the relay itself to return a text.
    pub(in crate::peer) fn echo_at(
        &mut self,
        now: Now,
        relay: ConversationId,
        text: String,
    ) -> Result<MessageId, CommandError> {
        let id = self.submit_text(
            now,
            relay,
            Text { to: Target::Relay, text, is_echo: true, reply_to: None, sealed: None },
        )?;
        if let Some(conversation) = self.conversations.get_mut(&relay) {
            conversation.remember_echo(id.clone(), now.instant);
        }
        Ok(id)
    }

    fn submit_text(
        &mut self,
        now: Now,
        relay: ConversationId,
        text: Text,
    ) -> Result<MessageId, CommandError> {
        let bytes = text.text.len();
        if bytes > MAX_TEXT_BYTES {
            return Err(CommandError::TooLong { bytes, limit: MAX_TEXT_BYTES });
        }
        self.check_letter(&text)?;
        let quoted = text.reply_to.as_ref().map_or(0, |quote| quote.text.len());
        self.submit(now, relay, bytes + quoted, Content::Words(text))
    }

    /// Asks something of a relay.
    pub(in crate::peer) fn ask(
        &mut self,
        now: Now,
        relay: ConversationId,
        request: Request,
    ) -> Result<MessageId, CommandError> {
        let member = self.member_mut(relay).ok_or(CommandError::NoMember)?;
        let (is_refused, is_inside) = (member.phase == Phase::Refused, member.phase == Phase::Inside);
        match &request {
            // Attending is what enters.
            Request::Enter { .. } => return Err(CommandError::NoMember),
            Request::Rename { nick } if !is_nick(nick) => return Err(CommandError::BadNick),
            Request::Rename { nick } if is_refused => {
                let nick = nick.clone();
                return self.enter_as(now, relay, nick);
            }
            Request::Part { room, .. } if !is_inside => {
                let room = room.clone();
                return self.part_outside(relay, room);
            }
            _ => {}
        }
        let wish = request.clone();
        let ask = Ask { request, is_acked: false, has_news: false };
        let id = self.submit(now, relay, 0, Content::Request(ask))?;
        if let Some(member) = self.member_mut(relay) {
            match wish {
                Request::Join { room, history, password, .. } => {
                    if member.room(&room).is_none() {
                        member.rooms.push(Room::new(room.clone(), history, password.clone()));
                    }
                    let is_next = member.is_next_for(&room, &id);
                    if let Some(known) = member.room_mut(&room) {
                        known.password = password.or(known.password.take());
                        if is_next {
                            known.asked = Some(id.clone());
                        }
                    }
                }
                Request::Part { room, .. } => {
                    if let Some(known) = member.room_mut(&room) {
                        known.is_wish = false;
                    }
                }
                _ => {}
            }
        }
        Ok(id)
    }

    /// After a refusal: enters under another name.
    fn enter_as(&mut self, now: Now, relay: ConversationId, nick: String) -> Result<MessageId, CommandError> {
        if self.shutting_down {
            return Err(CommandError::ShuttingDown);
        }
        let id = self.next_id().1;
        if let Some(member) = self.member_mut(relay) {
            member.nick = nick;
            member.set_retried();
            member.enter_for = Some(id.clone());
            member.phase = Phase::Outside;
        }
        // The relay does not wait for ever for somebody to think of a name.
        if self.connect_if_needed(now, relay).is_err() {
            self.schedule_retry(now, relay);
        }
        self.pump(now, relay);
        Ok(id)
    }

    /// We are in no room now: it is enough not to come back to this one.
    fn part_outside(&mut self, relay: ConversationId, room: String) -> Result<MessageId, CommandError> {
        if self.shutting_down {
            return Err(CommandError::ShuttingDown);
        }
        let id = self.next_id().1;
        let mut joins = Vec::new();
        if let Some(member) = self.member_mut(relay) {
            member.forget_room(&room);
            joins = member.outbox.remove_where(|entry| entry.is_join_of(&room));
        }
        for join in joins {
            let words = "the room was left before it was joined".to_owned();
            let refusal = Refusal { code: RefusalCode::Other, words, suggestion: None };
            self.tell_member(relay, MemberEvent::Done { id: join.id, result: Err(refusal) });
        }
        self.tell_member(relay, MemberEvent::Parted { room });
        self.tell_member(relay, MemberEvent::Done { id: id.clone(), result: Ok(()) });
        Ok(id)
    }

    /// Puts something into the outbox, and out of it again if it can go at once.
    fn submit(
        &mut self,
        now: Now,
        relay: ConversationId,
        bytes: usize,
        content: Content,
    ) -> Result<MessageId, CommandError> {
        if self.shutting_down {
            return Err(CommandError::ShuttingDown);
        }
        let member = self.member_mut(relay).ok_or(CommandError::NoMember)?;
        if !member.outbox.has_room(bytes) {
            member.outbox.is_blocked = true;
            return Err(CommandError::WouldBlock);
        }
        let (number, id) = self.next_id();
        let entry = Entry {
            id: id.clone(),
            at: now.wall,
            since: now.instant,
            content,
            sent_on: None,
            was_sent: false,
            is_held: false,
        };
        if let Some(member) = self.member_mut(relay) {
            member.outbox.push(number, entry);
        }
        match self.send_waiting(now, relay, number) {
            Err((error @ CommandError::TooLong { .. }, number)) => {
                if let Some(member) = self.member_mut(relay) {
                    member.outbox.remove(number);
                }
                Err(error)
            }
            _ => Ok(id),
        }
    }
}
