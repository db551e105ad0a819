//! Who a run is, and whose keys it knows: from the profile on disk to the peer's configuration, and what is learned back to disk.
//!
//! A folder that cannot be used only means being somebody new, and that is said. A key that others can read, or that is damaged,
//! stops the program: going on without it would look to everybody like somebody else.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::args::ProfileArgs;
use super::exit::Failure;
use crate::chat::is_nick;
use crate::endpoint::{EndpointConfig, Protection};
use crate::io::entropy;
use crate::io::socket::MAX_SEGMENTS;
use crate::peer::trust::{KnownBy, KnownKey, MAX_ADDRESSES, MAX_CALLERS, MAX_MEMBERS, Trust};
use crate::peer::{CommandError, Peer, PeerConfig};
use crate::secure::{KeyPair, PublicKey};
use crate::store;
use crate::store::identity::Identity as StoredIdentity;
use crate::store::profile::{self, Profile, ProfileError};
use crate::time::Instant;
use crate::ui::filter;
use crate::ui::model::Model;
use crate::ui::notice::Notice;

/// How often keys that were learned are written down, which waits for the disk: a flood of callers costs it no more than this, and
/// a crash forgets no more. The first one is written at once.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// How often the rest is: where its owner was last and what it called itself, which nobody misses after a crash.
const TOUCH_INTERVAL: Duration = Duration::from_secs(60);

/// How long a disk that took nothing is left alone.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// Keys that wait for a disk that takes nothing: as many as are known at most.
const MAX_UNWRITTEN: usize = MAX_ADDRESSES + MAX_MEMBERS + MAX_CALLERS;

/// Whose profile it is if nobody says so and the system does not know either.
const NOBODY: &str = "me";

/// The key pair of a run, and the keys that it knows.
pub(super) struct Identity {
    /// None in a clear run: there is nothing that a key would prove.
    keys: Option<Arc<KeyPair>>,
    known: BTreeMap<KnownBy, KnownKey>,
    /// Where what is learned is kept.
    kept: Option<StoredIdentity>,
    unwritten: BTreeMap<KnownBy, KnownKey>,
    /// Whether there are keys among it, and not only what is said of known ones.
    has_keys: bool,
    last_write: Option<Instant>,
    /// The disk took nothing the last time, which was told.
    has_failed: bool,
}

impl Identity {
    /// The identity of a profile; without one, a fresh one that ends with the run.
    pub(super) fn new(kept: Option<StoredIdentity>, is_clear: bool) -> Result<Self, Failure> {
        let (mut keys, mut known) = (None, BTreeMap::new());
        if !is_clear {
            keys = Some(Arc::new(match &kept {
                Some(kept) => kept.keys().clone(),
                None => KeyPair::from_secret(entropy::key_seed().map_err(Failure::failed)?),
            }));
            known = kept.as_ref().map(|kept| kept.known().clone()).unwrap_or_default();
        }
        let unwritten = BTreeMap::new();
        Ok(Self { keys, known, kept, unwritten, has_keys: false, last_write: None, has_failed: false })
    }

    /// The identity of a profile that another program may use at the same time, for a run that has no seat at a relay.
    pub(super) fn borrow(
        flags: &ProfileArgs,
        is_clear: bool,
        notices: &mut Vec<Notice>,
    ) -> Result<Self, Failure> {
        check_nick(flags.nick.as_deref())?;
        if is_clear {
            return Self::new(None, true);
        }
        let kept = match borrow(flags) {
            Ok(kept) => Some(kept),
            Err(Trouble::Refused(failure)) => return Err(failure),
            Err(Trouble::NoFolder(words)) => {
                notices.push(Notice::Info(format!(
                    "{words}; this run has a key of its own, which nobody knows"
                )));
                None
            }
        };
        Self::new(kept, false)
    }

    /// What is shown knows whether keys are kept beyond the run.
    pub(super) fn note_folder(&self, mut model: Model) -> Model {
        if self.kept.is_none() {
            model.forget_keys();
        }
        model
    }

