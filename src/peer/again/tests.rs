//! Sealed peers that lose each other: each test is a script with exactly the events that follow.

use std::sync::Arc;

use super::super::shown::Shown;
use super::super::tests::{NAMES, Town, address};
use super::*;
use crate::endpoint::{EndpointConfig, Protection};
use crate::peer::{Command, Destination, Id, Named, PeerConfig};
use crate::secure::KeyPair;

/// Three sealed peers; what they keep outlives them.
struct Street {
    town: Town,
    shown: [Vec<(PublicKey, MessageId)>; 3],
    outbox: [Vec<Kept>; 3],
    runs: u64,
    patience: Option<Duration>,
    remembers: bool,
}

fn key(index: usize) -> KeyPair {
    KeyPair::from_secret([index as u8 + 1; 32])
}

impl Street {
    fn new() -> Self {
        let town = Town::new();
        let mut street = Self {
            town,
            shown: Default::default(),
            outbox: Default::default(),
            runs: 0,
            patience: None,
            remembers: true,
        };
        (0..NAMES.len()).for_each(|index| street.start(index, index));
        street
    }

    /// Ends whoever is at `place` as a power cut would, and starts somebody there with what is on the disk.
    fn start(&mut self, place: usize, who: usize) {
        self.runs += 1;
        let seed = [self.runs as u8; 32].into();
        let protection = Protection::Sealed { keys: Arc::new(key(who)), seed };
        let config = PeerConfig {
            nick: Some(NAMES[who].to_owned()),
            local_port: 6_000,
            repeats: Some(Repeats { patience: self.patience, is_kept: true }),
            remembers: self.remembers,
            shown: Shown::new(self.shown[who].iter().cloned()),
            endpoint: EndpointConfig { protection, ..EndpointConfig::default() },
            ..PeerConfig::default()
        };
        self.town.peers[place] = Peer::new(config, self.runs, self.town.now);
    }

    /// As long as nothing is wanted, and nothing on the disk is older than what was sent.
    fn run(&mut self, for_ms: u64) {
        for _ in 0..for_ms / 5 {
            self.write();
            self.town.run(5);
        }
        self.write();
    }

    fn write(&mut self) {
        for index in 0..NAMES.len() {
            self.shown[index].extend(std::iter::from_fn(|| self.town.peers[index].poll_shown()));
            while let Some(change) = self.town.peers[index].poll_outbox() {
                match change {
                    OutboxChange::Keep(kept) => {
                        let place = self.outbox[index].iter().position(|other| other.id == kept.id);
                        match place {
                            Some(place) => self.outbox[index][place] = kept,
                            None => self.outbox[index].push(kept),
                        }
                    }
                    OutboxChange::Drop(id) | OutboxChange::Confirm(id) => {
                        self.outbox[index].retain(|kept| kept.id != id);
                    }
                }
            }
        }
    }

    fn open(&mut self, from: usize, to: usize) -> ConversationId {
        let named = Named { address: Some(address(to).to_string()), key: None };
        let id = self.town.tell(from, Command::Open { addresses: vec![address(to)], named });
        let Ok(Id::Conversation(id)) = id else { panic!("{id:?}") };
        id
    }

    /// Two who have talked.
    fn acquainted() -> (Self, ConversationId) {
        let mut street = Self::new();
        let bob = street.open(0, 1);
        street.say(bob, "hello");
        street.run(1_000);
        street.town.log.clear();
        (street, bob)
    }

    fn say(&mut self, to: ConversationId, text: &str) {
        self.town.say(0, to, text);
    }

    /// The next run of ana's says again what the one before left.
    fn repeat(&mut self) -> ConversationId {
        let words = self.outbox[0].clone();
        let named = Named { address: None, key: Some(words[0].key) };
        let to = words[0].to.parse().unwrap();
        let id = self.town.tell(0, Command::Open { addresses: vec![to], named });
        let Ok(Id::Conversation(to)) = id else { panic!("{id:?}") };
        self.town.tell(0, Command::Repeat { to, words }).unwrap();
        to
    }

    fn texts_kept(&self) -> Vec<&str> {
        self.outbox[0].iter().map(|kept| kept.text.as_str()).collect()
    }

