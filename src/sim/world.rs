//! One run of a scenario: virtual time that jumps from event to event, the nodes, the network, and the checkers that look on.
//!
//! Nothing here reads a clock or depends on hash order: the same scenario gives the same run, to the last datagram.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::attendee::Attendee;
use super::chatter::{Chatter, Shelf};
use super::check::{self, Bounds, Checker, Invariant, Seen, Stage, Trace, Violation};
use super::coverage::Coverage;
use super::ghost::Ghost;
use super::hall::Hall;
use super::hostile::Hostile;
use super::network::{Network, Traffic, home_of};
use super::node::{Estate, Node, Report, Wish};
use super::scenario::{Action, NodeKind, RepeatsPlan, Scenario, Step};
use super::talker::Talker;
use super::wiretap::{self, Wiretap};
use super::{MAX_BURST, STARTED_AT_US};
use crate::endpoint::{Disposition, EndpointConfig, Protection};
use crate::machine::Path;
use crate::peer::{Peer, PeerConfig, Repeats};
use crate::random::keyed_draw;
use crate::time::{Instant, Now, WallTime};
use crate::wire;

/// A run.
#[derive(Debug)]
pub struct World {
    scenario: Scenario,
    started: Now,
    now: Now,
    seats: Vec<Seat>,
    network: Network,
    ghost: Ghost,
    wiretap: Wiretap,
    checkers: Vec<Box<dyn Checker>>,
    hostile: Hostile,
    /// Lines of the script by time, and how many of them are done.
    order: Vec<usize>,
    done: usize,
    trace: Trace,
    coverage: Coverage,
    journal: Option<Vec<(Duration, usize, Report)>>,
    reports: Vec<Report>,
    buffer: Vec<u8>,
}

/// A node at its place.
#[derive(Debug)]
struct Seat {
    node: Box<dyn Node>,
    frozen_until: Instant,
    /// How often its timers went off at `rounds_at`.
    rounds: u32,
    rounds_at: Instant,
}

/// What a whole run came to.
#[derive(Clone, Debug)]
pub struct Run {
    /// The first invariant that did not hold, if any.
    pub violation: Option<Violation>,
    /// Stands for everything that happened.
    pub trace: Trace,
    /// What occurred.
    pub coverage: Coverage,
    /// How much virtual time passed.
    pub simulated: Duration,
    /// Datagrams that nodes sent.
    pub datagrams: u64,
}

impl World {
    /// The scenario's beginning.
    pub fn new(scenario: Scenario) -> Self {
        let now = Now {
            instant: Instant::from_nanos(1_000_000_000),
            wall: WallTime::from_unix_micros(STARTED_AT_US),
        };
        let mut order: Vec<usize> = (0..scenario.script.len()).collect();
        order.sort_by_key(|&index| scenario.script[index].at);
        let mut wiretap = Wiretap::default();
        let seats = (0..scenario.nodes.len()).map(|index| Seat {
            node: start(
                &scenario,
                index,
                Estate::Nothing,
                keyed_draw(&[scenario.seed, index as u64, 0]),
                now,
                &mut wiretap,
            ),
            frozen_until: Instant::ZERO,
            rounds: 0,
            rounds_at: Instant::ZERO,
        });
        let seats = seats.collect();
        Self {
            seats,
            network: Network::new(&scenario, now.instant),
            wiretap,
            ghost: Ghost::new(&scenario),
            checkers: check::all(&scenario),
            hostile: Hostile::new(scenario.seed),
            order,
            done: 0,
            started: now,
            now,
            trace: Trace::default(),
            coverage: Coverage::default(),
            journal: None,
            reports: Vec::new(),
            buffer: Vec::new(),
            scenario,
        }
    }

    /// Remembers everything that applications report, for [`World::journal`].
    pub fn keep_journal(&mut self) {
        self.journal = Some(Vec::new());
    }

    /// What applications reported so far: when, which node, what.
    pub fn journal(&self) -> &[(Duration, usize, Report)] {
        self.journal.as_deref().unwrap_or_default()
    }

    /// What a node sent.
    pub fn traffic(&self, index: usize) -> Traffic {
        self.network.traffic()[index]
    }

    /// A node's machine.
    pub fn node(&self, index: usize) -> &dyn Node {
        &*self.seats[index].node
    }

    /// What occurred so far.
    pub const fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// How much time has passed.
    pub const fn elapsed(&self) -> Duration {
        self.now.instant.since(self.started.instant)
    }

