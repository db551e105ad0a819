//! The tables, and how an older file becomes a newer one.

use rusqlite::{Connection, Result};

use super::upgrade;

/// Says that a file is ours: `udpc` in ASCII, in the place where SQLite keeps such a mark.
const APPLICATION: i32 = 0x7564_7063;

/// Each makes the file of one version into one of the next; the first begins with nothing. Never changed once released.
pub(super) const MIGRATIONS: [Migration; 4] = [
    Migration { sql: VERSION_1, rest: None },
    Migration { sql: VERSION_2, rest: Some(upgrade::names_and_passwords) },
    Migration { sql: VERSION_3, rest: None },
    Migration { sql: VERSION_4, rest: None },
];

/// How a file of one version becomes one of the next.
pub(super) struct Migration {
    pub(super) sql: &'static str,
    /// What SQL alone cannot do.
    rest: Option<fn(&Connection) -> Result<()>>,
}

/// An entry's log is `log_kind` (0 everyone's, 1 a room's, 2 a mailbox) and `log_number` (of the room, of the identity; else 0).
/// `fate` is there once a letter is settled. Times are microseconds since 1970, in UTC.
///
/// No position is used twice, even after its entry is gone (AUTOINCREMENT). The newest entries of a log, its head and the size of
/// a mailbox come from `entries_by_log` alone, so they cost the same however many other lines there are.
const VERSION_1: &str = "
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO facts VALUES ('log_id', lower(hex(randomblob(8))));

CREATE TABLE identities (number INTEGER PRIMARY KEY, token TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE names (folded TEXT PRIMARY KEY, identity INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE rooms (
    number INTEGER PRIMARY KEY,
    folded TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    owner INTEGER NOT NULL,
    topic TEXT NOT NULL,
    password TEXT,
    is_invite_only INTEGER NOT NULL,
    is_hidden INTEGER NOT NULL,
    invited TEXT NOT NULL
) STRICT;

CREATE TABLE bans (
    folded TEXT PRIMARY KEY,
    who TEXT NOT NULL,
    identity INTEGER,
    address TEXT,
    until_us INTEGER,
    by TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE entries (
    pos INTEGER PRIMARY KEY AUTOINCREMENT,
    log_kind INTEGER NOT NULL,
    log_number INTEGER NOT NULL,
    stored_us INTEGER NOT NULL,
    author INTEGER NOT NULL,
    id TEXT NOT NULL,
    nick TEXT NOT NULL,
    address TEXT NOT NULL,
    to_nick TEXT,
    to_room TEXT,
    to_ip TEXT NOT NULL,
    to_port INTEGER NOT NULL,
    sent_us INTEGER NOT NULL,
    text TEXT NOT NULL,
    reply_id TEXT,
    reply_text TEXT,
    reply_us INTEGER,
    text_bytes INTEGER NOT NULL,
    fate TEXT,
    settled_us INTEGER
) STRICT;
CREATE UNIQUE INDEX entries_by_name ON entries (author, id);
CREATE INDEX entries_by_log ON entries (log_kind, log_number, pos, text_bytes) WHERE fate IS NULL;
CREATE INDEX open_letters_by_age ON entries (stored_us) WHERE log_kind = 2 AND fate IS NULL;
CREATE INDEX fates_by_age ON entries (settled_us) WHERE fate IS NOT NULL;
";

/// Names as they were written, what names look like, and passwords that are stretched.
const VERSION_2: &str = "
ALTER TABLE names ADD COLUMN name TEXT NOT NULL DEFAULT '';
CREATE TABLE name_likenesses (
    likeness TEXT NOT NULL,
    folded TEXT NOT NULL,
    PRIMARY KEY (likeness, folded)
) STRICT, WITHOUT ROWID;
CREATE INDEX name_likenesses_by_name ON name_likenesses (folded);
CREATE TABLE room_likenesses (
    likeness TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (likeness, number)
) STRICT, WITHOUT ROWID;
";

/// People with keys beside those with tokens, and letters that are sealed: whose seal they have, for whom, and what the receiver
/// opens; their `text` is empty.
const VERSION_3: &str = "
ALTER TABLE identities RENAME TO identities_1;
CREATE TABLE identities (
    number INTEGER PRIMARY KEY,
    token TEXT UNIQUE,
    key BLOB UNIQUE,
    CHECK ((token IS NULL) <> (key IS NULL))
) STRICT;
INSERT INTO identities (number, token) SELECT number, token FROM identities_1;
DROP TABLE identities_1;

ALTER TABLE entries ADD COLUMN sealed_from BLOB;
ALTER TABLE entries ADD COLUMN sealed_to BLOB;
ALTER TABLE entries ADD COLUMN sealed BLOB;
";

/// The runs that stored something, each with the last position before it: two with the same are one that stored nothing, and another.
const VERSION_4: &str = "
CREATE TABLE runs (start INTEGER PRIMARY KEY, id TEXT NOT NULL) STRICT;
";

/// Whose file it is.
pub(super) enum Origin {
    /// Ours, and as this program wants it.
    Ours,
    /// Of a later program.
    Later,
    /// Some other program's.
    Foreign,
}

/// Makes the tables, or brings them up to date.
pub(super) fn migrate(connection: &mut Connection) -> Result<Origin> {
    let newest = MIGRATIONS.len();
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: usize = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION && tables > 0 {
        return Ok(Origin::Foreign);
    }
    if version > newest {
        return Ok(Origin::Later);
    }
    for (step, migration) in MIGRATIONS.iter().enumerate().skip(version) {
        let change = connection.transaction()?;
        change.execute_batch(migration.sql)?;
        if let Some(rest) = migration.rest {
            rest(&change)?;
        }
        change.pragma_update(None, "user_version", step + 1)?;
        change.pragma_update(None, "application_id", APPLICATION)?;
        change.commit()?;
    }
    Ok(Origin::Ours)
}
