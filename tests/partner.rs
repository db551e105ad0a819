//! The partner and the member that were written from `spec/` talk to the real program, over a link that loses a fifth each way.

#![cfg(all(feature = "io", unix))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use serde_json::Value;
use udpchat::bucket::Rate;
use udpchat::endpoint::{EndpointConfig, HandshakeLimits, Protection};
use udpchat::io::clock::Clock;
use udpchat::machine::Path;
use udpchat::peer::{Event, Peer, PeerConfig};
use udpchat::secure::KeyPair;

#[test]
fn a_partner_written_from_the_spec_is_understood() {
    understand("partner.py", &["--clear"]);
}

#[test]
fn a_partner_that_seals_is_understood_by_the_program() {
    understand("sealed.py", &[]);
}

fn understand(example: &str, flags: &[&str]) {
    if Command::new("python3").arg("--version").output().is_err() {
        // Nothing but the Rust toolchain is needed to test this project.
        return;
    }
    let mut listener = Command::new(env!("CARGO_BIN_EXE_udpchat"))
        .args(["listen", "--bind", "127.0.0.1:0", "--json", "--count", "30"])
        .args(flags)
        .env("XDG_DATA_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/partner-of-the-spec"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(listener.stdout.take().unwrap());
    let mut ready = String::new();
    stdout.read_line(&mut ready).unwrap();
    let ready: Value = serde_json::from_str(&ready).unwrap();
    let texts: Vec<String> = (1..=30).map(|number| format!("linha {number}")).collect();

    let partner = Command::new("python3")
        .args(["-B", &format!("spec/examples/{example}"), ready["addr"].as_str().unwrap(), "--drop", "0.2"])
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

/// The partner brings a cookie back, changes its keys often, and talks to nobody but the key that it was told.
#[test]
fn a_partner_that_seals_is_understood() {
    if Command::new("python3").arg("--version").output().is_err() {
        return;
    }
    let keys = KeyPair::from_secret([7; 32]);
    let to = keys.public();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let texts: Vec<String> = (1..=30).map(|number| format!("linha {number}")).collect();
    let mut partner = Command::new("python3")
        .args(["-B", "spec/examples/sealed.py", &format!("{to}@{}", socket.local_addr().unwrap())])
        .args(["--drop", "0.2", "--rekey", "15"])
        .args(&texts)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(hear(&socket, keys, &mut partner), texts);

    let mut delivered = String::new();
    partner.stdout.take().unwrap().read_to_string(&mut delivered).unwrap();
    let mut delivered: Vec<&str> = delivered.lines().collect();
    delivered.sort_by_key(|line| (line.len(), *line));
    assert_eq!(delivered, texts.iter().map(|text| format!("delivered: {text}")).collect::<Vec<_>>());
}

/// What a peer with these keys hears on the socket until its partner has ended, in a flood of hellos from elsewhere.
fn hear(socket: &UdpSocket, keys: KeyPair, partner: &mut Child) -> Vec<String> {
    let handshakes =
        HandshakeLimits { unproven: Rate { burst: 1, per_second: 1 }, ..HandshakeLimits::default() };
    let protection = Protection::Sealed { keys: Arc::new(keys), seed: [1; 32].into() };
    let endpoint = EndpointConfig { protection, handshakes, ..EndpointConfig::default() };
    let clock = Clock::new();
    let now = || clock.now();
    let mut peer = Peer::new(PeerConfig { endpoint, ..PeerConfig::default() }, 1, now());
    let vectors = std::fs::read_to_string("spec/vectors/sealed.json").unwrap();
    let vectors: Value = serde_json::from_str(&vectors).unwrap();
    let hello = vectors["handshakes"][0]["datagrams"]["hello"].as_str().unwrap();
    let (mut datagram, mut buffer, mut heard) = (vec![0; 65_536], Vec::new(), Vec::new());
    for port in (1..u16::MAX).cycle() {
        let elsewhere = Path::to(SocketAddr::from(([192, 0, 2, 1], port)));
        peer.handle_datagram(now(), elsewhere, &mut HEXLOWER.decode(hello.as_bytes()).unwrap());
        if let Ok((length, from)) = socket.recv_from(&mut datagram) {
            peer.handle_datagram(now(), Path::to(from), &mut datagram[..length]);
        }
        peer.handle_timeout(now());
        while let Some(transmit) = peer.poll_transmit(now(), &mut buffer) {
            if transmit.path.remote.ip().is_loopback() {
                socket.send_to(&buffer[..transmit.length], transmit.path.remote).unwrap();
            }
        }
        while let Some(event) = peer.poll_event() {
            if let Event::Message(message) = event {
                heard.push(message.text);
            }
        }
        if let Some(status) = partner.try_wait().unwrap() {
            assert!(status.success());
            break;
        }
    }
    heard
}

#[test]
fn the_vectors_of_sealing_are_what_the_spec_makes_of_them() {
    if Command::new("python3").arg("--version").output().is_err() {
        return;
    }
    let check = Command::new("python3")
        .args(["-B", "spec/examples/sealed.py", "--check", "spec/vectors/sealed.json"])
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}

#[test]
fn a_member_written_from_the_spec_is_let_in_heard_and_finds_nothing_wrong() {
    let_in("member.py", &["--clear"]);
}

#[test]
fn a_member_that_seals_is_let_in_too_and_its_letters_arrive() {
    let_in("sealed_member.py", &[]);
}

fn let_in(example: &str, flags: &[&str]) {
    if Command::new("python3").arg("--version").output().is_err() {
        return;
    }
    let data = format!("{}/{example}-of-the-spec", env!("CARGO_TARGET_TMPDIR"));
    let relay = Command::new(env!("CARGO_BIN_EXE_udpchat"))
        .args(["relay", "--bind", "127.0.0.1:0", "--json", "--memory", "--data", &data])
        .args(flags)
        .stdout(Stdio::piped())
        .spawn();
    let mut relay = Relay(relay.unwrap());
    let mut ready = String::new();
    BufReader::new(relay.0.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let ready: Value = serde_json::from_str(&ready).unwrap();
    let address = ready["addr"].as_str().unwrap();

    let texts: Vec<String> = (1..=10).map(|number| format!("linha {number}")).collect();
    let said = member(example, address, "ana", texts.iter().map(String::as_str).chain(["@ana psst"]));
    for text in texts.iter().map(String::as_str).chain(["@ana psst"]) {
        assert!(said.contains(&format!("delivered: {text}")), "{text}: {said:#?}");
    }
    assert!(said.contains(&"@ ana: psst".to_owned()), "{said:#?}");

    // Whoever comes later is shown all of it, in order.
    let said = member(example, address, "bob", ["oi", "@nobody oi"]);
    let history: Vec<&str> = said.iter().filter_map(|line| line.strip_prefix("before #sala ana: ")).collect();
    assert_eq!(history, texts);
    assert!(said.contains(&"delivered: oi".to_owned()), "{said:#?}");
    assert!(said.iter().any(|line| line.starts_with("no-such-name: @nobody oi")), "{said:#?}");
}

/// What the example says when it goes to a relay.
fn member<'a>(
    example: &str,
    address: &str,
    nick: &str,
    texts: impl IntoIterator<Item = &'a str>,
) -> Vec<String> {
    let member = Command::new("python3")
        .args([&format!("spec/examples/{example}"), address, nick, "#Sala", "--drop", "0.2"])
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
