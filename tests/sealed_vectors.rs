//! Runs the vectors of `spec/vectors/sealed.json` through `secure`: what another implementation computed, and what nobody may take.
//!
//! `spec/examples/sealed.py --check` computes the same file anew without a line of this program, so two implementations agree.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use data_encoding::{BASE64_NOPAD, HEXLOWER};
use serde_json::Value;
use udpchat::secure::{
    CookieMint, Entropy, Initiator, KeyPair, Letter, Opener, PublicKey, Responder, Sealer, Session,
    comparison_words, key_words,
};
use udpchat::time::Instant;
use udpchat::wire::{
    self, ConnectionId, Datagram, FINISH_BYTES, Handshake, SEAL_BYTES, SealedHead, SealedHello, Welcome, Wish,
};

// UC-KEY-002, UC-KEY-004
#[test]
fn a_key_has_this_text_and_these_words() {
    for vector in vectors("keys") {
        let key = KeyPair::from_secret(raw(&vector["secret"])).public();
        assert_eq!(key, public(&vector["public"]), "{}", vector["id"]);
        assert_eq!(key.to_string(), vector["text"], "{}", vector["id"]);
        assert_eq!(text(&vector["text"]).parse(), Ok(key), "{}", vector["id"]);
        assert_eq!(key_words(&key), vector["words"], "{}", vector["id"]);
        assert_eq!(in_the_list(&vector["numbers"]), vector["words"], "{}", vector["id"]);
    }
}

// UC-KEY-005
#[test]
fn two_keys_have_these_words_together() {
    for vector in vectors("comparisons") {
        let [one, other] = [0, 1].map(|at| public(&vector["keys"][at]));
        assert_eq!(comparison_words(&one, &other), vector["words"], "{}", vector["id"]);
        assert_eq!(in_the_list(&vector["numbers"]), vector["words"], "{}", vector["id"]);
    }
}

// UC-SEAL-001 to UC-SEAL-005, byte for byte.
#[test]
fn a_handshake_is_exactly_this() {
    for vector in vectors("handshakes") {
        for side in ["asking", "granting"] {
            // snow draws the ephemeral secret first, from a generator of its own.
            let mut entropy = Entropy::from_seed(Entropy::from_seed(raw(&vector[side]["seed"])).split());
            assert_eq!(entropy.bytes(), raw(&vector[side]["ephemeral"]), "{}", vector["id"]);
        }
        let shaken = Shaken::hands(&vector);
        let messages = [&shaken.messages[0], &shaken.messages[1], &shaken.messages[2]].map(|it| hex(it));
        assert_eq!(Value::from(messages.to_vec()), vector["messages"], "{}", vector["id"]);
        assert_eq!(shaken.messages[2].len(), FINISH_BYTES);
        assert_eq!(shaken.asking.remote, keys(&vector["granting"]).public());
        assert_eq!(shaken.granting.remote, keys(&vector["asking"]).public());
    }
}

// UC-SEAL-003, UC-SEAL-004, UC-SEAL-012
#[test]
fn its_datagrams_are_exactly_these() {
    for vector in vectors("handshakes") {
        let [hello_id, welcome_id] = [0, 1].map(|at| connection_id(&vector["ids"][at]));
        let [first, second] = [0, 1].map(|at| bytes(&vector["messages"][at]));
        let cookie = text(&vector["cookie"]);
        let hello = |cookie| SealedHello { id: hello_id, cookie, message: &first };
        let again = Handshake::SealedHello(hello(Some(cookie.into())));
        let retry = Handshake::Retry { to: hello_id, cookie: cookie.into() };
        let welcome = Handshake::SealedWelcome { to: hello_id, message: &second };
        let all = [
            ("hello", Handshake::SealedHello(hello(None))),
            ("retry", retry),
            ("hello_again", again),
            ("welcome", welcome),
        ];
        for (name, handshake) in all {
            let datagram = bytes(&vector["datagrams"][name]);
            let read = wire::decode(&datagram);
            assert_eq!(read.as_ref(), Ok(&Datagram::Handshake(handshake.clone())), "{} {name}", vector["id"]);
            let mut written = Vec::new();
            wire::encode_handshake(&mut written, &handshake);
            assert_eq!(hex(&written), vector["datagrams"][name], "{} {name}", vector["id"]);
        }
        let payload = |at: usize| text(&vector["payloads"][at]).as_bytes();
        assert_eq!(Wish::decode(payload(0)).unwrap().id, hello_id, "{}", vector["id"]);
        assert_eq!(Welcome::decode(payload(1)).unwrap().id, welcome_id, "{}", vector["id"]);
    }
}

