//! Letters that only their receivers can read, at a relay that does what it can against that.

use super::real::{Inn, relay_config};
use super::*;
use crate::chat::LetterText;
use crate::peer::Trusted;
use crate::peer::trust::Trust;
use crate::relay::Relay;
use crate::secure::{Entropy, Letter, comparison_words};

/// Whose key is whose.
const ANAS: u8 = 1;
const BOBS: u8 = 2;
const EVAS: u8 = 3;

impl Stage {
    /// Ana is at a relay, in no room.
    fn sealed() -> Self {
        let mut stage = Self::attend_on(Self::of(true), membership(&[]));
        stage.let_in("log-1");
        stage.log.clear();
        stage
    }

    fn tell_key(&mut self, nick: &str, secret: u8) {
        let heard = format!("key of {nick}");
        let (re, nick) = (self.ids[&heard].clone(), nick.to_owned());
        self.tell_news(News::Key { re, nick, key: key(secret) });
        self.receipt(&heard, |_| {});
        self.run(50);
    }

    /// What the relay's latest letter says to whoever has that key.
    fn opened(&self, secret: u8) -> Option<String> {
        let (id, sealed) = self.letters.last().unwrap();
        let letter =
            Letter { relay: key(RELAY_SECRET), sender: key(ANAS), recipient: key(secret), id: id.as_str() };
        let json = letter.open(&keys(secret), &sealed.message).ok()?;
        Some(LetterText::decode(&json).unwrap().text.into_owned())
    }

    /// The relay brings a letter; everything in it is the relay's word.
    fn bring(&mut self, pos: u64, nick: &str, id: &str, sealed: Option<Sealed>) {
        let place = Some(Place { pos, stored_at: WallTime::from_unix_micros(1_000) });
        let (id, text) = (MessageId::parse(id).unwrap(), if sealed.is_some() { "" } else { "plain" });
        let words = Words { id, text: text.into(), sealed, is_echo: false, reply_to: None, place };
        self.relay_says(Some(nick), None, 500, Said::Words(words));
        self.run(50);
    }

    fn trust(&mut self, nick: &str) {
        let who = Trusted::Member { relay: self.relay_id(), nick: nick.to_owned() };
        self.tell(Command::Trust { who }).unwrap();
        self.run(50);
    }

    /// The relay is there again after it was lost.
    fn come_back(&mut self) {
        self.close("done", "");
        self.run(1_000);
        self.let_in("log-1");
    }
}

fn seal(letter: Letter<'_>, from: u8, text: &str) -> Sealed {
    let json = LetterText { text: text.into(), at: None, reply_to: None }.encode();
    let message = letter.seal(&keys(from), &mut Entropy::from_seed([7; 32]), &json).unwrap();
    Sealed { from: key(from), to: letter.recipient, message: message.into() }
}

fn letter(from: u8, id: &str) -> Letter<'_> {
    Letter { relay: key(RELAY_SECRET), sender: key(from), recipient: key(ANAS), id }
}

// UC-LETTER-004, UC-LETTER-005, UC-KEY-008
#[test]
fn the_first_letter_to_a_name_asks_for_its_key_and_waits() {
    let mut stage = Stage::sealed();
    stage.write_to("bob", "oi");
    stage.write_to("Bob", "tudo bem?");
    stage.run(50);
    stage.expect(&["relay: key of bob"]);
    stage.tell_key("bob", BOBS);
    stage.expect(&[
        "ana: key of bob: new 2",
        "relay: a sealed letter for bob",
        "relay: a sealed letter for Bob",
    ]);
    assert_eq!(stage.opened(BOBS).as_deref(), Some("tudo bem?"));
    assert_eq!(stage.opened(EVAS), None);
    stage.write_to("bob", "third");
    stage.run(50);
    stage.expect(&["relay: a sealed letter for bob"]);
    let reply = stage.peers[ANA].poll_known().unwrap();
    assert_eq!(reply.1.key, key(BOBS));
}

// UC-LETTER-005, UC-KEY-009
#[test]
fn a_changed_key_stops_letters_until_it_is_trusted() {
    let mut stage = Stage::sealed();
    stage.write_to("bob", "oi");
    stage.run(50);
    stage.tell_key("bob", BOBS);
    stage.receipt("a sealed letter for bob", |_| {});
    stage.come_back();
    stage.log.clear();
    stage.write_to("bob", "second");
    stage.run(50);
    stage.expect(&["relay: key of bob"]);
    stage.tell_key("bob", EVAS);
    let failed = "ana: failed: not sent: bob has another key than before; /verify bob, then /trust bob";
    stage.expect(&["ana: key of bob: CHANGED from 2 to 3", failed]);
    stage.write_to("bob", "third");
    stage.run(50);
    stage.expect(&[failed]);
    let who = Trusted::Member { relay: stage.relay_id(), nick: "bob".to_owned() };
    assert_eq!(stage.peers[ANA].show_seen(&who), Some(key(EVAS)));
    stage.trust("bob");
    stage.write_to("bob", "fourth");
    stage.run(50);
    stage.expect(&["ana: key of bob: accepted 3", "relay: a sealed letter for bob"]);
    assert_eq!(stage.opened(EVAS).as_deref(), Some("fourth"));
}

