//! What is known of the relay that we are at: the name that we have there, our rooms, what was asked and not answered yet.
//!
//! It keeps nobody else's names: who is there is asked of the relay, which knows.

use std::collections::{BTreeMap, BTreeSet};

use super::super::notice::Notice;
use super::{Reason, RelayNotice};
use crate::chat::{MessageId, News, RefusalCode};
use crate::peer::{ConversationId, MemberEvent, Refusal};

/// Our side of a membership.
#[derive(Debug)]
pub struct RelayState {
    conversation: ConversationId,
    nick: String,
    is_member: bool,
    was_member: bool,
    is_lost: bool,
    is_over: bool,
    /// The rooms that we are in, with what they are about.
    rooms: BTreeMap<String, String>,
    /// The rooms that were asked for and not answered yet.
    awaited: BTreeSet<String>,
    asked: BTreeMap<MessageId, Asked>,
    /// Whether the user is asked for passwords, or the environment has one, so that a room's wish for one is no error.
    asks_passwords: bool,
    /// The rooms whose password was asked for already.
    questioned: BTreeSet<String>,
}

/// A request on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What was asked, filtered, such as `/ban bob`.
    pub what: String,
    /// Whether nothing but the receipt tells that it was done.
    pub is_silent: bool,
    /// Of the rooms that are listed, only this one is of interest.
    pub only: Option<String>,
}

impl RelayState {
    /// Somebody who is about to become a member, in `rooms`.
    pub fn new(conversation: ConversationId, nick: String, rooms: impl IntoIterator<Item = String>) -> Self {
        Self {
            conversation,
            nick,
            is_member: false,
            was_member: false,
            is_lost: false,
            is_over: false,
            rooms: BTreeMap::new(),
            awaited: rooms.into_iter().collect(),
            asked: BTreeMap::new(),
            asks_passwords: false,
            questioned: BTreeSet::new(),
        }
    }

    /// The same at a terminal, where the user is asked for a password.
    #[must_use]
    pub fn asking_passwords(self, asks_passwords: bool) -> Self {
        Self { asks_passwords, ..self }
    }

    /// The conversation with the relay.
    pub const fn conversation(&self) -> ConversationId {
        self.conversation
    }

    /// The name that we have there, or want.
    pub fn nick(&self) -> &str {
        &self.nick
    }

    /// Whether the relay let us in.
    pub const fn is_member(&self) -> bool {
        self.is_member
    }

    /// Whether it was lost and is being tried again.
    pub const fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Whether we are in a room.
    pub fn is_in(&self, room: &str) -> bool {
        self.rooms.contains_key(room)
    }

    /// Whether we are in a room or asked for it.
    pub fn is_or_will_be_in(&self, room: &str) -> bool {
        self.is_in(room) || self.awaited.contains(room)
    }

    /// What a room of ours is about.
    pub fn topic(&self, room: &str) -> Option<&str> {
        self.rooms.get(room).map(String::as_str)
    }

    /// Whether we are in one room at most.
    pub fn has_one_room(&self) -> bool {
        self.rooms.len() + self.awaited.iter().filter(|room| !self.is_in(room)).count() <= 1
    }

    /// How many answers are still to come.
    pub fn pending(&self) -> usize {
        self.asked.len() + self.awaited.len() + usize::from(!self.is_member && !self.is_over)
    }

    /// Notes that something was asked.
    pub fn ask(&mut self, id: MessageId, asked: Asked) {
        self.asked.insert(id, asked);
    }

    /// Notes that a room was asked for.
    pub fn await_room(&mut self, room: String) {
        self.awaited.insert(room);
    }

    /// Notes that the user did not give a room's password: the next time it is asked for anew.
    pub fn forget_question(&mut self, room: &str) {
        self.questioned.remove(room);
    }

    /// The relay is gone for good: nothing is answered any more.
    pub fn close(&mut self) {
        self.is_member = false;
        self.is_lost = false;
        self.is_over = true;
        self.rooms.clear();
        self.awaited.clear();
        self.asked.clear();
    }

