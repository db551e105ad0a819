//! Two endpoints on a virtual link: each test is a script with the exact events that follow.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

mod crowds;
mod memory;
mod sealed;

use super::*;
use crate::secure::KeyPair;
use crate::time::WallTime;

/// Two endpoints, `a` and `b`, 10 ms apart, on a clock of their own.
struct Pair {
    now: Now,
    ends: [Endpoint; 2],
    /// Datagrams on their way, by arrival time and order of departure.
    wire: BTreeMap<(Instant, u64), (usize, usize, Vec<u8>)>,
    sent: u64,
    /// Whether the datagram of this ordinal from that end gets lost.
    drop: fn(usize, u64) -> bool,
    sent_by: [u64; 2],
    log: Vec<String>,
    delay: Duration,
    /// Bytes a second, behind a queue without end; None is no limit.
    rate: Option<u64>,
    free_at: [Instant; 2],
}

const DELAY: Duration = Duration::from_millis(10);
const NAMES: [&str; 2] = ["a", "b"];

fn address(end: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + end as u8], 6_000))
}

/// The configuration of a sealed endpoint, whose key follows from `seed`.
fn sealed(seed: u8) -> EndpointConfig {
    let keys = Arc::new(KeyPair::from_secret([seed; 32]));
    let protection = Protection::Sealed { keys, seed: [seed; 32].into() };
    EndpointConfig { protection, ..EndpointConfig::default() }
}

impl Pair {
    /// The same in the clear, for packets that are written by hand.
    fn clear(drop: fn(usize, u64) -> bool) -> Self {
        let ends = [1, 2].map(|seed| Endpoint::new(EndpointConfig::default(), seed));
        Self { ends, ..Self::new(drop) }
    }

    fn new(drop: fn(usize, u64) -> bool) -> Self {
        Self {
            now: Now { instant: Instant::from_nanos(1), wall: WallTime::default() },
            ends: [1, 2].map(|seed| Endpoint::new(sealed(seed), seed.into())),
            wire: BTreeMap::new(),
            sent: 0,
            drop,
            sent_by: [0; 2],
            log: Vec::new(),
            delay: DELAY,
            rate: None,
            free_at: [Instant::ZERO; 2],
        }
    }

    fn connect(&mut self) -> Handle {
        self.ends[0].connect(self.now, &[Path::to(address(1))], None).unwrap()
    }

    fn flush(&mut self) {
        let mut buffer = Vec::new();
        for end in 0..2 {
            while let Some(transmit) = self.ends[end].poll_transmit(self.now, &mut buffer) {
                let Some(to) = (0..2).find(|&other| address(other) == transmit.path.remote) else {
                    continue;
                };
                self.sent += 1;
                self.sent_by[end] += 1;
                if !(self.drop)(end, self.sent_by[end]) {
                    let datagram = buffer[..transmit.length].to_vec();
                    let leaves = self.leave(end, datagram.len());
                    self.wire.insert((leaves + self.delay, self.sent), (end, to, datagram));
                }
            }
            while let Some(event) = self.ends[end].poll_event() {
                self.note(end, event);
            }
        }
    }

    fn leave(&mut self, end: usize, bytes: usize) -> Instant {
        let takes = self
            .rate
            .map_or(Duration::ZERO, |rate| Duration::from_nanos(bytes as u64 * 1_000_000_000 / rate));
        self.free_at[end] = self.now.instant.max(self.free_at[end]) + takes;
        self.free_at[end]
    }

    fn note(&mut self, end: usize, event: Event) {
        let name = NAMES[end];
        match event {
            Event::Accepted { .. } => self.log.push(format!("{name} accepted")),
            Event::Replaced { .. } => self.log.push(format!("{name} replaced")),
            Event::WrongKey { .. } => self.log.push(format!("{name} wrong key")),
            Event::Connection { handle, event: arq::Event::Readable { stream } } => {
                while let Some(received) = self.ends[end].take(handle, stream) {
                    let text = if received.body.len() > 20 {
                        format!("{} bytes", received.body.len())
                    } else {
                        String::from_utf8_lossy(&received.body).into_owned()
                    };
                    self.log.push(format!("{name} got {stream}/{} {text}", received.seq));
                }
            }
            Event::Connection { event: arq::Event::Outcome { stream, seq, outcome }, .. } => {
                self.log.push(format!("{name} {stream}/{seq} {outcome:?}"));
            }
            Event::Connection { event, .. } => self.log.push(format!("{name} {event:?}")),
        }
    }

