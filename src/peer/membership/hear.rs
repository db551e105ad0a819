//! What comes from a relay: lines, letters, and its word on what we said.
//!
//! Every line and letter is shown once: what is not above its log's cursor was shown, and a sealed letter if it is known. Lines need
//! no receipt, since the cursor says how far we are; a letter gets one each time it comes.

use std::net::SocketAddr;

use super::letters::{self, Opened};
use super::member::{OwnRequest, Phase};
use super::outbox::{Content, Entry};
use super::{MemberEvent, Refusal};
use crate::chat::{EVERYONE, Party, Place, Receipt, RefusalCode, Request, Said, Say, Words};
use crate::endpoint::Handle;
use crate::peer::{ConversationId, Destination, Event, FailReason, Incoming, Peer, Quote};
use crate::time::{Now, WallTime};

impl Peer {
    pub(in crate::peer) fn hear_relay(&mut self, now: Now, id: ConversationId, handle: Handle, say: Say<'_>) {
        if let Said::Introduce { run, .. } = &say.said {
            self.recognise(now, id, handle, run);
        }
        // Of words it is somebody else's name.
        let nick = say.from.nick.clone().filter(|_| !matches!(say.said, Said::Words(_)));
        self.announce(now, id, handle, nick);
        let is_current = self.member(id).is_some_and(|member| member.connection == Some(handle));
        match say.said {
            Said::Request { id: request, .. } => self.refuse_request(now, id, handle, request, say.at),
            _ if !is_current => self.unreadable += 1,
            Said::Receipt(receipt) => {
                self.receipts_received += 1;
                self.hear_receipt(now, id, handle, receipt);
            }
            Said::News(news) => self.hear_news(now, id, handle, news, say.at),
            Said::Echoed { id: words, text, .. } => self.hear_echoed(now, id, words, text.into_owned()),
            Said::Words(words) => self.hear_words(now, id, handle, words, say.from, say.to, say.at),
            Said::Introduce { .. } => {}
        }
    }

    #[expect(clippy::too_many_arguments, reason = "they are the parts of one thing said")]
    fn hear_words(
        &mut self,
        now: Now,
        id: ConversationId,
        handle: Handle,
        words: Words<'_>,
        from: Party,
        to: Party,
        at: WallTime,
    ) {
        let is_inside = self.member(id).is_some_and(|member| member.phase == Phase::Inside);
        if words.place.is_some() && !is_inside {
            self.unreadable += 1;
            return;
        }
        let Some(place) = words.place.filter(|_| !words.is_echo) else {
            // Somebody who is no relay: the words are not shown, and their sender may know.
            self.unreadable += 1;
            let refusal = Receipt::refused(words.id, at, "only a relay's lines are shown here");
            self.answer(id, handle, now.wall, Said::Receipt(refusal));
            return;
        };
        let Some(room) = &to.room else {
            return self.hear_letter(now, id, handle, words, from, at, place);
        };
        let (is_new, is_history) = self.move_past(id, room, place.pos);
        let Some(member) = self.member(id) else { return };
        let is_own = member.is_own(&self.run, &words.id, from.nick.as_deref());
        // A seal is for one reader, so a line has none.
        if !is_new || words.sealed.is_some() {
            self.unreadable += 1;
        } else if !is_own {
            self.show_relayed(id, words, from, to.room, at, is_history);
        }
    }

