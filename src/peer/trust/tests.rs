//! What is learned, what is accepted, and who is forgotten first.

use super::*;
use crate::secure::KeyPair;

fn key(number: u8) -> PublicKey {
    KeyPair::from_secret([number; 32]).public()
}

fn at(second: i64) -> WallTime {
    WallTime::from_unix_micros(second * 1_000_000)
}

fn known(number: u8, nick: Option<&str>, second: i64) -> KnownKey {
    let (nick, since) = (nick.map(str::to_owned), at(second));
    KnownKey { key: key(number), nick, since, address: None, is_chosen: false }
}

fn chosen(number: u8, nick: Option<&str>, second: i64) -> KnownKey {
    KnownKey { is_chosen: true, ..known(number, nick, second) }
}

// UC-KEY-008, UC-KEY-009
#[test]
fn the_first_key_is_trusted_and_another_one_only_when_it_is_accepted() {
    let mut trust = Trust::default();
    let bob = KnownBy::address("Bob.example:6000");
    assert_eq!(trust.expected(&bob), None);
    assert_eq!(trust.meet(at(1), &bob, key(1), None, None), Meeting::New { is_kept: true });
    assert_eq!(
        trust.meet(at(2), &KnownBy::address("bob.EXAMPLE:6000"), key(1), Some("bob"), None),
        Meeting::Known { since: at(1) }
    );
    let first = chosen(1, Some("bob"), 1);
    assert_eq!(trust.poll_change(), Some((bob.clone(), first.clone())));
    assert_eq!(trust.poll_change(), None);

    assert_eq!(trust.accept(at(3), &bob), None, "nothing was seen");
    assert_eq!(trust.meet(at(3), &bob, key(2), None, None), Meeting::Changed(first.clone()));
    assert_eq!((trust.expected(&bob), trust.poll_change()), (Some(key(1)), None));
    let accepted = Accepted { before: Some(first), key: key(2) };
    assert_eq!(trust.accept(at(4), &bob), Some(accepted));
    assert_eq!(trust.expected(&bob), Some(key(2)));
    assert_eq!(trust.poll_change(), Some((bob.clone(), chosen(2, Some("bob"), 4))));
    assert_eq!(trust.accept(at(5), &bob), None, "once");
}

// UC-KEY-009
#[test]
fn only_what_the_user_looked_at_is_accepted() {
    let mut trust = Trust::default();
    let bob = KnownBy::member(key(9), "bob");
    for number in [1, 2, 3] {
        trust.meet(at(1), &bob, key(number), None, None);
    }
    assert_eq!(trust.accept(at(2), &bob), None, "the user was told of another one first");
    assert_eq!(trust.show_seen(&bob), Some(key(3)));
    assert_eq!(trust.accept(at(2), &bob).map(|accepted| accepted.key), Some(key(3)));
    assert_eq!(trust.show_seen(&bob), None);
}

#[test]
fn a_name_at_one_relay_is_not_that_name_at_another() {
    let mut trust = Trust::default();
    let names = [(8, "Ana"), (9, "ana")].map(|(relay, name)| KnownBy::member(key(relay), name));
    assert_eq!(trust.meet(at(1), &names[0], key(1), None, None), Meeting::New { is_kept: true });
    assert_eq!(trust.meet(at(1), &names[1], key(2), None, None), Meeting::New { is_kept: true });
    assert_eq!(trust.expected(&KnownBy::member(key(8), "ANA")), Some(key(1)));
    assert_eq!(trust.expected(&names[1]), Some(key(2)));
}

