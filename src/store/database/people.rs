//! Identities, names and bans in the file.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Result, Row, ToSql, params};

use super::{nonsense, stored};
use crate::chat::{likenesses, mixes_scripts, numbered};
use crate::ledger::{Ban, BanTarget, Holder, Identity, Proof, Reply, folded};
use crate::secure::PublicKey;
use crate::time::WallTime;

/// Somebody comes in and takes a name.
pub(super) fn enter(connection: &Connection, proof: &Proof, nick: &str) -> Result<Reply> {
    // Two columns, so that neither is ever taken for the other.
    let (find, add) = match proof {
        Proof::Token(_) => {
            ("SELECT number FROM identities WHERE token = ?1", "INSERT INTO identities (token) VALUES (?1)")
        }
        Proof::Key(_) => {
            ("SELECT number FROM identities WHERE key = ?1", "INSERT INTO identities (key) VALUES (?1)")
        }
    };
    let shown: &dyn ToSql = match proof {
        Proof::Token(token) => token,
        Proof::Key(key) => &key.as_bytes().as_slice(),
    };
    let known =
        connection.prepare_cached(find)?.query_row([shown], |row| row.get(0).map(Identity)).optional()?;
    if let Some(refusal) = refusal(connection, known, nick)? {
        return Ok(refusal);
    }
    let identity = match known {
        Some(identity) => identity,
        None => Identity(connection.prepare_cached(add)?.insert([shown])?.unsigned_abs()),
    };
    give_name(connection, identity, nick)
}

/// Somebody takes a name.
pub(super) fn take_name(connection: &Connection, identity: Identity, nick: &str) -> Result<Reply> {
    match refusal(connection, Some(identity), nick)? {
        Some(refusal) => Ok(refusal),
        None => give_name(connection, identity, nick),
    }
}

fn give_name(connection: &Connection, identity: Identity, nick: &str) -> Result<Reply> {
    let mut query = connection.prepare_cached("SELECT identity, name FROM names WHERE folded = ?1")?;
    let before: Option<(Identity, String)> =
        query.query_row([folded(nick)], |row| Ok((Identity(row.get(0)?), row.get(1)?))).optional()?;
    // What is so already is not written: then whoever comes back can, though the disk is full.
    if before.as_ref().is_none_or(|(holder, name)| (*holder, name.as_str()) != (identity, nick)) {
        let mut take = connection
            .prepare_cached("INSERT OR REPLACE INTO names (folded, identity, name) VALUES (?1, ?2, ?3)")?;
        take.execute(params![folded(nick), stored(identity.0), nick])?;
        note_likenesses(connection, nick)?;
    }
    let mut letters = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM entries INDEXED BY entries_by_log
                        WHERE log_kind = 2 AND log_number = ?1 AND fate IS NULL)",
    )?;
    Ok(Reply::Entered {
        identity,
        is_stranger: before.is_some_and(|(before, _)| before != identity),
        has_letters: letters.query_row([stored(identity.0)], |row| row.get(0))?,
    })
}

/// Writes down what a name looks like now.
pub(super) fn note_likenesses(connection: &Connection, nick: &str) -> Result<()> {
    let key = folded(nick);
    connection.prepare_cached("DELETE FROM name_likenesses WHERE folded = ?1")?.execute([&key])?;
    let mut note =
        connection.prepare_cached("INSERT INTO name_likenesses (likeness, folded) VALUES (?1, ?2)")?;
    for likeness in likenesses(nick) {
        note.execute([&likeness, &key])?;
    }
    Ok(())
}

/// Why somebody may not take a name: it looks like another one's, or like several languages, and is not its own.
fn refusal(connection: &Connection, taker: Option<Identity>, nick: &str) -> Result<Option<Reply>> {
    let Some(other) = resembled(connection, taker, nick)? else {
        let is_own = taker.is_some() && bearer(connection, nick)? == taker;
        return Ok((!is_own && mixes_scripts(nick)).then_some(Reply::NameMixes));
    };
    let mut free = None;
    for name in numbered(Reply::stem(nick, &other)) {
        let is_others = bearer(connection, &name)?.is_some_and(|bearer| Some(bearer) != taker);
        if !is_others && resembled(connection, taker, &name)?.is_none() {
            free = Some(name);
            break;
        }
    }
    Ok(Some(Reply::NameResembles { other, free }))
}

