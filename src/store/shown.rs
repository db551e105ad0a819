//! Which messages of others were shown, in the file `shown` of a profile: one line for each, a key and an id (UC-CHAT-017).
//!
//! Lines are only added, so a program that is killed leaves at worst half a line, which is no damage. Several programs may use one
//! profile at once, so each change happens under a lock. It must never hand out a name that is not there whole: a message would
//! count as shown that nobody saw.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::private;
use super::profile::ProfileError;
use crate::chat::MessageId;
use crate::peer::shown::{MAX_SHOWN, Shown};
use crate::secure::PublicKey;

/// A sender's key, and the id of its message.
pub type Entry = (PublicKey, MessageId);

/// The longest line: a key, a space, an id, the end.
const MAX_LINE_BYTES: u64 = 52 + 1 + MessageId::MAX_BYTES as u64 + 1;

/// When the file is this long, the lines that count no longer are taken out: it then has at least as many of them as of others.
const COMPACT_BYTES: u64 = 2 * MAX_SHOWN as u64 * MAX_LINE_BYTES;

/// The file of a profile.
#[derive(Debug)]
pub struct ShownFile {
    path: PathBuf,
    lock: PathBuf,
}

impl ShownFile {
    /// The file in `folder`, and what it holds, oldest first; what was not written by us is left out and told.
    pub fn open(folder: &Path) -> Result<(Self, Vec<Entry>, Option<ProfileError>), ProfileError> {
        let file = Self { path: folder.join("shown"), lock: folder.join("shown-lock") };
        let (entries, is_damaged) = file.read().map_err(|error| file.trouble(error))?;
        let damage = is_damaged.then(|| ProfileError::Damaged { path: file.path.clone() });
        Ok((file, entries, damage))
    }

    /// Adds what was shown. After it returns, a program that is killed has it still; after a power cut it may be gone.
    pub fn append(&self, entries: &[Entry]) -> Result<(), ProfileError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.write(entries).map_err(|error| self.trouble(error))
    }

    fn read(&self) -> io::Result<(Vec<Entry>, bool)> {
        let _lock = self.lock()?;
        let Some(bytes) = private::read(&self.path)? else { return Ok((Vec::new(), false)) };
        Ok(parse(&bytes))
    }

    fn write(&self, entries: &[Entry]) -> io::Result<()> {
        let _lock = self.lock()?;
        let mut options = File::options();
        options.create(true).read(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.path)?;
        let length = cut_half_line(&mut file)?;
        let mut lines = String::new();
        entries.iter().for_each(|entry| push_line(&mut lines, entry.0, &entry.1));
        if let Err(error) = file.write_all(lines.as_bytes()) {
            // A full disk: better none of it than half of it.
            file.set_len(length)?;
            return Err(error);
        }
        if length + lines.len() as u64 > COMPACT_BYTES {
            self.compact()?;
        }
        Ok(())
    }

    /// Writes the file anew with what still counts; the lock is held.
    fn compact(&self) -> io::Result<()> {
        let bytes = private::read(&self.path)?.unwrap_or_default();
        let shown = Shown::new(parse(&bytes).0);
        let mut lines = String::new();
        shown.entries().for_each(|(key, id)| push_line(&mut lines, key, id));
        private::write_whole(&self.path, lines.as_bytes())
    }

    fn lock(&self) -> io::Result<File> {
        let lock = private::open_lock(&self.lock)?;
        lock.lock()?;
        Ok(lock)
    }

    fn trouble(&self, error: io::Error) -> ProfileError {
        ProfileError::System { path: self.path.clone(), error }
    }
}

fn push_line(lines: &mut String, key: PublicKey, id: &MessageId) {
    lines.push_str(&format!("{key} {id}\n"));
}

/// Takes away half a line that a program left that was killed: what comes next must not become part of it. Tells how long the file
/// is then.
fn cut_half_line(file: &mut File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let tail_bytes = length.min(MAX_LINE_BYTES);
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(length - tail_bytes))?;
    (&mut *file).take(tail_bytes).read_to_end(&mut tail)?;
    let half = tail.iter().rev().take_while(|&&byte| byte != b'\n').count() as u64;
    if half > 0 {
        file.set_len(length - half)?;
    }
    Ok(length - half)
}

