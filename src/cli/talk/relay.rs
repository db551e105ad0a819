//! What a member of a relay does, and what the relay's news make us do.

use std::path::Path;

use super::super::attendee::{Attendee, password_of_environment, read_secret};
use super::super::directory::Obstacle;
use super::super::exit::Exit;
use super::Talk;
use crate::chat::{EVERYONE, Moderation, News, RefusalCode, Request, is_nick, room_name};
use crate::io::resolve::Target;
use crate::peer::trust::KnownBy;
use crate::peer::{
    CloseReason, Command, CommandError, ConversationId, Destination, Event, Id, KeyNews, MemberEvent, Peer,
    RoomWish,
};
use crate::secure::Secret;
use crate::time::{Now, WallTime};
use crate::ui::filter;
use crate::ui::notice::{Notice, Presence};
use crate::ui::relay::{Asked, RelayAction, RelayNotice, RelayState};
use crate::ui::text;
use crate::ui::view::Question;

/// Questions that wait for the user; more rooms with a password than anybody joins at once.
const MAX_QUESTIONS: usize = 16;

impl Talk {
    /// Becomes a member of a relay that was looked up. Its first room gets the plain lines, unless somebody was named for them.
    pub(in crate::cli) fn attend(
        &mut self,
        now: Now,
        peer: &mut Peer,
        mut attendee: Attendee,
        addresses: Vec<std::net::SocketAddr>,
    ) -> Result<(), Obstacle> {
        attendee.keep_addresses(addresses.clone());
        let target = attendee.relay().clone();
        let membership = attendee.membership(self.front.has_person);
        let known = || peer.trust().expected(&KnownBy::address(&target.to_string()));
        attendee.bind_secret(target.key().or_else(known));
        let relay = self.directory.attend(now, peer, &mut self.model, &target, addresses, membership)?;
        self.tell_calling(&target);
        let rooms = attendee.rooms().iter().cloned();
        self.model.attend(
            RelayState::new(relay, attendee.nick().to_owned(), rooms)
                .asking_passwords(self.knows_passwords()),
        );
        if let (None, Some(room)) = (self.model.receiver(), attendee.rooms().first()) {
            self.model.choose_receiver(Destination::Room { relay, room: room.clone() });
        }
        self.attendee = Some(attendee);
        Ok(())
    }

    /// Becomes a member again, in one room, after the relay was left, or was lost for good.
    pub(super) fn attend_again(
        &mut self,
        now: Now,
        peer: &mut Peer,
        room: &str,
        password: Option<Secret>,
    ) -> Result<(), Obstacle> {
        // What was shown up to now is not shown again.
        self.remember(now, peer, true);
        let (Some(attendee), Some(state)) = (&self.attendee, self.model.relay()) else {
            return Err(Obstacle::Refused(CommandError::NoMember));
        };
        let (target, nick) = (attendee.relay().clone(), state.nick().to_owned());
        let wish = RoomWish { room: room.to_owned(), history: attendee.history(), password };
        let membership = attendee.membership_as(nick.clone(), vec![wish], self.front.has_person);
        let addresses = attendee.addresses().to_vec();
        let relay = self.directory.attend(now, peer, &mut self.model, &target, addresses, membership)?;
        self.tell_calling(&target);
        let state = RelayState::new(relay, nick, [room.to_owned()]).asking_passwords(self.knows_passwords());
        self.model.attend(state);
        self.model.choose_receiver(Destination::Room { relay, room: room.to_owned() });
        Ok(())
    }

    /// The relay may not be there yet, and a person should not wonder.
    fn tell_calling(&mut self, relay: &Target) {
        if self.front.has_person {
            self.model.tell(Notice::Info(text::calling_relay(&relay.to_string())));
        }
    }

