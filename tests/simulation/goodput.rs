//! Bulk on a bad link, in virtual time and sealed: a table that every change of congestion control and of repair shows up in, and what
//! redundancy does where it is of no use.
//!
//! If a change is meant to move it: `UDPCHAT_GOLDEN=write cargo test --release --test simulation goodput`.

use std::fmt::Write as _;
use std::{env, fs};

use super::scenarios::{Script, ms, send, taken};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/goodput.txt");

/// Every message's length, and how many.
const MESSAGE_BYTES: usize = 1_024;
const MESSAGES: u32 = 8_000;

/// A datagram's heads of IPv4 and UDP.
const HEADS_BYTES: u64 = 28;

/// A bottleneck: its plan, and its bytes a second.
const USUAL: (&str, f64) = ("rate=100mbit/300kB delay=25ms", 12.5e6);
const DEEP: (&str, f64) = ("rate=100mbit/3MB delay=25ms", 12.5e6);
const SLOW: (&str, f64) = ("rate=2mbit/50kB delay=50ms", 0.25e6);

#[test]
fn the_table_of_goodput() {
    let mut table = String::from(
        "8 MB in messages of 1024 bytes, sealed, from the first submission to the last delivery, start-up included; on the slow link\n\
         1 MB. The bottleneck's rate C counts the heads of IP and UDP; what is lost, both ways, is lost before it. Wire bytes are UDP\n\
         payload there for each byte that had to be sent: payload / (1 - loss).\n\n\
         bottleneck                       loss     of C   wire  back/there\n",
    );
    for percent in [0, 1, 5, 10, 20, 30] {
        table.push_str(&row(USUAL, percent, MESSAGES));
    }
    for percent in [0, 10] {
        table.push_str(&row(DEEP, percent, MESSAGES));
        table.push_str(&row(SLOW, percent, MESSAGES / 8));
    }
    println!("{table}");
    if env::var("UDPCHAT_GOLDEN").is_ok_and(|wish| wish == "write") {
        fs::write(GOLDEN, &table).unwrap();
    }
    assert_eq!(table, fs::read_to_string(GOLDEN).unwrap_or_default(), "see the head of this file");
}

fn row((plan, rate): (&str, f64), percent: u32, messages: u32) -> String {
    // Nothing is lost before the handshake is over.
    let script = Script::talkers(&format!("{plan} drop={percent}%@400ms..")).sealed();
    let script =
        script.at(100, 0, udpchat::sim::Action::Connect { to: 1 }).at(500, 0, send(MESSAGE_BYTES, messages));
    let mut world = script.heal_at(120_000).world();
    world.run_until(ms(120_000)).unwrap();
    let taken = taken(&world);
    assert_eq!(taken.len(), messages as usize);
    let seconds = (*taken.last().unwrap() - ms(500)).as_secs_f64();
    let payload = MESSAGE_BYTES as f64 * f64::from(messages);
    let arriving = 1.0 - f64::from(percent) / 100.0;
    let [there, back] = [0, 1].map(|node| world.traffic(node));
    let on_the_link = |bytes: u64, datagrams: u64| (bytes + datagrams * HEADS_BYTES) as f64;
    let mut row = String::new();
    // A line of text that cannot be written would be no memory left.
    let _ = writeln!(
        row,
        "{plan:30} {percent:>4} % {:>8.3} {:>6.3} {:>11.3}",
        payload / seconds / rate,
        there.bytes as f64 / (payload / arriving),
        on_the_link(back.bytes, back.datagrams) / on_the_link(there.bytes, there.datagrams),
    );
    row
}
