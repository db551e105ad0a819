//! The loop: reads datagrams, leads them through the bad link, and sends what comes out when it is due.
//!
//! One thread. It decides nothing about a datagram's fate; that is the link's business.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use udpchat::fault::{Direction, Event, Link};
use udpchat::io::clock::Clock;
use udpchat::io::entropy::{self, EntropyError};
use udpchat::io::resolve::{ResolveError, Target};
use udpchat::io::signals::Signals;
use udpchat::machine::Path;
use udpchat::time::{Instant, Now};

use super::flows::Flows;
use super::options::Setup;
use super::record::{End, Record, Start};
use super::socket::{self, Mishaps, Received, received};

const LISTENER: Token = Token(0);
const SIGNALS: Token = Token(1);
const FIRST_FLOW: usize = 2;

/// Indices into the links.
const UP: usize = 0;
const DOWN: usize = 1;

/// Enough to make a turn's fixed cost vanish, few enough that no other socket waits for long.
const DATAGRAMS_PER_TURN: usize = 64;

/// No datagram is longer.
const MAX_DATAGRAM_BYTES: usize = 65_535;

/// The system's wait counts in milliseconds; what is nearer than this is waited for in naps.
const NEAR: Duration = Duration::from_millis(1);

/// How long a nap is asked for. It lasts about twice that, since the system groups wake-ups.
const NAP: Duration = Duration::from_micros(50);

/// A deadline nearer than a nap lasts is waited for awake.
const TOO_NEAR_TO_NAP: Duration = Duration::from_micros(120);

/// How often idle flows are looked for.
const FORGET_EVERY: Duration = Duration::from_secs(1);

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    clock: Clock,
    poll: Poll,
    signals: Signals,
    listener: UdpSocket,
    flows: Flows,
    links: [Link; 2],
    /// Sockets that may have more to read.
    ready: VecDeque<Token>,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    mishaps: Mishaps,
    seed: u64,
    stop_at: Option<Instant>,
    forget_at: Instant,
}

impl Proxy {
    /// Opens everything and says so.
    pub(crate) fn start(setup: Setup, record: &mut Record) -> Result<Self, StartError> {
        let (listener, listen) = listen(&setup.listen)?;
        let to = *setup.to.look_up().map_err(StartError::LookUp)?.first().ok_or(StartError::NoTarget)?;
        if listen == to {
            return Err(StartError::ToItself { address: to });
        }
        let (poll, signals, listener) = watch(listener).map_err(StartError::System)?;
        let seed = match setup.seed {
            Some(seed) => seed,
            // Half as many digits to copy, and still nobody meets the same twice.
            None => entropy::seed().map_err(StartError::Entropy)? >> 32,
        };
        let clock = Clock::new();
        let now = clock.now();
        let mut links =
            [Link::new(setup.up, seed, Direction::Up), Link::new(setup.down, seed, Direction::Down)];
        for link in &mut links {
            link.set_verdicts_wanted(record.wants_verdicts());
            link.handle_timeout(now.instant);
        }
        record.begin(&Start { now, listen, to, links: &links, seed });
        Ok(Self {
            clock,
            poll,
            signals,
            listener,
            flows: Flows::new(to, FIRST_FLOW),
            links,
            ready: VecDeque::new(),
            incoming: vec![0; MAX_DATAGRAM_BYTES],
            outgoing: Vec::new(),
            mishaps: Mishaps::default(),
            seed,
            stop_at: setup.stop_after.map(|time| now.instant + time),
            forget_at: now.instant + FORGET_EVERY,
        })
    }

    /// Runs until a signal, the end of its time, or nobody who reads.
    pub(crate) fn run(mut self, record: &mut Record) {
        let mut events = Events::with_capacity(1_024);
        let mut is_stopped = false;
        while !is_stopped {
            // 1. Wait for a socket, a signal or a deadline.
            self.wait(&mut events, record);
            // 2. Note what woke us.
            for event in &events {
                match event.token() {
                    SIGNALS => is_stopped |= self.signals.pending().next().is_some(),
                    token => self.note_ready(token),
                }
            }
            // 3. Read, each socket a little.
            for _ in 0..self.ready.len() {
                self.read_next(record);
            }
            // 4. Let time pass: what is due leaves, what is idle goes.
            self.pass_time(record);
            is_stopped |= record.is_unheard() || self.stop_at.is_some_and(|end| end <= self.now().instant);
        }
        let (now, clients) = (self.now(), self.flows.opened());
        record.end(&End { now, links: &self.links, mishaps: self.mishaps, clients, seed: self.seed });
    }