// UC-LETTER-005, UC-KEY-005
#[test]
fn a_wrong_key_that_the_relay_hands_out_is_heard_when_words_are_compared() {
    let mut stage = Stage::sealed();
    stage.write_to("bob", "oi");
    stage.run(50);
    stage.tell_key("bob", EVAS);
    let told = stage.peers[ANA].key_of_member(stage.relay_id(), "bob").unwrap();
    assert_ne!(comparison_words(&key(ANAS), &told), comparison_words(&key(BOBS), &key(ANAS)));
    assert_eq!(stage.opened(BOBS), None);
}

// UC-LETTER-004
#[test]
fn a_name_without_a_key_gets_no_letters() {
    let mut stage = Stage::sealed();
    for (nick, code, words) in [
        ("eva", RefusalCode::NoSuchName, "nobody was ever called eva here"),
        ("bob", RefusalCode::NoKey, "bob was here in the clear, and has no key"),
        // Full-width letters are the same name in another form, and what waits for it is found.
        ("\u{ff22}\u{ff4f}\u{ff42}", RefusalCode::NoKey, "bob was here in the clear, and has no key"),
    ] {
        stage.write_to(nick, "oi");
        stage.run(50);
        stage.refuse(&format!("key of {nick}"), code, words);
        stage.run(50);
        stage.expect(&[&format!("relay: key of {nick}"), &format!("ana: failed: refused: {words}")]);
    }
    // Unasked, or told twice, it is no news.
    stage.write_to("bob", "oi");
    stage.run(50);
    stage.tell_news(News::Key { re: MessageId::new("x", 1), nick: "bob".to_owned(), key: key(EVAS) });
    stage.run(50);
    stage.tell_key("bob", BOBS);
    stage.tell_key("bob", EVAS);
    stage.expect(&["relay: key of bob", "ana: key of bob: new 2", "relay: a sealed letter for bob"]);
}

// UC-RELAY-022
#[test]
fn a_letter_without_an_outcome_is_said_again_as_it_was_sealed() {
    let mut stage = Stage::sealed();
    stage.write_to("bob", "oi");
    stage.run(50);
    stage.tell_key("bob", BOBS);
    stage.come_back();
    stage.run(50);
    assert_eq!(stage.letters.len(), 2);
    assert_eq!(stage.letters[0], stage.letters[1]);
    assert_eq!(stage.log.last().unwrap(), "relay: a sealed letter for bob again");
}

// UC-LETTER-005
#[test]
fn a_letter_for_a_key_that_its_name_lost_fails_and_the_new_key_is_looked_at() {
    let mut stage = Stage::sealed();
    stage.write_to("bob", "oi");
    stage.run(50);
    stage.tell_key("bob", BOBS);
    stage.log.clear();
    stage.refuse("a sealed letter for bob", RefusalCode::ChangedKey, "bob has another key now");
    stage.run(50);
    stage.expect(&["ana: failed: refused: bob has another key now", "relay: key of bob"]);
    stage.tell_key("bob", EVAS);
    stage.expect(&["ana: key of bob: CHANGED from 2 to 3"]);
}

#[test]
fn a_letter_that_its_seal_has_no_room_for_is_refused_before_it_goes_anywhere() {
    let mut stage = Stage::sealed();
    let relay = stage.relay_id();
    let say = |text: String| Command::Say { to: Destination::Member { relay, nick: "bob".to_owned() }, text };
    let long = stage.tell(say("x".repeat(65_500)));
    assert!(matches!(long, Err(CommandError::TooLong { limit: 65_439, .. })), "{long:?}");
    stage.tell(say("x".repeat(65_000))).unwrap();
    stage.run(50);
    stage.tell_key("bob", BOBS);
    assert_eq!(stage.opened(BOBS).unwrap().len(), 65_000);
}