    /// The log without how long it took, and without first meetings.
    #[track_caller]
    fn expect(&mut self, expected: &[&str]) {
        self.town.log.retain(|line| !line.contains("key of"));
        for line in &mut self.town.log {
            if let Some(end) = line.find(" after ") {
                line.truncate(end);
            }
        }
        self.town.expect(expected);
    }
}

const ANEW: &str = "ana: closed: the other side was started anew";

// UC-CHAT-015, UC-CHAT-016, UC-CHAT-017
#[test]
fn a_receiver_that_was_killed_before_its_receipt_left_shows_nothing_twice() {
    let (mut street, bob) = Street::acquainted();
    street.town.mute = Some(1);
    street.say(bob, "one");
    street.run(100);
    street.expect(&["bob: ana says one"]);
    street.start(1, 1);
    street.town.mute = None;
    street.run(10_000);
    street.expect(&["ana: silence", ANEW, "ana: bob is there", "bob: ana is there", "ana: delivered"]);
    assert_eq!(street.town.peers[1].repeated_messages(), 1);
    assert!(street.texts_kept().is_empty());
}

/// It proved its key and was gone before it could say that it remembers; the next one says it.
// UC-CHAT-015
#[test]
fn a_receiver_that_was_killed_before_it_introduced_itself_is_told_again() {
    let mut street = Street::new();
    let bob = street.open(0, 1);
    street.say(bob, "one");
    street.run(25);
    street.town.mute = Some(1);
    street.run(100);
    street.expect(&["bob: ana is there", "bob: ana says one"]);
    street.town.cut_off = Some(1);
    street.say(bob, "two");
    street.run(100);
    assert_eq!(street.texts_kept(), ["one", "two"]);
    street.start(1, 1);
    (street.town.cut_off, street.town.mute) = (None, None);
    street.run(10_000);
    street.expect(&[
        "ana: silence",
        "bob: ana is there",
        "ana: bob is there",
        "bob: ana says two",
        "ana: delivered",
        "ana: delivered",
    ]);
    assert!(street.texts_kept().is_empty());
}

/// The same, and what it could have said then is not known when the next one remembers nothing.
#[test]
fn a_receiver_that_never_introduced_itself_and_remembers_nothing_leaves_words_unknown() {
    let mut street = Street::new();
    let bob = street.open(0, 1);
    street.say(bob, "one");
    street.run(25);
    street.town.cut_off = Some(1);
    street.run(100);
    street.remembers = false;
    street.start(1, 1);
    street.town.cut_off = None;
    street.run(10_000);
    street.expect(&[
        "bob: ana is there",
        "bob: ana says one",
        "ana: silence",
        "bob: ana is there",
        "ana: bob is there",
        "ana: unknown",
    ]);
    assert!(street.texts_kept().is_empty());
}

#[test]
fn a_receiver_that_was_killed_before_it_showed_shows_it_now() {
    let (mut street, bob) = Street::acquainted();
    street.town.cut_off = Some(1);
    street.say(bob, "one");
    street.say(bob, "two");
    street.run(100);
    assert_eq!(street.texts_kept(), ["one", "two"]);
    street.start(1, 1);
    street.town.cut_off = None;
    street.run(10_000);
    street.expect(&[
        "ana: silence",
        ANEW,
        "ana: bob is there",
        "bob: ana is there",
        "bob: ana says one",
        "bob: ana says two",
        "ana: delivered",
        "ana: delivered",
    ]);
}

#[test]
fn newer_words_do_not_overtake_those_that_wait() {
    let (mut street, bob) = Street::acquainted();
    street.town.mute = Some(1);
    street.say(bob, "one");
    street.run(100);
    street.town.cut_off = Some(1);
    street.say(bob, "two");
    street.run(90_000);
    street.expect(&[
        "bob: ana says one",
        "ana: silence",
        "bob: silence",
        "ana: closed: the other side fell silent",
        "ana: 2 waiting",
        "bob: closed: the other side fell silent",
    ]);
    street.say(bob, "three");
    (street.town.cut_off, street.town.mute) = (None, None);
    street.run(20_000);
    street.expect(&[
        "bob: ana is there",
        "ana: bob is there",
        "bob: ana says two",
        "bob: ana says three",
        "ana: delivered",
        "ana: delivered",
        "ana: delivered",
    ]);
}

