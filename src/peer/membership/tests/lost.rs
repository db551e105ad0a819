//! When the relay, or the way to it, is lost.

use super::*;

impl Stage {
    /// The relay lets ana in again after a loss, with the memory of log-1.
    pub(super) fn let_in_again(&mut self, log: &str) {
        let enter = self.ids.iter().find(|(what, _)| what.starts_with("enter ana, log-1")).unwrap().1.clone();
        self.ids.insert("enter ana".to_owned(), enter);
        self.let_in(log);
    }
}

// UC-RELAY-022
#[test]
fn what_has_no_outcome_is_said_again_in_order_and_has_one_outcome_each() {
    let mut stage = Stage::inside(&["#sala"]);
    stage.write_to("bob", "letter");
    stage.say_in("#sala", "one");
    stage.say_in("#sala", "two");
    stage.say_in("#sala", "three");
    stage.run(50);
    stage.receipt("letter for bob", |receipt| receipt.held = true);
    stage.receipt("two for #sala", |_| {});
    stage.pass_on(1, Some("#sala"), "bob", "shown");
    stage.pass_on(5, None, "bob", "also shown");
    stage.run(50);
    stage.log.clear();
    stage.restart_relay();
    stage.say_in("#sala", "four");
    stage.run(6_000);
    stage.expect(&["ana: silence", "relay: enter ana, log-1, letters 5, everyone Some(0)"]);
    stage.let_in_again("log-1");
    stage.expect(&[
        "ana: entered again as ana, None",
        "relay: join #sala after 1",
        "relay: letter for bob again",
    ]);
    stage.open_room("#sala", 2);
    stage.pass_on(2, Some("#sala"), "bob", "missed");
    stage.pass_on(5, None, "bob", "also shown");
    stage.run(50);
    stage.expect(&[
        "ana: joined #sala again",
        "relay: one for #sala again",
        "relay: three for #sala again",
        "relay: four for #sala",
        "ana: bob said missed in #sala",
        "relay: yes on 5",
    ]);
    for heard in ["one for #sala", "three for #sala", "four for #sala"] {
        stage.receipt(heard, |_| {});
    }
    stage.receipt("letter for bob", |receipt| receipt.held = true);
    stage.receipt("letter for bob", |_| {});
    stage.run(50);
    stage.expect(&["ana: delivered", "ana: delivered", "ana: delivered", "ana: delivered"]);
}

// UC-RELAY-012, UC-RELAY-022
#[test]
fn another_log_makes_unknown_what_the_relay_may_have_had_and_sends_the_rest() {
    let mut stage = Stage::inside(&["#sala"]);
    stage.say_in("#sala", "sent");
    stage.run(50);
    stage.pass_on(9, Some("#sala"), "bob", "nine");
    stage.run(50);
    stage.log.clear();
    stage.close("done", "restarting");
    stage.run(100);
    stage.say_in("#sala", "not sent");
    stage.run(1_000);
    stage.let_in_again("log-2");
    stage.open_room("#sala", 0);
    stage.pass_on(1, Some("#sala"), "bob", "one");
    stage.run(50);
    stage.expect(&[
        "ana: reconnecting",
        "relay: ByUs",
        "relay: enter ana, log-1, letters 0, everyone Some(0)",
        "ana: unknown",
        "ana: entered again as ana, None",
        "relay: join #sala",
        "ana: joined #sala again",
        "relay: not sent for #sala",
        "ana: bob says one in #sala",
    ]);
    let memory = stage.peers[ANA].poll_memory().unwrap().1;
    assert_eq!((memory.log.as_deref(), memory.rooms["#sala"]), (Some("log-2"), 1));
}

// UC-RELAY-023
#[test]
fn a_relay_that_put_us_out_is_not_called_again() {
    for (code, words) in [
        ("removed", "the other side left: it put us out"),
        ("replaced", "another program came in as you, so this one is out"),
        ("fault", "a fault switch failed the connection"),
    ] {
        let mut stage = Stage::inside(&["#sala"]);
        stage.say_in("#sala", "sent");
        stage.run(50);
        stage.say_in("#elsewhere", "sent too");
        stage.close(code, "");
        stage.run(60_000);
        stage.expect(&[
            "relay: sent for #sala",
            "relay: sent too for #elsewhere",
            "ana: unknown",
            "ana: unknown",
            &format!("ana: closed: {words}"),
            "relay: ByUs",
        ]);
        assert!(stage.peers[ANA].is_idle());
        let relay = stage.relay_id();
        let late = Destination::Room { relay, room: "#sala".to_owned() };
        assert_eq!(
            stage.tell(Command::Say { to: late, text: "late".to_owned() }),
            Err(CommandError::NoMember)
        );
    }
}