    /// A letter gets its receipt each time that it comes, or the relay brings it for ever (UC-RELAY-024).
    #[expect(clippy::too_many_arguments, reason = "they are the parts of one thing said")]
    fn hear_letter(
        &mut self,
        now: Now,
        id: ConversationId,
        handle: Handle,
        mut words: Words<'_>,
        from: Party,
        mut at: WallTime,
        place: Place,
    ) {
        let (taken, pos) = (Receipt::taken(words.id.clone(), at), Some(place.pos));
        let (is_new, is_history) = self.move_past_letter(id, place.pos, place.stored_at);
        let before =
            self.member(id).and_then(|member| member.memory.letters_refused.get(&place.pos).copied());
        let refusal = match before {
            Some(code) => Some(code),
            None if !is_new && self.is_letter_shown(id, &words) => None,
            None => match self.open_letter(now, id, &words, &from) {
                Opened::Refused(code) => Some(code),
                Opened::Plain => {
                    self.answer(id, handle, now.wall, Said::Receipt(Receipt { pos, ..taken }));
                    return self.show_relayed(id, words, from, None, at, is_history);
                }
                Opened::Open { text, reply_to, at: sealed_at, is_new } => {
                    self.answer(id, handle, now.wall, Said::Receipt(Receipt { pos, ..taken }));
                    words.text = text.into();
                    words.reply_to = reply_to.map(|(id, text, at)| (id, text.into(), at));
                    at = sealed_at.unwrap_or(at);
                    if is_new {
                        return self.show_relayed(id, words, from, None, at, is_history);
                    }
                    self.unreadable += 1;
                    return;
                }
            },
        };
        let receipt = match refusal {
            Some(code) => {
                if let Some(member) = self.member_mut(id) {
                    member.memory.refuse_letter(place.pos, code);
                }
                self.changed_memories.insert(id);
                let words = letters::refusal_words(code);
                Receipt { pos, code: Some(code), ..Receipt::refused(taken.id, at, words) }
            }
            None => Receipt { pos, ..taken },
        };
        self.answer(id, handle, now.wall, Said::Receipt(receipt));
    }

    /// Moves a room's cursor over a line, or everyone's over a message to all: whether it is new, and whether it is history.
    fn move_past(&mut self, id: ConversationId, room: &str, pos: u64) -> (bool, bool) {
        let Some(member) = self.member_mut(id) else { return (false, false) };
        if room == EVERYONE {
            let is_new = member.memory.everyone_after.is_none_or(|shown| pos > shown);
            if is_new {
                member.memory.everyone_after = Some(pos);
                self.changed_memories.insert(id);
            }
            let is_history = self.member(id).is_some_and(|member| pos <= member.everyone_head);
            return (is_new, is_history);
        }
        let Some(known) = member.room(room).filter(|room| room.is_in) else { return (false, false) };
        let is_history = pos <= known.head;
        let is_new = known.cursor.is_none_or(|shown| pos > shown);
        if is_new {
            member.move_cursor(room, pos);
            self.changed_memories.insert(id);
        }
        (is_new, is_history)
    }

    fn move_past_letter(&mut self, id: ConversationId, pos: u64, stored_at: WallTime) -> (bool, bool) {
        let Some(member) = self.member_mut(id) else { return (false, false) };
        let is_new = pos > member.memory.letters_after;
        let is_history = stored_at < member.entered_at;
        if is_new {
            member.memory.letters_after = pos;
            self.changed_memories.insert(id);
        }
        (is_new, is_history)
    }

    fn show_relayed(
        &mut self,
        id: ConversationId,
        words: Words<'_>,
        from: Party,
        room: Option<String>,
        at: WallTime,
        is_history: bool,
    ) {
        let (text, is_sealed) = (words.text.into_owned(), words.sealed.is_some());
        let quote = Quote { id: words.id.clone(), text: text.clone(), sent_at: at };
        let answer_to = match (&room, &from.nick) {
            (Some(room), _) if room != EVERYONE => Some(Destination::Room { relay: id, room: room.clone() }),
            // An answer to something said to all is for its author alone.
            (_, Some(nick)) => Some(Destination::Member { relay: id, nick: nick.clone() }),
            (_, None) => None,
        };
        if let Some(to) = answer_to {
            self.last_received = Some((to, quote));
        }
        self.messages_shown += 1;
        self.events.push_back(Event::Message(Incoming {
            id: words.id,
            conversation: id,
            room,
            is_relayed: true,
            is_history,
            is_sealed,
            address: SocketAddr::new(from.ip, from.port),
            nick: from.nick,
            text,
            sent_at: at,
            reply_to: words.reply_to.map(|(id, text, sent_at)| Quote {
                id,
                text: text.into_owned(),
                sent_at,
            }),
        }));
    }

