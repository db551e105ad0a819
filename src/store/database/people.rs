//! Identities, names and bans in the file.

use rusqlite::{Connection, OptionalExtension, Result, Row, ToSql, params};

use super::{nonsense, stored};
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
    let known = connection.prepare_cached(find)?.query_row([shown], |row| row.get(0)).optional()?;
    let identity = match known {
        Some(number) => Identity(number),
        None => Identity(connection.prepare_cached(add)?.insert([shown])?.unsigned_abs()),
    };
    take_name(connection, identity, nick)
}

/// Somebody takes a name.
pub(super) fn take_name(connection: &Connection, identity: Identity, nick: &str) -> Result<Reply> {
    let before = holder(connection, nick)?;
    // What is so already is not written: then whoever comes back can, though the disk is full.
    let before = before.map(|holder| holder.identity);
    if before != Some(identity) {
        let mut take =
            connection.prepare_cached("INSERT OR REPLACE INTO names (folded, identity) VALUES (?1, ?2)")?;
        take.execute(params![folded(nick), stored(identity.0)])?;
    }
    let mut letters = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM entries INDEXED BY entries_by_log
                        WHERE log_kind = 2 AND log_number = ?1 AND fate IS NULL)",
    )?;
    Ok(Reply::Entered {
        identity,
        is_stranger: before.is_some_and(|before| before != identity),
        has_letters: letters.query_row([stored(identity.0)], |row| row.get(0))?,
    })
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
