//! What outlives the program: the ledger on disk, the log's text files, a peer's profile, keys; and the thread that stretches
//! passwords.
//!
//! Whatever waits for a disk has a thread of its own here and talks through bounded channels, so that a slow disk delays receipts
//! and nothing else; a profile alone is small, read once and written seldom. This module must never say that something is kept
//! before the system said that it is.

pub mod database;
pub mod identity;
pub mod journal;
pub mod keeper;
mod letters;
pub mod outbox;
mod private;
pub mod profile;
pub mod shown;
pub mod stretcher;

#[cfg(test)]
mod tests;

pub use private::write_whole;

use std::io;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

/// The folder that the system has for this program's data; None if it does not know whose program this is.
pub fn data_folder() -> Option<PathBuf> {
    Some(etcetera::choose_base_strategy().ok()?.data_dir().join("udpchat"))
}

/// Whether keys are kept in a profile's folder, or that cannot be found out: then they must not be taken for none.
pub fn holds_keys(folder: &Path) -> bool {
    let is_missing = |file: &str| {
        let looked = std::fs::symlink_metadata(folder.join(file));
        looked.is_err_and(|error| {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        })
    };
    !is_missing(identity::KEY_FILE) || !is_missing(identity::KNOWN_FILE)
}
