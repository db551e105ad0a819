//! Letters through the real relay: nobody on the way reads them, neither in what travels nor in what is kept.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::home;
use crate::program::Program;

/// Somebody between one member and the relay who keeps everything that passes.
struct Tap {
    address: String,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Tap {
    fn before(relay: &str) -> Self {
        let relay: SocketAddr = relay.parse().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        let address = socket.local_addr().unwrap().to_string();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        thread::spawn(move || {
            let (mut member, mut buffer) = (None, [0; 65_536]);
            loop {
                let (length, from) = match socket.recv_from(&mut buffer) {
                    Ok(received) => received,
                    // A relay that is being restarted, as the system reports it.
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
                    Err(_) => return,
                };
                kept.lock().unwrap().extend_from_slice(&buffer[..length]);
                let to = if from == relay { member } else { Some(relay) };
                if from != relay {
                    member = Some(from);
                }
                // What the other side does not take is lost, as on any network.
                to.map(|to| socket.send_to(&buffer[..length], to).ok());
            }
        });
        Self { address, heard }
    }

    fn heard(&self, needle: &str) -> bool {
        contains(&self.heard.lock().unwrap(), needle)
    }
}

fn contains(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// Whether a file in the folder, or in a folder in it, has the text.
fn is_kept(folder: &Path, needle: &str) -> bool {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() { is_kept(&path, needle) } else { contains(&std::fs::read(&path).unwrap(), needle) }
    })
}

fn folder(name: &str) -> String {
    home::folder().join(name).to_str().unwrap().to_owned()
}

fn member(relay: &str, nick: &str, data: &str) -> Program {
    let data = folder(data);
    let flags = ["--relay", relay, "--nick", nick, "--data", &data, "--room", "#sala"];
    Program::peer(&flags)
}

fn key_of<'a>(events: &'a [Value], who: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == "key" && event["who"] == who).collect()
}

// UC-LETTER-001, UC-LETTER-004, UC-RELAY-013, UC-SEAL-006
#[test]
fn a_letter_to_somebody_absent_is_read_by_nobody_else() {
    let data = folder("relay");
    let mut relay = Program::relay("127.0.0.1:0", &data, &[]);
    let address = relay.address.clone();
    let [anas, bobs] = [Tap::before(&address), Tap::before(&address)];
    let mut bob = member(&bobs.address, "bob", "bob");
    bob.read_until(r#""event":"joined""#, 1);
    bob.finish();
    let mut ana = member(&anas.address, "ana", "ana");
    ana.read_until(r#""event":"joined""#, 1);
    ana.write_line("haddock in the room");
    ana.read_until(r#""event":"delivered""#, 1);
    ana.write_line("/msg bob swordfish for bob");
    let met = ana.read_until(r#""who":"bob""#, 1).pop().unwrap();
    assert_eq!((&met["event"], &met["state"]), (&"key".into(), &"new".into()));
    let held = ana.read_until(r#""event":"held""#, 1).pop().unwrap();
    relay.kill_now();
    let relay = Program::relay(&address, &data, &[]);
    let mut bob = member(&bobs.address, "bob", "bob");
    let letter = bob.read_until("swordfish for bob", 1).pop().unwrap();
    assert_eq!((&letter["private"], &letter["sealed"]), (&true.into(), &true.into()));
    let delivered = ana.read_until(r#""event":"delivered""#, 1).pop().unwrap();
    assert_eq!(delivered["id"], held["id"]);
    bob.read_until("haddock", 1);
    ana.write_line("/msg bob swordfish again");
    bob.read_until("swordfish again", 1);
    bob.write_line("/reply swordfish for ana");
    let answer = ana.read_until("swordfish for ana", 1).pop().unwrap();
    assert_eq!((&answer["sealed"], &answer["re"]["text"]), (&true.into(), &"swordfish again".into()));
    let (code, heard) = bob.finish();
    assert_eq!((code, key_of(&heard, "ana").len()), (0, 1));
    let (code, heard) = ana.finish();
    assert_eq!((code, key_of(&heard, "bob").len()), (0, 1));
    drop(relay);
    for needle in ["swordfish", "haddock", "#sala", "\"ana\""] {
        assert!(!anas.heard(needle) && !bobs.heard(needle), "{needle} was on the way");
    }
    // What is said in a room is the relay's to keep.
    assert!(is_kept(Path::new(&data), "haddock"));
    assert!(!is_kept(Path::new(&data), "swordfish"));
}

// UC-LETTER-005, UC-KEY-009, UC-RELAY-007
#[test]
fn a_name_with_another_key_gets_no_letters_until_it_is_trusted() {
    let relay = Program::relay("127.0.0.1:0", &folder("relay"), &["--memory"]);
    let join = |nick: &str, data: &str| {
        let mut program = member(&relay.address, nick, data);
        program.read_until(r#""event":"joined""#, 1);
        program
    };
    let mut ana = join("ana", "ana");
    let bob = join("bob", "bob");
    ana.write_line("/msg bob first");
    ana.read_until(r#""event":"delivered""#, 1);
    bob.finish();
    let mut other = join("bob", "somebody else");
    ana.write_line("/msg bob are you well?");
    let changed = ana.read_until(r#""state":"changed""#, 1).pop().unwrap();
    assert_eq!((&changed["who"], &changed["accept"]), (&"bob".into(), &"/trust bob".into()));
    let failed = ana.read_until(r#""event":"failed""#, 1).pop().unwrap();
    assert!(failed["reason"].as_str().unwrap().contains("another key"), "{failed}");
    ana.write_line("/trust bob");
    ana.read_until(r#""state":"accepted""#, 1);
    ana.write_line("/msg bob hello, new bob");
    let letter = other.read_until("hello, new bob", 1).pop().unwrap();
    assert_eq!(letter["sealed"], true);
    ana.read_until(r#""event":"delivered""#, 1);
    // A letter was not sent: a script fails.
    assert_eq!(ana.finish().0, 1);
    assert!(!key_of(&other.finish().1, "ana").is_empty());
}

// UC-LETTER-003
#[test]
fn in_the_clear_letters_travel_as_they_are() {
    let relay = Program::relay("127.0.0.1:0", &folder("relay"), &["--clear"]);
    let tap = Tap::before(&relay.address);
    let data = folder("ana");
    let mut ana = Program::peer(&["--relay", &tap.address, "--nick", "ana", "--data", &data, "--clear"]);
    ana.read_until(r#""event":"entered""#, 1);
    ana.write_line("/msg ana swordfish for myself");
    let letter = ana.read_until("swordfish for myself", 2).pop().unwrap();
    ana.finish();
    assert_eq!((&letter["event"], &letter["sealed"]), (&"message".into(), &false.into()));
    assert!(tap.heard("swordfish for myself"));
}