// UC-SEAL-006 to UC-SEAL-008
#[test]
fn a_packet_is_sealed_to_exactly_these_bytes() {
    for vector in vectors("packets") {
        let (mut sealer, mut opener) = Shaken::hands(&handshake(&vector)).direction(&vector["from"]);
        let epoch = vector["epoch"].as_u64().unwrap();
        step(&mut sealer, &mut opener, epoch);
        let (clear, number) = (bytes(&vector["clear"]), vector["n"].as_u64().unwrap());
        let mut packet = [clear.as_slice(), text(&vector["text"]).as_bytes()].concat();
        sealer.seal(number, &mut packet, clear.len());
        assert_eq!(hex(&packet), vector["datagram"], "{}", vector["id"]);
        let finish_bytes = if vector["finish"] == true { FINISH_BYTES } else { 0 };
        let (to, sealed_at) = (connection_id(&vector["to"]), clear.len());
        let head = SealedHead { to, number, epoch, finish_at: sealed_at - finish_bytes, sealed_at };
        assert_eq!(wire::decode(&packet), Ok(Datagram::Sealed(head)), "{}", vector["id"]);
        assert!(
            wire::decode_sealed(text(&vector["text"]).as_bytes(), to, number).is_ok(),
            "{}",
            vector["id"]
        );
        let opened = opener.open(number, epoch, &mut packet, clear.len());
        assert_eq!(opened, Ok(clear.len()..packet.len() - SEAL_BYTES), "{}", vector["id"]);
        assert_eq!(&packet[opened.unwrap()], text(&vector["text"]).as_bytes(), "{}", vector["id"]);
    }
}

// UC-LETTER-001
#[test]
fn a_letter_is_sealed_to_exactly_these_bytes() {
    for vector in vectors("letters") {
        let (letter, payload) = (letter(&vector), text(&vector["payload"]).as_bytes());
        let sender = KeyPair::from_secret(raw(&vector["sender_secret"]));
        let sealed = letter.seal(&sender, &mut Entropy::from_seed(raw(&vector["seed"])), payload).unwrap();
        assert_eq!(hex(&sealed), vector["bytes"], "{}", vector["id"]);
        assert_eq!(BASE64_NOPAD.encode(&sealed), vector["sealed"], "{}", vector["id"]);
        let recipient = KeyPair::from_secret(raw(&vector["recipient_secret"]));
        assert_eq!(letter.open(&recipient, &sealed).as_deref(), Ok(payload), "{}", vector["id"]);
    }
}

// UC-SEAL-012
#[test]
fn a_cookie_is_exactly_this() {
    for vector in vectors("cookies") {
        let mut entropy = Entropy::from_seed(raw(&vector["seed"]));
        assert_eq!(entropy.clone().bytes(), raw(&vector["secret"]), "{}", vector["id"]);
        let cookie = CookieMint::new(&mut entropy).cookie(
            at(&vector["seconds"]),
            address(&vector),
            text(&vector["hello"]),
        );
        assert_eq!(cookie, vector["cookie"], "{}", vector["id"]);
    }
}

#[test]
fn what_nobody_may_take_is_refused() {
    for vector in vectors("refused") {
        assert!(!passes(&vector), "{} passes", vector["id"]);
    }
    // Each of them is a change of something that does pass.
    for vector in vectors("letters") {
        let sealed = vector["bytes"].clone();
        assert!(passes(&with(&vector, [("kind", "letter".into()), ("hex", sealed)])), "{}", vector["id"]);
    }
    for vector in vectors("cookies") {
        let now = vector["seconds"].clone();
        assert!(passes(&with(&vector, [("kind", "cookie".into()), ("now", now)])), "{}", vector["id"]);
    }
    for vector in vectors("packets") {
        let members = [("kind", "packet".into()), ("opened", vector["epoch"].clone())];
        let vector = with(&vector, members.into_iter().chain([("hex", vector["datagram"].clone())]));
        assert!(passes(&vector), "{}", vector["id"]);
    }
}

