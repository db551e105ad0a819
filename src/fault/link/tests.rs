//! Scripts for the link: what goes in at which millisecond, and exactly what comes out.

use std::net::SocketAddr;

use super::*;
use crate::fault::{Report, RuleStatistics};

mod proofs;

/// Sends the datagrams (millisecond, bytes) through a link and demands exactly those deliveries.
fn script(plan: &str, datagrams: &[(u64, &str)], deliveries: &[(u64, &str)]) {
    let mut run = Run::new(plan, Direction::Up);
    for (ms, bytes) in datagrams {
        run.send_at_ms(*ms, bytes.as_bytes());
    }
    run.finish();
    let seen: Vec<(u64, &str)> = run
        .delivered
        .iter()
        .map(|(at, bytes)| (at.as_nanos() / 1_000_000, std::str::from_utf8(bytes).unwrap()))
        .collect();
    assert_eq!(seen, deliveries, "{plan}");
}

/// A link on virtual time, with everything that it ever said.
struct Run {
    link: Link,
    delivered: Vec<(Instant, Vec<u8>)>,
    fates: Vec<Fate>,
    rebindings: Vec<Instant>,
}

impl Run {
    fn new(plan: &str, direction: Direction) -> Self {
        let mut link = Link::new(plan.parse().unwrap(), 7, direction);
        link.handle_timeout(Instant::ZERO);
        Self { link, delivered: Vec::new(), fates: Vec::new(), rebindings: Vec::new() }
    }

    fn send_at_ms(&mut self, ms: u64, bytes: &[u8]) {
        self.send(Instant::from_nanos(ms * 1_000_000), path(1), bytes);
    }

    fn send(&mut self, now: Instant, path: Path, bytes: &[u8]) {
        self.run_until(now);
        self.link.handle_datagram(now, path, bytes);
        self.drain(now);
    }

    fn finish(&mut self) {
        self.run_until(Instant::from_nanos(u64::MAX));
    }

    fn run_until(&mut self, end: Instant) {
        while let Some((due, _)) = self.link.poll_timeout().filter(|(due, _)| *due <= end) {
            self.link.handle_timeout(due);
            self.drain(due);
        }
    }

    fn drain(&mut self, now: Instant) {
        let mut buffer = Vec::new();
        while let Some(transmit) = self.link.poll_transmit(now, &mut buffer) {
            assert_eq!(transmit.length, buffer.len());
            self.delivered.push((now, buffer.clone()));
        }
        while let Some(event) = self.link.poll_event() {
            match event {
                Event::Decided(verdict) => self.fates.push(verdict.fate),
                Event::Rebind => self.rebindings.push(now),
            }
        }
    }

    fn rule(&self, index: usize) -> RuleStatistics {
        self.link.statistics().rules[index]
    }
}

fn path(port: u16) -> Path {
    Path::to(SocketAddr::from(([127, 0, 0, 1], port)))
}

fn numbered(number: u64) -> Vec<u8> {
    format!("{{\"v\":1,\"to\":\"k3f9q2a1\",\"n\":{number},\"f\":[{{\"t\":\"msg\"}}]}}\nhello").into_bytes()
}

/// The fates of packets `numbers`, one a millisecond.
fn fates(plan: &str, numbers: impl Iterator<Item = u64>) -> Vec<Fate> {
    let mut run = Run::new(plan, Direction::Up);
    for (ms, number) in (0..).zip(numbers) {
        run.send_at_ms(ms, &numbered(number));
    }
    run.fates
}

fn losses(plan: &str, numbers: impl Iterator<Item = u64>) -> Vec<bool> {
    fates(plan, numbers).iter().map(|fate| matches!(fate, Fate::Lost(_))).collect()
}

#[test]
fn a_perfect_link_changes_nothing() {
    script("perfect", &[(0, "a"), (0, "b"), (5, "")], &[(0, "a"), (0, "b"), (5, "")]);
}

#[test]
fn delays_are_exact_and_add_up() {
    script("delay=50ms", &[(0, "a"), (1, "b")], &[(50, "a"), (51, "b")]);
    script("delay=50ms delay=5ms@10s..", &[(0, "a"), (10_000, "b")], &[(50, "a"), (10_055, "b")]);
}

