//! Sealed endpoints under attack: whatever is done to their datagrams, counters move and nothing else.

use super::*;

const KEYS: [u8; 2] = [1, 2];

pub(super) fn key(secret: u8) -> PublicKey {
    KeyPair::from_secret([secret; 32]).public()
}

pub(super) fn counted(endpoint: &Endpoint, disposition: Disposition) -> u64 {
    endpoint.statistics().count_of(disposition)
}

/// Every datagram of a conversation of one message each way, in order: who sent it, and its bytes.
fn conversation(pair: &mut Pair) -> Vec<(usize, Vec<u8>)> {
    let handle = pair.connect();
    pair.ends[0].submit(handle, 0, b"secret words".to_vec(), SendOptions::default()).unwrap();
    let mut buffer = Vec::new();
    let mut datagrams = Vec::new();
    for _ in 0..12 {
        for end in [0, 1] {
            while let Some(transmit) = pair.ends[end].poll_transmit(pair.now, &mut buffer) {
                let mut datagram = buffer[..transmit.length].to_vec();
                datagrams.push((end, datagram.clone()));
                pair.ends[1 - end].handle_datagram(pair.now, Path::to(address(end)), &mut datagram);
            }
            while let Some(event) = pair.ends[end].poll_event() {
                pair.note(end, event);
            }
        }
        pair.now = pair.now.after(Duration::from_millis(10));
        pair.ends[0].handle_timeout(pair.now);
        pair.ends[1].handle_timeout(pair.now);
    }
    datagrams
}

