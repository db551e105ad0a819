//! Sealed: persons are keys, and letters are nobody's business but their receivers'.

use std::sync::Arc;

use super::*;
use crate::chat::RefusalCode;
use crate::endpoint::Protection;
use crate::secure::{Entropy, KeyPair, Letter, PublicKey};

const RELAY: u8 = 99;

fn keys(secret: u8) -> KeyPair {
    KeyPair::from_secret([secret; 32])
}

fn key(secret: u8) -> PublicKey {
    keys(secret).public()
}

fn protection(secret: u8, run: u8) -> Protection {
    Protection::Sealed { keys: Arc::new(keys(secret)), seed: [run; 32].into() }
}

fn config(run: u8) -> RelayConfig {
    let mut config = RelayConfig::default();
    config.endpoint.protection = protection(RELAY, run);
    config
}

/// A letter as its author's program seals it.
fn sealed(from: u8, to: u8, id: &str, text: &str) -> Sealed {
    let letter = Letter { relay: key(RELAY), sender: key(from), recipient: key(to), id };
    let message = letter.seal(&keys(from), &mut Entropy::from_seed([7; 32]), text.as_bytes()).unwrap();
    Sealed { from: key(from), to: key(to), message: message.into() }
}

impl Hall {
    fn sealed() -> Self {
        Self::with(config(1))
    }

    fn restart_with(&mut self, config: RelayConfig) {
        self.relay = Relay::new(config, self.ledger.foundation(), 3, self.now);
    }

    /// Somebody who has that key connects and enters under a name.
    fn enter_with_key(&mut self, secret: u8, nick: &str) -> usize {
        let run = self.visitors.len() as u8 + 10;
        let config = EndpointConfig { protection: protection(secret, run), ..EndpointConfig::default() };
        let index = self.come_with(config);
        self.ask(index, enter(nick, "everybody has the same token"));
        index
    }

    fn leave(&mut self, visitor: usize) {
        let Visitor { endpoint, handle, .. } = &mut self.visitors[visitor];
        endpoint.close(self.now, *handle, "done", "");
        self.run();
    }

    /// A sealed letter under the visitor's next id.
    fn send(&mut self, visitor: usize, nick: &str, from: u8, to: u8, text: &str) {
        let id = self.fresh_id(visitor);
        let seal = sealed(from, to, id.as_str(), text);
        self.send_as(visitor, id.as_str(), party(None, Some(nick)), seal);
    }

    fn send_as(&mut self, visitor: usize, id: &str, to: Party, seal: Sealed) {
        let words = Words {
            id: message_id(id),
            text: "".into(),
            sealed: Some(seal),
            is_echo: false,
            reply_to: None,
            place: None,
        };
        self.say(visitor, stream::WORDS, to, Said::Words(words));
    }

    fn ask_key(&mut self, visitor: usize, nick: &str) {
        self.ask(visitor, Request::Key { nick: nick.to_owned() });
    }
}

// UC-RELAY-007
#[test]
fn a_person_is_a_key_whatever_token_is_told() {
    let mut hall = Hall::sealed();
    let first = hall.enter_with_key(1, "ana");
    hall.check(first, &["ok a-1", "in as ana"]);
    let thief = hall.enter_with_key(2, "ana");
    hall.check(thief, &["no b-1: name-taken (ana-2)"]);
    let second = hall.enter_with_key(1, "ana");
    hall.check(second, &["ok c-1", "in as ana"]);
    hall.check(first, &["closed replaced: you are here on another connection"]);
    hall.restart_with(config(2));
    let third = hall.enter_with_key(1, "ana");
    hall.check(third, &["ok d-1", "in as ana"]);
}

// UC-RELAY-007, UC-LETTER-003, UC-LETTER-004
#[test]
fn a_folder_of_both_modes_takes_no_token_for_a_key() {
    let mut hall = Hall::sealed();
    let ana = hall.enter_with_key(1, "ana");
    let bob = hall.enter_with_key(2, "bob");
    hall.send(ana, "bob", 1, 2, "for bob's key");
    assert_eq!(hall.seen(bob).last().unwrap(), "ana to bob: sealed @1");

    // In the clear: bob's name under a token that is bob's key as text brings none of bob's letters.
    hall.restart_with(RelayConfig::default());
    let false_bob = hall.come();
    let ask = |token: String, nick: &str| Request::Enter {
        nick: nick.to_owned(),
        token,
        log: None,
        runs: Vec::new(),
        letters_after: 0,
        everyone_after: None,
    };
    let eva = hall.enter("eva");
    hall.seen(eva);
    hall.letter(eva, "bob", "plain");
    hall.check(eva, &["no d-2: unsealed"]);
    hall.ask(false_bob, ask(key(2).to_string(), "bob"));
    hall.check(false_bob, &["ok c-1", "in as bob"]);
    hall.letter(eva, "bob", "plain");
    hall.check(eva, &["held d-3 at 2"]);
    hall.check(false_bob, &["eva to bob: plain @2"]);
    hall.ask_key(eva, "bob");
    hall.check(eva, &["no d-4: no-key"]);
    hall.send(eva, "bob", 1, 2, "in the clear");
    hall.check(eva, &["no d-5: invalid"]);

    // Sealed again: the name has gone to somebody without a key, and bob's letter is still bob's.
    hall.restart_with(config(4));
    let ana = hall.enter_with_key(1, "ana");
    hall.seen(ana);
    hall.send(ana, "bob", 1, 2, "whose is it?");
    hall.check(ana, &["no e-2: no-key"]);
    let bob = hall.enter_with_key(2, "bob");
    hall.check(bob, &["ok f-1", "in as bob", "ana to bob: sealed @1"]);
}

