//! While the relay is there.

use super::*;

// UC-RELAY-011, UC-RELAY-025
#[test]
fn a_member_enters_joins_and_is_shown_history_before_what_is_live() {
    let mut stage = Stage::attend(membership(&["#sala", "#lab"]));
    stage.say_in("#sala", "early");
    stage.expect(&["relay: enter ana"]);
    stage.let_in("log-1");
    stage.expect(&[
        "ana: there",
        "ana: entered as ana, Some(\"be kind\")",
        "relay: join #sala",
        "relay: join #lab",
    ]);
    stage.open_room("#sala", 2);
    stage.pass_on(1, Some("#sala"), "bob", "one");
    stage.pass_on(2, Some("#sala"), "cid", "two");
    stage.pass_on(3, Some("#sala"), "bob", "three");
    stage.run(100);
    stage.expect(&[
        "ana: joined #sala",
        "relay: early for #sala",
        "ana: bob said one in #sala",
        "ana: cid said two in #sala",
        "ana: bob says three in #sala",
    ]);
    let own = stage.ids["early for #sala"].clone();
    stage.receipt("early for #sala", |receipt| receipt.pos = Some(4));
    stage.pass_on_as(own.clone(), 4, Some("#sala"), "ana", "early");
    // The ids of others may look like ours.
    stage.pass_on_as(own, 5, Some("#sala"), "bob", "not ana");
    stage.refuse("join #lab", RefusalCode::InviteOnly, "only the invited");
    stage.run(100);
    stage.expect(&[
        "ana: delivered",
        "ana: not joined #lab: only the invited",
        "ana: bob says not ana in #sala",
    ]);
    let memory = stage.peers[ANA].poll_memory().unwrap().1;
    assert_eq!(memory.log.as_deref(), Some("log-1"));
    assert_eq!(memory.rooms, BTreeMap::from([("#sala".to_owned(), 5)]));
    assert_eq!(stage.peers[ANA].poll_memory(), None);
    assert_eq!(stage.peers[ANA].unreadable_messages(), 0);
}

#[test]
fn a_password_for_a_room_waits_until_we_are_in_it_and_goes_before_later_words() {
    let guard = |room: &str| Request::Guard {
        room: room.to_owned(),
        password: Some("sesame".to_owned().into()),
        invite_only: None,
        hidden: None,
    };
    let mut stage = Stage::attend(membership(&["#sala"]));
    stage.ask(guard("#sala"));
    stage.say_in("#sala", "between us");
    stage.let_in("log-1");
    stage.expect(&[
        "relay: enter ana",
        "ana: there",
        "ana: entered as ana, Some(\"be kind\")",
        "relay: join #sala",
    ]);
    stage.open_room("#sala", 0);
    stage.run(50);
    stage.expect(&["ana: joined #sala", "relay: guard #sala", "relay: between us for #sala"]);
    // The same when the relay was away.
    stage.receipt("guard #sala", |_| {});
    stage.receipt("between us for #sala", |_| {});
    stage.run(50);
    stage.log.clear();
    stage.restart_relay();
    stage.ask(Request::Topic { room: "#sala".to_owned(), text: "tea".to_owned() });
    stage.ask(guard("#elsewhere"));
    stage.run(6_000);
    stage.log.clear();
    stage.let_in_again("log-1");
    stage.run(50);
    stage.expect(&[
        "ana: entered again as ana, None",
        "relay: join #sala after 0",
        "relay: guard #elsewhere",
    ]);
    stage.open_room("#sala", 0);
    stage.run(50);
    stage.expect(&["ana: joined #sala again", "relay: topic of #sala"]);
}

#[test]
fn what_was_shown_in_an_earlier_run_is_not_asked_for_again() {
    let rooms = BTreeMap::from([("#sala".to_owned(), 7), ("#lab".to_owned(), 3)]);
    let memory = RelayMemory {
        log: Some("log-1".to_owned()),
        letters_after: 4,
        everyone_after: Some(9),
        rooms,
        ..RelayMemory::default()
    };
    let mut wanted = Membership { memory, ..membership(&["#sala", "#lab", "#new"]) };
    wanted.rooms[1].history = Some(20);
    let mut stage = Stage::attend(wanted.clone());
    stage.ids.insert("enter ana".to_owned(), stage.ids.values().next().unwrap().clone());
    stage.let_in("log-1");
    stage.expect(&[
        "relay: enter ana, log-1, letters 4, everyone Some(9)",
        "ana: there",
        "ana: entered as ana, Some(\"be kind\")",
        "relay: join #sala after 7",
        "relay: join #lab with 20",
        "relay: join #new",
    ]);
    let mut stage = Stage::attend(wanted);
    stage.ids.insert("enter ana".to_owned(), stage.ids.values().next().unwrap().clone());
    stage.let_in("another log");
    assert_eq!(stage.log[3..], ["relay: join #sala", "relay: join #lab with 20", "relay: join #new"]);
}

