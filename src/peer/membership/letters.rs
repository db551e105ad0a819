//! Letters that only their receivers can read: whose key a name stands for, sealing what goes out, opening what comes.
//!
//! The relay tells keys, and is believed once: what it tells first of a name is pinned, and what it tells later is held against
//! that. Its word is not enough to open a letter either, since the seal names the relay, both keys and the letter. This module must
//! never send a letter in plain text over a sealed connection, and never show one whose seal it has not opened.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::member::OwnRequest;
use super::outbox::{Content, Entry, Target, Text};
use super::{MemberEvent, Refusal};
use crate::chat::{LetterText, MessageId, Party, RefusalCode, Request, Sealed, Words, folded};
use crate::peer::outgoing::quoted;
use crate::peer::trust::{KnownBy, Meeting};
use crate::peer::{CommandError, ConversationId, Event, FailReason, KeyNews, KeyOwner, Peer};
use crate::secure::{Entropy, KeyPair, Letter, LetterError, MAX_LETTER_BYTES, PublicKey};
use crate::time::{Now, WallTime};

/// Whose key a name stands for, as the relay told on this connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NameKey {
    /// It was asked.
    Asked(MessageId),
    /// It told.
    Told(PublicKey),
}

/// Names whose keys are kept for one connection; more than a person writes to.
const MAX_NAMES: usize = 1_024;

/// What seals and opens letters.
#[derive(Debug)]
pub(in crate::peer) struct Seal {
    pub(super) keys: Arc<KeyPair>,
    entropy: Entropy,
}

/// What came of a letter that came.
pub(super) enum Opened {
    /// It was never sealed, and need not be.
    Plain,
    /// It says this, for the first time or once more.
    Open { text: String, reply_to: Option<(MessageId, String, WallTime)>, at: Option<WallTime>, is_new: bool },
    /// It is not shown.
    Refused(RefusalCode),
}

/// Whether a letter may go out.
pub(super) enum Readiness {
    /// Now.
    Ready,
    /// Once its receiver's key is known.
    Waits,
    /// Never.
    Failed(FailReason),
}

impl Seal {
    /// What `keys` seal and open; everything random follows from `entropy`.
    pub(in crate::peer) const fn new(keys: Arc<KeyPair>, entropy: Entropy) -> Self {
        Self { keys, entropy }
    }

    /// Everything random from here on depends on these bytes too.
    pub(in crate::peer) fn stir(&mut self, fresh: &[u8; 32]) {
        self.entropy.stir(fresh);
    }
}

impl Peer {
    /// The relay's key, if what is said to it is sealed.
    pub(super) fn relay_key(&self, id: ConversationId) -> Option<PublicKey> {
        self.endpoint.remote_key(self.member(id)?.connection?)
    }

    /// Whether a letter fits under its seal; in the clear it need not.
    pub(super) fn check_letter(&self, text: &Text) -> Result<(), CommandError> {
        if self.seal.is_none() || !matches!(text.to, Target::Member(_)) {
            return Ok(());
        }
        let bytes = letter_json(text, WallTime::default()).len();
        if bytes > MAX_LETTER_BYTES {
            return Err(CommandError::TooLong { bytes, limit: MAX_LETTER_BYTES });
        }
        Ok(())
    }

    // Sending.

    /// Sees to it that a letter is sealed before it goes out (UC-LETTER-005); its key is asked for if it is not known.
    pub(super) fn prepare(&mut self, now: Now, id: ConversationId, number: u64) -> Readiness {
        let Some(relay) = self.relay_key(id) else {
            return Readiness::Ready;
        };
        let Some(member) = self.member(id) else { return Readiness::Waits };
        let Some(Entry { id: name, at, content: Content::Words(text), .. }) = member.outbox.entry(number)
        else {
            return Readiness::Ready;
        };
        let Target::Member(nick) = &text.to else { return Readiness::Ready };
        // What was sealed once is said again as it is: the relay tells it by its id.
        if text.sealed.as_ref().is_some_and(|(carrier, _)| *carrier == relay) {
            return Readiness::Ready;
        }
        let (nick, name) = (nick.clone(), name.clone());
        let key = match member.keys.get(&folded(&nick)) {
            Some(NameKey::Told(key)) => *key,
            Some(NameKey::Asked(_)) => return Readiness::Waits,
            None => {
                self.ask_for_key(now, id, &nick);
                return Readiness::Waits;
            }
        };
        let pinned = self.trust.expected(&KnownBy::member(relay, &nick));
        if pinned.is_some_and(|pinned| pinned != key) {
            return Readiness::Failed(FailReason::OtherKey { nick });
        }
        let json = letter_json(text, *at);
        match self.seal_letter(relay, key, &name, &json) {
            Ok(sealed) => {
                self.trust.choose(&KnownBy::member(relay, &nick));
                if let Some(member) = self.member_mut(id) {
                    member.outbox.keep_sealed(number, relay, sealed);
                }
                Readiness::Ready
            }
            Err(error) => Readiness::Failed(FailReason::Refused { words: error.to_string() }),
        }
    }

