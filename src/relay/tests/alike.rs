//! Names that look like others.

use super::*;

/// What a visitor is told, with the reasons.
fn reasons(hall: &mut Hall, visitor: usize) -> Vec<String> {
    std::mem::take(&mut hall.visitors[visitor].reasons)
}

// UC-RELAY-028
#[test]
fn a_name_that_looks_like_another_ones_is_refused_in_words() {
    let mut hall = Hall::new();
    let ana = hall.enter("alice");
    let eve = hall.come();
    hall.ask(eve, enter("aIice", "eve"));
    hall.check(eve, &["no b-1: name-taken (aIice-2)"]);
    let words = "aIice looks like alice, which is somebody else's name here; aIice-2 is free";
    assert_eq!(reasons(&mut hall, eve), [words]);
    hall.ask(eve, enter("аlice", "eve"));
    hall.check(eve, &["no b-2: name-taken (alice-2)"]);
    hall.ask(eve, enter("alicя", "eve"));
    hall.check(eve, &["no b-3: bad-name"]);
    hall.ask(eve, enter("alice-2", "eve"));
    hall.check(eve, &["ok b-4", "in as alice-2"]);
    // She is known, though she has gone; and whoever is in already is not let go by it.
    let handle = hall.visitors[ana].handle;
    hall.visitors[ana].endpoint.close(hall.now, handle, "done", "");
    hall.run();
    hall.ask(eve, Request::Rename { nick: "a1ice".to_owned() });
    hall.check(eve, &["no b-5: name-taken (a1ice-2)"]);
    hall.ask(eve, Request::Rename { nick: "aIice-2".to_owned() });
    hall.check(eve, &["ok b-6", "alice-2 is aIice-2"]);
    // The very name is another matter: everybody is told that its bearer is a stranger (UC-RELAY-006).
    let back = hall.come();
    hall.ask(back, enter("ALICE", "alice"));
    hall.check(back, &["ok c-1", "in as ALICE"]);
}

// UC-RELAY-006
#[test]
fn a_name_is_written_in_one_way() {
    let mut hall = Hall::new();
    let ana = hall.enter("jose\u{301}");
    hall.check(ana, &["ok a-1", "in as jos\u{e9}"]);
    let other = hall.come();
    hall.ask(other, enter("jos\u{e9}", "other"));
    hall.check(other, &["no b-1: name-taken (jos\u{e9}-2)"]);
    hall.ask(other, enter("JOSE\u{301}-2", "other"));
    hall.check(other, &["ok b-2", "in as JOS\u{c9}-2"]);
    hall.letter(other, "Jose\u{301}", "oi");
    assert!(hall.seen(ana)[0].contains("oi @1"));
}

// UC-RELAY-028
#[test]
fn a_room_that_looks_like_another_is_not_made_beside_it() {
    let mut hall = Hall::new();
    let ana = hall.join("ana", "#sala");
    hall.ask(ana, Request::Topic { room: "#sala".to_owned(), text: "math".to_owned() });
    let bob = hall.enter("bob");
    hall.seen(bob);
    reasons(&mut hall, bob);
    hall.ask(bob, join("#sаla"));
    hall.check(bob, &["no b-2: look-alike (#sala)"]);
    let words =
        "#sаla looks like #sala, which is there already; join that, or choose a name that differs more";
    assert_eq!(reasons(&mut hall, bob), [words]);
    hall.ask(bob, join("#SALA"));
    hall.check(bob, &["ok b-3", "#sala head 0: ana,bob (2)"]);
    hall.ask(bob, join("#praçа"));
    hall.check(bob, &["no b-4: bad-name"]);
    // Of a hidden room no more is told than that there is one.
    let hide =
        Request::Guard { room: "#sala".to_owned(), password: None, invite_only: None, hidden: Some(true) };
    hall.ask(ana, hide);
    let cid = hall.enter("cid");
    hall.seen(cid);
    reasons(&mut hall, cid);
    hall.ask(cid, join("#sa1a"));
    hall.check(cid, &["no c-2: look-alike"]);
    let words = "#sa1a looks like another room, which is there already; join that, or choose a name that differs more";
    assert_eq!(reasons(&mut hall, cid), [words]);
    assert_eq!(hall.relay.room_count(), 1);
}