#[test]
fn a_side_that_remembers_nothing_is_told_nothing_twice() {
    let mut street = Street::new();
    street.remembers = false;
    street.start(1, 1);
    let bob = street.open(0, 1);
    street.run(1_000);
    street.town.log.clear();
    street.town.mute = Some(1);
    street.say(bob, "one");
    street.run(100);
    assert!(street.texts_kept().is_empty());
    street.start(1, 1);
    street.town.mute = None;
    street.run(10_000);
    street.expect(&[
        "bob: ana says one",
        "ana: silence",
        "ana: unknown",
        ANEW,
        "ana: bob is there",
        "bob: ana is there",
    ]);
}

#[test]
fn a_side_that_remembers_no_longer_leaves_what_was_sent_unknown() {
    let (mut street, bob) = Street::acquainted();
    street.town.mute = Some(1);
    street.say(bob, "one");
    street.run(100);
    street.remembers = false;
    street.start(1, 1);
    street.town.mute = None;
    street.run(10_000);
    street.say(bob, "two");
    street.run(1_000);
    street.expect(&[
        "bob: ana says one",
        "ana: silence",
        ANEW,
        "ana: bob is there",
        "bob: ana is there",
        "ana: unknown",
        "bob: ana says two",
        "ana: delivered",
    ]);
    assert!(street.texts_kept().is_empty());
}

// UC-CHAT-018
#[test]
fn both_are_killed_and_each_word_is_shown_once() {
    let (mut street, bob) = Street::acquainted();
    street.town.mute = Some(1);
    street.say(bob, "one");
    street.run(100);
    street.town.cut_off = Some(1);
    street.say(bob, "two");
    street.run(100);
    assert_eq!(street.texts_kept(), ["one", "two"]);
    street.start(0, 0);
    street.start(1, 1);
    (street.town.cut_off, street.town.mute) = (None, None);
    let bob = street.repeat();
    street.say(bob, "three");
    street.run(2_000);
    street.expect(&[
        "bob: ana says one",
        "bob: ana is there",
        "ana: bob is there",
        "bob: ana says two",
        "bob: ana says three",
        "ana: delivered",
        "ana: delivered",
        "ana: delivered",
    ]);
    assert!(street.texts_kept().is_empty());
}

// UC-CHAT-015
#[test]
fn another_key_in_between_gets_nothing() {
    let (mut street, bob) = Street::acquainted();
    street.town.mute = Some(1);
    street.say(bob, "one");
    street.run(100);
    // Cid is at bob's address now.
    street.start(1, 2);
    street.town.mute = None;
    street.run(120_000);
    let told = std::mem::take(&mut street.town.log);
    let count = |what: &str| told.iter().filter(|line| line.contains(what)).count();
    assert_eq!((count("says"), count("1 waiting"), count("CHANGED")), (1, 1, 1), "{told:#?}");
    assert_eq!(count("unknown") + count("failed") + count("delivered"), 0, "{told:#?}");
    street.start(1, 1);
    street.run(30_000);
    street.expect(&["bob: ana is there", "ana: bob is there", "ana: delivered"]);
}

#[test]
fn who_accepts_another_key_gives_up_what_waits_for_the_old_one() {
    let (mut street, bob) = Street::acquainted();
    street.town.cut_off = Some(1);
    street.say(bob, "for bob alone");
    street.run(90_000);
    street.start(1, 2);
    street.town.cut_off = None;
    street.run(20_000);
    street.town.log.clear();
    let who = crate::peer::Trusted::Conversation(bob);
    street.town.tell(0, Command::Trust { who }).unwrap();
    street.say(bob, "for cid");
    street.run(5_000);
    let told = std::mem::take(&mut street.town.log);
    assert_eq!(told.iter().filter(|line| line.contains("unknown")).count(), 1, "{told:#?}");
    assert!(told.contains(&"bob: ana says for cid".to_owned()), "{told:#?}");
    assert!(!told.iter().any(|line| line.contains("bob alone")), "{told:#?}");
}

