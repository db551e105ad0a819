//! Sealed endpoints on a link in memory, 10 ms long, and everything that somebody does to them counted datagram by datagram.
//!
//! Host 0 asks, host 1 grants and is the one that most attacks are about; other hosts are whoever an attack needs. An attacking
//! datagram moves exactly one disposition, or the stage panics: nothing is dropped that nobody counted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use udpchat::arq::{self, Closed, SendOptions};
use udpchat::endpoint::{Endpoint, EndpointConfig, Event, Handle, Protection};
use udpchat::machine::Path;
use udpchat::secure::{KeyPair, PublicKey};
use udpchat::time::{Instant, Now, WallTime};

const DELAY: Duration = Duration::from_millis(10);
const DIGITS: usize = 8;

/// How long a conversation may take to go on before it counts as stuck: longer than any timer of an attempt or a probe.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was counted, by name.
pub type Counts = BTreeMap<String, u64>;

pub fn address(host: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + u8::try_from(host).unwrap()], 6_000))
}

pub fn keys(host: usize) -> KeyPair {
    KeyPair::from_secret([1 + u8::try_from(host).unwrap(); 32])
}

fn key(host: usize) -> PublicKey {
    keys(host).public()
}

pub fn sealed(host: usize) -> EndpointConfig {
    let seed = [101 + u8::try_from(host).unwrap(); 32].into();
    let protection = Protection::Sealed { keys: Arc::new(keys(host)), seed };
    EndpointConfig { protection, ..EndpointConfig::default() }
}

pub fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// What a datagram is, as far as anybody on the path can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Hello,
    Welcome,
    Third,
    Packet,
}

