//! The relay as a program: what it says when it begins, how it ends, what it refuses to begin with.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![cfg(feature = "io")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

/// A relay in a folder of its own.
struct Relay {
    child: Child,
    output: BufReader<ChildStdout>,
    ready: Value,
}

impl Relay {
    fn start(folder: &Folder, flags: &[&str]) -> Self {
        Self::start_at(folder, "127.0.0.1:0", flags)
    }

    fn start_at(folder: &Folder, address: &str, flags: &[&str]) -> Self {
        let mut command = relay(folder);
        let mut child = command
            .args(["--json", "--bind", address])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut relay = Self { child, output, ready: Value::Null };
        relay.ready = relay.read_until("ready");
        relay
    }

    /// Reads events until one with this text came; the event "ready" has none and is found by its name.
    fn read_until(&mut self, needle: &str) -> Value {
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == needle || event["text"].as_str().is_some_and(|text| text.contains(needle)) {
                return event;
            }
            line.clear();
        }
        panic!("it ended without saying {needle}");
    }

    fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// The exit code, and the rest of what it says.
    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn relay(folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_udpchat"));
    command.args(["relay", "--data"]).arg(&folder.0).stdin(Stdio::null());
    command
}

/// What a relay that does not begin says, and its exit code.
#[track_caller]
fn check_refusal(folder: &Folder, flags: &[&str], code: i32, words: &str) {
    let output = relay(folder).args(flags).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap().replace(&folder.0.display().to_string(), "FOLDER");
    assert_eq!((output.status.code(), told.trim_end()), (Some(code), words));
}

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("relay-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind only takes room.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn begins_with_everything_private_and_ends_with_zero() {
    for signal in ["TERM", "INT"] {
        let folder = Folder::new();
        let relay = Relay::start(&folder, &[]);
        assert_eq!(relay.ready["addrs"], Value::from(vec![relay.ready["addr"].clone()]));
        for name in ["admin-secret", "relay.db"] {
            assert_eq!(
                fs::metadata(folder.0.join(name)).unwrap().permissions().mode() & 0o777,
                0o600,
                "{name}"
            );
        }
        assert_eq!(fs::read_to_string(folder.0.join("admin-secret")).unwrap().len(), 65);
        relay.signal(signal);
        let (code, rest) = relay.end();
        assert_eq!(code, Some(0), "{rest}");
        assert!(
            rest.contains("closing") && rest.contains("ended: ") && rest.contains("datagrams_received"),
            "{rest}"
        );
        let logs = fs::read_dir(folder.0.join("logs")).unwrap().map(|entry| entry.unwrap().path());
        let log: String = logs.map(|file| fs::read_to_string(file).unwrap()).collect();
        assert!(
            log.contains("* listening on 127.0.0.1:") && log.ends_with(&format!("(SIG{signal})\n")),
            "{log}"
        );
    }
}

#[test]
fn killed_relay_is_there_again_on_the_same_port() {
    let folder = Folder::new();
    let mut relay = Relay::start(&folder, &[]);
    let address = relay.ready["addr"].as_str().unwrap().to_owned();
    relay.child.kill().unwrap();
    relay.child.wait().unwrap();
    let again = Relay::start_at(&folder, &address, &[]);
    assert_eq!(again.ready["addr"], address.as_str());
}

#[test]
fn settings_are_read_again_and_a_mistake_changes_nothing() {
    let folder = Folder::new();
    let file = folder.0.join("relay.toml");
    fs::write(&file, "motd = \"oi\"\n").unwrap();
    let mut relay = Relay::start(&folder, &["--config", file.to_str().unwrap()]);
    relay.signal("HUP");
    relay.read_until("* settings were read again: nothing changed");
    fs::write(&file, "motd = \"ola\"\nbind = \"127.0.0.1:1\"\n").unwrap();
    relay.signal("HUP");
    relay.read_until("* settings were read again: new: motd");
    fs::write(&file, "motto = \"oi\"\n").unwrap();
    relay.signal("HUP");
    let error = relay.read_until("! settings stay as they were");
    assert_eq!(error["event"], "error");
    assert!(error["text"].as_str().unwrap().contains("relay.toml, line 1: unknown field `motto`"), "{error}");
    relay.signal("TERM");
    assert_eq!(relay.end().0, Some(0));
}

#[test]
fn second_relay_is_refused_in_words() {
    let folder = Folder::new();
    let relay = Relay::start(&folder, &[]);
    let address = relay.ready["addr"].as_str().unwrap();
    let in_use = format!(
        "udpchat: {address} is in use by another program; end it, or choose another port with --bind 127.0.0.1:0"
    );
    check_refusal(&Folder::new(), &["--bind", address], 1, &in_use);
    let locked = "udpchat: another program, perhaps another relay, uses FOLDER: end it, or choose another folder with --data";
    check_refusal(&folder, &["--bind", "127.0.0.1:0"], 1, locked);
}

#[test]
fn nothing_begins_on_what_is_damaged_or_open_to_others() {
    let folder = Folder::new();
    fs::write(folder.0.join("relay.db"), "no database, but long enough to look at ".repeat(100)).unwrap();
    let damaged = "udpchat: FOLDER/relay.db is damaged (file is not a database): put a copy in its place, or move it away to begin \
                   with nothing";
    check_refusal(&folder, &["--bind", "127.0.0.1:0"], 1, damaged);

    let folder = Folder::new();
    fs::write(folder.0.join("admin-secret"), "0123456789abcdef\n").unwrap();
    fs::set_permissions(folder.0.join("admin-secret"), fs::Permissions::from_mode(0o644)).unwrap();
    let exposed = "udpchat: FOLDER/admin-secret can be read by other users of this machine, who could become operators: delete it, \
                   and a new one is made";
    check_refusal(&folder, &["--bind", "127.0.0.1:0", "--memory"], 1, exposed);
}
