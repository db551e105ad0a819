//! Which sealed letters were shown, in the file `letters` of a profile: one record of [`SeenLetter::BYTES`] for each (UC-LETTER-007).
//!
//! Records are only added, so that a letter can be written down before its receipt leaves, and a program that is killed leaves at
//! worst half a record, which is no damage. Only the program that has the profile for itself may use it: there is no lock.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::private;
use crate::peer::{MAX_SEEN_LETTERS, SeenLetter, latest_letters};

/// When the file is this long, the records that count no longer are taken out: it then has at least as many of them as of others.
const COMPACT_BYTES: u64 = 2 * MAX_SEEN_LETTERS as u64 * SeenLetter::BYTES as u64;

/// What is in the file, oldest first.
pub(super) fn read(path: &Path) -> io::Result<Vec<SeenLetter>> {
    let bytes = private::read(path)?.unwrap_or_default();
    // What comes after the last whole record is half of one.
    Ok(bytes.as_chunks().0.iter().copied().map(SeenLetter::from_bytes).collect())
}

/// Adds letters that were shown. After it returns, a program that is killed has them still; after a power cut they may be gone.
pub(super) fn append(path: &Path, letters: &[SeenLetter]) -> io::Result<()> {
    if letters.is_empty() {
        return Ok(());
    }
    let mut options = File::options();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let length = file.metadata()?.len();
    let whole = length - length % SeenLetter::BYTES as u64;
    if whole < length {
        // What comes next must not become part of it.
        file.set_len(whole)?;
    }
    let bytes: Vec<u8> = letters.iter().flat_map(|letter| letter.to_bytes()).collect();
    if let Err(error) = file.write_all(&bytes) {
        // A full disk: better none of it than half of it.
        file.set_len(whole)?;
        return Err(error);
    }
    if whole + bytes.len() as u64 > COMPACT_BYTES {
        let kept = latest_letters(read(path)?);
        let bytes: Vec<u8> = kept.into_iter().flat_map(SeenLetter::to_bytes).collect();
        private::write_whole(path, &bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::Folder;
    use super::*;

    fn letter(number: usize) -> SeenLetter {
        let mut bytes = [0; SeenLetter::BYTES];
        bytes[SeenLetter::BYTES - 8..].copy_from_slice(&(number as u64).to_be_bytes());
        SeenLetter::from_bytes(bytes)
    }

    // UC-LETTER-007
    #[test]
    fn each_letter_is_there_as_soon_as_it_is_added_and_half_of_one_is_none() {
        let folder = Folder::new();
        let path = folder.join("letters");
        assert_eq!(read(&path).unwrap(), []);
        append(&path, &[letter(1)]).unwrap();
        append(&path, &[letter(2), letter(3)]).unwrap();
        assert_eq!(read(&path).unwrap(), [1, 2, 3].map(letter));
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
        assert_eq!(read(&path).unwrap(), [1, 2].map(letter));
        append(&path, &[letter(4)]).unwrap();
        assert_eq!(read(&path).unwrap(), [1, 2, 4].map(letter));
    }

    // UC-LETTER-007
    #[test]
    fn the_file_does_not_grow_without_end() {
        let folder = Folder::new();
        let path = folder.join("letters");
        let many: Vec<SeenLetter> = (0..2 * MAX_SEEN_LETTERS).map(letter).collect();
        append(&path, &many).unwrap();
        assert_eq!(read(&path).unwrap().len(), many.len());
        append(&path, &[letter(many.len())]).unwrap();
        let left = read(&path).unwrap();
        assert_eq!(left.len(), MAX_SEEN_LETTERS);
        assert_eq!((left[0], left[left.len() - 1]), (letter(MAX_SEEN_LETTERS + 1), letter(many.len())));
    }
}
