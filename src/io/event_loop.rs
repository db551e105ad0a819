//! The loop: one thread, one socket, one machine, one handler that speaks for the user.
//!
//! It owns no rule of the protocol and no word that is shown. Its only decisions are the order of the phases and how much of
//! each is done before the next has its turn, so that a flood of datagrams starves neither the keyboard nor a deadline.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};

use super::clock::Clock;
use super::entropy::Freshness;
use super::signals::{Signal, Signals};
use super::socket::{Received, Socket};
use super::trace::{Direction, Trace};
use crate::bucket::{Bucket, Rate};
use crate::machine::{Path, Transmit};
use crate::peer::Peer;
use crate::time::{Instant, Now};

/// Enough to make a turn's fixed cost vanish, few enough that a turn stays below a millisecond.
const DATAGRAMS_PER_TURN: usize = 64;

/// How often a loop that gathers takes a turn under load: what comes within a millisecond shares one, and with it calls to the
/// system, packets and acks. Whoever comes after a pause finds some turns saved up and waits for nothing: as many as a line makes in
/// a room of a few.
const GATHERED_TURNS: Rate = Rate { burst: 16, per_second: 1_000 };

/// The system takes milliseconds in 32 bits; a spare turn an hour costs nothing.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// What wakes the loop up.
const SOCKET: Token = Token(0);
const SIGNALS: Token = Token(1);
const WAKER: Token = Token(2);

/// What the loop needs of a machine: the vocabulary of [`crate::machine`], without commands.
pub trait Machine {
    /// What it tells.
    type Event;
    /// A datagram arrived.
    fn handle_datagram(&mut self, now: Now, path: Path, datagram: &mut [u8]);
    /// Fresh randomness for keys to come.
    fn stir(&mut self, now: Now, fresh: &[u8; 32]);
    /// A deadline passed.
    fn handle_timeout(&mut self, now: Now);
    /// The next datagram to send, in `buffer`.
    fn poll_transmit(&mut self, now: Now, buffer: &mut Vec<u8>) -> Option<Transmit>;
    /// The next event.
    fn poll_event(&mut self) -> Option<Self::Event>;
    /// When to call [`Machine::handle_timeout`].
    fn poll_timeout(&self) -> Option<Instant>;
}

impl Machine for Peer {
    type Event = crate::peer::Event;

    fn handle_datagram(&mut self, now: Now, path: Path, datagram: &mut [u8]) {
        Self::handle_datagram(self, now, path, datagram);
    }

    fn stir(&mut self, now: Now, fresh: &[u8; 32]) {
        Self::stir(self, now, fresh);
    }

    fn handle_timeout(&mut self, now: Now) {
        Self::handle_timeout(self, now);
    }

    fn poll_transmit(&mut self, now: Now, buffer: &mut Vec<u8>) -> Option<Transmit> {
        Self::poll_transmit(self, now, buffer)
    }

    fn poll_event(&mut self) -> Option<Self::Event> {
        Self::poll_event(self)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Self::poll_timeout(self).map(|(deadline, _)| deadline)
    }
}

/// Whoever speaks for the user: gives commands to the machine, shows its events, and says when it is over.
pub trait Handler<M: Machine> {
    /// What the loop ends with.
    type Outcome;
    /// Takes some of what the user typed, never all of an endless input. Called every turn.
    fn handle_input(&mut self, now: Now, machine: &mut M) -> More;
    /// The system asks for an end.
    fn handle_signal(&mut self, now: Now, machine: &mut M, signal: Signal);
    /// The terminal has another size.
    fn handle_resize(&mut self) {}
    /// The machine tells something.
    fn handle_event(&mut self, now: Now, machine: &mut M, event: M::Event);
    /// Ends a turn: shows what there is to show, looks at deadlines of its own, and may end the loop.
    fn finish_turn(&mut self, now: Now, machine: &mut M) -> Option<Self::Outcome>;
    /// When a turn is needed though nothing happens.
    fn poll_timeout(&self) -> Option<Instant>;
}

/// Whether there is more to do at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// The next turn comes without sleeping.
    Yes,
    /// Nothing until something wakes the loop up.
    No,
}

/// The loop, before and while it runs.
#[derive(Debug)]
pub struct EventLoop {
    poll: Poll,
    socket: Socket,
    signals: Signals,
    waker: Arc<Waker>,
    clock: Clock,
    freshness: Freshness,
    trace: Option<Trace>,
    outgoing: Vec<u8>,
    /// Turns that may be taken at once; None if all of them may.
    turns: Option<Bucket>,
}

/// The system refused what a loop cannot do without.
#[derive(Debug)]
pub struct LoopError(io::Error);

impl fmt::Display for LoopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the system does not let the program wait for events: {}", self.0)
    }
}

impl std::error::Error for LoopError {}

impl EventLoop {
    /// A loop around `socket`. From here on signals are the loop's business.
    pub fn new(socket: Socket, clock: Clock, trace: Option<Trace>) -> Result<Self, LoopError> {
        Self::build(socket, clock, trace).map_err(LoopError)
    }

    fn build(mut socket: Socket, clock: Clock, trace: Option<Trace>) -> io::Result<Self> {
        let poll = Poll::new()?;
        socket.register(poll.registry(), SOCKET)?;
        let signals = Signals::register(poll.registry(), SIGNALS)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let freshness = Freshness::since(clock.now().instant);
        Ok(Self { poll, socket, signals, waker, clock, freshness, trace, outgoing: Vec::new(), turns: None })
    }

    /// From now on turns are shared under load: many small ones a millisecond cost more than they bring to those who wait.
    pub const fn gather(&mut self) {
        self.turns = Some(Bucket::new());
    }

