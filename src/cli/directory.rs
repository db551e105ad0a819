//! From what a person writes (an address, a name, a nick) to a conversation.
//!
//! Only one name is looked up at a time, for the line that waits for it. An answer serves that line alone: the next
//! conversation asks again, since the name may lead somewhere else by then.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::Waker;

use super::attendee::PASSWORD_VARIABLE;
use crate::chat::is_nick;
use crate::io::resolve::{AddressError, ResolveError, Resolver, Target};
use crate::io::socket::Reach;
use crate::peer::trust::KnownBy;
use crate::peer::{Command, CommandError, ConversationId, Id, Membership, Named, Peer};
use crate::secure::PublicKey;
use crate::time::Now;
use crate::ui::filter;
use crate::ui::input::InputError;
use crate::ui::model::Model;
use crate::ui::notice::Presence;

/// Why a line cannot be carried out, now or at all.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// A name is being looked up; the line waits.
    LookingUp,
    /// Too much waits for the receiver already; the line may wait too.
    Full,
    /// So many lines wait for a name that there is no room for another.
    TooManyLines,
    /// Nobody was chosen to send to.
    NoReceiver,
    /// Neither an address nor somebody's nick.
    NoAddress(AddressError),
    /// Nothing is sealed, so there are no keys.
    Clear,
    /// No key is known of whoever was named, in words that have been filtered.
    NoKey(String),
    /// Several people go by that nick.
    Ambiguous,
    /// Nobody is called so.
    NoConversation,
    /// The name leads nowhere.
    NotFound(ResolveError),
    /// The addresses are of a family that the socket cannot send to.
    Unreachable(Target),
    /// Port 0 is nobody's.
    NoPort,
    /// Neither an address nor anybody's nick, as typed.
    NobodyCalled(String),
    /// The relay was left or lost.
    NoRelay,
    /// The relay showed another key, and was given up.
    RelayMistrusted {
        /// Its address, as typed.
        relay: String,
    },
    /// The peer refused.
    Refused(CommandError),
    /// The room is being joined; the line waits.
    Joining,
    /// What is called a room cannot be one.
    NoRoom,
    /// We are not in that room.
    NotInRoom(String),
    /// A letter, or words to everyone, leave nothing open.
    NothingToClose,
    /// Plain lines go to no room, so which one is meant?
    NoCurrentRoom,
    /// The room wants a password, and nobody can be asked for it.
    NoPassword(String),
    /// The file with the operators' secret is of no use; why, in words.
    NoSecret(String),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LookingUp => f.write_str("the name is still being looked up"),
            Self::Full => CommandError::WouldBlock.fmt(f),
            Self::TooManyLines => f.write_str("too many lines wait for the name that is being looked up"),
            Self::NoReceiver => {
                f.write_str(
                    "not sent: nobody was chosen to send to; write /msg WHO text, /to WHO, or at a relay /join ROOM",
                )
            }
            Self::NoAddress(error) => error.fmt(f),
            Self::Clear => f.write_str("this run is in the clear (--clear): nothing proves who anybody is"),
            Self::NoKey(who) => {
                write!(f, "no key of {who} is known yet; it is once a conversation with them was open")
            }
            Self::Ambiguous => {
                f.write_str("several people go by that name; write the address that /who shows")
            }
            Self::NoConversation => {
                f.write_str("there is no conversation with anybody like that; /who lists them")
            }
            Self::NotFound(error) => error.fmt(f),
            Self::Unreachable(target) => write!(
                f,
                "{target} cannot be reached from the address that this peer is bound to; --bind [::]:6000 reaches both \
                 IPv4 and IPv6"
            ),
            Self::NoPort => f.write_str("nobody listens on port 0; name the port that the other side shows"),
            Self::NobodyCalled(who) => write!(
                f,
                "nobody is called {} here (/who lists everybody), and an address has a port, such as 192.168.0.7:6000",
                filter::nick(who)
            ),
            Self::NoRelay => f.write_str("the relay was left or lost; /join ROOM goes back there"),
            Self::RelayMistrusted { relay } => write!(
                f,
                "the relay was given up, since another key answered; /verify {relay} shows it, /trust {relay} accepts it and \
                 calls again"
            ),
            Self::Refused(error) => error.fmt(f),
            Self::Joining => f.write_str("the room is still being joined"),
            Self::NoRoom => InputError::NoRoom.fmt(f),
            Self::NotInRoom(room) => {
                let room = filter::nick(room);
                write!(f, "you are not in {room}; /join {room} goes there")
            }
            Self::NothingToClose => {
                f.write_str("there is nothing to close here; /close ADDR with the relay's address leaves the relay")
            }
            Self::NoCurrentRoom => f.write_str(
                "which room? lines go to none at the moment; /to #room, or name it in the command",
            ),
            Self::NoPassword(room) => write!(
                f,
                "{} needs a password, which is asked for only on a terminal without --plain and --json; put it into the \
                 environment as {PASSWORD_VARIABLE}",
                filter::nick(room)
            ),
            Self::NoSecret(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for Obstacle {}

/// Finds conversations, and begins new ones.
#[derive(Debug)]
pub(super) struct Directory {
    resolver: Resolver,
    reach: Reach,
    /// The look-up that a line waits for, and its answer.
    look_up: Option<LookUp>,
    /// The conversations that were begun by name.
    by_name: BTreeMap<Target, ConversationId>,
}

#[derive(Debug)]
struct LookUp {
    target: Target,
    answer: Option<Result<Vec<SocketAddr>, ResolveError>>,
}

impl Directory {
    pub(super) fn new(waker: Arc<Waker>, reach: Reach) -> Self {
        Self { resolver: Resolver::new(waker), reach, look_up: None, by_name: BTreeMap::new() }
    }

    /// Takes in what was looked up meanwhile.
    pub(super) fn take_answers(&mut self) {
        while let Some((target, answer)) = self.resolver.poll() {
            if let Some(look_up) = self.look_up.as_mut().filter(|look_up| look_up.target == target) {
                look_up.answer = Some(answer);
            }
        }
    }

    /// The conversation with somebody, begun if need be.
    pub(super) fn find(
        &mut self,
        now: Now,
        peer: &mut Peer,
        model: &mut Model,
        who: &str,
    ) -> Result<ConversationId, Obstacle> {
        let target = match who.parse::<Target>() {
            Ok(target) => target,
            Err(error) => {
                let nobody = || match error {
                    AddressError::NoPort { has_key: false, .. } if is_nick(who) => {
                        Obstacle::NobodyCalled(who.to_owned())
                    }
                    error => Obstacle::NoAddress(error),
                };
                return by_nick(model, who)?.ok_or_else(nobody);
            }
        };
        if let Some(address) = target.address() {
            return self.open(now, peer, model, &target, vec![address]);
        }
        if let Some(conversation) = self.open_by_name(model, &target) {
            return Ok(conversation);
        }
        let addresses = self.look_up(&target)?;
        self.open(now, peer, model, &target, addresses)
    }

    /// The conversation with somebody, if there is one.
    pub(super) fn find_open(&self, model: &Model, who: &str) -> Result<ConversationId, Obstacle> {
        let Ok(target) = who.parse::<Target>() else {
            return by_nick(model, who)?.ok_or(Obstacle::NoConversation);
        };
        let found = match target.address() {
            Some(address) => model.at(address),
            None => self.open_by_name(model, &target),
        };
        found.ok_or(Obstacle::NoConversation)
    }

    /// Begins a conversation with whoever answers at `addresses`, which are those of `target`.
    pub(super) fn open(
        &mut self,
        now: Now,
        peer: &mut Peer,
        model: &mut Model,
        target: &Target,
        addresses: Vec<SocketAddr>,
    ) -> Result<ConversationId, Obstacle> {
        let named = named(target);
        self.begin(now, peer, model, target, addresses, |addresses| Command::Open { addresses, named })
    }

    /// The conversation with whoever has this key, and was at `target` in an earlier run.
    pub(super) fn open_kept(
        &mut self,
        now: Now,
        peer: &mut Peer,
        model: &mut Model,
        target: &Target,
        key: PublicKey,
    ) -> Result<ConversationId, Obstacle> {
        let addresses = match target.address() {
            Some(address) => vec![address],
            None => self.look_up(target)?,
        };
        // What is known of the address stays as it is: the user may have accepted another key for it meanwhile.
        let address = target.to_string();
        let is_known = peer.trust().expected(&KnownBy::address(&address)) == Some(key);
        let named = Named { address: is_known.then_some(address), key: (!is_known).then_some(key) };
        self.begin(now, peer, model, target, addresses, |addresses| Command::Open { addresses, named })
    }

    /// Becomes a member of the relay at `addresses`, which are those of `target`.
    pub(super) fn attend(
        &mut self,
        now: Now,
        peer: &mut Peer,
        model: &mut Model,
        target: &Target,
        addresses: Vec<SocketAddr>,
        membership: Membership,
    ) -> Result<ConversationId, Obstacle> {
        let named = named(target);
        let command = |addresses| Command::Attend { addresses, named, membership };
        self.begin(now, peer, model, target, addresses, command)
    }

    fn begin(
        &mut self,
        now: Now,
        peer: &mut Peer,
        model: &mut Model,
        target: &Target,
        mut addresses: Vec<SocketAddr>,
        command: impl FnOnce(Vec<SocketAddr>) -> Command,
    ) -> Result<ConversationId, Obstacle> {
        if target.port() == 0 {
            return Err(Obstacle::NoPort);
        }
        addresses.retain(|&address| self.reach.includes(address));
        let first = *addresses.first().ok_or_else(|| Obstacle::Unreachable(target.clone()))?;
        match peer.handle_command(now, command(addresses)) {
            Ok(Id::Conversation(conversation)) => {
                model.opened(conversation, first, now.wall);
                if target.address().is_none() {
                    self.by_name.insert(target.clone(), conversation);
                }
                Ok(conversation)
            }
            Ok(Id::Message(_) | Id::None) => Err(Obstacle::Refused(CommandError::NoConversation)),
            Err(error) => Err(Obstacle::Refused(error)),
        }
    }

    /// The name that a conversation was begun with.
    pub(super) fn name_of(&self, conversation: ConversationId) -> Option<Target> {
        let (target, _) = self.by_name.iter().find(|&(_, &known)| known == conversation)?;
        Some(target.clone())
    }

    fn open_by_name(&self, model: &Model, target: &Target) -> Option<ConversationId> {
        let conversation = *self.by_name.get(target)?;
        let open = model.presence(conversation).is_some_and(|presence| presence != Presence::Gone);
        open.then_some(conversation)
    }

    /// The addresses of a name, or [`Obstacle::LookingUp`] until they are known.
    fn look_up(&mut self, target: &Target) -> Result<Vec<SocketAddr>, Obstacle> {
        match self.look_up.take().filter(|look_up| look_up.target == *target) {
            Some(LookUp { answer: Some(answer), .. }) => answer.map_err(Obstacle::NotFound),
            waiting => {
                if waiting.is_none() {
                    self.resolver.look_up(target.clone()).map_err(Obstacle::NotFound)?;
                }
                self.look_up = Some(LookUp { target: target.clone(), answer: None });
                Err(Obstacle::LookingUp)
            }
        }
    }
}

/// What a target is known by.
pub(super) fn named(target: &Target) -> Named {
    Named { address: Some(target.to_string()), key: target.key() }
}

fn by_nick(model: &Model, nick: &str) -> Result<Option<ConversationId>, Obstacle> {
    let mut named = model.named(nick);
    let first = named.next();
    if named.next().is_some() { Err(Obstacle::Ambiguous) } else { Ok(first) }
}
