//! What a relay tells its member: that it is in, that it is in a room, who came and went.
//!
//! A relay is a stranger like any other (UC-RELAY-026): news of a room that we are not in, or that nobody asked for, are
//! counted and dropped.

use super::MemberEvent;
use super::member::{OwnRequest, Phase};
use super::outbox::{Content, Target, Text};
use crate::chat::{Change, MessageId, News, Request, is_nick};
use crate::endpoint::Handle;
use crate::peer::{ConversationId, Event, Peer};
use crate::time::{Now, WallTime};

impl Peer {
    pub(super) fn hear_news(
        &mut self,
        now: Now,
        id: ConversationId,
        handle: Handle,
        news: News,
        at: WallTime,
    ) {
        let Some(member) = self.member(id) else { return };
        let is_inside = member.phase == Phase::Inside;
        let is_in = |room: &str| member.room(room).is_some_and(|room| room.is_in);
        let is_expected = match &news {
            News::Entered { nick, .. } => member.phase == Phase::Entering && is_nick(nick),
            News::Room { room, .. } => {
                is_inside && member.room(room).is_some_and(|room| room.asked.is_some())
            }
            News::Presence { room, .. } | News::Topic { room, .. } => is_inside && is_in(room),
            News::Removed { room: Some(room), .. } => is_inside && is_in(room),
            News::Renamed { nick, .. } => is_inside && is_nick(nick),
            News::Invited { .. } | News::Remark { .. } | News::Closing { .. } => is_inside,
            // Somebody who may not come in is told so as well.
            News::Removed { room: None, .. } => true,
            News::Key { re, nick, .. } => {
                is_inside && (self.is_awaited_key(id, re, nick) || self.is_asked(id, handle, re, &news))
            }
            News::Who { re, .. } | News::Rooms { re, .. } | News::Bans { re, .. } | News::Log { re, .. } => {
                is_inside && self.is_asked(id, handle, re, &news)
            }
        };
        if !is_expected {
            self.unreadable += 1;
            return;
        }
        match news {
            News::Entered { .. } => self.enter(now, id, news, at),
            News::Room { .. } => self.enter_room(now, id, news),
            News::Key { re, nick, key } if self.is_awaited_key(id, &re, &nick) => {
                self.hear_key(now, id, &nick, key);
            }
            News::Presence { room, changes } => {
                for change in changes {
                    self.tell_change(id, room.clone(), change);
                }
            }
            other => self.tell_other(now, id, other),
        }
    }

    /// Whether a request of the user's is open whose answer this would be.
    fn is_asked(&self, id: ConversationId, handle: Handle, re: &MessageId, news: &News) -> bool {
        let outbox = self.member(id).map(|member| &member.outbox);
        let entry = outbox.and_then(|outbox| outbox.entry(outbox.number(re)?));
        let Some(entry) = entry.filter(|entry| entry.sent_on == Some(handle)) else {
            return false;
        };
        let Content::Request(ask) = &entry.content else {
            return false;
        };
        !ask.has_news && super::brings(&ask.request, news)
    }

    /// The relay let us in.
    fn enter(&mut self, now: Now, id: ConversationId, news: News, at: WallTime) {
        let News::Entered { nick, log, runs, void_after, operator, everyone_head, motd } = news else {
            return;
        };
        let Some(member) = self.member_mut(id) else { return };
        member.phase = Phase::Inside;
        member.go_by(nick.clone());
        member.reconnect.succeed();
        member.entered_at = at;
        member.everyone_head = everyone_head;
        let is_return = std::mem::replace(&mut member.has_entered, true);
        let mut lost = Vec::new();
        if member.follow_log(log) {
            // A relay with another log does not know what the one before was told, and others may have read it.
            lost = member.outbox.remove_where(|entry| {
                entry.was_sent
                    && matches!(&entry.content, Content::Words(Text { to, .. }) if *to != Target::Relay)
            });
        }
        if let Some(last) = void_after {
            member.forget_after(last);
        }
        member.note_runs(runs);
        member.memory.everyone_after.get_or_insert(everyone_head);
        let asked_as = member.enter_for.take();
        self.changed_memories.insert(id);
        for entry in lost {
            self.events.push_back(Event::Unknown { id: entry.id });
        }
        let motd = motd.filter(|_| !is_return);
        self.tell_member(id, MemberEvent::Entered { nick, motd, is_operator: operator, is_return });
        if let Some(asked) = asked_as {
            self.tell_member(id, MemberEvent::Done { id: asked, result: Ok(()) });
        }
        self.pump(now, id);
        self.relieve(id);
        self.finish_goodbye(now, id);
    }

