//! The protocol's rules, each as a short script against a partner by hand. The ids are those of `spec/`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "protocol/script.rs"]
mod script;

use script::{HERE, PARTNER, Script};
use udpchat::endpoint::Disposition;
use udpchat::peer::{Command, Id, Named};
use udpchat::wire;

/// What a partner grants that has nothing to complain of.
const PLENTY: &str =
    r#"{"streams":4,"stream_messages":1000,"stream_bytes":1000000,"connection_bytes":1000000}"#;

// Handshake.

// UC-HS-001, UC-HS-002, UC-HS-003, UC-HS-004
#[test]
fn a_hello_is_repeated_byte_for_byte_at_growing_intervals() {
    let mut script = Script::endpoint();
    script.connect();
    script.until(20_000);
    assert!(script.sent.iter().all(|hello| *hello == script.sent[0] && hello.len() == wire::HELLO_BYTES));
    script.expect(&[
        "0 ms hello",
        "60 ms hello",
        "150 ms hello",
        "400 ms hello",
        "650 ms hello",
        "900 ms hello",
        "1150 ms hello",
        "1400 ms hello",
        "1650 ms hello",
        "1900 ms hello",
        "2150 ms hello",
        "2650 ms hello",
        "3150 ms hello",
        "3650 ms hello",
        "4150 ms hello",
        "6150 ms hello",
        "8150 ms hello",
        "Closed(NoAnswer { hint: None })",
    ]);
}

// UC-HS-003, UC-HS-005, UC-HS-013
#[test]
fn the_same_hello_gets_the_same_welcome_and_another_one_changes_nothing() {
    let mut script = Script::endpoint();
    let hello = r#""id":"partner1","mode":"clear""#;
    let forged = r#""id":"partner1","mode":"clear","limits":{"idle_ms":1000}"#;
    script.hear_hello(HERE, hello);
    script.hear_hello(HERE, forged);
    script.hear_hello(HERE, hello);
    script.hear_hello("10.0.0.9:6000", hello);
    script.until(60_000);
    assert_eq!(script.sent.len(), 4, "a welcome is not repeated of itself");
    assert_eq!(script.sent[0], script.sent[2]);
    assert_ne!(script.sent[0], script.sent[1]);
    assert_ne!(script.sent[0], script.sent[3]);
    assert!(script.sent.iter().all(|welcome| welcome.len() <= 3 * wire::HELLO_BYTES));
}

