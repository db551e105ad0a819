//! A person's own folder: who they are, the token by which a relay knows them again, and how far each relay's logs were shown.
//!
//! One program at a time uses a profile to talk, since two with the same identity would throw each other out at a relay; one that
//! only sends or listens borrows its [`Identity`]. It must never let anybody else on the machine read the token.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::identity::Identity;
use super::letters;
use super::private::{
    MAX_LENGTH, TooLong, is_exchangeable, is_exposed, is_open_to_others, make_folder, open_lock, read,
    write_readable, write_whole,
};
use crate::chat::{MAX_SECRET_BYTES, RefusalCode};
use crate::peer::{RelayMemory, SeenLetter};

/// As many programs of one person on one machine as anybody starts by hand.
const MAX_NUMBER: u32 = 64;

/// Relays that are remembered, more than anybody is a member of; beyond that, the one that was not used for longest is forgotten.
const MAX_RELAYS: usize = 256;

/// A profile in use.
#[derive(Debug)]
pub struct Profile {
    folder: PathBuf,
    name: String,
    token: String,
    identity: Identity,
    /// By relay as it was written, each with its turn: the one that was used last has the highest.
    memories: BTreeMap<String, (u64, RelayMemory)>,
    damage: Option<ProfileError>,
    /// Locked for as long as it is open.
    _lock: File,
}

/// Why a profile cannot be used.
#[derive(Debug)]
pub enum ProfileError {
    /// The system refused something.
    System {
        /// The file or the folder.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
    /// Others on this machine may read the token or the key.
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// Others on this machine may put files into the folder.
    Open {
        /// The folder.
        path: PathBuf,
    },
    /// A file holds something that was not written there by us.
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The same, and another one without what cannot be read is in its place.
    Replaced {
        /// The file.
        path: PathBuf,
        /// What was there.
        copy: PathBuf,
    },
    /// The file of the key has none in it.
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The keys of others cannot be read.
    NoKnownKeys {
        /// The file.
        path: PathBuf,
    },
    /// A file is longer than any of ours.
    TooLong {
        /// The file.
        path: PathBuf,
        /// Whether it would be, had it been written.
        is_planned: bool,
    },
    /// Every number is in use.
    TooMany {
        /// The folder of the first.
        path: PathBuf,
    },
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System { path, error } if error.kind() == io::ErrorKind::StorageFull => write!(
                f,
                "the disk is full, so {} cannot be written; make room there, or name another folder with --data",
                path.display()
            ),
            Self::System { path, error } => write!(f, "{} cannot be used: {error}", path.display()),
            Self::Replaced { path, copy } => write!(
                f,
                "{} was damaged: what can be read of it is used, and {} is how it was",
                path.display(),
                copy.display()
            ),
            Self::Exposed { path } => write!(
                f,
                "{} can be read by other users of this machine, who could pass for you; run chmod 600 on it, or delete it to \
                 be somebody new",
                path.display()
            ),
            Self::Open { path } => write!(
                f,
                "other users of this machine may write to {}, and could put a key of theirs there; run chmod go-w on \
                 it",
                path.display()
            ),
            Self::Damaged { path } => {
                write!(f, "{} is damaged; delete it, and a new one is made", path.display())
            }
            Self::NoKey { path } => write!(
                f,
                "{} holds no key; put a copy of yours in its place, or delete it to be somebody new, whom others will be warned of",
                path.display()
            ),
            Self::NoKnownKeys { path } => write!(
                f,
                "{} is damaged; without it anybody could pass for those whom you know. Put a copy in its place, or delete it to \
                 meet everybody anew",
                path.display()
            ),
            Self::TooLong { path, is_planned: false } => write!(
                f,
                "{} is longer than {MAX_LENGTH}, so it is not as this program left it; put a copy in its place",
                path.display()
            ),
            Self::TooLong { path, is_planned: true } => {
                write!(f, "{} would be longer than {MAX_LENGTH}, so it stays as it is", path.display())
            }
            Self::TooMany { path } => {
                write!(f, "{} and {MAX_NUMBER} more are in use by other programs", path.display())
            }
        }
    }
}

