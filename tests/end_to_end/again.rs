//! Programs that are killed, and messages that are shown once all the same.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::program::{Program, texts};

/// A port that is free a moment before.
fn free_address() -> String {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn ana(to: &str) -> Program {
    Program::peer(&["--nick", "ana", "--to", to])
}

fn bob(address: &str) -> Program {
    Program::listen_as(&["--nick", "bob", "--bind", address])
}

/// The numbers of the lines that a run of ana's took, those of an earlier run included.
fn taken(events: &[Value]) -> impl Iterator<Item = usize> {
    events.iter().filter(|event| event["event"] == "sent").filter_map(|event| number(event["text"].as_str()?))
}

fn number(text: &str) -> Option<usize> {
    text.strip_prefix("line ")?.parse().ok()
}

// UC-CHAT-018
#[test]
fn what_is_kept_at_the_end_is_sent_at_the_next_start() {
    let address = free_address();
    let mut receiver = bob(&address);
    let mut sender = ana(&address);
    sender.write_line("one");
    sender.read_until(r#""event":"delivered""#, 1);
    receiver.kill_now();
    sender.write_line("two");
    sender.read_until(r#""event":"sent""#, 1);
    sender.interrupt();
    let (code, events) = sender.wait();
    let kept: Vec<&Value> = events.iter().filter(|event| event["event"] == "kept").collect();
    assert_eq!((code, kept.len()), (130, 1), "{events:?}");
    let mut receiver = bob(&address);
    let (code, events) = ana(&address).finish();
    let again = events.iter().find(|event| event["again"] == true).unwrap();
    assert_eq!((&again["id"], &again["text"], code), (&kept[0]["id"], &"two".into(), 0), "{events:?}");
    receiver.read_until(r#""text":"two""#, 1);
    assert_eq!(texts(&receiver.kill()), ["two"]);
}

/// Ten times each of the two is killed in the middle of a burst, at a place that differs from time to time.
// UC-CHAT-015, UC-CHAT-016, UC-CHAT-017, UC-CHAT-018
#[test]
fn killed_in_the_middle_of_a_burst_every_line_is_shown_once() {
    const ROUNDS: usize = 10;
    const BURST: usize = 800;
    let address = free_address();
    let proxy = Program::proxy(&address, &["--drop", "0.2"]);
    let mut receiver = bob(&address);
    let (mut shown, mut next) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        let mut sender = ana(&proxy.address);
        // What is left of the run before is told before the first line of this one.
        sender.write_line(&format!("round {round}"));
        let before = sender.read_all_until(&format!("\"text\":\"round {round}\""));
        next = taken(&before).map(|number| number + 1).max().unwrap_or(0).max(next);
        for number in next..next + BURST {
            sender.write_line(&format!("line {number}"));
        }
        sender.read_until(r#""event":"delivered""#, 1 + 29 * round);
        receiver.kill_now();
        // Every other time both are dead at once.
        let of_dead = (round % 2 == 1).then(|| sender.kill_now());
        let dead = std::mem::replace(&mut receiver, bob(&address));
        shown.extend(dead.kill());
        if of_dead.is_none() {
            // Whatever had its receipt before, this has not.
            sender.write_line(&format!("still there, {round}"));
            sender.read_until(r#""event":"delivered""#, 1);
        }
        next = taken(&sender.kill()).map(|number| number + 1).max().unwrap_or(0).max(next);
    }
    let (code, last) = ana(&proxy.address).finish();
    assert_eq!(code, 0, "{last:?}");
    next = taken(&last).map(|number| number + 1).max().unwrap_or(0).max(next);
    shown.extend(receiver.kill());
    let numbers: Vec<usize> = texts(&shown).iter().filter_map(|text| number(text)).collect();
    let mut times: BTreeMap<usize, usize> = BTreeMap::new();
    numbers.iter().for_each(|&number| *times.entry(number).or_default() += 1);
    let missing: Vec<usize> = (0..next).filter(|number| !times.contains_key(number)).collect();
    assert!(missing.is_empty(), "{missing:?} of {next} were never shown");
    let again = numbers.len() - times.len();
    // So many are shown before they are noted, each time when a receiver is killed; the same ones if it got no further.
    assert!(again <= ROUNDS * 16, "{again} lines were shown again");
    let mut first = numbers.clone();
    let mut seen = std::collections::BTreeSet::new();
    first.retain(|&number| seen.insert(number));
    assert!(first.is_sorted(), "out of order: {first:?}");
}
