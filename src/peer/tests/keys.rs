//! Keys between sealed peers: met, changed, typed, accepted; and that words for one key never go to another.

use std::sync::Arc;

use super::super::trust::{KnownBy, KnownKey, Trust};
use super::*;
use crate::endpoint::Protection;
use crate::secure::{KeyPair, PublicKey};

/// The key with this number.
fn pair(number: u8) -> KeyPair {
    KeyPair::from_secret([number; 32])
}

fn key(number: u8) -> PublicKey {
    pair(number).public()
}

/// A sealed peer whose key has this number, and who knows what was known before.
fn sealed(index: usize, number: u8, run: u64, trust: Trust, now: Now) -> Peer {
    let mut config =
        PeerConfig { nick: Some(NAMES[index].to_owned()), local_port: 6_000, trust, ..PeerConfig::default() };
    let seed = [number + 16 * u8::try_from(run).unwrap(); 32].into();
    config.endpoint.protection = Protection::Sealed { keys: Arc::new(pair(number)), seed };
    Peer::new(config, index as u64 + 10 * run, now)
}

impl Town {
    /// Ana, bob and cid with the keys 1, 2 and 3.
    fn sealed() -> Self {
        let mut town = Self::new();
        for index in 0..NAMES.len() {
            town.peers[index] = sealed(index, index as u8 + 1, 0, Trust::default(), town.now);
        }
        town
    }

    /// Somebody with another key is at the same address, under the same name.
    fn replace(&mut self, index: usize, number: u8) {
        self.peers[index] = sealed(index, number, 1, Trust::default(), self.now);
    }

    /// As a user who typed an address, and perhaps a key.
    fn call(&mut self, from: usize, to: usize, key: Option<PublicKey>) -> ConversationId {
        let named = Named { address: Some(format!("{}:6000", NAMES[to])), key };
        match self.tell(from, Command::Open { addresses: vec![address(to)], named }) {
            Ok(Id::Conversation(conversation)) => conversation,
            other => panic!("{other:?}"),
        }
    }
}

// UC-KEY-008, UC-KEY-009
#[test]
fn a_changed_key_gets_no_words_until_it_is_accepted() {
    let mut town = Town::sealed();
    let bob = town.call(0, 1, None);
    town.say(0, bob, "hello");
    town.run(500);
    town.expect(&[
        "ana: key of Address(\"bob:6000\"): new",
        "bob: ana is there",
        "bob: key of Caller(\"ana\"): new",
        "bob: ana says hello",
        "ana: bob is there",
        "ana: delivered after 40ms",
    ]);
    assert_eq!((town.peers[0].key_of(bob), town.peers[1].own_key()), (Some(key(2)), Some(key(2))));
    town.tell(0, Command::Close { conversation: bob }).unwrap();
    town.run(500);
    town.log.clear();

    town.replace(1, 9);
    town.say(0, bob, "secret");
    // Told at once, long before the attempt ends.
    town.run(1_000);
    town.expect(&["ana: key of Address(\"bob:6000\"): CHANGED"]);
    town.run(1_500);
    let closed = format!("ana: closed: somebody with another key answered: {}", key(9));
    town.expect(&["ana: failed: another key answered, so it was not sent", &closed]);
    assert_eq!(town.peers[0].key_of(bob), Some(key(2)));

    let who = Trusted::Address("BOB:6000".to_owned());
    town.tell(0, Command::Trust { who: who.clone() }).unwrap();
    assert_eq!(town.tell(0, Command::Trust { who }), Err(CommandError::NothingToTrust));
    town.say(0, bob, "now");
    town.run(500);
    town.expect(&[
        "ana: key of Address(\"bob:6000\"): accepted",
        "bob: ana is there",
        "bob: key of Caller(\"ana\"): new",
        "bob: ana says now",
        "ana: bob is there",
        "ana: delivered after 40ms",
    ]);
    let by = KnownBy::address("bob:6000");
    let kept: Vec<_> = std::iter::from_fn(|| town.peers[0].poll_known()).collect();
    assert_eq!(kept.iter().map(|(by, known)| (by, known.key)).collect::<Vec<_>>(), [(&by, key(9))]);
}