#[test]
fn a_first_attempt_that_nobody_answers_ends_as_with_a_peer() {
    let mut stage = Stage::new();
    stage.is_down = true;
    let addresses = vec![address(RELAY)];
    let Ok(Id::Conversation(relay)) = stage.tell(Command::Attend {
        addresses,
        named: Named::default(),
        membership: membership(&["#sala"]),
    }) else {
        panic!()
    };
    stage.conversation = Some(relay);
    stage.say_in("#sala", "anyone?");
    stage.run(60_000);
    stage.expect(&["ana: failed: no answer", "ana: closed: no answer"]);
    assert!(stage.peers[ANA].is_idle());
}

#[test]
fn relay_that_comes_later_is_called_until_it_is_there() {
    let mut stage = Stage::new();
    stage.is_down = true;
    let membership = Membership { keep_calling: true, ..membership(&["#sala"]) };
    let addresses = vec![address(RELAY)];
    match stage.tell(Command::Attend { addresses, named: Named::default(), membership }) {
        Ok(Id::Conversation(conversation)) => stage.conversation = Some(conversation),
        other => panic!("{other:?}"),
    }
    stage.say_in("#sala", "anyone?");
    stage.run(60_000);
    let retries = stage.log.iter().filter(|line| *line == "ana: reconnecting").count();
    assert!(retries >= 2 && retries == stage.log.len(), "{:?}", stage.log);
    stage.is_down = false;
    stage.run(60_000);
    stage.let_in("log-1");
    stage.open_room("#sala", 0);
    stage.run(100);
    assert!(stage.log.iter().any(|line| line.contains("anyone?")), "{:?}", stage.log);
}

#[test]
fn patience_counts_from_the_loss_and_ends_everything() {
    let wanted = Membership { patience: Some(Duration::from_secs(30)), ..membership(&["#sala"]) };
    let mut stage = Stage::attend(wanted);
    stage.let_in("log-1");
    stage.open_room("#sala", 0);
    stage.say_in("#sala", "sent");
    stage.run(50);
    stage.log.clear();
    stage.close("done", "");
    stage.run(100);
    stage.is_down = true;
    stage.say_in("#sala", "not sent");
    stage.run(29_000);
    let retries = stage.log.iter().filter(|line| *line == "ana: reconnecting").count();
    assert!(retries >= 3, "{:?}", stage.log);
    assert_eq!(stage.peers[ANA].pending_messages(), 2);
    stage.log.clear();
    stage.run(2_000);
    stage.expect(&[
        "ana: unknown",
        "ana: failed: the connection ended before it was sent",
        "ana: closed: no answer",
    ]);
    stage.run(60_000);
    stage.expect(&[]);
    assert!(stage.peers[ANA].is_idle());
}

// UC-RELAY-023
#[test]
fn pauses_double_up_to_a_bound_and_begin_anew_once_we_are_in() {
    let mut stage = Stage::inside(&[]);
    for _ in 0..9 {
        stage.close("busy", "");
        stage.run(20_000);
    }
    for (number, pause) in stage.pauses.iter().enumerate() {
        let expected = Duration::from_millis((250 << number).min(15_000));
        assert!((expected * 3 / 4..=expected * 5 / 4).contains(pause), "{number}: {:?}", stage.pauses);
    }
    stage.let_in_again("log-1");
    stage.close("busy", "");
    stage.run(30);
    assert_eq!(stage.pauses.len(), 10);
    assert!(stage.pauses[9] < Duration::from_millis(320), "{:?}", stage.pauses);
}

#[test]
fn a_relay_that_died_while_it_owed_a_receipt_is_noticed_in_seconds() {
    let mut stage = Stage::inside(&["#sala"]);
    stage.say_in("#sala", "owed");
    stage.run(500);
    stage.is_down = true;
    stage.run(5_000);
    stage.expect(&["relay: owed for #sala", "ana: silence"]);
    stage.is_down = false;
    stage.run(3_000);
    stage.receipt("owed for #sala", |_| {});
    stage.run(100);
    stage.expect(&["ana: resumed", "ana: delivered"]);
}

