//! Ten talks through one bottleneck: redundancy must not make a full link fuller.

use std::net::SocketAddr;

use udpchat::arq::{Config, Connection, SendError, SendOptions};
use udpchat::fault::{Direction, Link, LinkPlan};
use udpchat::machine::Path;
use udpchat::secure::Entropy;
use udpchat::time::Instant;
use udpchat::wire::{ConnectionId, Datagram, decode};

/// How many talks, and for how long.
const TALKS: u16 = 10;
const SECONDS: u64 = 20;

/// What each talk says, a hundred times a second.
const MESSAGE_BYTES: usize = 100;

/// One end of a talk.
struct End {
    connection: Connection,
    address: SocketAddr,
}

/// What came of all talks together.
#[derive(Debug)]
struct Outcome {
    delivered: u64,
    sent_bytes: u64,
    copied_bytes: u64,
}

fn ends(talk: u16) -> [End; 2] {
    let id = |side: u16| ConnectionId::parse(&format!("talk{talk:02}x{side}")).unwrap();
    let address = |side: u16| SocketAddr::from(([10, 0, 0, side as u8 + 1], 6_000 + talk));
    let now = Instant::ZERO;
    [0, 1].map(|side: u16| {
        let (config, other) = (Config::default(), 1 - side);
        let secrets = Entropy::from_seed([talk as u8 * 2 + side as u8; 32]);
        let path = Path::to(address(other));
        let mut connection = Connection::new(now, &config.clone().into(), id(side), path, side == 0, secrets);
        connection.establish(now, id(other), &config.limits, path);
        End { connection, address: address(side) }
    })
}

/// Runs the talks over one link there and one back.
fn run(plan: &str) -> Outcome {
    let mut talks: Vec<[End; 2]> = (0..TALKS).map(ends).collect();
    let plan = plan.parse::<LinkPlan>().unwrap();
    let mut links = [Link::new(plan.clone(), 1, Direction::Up), Link::new(plan, 2, Direction::Down)];
    let (mut buffer, mut delivered) = (Vec::new(), 0);
    for millisecond in 0..SECONDS * 1_000 {
        let now = Instant::from_nanos(millisecond * 1_000_000);
        for (place, talk) in (0_u64..).zip(&mut talks) {
            if millisecond % 10 == place {
                let body = vec![7; MESSAGE_BYTES];
                // Who is told to wait says it later; here it is left unsaid.
                let result = talk[0].connection.submit(0, body, SendOptions::default());
                assert!(matches!(result, Ok(_) | Err(SendError::WouldBlock)), "{result:?}");
            }
            for (end, link) in talk.iter_mut().zip(&mut links) {
                end.connection.handle_timeout(now);
                while let Some(transmit) = end.connection.poll_transmit(now, &mut buffer) {
                    // The link knows a flow by who sends it.
                    let path = Path { remote: end.address, local_ip: None };
                    link.handle_datagram(now, path, &buffer[..transmit.length]);
                }
                while end.connection.poll_event().is_some() {}
            }
        }
        for (side, link) in links.iter_mut().enumerate() {
            link.handle_timeout(now);
            while let Some(transmit) = link.poll_transmit(now, &mut buffer) {
                let Ok(Datagram::Packet(packet)) = decode(&buffer[..transmit.length]) else { continue };
                let from = transmit.path;
                let talk = &mut talks[usize::from(from.remote.port() - 6_000)];
                let connection = &mut talk[1 - side].connection;
                connection.handle_packet(now, from, &packet, transmit.length);
                while connection.take(0).is_some() {
                    delivered += 1;
                }
            }
        }
    }
    let statistics = talks.iter().map(|talk| talk[0].connection.statistics());
    let (sent_bytes, copied_bytes) =
        statistics.fold((0, 0), |(sent, copied), each| (sent + each.bytes_sent, copied + each.bytes_copied));
    Outcome { delivered, sent_bytes, copied_bytes }
}

// UC-ARQ-022
#[test]
fn ten_talks_on_a_full_bottleneck_are_not_made_worse_by_redundancy() {
    // 62 500 bytes a second for 100 000 bytes of text.
    for (plan, least_share) in
        [("rate=500kbit/20kB delay=25ms", 0.6), ("rate=500kbit/20kB delay=25ms drop=10%", 0.5)]
    {
        let outcome = run(plan);
        let text = outcome.delivered as f64 * MESSAGE_BYTES as f64 / (62_500.0 * SECONDS as f64);
        let copied = outcome.copied_bytes as f64 / outcome.sent_bytes as f64;
        println!("{plan}: text {text:.3} of the rate, copies {copied:.3} of what was sent");
        assert!(text >= least_share, "{plan}: {outcome:?}");
        assert!(copied <= 0.1, "{plan}: {outcome:?}");
    }
    // With room for it there is redundancy.
    let outcome = run("rate=20mbit/200kB delay=25ms drop=20%");
    println!("with room: {outcome:?}");
    assert!(outcome.copied_bytes * 3 > outcome.sent_bytes, "{outcome:?}");
}