#[test]
fn a_caller_is_known_by_its_key_and_a_name_under_another_key_is_a_warning() {
    let mut trust = Trust::default();
    assert_eq!(trust.call(at(1), "bob", key(1), None), Call::New { is_kept: true });
    assert_eq!(trust.call(at(2), "bob", key(1), None), Call::Known(known(1, Some("bob"), 1)));
    assert_eq!(trust.call(at(3), "robert", key(1), None), Call::Known(known(1, Some("bob"), 1)));
    assert_eq!(trust.call(at(4), "BOB", key(2), None), Call::Other(known(1, Some("bob"), 1)));
    assert_eq!(trust.expected(&KnownBy::caller("bob")), Some(key(1)));
    trust.accept(at(5), &KnownBy::caller("bob")).unwrap();
    assert_eq!(trust.call(at(6), "bob", key(2), None), Call::Known(chosen(2, Some("bob"), 5)));
    // Whoever was met at a typed address is known when it calls.
    let cid = KnownBy::address("cid:1");
    trust.meet(at(7), &cid, key(3), Some("cid"), None);
    assert_eq!(trust.call(at(8), "cid", key(3), None), Call::Known(chosen(3, Some("cid"), 7)));
    assert_eq!(trust.call(at(9), "cid", key(4), None), Call::Other(chosen(3, Some("cid"), 7)));
    trust.accept(at(10), &KnownBy::caller("cid")).unwrap();
    assert_eq!(trust.call(at(11), "cid", key(4), None), Call::Known(chosen(4, Some("cid"), 10)));
    assert_eq!(trust.expected(&cid), Some(key(3)), "where it lives is another matter");
}

#[test]
fn a_name_is_another_keys_whatever_else_the_caller_was_called() {
    let mut trust = Trust::default();
    assert_eq!(trust.call(at(1), "bob", key(1), None), Call::New { is_kept: true });
    assert_eq!(trust.call(at(2), "eva", key(2), None), Call::New { is_kept: true });
    for second in [3, 4] {
        assert_eq!(trust.call(at(second), "Bob", key(2), None), Call::Other(known(1, Some("bob"), 1)));
    }
    assert_eq!(trust.call(at(5), "bob", key(1), None), Call::Known(known(1, Some("bob"), 1)));
    assert_eq!(trust.call(at(6), "eva", key(2), None), Call::Known(known(2, Some("eva"), 2)));
}

// UC-KEY-009
#[test]
fn who_is_met_under_anothers_name_does_not_get_it() {
    let mut trust = Trust::default();
    trust.call(at(1), "bob", key(1), None);
    let place = KnownBy::address("mallory:1");
    // At the first meeting, and at a later one.
    trust.meet(at(2), &place, key(2), Some("Bob"), None);
    assert_eq!(trust.known(&place), Some(&chosen(2, None, 2)));
    trust.meet(at(3), &place, key(2), Some("bob"), Some("192.0.2.1:6000"));
    let met = KnownKey { address: Some("192.0.2.1:6000".to_owned()), ..chosen(2, None, 2) };
    assert_eq!(trust.known(&place), Some(&met));
    assert_eq!(trust.call(at(4), "bob", key(2), None), Call::Other(known(1, Some("bob"), 1)));
    // A name that is nobody else's it gets, and the one that it had it keeps.
    trust.meet(at(5), &place, key(2), Some("mallory"), None);
    trust.meet(at(6), &place, key(2), Some("bob"), None);
    assert_eq!(trust.known(&place).and_then(|known| known.nick.as_deref()), Some("mallory"));
}

// UC-KEY-009
#[test]
fn what_the_user_accepts_counts_although_a_clock_was_ahead() {
    let mut trust = Trust::default();
    let bob = KnownBy::address("bob:1");
    trust.meet(at(100), &bob, key(1), None, None);
    trust.pin(at(5), &bob, key(2));
    let pinned = trust.known(&bob).unwrap().clone();
    assert_eq!((pinned.key, pinned.since), (key(2), WallTime::from_unix_micros(100_000_001)));
    // Another program of the same user still has the old one, and takes the new one; this one does not go back.
    assert_eq!(trust.take(&bob, chosen(1, None, 100)), None);
    assert_eq!(trust.expected(&bob), Some(key(2)));
    let mut other = Trust::new([(bob.clone(), chosen(1, None, 100))]);
    assert_eq!(other.take(&bob, pinned), Some(chosen(1, None, 100)));
}

