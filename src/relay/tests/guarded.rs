//! Rooms with a password: what is kept of it, how it is tried, and what happens meanwhile.

use super::super::password::Passwords;
use super::*;
use crate::secure::StretchOutcome;

fn guard(password: &str) -> Request {
    let password = Some(password.into());
    Request::Guard { room: "#den".to_owned(), password, invite_only: None, hidden: None }
}

fn knock(password: &str) -> Request {
    Request::Join { room: "#den".to_owned(), after: None, history: None, password: Some(password.into()) }
}

/// Ana has a room, and has gone if she is not to stay.
fn den(stays: bool) -> (Hall, usize) {
    let mut hall = Hall::new();
    let ana = hall.join("ana", "#den");
    hall.ask(ana, guard("cheese"));
    hall.check(ana, &["ok a-3"]);
    if !stays {
        leave(&mut hall, ana);
    }
    (hall, ana)
}

fn leave(hall: &mut Hall, visitor: usize) {
    let handle = hall.visitors[visitor].handle;
    hall.visitors[visitor].endpoint.close(hall.now, handle, "done", "");
    hall.run();
}

// UC-RELAY-027
#[test]
fn a_password_is_kept_stretched_and_shown_nowhere() {
    let (mut hall, ana) = den(true);
    let bob = hall.enter("bob");
    hall.seen(bob);
    hall.ask(bob, knock("ham"));
    hall.ask(bob, knock(&"x".repeat(129)));
    hall.ask(bob, knock("cheese"));
    hall.check(bob, &["no b-2: password", "no b-3: too-long", "ok b-4", "#den head 0: ana,bob (2)"]);
    hall.ask(ana, Request::Rooms);
    let told = format!("{:?} {:?} {:?}", hall.relay, hall.ledger, hall.records);
    assert!(!told.contains("cheese") && !told.contains("\"ham"), "{told}");
    let job = ledger::Job {
        ticket: 0,
        at: WallTime::default(),
        request: ledger::Request::OpenRoom { name: "#den".to_owned(), creator: None },
    };
    let Ok(ledger::Reply::Room(Some(room))) = hall.ledger.apply(&job).result else { panic!("it is there") };
    assert!(room.password.is_some_and(|kept| kept.as_str().starts_with("$argon2id$")));
    let refused = hall.records.iter().filter(|record| record.contains("wrong password for #den")).count();
    assert_eq!(refused, 1, "{:?}", hall.records);
    let statistics = PasswordStatistics { right: 1, wrong: 1, held_back: 0 };
    assert_eq!(hall.relay.password_statistics(), &statistics);
}

// UC-RELAY-027
#[test]
fn whoever_waits_for_a_password_keeps_nobody_else_waiting() {
    let (mut hall, ana) = den(true);
    hall.stretching = Some(Vec::new());
    let guests: Vec<usize> =
        (0..MOST_STRETCHES + 2).map(|number| hall.enter(&format!("guest{number}"))).collect();
    for &guest in &guests {
        hall.seen(guest);
        hall.ask(guest, knock("cheese"));
        hall.line(guest, "#den", "me too");
        hall.check(guest, &[]);
    }
    hall.line(ana, "#den", "patience");
    hall.check(ana, &["ok a-4 at 1", "ana to #den: patience @1"]);
    // One for each, some at a time; and each is read on when its own is there.
    assert_eq!(hall.stretch_all(), [MOST_STRETCHES, 2]);
    for &guest in &guests {
        let seen = hall.seen(guest);
        assert!(seen[0].starts_with("ok") && seen.iter().any(|line| line.contains("me too")), "{seen:?}");
    }
}

