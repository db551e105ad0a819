//! Who somebody is on this machine, and whose keys they know: two files in a folder, `key` and `known.json`.
//!
//! Several programs may use one folder at once, so each change reads, merges and replaces the file under a lock that is held for no
//! longer than that. What is damaged or open to others is told, and never written over: with another key in its place nobody would
//! know its owner, and without the known keys anybody could pass for somebody.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::private::{self, Stamp};
use super::profile::{ProfileError, open_folder, system};
use crate::chat::{format_timestamp, parse_timestamp};
use crate::peer::trust::{KnownBy, KnownKey, make_room};
use crate::secure::{KeyPair, PublicKey};

/// The file with the secret key.
pub const KEY_FILE: &str = "key";

/// The file with the keys of others.
pub(super) const KNOWN_FILE: &str = "known.json";

/// A key pair and the keys that its owner knows.
#[derive(Clone, Debug)]
pub struct Identity {
    folder: PathBuf,
    keys: KeyPair,
    known: BTreeMap<KnownBy, KnownKey>,
    /// Which state of the file that is.
    stamp: Option<Stamp>,
    /// What other programs have changed meanwhile.
    news: BTreeMap<KnownBy, KnownKey>,
}

impl Identity {
    /// What is in `folder`, which is made if need be, with a key from `seed` if there is none.
    pub fn open(folder: &Path, seed: [u8; 32]) -> Result<Self, ProfileError> {
        open_folder(folder)?;
        let keys = key_pair(folder, seed)?;
        let path = folder.join(KNOWN_FILE);
        let stamp = private::stamp(&path);
        let (known, news) = (read_known(&path)?, BTreeMap::new());
        Ok(Self { folder: folder.to_owned(), keys, known, stamp, news })
    }

    /// Where it is kept.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Who the owner is.
    pub const fn keys(&self) -> &KeyPair {
        &self.keys
    }

    /// Whom the owner knew when the folder was opened.
    pub const fn known(&self) -> &BTreeMap<KnownBy, KnownKey> {
        &self.known
    }

    /// Keeps what was learned, beside whatever other programs have learned meanwhile. The later acceptance of a key wins. Tells
    /// what was not written: another key was accepted later, or there is no room.
    pub fn keep(&mut self, learned: &BTreeMap<KnownBy, KnownKey>) -> Result<Vec<KnownBy>, ProfileError> {
        let _lock = lock(&self.folder)?;
        let path = self.folder.join(KNOWN_FILE);
        let mut known = read_known(&path)?;
        let mut unwritten = Vec::new();
        for (by, key) in learned {
            let is_older = known.get(by).is_some_and(|kept| kept.key != key.key && !kept.gives_way_to(key));
            if is_older || !make_room(&mut known, by, key.is_chosen) {
                unwritten.push(by.clone());
            } else {
                let was_chosen = known.get(by).is_some_and(|kept| kept.key == key.key && kept.is_chosen);
                known.insert(by.clone(), KnownKey { is_chosen: key.is_chosen || was_chosen, ..key.clone() });
            }
        }
        let file = KnownFile { known: known.iter().map(Entry::new).collect() };
        let bytes = serde_json::to_vec_pretty(&file).map_err(|error| system(&path, error.into()))?;
        private::write_readable(&path, &bytes).map_err(|error| system(&path, error))?;
        self.stamp = private::stamp(&path);
        self.take_in(known, learned);
        Ok(unwritten)
    }

    /// The keys that other programs with this folder have learned, or their users have accepted, since the last time. It costs one
    /// question to the system where nothing changed.
    pub fn poll_news(&mut self) -> Result<Vec<(KnownBy, KnownKey)>, ProfileError> {
        let path = self.folder.join(KNOWN_FILE);
        let stamp = private::stamp(&path);
        if stamp.is_some() && stamp != self.stamp {
            self.stamp = stamp;
            // Whole at any moment, so that nobody has to wait for a lock.
            self.take_in(read_known(&path)?, &BTreeMap::new());
        }
        Ok(std::mem::take(&mut self.news).into_iter().collect())
    }

