//! What operators may do; each action is in the log.

use std::net::IpAddr;

use super::answer::{Change, Pending, Then};
use super::attend::is_same_secret;
use super::session::Asked;
use super::{Event, Relay, What};
use crate::chat::{BanInfo, MAX_REMARK_BYTES, Moderation, News, RefusalCode, cut, room_name};
use crate::endpoint::Handle;
use crate::ledger::{Ban, BanTarget, Holder, Identity, Request, folded};
use crate::time::{Now, WallTime};

/// Lines of the log that an operator gets at once.
const MAX_LOG_LINES: u64 = 1_000;

impl Relay {
    /// Somebody says that they know the relay's secret.
    pub(super) fn hear_authorize(&mut self, now: Now, handle: Handle, asked: &Asked, secret: &str) {
        let is_right = self.config.admin_secret.as_deref().is_some_and(|right| is_same_secret(right, secret));
        let by = self.name_of(handle);
        if !is_right {
            self.log(now, What::Action { by, action: "gave a wrong admin secret".to_owned() });
            let reason = "that is not the relay's admin secret";
            return self.refuse(now, handle, asked, RefusalCode::Forbidden, reason);
        }
        if let Some(identity) = self.identity_of(handle) {
            self.operators.insert(identity);
        }
        self.log(now, What::Action { by, action: "is an operator now, by the admin secret".to_owned() });
        self.tell(now, handle, News::Remark { text: "you are an operator now".to_owned() });
        self.take(now, handle, &asked.0, asked.1);
    }

    /// Something that only operators may do (UC-RELAY-019).
    pub(super) fn hear_moderation(&mut self, now: Now, handle: Handle, asked: Asked, action: Moderation) {
        if !self.identity_of(handle).is_some_and(|identity| self.operators.contains(&identity)) {
            return self.refuse(now, handle, &asked, RefusalCode::Forbidden, "only operators may do that");
        }
        match action {
            Moderation::Bans => self.tell_bans(now, handle, &asked),
            Moderation::Unban { who } => {
                let by = self.name_of(handle);
                let what = What::Action { by, action: format!("unbanned {who}") };
                self.bans.remove(&folded(&who));
                let pending = Pending::Save { handle, request: asked, what, change: Change::Ban };
                self.ask_for(now, handle, Request::Unban { who }, pending);
            }
            Moderation::Ban { who, seconds, reason } => {
                if let Ok(address) = who.parse::<IpAddr>() {
                    let target = BanTarget::Address(address);
                    self.ban(now, handle, asked, target, who, seconds, reason);
                } else {
                    let nick = who.clone();
                    let then = Then::Moderate(Moderation::Ban { who, seconds, reason });
                    self.find_holder(now, handle, asked, nick, then);
                }
            }
            Moderation::Kick { nick, room, reason } => {
                self.kick(now, handle, &asked, &nick, room.as_deref(), reason);
            }
            Moderation::Mute { ref nick, .. }
            | Moderation::Unmute { ref nick }
            | Moderation::Op { ref nick }
            | Moderation::Deop { ref nick } => {
                let nick = nick.clone();
                self.find_holder(now, handle, asked, nick, Then::Moderate(action));
            }
            Moderation::Log { lines } => {
                let ticket = self.next_ticket;
                self.next_ticket += 1;
                self.jobs.insert(ticket, Pending::LogTail { handle, request: asked });
                if let Some(session) = self.sessions.at_mut(&handle) {
                    session.jobs += 1;
                }
                let lines = usize::try_from(lines.min(MAX_LOG_LINES)).unwrap_or(0);
                self.events.push_back(Event::LogWanted { ticket, lines });
            }
            Moderation::Shutdown { reason } => {
                let by = self.name_of(handle);
                self.log(now, What::Action { by: by.clone(), action: "closes the relay".to_owned() });
                self.take(now, handle, &asked.0, asked.1);
                let reason = reason.map(clip).filter(|reason| !reason.is_empty());
                self.shut_down(now, reason.unwrap_or_else(|| format!("{by} closed the relay")));
                self.events.push_back(Event::ShuttingDown);
                self.finish_closing(now);
            }
        }
    }

