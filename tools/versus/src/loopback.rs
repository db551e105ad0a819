//! What one connection moves between two threads of one machine, with sockets.
//!
//! All stacks use the project's own socket, which is quinn-udp's: received in batches, and sent as a stack asks for it, many
//! datagrams with one call where it knows how to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use mio::{Events, Poll, Token};
use udpchat::io::clock::Clock;
use udpchat::io::socket::{Received, Socket};
use udpchat::time::Now;

use crate::processor;
use crate::stack::{End, Meeting, Purpose, Side, Stack, State};
use crate::table::{Column, Goal, Row, Table};
use crate::tcp;
use crate::work::{MAX_UNDER_WAY, fill, read};

const COLUMNS: [Column; 5] = [
    Column { name: "MB/s", decimals: 0 },
    Column { name: "M messages/s", decimals: 2 },
    Column { name: "send ns", decimals: 0 },
    Column { name: "receive ns", decimals: 0 },
    Column { name: "wire/payload", decimals: 2 },
];

/// What the columns mean.
pub const LEGEND: &str =
    "payload that arrived; ns: processor time for each message at either end, system calls included";

/// Lengths of messages.
pub const MESSAGE_BYTES: [usize; 2] = [1_024, 100];

/// What the two threads and whoever watches them share.
pub struct Shared {
    /// Messages that arrived.
    pub received: AtomicU64,
    /// Messages that were not the next one.
    pub misplaced: AtomicU64,
    /// UDP payload that was sent by the sender.
    pub wire_bytes: AtomicU64,
    /// Nanoseconds of processor time of the sender and the receiver.
    pub used: [AtomicU64; 2],
    /// It is over.
    pub must_stop: AtomicBool,
}

/// How often messages are submitted, and datagrams taken or sent, before the other side of the work gets its turn.
const TURN: usize = 64;

/// For the handshake and the first growth of whatever window there is.
const WARM_UP: Duration = Duration::from_millis(150);

/// How long datagrams may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagrams {
    /// As Ethernet takes them.
    Usual,
    /// As the loopback takes them, for whoever finds that out.
    Large,
}

/// One stack after the other: each wants both processors.
pub fn measure(
    message_bytes: usize,
    datagrams: Datagrams,
    is_quick: bool,
    stacks: &[&dyn Stack],
    with_tcp: bool,
) -> Table {
    let counted = if is_quick { Duration::from_millis(400) } else { Duration::from_secs(4) };
    let mut rows: Vec<Row> = stacks
        .iter()
        .map(|stack| row(stack.name(), message_bytes, counted, |shared| both(*stack, message_bytes, shared)))
        .collect();
    if with_tcp {
        rows.push(row("TCP", message_bytes, counted, |shared| tcp::both(message_bytes, shared)));
    }
    let (title, limit) = match datagrams {
        Datagrams::Usual => (format!("messages of {message_bytes} bytes"), "of at most 1452 bytes"),
        Datagrams::Large => (format!("messages of {message_bytes} bytes, long datagrams"), "of any length"),
    };
    let mut table = Table {
        workload: "loopback",
        title,
        case: format!(
            "at most {MAX_UNDER_WAY} under way, datagrams {limit}, {} ms after {} ms of warming up",
            counted.as_millis(),
            WARM_UP.as_millis()
        ),
        columns: &COLUMNS,
        headline: usize::from(message_bytes < 512),
        limit: None,
        rows,
        goals: Vec::new(),
    };
    if datagrams == Datagrams::Usual {
        table.goals = goals(message_bytes, &table);
    }
    table
}

fn goals(message_bytes: usize, table: &Table) -> Vec<Goal> {
    let ours = |column| table.value("udpchat", column).unwrap_or(f64::NAN);
    let quinn = table.value("quinn Cubic", "MB/s").unwrap_or(f64::NAN);
    let best = table.best_peer("M messages/s", f64::max).unwrap_or(f64::NAN);
    if message_bytes >= 512 {
        vec![Goal::at_least("MB/s, twice quinn's", ours("MB/s"), 2.0 * quinn)]
    } else {
        vec![Goal::at_least(
            "million messages a second, three times the best peer's",
            ours("M messages/s"),
            3.0 * best,
        )]
    }
}

/// What a watcher saw between two moments.
fn row(
    stack: &'static str,
    message_bytes: usize,
    counted: Duration,
    run: impl FnOnce(&Shared) + Send,
) -> Row {
    let shared = Shared {
        received: AtomicU64::new(0),
        misplaced: AtomicU64::new(0),
        wire_bytes: AtomicU64::new(0),
        used: [AtomicU64::new(0), AtomicU64::new(0)],
        must_stop: AtomicBool::new(false),
    };
    let look = || {
        let counts = [&shared.received, &shared.wire_bytes, &shared.used[0], &shared.used[1]];
        counts.map(|count| count.load(Ordering::Relaxed) as f64)
    };
    let (before, after, seconds) = thread::scope(|scope| {
        scope.spawn(|| run(&shared));
        let clock = Clock::new();
        thread::sleep(WARM_UP);
        let (before, from) = (look(), clock.now().instant);
        thread::sleep(counted);
        let (after, until) = (look(), clock.now().instant);
        shared.must_stop.store(true, Ordering::Relaxed);
        (before, after, until.since(from).as_secs_f64())
    });
    let [messages, wire, send, receive] = [0, 1, 2, 3].map(|place| after[place] - before[place]);
    let payload = messages * message_bytes as f64;
    let for_each = |sum: f64| (messages > 0.0 && sum > 0.0).then(|| sum / messages);
    let misplaced = shared.misplaced.load(Ordering::Relaxed);
    Row {
        stack,
        values: vec![
            Some(payload / seconds / 1e6),
            Some(messages / seconds / 1e6),
            for_each(send),
            for_each(receive),
            for_each(wire).map(|wire| wire / message_bytes as f64),
        ],
        note: if stack.starts_with("raw") {
            "no repair".to_owned()
        } else if misplaced > 0 {
            format!("{misplaced} misplaced")
        } else {
            "all once and in order".to_owned()
        },
    }
}