pub fn kind(datagram: &[u8]) -> Kind {
    let head = datagram.split(|byte| *byte == b'\n').next().unwrap();
    let has = |word: &str| head.windows(word.len()).any(|window| window == word.as_bytes());
    match () {
        () if has(r#""t":"hello""#) => Kind::Hello,
        () if has(r#""t":"welcome""#) => Kind::Welcome,
        () if has(r#""finish":64"#) => Kind::Third,
        () => Kind::Packet,
    }
}

/// Where the digits of an unsealed datagram's checksum stand.
pub fn digits_at(datagram: &[u8]) -> Option<usize> {
    let before = br#""c":""#;
    let at = datagram.windows(before.len()).position(|window| window == before)? + before.len();
    (at + DIGITS <= datagram.len()).then_some(at)
}

/// Makes the checksum right again: whoever changes a datagram on purpose does.
pub fn mend(datagram: &mut [u8]) {
    if let Some(at) = digits_at(datagram) {
        datagram[at..at + DIGITS].copy_from_slice(b"00000000");
        let digits = format!("{:08x}", crc32c::crc32c(datagram));
        datagram[at..at + DIGITS].copy_from_slice(digits.as_bytes());
    }
}

/// A datagram on its way.
#[derive(Clone, Debug)]
pub struct Flight {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub datagram: Vec<u8>,
}

pub struct Stage {
    pub now: Now,
    pub ends: Vec<Endpoint>,
    /// Of each host, the connection that it asked for last.
    pub asked: BTreeMap<usize, Handle>,
    /// Of host 1, the connection that each host began with it last.
    pub granted: BTreeMap<usize, Handle>,
    wire: BTreeMap<(Instant, u64), Flight>,
    sent: u64,
    /// All that was on the way so far.
    pub past: Vec<Flight>,
    /// What the ends told and nobody expected.
    pub told: Vec<String>,
    /// When each text was heard, and by whom.
    pub heard: Vec<(Instant, usize, String)>,
    /// Hosts whose datagrams are the attack.
    pub foes: Vec<usize>,
    /// Who gets what host 0 and host 1 send each other, and answers in the other's name.
    pub impostor: Option<usize>,
    /// An address that passes on, from itself, whatever host 0 and host 1 send to it.
    pub middle: Option<SocketAddr>,
    pub tried: u64,
    by_attack: BTreeMap<usize, Counts>,
    beside: BTreeMap<usize, Counts>,
    began_at: Instant,
}

impl Stage {
    pub fn new() -> Self {
        Self::of((0..2).map(sealed).collect())
    }

    pub fn of(configs: Vec<EndpointConfig>) -> Self {
        let start = Instant::from_nanos(1_000_000);
        Self {
            now: Now { instant: start, wall: WallTime::from_unix_micros(0) },
            ends: (1..).zip(configs).map(|(seed, config)| Endpoint::new(config, seed)).collect(),
            asked: BTreeMap::new(),
            granted: BTreeMap::new(),
            wire: BTreeMap::new(),
            sent: 0,
            past: Vec::new(),
            told: Vec::new(),
            heard: Vec::new(),
            foes: Vec::new(),
            impostor: None,
            middle: None,
            tried: 0,
            by_attack: BTreeMap::new(),
            beside: BTreeMap::new(),
            began_at: start,
        }
    }

    /// One that has a conversation between hosts 0 and 1, both of which have said something and heard it.
    pub fn talking() -> Self {
        let mut stage = Self::new();
        stage.connect();
        stage.run(ms(500));
        stage
    }

    pub fn in_clear() -> Self {
        Self::of(vec![EndpointConfig::default(); 2])
    }

    /// Host 0 asks host 1, whose key it knows, and says something at once.
    pub fn connect(&mut self) {
        let expected = self.ends[0].local_key().map(|_| key(1));
        self.ask(0, address(1), expected);
        self.say(0, "hello");
    }

    pub fn ask(&mut self, host: usize, to: SocketAddr, expected: Option<PublicKey>) -> Handle {
        let handle = self.ends[host].connect(self.now, &[Path::to(to)], expected).unwrap();
        self.asked.insert(host, handle);
        self.flush(host);
        handle
    }

    /// A host says something to host 1, or host 1 to host 0.
    pub fn say(&mut self, host: usize, text: &str) {
        let handle = if host == 1 { self.granted.get(&0) } else { self.asked.get(&host) };
        if let Some(&handle) = handle {
            let options = SendOptions::default();
            if let Err(error) = self.ends[host].submit(handle, 0, text.as_bytes().to_vec(), options) {
                self.told.push(format!("{host} could not say {text}: {error}"));
            }
            self.flush(host);
        }
    }

    /// An attacking datagram comes to a host.
    pub fn strike(&mut self, host: usize, from: SocketAddr, datagram: &[u8]) {
        self.tried += 1;
        self.hand_over(host, from, datagram.to_vec(), true);
    }

    /// The same, and what is answered to its sender.
    pub fn strike_for_answer(&mut self, host: usize, from: SocketAddr, datagram: &[u8]) -> Vec<Vec<u8>> {
        self.strike(host, from, datagram);
        let is_answer = |flight: &Flight| flight.to == from;
        let answers =
            self.wire.values().filter(|it| is_answer(it)).map(|flight| flight.datagram.clone()).collect();
        self.wire.retain(|_, flight| !is_answer(flight));
        answers
    }

    /// What one endpoint has counted, and its connections together.
    fn counts(&self, host: usize) -> (u64, Counts) {
        let mut counts: Counts = self.ends[host]
            .statistics()
            .dispositions()
            .map(|(name, count)| (name.to_owned(), count))
            .collect();
        let dispositions = counts.values().sum();
        if self.ends.len() < 8 {
            for (_, connection) in self.ends[host].connections() {
                let of = connection.statistics();
                for (name, count) in
                    [("dishonest-acks", of.dishonest_acks), ("stray-path-answers", of.stray_path_answers)]
                {
                    *counts.entry(name.to_owned()).or_default() += count;
                }
            }
        }
        (dispositions, counts)
    }

    fn hand_over(&mut self, host: usize, from: SocketAddr, mut datagram: Vec<u8>, is_attack: bool) {
        let (sum_before, before) = self.counts(host);
        self.ends[host].handle_datagram(self.now, Path::to(from), &mut datagram);
        let (sum, after) = self.counts(host);
        assert_eq!(sum, sum_before + 1, "each datagram is counted once");
        let list = if is_attack { &mut self.by_attack } else { &mut self.beside };
        let counts = list.entry(host).or_default();
        for (name, count) in after {
            let more = count.saturating_sub(before.get(&name).copied().unwrap_or(0));
            if more > 0 {
                *counts.entry(name).or_default() += more;
            }
        }
        self.flush(host);
    }

    fn flush(&mut self, host: usize) {
        let mut buffer = Vec::new();
        loop {
            while let Some(transmit) = self.ends[host].poll_transmit(self.now, &mut buffer) {
                let datagram = buffer[..transmit.length].to_vec();
                let flight = Flight { from: address(host), to: transmit.path.remote, datagram };
                self.sent += 1;
                if self.past.len() < 400 {
                    self.past.push(flight.clone());
                }
                self.wire.insert((self.now.instant + DELAY, self.sent), flight);
            }
            let Some(event) = self.ends[host].poll_event() else { return };
            self.note(host, event);
        }
    }

    /// Who is at the other side of a connection, by its key; in the clear there are only two.
    fn other(&self, host: usize, handle: Handle) -> usize {
        let key_there = self.ends[host].remote_key(handle);
        (0..60).find(|&other| Some(key(other)) == key_there).unwrap_or(1 - host.min(1))
    }

    fn note(&mut self, host: usize, event: Event) {
        match event {
            Event::Accepted { handle } => {
                let other = self.other(host, handle);
                let is_first = host == 1 && self.granted.insert(other, handle).is_none();
                if !is_first && !self.foes.contains(&other) {
                    self.told.push(format!("{host} accepted {other} again"));
                }
                if (host, other) == (1, 0) {
                    self.say(1, "welcome");
                }
            }
            Event::Connection { handle, event: arq::Event::Readable { stream } } => {
                while let Some(received) = self.ends[host].take(handle, stream) {
                    let length = received.body.len();
                    let text = match String::from_utf8(received.body) {
                        Ok(text) if length < 40 => text,
                        _ => format!("{length} bytes"),
                    };
                    self.heard.push((self.now.instant, host, text));
                }
            }
            Event::Connection { handle, event: arq::Event::Closed(closed) } => {
                let other = self.other(host, handle);
                let why = match closed {
                    Closed::ByUs => "it closed".to_owned(),
                    Closed::ByPeer { code, reason } => format!("the other side closed, {code} {reason:?}"),
                    Closed::NoAnswer { hint } => format!("no answer, {}", hint.unwrap_or_default()),
                    Closed::WrongKey { .. } => "nobody else answered: wrong key".to_owned(),
                    Closed::Violation(violation) => format!("{violation:?}, {}", violation.rule()),
                    Closed::Silent | Closed::Restarted => format!("{closed:?}"),
                };
                self.told.push(format!("{host} of its connection with {other}: {why}"));
            }
            Event::Connection { handle, event: event @ (arq::Event::Silent | arq::Event::Moved { .. }) } => {
                let other = self.other(host, handle);
                self.told.push(format!("{host} of its connection with {other}: {event:?}"));
            }
            Event::Replaced { .. } => self.told.push(format!("{host} replaced a connection")),
            Event::WrongKey { seen, .. } => {
                let other = (0..60).find(|&other| key(other) == seen).unwrap();
                self.told.push(format!("{host} was told: wrong key, {other}'s"));
            }
            Event::Connection { .. } => {}
        }
    }

    pub fn run(&mut self, length: Duration) {
        self.run_with(length, |_, _| true);
    }

    /// Lets time pass. The hook is asked about each datagram before it comes, and may strike first; one that it refuses is lost.
    pub fn run_with(&mut self, length: Duration, mut hook: impl FnMut(&mut Self, &Flight) -> bool) {
        let until = self.now.instant + length;
        loop {
            (0..self.ends.len()).for_each(|host| self.flush(host));
            let timer = self.ends.iter().filter_map(Endpoint::poll_timeout).map(|(at, _)| at).min();
            let arrival = self.wire.keys().next().map(|&(at, _)| at);
            let next = timer.into_iter().chain(arrival).min().filter(|next| *next <= until);
            let pause = next.unwrap_or(until).since(self.now.instant);
            self.now = self.now.after(pause);
            if next.is_none() {
                return;
            }
            while let Some(entry) = self.wire.first_entry().filter(|it| it.key().0 <= self.now.instant) {
                let flight = entry.remove();
                if hook(self, &flight) {
                    self.deliver(&flight);
                }
            }
            let now = self.now;
            self.ends.iter_mut().for_each(|end| end.handle_timeout(now));
        }
    }

    fn deliver(&mut self, flight: &Flight) {
        let host_at = |address_of: SocketAddr| (0..self.ends.len()).find(|&host| address(host) == address_of);
        let is_foe = host_at(flight.from).is_some_and(|host| self.foes.contains(&host));
        let (mut from, mut to) = (flight.from, host_at(flight.to));
        if self.middle.is_some_and(|middle| middle == flight.to) {
            (from, to) = (flight.to, host_at(flight.from).map(|host| 1 - host));
        }
        if let (Some(impostor), Some(source), Some(target)) = (self.impostor, host_at(from), to) {
            if (source, target) == (0, 1) {
                to = Some(impostor);
            } else if (source, target) == (impostor, 0) {
                from = address(1);
            }
        }
        if let Some(to) = to {
            self.tried += u64::from(is_foe);
            self.hand_over(to, from, flight.datagram.clone(), is_foe);
        }
    }

    /// Whether the conversation of hosts 0 and 1 goes on, and what else was told; nothing that was said may come twice.
    pub fn verdict(&mut self) -> String {
        let from = self.now.instant;
        self.say(0, "still here");
        self.say(1, "so am I");
        let said = ["hello", "welcome", "still here", "so am I"];
        let when = |stage: &Self, text: &str| {
            let host = usize::from(text == "hello" || text == "still here");
            let mut times = stage.heard.iter().filter(|(_, by, heard)| *by == host && heard == text);
            let at = times.next().map(|(at, ..)| *at);
            assert!(times.next().is_none(), "{text} came twice");
            at
        };
        self.run(PATIENCE);
        let missing: Vec<&str> = said.into_iter().filter(|text| when(self, text).is_none()).collect();
        let strangers = self.heard.iter().filter(|(_, host, text)| *host < 2 && !said.contains(&&**text));
        for (_, host, text) in strangers {
            self.told.push(format!("{host} heard {text}"));
        }
        let mut verdict = if missing.is_empty() {
            let took = |text: &str, from: Instant| when(self, text).unwrap().since(from).as_millis();
            let last = said[2..].iter().map(|text| took(text, from)).max().unwrap();
            format!("begun in {} ms, went on in {last} ms", took("welcome", self.began_at))
        } else {
            format!("STUCK: nobody heard {missing:?}")
        };
        for told in std::mem::take(&mut self.told) {
            verdict.push_str("; ");
            verdict.push_str(&told);
        }
        verdict
    }

    /// The line of the table.
    pub fn row(&self, attack: &str, conversation: &str) -> String {
        let names = ["the asking side", "the granting side"];
        let list = |counts: &Counts| {
            let line: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
            line.join(", ")
        };
        let mut row = format!("{attack}\n    tried {}\n", self.tried);
        let mut parts: Vec<(&str, usize)> = Vec::new();
        for part in conversation.split("; ") {
            match parts.iter_mut().find(|(known, _)| *known == part) {
                Some((_, times)) => *times += 1,
                None => parts.push((part, 1)),
            }
        }
        for (part, times) in parts {
            let often = if times > 1 { format!(" ({times} times)") } else { String::new() };
            row.push_str(&format!("    {part}{often}\n"));
        }
        for (host, name) in names.into_iter().enumerate() {
            let mut beside = self.beside.get(&host).cloned().unwrap_or_default();
            beside.retain(|name, _| !["packet", "hello", "welcome"].contains(&&**name));
            for (whose, counts) in
                [("of these", self.by_attack.get(&host)), ("of what is honest", Some(&beside))]
            {
                if let Some(counts) = counts.filter(|counts| !counts.is_empty()) {
                    row.push_str(&format!("    {name} counted {whose}: {}\n", list(counts)));
                }
            }
        }
        row
    }
}
