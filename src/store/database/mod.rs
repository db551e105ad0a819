//! The ledger in a file: SQLite with a write-ahead log, one transaction for as many jobs as came in together.
//!
//! What an answer tells is on the disk (`synchronous=FULL`). The file belongs to one program at a time. Nothing here waits for
//! anything but the disk, and nothing reads more than it was asked for: a million lines cost no more than ten. This module must
//! never answer otherwise than [`crate::ledger::MemoryLedger`] would.

mod entries;
mod people;
mod rooms;
mod schema;
#[cfg(test)]
mod tests;
mod trouble;
mod upgrade;

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::slice;
use std::time::Duration;

use rusqlite::{Connection, params};

use crate::ledger::{Answer, Foundation, Job, LedgerError, LedgerErrorKind, LogKey, Reply, Request, Run};

/// The file in the data folder; SQLite puts its own beside it.
const FILE_NAME: &str = "relay.db";

/// Everything that is said is in it: nobody else's business.
const FILE_MODE: u32 = 0o600;

/// A relay that is just ending lets go within this time.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// Runs that are looked at: a start every five minutes for a year. Who was last here before is shown everything again.
const MOST_RUNS: i64 = 100_000;

/// More than there are different statements.
const STATEMENTS: usize = 64;

/// Set before anything is read. Exclusive: two relays would count the same positions, and an inquisitive program cannot make
/// receipts wait. The write-ahead log shrinks again after a burst. What is deleted is overwritten where that costs nothing.
const PRAGMAS: &str = "
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA journal_size_limit = 67108864;
PRAGMA secure_delete = FAST;
";

/// A ledger on disk.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
    file: PathBuf,
    /// This run, until it stored something: one that did not is not worth a write, and a full disk must not keep a relay from starting.
    unwritten_run: Option<Run>,
}

impl Database {
    /// Opens the ledger in a folder that is there, or makes one.
    pub fn open(folder: &Path) -> Result<(Self, Foundation), LedgerError> {
        let file = folder.join(FILE_NAME);
        make_private(&file).map_err(|error| unusable(&file, &error))?;
        let failed = |error| trouble::of(&file, &error);
        let mut connection = Connection::open(&file).map_err(failed)?;
        prepare(&connection).map_err(failed)?;
        match schema::migrate(&mut connection).map_err(failed)? {
            schema::Origin::Ours => {}
            schema::Origin::Later => {
                let why =
                    "a later version of the program made it; use that one, or another folder with --data";
                return Err(refused(&file, why));
            }
            schema::Origin::Foreign => {
                let why = "another program made it; choose another folder with --data";
                return Err(refused(&file, why));
            }
        }
        upgrade::finish(&connection).map_err(failed)?;
        let foundation = foundation(&connection).map_err(failed)?;
        let unwritten_run = foundation.runs.last().cloned();
        Ok((Self { connection, file, unwritten_run }, foundation))
    }

    /// Does jobs, in their order, in one transaction; the answers are in the same order. If it cannot be stored, nothing of it is,
    /// and every job that would have changed something is answered with the reason. The next batch is tried anew.
    pub fn apply_batch(&mut self, jobs: &[Job]) -> Vec<Answer> {
        let error = match self.try_batch(jobs) {
            Ok(answers) => return answers,
            Err(error) => trouble::of(&self.file, &error),
        };
        // A damaged spot is in the way of some; the others must not suffer. Any other trouble is in the way of all.
        let is_spot = error.kind == LedgerErrorKind::Damaged && jobs.len() > 1;
        let mut answers = Vec::with_capacity(jobs.len());
        for job in jobs {
            // Most who come in were here before, and most rooms are there: nothing has to be stored for them.
            let may_need_nothing = jobs.len() > 1
                && matches!(job.request, Request::Enter { .. } | Request::OpenRoom { creator: Some(_), .. });
            if is_spot || may_need_nothing || !job.request.writes() {
                answers.extend(self.apply_batch(slice::from_ref(job)));
            } else {
                answers.push(Answer { ticket: job.ticket, result: Err(error.clone()) });
            }
        }
        answers
    }

