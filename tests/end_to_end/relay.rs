//! A relay and its members, as the real programs: rooms, names, history, letters, faults, and a relay that is killed again and
//! again.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::program::{Input, Program, exit_code, run_to_end, texts};

/// A folder of its own for each test; it goes with the value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("relay-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A relay and where it keeps its things.
struct Hall {
    folder: Folder,
    relay: Program,
}

impl Hall {
    fn new(flags: &[&str]) -> Self {
        let folder = Folder::new();
        let relay = Program::relay("127.0.0.1:0", &folder.path("relay"), flags);
        Self { folder, relay }
    }

    /// As by a power cut, and started again at once on the same port.
    fn kill_and_restart(&mut self) {
        let address = self.relay.address.clone();
        self.relay.kill_now();
        self.relay = Program::relay(&address, &self.folder.path("relay"), &[]);
    }

    /// A member with a profile of its own, in a room.
    fn member(&self, nick: &str, flags: &[&str]) -> Program {
        self.member_at(&self.relay.address, nick, flags)
    }

    fn member_at(&self, address: &str, nick: &str, flags: &[&str]) -> Program {
        let mut program = Program::peer(&self.member_flags(address, nick, flags));
        program.read_until(r#""event":"joined""#, 1);
        program
    }

    fn member_flags<'a>(&self, address: &'a str, nick: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
        let data: &'static str = Box::leak(self.folder.path(&format!("data-{nick}")).into_boxed_str());
        let mut all = vec!["--relay", address, "--nick", nick, "--data", data];
        all.extend(["--room", "#sala"]);
        all.extend(flags);
        all
    }

    /// A member that runs to its end on what it is given to say.
    fn run_member(&self, nick: &str, flags: &[&str], input: &str) -> std::process::Output {
        let mut arguments = vec!["peer", "--json", "--bind", "127.0.0.1:0"];
        arguments.extend(self.member_flags(&self.relay.address, nick, flags));
        run_to_end(&arguments, Input::Text(input))
    }
}

fn history_of(events: &[Value]) -> Vec<(String, bool)> {
    events
        .iter()
        .filter(|event| event["event"] == "message")
        .map(|event| (event["text"].as_str().unwrap().to_owned(), event["history"] == true))
        .collect()
}