// UC-LETTER-001, UC-LETTER-006, UC-LETTER-007, UC-RELAY-024
#[test]
fn a_relay_that_swaps_replays_alters_or_misattributes_is_caught() {
    let mut stage = Stage::sealed();
    let good = seal(letter(BOBS, "b-1"), BOBS, "oi");
    stage.bring(1, "bob", "b-1", Some(good.clone()));
    stage.expect(&["ana: key of bob: new 2", "ana: bob says oi in a sealed letter", "relay: yes on 1"]);
    let refused = |pos: u64, nick: &str, code: &str| {
        [format!("ana: a letter of {nick} is not shown: {code}"), format!("relay: no on {pos}, {code}")]
    };
    // Under another id, altered, for another key, from another relay, not sealed at all.
    let mut bits = good.message.to_vec();
    bits[70] ^= 1;
    let for_bob = Letter { recipient: key(BOBS), ..letter(EVAS, "b-4") };
    let elsewhere = Letter { relay: key(EVAS), ..letter(BOBS, "b-5") };
    let forged = Sealed { from: key(BOBS), ..seal(letter(EVAS, "b-6"), EVAS, "I am bob") };
    for (pos, id, sealed, code) in [
        (2, "b-2", Some(good.clone()), "bad-seal"),
        (3, "b-1", Some(Sealed { message: bits.into(), ..good.clone() }), "bad-seal"),
        (4, "b-4", Some(seal(for_bob, EVAS, "for bob")), "bad-seal"),
        (5, "b-5", Some(seal(elsewhere, BOBS, "elsewhere")), "bad-seal"),
        (6, "b-6", Some(forged), "bad-seal"),
        (7, "b-7", None, "unsealed"),
    ] {
        stage.bring(pos, "bob", id, sealed);
        let [shown, receipt] = refused(pos, "bob", code);
        stage.expect(&[&shown, &receipt]);
    }
    // In bob's name with eva's key; and eva's words under a name that nobody had.
    stage.bring(8, "bob", "e-1", Some(seal(letter(EVAS, "e-1"), EVAS, "I am bob")));
    stage.expect(&["ana: key of bob: CHANGED from 2 to 3", "relay: no on 8, unknown-key"]);
    stage.bring(9, "carol", "b-9", Some(seal(letter(BOBS, "b-9"), BOBS, "who says so?")));
    stage.expect(&[
        "ana: key of carol: new 2",
        "ana: carol has the key of bob",
        "ana: carol says who says so? in a sealed letter",
        "relay: yes on 9",
    ]);
    // Once more, elsewhere in the log: not shown, and not refused.
    stage.bring(10, "bob", "b-1", Some(good));
    stage.expect(&["relay: yes on 10"]);
}

// UC-RELAY-024, UC-LETTER-007
#[test]
fn a_refused_letter_is_refused_each_time_and_a_shown_one_is_shown_once_across_runs() {
    let mut stage = Stage::sealed();
    stage.bring(1, "bob", "b-1", Some(seal(letter(BOBS, "b-1"), BOBS, "oi")));
    let evas = seal(letter(EVAS, "e-1"), EVAS, "I am bob now");
    stage.bring(2, "bob", "e-1", Some(evas.clone()));
    stage.log.clear();
    stage.trust("bob");
    stage.bring(2, "bob", "e-1", Some(evas.clone()));
    stage.expect(&["ana: key of bob: accepted 3", "relay: no on 2, unknown-key"]);
    stage.bring(3, "bob", "e-2", Some(seal(letter(EVAS, "e-2"), EVAS, "again")));
    stage.expect(&["ana: bob says again in a sealed letter", "relay: yes on 3"]);
    let mut memory = RelayMemory::default();
    while let Some((_, latest)) = stage.peers[ANA].poll_memory() {
        memory = latest;
    }
    let seen_letters: Vec<_> = std::iter::from_fn(|| stage.peers[ANA].poll_seen_letter()).collect();
    assert_eq!(seen_letters.len(), 2);

    // The next run; the relay brings both again, one of them at another position.
    let mut later = Stage::of(true);
    let trust = Trust::new(stage.peers[ANA].trust().entries().map(|(by, known)| (by.clone(), known.clone())));
    let endpoint = endpoint_config(true, ANAS, 9);
    let config =
        PeerConfig { nick: Some("ana".to_owned()), endpoint, trust, seen_letters, ..PeerConfig::default() };
    later.peers[ANA] = Peer::new(config, 9, later.now);
    let mut later = Stage::attend_on(later, Membership { memory, ..membership(&[]) });
    let (nick, log) = ("ana".to_owned(), "log-1".to_owned());
    later.tell_news(News::Entered {
        nick,
        log,
        runs: Vec::new(),
        void_after: None,
        operator: false,
        everyone_head: 0,
        motd: None,
    });
    later.run(50);
    later.log.clear();
    later.bring(2, "bob", "e-1", Some(evas));
    later.bring(7, "bob", "e-2", Some(seal(letter(EVAS, "e-2"), EVAS, "again")));
    later.expect(&["relay: no on 2, unknown-key", "relay: yes on 7"]);
}

