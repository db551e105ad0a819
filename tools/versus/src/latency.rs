//! How long small messages take: a steady stream, lone ones, and a link that is gone every now and then.

use std::net::SocketAddr;
use std::time::Duration;

use udpchat::fault::{Direction, Event, Fate, Link, LinkPlan};
use udpchat::machine::Path;
use udpchat::time::Instant;

use crate::lane::{self, Course, MAX_STALL, Result};
use crate::stack::{Purpose, Stack};
use crate::table::{Column, Goal, Row, Table};
use crate::work::{Faults, Load};

const COLUMNS: [Column; 8] = [
    Column { name: "p50 ms", decimals: 1 },
    Column { name: "p99 ms", decimals: 1 },
    Column { name: "p99.9 ms", decimals: 1 },
    Column { name: "wire/payload", decimals: 2 },
    Column { name: "sent/message", decimals: 2 },
    Column { name: "back/message", decimals: 2 },
    Column { name: "send us", decimals: 1 },
    Column { name: "receive us", decimals: 1 },
];

/// What the columns mean.
pub const LEGEND: &str = "times one way, from handing a message over to getting it, in order; wire/payload: UDP payload bytes \
     both ways for each byte of messages; sent/message: datagrams that could hold a whole message; back/message: datagrams of \
     the receiver; us: processor time for each message at either end, without system calls";

/// Every message's length.
const MESSAGE_BYTES: usize = 100;

/// Each way.
const DELAY: Duration = Duration::from_millis(25);

/// For the stacks to learn what the link is like.
const WARM_UP: Duration = Duration::from_secs(1);

/// A link and a pattern of messages.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    workload: &'static str,
    /// What the link does beside its delay, in the plan's words; it begins when the handshakes are over.
    fault: &'static str,
    loss_percent: u32,
    per_second: u32,
    lanes: u64,
    counted: Duration,
}