    /// Runs everything that happens until `until`, counted from the beginning.
    pub fn run_until(&mut self, until: Duration) -> Result<(), Violation> {
        let until = self.started.instant + until;
        loop {
            let next = self.next_event();
            let Some(next) = next.filter(|&next| next <= until) else {
                self.now = self.now.after(until.since(self.now.instant));
                return Ok(());
            };
            self.now = self.now.after(next.since(self.now.instant));
            self.follow_script()?;
            self.deliver()?;
            self.wake()?;
        }
    }

    /// The whole run: the script and its faults, then the stages in which everything has to come right.
    pub fn finish(&mut self) -> Result<(), Violation> {
        self.run_until(self.scenario.heal_at)?;
        for seat in 0..self.seats.len() {
            self.perform(seat, &Action::Read { on: true }, 0)?;
            // Whoever left comes back.
            self.perform(seat, &Action::Attend, 0)?;
        }
        for seat in &self.seats {
            for (_, connection) in seat.node.endpoint().connections() {
                let (id, sends_to) = (connection.local_id(), connection.path().remote);
                self.ghost.record_reach(id, sends_to, |node| self.network.address(node));
            }
        }
        let (bytes, messages) = self.outstanding();
        let bounds = Bounds::new(&self.scenario, bytes, messages);
        self.run_until(self.scenario.heal_at + bounds.recovery)?;
        self.check_stage(Stage::Recovered)?;
        self.run_until(self.scenario.heal_at + bounds.learning)?;
        self.check_stage(Stage::Learned)?;
        if self.scenario.has_hall() && self.scenario.seed % 4 < 2 {
            for seat in 1..self.seats.len() {
                self.perform(seat, &Action::Shutdown, 0)?;
            }
            self.run_until(self.elapsed() + bounds.ending)?;
            self.check_stage(Stage::Left)?;
        }
        for seat in 0..self.seats.len() {
            self.perform(seat, &Action::Shutdown, 0)?;
            // Half of the runs end on all sides at once, half one after the other.
            if self.scenario.seed.is_multiple_of(2) {
                self.run_until(self.elapsed() + Duration::from_secs(1))?;
            }
        }
        self.run_until(self.elapsed() + bounds.ending)?;
        self.check_stage(Stage::Ended)?;
        self.play_back()?;
        self.check_stage(Stage::Ended)
    }

    /// Everything that was heard comes once more, to those who are done with it.
    fn play_back(&mut self) -> Result<(), Violation> {
        for (node, source, mut bytes) in self.hostile.everything() {
            self.arrive(node, source, &mut bytes)?;
        }
        Ok(())
    }

    /// What the run came to.
    pub fn into_run(mut self, violation: Option<Violation>) -> Run {
        for (fault, count) in self.network.faults().collect::<Vec<_>>() {
            self.coverage.add(fault, count);
        }
        for seat in &self.seats {
            self.coverage.note_endpoint(seat.node.endpoint());
        }
        Run {
            violation,
            trace: self.trace,
            simulated: self.now.instant.since(self.started.instant),
            coverage: self.coverage,
            datagrams: self.network.traffic().iter().map(|sent| sent.datagrams).sum(),
        }
    }

    fn next_event(&self) -> Option<Instant> {
        let step =
            self.order.get(self.done).map(|&index| self.started.instant + self.scenario.script[index].at);
        let nodes =
            self.seats.iter().filter_map(|seat| Some(seat.node.poll_timeout()?.max(seat.frozen_until)));
        step.into_iter().chain(self.network.poll_timeout()).chain(nodes).min()
    }

    fn follow_script(&mut self) -> Result<(), Violation> {
        while let Some(&index) = self.order.get(self.done) {
            let Step { at, node, action } = self.scenario.script[index].clone();
            if self.started.instant + at > self.now.instant {
                return Ok(());
            }
            self.done += 1;
            // Keyed by the line itself, not by its place: a line fewer leaves the others as they are.
            let key =
                keyed_draw(&[self.scenario.seed, u64::try_from(at.as_nanos()).unwrap_or(0), node as u64]);
            self.perform(node, &action, key)?;
        }
        Ok(())
    }