// UC-LETTER-004
#[test]
fn a_name_stands_for_the_key_of_whoever_had_it_last() {
    let mut hall = Hall::sealed();
    let ana = hall.enter_with_key(1, "ana");
    let bob = hall.enter_with_key(2, "bob");
    hall.seen(ana);
    hall.ask_key(ana, "Bob");
    let told = format!("the key of Bob is {}", key(2));
    hall.check(ana, &["ok a-2", &told]);
    hall.ask_key(ana, "eva");
    hall.check(ana, &["no a-3: no-such-name"]);
    hall.ask(bob, Request::Rename { nick: "robert".to_owned() });
    hall.ask_key(ana, "robert");
    let told = format!("the key of robert is {}", key(2));
    hall.check(ana, &["ok a-4", &told]);
    // Nobody is called bob now, and he was the last.
    hall.ask_key(ana, "bob");
    let told = format!("the key of bob is {}", key(2));
    hall.check(ana, &["ok a-5", &told]);
    hall.enter_with_key(3, "bob");
    hall.ask_key(ana, "bob");
    let told = format!("the key of bob is {}", key(3));
    hall.check(ana, &["ok a-6", &told]);
}

// UC-LETTER-003
#[test]
fn only_what_its_author_sealed_for_its_receiver_is_carried() {
    let mut hall = Hall::sealed();
    let ana = hall.join("nobody", "#sala");
    assert_eq!(ana, 0, "somebody in the clear is not heard at all");
    let mut hall = Hall::sealed();
    let ana = hall.enter_with_key(1, "ana");
    let bob = hall.enter_with_key(2, "bob");
    hall.ask(ana, join("#sala"));
    hall.seen(ana);
    hall.seen(bob);
    hall.letter(ana, "bob", "plain");
    hall.check(ana, &["no a-3: unsealed"]);
    hall.send(ana, "bob", 3, 2, "in eva's name");
    hall.check(ana, &["no a-4: invalid"]);
    hall.send(ana, "bob", 1, 3, "for eva's key");
    hall.check(ana, &["no a-5: changed-key"]);
    hall.send_as(ana, "a-6", party(Some("#sala"), None), sealed(1, 2, "a-6", "in a room"));
    hall.check(ana, &["no a-6: invalid"]);
    hall.send(ana, "eva", 1, 3, "for nobody");
    hall.check(ana, &["no a-6: no-such-name"]);
    let long = "x".repeat(2_000);
    let limits = RelayLimits { text_bytes: 1_000, ..RelayLimits::default() };
    hall.relay.handle_command(hall.now, Command::Reconfigure(limits));
    hall.send(ana, "bob", 1, 2, &long);
    hall.check(ana, &["no a-7: too-long"]);
    hall.line(ana, "#sala", "readable");
    hall.check(ana, &["ok a-8 at 1", "ana to #sala: readable @1"]);
    hall.check(bob, &[]);
}

// UC-RELAY-013, UC-RELAY-010, UC-LETTER-001
#[test]
fn a_sealed_letter_waits_for_the_absent_and_is_stored_once_and_unread() {
    let mut hall = Hall::sealed();
    let ana = hall.enter_with_key(1, "ana");
    let bob = hall.enter_with_key(2, "bob");
    hall.seen(ana);
    hall.leave(bob);
    let letter = sealed(1, 2, "a-2", "the word is swordfish");
    hall.send_as(ana, "a-2", party(None, Some("bob")), letter.clone());
    hall.check(ana, &["held a-2 at 1"]);
    hall.restart_with(config(5));
    let ana = hall.enter_with_key(1, "ana");
    hall.seen(ana);
    // Said again after the loss: the same bytes, and another sealing of the same words.
    hall.send_as(ana, "a-2", party(None, Some("bob")), letter.clone());
    hall.check(ana, &["held a-2 at 1"]);
    hall.send_as(ana, "a-2", party(None, Some("bob")), sealed(1, 2, "a-2", "the word is haddock"));
    hall.check(ana, &["held a-2 at 1"]);
    let bob = hall.enter_with_key(2, "bob");
    hall.check(bob, &["ok d-1", "in as bob", "ana to bob: sealed @1"]);
    assert_eq!(hall.visitors[bob].letters, [letter]);
    hall.confirm(bob, "a-2", 1);
    hall.check(ana, &["ok a-2 at 1"]);
    hall.send_as(ana, "a-2", party(None, Some("bob")), sealed(1, 2, "a-2", "the word is swordfish"));
    hall.check(ana, &["ok a-2 at 1"]);
    let kept = format!("{:?}{:?}", hall.ledger, hall.records);
    assert!(!kept.contains("swordfish") && !kept.contains("haddock"), "{kept}");
}

// UC-LETTER-006
#[test]
fn an_author_learns_why_a_letter_was_not_shown() {
    let mut hall = Hall::sealed();
    let ana = hall.enter_with_key(1, "ana");
    let bob = hall.enter_with_key(2, "bob");
    hall.seen(ana);
    for (number, code, told) in [
        (2, RefusalCode::UnknownKey, "no a-2: unknown-key"),
        (3, RefusalCode::BadSeal, "no a-3: bad-seal"),
        (4, RefusalCode::Unsealed, "no a-4: unsealed"),
    ] {
        hall.send(ana, "bob", 1, 2, "oi");
        hall.seen(ana);
        let refused = Receipt::refused(message_id(&format!("a-{number}")), hall.now.wall, "no");
        let receipt = Receipt { pos: Some(number - 1), code: Some(code), ..refused };
        hall.say(bob, stream::RECEIPTS, party(None, None), Said::Receipt(receipt));
        hall.check(ana, &[told]);
    }
}