// UC-RELAY-029
#[test]
fn cursors_count_from_where_a_copy_of_the_ledger_was_put_back() {
    let rooms = BTreeMap::from([("#sala".to_owned(), 7), ("#lab".to_owned(), 3)]);
    let memory = RelayMemory {
        log: Some("log-1".to_owned()),
        runs: vec!["a".to_owned(), "b".to_owned()],
        letters_after: 6,
        everyone_after: Some(9),
        rooms,
        letters_refused: BTreeMap::from([(4, RefusalCode::BadSeal), (6, RefusalCode::BadSeal)]),
    };
    let mut stage = Stage::attend(Membership { memory, ..membership(&["#sala", "#lab"]) });
    stage.ids.insert("enter ana".to_owned(), stage.ids.values().next().unwrap().clone());
    let (nick, log, runs) = ("ana".to_owned(), "log-1".to_owned(), vec!["a".to_owned(), "d".to_owned()]);
    stage.tell_news(News::Entered {
        nick,
        log,
        runs,
        void_after: Some(5),
        operator: false,
        everyone_head: 12,
        motd: None,
    });
    stage.receipt("enter ana", |_| {});
    stage.run(50);
    assert_eq!(stage.log[3..], ["relay: join #sala after 5", "relay: join #lab after 3"]);
    let memory = stage.peers[ANA].poll_memory().unwrap().1;
    assert_eq!((memory.letters_after, memory.everyone_after, memory.runs[1].as_str()), (5, Some(5), "d"));
    assert_eq!(memory.letters_refused.into_keys().collect::<Vec<_>>(), [4]);
}

#[test]
fn a_taken_name_waits_for_another_and_the_words_wait_too() {
    let mut stage = Stage::attend(membership(&["#sala"]));
    stage.say_in("#sala", "hello");
    stage.refuse("enter ana", RefusalCode::NameTaken, "somebody is called that");
    stage.run(100);
    stage.ask(Request::Rename { nick: "ana2".to_owned() });
    stage.run(100);
    stage.refuse("enter ana2", RefusalCode::NameTaken, "that too");
    stage.run(100);
    stage.ask(Request::Rename { nick: "ana3".to_owned() });
    stage.run(100);
    stage.expect(&[
        "relay: enter ana",
        "ana: there",
        "ana: not entered: somebody is called that",
        "relay: enter ana2",
        "ana: not entered: that too",
        "ana: not done: that too",
        "relay: enter ana3",
    ]);
    stage.ids.insert("enter ana".to_owned(), stage.ids["enter ana3"].clone());
    stage.let_in("log-1");
    stage.open_room("#sala", 0);
    stage.expect(&[
        "ana: entered as ana, Some(\"be kind\")",
        "ana: done",
        "relay: join #sala",
        "ana: joined #sala",
        "relay: hello for #sala",
    ]);
}

#[test]
fn a_relay_that_waits_no_longer_for_a_name_is_called_again_with_one() {
    let mut stage = Stage::attend(membership(&["#sala"]));
    stage.refuse("enter ana", RefusalCode::NameTaken, "somebody is called that");
    stage.run(100);
    stage.close("done", "nobody entered");
    stage.run(60_000);
    stage.ask(Request::Rename { nick: "ana2".to_owned() });
    stage.run(100);
    stage.expect(&[
        "relay: enter ana",
        "ana: there",
        "ana: not entered: somebody is called that",
        "relay: ByUs",
        "relay: enter ana2",
    ]);
}

#[test]
fn a_letter_is_held_once_and_then_delivered_or_failed() {
    let mut stage = Stage::inside(&[]);
    stage.write_to("bob", "one");
    stage.write_to("cid", "two");
    stage.run(50);
    assert_eq!(stage.peers[ANA].pending_messages(), 2);
    for letter in ["one for bob", "one for bob", "two for cid"] {
        stage.receipt(letter, |receipt| receipt.held = true);
    }
    stage.run(50);
    assert_eq!(stage.peers[ANA].pending_messages(), 0);
    stage.receipt("one for bob", |_| {});
    stage.refuse("two for cid", RefusalCode::Expired, "nobody came");
    stage.receipt("one for bob", |_| {});
    stage.run(50);
    stage.expect(&[
        "relay: one for bob",
        "relay: two for cid",
        "ana: held",
        "ana: held",
        "ana: delivered",
        "ana: failed: refused: nobody came",
    ]);
}

// UC-RELAY-024, UC-RELAY-025
#[test]
fn letters_and_words_to_all_are_shown_once_and_answered() {
    let mut stage = Stage::inside(&["#sala"]);
    stage.pass_on(3, None, "bob", "psst");
    stage.pass_on(3, None, "bob", "psst");
    stage.pass_on(1, Some(EVERYONE), "root", "all hear");
    stage.pass_on(1, Some(EVERYONE), "root", "all hear");
    stage.run(50);
    stage.tell(Command::Reply { text: "yes?".to_owned() }).unwrap();
    stage.pass_on(1, Some("#sala"), "bob", "line");
    stage.run(50);
    stage.tell(Command::Reply { text: "no".to_owned() }).unwrap();
    stage.run(50);
    stage.expect(&[
        "ana: bob says psst in a letter",
        "ana: root says all hear in *",
        "relay: yes on 3",
        "relay: yes on 3",
        "relay: yes? for root to \"all hear\"",
        "ana: bob says line in #sala",
        "relay: no for #sala to \"line\"",
    ]);
    assert_eq!(stage.peers[ANA].unreadable_messages(), 1);
}