/// Both ends of a stack, each in a thread.
fn both(stack: &dyn Stack, message_bytes: usize, shared: &Shared) {
    let bind = || Socket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("the loopback has free ports");
    let (sender, receiver) = (bind(), bind());
    let addresses = [sender.local_address(), receiver.local_address()];
    let meeting = |side, remote| Meeting { side, remote, purpose: Purpose::Loopback, message_bytes, seed: 1 };
    let clock = Clock::new();
    thread::scope(|scope| {
        let to_receiver = meeting(Side::Sender, addresses[1]);
        scope.spawn(move || Terminal::new(sender, stack, &to_receiver, clock).run(shared));
        let to_sender = meeting(Side::Receiver, addresses[0]);
        scope.spawn(move || Terminal::new(receiver, stack, &to_sender, clock).run(shared));
    });
}

/// An end with its socket.
struct Terminal {
    socket: Socket,
    poll: Poll,
    end: Box<dyn End>,
    side: Side,
    is_reliable: bool,
    message_bytes: usize,
    clock: Clock,
    number: u64,
    message: Vec<u8>,
    buffer: Vec<u8>,
}

const SOCKET: Token = Token(0);

impl Terminal {
    fn new(mut socket: Socket, stack: &dyn Stack, meeting: &Meeting, clock: Clock) -> Self {
        let poll = Poll::new().expect("the system has a poll to give");
        socket.register(poll.registry(), SOCKET).expect("a socket can be polled");
        Self {
            end: stack.end(clock.now(), meeting),
            side: meeting.side,
            is_reliable: stack.is_reliable(),
            message_bytes: meeting.message_bytes,
            socket,
            poll,
            clock,
            number: 0,
            message: Vec::new(),
            buffer: Vec::new(),
        }
    }

    fn run(mut self, shared: &Shared) {
        let mut events = Events::with_capacity(4);
        let used = &shared.used[usize::from(self.side == Side::Receiver)];
        while !shared.must_stop.load(Ordering::Relaxed) {
            let now = self.clock.now();
            let received = self.receive(now);
            if self.end.poll_timeout().is_some_and(|at| at <= now.instant) {
                self.end.handle_timeout(now);
            }
            let worked = match self.side {
                Side::Sender => self.submit(now, shared),
                Side::Receiver => self.take(now, shared),
            };
            let sent = self.transmit(now, shared);
            if received + worked + sent == 0 {
                self.wait(now, &mut events);
            }
            used.store(processor::used().as_nanos() as u64, Ordering::Relaxed);
        }
    }

    fn receive(&mut self, now: Now) -> usize {
        for count in 0..TURN {
            match self.socket.receive(now.instant) {
                Received::Datagram { datagram, path } => self.end.handle_datagram(now, path.remote, datagram),
                Received::Empty => return count,
                Received::Error => {}
            }
        }
        TURN
    }

    fn submit(&mut self, now: Now, shared: &Shared) -> usize {
        let arrived = shared.received.load(Ordering::Relaxed);
        for count in 0..TURN {
            let has_room = !self.is_reliable || self.number < arrived + MAX_UNDER_WAY;
            if !has_room || self.end.state() != State::Open {
                return count;
            }
            fill(&mut self.message, self.number, self.message_bytes);
            if !self.end.send(now, &self.message) {
                return count;
            }
            self.number += 1;
        }
        TURN
    }

    fn take(&mut self, now: Now, shared: &Shared) -> usize {
        let mut count = 0;
        while self.end.receive(now, &mut self.message) {
            if self.is_reliable && read(&self.message, self.message_bytes) != Some(self.number) {
                shared.misplaced.fetch_add(1, Ordering::Relaxed);
            }
            self.number += 1;
            count += 1;
        }
        shared.received.fetch_add(count as u64, Ordering::Relaxed);
        count
    }

    fn transmit(&mut self, now: Now, shared: &Shared) -> usize {
        if self.socket.is_blocked() {
            self.socket.send_held();
        }
        for count in 0..TURN {
            if self.socket.is_blocked() {
                return count;
            }
            let Some(transmit) = self.end.poll_transmit(now, &mut self.buffer) else { return count };
            if self.side == Side::Sender {
                shared.wire_bytes.fetch_add(transmit.length as u64, Ordering::Relaxed);
            }
            self.socket.send(&transmit, &self.buffer);
        }
        TURN
    }

    /// Until a datagram comes, or a deadline, or a millisecond is over: the other thread may have made room meanwhile.
    fn wait(&mut self, now: Now, events: &mut Events) {
        // A socket that is not asked for room wakes nobody when it has some, which the millisecond makes up for.
        let longest = now.instant + Duration::from_millis(1);
        let until = self.end.poll_timeout().map_or(longest, |at| at.min(longest));
        let pause = until.since(self.clock.now().instant);
        // An interrupted wait is a short one.
        let _ = self.poll.poll(events, Some(pause));
    }
}