// UC-KEY-009
#[test]
fn a_key_that_comes_after_the_look_is_not_accepted() {
    let mut town = Town::sealed();
    let bob = town.call(0, 1, None);
    town.run(500);
    town.tell(0, Command::Close { conversation: bob }).unwrap();
    town.run(500);
    let who = Trusted::Address("bob:6000".to_owned());
    assert_eq!(town.peers[0].show_seen(&who), None);
    for number in [8, 9] {
        town.replace(1, number);
        town.say(0, bob, "secret");
        town.run(3_000);
    }
    let trust = |town: &mut Town| town.tell(0, Command::Trust { who: who.clone() });
    assert_eq!(trust(&mut town), Err(CommandError::AnotherKeyCame));
    assert_eq!(town.peers[0].show_seen(&who), Some(key(9)));
    trust(&mut town).unwrap();
    assert_eq!(town.peers[0].trust().expected(&KnownBy::address("bob:6000")), Some(key(9)));
    assert_eq!(town.peers[0].show_seen(&who), None);
}

// UC-KEY-009
#[test]
fn of_one_attempt_the_first_wrong_key_is_told_and_is_the_one_to_accept() {
    let mut town = Town::sealed();
    let bob = town.call(0, 1, None);
    town.run(500);
    town.tell(0, Command::Close { conversation: bob }).unwrap();
    town.run(500);
    town.log.clear();
    town.replace(1, 8);
    town.say(0, bob, "secret");
    town.run(500);
    town.replace(1, 9);
    town.run(2_000);
    let closed = format!("ana: closed: somebody with another key answered: {}", key(8));
    town.expect(&[
        "ana: key of Address(\"bob:6000\"): CHANGED",
        "ana: failed: another key answered, so it was not sent",
        &closed,
    ]);
    assert_eq!(town.peers[0].show_seen(&Trusted::Conversation(bob)), Some(key(8)));
}

// UC-KEY-009
#[test]
fn who_accepts_a_key_while_the_call_goes_on_talks_to_it_at_once() {
    let mut town = Town::sealed();
    let bob = town.call(0, 1, None);
    town.run(500);
    town.tell(0, Command::Close { conversation: bob }).unwrap();
    town.run(500);
    town.log.clear();
    town.replace(1, 9);
    town.say(0, bob, "for bob alone");
    town.run(500);
    town.tell(0, Command::Trust { who: Trusted::Address("bob:6000".to_owned()) }).unwrap();
    town.say(0, bob, "for you");
    town.run(5_000);
    town.expect(&[
        "ana: key of Address(\"bob:6000\"): CHANGED",
        "ana: failed: another key answered, so it was not sent",
        "ana: key of Address(\"bob:6000\"): accepted",
        "bob: ana is there",
        "bob: key of Caller(\"ana\"): new",
        "bob: ana says for you",
        "ana: bob is there",
        "ana: delivered after 40ms",
    ]);
}

// UC-KEY-010
#[test]
fn a_typed_key_counts_more_than_a_known_one() {
    let mut town = Town::sealed();
    let bob = town.call(0, 1, Some(key(9)));
    town.say(0, bob, "secret");
    town.run(3_000);
    let closed = format!("ana: closed: somebody with another key answered: {}", key(2));
    town.expect(&[
        "ana: key of Address(\"bob:6000\"): CHANGED",
        "ana: failed: another key answered, so it was not sent",
        &closed,
    ]);
    let again = town.call(0, 1, Some(key(2)));
    assert_ne!(again, bob, "it is somebody else");
    town.say(0, again, "hello");
    town.run(500);
    assert!(town.log.contains(&"bob: ana says hello".to_owned()), "{:?}", town.log);
    assert_eq!(town.peers[0].trust().expected(&KnownBy::address("bob:6000")), Some(key(2)));
}

#[test]
fn what_was_known_in_earlier_runs_counts() {
    let mut town = Town::sealed();
    let mut trust = Trust::default();
    trust.pin(town.now.wall, &KnownBy::address("bob:6000"), key(9));
    town.peers[0] = sealed(0, 1, 1, trust, town.now);
    let bob = town.call(0, 1, None);
    town.say(0, bob, "secret");
    town.run(1_000);
    town.expect(&["ana: key of Address(\"bob:6000\"): CHANGED"]);
}