#[test]
fn requests_are_done_after_what_they_bring() {
    let mut stage = Stage::inside(&["#sala"]);
    stage.ask(Request::Who { room: None });
    stage.join("#lab");
    stage.say_in("#lab", "waits");
    stage.run(50);
    stage.receipt("who", |_| {});
    stage.receipt("join #lab", |_| {});
    stage.run(50);
    stage.expect(&["relay: who", "relay: join #lab"]);
    let re = stage.ids["who"].clone();
    stage.tell_news(News::Who { re: re.clone(), room: None, members: Vec::new(), count: 1 });
    stage.tell_news(News::Who { re, room: None, members: Vec::new(), count: 1 });
    stage.open_room("#lab", 0);
    assert!(stage.log.remove(0).starts_with("ana: Who"));
    stage.expect(&["ana: done", "ana: joined #lab", "ana: done", "relay: waits for #lab"]);
    stage.ask(Request::Part { room: "#lab".to_owned(), reason: None });
    stage.join("#closed");
    stage.say_in("#closed", "never");
    stage.run(50);
    stage.receipt("part #lab", |_| {});
    stage.refuse("join #closed", RefusalCode::Password, "it has a password");
    stage.run(50);
    stage.expect(&[
        "relay: part #lab",
        "relay: join #closed",
        "ana: parted #lab",
        "ana: done",
        "ana: not joined #closed: it has a password",
        "ana: failed: refused: it has a password",
        "ana: not done: it has a password",
    ]);
    stage.join("#lab");
    stage.run(50);
    stage.expect(&["relay: join #lab after 0"]);
}

#[test]
fn an_echo_is_for_the_relay_itself_and_plain_words_are_for_nobody() {
    let mut stage = Stage::inside(&[]);
    let relay = stage.relay_id();
    let plain = Command::Say { to: relay.into(), text: "hm".to_owned() };
    assert_eq!(stage.tell(plain), Err(CommandError::NoPlace));
    stage.tell(Command::Echo { to: relay, text: "hall".to_owned() }).unwrap();
    stage.run(50);
    stage.receipt("hall for itself", |_| {});
    let id = stage.ids["hall for itself"].clone();
    let echoed = Said::Echoed { id, original_at: WallTime::default(), text: "hall".into() };
    stage.relay_says(None, None, 1, echoed);
    stage.run(50);
    stage.expect(&["relay: hall for itself", "ana: delivered", "ana: echo hall"]);
}

#[test]
fn a_goodbye_waits_for_receipts_and_not_for_held_letters() {
    let mut stage = Stage::inside(&["#sala"]);
    stage.write_to("bob", "letter");
    stage.run(50);
    stage.receipt("letter for bob", |receipt| receipt.held = true);
    stage.say_in("#sala", "bye");
    stage.run(50);
    stage.tell(Command::Shutdown).unwrap();
    stage.run(500);
    stage.expect(&["relay: letter for bob", "relay: bye for #sala", "ana: held"]);
    stage.receipt("bye for #sala", |_| {});
    stage.run(1_000);
    stage.expect(&[
        "ana: delivered",
        "relay: ByPeer { code: \"done\", reason: \"quit\" }",
        "ana: unknown",
        "ana: closed: closed here",
    ]);
    assert!(stage.peers[ANA].is_idle());
    assert_eq!(stage.peers[ANA].pending_messages(), 0);
}

#[test]
fn direct_conversations_go_on_beside_a_membership() {
    let mut stage = Stage::inside(&["#sala"]);
    let Ok(Id::Conversation(bob)) =
        stage.tell(Command::Open { addresses: vec![address(BOB)], named: Named::default() })
    else {
        panic!()
    };
    stage.say(bob.into(), "direct");
    stage.say_in("#sala", "in the room");
    stage.run(100);
    stage.receipt("in the room for #sala", |_| {});
    stage.run(100);
    stage.expect(&[
        "relay: in the room for #sala",
        "bob: there",
        "bob: ana says direct in direct",
        "ana: there",
        "ana: delivered",
        "ana: delivered",
    ]);
    let relay = stage.relay_id();
    assert_eq!(stage.tell(Command::Ask { relay: bob, request: Request::Rooms }), Err(CommandError::NoMember));
    assert_ne!(bob, relay);
}

#[test]
fn a_peer_that_is_taken_for_a_relay_says_what_it_is() {
    let mut stage = Stage::new();
    stage
        .tell(Command::Attend {
            addresses: vec![address(BOB)],
            named: Named::default(),
            membership: membership(&["#sala"]),
        })
        .unwrap();
    stage.run(200);
    stage.expect(&["bob: there", "ana: there", "ana: not entered: this is a peer, not a relay"]);
}
