//! The longest waits on a bad link, in virtual time and sealed: a table that every change of the reliability layer shows up in.
//!
//! If a change is meant to move it: `UDPCHAT_GOLDEN=write cargo test --release --test simulation tails`.

use std::fmt::Write as _;
use std::{env, fs};

use udpchat::sim::Action;

use super::scenarios::{Script, ms, send, taken};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/tails.txt");

/// How messages come.
struct Pattern {
    name: &'static str,
    bytes: usize,
    every_ms: u64,
    messages: u64,
}

const STREAM: Pattern = Pattern { name: "stream", bytes: 100, every_ms: 10, messages: 20_000 };
const LONE: Pattern = Pattern { name: "lone", bytes: 100, every_ms: 250, messages: 4_000 };
/// A paragraph.
const LONG: Pattern = Pattern { name: "long", bytes: 700, every_ms: 250, messages: 4_000 };
/// More than one packet holds.
const PAGE: Pattern = Pattern { name: "page", bytes: 3_000, every_ms: 500, messages: 2_000 };
/// More than is said twice unasked.
const PICTURE: Pattern = Pattern { name: "picture", bytes: 20_000, every_ms: 1_000, messages: 1_000 };

#[test]
fn the_table_of_tails() {
    let mut table = String::from(
        "Messages in order, sealed, 25 ms each way: from submission to delivery, in ms. A stream has 100 of 100 bytes a second, lone\n\
         ones come 4 a second, and as often long ones of 700 bytes; pages have 3000 bytes and come twice a second, pictures 20 000 and\n\
         once. Wire bytes there and back for each payload byte, datagrams there and back for each message.\n\n\
         pattern  link                    p50   p99  p99.9   max   bytes    back  packets  back\n",
    );
    let links = [
        "drop=0%",
        "drop=5%",
        "drop=10%",
        "drop=20%",
        "drop=30%",
        "jitter=5ms drop=20%",
        "reorder=25%/5ms",
        "outage=20%/60ms",
    ];
    for (pattern, link) in links
        .iter()
        .map(|link| (&STREAM, link))
        .chain(links[3..5].iter().map(|link| (&LONE, link)))
        .chain(links[1..5].iter().map(|link| (&LONG, link)))
        .chain(links[1..5].iter().map(|link| (&PAGE, link)))
        .chain(links[1..5].iter().map(|link| (&PICTURE, link)))
    {
        table.push_str(&row(pattern, link));
    }
    println!("{table}");
    if env::var("UDPCHAT_GOLDEN").is_ok_and(|wish| wish == "write") {
        fs::write(GOLDEN, &table).unwrap();
    }
    assert_eq!(table, fs::read_to_string(GOLDEN).unwrap_or_default(), "see the head of this file");
}

fn row(pattern: &Pattern, link: &str) -> String {
    let mut script = Script::talkers(&format!("delay=25ms {link}")).sealed();
    let submitted = |number: u64| ms(1_000 + pattern.every_ms * number);
    script = script.at(100, 0, Action::Connect { to: 1 });
    for number in 0..pattern.messages {
        script = script.at(1_000 + pattern.every_ms * number, 0, send(pattern.bytes, 1));
    }
    let mut world = script.world();
    world.run_until(submitted(pattern.messages) + ms(20_000)).unwrap();
    let taken = taken(&world);
    assert_eq!(taken.len() as u64, pattern.messages);
    let latency = (0..).zip(taken).map(|(number, at)| (at - submitted(number)).as_secs_f64() * 1e3);
    let mut latency: Vec<f64> = latency.collect();
    latency.sort_by(f64::total_cmp);
    let at = |thousandths: usize| latency[(latency.len() - 1) * thousandths / 1_000];
    let [there, back] = [0, 1].map(|node| world.traffic(node));
    let mut row = String::new();
    // A line of text that cannot be written would be no memory left.
    let _ = writeln!(
        row,
        "{:8} {link:20} {:>6.0} {:>5.0} {:>6.0} {:>5.0} {:>7.2} {:>7.2} {:>8.2} {:>5.2}",
        pattern.name,
        at(500),
        at(990),
        at(999),
        at(1_000),
        there.bytes as f64 / (pattern.bytes as u64 * pattern.messages) as f64,
        back.bytes as f64 / (pattern.bytes as u64 * pattern.messages) as f64,
        there.datagrams as f64 / pattern.messages as f64,
        back.datagrams as f64 / pattern.messages as f64,
    );
    row
}