    /// Runs until nothing happens before `until_ms`.
    fn run(&mut self, until_ms: u64) {
        let until = Instant::from_nanos(until_ms * 1_000_000);
        for _ in 0..200_000 {
            self.flush();
            if !self.wire.is_empty() || self.ends.iter().any(|end| end.poll_timeout().is_some()) {
                let arrival = self.wire.keys().next().map(|&(at, _)| at);
                let timer = self.ends.iter().filter_map(|end| end.poll_timeout()).map(|(at, _)| at).min();
                let next = arrival.into_iter().chain(timer).min().unwrap();
                if next > until {
                    break;
                }
                self.now = self.now.after(next.since(self.now.instant));
            } else {
                break;
            }
            while let Some(entry) = self.wire.first_entry() {
                if entry.key().0 > self.now.instant {
                    break;
                }
                let (from, to, mut datagram) = entry.remove();
                self.ends[to].handle_datagram(self.now, Path::to(address(from)), &mut datagram);
            }
            self.ends[0].handle_timeout(self.now);
            self.ends[1].handle_timeout(self.now);
        }
        self.now = self.now.after(until.since(self.now.instant));
    }

    #[track_caller]
    fn expect(&mut self, expected: &[&str]) {
        assert_eq!(std::mem::take(&mut self.log), expected);
    }
}

#[test]
fn a_message_travels_and_its_sender_learns_it() {
    let mut pair = Pair::new(|_, _| false);
    let handle = pair.connect();
    pair.ends[0].submit(handle, 0, b"oi".to_vec(), SendOptions::default()).unwrap();
    pair.run(100);
    pair.expect(&["a Connected", "b accepted", "b Connected", "b got 0/1 oi", "a 0/1 Arrived"]);
}

// UC-ARQ-016

#[test]
fn one_datagram_in_three_is_lost_and_nothing_is_missing() {
    let mut pair = Pair::new(|_, ordinal| ordinal % 3 == 1);
    let handle = pair.connect();
    for number in 0..5 {
        pair.ends[0].submit(handle, 0, format!("m{number}").into_bytes(), SendOptions::default()).unwrap();
    }
    pair.ends[0].submit(handle, 1, vec![7; 100_000], SendOptions::default()).unwrap();
    pair.run(5_000);
    let mut log = std::mem::take(&mut pair.log);
    log.retain(|line| line.starts_with("b got"));
    assert_eq!(
        log,
        [
            "b got 0/1 m0",
            "b got 0/2 m1",
            "b got 0/3 m2",
            "b got 0/4 m3",
            "b got 0/5 m4",
            "b got 1/1 100000 bytes"
        ]
    );
    assert_eq!(pair.ends[0].connection(handle).unwrap().queued(), (0, 0));
}

// UC-CLOSE-001, UC-CLOSE-004

#[test]
fn a_graceful_close_flushes_first_and_both_sides_forget() {
    let mut pair = Pair::new(|_, _| false);
    let handle = pair.connect();
    pair.ends[0].submit(handle, 0, b"bye".to_vec(), SendOptions::default()).unwrap();
    pair.run(100);
    pair.log.clear();
    pair.ends[0].submit(handle, 0, b"last".to_vec(), SendOptions::default()).unwrap();
    let now = pair.now;
    pair.ends[0].close(now, handle, "done", "good night");
    pair.run(10_000);
    pair.expect(&[
        "b got 0/2 last",
        "a 0/2 Arrived",
        "b Closed(ByPeer { code: \"done\", reason: \"good night\" })",
        "a Closed(ByUs)",
    ]);
    assert_eq!(pair.ends.each_ref().map(|end| end.connections().count()), [0, 0]);
}

#[test]
fn nobody_answers() {
    let mut pair = Pair::new(|_, _| true);
    let handle = pair.connect();
    pair.ends[0].submit(handle, 0, b"oi".to_vec(), SendOptions::default()).unwrap();
    pair.run(60_000);
    pair.expect(&["a 0/1 NotSent", "a Closed(NoAnswer { hint: None })"]);
    assert_eq!(pair.ends[0].connections().count(), 0);
}

// UC-HS-014

#[test]
fn a_partner_that_was_started_anew_is_found_by_the_fresh_hello() {
    let mut pair = Pair::new(|_, _| false);
    let handle = pair.connect();
    pair.run(100);
    pair.log.clear();
    pair.ends[1] = Endpoint::new(EndpointConfig { ..sealed(2) }, 77);
    pair.ends[0].submit(handle, 0, b"lost".to_vec(), SendOptions::default()).unwrap();
    pair.run(5_000);
    pair.expect(&[
        "a Silent",
        "a replaced",
        "a 0/1 Unknown",
        "a Closed(Restarted)",
        "a Connected",
        "b accepted",
        "b Connected",
    ]);
}