#[test]
fn what_is_said_while_another_key_answers_is_held_back_and_not_unknown() {
    let (mut street, bob) = Street::acquainted();
    street.start(1, 2);
    street.say(bob, "before anybody knows");
    street.run(10_000);
    let told = std::mem::take(&mut street.town.log);
    assert!(told.iter().any(|line| line.contains("CHANGED")), "{told:#?}");
    street.say(bob, "for bob alone");
    street.run(1_000);
    let who = crate::peer::Trusted::Conversation(bob);
    street.town.tell(0, Command::Trust { who }).unwrap();
    street.say(bob, "for cid");
    street.run(5_000);
    let told = std::mem::take(&mut street.town.log);
    let count = |what: &str| told.iter().filter(|line| line.contains(what)).count();
    assert_eq!(
        (count("ana: unknown"), count("ana: failed"), count("ana: delivered")),
        (1, 1, 1),
        "{told:#?}"
    );
    assert_eq!(
        told.iter().filter(|line| line.contains("says")).collect::<Vec<_>>(),
        ["bob: ana says for cid"]
    );
}

#[test]
fn what_was_held_back_goes_out_when_the_right_one_is_heard_again() {
    let (mut street, bob) = Street::acquainted();
    // Bob is cut off, and cid answers in his place for a while.
    let right =
        std::mem::replace(&mut street.town.peers[1], Peer::new(PeerConfig::default(), 9, street.town.now));
    street.start(1, 2);
    street.say(bob, "one");
    street.run(10_000);
    street.say(bob, "two");
    street.run(1_000);
    street.town.log.clear();
    street.town.peers[1] = right;
    street.run(10_000);
    let told = std::mem::take(&mut street.town.log);
    let said: Vec<_> = told.iter().filter(|line| line.contains("says")).collect();
    assert_eq!(said, ["bob: ana says one", "bob: ana says two"], "{told:#?}");
    assert_eq!(told.iter().filter(|line| line.contains("delivered")).count(), 2, "{told:#?}");
}

#[test]
fn somebody_who_comes_back_from_elsewhere_gets_what_waits() {
    let (mut street, bob) = Street::acquainted();
    street.town.cut_off = Some(1);
    street.say(bob, "one");
    street.run(90_000);
    street.town.log.clear();
    // Bob is at cid's address now, and calls.
    street.start(2, 1);
    street.open(2, 0);
    street.run(2_000);
    let told = std::mem::take(&mut street.town.log);
    assert!(told.contains(&"cid: ana says one".to_owned()), "{told:#?}");
    assert_eq!(told.iter().filter(|line| line.contains("delivered")).count(), 1, "{told:#?}");
}

#[test]
fn the_end_of_a_run_tells_what_is_kept_for_the_next() {
    let (mut street, bob) = Street::acquainted();
    street.town.cut_off = Some(1);
    street.say(bob, "one");
    street.run(100);
    street.town.tell(0, Command::Shutdown).unwrap();
    street.run(3_500);
    street.expect(&["ana: silence", "ana: kept"]);
    assert_eq!(street.texts_kept(), ["one"]);
    street.start(0, 0);
    street.repeat();
    street.town.cut_off = None;
    street.run(30_000);
    let told = std::mem::take(&mut street.town.log);
    assert!(told.contains(&"bob: ana says one".to_owned()), "{told:#?}");
    assert_eq!(told.iter().filter(|line| line.contains("delivered")).count(), 1, "{told:#?}");
}

// UC-CHAT-018
#[test]
fn what_never_left_is_not_called_unknown_after_a_restart() {
    let (mut street, bob) = Street::acquainted();
    street.town.cut_off = Some(1);
    street.say(bob, "one");
    street.run(90_000);
    street.say(bob, "two");
    street.run(100);
    let sent = |street: &Street| street.outbox[0].iter().map(|kept| kept.is_sent).collect::<Vec<_>>();
    assert_eq!((street.texts_kept(), sent(&street)), (vec!["one", "two"], vec![true, false]));
    street.start(0, 0);
    let bob = street.repeat();
    street.town.log.clear();
    street.town.tell(0, Command::Close { conversation: bob }).unwrap();
    street.run(10_000);
    let told = std::mem::take(&mut street.town.log);
    assert_eq!(told[..2], ["ana: unknown", "ana: failed: the connection ended before it was sent"]);
    assert!(street.texts_kept().is_empty());
}

