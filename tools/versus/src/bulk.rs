//! How much of a bottleneck becomes payload, when datagrams are lost behind it.

use std::time::Duration;

use udpchat::fault::LinkPlan;
use udpchat::time::Instant;

use crate::lane::{self, Course, MAX_STALL, Result, quantile};
use crate::latency;
use crate::stack::{Purpose, Stack};
use crate::table::{Column, Goal, Row, Table};
use crate::work::Load;

const COLUMNS: [Column; 8] = [
    Column { name: "MB/s", decimals: 2 },
    Column { name: "of C(1-p)", decimals: 3 },
    Column { name: "wire MB there", decimals: 1 },
    Column { name: "wire/needed", decimals: 2 },
    Column { name: "wire MB back", decimals: 1 },
    Column { name: "queue p50 ms", decimals: 1 },
    Column { name: "queue p99 ms", decimals: 1 },
    Column { name: "CPU us/KiB", decimals: 1 },
];

/// What the columns mean.
pub const LEGEND: &str = "MB/s of payload from the first message's submission to the last one's arrival, start-up included; C \
     counts IP and UDP headers; wire/needed: UDP payload bytes sent for payload/(1-p) of what arrived; queue: the wait at the \
     bottleneck; CPU: both ends, without system calls";

/// A message's length; larger ones would spare the stacks the packing.
const MESSAGE_BYTES: usize = 1_024;

/// Bytes a second through the bottleneck.
const CAPACITY: f64 = 12.5e6;

/// Each way.
const DELAY: Duration = Duration::from_millis(25);

/// The shares that are lost behind the bottleneck.
pub const LOSSES_PERCENT: [u32; 5] = [0, 1, 5, 10, 20];

/// Every stack through a bottleneck of its own.
pub fn measure(loss_percent: u32, is_quick: bool, stacks: &[Box<dyn Stack>]) -> Table {
    let course = course(loss_percent, is_quick);
    let results = lane::run_all(stacks, &course);
    let passing = 1.0 - f64::from(loss_percent) / 100.0;
    let mut table = Table {
        workload: "bulk",
        title: format!("{loss_percent} % lost behind the bottleneck"),
        case: format!(
            "{} messages of {MESSAGE_BYTES} bytes, each way {}, then {}",
            course.load.messages, course.plans[0], course.plans[1]
        ),
        columns: &COLUMNS,
        headline: 0,
        limit: Some(CAPACITY * passing / 1e6),
        rows: stacks.iter().zip(&results).map(|(stack, result)| row(stack.name(), result, passing)).collect(),
        goals: Vec::new(),
    };
    table.goals = goals(loss_percent, &table);
    table
}

fn course(loss_percent: u32, is_quick: bool) -> Course {
    let (messages, most) = if is_quick { (8_000, 2_600) } else { (40_000, 30_000) };
    let first_at = Instant::ZERO + lane::opening_time(2);
    let plan = |text: String| text.parse::<LinkPlan>().expect("the plan is written here");
    Course {
        plans: vec![
            plan(format!("rate=100mbit/300kB delay={}ms", DELAY.as_millis())),
            plan(format!("drop={loss_percent}%@{}ms..", lane::opening_time(2).as_millis())),
        ],
        delay: DELAY,
        load: Load { message_bytes: MESSAGE_BYTES, messages, warm_up: 0, interval: Duration::ZERO, first_at },
        purpose: Purpose::Bulk,
        lanes: 1,
        // A sender that waits for a processor has nothing on its way meanwhile. Two processors are what every machine has.
        at_once: if is_quick { usize::MAX } else { 2 },
        until: first_at + Duration::from_millis(most),
    }
}

const BESIDE_COLUMNS: [Column; 4] = [
    Column { name: "MB/s", decimals: 2 },
    Column { name: "Cubic's MB/s", decimals: 2 },
    Column { name: "lesser share", decimals: 3 },
    Column { name: "queue p50 ms", decimals: 1 },
];

/// Every stack beside a flow of quinn with Cubic, both as fast as they can, through one clean bottleneck.
pub fn measure_beside(is_quick: bool, stacks: &[Box<dyn Stack>], other: &dyn Stack) -> Table {
    let mut course = course(0, is_quick);
    let seconds = if is_quick { 3 } else { 20 };
    // More than passes in that time.
    course.load.messages = seconds * CAPACITY as u64 / MESSAGE_BYTES as u64;
    course.until = course.load.first_at + Duration::from_secs(seconds);
    let results = lane::run_all_beside(stacks, other, &course);
    let rows = stacks.iter().zip(&results).map(|(stack, [ours, others])| {
        let rates = [ours, others]
            .map(|result| (result.arrived * MESSAGE_BYTES as u64) as f64 / 1e6 / seconds as f64);
        let lesser = rates[0].min(rates[1]) / (rates[0] + rates[1]).max(1e-9);
        let queued = quantile(&ours.ways[0].queued_us, 0.5).map(|us| us / 1e3);
        let stall = ours.stall.max(others.stall);
        let note = if stall > MAX_STALL {
            format!("INVALID: the machine stood still for {} ms", stall.as_millis())
        } else {
            String::new()
        };
        Row { stack: stack.name(), values: vec![Some(rates[0]), Some(rates[1]), Some(lesser), queued], note }
    });
    let mut table = Table {
        workload: "beside",
        title: "beside one flow of quinn Cubic".to_owned(),
        case: format!("{seconds} s, messages of {MESSAGE_BYTES} bytes, each way {}", course.plans[0]),
        columns: &BESIDE_COLUMNS,
        headline: 0,
        limit: Some(CAPACITY / 1e6),
        rows: rows.collect(),
        goals: Vec::new(),
    };
    let lesser = table.value("udpchat", "lesser share").unwrap_or(f64::NAN);
    table.goals = vec![Goal::at_least("the lesser share", lesser, 1.0 / 3.0)];
    table
}

fn row(stack: &'static str, result: &Result, passing: f64) -> Row {
    let payload = (result.arrived * MESSAGE_BYTES as u64) as f64;
    let seconds = result.elapsed.as_secs_f64();
    let rate = if seconds > 0.0 { payload / seconds } else { 0.0 };
    let [there, back] = &result.ways;
    let queued = |share| quantile(&there.queued_us, share).map(|us| us / 1e3);
    let used = (result.used[0] + result.used[1]).as_secs_f64() * 1e6;
    let arrived = result.arrived as f64;
    let for_each = |sum: f64, count: f64| (count > 0.0).then(|| sum / count);
    Row {
        stack,
        values: vec![
            Some(rate / 1e6),
            Some(rate / (CAPACITY * passing)),
            Some(there.bytes as f64 / 1e6),
            for_each(there.bytes as f64, payload / passing),
            Some(back.bytes as f64 / 1e6),
            queued(0.5),
            queued(0.99),
            for_each(used, arrived),
        ],
        note: latency::note(result),
    }
}

fn goals(loss_percent: u32, table: &Table) -> Vec<Goal> {
    let ours = |column| table.value("udpchat", column).unwrap_or(f64::NAN);
    let share = if loss_percent == 20 { 0.85 } else { 0.88 };
    vec![
        Goal::at_least("share of C(1-p)", ours("of C(1-p)"), share),
        Goal::at_most("wire bytes for what is needed", ours("wire/needed"), 1.15),
        Goal::at_most("queue at the median, one round trip", ours("queue p50 ms"), 2e3 * DELAY.as_secs_f64()),
    ]
}