#[test]
fn a_shorter_delay_overtakes_nothing() {
    script("delay=50ms@..10ms", &[(0, "a"), (10, "b"), (60, "c")], &[(50, "a"), (50, "b"), (60, "c")]);
}

#[test]
fn what_is_held_is_overtaken() {
    let mut run = Run::new("reorder=50%/10ms", Direction::Up);
    for number in 0..200 {
        run.send_at_ms(number, &numbered(number));
    }
    run.finish();
    let held = run.fates.iter().filter(|fate| matches!(fate, Fate::Passes(passage) if passage.held)).count();
    let seen: Vec<Vec<u8>> = run.delivered.iter().map(|(_, bytes)| bytes.clone()).collect();
    assert!((80..120).contains(&held), "{held}");
    assert_ne!(seen, (0..200).map(numbered).collect::<Vec<_>>());
    assert_eq!(run.link.statistics().delivered, 200);
    // Only one at the end may have nothing behind it that could overtake.
    assert!(run.link.statistics().overtaken >= held as u64 - 10);
}

#[test]
fn jitter_keeps_the_order_and_its_bounds() {
    let mut run = Run::new("delay=5ms jitter=20ms", Direction::Up);
    for number in 0..1_000 {
        run.send_at_ms(number, &numbered(number));
    }
    run.finish();
    for (number, (at, bytes)) in run.delivered.iter().enumerate() {
        let transit_us = at.as_nanos() / 1_000 - number as u64 * 1_000;
        assert_eq!(*bytes, numbered(number as u64));
        assert!((5_000..=25_000).contains(&transit_us), "{transit_us}");
    }
    assert_eq!(run.link.statistics().overtaken, 0);
}

#[test]
fn a_rate_spaces_datagrams_and_its_queue_overflows() {
    // 100 bytes at 80 kbit/s take 10 ms; 250 bytes of queue hold two and a half.
    script(
        "rate=80kbit/250B delay=1ms",
        &[(0, &"a".repeat(100)), (0, &"b".repeat(100)), (0, &"c".repeat(100)), (10, &"d".repeat(100))],
        &[(11, &"a".repeat(100)), (21, &"b".repeat(100)), (31, &"d".repeat(100))],
    );
}

#[test]
fn the_slowest_of_several_rates_counts() {
    script(
        "rate=8mbit rate=8kbit@1s..",
        &[(0, "abcdefgh"), (1_000, "abcdefgh")],
        &[(0, "abcdefgh"), (1_008, "abcdefgh")],
    );
}

#[test]
fn blackouts_lose_everything_and_only_then() {
    script(
        "blackout=10ms+5ms/20ms",
        &[(9, "a"), (10, "b"), (14, "c"), (15, "d"), (30, "e"), (35, "f")],
        &[(9, "a"), (15, "d"), (35, "f")],
    );
}

#[test]
fn too_large_is_lost() {
    script("mtu=3", &[(0, "abc"), (1, "abcd"), (2, "")], &[(0, "abc"), (2, "")]);
}

#[test]
fn copies_follow_at_once() {
    script("duplicate=100% delay=1ms", &[(0, "a"), (5, "b")], &[(1, "a"), (1, "a"), (6, "b"), (6, "b")]);
}

#[test]
fn damage_is_as_told() {
    let mut run = Run::new("corrupt=100%/3 truncate=50%", Direction::Up);
    for number in 0..100 {
        run.send_at_ms(number, &numbered(number));
    }
    for (number, (fate, (_, bytes))) in run.fates.iter().zip(&run.delivered).enumerate() {
        let Fate::Passes(passage) = fate else { panic!("lost: {fate:?}") };
        let original = numbered(number as u64);
        let flipped: u32 = bytes.iter().zip(&original).map(|(new, old)| (new ^ old).count_ones()).sum();
        assert_eq!((flipped, passage.flipped_bits), (3, 3));
        assert_eq!(bytes.len(), passage.cut_to.unwrap_or(original.len()));
    }
    assert!((35..65).contains(&run.rule(1).acted));
}

#[test]
fn rebindings_come_at_their_times_without_traffic() {
    let mut run = Run::new("rebind=10ms/30ms@..100ms", Direction::Up);
    run.finish();
    let times: Vec<u64> = run.rebindings.iter().map(|at| at.as_nanos() / 1_000_000).collect();
    assert_eq!(times, [10, 40, 70]);
    assert_eq!(run.rule(0).acted, 3);
}