    fn perform(&mut self, node: usize, action: &Action, key: u64) -> Result<(), Violation> {
        self.trace.note(&[1, node as u64, key]);
        match action {
            Action::Rebind => self.rebind(node),
            Action::Detour { on } => {
                self.network.detour(node, *on);
                self.coverage.add(if *on { "detour" } else { "no-detour" }, 1);
            }
            Action::Restart => self.restart(node, key)?,
            Action::Kill { pause } => {
                self.restart(node, key)?;
                self.freeze(node, *pause);
                self.coverage.add(if node == 0 { "hall-killed" } else { "attendee-killed" }, 1);
            }
            Action::Freeze { length } => {
                self.freeze(node, *length);
                self.coverage.add("frozen", 1);
            }
            Action::Replay { .. }
            | Action::Mutate { .. }
            | Action::Garbage { .. }
            | Action::Meddle { .. }
            | Action::Flood { .. } => {
                let is_sealed = self.scenario.nodes[node].is_sealed;
                for (source, mut bytes) in self.hostile.attack(node, is_sealed, action, key) {
                    self.coverage.add(word_of(action), 1);
                    self.arrive(node, source, &mut bytes)?;
                }
            }
            _ if self.seats[node].frozen_until > self.now.instant => {}
            _ => {
                let to = match action {
                    Action::Connect { to }
                    | Action::Send { to, .. }
                    | Action::Gram { to, .. }
                    | Action::Echo { to, .. }
                    | Action::Close { to } => Some(*to),
                    _ => None,
                };
                let address = to.map(|to| self.network.address(to));
                let wish = Wish { action, address, key };
                let mut reports = std::mem::take(&mut self.reports);
                self.seats[node].node.act(self.now, &wish, &mut reports);
                self.reports = reports;
                self.settle(node)?;
            }
        }
        Ok(())
    }

    fn rebind(&mut self, node: usize) {
        self.network.rebind(node);
        self.coverage.add("rebound", 1);
    }

    fn freeze(&mut self, node: usize, length: Duration) {
        self.seats[node].frozen_until = self.now.instant + length;
        self.ghost.nodes[node].awake_since = self.seats[node].frozen_until;
    }

    fn restart(&mut self, node: usize, key: u64) -> Result<(), Violation> {
        let life = u64::from(self.ghost.nodes[node].life) + 1;
        let seed = keyed_draw(&[self.scenario.seed, node as u64, life, key]);
        let estate = self.seats[node].node.estate();
        self.seats[node].node = start(&self.scenario, node, estate, seed, self.now, &mut self.wiretap);
        self.ghost.restart(node, self.now.instant);
        self.coverage.add("restarted", 1);
        // What a program says of itself at its start.
        self.follow_reports(node)?;
        // And what one before it left to be said.
        if self.scenario.nodes[node].repeats.is_some() { self.settle(node) } else { Ok(()) }
    }

    /// Hands over what is due.
    fn deliver(&mut self) -> Result<(), Violation> {
        for node in self.network.handle_timeout(self.now.instant) {
            self.rebind(node);
        }
        let mut bytes = Vec::new();
        while let Some(arrival) = self.network.poll_arrival(self.now.instant, &mut bytes) {
            self.arrive(arrival.node, arrival.source, &mut bytes)?;
        }
        Ok(())
    }

    fn arrive(&mut self, node: usize, source: SocketAddr, bytes: &mut [u8]) -> Result<(), Violation> {
        if self.seats[node].frozen_until > self.now.instant {
            return Ok(());
        }
        self.trace.note_bytes(&[2, node as u64, self.now.instant.as_nanos()], bytes);
        // The machine may change the bytes in place, so the harness reads its own copy.
        let copy = bytes.to_vec();
        let said = self.wiretap.heard(node, &copy);
        let datagram = said.datagram(&copy);
        for checker in &mut self.checkers {
            let machine = &*self.seats[node].node;
            checker.arriving(node, source, copy.len(), datagram.as_ref(), &self.ghost, machine);
        }
        self.ghost.nodes[node].datagrams_in += 1;
        let too_old =
            |world: &Self| world.seats[node].node.endpoint().statistics().count_of(Disposition::OldKey);
        let too_old_before = too_old(self);
        self.seats[node].node.handle_datagram(self.now, Path::to(source), bytes);
        let count = self.follow_reports(node)?;
        // Whether a key may be forgotten by now is for its checker to say; what is not opened has not come.
        let is_opened = too_old(self) == too_old_before;
        let is_again = match &datagram {
            Some(wire::Datagram::Packet(packet)) if is_opened => {
                self.ghost.record_arrival(self.now.instant, node, packet)
            }
            _ => false,
        };
        let at = self.now.instant;
        check_all(
            &mut self.checkers,
            at,
            self.started.instant,
            node,
            &Seen::Arrived {
                from: source,
                length: copy.len(),
                datagram: datagram.as_ref(),
                is_again,
                reports: count,
                said: &said,
                node: &*self.seats[node].node,
            },
            &self.ghost,
        )?;
        self.settle(node)
    }