    /// The folder of the profile, for whatever else is kept by key; None if nothing is.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.kept.as_ref().filter(|_| self.keys.is_some()).map(StoredIdentity::folder)
    }

    /// Who we are; None in a clear run.
    pub(super) fn key(&self) -> Option<PublicKey> {
        self.keys.as_ref().map(|keys| keys.public())
    }

    /// Puts keys and known keys into what a peer is started with.
    pub(super) fn complete_config(&mut self, config: PeerConfig) -> Result<PeerConfig, Failure> {
        let trust = Trust::new(std::mem::take(&mut self.known));
        let protection = protection(self.keys.clone())?;
        let mut endpoint = EndpointConfig { protection, ..config.endpoint };
        endpoint.connection.max_segments = MAX_SEGMENTS;
        Ok(PeerConfig { trust, endpoint, ..config })
    }

    /// Takes in what the peer learned.
    pub(super) fn learn(&mut self, peer: &mut Peer) {
        while let Some((by, known)) = peer.poll_known() {
            let Some(kept) = &self.kept else { continue };
            let is_written = |it: &KnownKey| (it.key, it.is_chosen) == (known.key, known.is_chosen);
            self.has_keys |= !kept.known().get(&by).is_some_and(is_written);
            self.unwritten.insert(by, known);
        }
    }

    /// What other programs with the same profile have learned, or their users have accepted.
    pub(super) fn poll_news(&mut self) -> Vec<(KnownBy, KnownKey)> {
        let Some(kept) = self.kept.as_mut().filter(|_| self.keys.is_some()) else { return Vec::new() };
        kept.poll_news().unwrap_or_else(|error| {
            log::error!("keys that were accepted elsewhere are not known here: {error}");
            Vec::new()
        })
    }

    /// When to call [`Identity::write`].
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let interval = match (self.has_failed, self.has_keys) {
            (true, _) => RETRY_INTERVAL,
            (false, true) => WRITE_INTERVAL,
            (false, false) => TOUCH_INTERVAL,
        };
        let due = self.last_write.map_or(Instant::ZERO, |last| last + interval);
        (!self.unwritten.is_empty()).then_some(due)
    }

    /// Writes down what was learned, if it is time, or if nothing follows.
    pub(super) fn write(&mut self, now: Instant, is_end: bool) {
        if self.poll_timeout().is_none_or(|due| !is_end && now < due) {
            return;
        }
        self.last_write = Some(now);
        let Some(kept) = &mut self.kept else { return };
        let learned = std::mem::take(&mut self.unwritten);
        match kept.keep(&learned) {
            // What was not written gave way to a later word of the user's, which comes back as news.
            Ok(_) => (self.has_keys, self.has_failed) = (false, false),
            Err(error) => {
                if !std::mem::replace(&mut self.has_failed, true) {
                    log::error!("keys that were learned are not kept: {error}");
                }
                // What there is no room for is learned again when it is met again.
                self.unwritten = learned.into_iter().take(MAX_UNWRITTEN).collect();
            }
        }
    }
}

/// How connections are protected with these keys; in the clear without.
pub(super) fn protection(keys: Option<Arc<KeyPair>>) -> Result<Protection, Failure> {
    Ok(match keys {
        Some(keys) => Protection::Sealed { keys, seed: entropy::key_seed().map_err(Failure::failed)?.into() },
        None => Protection::Clear,
    })
}

/// The identity in the profile that the flags name, made if need be, and whether it was.
pub(super) fn of_profile(flags: &ProfileArgs) -> Result<(StoredIdentity, bool), Failure> {
    check_nick(flags.nick.as_deref())?;
    let is_new = !is_there(flags);
    borrow(flags).map(|kept| (kept, is_new)).map_err(|trouble| match trouble {
        Trouble::Refused(failure) => failure,
        Trouble::NoFolder(words) => Failure::failed(words),
    })
}

/// The same, if there is one: whoever mistypes a name has not meant to be somebody new.
pub(super) fn of_known_profile(flags: &ProfileArgs) -> Result<StoredIdentity, Failure> {
    check_nick(flags.nick.as_deref())?;
    if !is_there(flags) && (flags.data.is_some() || store::data_folder().is_some()) {
        let nick = filter::nick(&name_of(flags));
        return Err(Failure::failed(format!(
            "there is no profile {nick}; --nick (and --data) say whose it is, and udpchat id --nick {nick} makes it"
        )));
    }
    Ok(of_profile(flags)?.0)
}

fn is_there(flags: &ProfileArgs) -> bool {
    let data = flags.data.clone().or_else(store::data_folder);
    data.is_some_and(|data| store::holds_keys(&profile::folder(&data, &name_of(flags))))
}

