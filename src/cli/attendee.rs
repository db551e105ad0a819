//! Who we are at a relay, and what of it stays between two runs: the profile, secrets that come from files and the environment.
//!
//! No secret is ever taken from the command line, where every user of the machine can read it.

use std::env;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::args::PeerArgs;
use super::exit::Failure;
use crate::chat::{MAX_SECRET_BYTES, is_nick};
use crate::io::entropy;
use crate::io::output::Output;
use crate::io::resolve::Target;
use crate::peer::{CommandError, MAX_SEEN_LETTERS, Membership, RelayMemory, RoomWish, SeenLetter};
use crate::secure::{PublicKey, Secret};
use crate::store::identity::owner_of;
use crate::store::profile::Profile;
use crate::time::Instant;
use crate::ui::text::{SECRET_FOR_KNOWN_ONLY, SECRET_WITHHELD};

/// The environment's variable with a room's password, for those who have no terminal.
pub(super) const PASSWORD_VARIABLE: &str = "UDPCHAT_ROOM_PASSWORD";

/// How often it is written down how far logs were shown: a crash repeats no more than this, marked as history; of letters in the
/// clear only one whose receipt the relay did not get. Sealed ones are written down at once.
const WRITE_INTERVAL: Duration = Duration::from_millis(200);

/// How long a pipe waits for a relay that was lost, or for whoever has given no receipt. A person waits as long as they like.
pub(super) const PIPE_PATIENCE: Duration = Duration::from_secs(60);

/// A member's side of a relay that the relay itself does not know.
pub(super) struct Attendee {
    /// The relay as it was written, which is what the profile knows it by.
    relay: Target,
    nick: String,
    rooms: Vec<String>,
    history: Option<u64>,
    token: String,
    profile: Option<Profile>,
    /// The operators' secret, for after each entry.
    secret: Option<Secret>,
    /// The key of the relay that the secret was given for: typed, known before, or beside the secret; None if nothing says it.
    secret_for: Option<PublicKey>,
    /// Another key than the relay's known one answered, and it was given up.
    is_mistrusted: bool,
    /// It is to be called again as soon as its end was told.
    is_wanted_again: bool,
    /// The rooms whose password from the environment was tried.
    tried: Vec<String>,
    /// Where the relay was found.
    addresses: Vec<SocketAddr>,
    /// What was shown in this run.
    latest: Option<RelayMemory>,
    /// What was shown and not written down yet.
    unwritten: Option<RelayMemory>,
    /// Letters that were shown and could not be written down.
    unwritten_letters: Vec<SeenLetter>,
    next_write: Instant,
}

impl Attendee {
    /// Who is to be a member of `relay`, by what is in the profile, or as somebody new.
    pub(super) fn prepare(
        flags: &PeerArgs,
        relay: &Target,
        nick: String,
        profile: Option<Profile>,
    ) -> Result<Self, Failure> {
        let secret = flags.admin_secret.as_deref().map(read_secret).transpose().map_err(Failure::failed)?;
        // Where it lies in the relay's own folder, on the relay's machine, the key beside it is the relay's.
        let folder = flags.admin_secret.as_deref().and_then(Path::parent).filter(|_| !flags.clear.clear);
        let secret_for = relay.key().or_else(|| folder.and_then(owner_of));
        let token = entropy::secret().map_err(Failure::failed)?;
        let mut rooms: Vec<String> = Vec::new();
        for room in &flags.rooms {
            if !rooms.contains(room) {
                rooms.push(room.clone());
            }
        }
        Ok(Self {
            relay: relay.clone(),
            rooms,
            history: flags.history.map(|history| history.0),
            token: profile.as_ref().map_or(token, |profile| profile.token().to_owned()),
            nick,
            profile,
            secret,
            secret_for,
            is_mistrusted: false,
            is_wanted_again: false,
            tried: Vec::new(),
            addresses: Vec::new(),
            latest: None,
            unwritten: None,
            unwritten_letters: Vec::new(),
            next_write: Instant::ZERO,
        })
    }

