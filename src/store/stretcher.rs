//! Whoever stretches passwords while the loop goes on: a thread of its own.
//!
//! It is not the keeper's thread, where each password would hold up the receipts of all lines; and it is one thread, so that however
//! many passwords are said at once, one core and one password's memory is all that they take. This module must never make the loop
//! wait, and never take more than it was built for.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::thread::{self, JoinHandle};

use crate::relay::MOST_STRETCHES;
use crate::secure::{Stretch, StretchCost, StretchOutcome};

/// Takes passwords, gives outcomes.
#[derive(Debug)]
pub struct Stretcher {
    /// None: nothing more is taken.
    tasks: Option<SyncSender<(u64, Stretch)>>,
    outcomes: Receiver<(u64, StretchOutcome)>,
    /// What was given to the thread and not answered yet: whoever asked is answered even if the thread dies.
    under_way: BTreeSet<u64>,
    /// Outcomes of what the thread did not take.
    refused: VecDeque<(u64, StretchOutcome)>,
    thread: Option<JoinHandle<()>>,
}

impl Stretcher {
    /// Begins; new passwords cost as much as `cost`. `wake` is called on the thread whenever there is an outcome.
    pub fn begin(cost: StretchCost, wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        let (tasks, taken) = mpsc::sync_channel::<(u64, Stretch)>(MOST_STRETCHES);
        let (given, outcomes) = mpsc::channel();
        let work = move || {
            while let Ok((ticket, stretch)) = taken.recv() {
                let outcome = stretch.carry_out(cost);
                // What was said is overwritten before anybody is told.
                drop(stretch);
                if given.send((ticket, outcome)).is_err() {
                    return;
                }
                wake();
            }
        };
        let thread = thread::Builder::new().name("passwords".to_owned()).spawn(work)?;
        Ok(Self {
            tasks: Some(tasks),
            outcomes,
            under_way: BTreeSet::new(),
            refused: VecDeque::new(),
            thread: Some(thread),
        })
    }

    /// Has a password stretched. Beyond [`MOST_STRETCHES`] none is taken, and the outcome says so.
    pub fn submit(&mut self, ticket: u64, stretch: Stretch) {
        let sent = self.tasks.as_ref().is_some_and(|tasks| tasks.try_send((ticket, stretch)).is_ok());
        if sent {
            self.under_way.insert(ticket);
        } else {
            self.refused.push_back((ticket, failed()));
        }
    }

    /// The next outcome, if there is one now.
    pub fn poll_outcome(&mut self) -> Option<(u64, StretchOutcome)> {
        if let Some(refused) = self.refused.pop_front() {
            return Some(refused);
        }
        match self.outcomes.try_recv() {
            Ok((ticket, outcome)) => {
                self.under_way.remove(&ticket);
                Some((ticket, outcome))
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => self.under_way.pop_first().map(|ticket| (ticket, failed())),
        }
    }
}

/// The thread finishes the few that it took.
impl Drop for Stretcher {
    fn drop(&mut self) {
        self.tasks = None;
        if let Some(thread) = self.thread.take() {
            // It panicked: it has said so itself.
            let _ = thread.join();
        }
    }
}

fn failed() -> StretchOutcome {
    let why = "the thread that stretches passwords is gone, or has too much to do: start the relay again";
    StretchOutcome::Failed { why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    fn begin(cost: StretchCost, wakes: Sender<()>) -> Stretcher {
        Stretcher::begin(cost, move || wakes.send(()).unwrap()).unwrap()
    }

    fn next(stretcher: &mut Stretcher, wakes: &Receiver<()>) -> (u64, StretchOutcome) {
        loop {
            match stretcher.poll_outcome() {
                Some(outcome) => return outcome,
                None => wakes.recv().unwrap(),
            }
        }
    }

    // UC-RELAY-027
    #[test]
    fn passwords_are_stretched_in_order_at_the_cost_that_is_kept() {
        let (woken, wakes) = channel();
        let mut stretcher = begin(StretchCost::KEPT, woken);
        stretcher.submit(1, Stretch::New { password: "cheese".into(), salt: [1; 16] });
        let (ticket, outcome) = next(&mut stretcher, &wakes);
        let StretchOutcome::Made(against) = outcome else { panic!("{outcome:?}") };
        assert!(
            (ticket, &against.as_str()[..31]) == (1, "$argon2id$v=19$m=19456,t=2,p=1$"),
            "{}",
            against.as_str()
        );
        for (ticket, tried) in [(2, "ham"), (3, "cheese")] {
            stretcher.submit(ticket, Stretch::Check { password: tried.into(), against: against.clone() });
        }
        for (ticket, is_right) in [(2, false), (3, true)] {
            assert_eq!(next(&mut stretcher, &wakes), (ticket, StretchOutcome::Checked { is_right }));
        }
        assert_eq!(stretcher.poll_outcome(), None);
    }

    #[test]
    fn nobody_waits_for_a_thread_that_is_gone_or_has_too_much_to_do() {
        let mut stretcher =
            Stretcher::begin(StretchCost::LEAST, || panic!("the loop is gone, as a test")).unwrap();
        let stretch = Stretch::New { password: "cheese".into(), salt: [1; 16] };
        stretcher.submit(1, stretch.clone());
        stretcher.thread.take().unwrap().join().unwrap_err();
        stretcher.submit(2, stretch);
        let told: Vec<_> = std::iter::from_fn(|| stretcher.poll_outcome()).collect();
        assert!(
            matches!(&told[..], [(2, StretchOutcome::Failed { .. }), (1, StretchOutcome::Made(_))]),
            "{told:?}"
        );
    }
}
