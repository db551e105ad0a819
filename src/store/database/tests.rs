//! What becomes of the file when the disk, the system or somebody else is against it.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::Connection;

use super::Database;
use super::schema::MIGRATIONS;
use crate::chat::{MessageId, Party};
use crate::ledger::{Answer, Draft, Identity, Job, LedgerErrorKind, LogKey, Proof, Reply, Request, Room};
use crate::secure::{PublicKey, Stretch, StretchCost, StretchOutcome};
use crate::store::tests::Folder;
use crate::time::WallTime;

const ROOM: LogKey = LogKey::Room(1);

fn open(folder: &Path) -> Database {
    Database::open(folder).unwrap().0
}

/// What opening the folder is refused with.
fn refusal(folder: &Path) -> (LedgerErrorKind, String) {
    let error = Database::open(folder).unwrap_err();
    (error.kind, error.words.replace(&folder.display().to_string(), "FOLDER"))
}

fn job(request: Request) -> Job {
    Job { ticket: 0, at: WallTime::default(), request }
}

fn line(log: LogKey, number: u64, text: &str) -> Job {
    let draft = Draft {
        author: Identity(1),
        id: MessageId::new("a", number),
        nick: "ana".to_owned(),
        address: "10.0.0.1:6000".parse().unwrap(),
        to: Party { nick: None, room: None, ip: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 6100 },
        sent_at: WallTime::default(),
        text: text.to_owned(),
        sealed: None,
        reply_to: None,
    };
    job(Request::AppendLine { log, draft: draft.into() })
}

fn read(log: LogKey) -> Job {
    job(Request::Read { log, after: 0, most_bytes: usize::MAX, most_entries: usize::MAX })
}

/// What the answers are, in short.
fn told(answers: Vec<Answer>) -> Vec<String> {
    let short = |answer: Answer| match answer.result {
        Ok(Reply::Appended { pos, is_duplicate, .. }) => {
            format!("{pos}{}", if is_duplicate { " again" } else { "" })
        }
        Ok(Reply::Page { entries }) => format!("{} entries", entries.len()),
        Ok(reply) => format!("{reply:?}"),
        Err(error) => format!("{:?}", error.kind),
    };
    answers.into_iter().map(short).collect()
}