    /// Somebody as the user writes them. At a relay whatever is no address is a member's name: a letter to somebody absent must
    /// not become words to whoever claims that name elsewhere.
    pub(super) fn destination(
        &mut self,
        now: Now,
        peer: &mut Peer,
        who: &str,
    ) -> Result<Destination, Obstacle> {
        let Some(state) = self.model.relay() else {
            if who == EVERYONE || who.starts_with('#') {
                return Err(Obstacle::Refused(CommandError::NoMember));
            }
            return self.directory.find(now, peer, &mut self.model, who).map(Destination::Peer);
        };
        let relay = state.conversation();
        if who == EVERYONE {
            return Ok(Destination::Everyone { relay });
        }
        if who.starts_with('#') {
            let room = room_name(who).ok_or(Obstacle::NoRoom)?;
            if !state.is_or_will_be_in(&room) {
                return Err(Obstacle::NotInRoom(room));
            }
            return Ok(Destination::Room { relay, room });
        }
        if who.parse::<Target>().is_ok() {
            return self.directory.find(now, peer, &mut self.model, who).map(Destination::Peer);
        }
        if !is_nick(who) {
            return Err(Obstacle::Refused(CommandError::BadNick));
        }
        Ok(Destination::Member { relay, nick: who.to_owned() })
    }

    /// Without a person to see it refused, a line waits until its room was joined.
    pub(super) fn waits_for_room(&self, to: &Destination) -> bool {
        let Destination::Room { room, .. } = to else { return false };
        let awaited =
            self.model.relay().is_some_and(|state| !state.is_in(room) && state.is_or_will_be_in(room));
        awaited && !self.front.has_person
    }

    /// The relay, if it is there or is being tried.
    fn open_relay(&self) -> Option<ConversationId> {
        let relay = self.model.relay()?.conversation();
        (self.model.presence(relay) != Some(Presence::Gone)).then_some(relay)
    }

    pub(super) fn who(&mut self, now: Now, peer: &mut Peer, room: Option<&str>) -> Result<(), Obstacle> {
        if self.open_relay().is_none() && room.is_none() {
            let roster = self.model.roster();
            return self.tell(Notice::Roster(roster));
        }
        let what = room.map_or_else(|| "/who".to_owned(), |room| format!("/who {room}"));
        self.ask(now, peer, Request::Who { room: room.map(str::to_owned) }, &what, false)
    }

    /// At a relay the name is the relay's to give; the other conversations follow once it did.
    pub(super) fn rename(&mut self, now: Now, peer: &mut Peer, nick: &str) -> Result<(), Obstacle> {
        let nick = nick.to_owned();
        if self.open_relay().is_none() {
            self.command(now, peer, Command::Rename { nick: nick.clone() })?;
            return self.tell(Notice::Info(crate::ui::text::renamed(&nick)));
        }
        if !is_nick(&nick) {
            return Err(Obstacle::Refused(CommandError::BadNick));
        }
        let what = format!("/nick {nick}");
        self.ask(now, peer, Request::Rename { nick }, &what, false)
    }

    pub(super) fn act(&mut self, now: Now, peer: &mut Peer, action: &RelayAction) -> Result<(), Obstacle> {
        match action {
            RelayAction::Join { room } => self.join(now, peer, room, None),
            RelayAction::Part { room, reason } => self.part(now, peer, room.as_deref(), reason.as_deref()),
            RelayAction::Rooms => self.ask(now, peer, Request::Rooms, "/rooms", false),
            RelayAction::Broadcast { text } => {
                let relay = self.model.relay().map(RelayState::conversation);
                let relay = relay.ok_or(Obstacle::Refused(CommandError::NoMember))?;
                self.say(now, peer, Destination::Everyone { relay }, text)
            }
            RelayAction::Topic { text } => self.topic(now, peer, text.as_deref()),
            RelayAction::Invite { nick, room } => {
                let room = room.clone().map_or_else(|| self.current_room(), Ok)?;
                let what = format!("/invite {nick} {room}");
                self.ask(now, peer, Request::Invite { room, nick: nick.clone() }, &what, true)
            }
            RelayAction::SetPassword => {
                let room = self.current_room()?;
                if self.can_ask() {
                    self.question(Question::NewPassword { room });
                    return Ok(());
                }
                let password = password_of_environment().ok_or(Obstacle::NoPassword(room.clone()))?;
                self.guard(now, peer, room, Some(password))
            }
            RelayAction::Guard { open, invite_only, hidden } => {
                let (room, password) = (self.current_room()?, open.then(Secret::default));
                let what = format!("/room {room}");
                let (invite_only, hidden) = (*invite_only, *hidden);
                let request = Request::Guard { room: room.clone(), password, invite_only, hidden };
                self.ask(now, peer, request, &what, true)?;
                self.ask_settings(now, peer, room)
            }
            RelayAction::Admin { file } => {
                let secret = read_secret(Path::new(file)).map_err(Obstacle::NoSecret)?;
                let relay = self.open_relay().and_then(|relay| peer.key_of(relay));
                if let Some(attendee) = &mut self.attendee {
                    attendee.keep_secret(secret.clone(), relay);
                }
                self.ask(now, peer, Request::Authorize { secret }, "/admin", false)
            }
            RelayAction::Moderate(moderation) => {
                let (what, is_silent) = described(moderation, now.wall);
                self.ask(now, peer, Request::Moderate(moderation.clone()), &what, is_silent)
            }
        }
    }