/// Whose profile the flags mean.
pub(super) fn name_of(flags: &ProfileArgs) -> String {
    flags.nick.clone().unwrap_or_else(default_nick)
}

/// The profile of a program that talks, in use from now on. None: there is no folder for it, which a notice tells.
pub(super) fn open_profile(
    data: Option<&Path>,
    nick: Option<&str>,
    notices: &mut Vec<Notice>,
) -> Result<Option<Profile>, Failure> {
    check_nick(nick)?;
    let mut tell = |words: String| notices.push(Notice::Info(words));
    let Some(data) = data.map(Path::to_owned).or_else(store::data_folder) else {
        tell(format!("{NO_FOLDER}; this run has a key of its own, which nobody knows"));
        return Ok(None);
    };
    let nick = nick.map_or_else(default_nick, str::to_owned);
    let token = entropy::secret().map_err(Failure::failed)?;
    let seed = entropy::key_seed().map_err(Failure::failed)?;
    let profile = match Profile::open(&data, &nick, &token, seed) {
        Ok(profile) => profile,
        Err(error) if is_fatal(&error) => return Err(Failure::failed(error)),
        Err(error) if store::holds_keys(&profile::folder(&data, &nick)) => {
            return Err(unusable_keys(&error));
        }
        Err(error) => {
            tell(format!(
                "{error}; without a profile this run has a key of its own, and no relay will know you again"
            ));
            return Ok(None);
        }
    };
    if profile.name() != nick {
        let (nick, name) = (filter::nick(&nick), filter::nick(profile.name()));
        tell(format!(
            "the profile {nick} is in use by another program, so this one has {name}, with another key"
        ));
    }
    if let Some(damage) = profile.damage() {
        tell(format!("{damage}; what was shown before is shown again"));
    }
    Ok(Some(profile))
}

/// What to do where a system has no folder for data.
const NO_FOLDER: &str = "there is no home folder for the profile; name one with --data DIR to be known again";

enum Trouble {
    /// It is there and must not be used.
    Refused(Failure),
    /// It cannot be had; why, in words.
    NoFolder(String),
}

fn borrow(flags: &ProfileArgs) -> Result<StoredIdentity, Trouble> {
    let data = flags.data.clone().or_else(store::data_folder);
    let data = data.ok_or_else(|| Trouble::NoFolder(NO_FOLDER.to_owned()))?;
    let nick = name_of(flags);
    let seed = entropy::key_seed().map_err(|error| Trouble::Refused(Failure::failed(error)))?;
    StoredIdentity::open(&profile::folder(&data, &nick), seed).map_err(|error| {
        if is_fatal(&error) {
            Trouble::Refused(Failure::failed(error))
        } else if store::holds_keys(&profile::folder(&data, &nick)) {
            Trouble::Refused(unusable_keys(&error))
        } else {
            Trouble::NoFolder(error.to_string())
        }
    })
}

/// Whom the keys in a profile belong to would be met as new by a run without them.
fn unusable_keys(error: &ProfileError) -> Failure {
    Failure::failed(format!(
        "{error}; the keys that you know are there, and without them anybody could pass for those whom you know: make it \
         readable and writable, or name another folder with --data"
    ))
}

/// What must not be taken for a folder that is not there.
const fn is_fatal(error: &ProfileError) -> bool {
    match error {
        ProfileError::Exposed { .. }
        | ProfileError::Open { .. }
        | ProfileError::Damaged { .. }
        | ProfileError::NoKey { .. }
        | ProfileError::NoKnownKeys { .. }
        | ProfileError::TooLong { .. } => true,
        ProfileError::System { .. } | ProfileError::Replaced { .. } | ProfileError::TooMany { .. } => false,
    }
}

/// Whose profile a run has that names nobody: the user's own. Others are not told this name.
fn default_nick() -> String {
    let names = ["USER", "LOGNAME", "USERNAME"].into_iter().filter_map(|name| env::var(name).ok());
    names.into_iter().find(|name| is_nick(name)).unwrap_or_else(|| NOBODY.to_owned())
}

fn check_nick(nick: Option<&str>) -> Result<(), Failure> {
    if nick.is_none_or(is_nick) {
        Ok(())
    } else {
        Err(Failure::usage(format!("--nick: {}", CommandError::BadNick)))
    }
}
