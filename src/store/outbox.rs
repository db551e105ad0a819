//! Words that left without a receipt, in the file `outbox` of a profile: what is to be said again by the next run (UC-CHAT-018).
//!
//! A log of what is kept and what is dropped, one JSON object a line. It is written before the words leave, so a program that is
//! killed loses nothing of what may be under way; nothing waits for the disk itself, so a power cut may. One program at a time uses
//! it, since the profile is locked. It must never hand out words whose fate was told.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::private;
use super::profile::ProfileError;
use crate::chat::{MessageId, format_timestamp, parse_timestamp};
use crate::peer::Quote;
use crate::peer::again::{Kept, OutboxChange};
use crate::secure::PublicKey;

/// As long as the file is no longer than this, nobody minds what in it counts no more.
const SPARE_BYTES: u64 = 1024 * 1024;

/// The file of a profile, in use.
#[derive(Debug)]
pub struct Outbox {
    path: PathBuf,
    file: File,
    length: u64,
    /// What is kept, and how many bytes of the file each takes.
    live: BTreeMap<MessageId, u64>,
    live_bytes: u64,
}

impl Outbox {
    /// The file in `folder`, and what it keeps in the order in which it was said; what cannot be read is left out and told.
    pub fn open(folder: &Path) -> Result<(Self, Vec<Kept>, Option<ProfileError>), ProfileError> {
        let path = folder.join("outbox");
        let system = |error| ProfileError::System { path: path.clone(), error };
        let found = read(&path).map_err(system)?;
        let mut damage = None;
        if found.is_damaged {
            let copy = folder.join("outbox.damaged");
            private::write_whole(&copy, &fs::read(&path).map_err(system)?).map_err(system)?;
            damage = Some(ProfileError::Replaced { path: path.clone(), copy });
        }
        let file = open(&path).map_err(system)?;
        let mut outbox = Self { file, length: 0, live: BTreeMap::new(), live_bytes: 0, path: path.clone() };
        // Anew, so that half a line at the end is gone, and what is damaged is told once.
        outbox.rewrite(&found.kept).map_err(system)?;
        Ok((outbox, found.kept, damage))
    }

    /// Writes down what is kept, and what no longer. After it returns, a program that is killed leaves it so.
    pub fn apply(&mut self, changes: Vec<OutboxChange>) -> Result<(), ProfileError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.write(changes).map_err(|error| ProfileError::System { path: self.path.clone(), error })
    }

    /// Nothing of it is to be said again. What cannot be taken away stays, and the receiver knows it.
    pub fn clear(self) {
        let _ = self.file.set_len(0);
    }

    fn write(&mut self, changes: Vec<OutboxChange>) -> io::Result<()> {
        let mut lines = Vec::new();
        for change in changes {
            let start = lines.len();
            let record = match &change {
                OutboxChange::Keep(kept) => Record::keep(kept),
                OutboxChange::Drop(id) | OutboxChange::Confirm(id) => {
                    Record { drop: Some(id.clone()), keep: None }
                }
            };
            push_line(&mut lines, &record)?;
            match change {
                OutboxChange::Keep(kept) => {
                    let bytes = (lines.len() - start) as u64;
                    self.live_bytes += bytes;
                    self.live_bytes -= self.live.insert(kept.id, bytes).unwrap_or(0);
                }
                OutboxChange::Drop(id) | OutboxChange::Confirm(id) => {
                    self.live_bytes -= self.live.remove(&id).unwrap_or(0);
                }
            }
        }
        if self.live.is_empty() {
            self.length = 0;
            return self.file.set_len(0);
        }
        if let Err(error) = self.file.write_all(&lines) {
            // A full disk: better none of it than half of it.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += lines.len() as u64;
        if self.length > SPARE_BYTES.max(2 * self.live_bytes) {
            let found = read(&self.path)?;
            self.rewrite(&found.kept)?;
        }
        Ok(())
    }

    /// Puts a file in its place that holds this alone.
    fn rewrite(&mut self, kept: &[Kept]) -> io::Result<()> {
        let mut lines = Vec::new();
        (self.live, self.live_bytes) = (BTreeMap::new(), 0);
        for kept in kept {
            let start = lines.len();
            push_line(&mut lines, &Record::keep(kept))?;
            self.live.insert(kept.id.clone(), (lines.len() - start) as u64);
        }
        (self.length, self.live_bytes) = (lines.len() as u64, lines.len() as u64);
        if self.file.metadata()?.len() == 0 && lines.is_empty() {
            return Ok(());
        }
        private::write_whole(&self.path, &lines)?;
        self.file = open(&self.path)?;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn push_line(lines: &mut Vec<u8>, record: &Record) -> io::Result<()> {
    serde_json::to_writer(&mut *lines, record)?;
    lines.push(b'\n');
    Ok(())
}

#[derive(Default)]
struct Found {
    kept: Vec<Kept>,
    is_damaged: bool,
}

/// What a file keeps. Half a line at its end is no damage: its words never left.
fn read(path: &Path) -> io::Result<Found> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::default()),
        Err(error) => return Err(error),
    };
    let (mut kept, mut order) = (BTreeMap::new(), BTreeMap::new());
    let (mut reader, mut line, mut number, mut is_damaged) = (BufReader::new(file), Vec::new(), 0_u64, false);
    while reader.read_until(b'\n', &mut line)? > 0 {
        if line.last() != Some(&b'\n') {
            break;
        }
        number += 1;
        match serde_json::from_slice::<Record>(&line).ok().and_then(Record::read) {
            Some(OutboxChange::Keep(words)) => {
                // Once more when it left: it stays where it was.
                let place = *order.entry(words.id.clone()).or_insert(number);
                kept.insert(place, words);
            }
            Some(OutboxChange::Drop(id) | OutboxChange::Confirm(id)) => {
                order.remove(&id).and_then(|number| kept.remove(&number));
            }
            None => is_damaged = true,
        }
        line.clear();
    }
    Ok(Found { kept: kept.into_values().collect(), is_damaged })
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keep: Option<Entry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drop: Option<MessageId>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    id: MessageId,
    key: PublicKey,
    to: String,
    ts: String,
    text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    re: Option<Original>,
    /// It never left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unsent: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Original {
    id: MessageId,
    ts: String,
    text: String,
}