    fn join(
        &mut self,
        now: Now,
        peer: &mut Peer,
        room: &str,
        password: Option<Secret>,
    ) -> Result<(), Obstacle> {
        if self.open_relay().is_none() {
            return self.attend_again(now, peer, room, password);
        }
        let state = self.model.relay().ok_or(Obstacle::Refused(CommandError::NoMember))?;
        let relay = state.conversation();
        if !state.is_or_will_be_in(room) {
            let history = self.attendee.as_ref().and_then(Attendee::history);
            let request = Request::Join { room: room.to_owned(), after: None, history, password };
            // Whether we got in is told by an event of its own.
            self.ask(now, peer, request, "", false)?;
            if let Some(state) = self.model.relay_mut() {
                state.await_room(room.to_owned());
            }
        }
        let to = Destination::Room { relay, room: room.to_owned() };
        let before = self.model.receiver().filter(|before| **before != to).cloned();
        self.spoke_in = before.or_else(|| self.spoke_in.take());
        self.model.choose_receiver(to);
        Ok(())
    }

    /// A room is not to be joined after all: a person's lines go where they went before. What a script says after it was refused is
    /// not for somewhere else.
    fn stay_out(&mut self, room: &str) {
        if !self.front.has_person {
            return;
        }
        let is_meant =
            matches!(self.model.receiver(), Some(Destination::Room { room: to, .. }) if to == room);
        let still_in = |to: &Destination| match to {
            Destination::Room { room, .. } => self.model.relay().is_some_and(|state| state.is_in(room)),
            _ => true,
        };
        if let Some(before) = self.spoke_in.take_if(|before| is_meant && still_in(before)) {
            self.model.choose_receiver(before);
        }
    }

    pub(super) fn part(
        &mut self,
        now: Now,
        peer: &mut Peer,
        room: Option<&str>,
        words: Option<&str>,
    ) -> Result<(), Obstacle> {
        // A room without its sign is one if we are in it.
        let (first, rest) = words.map_or(("", ""), |words| words.split_once(' ').unwrap_or((words, "")));
        let named = room_name(first).filter(|room| self.model.relay().is_some_and(|state| state.is_in(room)));
        let (room, reason) = match (room, named) {
            (Some(room), _) => (room.to_owned(), words),
            (None, Some(room)) => (room, (!rest.is_empty()).then_some(rest)),
            (None, None) => (self.current_room()?, words),
        };
        let what = format!("/part {room}");
        self.ask(now, peer, Request::Part { room, reason: reason.map(str::to_owned) }, &what, false)
    }

    fn topic(&mut self, now: Now, peer: &mut Peer, text: Option<&str>) -> Result<(), Obstacle> {
        let room = self.current_room()?;
        if let Some(text) = text {
            return self.ask(now, peer, Request::Topic { room, text: text.to_owned() }, "/topic", false);
        }
        let text = self.model.relay().and_then(|state| state.topic(&room)).unwrap_or_default().to_owned();
        self.tell(Notice::Relay(RelayNotice::Topic { room, text, by: None }))
    }