    fn seal_letter(
        &mut self,
        relay: PublicKey,
        recipient: PublicKey,
        id: &MessageId,
        json: &[u8],
    ) -> Result<Sealed, LetterError> {
        let seal = self.seal.as_mut().ok_or(LetterError::NoKey)?;
        let sender = seal.keys.public();
        let letter = Letter { relay, sender, recipient, id: id.as_str() };
        let message = letter.seal(&seal.keys, &mut seal.entropy, json)?;
        Ok(Sealed { from: sender, to: recipient, message: message.into() })
    }

    /// Asks whose key a name stands for; if there is no room, the next attempt to send does.
    pub(super) fn ask_for_key(&mut self, now: Now, id: ConversationId, nick: &str) {
        let Some(handle) = self.member(id).and_then(|member| member.connection) else { return };
        let name = self.next_id().1;
        if self.submit_request(handle, &name, now.wall, Request::Key { nick: nick.to_owned() }).is_err() {
            return;
        }
        let Some(member) = self.member_mut(id) else { return };
        if member.keys.len() >= MAX_NAMES {
            // Those that are asked for stay: letters wait for them.
            member.keys.retain(|_, key| matches!(key, NameKey::Asked(_)));
        }
        member.keys.insert(folded(nick), NameKey::Asked(name.clone()));
        member.asked.insert(name, OwnRequest::Key { nick: nick.to_owned() });
    }

    /// The relay told a key that we asked for.
    pub(super) fn hear_key(&mut self, now: Now, id: ConversationId, nick: &str, key: PublicKey) {
        if let Some(member) = self.member_mut(id) {
            member.keys.insert(folded(nick), NameKey::Told(key));
        }
        self.meet(now, id, nick, key);
        self.pump(now, id);
        self.finish_goodbye(now, id);
    }

    /// Whether the relay was asked for that key by ourselves.
    pub(super) fn is_awaited_key(&self, id: ConversationId, re: &MessageId, nick: &str) -> bool {
        let known = self.member(id).and_then(|member| member.keys.get(&folded(nick)));
        known.is_some_and(|known| *known == NameKey::Asked(re.clone()))
    }

    /// The relay has no key for a name: what waits for one will never be sealed.
    pub(super) fn miss_key(&mut self, now: Now, id: ConversationId, nick: &str, refusal: &Refusal) {
        let Some(member) = self.member_mut(id) else { return };
        member.keys.remove(&folded(nick));
        for entry in member.outbox.remove_unsealed_to(nick) {
            let reason = FailReason::Refused { words: refusal.words.clone() };
            self.events.push_back(Event::Failed { id: entry.id, reason });
        }
        self.finish_goodbye(now, id);
    }

    /// The relay says that a letter is sealed for a key that its name has no longer: the new one is looked at at once.
    pub(super) fn doubt_key(&mut self, now: Now, id: ConversationId, nick: &str) {
        let Some(member) = self.member_mut(id) else { return };
        if matches!(member.keys.get(&folded(nick)), Some(NameKey::Told(_))) {
            self.ask_for_key(now, id, nick);
        }
    }

    /// What is told of names makes their keys doubtful.
    pub(super) fn forget_keys(&mut self, id: ConversationId, nicks: &[&str]) {
        let Some(member) = self.member_mut(id) else { return };
        for nick in nicks {
            if let Some(NameKey::Told(_)) = member.keys.get(&folded(nick)) {
                member.keys.remove(&folded(nick));
            }
        }
    }

