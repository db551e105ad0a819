//! A hall's disk: a ledger behind a group commit on virtual time, which a kill catches in the middle of its work.
//!
//! Jobs queue. A commit takes everything that is queued when it begins, takes its time, and then all of it is durable; only then
//! the answers go back, and they may take their time too. It must never answer what it has not stored.

use std::collections::VecDeque;
use std::time::Duration;

use super::deed::Deed;
use super::scenario::HallPlan;
use crate::ledger::{
    Answer, Draft, Foundation, Job, LedgerError, LedgerErrorKind, MemoryLedger, Proof, Reply, Request, folded,
};
use crate::random::Random;
use crate::secure::PublicKey;
use crate::time::Instant;

/// A ledger, and what is on its way into and out of it.
#[derive(Debug)]
pub struct Disk {
    ledger: MemoryLedger,
    log: u64,
    plan: HallPlan,
    random: Random,
    queue: Vec<Job>,
    commit: Option<(Instant, Vec<Job>)>,
    answers: VecDeque<(Instant, Answer)>,
    full_until: Instant,
    /// Who has which key, by node.
    people: Vec<PublicKey>,
}

/// More than any simulation says: nothing is let go.
const MOST_BYTES: usize = 1 << 40;

impl Disk {
    /// An empty disk.
    pub fn new(plan: HallPlan, seed: u64) -> Self {
        let mut ledger = MemoryLedger::new("1".to_owned(), MOST_BYTES);
        if !plan.is_memory {
            ledger.begin_run(run_of(seed));
        }
        Self {
            ledger,
            log: 1,
            plan,
            random: Random::from_seed(seed),
            queue: Vec::new(),
            commit: None,
            answers: VecDeque::new(),
            full_until: Instant::ZERO,
            people: Vec::new(),
        }
    }

    /// Whom the harness knows by their keys; the ledger is not told.
    pub fn know(&mut self, people: Vec<PublicKey>) {
        self.people = people;
    }

    /// What a killed program finds again: what was committed, and nothing that was on its way.
    pub fn after_kill(self, seed: u64) -> Self {
        let (ledger, log) = if self.plan.is_memory {
            let log = self.log + 1;
            (MemoryLedger::new(log.to_string(), MOST_BYTES), log)
        } else {
            let mut ledger = self.ledger;
            ledger.begin_run(run_of(seed));
            (ledger, self.log)
        };
        Self { ledger, log, full_until: self.full_until, ..Self::new(self.plan, seed) }
    }

    /// The number of its log.
    pub const fn log(&self) -> u64 {
        self.log
    }

    /// What a relay must know to begin.
    pub fn foundation(&self) -> Foundation {
        self.ledger.foundation()
    }

    /// Something to do, after everything else.
    pub fn push(&mut self, job: Job) {
        self.queue.push(job);
    }

    /// Nothing can be stored for a while.
    pub fn fill_up(&mut self, until: Instant) {
        self.full_until = self.full_until.max(until);
    }

    /// Begins a commit with all that waits, unless one is under way.
    pub fn begin(&mut self, now: Instant) {
        if self.commit.is_none() && !self.queue.is_empty() {
            let (least, most) = self.plan.commit;
            let length = self.draw(least, most);
            self.commit = Some((now + length, std::mem::take(&mut self.queue)));
        }
    }

    /// Ends the commit that is due, and begins the next one.
    pub fn handle_timeout(&mut self, now: Instant, deeds: &mut Vec<Deed>) {
        if let Some((_, jobs)) = self.commit.take_if(|(at, _)| *at <= now) {
            let delay = self.draw(Duration::ZERO, self.plan.answer_delay);
            let last = self.answers.back().map_or(now, |(at, _)| *at);
            let due = last.max(now + delay);
            for job in jobs {
                let answer = if now < self.full_until { no_room(&job) } else { self.ledger.apply(&job) };
                deeds.extend(deed(&job, &answer, &self.people));
                self.answers.push_back((due, answer));
            }
        }
        self.begin(now);
    }

    /// The next answer that is due.
    pub fn poll_answer(&mut self, now: Instant) -> Option<Answer> {
        let is_due = self.answers.front().is_some_and(|(at, _)| *at <= now);
        is_due.then(|| self.answers.pop_front())?.map(|(_, answer)| answer)
    }

    /// When something is due next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let commit = self.commit.as_ref().map(|(at, _)| *at);
        commit.into_iter().chain(self.answers.front().map(|(at, _)| *at)).min()
    }

    /// Whether there is nothing to do.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.commit.is_none() && self.answers.is_empty()
    }

    fn draw(&mut self, least: Duration, most: Duration) -> Duration {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.random.between(micros(least), micros(most)))
    }
}

/// Every run of a disk has a seed of its own.
fn run_of(seed: u64) -> String {
    format!("{seed:016x}")
}

fn no_room(job: &Job) -> Answer {
    let error = LedgerError { kind: LedgerErrorKind::Full, words: "no room on the disk".to_owned() };
    Answer { ticket: job.ticket, result: Err(error) }
}

/// What of a job's outcome the harness looks at.
fn deed(job: &Job, answer: &Answer, people: &[PublicKey]) -> Option<Deed> {
    match (&job.request, &answer.result) {
        (Request::Enter { proof, nick }, Ok(Reply::Entered { identity, .. })) => {
            Some(Deed::Named { identity: *identity, node: node_of(proof, people), name: folded(nick) })
        }
        (Request::Enter { proof, .. }, Err(_)) => node_of(proof, people).map(|node| Deed::Unnamed { node }),
        (Request::TakeName { identity, nick }, Ok(Reply::Entered { .. })) => {
            Some(Deed::Named { identity: *identity, node: None, name: folded(nick) })
        }
        (
            Request::AppendLine { draft, .. } | Request::AppendLetter { draft, .. },
            Ok(Reply::Appended { log, pos, is_duplicate: false, .. }),
        ) => {
            let Draft { author, id, text, to, sealed, .. } = Draft::clone(draft);
            let is_sealed = sealed.is_some();
            Some(Deed::Stored {
                key: *log,
                pos: *pos,
                author,
                id,
                text,
                room: to.room,
                to: to.nick,
                is_sealed,
            })
        }
        (Request::AppendLine { draft, .. } | Request::AppendLetter { draft, .. }, Err(_)) => {
            Some(Deed::Rejected { id: draft.id.clone() })
        }
        _ => None,
    }
}

/// An attendee's proof of who it is.
pub fn token_of(node: usize) -> String {
    format!("token-of-attendee-{node}")
}

fn node_of(proof: &Proof, people: &[PublicKey]) -> Option<usize> {
    match proof {
        Proof::Key(key) => people.iter().position(|known| known == key),
        Proof::Token(token) => token.rsplit('-').next()?.parse().ok(),
    }
}
