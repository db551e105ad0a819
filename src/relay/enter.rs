//! Becoming a member: the name, the person behind it, and what a lost connection of the same person left.

use super::answer::Pending;
use super::session::{Asked, Entering, Letters, Member, Phase, SeatState};
use super::tail::Cursor;
use super::{Relay, What};
use crate::chat::{MAX_SECRET_BYTES, News, Receipt, RefusalCode, composed, is_nick};
use crate::endpoint::Handle;
use crate::ledger::{BanTarget, Identity, Proof, Reply, Request};
use crate::secure::PublicKey;
use crate::time::Now;
use std::time::Duration;

/// How long the seats of a lost connection are kept for the new one of the same person (UC-RELAY-007). Its client joins at once;
/// a minute covers a link that loses most of what is said.
const SEATS_KEPT: Duration = Duration::from_secs(60);

const BAD_NAME: &str = "a name has 1 to 32 visible characters without spaces, and begins with none of # * /";

/// Of a member's name, or a room's.
pub(super) const MIXED_NAME: &str =
    "a name may not mix scripts that are easily taken for each other, such as Latin and Cyrillic";

/// Whether somebody may be called so here: nothing that looks like a room, like everyone, or like a command.
fn is_name(nick: &str) -> bool {
    is_nick(nick) && !nick.starts_with(['#', '*', '/'])
}

/// What somebody who enters says of itself.
pub(super) struct Card {
    pub(super) nick: String,
    /// What tells that the same person comes back.
    pub(super) proof: Proof,
    pub(super) log: Option<String>,
    /// The runs that it was told of.
    pub(super) runs: Vec<String>,
    pub(super) everyone_after: Option<u64>,
}

impl Relay {
    /// Somebody wants to be a member (UC-RELAY-005).
    pub(super) fn hear_enter(&mut self, now: Now, handle: Handle, request: Asked, card: Card) {
        let card = Card { nick: composed(&card.nick), ..card };
        if let Err((code, reason, suggestion)) = self.check_card(handle, &card) {
            let (id, at) = request;
            let receipt = Receipt {
                code: Some(code),
                suggestion: suggestion.map(Into::into),
                ..Receipt::refused(id, at, reason.as_str())
            };
            self.receipt(now, handle, receipt);
            let address = self.sessions.at(&handle).map_or(([0, 0, 0, 0], 0).into(), |s| s.address);
            return self.log(now, What::Refused { nick: card.nick, address, why: reason });
        }
        // The same person on an older connection, which is dead, or about to be.
        let inherited = match self.names.holder(&card.nick) {
            Some(ghost) if ghost != handle => self.replace(now, ghost),
            _ => Vec::new(),
        };
        self.names.give(&card.nick, handle);
        let knows_log = card.log.as_deref() == Some(self.log_id.as_str());
        let entering = Entering {
            nick: card.nick.clone(),
            proof: card.proof.clone(),
            request,
            knows_log,
            void_after: self.runs.void_after(&card.runs).filter(|_| knows_log),
            everyone_after: card.everyone_after,
            inherited,
        };
        if let Some(session) = self.sessions.at_mut(&handle) {
            session.phase = Phase::Entering(Box::new(entering));
        }
        let request = Request::Enter { proof: card.proof, nick: card.nick };
        self.ask_for(now, handle, request, Pending::Enter { handle });
    }

    fn check_card(&self, handle: Handle, card: &Card) -> Result<(), (RefusalCode, String, Option<String>)> {
        let refuse = |code, reason: &str| Err((code, reason.to_owned(), None));
        if self.sessions.at(&handle).is_none_or(|session| session.member().is_some()) {
            return refuse(RefusalCode::Invalid, "you are in already");
        }
        if self.config.faults.connect {
            return refuse(
                RefusalCode::Fault,
                "connection fault: the relay was started with --fault connect",
            );
        }
        if !is_name(&card.nick) {
            return refuse(RefusalCode::BadName, BAD_NAME);
        }
        if let Proof::Token(token) = &card.proof
            && !(16..=MAX_SECRET_BYTES).contains(&token.len())
        {
            return refuse(RefusalCode::Invalid, "the token is too short or too long");
        }
        if let Some(holder) = self.names.holder(&card.nick)
            && self.proof_of(holder) != Some(&card.proof)
        {
            let suggestion = self.names.suggestion(&card.nick);
            let free = suggestion.as_deref().map(|name| format!("; {name} is free")).unwrap_or_default();
            let reason = format!("somebody here is called {} already{free}", card.nick);
            return Err((RefusalCode::NameTaken, reason, suggestion));
        }
        if self.names.len() >= self.config.limits.members {
            return refuse(RefusalCode::TooMany, "the relay is full");
        }
        Ok(())
    }

