//! Whoever does the ledger's jobs while the loop goes on: a thread with a database, or the memory at once.
//!
//! Jobs that come while the disk is busy wait and are stored together: one wait for the disk serves them all. The answers come in
//! the order of the jobs. This module must never make the loop wait, and never drop a job that it took.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use super::database::Database;
use crate::ledger::{Answer, Job, LedgerError, LedgerErrorKind, MemoryLedger};

/// Jobs of one transaction: enough to make the wait for the disk cheap, few enough that the first of them does not wait for long.
const MOST_BATCH: usize = 512;

/// Jobs that may be under way before [`Keeper::has_room`] says no: several batches, so that the disk is never idle.
const MOST_UNDER_WAY: usize = 4 * MOST_BATCH;

/// Takes jobs, gives answers.
#[derive(Debug)]
pub struct Keeper {
    place: Place,
    /// Jobs whose answer was not fetched.
    under_way: usize,
}

enum Place {
    Memory { ledger: Box<MemoryLedger>, answers: VecDeque<Answer> },
    Thread(Worker),
}

struct Worker {
    /// None: nothing more is taken.
    jobs: Option<Sender<Job>>,
    answers: Receiver<Vec<Answer>>,
    /// A batch of answers that is being fetched.
    fetched: VecDeque<Answer>,
    /// The tickets of jobs that are under way, in order: whoever asked is answered even if the thread dies.
    tickets: VecDeque<u64>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Keeps everything in memory; answers are there at once.
    pub fn in_memory(ledger: MemoryLedger) -> Self {
        Self { place: Place::Memory { ledger: Box::new(ledger), answers: VecDeque::new() }, under_way: 0 }
    }

    /// Keeps everything in a database, on a thread of its own. `wake` is called there whenever there are answers.
    pub fn on_disk(database: Database, wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        let (jobs, taken) = mpsc::channel();
        let (given, answers) = mpsc::channel();
        let work = move || work(database, &taken, &given, wake);
        let thread = thread::Builder::new().name("ledger".to_owned()).spawn(work)?;
        let worker = Worker {
            jobs: Some(jobs),
            answers,
            fetched: VecDeque::new(),
            tickets: VecDeque::new(),
            thread: Some(thread),
        };
        Ok(Self { place: Place::Thread(worker), under_way: 0 })
    }

    /// Whether another job should be given now; if not, whoever has one keeps it until answers were fetched.
    pub const fn has_room(&self) -> bool {
        self.under_way < MOST_UNDER_WAY
    }

    /// Whether every job was answered.
    pub const fn is_idle(&self) -> bool {
        self.under_way == 0
    }

    /// Has a job done. It is taken even without room.
    pub fn submit(&mut self, job: Job) {
        self.under_way += 1;
        match &mut self.place {
            Place::Memory { ledger, answers } => answers.push_back(ledger.apply(&job)),
            Place::Thread(worker) => {
                worker.tickets.push_back(job.ticket);
                if let Some(jobs) = &worker.jobs {
                    // A thread that is gone takes nothing: `poll_answer` says so for it.
                    let _ = jobs.send(job);
                }
            }
        }
    }

    /// The next answer, if there is one now.
    pub fn poll_answer(&mut self) -> Option<Answer> {
        let answer = match &mut self.place {
            Place::Memory { answers, .. } => answers.pop_front(),
            Place::Thread(worker) => worker.next_answer(),
        }?;
        self.under_way -= 1;
        Some(answer)
    }
}

/// The thread finishes what it took, and closes the file.
impl Drop for Keeper {
    fn drop(&mut self) {
        if let Place::Thread(worker) = &mut self.place {
            worker.jobs = None;
            if let Some(thread) = worker.thread.take() {
                // It panicked: it has said so itself.
                let _ = thread.join();
            }
        }
    }
}