// UC-CHAT-018
#[test]
fn what_never_left_is_sent_by_the_next_run_and_known_as_sent_then() {
    let (mut street, bob) = Street::acquainted();
    street.town.cut_off = Some(1);
    street.say(bob, "one");
    street.run(90_000);
    street.say(bob, "two");
    street.run(100);
    street.start(0, 0);
    street.repeat();
    street.town.cut_off = None;
    street.run(30_000);
    let told = std::mem::take(&mut street.town.log);
    for said in ["bob: ana says one", "bob: ana says two"] {
        assert!(told.contains(&said.to_owned()), "{told:#?}");
    }
    assert_eq!(told.iter().filter(|line| line.contains("delivered")).count(), 2, "{told:#?}");
    assert!(street.texts_kept().is_empty());
}

#[test]
fn closing_gives_up_what_waits() {
    let (mut street, bob) = Street::acquainted();
    street.town.cut_off = Some(1);
    street.say(bob, "one");
    street.run(90_000);
    street.say(bob, "two");
    street.run(100);
    street.town.log.clear();
    assert_eq!(street.texts_kept(), ["one", "two"]);
    street.town.tell(0, Command::Close { conversation: bob }).unwrap();
    street.run(10_000);
    let told = std::mem::take(&mut street.town.log);
    assert_eq!(told[..2], ["ana: unknown", "ana: failed: the connection ended before it was sent"]);
    assert!(street.texts_kept().is_empty() && street.town.peers[0].is_idle(), "{told:#?}");
}

#[test]
fn patience_ends_and_tells_what_is_known() {
    let mut street = Street::new();
    street.patience = Some(Duration::from_secs(60));
    street.start(0, 0);
    let bob = street.open(0, 1);
    street.run(1_000);
    street.town.cut_off = Some(1);
    street.say(bob, "one");
    street.run(90_000);
    street.say(bob, "two");
    street.town.log.clear();
    street.run(60_000);
    let told = std::mem::take(&mut street.town.log);
    assert_eq!(told[..2], ["ana: unknown", "ana: failed: no answer"], "{told:#?}");
    assert!(street.texts_kept().is_empty() && street.town.peers[0].is_idle(), "{told:#?}");
}

#[test]
fn no_more_waits_than_a_receiver_remembers() {
    let (mut street, bob) = Street::acquainted();
    street.town.mute = Some(1);
    let mut taken = 0;
    let say = |text: String| Command::Say { to: Destination::Peer(bob), text };
    while street.town.tell(0, say(format!("line {taken}"))).is_ok() {
        taken += 1;
    }
    assert_eq!(taken, MAX_UNCONFIRMED);
    street.run(5_000);
    assert_eq!(street.texts_kept().len(), taken);
    street.town.log.clear();
    street.start(1, 1);
    street.town.mute = None;
    street.run(30_000);
    let count = |what: &str| street.town.log.iter().filter(|line| line.contains(what)).count();
    assert_eq!((count("delivered"), count("writable")), (taken, 1));
    let shown = street.shown[1].len();
    assert_eq!(shown, 1 + taken, "each once");
    assert!(street.texts_kept().is_empty());
}

#[test]
fn another_program_with_the_same_key_that_remembers_nothing_gets_nothing() {
    let (mut street, bob) = Street::acquainted();
    street.town.cut_off = Some(1);
    street.say(bob, "one");
    street.run(90_000);
    street.town.log.clear();
    street.remembers = false;
    street.start(2, 1);
    street.open(2, 0);
    street.run(5_000);
    street.expect(&["ana: bob is there", "cid: ana is there"]);
    street.remembers = true;
    street.start(1, 1);
    street.town.cut_off = None;
    street.run(30_000);
    street.expect(&["bob: ana is there", "ana: bob is there", "bob: ana says one", "ana: delivered"]);
}

#[test]
fn a_disk_that_is_full_ends_what_is_kept_and_what_is_remembered() {
    let (mut street, bob) = Street::acquainted();
    let now = street.town.now;
    street.town.peers[0].stop_keeping();
    street.town.mute = Some(1);
    street.say(bob, "one");
    street.run(100);
    assert!(street.texts_kept().is_empty());
    street.town.mute = None;
    street.town.peers[1].stop_remembering(now);
    street.run(1_000);
    street.town.cut_off = Some(1);
    street.say(bob, "two");
    street.run(90_000);
    let told = std::mem::take(&mut street.town.log);
    assert_eq!(told.iter().filter(|line| line.contains("unknown")).count(), 1, "{told:#?}");
    assert!(!told.iter().any(|line| line.contains("waiting")), "{told:#?}");
}