#[test]
fn a_caller_with_another_key_does_not_join_a_conversation() {
    let mut town = Town::sealed();
    let bob = town.call(0, 1, None);
    town.run(500);
    town.tell(1, Command::Shutdown).unwrap();
    town.run(500);
    town.replace(1, 9);
    town.log.clear();
    let ana = town.open(1, 0);
    town.say(1, ana, "it is me, bob");
    town.run(500);
    town.expect(&[
        "ana: bob is there",
        "ana: key of Caller(\"bob\"): another of that name",
        "ana: bob says it is me, bob",
        "bob: ana is there",
        "bob: key of Caller(\"ana\"): new",
        "bob: delivered after 40ms",
    ]);
    // An answer goes to whoever spoke, and what is for bob to nobody else.
    town.tell(0, Command::Reply { text: "hello, whoever you are".to_owned() }).unwrap();
    town.say(0, bob, "for bob alone");
    town.run(3_000);
    let heard: Vec<&String> = town.log.iter().filter(|line| line.starts_with("bob: ana says")).collect();
    assert_eq!(heard, ["bob: ana says hello, whoever you are to \"it is me, bob\""]);
    assert!(town.log.contains(&"ana: failed: another key answered, so it was not sent".to_owned()));
}

#[test]
fn a_known_side_that_takes_anothers_name_is_told() {
    let mut town = Town::sealed();
    let [bob, cid] = [1, 2].map(|to| town.call(0, to, None));
    for to in [bob, cid] {
        town.say(0, to, "hello");
    }
    town.run(500);
    town.log.clear();
    for nick in ["robert", "cid"] {
        town.tell(1, Command::Rename { nick: nick.to_owned() }).unwrap();
        town.run(500);
    }
    town.expect(&[
        "ana: bob is now robert",
        "ana: key of Caller(\"robert\"): known",
        "ana: robert is now cid",
        "ana: key of Caller(\"cid\"): another of that name",
    ]);
    let bobs = town.peers[0].trust().known(&KnownBy::address("bob:6000")).unwrap();
    assert_eq!(bobs.nick.as_deref(), Some("robert"), "it does not get the name");
}

// UC-KEY-009
#[test]
fn who_takes_anothers_name_does_not_get_it_by_a_second_connection() {
    let mut town = Town::sealed();
    let ana = town.open(1, 0);
    town.say(1, ana, "hello, it is bob");
    let mallory = town.call(0, 2, None);
    town.say(0, mallory, "hello");
    town.run(500);
    town.tell(2, Command::Rename { nick: "bob".to_owned() }).unwrap();
    town.run(500);
    assert!(town.log.contains(&"ana: key of Caller(\"bob\"): another of that name".to_owned()));
    // It ends the connection, and ana goes on in the same conversation.
    let back = town.open(2, 0);
    town.tell(2, Command::Close { conversation: back }).unwrap();
    town.run(500);
    town.log.clear();
    town.say(0, mallory, "are you there?");
    town.run(500);
    assert!(town.log.contains(&"cid: ana says are you there?".to_owned()));
    let known = town.peers[0].trust().known(&KnownBy::address("cid:6000")).unwrap();
    assert_eq!(known.nick.as_deref(), Some("cid"));
    assert!(town.peers[0].trust().holder_besides("bob", key(3)).is_some());
}

#[test]
fn an_answer_does_not_go_to_whoever_has_the_address_now() {
    let mut town = Town::sealed();
    let bob = town.open(1, 0);
    town.say(1, bob, "hello");
    town.run(500);
    town.tell(1, Command::Shutdown).unwrap();
    town.run(500);
    town.replace(1, 9);
    town.log.clear();
    town.tell(0, Command::Reply { text: "for bob".to_owned() }).unwrap();
    town.run(3_000);
    let closed = format!("ana: closed: somebody with another key answered: {}", key(9));
    town.expect(&[
        "ana: key of Address(\"10.0.0.2:6000\"): CHANGED",
        "ana: failed: another key answered, so it was not sent",
        &closed,
    ]);
    town.tell(0, Command::Trust { who: Trusted::Address("10.0.0.2:6000".to_owned()) }).unwrap();
    town.tell(0, Command::Reply { text: "for you".to_owned() }).unwrap();
    town.run(500);
    town.expect(&[
        "ana: key of Address(\"10.0.0.2:6000\"): accepted",
        "bob: ana is there",
        "bob: key of Caller(\"ana\"): new",
        "bob: ana says for you to \"hello\"",
        "ana: bob is there",
        "ana: key of Caller(\"bob\"): known",
        "ana: delivered after 40ms",
    ]);
}

#[test]
fn both_call_at_once_and_know_each_other() {
    let mut town = Town::sealed();
    let [bob, ana] = [(0, 1), (1, 0)].map(|(from, to)| town.call(from, to, None));
    town.say(0, bob, "hello");
    town.say(1, ana, "hello too");
    town.run(1_000);
    for line in ["bob: ana says hello", "ana: bob says hello too"] {
        assert!(town.log.contains(&line.to_owned()), "{line}: {:?}", town.log);
    }
    for index in [0, 1] {
        let others = KnownBy::address(&format!("{}:6000", NAMES[1 - index]));
        assert_eq!(town.peers[index].trust().expected(&others), Some(key(2 - index as u8)));
    }
    assert!(!town.log.iter().any(|line| line.contains("CHANGED")), "{:?}", town.log);
}

