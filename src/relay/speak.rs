//! Lines and letters: from their author to the ledger, and their receipts back.

use std::sync::Arc;

use super::answer::Pending;
use super::session::Asked;
use super::{Relay, What};
use crate::chat::{EVERYONE, Party, Receipt, RefusalCode, Sealed, Words, is_nick, room_name};
use crate::endpoint::Handle;
use crate::ledger::{Draft, Identity, LetterFate, LogKey, Request};
use crate::time::{Now, WallTime};

impl Relay {
    /// A member says something to a room, to everyone or to one other.
    pub(super) fn hear_words(&mut self, now: Now, handle: Handle, words: Words<'_>, to: Party, at: WallTime) {
        let request = (words.id.clone(), at);
        let Some(author) = self.sessions.member(handle).map(|m| m.identity) else {
            let hint = "this is a relay: enter it first (udpchat peer --relay)";
            return self.refuse(now, handle, &request, RefusalCode::NotEntered, hint);
        };
        if let Err((code, reason)) = self.check_words(now, author, &words) {
            return self.refuse_words(now, handle, &request, code, &reason);
        }
        if let Err((code, reason)) = self.check_seal(handle, &words, &to) {
            return self.refuse_words(now, handle, &request, code, reason);
        }
        let draft = |relay: &Self, to| relay.draft(handle, author, words, to, at).map(Arc::new);
        match (to.room.clone(), to.nick.clone()) {
            (Some(room), _) => {
                let Some((log, room)) = self.log_of(handle, &room) else {
                    let reason = format!("you are not in {room}; join it first");
                    return self.refuse_words(now, handle, &request, RefusalCode::NotJoined, &reason);
                };
                let Some(draft) = draft(self, Party { room: Some(room), nick: None, ..to }) else { return };
                let pending = Pending::Line { handle, draft: Arc::clone(&draft), at: now.wall };
                self.ask_for(now, handle, Request::AppendLine { log, draft }, pending);
            }
            (None, Some(nick)) if is_nick(&nick) => {
                let Some(draft) = draft(self, to) else { return };
                let bounds = self.config.limits.mailbox;
                let pending = Pending::Letter { handle, draft: Arc::clone(&draft), at: now.wall };
                self.ask_for(now, handle, Request::AppendLetter { nick, draft, bounds }, pending);
            }
            (None, _) => {
                let reason = "a relay passes words on: say to which room, or to whom";
                self.refuse_words(now, handle, &request, RefusalCode::Invalid, reason);
            }
        }
    }

    fn check_words(
        &self,
        now: Now,
        author: Identity,
        words: &Words<'_>,
    ) -> Result<(), (RefusalCode, String)> {
        if self.config.faults.send {
            let reason = "send fault: the relay was started with --fault send";
            return Err((RefusalCode::Fault, reason.to_owned()));
        }
        if self.is_muted(now, author) {
            return Err((RefusalCode::Muted, "an operator muted you".to_owned()));
        }
        let limit = self.config.limits.text_bytes;
        let quoted = words.reply_to.as_ref().map_or(0, |(_, text, _)| text.len());
        let sealed = words.sealed.as_ref().map_or(0, Sealed::text_bytes);
        let longest = words.text.len().max(quoted).max(sealed);
        if longest > limit {
            let reason = format!("a text may have {limit} bytes here, and this one has {longest}");
            return Err((RefusalCode::TooLong, reason));
        }
        Ok(())
    }

    /// A letter to somebody is sealed exactly if its author's connection is, with the author's own key (UC-LETTER-003). What is said
    /// to many never is.
    fn check_seal(
        &self,
        handle: Handle,
        words: &Words<'_>,
        to: &Party,
    ) -> Result<(), (RefusalCode, &'static str)> {
        match (self.key_of(handle), &words.sealed) {
            (_, Some(_)) if to.room.is_some() => {
                Err((RefusalCode::Invalid, "only a letter to one member can be sealed"))
            }
            (None, Some(_)) => {
                Err((RefusalCode::Invalid, "this relay runs in the clear, and so do its letters"))
            }
            (Some(key), Some(sealed)) if sealed.from != key => {
                Err((RefusalCode::Invalid, "the letter is sealed with another key than yours"))
            }
            (Some(_), None) if to.room.is_none() && to.nick.is_some() => {
                Err((RefusalCode::Unsealed, "letters are sealed here, and this one can be read on its way"))
            }
            _ => Ok(()),
        }
    }