    fn hear_receipt(&mut self, now: Now, id: ConversationId, handle: Handle, receipt: Receipt<'_>) {
        let refusal = (!receipt.ack).then(|| refusal(&receipt));
        if let Some(request) = self.take_own_request(id, &receipt.id) {
            self.hear_own(now, id, request, refusal);
            return;
        }
        if receipt.code == Some(RefusalCode::ChangedKey) && !receipt.ack {
            let entry = self.member(id).and_then(|it| it.outbox.entry(it.outbox.number(&receipt.id)?));
            if let Some(nick) = entry.and_then(Entry::receiver).map(str::to_owned) {
                self.doubt_key(now, id, &nick);
            }
        }
        let Some(member) = self.member_mut(id) else { return };
        let number = member.outbox.number(&receipt.id);
        let entry = number.and_then(|number| Some((number, member.outbox.entry(number)?)));
        let Some((number, entry)) = entry.filter(|(_, entry)| entry.sent_on == Some(handle)) else {
            // Words from before the conversation became a membership.
            let reason = receipt.reason.map(std::borrow::Cow::into_owned).unwrap_or_default();
            self.handle_receipt(now, id, &receipt.id, receipt.ack, reason);
            return;
        };
        if matches!(entry.content, Content::Request(_)) {
            self.hear_answer(now, id, number, refusal);
            return;
        }
        if receipt.held && receipt.ack {
            if member.outbox.mark_held(number) {
                self.events.push_back(Event::Held { id: receipt.id });
            }
        } else if let Some(entry) = member.outbox.remove(number) {
            // Nothing of it was stored this time; it may have been on the connection before.
            let may_be_stored = entry.was_sent && receipt.pos.is_none();
            self.events.push_back(match refusal {
                Some(Refusal { code, .. }) if may_be_stored && !is_final(code) => {
                    Event::Unknown { id: entry.id }
                }
                None => Event::Delivered { id: entry.id, rtt: now.instant.since(entry.since) },
                Some(Refusal { words, .. }) => {
                    Event::Failed { id: entry.id, reason: FailReason::Refused { words } }
                }
            });
        }
        self.relieve(id);
        self.finish_goodbye(now, id);
    }

    /// The fate of a request that we made by ourselves. A yes says nothing: the news do.
    fn hear_own(&mut self, now: Now, id: ConversationId, request: OwnRequest, refusal: Option<Refusal>) {
        match (request, refusal) {
            (OwnRequest::Enter, Some(refusal)) => self.stay_outside(now, id, refusal),
            (OwnRequest::Join { room }, Some(refusal)) => self.stay_out_of_room(now, id, room, refusal),
            (OwnRequest::Key { nick }, Some(refusal)) => self.miss_key(now, id, &nick, &refusal),
            (_, None) => {}
        }
        self.relieve(id);
    }

    /// The relay does not let us in: the user is asked for another name, unless one is waiting already.
    fn stay_outside(&mut self, now: Now, id: ConversationId, refusal: Refusal) {
        let Some(member) = self.member_mut(id) else { return };
        if member.phase != Phase::Entering {
            self.unreadable += 1;
            return;
        }
        member.phase = Phase::Refused;
        let asked_as = member.enter_for.take();
        let renames = member.outbox.entries().find_map(|entry| match &entry.content {
            Content::Request(ask) => match &ask.request {
                Request::Rename { nick } => Some((entry.id.clone(), nick.clone())),
                _ => None,
            },
            Content::Words(_) => None,
        });
        self.tell_member(id, MemberEvent::NotEntered(refusal.clone()));
        let may_pass = may_pass(refusal.code);
        if let Some(asked) = asked_as {
            self.tell_member(id, MemberEvent::Done { id: asked, result: Err(refusal) });
        }
        if let (Some((name, nick)), Some(member)) = (renames, self.member_mut(id)) {
            if let Some(number) = member.outbox.number(&name) {
                member.outbox.remove(number);
            }
            (member.nick, member.enter_for, member.phase) = (nick, Some(name), Phase::Outside);
            self.pump(now, id);
            return;
        }
        if may_pass {
            self.schedule_retry(now, id);
        }
        self.finish_goodbye(now, id);
    }