    /// Lets the timers go off that are due.
    fn wake(&mut self) -> Result<(), Violation> {
        for index in 0..self.seats.len() {
            let seat = &mut self.seats[index];
            let is_due = seat.node.poll_timeout().is_some_and(|at| at <= self.now.instant);
            if !is_due || seat.frozen_until > self.now.instant {
                continue;
            }
            if seat.rounds_at != self.now.instant {
                (seat.rounds, seat.rounds_at) = (0, self.now.instant);
            }
            seat.rounds += 1;
            seat.node.handle_timeout(self.now);
            self.settle(index)?;
        }
        Ok(())
    }

    /// Drains a node, and looks at it when it has nothing more to say.
    fn settle(&mut self, index: usize) -> Result<(), Violation> {
        let mut buffer = std::mem::take(&mut self.buffer);
        for burst in 0.. {
            self.follow_reports(index)?;
            let Some(transmit) = self.seats[index].node.poll_transmit(self.now, &mut buffer) else { break };
            for datagram in transmit.datagrams(&mut buffer) {
                self.emit(index, transmit.path.remote, datagram)?;
            }
            if burst > MAX_BURST {
                return Err(self.violation(
                    index,
                    Invariant::TotalAndDeterministic,
                    "sending never ends".to_owned(),
                ));
            }
        }
        self.buffer = buffer;
        let rounds =
            if self.seats[index].rounds_at == self.now.instant { self.seats[index].rounds } else { 0 };
        // Borrowed apart, because a checker sees the node while the world is asked to judge.
        let seen = Seen::Settled { node: &*self.seats[index].node, rounds };
        check_all(&mut self.checkers, self.now.instant, self.started.instant, index, &seen, &self.ghost)?;
        if self.seats[index].node.has_fallen() {
            self.coverage.add("fell", 1);
            self.restart(index, u64::from(self.ghost.nodes[index].life))?;
        }
        Ok(())
    }

    fn emit(&mut self, index: usize, to: SocketAddr, bytes: &[u8]) -> Result<(), Violation> {
        self.ghost.nodes[index].datagrams_out += 1;
        self.trace.note_bytes(&[3, index as u64, self.now.instant.as_nanos()], bytes);
        let said = match self.wiretap.written(index, bytes) {
            Ok(said) => said,
            Err(evidence) => return Err(self.violation(index, Invariant::Readable, evidence)),
        };
        if said.epoch() > Some(0) {
            self.coverage.add("later-key", 1);
        }
        let datagram = said.datagram(bytes);
        let node = &*self.seats[index].node;
        let seen = Seen::Emitted { to, length: bytes.len(), datagram: datagram.as_ref(), node, said: &said };
        check_all(&mut self.checkers, self.now.instant, self.started.instant, index, &seen, &self.ghost)?;
        self.hostile.remember(self.network.address(index), to, bytes);
        self.network.send(self.now.instant, index, to, bytes);
        Ok(())
    }

    /// Takes what the node's application has to report; tells how much it was.
    fn follow_reports(&mut self, index: usize) -> Result<usize, Violation> {
        let mut reports = std::mem::take(&mut self.reports);
        self.seats[index].node.follow(self.now, &mut reports);
        let mut count = reports.len();
        for report in reports.drain(..) {
            self.coverage.note_report(&report, self.seats[index].node.endpoint());
            self.trace.note(&[4, index as u64, Coverage::digest(&report)]);
            self.check(index, &Seen::Report(&report))?;
            // That somebody else answers is told and changes nothing.
            count -= usize::from(matches!(report, Report::Noted { what: "wrong-key-seen", .. }));
            self.ghost.record_report(self.now.instant, index, &report);
            if let Some(journal) = &mut self.journal {
                journal.push((self.now.instant.since(self.started.instant), index, report));
            }
        }
        self.reports = reports;
        if !self.seats[index].node.is_reporting() {
            self.ghost.follow_endpoint(self.now.instant, index, self.seats[index].node.endpoint());
        }
        Ok(count)
    }

    fn check_stage(&mut self, stage: Stage) -> Result<(), Violation> {
        for index in 0..self.seats.len() {
            let seen = Seen::Stage { stage, node: &*self.seats[index].node };
            check_all(&mut self.checkers, self.now.instant, self.started.instant, index, &seen, &self.ghost)?;
        }
        Ok(())
    }

    fn check(&mut self, node: usize, seen: &Seen<'_, '_>) -> Result<(), Violation> {
        check_all(&mut self.checkers, self.now.instant, self.started.instant, node, seen, &self.ghost)
    }

    fn violation(&self, node: usize, invariant: Invariant, evidence: String) -> Violation {
        Violation { invariant, at: self.elapsed(), node, evidence }
    }