#[test]
fn requests_that_may_not_be_done_twice_are_over_with_the_connection() {
    let mut stage = Stage::inside(&["#sala", "#lab"]);
    stage.ask(Request::Moderate(Moderation::Kick { nick: "eve".to_owned(), room: None, reason: None }));
    stage.ask(Request::Part { room: "#lab".to_owned(), reason: None });
    stage.join("#new");
    stage.run(50);
    stage.log.clear();
    stage.close("done", "");
    stage.run(1_000);
    stage.let_in_again("log-1");
    stage.expect(&[
        "ana: not done: the relay was lost before it answered; it may have been done",
        "ana: parted #lab",
        "ana: done",
        "ana: reconnecting",
        "relay: ByUs",
        "relay: enter ana, log-1, letters 0, everyone Some(0)",
        "ana: entered again as ana, None",
        "relay: join #sala after 0",
        "relay: join #new again",
    ]);
}

#[test]
fn a_refusal_that_may_pass_is_asked_about_again() {
    let mut stage = Stage::attend(membership(&["#sala"]));
    stage.refuse("enter ana", RefusalCode::TooMany, "the relay is full");
    stage.run(1_000);
    stage.refuse("enter ana", RefusalCode::Closing, "the relay is closing");
    stage.close("done", "");
    stage.run(2_000);
    stage.expect(&[
        "relay: enter ana",
        "ana: there",
        "ana: not entered: the relay is full",
        "ana: reconnecting",
        "relay: enter ana",
        "ana: not entered: the relay is closing",
        "ana: reconnecting",
        "ana: reconnecting",
        "relay: ByUs",
        "relay: enter ana",
    ]);
}

#[test]
fn a_room_that_is_closed_to_us_on_return_fails_what_it_never_saw_and_asks_about_the_rest() {
    let mut stage = Stage::inside(&["#sala"]);
    stage.say_in("#sala", "sent");
    stage.run(50);
    stage.close("done", "");
    stage.run(100);
    stage.say_in("#sala", "not sent");
    stage.run(1_000);
    stage.let_in_again("log-1");
    stage.log.clear();
    stage.refuse("join #sala after 0", RefusalCode::InviteOnly, "only the invited");
    stage.run(50);
    stage.expect(&[
        "ana: not joined #sala: only the invited",
        "ana: failed: refused: only the invited",
        "relay: sent for #sala again",
    ]);
    stage.refuse("sent for #sala", RefusalCode::NotJoined, "you are not in that room");
    stage.run(50);
    // It may have been stored before the room was closed to us: only a yes would tell.
    stage.expect(&["ana: unknown"]);
}

#[test]
fn a_room_that_is_left_while_the_relay_is_away_is_not_joined_again() {
    let mut stage = Stage::inside(&["#sala"]);
    stage.close("done", "");
    stage.run(50);
    stage.join("#lab");
    for room in ["#sala", "#lab"] {
        stage.ask(Request::Part { room: room.to_owned(), reason: None });
    }
    stage.ask(Request::Who { room: None });
    stage.run(1_000);
    stage.let_in_again("log-1");
    stage.expect(&[
        "ana: reconnecting",
        "relay: ByUs",
        "ana: parted #sala",
        "ana: done",
        "ana: not done: the room was left before it was joined",
        "ana: parted #lab",
        "ana: done",
        "relay: enter ana, log-1, letters 0, everyone Some(0)",
        "ana: entered again as ana, None",
        "relay: who",
    ]);
}

#[test]
fn giving_up_tells_what_was_sent_from_what_was_not_also_at_a_relay() {
    let mut stage = Stage::inside(&["#sala"]);
    stage.join("#lab");
    stage.say_in("#sala", "sent");
    stage.say_in("#lab", "waits for the room");
    stage.run(50);
    stage.log.clear();
    stage.tell(Command::GiveUp).unwrap();
    stage.run(1_000);
    stage.expect(&[
        "ana: not done: the relay was lost before it answered; it may have been done",
        "ana: unknown",
        "ana: failed: the connection ended before it was sent",
        "relay: ByPeer { code: \"done\", reason: \"\" }",
        "ana: closed: closed here",
    ]);
    assert!(stage.peers[ANA].is_idle());
    // Also while the relay is away.
    let mut stage = Stage::inside(&["#sala"]);
    stage.close("done", "");
    stage.run(50);
    stage.tell(Command::Shutdown).unwrap();
    stage.run(50);
    stage.expect(&["ana: reconnecting", "relay: ByUs", "ana: closed: closed here"]);
    assert!(stage.peers[ANA].is_idle());
}