    /// Notes what the file holds by now; what neither was there before nor comes from us is news.
    fn take_in(&mut self, known: BTreeMap<KnownBy, KnownKey>, ours: &BTreeMap<KnownBy, KnownKey>) {
        for (by, now) in &known {
            let before = ours.get(by).or_else(|| self.known.get(by));
            if before.is_none_or(|before| before.key != now.key) {
                self.news.insert(by.clone(), now.clone());
            }
        }
        self.known = known;
    }
}

/// The key pair in a folder that is there, made from `seed` if there is none (UC-KEY-006).
pub fn key_pair(folder: &Path, seed: [u8; 32]) -> Result<KeyPair, ProfileError> {
    let seed = Zeroizing::new(seed);
    let path = folder.join(KEY_FILE);
    // Two programs that are started at once must not make two keys.
    let _lock = lock(folder)?;
    let Some(bytes) = private::read(&path).map_err(|error| system(&path, error))? else {
        let keys = KeyPair::from_secret(*seed);
        let mut line = Zeroizing::new(keys.secret_text().to_string());
        line.push('\n');
        private::write_whole(&path, line.as_bytes()).map_err(|error| system(&path, error))?;
        return Ok(keys);
    };
    let bytes = Zeroizing::new(bytes);
    if private::is_exposed(&path).map_err(|error| system(&path, error))? {
        return Err(ProfileError::Exposed { path });
    }
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    KeyPair::from_secret_text(text.trim_end()).map_err(|_| ProfileError::NoKey { path })
}

/// Whose folder it is, where the reader could be its owner: None if that cannot be told. Nothing is made.
pub fn owner_of(folder: &Path) -> Option<PublicKey> {
    let path = folder.join(KEY_FILE);
    let bytes = Zeroizing::new(private::read(&path).ok()??);
    let is_private = private::is_exposed(&path).is_ok_and(|is_exposed| !is_exposed);
    let text = std::str::from_utf8(&bytes).ok().filter(|_| is_private)?;
    Some(KeyPair::from_secret_text(text.trim_end()).ok()?.public())
}

/// Waits for the other programs that change files in this folder, each for a moment.
fn lock(folder: &Path) -> Result<File, ProfileError> {
    let path = folder.join("change-lock");
    let lock = private::open_lock(&path).map_err(|error| system(&path, error))?;
    lock.lock().map_err(|error| system(&path, error))?;
    Ok(lock)
}

/// `known.json` (UC-KEY-007).
#[derive(Debug, Serialize, Deserialize)]
struct KnownFile {
    known: Vec<Entry>,
}

/// One known key, by an address, by a relay and a member's name, or by a caller's name.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Entry {
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    relay: Option<PublicKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<String>,
    key: Option<PublicKey>,
    nick: Option<String>,
    since: String,
    last: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    chosen: bool,
}

impl Entry {
    fn new((by, known): (&KnownBy, &KnownKey)) -> Self {
        let KnownKey { key, nick, since, address, is_chosen } = known.clone();
        let (key, since) = (Some(key), format_timestamp(since));
        let entry = Self { key, nick, since, last: address, chosen: is_chosen, ..Self::default() };
        match by.clone() {
            KnownBy::Address(address) => Self { address: Some(address), ..entry },
            KnownBy::Member { relay, name } => Self { relay: Some(relay), member: Some(name), ..entry },
            KnownBy::Caller { name } => Self { caller: Some(name), ..entry },
        }
    }

    /// None: it says nothing, or two things.
    fn read(self) -> Option<(KnownBy, KnownKey)> {
        let by = match (self.address, self.relay, self.member, self.caller) {
            (Some(address), None, None, None) => KnownBy::Address(address),
            (None, Some(relay), Some(name), None) => KnownBy::Member { relay, name },
            (None, None, None, Some(name)) => KnownBy::Caller { name },
            _ => return None,
        };
        let since = parse_timestamp(&self.since)?;
        let (nick, address, is_chosen) = (self.nick, self.last, self.chosen);
        Some((by, KnownKey { key: self.key?, nick, since, address, is_chosen }))
    }
}

