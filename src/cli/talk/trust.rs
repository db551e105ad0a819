//! Whose key is whose: what the user compares, and what the user accepts.

use std::time::Duration;

use super::super::directory::Obstacle;
use super::Talk;
use crate::io::resolve::Target;
use crate::peer::trust::KnownBy;
use crate::peer::{Command, CommandError, Destination, Peer, Trusted};
use crate::secure::PublicKey;
use crate::time::{Instant, Now};
use crate::ui::filter;
use crate::ui::notice::{Notice, Presence};
use crate::ui::relay::RelayState;
use crate::ui::text;

/// How long after another key was refused it is looked for whether the user accepts it in a shell: as long as it takes to ask
/// somebody.
const WATCH: Duration = Duration::from_secs(10 * 60);

/// How often, meanwhile: about as soon as a user looks back at this program. It is one question to the system.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// How long a line that was typed can rely on the last look: as good as at once, and a pipe with thousands of lines pays nothing.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// When a key that was accepted in another program is looked for: when lines are carried out, and for a while after one was refused.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    last_look: Option<Instant>,
    /// Until when, if a key was refused.
    until: Option<Instant>,
}

impl Elsewhere {
    /// A key was refused, and the user may accept it elsewhere.
    pub(super) fn watch(&mut self, now: Now) {
        self.until = Some(now.instant + WATCH);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let next = self.last_look.map_or(Instant::ZERO, |last| last + WATCH_INTERVAL);
        self.until.map(|until| next.min(until))
    }

    /// Whether it is time to look.
    fn is_due(&mut self, now: Instant, has_lines: bool) -> bool {
        let is_watched = self.poll_timeout().is_some_and(|due| due <= now);
        self.until = self.until.filter(|until| *until > now);
        let is_old = self.last_look.is_none_or(|last| last + LOOK_INTERVAL <= now);
        let is_due = is_watched || has_lines && is_old;
        if is_due {
            self.last_look = Some(now);
        }
        is_due
    }
}

impl Talk {
    /// Takes in what the user accepted in another program, before a line is carried out that may rely on it.
    pub(super) fn learn_elsewhere(&mut self, now: Now, peer: &mut Peer, has_lines: bool) {
        if !self.elsewhere.is_due(now.instant, has_lines) {
            return;
        }
        let known = self.identity.poll_news();
        if known.is_empty() {
            return;
        }
        let relay = self.attendee.as_ref().map(|attendee| attendee.relay().clone());
        let is_known = |relay: &Target| {
            let by = KnownBy::address(&relay.to_string());
            relay.key().is_none() && known.iter().any(|(known, _)| *known == by)
        };
        let is_mistrusted = self.attendee.as_ref().is_some_and(|attendee| attendee.is_mistrusted());
        let relay = relay.filter(|relay| is_mistrusted && is_known(relay));
        // There is nothing to refuse.
        let _ = peer.handle_command(now, Command::Learn { known });
        if let Some(relay) = relay {
            let called = self.call_trusted_relay(now, peer, &relay);
            self.refuse_if(called);
        }
    }

    /// Shows the words that are the same on both sides if nobody is in between: for the key that `/trust` would accept, if one
    /// waits for that.
    pub(super) fn verify(&mut self, peer: &mut Peer, who: Option<&str>) -> Result<(), Obstacle> {
        let ours = peer.own_key().ok_or(Obstacle::Clear)?;
        let (who, is_relay, seen, known) = match who {
            Some(who) => {
                let is_relay = self.is_relay(who);
                let seen = self.trusted(who).find_map(|trusted| peer.show_seen(&trusted));
                let known = if seen.is_some() { None } else { self.key_of_named(peer, who)? };
                (filter::nick(who), is_relay, seen, known)
            }
            None => {
                let to = self.model.receiver().ok_or(Obstacle::NoReceiver)?;
                let trusted = match to {
                    Destination::Member { relay, nick } => {
                        Trusted::Member { relay: *relay, nick: nick.clone() }
                    }
                    Destination::Peer(conversation) => Trusted::Conversation(*conversation),
                    Destination::Room { relay, .. } | Destination::Everyone { relay } => {
                        Trusted::Conversation(*relay)
                    }
                };
                let is_relay = matches!(to, Destination::Room { .. } | Destination::Everyone { .. });
                let (who, known) = self.key_of(peer, to);
                (who, is_relay, peer.show_seen(&trusted), known)
            }
        };
        let theirs = seen.or(known).ok_or_else(|| Obstacle::NoKey(who.clone()))?;
        let is_seen = seen.is_some();
        // Whoever is compared with goes before no stranger.
        peer.note_compared(theirs);
        self.tell(Notice::Verification { who, ours, theirs, is_seen, is_relay })
    }

