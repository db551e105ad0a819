//! What SQLite's errors mean to whoever runs the relay.

use std::path::Path;

use rusqlite::{Error, ErrorCode};

use crate::ledger::{LedgerError, LedgerErrorKind};

/// The error in words that say what to do about `file`.
pub(super) fn of(file: &Path, error: &Error) -> LedgerError {
    let kind = kind_of(error);
    let file = file.display();
    let words = match kind {
        LedgerErrorKind::Full => {
            format!("the disk is full: nothing can be stored until there is room for {file}")
        }
        LedgerErrorKind::Locked => {
            let folder = file.to_string();
            let folder =
                Path::new(&folder).parent().map_or_else(String::new, |folder| folder.display().to_string());
            format!(
                "another program, perhaps another relay, uses {folder}: end it, or choose another folder with --data"
            )
        }
        LedgerErrorKind::Damaged => {
            format!(
                "{file} is damaged ({error}): put a copy in its place, or move it away to begin with nothing"
            )
        }
        LedgerErrorKind::Unusable => {
            format!("{file} cannot be used ({error}): see that its disk is well and that it may be written")
        }
    };
    LedgerError { kind, words }
}

fn kind_of(error: &Error) -> LedgerErrorKind {
    match error {
        // What was written is not what was read.
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::Utf8Error(..)
        | Error::QueryReturnedNoRows => LedgerErrorKind::Damaged,
        error => match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => LedgerErrorKind::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => LedgerErrorKind::Locked,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => LedgerErrorKind::Damaged,
            _ => LedgerErrorKind::Unusable,
        },
    }
}
