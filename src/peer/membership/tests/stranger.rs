//! A relay that says what no relay should.

use super::*;
use crate::chat::Change;

// UC-RELAY-026
#[test]
fn what_nobody_asked_for_is_counted_and_dropped() {
    let mut stage = Stage::attend(membership(&["#sala"]));
    stage.pass_on(1, Some("#sala"), "eve", "before entry");
    stage.open_room("#sala", 9);
    stage.expect(&["relay: enter ana", "ana: there"]);
    stage.let_in("log-1");
    stage.open_room("#sala", 0);
    stage.pass_on(7, Some("#sala"), "eve", "seven");
    stage.run(50);
    stage.log.clear();
    let before = stage.peers[ANA].unreadable_messages();
    assert_eq!(before, 2);
    stage.pass_on(6, Some("#sala"), "eve", "backwards");
    stage.pass_on(7, Some("#sala"), "eve", "twice");
    stage.pass_on(8, Some("#elsewhere"), "eve", "a room of others");
    stage.open_room("#elsewhere", 3);
    stage.open_room("#sala", 3);
    let re = MessageId::new("nobody", 1);
    stage.tell_news(News::Rooms { re, rooms: Vec::new() });
    let gone = Change::Left { nick: "bob".to_owned(), reason: String::new() };
    stage.tell_news(News::Presence { room: "#elsewhere".to_owned(), changes: vec![gone] });
    stage.tell_news(News::Topic { room: "#x".to_owned(), text: String::new(), by: "eve".to_owned() });
    stage.tell_news(News::Renamed { before: "ana".to_owned(), nick: "\u{1b}[2J".to_owned() });
    stage.tell_news(News::Removed { room: Some("#x".to_owned()), by: String::new(), reason: String::new() });
    stage.let_in("log-9");
    let stray = Receipt::taken(MessageId::new("stray", 1), WallTime::default());
    stage.relay_says(None, None, 1, Said::Receipt(stray));
    stage.run(50);
    stage.expect(&[]);
    // The second entry's receipt is one of those as well.
    assert_eq!(stage.peers[ANA].unreadable_messages() - before, 13);
    let memory = stage.peers[ANA].poll_memory().unwrap().1;
    assert_eq!(memory.rooms, BTreeMap::from([("#sala".to_owned(), 7)]));
}

// UC-RELAY-026
#[test]
fn words_that_stand_in_no_log_are_refused() {
    let mut stage = Stage::inside(&["#sala"]);
    let id = MessageId::new("eve", 1);
    let words = Words { id, text: "hey".into(), sealed: None, is_echo: false, reply_to: None, place: None };
    stage.relay_says(Some("eve"), None, 1, Said::Words(words));
    let id = MessageId::new("eve", 2);
    stage.relay_says(None, None, 1, Said::Request { id, ask: Request::Rooms });
    stage.run(50);
    stage.expect(&["relay: no on 0", "relay: no on 0, not-entered"]);
    assert_eq!(stage.peers[ANA].unreadable_messages(), 1);
}

#[test]
fn whoever_calls_from_the_relays_address_is_not_the_relay() {
    let mut stage = Stage::inside(&["#sala"]);
    let (now, path) = (stage.now, Path::to(address(ANA)));
    stage.relay.connect(now, &[path], None).unwrap();
    stage.run(500);
    stage.expect(&["relay: ByPeer { code: \"done\", reason: \"this address is known here as a relay's\" }"]);
    stage.pass_on(1, Some("#sala"), "bob", "still here");
    stage.run(50);
    stage.expect(&["ana: bob says still here in #sala"]);
}

#[test]
fn the_outbox_is_bounded_and_says_when_there_is_room() {
    let mut stage = Stage::inside(&["#sala"]);
    let relay = stage.relay_id();
    let to = Destination::Room { relay, room: "#sala".to_owned() };
    let text = "x".repeat(1_000_000);
    let mut taken = 0;
    while stage.tell(Command::Say { to: to.clone(), text: text.clone() }).is_ok() {
        taken += 1;
    }
    assert_eq!(taken, 33, "32 MiB");
    stage.run(20_000);
    assert_eq!(stage.log.iter().filter(|line| line.starts_with("relay: x")).count(), 33);
    stage.log.clear();
    // All have the same text, so the relay knows the last one's id only.
    stage.receipt(&format!("{text} for #sala"), |_| {});
    stage.run(100);
    stage.expect(&["ana: delivered"]);
    stage.close("removed", "");
    stage.run(1_000);
    assert_eq!(stage.log.iter().filter(|line| *line == "ana: unknown").count(), 32);
    assert_eq!(stage.log.iter().filter(|line| *line == "ana: writable").count(), 0);
}

#[test]
fn a_queue_that_was_full_reports_room_again() {
    let mut stage = Stage::inside(&["#sala"]);
    let relay = stage.relay_id();
    let to = Destination::Room { relay, room: "#sala".to_owned() };
    let mut texts = Vec::new();
    for number in 0_u32.. {
        let text = format!("{number}{}", "x".repeat(4_000_000));
        match stage.tell(Command::Say { to: to.clone(), text: text.clone() }) {
            Ok(_) => texts.push(text),
            Err(error) => {
                assert_eq!(error, CommandError::WouldBlock);
                break;
            }
        }
    }
    stage.run(20_000);
    stage.log.clear();
    for text in &texts {
        stage.receipt(&format!("{text} for #sala"), |_| {});
    }
    stage.run(100);
    assert_eq!(stage.log.iter().filter(|line| *line == "ana: delivered").count(), texts.len());
    assert_eq!(stage.log.iter().filter(|line| *line == "ana: writable").count(), 1);
}
