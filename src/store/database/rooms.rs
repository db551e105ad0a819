//! Rooms in the file.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::{nonsense, stored};
use crate::chat::{likenesses, mixes_scripts};
use crate::ledger::{Identity, LogKey, Reply, Room, folded};
use crate::secure::Stretched;

const COLUMNS: &str = "number, name, owner, topic, password, is_invite_only, is_hidden, invited";

/// A room, made if it is new, has a creator and looks like no other.
pub(super) fn open(connection: &Connection, name: &str, creator: Option<Identity>) -> Result<Reply> {
    let known = find(connection, name)?;
    let (None, Some(creator)) = (&known, creator) else { return Ok(Reply::Room(known)) };
    if let Some(other) = resembled(connection, name)? {
        return Ok(Reply::RoomResembles(other));
    }
    if mixes_scripts(name) {
        return Ok(Reply::NameMixes);
    }
    let mut make = connection.prepare_cached(
        "INSERT INTO rooms (folded, name, owner, topic, is_invite_only, is_hidden, invited)
         VALUES (?1, ?2, ?3, '', 0, 0, '')",
    )?;
    let number = make.insert(params![folded(name), name, stored(creator.0)])?;
    note_likenesses(connection, number, name)?;
    Ok(Reply::Room(find(connection, name)?))
}

/// Writes down what a room's name looks like.
pub(super) fn note_likenesses(connection: &Connection, number: i64, name: &str) -> Result<()> {
    let mut note =
        connection.prepare_cached("INSERT INTO room_likenesses (likeness, number) VALUES (?1, ?2)")?;
    for likeness in likenesses(name) {
        note.execute(params![likeness, number])?;
    }
    Ok(())
}

/// A room that a name looks like.
fn resembled(connection: &Connection, name: &str) -> Result<Option<Room>> {
    // There are one or two.
    let likenesses = likenesses(name);
    let mut query = connection.prepare_cached(
        "SELECT name FROM room_likenesses JOIN rooms USING (number)
         WHERE likeness IN (?1, ?2) ORDER BY folded LIMIT 1",
    )?;
    let ends = params![likenesses.first(), likenesses.last()];
    let other: Option<String> = query.query_row(ends, |row| row.get(0)).optional()?;
    other.map_or(Ok(None), |other| find(connection, &other))
}

/// What a room is like from now on.
pub(super) fn save(connection: &Connection, room: &Room) -> Result<Reply> {
    let invited: Vec<String> = room.invited.iter().map(|identity| identity.0.to_string()).collect();
    let mut save = connection.prepare_cached(
        "UPDATE rooms SET owner = ?2, topic = ?3, password = ?4, is_invite_only = ?5, is_hidden = ?6, invited = ?7
         WHERE number = ?1",
    )?;
    save.execute(params![
        stored(room.number),
        stored(room.owner.0),
        room.topic,
        room.password.as_ref().map(Stretched::as_str),
        room.is_invite_only,
        room.is_hidden,
        invited.join(" "),
    ])?;
    Ok(Reply::Done)
}

/// A room in which nothing was ever said, and about which nothing was, need not be kept.
pub(super) fn forget(connection: &Connection, number: u64) -> Result<Reply> {
    let mut forget = connection.prepare_cached(
        "DELETE FROM rooms WHERE number = ?1 AND topic = '' AND password IS NULL AND is_invite_only = 0
             AND is_hidden = 0 AND invited = '' AND NOT EXISTS (SELECT 1 FROM entries INDEXED BY entries_by_log
                 WHERE log_kind = 1 AND log_number = ?1 AND fate IS NULL)",
    )?;
    if forget.execute([stored(number)])? > 0 {
        let sql = "DELETE FROM room_likenesses WHERE number = ?1";
        connection.prepare_cached(sql)?.execute([stored(number)])?;
    }
    Ok(Reply::Done)
}

/// Some rooms, by folded name.
pub(super) fn list(connection: &Connection, most: usize) -> Result<Vec<Room>> {
    let sql = format!("SELECT {COLUMNS} FROM rooms ORDER BY folded LIMIT ?1");
    let mut query = connection.prepare_cached(&sql)?;
    query.query_map([stored(most as u64)], |row| read(row, 0))?.collect()
}

fn find(connection: &Connection, name: &str) -> Result<Option<Room>> {
    let mut query = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM rooms WHERE folded = ?1"))?;
    let found = query.query_row([folded(name)], |row| read(row, 0)).optional()?;
    let Some(room) = found else { return Ok(None) };
    Ok(Some(Room { head: super::entries::head(connection, LogKey::Room(room.number))?, ..room }))
}

fn read(row: &Row<'_>, head: u64) -> Result<Room> {
    let number = row.get(0)?;
    let invited: String = row.get(7)?;
    let invited = invited.split_whitespace().map(|number| number.parse().map(Identity));
    Ok(Room {
        number,
        name: row.get(1)?,
        owner: Identity(row.get(2)?),
        topic: row.get(3)?,
        password: row.get::<_, Option<String>>(4)?.map(Stretched::from_text),
        is_invite_only: row.get(5)?,
        is_hidden: row.get(6)?,
        invited: invited.collect::<std::result::Result<_, _>>().map_err(|_| nonsense("a room's guests"))?,
        head,
    })
}