    /// What there is to show of an event.
    pub fn handle(&mut self, event: MemberEvent) -> Vec<Notice> {
        let notice = match event {
            MemberEvent::Entered { nick, motd, is_operator, is_return } => {
                self.nick.clone_from(&nick);
                (self.is_member, self.was_member) = (true, true);
                self.is_over = false;
                self.is_lost = false;
                RelayNotice::Entered { nick, motd, is_operator, is_return }
            }
            MemberEvent::NotEntered(refusal) => return self.refuse_entry(refusal),
            MemberEvent::Joined { room, topic, members, count, is_return } => {
                self.awaited.remove(&room);
                self.questioned.remove(&room);
                self.rooms.insert(room.clone(), topic.clone());
                let nick = self.nick.clone();
                let roster =
                    RelayNotice::Roster { room: Some(room.clone()), members, count, reason: Reason::Joined };
                let joined = RelayNotice::Joined { room, nick, topic, is_return };
                return vec![Notice::Relay(joined), Notice::Relay(roster)];
            }
            MemberEvent::NotJoined { room, refusal } => {
                self.awaited.remove(&room);
                self.rooms.remove(&room);
                let wants_password = self.asks_passwords && refusal.code == RefusalCode::Password;
                if wants_password && self.questioned.insert(room.clone()) {
                    // The question says it. A second time, it was the wrong one.
                    return Vec::new();
                }
                if refusal.code != RefusalCode::Password {
                    self.questioned.remove(&room);
                }
                let what = format!("not let into {}", super::super::filter::nick(&room));
                RelayNotice::Refused { what, refusal, hint: "" }
            }
            MemberEvent::Parted { room } => {
                self.forget_room(&room);
                RelayNotice::Parted { room, nick: self.nick.clone() }
            }
            MemberEvent::Came { room, member, is_stranger } => {
                RelayNotice::Came { room, member, is_stranger }
            }
            MemberEvent::Went { room, nick, reason } => RelayNotice::Went { room, nick, reason },
            MemberEvent::Roster { room, members, count } => {
                RelayNotice::Roster { room: Some(room), members, count, reason: Reason::Missed }
            }
            MemberEvent::News(news) => {
                return self.handle_news(news).into_iter().map(Notice::Relay).collect();
            }
            MemberEvent::Done { id, result } => return self.finish(&id, result).into_iter().collect(),
            MemberEvent::LetterRefused { nick, code } => RelayNotice::LetterRefused { nick, code },
            MemberEvent::SharedKey { nick, also } => RelayNotice::SharedKey { nick, also },
            MemberEvent::Reconnecting { delay } => {
                self.is_lost = true;
                RelayNotice::Reconnecting { is_return: self.was_member, delay }
            }
        };
        vec![Notice::Relay(notice)]
    }

    fn handle_news(&mut self, news: News) -> Option<RelayNotice> {
        Some(match news {
            News::Renamed { before, nick } => {
                let is_own = before == self.nick;
                if is_own {
                    self.nick.clone_from(&nick);
                }
                RelayNotice::Renamed { before, nick, is_own }
            }
            News::Topic { room, text, by } => {
                if let Some(topic) = self.rooms.get_mut(&room) {
                    topic.clone_from(&text);
                }
                RelayNotice::Topic { room, text, by: Some(by) }
            }
            News::Invited { room, by } => RelayNotice::Invited { room, by },
            News::Removed { room, by, reason } => {
                match &room {
                    Some(room) => self.forget_room(room),
                    None => self.rooms.clear(),
                }
                RelayNotice::Removed { room, by, reason }
            }
            News::Remark { text } => RelayNotice::Remark(text),
            News::Closing { reason } => RelayNotice::Closing { reason },
            News::Who { room, members, count, .. } => {
                RelayNotice::Roster { room, members, count, reason: Reason::Asked }
            }
            News::Rooms { re, mut rooms } => {
                if let Some(only) = self.asked.get(&re).and_then(|asked| asked.only.as_ref()) {
                    rooms.retain(|info| info.room == *only);
                    if rooms.is_empty() {
                        return None;
                    }
                }
                RelayNotice::Rooms(rooms)
            }
            News::Bans { bans, .. } => RelayNotice::Bans(bans),
            News::Log { lines, .. } => RelayNotice::Log(lines),
            // They have events of their own.
            News::Entered { .. } | News::Room { .. } | News::Presence { .. } | News::Key { .. } => {
                return None;
            }
        })
    }

    fn refuse_entry(&mut self, refusal: Refusal) -> Vec<Notice> {
        self.is_member = false;
        // What is asked before the entry is only another name, and this was the answer.
        self.asked.clear();
        let is_name = matches!(refusal.code, RefusalCode::NameTaken | RefusalCode::BadName);
        let hint = if is_name { "/nick NAME tries another name" } else { "" };
        vec![Notice::Relay(RelayNotice::Refused {
            what: "the relay did not let us in".to_owned(),
            refusal,
            hint,
        })]
    }

    fn finish(&mut self, id: &MessageId, result: Result<(), Refusal>) -> Option<Notice> {
        let asked = self.asked.remove(id)?;
        match result {
            Ok(()) => asked.is_silent.then(|| Notice::Info(format!("{}: done", asked.what))),
            // What was asked without words has been told otherwise.
            Err(_) if asked.what.is_empty() => None,
            Err(refusal) if refusal.code == RefusalCode::NoSuchRoom => {
                let refusal = Refusal { words: "there is no such room".to_owned(), ..refusal };
                Some(Notice::Relay(RelayNotice::Refused { what: asked.what, refusal, hint: "" }))
            }
            Err(refusal) => Some(Notice::Relay(RelayNotice::Refused { what: asked.what, refusal, hint: "" })),
        }
    }