    fn find_holder(&mut self, now: Now, handle: Handle, request: Asked, nick: String, then: Then) {
        let pending = Pending::Holder { handle, request, then };
        self.ask_for(now, handle, Request::FindHolder { nick }, pending);
    }

    /// The ledger told who held a name last.
    pub(super) fn go_on_with(
        &mut self,
        now: Now,
        handle: Handle,
        asked: Asked,
        then: Then,
        holder: Option<Holder>,
    ) {
        let Some(Holder { identity: whom, key }) = holder else {
            let reason = "nobody was ever called that here";
            return self.refuse(now, handle, &asked, RefusalCode::NoSuchName, reason);
        };
        let action = match then {
            Then::Invite { room } => return self.invite(now, handle, asked, room, whom),
            Then::TellKey { nick } => return self.tell_key(now, handle, &asked, nick, key),
            Then::Moderate(action) => action,
        };
        let action = match action {
            Moderation::Ban { who, seconds, reason } => {
                return self.ban(now, handle, asked, BanTarget::Identity(whom), who, seconds, reason);
            }
            Moderation::Mute { nick, seconds } => {
                self.muted.insert(whom, seconds.map(|seconds| later(now, seconds)));
                self.remark(now, whom, "an operator muted you: what you say is refused");
                format!("muted {nick}{}", for_seconds(seconds))
            }
            Moderation::Unmute { nick } => {
                self.muted.remove(&whom);
                self.remark(now, whom, "you are no longer muted");
                format!("unmuted {nick}")
            }
            Moderation::Op { nick } => {
                self.operators.insert(whom);
                self.remark(now, whom, "you are an operator now");
                format!("made {nick} an operator")
            }
            Moderation::Deop { nick } => {
                self.operators.remove(&whom);
                self.remark(now, whom, "you are no operator any more");
                format!("took {nick}'s operator rights")
            }
            // The others ask for no name's holder.
            _ => return,
        };
        let by = self.name_of(handle);
        self.log(now, What::Action { by, action });
        self.take(now, handle, &asked.0, asked.1);
    }

    fn remark(&mut self, now: Now, whom: Identity, text: &str) {
        if let Some(&handle) = self.by_identity.get(&whom) {
            self.tell(now, handle, News::Remark { text: text.to_owned() });
        }
    }

    fn kick(
        &mut self,
        now: Now,
        handle: Handle,
        asked: &Asked,
        nick: &str,
        room: Option<&str>,
        reason: Option<String>,
    ) {
        let whom = self.names.holder(nick).filter(|whom| self.identity_of(*whom).is_some());
        let Some(whom) = whom else {
            let reason = format!("nobody here is called {nick}");
            return self.refuse(now, handle, asked, RefusalCode::NoSuchName, &reason);
        };
        let reason = clip(reason.unwrap_or_default());
        let by = self.name_of(handle);
        let action = match room {
            None => {
                self.remove(now, whom, &by, &reason);
                format!("kicked {nick}: {reason}")
            }
            Some(room) => {
                let number = room_name(room).and_then(|name| self.room_numbers.get(&name).copied());
                let seated = self.sessions.member(whom);
                let number = number.filter(|&number| seated.is_some_and(|member| member.sits_in(number)));
                let Some(number) = number else {
                    let reason = format!("{nick} is not in that room");
                    return self.refuse(now, handle, asked, RefusalCode::NotJoined, &reason);
                };
                let name = self.rooms.get(&number).map(|room| room.kept.name.clone()).unwrap_or_default();
                let words = format!("kicked by {by}{}{reason}", if reason.is_empty() { "" } else { ": " });
                self.unseat(now, whom, number, &words);
                let news = News::Removed { room: Some(name.clone()), by: by.clone(), reason: reason.clone() };
                self.tell(now, whom, news);
                format!("kicked {nick} out of {name}: {reason}")
            }
        };
        self.log(now, What::Action { by, action });
        self.take(now, handle, &asked.0, asked.1);
    }

    /// Puts a member out of the relay. Its rooms hear it at once; it hears it if it listens.
    fn remove(&mut self, now: Now, whom: Handle, by: &str, reason: &str) {
        let news = News::Removed { room: None, by: by.to_owned(), reason: reason.to_owned() };
        self.tell(now, whom, news);
        let words = format!("kicked by {by}{}{reason}", if reason.is_empty() { "" } else { ": " });
        self.send_away(now, whom, &words);
        self.endpoint.close(now, whom, "removed", &words);
    }