#[test]
fn another_key_in_the_place_of_a_silent_side_is_told() {
    let mut town = Town::sealed();
    let bob = town.call(0, 1, None);
    town.run(500);
    town.replace(1, 9);
    town.log.clear();
    town.say(0, bob, "are you there?");
    town.run(10_000);
    town.expect(&["ana: silence", "ana: key of Address(\"bob:6000\"): CHANGED"]);
    town.run(60_000);
    town.expect(&["ana: unknown", "ana: closed: the other side fell silent"]);
}

// UC-KEY-009
#[test]
fn what_is_said_after_the_key_was_accepted_goes_to_it_though_the_silent_side_is_connected() {
    let mut town = Town::sealed();
    let bob = town.call(0, 1, None);
    town.run(500);
    town.replace(1, 9);
    town.log.clear();
    town.say(0, bob, "for bob alone");
    town.run(10_000);
    town.expect(&["ana: silence", "ana: key of Address(\"bob:6000\"): CHANGED"]);
    town.tell(0, Command::Trust { who: Trusted::Address("bob:6000".to_owned()) }).unwrap();
    town.say(0, bob, "for you");
    town.run(1_000);
    town.expect(&[
        "ana: key of Address(\"bob:6000\"): accepted",
        "ana: unknown",
        "ana: closed: closed here",
        "bob: ana is there",
        "bob: key of Caller(\"ana\"): new",
        "bob: ana says for you",
        "ana: bob is there",
        "ana: delivered after 40ms",
    ]);
}

/// What another program of ana's keeps: bob's address has the key with this number, since a moment ago.
fn accepted_elsewhere(town: &Town, number: u8) -> Command {
    let known =
        KnownKey { key: key(number), nick: None, since: town.now.wall, address: None, is_chosen: true };
    Command::Learn { known: vec![(KnownBy::address("bob:6000"), known)] }
}

// UC-KEY-009
#[test]
fn a_key_that_was_accepted_in_another_program_is_accepted_here() {
    let mut town = Town::sealed();
    let bob = town.call(0, 1, None);
    town.run(500);
    town.tell(0, Command::Close { conversation: bob }).unwrap();
    town.run(500);
    town.replace(1, 9);
    town.log.clear();
    town.say(0, bob, "for bob alone");
    town.run(500);
    let learn = accepted_elsewhere(&town, 9);
    town.tell(0, learn.clone()).unwrap();
    town.say(0, bob, "for you");
    town.run(5_000);
    town.expect(&[
        "ana: key of Address(\"bob:6000\"): CHANGED",
        "ana: failed: another key answered, so it was not sent",
        "ana: key of Address(\"bob:6000\"): accepted",
        "bob: ana is there",
        "bob: key of Caller(\"ana\"): new",
        "bob: ana says for you",
        "ana: bob is there",
        "ana: delivered after 40ms",
    ]);
    town.tell(0, learn).unwrap();
    town.run(500);
    town.expect(&[]);
}

// UC-KEY-010
#[test]
fn what_another_program_knows_changes_no_key_that_was_typed() {
    let mut town = Town::sealed();
    town.replace(1, 9);
    let bob = town.call(0, 1, Some(key(2)));
    let learn = accepted_elsewhere(&town, 9);
    town.tell(0, learn).unwrap();
    town.say(0, bob, "for bob alone");
    town.run(5_000);
    let heard = town.log.iter().any(|line| line.starts_with("bob: "));
    assert!(!heard, "{:?}", town.log);
    assert_eq!(town.peers[0].key_of(bob), Some(key(2)));
}

// UC-KEY-012
#[test]
fn whoever_is_answered_goes_before_no_stranger() {
    let mut town = Town::sealed();
    let ana = town.open(1, 0);
    town.say(1, ana, "hello");
    town.run(500);
    let is_chosen =
        |town: &Town| town.peers[0].trust().known(&KnownBy::caller("bob")).map(|known| known.is_chosen);
    assert_eq!(is_chosen(&town), Some(false));
    town.tell(0, Command::Reply { text: "hello to you".to_owned() }).unwrap();
    town.run(500);
    assert_eq!(is_chosen(&town), Some(true));
}