    fn forget_room(&mut self, room: &str) {
        self.rooms.remove(room);
        self.awaited.remove(room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{Command, Id, Peer, PeerConfig};
    use crate::time::{Instant, Now, WallTime};

    fn state() -> RelayState {
        let now = Now { instant: Instant::ZERO, wall: WallTime::default() };
        let mut peer = Peer::new(PeerConfig::default(), 1, now);
        let addresses = vec![([127, 0, 0, 1], 6100).into()];
        match peer.handle_command(now, Command::Open { addresses, named: crate::peer::Named::default() }) {
            Ok(Id::Conversation(relay)) => RelayState::new(relay, "ana".to_owned(), ["#sala".to_owned()]),
            other => panic!("{other:?}"),
        }
    }

    fn refusal(code: RefusalCode) -> Refusal {
        Refusal { code, words: "no".to_owned(), suggestion: None }
    }

    fn ask(state: &mut RelayState, number: u64, what: &str, is_silent: bool) -> MessageId {
        let id = MessageId::new("x", number);
        state.ask(id.clone(), Asked { what: what.to_owned(), is_silent, only: None });
        id
    }

    fn entered() -> MemberEvent {
        MemberEvent::Entered { nick: "ana".to_owned(), motd: None, is_operator: false, is_return: false }
    }

    #[test]
    fn everything_that_was_asked_is_waited_for() {
        let mut state = state();
        assert_eq!(state.pending(), 2, "the entry and the room");
        state.handle(entered());
        assert_eq!(state.pending(), 1);
        let refusal = refusal(RefusalCode::InviteOnly);
        state.handle(MemberEvent::NotJoined { room: "#sala".to_owned(), refusal });
        let id = ask(&mut state, 1, "/rooms", false);
        assert_eq!(state.pending(), 1);
        assert!(state.handle(MemberEvent::Done { id, result: Ok(()) }).is_empty());
        assert_eq!(state.pending(), 0);
        state.await_room("#b".to_owned());
        state.close();
        assert_eq!(state.pending(), 0, "a relay that is gone answers nothing");
    }

    #[test]
    fn a_wish_for_a_password_is_a_question_and_then_an_error() {
        let mut state = state().asking_passwords(true);
        state.handle(entered());
        let mut refused = || {
            let refusal = refusal(RefusalCode::Password);
            state.handle(MemberEvent::NotJoined { room: "#sala".to_owned(), refusal }).len()
        };
        assert_eq!([refused(), refused()], [0, 1]);
        state.forget_question("#sala");
        let refusal = refusal(RefusalCode::Password);
        assert!(state.handle(MemberEvent::NotJoined { room: "#sala".to_owned(), refusal }).is_empty());
    }

    #[test]
    fn settings_of_one_room_are_shown_alone() {
        let mut state = state();
        state.handle(entered());
        let id = MessageId::new("x", 1);
        let only = Some("#b".to_owned());
        state.ask(id.clone(), Asked { what: "/room #b".to_owned(), is_silent: false, only });
        let info = |room: &str| crate::chat::RoomInfo {
            room: room.to_owned(),
            count: 1,
            topic: String::new(),
            password: false,
            invite_only: false,
            hidden: false,
        };
        let rooms = vec![info("#a"), info("#b")];
        assert_eq!(
            state.handle(MemberEvent::News(News::Rooms { re: id, rooms })),
            [Notice::Relay(RelayNotice::Rooms(vec![info("#b")]))]
        );
    }

    #[test]
    fn each_answer_is_told_once() {
        let mut state = state();
        state.handle(entered());
        let done = ask(&mut state, 1, "/mute bob", true);
        assert_eq!(
            state.handle(MemberEvent::Done { id: done, result: Ok(()) }),
            [Notice::Info("/mute bob: done".to_owned())]
        );
        let join = ask(&mut state, 2, "", false);
        let result = Err(refusal(RefusalCode::Password));
        assert!(state.handle(MemberEvent::Done { id: join, result }).is_empty(), "NotJoined told it");
        let kick = ask(&mut state, 3, "/kick bob", true);
        let refusal = refusal(RefusalCode::Forbidden);
        let expected =
            RelayNotice::Refused { what: "/kick bob".to_owned(), refusal: refusal.clone(), hint: "" };
        assert_eq!(
            state.handle(MemberEvent::Done { id: kick, result: Err(refusal) }),
            [Notice::Relay(expected)]
        );
    }

    #[test]
    fn name_that_is_refused_again_is_told_once() {
        let mut state = state();
        let id = ask(&mut state, 1, "/nick bob", false);
        let told = state.handle(MemberEvent::NotEntered(refusal(RefusalCode::NameTaken)));
        assert_eq!(told.len(), 1);
        let result = Err(refusal(RefusalCode::NameTaken));
        assert!(state.handle(MemberEvent::Done { id, result }).is_empty());
    }

    #[test]
    fn our_own_name_is_known_from_that_of_others() {
        let mut state = state();
        state.handle(entered());
        let renamed = |before: &str, nick: &str| {
            MemberEvent::News(News::Renamed { before: before.to_owned(), nick: nick.to_owned() })
        };
        state.handle(renamed("bob", "carl"));
        assert_eq!(state.nick(), "ana");
        state.handle(renamed("ana", "anna"));
        assert_eq!(state.nick(), "anna");
    }
}