    #[expect(clippy::too_many_arguments, reason = "a ban is what its request says, and by whom")]
    fn ban(
        &mut self,
        now: Now,
        handle: Handle,
        asked: Asked,
        target: BanTarget,
        who: String,
        seconds: Option<u64>,
        reason: Option<String>,
    ) {
        let by = self.name_of(handle);
        let reason = clip(reason.unwrap_or_default());
        let until = seconds.map(|seconds| later(now, seconds));
        let ban = Ban { who: who.clone(), target, until, by: by.clone(), reason: reason.clone() };
        self.bans.retain(|_, ban| !ban.is_over(now.wall));
        self.bans.insert(folded(&who), ban.clone());
        let action = format!("banned {who}{}: {reason}", for_seconds(seconds));
        let what = What::Action { by: by.clone(), action };
        let pending = Pending::Save { handle, request: asked, what, change: Change::Ban };
        self.ask_for(now, handle, Request::Ban(ban), pending);
        let hit: Vec<Handle> = self
            .sessions
            .iter()
            .filter(|&(whom, session)| match target {
                BanTarget::Identity(identity) => self.identity_of(whom) == Some(identity),
                BanTarget::Address(address) => session.address.ip() == address && whom != handle,
            })
            .map(|(whom, _)| whom)
            .collect();
        for whom in hit {
            self.remove(
                now,
                whom,
                &by,
                &format!("banned{}{reason}", if reason.is_empty() { "" } else { ": " }),
            );
        }
    }

    /// The ban that keeps somebody out now.
    pub(super) fn ban_of(&self, now: Now, target: BanTarget) -> Option<&Ban> {
        self.bans.values().find(|ban| ban.target == target && !ban.is_over(now.wall))
    }

    pub(super) fn is_muted(&self, now: Now, whom: Identity) -> bool {
        self.muted.get(&whom).is_some_and(|until| until.is_none_or(|until| until > now.wall))
    }

    fn tell_bans(&mut self, now: Now, handle: Handle, asked: &Asked) {
        let bans = self.bans.values().filter(|ban| !ban.is_over(now.wall)).map(|ban| BanInfo {
            who: ban.who.clone(),
            until: ban.until,
            by: ban.by.clone(),
            reason: ban.reason.clone(),
        });
        let news = News::Bans { re: asked.0.clone(), bans: bans.collect() };
        self.tell(now, handle, news);
        self.take(now, handle, &asked.0, asked.1);
    }

    pub(super) fn handle_log_tail(&mut self, now: Now, ticket: u64, lines: Result<Vec<String>, String>) {
        let Some(Pending::LogTail { handle, request }) = self.jobs.remove(&ticket) else {
            return;
        };
        if let Some(session) = self.sessions.at_mut(&handle) {
            session.jobs = session.jobs.saturating_sub(1);
        }
        match lines {
            Ok(lines) => {
                self.tell(now, handle, News::Log { re: request.0.clone(), lines });
                self.take(now, handle, &request.0, request.1);
            }
            Err(reason) => self.refuse(now, handle, &request, RefusalCode::Storage, &reason),
        }
        self.read(now, handle);
    }
}

impl Ban {
    fn is_over(&self, now: WallTime) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// What the banned is told.
    pub(super) fn words(&self) -> String {
        let until = self
            .until
            .map(|until| format!(" until {}", crate::chat::format_timestamp(until)))
            .unwrap_or_default();
        let reason = if self.reason.is_empty() { String::new() } else { format!(": {}", self.reason) };
        format!("you are banned from this relay{until}{reason}")
    }
}

fn later(now: Now, seconds: u64) -> WallTime {
    let micros = i64::try_from(seconds.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
    WallTime::from_unix_micros(now.wall.as_unix_micros().saturating_add(micros))
}

fn for_seconds(seconds: Option<u64>) -> String {
    seconds.map(|seconds| format!(" for {seconds} s")).unwrap_or_default()
}

fn clip(reason: String) -> String {
    if reason.len() <= MAX_REMARK_BYTES { reason } else { cut(&reason, MAX_REMARK_BYTES).to_owned() }
}