/// Every pattern of a workload.
pub fn patterns(workload: &str, is_quick: bool) -> Vec<Pattern> {
    let losses = |workload, cases: &[(&'static str, u32)], per_second, lanes, seconds| {
        let pattern = |&(fault, loss_percent)| {
            let counted = Duration::from_secs(seconds);
            Pattern { workload, fault, loss_percent, per_second, lanes, counted }
        };
        cases.iter().map(pattern).collect()
    };
    let (stream_seconds, lone_lanes, lone_seconds) = if is_quick { (2, 100, 2) } else { (20, 200, 20) };
    match workload {
        "stream" => losses("stream", &[("", 0), ("drop=20%", 20), ("drop=30%", 30)], 100, 20, stream_seconds),
        "lone" => losses("lone", &[("drop=20%", 20), ("drop=30%", 30)], 4, lone_lanes, lone_seconds),
        "bursts" => losses("bursts", &[("outage=20%/60ms", 20)], 100, 20, stream_seconds),
        _ => Vec::new(),
    }
}

/// Measures all stacks at once, each in a thread of its own: they wait nearly all the time.
pub fn measure(pattern: &Pattern, stacks: &[Box<dyn Stack>]) -> Table {
    let course = pattern.course();
    let results = lane::run_all(stacks, &course);
    let payload = course.lanes * course.load.messages * MESSAGE_BYTES as u64;
    let rows = stacks.iter().zip(&results).map(|(stack, result)| row(stack.name(), result, payload));
    let mut table = Table {
        workload: pattern.workload,
        title: pattern.title(),
        case: pattern.case(&course, results.first().map_or(0, |result| result.latencies_us.len())),
        columns: &COLUMNS,
        headline: 1,
        limit: Some(pattern.bound_ms(&course, 0.99)),
        rows: rows.collect(),
        goals: Vec::new(),
    };
    table.goals = pattern.goals(&table);
    table
}

fn row(stack: &'static str, result: &Result, payload: u64) -> Row {
    let messages = payload as f64 / MESSAGE_BYTES as f64;
    let [there, back] = &result.ways;
    let us = |used: Duration| Some(used.as_secs_f64() * 1e6 / messages);
    Row {
        stack,
        values: vec![
            result.latency_ms(0.5),
            result.latency_ms(0.99),
            result.latency_ms(0.999),
            Some((there.bytes + back.bytes) as f64 / payload as f64),
            Some(there.full_datagrams as f64 / messages),
            Some(back.datagrams as f64 / messages),
            us(result.used[0]),
            us(result.used[1]),
        ],
        note: note(result),
    }
}

/// What went wrong, in words.
pub fn note(result: &Result) -> String {
    let Faults { misplaced, missing, damaged, dead } = result.faults;
    let kinds =
        [(dead, "connections dead"), (missing, "missing"), (misplaced, "misplaced"), (damaged, "damaged")];
    let told = kinds.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    let told = told.collect::<Vec<_>>().join(", ");
    if result.stall > MAX_STALL {
        return format!("INVALID: the machine stood still for {} ms", result.stall.as_millis());
    }
    if told.is_empty() { "all once and in order".to_owned() } else { told }
}

impl Pattern {
    fn interval(&self) -> Duration {
        Duration::from_secs(1) / self.per_second
    }

    fn course(&self) -> Course {
        let total = WARM_UP + self.counted;
        let messages = |time: Duration| u64::from(self.per_second) * time.as_millis() as u64 / 1_000;
        let opening = lane::opening_time(self.lanes);
        let fault = if self.fault.is_empty() {
            String::new()
        } else {
            format!(" {}@{}ms..", self.fault, opening.as_millis())
        };
        let plan = format!("delay={}ms{fault}", DELAY.as_millis());
        let first_at = Instant::ZERO + opening;
        Course {
            plans: vec![plan.parse::<LinkPlan>().expect("the plan is written here")],
            delay: DELAY,
            load: Load {
                message_bytes: MESSAGE_BYTES,
                messages: messages(total),
                warm_up: messages(WARM_UP),
                interval: self.interval(),
                first_at,
            },
            purpose: Purpose::Latency,
            lanes: self.lanes,
            // They wait for the link nearly always.
            at_once: usize::MAX,
            // Time for the last ones; who needs more than that has lost anyway.
            until: first_at + total + (self.counted / 2).max(Duration::from_millis(1_200)),
        }
    }

    fn title(&self) -> String {
        match (self.workload, self.loss_percent) {
            ("bursts", _) => "outages of 60 ms, 20 % of the time".to_owned(),
            (_, 0) => "a clean link".to_owned(),
            (_, loss) => format!("{loss} % lost each way"),
        }
    }

    fn case(&self, course: &Course, samples: usize) -> String {
        format!(
            "{MESSAGE_BYTES} bytes, {} a second, each way {}; {} connections side by side, {samples} messages counted",
            self.per_second, course.plans[0], self.lanes
        )
    }

    /// What no protocol can go below: without copies for stream and lone that is the delay; an outage must end first, and which
    /// ones there were is asked of the links themselves.
    fn bound_ms(&self, course: &Course, share: f64) -> f64 {
        let mut waits_us = Vec::new();
        if self.workload == "bursts" {
            for lane in 0..course.lanes {
                waits_us.extend(waits_for_the_link(course, lane));
            }
            waits_us.sort_unstable();
        }
        DELAY.as_secs_f64() * 1e3 + lane::quantile(&waits_us, share).unwrap_or(0.0) / 1e3
    }

    fn goals(&self, table: &Table) -> Vec<Goal> {
        let ours = |column| table.value("udpchat", column).unwrap_or(f64::NAN);
        let quinn = |column| table.value("quinn Cubic", column).unwrap_or(f64::NAN);
        let best_p99 = table.best_peer("p99 ms", f64::min).unwrap_or(f64::NAN);
        let wire = "wire/payload";
        match (self.workload, self.loss_percent) {
            ("stream", 0) => vec![
                Goal::at_most("wire bytes, 1.7 times quinn's", ours(wire), 1.7 * quinn(wire)),
                Goal::at_most("datagrams for a message: no redundancy", ours("sent/message"), 1.02),
                // On a busy machine every thread wakes up late, and that is nobody's fault.
                Goal::at_most(
                    "p99, 2 ms above the link's delay, or above the best peer's",
                    ours("p99 ms"),
                    27.0_f64.max(best_p99 + 2.0),
                ),
            ],
            ("stream", 20) => vec![
                Goal::at_most("p99, a quarter of the best peer's", ours("p99 ms"), best_p99 / 4.0),
                Goal::at_most("p99", ours("p99 ms"), 65.0),
                Goal::at_most("p99.9", ours("p99.9 ms"), 100.0),
                Goal::at_most("wire bytes, 3 times quinn's", ours(wire), 3.0 * quinn(wire)),
            ],
            ("stream", _) => vec![Goal::at_most("p99", ours("p99 ms"), 90.0)],
            ("lone", loss) => {
                let (p99, packets) = if loss == 20 { (50.0, 3.5) } else { (60.0, 4.5) };
                vec![
                    Goal::at_most("p99", ours("p99 ms"), p99),
                    Goal::at_most("data packets for a message", ours("sent/message"), packets),
                ]
            }
            _ => vec![
                Goal::at_most("p99, better than every peer's", ours("p99 ms"), best_p99),
                Goal::at_most(
                    "p99, 1.3 times the channel's own bound in this run",
                    ours("p99 ms"),
                    1.3 * table.limit.unwrap_or(f64::NAN),
                ),
            ],
        }
    }
}

/// How long each counted message of a lane has to wait, in microseconds, until its link is there again: in virtual time, to the
/// millisecond.
fn waits_for_the_link(course: &Course, lane: u64) -> Vec<u32> {
    let mut link = Link::new(course.plans[0].clone(), lane + 1, Direction::Up);
    link.handle_timeout(Instant::ZERO);
    let millis = course.until.as_nanos() / 1_000_000;
    let mut buffer = Vec::new();
    let is_there = (0..millis).map(|milli| {
        let now = Instant::from_nanos(milli * 1_000_000);
        link.handle_datagram(
            now,
            Path::to(SocketAddr::from(([10, 0, 0, 1], lane as u16))),
            b"is anybody there",
        );
        while link.poll_transmit(now, &mut buffer).is_some() {}
        match link.poll_event() {
            Some(Event::Decided(verdict)) => matches!(verdict.fate, Fate::Passes(_)),
            _ => true,
        }
    });
    let is_there: Vec<bool> = is_there.collect();
    let wait = |number: u64| {
        let due = course.load.first_at + course.load.interval * number as u32;
        let rest = is_there.iter().skip((due.as_nanos() / 1_000_000) as usize);
        rest.take_while(|is_there| !**is_there).count() as u32 * 1_000
    };
    (course.load.warm_up..course.load.messages).map(wait).collect()
}
