//! The invariants, one checker each.
//!
//! A checker watches from outside: reports of applications, datagrams as they leave and arrive, and bounds that a machine tells
//! about itself only where nobody else could know them. It must never change what it watches.

mod acks;
mod again;
mod amplification;
mod authentic;
mod bounds;
mod closed;
mod delivery;
mod gathering;
mod keys;
mod liveness;
mod order;
mod outcome;
mod path;
mod total;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

pub use liveness::Bounds;
pub use total::Trace;

use super::ghost::Ghost;
use super::node::{Node, Report};
use super::scenario::Scenario;
use super::wiretap::Said;
use crate::time::Instant;
use crate::wire::Datagram;

/// What must hold in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// No message is handed over twice; one that arrived is handed over.
    AtMostOnce,
    /// What is handed over was submitted, byte for byte, on the same stream of the same connection.
    NoInvention,
    /// Ordered messages keep their order, and nothing waits for what it need not wait for.
    Order,
    /// Acks name packets that arrived, nacks packets that did not.
    HonestAck,
    /// Everything that is held is within its configured limit, and nothing is left at the end.
    Bounded,
    /// No more than three bytes out for each byte in, to an address that has not proved itself.
    AntiAmplification,
    /// After the last fault everything arrives and is acked within a bound, or fails truthfully.
    LivenessAfterHeal,
    /// Each message has exactly one outcome, and it is true.
    TruthfulOutcome,
    /// After a close nothing is handed over and nothing but acks and closes is sent.
    ClosedIsClosed,
    /// No bytes cause a panic, each datagram is counted once, timers do not spin, a repeated datagram changes nothing, and the
    /// same seed gives the same run.
    TotalAndDeterministic,
    /// What leaves can be read by whoever it is for, and was sealed as it must be.
    Readable,
    /// What no honest side wrote changes no connection.
    Authentic,
    /// Both sides' keys are never more than one change apart, they do change, and what is sealed with them is taken.
    Keys,
    /// An address gets what is said only once it has shown that it receives, and a connection goes nowhere on a stranger's word.
    ProvenPath,
    /// Everybody who is shown a log of a relay is shown it in the one order that its positions have.
    TotalOrder,
    /// An attendee's lines to a room stand there in the order in which they were said.
    AuthorOrder,
    /// What has a receipt is stored, once, whatever is killed.
    Durable,
    /// What a chatter wrote down to say again is shown or has a fate, in its old order, and is written down no longer than needed.
    SaidAgain,
    /// Attendees are shown what was said, as it was said, once.
    ShownOnce,
    /// Words are in the one log that they are for, and are shown to nobody else.
    Private,
    /// Each name has one member.
    UniqueNames,
    /// A relay holds no more than it may, and nothing for those who left.
    BoundedHall,
    /// Each of an attendee's words has exactly one outcome, and it is true.
    TruthfulFate,
    /// After the last fault everybody is back in time, and misses nothing.
    Together,
}

impl Invariant {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AtMostOnce => "at most once",
            Self::NoInvention => "no invention",
            Self::Order => "order",
            Self::HonestAck => "honest ack",
            Self::Bounded => "bounded",
            Self::AntiAmplification => "anti-amplification",
            Self::LivenessAfterHeal => "liveness after heal",
            Self::TruthfulOutcome => "truthful outcome",
            Self::ClosedIsClosed => "closed is closed",
            Self::TotalAndDeterministic => "total and deterministic",
            Self::Readable => "readable",
            Self::Authentic => "authentic",
            Self::Keys => "keys",
            Self::ProvenPath => "proven path",
            Self::TotalOrder => "total order",
            Self::AuthorOrder => "author order",
            Self::Durable => "durable",
            Self::SaidAgain => "said again",
            Self::ShownOnce => "shown once",
            Self::Private => "private",
            Self::UniqueNames => "unique names",
            Self::BoundedHall => "bounded hall",
            Self::TruthfulFate => "truthful fate",
            Self::Together => "together",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// When, counted from the beginning.
    pub at: Duration,
    /// At which node it showed.
    pub node: usize,
    /// What was seen.
    pub evidence: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broken at {:?}, node {}: {}", self.invariant, self.at, self.node, self.evidence)
    }
}

/// Something that checkers look at.
#[derive(Debug)]
pub enum Seen<'a, 'd> {
    /// An application did or saw something. The ghost state does not know it yet.
    Report(&'a Report),
    /// A datagram left.
    Emitted {
        /// Where to.
        to: SocketAddr,
        /// How long it is.
        length: usize,
        /// What it says, if it can be read.
        datagram: Option<&'a Datagram<'d>>,
        /// The same, and how it was sealed.
        said: &'a Said,
        /// Whose it is.
        node: &'a dyn Node,
    },
    /// A datagram was handed to a node, and all that followed was reported.
    Arrived {
        /// Where it came from.
        from: SocketAddr,
        /// How long it is.
        length: usize,
        /// What it says, if it can be read.
        datagram: Option<&'a Datagram<'d>>,
        /// Whether the same packet had come before.
        is_again: bool,
        /// How much was reported.
        reports: usize,
        /// What it says, and how it was sealed.
        said: &'a Said,
        /// The node.
        node: &'a dyn Node,
    },
    /// A node did something, and has nothing more to say at this moment.
    Settled {
        /// The node.
        node: &'a dyn Node,
        /// How often its timers went off at this moment.
        rounds: u32,
    },
    /// A stage of the run is over.
    Stage {
        /// Which.
        stage: Stage,
        /// One of the nodes.
        node: &'a dyn Node,
    },
}

/// The stages of a run after its faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Whoever is connected has had time to deliver everything.
    Recovered,
    /// Whoever lost its partner has had time to learn it.
    Learned,
    /// The attendees were told to stop and have had time to; the hall was not.
    Left,
    /// Everybody was told to stop and has had time to.
    Ended,
}

/// The watcher of one invariant.
pub trait Checker: fmt::Debug {
    /// Which one it watches.
    fn invariant(&self) -> Invariant;

    /// Looks at something that happened at `node`; the error is the evidence.
    fn check(&mut self, at: Instant, node: usize, seen: &Seen<'_, '_>, ghost: &Ghost) -> Result<(), String>;

    /// A datagram is about to be handed to `node`. Whoever counts what came has to know before the answer leaves.
    fn arriving(
        &mut self,
        _node: usize,
        _from: SocketAddr,
        _length: usize,
        _says: Option<&Datagram<'_>>,
        _ghost: &Ghost,
        _machine: &dyn Node,
    ) {
    }
}

/// A fresh checker of every invariant.
pub fn all(scenario: &Scenario) -> Vec<Box<dyn Checker>> {
    let mut all: Vec<Box<dyn Checker>> = vec![
        Box::new(delivery::AtMostOnce),
        Box::new(delivery::NoInvention),
        Box::new(order::Order::default()),
        Box::new(acks::HonestAck),
        Box::new(bounds::Bounded::new(scenario)),
        Box::new(amplification::AntiAmplification::new(scenario.nodes.len())),
        Box::new(liveness::Liveness::new(scenario)),
        Box::new(outcome::TruthfulOutcome),
        Box::new(closed::ClosedIsClosed),
        Box::new(total::Total),
        Box::new(authentic::Authentic::new(scenario)),
        Box::new(keys::Keys::new(scenario)),
        Box::new(path::ProvenPath::default()),
        Box::new(again::SaidAgain::new(scenario)),
    ];
    all.extend(gathering::all(scenario));
    all
}
