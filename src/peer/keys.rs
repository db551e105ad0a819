//! Who the other side of a conversation proves to be: the peer's part of [`super::trust`].
//!
//! A conversation has one key from its first proof on. Nothing that was meant for one key ever goes to another: a connection whose
//! key does not fit is none of that conversation.

use std::net::SocketAddr;
use std::time::Duration;

use super::conversation::Conversation;
use super::trust::{Accepted, Call, KnownBy, KnownKey, Meeting, SeenKey};
use super::{CommandError, ConversationId, Event, KeyNews, KeyOwner, Peer, Trusted};
use crate::arq::Closed;
use crate::endpoint::Handle;
use crate::secure::PublicKey;
use crate::time::{Now, WallTime};

/// Whom the user named to begin a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// The address as it was typed, which the key is known by. None: nobody typed one, and the key is known for this run only.
    pub address: Option<String>,
    /// The key, if it was typed as well; it counts more than what is known.
    pub key: Option<PublicKey>,
}

/// Where a key that was seen in place of another one waits to be accepted.
enum Waits {
    /// With a conversation.
    At(ConversationId),
    /// With what is known.
    For(KnownBy, KeyOwner),
}

impl Named {
    fn known_by(&self) -> Option<KnownBy> {
        self.address.as_deref().map(KnownBy::address)
    }

    /// Whether the user typed the key together with the address: then no other will do, whatever is known (UC-KEY-010).
    const fn is_typed(&self) -> bool {
        self.address.is_some() && self.key.is_some()
    }
}

impl Peer {
    /// How long the right key may still answer after another one did (UC-SEAL-013): somebody on the way can be quicker with a forgery,
    /// and a script is not to wait for the end of all attempts. Many round trips long.
    const WRONG_KEY_GRACE: Duration = Duration::from_secs(2);

    /// Our own key; None in a clear run.
    pub fn own_key(&self) -> Option<PublicKey> {
        self.endpoint.local_key()
    }

    /// The key of a conversation's other side: what it proved in this run, or else what is known of it.
    pub fn key_of(&self, id: ConversationId) -> Option<PublicKey> {
        self.conversations.get(&id).and_then(|conversation| self.expected(conversation))
    }

    /// Whether we are, or want to be, a member of the relay that this conversation is with.
    pub fn is_attending(&self, id: ConversationId) -> bool {
        self.is_relay(id)
    }

    /// The key that is known for a member of a relay that we are at.
    pub fn key_of_member(&self, relay: ConversationId, nick: &str) -> Option<PublicKey> {
        let relay = self.key_of(relay)?;
        self.trust.expected(&KnownBy::member(relay, nick))
    }

    /// What is known.
    pub const fn trust(&self) -> &super::trust::Trust {
        &self.trust
    }

    /// The next known key that is to be kept on disk, after the event that told of it was shown.
    pub fn poll_known(&mut self) -> Option<(KnownBy, KnownKey)> {
        self.trust.poll_change()
    }

    /// The key that the other side must prove; None: any will do.
    pub(super) fn expected(&self, conversation: &Conversation) -> Option<PublicKey> {
        let known = || self.trust.expected(&conversation.named.known_by()?);
        conversation.named.key.or(conversation.key).or_else(known)
    }

    /// An open or former conversation with one of these addresses that fits what the user named.
    pub(super) fn conversation_at(&self, addresses: &[SocketAddr], named: &Named) -> Option<ConversationId> {
        let known = || self.trust.expected(&named.known_by()?);
        let wanted = named.key.or_else(known);
        let fits = |id: &ConversationId| {
            // One whose key nobody knows yet may turn out to be anybody's.
            let key = self.conversations.get(id).and_then(|conversation| self.expected(conversation));
            wanted.is_none() || key == wanted
        };
        addresses.iter().find_map(|address| self.by_address.get(address).copied().filter(fits))
    }