    /// The relay.
    pub(super) const fn relay(&self) -> &Target {
        &self.relay
    }

    /// Another key than the one that was typed is the right one, as the user says.
    pub(super) fn forget_typed_key(&mut self) {
        self.relay = self.relay.without_key();
    }

    /// The name that the user wants to go by.
    pub(super) fn nick(&self) -> &str {
        &self.nick
    }

    /// The rooms that the user asked for at the start; the first one is spoken in.
    pub(super) fn rooms(&self) -> &[String] {
        &self.rooms
    }

    /// How many earlier lines are wanted of a room at its first join.
    pub(super) const fn history(&self) -> Option<u64> {
        self.history
    }

    /// Where the relay was found.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Keeps where the relay was found, for coming back.
    pub(super) fn keep_addresses(&mut self, addresses: Vec<SocketAddr>) {
        self.addresses = addresses;
    }

    /// What the peer needs to know at the start.
    pub(super) fn membership(&self, has_person: bool) -> Membership {
        let wish = |room: &String| RoomWish { room: room.clone(), history: self.history, password: None };
        self.membership_as(self.nick.clone(), self.rooms.iter().map(wish).collect(), has_person)
    }

    /// The same for coming back in the same run: the same person, under the name and in the rooms that are wanted now.
    pub(super) fn membership_as(&self, nick: String, rooms: Vec<RoomWish>, has_person: bool) -> Membership {
        let relay = self.relay.to_string();
        let written = || self.profile.as_ref().map(|profile| profile.memory(&relay));
        Membership {
            nick,
            token: self.token.clone(),
            rooms,
            memory: self.latest.clone().or_else(written).unwrap_or_default(),
            patience: (!has_person).then_some(PIPE_PATIENCE),
            keep_calling: has_person,
        }
    }

    /// Whether the user has the operators' secret.
    pub(super) const fn has_secret(&self) -> bool {
        self.secret.is_some()
    }