    /// Bytes and messages that still have to arrive.
    fn outstanding(&self) -> (u64, u64) {
        let connections = self.seats.iter().flat_map(|seat| seat.node.endpoint().connections());
        let queued: BTreeMap<wire::ConnectionId, (usize, usize)> =
            connections.map(|(_, connection)| (connection.local_id(), connection.queued())).collect();
        let waiting = self.ghost.words.values().filter(|words| words.fate.is_none());
        let (bytes, messages) =
            waiting.fold((0, 0), |(bytes, count), words| (bytes + words.text.len() as u64, count + 1));
        // Whatever was said at a hall may still have to go to everybody.
        let said = self.ghost.minutes.words.values();
        let (bytes, messages) = said.fold((bytes, messages), |(bytes, count), speech| {
            (bytes + speech.text.len() as u64 + 600, count + 1)
        });
        queued.values().fold((bytes, messages), |(bytes, count), &(more, messages)| {
            (bytes + more as u64, count + messages as u64)
        })
    }
}

fn check_all(
    checkers: &mut [Box<dyn Checker>],
    at: Instant,
    started: Instant,
    node: usize,
    seen: &Seen<'_, '_>,
    ghost: &Ghost,
) -> Result<(), Violation> {
    for checker in checkers {
        if let Err(evidence) = checker.check(at, node, seen, ghost) {
            return Err(Violation { invariant: checker.invariant(), at: at.since(started), node, evidence });
        }
    }
    Ok(())
}

/// Starts a node's program, with what the one before it left.
fn start(
    scenario: &Scenario,
    index: usize,
    estate: Estate,
    seed: u64,
    now: Now,
    wiretap: &mut Wiretap,
) -> Box<dyn Node> {
    let plan = &scenario.nodes[index];
    let protection = if plan.is_sealed {
        let keys = Arc::new(wiretap::keys_of(scenario.seed, index));
        Protection::Sealed { keys, seed: wiretap::seed_of(seed).into() }
    } else {
        Protection::Clear
    };
    let is_peer = matches!(plan.kind, NodeKind::Chatter | NodeKind::Attendee(_));
    wiretap.begin(index, &protection, is_peer);
    let mut endpoint = EndpointConfig { protection, ..plan.endpoint.clone() };
    // As the programs do: enough that several leave together, few enough that a window holds more than one such run.
    endpoint.connection.max_segments = 8;
    let people = (0..scenario.nodes.len()).map(|node| wiretap::name_of(scenario.seed, node)).collect();
    let shelf = match estate {
        Estate::Shelf(ref shelf) => (**shelf).clone(),
        _ => Shelf::default(),
    };
    let seen_letters = estate.letters();
    // Whoever has no disk must not say that it remembers, where anybody takes it at its word.
    let is_any_keeping = scenario.nodes.iter().any(|node| node.repeats.is_some());
    let peer = |endpoint| {
        let config = PeerConfig {
            local_port: 6_000,
            connect_timeout: plan.endpoint.connect_timeout,
            endpoint,
            repeats: plan.repeats.map(|RepeatsPlan { patience }| Repeats { patience, is_kept: true }),
            remembers: plan.repeats.is_some() || !is_any_keeping,
            shown: shelf.shown(),
            seen_letters: seen_letters.clone(),
            ..PeerConfig::default()
        };
        Peer::new(config, seed, now)
    };
    match (plan.kind, estate) {
        (NodeKind::Talker, _) => {
            let is_told = plan.is_sealed && scenario.is_pinned;
            Box::new(Talker::new(endpoint, if is_told { people } else { Vec::new() }, seed))
        }
        (NodeKind::Chatter, _) if plan.repeats.is_some() => {
            Box::new(Chatter::with_shelf(peer(endpoint), shelf.clone(), now))
        }
        (NodeKind::Chatter, _) => Box::new(Chatter::new(peer(endpoint))),
        (NodeKind::Hall(plan), Estate::Disk(disk)) => {
            Box::new(Hall::new(plan, endpoint, people, Some(*disk), seed, now))
        }
        (NodeKind::Hall(plan), _) => Box::new(Hall::new(plan, endpoint, people, None, seed, now)),
        (NodeKind::Attendee(plan), estate) => {
            let diary = if let Estate::Diary(diary) = estate { Some(*diary) } else { None };
            Box::new(Attendee::new(peer(endpoint), index, home_of(0), plan, diary, seed, now))
        }
    }
}

const fn word_of(action: &Action) -> &'static str {
    match action {
        Action::Replay { is_spoofed: true, .. } => "replayed-elsewhere",
        Action::Replay { .. } => "replayed",
        Action::Mutate { .. } => "mutated",
        Action::Garbage { .. } => "garbage",
        Action::Meddle { .. } => "meddled",
        _ => "flooded",
    }
}