/// Whether what a vector holds is taken.
fn passes(vector: &Value) -> bool {
    match text(&vector["kind"]) {
        "key" => text(&vector["text"]).parse::<PublicKey>().is_ok(),
        "hello" => {
            let side = &handshake(vector)["granting"];
            Responder::read(&keys(side), &mut entropy(side), &bytes(&vector["hex"])).is_ok()
        }
        "welcome" => {
            let shake = handshake(vector);
            let (mut asking, _) = begin(&shake);
            let keys = keys(&shake["asking"]);
            let was_taken = asking.finish(&keys, &bytes(&vector["hex"])).is_ok();
            // Whatever it was, the true one is taken after it.
            let true_one = bytes(&shake["messages"][1]);
            assert!(was_taken || asking.finish(&keys, &true_one).is_ok(), "{}", vector["id"]);
            was_taken
        }
        "finish" => {
            let shake = handshake(vector);
            let first = bytes(&shake["messages"][0]);
            let granting = &shake["granting"];
            let (mut responder, _) =
                Responder::read(&keys(granting), &mut entropy(granting), &first).unwrap();
            responder.answer(text(&shake["payloads"][1]).as_bytes());
            let keys = keys(granting);
            let was_taken = responder.finish(&keys, &bytes(&vector["hex"])).is_ok();
            let true_one = bytes(&shake["messages"][2]);
            assert!(was_taken || responder.finish(&keys, &true_one).is_ok(), "{}", vector["id"]);
            was_taken
        }
        "packet" => opens(vector),
        "letter" => {
            let recipient = KeyPair::from_secret(raw(&vector["recipient_secret"]));
            letter(vector).open(&recipient, &bytes(&vector["hex"])).is_ok()
        }
        "cookie" => {
            let mint = CookieMint::new(&mut Entropy::from_seed(raw(&vector["seed"])));
            mint.is_good(at(&vector["now"]), address(vector), text(&vector["hello"]), text(&vector["cookie"]))
        }
        kind => panic!("{}: {kind}", vector["id"]),
    }
}

/// Whether a packet opens for who has opened one of epoch `opened` before.
fn opens(vector: &Value) -> bool {
    let (mut sealer, mut opener) = Shaken::hands(&handshake(vector)).direction(&vector["from"]);
    step(&mut sealer, &mut opener, vector["opened"].as_u64().unwrap());
    let epoch_before = opener.epoch();
    let mut packet = bytes(&vector["hex"]);
    let line = packet.iter().position(|&byte| byte == b'\n').unwrap();
    let head: Value = serde_json::from_slice(&packet[..line]).unwrap();
    let member = |name: &str| head[name].as_u64().unwrap_or_default();
    let clear_bytes = line + 1 + usize::try_from(member("finish")).unwrap();
    let opened = opener.open(member("n"), member("k"), &mut packet, clear_bytes).is_ok();
    assert!(opened || opener.epoch() == epoch_before, "{}", vector["id"]);
    opened
}

/// Both sides change their keys so many times, without a gap.
fn step(sealer: &mut Sealer, opener: &mut Opener, epochs: u64) {
    let mut now = Instant::from_nanos(1);
    sealer.advance_if_due(now, 1, 0);
    for number in 1..=epochs {
        now += Duration::from_secs(600);
        sealer.advance_if_due(now, number + 1, number);
        assert_eq!(sealer.epoch(), number);
        let mut packet = Vec::new();
        sealer.seal(number + 1, &mut packet, 0);
        assert_eq!(opener.open(number + 1, number, &mut packet, 0), Ok(0..0));
    }
}

/// A handshake that was carried through.
struct Shaken {
    messages: [Vec<u8>; 3],
    asking: Session,
    granting: Session,
}

impl Shaken {
    fn hands(vector: &Value) -> Self {
        let payload = |at: usize| text(&vector["payloads"][at]).as_bytes();
        let granting = &vector["granting"];
        let (mut initiator, first) = begin(vector);
        let (mut responder, heard) =
            Responder::read(&keys(granting), &mut entropy(granting), &first).unwrap();
        assert_eq!(heard, payload(0));
        let second = responder.answer(payload(1));
        let (asking, heard, third) = initiator.finish(&keys(&vector["asking"]), &second).unwrap();
        assert_eq!(heard, payload(1));
        let granting = responder.finish(&keys(granting), &third).unwrap();
        Self { messages: [first, second, third.to_vec()], asking, granting }
    }