/// The lines, and whether there are some that we did not write. What comes after the last line's end is half a line.
fn parse(bytes: &[u8]) -> (Vec<Entry>, bool) {
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let (mut entries, mut is_damaged) = (Vec::new(), false);
    for line in bytes[..whole].split_inclusive(|&byte| byte == b'\n') {
        match parse_line(line) {
            Some(entry) => entries.push(entry),
            None => is_damaged = true,
        }
    }
    (entries, is_damaged)
}

fn parse_line(line: &[u8]) -> Option<Entry> {
    let (key, id) = std::str::from_utf8(line).ok()?.strip_suffix('\n')?.split_once(' ')?;
    Some((key.parse().ok()?, MessageId::parse(id)?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::Folder;
    use super::*;
    use crate::secure::KeyPair;

    fn entry(number: u64) -> Entry {
        (KeyPair::from_secret([7; 32]).public(), MessageId::new("run", number))
    }

    fn entries(folder: &Path) -> Vec<Entry> {
        let (_, entries, damage) = ShownFile::open(folder).unwrap();
        assert!(damage.is_none(), "{damage:?}");
        entries
    }

    // UC-CHAT-017
    #[test]
    fn what_was_shown_is_there_after_a_restart() {
        let folder = Folder::new();
        let (file, none, damage) = ShownFile::open(&folder).unwrap();
        assert!(none.is_empty() && damage.is_none());
        // Two programs with the same profile.
        let (other, ..) = ShownFile::open(&folder).unwrap();
        file.append(&[entry(1), entry(2)]).unwrap();
        other.append(&[entry(3)]).unwrap();
        file.append(&[entry(4)]).unwrap();
        assert_eq!(entries(&folder), [1, 2, 3, 4].map(entry));
    }

    #[test]
    fn half_a_line_counts_as_none_and_spoils_no_other() {
        let folder = Folder::new();
        let (file, ..) = ShownFile::open(&folder).unwrap();
        file.append(&[entry(1), entry(2)]).unwrap();
        let whole = fs::read(folder.join("shown")).unwrap();
        let line = whole.len() / 2;
        for length in line + 1..whole.len() {
            fs::write(folder.join("shown"), &whole[..length]).unwrap();
            assert_eq!(entries(&folder), [entry(1)], "{length} bytes");
        }
        file.append(&[entry(3)]).unwrap();
        assert_eq!(entries(&folder), [1, 3].map(entry));
    }

    #[test]
    fn damage_is_told_and_the_rest_is_used() {
        let folder = Folder::new();
        let (file, ..) = ShownFile::open(&folder).unwrap();
        file.append(&[entry(1)]).unwrap();
        let mut bytes = fs::read(folder.join("shown")).unwrap();
        bytes.extend_from_slice(b"\xff\xfe what?\n");
        fs::write(folder.join("shown"), bytes).unwrap();
        file.append(&[entry(2)]).unwrap();
        let (_, rest, damage) = ShownFile::open(&folder).unwrap();
        assert_eq!(rest, [1, 2].map(entry));
        assert!(damage.unwrap().to_string().contains("shown is damaged"));
    }

    #[test]
    fn the_file_stays_short() {
        let folder = Folder::new();
        let (file, ..) = ShownFile::open(&folder).unwrap();
        let most = MAX_SHOWN as u64;
        for turn in 0..8 {
            let turn: Vec<Entry> = (0..most).map(|number| entry(turn * most + number)).collect();
            file.append(&turn).unwrap();
            assert!(fs::metadata(folder.join("shown")).unwrap().len() <= COMPACT_BYTES);
        }
        let kept = entries(&folder);
        assert_eq!(kept[kept.len() - MAX_SHOWN..], (7 * most..8 * most).map(entry).collect::<Vec<_>>());
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_reads_who_wrote() {
        use std::os::unix::fs::PermissionsExt;

        let folder = Folder::new();
        ShownFile::open(&folder).unwrap().0.append(&[entry(1)]).unwrap();
        let mode = fs::metadata(folder.join("shown")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