    fn now(&self) -> Now {
        self.clock.now()
    }

    fn wait(&mut self, events: &mut Events, record: &mut Record) {
        let now = self.now().instant;
        let due = self.links.iter().filter_map(|link| link.poll_timeout()).map(|(due, _)| due).min();
        let left = due.map(|due| due.since(now));
        if !self.ready.is_empty() || left.is_some_and(|left| left.is_zero()) {
            return self.look(events, Some(Duration::ZERO));
        }
        match left {
            Some(left) if left < NEAR + NEAR => {
                self.look(events, Some(Duration::ZERO));
                if events.is_empty() && left > TOO_NEAR_TO_NAP {
                    record.flush();
                    thread::sleep(NAP);
                }
            }
            _ => {
                record.flush();
                let leisurely = self.next_leisure(record).map(|at| at.since(now) + NEAR);
                let punctual = left.map(|left| left - NEAR);
                let longest = leisurely.into_iter().chain(punctual).min();
                // Whole milliseconds, since the system rounds up.
                self.look(events, longest.map(|time| Duration::from_millis(time.as_millis() as u64)));
            }
        }
    }

    fn look(&mut self, events: &mut Events, timeout: Option<Duration>) {
        if self.poll.poll(events, timeout).is_err() {
            // Interrupted: whatever it was, the next turn sees it.
            events.clear();
        }
    }

    /// The next deadline that may be a millisecond late.
    fn next_leisure(&self, record: &Record) -> Option<Instant> {
        let forget = (self.flows.len() > 0).then_some(self.forget_at);
        [self.stop_at, forget, record.next_status(&self.links)].into_iter().flatten().min()
    }

    fn note_ready(&mut self, token: Token) {
        let is_noted = match self.flows.of_token(token) {
            _ if token == LISTENER => self.ready.contains(&LISTENER),
            Some(flow) => std::mem::replace(&mut flow.is_ready, true),
            None => true,
        };
        if !is_noted {
            self.ready.push_back(token);
        }
    }

    fn read_next(&mut self, record: &mut Record) {
        let Some(token) = self.ready.pop_front() else {
            return;
        };
        let is_empty = match token {
            LISTENER => self.read_clients(record),
            token => self.read_target(token, record),
        };
        if !is_empty {
            self.ready.push_back(token);
        } else if let Some(flow) = self.flows.of_token(token) {
            flow.is_ready = false;
        }
    }

    /// Whether everything was read.
    fn read_clients(&mut self, record: &mut Record) -> bool {
        for _ in 0..DATAGRAMS_PER_TURN {
            let (length, client) =
                match received(self.listener.recv_from(&mut self.incoming), &mut self.mishaps) {
                    Received::Datagram(datagram) => datagram,
                    Received::Mishap => continue,
                    Received::Empty => return true,
                };
            let now = self.now();
            match self.flows.open(now.instant, client, self.poll.registry()) {
                Ok((_, false)) => {}
                Ok((flow, true)) => record.opened(now, flow),
                Err(error) => {
                    self.mishaps.turned_away += 1;
                    record.complain_now_and_then(now, &error);
                    continue;
                }
            }
            self.links[UP].handle_datagram(now.instant, Path::to(client), &self.incoming[..length]);
            self.drain(UP, now, record);
        }
        false
    }

