//! Attacks in numbers: hellos from where nobody is, handshakes that nobody finishes, one key that wants every place.

use std::net::SocketAddr;
use std::time::Duration;

use udpchat::endpoint::{Endpoint, EndpointConfig};
use udpchat::machine::Path;
use udpchat::random::Random;
use udpchat::wire::{self, ConnectionId, Handshake, Limits, SealedHello, Wish};

use super::stage::{Stage, address, ms, sealed};

pub fn rows() -> Vec<String> {
    vec![
        flood(),
        half_open("handshakes that nobody finishes, from one address with good cookies", |_| {
            SocketAddr::from(([10, 9, 9, 9], 6_000))
        }),
        half_open("handshakes that nobody finishes, from as many addresses with good cookies", |number| {
            SocketAddr::from(((0x2000_0000 + number).to_be_bytes(), 6_000))
        }),
        one_key(),
    ]
}

/// Members that say something each tenth of the flood.
const MEMBERS: usize = 50;

/// Hellos of the flood, in one second.
const HELLOS: u32 = 100_000;

/// Any 32 bytes are a point of the curve, so a hello costs its forger nothing.
fn forged_hello(random: &mut Random) -> Vec<u8> {
    let id = ConnectionId::random(random);
    let mut message: Vec<u8> = (0..4).flat_map(|_| random.next_u64().to_le_bytes()).collect();
    message.extend(Wish { id, limits: Limits::default(), old: None }.encode());
    let mut datagram = Vec::new();
    let hello = SealedHello { id, cookie: None, message: &message };
    wire::encode_handshake(&mut datagram, &Handshake::SealedHello(hello));
    datagram
}

fn flood() -> String {
    let mut stage = Stage::of((0..2 + MEMBERS).map(sealed).collect());
    stage.connect();
    for member in 2..2 + MEMBERS {
        // The last one comes in the middle of the flood.
        if member < 1 + MEMBERS {
            stage.ask(member, address(1), None);
        }
    }
    stage.run(ms(2_000));
    let mut random = Random::from_seed(1);
    let mut said_at = Vec::new();
    let mut newcomer_at = stage.now.instant;
    for tick in 0..1_000 {
        if tick % 100 == 0 {
            for member in 2..1 + MEMBERS {
                said_at.push((format!("{member}.{tick}"), stage.now.instant));
                stage.say(member, &format!("{member}.{tick}"));
            }
        }
        if tick == 500 {
            newcomer_at = stage.now.instant;
            stage.ask(1 + MEMBERS, address(1), None);
            stage.say(1 + MEMBERS, "new here");
        }
        for number in 0..HELLOS / 1_000 {
            let from = SocketAddr::from(((0x2000_0000 + 1_000 * number + tick).to_be_bytes(), 6_000));
            let hello = forged_hello(&mut random);
            stage.strike(1, from, &hello);
        }
        stage.run(ms(1));
    }
    stage.run(ms(2_000));
    let heard_at = |text: &str| stage.heard.iter().find(|it| it.2 == text).expect("it was heard").0;
    let slowest = said_at.iter().map(|(text, at)| heard_at(text).since(*at)).max().unwrap();
    let newcomer = heard_at("new here").since(newcomer_at);
    let said = said_at.len();
    stage.heard.retain(|(_, host, text)| *host == 0 || text == "hello");
    assert!(stage.ends[1].half_open_count() <= EndpointConfig::default().max_half_open);
    let verdict = stage.verdict();
    stage.row(
        "hellos from 100 000 addresses where nobody is, in one second",
        &format!(
            "{verdict}; {MEMBERS} members: {said} words were heard, the slowest after {} ms; the first words of one \
             who came in the middle after {} ms",
            slowest.as_millis(),
            newcomer.as_millis()
        ),
    )
}

/// Somebody who brings back what is asked, and never the third message.
fn half_open(attack: &str, from: fn(u32) -> SocketAddr) -> String {
    let mut stage = Stage::of((0..3).map(sealed).collect());
    stage.connect();
    stage.run(ms(500));
    let mut caller = Endpoint::new(EndpointConfig { max_connections: 10_000, ..sealed(6) }, 6);
    let mut buffer = Vec::new();
    for number in 0..2_000 {
        caller.connect(stage.now, &[Path::to(address(1))], None).unwrap();
        // The answer to the hello is a request for a cookie, if any; the one to the next a welcome.
        for _ in 0..2 {
            let Some(transmit) = caller.poll_transmit(stage.now, &mut buffer) else { break };
            let hello = buffer[..transmit.length].to_vec();
            let answers = stage.strike_for_answer(1, from(number), &hello);
            let is_retry = |answer: &[u8]| answer.windows(9).any(|it| it == br#""t":"retr"#);
            let Some(mut retry) = answers.into_iter().find(|answer| is_retry(answer)) else { break };
            caller.handle_datagram(stage.now, Path::to(address(1)), &mut retry);
        }
        // Those that wait are of no more use, and would say hello again.
        caller = if number % 100 == 99 {
            Endpoint::new(EndpointConfig { max_connections: 10_000, ..sealed(6) }, u64::from(number))
        } else {
            caller
        };
        if number % 2 == 1 {
            stage.run(ms(1));
        }
    }
    let places = stage.ends[1].half_open_count();
    let begins = stage.now.instant;
    stage.ask(2, address(1), None);
    stage.say(2, "new here");
    stage.run(ms(3_000));
    let heard = stage.heard.iter().find(|it| it.2 == "new here").expect("it was heard").0;
    stage.heard.retain(|it| it.2 != "new here");
    let verdict = stage.verdict();
    let took: Duration = heard.since(begins);
    stage.row(
        attack,
        &format!(
            "{verdict}; {places} places taken; one who came then was heard after {} ms",
            took.as_millis()
        ),
    )
}

fn one_key() -> String {
    let mut stage = Stage::of((0..4).map(sealed).collect());
    stage.foes = vec![2];
    stage.connect();
    stage.run(ms(500));
    for _ in 0..300 {
        stage.ask(2, address(1), None);
    }
    stage.run(ms(5_000));
    let taken = stage.ends[1].connections().count() - 1;
    let begins = stage.now.instant;
    stage.ask(3, address(1), None);
    stage.say(3, "new here");
    stage.run(ms(3_000));
    let heard = stage.heard.iter().find(|it| it.2 == "new here").expect("it was heard").0;
    stage.heard.retain(|it| it.2 != "new here");
    // Only what is told at the granting side: the asking one's attempts end by themselves.
    stage.told.retain(|line| !line.starts_with("2 "));
    let verdict = stage.verdict();
    let verdict = verdict.split("; 2 of").next().unwrap().to_owned();
    stage.row(
        "one key that begins 300 connections of 1024",
        &format!(
            "{verdict}; {taken} connections taken; one with another key was heard after {} ms",
            heard.since(begins).as_millis()
        ),
    )
}