// UC-KEY-012
#[test]
fn strangers_push_nobody_out_but_strangers() {
    let mut trust = Trust::default();
    let home = KnownBy::address("home:1");
    trust.meet(at(0), &home, key(1), None, None);
    // Known longest, and written to.
    trust.call(at(0), "ana", key(2), None);
    trust.choose_key(key(2));
    trust.call(at(0), "bob", key(3), None);
    for number in 0..MAX_CALLERS {
        assert_eq!(
            trust.call(at(1), &format!("x{number:05}"), numbered(number), None),
            Call::New { is_kept: true }
        );
    }
    assert_eq!(trust.known(&KnownBy::caller("ana")), Some(&chosen(2, Some("ana"), 0)));
    assert_eq!(trust.known(&KnownBy::caller("bob")), None, "nobody ever wrote to that one");
    assert_eq!(trust.known(&KnownBy::caller("x00000")), None);
    assert_eq!(trust.expected(&home), Some(key(1)));
    // Where all were written to, a stranger is not kept, and that is told.
    (0..MAX_CALLERS).for_each(|number| trust.choose_key(numbered(number)));
    for _ in 0..2 {
        assert_eq!(trust.call(at(2), "late", key(4), None), Call::New { is_kept: false });
    }
    // The user's own word counts.
    trust.pin(at(3), &KnownBy::caller("late"), key(4));
    assert_eq!(trust.expected(&KnownBy::caller("late")), Some(key(4)));
    assert_eq!(trust.entries().count(), 1 + MAX_CALLERS);
}

// UC-KEY-012
#[test]
fn a_relay_fills_no_more_than_its_share() {
    let member = |relay: u8, number: usize| KnownBy::member(key(relay), &format!("x{number:05}"));
    let mut trust = Trust::default();
    trust.meet(at(0), &member(8, 0), key(1), None, None);
    trust.meet(at(0), &member(9, 0), key(1), None, None);
    trust.choose(&member(9, 0));
    for number in 1..=2 * MAX_OF_RELAY {
        let meeting = trust.meet(at(1), &member(9, number), numbered(number), None, None);
        assert_eq!(meeting, Meeting::New { is_kept: true });
    }
    let of = |trust: &Trust, relay: u8| {
        let is_of = |by: &KnownBy| matches!(by, KnownBy::Member { relay: of, .. } if *of == key(relay));
        trust.entries().filter(|(by, _)| is_of(by)).count()
    };
    assert_eq!((of(&trust, 8), of(&trust, 9)), (1, MAX_OF_RELAY));
    assert_eq!(trust.expected(&member(9, 0)), Some(key(1)), "the user wrote to that one");
    assert_eq!(trust.expected(&member(9, 1)), None, "only letters came from that one");
    // Several relays fill the table; the next one takes from those that have the most.
    let relays = MAX_MEMBERS / MAX_OF_RELAY;
    for relay in 10..10 + relays {
        for number in 0..MAX_OF_RELAY {
            trust.meet(at(2), &member(relay as u8, number), numbered(number), None, None);
        }
    }
    assert_eq!(trust.entries().count(), MAX_MEMBERS);
    assert_eq!((of(&trust, 8), trust.expected(&member(9, 0))), (1, Some(key(1))));
    assert!(of(&trust, 10).abs_diff(of(&trust, 9 + relays as u8)) <= 1, "they share");
}

// UC-KEY-012
#[test]
fn what_is_seen_of_callers_gives_way_before_what_is_seen_at_addresses() {
    let mut trust = Trust::default();
    let home = KnownBy::address("home:1");
    trust.meet(at(0), &home, key(1), None, None);
    trust.note_wrong(&home, key(2));
    for number in 0..=MAX_SEEN {
        let name = format!("x{number:05}");
        trust.call(at(1), &name, numbered(number), None);
        assert!(matches!(trust.call(at(2), &name, key(3), None), Call::Other(_)));
    }
    assert_eq!(trust.seen(&home).map(SeenKey::latest), Some(key(2)));
    assert_eq!(trust.seen(&KnownBy::caller("x00000")), None, "the oldest");
    assert!(trust.seen(&KnownBy::caller(&format!("x{MAX_SEEN:05}"))).is_some());
}

fn numbered(number: usize) -> PublicKey {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    PublicKey::from_bytes(bytes)
}