    /// Whether an address is that of our relay.
    fn is_relay(&self, who: &str) -> bool {
        let relay = self.attendee.as_ref().map(|attendee| attendee.relay().to_string());
        let named = who.parse::<Target>().ok().map(|target| target.to_string());
        named.is_some_and(|named| relay.is_some_and(|relay| relay.eq_ignore_ascii_case(&named)))
            || self.model.relay().is_some_and(|state| {
                self.directory.find_open(&self.model, who).ok() == Some(state.conversation())
            })
    }

    /// Whom a name may mean, in the order in which `/verify` and `/trust` look for a key that was seen.
    fn trusted(&self, who: &str) -> impl Iterator<Item = Trusted> + use<> {
        let address = who.parse::<Target>().ok().map(|target| Trusted::Address(target.to_string()));
        let relay = self.model.relay().map(RelayState::conversation);
        let is_name = address.is_none();
        let member = relay.map(|relay| Trusted::Member { relay, nick: who.to_owned() });
        let caller = Trusted::Caller(who.to_owned());
        let open = self.directory.find_open(&self.model, who).ok().map(Trusted::Conversation);
        let named = member.into_iter().chain([caller]).chain(open);
        address.into_iter().chain(named.filter(move |_| is_name))
    }

    /// Shows who we are.
    pub(super) fn tell_identity(&mut self, peer: &Peer) -> Result<(), Obstacle> {
        let key = peer.own_key().ok_or(Obstacle::Clear)?;
        self.tell(Notice::Identity(key))
    }

    /// The receiver's key; of a room, or of everyone, the relay's, which is whom the words are for.
    fn key_of(&self, peer: &Peer, to: &Destination) -> (String, Option<PublicKey>) {
        match to {
            Destination::Member { relay, nick } => (filter::nick(nick), peer.key_of_member(*relay, nick)),
            Destination::Peer(conversation) => {
                (text::receiver(&self.model.shown(to)), peer.key_of(*conversation))
            }
            Destination::Room { relay, .. } | Destination::Everyone { relay } => {
                ("the relay".to_owned(), peer.key_of(*relay))
            }
        }
    }

    fn key_of_named(&self, peer: &Peer, who: &str) -> Result<Option<PublicKey>, Obstacle> {
        if let Ok(target) = who.parse::<Target>() {
            let open = self.directory.find_open(&self.model, who).ok();
            let known = || peer.trust().expected(&KnownBy::address(&target.to_string()));
            return Ok(open.and_then(|conversation| peer.key_of(conversation)).or_else(known));
        }
        if let Some(relay) = self.model.relay().map(RelayState::conversation)
            && let Some(key) = peer.key_of_member(relay, who)
        {
            return Ok(Some(key));
        }
        let conversation = self.directory.find_open(&self.model, who)?;
        Ok(peer.key_of(conversation))
    }

    /// Accepts the key that was seen in place of the known one.
    pub(super) fn trust(&mut self, now: Now, peer: &mut Peer, who: &str) -> Result<(), Obstacle> {
        peer.own_key().ok_or(Obstacle::Clear)?;
        if let Ok(target) = who.parse::<Target>() {
            let typed = target.to_string();
            self.command(now, peer, Command::Trust { who: Trusted::Address(typed) })?;
            return self.call_trusted_relay(now, peer, &target);
        }
        for who in self.trusted(who) {
            match self.command(now, peer, Command::Trust { who }) {
                Err(Obstacle::Refused(CommandError::NothingToTrust)) => {}
                done => return done.map(drop),
            }
        }
        // Whether nobody is called that, or nothing of theirs was seen.
        self.directory.find_open(&self.model, who)?;
        Err(Obstacle::Refused(CommandError::NothingToTrust))
    }

    /// A relay that was given up for its key is called again.
    fn call_trusted_relay(&mut self, now: Now, peer: &mut Peer, target: &Target) -> Result<(), Obstacle> {
        let Some(attendee) = &mut self.attendee else { return Ok(()) };
        let is_relay = attendee.relay().to_string().eq_ignore_ascii_case(&target.to_string());
        if is_relay {
            attendee.forget_typed_key();
        }
        let relay = self.model.relay().map(RelayState::conversation);
        let is_gone = relay.is_some_and(|relay| self.model.presence(relay) == Some(Presence::Gone));
        let is_left = relay.is_some_and(|relay| !peer.is_attending(relay));
        if is_relay && is_left && !is_gone {
            // The silent connection with the old key ended just now; what tells of that is still to come.
            attendee.set_wanted_again();
            return Ok(());
        }
        match attendee.rooms().first().cloned().filter(|_| is_relay && is_gone) {
            Some(room) => self.attend_again(now, peer, &room, None),
            None => Ok(()),
        }
    }
}