// UC-ARQ-018

#[test]
fn an_idle_connection_is_kept_alive_by_the_side_that_wanted_it() {
    let mut pair = Pair::new(|_, _| false);
    pair.connect();
    pair.run(300_000);
    pair.expect(&["a Connected", "b accepted", "b Connected"]);
    assert!(pair.sent < 45, "{}", pair.sent);
}

// UC-ARQ-019, UC-ARQ-020

#[test]
fn both_learn_of_a_dead_link_within_the_idle_bound() {
    let mut pair = Pair::new(|_, _| false);
    pair.connect();
    pair.run(1_000);
    pair.log.clear();
    pair.drop = |_, _| true;
    pair.run(120_000);
    pair.log.sort();
    pair.expect(&["a Closed(Silent)", "a Silent", "b Closed(Silent)"]);
}

// UC-STR-011

#[test]
fn an_expired_message_makes_room_for_the_next() {
    let mut pair = Pair::new(|_, _| true);
    let handle = pair.connect();
    let deadline = pair.now.instant + Duration::from_millis(500);
    pair.ends[0]
        .submit(
            handle,
            0,
            b"stale".to_vec(),
            SendOptions { deadline: Some(deadline), unordered: false, ..SendOptions::default() },
        )
        .unwrap();
    pair.ends[0].submit(handle, 0, b"fresh".to_vec(), SendOptions::default()).unwrap();
    pair.run(700);
    pair.expect(&["a 0/1 Expired"]);
    pair.drop = |_, _| false;
    pair.run(2_000);
    pair.expect(&["a Connected", "b accepted", "b Connected", "b got 0/2 fresh", "a 0/2 Arrived"]);
}

#[test]
fn what_expired_beyond_the_window_is_told_within_it() {
    let mut pair = Pair::new(|_, _| false);
    let mut config = sealed(2);
    config.connection.limits.stream_messages = 4;
    pair.ends[1] = Endpoint::new(config, 2);
    let handle = pair.connect();
    pair.run(100);
    pair.log.clear();
    pair.drop = |_, _| true;
    let deadline = Some(pair.now.instant + Duration::from_millis(500));
    for number in 1..=12 {
        let options = SendOptions {
            deadline: deadline.filter(|_| number > 4),
            unordered: false,
            ..SendOptions::default()
        };
        pair.ends[0].submit(handle, 0, vec![number], options).unwrap();
    }
    pair.run(700);
    pair.drop = |_, _| false;
    pair.run(5_000);
    let expired = (5..=12).map(|seq| format!("a 0/{seq} Expired"));
    let got = (1..=4).map(|seq| format!("b got 0/{seq} {}", char::from(seq)));
    let arrived = (1..=4).map(|seq| format!("a 0/{seq} Arrived"));
    assert_eq!(std::mem::take(&mut pair.log), expired.chain(got).chain(arrived).collect::<Vec<_>>());
    pair.ends[0].submit(handle, 0, b"on".to_vec(), SendOptions::default()).unwrap();
    pair.run(6_000);
    pair.expect(&["b got 0/13 on", "a 0/13 Arrived"]);
}

#[test]
fn what_was_given_up_on_a_stream_that_is_not_granted_is_not_mentioned() {
    let mut pair = Pair::new(|end, _| end == 1);
    let mut config = sealed(2);
    config.connection.limits.streams = 1;
    pair.ends[1] = Endpoint::new(config, 2);
    let handle = pair.connect();
    let deadline = Some(pair.now.instant + Duration::from_millis(100));
    pair.ends[0]
        .submit(
            handle,
            1,
            b"stale".to_vec(),
            SendOptions { deadline, unordered: false, ..SendOptions::default() },
        )
        .unwrap();
    pair.ends[0].submit(handle, 1, b"fresh".to_vec(), SendOptions::default()).unwrap();
    pair.run(200);
    pair.drop = |_, _| false;
    pair.run(2_000);
    pair.expect(&["a 1/1 Expired", "a Connected", "a 1/2 TooLong", "b accepted", "b Connected"]);
    assert_eq!(pair.ends[0].connection(handle).unwrap().queued(), (0, 0));
}

