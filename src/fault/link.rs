//! One direction of a link: takes datagrams, decides their fate, and gives them out again when they are due.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use crate::machine::{Path, Transmit};
use crate::time::Instant;
use crate::wire::{Glance, glance};

use super::identity::{Identity, digest};
use super::plan::{Direction, LinkPlan};
use super::recent::Recent;
use super::rule::Question;
use super::rules::Rules;
use super::statistics::Statistics;
use super::verdict::{Cause, Event, Fate, Passage, Reason, Verdict};
use super::waiting::{Bottleneck, Waiting};

/// One direction of a link, shared by the flows of all paths.
///
/// After any `handle_*`, drain [`Self::poll_transmit`] and [`Self::poll_event`] to `None`, then read
/// [`Self::poll_timeout`]. An earlier `now` counts as the last one. The plan's times count from the first
/// `now`. Without a rule that reorders, datagrams come out in the order in which they came in, whatever delay
/// and jitter do.
#[derive(Debug)]
pub struct Link {
    plan: LinkPlan,
    direction: Direction,
    rules: Rules,
    /// Whether some verdict depends on which datagram it is. If not, and nobody listens, heads are not even
    /// read.
    is_keyed: bool,
    wants_verdicts: bool,

    /// The first `now` and the last.
    origin: Option<Instant>,
    now: Instant,

    flows: Recent<Path, Flow>,
    next_flow: u64,
    /// How often each numbered datagram, or each content without a number, was seen.
    occurrences: Recent<u64, u64>,

    bottleneck: Bottleneck,
    waiting: Waiting,
    /// When the last datagram that keeps its place is due.
    last_due: Instant,
    /// The latest arrival among those handed out.
    newest_out: Option<u64>,

    verdicts: VecDeque<Verdict>,
    must_rebind: bool,
    statistics: Statistics,
}

/// What is remembered about the datagrams of one path.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    /// Its place among all paths. It stands for the path in draws, since port numbers differ from run to run.
    number: u64,
    datagrams: u64,
    unnumbered: u64,
    /// How many datagrams the random losses took in a row.
    lost_in_a_row: u32,
}

/// Who a datagram is: what the rules and the verdict want to know.
struct Subject<'a> {
    flow: Flow,
    identity: Identity,
    glance: Option<Glance<'a>>,
}

/// More paths than a proxy or a simulation has. A forgotten one only starts to count its unnumbered datagrams
/// anew.
const MAX_FLOWS: usize = 4_096;

/// A datagram comes again within seconds if at all; at 10 000 a second this remembers more than six of them,
/// in about 3 MB.
const MAX_OCCURRENCES: usize = 65_536;

/// What a caller that does not listen may leave unheard.
const MAX_VERDICTS: usize = 65_536;

impl Link {
    /// A link that does what `plan` says. The same seed gives the same verdicts; the two directions may share
    /// a seed.
    pub fn new(plan: LinkPlan, seed: u64, direction: Direction) -> Self {
        let rules = Rules::new(&plan, seed, direction);
        Self {
            is_keyed: rules.are_keyed(),
            wants_verdicts: true,
            origin: None,
            now: Instant::ZERO,
            flows: Recent::new(MAX_FLOWS),
            next_flow: 0,
            occurrences: Recent::new(MAX_OCCURRENCES),
            bottleneck: Bottleneck::default(),
            waiting: Waiting::new(plan.waiting_limit),
            last_due: Instant::ZERO,
            newest_out: None,
            verdicts: VecDeque::new(),
            must_rebind: false,
            statistics: Statistics::default(),
            plan,
            direction,
            rules,
        }
    }

    /// Whether [`Event::Decided`] is told, as it is at first. Without it a plan that leaves nothing to chance
    /// costs next to nothing.
    pub fn set_verdicts_wanted(&mut self, wanted: bool) {
        self.wants_verdicts = wanted;
    }

    /// The plan as given.
    pub fn plan(&self) -> &LinkPlan {
        &self.plan
    }

    /// The direction as given.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// All counts so far.
    pub fn statistics(&self) -> Statistics {
        let under_way = self.waiting.len() as u64;
        Statistics { rules: self.rules.counts(), under_way, ..self.statistics.clone() }
    }

    /// Datagrams handed in so far: the one count that is wanted all the time.
    pub fn received(&self) -> u64 {
        self.statistics.received
    }