#[test]
fn rules_can_be_limited_to_kinds() {
    let mut run = Run::new("drop=100%:ack,nack", Direction::Up);
    for head in
        [r#"{"n":1,"f":[{"t":"msg"},{"t":"ack"}]}"#, r#"{"n":2,"f":[{"t":"msg"}]}"#, r#"{"n":3}"#, "ack"]
    {
        run.send_at_ms(0, head.as_bytes());
    }
    let lost: Vec<bool> = run.fates.iter().map(|fate| *fate == Fate::Lost(Cause::Drop)).collect();
    assert_eq!(lost, [true, false, false, false]);
}

fn is_lost(fate: &Fate) -> bool {
    matches!(fate, Fate::Lost(_))
}

#[test]
fn no_flow_loses_more_in_a_row_than_allowed() {
    let mut run = Run::new("drop=90% max-consecutive=3", Direction::Up);
    for number in 0..1_000 {
        run.send(Instant::from_nanos(number), path(1), &numbered(number));
        run.send(Instant::from_nanos(number), path(2), &numbered(10_000 + number));
    }
    for flow in [0, 1] {
        let lost: Vec<bool> = run.fates.iter().skip(flow).step_by(2).map(is_lost).collect();
        let longest = lost.split(|lost| !lost).map(<[bool]>::len).max();
        assert_eq!(longest, Some(3));
    }
    let counts = run.rule(0);
    assert!(counts.spared > 300 && counts.effective_ppm() < 760_000, "{counts:?}");
}

#[test]
fn what_waits_is_bounded_in_datagrams_and_in_bytes() {
    for (plan, fits) in [("delay=1h waiting=1MB/10", 10), ("delay=1h waiting=35B/1000", 3)] {
        let mut run = Run::new(plan, Direction::Up);
        for ms in 0..100 {
            run.send_at_ms(ms, &[0; 10]);
        }
        assert_eq!(run.fates.iter().filter(|fate| **fate == Fate::Lost(Cause::Waiting)).count(), 100 - fits);
        assert_eq!(run.link.statistics().lost_waiting, 100 - fits as u64);
        run.finish();
        assert_eq!(run.delivered.len(), fits);
    }
}

#[test]
fn unheard_verdicts_are_bounded_and_can_be_switched_off() {
    let mut link = Link::new(LinkPlan::default(), 7, Direction::Up);
    let mut buffer = Vec::new();
    for _ in 0..MAX_VERDICTS + 5 {
        link.handle_datagram(Instant::ZERO, path(1), b"x");
        while link.poll_transmit(Instant::ZERO, &mut buffer).is_some() {}
    }
    assert_eq!((link.verdicts.len(), link.statistics().verdicts_missed), (MAX_VERDICTS, 5));
    let mut link = Link::new(LinkPlan::default(), 7, Direction::Up);
    link.set_verdicts_wanted(false);
    link.handle_datagram(Instant::ZERO, path(1), b"x");
    assert_eq!(link.poll_event(), None);
}

#[test]
fn an_earlier_now_counts_as_the_last() {
    let mut link = Link::new("delay=5ms".parse().unwrap(), 7, Direction::Up);
    link.handle_timeout(Instant::from_nanos(9_000_000));
    link.handle_datagram(Instant::ZERO, path(1), b"x");
    assert_eq!(link.poll_timeout(), Some((Instant::from_nanos(14_000_000), Reason::Delivery)));
}

#[test]
fn the_report_sets_configured_against_effective() {
    let mut up = Run::new("drop=20% mtu=100", Direction::Up);
    let mut down = Run::new("delay=5ms drop=20%", Direction::Down);
    for number in 0..1_000 {
        up.send_at_ms(number, &numbered(number));
        down.send_at_ms(number, &numbered(number));
    }
    down.finish();
    let report = Report::new(&[&up.link, &down.link]).to_string();
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["up", "down", "both"]);
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["received", "1000", "1000", "2000"]);
    assert!(lines[2].starts_with("drop=20%"), "{report}");
    assert!(lines[2].contains(" of 1000 = ") && lines[2].contains(" of 2000 = "), "{report}");
    assert!(
        lines[3].starts_with("mtu=100B") && lines[3].contains(" 0 of 1000 = 0.00% too large "),
        "{report}"
    );
}
