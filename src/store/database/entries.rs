//! Lines and letters in the file.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::{nonsense, people, stored};
use crate::chat::{MessageId, Party, RefusalCode, Sealed};
use crate::ledger::{Draft, Entry, Identity, LetterFate, LetterInfo, LogKey, MailboxBounds, Reply};
use crate::time::WallTime;

/// How the column says that a letter's receiver has it; any other word is a refusal's code.
const DELIVERED: &str = "delivered";

/// The last position of a log; 0 if there is none.
pub(super) fn head(connection: &Connection, log: LogKey) -> Result<u64> {
    seek(connection, log, 0)
}

/// Adds a line, unless it is there.
pub(super) fn append_line(
    connection: &Connection,
    at: WallTime,
    log: LogKey,
    draft: &Draft,
) -> Result<Reply> {
    if let Some(duplicate) = duplicate(connection, draft)? {
        return Ok(duplicate);
    }
    let pos = insert(connection, at, log, draft)?;
    Ok(Reply::Appended { log, pos, is_duplicate: false, fate: None })
}

/// Adds a letter, unless it is there.
pub(super) fn append_letter(
    connection: &Connection,
    at: WallTime,
    nick: &str,
    draft: &Draft,
    bounds: MailboxBounds,
) -> Result<Reply> {
    if let Some(duplicate) = duplicate(connection, draft)? {
        return Ok(duplicate);
    }
    let holder = people::holder(connection, nick)?;
    let Some(reader) = holder.filter(|holder| draft.is_readable_by(*holder)) else {
        return Ok(Reply::Holder(holder));
    };
    let mut size = connection.prepare_cached(
        "SELECT count(*), coalesce(sum(text_bytes), 0) FROM entries INDEXED BY entries_by_log
         WHERE log_kind = 2 AND log_number = ?1 AND fate IS NULL",
    )?;
    let (letters, bytes): (u64, u64) =
        size.query_row([stored(reader.identity.0)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if letters + 1 > bounds.letters || bytes + draft.text_bytes() as u64 > bounds.bytes {
        return Ok(Reply::MailboxFull);
    }
    let log = LogKey::Mailbox(reader.identity);
    let pos = insert(connection, at, log, draft)?;
    Ok(Reply::Appended { log, pos, is_duplicate: false, fate: None })
}

fn duplicate(connection: &Connection, draft: &Draft) -> Result<Option<Reply>> {
    let mut query = connection.prepare_cached(
        "SELECT log_kind, log_number, pos, fate FROM entries WHERE author = ?1 AND id = ?2",
    )?;
    let read = |row: &Row<'_>| {
        let fate: Option<String> = row.get(3)?;
        Ok(Reply::Appended {
            log: log_of(row.get(0)?, row.get(1)?)?,
            pos: row.get(2)?,
            is_duplicate: true,
            fate: fate.as_deref().map(fate_of),
        })
    };
    query.query_row(params![stored(draft.author.0), draft.id.as_str()], read).optional()
}

fn insert(connection: &Connection, at: WallTime, log: LogKey, draft: &Draft) -> Result<u64> {
    let (kind, number) = columns_of(log);
    let (reply, sealed) = (draft.reply_to.as_ref(), draft.sealed.as_ref());
    let mut insert = connection.prepare_cached(
        "INSERT INTO entries (log_kind, log_number, stored_us, author, id, nick, address, to_nick, to_room, to_ip,
             to_port, sent_us, text, reply_id, reply_text, reply_us, text_bytes, sealed_from, sealed_to, sealed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
    )?;
    let pos = insert.insert(params![
        kind,
        number,
        at.as_unix_micros(),
        stored(draft.author.0),
        draft.id.as_str(),
        draft.nick,
        draft.address.to_string(),
        draft.to.nick,
        draft.to.room,
        draft.to.ip.to_string(),
        draft.to.port,
        draft.sent_at.as_unix_micros(),
        draft.text,
        reply.map(|(id, _, _)| id.as_str()),
        reply.map(|(_, text, _)| text),
        reply.map(|(_, _, at)| at.as_unix_micros()),
        stored(draft.text_bytes() as u64),
        sealed.map(|sealed| sealed.from.as_bytes().as_slice()),
        sealed.map(|sealed| sealed.to.as_bytes().as_slice()),
        sealed.map(|sealed| &*sealed.message),
    ])?;
    Ok(pos.unsigned_abs())
}

/// Some of a log, oldest first.
pub(super) fn page(
    connection: &Connection,
    log: LogKey,
    after: u64,
    most_bytes: usize,
    most_entries: usize,
) -> Result<Vec<Entry>> {
    let (kind, number) = columns_of(log);
    let mut query = connection.prepare_cached(
        "SELECT pos, stored_us, author, id, nick, address, to_nick, to_room, to_ip, to_port, sent_us, text, reply_id,
             reply_text, reply_us, sealed_from, sealed_to, sealed
         FROM entries INDEXED BY entries_by_log
         WHERE log_kind = ?1 AND log_number = ?2 AND pos > ?3 AND fate IS NULL ORDER BY pos LIMIT ?4",
    )?;
    let mut rows = query.query(params![kind, number, stored(after), stored(most_entries as u64)])?;
    let mut bytes = 0_usize;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let entry = read_entry(row)?;
        bytes = bytes.saturating_add(entry.draft.text_bytes());
        if bytes > most_bytes && !entries.is_empty() {
            break;
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn read_entry(row: &Row<'_>) -> Result<Entry> {
    let address: String = row.get(5)?;
    let ip: String = row.get(8)?;
    let reply_id: Option<String> = row.get(12)?;
    let reply_to = match reply_id {
        Some(id) => Some((id_of(&id)?, row.get(13)?, time_of(row, 14)?)),
        None => None,
    };
    let sealed = match (people::read_key(row, 15)?, people::read_key(row, 16)?) {
        (Some(from), Some(to)) => {
            Some(Box::new(Sealed { from, to, message: row.get::<_, Vec<u8>>(17)?.into() }))
        }
        _ => None,
    };
    let draft = Draft {
        author: Identity(row.get(2)?),
        id: read_id(row, 3)?,
        nick: row.get(4)?,
        address: address.parse().map_err(|_| nonsense("an author's address"))?,
        to: Party {
            nick: row.get(6)?,
            room: row.get(7)?,
            ip: ip.parse().map_err(|_| nonsense("a receiver's address"))?,
            port: row.get(9)?,
        },
        sent_at: time_of(row, 10)?,
        text: row.get(11)?,
        sealed,
        reply_to,
    };
    Ok(Entry { pos: row.get(0)?, stored_at: time_of(row, 1)?, draft: draft.into() })
}

/// After which position so many entries follow.
pub(super) fn seek(connection: &Connection, log: LogKey, newest: u64) -> Result<u64> {
    let (kind, number) = columns_of(log);
    let mut query = connection.prepare_cached(
        "SELECT pos FROM entries INDEXED BY entries_by_log
         WHERE log_kind = ?1 AND log_number = ?2 AND fate IS NULL ORDER BY pos DESC LIMIT 1 OFFSET ?3",
    )?;
    let found = query.query_row(params![kind, number, stored(newest)], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or(0))
}

/// Decides a letter's fate, if it is open.
pub(super) fn settle(
    connection: &Connection,
    at: WallTime,
    mailbox: Identity,
    pos: u64,
    fate: LetterFate,
) -> Result<Option<LetterInfo>> {
    let mut query = connection.prepare_cached(
        "SELECT author, id, sent_us, pos FROM entries
         WHERE pos = ?1 AND log_kind = 2 AND log_number = ?2 AND fate IS NULL",
    )?;
    let letter = query.query_row([stored(pos), stored(mailbox.0)], read_letter).optional()?;
    if let Some(letter) = &letter {
        close(connection, at, letter, fate)?;
    }
    Ok(letter)
}

/// Forgets old fates, then refuses the letters that waited too long.
pub(super) fn expire(connection: &Connection, at: WallTime, before: WallTime) -> Result<Vec<LetterInfo>> {
    connection
        .prepare_cached("DELETE FROM entries WHERE fate IS NOT NULL AND settled_us < ?1")?
        .execute([before.as_unix_micros()])?;
    let mut query = connection.prepare_cached(
        "SELECT author, id, sent_us, pos FROM entries INDEXED BY open_letters_by_age
         WHERE log_kind = 2 AND fate IS NULL AND stored_us < ?1 ORDER BY pos",
    )?;
    let letters: Vec<LetterInfo> =
        query.query_map([before.as_unix_micros()], read_letter)?.collect::<Result<_>>()?;
    for letter in &letters {
        close(connection, at, letter, LetterFate::Refused(RefusalCode::Expired))?;
    }
    Ok(letters)
}

/// Keeps a letter's fate and forgets its text.
fn close(connection: &Connection, at: WallTime, letter: &LetterInfo, fate: LetterFate) -> Result<()> {
    let fate = match fate {
        LetterFate::Delivered => DELIVERED,
        LetterFate::Refused(code) => code.as_str(),
    };
    let mut close = connection.prepare_cached(
        "UPDATE entries SET fate = ?2, settled_us = ?3, text = '', text_bytes = 0,
             reply_id = NULL, reply_text = NULL, reply_us = NULL, sealed_from = NULL, sealed_to = NULL, sealed = NULL
         WHERE pos = ?1",
    )?;
    close.execute(params![stored(letter.pos), fate, at.as_unix_micros()])?;
    Ok(())
}

fn read_letter(row: &Row<'_>) -> Result<LetterInfo> {
    Ok(LetterInfo {
        author: Identity(row.get(0)?),
        id: read_id(row, 1)?,
        sent_at: time_of(row, 2)?,
        pos: row.get(3)?,
    })
}

fn read_id(row: &Row<'_>, column: usize) -> Result<MessageId> {
    let text: String = row.get(column)?;
    id_of(&text)
}

fn id_of(text: &str) -> Result<MessageId> {
    MessageId::parse(text).ok_or_else(|| nonsense("a message's id"))
}

fn time_of(row: &Row<'_>, column: usize) -> Result<WallTime> {
    row.get(column).map(WallTime::from_unix_micros)
}

fn fate_of(word: &str) -> LetterFate {
    if word == DELIVERED { LetterFate::Delivered } else { LetterFate::Refused(RefusalCode::parse(word)) }
}

fn columns_of(log: LogKey) -> (i64, i64) {
    match log {
        LogKey::Everyone => (0, 0),
        LogKey::Room(number) => (1, stored(number)),
        LogKey::Mailbox(identity) => (2, stored(identity.0)),
    }
}

fn log_of(kind: i64, number: u64) -> Result<LogKey> {
    match kind {
        0 => Ok(LogKey::Everyone),
        1 => Ok(LogKey::Room(number)),
        2 => Ok(LogKey::Mailbox(Identity(number))),
        _ => Err(nonsense("a log of an unknown kind")),
    }
}
