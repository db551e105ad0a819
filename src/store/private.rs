//! Files that nobody else on the machine may read, whole at any moment.
//!
//! It must never leave half a file under its name, and never write through a file that somebody else put there.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::SystemTime;

/// Far more than any of these files takes: as many keys as are known at most, with the longest names, are a quarter of it. What is
/// longer was not written by us.
pub(super) const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The same in words.
pub(super) const MAX_LENGTH: &str = "16 MiB";

/// A file is longer than [`MAX_BYTES`], or would be.
#[derive(Debug)]
pub(super) struct TooLong {
    /// It was to be written.
    pub(super) is_planned: bool,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} longer than {MAX_LENGTH}", if self.is_planned { "it would be" } else { "it is" })
    }
}

impl std::error::Error for TooLong {}

fn too_long(is_planned: bool) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, TooLong { is_planned })
}

/// The bytes of a file; None if there is no such file.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(too_long(false));
    }
    Ok(Some(bytes))
}

/// Puts another file in the place of `path`, which only we may read, and which [`read`] takes.
pub(super) fn write_readable(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(too_long(true));
    }
    write_whole(path, bytes)
}

/// Puts another file in the place of `path`, which only we may read.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    // Not the one that a crash left behind: its mode might be another one.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = File::options();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh)?;
    file.write_all(bytes)?;
    // Or a power cut may leave the name of the new one with nothing in it.
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    // Or it may bring the old one back. The new one is there already, and not every file system can do this.
    #[cfg(unix)]
    let _ = path.parent().map(|folder| File::open(folder)?.sync_all());
    Ok(())
}

/// What tells one state of a file from another without reading it: each is a file of its own, put in the place of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    #[cfg(unix)]
    number: u64,
}

/// The state of a file; None: it is not there, or cannot be asked for.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp {
        modified: metadata.modified().ok(),
        length: metadata.len(),
        #[cfg(unix)]
        number: std::os::unix::fs::MetadataExt::ino(&metadata),
    })
}

/// Makes a folder, for its owner alone, if it is not there.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Opens the file of a lock. Whoever could read it could hold it too, and keep us waiting for ever.
pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    if is_exposed(path)? {
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    }
    Ok(file)
}

/// Whether others than the owner may write to a file, or put files of theirs into a folder and take ours away. Who may only look
/// into a folder sees names, since all files are their owner's alone.
#[cfg(unix)]
pub(super) fn is_open_to_others(folder: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::metadata(folder)?.permissions().mode() & 0o022 != 0)
}

/// As for files.
#[cfg(not(unix))]
pub(super) fn is_open_to_others(_folder: &Path) -> io::Result<bool> {
    Ok(false)
}

/// Whether anybody may put something of theirs in the place of what is in a folder: not where each may only take away what is its own
/// (the sticky bit). A group may: on many systems each user has one of their own, and new folders are open to it.
#[cfg(unix)]
pub(super) fn is_exchangeable(folder: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::metadata(folder)?.permissions().mode() & 0o1002 == 0o002)
}

/// As for files.
#[cfg(not(unix))]
pub(super) fn is_exchangeable(_folder: &Path) -> io::Result<bool> {
    Ok(false)
}

/// Whether others than the owner may read a file.
#[cfg(unix)]
pub(super) fn is_exposed(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::metadata(path)?.permissions().mode() & 0o077 != 0)
}

/// Where files have no such modes, their folder protects them.
#[cfg(not(unix))]
pub(super) fn is_exposed(_path: &Path) -> io::Result<bool> {
    Ok(false)
}