    /// What seals, and what opens, for one direction.
    fn direction(self, from: &Value) -> (Sealer, Opener) {
        match text(from) {
            "asking" => (self.asking.sealer, self.granting.opener),
            _ => (self.granting.sealer, self.asking.opener),
        }
    }
}

fn begin(vector: &Value) -> (Initiator, Vec<u8>) {
    let side = &vector["asking"];
    Initiator::begin(&keys(side), &mut entropy(side), text(&vector["payloads"][0]).as_bytes())
}

fn letter(vector: &Value) -> Letter<'_> {
    let [relay, sender, recipient] = ["relay", "sender", "recipient"].map(|name| public(&vector[name]));
    Letter { relay, sender, recipient, id: text(&vector["id_of_message"]) }
}

#[test]
fn every_example_of_a_sealed_datagram_is_a_vector() {
    let mut datagrams: Vec<Vec<u8>> = vectors("packets").iter().map(|it| bytes(&it["datagram"])).collect();
    for vector in vectors("handshakes") {
        datagrams.extend(vector["datagrams"].as_object().unwrap().values().map(bytes));
    }
    let chapter = fs::read_to_string("spec/11-sealing.md").unwrap();
    let examples: Vec<&str> =
        chapter.split("```sealed\n").skip(1).map(|rest| rest.split_once("\n```").unwrap().0).collect();
    assert!(examples.len() >= 5);
    for example in examples {
        assert!(datagrams.contains(&unescaped(example)), "no vector: {example}");
    }
}

/// The bytes of an example, in which `\x` and two digits stand for one that cannot be printed.
fn unescaped(example: &str) -> Vec<u8> {
    let mut parts = example.split("\\x");
    let mut datagram = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        datagram.extend(HEXLOWER.decode(&part.as_bytes()[..2]).unwrap());
        datagram.extend_from_slice(&part.as_bytes()[2..]);
    }
    datagram
}

#[test]
fn every_vector_has_a_name_of_its_own() {
    let mut seen = BTreeSet::new();
    for (section, vectors) in file().as_object().unwrap() {
        for vector in vectors.as_array().unwrap() {
            assert!(seen.insert((section.clone(), text(&vector["id"]).to_owned())), "{} twice", vector["id"]);
            assert!(vector["comment"].is_string() && vector["rule"].is_string(), "{vector}");
        }
    }
}

// From the vectors' JSON.

fn file() -> Value {
    serde_json::from_str(&fs::read_to_string("spec/vectors/sealed.json").unwrap()).unwrap()
}

fn vectors(section: &str) -> Vec<Value> {
    file()[section].as_array().unwrap().clone()
}

/// The handshake that a vector belongs to.
fn handshake(vector: &Value) -> Value {
    vectors("handshakes").into_iter().find(|it| it["id"] == vector["handshake"]).unwrap()
}

fn with(vector: &Value, members: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let mut vector = vector.clone();
    members.into_iter().for_each(|(name, value)| vector[name] = value);
    vector
}

fn keys(side: &Value) -> KeyPair {
    KeyPair::from_secret(raw(&side["secret"]))
}

fn entropy(side: &Value) -> Entropy {
    Entropy::from_seed(raw(&side["seed"]))
}

fn public(hex: &Value) -> PublicKey {
    PublicKey::from_bytes(raw(hex))
}

fn connection_id(value: &Value) -> ConnectionId {
    ConnectionId::parse(text(value)).unwrap()
}

fn in_the_list(numbers: &Value) -> String {
    let number = |number: &Value| usize::try_from(number.as_u64().unwrap()).unwrap();
    let list = bip39::Language::English.word_list();
    numbers.as_array().unwrap().iter().map(|it| list[number(it)]).collect::<Vec<_>>().join(" ")
}

fn at(seconds: &Value) -> Instant {
    Instant::from_nanos(seconds.as_u64().unwrap() * 1_000_000_000)
}

fn address(vector: &Value) -> SocketAddr {
    let ip: IpAddr = text(&vector["ip"]).parse().unwrap();
    SocketAddr::from((ip, u16::try_from(vector["port"].as_u64().unwrap()).unwrap()))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn bytes(hex: &Value) -> Vec<u8> {
    HEXLOWER.decode(text(hex).as_bytes()).unwrap()
}

fn raw(hex: &Value) -> [u8; 32] {
    bytes(hex).try_into().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}