    fn refuse_words(&mut self, now: Now, handle: Handle, request: &Asked, code: RefusalCode, reason: &str) {
        self.refuse(now, handle, request, code, reason);
        let Some(session) = self.sessions.at(&handle) else { return };
        let nick = session.nick().unwrap_or_default().to_owned();
        let address = session.address;
        self.log(now, What::Refused { nick, address, why: format!("a message: {reason}") });
    }

    /// The log that a member's words to a room go to, and the room's name; None without a seat (UC-RELAY-009).
    fn log_of(&self, handle: Handle, room: &str) -> Option<(LogKey, String)> {
        if room == EVERYONE {
            return Some((LogKey::Everyone, EVERYONE.to_owned()));
        }
        let name = room_name(room)?;
        let number = *self.room_numbers.get(&name)?;
        let member = self.sessions.at(&handle)?.member()?;
        member.sits_in(number).then_some((LogKey::Room(number), name))
    }

    fn draft(
        &self,
        handle: Handle,
        author: Identity,
        words: Words<'_>,
        to: Party,
        at: WallTime,
    ) -> Option<Draft> {
        let session = self.sessions.at(&handle)?;
        Some(Draft {
            author,
            id: words.id,
            nick: session.nick()?.to_owned(),
            address: session.address,
            to,
            sent_at: at,
            text: words.text.into_owned(),
            sealed: words.sealed.map(Box::new),
            reply_to: words.reply_to.map(|(id, text, at)| (id, text.into_owned(), at)),
        })
    }

    /// Has the ledger do something for a member, who is read no further while there is much of it.
    pub(super) fn ask_for(&mut self, now: Now, handle: Handle, request: Request, pending: Pending) -> u64 {
        if let Some(session) = self.sessions.at_mut(&handle) {
            session.jobs += 1;
            session.last_said = now.instant;
        }
        self.ask(now, request, pending)
    }

    /// A member has a letter, or refuses it. Lines get no receipts: their cursor tells.
    pub(super) fn hear_receipt(&mut self, now: Now, handle: Handle, receipt: &Receipt<'_>) {
        let identity = self.sessions.member(handle).map(|m| m.identity);
        let (Some(mailbox), Some(pos)) = (identity, receipt.pos) else {
            self.unreadable += 1;
            return;
        };
        let fate = if receipt.ack {
            LetterFate::Delivered
        } else {
            LetterFate::Refused(receipt.code.unwrap_or(RefusalCode::Other))
        };
        let pending = Pending::Settle { handle: Some(handle), letter: (mailbox, pos), fate };
        self.ask_for(now, handle, Request::Settle { mailbox, pos, fate }, pending);
    }

    /// Tells an author, if there, what became of a letter.
    pub(super) fn tell_fate(
        &mut self,
        now: Now,
        author: Identity,
        request: Asked,
        pos: u64,
        fate: LetterFate,
    ) {
        let Some(&handle) = self.by_identity.get(&author) else {
            return;
        };
        self.fate_receipt(now, handle, request, pos, fate);
    }

    pub(super) fn fate_receipt(
        &mut self,
        now: Now,
        handle: Handle,
        (id, at): Asked,
        pos: u64,
        fate: LetterFate,
    ) {
        let receipt = match fate {
            LetterFate::Delivered => Receipt::taken(id, at),
            LetterFate::Refused(code) => {
                let reason = match code {
                    RefusalCode::Expired => "it waited too long for its receiver",
                    RefusalCode::TooLong => "its receiver takes nothing that long",
                    RefusalCode::UnknownKey => {
                        "its receiver knows you by another key, and did not open it: they must trust your new one first"
                    }
                    RefusalCode::BadSeal => {
                        "its receiver could not open it: it was sealed for another key, or changed"
                    }
                    RefusalCode::Unsealed => "its receiver takes sealed letters only",
                    _ => "its receiver refused it",
                };
                Receipt { code: Some(code), ..Receipt::refused(id, at, reason) }
            }
        };
        self.receipt(now, handle, Receipt { pos: Some(pos), ..receipt });
    }
}