impl Record {
    fn keep(kept: &Kept) -> Self {
        let re = kept.reply_to.as_ref().map(|quote| Original {
            id: quote.id.clone(),
            ts: format_timestamp(quote.sent_at),
            text: quote.text.clone(),
        });
        let Kept { id, key, to, text, at, is_sent, .. } = kept.clone();
        let entry = Entry { id, key, to, ts: format_timestamp(at), text, re, unsent: !is_sent };
        Self { keep: Some(entry), drop: None }
    }

    fn read(self) -> Option<OutboxChange> {
        match (self.keep, self.drop) {
            (Some(Entry { id, key, to, ts, text, re, unsent }), None) => {
                let quote = |original: Original| {
                    let Original { id, ts, text } = original;
                    Some(Quote { id, text, sent_at: parse_timestamp(&ts)? })
                };
                let reply_to = match re {
                    Some(original) => Some(quote(original)?),
                    None => None,
                };
                let (at, is_sent) = (parse_timestamp(&ts)?, !unsent);
                Some(OutboxChange::Keep(Kept { id, key, to, text, at, reply_to, is_sent }))
            }
            (None, Some(id)) => Some(OutboxChange::Drop(id)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Folder;
    use super::*;
    use crate::secure::KeyPair;
    use crate::time::WallTime;

    fn kept(number: u64) -> Kept {
        let quote = Quote {
            id: MessageId::new("other", number),
            text: "what?".to_owned(),
            sent_at: WallTime::from_unix_micros(1_000_000),
        };
        Kept {
            id: MessageId::new("run", number),
            key: KeyPair::from_secret([7; 32]).public(),
            to: "bob.example:6000".to_owned(),
            text: format!("line {number}\nof \"two\""),
            at: WallTime::from_unix_micros(1_795_262_400_000_001),
            reply_to: number.is_multiple_of(2).then_some(quote),
            is_sent: number.is_multiple_of(3),
        }
    }

    // UC-CHAT-018
    #[test]
    fn what_leaves_later_is_kept_once_and_in_its_place() {
        let folder = Folder::new();
        let unsent = |number| Kept { is_sent: false, ..kept(number) };
        let (mut outbox, ..) = Outbox::open(&folder).unwrap();
        outbox.apply(vec![OutboxChange::Keep(unsent(3)), OutboxChange::Keep(unsent(4))]).unwrap();
        outbox.apply(vec![keep(3)]).unwrap();
        drop(outbox);
        assert_eq!(content(&folder), [kept(3), unsent(4)]);
    }

    fn keep(number: u64) -> OutboxChange {
        OutboxChange::Keep(kept(number))
    }

    fn drop_it(number: u64) -> OutboxChange {
        OutboxChange::Drop(kept(number).id)
    }

    fn content(folder: &Path) -> Vec<Kept> {
        let (_, kept, damage) = Outbox::open(folder).unwrap();
        assert!(damage.is_none(), "{damage:?}");
        kept
    }

    fn length(folder: &Path) -> u64 {
        fs::metadata(folder.join("outbox")).unwrap().len()
    }

    // UC-CHAT-018
    #[test]
    fn what_has_no_receipt_is_there_after_a_restart_in_order() {
        let folder = Folder::new();
        let (mut outbox, none, damage) = Outbox::open(&folder).unwrap();
        assert!(none.is_empty() && damage.is_none());
        outbox.apply((1..=12).map(keep).collect()).unwrap();
        outbox.apply(vec![drop_it(3), drop_it(12), keep(13)]).unwrap();
        drop(outbox);
        let expected: Vec<Kept> = [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 13].map(kept).into();
        assert_eq!(content(&folder), expected);
        assert_eq!(content(&folder), expected, "opening changes nothing");
    }

    #[test]
    fn half_a_line_counts_as_none_and_spoils_no_other() {
        let folder = Folder::new();
        Outbox::open(&folder).unwrap().0.apply(vec![keep(1)]).unwrap();
        let first = length(&folder);
        Outbox::open(&folder).unwrap().0.apply(vec![keep(2)]).unwrap();
        let whole = fs::read(folder.join("outbox")).unwrap();
        for bytes in usize::try_from(first).unwrap()..whole.len() {
            fs::write(folder.join("outbox"), &whole[..bytes]).unwrap();
            let (mut outbox, found, damage) = Outbox::open(&folder).unwrap();
            assert!(found == [kept(1)] && damage.is_none(), "{bytes} bytes: {found:?}");
            outbox.apply(vec![keep(3)]).unwrap();
            assert_eq!(content(&folder), [1, 3].map(kept));
        }
    }

    #[test]
    fn damage_is_told_once_and_the_rest_is_used() {
        let folder = Folder::new();
        Outbox::open(&folder).unwrap().0.apply(vec![keep(1)]).unwrap();
        let mut bytes = fs::read(folder.join("outbox")).unwrap();
        bytes.extend_from_slice(b"{\"keep\":7}\n");
        fs::write(folder.join("outbox"), bytes).unwrap();
        let (_, found, damage) = Outbox::open(&folder).unwrap();
        assert_eq!(found, [kept(1)]);
        let told = damage.unwrap().to_string();
        assert!(
            told.contains("outbox was damaged") && told.contains("outbox.damaged is how it was"),
            "{told}"
        );
        let copy = fs::read_to_string(folder.join("outbox.damaged")).unwrap();
        assert!(copy.ends_with("{\"keep\":7}\n"), "{copy}");
        assert_eq!(content(&folder), [kept(1)]);
    }

    #[test]
    fn the_file_does_not_grow_with_what_was_delivered() {
        let folder = Folder::new();
        let (mut outbox, ..) = Outbox::open(&folder).unwrap();
        outbox.apply(vec![keep(1)]).unwrap();
        for number in 2..10_000 {
            outbox.apply(vec![keep(number), drop_it(number)]).unwrap();
            assert!(outbox.length <= SPARE_BYTES + 1_000);
        }
        drop(outbox);
        assert_eq!(content(&folder), [kept(1)]);
        Outbox::open(&folder).unwrap().0.apply(vec![drop_it(1)]).unwrap();
        assert_eq!((length(&folder), content(&folder)), (0, vec![]));
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_reads_what_was_said() {
        use std::os::unix::fs::PermissionsExt;

        let folder = Folder::new();
        Outbox::open(&folder).unwrap().0.apply(vec![keep(1)]).unwrap();
        let mode = fs::metadata(folder.join("outbox")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