    /// A datagram comes in. Its fate is decided here and now; what is left of it comes out of
    /// [`Self::poll_transmit`], with the same path.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, bytes: &[u8]) {
        self.handle_timeout(now);
        let subject = self.identify(path, bytes);
        let question = Question {
            elapsed: self.elapsed(),
            identity: subject.identity,
            kinds: subject.glance.as_ref().map(|glance| glance.kinds).unwrap_or_default(),
            length: bytes.len(),
        };
        let fate = self.decide(path, &question, subject.flow.lost_in_a_row, bytes);
        self.statistics.received += 1;
        self.statistics.received_bytes += bytes.len() as u64;
        self.statistics.lost += u64::from(matches!(fate, Fate::Lost(_)));
        self.statistics.lost_waiting += u64::from(fate == Fate::Lost(Cause::Waiting));
        if self.wants_verdicts {
            self.tell(path, subject, &question, fate);
        }
    }

    /// Time passes. Needed for rebindings only: datagrams that are due come out of [`Self::poll_transmit`]
    /// anyway.
    pub fn handle_timeout(&mut self, now: Instant) {
        let origin = *self.origin.get_or_insert(now);
        self.now = self.now.max(now);
        self.must_rebind |= self.rules.take_rebinding(origin, self.now);
    }

    /// The next datagram that is due, into `buffer`, whose former content and capacity are of no account.
    pub fn poll_transmit(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Option<Transmit> {
        self.now = self.now.max(now);
        let entry = self.waiting.pop_due(self.now, buffer)?;
        let overtaken = self.newest_out > Some(entry.sequence);
        self.newest_out = self.newest_out.max(Some(entry.sequence));
        let (transit, late) = (self.now.since(entry.arrived), self.now.since(entry.due));
        self.statistics.count_delivery(buffer.len(), transit, late, overtaken);
        Some(Transmit { path: entry.path, length: buffer.len(), segment_size: None, ecn: None })
    }

    /// What there is to tell.
    pub fn poll_event(&mut self) -> Option<Event> {
        if mem::take(&mut self.must_rebind) {
            return Some(Event::Rebind);
        }
        self.verdicts.pop_front().map(Event::Decided)
    }

    /// When to call [`Self::handle_timeout`] next, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        let delivery = self.waiting.next_due().map(|due| (due, Reason::Delivery));
        let rebinding = self.origin.and_then(|origin| self.rules.next_rebinding(origin));
        let rebinding = rebinding.map(|due| (due, Reason::Rebind));
        delivery.into_iter().chain(rebinding).min_by_key(|(due, _)| *due)
    }

    fn elapsed(&self) -> Duration {
        self.now.since(self.origin.unwrap_or(self.now))
    }

    fn identify<'a>(&mut self, path: Path, bytes: &'a [u8]) -> Subject<'a> {
        if !self.is_keyed && !self.wants_verdicts {
            return Subject { flow: Flow::default(), identity: Identity::of_ordinal(0, 0), glance: None };
        }
        let glance = glance(bytes);
        let next_flow = &mut self.next_flow;
        let flow = self.flows.entry(path, || {
            *next_flow += 1;
            Flow { number: *next_flow - 1, ..Flow::default() }
        });
        let seen_before = *flow;
        flow.datagrams += 1;
        let identity = match &glance {
            Some(Glance { to: Some(to), number: Some(number), .. }) => {
                let to = digest(to.as_bytes());
                let occurrence = self.occurrences.entry(Identity::of_number(to, *number, 0).key, || 0);
                *occurrence += 1;
                Identity::of_number(to, *number, *occurrence - 1)
            }
            Some(_) => {
                flow.unnumbered += 1;
                let content = digest(bytes);
                let occurrence = self.occurrences.entry(content, || 0);
                *occurrence += 1;
                Identity::of_bytes(content, *occurrence - 1, flow.number, seen_before.unnumbered)
            }
            None => {
                flow.unnumbered += 1;
                Identity::of_ordinal(flow.number, seen_before.unnumbered)
            }
        };
        Subject { flow: seen_before, identity, glance }
    }

    fn decide(&mut self, path: Path, question: &Question, lost_in_a_row: u32, bytes: &[u8]) -> Fate {
        let mut now_lost_in_a_row = lost_in_a_row;
        let survived = self.rules.lose(question, &mut now_lost_in_a_row);
        if self.plan.max_consecutive.is_some() && now_lost_in_a_row != lost_in_a_row {
            self.flows.entry(path, Flow::default).lost_in_a_row = now_lost_in_a_row;
        }
        match survived.and_then(|()| self.carry(path, question, bytes)) {
            Ok(passage) => Fate::Passes(passage),
            Err(cause) => Fate::Lost(cause),
        }
    }

    /// Takes the datagram along in the order of a real link: the queue, the way, and what happens on the way.
    fn carry(&mut self, path: Path, question: &Question, bytes: &[u8]) -> Result<Passage, Cause> {
        let (now, bottleneck) = (self.now, &mut self.bottleneck);
        if !self.waiting.has_room(bytes.len()) {
            return Err(Cause::Waiting);
        }
        let admit = |bits_per_s, queue_bytes| bottleneck.admit(now, bytes.len(), bits_per_s, queue_bytes);
        let departure = self.rules.queue(question, admit)?.unwrap_or(now);

        let (delay, held) = self.rules.delay(question);
        let mut due = departure + delay;
        if !held {
            due = due.max(self.last_due);
            self.last_due = due;
        }

        let mut carried = self.waiting.copy(bytes);
        let (flipped_bits, cut_to) = self.rules.damage(question, &mut carried);
        let duplicated = self.rules.duplicate(question) && self.waiting.has_room(2 * carried.len());
        if duplicated {
            let copy = self.waiting.copy(&carried);
            self.waiting.push(due, now, path, copy);
        }
        self.waiting.push(due, now, path, carried);
        Ok(Passage { due, held, duplicated, flipped_bits, cut_to })
    }

    fn tell(&mut self, path: Path, subject: Subject<'_>, question: &Question, fate: Fate) {
        if self.verdicts.len() >= MAX_VERDICTS {
            self.statistics.verdicts_missed += 1;
            return;
        }
        let (to, number) = subject.glance.map_or((None, None), |glance| (glance.to, glance.number));
        self.verdicts.push_back(Verdict {
            path,
            ordinal: subject.flow.datagrams,
            to: to.map(|to| to.into()),
            number,
            kinds: question.kinds,
            length: question.length,
            fate,
        });
    }
}

#[cfg(test)]
mod tests;