    /// What a thread needs to give the loop a turn.
    pub fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// The socket.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Runs until the handler ends it.
    pub fn run<M, H>(&mut self, machine: &mut M, handler: &mut H) -> Result<H::Outcome, LoopError>
    where
        M: Machine,
        H: Handler<M>,
    {
        let mut events = Events::with_capacity(8);
        loop {
            let now = self.clock.now();
            // 0. Fresh randomness, before anything can be made of what is there. Nothing is made while the loop sleeps, so it need
            // not wake up for this.
            if let Some(fresh) = self.freshness.take_if_due(now.instant) {
                machine.stir(now, &fresh);
            }
            // 1. Deadlines first: they were due before anything that came in meanwhile.
            if machine.poll_timeout().is_some_and(|deadline| deadline <= now.instant) {
                machine.handle_timeout(now);
            }
            // 2. Datagrams, as many as a turn may take.
            let mut more = self.receive(machine);
            // 3. What the user typed.
            let now = self.clock.now();
            if handler.handle_input(now, machine) == More::Yes {
                more = More::Yes;
            }
            // 4. Signals.
            for signal in self.signals.pending() {
                match signal {
                    Signal::Resize => handler.handle_resize(),
                    Signal::Interrupt | Signal::Terminate | Signal::Hangup => {
                        handler.handle_signal(now, machine, signal);
                    }
                }
            }
            // 5. What all of that gave goes to the handler, which shows it and may have had enough.
            if Self::announce(&self.clock, machine, handler) == More::Yes {
                more = More::Yes;
            }
            let outcome = handler.finish_turn(self.clock.now(), machine);
            // 6. Datagrams leave after it was shown: a receipt says "shown", and a program that dies in between must not have
            // lied. The handler's last words (a goodbye) leave too.
            self.transmit(machine);
            if let Some(trace) = &mut self.trace {
                trace.flush();
            }
            if let Some(outcome) = outcome {
                return Ok(outcome);
            }
            // 7. Sleep until something happens.
            let timeout = self.sleep(more, [machine.poll_timeout(), handler.poll_timeout()]);
            self.wait(&mut events, timeout).map_err(LoopError)?;
        }
    }

    fn receive<M: Machine>(&mut self, machine: &mut M) -> More {
        let local = self.socket.local_address();
        for _ in 0..DATAGRAMS_PER_TURN {
            let now = self.clock.now();
            match self.socket.receive(now.instant) {
                Received::Datagram { datagram, path } => {
                    if let Some(trace) = &mut self.trace {
                        trace.record(now.wall, Direction::In, local, path, datagram);
                    }
                    machine.handle_datagram(now, path, datagram);
                }
                Received::Empty => return More::No,
                Received::Error => {}
            }
        }
        More::Yes
    }

    /// Until the machine has nothing more to tell. A handler may answer an event with a command, which may make new events;
    /// and what an event made possible, such as a line that waited for room, wants another turn.
    fn announce<M: Machine, H: Handler<M>>(clock: &Clock, machine: &mut M, handler: &mut H) -> More {
        let mut more = More::No;
        while let Some(event) = machine.poll_event() {
            more = More::Yes;
            handler.handle_event(clock.now(), machine, event);
        }
        more
    }

    /// Until the machine has nothing more to send, or the system has no room: then the rest stays in the machine.
    fn transmit<M: Machine>(&mut self, machine: &mut M) {
        self.socket.send_held();
        while !self.socket.is_blocked() {
            let now = self.clock.now();
            let Some(mut transmit) = machine.poll_transmit(now, &mut self.outgoing) else {
                return;
            };
            if let Some(trace) = &mut self.trace {
                let remote = transmit.path.remote;
                transmit.path.local_ip =
                    transmit.path.local_ip.or_else(|| self.socket.local_ip(remote, now.instant));
                let bytes = &self.outgoing[..transmit.length];
                let segment_size = transmit.segment_size.unwrap_or(bytes.len()).max(1);
                for segment in bytes.chunks(segment_size) {
                    trace.record(
                        now.wall,
                        Direction::Out,
                        self.socket.local_address(),
                        transmit.path,
                        segment,
                    );
                }
            }
            self.socket.send(&transmit, &self.outgoing);
        }
    }

    fn sleep(&self, more: More, deadlines: [Option<Instant>; 2]) -> Option<Duration> {
        if more == More::Yes {
            return Some(Duration::ZERO);
        }
        let deadline = deadlines.into_iter().flatten().min()?;
        // The system counts whole milliseconds and mio rounds up: a deadline is met late by less than one, never early.
        Some(deadline.since(self.clock.now().instant).min(LONGEST_SLEEP))
    }

    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        self.socket.reregister(self.poll.registry(), SOCKET)?;
        let pause = self.wait_for_company(timeout.unwrap_or(LONGEST_SLEEP));
        let timeout = timeout.map(|timeout| timeout.saturating_sub(pause));
        match self.poll.poll(events, timeout) {
            // A signal; its number waits in `signals`.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            result => result,
        }
    }

    /// Under load, sleeps until the next turn may be taken, and tells for how long. What happens meanwhile shares that turn: asked
    /// for it first, the system would wake the loop up only to see it sleep on.
    fn wait_for_company(&mut self, timeout: Duration) -> Duration {
        let Some(turns) = self.turns.as_mut().filter(|_| !timeout.is_zero()) else { return Duration::ZERO };
        let now = self.clock.now().instant;
        let Err(at) = turns.take(now, GATHERED_TURNS) else { return Duration::ZERO };
        let pause = at.since(now).min(timeout);
        thread::sleep(pause);
        // A sleep is never too short by the system's clock, but it may be by ours, or a deadline came first: then the turn is early.
        let _ = turns.take(now + pause, GATHERED_TURNS);
        pause
    }
}