    /// Who asks to be let in: sealed, it is the connection's key that tells, whatever token was told beside it
    /// (UC-RELAY-007).
    pub(super) fn proof_by(&self, handle: Handle, token: String) -> Proof {
        self.key_of(handle).map_or(Proof::Token(token), Proof::Key)
    }

    /// Whose connection it is; None in the clear.
    pub(super) fn key_of(&self, handle: Handle) -> Option<PublicKey> {
        self.endpoint.remote_key(handle)
    }

    fn proof_of(&self, handle: Handle) -> Option<&Proof> {
        match &self.sessions.at(&handle)?.phase {
            Phase::Guest { .. } | Phase::Leaving => None,
            Phase::Entering(entering) => Some(&entering.proof),
            Phase::Member(member) => Some(&member.proof),
        }
    }

    /// The ledger knows who it is.
    pub(super) fn finish_enter(
        &mut self,
        now: Now,
        handle: Handle,
        identity: Identity,
        is_stranger: bool,
        has_letters: bool,
    ) {
        let Some(session) = self.sessions.at_mut(&handle) else {
            return;
        };
        let address = session.address;
        let before =
            std::mem::replace(&mut session.phase, Phase::Guest { until: now.instant + Self::GUEST_TIME });
        let Phase::Entering(entering) = before else {
            session.phase = before;
            return;
        };
        let Entering { nick, proof, request, knows_log, void_after, everyone_after, mut inherited } =
            *entering;
        if let Some(ban) = self.ban_of(now, BanTarget::Identity(identity)) {
            let reason = ban.words();
            self.empty_seats(now, handle, &nick, &inherited, "banned");
            return self.turn_away(now, handle, &request, &nick, reason);
        }
        self.leave_other_name(now, handle, identity);
        let kept_until = now.instant + SEATS_KEPT;
        for seat in &mut inherited {
            seat.state = SeatState::Kept(kept_until);
            if let Some(room) = self.rooms.get_mut(&seat.room) {
                room.members.insert(handle);
            }
        }
        let has_kept = !inherited.is_empty();
        let head = self.everyone.head();
        let valid = head.min(void_after.unwrap_or(u64::MAX));
        let everyone_after = everyone_after.filter(|_| knows_log).map_or(head, |after| after.min(valid));
        let member = Member {
            nick: nick.clone(),
            identity,
            proof,
            is_stranger,
            since: now.wall,
            knows_log,
            seats: inherited,
            everyone: Cursor::at(everyone_after),
            // From the first open one on: what was shown before gets its receipt again, and is not shown again.
            letters: Letters { cursor: Cursor::at(0), is_behind: has_letters },
            is_renaming: false,
            is_proving: false,
            presence_under_way: Vec::new(),
        };
        if let Some(session) = self.sessions.at_mut(&handle) {
            session.phase = Phase::Member(Box::new(member));
        }
        self.by_identity.insert(identity, handle);
        if has_kept {
            self.wake_session_at(handle, kept_until);
        }
        self.log(now, What::Entered { nick: nick.clone(), address });
        let operator = self.operators.contains(&identity);
        self.tell(now, handle, self.entered(nick, operator, void_after));
        self.take(now, handle, &request.0, request.1);
    }

    fn entered(&self, nick: String, operator: bool, void_after: Option<u64>) -> News {
        News::Entered {
            nick,
            log: self.log_id.clone(),
            runs: self.runs.told().to_vec(),
            void_after,
            operator,
            everyone_head: self.everyone.head(),
            motd: self.config.limits.motd.clone(),
        }
    }