    /// We are in a room.
    fn enter_room(&mut self, now: Now, id: ConversationId, news: News) {
        let News::Room { room: name, head, topic, members, count } = news else {
            return;
        };
        let Some(member) = self.member_mut(id) else { return };
        let Some(room) = member.room_mut(&name) else { return };
        let asked = room.asked.take();
        room.head = head;
        (room.is_in, room.is_wish) = (true, true);
        let is_return = std::mem::replace(&mut room.was_in, true);
        // Nothing will come that was said before: what follows is asked for from here on after a reconnect.
        let is_caught_up = room.cursor.is_none() && (head == 0 || room.history == Some(0));
        let remembered = member.memory.rooms.get(&name).copied();
        let room = member.room_mut(&name);
        let resumed = room.filter(|room| room.cursor.is_none() && room.history.is_none()).and(remembered);
        if is_caught_up {
            member.move_cursor(&name, head);
        } else if let Some(pos) = resumed {
            member.move_cursor(&name, pos);
        }
        self.changed_memories.insert(id);
        self.tell_member(id, MemberEvent::Joined { room: name, topic, members, count, is_return });
        let answered = asked.and_then(|asked| {
            let member = self.member_mut(id)?;
            let number = member.outbox.number(&asked)?;
            let ask = member.outbox.ask_mut(number)?;
            ask.has_news = true;
            ask.is_acked.then_some(number)
        });
        if let Some(number) = answered {
            self.finish_ask(now, id, number, Ok(()));
        }
        self.pump(now, id);
    }

    fn tell_change(&mut self, id: ConversationId, room: String, change: Change) {
        if let Change::Joined { member, stranger: true } = &change
            && let Some(nick) = &member.party.nick
        {
            self.forget_keys(id, &[nick]);
        }
        self.tell_member(
            id,
            match change {
                Change::Joined { member, stranger } => {
                    MemberEvent::Came { room, member, is_stranger: stranger }
                }
                Change::Left { nick, reason } => MemberEvent::Went { room, nick, reason },
                Change::Missed { members, count } => MemberEvent::Roster { room, members, count },
            },
        );
    }

    fn tell_other(&mut self, now: Now, id: ConversationId, news: News) {
        if let News::Renamed { before, nick } = &news {
            self.forget_keys(id, &[before, nick]);
        }
        let Some(member) = self.member_mut(id) else { return };
        let mut answers = None;
        match &news {
            News::Renamed { before, nick } if *before == member.nick => member.go_by(nick.clone()),
            // Whoever was put out stays out until the user asks to join again.
            News::Removed { room: Some(room), .. } => member.forget_room(room),
            News::Who { re, .. }
            | News::Rooms { re, .. }
            | News::Key { re, .. }
            | News::Bans { re, .. }
            | News::Log { re, .. } => {
                answers = member.outbox.number(re);
            }
            _ => {}
        }
        let is_put_out = matches!(&news, News::Removed { room: Some(_), .. });
        self.tell_member(id, MemberEvent::News(news));
        let is_acked = answers.and_then(|number| {
            let ask = self.member_mut(id)?.outbox.ask_mut(number)?;
            ask.has_news = true;
            ask.is_acked.then_some(number)
        });
        if let Some(number) = is_acked {
            self.finish_ask(now, id, number, Ok(()));
        }
        if is_put_out {
            // What waited for that room goes out, and the relay says what becomes of it.
            self.pump(now, id);
        }
    }

    /// Our own request to come in or to join a room was refused, or its acceptance overtook the news.
    pub(super) fn take_own_request(&mut self, id: ConversationId, words: &MessageId) -> Option<OwnRequest> {
        self.member_mut(id)?.asked.remove(words)
    }

    /// Whether what a request brings has come, or there is nothing to wait for.
    pub(super) fn has_brought(&self, id: ConversationId, number: u64) -> bool {
        let Some(member) = self.member(id) else { return true };
        let Some(Content::Request(ask)) = member.outbox.entry(number).map(|entry| &entry.content) else {
            return true;
        };
        match &ask.request {
            Request::Join { room, .. } => {
                ask.has_news || member.room(room).is_none_or(|room| room.asked.is_none())
            }
            request => ask.has_news || !super::brings_news(request),
        }
    }
}