// UC-HS-008
#[test]
fn a_connection_exists_once_the_welcome_was_used_from_where_it_went() {
    let mut script = Script::endpoint();
    script.hear_hello(HERE, r#""id":"partner1","mode":"clear""#);
    script.say_numbered("10.0.0.9:6000", 1, r#"{"t":"ping"}"#, "");
    assert_eq!(script.machine.connections().count(), 0);
    script.say_numbered(HERE, 1, r#"{"t":"ping"}"#, "");
    script.expect(&["0 ms welcome to=partner1", "0 ms #1 ack 1-1", "accepted", "Connected"]);
    assert_eq!(script.machine.statistics().count_of(Disposition::UnknownConnection), 1);
}

// UC-HS-007, UC-HS-008
#[test]
fn a_welcome_counts_from_where_it_was_asked_for_and_is_used_at_once() {
    let mut script = Script::endpoint();
    script.connect();
    let welcome = format!(r#""to":"{}","f":[{{"t":"welcome","id":"{PARTNER}"}}]"#, script.id);
    script.hear_datagram("10.0.0.9:6000", &welcome, "");
    script.hear_datagram(HERE, &welcome.replace(&script.id, "nobody00"), "");
    script.expect(&["0 ms hello"]);
    script.hear_datagram(HERE, &welcome, "");
    script.hear_datagram(HERE, &welcome, "");
    script.expect(&["0 ms #1 ping", "Connected"]);
    assert_eq!(script.machine.statistics().count_of(Disposition::StaleHandshake), 3);
}

// UC-HS-009, UC-HS-012, UC-WIRE-019
#[test]
fn what_cannot_be_granted_is_refused_and_not_too_often() {
    let mut script = Script::endpoint();
    script.hear_hello(HERE, r#""id":"partner1","mode":"noise-xx""#);
    script.hear_hello(HERE, r#""id":"partner2","mode":"noise-xx""#);
    script.until(100);
    let later = format!(r#"{{"v":2,"c":"00000000"{}"#, " ".repeat(600));
    script.hear(HERE, &later.as_bytes()[..511]);
    script.hear(HERE, &later.as_bytes()[..512]);
    script.expect(&["0 ms refuse to=partner1 mode", "100 ms refuse to=nobody version"]);
}

// UC-HS-011
#[test]
fn a_refusal_ends_nothing_and_is_told_at_the_end() {
    let mut script = Script::endpoint();
    script.connect();
    script.hear_datagram(HERE, r#""f":[{"t":"refuse","code":"eclipse"}]"#, "");
    script.until(150);
    script.expect(&["0 ms hello", "60 ms hello", "150 ms hello"]);
    script.until(9_999);
    script.forget();
    script.until(10_000);
    script.expect(&[r#"Closed(NoAnswer { hint: Some("eclipse") })"#]);
}

// UC-HS-010, UC-HS-014, UC-ARQ-019
#[test]
fn a_silent_partner_that_still_knows_the_connection_goes_on_with_it() {
    let (mut script, handle) = Script::connected(PLENTY);
    let id = script.id.clone();
    script.submit(handle, 0, "oi");
    script.until(3_000);
    let said: Vec<u64> = script.sent.iter().map(|datagram| datagram.len() as u64).collect();
    assert_eq!(
        said.iter().filter(|&&length| length == 512).count(),
        1,
        "one hello among the probes: {said:?}"
    );
    let alive = format!(r#""to":"{}","f":[{{"t":"welcome","id":"partner2","alive":true}}]"#, script.id);
    script.forget();
    script.hear_datagram(HERE, &alive, "");
    script.id = id;
    script.say(r#"{"t":"ack","got":[[2,34]],"delay_us":0}"#, "");
    script.until(10_000);
    script.expect(&["3000 ms #34 ping", "Resumed", "0/1 Arrived"]);
}

// Reliability.

// UC-ARQ-004, UC-ARQ-007, UC-STR-003
#[test]
fn a_packet_that_comes_twice_counts_once_and_is_acked_twice() {
    let (mut script, _) = Script::connected(PLENTY);
    script.say_numbered(HERE, 2, r#"{"t":"msg","seq":1,"len":[2]}"#, "oi");
    script.say_numbered(HERE, 2, r#"{"t":"msg","seq":1,"len":[2]}"#, "oi");
    script.say_numbered(HERE, 3, r#"{"t":"msg","seq":1,"len":[2]}"#, "oi");
    script.expect(&["0 ms #2 ack 1-2", "got 0/1 oi", "0 ms #3 ack 1-2", "0 ms #4 ack 1-3"]);
}

// UC-ARQ-009
#[test]
fn a_nack_alone_makes_nothing_come_again() {
    let (mut script, handle) = Script::connected(PLENTY);
    script.submit(handle, 0, "oi");
    script.say(r#"{"t":"nack","miss":[[2,2]]}"#, "");
    script.expect(&["0 ms #2 msg 0/1 oi"]);
}

// UC-ARQ-001, UC-ARQ-010, UC-ARQ-016
#[test]
fn what_is_not_acked_comes_again_under_a_new_number_until_it_is() {
    let (mut script, handle) = Script::connected(PLENTY);
    script.until(1_000);
    script.submit(handle, 0, "oi");
    script.until(1_014);
    // After the first time-out, which takes 6 ms, each of two packets has its own.
    script.expect(&[
        "1000 ms #2 msg 0/1 oi",
        "1006 ms #3 msg 0/1 oi",
        "1008 ms #4 msg 0/1 oi",
        "1012 ms #5 msg 0/1 oi",
        "1014 ms #6 msg 0/1 oi",
    ]);
    script.say(r#"{"t":"ack","got":[[1,1],[4,4]],"delay_us":0}"#, "");
    script.until(2_000);
    script.expect(&["0/1 Arrived"]);
}

// UC-ARQ-015
#[test]
fn an_ack_for_what_never_left_is_not_believed() {
    let (mut script, handle) = Script::connected(PLENTY);
    script.submit(handle, 0, "oi");
    script.say(r#"{"t":"ack","got":[[1,900]],"delay_us":0}"#, "");
    script.expect(&["0 ms #2 msg 0/1 oi"]);
    assert_eq!(script.machine.connection(handle).unwrap().statistics().dishonest_acks, 1);
}

// UC-WIRE-017, UC-WIRE-020
#[test]
fn long_datagrams_are_taken_and_only_short_ones_are_sent() {
    let (mut script, handle) = Script::connected(PLENTY);
    script.say(r#"{"t":"msg","seq":1,"len":[1300]},{"t":"pad","len":40}"#, &"x".repeat(1_340));
    script.submit(handle, 0, &"y".repeat(20_000));
    script.until(1);
    assert!(script.sent.iter().all(|datagram| datagram.len() <= wire::BASE_DATAGRAM_BYTES));
    assert!(script.sent.len() > 17);
    assert_eq!(script.machine.statistics().count_of(Disposition::Packet), 2);
}

// Streams.

// UC-STR-001, UC-STR-007, UC-STR-008, UC-HS-006
#[test]
fn a_message_waits_until_the_windows_cover_it_whole() {
    let limits =
        r#"{"streams":1,"stream_messages":2,"stream_bytes":5,"connection_bytes":100,"message_bytes":5}"#;
    let (mut script, handle) = Script::connected(limits);
    for text in ["abc", "def", "g"] {
        script.submit(handle, 0, text);
    }
    script.expect(&["0 ms #2 msg 0/1 abc"]);
    script.say(r#"{"t":"window","bytes":50,"seq":2}"#, "");
    script.expect(&["0 ms #3 ack 1-2 msg 0/2 def"]);
    script.say(r#"{"t":"window","bytes":60,"seq":1}"#, "");
    script.expect(&["0 ms #4 ack 1-3"]);
    script.say(r#"{"t":"window","bytes":1,"seq":3}"#, "");
    script.expect(&["0 ms #5 ack 1-4 msg 0/3 g"]);
}

// UC-STR-002, UC-STR-005, UC-STR-006, UC-STR-009, UC-CLOSE-006
#[test]
fn a_broken_rule_closes_the_connection_with_its_name() {
    let cases = [
        (r#"{"t":"msg","st":99,"seq":1,"len":[1]}"#, "x", "it used a stream that it was not granted"),
        (r#"{"t":"msg","seq":20000,"len":[1]}"#, "x", "it sent more than it was allowed to"),
        (r#"{"t":"part","seq":1,"off":90000000,"len":1}"#, "x", "it sent a message longer than accepted"),
        (
            r#"{"t":"part","seq":1,"off":2,"last":true,"len":1},{"t":"part","seq":1,"off":3,"len":1}"#,
            "xx",
            "its fragments contradict each other",
        ),
    ];
    for (frame, bytes, rule) in cases {
        let (mut script, _) = Script::connected(PLENTY);
        script.say(frame, bytes);
        script.expect(&[&format!("0 ms #2 close violation ({rule})")]);
    }
}

// UC-STR-013
#[test]
fn what_is_short_enough_travels_whole() {
    let (mut script, handle) = Script::connected(PLENTY);
    for length in [1_000, 1_001] {
        script.submit(handle, 0, &"x".repeat(length));
    }
    let whole = "x".repeat(1_000);
    script.expect(&[&format!("0 ms #2 msg 0/1 {whole}"), "0 ms #3 part 0/2 0+1001"]);
}

// UC-STR-012
#[test]
fn a_gram_is_never_repeated() {
    let (mut script, handle) = Script::connected(PLENTY);
    script.machine.submit_gram(handle, b"now".to_vec(), None).unwrap();
    script.flush();
    script.until(2_000);
    script.expect(&["0 ms #2 gram"]);
}

// Moving.

// UC-PATH-001, UC-PATH-002, UC-PATH-003
#[test]
fn a_new_address_must_prove_itself_before_it_gets_anything() {
    let (mut script, handle) = Script::connected(PLENTY);
    let there = "10.0.0.9:7000";
    script.say_numbered(
        there,
        2,
        r#"{"t":"msg","seq":1,"len":[2]},{"t":"pad","len":400}"#,
        &format!("oi{}", ".".repeat(400)),
    );
    script.expect(&["0 ms to 10.0.0.9:7000: #2 challenge ack 1-2", "0 ms #3 ack 1-2", "got 0/1 oi"]);
    let challenge = String::from_utf8(script.sent[0].clone()).unwrap();
    let token = challenge.split("\"challenge\":").nth(1).unwrap().split('}').next().unwrap().to_owned();
    let answer = format!(r#"{{"t":"path","answer":{token}}}"#);
    // The right answer, from elsewhere and overtaken by another packet.
    script.say_numbered(there, 4, r#"{"t":"pad","len":0}"#, "");
    script.say_numbered("10.0.0.8:1", 3, &answer, "");
    script.forget();
    script.submit(handle, 0, "ja?");
    script.say_numbered(there, 5, &answer, "");
    script.submit(handle, 0, "sim");
    script.expect(&[
        "0 ms #4 msg 0/1 ja?",
        "Moved { path: Path { remote: 10.0.0.9:7000, local_ip: None } }",
        "0 ms to 10.0.0.9:7000: #5 msg 0/2 sim",
    ]);
}

// UC-PATH-002
#[test]
fn a_new_address_that_says_little_gets_little() {
    let (mut script, _) = Script::connected(PLENTY);
    let there = "10.0.0.9:7000";
    script.say_numbered(there, 2, r#"{"t":"pad","len":0}"#, "");
    script.until(10_000);
    let to_there: usize = script.sent.iter().map(Vec::len).sum();
    assert!((1..=3 * 80).contains(&to_there), "{to_there}");
}

// UC-PATH-004
#[test]
fn a_challenge_is_answered_where_it_came_from() {
    let (mut script, _) = Script::connected(PLENTY);
    script.say(r#"{"t":"path","challenge":77}"#, "");
    script.expect(&["0 ms #2 answer 77"]);
}

// The end.

// UC-CLOSE-001, UC-CLOSE-002, UC-CLOSE-004
#[test]
fn a_close_waits_for_what_was_said_and_is_repeated_until_it_is_answered() {
    let (mut script, handle) = Script::connected(PLENTY);
    script.submit(handle, 0, "last");
    script.forget();
    script.machine.close(script.now, handle, "done", "");
    script.say(r#"{"t":"ack","got":[[1,2]],"delay_us":0}"#, "");
    script.until(10_000);
    script.expect(&[
        "0 ms #3 close done",
        "0/1 Arrived",
        "6 ms #4 close done",
        "12 ms #5 close done",
        "18 ms #6 close done",
        "24 ms #7 close done",
        "Closed(ByUs)",
    ]);
    assert!(script.machine.connection(handle).is_none());
}

// UC-CLOSE-003, UC-CLOSE-007
#[test]
fn a_close_is_answered_and_so_is_what_still_comes() {
    let (mut script, _) = Script::connected(PLENTY);
    script.say(r#"{"t":"close","code":"eclipse","reason":"dark"}"#, "");
    script.say(r#"{"t":"ping"}"#, "");
    script.say(r#"{"t":"close","code":"closed"}"#, "");
    script.expect(&[
        "0 ms #2 close closed",
        r#"Closed(ByPeer { code: "eclipse", reason: "dark" })"#,
        "0 ms #3 close closed",
    ]);
}

// UC-CLOSE-005
#[test]
fn what_was_not_whole_and_in_order_before_the_close_is_not_handed_over() {
    let (mut script, _) = Script::connected(PLENTY);
    let both = r#"{"t":"msg","seq":1,"len":[3]},{"t":"msg","seq":3,"len":[5]},{"t":"close","code":"done"}"#;
    script.say(both, "onethree");
    script.say(r#"{"t":"msg","seq":2,"len":[3]}"#, "two");
    script.expect(&[
        "0 ms #2 close closed",
        "got 0/1 one",
        r#"Closed(ByPeer { code: "done", reason: "" })"#,
        "0 ms #3 close closed",
    ]);
}

// Chat.

const FROM_TO: &str = r#""from":{"ip":"10.0.0.2","port":6000},"to":{"ip":"10.0.0.1","port":6000}"#;
const TS: &str = r#""ts":"2026-11-21T12:00:00Z""#;

/// A peer that was asked to talk to the partner, and has introduced itself.
fn talking(limits: &str) -> (Script<udpchat::peer::Peer>, udpchat::peer::ConversationId) {
    let mut script = Script::peer();
    let Id::Conversation(to) =
        script.tell(Command::Open { addresses: vec![script::address(HERE)], named: Named::default() })
    else {
        panic!("no conversation");
    };
    script.welcome(limits);
    (script, to)
}

/// What the machine said last, as the bytes behind its head.
fn last_words(script: &Script<udpchat::peer::Peer>) -> String {
    let datagram = String::from_utf8(script.sent.last().unwrap().clone()).unwrap();
    datagram.split_once('\n').unwrap().1.to_owned()
}

// UC-CHAT-002, UC-CHAT-003, UC-CHAT-014
#[test]
fn words_get_one_receipt_on_the_stream_for_it() {
    for (limits, stream) in [(PLENTY, 1), ("{}", 0)] {
        let (mut script, _) = talking(limits);
        let words = format!(r#"{{"kind":"message","id":"b-1",{FROM_TO},{TS},"text":"oi"}}"#);
        script.say(&format!(r#"{{"t":"msg","seq":1,"len":[{}]}}"#, words.len()), &words);
        let ends = r#""from":{"nick":"ana","ip":"0.0.0.0","port":6000},"to":{"ip":"10.0.0.2","port":6000}"#;
        let times = r#""ts_original":"2026-11-21T12:00:00.000000Z","ts":"2026-11-21T12:00:00.000000Z""#;
        let receipt = format!(r#"{{"kind":"receipt","id":"b-1",{ends},{times},"ack":true}}"#);
        let seq = 2 - stream;
        script.expect(&[&format!("0 ms #2 ack 1-2 msg {stream}/{seq} {receipt}"), "connected", "message oi"]);
    }
}

// UC-CHAT-004, UC-CHAT-010
#[test]
fn what_is_not_chat_is_refused_and_an_echo_is_returned() {
    let (mut script, _) = talking(PLENTY);
    let song = format!(r#"{{"kind":"song","id":"b-1",{FROM_TO},{TS}}}"#);
    script.say(&format!(r#"{{"t":"msg","seq":1,"len":[{}]}}"#, song.len()), &song);
    let words = last_words(&script);
    assert!(words.ends_with(r#""ack":false,"reason":"its kind is not known here"}"#), "{words}");
    let echo = format!(r#"{{"kind":"echo","id":"b-2",{FROM_TO},{TS},"text":"eco"}}"#);
    script.say(&format!(r#"{{"t":"msg","seq":2,"len":[{}]}}"#, echo.len()), &echo);
    let words = last_words(&script);
    assert!(words.contains(r#""ack":true}{"kind":"echoed","id":"b-2""#), "{words}");
    assert!(words.ends_with(r#""text":"eco"}"#), "{words}");
}

// UC-CHAT-012
#[test]
fn only_a_receipt_delivers_and_a_lost_connection_leaves_it_unknown() {
    let (mut script, to) = talking(PLENTY);
    for text in ["um", "dois", "três"] {
        script.tell(Command::Say { to: to.into(), text: text.to_owned() });
    }
    let sent = last_words(&script);
    let run = sent.split("\"id\":\"").nth(1).unwrap().split('-').next().unwrap().to_owned();
    script.forget();
    script.say(r#"{"t":"ack","got":[[1,4]],"delay_us":0}"#, "");
    script.expect(&[]);
    let receipt = |number: u32, ack: &str| {
        format!(
            r#"{{"kind":"receipt","id":"{run}-{number}",{FROM_TO},"ts_original":"2026-11-21T12:00:00Z",{TS},{ack}}}"#
        )
    };
    let [yes, no] = [receipt(1, r#""ack":true"#), receipt(2, r#""ack":false,"reason":"full""#)];
    let frame =
        format!(r#"{{"t":"msg","st":1,"seq":1,"unordered":true,"len":[{},{}]}}"#, yes.len(), no.len());
    script.say(&frame, &format!("{yes}{no}"));
    script.say(r#"{"t":"close","code":"done"}"#, "");
    script.expect(&[
        "0 ms #5 ack 1-3",
        "connected",
        "delivered 1",
        "failed 2: refused: full",
        "0 ms #6 close closed",
        "unknown 3",
        "closed: the other side left",
    ]);
}