    fn guard(
        &mut self,
        now: Now,
        peer: &mut Peer,
        room: String,
        password: Option<Secret>,
    ) -> Result<(), Obstacle> {
        let what = format!("/room password of {room}");
        let request = Request::Guard { room: room.clone(), password, invite_only: None, hidden: None };
        self.ask(now, peer, request, &what, true)?;
        self.ask_settings(now, peer, room)
    }

    /// How a room is guarded after a change, as the relay sees it: it does one thing after the other.
    fn ask_settings(&mut self, now: Now, peer: &mut Peer, room: String) -> Result<(), Obstacle> {
        let Some(state) = self.model.relay() else { return Ok(()) };
        let request = Command::Ask { relay: state.conversation(), request: Request::Rooms };
        if let (Id::Message(id), Some(state)) = (self.command(now, peer, request)?, self.model.relay_mut()) {
            let what = format!("/room {}", filter::nick(&room));
            state.ask(id, Asked { what, is_silent: false, only: Some(room) });
        }
        Ok(())
    }

    /// The room that plain lines go to.
    fn current_room(&self) -> Result<String, Obstacle> {
        match self.model.receiver() {
            Some(Destination::Room { room, .. }) => Ok(room.clone()),
            _ if self.model.relay().is_none() => Err(Obstacle::Refused(CommandError::NoMember)),
            _ => Err(Obstacle::NoCurrentRoom),
        }
    }

    fn ask(
        &mut self,
        now: Now,
        peer: &mut Peer,
        request: Request,
        what: &str,
        is_silent: bool,
    ) -> Result<(), Obstacle> {
        let relay = self.model.relay().map(RelayState::conversation);
        let relay = relay.ok_or(Obstacle::Refused(CommandError::NoMember))?;
        let id = self.command(now, peer, Command::Ask { relay, request })?;
        if let (Id::Message(id), Some(state)) = (id, self.model.relay_mut()) {
            state.ask(id, Asked { what: filter::shorten(what, 100), is_silent, only: None });
        }
        Ok(())
    }

    /// Why nothing can be asked of a relay.
    pub(super) fn no_relay(&self) -> Obstacle {
        match self.attendee.as_ref().filter(|_| self.model.relay().is_some()) {
            Some(attendee) if attendee.is_mistrusted() => {
                Obstacle::RelayMistrusted { relay: attendee.relay().to_string() }
            }
            Some(_) => Obstacle::NoRelay,
            None => Obstacle::Refused(CommandError::NoMember),
        }
    }

    /// What an event makes us do, after it was shown.
    pub(super) fn react(&mut self, now: Now, peer: &mut Peer, event: &Event) {
        match event {
            Event::Connected { conversation, .. } if self.fails_connections => {
                self.fail(now, peer, *conversation);
            }
            Event::Closed { conversation, reason, .. } => {
                let is_relay = self.model.relay().is_some_and(|state| state.conversation() == *conversation);
                if is_relay {
                    self.leave_relay(now, peer, reason);
                }
            }
            Event::Member { event, .. } => self.react_to_relay(now, peer, event),
            Event::Key { news: KeyNews::Changed { .. }, .. } => {
                self.is_mistrusting = true;
                self.elsewhere.watch(now);
            }
            _ => {}
        }
    }