    /// Whether everything was read from the flow's socket.
    fn read_target(&mut self, token: Token, record: &mut Record) -> bool {
        for _ in 0..DATAGRAMS_PER_TURN {
            let Some(flow) = self.flows.of_token(token) else {
                return true;
            };
            let length = match received(flow.upstream.recv(&mut self.incoming), &mut self.mishaps) {
                Received::Datagram(length) => length,
                Received::Mishap => continue,
                Received::Empty => return true,
            };
            let now = self.clock.now();
            Flows::touch(flow, now.instant);
            let path = Path::to(flow.client);
            self.links[DOWN].handle_datagram(now.instant, path, &self.incoming[..length]);
            self.drain(DOWN, now, record);
        }
        false
    }

    fn pass_time(&mut self, record: &mut Record) {
        let now = self.now();
        for index in [UP, DOWN] {
            self.links[index].handle_timeout(now.instant);
            self.drain(index, now, record);
        }
        if now.instant >= self.forget_at {
            self.forget_at = now.instant + FORGET_EVERY;
            self.flows.forget_idle(now.instant, self.poll.registry(), |flow| {
                record.forgotten(now, flow);
            });
        }
        record.status(now, &self.links, &self.flows);
    }

    /// Takes everything out of a link: first what is due, then what it tells.
    fn drain(&mut self, index: usize, now: Now, record: &mut Record) {
        while let Some(transmit) = self.links[index].poll_transmit(now.instant, &mut self.outgoing) {
            let client = transmit.path.remote;
            match self.flows.of_client(client) {
                None => self.mishaps.orphaned += 1,
                Some(flow) if index == UP => {
                    Flows::touch(flow, now.instant);
                    socket::send(&mut self.mishaps, || flow.upstream.send(&self.outgoing));
                }
                Some(_) => socket::send(&mut self.mishaps, || self.listener.send_to(&self.outgoing, client)),
            }
        }
        while let Some(event) = self.links[index].poll_event() {
            match event {
                Event::Decided(verdict) => {
                    let flow = self.flows.of_client(verdict.path.remote).map(|flow| flow.number);
                    record.verdict(now, self.links[index].direction(), flow, &verdict);
                }
                Event::Rebind => self.flows.rebind(self.poll.registry(), |flow| record.rebound(now, flow)),
            }
        }
    }
}

/// Binds to the first address of the name that can be bound.
fn listen(target: &Target) -> Result<(UdpSocket, SocketAddr), StartError> {
    let mut failed = StartError::NoTarget;
    for address in target.look_up().map_err(StartError::LookUp)? {
        match socket::bind(address).and_then(|socket| socket.local_addr().map(|local| (socket, local))) {
            Ok(bound) => return Ok(bound),
            Err(error) => failed = StartError::Listen { address, error },
        }
    }
    Err(failed)
}

fn watch(mut listener: UdpSocket) -> io::Result<(Poll, Signals, UdpSocket)> {
    let poll = Poll::new()?;
    let signals = Signals::register(poll.registry(), SIGNALS)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    Ok((poll, signals, listener))
}

/// Why the proxy does not start.
#[derive(Debug)]
pub(crate) enum StartError {
    Listen { address: SocketAddr, error: io::Error },
    LookUp(ResolveError),
    NoTarget,
    ToItself { address: SocketAddr },
    Entropy(EntropyError),
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { address, error } if error.kind() == io::ErrorKind::AddrInUse => {
                let mut free = *address;
                free.set_port(0);
                write!(f, "{address} is in use by another program, perhaps another lossy-proxy; ")?;
                write!(f, "end it, or choose another port with --listen {free}, which takes any free one")
            }
            Self::Listen { address, error } if error.kind() == io::ErrorKind::AddrNotAvailable => {
                write!(f, "{} is no address of this machine; 0.0.0.0 stands for all of them", address.ip())
            }
            Self::Listen { address, error } => write!(f, "cannot listen on {address}: {error}"),
            Self::LookUp(error) => error.fmt(f),
            Self::NoTarget => f.write_str("the target has no address"),
            Self::ToItself { address } => {
                write!(f, "--listen and --to are both {address}; datagrams would run in a circle")
            }
            Self::Entropy(error) => write!(f, "{error}; choose a seed with --seed"),
            Self::System(error) => {
                write!(f, "the system does not let the program wait for datagrams: {error}")
            }
        }
    }
}