impl Worker {
    fn next_answer(&mut self) -> Option<Answer> {
        if self.fetched.is_empty() {
            match self.answers.try_recv() {
                Ok(batch) => self.fetched = batch.into(),
                Err(mpsc::TryRecvError::Empty) => return None,
                Err(mpsc::TryRecvError::Disconnected) => {
                    let ticket = self.tickets.pop_front()?;
                    return Some(Answer { ticket, result: Err(gone()) });
                }
            }
        }
        self.tickets.pop_front();
        self.fetched.pop_front()
    }
}

fn gone() -> LedgerError {
    let words = "the thread that stores is gone: start the relay again".to_owned();
    LedgerError { kind: LedgerErrorKind::Unusable, words }
}

fn work(mut database: Database, jobs: &Receiver<Job>, answers: &Sender<Vec<Answer>>, wake: impl Fn()) {
    let mut batch = Vec::with_capacity(MOST_BATCH);
    while let Ok(first) = jobs.recv() {
        batch.push(first);
        batch.extend(jobs.try_iter().take(MOST_BATCH - 1));
        if answers.send(database.apply_batch(&batch)).is_err() {
            return;
        }
        wake();
        batch.clear();
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory { .. } => "Memory",
            Self::Thread(_) => "Thread",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::ledger::{Proof, Reply, Request};
    use crate::store::tests::Folder;
    use crate::time::WallTime;

    fn enter(ticket: u64) -> Job {
        let request = Request::Enter { proof: Proof::Token(format!("t{ticket}")), nick: "ana".to_owned() };
        Job { ticket, at: WallTime::default(), request }
    }

    #[test]
    fn memory_answers_at_once() {
        let mut keeper = Keeper::in_memory(MemoryLedger::new("log".to_owned(), 0));
        keeper.submit(enter(1));
        keeper.submit(enter(2));
        assert!(!keeper.is_idle());
        let tickets: Vec<u64> =
            std::iter::from_fn(|| keeper.poll_answer()).map(|answer| answer.ticket).collect();
        assert_eq!(tickets, [1, 2]);
        assert!(keeper.is_idle());
    }

    #[test]
    fn thread_answers_in_order_and_finishes_what_it_took() {
        let folder = Folder::new();
        let (woken, wakes) = channel();
        let database = Database::open(&folder).unwrap().0;
        let mut keeper = Keeper::on_disk(database, move || woken.send(()).unwrap()).unwrap();
        let mut given = 0;
        while keeper.has_room() {
            given += 1;
            keeper.submit(enter(given));
        }
        assert_eq!(given, MOST_UNDER_WAY as u64);
        for ticket in 1..=100 {
            let answer = loop {
                match keeper.poll_answer() {
                    Some(answer) => break answer,
                    None => wakes.recv().unwrap(),
                }
            };
            assert_eq!(answer.ticket, ticket);
            assert!(matches!(answer.result, Ok(Reply::Entered { .. })), "{answer:?}");
        }
        assert!(keeper.has_room());
        drop((keeper, wakes));
        let mut database = Database::open(&folder).unwrap().0;
        let known = database.apply_batch(&[enter(given), enter(given + 1)]);
        let identities = known.into_iter().map(|answer| match answer.result {
            Ok(Reply::Entered { identity, .. }) => identity.0,
            other => panic!("{other:?}"),
        });
        assert_eq!(identities.collect::<Vec<_>>(), [given, given + 1]);
    }

    #[test]
    fn nobody_waits_for_a_thread_that_is_gone() {
        let folder = Folder::new();
        let database = Database::open(&folder).unwrap().0;
        let mut keeper = Keeper::on_disk(database, || panic!("the loop is gone, as a test")).unwrap();
        keeper.submit(enter(1));
        if let Place::Thread(worker) = &mut keeper.place {
            worker.thread.take().unwrap().join().unwrap_err();
        }
        keeper.submit(enter(2));
        assert!(keeper.poll_answer().unwrap().result.is_ok());
        assert_eq!(keeper.poll_answer().unwrap().result, Err(gone()));
        assert!(keeper.is_idle());
    }
}