    fn react_to_relay(&mut self, now: Now, peer: &mut Peer, event: &MemberEvent) {
        match event {
            MemberEvent::Entered { nick, is_operator, .. } => {
                self.follow_name(now, peer, nick);
                if !is_operator {
                    self.offer_secret(now, peer);
                }
            }
            MemberEvent::NotEntered(refusal) if refusal.code == RefusalCode::Fault => {
                self.end_by_fault(now, peer);
            }
            MemberEvent::NotEntered(_) => self.fail_pipe(now, peer, Exit::Failed),
            MemberEvent::Joined { room, .. } => {
                if let Some(attendee) = &mut self.attendee {
                    attendee.forget_tried(room);
                }
            }
            MemberEvent::NotJoined { room, refusal } if refusal.code == RefusalCode::Password => {
                self.try_password(now, peer, room);
            }
            MemberEvent::NotJoined { room, .. } => {
                self.something_refused |= !self.front.has_person;
                self.stay_out(room);
            }
            MemberEvent::Done { result: Err(_), .. } => {
                self.something_refused |= !self.front.has_person;
            }
            MemberEvent::News(News::Renamed { nick, .. }) => {
                let is_own = self.model.relay().is_some_and(|state| state.nick() == nick);
                if is_own {
                    self.follow_name(now, peer, nick);
                }
            }
            MemberEvent::News(News::Removed { room: None, .. }) => self.fail_pipe(now, peer, Exit::Failed),
            _ => {}
        }
    }

    /// Becomes an operator where the user wanted that; not at a relay whose key nothing says that the secret is for.
    fn offer_secret(&mut self, now: Now, peer: &mut Peer) {
        let key = self.model.relay().and_then(|state| peer.key_of(state.conversation()));
        let Some(attendee) = self.attendee.as_mut().filter(|attendee| attendee.has_secret()) else { return };
        let secret = match attendee.secret(key) {
            Ok(secret) => secret,
            Err(why) => {
                self.something_refused |= !self.front.has_person;
                return self.model.tell(Notice::Error(why.to_owned()));
            }
        };
        let asked = self.ask(now, peer, Request::Authorize { secret }, "the operators' secret", false);
        self.refuse_if(asked);
    }

    /// The direct conversations see the name that the relay gave us.
    fn follow_name(&mut self, now: Now, peer: &mut Peer, nick: &str) {
        if peer.nick() != Some(nick) {
            let renamed = self.command(now, peer, Command::Rename { nick: nick.to_owned() });
            self.refuse_if(renamed.map(drop));
        }
    }

    /// A room wants a password: a person is asked, a pipe has an environment.
    fn try_password(&mut self, now: Now, peer: &mut Peer, room: &str) {
        if self.can_ask() {
            return self.question(Question::Password { room: room.to_owned() });
        }
        if self.attendee.as_ref().is_some_and(|attendee| attendee.has_tried(room)) {
            // That it is the wrong one was told.
            self.something_refused |= !self.front.has_person;
            return self.stay_out(room);
        }
        match self.attendee.as_mut().and_then(|attendee| attendee.password(room)) {
            Some(password) => {
                let joined = self.join(now, peer, room, Some(password));
                self.refuse_if(joined);
            }
            None => {
                self.refuse(&Obstacle::NoPassword(room.to_owned()).to_string());
                self.stay_out(room);
            }
        }
    }

    /// Whether a room's wish for a password is nothing to tell yet: there is somebody to ask, or the environment.
    fn knows_passwords(&self) -> bool {
        self.can_ask() || password_of_environment().is_some()
    }

    fn can_ask(&self) -> bool {
        self.front.lines.is_none()
    }

    fn question(&mut self, question: Question) {
        if self.questions.len() < MAX_QUESTIONS && !self.questions.contains(&question) {
            self.questions.push_back(question);
        }
    }

    /// The user answered the question that was shown, or declined.
    pub(super) fn answer(&mut self, now: Now, peer: &mut Peer, answer: Option<String>) {
        self.is_asking = false;
        let Some(question) = self.questions.pop_front() else { return };
        let done = match (question, answer) {
            (Question::Password { room }, Some(password)) => {
                self.join(now, peer, &room, Some(password.into()))
            }
            (Question::NewPassword { room }, Some(password)) => {
                self.guard(now, peer, room, Some(password.into()))
            }
            (Question::Password { room }, None) => {
                if let Some(state) = self.model.relay_mut() {
                    state.forget_question(&room);
                }
                self.stay_out(&room);
                self.tell(Notice::Info(text::stayed_out(&room)))
            }
            (Question::NewPassword { .. }, None) => Ok(()),
        };
        self.refuse_if(done);
    }

