//! The conversation that `spec/01-overview.md` prints: two peers in memory, 20 ms apart, and one datagram that gets lost.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use udpchat::machine::Path;
use udpchat::peer::{Command, Event, Id, Named, Peer, PeerConfig};
use udpchat::time::{Instant, Now, WallTime};

/// One datagram that left.
pub struct Spoken {
    pub at: Duration,
    pub from: &'static str,
    pub is_lost: bool,
    pub datagram: String,
}

const NAMES: [&str; 2] = ["ana", "bob"];
const DELAY: Duration = Duration::from_millis(20);

/// This datagram of the conversation gets lost: ana's second message.
const LOST: usize = 6;

/// Everything that ana and bob say to each other.
pub fn record() -> Vec<Spoken> {
    let mut run = Run::new();
    let Ok(Id::Conversation(bob)) =
        run.tell(0, Command::Open { addresses: vec![address(1)], named: Named::default() })
    else {
        panic!("ana cannot begin");
    };
    run.tell(0, Command::Say { to: bob.into(), text: "hi".to_owned() }).unwrap();
    run.until(Duration::from_millis(150));
    run.tell(0, Command::Say { to: bob.into(), text: "is it raining?".to_owned() }).unwrap();
    run.until(Duration::from_millis(160));
    run.tell(0, Command::Say { to: bob.into(), text: "here it is".to_owned() }).unwrap();
    run.until(Duration::from_secs(1));
    run.tell(1, Command::Reply { text: "so it is here".to_owned() }).unwrap();
    run.until(Duration::from_secs(2));
    run.tell(0, Command::Shutdown).unwrap();
    run.until(Duration::from_secs(3));
    run.said
}

/// The record as the chapter prints it, to paste what is new.
pub fn as_markdown(said: &[Spoken]) -> String {
    let mut text = String::new();
    for (number, Spoken { at, from, is_lost, datagram }) in (1..).zip(said) {
        let fate = if *is_lost { ", lost" } else { "" };
        let _ =
            writeln!(text, "{number}. {} ms, {from}{fate}\n```datagram\n{datagram}\n```\n", at.as_millis());
    }
    text
}

struct Run {
    start: Now,
    now: Now,
    peers: [Peer; 2],
    /// Datagrams on their way, by arrival and order of departure.
    flying: BTreeMap<(Instant, usize), (usize, Vec<u8>)>,
    said: Vec<Spoken>,
}

impl Run {
    fn new() -> Self {
        let start = Now {
            instant: Instant::from_nanos(1),
            // 2026-11-21T12:00:00Z
            wall: WallTime::from_unix_micros(1_795_262_400_000_000),
        };
        let peers = [0, 1].map(|end| {
            let config =
                PeerConfig { nick: Some(NAMES[end].to_owned()), local_port: 6_000, ..PeerConfig::default() };
            Peer::new(config, end as u64 + 1, start)
        });
        Self { start, now: start, peers, flying: BTreeMap::new(), said: Vec::new() }
    }

    fn tell(&mut self, end: usize, command: Command) -> Result<Id, udpchat::peer::CommandError> {
        let result = self.peers[end].handle_command(self.now, command);
        self.flush();
        result
    }

    fn flush(&mut self) {
        let mut buffer = Vec::new();
        for end in [0, 1] {
            while let Some(transmit) = self.peers[end].poll_transmit(self.now, &mut buffer) {
                let datagram = &buffer[..transmit.length];
                let is_lost = self.said.len() + 1 == LOST;
                self.said.push(Spoken {
                    at: self.now.instant.since(self.start.instant),
                    from: NAMES[end],
                    is_lost,
                    datagram: String::from_utf8(datagram.to_vec()).expect("chat is text"),
                });
                if !is_lost {
                    let key = (self.now.instant + DELAY, self.said.len());
                    self.flying.insert(key, (1 - end, datagram.to_vec()));
                }
            }
            while let Some(event) = self.peers[end].poll_event() {
                assert!(!matches!(event, Event::Failed { .. } | Event::Unknown { .. }), "{event:?}");
            }
        }
    }

    fn until(&mut self, elapsed: Duration) {
        let end = self.start.instant + elapsed;
        loop {
            let arrival = self.flying.keys().next().map(|&(at, _)| at);
            let timer = self.peers.iter().filter_map(Peer::poll_timeout).map(|(at, _)| at).min();
            let Some(next) = arrival.into_iter().chain(timer).min().filter(|&next| next <= end) else {
                break;
            };
            self.now = self.now.after(next.since(self.now.instant));
            while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= next) {
                let (to, mut datagram) = entry.remove();
                let path = Path { remote: address(1 - to), local_ip: Some(address(to).ip()) };
                self.peers[to].handle_datagram(self.now, path, &mut datagram);
                self.flush();
            }
            for peer in &mut self.peers {
                peer.handle_timeout(self.now);
            }
            self.flush();
        }
        self.now = self.start.after(elapsed);
    }
}

fn address(end: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + u8::try_from(end).unwrap_or(0)], 6_000))
}