// UC-RELAY-027
#[test]
fn guessing_is_slow() {
    let (mut hall, _) = den(true);
    let bob = hall.enter("bob");
    hall.seen(bob);
    let answers = |hall: &mut Hall, tries: &[&str]| -> Vec<String> {
        tries.iter().for_each(|tried| hall.ask(bob, knock(tried)));
        hall.seen(bob)
            .into_iter()
            .map(|line| line.split(' ').next_back().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(
        answers(&mut hall, &["1", "2", "3", "4", "5", "6", "cheese"]),
        [["password"; 5].as_slice(), &["too-many"; 2]].concat()
    );
    // Nobody is asked for one that would not be tried.
    hall.ask(bob, Request::Join { room: "#den".to_owned(), after: None, history: None, password: None });
    assert!(hall.seen(bob).concat().ends_with("too-many"));
    // Another connection of the same person changes nothing; time does.
    let again = hall.come();
    hall.ask(again, enter("bob", "bob"));
    hall.seen(again);
    hall.ask(again, knock("7"));
    hall.check(again, &["no c-2: too-many"]);
    hall.wait(Duration::from_secs(10));
    hall.ask(again, knock("8"));
    hall.ask(again, knock("9"));
    hall.check(again, &["no c-3: password", "no c-4: too-many"]);
    assert_eq!(hall.relay.password_statistics(), &PasswordStatistics { right: 0, wrong: 6, held_back: 4 });
    hall.wait(Duration::from_secs(10));
    hall.ask(again, knock("cheese"));
    hall.check(again, &["ok c-5", "#den head 0: ana,bob (2)"]);
}

// UC-RELAY-027
#[test]
fn who_is_right_is_never_held_back_and_an_address_is_as_a_whole() {
    let mut passwords = Passwords::default();
    let now = Instant::from_nanos(1_000_000_000);
    let home = IpAddr::from([10, 0, 0, 1]);
    for _ in 0..1_000 {
        passwords.charge(now, Identity(1), home).unwrap();
        passwords.give_back(Identity(1), home);
    }
    // Members cost nothing to make.
    let tried =
        (2..1_000).take_while(|&number| passwords.charge(now, Identity(number), home).is_ok()).count();
    assert_eq!(tried, 50);
    let at = passwords.charge(now, Identity(2_000), home).unwrap_err();
    assert_eq!(at.since(now), Duration::from_secs(1));
    passwords.charge(now, Identity(2_000), IpAddr::from([10, 0, 0, 2])).unwrap();
}

// UC-RELAY-027
#[test]
fn what_was_right_for_another_password_is_not_right() {
    let (mut hall, ana) = den(true);
    let bob = hall.enter("bob");
    hall.seen(bob);
    hall.stretching = Some(Vec::new());
    hall.ask(bob, knock("cheese"));
    hall.ask(ana, guard("ham"));
    assert_eq!(hall.stretch_all(), [2]);
    hall.check(bob, &["ok b-2", "#den head 0: ana,bob (2)"]);
    hall.ask(bob, Request::Part { room: "#den".to_owned(), reason: None });
    hall.seen(bob);
    // The other way round: her change comes first.
    hall.stretching = Some(Vec::new());
    hall.ask(ana, guard("eggs"));
    hall.ask(bob, knock("ham"));
    assert_eq!(hall.stretch_all(), [2, 1]);
    hall.check(bob, &["no b-4: password"]);
}

// UC-RELAY-027
#[test]
fn a_room_that_nobody_is_in_is_joined_with_its_password() {
    let (mut hall, _) = den(false);
    let bob = hall.enter("bob");
    hall.seen(bob);
    hall.ask(bob, knock("ham"));
    assert_eq!(hall.relay.room_count(), 0);
    hall.ask(bob, knock("cheese"));
    hall.check(bob, &["no b-2: password", "ok b-3", "#den head 0: bob (1)"]);
}

#[test]
fn a_new_password_of_whoever_has_gone_or_lost_the_right_is_not_set() {
    let (mut hall, ana) = den(true);
    let bob = hall.enter("bob");
    hall.stretching = Some(Vec::new());
    hall.ask(ana, guard("ham"));
    leave(&mut hall, ana);
    // He is asked for no more than that.
    hall.ask(bob, knock("cheese"));
    hall.seen(bob);
    hall.stretch_all();
    hall.check(bob, &["ok b-2", "#den head 0: bob (1)"]);
}

#[test]
fn nobody_is_let_in_when_a_password_cannot_be_tried() {
    let (mut hall, _) = den(true);
    let bob = hall.enter("bob");
    hall.seen(bob);
    hall.stretching = Some(Vec::new());
    hall.ask(bob, knock("cheese"));
    let (ticket, _) = hall.stretching.take().unwrap().remove(0);
    let outcome = StretchOutcome::Failed { why: "no memory".to_owned() };
    // What was never asked is dropped.
    let made_up = StretchOutcome::Checked { is_right: true };
    hall.relay.handle_command(hall.now, Command::Stretched { ticket: ticket + 1, outcome: made_up.clone() });
    hall.relay.handle_command(hall.now, Command::Stretched { ticket, outcome });
    hall.relay.handle_command(hall.now, Command::Stretched { ticket, outcome: made_up });
    hall.run();
    hall.check(bob, &["no b-2: storage"]);
    assert_eq!(hall.records.last().map(String::as_str), Some("! no memory"));
}

// UC-RELAY-021
#[test]
fn a_relay_that_closes_tries_no_more_passwords() {
    let (mut hall, _) = den(true);
    hall.stretching = Some(Vec::new());
    let guests: Vec<usize> =
        (0..=MOST_STRETCHES).map(|number| hall.enter(&format!("guest{number}"))).collect();
    for &guest in &guests {
        hall.seen(guest);
        hall.ask(guest, knock("cheese"));
    }
    hall.relay.handle_command(hall.now, Command::Shutdown { reason: "late".to_owned() });
    assert_eq!(hall.stretch_all(), [MOST_STRETCHES]);
    let last = hall.seen(guests[MOST_STRETCHES]);
    assert_eq!(last, ["no f-2: closing", "closing: late", "closed done: late"]);
    let first = hall.seen(guests[0]);
    assert!(
        first.iter().any(|line| line == "ok b-2") && first.ends_with(&["closed done: late".to_owned()]),
        "{first:?}"
    );
}