#[test]
fn members_talk_and_a_newcomer_reads_what_was_said() {
    let hall = Hall::new(&[]);
    let mut ana = hall.member("ana", &[]);
    let mut bob = hall.member("bob", &[]);
    ana.read_until(r#""nick":"bob""#, 1);
    ana.write_line("oi");
    let heard = bob.read_until(r#""text":"oi""#, 1).pop().unwrap();
    assert_eq!(
        (&heard["room"], &heard["from"]["nick"], &heard["history"]),
        (&"#sala".into(), &"ana".into(), &false.into())
    );
    ana.read_until(r#""event":"delivered""#, 1);
    bob.write_line("/reply tudo bem?");
    assert_eq!(ana.read_until("tudo bem", 1).pop().unwrap()["re"]["text"], "oi");
    let mut cid = hall.member("cid", &[]);
    cid.read_until("tudo bem", 1);
    ana.write_line("welcome, cid");
    cid.read_until("welcome", 1);
    let (code, events) = cid.finish();
    assert_eq!(code, 0);
    let expected = [("oi", true), ("tudo bem?", true), ("welcome, cid", false)];
    assert_eq!(history_of(&events), expected.map(|(text, history)| (text.to_owned(), history)));
    let left = ana.read_until(r#""event":"left""#, 1).pop().unwrap();
    assert_eq!(left["nick"], "cid");
    // The same one again gets what was missed, and nothing else.
    ana.write_line("are you still there?");
    ana.read_until(r#""event":"delivered""#, 1);
    let missed = |nick, flags: &[&str]| {
        let output = hall.run_member(nick, flags, "");
        assert_eq!(exit_code(&output), 0);
        texts(&lines(&output.stdout))
    };
    assert_eq!(missed("cid", &[]), ["are you still there?"]);
    assert_eq!(missed("cid", &[]), Vec::<String>::new());
    assert_eq!(missed("dan", &["--history", "2"]), ["welcome, cid", "are you still there?"]);
    assert_eq!(missed("eva", &["--history", "none"]), Vec::<String>::new());
}

#[test]
fn who_returns_gets_what_was_missed_and_the_name() {
    let hall = Hall::new(&[]);
    let mut ana = hall.member("ana", &[]);
    let mut bob = hall.member("bob", &[]);
    ana.write_line("one");
    bob.read_until(r#""text":"one""#, 1);
    bob.finish();
    ana.write_line("two");
    ana.write_line("three");
    ana.read_until(r#""event":"delivered""#, 3);
    let mut bob = hall.member("bob", &[]);
    ana.write_line("four");
    bob.read_until(r#""text":"four""#, 1);
    assert_eq!(texts(&bob.kill()), ["two", "three", "four"]);
    // Its ghost is still there, and gives way at once. The room hears nothing of it.
    let mut bob = hall.member("bob", &[]);
    ana.write_line("five");
    bob.read_until(r#""text":"five""#, 1);
    let (_, events) = ana.finish();
    let left = events.iter().filter(|event| event["event"] == "left").count();
    assert_eq!(left, 1, "once, and that was the first time");
}

#[test]
fn a_taken_name_is_refused_with_a_free_one() {
    let hall = Hall::new(&[]);
    let _ana = hall.member("ana", &[]);
    let other = hall.folder.path("somebody-else");
    let refused = run_to_end(
        &[
            "peer",
            "--json",
            "--bind",
            "127.0.0.1:0",
            "--relay",
            &hall.relay.address,
            "--nick",
            "Ana",
            "--data",
            &other,
        ],
        Input::Text("hello\n"),
    );
    assert_eq!(exit_code(&refused), 1);
    let output = String::from_utf8(refused.stdout).unwrap();
    assert!(output.contains("Ana-2"), "{output}");
}

#[test]
fn a_letter_is_held_until_its_receiver_comes() {
    let hall = Hall::new(&[]);
    let bob = hall.member("bob", &[]);
    bob.finish();
    let mut ana = hall.member("ana", &[]);
    let mut eve = hall.member("eve", &[]);
    ana.write_line("/msg bob only for you");
    let held = ana.read_until(r#""event":"held""#, 1).pop().unwrap();
    // Letters come before the room does.
    let mut bob = Program::peer(&hall.member_flags(&hall.relay.address, "bob", &[]));
    let letter = bob.read_until("only for you", 1).pop().unwrap();
    assert_eq!((&letter["room"], &letter["from"]["nick"]), (&Value::Null, &"ana".into()));
    let delivered = ana.read_until(r#""event":"delivered""#, 1).pop().unwrap();
    assert_eq!(delivered["id"], held["id"]);
    ana.write_line("for everybody");
    eve.read_until("for everybody", 1);
    assert_eq!(texts(&eve.finish().1), ["for everybody"]);
}

#[test]
fn fifty_members_hear_the_same_in_the_same_order_through_a_bad_link() {
    const MEMBERS: usize = 50;
    const LINES: usize = 4;
    let hall = Hall::new(&[]);
    let proxy =
        Program::proxy(&hall.relay.address, &["--drop", "0.2", "--duplicate", "0.05", "--reorder", "0.05"]);
    let names: Vec<String> = (0..MEMBERS).map(|number| format!("m{number:02}")).collect();
    let mut members: Vec<Program> =
        names.iter().map(|nick| hall.member_at(&proxy.address, nick, &[])).collect();
    for line in 0..LINES {
        for (nick, member) in names.iter().zip(&mut members) {
            member.write_line(&format!("{nick} says {line}"));
        }
    }
    let heard: Vec<Vec<String>> = members
        .into_iter()
        .map(|mut member| {
            member.read_until(r#""event":"message""#, (MEMBERS - 1) * LINES);
            let (code, events) = member.finish();
            assert_eq!(code, 0);
            texts(&events)
        })
        .collect();
    // Nobody is shown what they said themselves; with that put aside, everybody has seen the same.
    let of_all = texts(&lines(&hall.run_member("observer", &[], "").stdout));
    assert_eq!(of_all.len(), MEMBERS * LINES);
    for (nick, heard) in names.iter().zip(heard) {
        let expected: Vec<&String> = of_all.iter().filter(|text| !text.starts_with(nick.as_str())).collect();
        assert_eq!(heard.iter().collect::<Vec<_>>(), expected, "{nick}");
    }
}

#[test]
fn a_relay_that_is_killed_twenty_times_loses_nothing_that_it_confirmed() {
    const KILLS: usize = 20;
    const LINES: usize = 25;
    let mut hall = Hall::new(&[]);
    let mut bob = hall.member("bob", &[]);
    let mut ana = hall.member("ana", &[]);
    for kill in 0..KILLS {
        for line in 0..LINES {
            ana.write_line(&format!("{kill}.{line}"));
        }
        // In the middle: after some of the receipts, another number each time.
        ana.read_until(r#""event":"delivered""#, kill % LINES);
        hall.kill_and_restart();
        ana.read_until(r#""event":"delivered""#, LINES - kill % LINES);
    }
    let expected: Vec<String> =
        (0..KILLS).flat_map(|kill| (0..LINES).map(move |line| format!("{kill}.{line}"))).collect();
    bob.read_until(&format!(r#""text":"{}""#, expected.last().unwrap()), 1);
    assert_eq!(texts(&bob.finish().1), expected, "bob was there all the time");
    let (code, events) = ana.finish();
    assert_eq!(code, 0);
    let outcomes = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!((outcomes("delivered"), outcomes("failed"), outcomes("unknown")), (KILLS * LINES, 0, 0));
    let history = texts(&lines(&hall.run_member("newcomer", &[], "").stdout));
    assert_eq!(history, expected, "a newcomer");
}

// UC-RELAY-029
#[test]
fn after_a_copy_of_the_ledger_was_put_back_nobody_misses_what_is_said_then() {
    let mut hall = Hall::new(&[]);
    let (folder, copy) = (hall.folder.path("relay"), hall.folder.path("copy"));
    let shown_to_bob = |hall: &Hall| texts(&lines(&hall.run_member("bob", &[], "").stdout));
    hall.run_member("ana", &[], "one\n");
    assert_eq!(shown_to_bob(&hall), ["one"]);
    hall.relay.kill_now();
    copy_folder(&folder, &copy);
    hall.relay = Program::relay(&hall.relay.address, &folder, &[]);
    hall.run_member("ana", &[], "two\nthree\n");
    hall.kill_and_restart();
    hall.run_member("ana", &[], "four\n");
    assert_eq!(shown_to_bob(&hall), ["two", "three", "four"]);

    hall.relay.kill_now();
    std::fs::remove_dir_all(&folder).unwrap();
    copy_folder(&copy, &folder);
    hall.relay = Program::relay(&hall.relay.address, &folder, &[]);
    // As many as bob was shown above the copy, and one more: no cursor tells that they are others.
    hall.run_member("cid", &[], "five\nsix\nseven\neight\n");
    assert_eq!(shown_to_bob(&hall), ["five", "six", "seven", "eight"]);
    assert_eq!(shown_to_bob(&hall), Vec::<String>::new());
    hall.kill_and_restart();
    assert_eq!(shown_to_bob(&hall), Vec::<String>::new());
}

fn copy_folder(from: &str, to: &str) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), PathBuf::from(to).join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn an_operator_closes_the_relay_for_everyone() {
    let hall = Hall::new(&[]);
    let secret = PathBuf::from(hall.folder.path("relay")).join("admin-secret");
    let mut bob = hall.member("bob", &[]);
    let mut ana = hall.member("ana", &["--admin-secret", secret.to_str().unwrap()]);
    bob.write_line("/kick ana");
    bob.read_until(r#""event":"error""#, 1);
    ana.write_line("/mute bob 10m");
    bob.read_until("muted", 1);
    bob.write_line("hello?");
    bob.read_until(r#""event":"failed""#, 1);
    ana.write_line("/shutdown good night");
    bob.read_until("good night", 1);
    let (code, _) = hall.relay.wait();
    assert_eq!(code, 0);
}

// UC-KEY-013
#[test]
fn the_operators_secret_is_not_shown_to_a_relay_that_is_met_for_the_first_time() {
    let hall = Hall::new(&[]);
    // As on another machine: nothing beside the secret proves whose it is.
    let secret = hall.folder.path("secret");
    std::fs::copy(hall.folder.path("relay") + "/admin-secret", &secret).unwrap();
    let flags = ["--admin-secret", secret.as_str()];
    let is_operator = |events: &[Value]| events.iter().any(|event| event["event"] == "remark");
    let mut ana = Program::peer(&hall.member_flags(&hall.relay.address, "ana", &flags));
    let withheld = ana.read_until("met for the first time; /verify", 1).pop().unwrap();
    assert_eq!(withheld["event"], "error");
    ana.write_line(&format!("/admin {secret}"));
    ana.read_until(r#""event":"remark""#, 1);
    ana.finish();
    let output = hall.run_member("bob", &flags, "");
    assert_eq!((exit_code(&output), is_operator(&lines(&output.stdout))), (1, false), "a pipe fails");
    // The relay is known by now.
    let output = hall.run_member("bob", &flags, "");
    assert_eq!((exit_code(&output), is_operator(&lines(&output.stdout))), (0, true));
    // Or its key was typed.
    let named = format!("{}@{}", hall.relay.key(), hall.relay.address);
    let mut cid = Program::peer(&hall.member_flags(&named, "cid", &flags));
    cid.read_until(r#""event":"remark""#, 1);
    assert_eq!(cid.finish().0, 0);
}

#[test]
fn closing_in_a_room_leaves_the_room_alone() {
    let hall = Hall::new(&[]);
    let mut ana = hall.member("ana", &[]);
    ana.write_line("one");
    ana.read_until(r#""event":"delivered""#, 1);
    ana.write_line("/close");
    let left = ana.read_until(r#""event":"left""#, 1).pop().unwrap();
    assert_eq!((&left["room"], &left["nick"]), (&"#sala".into(), &"ana".into()));
    ana.write_line("/join sala");
    ana.read_until(r#""event":"joined""#, 1);
    ana.write_line("two");
    ana.read_until(r#""event":"delivered""#, 1);
    let (code, events) = ana.finish();
    assert_eq!((code, texts(&events)), (0, Vec::new()), "nothing is shown twice");
}

#[test]
fn a_room_with_a_password_asks_for_it_and_the_relay_does_not_keep_it() {
    let mut hall = Hall::new(&[]);
    let mut ana = Program::peer_with(
        &hall.member_flags(&hall.relay.address, "ana", &["--room", "#den"]),
        &[("UDPCHAT_ROOM_PASSWORD", "Camembert 1791")],
    );
    ana.read_until(r##""event":"joined","room":"#den""##, 1);
    ana.write_line("/room password");
    ana.write_line("/rooms");
    ana.read_until(r#""event":"rooms""#, 1);
    let refused = hall.run_member("bob", &["--room", "#den"], "");
    let output = String::from_utf8(refused.stdout).unwrap();
    assert!(output.contains("password"), "{output}");
    let mut cid = Program::peer_with(
        &hall.member_flags(&hall.relay.address, "cid", &["--room", "#den"]),
        &[("UDPCHAT_ROOM_PASSWORD", "Camembert 1791")],
    );
    cid.read_until(r##""event":"joined","room":"#den""##, 1);
    // UC-RELAY-027: nothing that the relay keeps has it, neither now nor when it has ended.
    check_absence(&hall.folder.0.join("relay"), "Camembert 1791");
    hall.relay.kill_now();
    check_absence(&hall.folder.0.join("relay"), "Camembert 1791");
}

/// Fails if these bytes are in a file of a folder, or of one in it.
#[track_caller]
fn check_absence(folder: &std::path::Path, needle: &str) {
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            check_absence(&path, needle);
            continue;
        }
        files += 1;
        let bytes = std::fs::read(&path).unwrap();
        let is_there = bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
        assert!(!is_there, "{} holds it", path.display());
    }
    assert!(files > 0, "{} is empty", folder.display());
}

#[test]
fn each_fault_switch_shows_its_failure() {
    let hall = Hall::new(&["--fault", "send"]);
    let mut ana = hall.member("ana", &[]);
    ana.write_line("never heard");
    let failed = ana.read_until(r#""event":"failed""#, 1).pop().unwrap();
    assert!(failed["reason"].as_str().unwrap().contains("fault"), "{failed}");
    let newcomer = hall.run_member("bob", &[], "");
    assert_eq!(texts(&lines(&newcomer.stdout)), Vec::<String>::new());

    let hall = Hall::new(&["--fault", "connect"]);
    let refused = hall.run_member("ana", &[], "hello\n");
    assert_eq!(exit_code(&refused), 1, "{}", String::from_utf8_lossy(&refused.stderr));
    let events = lines(&refused.stdout);
    assert!(events.iter().any(|event| event["event"] == "failed"), "{events:?}");
    let hall = Hall::new(&[]);
    let failed = hall.run_member("ana", &["--fault", "connect"], "hello\n");
    assert_eq!(exit_code(&failed), 1, "{}", String::from_utf8_lossy(&failed.stderr));
    let events = lines(&failed.stdout);
    assert!(!events.iter().any(|event| event["event"] == "entered"), "{events:?}");
    let mut bob = hall.member("bob", &[]);
    bob.write_line("the relay serves on");
    bob.read_until(r#""event":"delivered""#, 1);

    let hall = Hall::new(&["--fault", "receive=0.3"]);
    let mut ana = hall.member("ana", &[]);
    for number in 0..100 {
        ana.write_line(&number.to_string());
    }
    ana.read_until(r#""event":"delivered""#, 100);
    let newcomer = hall.run_member("bob", &[], "");
    assert_eq!(texts(&lines(&newcomer.stdout)).len(), 100);
}

fn lines(output: &[u8]) -> Vec<Value> {
    crate::program::lines_of(output).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}
