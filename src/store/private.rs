//! Files that nobody else on the machine may read, whole at any moment.
//!
//! It must never leave half a file under its name, and never write through a file that somebody else put there.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

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
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
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
    fs::rename(&fresh, path)
}

/// Makes a folder, for its owner alone, if it is not there.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Opens the file of a lock.
pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).open(path)
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
