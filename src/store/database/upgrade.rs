//! What an older file needs beyond new tables: names folded as they are now, and passwords stretched.
//!
//! It runs inside the migration's transaction, so a program that is killed on the way begins it anew. This module must never leave
//! a room without the protection that it had.

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::{people, rooms};
use crate::ledger::folded;
use crate::secure::{Salt, Secret, StretchCost, stretch};

/// Says that remains of what was replaced may still be in the file.
const REMAINS: &str = "remains";

/// Brings names and passwords of a first version up to date.
pub(super) fn names_and_passwords(connection: &Connection) -> Result<()> {
    fold_names(connection)?;
    fold_rooms(connection)?;
    fold_bans(connection)?;
    stretch_passwords(connection)
}

/// Takes what was replaced out of the file for good: SQLite keeps the remains of old rows where it has no need of the room. It is
/// outside of the transaction, and so begun again until it is done.
pub(super) fn finish(connection: &Connection) -> Result<()> {
    let sql = "SELECT value FROM facts WHERE name = ?1";
    let remains: Option<String> = connection.query_row(sql, [REMAINS], |row| row.get(0)).optional()?;
    if remains.is_none() {
        return Ok(());
    }
    if connection.execute_batch("VACUUM").and_then(|()| truncate_log(connection)).is_err() {
        // The disk has no room for it. Nothing depends on it, and the next start tries again.
        return Ok(());
    }
    connection.execute("DELETE FROM facts WHERE name = ?1", [REMAINS])?;
    Ok(())
}

/// Moves the write-ahead log into the file, and empties it.
fn truncate_log(connection: &Connection) -> Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// A version 1 compared names in lower case and no further, and did not keep how they were written. Of two that are the same now,
/// the first stays; the other one's holder has to come under another name.
fn fold_names(connection: &Connection) -> Result<()> {
    for before in texts(connection, "SELECT folded FROM names ORDER BY folded")? {
        let now = folded(&before);
        let sql = "UPDATE OR IGNORE names SET folded = ?2, name = ?1 WHERE folded = ?1";
        if connection.execute(sql, [&before, &now])? == 0 {
            connection.execute("DELETE FROM names WHERE folded = ?1", [&before])?;
        } else {
            people::note_likenesses(connection, &before)?;
        }
    }
    Ok(())
}

/// The same for rooms, whose name is written as it is compared. None is lost: the second of two gets a number behind its name.
fn fold_rooms(connection: &Connection) -> Result<()> {
    for before in texts(connection, "SELECT folded FROM rooms ORDER BY folded")? {
        let now = folded(&before);
        let mut name = now.clone();
        let mut number = 1;
        let sql = "UPDATE OR IGNORE rooms SET folded = ?2, name = ?2 WHERE folded = ?1";
        while connection.execute(sql, [&before, &name])? == 0 {
            number += 1;
            name = format!("{now}-{number}");
        }
        let sql = "SELECT number FROM rooms WHERE folded = ?1";
        let number: i64 = connection.query_row(sql, [&name], |row| row.get(0))?;
        if name != before {
            let sql = "UPDATE entries SET to_room = ?2 WHERE log_kind = 1 AND log_number = ?1";
            connection.execute(sql, params![number, name])?;
        }
        rooms::note_likenesses(connection, number, &name)?;
    }
    Ok(())
}

fn fold_bans(connection: &Connection) -> Result<()> {
    for before in texts(connection, "SELECT folded FROM bans ORDER BY folded")? {
        // Of two for what is the same name now, the one stays that cannot give way.
        connection.execute(
            "UPDATE OR IGNORE bans SET folded = ?2 WHERE folded = ?1",
            [&before, &folded(&before)],
        )?;
    }
    Ok(())
}

/// A version 1 kept passwords as they are. All of them are stretched at once, before anybody comes: a few tens of milliseconds for
/// each, once, and from then on no password is in the file.
fn stretch_passwords(connection: &Connection) -> Result<()> {
    let sql = "SELECT number, password, randomblob(16) FROM rooms WHERE password IS NOT NULL";
    let mut query = connection.prepare(sql)?;
    let rooms: Vec<(i64, Secret, Salt)> = query
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?.into(), row.get(2)?)))?
        .collect::<Result<_>>()?;
    for (number, password, salt) in &rooms {
        let kept = stretch(password, salt, StretchCost::KEPT)
            .map_err(|_| super::nonsense("a password that is longer than any"))?;
        connection
            .execute("UPDATE rooms SET password = ?2 WHERE number = ?1", params![number, kept.as_str()])?;
    }
    // Passwords of rooms that have another one now, or none, may be there too.
    let is_old: bool = connection.query_row("SELECT EXISTS (SELECT 1 FROM rooms)", [], |row| row.get(0))?;
    if is_old {
        connection.execute("INSERT OR IGNORE INTO facts VALUES (?1, 'yes')", [REMAINS])?;
    }
    Ok(())
}

fn texts(connection: &Connection, sql: &str) -> Result<Vec<String>> {
    connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}