#[test]
fn a_silent_connection_that_is_to_end_gets_no_successor() {
    let mut pair = Pair::new(|_, _| false);
    let handle = pair.connect();
    pair.run(100);
    pair.log.clear();
    pair.drop = |end, _| end == 0;
    pair.ends[0].submit(handle, 0, b"late".to_vec(), SendOptions::default()).unwrap();
    pair.run(4_000);
    pair.ends[0].close(pair.now, handle, "done", "");
    pair.run(7_050);
    pair.drop = |_, _| false;
    pair.run(30_000);
    pair.expect(&[
        "a Silent",
        "b Closed(ByPeer { code: \"done\", reason: \"\" })",
        "a Resumed",
        "a 0/1 Unknown",
        "a Closed(ByUs)",
    ]);
    assert_eq!(pair.ends.each_ref().map(|end| end.connections().count()), [0, 0]);
}

#[test]
fn the_longest_message_follows_a_short_one() {
    let mut pair = Pair::new(|_, _| false);
    let mut config = sealed(2);
    config.connection.limits.message_bytes = 4_096;
    config.connection.limits.stream_bytes = 4_096;
    config.connection.limits.connection_bytes = 4_096;
    pair.ends[1] = Endpoint::new(config, 2);
    let handle = pair.connect();
    pair.run(100);
    pair.log.clear();
    for length in [1, 4_096, 1] {
        pair.ends[0].submit(handle, 0, vec![b'x'; length], SendOptions::default()).unwrap();
    }
    pair.run(2_000);
    pair.log.retain(|line| line.starts_with("b got"));
    pair.expect(&["b got 0/1 x", "b got 0/2 4096 bytes", "b got 0/3 x"]);
}

#[test]
fn room_is_announced_only_for_what_fits() {
    let mut pair = Pair::new(|_, _| true);
    let mut config = sealed(1);
    config.connection.send_queue_bytes = 10_000;
    pair.ends[0] = Endpoint::new(config, 1);
    let handle = pair.connect();
    let submit = |pair: &mut Pair, length| {
        pair.ends[0].submit(handle, 0, vec![0; length], SendOptions::default()).map(drop)
    };
    assert_eq!(submit(&mut pair, 10_001), Err(SendError::TooLong { limit: 10_000 }));
    assert_eq!(submit(&mut pair, 6_000), Ok(()));
    assert_eq!(submit(&mut pair, 5_000), Err(SendError::WouldBlock));
    pair.run(500);
    pair.expect(&[]);
    pair.drop = |_, _| false;
    pair.run(2_000);
    pair.log.retain(|line| line.starts_with("a Writable"));
    pair.expect(&["a Writable"]);
}

#[test]
fn a_route_far_longer_than_the_first_time_out_carries_bulk() {
    let mut pair = Pair::new(|_, _| false);
    pair.delay = Duration::from_millis(300);
    let handle = pair.connect();
    pair.ends[0].submit(handle, 0, vec![7; 100_000], SendOptions::default()).unwrap();
    pair.run(60_000);
    let connection = pair.ends[0].connection(handle).unwrap();
    assert_eq!(connection.queued(), (0, 0));
    let lost = connection.statistics().packets_lost;
    assert!(lost < 100, "{lost} needless repetitions");
}

#[test]
fn packet_numbers_that_make_an_ack_longer_than_a_packet_make_no_storm() {
    let mut pair = Pair::clear(|_, _| false);
    pair.connect();
    pair.run(100);
    let id = pair.ends[1].connections().next().unwrap().1.local_id();
    let mut buffer = Vec::new();
    for packet in 0..40 {
        let (mut head, mut bytes) = (Vec::new(), Vec::new());
        let number = wire::MAX_NUMBER - 200 + 2 * packet;
        let mut writer = wire::PacketWriter::new(&mut head, &mut bytes, id, number, None, 1_200);
        assert!(writer.push(&wire::Frame::Ping));
        writer.finish();
        pair.ends[1].handle_datagram(pair.now, Path::to(address(0)), &mut head);
        let answers =
            (0..10).take_while(|_| pair.ends[1].poll_transmit(pair.now, &mut buffer).is_some()).count();
        assert_eq!(answers, 1, "packet {packet}");
        assert!(
            pair.ends[1].poll_timeout().unwrap().0 > pair.now.instant,
            "packet {packet}: a timer in the past"
        );
    }
}

#[test]
fn a_lost_packet_that_nobody_wants_again_is_no_silence() {
    let mut pair = Pair::new(|_, _| false);
    let handle = pair.connect();
    pair.run(1_000);
    pair.log.clear();
    pair.drop = |end, _| end == 0;
    pair.ends[0].submit_gram(handle, b"x".to_vec(), None).unwrap();
    pair.run(1_050);
    pair.drop = |_, _| false;
    pair.run(12_000);
    pair.expect(&[]);
}

