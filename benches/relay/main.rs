//! What a relay can do: the real program, and a crowd of members from one process that talk to it over loopback.
//!
//! ```text
//! cargo bench --bench relay                          all of it, small
//! cargo bench --bench relay -- room 100 20000        one room: members, lines
//! cargo bench --bench relay -- idle 10000            members that say nothing
//! cargo bench --bench relay -- recover 1000000       lines in the log when it is killed
//! cargo bench --bench relay -- flood 50              members that chat while strangers flood the relay with hellos
//! ```
//!
//! Times are of one run on one machine: compare them with each other, never with those of another day.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::disallowed_methods, reason = "a bench looks at the clock")]
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

mod crowd;
mod flood;
mod program;

use std::time::{Duration, Instant};

use crowd::{Crowd, Plan};
use program::RelayProgram;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |index: usize, default: usize| {
        arguments.get(index).map_or(default, |text| text.replace('_', "").parse().unwrap())
    };
    match arguments.first().map(String::as_str) {
        Some("room") => {
            room(number(1, 100), number(2, 20_000), &["--memory", "--clear"]);
            room(number(1, 100), number(2, 20_000), &["--memory"]);
            room(number(1, 100), number(2, 20_000), &[]);
        }
        Some("idle") => idle(number(1, 10_000)),
        Some("recover") => recover(number(1, 1_000_000)),
        Some("flood") => flood(number(1, 50)),
        Some("flooder") => flood::run(arguments[1].parse().unwrap(), arguments[2].parse().unwrap()),
        Some(other) => panic!("there is no measurement {other}: room, idle, recover, flood"),
        None => {
            room(100, 2_000, &["--memory", "--clear"]);
            room(100, 2_000, &["--memory"]);
            room(100, 2_000, &[]);
            idle(1_000);
            recover(20_000);
            flood(50);
        }
    }
}

/// One member talks as fast as its receipts come, all others listen.
fn room(members: usize, lines: usize, flags: &[&str]) {
    let relay = RelayProgram::start(flags);
    let sealed = !flags.contains(&"--clear");
    let plan = Plan { members, members_per_room: members, lines, history: false, sealed, pace: None };
    let mut crowd = Crowd::connect(relay.address, plan);
    crowd.run_until(Crowd::is_seated);
    let before = relay.usage();
    let start = Instant::now();
    crowd.talk();
    crowd.run_until(Crowd::has_heard_all);
    let elapsed = start.elapsed();
    let usage = relay.usage();
    let deliveries = members * lines;
    let cpu = usage.cpu - before.cpu;
    println!(
        "room {}: {members} members, {lines} lines: {:.0} lines/s, {:.0} deliveries/s, {:.2} us of the relay's CPU \
         a delivery, delay of a line p50 {:.1} ms p99 {:.1} ms",
        if flags.is_empty() { "on disk".to_owned() } else { flags.join(" ") },
        lines as f64 / elapsed.as_secs_f64(),
        deliveries as f64 / elapsed.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / deliveries as f64,
        crowd.delay(0.5).as_secs_f64() * 1e3,
        crowd.delay(0.99).as_secs_f64() * 1e3,
    );
    crowd.check();
}

/// Members that say nothing: what they take of the memory, and of the processor to keep them.
fn idle(members: usize) {
    const WATCHED: Duration = Duration::from_secs(30);
    let relay = RelayProgram::start(&["--memory"]);
    let before = relay.usage();
    let plan = Plan { members, members_per_room: 100, lines: 0, history: false, sealed: true, pace: None };
    let mut crowd = Crowd::connect(relay.address, plan);
    let start = Instant::now();
    crowd.run_until(Crowd::is_seated);
    let seated = start.elapsed();
    let joined = relay.usage();
    crowd.run_for(WATCHED);
    let after = relay.usage();
    println!(
        "idle: {members} members in rooms of 100, all in after {:.1} s: {:.2} KB of the relay's memory a member, {:.2} % of a \
         core to keep them",
        seated.as_secs_f64(),
        (after.memory_bytes as f64 - before.memory_bytes as f64) / members as f64 / 1024.0,
        (after.cpu - joined.cpu).as_secs_f64() / WATCHED.as_secs_f64() * 100.0,
    );
    assert_eq!(crowd.lost(), 0, "members were lost");
}

/// A relay with a long history is killed and started again.
fn recover(lines: usize) {
    let mut relay = RelayProgram::start(&[]);
    let start = Instant::now();
    let plan = Plan { members: 1, members_per_room: 1, lines, history: false, sealed: true, pace: None };
    let mut crowd = Crowd::connect(relay.address, plan);
    crowd.run_until(Crowd::is_seated);
    crowd.talk();
    crowd.run_until(Crowd::has_heard_all);
    let filled = start.elapsed();
    drop(crowd);
    let start = Instant::now();
    relay.kill_and_restart();
    let listening = start.elapsed();
    let plan = Plan { members: 1, members_per_room: 1, lines: 50, history: true, sealed: true, pace: None };
    let mut crowd = Crowd::connect(relay.address, plan);
    crowd.run_until(Crowd::has_heard_all);
    println!(
        "recover: {lines} lines stored in {:.1} s; after kill -9 it listens in {:.0} ms, and a newcomer has the newest 50 lines \
         after {:.0} ms",
        filled.as_secs_f64(),
        listening.as_secs_f64() * 1e3,
        start.elapsed().as_secs_f64() * 1e3,
    );
}

/// Members chat at an even pace, by turns in peace and beside a flood of hellos from addresses that nobody has.
///
/// The relay has a processor to itself, as it would have if members and attackers were elsewhere; they share the other one.
fn flood(members: usize) {
    const RATE: u32 = 100_000;
    const PACE: Duration = Duration::from_millis(20);
    const LINES: usize = 500;
    const ROUNDS: usize = 3;
    let relay = RelayProgram::start(&["--memory"]);
    relay.keep_to_itself();
    let (mut in_peace, mut beside) = (Vec::new(), Vec::new());
    for rate in [0, RATE].repeat(ROUNDS) {
        let plan = Plan {
            members,
            members_per_room: members,
            lines: LINES,
            history: false,
            sealed: true,
            pace: Some(PACE),
        };
        let mut crowd = Crowd::connect(relay.address, plan);
        crowd.run_until(Crowd::is_seated);
        let before = relay.usage();
        let start = Instant::now();
        let flood = flood::Flood::begin(relay.address, rate);
        crowd.talk();
        crowd.run_until(Crowd::has_heard_all);
        let sent = flood.end();
        let elapsed = start.elapsed().as_secs_f64();
        let cpu = (relay.usage().cpu - before.cpu).as_secs_f64();
        crowd.check();
        let [p50, p99] = [0.5, 0.99].map(|quantile| crowd.delay(quantile).as_secs_f64() * 1e3);
        println!(
            "flood: {members} members, {:.0} lines/s beside {:.0} hellos/s: delay p50 {p50:.2} ms p99 {p99:.2} ms, {:.0} % of a \
             core for the relay",
            LINES as f64 / elapsed,
            sent as f64 / elapsed,
            cpu / elapsed * 100.0,
        );
        if rate == 0 { in_peace.push(p99) } else { beside.push(p99) }
    }
    let median = |mut told: Vec<f64>| {
        told.sort_by(f64::total_cmp);
        told[told.len() / 2]
    };
    println!("flood: median p99 beside the flood by that in peace: {:.2}", median(beside) / median(in_peace));
}
