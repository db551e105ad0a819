//! Keys as the real programs show them: met, known, changed, accepted, demanded; sealed against clear; what two people compare.

use std::path::Path;

use serde_json::Value;

use crate::home;
use crate::program::{Input, Program, exit_code, lines_of, run_to_end, texts};

/// Runs `udpchat id` for a profile of this test.
fn id(nick: &str) -> Value {
    let output = run_to_end(&["id", "--json", "--nick", nick], Input::None);
    assert_eq!(exit_code(&output), 0);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn key_of(nick: &str) -> String {
    id(nick)["key"].as_str().unwrap().to_owned()
}

/// A port that is free a moment before.
fn free_address() -> String {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn listener_at(address: &str, nick: &str, flags: &[&str]) -> Program {
    let mut all = vec!["--nick", nick, "--bind", address];
    all.extend(flags);
    Program::listen_as(&all)
}

fn send(nick: &str, to: &str, flags: &[&str], text: &str) -> (i32, String) {
    let mut arguments = vec!["send", "--nick", nick, "--to", to];
    arguments.extend(flags);
    arguments.push(text);
    let output = run_to_end(&arguments, Input::None);
    (exit_code(&output), String::from_utf8(output.stderr).unwrap())
}

fn events<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

// UC-KEY-008
#[test]
fn a_key_is_noted_at_first_use_and_only_then() {
    let listener = Program::listen(&["--nick", "bob", "--count", "2"]);
    let (code, told) = send("ana", &listener.address, &[], "one");
    assert_eq!(code, 0, "{told}");
    let words = id("bob")["words"].as_str().unwrap().to_owned();
    let note = format!("* {} is met for the first time; the key is kept ({words})", listener.address);
    assert!(told.contains(&note), "{told}");
    assert_eq!(send("ana", &listener.address, &[], "two"), (0, String::new()));
    let (_, heard) = listener.wait();
    let ready = events(&heard, "ready")[0];
    assert_eq!((&ready["sealed"], &ready["key"]), (&true.into(), &key_of("bob").into()));
    for connected in events(&heard, "connected") {
        assert_eq!(
            (&connected["nick"], &connected["sealed"], &connected["key"]),
            (&"ana".into(), &true.into(), &key_of("ana").into())
        );
    }
    let keys: Vec<(&Value, &Value)> =
        events(&heard, "key").into_iter().map(|event| (&event["state"], &event["who"])).collect();
    assert_eq!(keys[0], (&"new".into(), &"ana".into()));
    assert_eq!(keys[1], (&"known".into(), &"ana".into()));
}

// UC-KEY-009
#[test]
fn a_changed_key_gets_no_words_until_it_is_accepted() {
    let address = free_address();
    let listener = listener_at(&address, "bob", &["--count", "1"]);
    assert_eq!(send("ana", &address, &[], "for bob").0, 0);
    listener.wait();

    let mut other = listener_at(&address, "eve", &[]);
    let (code, told) = send("ana", &address, &[], "secret");
    assert_eq!(code, 1, "{told}");
    let (bob, eve) = (id("bob"), id("eve"));
    for part in [
        &format!("ANOTHER KEY ANSWERS AT {address}"),
        bob["words"].as_str().unwrap(),
        eve["words"].as_str().unwrap(),
        &format!("udpchat trust {}@{address}", key_of("eve")),
        "0 of 1 acknowledged, 1 not sent: somebody with another key answered",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }

    // A peer without a terminal says the same, and ends with 1.
    let arguments = ["peer", "--json", "--nick", "ana", "--bind", "127.0.0.1:0", "--to", address.as_str()];
    let peer = run_to_end(&arguments, Input::Text("secret too\n"));
    assert_eq!(exit_code(&peer), 1);
    let shown: Vec<Value> =
        lines_of(&peer.stdout).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let changed = events(&shown, "key")[0];
    assert_eq!(
        (&changed["state"], &changed["key"], &changed["known"]["key"], &changed["accept"]),
        (&"changed".into(), &eve["key"], &bob["key"], &format!("/trust {address}").into())
    );
    assert_eq!(events(&shown, "failed").len(), 1);

    // Nor does a program that is still there get them, until its user accepts the key.
    let mut ana = Program::peer(&["--nick", "ana", "--to", &address]);
    ana.write_line("not yet");
    ana.read_until(r#""state":"changed""#, 1);
    ana.read_until(r#""event":"failed""#, 1);
    ana.write_line(&format!("/trust {address}"));
    let accepted = ana.read_until(r#""state":"accepted""#, 1).pop().unwrap();
    assert_eq!((&accepted["key"], &accepted["known"]["key"]), (&eve["key"], &bob["key"]));
    ana.write_line("now");
    ana.read_until(r#""event":"delivered""#, 1);
    other.read_until(r#""text":"now""#, 1);
    ana.finish();
    assert_eq!(send("ana", &address, &[], "and again").0, 0, "it is kept");
    other.read_until(r#""text":"and again""#, 1);
    assert_eq!(texts(&other.kill()), ["now", "and again"]);
}

// UC-KEY-009
#[test]
fn a_key_that_is_accepted_in_a_shell_counts_in_a_program_that_runs() {
    let address = free_address();
    let listener = listener_at(&address, "bob", &["--count", "1"]);
    assert_eq!(send("uma", &address, &[], "for bob").0, 0);
    listener.wait();
    let mut other = listener_at(&address, "eve", &[]);
    let mut uma = Program::peer(&["--nick", "uma", "--to", &address]);
    uma.write_line("not yet");
    uma.read_until(r#""state":"changed""#, 1);
    uma.read_until(r#""event":"failed""#, 1);
    let seen = format!("{}@{address}", key_of("eve"));
    assert_eq!(exit_code(&run_to_end(&["trust", &seen, "--nick", "uma"], Input::None)), 0);
    // By itself, and before anything else is said.
    uma.read_until(r#""state":"accepted""#, 1);
    uma.write_line("now");
    uma.read_until(r#""event":"delivered""#, 1);
    other.read_until(r#""text":"now""#, 1);
    uma.finish();
}

// UC-KEY-010
#[test]
fn a_script_accepts_a_key_by_naming_it() {
    let listener = Program::listen(&["--nick", "bob"]);
    let wrong = format!("{}@{}", key_of("eve"), listener.address);
    let right = format!("{}@{}", key_of("bob"), listener.address);
    let (code, told) = send("ana", &wrong, &[], "secret");
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("ANOTHER KEY ANSWERS"), "{told}");
    let trusted = run_to_end(&["trust", &wrong, "--nick", "ana"], Input::None);
    assert_eq!(exit_code(&trusted), 0);
    assert_eq!(send("ana", &listener.address, &[], "secret").0, 1);
    let trusted = run_to_end(&["trust", &right, "--nick", "ana"], Input::None);
    assert_eq!(exit_code(&trusted), 0);
    let said = String::from_utf8(trusted.stdout).unwrap();
    assert!(said.contains(id("bob")["words"].as_str().unwrap()) && said.contains("no longer"), "{said}");
    assert_eq!(send("ana", &listener.address, &[], "one"), (0, String::new()));
    assert_eq!(send("cid", &right, &[], "two").0, 0);
    assert_eq!(texts(&listener.kill()), ["one", "two"]);
}

// UC-SEAL-014, UC-THREAT-001
#[test]
fn sealed_and_clear_refuse_each_other_in_plain_words() {
    let sealed = Program::listen(&["--nick", "bob"]);
    let clear = Program::listen(&["--clear"]);
    let short = ["--timeout", "1s"];
    let (code, told) = send("ana", &clear.address, &short, "hello");
    assert_eq!(code, 3, "{told}");
    assert!(told.contains("it speaks in the clear, and this program sealed"), "{told}");
    let (code, told) = send("ana", &sealed.address, &["--clear", "--timeout", "1s"], "hello");
    assert_eq!(code, 3, "{told}");
    assert!(told.contains("it speaks sealed, and this program was started with --clear"), "{told}");
    assert_eq!(send("ana", &clear.address, &["--clear"], "hello"), (0, String::new()));
    let heard = clear.kill();
    assert_eq!(texts(&heard), ["hello"]);
    for name in ["ready", "connected"] {
        let event = events(&heard, name)[0];
        assert_eq!((&event["sealed"], &event["key"]), (&false.into(), &Value::Null), "{event}");
    }
    assert!(texts(&sealed.kill()).is_empty());
}

// UC-KEY-005, UC-KEY-011
#[test]
fn both_sides_compare_the_same_words() {
    let mut bob = Program::peer(&["--nick", "bob"]);
    let mut ana = Program::peer(&["--nick", "ana", "--to", &bob.address]);
    ana.write_line("oi");
    bob.read_until(r#""text":"oi""#, 1);
    ana.write_line("/verify");
    let here = ana.read_until(r#""event":"verify""#, 1).pop().unwrap();
    bob.write_line("/verificar ana");
    let there = bob.read_until(r#""event":"verify""#, 1).pop().unwrap();
    assert_eq!(here["words"], there["words"]);
    assert_eq!((&here["key"], &here["their_key"]), (&there["their_key"], &there["key"]));
    assert_eq!(here["key"], id("ana")["key"].as_str().unwrap());
    ana.write_line("/id");
    assert_eq!(ana.read_until(r#""event":"id""#, 1).pop().unwrap(), id("ana"));
    // Nobody has shown another key, so there is none to accept.
    ana.write_line("/trust bob");
    ana.read_until("none to accept", 1);
}

#[test]
fn a_known_name_under_another_key_is_told() {
    let mut bob = Program::peer(&["--nick", "bob"]);
    assert_eq!(send("ana", &bob.address, &[], "it is me").0, 0);
    bob.read_until(r#""state":"new""#, 1);
    // The same name, in another home.
    let elsewhere = home::folder().join("elsewhere");
    let flags = ["--data", elsewhere.to_str().unwrap()];
    assert_eq!(send("ana", &bob.address, &flags, "it is me, really").0, 0);
    let other = bob.read_until(r#""state":"other""#, 1).pop().unwrap();
    assert_eq!((&other["who"], &other["known"]["key"]), (&"ana".into(), &id("ana")["key"]));
    bob.read_until("really", 1);
    bob.write_line("/confiar ana");
    bob.read_until(r#""state":"accepted""#, 1);
    assert_eq!(send("ana", &bob.address, &flags, "again").0, 0);
    bob.read_until(r#""state":"known""#, 1);
}

// UC-KEY-009
#[test]
fn a_pipe_whose_receiver_comes_back_with_another_key_ends_with_1() {
    let address = free_address();
    let mut bob = listener_at(&address, "bob", &[]);
    let mut ana = Program::peer(&["--nick", "ana", "--to", &address]);
    ana.write_line("for bob");
    ana.read_until(r#""event":"delivered""#, 1);
    bob.kill_now();
    ana.write_line("for bob again");
    let eve = listener_at(&address, "eve", &[]);
    let (code, told) = ana.finish();
    let outcomes = ["delivered", "failed", "unknown"].map(|name| events(&told, name).len());
    assert_eq!((code, outcomes[0], outcomes[1] + outcomes[2]), (1, 1, 1));
    assert_eq!(events(&told, "key").last().unwrap()["state"], "changed");
    assert!(texts(&eve.kill()).is_empty());
}

#[test]
fn a_mistyped_name_makes_nobody_silently() {
    let made = run_to_end(&["id", "--nick", "tia"], Input::None);
    let told = String::from_utf8(made.stderr).unwrap();
    assert!(told.contains("the profile tia is new"), "{told}");
    let key = String::from_utf8(made.stdout).unwrap().lines().next().unwrap().to_owned();
    assert!(run_to_end(&["id", "--nick", "tia"], Input::None).stderr.is_empty(), "only the first time");
    let who = format!("{key}@127.0.0.1:6000");
    let output = run_to_end(&["trust", &who, "--nick", "tio"], Input::None);
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(exit_code(&output), 1, "{told}");
    assert!(told.contains("there is no profile tio"), "{told}");
    assert!(!home::folder().join("udpchat/profiles/tio").exists());
}

// UC-KEY-001
#[test]
fn programs_that_are_started_at_once_make_one_key() {
    let home = home::environment();
    let start = || {
        let home = home.clone();
        std::thread::spawn(move || {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_udpchat"));
            command.args(["id", "--nick", "ana"]).envs(home).output().unwrap().stdout
        })
    };
    let all: Vec<_> = (0..8).map(|_| start()).collect();
    for keys in all {
        let printed = String::from_utf8(keys.join().unwrap()).unwrap();
        assert_eq!(printed.lines().next(), Some(key_of("ana").as_str()));
    }
}

#[test]
fn programs_of_one_profile_take_turns_and_say_so() {
    let first = Program::peer(&["--nick", "ana"]);
    let arguments = ["peer", "--json", "--nick", "ana", "--bind", "127.0.0.1:0"];
    let second = run_to_end(&arguments, Input::None);
    let told = String::from_utf8(second.stderr).unwrap();
    assert!(told.contains("the profile ana is in use by another program, so this one has ana-2"), "{told}");
    let ready: Value = serde_json::from_slice(&second.stdout).unwrap();
    assert_eq!(ready["key"], id("ana-2")["key"]);
    // It says that it is another one: nobody who knows ana is warned of it.
    let mut bob = Program::peer(&["--nick", "bob"]);
    let talk = |nick| ["peer", "--json", "--nick", nick, "--bind", "127.0.0.1:0", "--to"];
    let mut arguments = talk("ana").to_vec();
    arguments.push(&bob.address);
    let second = run_to_end(&arguments, Input::Text("from the second window\n"));
    assert_eq!(exit_code(&second), 0);
    first.finish();
    let first = run_to_end(&arguments, Input::Text("from the first\n"));
    assert_eq!(exit_code(&first), 0);
    let heard = bob.read_all_until("from the first");
    let states: Vec<_> =
        events(&heard, "key").iter().map(|key| (key["who"].clone(), key["state"].clone())).collect();
    assert_eq!(states, [("ana-2".into(), "new".into()), ("ana".into(), "new".into())]);
}

// UC-KEY-009
#[test]
fn a_relay_with_another_key_is_not_entered() {
    let folder = |name: &str| home::folder().join(name).to_str().unwrap().to_owned();
    let address = free_address();
    let mut relay = Program::relay(&address, &folder("one"), &["--memory"]);
    let flags = ["--relay", address.as_str(), "--nick", "ana", "--room", "#sala"];
    let mut ana = Program::peer(&flags);
    let met = ana.read_until(r#""event":"key""#, 1).pop().unwrap();
    assert_eq!((&met["state"], &met["who"]), (&"new".into(), &address.as_str().into()));
    ana.read_until(r#""event":"joined""#, 1);
    ana.finish();
    relay.kill_now();
    // The same one again keeps its key, although it keeps nothing else.
    relay = Program::relay(&address, &folder("one"), &["--memory"]);
    let (code, events_of_ana) = Program::peer(&flags).finish();
    assert_eq!((code, events(&events_of_ana, "key").len()), (0, 0));
    relay.kill_now();

    let _other = Program::relay(&address, &folder("two"), &["--memory"]);
    let (code, told) = Program::peer(&flags).wait();
    assert_eq!(code, 1);
    assert_eq!(events(&told, "key")[0]["state"], "changed");
    assert!(events(&told, "entered").is_empty());
}

#[cfg(unix)]
// UC-KEY-006
#[test]
fn a_key_that_others_can_read_stops_every_program() {
    use std::os::unix::fs::PermissionsExt;

    let key = id("ana")["key"].clone();
    let path = home::folder().join("udpchat/profiles/ana/key");
    let allow = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    allow(&path, 0o644);
    let silent = free_address();
    for arguments in [
        &["peer", "--bind", "127.0.0.1:0", "--nick", "ana"][..],
        &["listen", "--bind", "127.0.0.1:0", "--nick", "ana"],
        &["send", "--to", &silent, "--nick", "ana", "hello"],
        &["id", "--nick", "ana"],
    ] {
        let output = run_to_end(arguments, Input::None);
        let told = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(exit_code(&output), 1, "{arguments:?}: {told}");
        assert!(told.contains("key can be read by other users") && told.contains("chmod 600"), "{told}");
    }
    allow(&path, 0o600);
    assert_eq!(id("ana")["key"], key);
    let relay = home::folder().join("relay");
    std::fs::create_dir_all(&relay).unwrap();
    std::fs::write(relay.join("key"), "not yet\n").unwrap();
    let arguments = ["relay", "--bind", "127.0.0.1:0", "--data", relay.to_str().unwrap()];
    for (mode, words) in [(0o644, "can be read by other users"), (0o600, "holds no key")] {
        allow(&relay.join("key"), mode);
        let output = run_to_end(&arguments, Input::None);
        let told = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(exit_code(&output), 1, "{told}");
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn a_folder_that_cannot_be_had_means_being_somebody_new() {
    let blocked = home::folder().join("blocked");
    std::fs::write(&blocked, "a file").unwrap();
    let listener = Program::listen(&["--count", "1"]);
    let (code, told) = send("ana", &listener.address, &["--data", blocked.to_str().unwrap()], "oi");
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("cannot be used") && told.contains("this run has a key of its own"), "{told}");
    listener.wait();
}
