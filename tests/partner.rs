//! The partner and the member that were written from `spec/` talk to the real program, over a link that loses a fifth each way.

#![cfg(all(feature = "io", unix))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

#[test]
fn a_partner_written_from_the_spec_is_understood() {
    if Command::new("python3").arg("--version").output().is_err() {
        // Nothing but the Rust toolchain is needed to test this project.
        return;
    }
    let mut listener = Command::new(env!("CARGO_BIN_EXE_udpchat"))
        .args(["listen", "--clear", "--bind", "127.0.0.1:0", "--json", "--count", "30"])
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

#[test]
fn a_member_written_from_the_spec_is_let_in_heard_and_finds_nothing_wrong() {
    if Command::new("python3").arg("--version").output().is_err() {
        return;
    }
    let data = concat!(env!("CARGO_TARGET_TMPDIR"), "/member-of-the-spec");
    let relay = Command::new(env!("CARGO_BIN_EXE_udpchat"))
        .args(["relay", "--clear", "--bind", "127.0.0.1:0", "--json", "--memory", "--data", data])
        .stdout(Stdio::piped())
        .spawn();
    let mut relay = Relay(relay.unwrap());
    let mut ready = String::new();
    BufReader::new(relay.0.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let ready: Value = serde_json::from_str(&ready).unwrap();
    let address = ready["addr"].as_str().unwrap();

    let texts: Vec<String> = (1..=10).map(|number| format!("linha {number}")).collect();
    let said = member(address, "ana", texts.iter().map(String::as_str).chain(["@ana psst"]));
    for text in texts.iter().map(String::as_str).chain(["@ana psst"]) {
        assert!(said.contains(&format!("delivered: {text}")), "{text}: {said:#?}");
    }
    assert!(said.contains(&"@ ana: psst".to_owned()), "{said:#?}");

    // Whoever comes later is shown all of it, in order.
    let said = member(address, "bob", ["oi", "@nobody oi"]);
    let history: Vec<&str> = said.iter().filter_map(|line| line.strip_prefix("before #sala ana: ")).collect();
    assert_eq!(history, texts);
    assert!(said.contains(&"delivered: oi".to_owned()), "{said:#?}");
    assert!(said.iter().any(|line| line.starts_with("no-such-name: @nobody oi")), "{said:#?}");
}

/// What the example says when it goes to a relay.
fn member<'a>(address: &str, nick: &str, texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let member = Command::new("python3")
        .args(["spec/examples/member.py", address, nick, "#Sala", "--drop", "0.2"])
        .args(texts)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(member.status.success(), "{}", String::from_utf8_lossy(&member.stderr));
    String::from_utf8(member.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// A relay that ends with the test.
struct Relay(Child);

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