    fn try_batch(&mut self, jobs: &[Job]) -> rusqlite::Result<Vec<Answer>> {
        if !jobs.iter().any(|job| job.request.writes()) {
            return Ok(jobs.iter().map(|job| self.read(job)).collect());
        }
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let appends = jobs.iter().any(|job| job.request.appends());
        let run = self.unwritten_run.take_if(|_| appends);
        let done = self.do_all(jobs).and_then(|answers| {
            if let Some(run) = &run {
                note_run(&self.connection, run)?;
            }
            self.connection.execute_batch("COMMIT")?;
            Ok(answers)
        });
        if done.is_err() {
            self.unwritten_run = self.unwritten_run.take().or(run);
        }
        if done.is_err() && !self.connection.is_autocommit() {
            // If this fails too, the next BEGIN tells.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        done
    }

    fn do_all(&self, jobs: &[Job]) -> rusqlite::Result<Vec<Answer>> {
        let mut answers = Vec::with_capacity(jobs.len());
        for job in jobs {
            let answer = if job.request.writes() {
                Answer { ticket: job.ticket, result: self.carry_out(job)? }
            } else {
                self.read(job)
            };
            answers.push(answer);
            if self.connection.is_autocommit() {
                // Some errors end a transaction, even if only a reader met them.
                return Err(rusqlite::Error::ExecuteReturnedResults);
            }
        }
        Ok(answers)
    }

    /// What cannot be read is the trouble of whoever wanted to read it.
    fn read(&self, job: &Job) -> Answer {
        let result = self.carry_out(job).unwrap_or_else(|error| Err(trouble::of(&self.file, &error)));
        Answer { ticket: job.ticket, result }
    }

    /// Does one job. The outer error is the storage's, the inner one the job's own.
    fn carry_out(&self, job: &Job) -> rusqlite::Result<Result<Reply, LedgerError>> {
        let connection = &self.connection;
        let at = job.at;
        Ok(Ok(match &job.request {
            Request::Enter { proof, nick } => people::enter(connection, proof, nick)?,
            Request::TakeName { identity, nick } => people::take_name(connection, *identity, nick)?,
            Request::FindHolder { nick } => Reply::Holder(people::holder(connection, nick)?),
            Request::OpenRoom { name, creator } => rooms::open(connection, name, *creator)?,
            Request::SaveRoom(room) => rooms::save(connection, room)?,
            Request::ForgetRoom { number } => rooms::forget(connection, *number)?,
            Request::ListRooms { most } => Reply::Rooms(rooms::list(connection, *most)?),
            Request::AppendLine { log: LogKey::Mailbox(_), .. } => return Ok(Err(LedgerError::not_a_line())),
            Request::AppendLine { log, draft } => entries::append_line(connection, at, *log, draft)?,
            Request::AppendLetter { nick, draft, bounds } => {
                entries::append_letter(connection, at, nick, draft, *bounds)?
            }
            Request::Read { log, after, most_bytes, most_entries } => {
                Reply::Page { entries: entries::page(connection, *log, *after, *most_bytes, *most_entries)? }
            }
            Request::Seek { log, newest } => {
                Reply::Sought { after: entries::seek(connection, *log, *newest)? }
            }
            Request::Settle { mailbox, pos, fate } => {
                Reply::Settled { letter: entries::settle(connection, at, *mailbox, *pos, *fate)? }
            }
            Request::Expire { before } => {
                Reply::Expired { letters: entries::expire(connection, at, *before)? }
            }
            Request::Ban(ban) => people::ban(connection, ban)?,
            Request::Unban { who } => people::unban(connection, who)?,
        }))
    }
}

/// The file is ours alone before anything is in it.
fn make_private(file: &Path) -> io::Result<()> {
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(file)?;
    if opened.metadata()?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(file, fs::Permissions::from_mode(FILE_MODE))?;
    }
    Ok(())
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(LOCK_PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.execute_batch(PRAGMAS)
}

fn foundation(connection: &Connection) -> rusqlite::Result<Foundation> {
    let sql = "SELECT value FROM facts WHERE name = 'log_id'";
    Ok(Foundation {
        log_id: connection.query_row(sql, [], |row| row.get(0))?,
        runs: runs(connection)?,
        everyone_head: entries::head(connection, LogKey::Everyone)?,
        bans: people::bans(connection)?,
    })
}

/// The runs that stored something, and the one that begins.
fn runs(connection: &Connection) -> rusqlite::Result<Vec<Run>> {
    // The last position of all, whether its entry is still there or not.
    let sql =
        "SELECT coalesce(max(seq), 0), lower(hex(randomblob(6))) FROM sqlite_sequence WHERE name = 'entries'";
    let this = connection.query_row(sql, [], |row| Ok(Run { start: row.get(0)?, id: row.get(1)? }))?;
    let sql = "SELECT start, id FROM runs WHERE start < ?1 ORDER BY start DESC LIMIT ?2";
    let mut query = connection.prepare(sql)?;
    let earlier = query.query_map(params![stored(this.start), MOST_RUNS], |row| {
        Ok(Run { start: row.get(0)?, id: row.get(1)? })
    })?;
    let mut runs = earlier.collect::<rusqlite::Result<Vec<Run>>>()?;
    runs.reverse();
    runs.push(this);
    Ok(runs)
}

fn note_run(connection: &Connection, run: &Run) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO runs (start, id) VALUES (?1, ?2)";
    connection.execute(sql, params![stored(run.start), run.id]).map(drop)
}

fn unusable(file: &Path, error: &io::Error) -> LedgerError {
    let words = match error.kind() {
        io::ErrorKind::StorageFull => {
            let words = format!("the disk is full: there is no room for {}", file.display());
            return LedgerError { kind: LedgerErrorKind::Full, words };
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            format!("{} may not be written ({error}): choose another folder with --data", file.display())
        }
        _ => format!("{} cannot be opened: {error}", file.display()),
    };
    LedgerError { kind: LedgerErrorKind::Unusable, words }
}

fn refused(file: &Path, why: &str) -> LedgerError {
    LedgerError { kind: LedgerErrorKind::Unusable, words: format!("{}: {why}", file.display()) }
}

/// A number as SQLite keeps it. Larger ones never get into the file; asked for, they are beyond everything that is there.
fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What a column says is not what it can say.
fn nonsense(what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, what.into())
}