    /// We are not let into a room: what waited for it was never sent and will not be.
    fn stay_out_of_room(&mut self, now: Now, id: ConversationId, name: String, refusal: Refusal) {
        let Some(member) = self.member_mut(id) else { return };
        if member.room(&name).is_none_or(|room| room.is_in) {
            return;
        }
        if refusal.code == RefusalCode::Closing && member.room(&name).is_some_and(|room| room.is_wish) {
            // The relay is about to close the connection, and the room is asked for again on the next one.
            return;
        }
        member.forget_room(&name);
        let unsent = member.outbox.remove_unsent_to(&name);
        let words = refusal.words.clone();
        self.tell_member(id, MemberEvent::NotJoined { room: name, refusal });
        for entry in unsent {
            let reason = FailReason::Refused { words: words.clone() };
            self.events.push_back(Event::Failed { id: entry.id, reason });
        }
        // What an earlier connection carried may be in the room's log: the relay knows.
        self.pump(now, id);
        self.relieve(id);
        self.finish_goodbye(now, id);
    }

    /// The fate of a request of the user's.
    fn hear_answer(&mut self, now: Now, id: ConversationId, number: u64, refusal: Option<Refusal>) {
        if refusal.is_none() && !self.has_brought(id, number) {
            if let Some(ask) = self.member_mut(id).and_then(|member| member.outbox.ask_mut(number)) {
                ask.is_acked = true;
            }
            return;
        }
        self.finish_ask(now, id, number, refusal.map_or(Ok(()), Err));
    }

    /// A request of the user's is over.
    pub(super) fn finish_ask(
        &mut self,
        now: Now,
        id: ConversationId,
        number: u64,
        result: Result<(), Refusal>,
    ) {
        let Some(member) = self.member_mut(id) else { return };
        let Some(entry) = member.outbox.remove(number) else { return };
        let Content::Request(ask) = entry.content else { return };
        // The receipt of a new name tells nothing: news of names come in the order in which they were given, and it does not.
        match (&result, ask.request) {
            (Ok(()), Request::Part { room, .. }) => {
                member.leave_room(&room);
                self.tell_member(id, MemberEvent::Parted { room });
            }
            (Err(refusal), Request::Join { room, .. }) => {
                if let Some(known) = member.room_mut(&room) {
                    known.asked = None;
                }
                self.stay_out_of_room(now, id, room, refusal.clone());
            }
            _ => {}
        }
        self.tell_member(id, MemberEvent::Done { id: entry.id, result });
        // Another wish for the same room may have waited for this one.
        self.pump(now, id);
        self.relieve(id);
        self.finish_goodbye(now, id);
    }
}

/// Whether a relay that refuses words with this code, said for the second time, did not take them the first time either: it
/// looked for them.
const fn is_final(code: RefusalCode) -> bool {
    matches!(
        code,
        RefusalCode::NoSuchName
            | RefusalCode::MailboxFull
            | RefusalCode::Expired
            | RefusalCode::NoKey
            | RefusalCode::ChangedKey
    )
}

/// Whether a relay that does not let us in for this reason may do so later, under the same name.
const fn may_pass(code: RefusalCode) -> bool {
    matches!(code, RefusalCode::TooMany | RefusalCode::Storage | RefusalCode::Closing)
}

fn refusal(receipt: &Receipt<'_>) -> Refusal {
    let code = receipt.code.unwrap_or(RefusalCode::Other);
    let words = receipt.reason.as_deref().filter(|words| !words.is_empty()).unwrap_or(code.as_str());
    Refusal { code, words: words.to_owned(), suggestion: receipt.suggestion.as_deref().map(str::to_owned) }
}