impl std::error::Error for ProfileError {}

impl Profile {
    /// The profile of `nick` in the data folder, made if there is none, with `fresh_token` as its token and a key from
    /// `fresh_seed`. If another program uses it, the next one that is free: `nick-2`, `nick-3`, …
    pub fn open(
        data: &Path,
        nick: &str,
        fresh_token: &str,
        fresh_seed: [u8; 32],
    ) -> Result<Self, ProfileError> {
        let (first, profiles) = (folder_name(nick), data.join("profiles"));
        for number in 1..=MAX_NUMBER {
            let suffix = if number == 1 { String::new() } else { format!("-{number}") };
            let folder = profiles.join(format!("{first}{suffix}"));
            open_folder(&folder)?;
            if let Some(lock) = lock(&folder.join("lock"))? {
                let token = token(&folder.join("token"), fresh_token)?;
                let identity = Identity::open(&folder, fresh_seed)?;
                let name = format!("{nick}{suffix}");
                let memories = BTreeMap::new();
                let mut profile = Self { folder, name, token, identity, memories, damage: None, _lock: lock };
                // Without it the person sees some lines again, which is no reason to stop.
                match profile.read_memories() {
                    Ok(memories) => profile.memories = memories,
                    Err(damage) => profile.damage = Some(damage),
                }
                return Ok(profile);
            }
        }
        Err(ProfileError::TooMany { path: profiles.join(first) })
    }

    /// Whose it is: the nick, with a number if that one's own profile was in use.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What proves to a relay that the same person comes back. Secret.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Who it is, whatever the name.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Why nothing is remembered of earlier runs, if something should be.
    pub const fn damage(&self) -> Option<&ProfileError> {
        self.damage.as_ref()
    }

    /// How far the logs of `relay` were shown in earlier runs.
    pub fn memory(&self, relay: &str) -> RelayMemory {
        self.memories.get(relay).map(|(_, memory)| memory.clone()).unwrap_or_default()
    }

    /// Keeps how far the logs of `relay` were shown. The file is whole at any moment: either the old one or the new one.
    pub fn keep(&mut self, relay: &str, memory: RelayMemory) -> Result<(), ProfileError> {
        let others = self.memories.iter().filter(|(known, _)| *known != relay);
        let turn = others.map(|(_, (turn, _))| *turn).max().unwrap_or(0).saturating_add(1);
        self.memories.insert(relay.to_owned(), (turn, memory));
        while self.memories.len() > MAX_RELAYS {
            let oldest =
                self.memories.iter().min_by_key(|(_, (turn, _))| *turn).map(|(known, _)| known.clone());
            self.memories.remove(&oldest.expect("there is more than one"));
        }
        let file = MemoriesFile {
            relays: self.memories.iter().map(|(relay, kept)| (relay.clone(), kept.into())).collect(),
        };
        let path = self.memories_path();
        let bytes = serde_json::to_vec_pretty(&file).map_err(|error| system(&path, error.into()))?;
        write_readable(&path, &bytes).map_err(|error| system(&path, error))
    }

    /// The sealed letters that were shown last, oldest first (UC-LETTER-007).
    pub fn letters(&self) -> Result<Vec<SeenLetter>, ProfileError> {
        let path = self.letters_path();
        letters::read(&path).map_err(|error| system(&path, error))
    }

    /// Adds sealed letters that were shown, before anything tells that they were.
    pub fn append_letters(&self, letters: &[SeenLetter]) -> Result<(), ProfileError> {
        let path = self.letters_path();
        letters::append(&path, letters).map_err(|error| system(&path, error))
    }

    fn letters_path(&self) -> PathBuf {
        self.folder.join("letters")
    }

    fn memories_path(&self) -> PathBuf {
        self.folder.join("relays.json")
    }