// UC-SEAL-001, UC-SEAL-003, UC-SEAL-004, UC-SEAL-005, UC-SEAL-006
#[test]
fn both_know_each_other_and_nobody_else_reads_a_word() {
    let mut pair = Pair::new(|_, _| false);
    let datagrams = conversation(&mut pair);
    pair.expect(&["a Connected", "b accepted", "b Connected", "b got 0/1 secret words", "a 0/1 Arrived"]);
    for (end, other) in [(0, KEYS[1]), (1, KEYS[0])] {
        let (handle, _) = pair.ends[end].connections().next().unwrap();
        assert_eq!(pair.ends[end].remote_key(handle), Some(key(other)));
    }
    for (_, datagram) in &datagrams {
        assert!(!datagram.windows(6).any(|window| window == b"secret"), "{}", datagram.escape_ascii());
    }
    let heads: Vec<String> = datagrams
        .iter()
        .map(|(end, datagram)| {
            let head = datagram.split(|&byte| byte == b'\n').next().unwrap();
            format!("{} {}", NAMES[*end], String::from_utf8_lossy(head))
        })
        .collect();
    assert!(heads[2].ends_with(r#","n":1,"finish":64}"#), "{heads:?}");
    assert!(heads[3..].iter().all(|head| !head.contains("finish") || head.starts_with('a')), "{heads:?}");
}

// UC-SEAL-005
#[test]
fn the_last_handshake_message_in_front_of_what_does_not_open_begins_nothing() {
    let mut pair = Pair::new(|_, _| false);
    pair.connect();
    let pass = |pair: &mut Pair, end: usize, last_bit: u8| {
        let mut buffer = Vec::new();
        let transmit = pair.ends[end].poll_transmit(pair.now, &mut buffer).unwrap();
        buffer.truncate(transmit.length);
        for mask in [last_bit, 0] {
            let mut datagram = buffer.clone();
            *datagram.last_mut().unwrap() ^= mask;
            pair.ends[1 - end].handle_datagram(pair.now, Path::to(address(end)), &mut datagram);
            if mask != 0 {
                assert_eq!(counted(&pair.ends[1], Disposition::BadSeal), 1);
                assert_eq!(pair.ends[1].connections().count(), 0);
                assert_eq!(pair.ends[1].poll_event(), None);
            }
        }
    };
    pass(&mut pair, 0, 0);
    pass(&mut pair, 1, 0);
    pass(&mut pair, 0, 1);
    assert_eq!(pair.ends[1].connections().count(), 1);
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let mut pair = Pair::new(|_, _| false);
    for (end, datagram) in conversation(&mut pair) {
        let (mut receiver, _) = (&mut pair.ends[1 - end], ());
        let before = (receiver.statistics().clone(), receiver.connections().count());
        for byte in 0..datagram.len() {
            let mut damaged = datagram.clone();
            damaged[byte] ^= 1 << (byte % 8);
            receiver.handle_datagram(pair.now, Path::to(address(end)), &mut damaged);
            receiver.handle_datagram(pair.now, Path::to(address(end)), &mut datagram[..byte].to_vec());
        }
        let after = receiver.statistics().clone();
        for welcomed in [Disposition::Packet, Disposition::Welcome] {
            assert_eq!(after.count_of(welcomed), before.0.count_of(welcomed), "{}", datagram.escape_ascii());
        }
        assert_eq!(receiver.connections().count(), before.1);
        while receiver.poll_event().is_some() {}
        receiver = &mut pair.ends[end];
        while receiver.poll_event().is_some() {}
    }
    assert!(counted(&pair.ends[1], Disposition::BadSeal) > 100);
    // What was damaged changed nothing: the conversation goes on.
    pair.log.clear();
    let (handle, _) = pair.ends[0].connections().next().unwrap();
    pair.ends[0].submit(handle, 0, b"still here".to_vec(), SendOptions::default()).unwrap();
    pair.run(1_000);
    pair.expect(&["b got 0/2 still here", "a 0/2 Arrived"]);
}

// UC-SEAL-010
#[test]
fn what_is_played_back_at_once_later_or_after_the_close_changes_nothing() {
    let mut pair = Pair::new(|_, _| false);
    let datagrams = conversation(&mut pair);
    let play_back = |pair: &mut Pair| {
        for (end, datagram) in &datagrams {
            for to in [0, 1] {
                // To its receiver, and back to its sender.
                let path = Path::to(address(*end));
                pair.ends[to].handle_datagram(pair.now, path, &mut datagram.clone());
            }
        }
        pair.run((pair.now.instant.as_nanos() / 1_000_000) + 200);
    };
    pair.log.clear();
    play_back(&mut pair);
    pair.run(60_000);
    play_back(&mut pair);
    pair.expect(&[]);
    let (handle, _) = pair.ends[0].connections().next().unwrap();
    pair.ends[0].close(pair.now, handle, "done", "");
    pair.run(61_000);
    pair.log.clear();
    play_back(&mut pair);
    pair.run(90_000);
    play_back(&mut pair);
    pair.expect(&[]);
    assert_eq!(pair.ends.each_ref().map(|end| end.connections().count()), [0, 0]);
}

// UC-SEAL-013
#[test]
fn somebody_with_another_key_gets_no_word_and_does_not_end_the_attempt() {
    let mut pair = Pair::new(|_, _| false);
    let wanted = Endpoint::new(sealed(2), 5);
    pair.ends[1] = Endpoint::new(sealed(3), 4);
    let handle = pair.ends[0].connect(pair.now, &[Path::to(address(1))], Some(key(2))).unwrap();
    pair.ends[0].submit(handle, 0, b"for two".to_vec(), SendOptions::default()).unwrap();
    pair.run(100);
    pair.expect(&["a wrong key"]);
    assert_eq!(counted(&pair.ends[0], Disposition::WrongKey), 2);
    pair.ends[1] = wanted;
    pair.run(1_000);
    pair.expect(&["a Connected", "b accepted", "b Connected", "b got 0/1 for two", "a 0/1 Arrived"]);
}

// UC-SEAL-013
#[test]
fn a_handshake_that_is_thrown_back_at_its_sender_has_no_other_side() {
    let mut pair = Pair::new(|_, _| false);
    pair.connect();
    let end = &mut pair.ends[0];
    let mut buffer = Vec::new();
    for _ in 0..20 {
        while let Some(transmit) = end.poll_transmit(pair.now, &mut buffer) {
            let mut datagram = buffer[..transmit.length].to_vec();
            end.handle_datagram(pair.now, Path::to(address(1)), &mut datagram);
        }
        assert_eq!(end.poll_event(), None);
        pair.now = pair.now.after(Duration::from_millis(60));
        end.handle_timeout(pair.now);
    }
    assert!(counted(end, Disposition::Reflected) > 1);
    assert_eq!(end.half_open_count(), 0);
}

#[test]
fn nobody_but_somebody_else_answers() {
    let mut pair = Pair::new(|_, _| false);
    let handle = pair.ends[0].connect(pair.now, &[Path::to(address(1))], Some(key(9))).unwrap();
    pair.ends[0].submit(handle, 0, b"for nine".to_vec(), SendOptions::default()).unwrap();
    pair.run(60_000);
    let end = format!("a Closed(WrongKey {{ seen: PublicKey({}) }})", key(2));
    pair.expect(&["a wrong key", "a 0/1 NotSent", &end]);
}

// UC-SEAL-014
#[test]
fn clear_and_sealed_refuse_each_other_in_words() {
    for (clear, hint) in [
        (
            0,
            "it speaks sealed, and this program was started with --clear: start this one without --clear, or both with it",
        ),
        (1, "it speaks in the clear, and this program sealed: start the other one without --clear"),
    ] {
        let mut pair = Pair::new(|_, _| false);
        pair.ends[clear] = Endpoint::new(EndpointConfig::default(), 9);
        pair.connect();
        pair.run(60_000);
        assert!(pair.log[0] == format!("a Closed(NoAnswer {{ hint: Some(\"{hint}\") }})"), "{:?}", pair.log);
        assert_eq!(pair.log.len(), 1);
    }
}

// UC-SEAL-014
#[test]
fn a_refusal_of_what_was_not_asked_blames_nobody_for_a_flag() {
    for is_sealed in [true, false] {
        let mut pair = if is_sealed { Pair::new(|_, _| true) } else { Pair::clear(|_, _| true) };
        let handle = pair.connect();
        pair.run(1);
        let to = pair.ends[0].connection(handle).map(|connection| connection.local_id());
        let accepts = Some(pair.ends[0].mode());
        let refuse = wire::Refuse { code: "mode".into(), speaks: vec![1], accepts };
        let mut datagram = Vec::new();
        wire::encode_handshake(&mut datagram, &Handshake::Refuse { to, refuse });
        pair.ends[0].handle_datagram(pair.now, Path::to(address(1)), &mut datagram);
        pair.run(60_000);
        assert!(pair.log[0].contains("somebody between the two may change"), "{:?}", pair.log);
    }
}

#[test]
fn a_clear_welcome_to_a_sealed_hello_is_no_answer() {
    let mut pair = Pair::new(|_, _| true);
    let handle = pair.connect();
    pair.run(1);
    let to = pair.ends[0].connection(handle).unwrap().local_id();
    let mut welcome = Vec::new();
    let answer = wire::Welcome { id: to, limits: wire::Limits::default(), alive: false };
    wire::encode_handshake(&mut welcome, &Handshake::Welcome { to, welcome: answer });
    pair.ends[0].handle_datagram(pair.now, Path::to(address(1)), &mut welcome);
    assert_eq!(counted(&pair.ends[0], Disposition::WrongForm), 1);
    pair.run(2);
    pair.expect(&[]);
}

// UC-SEAL-011, UC-SEAL-012
#[test]
fn under_load_an_address_brings_a_cookie_back() {
    let mut pair = Pair::new(|_, _| false);
    let mut config = sealed(2);
    config.handshakes.unproven = crate::bucket::Rate { burst: 1, per_second: 1 };
    config.handshakes.unproven.burst = 1;
    pair.ends[1] = Endpoint::new(config, 2);
    pair.connect();
    pair.run(15);
    let handle = pair.connect();
    pair.ends[0].submit(handle, 0, b"in".to_vec(), SendOptions::default()).unwrap();
    pair.run(2_000);
    assert_eq!(counted(&pair.ends[0], Disposition::RetryHeeded), 1);
    assert_eq!(counted(&pair.ends[1], Disposition::Retry), 1);
    assert!(pair.log.contains(&"b got 0/1 in".to_owned()), "{:?}", pair.log);
    assert_eq!(pair.ends[1].connections().count(), 2);
}

/// Has `a` hear so many answers to its hello that somebody made up: what became of them.
fn hear_forged(pair: &mut Pair, handle: Handle, count: u64, forged: Handshake<'_>) -> [u64; 3] {
    let mut datagram = Vec::new();
    wire::encode_handshake(&mut datagram, &forged);
    assert!(pair.ends[0].connection(handle).is_some());
    for _ in 0..count {
        pair.ends[0].handle_datagram(pair.now, Path::to(address(1)), &mut datagram.clone());
    }
    [Disposition::BadHandshake, Disposition::RetryHeeded, Disposition::TooManyAnswers]
        .map(|it| counted(&pair.ends[0], it))
}

// UC-SEAL-011
#[test]
fn forged_welcomes_are_computed_at_a_pace_and_the_right_one_still_counts() {
    let mut pair = Pair::new(|_, _| false);
    let handle = pair.connect();
    pair.run(1);
    let to = pair.ends[0].connection(handle).unwrap().local_id();
    let garbage = vec![9; 300];
    let forged = || Handshake::SealedWelcome { to, message: &garbage };
    assert_eq!(hear_forged(&mut pair, handle, 1_000, forged()), [32, 0, 968]);
    pair.now = pair.now.after(Duration::from_millis(5));
    assert_eq!(hear_forged(&mut pair, handle, 1_000, forged()), [33, 0, 1_967]);
    pair.run(1_000);
    pair.expect(&["a Connected", "b accepted", "b Connected"]);
}

// UC-SEAL-012
#[test]
fn forged_requests_for_a_cookie_do_not_disable_it() {
    let mut pair = Pair::new(|_, _| false);
    let mut config = sealed(2);
    config.handshakes.unproven = crate::bucket::Rate { burst: 1, per_second: 1 };
    pair.ends[1] = Endpoint::new(config, 2);
    pair.connect();
    pair.run(15);
    let handle = pair.connect();
    let to = pair.ends[0].connection(handle).unwrap().local_id();
    let forged = || Handshake::Retry { to, cookie: "made up".into() };
    assert_eq!(hear_forged(&mut pair, handle, 20, forged()), [0, 8, 12]);
    pair.now = pair.now.after(Duration::from_millis(250));
    assert_eq!(hear_forged(&mut pair, handle, 20, forged()), [0, 9, 31]);
    pair.run(3_000);
    assert!(pair.ends[0].connection(handle).unwrap().is_open(), "{:?}", pair.log);
}

#[test]
fn a_flood_from_addresses_that_nobody_has_leaves_members_alone() {
    let mut pair = Pair::new(|_, _| false);
    let handle = pair.connect();
    pair.run(100);
    pair.log.clear();
    let mut stranger = Endpoint::new(EndpointConfig { max_connections: 20_000, ..sealed(7) }, 7);
    let path = Path::to(address(1));
    let mut buffer = Vec::new();
    for number in 0..10_000_u32 {
        stranger.connect(pair.now, &[path], None).unwrap();
        let transmit = stranger.poll_transmit(pair.now, &mut buffer).unwrap();
        let from = SocketAddr::from((number.to_be_bytes(), 6_000));
        pair.ends[1].handle_datagram(pair.now, Path::to(from), &mut buffer[..transmit.length]);
        let mut out = Vec::new();
        while let Some(transmit) = pair.ends[1].poll_transmit(pair.now, &mut out) {
            assert!(transmit.length < 3 * wire::HELLO_BYTES);
        }
    }
    let limits = HandshakeLimits::default();
    let victim = &pair.ends[1];
    let answered = u64::from(limits.unproven.burst + limits.retries.burst);
    assert_eq!(counted(victim, Disposition::Overload), 10_000 - answered);
    assert_eq!(counted(victim, Disposition::Hello), 1 + u64::from(limits.unproven.burst));
    assert_eq!(counted(victim, Disposition::Retry), u64::from(limits.retries.burst));
    assert!(victim.half_open_count() <= victim.config.max_half_open);
    pair.ends[0].submit(handle, 0, b"hello?".to_vec(), SendOptions::default()).unwrap();
    pair.run(500);
    pair.expect(&["b got 0/1 hello?", "a 0/1 Arrived"]);
}

#[test]
fn one_that_fills_the_memory_is_closed_and_the_others_go_on() {
    let mut pair = Pair::new(|_, _| false);
    let mut config = sealed(2);
    config.held_bytes = 1_000_000;
    pair.ends[1] = Endpoint::new(config, 2);
    let greedy = pair.connect();
    let modest = pair.connect();
    pair.run(100);
    pair.log.clear();
    // Messages that are never complete: their ends are not sent.
    for stream in 0..4 {
        pair.ends[0].submit(greedy, stream, vec![0; 600_000], SendOptions::default()).unwrap();
    }
    pair.run(3_000);
    pair.ends[0].submit(modest, 0, b"still fine".to_vec(), SendOptions::default()).unwrap();
    pair.run(6_000);
    assert!(pair.log.contains(&"b got 0/1 still fine".to_owned()), "{:?}", pair.log);
    assert!(pair.log.iter().any(|line| line.contains("no memory is left")), "{:?}", pair.log);
}

// UC-SEAL-007, UC-SEAL-008, UC-SEAL-009
#[test]
fn keys_change_in_the_middle_of_traffic_without_a_gap() {
    let mut pair = Pair::new(|_, ordinal| ordinal % 5 == 0);
    let handle = pair.connect();
    pair.run(500);
    for minute in 1..=25_u64 {
        for number in 0..20 {
            let words = format!("{minute}.{number}").into_bytes();
            pair.ends[0].submit(handle, 0, words, SendOptions::default()).unwrap();
        }
        pair.run(minute * 60_000);
    }
    let got = pair.log.iter().filter(|line| line.starts_with("b got")).count();
    assert_eq!(got, 25 * 20);
    assert_eq!(pair.ends[0].connection(handle).unwrap().epochs(), Some((2, 2)));
    assert_eq!(counted(&pair.ends[1], Disposition::OldKey) + counted(&pair.ends[1], Disposition::BadSeal), 0);
}

/// The first hello of an endpoint that gets these stirs between its making and its call.
fn hello_after(stirs: &[[u8; 32]]) -> Vec<u8> {
    let mut end = Endpoint::new(sealed(1), 1);
    let now = Pair::new(|_, _| false).now;
    stirs.iter().for_each(|fresh| end.stir(now, fresh));
    end.connect(now, &[Path::to(address(1))], None).unwrap();
    let mut hello = Vec::new();
    end.poll_transmit(now, &mut hello).unwrap();
    hello
}

// UC-SEAL-015
#[test]
fn the_keys_to_come_depend_on_all_that_was_stirred_in() {
    let stirs: [&[[u8; 32]]; 4] = [&[], &[[1; 32]], &[[2; 32]], &[[1; 32], [2; 32]]];
    let hellos = stirs.map(hello_after);
    for (at, hello) in hellos.iter().enumerate() {
        assert_eq!(*hello, hello_after(stirs[at]));
        assert!(!hellos[..at].contains(hello));
    }
}

// UC-SEAL-015
#[test]
fn nothing_keeps_what_handshakes_were_made_from() {
    let mut pair = Pair::new(|end, _| end == 1);
    assert!(matches!(pair.ends[0].config.protection, Protection::Clear), "the endpoint's own seed is taken");
    let mut config = sealed(3);
    assert!(matches!(config.hand_over().protection, Protection::Sealed { .. }));
    assert!(matches!(config.protection, Protection::Clear), "and nothing of it stays");
    // Nobody finishes: the answer never arrives.
    pair.connect();
    pair.run(100);
    assert_eq!(pair.ends[1].half_open_count(), 1);
    pair.run(20_000);
    assert!(pair.ends[0].connections.iter().all(|(_, entry)| entry.dial.is_none()));
    assert_eq!(pair.ends[1].half_open_count(), 1, "there was nothing to wake it");
    pair.ends[1].stir(pair.now, &[0; 32]);
    assert_eq!(pair.ends[1].half_open_count(), 0);
}

// UC-PATH-003
#[test]
fn what_nobody_must_foresee_does_not_follow_from_what_ids_follow_from() {
    let now = Pair::new(|_, _| false).now;
    let drawn = |secret: u8, stirs: &[[u8; 32]]| {
        let mut end = Endpoint::new(sealed(secret), 7);
        stirs.iter().for_each(|fresh| end.stir(now, fresh));
        end.secrets().bytes::<32>()
    };
    assert_eq!(drawn(1, &[]), drawn(1, &[]));
    let all = [drawn(1, &[]), drawn(2, &[]), drawn(1, &[[1; 32]]), drawn(1, &[[2; 32]])];
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
}