    /// A name that the ledger does not give away (UC-RELAY-028).
    pub(super) fn refuse_name(&mut self, now: Now, handle: Handle, request: Asked, nick: &str, why: Reply) {
        let (code, reason, suggestion) = match why {
            Reply::NameResembles { other, free } => {
                let is_free = free.as_deref().map(|name| format!("; {name} is free")).unwrap_or_default();
                let reason =
                    format!("{nick} looks like {other}, which is somebody else's name here{is_free}");
                (RefusalCode::NameTaken, reason, free)
            }
            _ => (RefusalCode::BadName, MIXED_NAME.to_owned(), None),
        };
        let address = self.sessions.at(&handle).map_or(([0, 0, 0, 0], 0).into(), |s| s.address);
        self.log(now, What::Refused { nick: nick.to_owned(), address, why: reason.clone() });
        let receipt = Receipt {
            code: Some(code),
            suggestion: suggestion.map(Into::into),
            ..Receipt::refused(request.0, request.1, reason)
        };
        self.receipt(now, handle, receipt);
    }

    /// Somebody who is banned.
    fn turn_away(&mut self, now: Now, handle: Handle, request: &Asked, nick: &str, reason: String) {
        let address = self.sessions.at(&handle).map_or(([0, 0, 0, 0], 0).into(), |s| s.address);
        self.names.free(nick, handle);
        self.refuse(now, handle, request, RefusalCode::Banned, &reason);
        self.log(now, What::Refused { nick: nick.to_owned(), address, why: reason });
        if let Some(session) = self.sessions.at_mut(&handle) {
            session.phase = Phase::Leaving;
        }
        self.endpoint.close(now, handle, "removed", "banned");
    }

    /// The same person may be here under another name: that one is left.
    fn leave_other_name(&mut self, now: Now, handle: Handle, identity: Identity) {
        let Some(&other) = self.by_identity.get(&identity).filter(|other| **other != handle) else {
            return;
        };
        let name = self.name_of(other);
        let seats = self.replace(now, other);
        self.empty_seats(now, other, &name, &seats, "came back under another name");
    }

    /// A member wants to go by another name. A guest that was refused enters again under it instead.
    pub(super) fn hear_rename(&mut self, now: Now, handle: Handle, request: Asked, nick: String) {
        let Some(member) = self.sessions.member(handle) else {
            return self.refuse(now, handle, &request, RefusalCode::NotEntered, "enter the relay first");
        };
        let identity = member.identity;
        let nick = composed(&nick);
        if !is_name(&nick) {
            return self.refuse(now, handle, &request, RefusalCode::BadName, BAD_NAME);
        }
        if self.names.holder(&nick).is_some_and(|holder| holder != handle) {
            let suggestion = self.names.suggestion(&nick);
            let receipt = Receipt {
                code: Some(RefusalCode::NameTaken),
                suggestion: suggestion.map(Into::into),
                ..Receipt::refused(request.0, request.1, format!("somebody here is called {nick} already"))
            };
            return self.receipt(now, handle, receipt);
        }
        if self.is_muted(now, identity) {
            return self.refuse(now, handle, &request, RefusalCode::Muted, "an operator muted you");
        }
        self.names.give(&nick, handle);
        if let Some(member) = self.sessions.member_mut(handle) {
            member.is_renaming = true;
        }
        let pending = Pending::Rename { handle, request, nick: nick.clone() };
        self.ask_for(now, handle, Request::TakeName { identity, nick }, pending);
    }

    /// The other name was not written down.
    pub(super) fn end_renaming(&mut self, handle: Handle) {
        if let Some(member) = self.sessions.member_mut(handle) {
            member.is_renaming = false;
        }
    }

    pub(super) fn finish_rename(
        &mut self,
        now: Now,
        handle: Handle,
        request: &Asked,
        nick: String,
        is_stranger: bool,
    ) {
        let Some(member) = self.sessions.member_mut(handle) else {
            return self.names.free(&nick, handle);
        };
        let before = std::mem::replace(&mut member.nick, nick.clone());
        (member.is_stranger, member.is_renaming) = (is_stranger, false);
        let rooms: Vec<u64> = member.seats.iter().map(|seat| seat.room).collect();
        if crate::ledger::folded(&before) != crate::ledger::folded(&nick) {
            self.names.free(&before, handle);
        }
        self.names.give(&nick, handle);
        self.log(now, What::Renamed { before: before.clone(), nick: nick.clone() });
        let mut neighbours: Vec<Handle> = rooms
            .iter()
            .filter_map(|room| self.rooms.get(room))
            .flat_map(|room| room.members.iter().copied())
            .chain([handle])
            .collect();
        neighbours.sort();
        neighbours.dedup();
        self.tell_all(now, &neighbours, None, News::Renamed { before, nick });
        self.take(now, handle, &request.0, request.1);
    }
}
