//! Strangers in numbers: what one neighbourhood and one key may take, and what others find then.

use super::sealed::{counted, key};
use super::*;
use crate::bucket::Rate;

/// As many hellos as one likes, so that only the table's own bounds are met.
fn patient(secret: u8, max_half_open: usize) -> EndpointConfig {
    let plenty = Rate { burst: 100_000, per_second: 100_000 };
    let handshakes = HandshakeLimits { unproven: plenty, retries: plenty, source: plenty, total: plenty };
    EndpointConfig { handshakes, max_half_open, max_connections: 20_000, ..sealed(secret) }
}

/// Where the number's hello comes from.
fn from(network: &str, number: u16) -> Path {
    Path::to(match network {
        "one host" => SocketAddr::from(([10, 0, 0, 9], 1_000 + number)),
        "one /64" => SocketAddr::from((std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 9, 0, 0, 0, number), 6_000)),
        "this machine" => SocketAddr::from(([127, 0, 0, 1], 1_000 + number)),
        _ => SocketAddr::from(([10, 1, number.to_be_bytes()[0], number.to_be_bytes()[1]], 6_000)),
    })
}

/// `count` hellos of one caller to `end`, which answers for nothing.
fn call(end: &mut Endpoint, now: Now, caller: &mut Endpoint, network: &str, count: u16) {
    for number in 0..count {
        caller.connect(now, &[Path::to(address(1))], None).unwrap();
        let mut hello = Vec::new();
        caller.poll_transmit(now, &mut hello).unwrap();
        end.handle_datagram(now, from(network, number), &mut hello);
        while end.poll_transmit(now, &mut Vec::new()).is_some() {}
    }
}

// UC-HS-005
#[test]
fn one_neighbourhood_takes_its_share_of_the_places_and_no_more() {
    let now = Pair::new(|_, _| false).now;
    let cases = [("one host", 16, 84), ("one /64", 16, 84), ("this machine", 64, 0), ("many", 64, 0)];
    for (network, places, crowds) in cases {
        let mut end = Endpoint::new(patient(2, 64), 2);
        let mut caller = Endpoint::new(patient(1, 64), 1);
        call(&mut end, now, &mut caller, network, 100);
        assert_eq!(end.half_open_count(), places, "{network}");
        assert_eq!(counted(&end, Disposition::Crowd), crowds, "{network}");
        assert_eq!(counted(&end, Disposition::Hello), 100 - crowds, "{network}");
    }
}

// UC-HS-005
#[test]
fn whoever_was_there_before_a_flood_from_one_address_still_gets_in() {
    let mut pair = Pair::new(|_, _| false);
    pair.ends[1] = Endpoint::new(patient(2, 64), 2);
    pair.connect();
    // The hello arrives, and its answer is on the way back, while somebody else takes what there is.
    pair.run(15);
    assert_eq!(pair.ends[1].half_open_count(), 1);
    let mut caller = Endpoint::new(patient(3, 64), 3);
    call(&mut pair.ends[1], pair.now, &mut caller, "one host", 1_000);
    assert_eq!(pair.ends[1].half_open_count(), 1 + 16);
    pair.run(1_000);
    pair.expect(&["a Connected", "b accepted", "b Connected"]);
    assert_eq!(pair.ends[1].half_open_count(), 16, "a connection takes no place");
}

// UC-HS-005
#[test]
fn a_connection_takes_no_place_and_late_copies_of_its_hello_are_known() {
    for is_sealed in [true, false] {
        let mut pair = if is_sealed { Pair::new(|_, _| false) } else { Pair::clear(|_, _| false) };
        pair.connect();
        let mut hello = Vec::new();
        let transmit = pair.ends[0].poll_transmit(pair.now, &mut hello).unwrap();
        pair.wire.insert((pair.now.instant + DELAY, 0), (0, 1, hello[..transmit.length].to_vec()));
        pair.run(500);
        pair.expect(&["a Connected", "b accepted", "b Connected"]);
        assert_eq!(pair.ends[1].half_open_count(), 0);
        let copy = |pair: &mut Pair| {
            pair.ends[1].handle_datagram(pair.now, Path::to(address(0)), &mut hello.clone());
            [Disposition::Hello, Disposition::StaleHandshake].map(|it| counted(&pair.ends[1], it))
        };
        assert_eq!(copy(&mut pair), [1, 1], "it is known");
        assert_eq!(pair.ends[1].half_open_count(), 0);
        pair.run(16_000);
        pair.ends[1].handle_timeout(pair.now);
        assert_eq!(copy(&mut pair), [2, 1], "and forgotten when no honest copy is under way");
        assert_eq!(pair.ends[1].half_open_count(), 1);
    }
}

// UC-SEAL-011
#[test]
fn one_key_begins_its_share_of_the_connections_and_no_more() {
    let mut pair = Pair::new(|_, _| false);
    pair.ends[1] = Endpoint::new(EndpointConfig { max_connections: 64, ..patient(2, 1_024) }, 2);
    for _ in 0..20 {
        pair.connect();
    }
    pair.run(1_000);
    let accepted = pair.log.iter().filter(|line| *line == "b accepted").count();
    assert_eq!((accepted, pair.ends[1].connections().count()), (16, 16));
    assert!(counted(&pair.ends[1], Disposition::KeyCrowd) == 4);
    assert_eq!(pair.ends[1].half_open_count(), 0);
    // Another key finds room, and the same one again as soon as one of its connections is over.
    let mut other = Endpoint::new(sealed(3), 3);
    std::mem::swap(&mut pair.ends[0], &mut other);
    pair.connect();
    pair.run(2_000);
    assert_eq!(pair.ends[1].granted_to.get(&key(3)), Some(&1));
    std::mem::swap(&mut pair.ends[0], &mut other);
    // Those that were dropped hear nothing and call again by themselves: one of them takes the place that gets free.
    let granted = |pair: &Pair| pair.ends[1].granted_to.get(&key(1)).copied();
    assert_eq!(granted(&pair), Some(16));
    let (first, _) = pair.ends[1].connections().next().unwrap();
    pair.ends[1].give_up(pair.now, first, "done", "");
    pair.log.clear();
    pair.run(20_000);
    assert_eq!(pair.log.iter().filter(|line| *line == "b accepted").count(), 1);
    assert_eq!(granted(&pair), Some(16));
}

// UC-SEAL-013
#[test]
fn a_hello_that_comes_back_is_known_however_many_others_came_since() {
    let mut pair = Pair::new(|_, _| false);
    pair.ends[0] = Endpoint::new(patient(1, 2), 1);
    pair.connect();
    let end = &mut pair.ends[0];
    let mut hello = Vec::new();
    end.poll_transmit(pair.now, &mut hello).unwrap();
    let mut caller = Endpoint::new(patient(3, 64), 3);
    for _ in 0..3 {
        end.handle_datagram(pair.now, Path::to(address(1)), &mut hello.clone());
        assert_eq!(
            end.poll_transmit(pair.now, &mut Vec::new()),
            None,
            "nothing is granted that could come back"
        );
        call(end, pair.now, &mut caller, "many", 50);
    }
    assert_eq!(counted(end, Disposition::Reflected), 3);
    assert_eq!(end.poll_event(), None);
}