// UC-LETTER-007, UC-RELAY-025
#[test]
fn another_letter_at_a_position_that_was_passed_is_shown() {
    let mut stage = Stage::sealed();
    let first = seal(letter(BOBS, "b-1"), BOBS, "oi");
    stage.bring(9, "bob", "b-1", Some(first.clone()));
    stage.log.clear();
    // The relay's ledger was restored, and gives the position away again; or it told a wrong one before.
    for expected in
        [&["ana: bob says second in a sealed letter", "relay: yes on 4"][..], &["relay: yes on 4"]]
    {
        stage.bring(4, "bob", "b-2", Some(seal(letter(BOBS, "b-2"), BOBS, "second")));
        stage.expect(expected);
    }
    stage.bring(3, "bob", "b-3", None);
    stage.expect(&["ana: a letter of bob is not shown: unsealed", "relay: no on 3, unsealed"]);
    // One that was shown stays so, though its author's name has another key by now.
    stage.bring(10, "bob", "e-1", Some(seal(letter(EVAS, "e-1"), EVAS, "I am bob")));
    stage.trust("bob");
    stage.log.clear();
    stage.bring(9, "bob", "b-1", Some(first));
    stage.expect(&["relay: yes on 9"]);
}

impl Inn {
    /// Both in, with everything that this brings out of the way.
    fn sealed() -> (Self, ConversationId, ConversationId) {
        let mut inn = Self::of(true);
        let (ana, bob) = (inn.attend(0, "ana"), inn.attend(1, "bob"));
        inn.run(500);
        inn.log.clear();
        (inn, ana, bob)
    }

    fn write(&mut self, relay: ConversationId, text: &str) {
        self.say(0, Destination::Member { relay, nick: "bob".to_owned() }, text);
        self.run(500);
    }

    fn restart_relay(&mut self) {
        self.relay = Relay::new(relay_config(true, 9), self.ledger.foundation(), 6, self.now);
        self.run(60_000);
    }

    fn leave(&mut self, conversation: ConversationId) {
        self.peers[1].handle_command(self.now, Command::Close { conversation }).unwrap();
        self.run(500);
    }
}

// UC-RELAY-013, UC-LETTER-001
#[test]
fn a_sealed_letter_waits_for_the_absent_through_a_restart_of_the_relay() {
    let (mut inn, ana, bob) = Inn::sealed();
    inn.write(ana, "first swordfish");
    inn.leave(bob);
    inn.write(ana, "second swordfish");
    assert!(!format!("{:?}", inn.ledger).contains("swordfish"));
    inn.restart_relay();
    inn.attend(1, "bob");
    inn.run(500);
    let told: Vec<&str> = inn
        .told(0)
        .into_iter()
        .filter(|line| line.contains("key") || line.contains("held") || line.contains("delivered"))
        .collect();
    assert_eq!(told, ["key of bob: new 2", "held", "delivered", "held", "delivered"]);
    let letters: Vec<&str> =
        inn.told(1).into_iter().filter(|line| line.contains("key") || line.contains("letter")).collect();
    assert_eq!(
        letters,
        [
            "key of ana: new 1",
            "ana says first swordfish in a sealed letter",
            "ana said second swordfish in a sealed letter",
        ]
    );
}

// UC-RELAY-007, UC-LETTER-005
#[test]
fn a_name_that_goes_to_somebody_else_stops_the_next_letter() {
    let (mut inn, ana, bob) = Inn::sealed();
    inn.write(ana, "oi");
    inn.leave(bob);
    let endpoint = endpoint_config(true, EVAS, 8);
    inn.peers[1] = Peer::new(PeerConfig { endpoint, ..PeerConfig::default() }, 8, inn.now);
    inn.attend(1, "bob");
    inn.run(500);
    inn.log.clear();
    inn.write(ana, "is that you?");
    let refused = "failed: not sent: bob has another key than before; /verify bob, then /trust bob";
    assert_eq!(inn.told(0), ["key of bob: CHANGED from 2 to 3", refused]);
    let who = Trusted::Member { relay: ana, nick: "bob".to_owned() };
    inn.peers[0].handle_command(inn.now, Command::Trust { who }).unwrap();
    inn.log.clear();
    inn.write(ana, "hello, new bob");
    assert_eq!(inn.told(0), ["key of bob: accepted 3", "held", "delivered"]);
    assert_eq!(inn.told(1).last().unwrap(), &"ana says hello, new bob in a sealed letter");
}
