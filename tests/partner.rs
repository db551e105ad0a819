//! The partner that was written from `spec/` talks to the real program, over a link that loses a fifth each way.

#![cfg(all(feature = "io", unix))]

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use serde_json::Value;

#[test]
fn a_partner_written_from_the_spec_is_understood() {
    if Command::new("python3").arg("--version").output().is_err() {
        // Nothing but the Rust toolchain is needed to test this project.
        return;
    }
    let mut listener = Command::new(env!("CARGO_BIN_EXE_udpchat"))
        .args(["listen", "--bind", "127.0.0.1:0", "--json", "--count", "30"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(listener.stdout.take().unwrap());
    let mut ready = String::new();
    stdout.read_line(&mut ready).unwrap();
    let ready: Value = serde_json::from_str(&ready).unwrap();
    let texts: Vec<String> = (1..=30).map(|number| format!("linha {number}")).collect();

    let partner = Command::new("python3")
        .args(["spec/examples/partner.py", ready["addr"].as_str().unwrap(), "--drop", "0.2"])
        .args(&texts)
        .output()
        .unwrap();
    let delivered = String::from_utf8(partner.stdout).unwrap();
    assert!(partner.status.success(), "{}", String::from_utf8_lossy(&partner.stderr));
    let mut delivered: Vec<&str> = delivered.lines().collect();
    // Receipts wait for nobody, so they come in any order.
    delivered.sort_by_key(|line| (line.len(), *line));
    assert_eq!(delivered, texts.iter().map(|text| format!("delivered: {text}")).collect::<Vec<_>>());

    let mut printed = String::new();
    stdout.read_to_string(&mut printed).unwrap();
    listener.wait().unwrap();
    let events = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let heard: Vec<String> = events
        .filter(|event| event["event"] == "message")
        .map(|event| event["text"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(heard, texts);
}