#[test]
fn an_outage_right_after_the_welcome_is_no_new_start() {
    let mut pair = Pair::new(|_, _| false);
    let handle = pair.connect();
    pair.ends[0].submit(handle, 0, b"oi".to_vec(), SendOptions::default()).unwrap();
    pair.run(19);
    pair.drop = |end, _| end == 0;
    pair.run(3_019);
    pair.drop = |_, _| false;
    pair.run(10_000);
    pair.expect(&[
        "a Connected",
        "a Silent",
        "b accepted",
        "b Connected",
        "b got 0/1 oi",
        "a Resumed",
        "a 0/1 Arrived",
    ]);
}

#[test]
fn bulk_does_not_take_its_own_queue_for_the_path() {
    let mut pair = Pair::new(|_, _| false);
    pair.delay = Duration::from_millis(25);
    pair.rate = Some(1_000_000);
    let handle = pair.connect();
    pair.run(100);
    for second in 1..=60 {
        while pair.ends[0].submit(handle, 0, vec![7; 100_000], SendOptions::default()).is_ok() {}
        pair.run(100 + second * 1_000);
        pair.log.clear();
    }
    let rtt = pair.ends[0].connection(handle).unwrap().rtt();
    assert!(rtt.minimum().unwrap() < Duration::from_millis(70), "{:?}", rtt.minimum());
    assert!(rtt.latest() < Duration::from_millis(250), "{:?}", rtt.latest());
}

/// A fragment of the first message.
fn fragment(offset: u64, body: &[u8]) -> wire::Frame<'_> {
    let bodies = vec![body];
    wire::Frame::Part(wire::Part {
        stream: 0,
        seq: 1,
        unordered: false,
        offset,
        last: false,
        bodies: bodies.into(),
    })
}

#[test]
fn fragments_of_a_byte_each_do_not_fill_the_memory() {
    let mut pair = Pair::clear(|_, _| false);
    pair.connect();
    pair.run(100);
    pair.log.clear();
    let id = pair.ends[1].connections().next().unwrap().1.local_id();
    let mut offset = 16_000;
    for number in 10..40 {
        let (mut head, mut bytes) = (Vec::new(), Vec::new());
        let mut writer = wire::PacketWriter::new(&mut head, &mut bytes, id, number, None, 1_200);
        while writer.push(&fragment(offset, b"x")) {
            offset -= 2;
        }
        writer.finish();
        pair.ends[1].handle_datagram(pair.now, Path::to(address(0)), &mut head);
    }
    pair.run(2_000);
    pair.expect(&[
        "a Closed(ByPeer { code: \"violation\", reason: \"its fragments are too short and too far apart\" })",
        "b Closed(Violation(Scattered))",
    ]);
}

// UC-STR-006
#[test]
fn fragments_of_far_away_count_as_what_they_are_long() {
    let mut pair = Pair::clear(|_, _| false);
    pair.ends[1] = Endpoint::new(EndpointConfig { held_bytes: 10_000, ..EndpointConfig::default() }, 2);
    pair.connect();
    pair.run(100);
    pair.log.clear();
    let (handle, connection) = pair.ends[1].connections().next().unwrap();
    let id = connection.local_id();
    let say = |pair: &mut Pair, number: u64, offset: u64| {
        let (mut head, mut bytes) = (Vec::new(), Vec::new());
        let mut writer = wire::PacketWriter::new(&mut head, &mut bytes, id, number, None, 1_200);
        assert!(writer.push(&fragment(offset, &[7; 1_000])));
        writer.finish();
        pair.ends[1].handle_datagram(pair.now, Path::to(address(0)), &mut head);
        let load = pair.ends[1].connection(handle).unwrap().load();
        (load.receive_bytes, load.receive_window, pair.ends[1].held_bytes)
    };
    let far = 16_000_000;
    for (number, held) in (1..=9).zip((1_000..).step_by(1_000)) {
        let (bytes, window, all) = say(&mut pair, 10 + number, far - 2_000 * number);
        assert!((held..=held + 100 * number).contains(&bytes), "{bytes} for {held}");
        assert_eq!((window, all), (far - 1_000, bytes));
    }
    let (bytes, _, all) = say(&mut pair, 30, 0);
    assert_eq!((bytes, all), (0, 0), "now it is too much");
    pair.run(2_000);
    pair.log.retain(|line| line.starts_with("a Closed"));
    assert!(pair.log[0].contains("no memory is left"), "{:?}", pair.log);
}