    fn read_memories(&self) -> Result<BTreeMap<String, (u64, RelayMemory)>, ProfileError> {
        let path = self.memories_path();
        let Some(bytes) = read(&path).map_err(|error| system(&path, error))? else {
            return Ok(BTreeMap::new());
        };
        let file: MemoriesFile =
            serde_json::from_slice(&bytes).map_err(|_| ProfileError::Damaged { path })?;
        Ok(file.relays.into_iter().map(|(relay, kept)| (relay, kept.into())).collect())
    }
}

/// `relays.json`.
#[derive(Debug, Serialize, Deserialize)]
struct MemoriesFile {
    relays: BTreeMap<String, KeptRelay>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptRelay {
    log: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    runs: Vec<String>,
    letters_after: u64,
    everyone_after: Option<u64>,
    rooms: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    letters_refused: BTreeMap<u64, String>,
    /// An earlier program did not write it.
    #[serde(default)]
    turn: u64,
}

impl From<&(u64, RelayMemory)> for KeptRelay {
    fn from((turn, memory): &(u64, RelayMemory)) -> Self {
        let turn = *turn;
        let RelayMemory { log, runs, letters_after, everyone_after, rooms, letters_refused } = memory.clone();
        let refused = letters_refused.into_iter().map(|(pos, code)| (pos, code.as_str().to_owned()));
        let letters_refused = refused.collect();
        Self { log, runs, letters_after, everyone_after, rooms, letters_refused, turn }
    }
}

impl From<KeptRelay> for (u64, RelayMemory) {
    fn from(kept: KeptRelay) -> Self {
        let KeptRelay { log, runs, letters_after, everyone_after, rooms, letters_refused, turn } = kept;
        let refused = letters_refused.into_iter().map(|(pos, code)| (pos, RefusalCode::parse(&code)));
        let letters_refused = refused.collect();
        (turn, RelayMemory { log, runs, letters_after, everyone_after, rooms, letters_refused })
    }
}

/// The folder of a nick's own profile, whoever uses it at the moment.
pub fn folder(data: &Path, nick: &str) -> PathBuf {
    data.join("profiles").join(folder_name(nick))
}

/// A nick as the name of a folder on any system: what is not a letter, a digit, `-` or `_` is written as its number.
fn folder_name(nick: &str) -> String {
    let mut name = String::with_capacity(nick.len());
    for character in nick.chars() {
        if character.is_ascii() && !character.is_ascii_alphanumeric() && !matches!(character, '-' | '_') {
            name.push_str(&format!("%{:02X}", u32::from(character)));
        } else {
            name.push(character);
        }
    }
    name
}

/// The lock; None while another program has it.
fn lock(path: &Path) -> Result<Option<File>, ProfileError> {
    let file = open_lock(path).map_err(|error| system(path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(system(path, error)),
    }
}

/// The token in the file, or the fresh one, which is there from then on.
fn token(path: &Path, fresh: &str) -> Result<String, ProfileError> {
    let Some(bytes) = read(path).map_err(|error| system(path, error))? else {
        write_whole(path, format!("{fresh}\n").as_bytes()).map_err(|error| system(path, error))?;
        return Ok(fresh.to_owned());
    };
    if is_exposed(path).map_err(|error| system(path, error))? {
        return Err(ProfileError::Exposed { path: path.to_owned() });
    }
    let text = String::from_utf8(bytes).unwrap_or_default();
    let token = text.trim_end();
    let is_whole =
        (16..=MAX_SECRET_BYTES).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    if is_whole { Ok(token.to_owned()) } else { Err(ProfileError::Damaged { path: path.to_owned() }) }
}

/// Makes the folder of a profile if it is not there; one that others may write to is not used.
pub(super) fn open_folder(folder: &Path) -> Result<(), ProfileError> {
    make_folder(folder).map_err(|error| system(folder, error))?;
    if is_open_to_others(folder).map_err(|error| system(folder, error))? {
        return Err(ProfileError::Open { path: folder.to_owned() });
    }
    // Whoever may write to the folder of all profiles, or to the one around it, may put another profile in this one's place.
    for around in folder.ancestors().skip(1).take(2).filter(|around| around.is_dir()) {
        if is_exchangeable(around).map_err(|error| system(around, error))? {
            return Err(ProfileError::Open { path: around.to_owned() });
        }
    }
    Ok(())
}

pub(super) fn system(path: &Path, error: io::Error) -> ProfileError {
    let path = path.to_owned();
    match error.get_ref().and_then(|error| error.downcast_ref::<TooLong>()) {
        Some(&TooLong { is_planned }) => ProfileError::TooLong { path, is_planned },
        None => ProfileError::System { path, error },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    /// A data folder that goes away with the test.
    struct Data(PathBuf);

    impl Data {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let folder = format!("udpchat-profile-{}-{number}", std::process::id());
            Self(std::env::temp_dir().join(folder))
        }

        fn open(&self, nick: &str, token: &str) -> Result<Profile, ProfileError> {
            Profile::open(&self.0, nick, token, [1; 32])
        }

        fn path(&self, file: &str) -> PathBuf {
            self.0.join("profiles").join(file)
        }
    }

    impl Drop for Data {
        fn drop(&mut self) {
            // What could not be removed is the system's business.
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn letters() -> [SeenLetter; 2] {
        [1, 2].map(|number| SeenLetter::from_bytes([number; SeenLetter::BYTES]))
    }

    fn memory(position: u64) -> RelayMemory {
        RelayMemory {
            log: Some("log".to_owned()),
            runs: vec!["run".to_owned()],
            letters_after: 3,
            everyone_after: None,
            rooms: BTreeMap::from([("#sala".to_owned(), position)]),
            letters_refused: BTreeMap::from([(2, RefusalCode::UnknownKey)]),
        }
    }

    #[test]
    fn the_same_person_comes_back() {
        let data = Data::new();
        let mut profile = data.open("ana", TOKEN).unwrap();
        assert_eq!((profile.name(), profile.token()), ("ana", TOKEN));
        assert_eq!(profile.memory("relay:6100"), RelayMemory::default());
        profile.keep("relay:6100", memory(16)).unwrap();
        profile.keep("relay:6100", memory(17)).unwrap();
        profile.append_letters(&letters()).unwrap();
        drop(profile);
        let profile = data.open("ana", "another token of another run").unwrap();
        assert_eq!(profile.token(), TOKEN);
        assert_eq!(profile.letters().unwrap(), letters());
        assert_eq!(profile.memory("relay:6100"), memory(17));
        assert_eq!(profile.memory("elsewhere:6100"), RelayMemory::default());
        assert!(profile.damage().is_none());
    }

    #[test]
    fn the_relay_that_was_not_used_for_longest_is_forgotten_first() {
        let data = Data::new();
        let mut profile = data.open("ana", TOKEN).unwrap();
        let relay = |number: usize| format!("relay-{:03}:6100", MAX_RELAYS - number);
        for number in 0..MAX_RELAYS {
            profile.keep(&relay(number), memory(number as u64)).unwrap();
        }
        drop(profile);
        let mut profile = data.open("ana", TOKEN).unwrap();
        profile.keep(&relay(0), memory(1_000)).unwrap();
        profile.keep("a:6100", memory(2_000)).unwrap();
        assert_eq!(profile.memory(&relay(1)), RelayMemory::default());
        for (relay, position) in [(relay(0), 1_000), (relay(2), 2), ("a:6100".to_owned(), 2_000)] {
            assert_eq!(profile.memory(&relay), memory(position), "{relay}");
        }
    }

    #[test]
    fn profile_in_use_gives_way_to_the_next() {
        let data = Data::new();
        let first = data.open("ana", TOKEN).unwrap();
        let second = data.open("ana", "fedcba9876543210fedcba9876543210").unwrap();
        assert_eq!((first.name(), second.name()), ("ana", "ana-2"));
        assert_ne!(first.token(), second.token());
        drop(first);
        assert_eq!(data.open("ana", "x").unwrap().name(), "ana");
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_read_the_token() {
        use std::os::unix::fs::PermissionsExt;

        let data = Data::new();
        drop(data.open("ana", TOKEN).unwrap());
        let mode = |file: &str| fs::metadata(data.path(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("ana"), mode("ana/token")), (0o700, 0o600));
        fs::set_permissions(data.path("ana/token"), fs::Permissions::from_mode(0o644)).unwrap();
        let error = data.open("ana", TOKEN).unwrap_err().to_string();
        assert!(error.contains("can be read by other users of this machine"), "{error}");
    }

    // UC-KEY-006
    #[cfg(unix)]
    #[test]
    fn nobody_else_may_write_to_the_folder_or_hold_the_lock() {
        use std::os::unix::fs::PermissionsExt;

        let data = Data::new();
        drop(data.open("ana", TOKEN).unwrap());
        let set = |file: &str, mode| {
            fs::set_permissions(data.path(file), fs::Permissions::from_mode(mode)).unwrap();
        };
        let mode = |file: &str| fs::metadata(data.path(file)).unwrap().permissions().mode() & 0o777;
        let locks = ["ana/lock", "ana/change-lock"];
        assert_eq!(locks.map(mode), [0o600; 2]);
        locks.iter().for_each(|lock| set(lock, 0o666));
        set("ana", 0o755);
        drop(data.open("ana", TOKEN).unwrap());
        assert_eq!(locks.map(mode), [0o600; 2]);
        for wide in [0o775, 0o757] {
            set("ana", wide);
            let error = data.open("ana", TOKEN).unwrap_err().to_string();
            assert!(error.contains("may write to") && error.contains("chmod go-w"), "{error}");
        }
        set("ana", 0o700);
        set("", 0o777);
        let error = data.open("ana", TOKEN).unwrap_err().to_string();
        assert!(error.contains("may write to"), "{error}");
        // As a folder for everybody's things is: nobody takes another one's away.
        set("", 0o1777);
        drop(data.open("ana", TOKEN).unwrap());
    }

    #[test]
    fn damage_is_told_and_never_taken_for_content() {
        let data = Data::new();
        data.open("ana", TOKEN).unwrap().keep("relay:6100", memory(1)).unwrap();
        fs::write(data.path("ana/relays.json"), "{").unwrap();
        let profile = data.open("ana", TOKEN).unwrap();
        assert_eq!(profile.memory("relay:6100"), RelayMemory::default());
        assert!(profile.damage().unwrap().to_string().contains("relays.json is damaged"));
        drop(profile);
        fs::write(data.path("ana/token"), "").unwrap();
        assert!(data.open("ana", TOKEN).unwrap_err().to_string().contains("token is damaged"));
    }

    #[test]
    fn any_nick_has_a_folder_of_its_own() {
        for (nick, folder) in
            [("ana", "ana"), ("..", "%2E%2E"), ("a/b", "a%2Fb"), ("a%2Fb", "a%252Fb"), ("josé-1", "josé-1")]
        {
            assert_eq!(folder_name(nick), folder);
        }
        let data = Data::new();
        drop(data.open("../../x", TOKEN).unwrap());
        assert!(data.path("%2E%2E%2F%2E%2E%2Fx/token").exists());
    }

    #[test]
    fn folder_that_cannot_be_made_is_an_error_with_its_name() {
        let data = Data::new();
        fs::create_dir_all(&data.0).unwrap();
        fs::write(data.0.join("profiles"), "a file").unwrap();
        let error = data.open("ana", TOKEN).unwrap_err().to_string();
        assert!(error.contains("ana cannot be used: "), "{error}");
    }
}