/// The name of somebody else that a name looks like. What its taker's own looks like already is none of it.
fn resembled(connection: &Connection, taker: Option<Identity>, nick: &str) -> Result<Option<String>> {
    let key = folded(nick);
    let is_own = taker.is_some() && bearer(connection, nick)? == taker;
    let mut known = BTreeSet::new();
    if is_own {
        let mut query =
            connection.prepare_cached("SELECT likeness FROM name_likenesses WHERE folded = ?1")?;
        known = query.query_map([&key], |row| row.get(0))?.collect::<Result<_>>()?;
    }
    // There are no more than two.
    let new: Vec<String> = likenesses(nick).difference(&known).cloned().collect();
    let Some(first) = new.first() else { return Ok(None) };
    let mut query = connection.prepare_cached(
        "SELECT names.name FROM name_likenesses JOIN names USING (folded)
         WHERE likeness IN (?1, ?2) AND folded <> ?3 AND identity <> ?4 ORDER BY folded LIMIT 1",
    )?;
    let last = new.last().unwrap_or(first);
    // No identity is 0.
    let taker = taker.map_or(0, |taker| stored(taker.0));
    query.query_row(params![first, last, key, taker], |row| row.get(0)).optional()
}

fn bearer(connection: &Connection, nick: &str) -> Result<Option<Identity>> {
    Ok(holder(connection, nick)?.map(|holder| holder.identity))
}

/// Who held a name last.
pub(super) fn holder(connection: &Connection, nick: &str) -> Result<Option<Holder>> {
    let mut query = connection.prepare_cached(
        "SELECT identity, key FROM names LEFT JOIN identities ON number = identity WHERE folded = ?1",
    )?;
    let read = |row: &Row<'_>| Ok(Holder { identity: Identity(row.get(0)?), key: read_key(row, 1)? });
    query.query_row([folded(nick)], read).optional()
}

/// A column with somebody's key.
pub(super) fn read_key(row: &Row<'_>, column: usize) -> Result<Option<PublicKey>> {
    Ok(row.get::<_, Option<[u8; 32]>>(column)?.map(PublicKey::from_bytes))
}

/// Keeps a ban.
pub(super) fn ban(connection: &Connection, ban: &Ban) -> Result<Reply> {
    let (identity, address) = match ban.target {
        BanTarget::Identity(identity) => (Some(stored(identity.0)), None),
        BanTarget::Address(address) => (None, Some(address.to_string())),
    };
    let until = ban.until.map(WallTime::as_unix_micros);
    connection
        .prepare_cached("INSERT OR REPLACE INTO bans VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![folded(&ban.who), ban.who, identity, address, until, ban.by, ban.reason])?;
    Ok(Reply::Done)
}

/// Forgets a ban.
pub(super) fn unban(connection: &Connection, who: &str) -> Result<Reply> {
    connection.prepare_cached("DELETE FROM bans WHERE folded = ?1")?.execute([folded(who)])?;
    Ok(Reply::Done)
}

/// Every ban.
pub(super) fn bans(connection: &Connection) -> Result<Vec<Ban>> {
    let sql = "SELECT who, identity, address, until_us, by, reason FROM bans ORDER BY folded";
    connection.prepare(sql)?.query_map([], read_ban)?.collect()
}

fn read_ban(row: &Row<'_>) -> Result<Ban> {
    let address: Option<String> = row.get(2)?;
    let target = match (row.get(1)?, address) {
        (Some(number), None) => BanTarget::Identity(Identity(number)),
        (None, Some(address)) => {
            BanTarget::Address(address.parse().map_err(|_| nonsense("a ban's address"))?)
        }
        _ => return Err(nonsense("a ban without a target")),
    };
    let until: Option<i64> = row.get(3)?;
    Ok(Ban {
        who: row.get(0)?,
        target,
        until: until.map(WallTime::from_unix_micros),
        by: row.get(4)?,
        reason: row.get(5)?,
    })
}