#[test]
fn files_are_for_their_owner_alone() {
    let folder = Folder::new();
    fs::write(folder.join("relay.db"), "").unwrap();
    fs::set_permissions(folder.join("relay.db"), fs::Permissions::from_mode(0o644)).unwrap();
    let mut database = open(&folder);
    assert_eq!(told(database.apply_batch(&[line(ROOM, 1, "oi")])), ["1"]);
    for name in ["relay.db", "relay.db-wal"] {
        let mode = fs::metadata(folder.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn what_was_answered_survives_a_death_at_any_moment() {
    let (folder, image) = (Folder::new(), Folder::new());
    let mut database = open(&folder);
    assert_eq!(told(database.apply_batch(&[line(ROOM, 1, "oi"), line(ROOM, 2, "tudo")])), ["1", "2"]);
    assert_eq!(told(database.apply_batch(&[line(ROOM, 3, "bem")])), ["3"]);
    // The files as they are now are what a killed program leaves.
    for name in ["relay.db", "relay.db-wal"] {
        fs::copy(folder.join(name), image.join(name)).unwrap();
    }
    let mut survivor = open(&image);
    let answers = survivor.apply_batch(&[line(ROOM, 2, "tudo"), line(ROOM, 4, "novo"), read(ROOM)]);
    assert_eq!(told(answers), ["2 again", "4", "4 entries"]);
}

#[test]
fn half_a_transaction_never_was() {
    let (folder, image) = (Folder::new(), Folder::new());
    let mut database = open(&folder);
    assert_eq!(told(database.apply_batch(&[line(ROOM, 1, "oi"), line(ROOM, 2, "tudo")])), ["1", "2"]);
    for name in ["relay.db", "relay.db-wal"] {
        fs::copy(folder.join(name), image.join(name)).unwrap();
    }
    let log = OpenOptions::new().write(true).open(image.join("relay.db-wal")).unwrap();
    log.set_len(log.metadata().unwrap().len() - 1).unwrap();
    assert_eq!(told(open(&image).apply_batch(&[read(ROOM)])), ["0 entries"]);
}

#[test]
fn full_disk_refuses_what_writes_until_there_is_room() {
    let folder = Folder::new();
    let mut database = open(&folder);
    assert_eq!(told(database.apply_batch(&[line(ROOM, 1, "oi")])), ["1"]);
    let pages: i64 = database.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    database.connection.execute_batch(&format!("PRAGMA max_page_count = {pages}")).unwrap();
    let long = "x".repeat(100_000);
    let batch =
        [line(ROOM, 2, "short"), read(ROOM), line(ROOM, 3, &long), line(ROOM, 4, "short"), read(ROOM)];
    assert_eq!(told(database.apply_batch(&batch)), ["Full", "1 entries", "Full", "Full", "1 entries"]);
    assert_eq!(told(database.apply_batch(&[line(ROOM, 2, "short")])), ["2"]);
    database.connection.execute_batch("PRAGMA max_page_count = 4294967294").unwrap();
    assert_eq!(told(database.apply_batch(&batch)), ["2 again", "2 entries", "3", "4", "4 entries"]);
}

// UC-RELAY-017
#[test]
fn whoever_was_here_before_comes_back_though_the_disk_is_full() {
    let folder = Folder::new();
    let mut database = open(&folder);
    let enter = || job(Request::Enter { proof: Proof::Token("t-ana".to_owned()), nick: "ana".to_owned() });
    let join = || job(Request::OpenRoom { name: "#sala".to_owned(), creator: Some(Identity(1)) });
    assert_eq!(told(database.apply_batch(&[enter(), join()])).len(), 2);
    let pages: i64 = database.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    database.connection.execute_batch(&format!("PRAGMA max_page_count = {pages}")).unwrap();
    let long = "x".repeat(100_000);
    let answers = database.apply_batch(&[line(ROOM, 3, &long), enter(), join()]);
    let refused: Vec<bool> = answers.iter().map(|answer| answer.result.is_err()).collect();
    assert_eq!(refused, [true, false, false]);
}

#[test]
fn second_relay_is_told_whose_folder_it_is() {
    let folder = Folder::new();
    let database = open(&folder);
    let words =
        "another program, perhaps another relay, uses FOLDER: end it, or choose another folder with --data";
    assert_eq!(refusal(&folder), (LedgerErrorKind::Locked, words.to_owned()));
    drop(database);
    open(&folder);
}

#[test]
fn file_that_somebody_else_writes_is_locked() {
    let folder = Folder::new();
    drop(open(&folder));
    let other = Connection::open(folder.join("relay.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; DELETE FROM names").unwrap();
    assert_eq!(refusal(&folder).0, LedgerErrorKind::Locked);
    drop(other);
    open(&folder);
}

#[test]
fn garbage_is_no_ledger() {
    let folder = Folder::new();
    fs::write(folder.join("relay.db"), "this is a text, and no database ".repeat(100)).unwrap();
    let (kind, words) = refusal(&folder);
    assert_eq!(kind, LedgerErrorKind::Damaged);
    let expected = "FOLDER/relay.db is damaged (file is not a database): put a copy in its place, or move it away to begin \
                    with nothing";
    assert_eq!(words, expected);
}

#[test]
fn other_programs_and_later_versions_are_left_alone() {
    let folder = Folder::new();
    let other = Connection::open(folder.join("relay.db")).unwrap();
    other.execute_batch("CREATE TABLE cake (recipe TEXT)").unwrap();
    drop(other);
    let words = "FOLDER/relay.db: another program made it; choose another folder with --data";
    assert_eq!(refusal(&folder), (LedgerErrorKind::Unusable, words.to_owned()));

    let folder = Folder::new();
    open(&folder).connection.execute_batch("PRAGMA user_version = 99").unwrap();
    let words = "FOLDER/relay.db: a later version of the program made it; use that one, or another folder with --data";
    assert_eq!(refusal(&folder), (LedgerErrorKind::Unusable, words.to_owned()));
}

#[test]
fn file_of_the_first_version_keeps_its_people() {
    let folder = Folder::new();
    first_version(&folder, "INSERT INTO identities VALUES (7, 't-ana'); INSERT INTO names VALUES ('ana', 7)");
    let mut database = open(&folder);
    let enter = |proof| job(Request::Enter { proof, nick: "ana".to_owned() });
    let holder = || job(Request::FindHolder { nick: "ANA".to_owned() });
    let key = PublicKey::from_bytes([1; 32]);
    let answers = database.apply_batch(&[
        enter(Proof::Token("t-ana".to_owned())),
        holder(),
        enter(Proof::Key(key)),
        enter(Proof::Key(key)),
        holder(),
    ]);
    let entered = |identity, is_stranger| {
        format!(
            "Entered {{ identity: Identity({identity}), is_stranger: {is_stranger}, has_letters: false }}"
        )
    };
    let held = |identity, key: Option<PublicKey>| {
        format!("Holder(Some(Holder {{ identity: Identity({identity}), key: {key:?} }}))")
    };
    let expected =
        [entered(7, false), held(7, None), entered(8, true), entered(8, false), held(8, Some(key))];
    assert_eq!(told(answers), expected);
}

#[test]
fn damaged_spot_spoils_only_what_touches_it() {
    let folder = Folder::new();
    let mut database = open(&folder);
    let lines: Vec<Job> = (0..2_000).map(|number| line(ROOM, number, &"x".repeat(200))).collect();
    database.apply_batch(&lines);
    database.apply_batch(&[line(LogKey::Everyone, 9_000, "oi")]);
    drop(database);
    // The page that holds the first lines, found by a row of it.
    let page = fs::read(folder.join("relay.db")).unwrap().chunks(4096).position(|page| {
        page[0] == 0x0d
            && page.windows(3).any(|bytes| bytes == b"a-7")
            && page.windows(9).any(|bytes| bytes == b"xxxxxxxxx")
    });
    let mut file = OpenOptions::new().write(true).open(folder.join("relay.db")).unwrap();
    file.seek(SeekFrom::Start(page.unwrap() as u64 * 4096)).unwrap();
    file.write_all(&[0xa5; 4096]).unwrap();
    drop(file);

    let mut database = open(&folder);
    let batch = [read(ROOM), line(ROOM, 7, "again?"), line(ROOM, 9_001, "new"), read(LogKey::Everyone)];
    assert_eq!(told(database.apply_batch(&batch)), ["Damaged", "Damaged", "2002", "1 entries"]);
}

#[test]
fn folder_that_may_not_be_written_says_so() {
    let folder = Folder::new();
    fs::set_permissions(&*folder, fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(folder.join("probe"), "").is_ok() {
        // The superuser may write everywhere.
        return;
    }
    let (kind, words) = refusal(&folder);
    assert_eq!(kind, LedgerErrorKind::Unusable);
    assert!(words.starts_with("FOLDER/relay.db may not be written"), "{words}");
}

/// A file as the first version left it.
fn first_version(folder: &Path, rows: &str) {
    let connection = Connection::open(folder.join("relay.db")).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA application_id = 0x75647063; PRAGMA user_version = 1",
        )
        .unwrap();
    connection.execute_batch(MIGRATIONS[0].sql).unwrap();
    connection.execute_batch(rows).unwrap();
}

/// Whether these bytes are in any file of a folder.
fn holds(folder: &Path, needle: &str) -> bool {
    let files = fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let mut windows =
        files.map(|bytes| bytes.windows(needle.len()).any(|window| window == needle.as_bytes()));
    windows.any(|is_there| is_there)
}

fn room_of(database: &mut Database, name: &str) -> Option<Room> {
    let open = job(Request::OpenRoom { name: name.to_owned(), creator: None });
    match database.apply_batch(&[open]).remove(0).result {
        Ok(Reply::Room(room)) => room,
        other => panic!("{other:?}"),
    }
}

// UC-RELAY-027
#[test]
fn passwords_of_the_first_version_are_stretched_and_nothing_is_left_of_them() {
    let folder = Folder::new();
    first_version(
        &folder,
        "INSERT INTO identities (token) VALUES ('t-ana');
         INSERT INTO rooms VALUES (1, '#den', '#den', 1, 'x', 'plain cheese', 0, 1, '');
         INSERT INTO rooms VALUES (2, '#open', '#open', 1, '', NULL, 0, 0, '');
         INSERT INTO rooms VALUES (3, '#old', '#old', 1, '', 'older cheese', 0, 0, '');
         UPDATE rooms SET password = NULL WHERE number = 3;",
    );
    assert!(holds(&folder, "plain cheese"));
    let mut database = open(&folder);
    let den = room_of(&mut database, "#den").unwrap();
    assert!(den.is_hidden && den.topic == "x");
    let against = den.password.unwrap();
    for (password, is_right) in [("plain cheese", true), ("plain", false)] {
        let check = Stretch::Check { password: password.into(), against: against.clone() };
        assert_eq!(check.carry_out(StretchCost::LEAST), StretchOutcome::Checked { is_right });
    }
    assert_eq!(room_of(&mut database, "#open").unwrap().password, None);
    assert_eq!(room_of(&mut database, "#old").unwrap().password, None);
    for remains in ["plain cheese", "older cheese"] {
        assert!(!holds(&folder, remains), "{remains}");
    }
    drop(database);
    assert_eq!(room_of(&mut open(&folder), "#den").unwrap().password, Some(against));
    assert!(!holds(&folder, "cheese"));
}

// UC-RELAY-028
#[test]
fn names_of_the_first_version_stay_their_holders() {
    let folder = Folder::new();
    first_version(
        &folder,
        "INSERT INTO identities (token) VALUES ('t-ana'), ('t-bob'), ('t-cid'), ('t-dan');
         INSERT INTO names VALUES ('bob1', 1), ('bobl', 2), ('anа', 3), ('ﬁm', 4);
         INSERT INTO rooms VALUES (1, '#sala', '#sala', 1, '', NULL, 0, 0, '');
         INSERT INTO rooms VALUES (2, '#ﬁm', '#ﬁm', 1, '', NULL, 0, 0, '');
         INSERT INTO rooms VALUES (3, '#fim', '#fim', 1, 'the first', NULL, 0, 0, '');
         INSERT INTO bans VALUES ('bobl', 'bobl', 2, NULL, NULL, 'ana', '');",
    );
    let mut database = open(&folder);
    let enter = |token: &str, nick: &str| {
        job(Request::Enter { proof: Proof::Token(token.to_owned()), nick: nick.to_owned() })
    };
    let told: Vec<String> = database
        .apply_batch(&[
            enter("t-ana", "Bob1"),
            enter("t-bob", "bobl"),
            enter("t-cid", "anа"),
            enter("t-dan", "fim"),
            enter("t-eva", "eva"),
            enter("t-eva", "BOBI"),
        ])
        .into_iter()
        .map(|answer| match answer.result {
            Ok(Reply::Entered { identity, is_stranger: false, .. }) => identity.0.to_string(),
            other => format!("{other:?}"),
        })
        .collect();
    let refused = r#"Ok(NameResembles { other: "Bob1", free: Some("BOBI-2") })"#;
    assert_eq!(told, ["1", "2", "3", "4", "5", refused]);
    assert_eq!(room_of(&mut database, "#fim").unwrap().topic, "the first");
    assert_eq!(room_of(&mut database, "#fim-2").unwrap().number, 2);
    let alike = job(Request::OpenRoom { name: "#sаla".to_owned(), creator: Some(Identity(1)) });
    let answer = database.apply_batch(&[alike]).remove(0).result;
    assert!(matches!(answer, Ok(Reply::RoomResembles(Room { number: 1, .. }))), "{answer:?}");
}