    /// Holds a key against the pinned one, and tells the user what there is to tell. Whether it is to be trusted.
    fn meet(&mut self, now: Now, id: ConversationId, nick: &str, key: PublicKey) -> bool {
        let Some(relay) = self.relay_key(id) else { return false };
        let by = KnownBy::member(relay, nick);
        let also = self.trust.entries().find(|(other, known)| known.key == key && **other != by);
        let also = also.and_then(|(_, known)| known.nick.clone());
        let nick = nick.to_owned();
        match self.trust.meet(now.wall, &by, key, Some(&nick), None) {
            Meeting::Known { .. } => true,
            Meeting::New { is_kept } => {
                self.tell_key_of(&nick, KeyNews::New { key, is_kept });
                if let Some(also) = also.filter(|also| folded(also) != folded(&nick)) {
                    self.tell_member(id, MemberEvent::SharedKey { nick, also });
                }
                true
            }
            Meeting::Changed(known) => {
                let expected = known.key;
                let (known, is_typed) = (Some(known), false);
                self.tell_key_of(&nick, KeyNews::Changed { expected, known, seen: key, is_typed });
                false
            }
        }
    }

    fn tell_key_of(&mut self, nick: &str, news: KeyNews) {
        let owner = KeyOwner::Member(nick.to_owned());
        self.events.push_back(Event::Key { owner, address: None, news });
    }

    // Receiving.

    /// Whether a letter at a position that was passed was shown. A sealed one is known by its author's key and its id (UC-LETTER-007):
    /// a relay whose ledger was set back gives old positions to new letters, and it could lie about them. In the clear the position is
    /// all that there is.
    pub(super) fn is_letter_shown(&self, id: ConversationId, words: &Words<'_>) -> bool {
        match (self.relay_key(id), &words.sealed) {
            (None, _) => true,
            (Some(relay), Some(sealed)) => self.seen_letters.contains(relay, sealed.from, &words.id),
            (Some(_), None) => false,
        }
    }

    /// Opens a letter that came (UC-LETTER-006). What does not open, or has another key than its sender's name, is not shown.
    pub(super) fn open_letter(
        &mut self,
        now: Now,
        id: ConversationId,
        words: &Words<'_>,
        from: &Party,
    ) -> Opened {
        let (relay, seal) = match (self.relay_key(id), &self.seal, &words.sealed) {
            (None, _, None) => return Opened::Plain,
            (Some(relay), Some(seal), Some(_)) => (relay, seal),
            (Some(_), _, None) => return self.refuse_letter(id, from, RefusalCode::Unsealed),
            _ => return self.refuse_letter(id, from, RefusalCode::BadSeal),
        };
        let own = seal.keys.public();
        let sealed = words.sealed.as_ref().filter(|sealed| sealed.to == own);
        let opened = sealed.and_then(|sealed| {
            let letter = Letter { relay, sender: sealed.from, recipient: own, id: words.id.as_str() };
            Some((sealed.from, letter.open(&seal.keys, &sealed.message).ok()?))
        });
        let Some((sender, json)) = opened else {
            return self.refuse_letter(id, from, RefusalCode::BadSeal);
        };
        let (Some(text), Some(nick)) = (LetterText::decode(&json), &from.nick) else {
            return self.refuse_letter(id, from, RefusalCode::BadSeal);
        };
        if !self.meet(now, id, nick, sender) {
            return Opened::Refused(RefusalCode::UnknownKey);
        }
        let is_new = self.seen_letters.note(relay, sender, &words.id);
        Opened::Open {
            is_new,
            at: text.at,
            text: text.text.into_owned(),
            reply_to: text.reply_to.map(|(id, text, at)| (id, text.into_owned(), at)),
        }
    }

    fn refuse_letter(&mut self, id: ConversationId, from: &Party, code: RefusalCode) -> Opened {
        let nick = from.nick.clone().unwrap_or_default();
        self.tell_member(id, MemberEvent::LetterRefused { nick, code });
        Opened::Refused(code)
    }
}

/// A letter as it is sealed.
fn letter_json(text: &Text, at: WallTime) -> Vec<u8> {
    let reply_to = text.reply_to.as_ref().map(quoted);
    LetterText { text: text.text.as_str().into(), at: Some(at), reply_to }.encode()
}

/// Why a letter that came is not shown, for whoever sent it.
pub(super) const fn refusal_words(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::UnknownKey => "another key is known under your name here, so it was not shown",
        RefusalCode::BadSeal => "its seal does not open here, so it was not shown",
        RefusalCode::Unsealed => "it was not sealed, and only sealed letters are shown here",
        _ => "it cannot be read",
    }
}

/// Keys by folded name.
pub(super) type NameKeys = BTreeMap<String, NameKey>;