    /// The operators' secret, for the relay with this key; None in the clear. It was given for one key, and no other gets it before
    /// the user says so: whoever trusts a new key has not said that it may have this (UC-KEY-013). What was withheld is forgotten.
    pub(super) fn secret(&mut self, relay: Option<PublicKey>) -> Result<Secret, &'static str> {
        if let Some(secret) = self.secret.as_ref().filter(|_| self.secret_for == relay) {
            return Ok(secret.clone());
        }
        self.secret = None;
        Err(if self.secret_for.is_some() { SECRET_WITHHELD } else { SECRET_FOR_KNOWN_ONLY })
    }

    /// The secret is for the relay that is known by this key, unless the user said for which.
    pub(super) fn bind_secret(&mut self, known: Option<PublicKey>) {
        self.secret_for = known.or(self.secret_for);
    }

    /// Has the secret said again after every entry at the relay with this key.
    pub(super) fn keep_secret(&mut self, secret: Secret, relay: Option<PublicKey>) {
        (self.secret, self.secret_for) = (Some(secret), relay);
    }

    /// Has the relay called again as soon as its end was told.
    pub(super) const fn set_wanted_again(&mut self) {
        self.is_wanted_again = true;
    }

    /// Whether it is to be called again; asked once.
    pub(super) const fn take_wanted_again(&mut self) -> bool {
        std::mem::replace(&mut self.is_wanted_again, false)
    }

    /// Notes whether the relay was given up because of its key.
    pub(super) const fn set_mistrusted(&mut self, is_mistrusted: bool) {
        self.is_mistrusted = is_mistrusted;
    }

    /// Whether the relay was given up because of its key.
    pub(super) const fn is_mistrusted(&self) -> bool {
        self.is_mistrusted
    }

    /// Whether the environment's password was tried for a room, which is of no use twice.
    pub(super) fn has_tried(&self, room: &str) -> bool {
        self.tried.iter().any(|tried| tried == room)
    }

    /// The room was joined: the password was right, or not wanted.
    pub(super) fn forget_tried(&mut self, room: &str) {
        self.tried.retain(|tried| tried != room);
    }

    /// The environment's password for a room.
    pub(super) fn password(&mut self, room: &str) -> Option<Secret> {
        let password = password_of_environment()?;
        self.tried.push(room.to_owned());
        Some(password)
    }

    /// Takes in how far the relay's logs were shown.
    pub(super) fn remember(&mut self, memory: RelayMemory) {
        if self.profile.is_some() {
            self.unwritten = Some(memory.clone());
        }
        self.latest = Some(memory);
    }

    /// The sealed letters that were shown last in earlier runs.
    pub(super) fn seen_letters(&self) -> Result<Vec<SeenLetter>, Failure> {
        self.profile.as_ref().map_or(Ok(Vec::new()), Profile::letters).map_err(Failure::failed)
    }

    /// Writes down which sealed letters were shown, before their receipts leave: after that the relay may be told that they were
    /// and not hear it, so that it brings them again to whoever comes after a crash (UC-LETTER-007).
    pub(super) fn keep_letters(&mut self, letters: impl IntoIterator<Item = SeenLetter>) {
        let known = self.unwritten_letters.len();
        self.unwritten_letters.extend(letters);
        let Some(profile) = self.profile.as_ref().filter(|_| self.unwritten_letters.len() > known) else {
            return self.unwritten_letters.truncate(known);
        };
        match profile.append_letters(&self.unwritten_letters) {
            Ok(()) => self.unwritten_letters.clear(),
            Err(error) => {
                log::error!("letters that were shown may be shown again: {error}");
                // Tried again with the next one.
                let surplus = self.unwritten_letters.len().saturating_sub(MAX_SEEN_LETTERS);
                self.unwritten_letters.drain(..surplus);
            }
        }
    }

    /// When to call [`Attendee::write`].
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.unwritten.is_some().then_some(self.next_write)
    }

    /// Writes down what was shown, if it is time, or if nothing follows.
    pub(super) fn write(&mut self, now: Instant, is_end: bool) {
        if !is_end && now < self.next_write {
            return;
        }
        if let (Some(memory), Some(profile)) = (self.unwritten.take(), &mut self.profile) {
            self.next_write = now + WRITE_INTERVAL;
            if let Err(error) = profile.keep(&self.relay.to_string(), memory) {
                log::error!("what was shown will be shown again: {error}");
            }
        }
    }
}

/// A room's password from the environment.
pub(super) fn password_of_environment() -> Option<Secret> {
    env::var(PASSWORD_VARIABLE).ok().map(Secret::from).filter(|password| !password.is_empty())
}

/// A secret from a file, without the line's end.
pub(super) fn read_secret(path: &Path) -> Result<Secret, String> {
    let read = || {
        let mut text = String::new();
        File::open(path)?.take(MAX_SECRET_BYTES as u64 + 2).read_to_string(&mut text)?;
        Ok::<_, io::Error>(text)
    };
    let text: Secret = read().map_err(|error| format!("{} cannot be read: {error}", path.display()))?.into();
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() || secret.len() > MAX_SECRET_BYTES || secret.contains('\n') {
        return Err(format!(
            "{} holds no secret: one line of at most {MAX_SECRET_BYTES} bytes",
            path.display()
        ));
    }
    Ok(secret.into())
}

/// Asks before anything else happens. Standard output is for data, which begins later.
pub(super) fn ask_for_nick() -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("--relay needs a name: add --nick NAME (there is no terminal to ask at)"));
    }
    let mut stderr = Output::stderr();
    loop {
        stderr.push("nick: ");
        stderr.flush();
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line);
        let count = read.map_err(|error| Failure::failed(format!("the name cannot be read: {error}")))?;
        if count == 0 {
            stderr.push_line("");
            stderr.flush();
            return Err(Failure::usage("--relay needs a name: add --nick NAME"));
        }
        let nick = line.trim();
        if is_nick(nick) {
            return Ok(nick.to_owned());
        }
        stderr.push_line(&CommandError::BadNick.to_string());
    }
}