    pub(super) fn refuse_if(&mut self, result: Result<(), Obstacle>) {
        if let Err(obstacle) = result {
            self.refuse(&obstacle.to_string());
        }
    }

    /// The relay is lost for good: a person may go on with others, a pipe has nothing left to do.
    fn leave_relay(&mut self, now: Now, peer: &mut Peer, reason: &CloseReason) {
        let is_mistrusted = matches!(reason, CloseReason::WrongKey { .. });
        if let Some(attendee) = &mut self.attendee {
            attendee.set_mistrusted(is_mistrusted);
        }
        match reason {
            CloseReason::NoAnswer { .. } | CloseReason::Silent | CloseReason::Restarted => {
                self.fail_pipe(now, peer, Exit::NoAnswer);
            }
            CloseReason::ByPeer { .. }
            | CloseReason::Replaced
            | CloseReason::Violation { .. }
            | CloseReason::WrongKey { .. } => {
                self.fail_pipe(now, peer, Exit::Failed);
            }
            CloseReason::Fault { .. } => self.end_by_fault(now, peer),
            CloseReason::ByUs => self.come_back(now, peer),
        }
    }

    /// The relay was left for its new key, which the user trusts.
    fn come_back(&mut self, now: Now, peer: &mut Peer) {
        let Some(attendee) = &mut self.attendee else { return };
        let is_wanted = attendee.take_wanted_again() && self.ending.is_none();
        if let Some(room) = attendee.rooms().first().cloned().filter(|_| is_wanted) {
            let called = self.attend_again(now, peer, &room, None);
            self.refuse_if(called);
        }
    }

    /// Whoever was to see a failure sees it in the exit code too, person or not.
    fn end_by_fault(&mut self, now: Now, peer: &mut Peer) {
        self.end_failed(now, peer, Exit::Failed);
    }

    fn fail_pipe(&mut self, now: Now, peer: &mut Peer, exit: Exit) {
        if !self.front.has_person {
            self.end_failed(now, peer, exit);
        }
    }

    /// The switch that breaks connections on purpose: both ends see it happen.
    fn fail(&mut self, now: Now, peer: &mut Peer, conversation: ConversationId) {
        if self.ending.is_some() {
            return;
        }
        self.model
            .tell(Notice::Error("connection fault (switch): the connection failed on purpose".to_owned()));
        let failed = self.command(now, peer, Command::Fail { conversation });
        self.refuse_if(failed.map(drop));
        self.has_failed = true;
        self.end_failed(now, peer, Exit::Failed);
    }

    /// Writes down how far the relay's logs were shown, now that they were.
    pub(super) fn remember(&mut self, now: Now, peer: &mut Peer, is_end: bool) {
        let Some(attendee) = &mut self.attendee else { return };
        while let Some((_, memory)) = peer.poll_memory() {
            attendee.remember(memory);
        }
        attendee.keep_letters(std::iter::from_fn(|| peer.poll_seen_letter()));
        attendee.write(now.instant, is_end);
    }
}

/// An operator's action in the words that the user typed, and whether nothing but the receipt tells that it was done.
fn described(moderation: &Moderation, wall: WallTime) -> (String, bool) {
    let until = |seconds: &Option<u64>| text::until(wall, *seconds);
    match moderation {
        Moderation::Kick { nick, .. } => (format!("/kick {nick}"), true),
        Moderation::Ban { who, seconds, .. } => (format!("/ban {who} {}", until(seconds)), true),
        Moderation::Unban { who } => (format!("/unban {who}"), true),
        Moderation::Mute { nick, seconds } => (format!("/mute {nick} {}", until(seconds)), true),
        Moderation::Unmute { nick } => (format!("/unmute {nick}"), true),
        Moderation::Op { nick } => (format!("/op {nick}"), true),
        Moderation::Deop { nick } => (format!("/deop {nick}"), true),
        Moderation::Bans => ("/bans".to_owned(), false),
        Moderation::Log { .. } => ("/log".to_owned(), false),
        Moderation::Shutdown { .. } => ("/shutdown".to_owned(), false),
    }
}
