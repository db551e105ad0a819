//! What a lossy link costs, in virtual time: a table that every change of the reliability layer shows up in.
//!
//! If a change is meant to move it: `UDPCHAT_GOLDEN=write cargo test --release --test simulation table`.

use std::fmt::Write as _;
use std::{env, fs};

use udpchat::sim::Action;

use super::scenarios::{Script, ms, send, taken};
use super::sealed::sealed;

/// The tables: in the clear, and as it is by default.
const CLEAR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/loss.txt");
const SEALED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/loss-sealed.txt");

/// Small messages in each cell: enough for a 99th percentile.
const MESSAGES: u64 = 1_000;

/// Bytes of the bulk transfer of each cell: some seconds' worth.
const BULK_BYTES: usize = 8_000_000;

#[test]
fn the_table_of_what_loss_costs() {
    check_table(CLEAR, Script::talkers);
}

#[test]
fn the_table_of_what_loss_costs_sealed() {
    check_table(SEALED, sealed);
}

fn check_table(golden: &str, talkers: fn(&str) -> Script) {
    let mut table = String::from(
        "Loss both ways; 25 ms each way. Latency of 100-byte messages sent every 20 ms, from submission to delivery, in ms;\n\
         goodput of one 8 MB message over 20 Mbit/s, in Mbit/s.\n\n\
         loss   p50   p90   p99   max   goodput\n",
    );
    for loss in [0, 1, 2, 5, 10, 15, 20, 25, 30] {
        let latency = latency_ms(loss, talkers);
        let at = |share: usize| latency[(latency.len() - 1) * share / 100];
        // A line of text that cannot be written would be no memory left.
        let _ = writeln!(
            table,
            "{loss:>3}% {:>6.0} {:>5.0} {:>5.0} {:>5.0} {:>9.1}",
            at(50),
            at(90),
            at(99),
            at(100),
            goodput_mbit(loss, talkers)
        );
    }
    println!("{table}");
    if env::var("UDPCHAT_GOLDEN").is_ok_and(|wish| wish == "write") {
        fs::write(golden, &table).unwrap();
    }
    assert_eq!(table, fs::read_to_string(golden).unwrap_or_default(), "see the head of this file");
}

fn latency_ms(loss: u32, talkers: fn(&str) -> Script) -> Vec<f64> {
    let mut script = talkers(&format!("delay=25ms drop={loss}%"));
    let submitted = |number: u64| 1_000 + 20 * number;
    script = script.at(100, 0, Action::Connect { to: 1 });
    for number in 0..MESSAGES {
        script = script.at(submitted(number), 0, send(100, 1));
    }
    let mut world = script.world();
    world.run_until(ms(submitted(MESSAGES) + 20_000)).unwrap();
    let taken = taken(&world);
    assert_eq!(taken.len() as u64, MESSAGES);
    let latency = (0..).zip(taken).map(|(number, at)| (at - ms(submitted(number))).as_secs_f64() * 1e3);
    let mut latency: Vec<f64> = latency.collect();
    latency.sort_by(f64::total_cmp);
    latency
}

fn goodput_mbit(loss: u32, talkers: fn(&str) -> Script) -> f64 {
    let script = talkers(&format!("delay=25ms drop={loss}% rate=20mbit/100kB"))
        .at(100, 0, Action::Connect { to: 1 })
        .at(1_000, 0, send(BULK_BYTES, 1));
    let mut world = script.world();
    world.run_until(ms(200_000)).unwrap();
    let seconds = (taken(&world)[0] - ms(1_000)).as_secs_f64();
    BULK_BYTES as f64 * 8.0 / 1e6 / seconds
}