fn read_known(path: &Path) -> Result<BTreeMap<KnownBy, KnownKey>, ProfileError> {
    let Some(bytes) = private::read(path).map_err(|error| system(path, error))? else {
        return Ok(BTreeMap::new());
    };
    if private::is_open_to_others(path).map_err(|error| system(path, error))? {
        return Err(ProfileError::Open { path: path.to_owned() });
    }
    let damaged = || ProfileError::NoKnownKeys { path: path.to_owned() };
    let file: KnownFile = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
    file.known.into_iter().map(|entry| entry.read().ok_or_else(damaged)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::Folder;
    use super::*;
    use crate::peer::trust::{MAX_ADDRESSES, MAX_CALLERS, MAX_MEMBERS, MAX_OF_RELAY};
    use crate::time::WallTime;

    fn known(number: u8, second: i64) -> KnownKey {
        KnownKey {
            key: KeyPair::from_secret([number; 32]).public(),
            nick: Some("bob".to_owned()),
            since: WallTime::from_unix_micros(second * 1_000_000),
            address: Some("192.0.2.1:6000".to_owned()),
            is_chosen: number.is_multiple_of(2),
        }
    }

    // UC-KEY-001
    #[test]
    fn the_key_is_made_once() {
        let folder = Folder::new();
        let first = Identity::open(&folder.join("ana"), [1; 32]).unwrap();
        let again = Identity::open(&folder.join("ana"), [2; 32]).unwrap();
        assert_eq!(first.keys().public(), again.keys().public());
        let text = fs::read_to_string(folder.join("ana/key")).unwrap();
        assert_eq!(text, format!("{}\n", *first.keys().secret_text()));
    }

    // UC-KEY-006
    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;

        let folder = Folder::new();
        drop(Identity::open(&folder, [1; 32]).unwrap());
        let path = folder.join(KEY_FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = Identity::open(&folder, [1; 32]).unwrap_err().to_string();
            assert!(
                error.contains("key can be read by other users") && error.contains("chmod 600"),
                "{error}"
            );
        }
    }

    // UC-KEY-006, UC-KEY-007
    #[test]
    fn what_is_damaged_is_told_and_not_written_over() {
        let folder = Folder::new();
        drop(Identity::open(&folder, [1; 32]).unwrap());
        let key = fs::read_to_string(folder.join(KEY_FILE)).unwrap();
        let mut other = Identity::open(&folder, [1; 32]).unwrap();
        for text in ["", "not a key\n", &key[1..]] {
            fs::write(folder.join(KEY_FILE), text).unwrap();
            let error = Identity::open(&folder, [1; 32]).unwrap_err().to_string();
            assert!(error.contains("holds no key"), "{error}");
            assert_eq!(fs::read_to_string(folder.join(KEY_FILE)).unwrap(), text);
        }
        fs::write(folder.join(KEY_FILE), key).unwrap();
        for text in
            ["", "{", r#"{"known":[{"address":"a:1"}]}"#, r#"{"known":[{"caller":"x","since":"now"}]}"#]
        {
            fs::write(folder.join(KNOWN_FILE), text).unwrap();
            let error = Identity::open(&folder, [1; 32]).unwrap_err().to_string();
            assert!(error.contains("known.json is damaged"), "{error}");
            other.keep(&BTreeMap::from([(KnownBy::address("a:1"), known(1, 1))])).unwrap_err();
            assert_eq!(fs::read_to_string(folder.join(KNOWN_FILE)).unwrap(), text);
        }
    }

    // UC-KEY-007
    #[test]
    fn as_many_keys_as_are_known_at_most_can_be_read_again() {
        let folder = Folder::new();
        drop(Identity::open(&folder, [1; 32]).unwrap());
        // The longest name that a stranger can have, told apart by its end; host names are bounded by what can be looked up.
        let name = |number: usize| format!("{}{number:05}", "\u{1f600}".repeat(27));
        let longest = |number: usize| KnownKey {
            nick: Some(name(number)),
            address: Some("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%4294967295]:65535".to_owned()),
            is_chosen: true,
            ..known(1, 1)
        };
        let relay = |number: usize| known((number / MAX_OF_RELAY) as u8, 0).key;
        let members = (0..MAX_MEMBERS).map(|number| (KnownBy::member(relay(number), &name(number)), number));
        let callers = (0..MAX_CALLERS).map(|number| (KnownBy::caller(&name(number)), number));
        let addresses = (0..MAX_ADDRESSES)
            .map(|number| (KnownBy::address(&format!("{}{number:05}:65535", "x".repeat(248))), number));
        let all = members.chain(callers).chain(addresses);
        let all: BTreeMap<KnownBy, KnownKey> = all.map(|(by, number)| (by, longest(number))).collect();
        Identity::open(&folder, [1; 32]).unwrap().keep(&all).unwrap();
        assert_eq!(Identity::open(&folder, [1; 32]).unwrap().known(), &all);
    }

    // UC-KEY-007
    #[test]
    fn what_is_too_long_is_not_called_damaged_and_not_written() {
        let folder = Folder::new();
        let mut identity = Identity::open(&folder, [1; 32]).unwrap();
        let long = "x".repeat(private::MAX_BYTES as usize);
        let error = identity.keep(&BTreeMap::from([(KnownBy::address(&long), known(1, 1))])).unwrap_err();
        assert!(error.to_string().contains("known.json would be longer than 16 MiB"), "{error}");
        assert!(!folder.join(KNOWN_FILE).exists());
        fs::write(folder.join(KNOWN_FILE), long + "x").unwrap();
        let error = Identity::open(&folder, [1; 32]).unwrap_err().to_string();
        assert!(error.contains("known.json is longer than 16 MiB"), "{error}");
    }

    #[test]
    fn what_another_program_accepted_is_news_once() {
        let folder = Folder::new();
        let [mut one, mut two] = [(); 2].map(|()| Identity::open(&folder, [1; 32]).unwrap());
        let learn = |it: &mut Identity, by: &str, key: KnownKey| {
            it.keep(&BTreeMap::from([(KnownBy::address(by), key)])).unwrap();
        };
        learn(&mut one, "a:1", known(1, 1));
        assert_eq!(one.poll_news().unwrap(), [], "it knows that itself");
        assert_eq!(two.poll_news().unwrap(), [(KnownBy::address("a:1"), known(1, 1))]);
        assert_eq!(two.poll_news().unwrap(), []);
        learn(&mut two, "a:1", known(2, 2));
        assert_eq!(one.poll_news().unwrap(), [(KnownBy::address("a:1"), known(2, 2))]);
        // What is found while something else is written down is no less news.
        learn(&mut two, "a:1", known(3, 3));
        learn(&mut one, "b:1", known(4, 3));
        assert_eq!(one.poll_news().unwrap(), [(KnownBy::address("a:1"), known(3, 3))]);
        assert_eq!(two.poll_news().unwrap(), [(KnownBy::address("b:1"), known(4, 3))]);
    }

    #[test]
    fn two_programs_lose_nothing_of_each_other() {
        let folder = Folder::new();
        let [mut one, mut two] = [(); 2].map(|()| Identity::open(&folder, [1; 32]).unwrap());
        let relay = known(9, 0).key;
        let all = [KnownBy::address("a:1"), KnownBy::member(relay, "ana"), KnownBy::caller("bob")];
        one.keep(&BTreeMap::from([(all[0].clone(), known(1, 1)), (all[1].clone(), known(2, 1))])).unwrap();
        two.keep(&BTreeMap::from([(all[2].clone(), known(3, 1))])).unwrap();
        let kept = |by: &KnownBy| Identity::open(&folder, [1; 32]).unwrap().known().get(by).cloned();
        assert_eq!(all.each_ref().map(kept), [1, 2, 3].map(|number| Some(known(number, 1))));
        // One was accepted later than the other program knows.
        one.keep(&BTreeMap::from([(all[0].clone(), known(4, 5))])).unwrap();
        let unwritten = two.keep(&BTreeMap::from([(all[0].clone(), known(1, 1))])).unwrap();
        assert_eq!(unwritten, all[..1], "and it is told");
        assert_eq!(kept(&all[0]), Some(known(4, 5)));
    }
}
