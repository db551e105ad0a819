//! The text files of the log: one a day, each line harmless to whoever reads it on a terminal.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::chat::format_timestamp;
use crate::time::WallTime;

/// A term of school, and what many rules on keeping records of people allow at the most.
const KEPT_DAYS: i64 = 90;

/// The most lines of a tail: more than anybody reads.
const MOST_TAIL_LINES: usize = 1_000;

/// The most bytes of a tail, unless one line alone has more: what a relay can tell in a few messages.
const MOST_TAIL_BYTES: usize = 256 * 1024;

/// Read at once, from the end.
const CHUNK_BYTES: u64 = 64 * 1024;

const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;

/// Rooms that are private are in it too.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// The folder, and today's file.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    open: Option<(String, File)>,
}

impl Files {
    /// The files in `folder`, which is made if it is not there.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
        Ok(Self { folder: folder.to_owned(), open: None })
    }

    /// Where they are.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds lines, oldest first. After an error some of them may have been written.
    pub(super) fn append(&mut self, lines: &[(WallTime, String)]) -> io::Result<()> {
        let mut rest = lines;
        while let Some((at, _)) = rest.first() {
            let name = name_of(*at);
            let same_day = rest.iter().take_while(|(at, _)| name_of(*at) == name).count();
            let (today, later) = rest.split_at(same_day);
            let mut text = String::new();
            for (_, line) in today {
                text.extend(line.chars().map(harmless));
                text.push('\n');
            }
            let written = self.file(&name, *at).and_then(|file| file.write_all(text.as_bytes()));
            if written.is_err() {
                // Whatever is the matter with it: the next try begins with opening.
                self.open = None;
            }
            written?;
            rest = later;
        }
        Ok(())
    }

    /// The day's file. When the day changes, old files go.
    fn file(&mut self, name: &str, at: WallTime) -> io::Result<&mut File> {
        if self.open.as_ref().is_none_or(|(open, _)| open != name) {
            let path = self.folder.join(name);
            let file = OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(path)?;
            self.open = Some((name.to_owned(), file));
            if let Err(error) = self.delete_old(at) {
                // What is too old and cannot go is no reason not to write what is new.
                log::warn!("an old file of the log in {} stays: {error}", self.folder.display());
            }
        }
        match &mut self.open {
            Some((_, file)) => Ok(file),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn delete_old(&self, at: WallTime) -> io::Result<()> {
        let oldest = name_of(WallTime::from_unix_micros(at.as_unix_micros() - KEPT_DAYS * DAY_MICROS));
        for name in self.names()?.into_iter().filter(|name| *name < oldest) {
            fs::remove_file(self.folder.join(name))?;
        }
        Ok(())
    }

    /// The names of our files, oldest first.
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            if let Some(name) = entry?.file_name().to_str().filter(|name| is_ours(name)) {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The last lines, oldest first, read from the end: the same effort however much was written before.
    pub(super) fn tail(&self, lines: usize) -> io::Result<Vec<String>> {
        let wanted = lines.min(MOST_TAIL_LINES);
        let mut newest_first = Vec::new();
        let mut bytes = 0;
        for name in self.names()?.iter().rev() {
            let missing = wanted - newest_first.len();
            if missing == 0 {
                break;
            }
            let end = read_end(&self.folder.join(name), missing)?;
            for line in String::from_utf8_lossy(&end).lines().rev().take(missing) {
                bytes += line.len() + 1;
                if bytes > MOST_TAIL_BYTES && !newest_first.is_empty() {
                    newest_first.reverse();
                    return Ok(newest_first);
                }
                newest_first.push(line.to_owned());
            }
        }
        newest_first.reverse();
        Ok(newest_first)
    }
}

/// The end of a file that holds so many whole lines, or all that may be read.
fn read_end(path: &Path, lines: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.seek(SeekFrom::End(0))?;
    let mut size = CHUNK_BYTES;
    loop {
        let start = length.saturating_sub(size);
        file.seek(SeekFrom::Start(start))?;
        let mut end = Vec::new();
        (&mut file).take(length - start).read_to_end(&mut end)?;
        if start == 0 {
            return Ok(end);
        }
        // The first line is not whole.
        let breaks = end.iter().filter(|byte| **byte == b'\n').count();
        if breaks > lines || breaks > 1 && end.len() > 2 * MOST_TAIL_BYTES {
            let whole = end.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            return Ok(end.split_off(whole));
        }
        size *= 2;
    }
}

fn name_of(at: WallTime) -> String {
    let date: String = format_timestamp(at).chars().take_while(|c| *c != 'T').collect();
    format!("relay-{date}.txt")
}

fn is_ours(name: &str) -> bool {
    let date = name.strip_prefix("relay-").and_then(|rest| rest.strip_suffix(".txt"));
    date.is_some_and(|date| {
        date.len() == 10 && date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
    })
}

/// A character that no terminal acts on, that hides nothing and turns nothing around.
fn harmless(character: char) -> char {
    match character {
        '\n' => '⏎',
        // The pictures of the control characters are in the same order as these.
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(character)).unwrap_or('\u{fffd}'),
        '\x7f'..='\u{9f}'
        | '\u{61c}'
        | '\u{200b}'
        | '\u{200e}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}' => '\u{fffd}',
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::store::tests::Folder;

    /// The first moment of 2026-11-21, and so many days and seconds after it.
    fn at(days: i64, seconds: i64) -> WallTime {
        WallTime::from_unix_micros(1_795_219_200_000_000 + days * DAY_MICROS + seconds * 1_000_000)
    }

    fn lines(lines: &[(WallTime, &str)]) -> Vec<(WallTime, String)> {
        lines.iter().map(|(at, line)| (*at, (*line).to_owned())).collect()
    }

    #[track_caller]
    fn check(folder: &Path, expected: &[(&str, &str)]) {
        let names = Files::new(folder).unwrap().names().unwrap();
        let found = names.iter().map(|name| (name.as_str(), fs::read_to_string(folder.join(name)).unwrap()));
        let expected = expected.iter().map(|(name, text)| (*name, (*text).to_owned()));
        assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }

    #[test]
    fn each_day_has_its_file_for_its_owner_alone() {
        let folder = Folder::new();
        let logs = folder.join("logs");
        let mut files = Files::new(&logs).unwrap();
        files.append(&lines(&[(at(0, 0), "one"), (at(0, 86_399), "two"), (at(1, 0), "three")])).unwrap();
        Files::new(&logs).unwrap().append(&lines(&[(at(1, 5), "four")])).unwrap();
        check(&logs, &[("relay-2026-11-21.txt", "one\ntwo\n"), ("relay-2026-11-22.txt", "three\nfour\n")]);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&logs), mode(&logs.join("relay-2026-11-21.txt"))), (0o700, 0o600));
    }

    #[test]
    fn what_is_old_goes_when_the_day_changes_and_nothing_else() {
        let folder = Folder::new();
        fs::write(folder.join("relay-notes.txt"), "mine").unwrap();
        let mut files = Files::new(&folder).unwrap();
        files.append(&lines(&[(at(0, 0), "old"), (at(1, 0), "still")])).unwrap();
        files.append(&lines(&[(at(91, 0), "new")])).unwrap();
        check(&folder, &[("relay-2026-11-22.txt", "still\n"), ("relay-2027-02-20.txt", "new\n")]);
        assert!(folder.join("relay-notes.txt").exists());
    }

    #[test]
    fn no_text_breaks_a_line_or_a_terminal() {
        let folder = Folder::new();
        let text = "a\nb\r\u{1b}[2J\u{202e}\u{9b}\u{2028}ç😀\t";
        Files::new(&folder).unwrap().append(&lines(&[(at(0, 0), text)])).unwrap();
        check(&folder, &[("relay-2026-11-21.txt", "a⏎b␍␛[2J\u{fffd}\u{fffd}\u{fffd}ç😀␉\n")]);
    }

    #[test]
    fn tail_is_read_from_the_end_over_the_files() {
        let folder = Folder::new();
        let mut files = Files::new(&folder).unwrap();
        assert_eq!(files.tail(5).unwrap(), [""; 0]);
        let many: Vec<_> = (0..30_000).map(|number| (at(0, 0), format!("line {number}"))).collect();
        files.append(&many).unwrap();
        files.append(&lines(&[(at(1, 0), "x"), (at(1, 0), "y")])).unwrap();
        assert_eq!(files.tail(0).unwrap(), [""; 0]);
        assert_eq!(files.tail(1).unwrap(), ["y"]);
        assert_eq!(files.tail(4).unwrap(), ["line 29998", "line 29999", "x", "y"]);
        let most = files.tail(usize::MAX).unwrap();
        assert_eq!((most.len(), most[0].as_str()), (MOST_TAIL_LINES, "line 29002"));
    }

    #[test]
    fn tail_of_long_lines_is_bounded_in_bytes() {
        let folder = Folder::new();
        let mut files = Files::new(&folder).unwrap();
        let long = "x".repeat(100_000);
        let many: Vec<_> = (0..20).map(|_| (at(0, 0), long.clone())).collect();
        files.append(&many).unwrap();
        assert_eq!(files.tail(10).unwrap(), [long.as_str(); 2]);
        files.append(&[(at(0, 0), "y".repeat(MOST_TAIL_BYTES * 3))]).unwrap();
        assert_eq!(files.tail(10).unwrap().len(), 1);
    }
}