    /// The user named a conversation that there was already.
    pub(super) fn name_again(&mut self, now: Now, id: ConversationId, named: Named) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        if conversation.named.address.is_none() {
            conversation.named.address = named.address;
        }
        let Some(key) = named.key else { return };
        conversation.named.key = Some(key);
        if conversation.key == Some(key) {
            self.pin_named(now.wall, id, key);
        }
    }

    /// The conversation that a caller's connection belongs to: one with its address, and with its key.
    pub(super) fn conversation_of_caller(
        &self,
        address: SocketAddr,
        handle: Handle,
    ) -> Option<ConversationId> {
        let key = self.endpoint.remote_key(handle);
        let fits = |conversation: &Conversation| {
            key.is_none() || self.expected(conversation).is_none_or(|expected| Some(expected) == key)
        };
        let at = self.by_address.get(&address).copied();
        if let Some(id) = at.filter(|id| self.conversations.get(id).is_some_and(fits)) {
            return Some(id);
        }
        // Somebody else was met there; this one may have come before as well.
        at?;
        let same = |conversation: &Conversation| {
            conversation.address == address && key.is_some() && conversation.key == key
        };
        self.conversations.iter().find(|(_, conversation)| same(conversation)).map(|(&id, _)| id)
    }

    /// A connection opened, so its key is proved. False: it is not the conversation's, and the connection ends.
    pub(super) fn learn_key(&mut self, now: Now, id: ConversationId, handle: Handle) -> bool {
        let Some(key) = self.endpoint.remote_key(handle) else { return true };
        let Some(conversation) = self.conversations.get(&id) else { return false };
        if self.expected(conversation).is_some_and(|expected| expected != key) {
            self.tell_wrong_key(now, id, key);
            self.endpoint.abort(now, handle, Closed::WrongKey { seen: key });
            return false;
        }
        let is_ours = self.dialled.remove(&handle);
        if let Some(conversation) = self.conversations.get_mut(&id) {
            conversation.key = Some(key);
            self.bind_words(id, key);
        }
        if let Some(conversation) = self.conversations.get_mut(&id) {
            (conversation.wrong, conversation.wrong_until) = (None, None);
        }
        if is_ours {
            self.pin_named(now.wall, id, key);
        }
        true
    }

    /// What the user typed is known by this key: typed with it, or met there.
    fn pin_named(&mut self, at: WallTime, id: ConversationId, key: PublicKey) {
        let Some(conversation) = self.conversations.get(&id) else { return };
        let Some(by) = conversation.named.known_by() else { return };
        let (address, nick) = (conversation.address, conversation.nick.clone());
        if conversation.named.key == Some(key) && self.trust.expected(&by) != Some(key) {
            // Whoever typed the key knows it better than we do.
            let Accepted { before, key } = self.trust.pin(at, &by, key);
            self.tell_key(id, KeyNews::Accepted { before, key });
        }
        let place = address.to_string();
        if let Meeting::New { is_kept } = self.trust.meet(at, &by, key, nick.as_deref(), Some(&place)) {
            self.tell_key(id, KeyNews::New { key, is_kept });
        }
    }

    /// The user wrote to the other side: whoever it is goes before no stranger (UC-KEY-012).
    pub(super) fn choose(&mut self, id: ConversationId) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        if conversation.key.is_some() && conversation.written_to != conversation.key {
            conversation.written_to = conversation.key;
            self.choose_written_to(id);
        }
    }

    fn choose_written_to(&mut self, id: ConversationId) {
        if let Some(key) = self.conversations.get(&id).and_then(|conversation| conversation.written_to) {
            self.trust.choose_key(key);
        }
    }

    /// The user compared this key: whoever has it goes before no stranger (UC-KEY-012).
    pub fn note_compared(&mut self, key: PublicKey) {
        self.trust.choose_key(key);
    }

    /// The other side gave itself a name, for the first time or another one.
    pub(super) fn greet(&mut self, now: Now, id: ConversationId, is_first: bool) {
        let Some(conversation) = self.conversations.get(&id) else { return };
        let (Some(key), Some(nick)) = (conversation.key, conversation.nick.clone()) else { return };
        let where_it_is = conversation.address;
        let place = where_it_is.to_string();
        let known_by = conversation.named.known_by();
        let is_free = self.trust.holder_besides(&nick, key).is_none();
        let known = known_by.and_then(|by| Some((self.trust.known(&by)?.clone(), by)));
        if let Some((known, by)) = known.filter(|(known, _)| known.key == key && is_free) {
            self.trust.meet(now.wall, &by, key, Some(&nick), Some(&place));
            if !is_first {
                self.events.push_back(Event::Key {
                    owner: KeyOwner::Caller(nick),
                    address: Some(where_it_is),
                    news: KeyNews::Known(known),
                });
            }
            return;
        }
        let news = match self.trust.call(now.wall, &nick, key, Some(&place)) {
            Call::New { is_kept } => KeyNews::New { key, is_kept },
            Call::Known(known) => KeyNews::Known(known),
            Call::Other(known) => KeyNews::Other { known, seen: key },
        };
        self.choose_written_to(id);
        let address = Some(where_it_is);
        self.events.push_back(Event::Key { owner: KeyOwner::Caller(nick), address, news });
    }

    /// The conversation that an attempt is for. One beside a silent connection is the endpoint's own, so that its handle is new to us.
    pub(super) fn conversation_of_attempt(&self, handle: Handle) -> Option<ConversationId> {
        let at = || self.by_address.get(&self.endpoint.connection(handle)?.path().remote);
        self.by_handle.get(&handle).or_else(at).copied()
    }

    /// Another key than the expected one answered.
    pub(super) fn tell_wrong_key(&mut self, now: Now, id: ConversationId, seen: PublicKey) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        conversation.wrong_until.get_or_insert(now.instant + Self::WRONG_KEY_GRACE);
        let is_known_wrong = conversation.wrong.is_some();
        let wrong = conversation.wrong.get_or_insert(SeenKey::new(seen));
        let was_told = is_known_wrong && wrong.latest() == seen && conversation.again.is_lost();
        wrong.note(seen);
        let conversation = &self.conversations[&id];
        let Some(expected) = self.expected(conversation) else { return };
        let by = conversation.named.known_by();
        let is_typed = conversation.named.is_typed();
        if let Some(by) = &by {
            self.trust.note_wrong(by, seen);
        }
        let known = by.and_then(|by| self.trust.known(&by)).filter(|known| known.key == expected).cloned();
        // Whoever is called again and again for what waits answers as often, and one warning is enough.
        if !was_told {
            self.tell_key(id, KeyNews::Changed { expected, known, seen, is_typed });
        }
    }

    /// Ends the attempts to which only another key answered.
    pub(super) fn end_wrong_attempts(&mut self, now: Now) {
        let due = |conversation: &Conversation| conversation.wrong_until.is_some_and(|at| at <= now.instant);
        let due: Vec<ConversationId> =
            self.conversations.iter().filter(|(_, it)| due(it)).map(|(&id, _)| id).collect();
        for id in due {
            let Some(conversation) = self.conversations.get_mut(&id) else { continue };
            conversation.wrong_until = None;
            let attempts: Vec<Handle> = conversation.handles().collect();
            let Some(seen) = conversation.wrong.map(SeenKey::latest) else { continue };
            for handle in attempts.into_iter().filter(|handle| self.dialled.contains(handle)) {
                self.endpoint.abort(now, handle, Closed::WrongKey { seen });
            }
        }
    }

    /// The user looks at the key that was seen in place of another one, and may accept this very key from now on.
    pub fn show_seen(&mut self, who: &Trusted) -> Option<PublicKey> {
        match self.where_seen(who).ok()? {
            Waits::At(id) => self.conversations.get_mut(&id)?.wrong.as_mut().map(SeenKey::show),
            Waits::For(by, _) => {
                if let Trusted::Conversation(id) = who {
                    // Somebody else of that name is none of this conversation.
                    let key = self.conversations.get(id)?.key;
                    self.trust.seen(&by).filter(|seen| Some(seen.latest()) == key)?;
                }
                self.trust.show_seen(&by)
            }
        }
    }

    /// The user trusts the key that was seen in place of another one.
    pub(super) fn trust_seen(&mut self, now: Now, who: &Trusted) -> Result<(), CommandError> {
        match self.where_seen(who)? {
            Waits::At(id) => self.trust_conversation(now, id),
            Waits::For(by, owner) => self.accept_seen(now, &by, owner),
        }
    }

    /// Where a key that was seen would wait to be accepted.
    fn where_seen(&self, who: &Trusted) -> Result<Waits, CommandError> {
        let of_caller = |nick: &str| Waits::For(KnownBy::caller(nick), KeyOwner::Caller(nick.to_owned()));
        Ok(match who {
            Trusted::Conversation(id) => {
                let conversation = self.conversations.get(id).ok_or(CommandError::NoConversation)?;
                if conversation.wrong.is_some() {
                    return Ok(Waits::At(*id));
                }
                of_caller(conversation.nick.as_ref().ok_or(CommandError::NothingToTrust)?)
            }
            Trusted::Address(typed) => {
                let by = KnownBy::address(typed);
                let at = self.conversations.iter().find(|(_, conversation)| {
                    let is_there = || conversation.address.to_string() == *typed;
                    let by_name = conversation.named.known_by();
                    conversation.wrong.is_some() && by_name.map_or_else(is_there, |name| name == by)
                });
                at.map_or_else(|| Waits::For(by, KeyOwner::Address(typed.clone())), |(&id, _)| Waits::At(id))
            }
            Trusted::Caller(nick) => of_caller(nick),
            Trusted::Member { relay, nick } => {
                let relay = self.key_of(*relay).ok_or(CommandError::NothingToTrust)?;
                Waits::For(KnownBy::member(relay, nick), KeyOwner::Member(nick.clone()))
            }
        })
    }

    fn trust_conversation(&mut self, now: Now, id: ConversationId) -> Result<(), CommandError> {
        let conversation = self.conversations.get_mut(&id).ok_or(CommandError::NoConversation)?;
        let seen = conversation.wrong.ok_or(CommandError::NothingToTrust)?;
        let seen = seen.acceptable().ok_or(CommandError::AnotherKeyCame)?;
        let before = match (conversation.named.known_by(), conversation.nick.clone()) {
            (Some(by), _) => self.trust.pin(now.wall, &by, seen).before,
            (None, Some(nick)) => self.trust.pin(now.wall, &KnownBy::caller(&nick), seen).before,
            (None, None) => None,
        };
        self.take_key(now, id, before, seen);
        Ok(())
    }

    /// Takes in what another program of the same user keeps by now: a key that was accepted there is accepted here.
    pub(super) fn learn_known(&mut self, now: Now, by: KnownBy, known: KnownKey) {
        let key = known.key;
        let before = self.trust.take(&by, known);
        if self.trust.expected(&by) != Some(key) {
            return;
        }
        let owner = match &by {
            KnownBy::Address(typed) => {
                let at: Vec<ConversationId> = self.refused_at(typed, key).collect();
                if !at.is_empty() {
                    at.into_iter().for_each(|id| self.take_key(now, id, before.clone(), key));
                    return;
                }
                KeyOwner::Address(typed.clone())
            }
            KnownBy::Member { name, .. } => KeyOwner::Member(name.clone()),
            KnownBy::Caller { name } => KeyOwner::Caller(name.clone()),
        };
        if before.is_some() {
            let news = KeyNews::Accepted { before, key };
            self.events.push_back(Event::Key { owner, address: None, news });
        }
    }

    /// The conversations with whoever is at an address, as it was typed, for which another key than this one is expected.
    fn refused_at(&self, typed: &str, key: PublicKey) -> impl Iterator<Item = ConversationId> {
        let by = KnownBy::address(typed);
        let is_at = move |it: &Conversation| match it.named.known_by() {
            Some(named) => named == by,
            None => it.wrong.is_some() && KnownBy::address(&it.address.to_string()) == by,
        };
        let is_other = move |it: &Conversation| it.named.key.or(it.key).is_some_and(|of| of != key);
        let is_refused =
            move |it: &Conversation| !it.named.is_typed() && (it.wrong.is_some() || is_other(it));
        let all = self.conversations.iter();
        all.filter(move |(_, it)| is_at(it) && is_refused(it)).map(|(&id, _)| id)
    }

    /// From now on this key is a conversation's, and no other.
    fn take_key(&mut self, now: Now, id: ConversationId, before: Option<KnownKey>, key: PublicKey) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        (conversation.wrong, conversation.key) = (None, None);
        if conversation.named.key.is_some() || conversation.named.address.is_none() {
            conversation.named.key = Some(key);
        }
        // What was said before was for the old one.
        self.unbind_words(id);
        self.tell_key(id, KeyNews::Accepted { before, key });
        self.leave_others(now, id, key);
        self.call_anew(now, id);
    }

    /// A connection with whoever proved another key carries nothing any more, though it may be open: what is said from now on must
    /// not ride on it.
    fn leave_others(&mut self, now: Now, id: ConversationId, key: PublicKey) {
        let Some(conversation) = self.conversations.get(&id) else { return };
        let is_other = |handle: &Handle| self.endpoint.remote_key(*handle).is_some_and(|of| of != key);
        for handle in conversation.handles().filter(is_other).collect::<Vec<_>>() {
            // The call beside a silent one ends with it, and nobody waits for a side that is not to hear any more.
            self.endpoint.give_up(now, handle, "done", "");
            self.endpoint.abort(now, handle, Closed::ByUs);
        }
        // Their ends and their words' fates come before anything that is said next.
        self.follow_endpoint(now);
    }

    /// A call under way asks for the key that was right before: words that are said from now on must not ride on it.
    fn call_anew(&mut self, now: Now, id: ConversationId) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        let Some(call) = conversation.primary.filter(|call| self.dialled.contains(call)) else { return };
        // Nobody is told of its end, for the call goes on; what waited for it has its fate already.
        conversation.primary = None;
        self.by_handle.remove(&call);
        self.dialled.remove(&call);
        self.endpoint.abort(now, call, Closed::ByUs);
        // If there is no room for it, the next words call.
        let _ = self.connect_if_needed(now, id);
    }

    fn accept_seen(&mut self, now: Now, by: &KnownBy, owner: KeyOwner) -> Result<(), CommandError> {
        self.trust.seen(by).ok_or(CommandError::NothingToTrust)?;
        let Accepted { before, key } = self.trust.accept(now.wall, by).ok_or(CommandError::AnotherKeyCame)?;
        let news = KeyNews::Accepted { before, key };
        self.events.push_back(Event::Key { owner, address: None, news });
        Ok(())
    }

    fn tell_key(&mut self, id: ConversationId, news: KeyNews) {
        let Some(conversation) = self.conversations.get(&id) else { return };
        let address = conversation.address;
        let typed = conversation.named.address.clone();
        let owner = KeyOwner::Address(typed.unwrap_or_else(|| address.to_string()));
        self.events.push_back(Event::Key { owner, address: Some(address), news });
    }
}
