//! What is to happen in a simulation: who takes part, what the links between them do wrong, and who does what when.
//!
//! Plain data. Everything random about a run follows from the scenario's seed, and from nothing else; so a scenario without one of
//! its items is the same run otherwise, which is what makes shrinking work.

use std::fmt;
use std::time::Duration;

use crate::endpoint::EndpointConfig;
use crate::fault::LinkPlan;

/// A whole simulation.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Everything random follows from it.
    pub seed: u64,
    /// Who takes part; the script names them by their place here.
    pub nodes: Vec<NodePlan>,
    /// The links that are not perfect.
    pub links: Vec<LinkOf>,
    /// What is done, at any order of times.
    pub script: Vec<Step>,
    /// From this time on nothing goes wrong any more, but for delays that last. The plans have to end by then.
    pub heal_at: Duration,
    /// What remains of every link's delay after `heal_at`, one way, at most: the bound of liveness counts with it.
    pub delay_after: Duration,
    /// Whether sealed talkers know each other's keys before they connect, and take no others.
    pub is_pinned: bool,
}

/// One participant.
#[derive(Clone, Debug)]
pub struct NodePlan {
    /// What it is.
    pub kind: NodeKind,
    /// How its endpoint behaves. Its `protection` is made anew for each life: see `is_sealed`.
    pub endpoint: EndpointConfig,
    /// Whether it seals. Its keys follow from the scenario's seed.
    pub is_sealed: bool,
    /// Of a sealed chatter: how it says again what got no receipt, from a disk that outlives its program. None: it does not.
    pub repeats: Option<RepeatsPlan>,
}

/// How a chatter says things again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepeatsPlan {
    /// How long it calls somebody who was lost; None: for ever.
    pub patience: Option<Duration>,
}

/// Where in its round a chatter's program is killed: it writes down what is about to leave, shows, writes down what was shown, and
/// sends. What it had in hand by then is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before what is about to leave is written down.
    BeforeKeeping,
    /// When that is written down, and nothing was shown yet.
    BeforeShowing,
    /// When something was shown that is not written down yet.
    BeforeRemembering,
    /// When all is written down, and no receipt has left.
    BeforeSending,
}

/// Which of the shipped machines a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// An [`crate::endpoint::Endpoint`] under an application that sends what the script says and takes what comes.
    Talker,
    /// A [`crate::peer::Peer`].
    Chatter,
    /// A [`crate::relay::Relay`] with a disk; always the first node.
    Hall(HallPlan),
    /// A [`crate::peer::Peer`] that is a member of the hall's relay.
    Attendee(AttendeePlan),
}

/// How a relay's disk behaves, and what the relay allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HallPlan {
    /// How long a commit takes, from and to.
    pub commit: (Duration, Duration),
    /// How long the answers take after it, at most.
    pub answer_delay: Duration,
    /// Whether it forgets everything with the program.
    pub is_memory: bool,
    /// How many messages a member may send in a second; None: as many as by default.
    pub per_second: Option<u32>,
    /// How many letters may wait for one receiver.
    pub mailbox_letters: u64,
}

impl Default for HallPlan {
    fn default() -> Self {
        Self {
            commit: (Duration::from_micros(200), Duration::from_millis(50)),
            answer_delay: Duration::ZERO,
            is_memory: false,
            per_second: None,
            mailbox_letters: 1_000,
        }
    }
}

/// Who an attendee is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttendeePlan {
    /// Its name, by its place in [`NAMES`].
    pub name: usize,
    /// How many of [`ROOMS`] it joins.
    pub rooms: usize,
    /// How many earlier lines it asks for; None: what was missed, everything at first.
    pub history: Option<u64>,
    /// How often it stores how far it was shown; zero: each time something was shown.
    pub store_every: Duration,
    /// How long it tries to find a lost relay again.
    pub patience: Option<Duration>,
}

impl AttendeePlan {
    /// Who goes by that name, is in `rooms` rooms, and forgets nothing.
    pub const fn named(name: usize, rooms: usize) -> Self {
        Self { name, rooms, history: None, store_every: Duration::ZERO, patience: None }
    }
}

/// What attendees are called. Some of these are the same name.
pub const NAMES: [&str; 12] =
    ["ana", "bruno", "carla", "davi", "elza", "fabio", "gil", "hugo", "Ana", "BRUNO", "ça", "ÇA"];

/// Where they meet.
pub const ROOMS: [&str; 2] = ["#sala", "#rua"];

/// One direction of a link that goes wrong.
#[derive(Clone, Debug)]
pub struct LinkOf {
    /// Whose datagrams.
    pub from: usize,
    /// To whom.
    pub to: usize,
    /// What happens to them.
    pub plan: LinkPlan,
}

/// One line of the script.
#[derive(Clone, Debug)]
pub struct Step {
    /// When, counted from the beginning.
    pub at: Duration,
    /// Who.
    pub node: usize,
    /// What.
    pub action: Action,
}

/// What a node does, or what is done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Begins a connection, even if there is one.
    Connect {
        /// With whom.
        to: usize,
    },
    /// Sends messages, over a fresh connection if there is none.
    Send {
        /// To whom.
        to: usize,
        /// What.
        message: MessagePlan,
        /// How many of them.
        count: u32,
    },
    /// Sends one message that is not repeated.
    Gram {
        /// To whom.
        to: usize,
        /// Its length in bytes.
        length: usize,
    },
    /// A chatter asks for its text back.
    Echo {
        /// Whom.
        to: usize,
        /// The text's length in bytes.
        length: usize,
    },
    /// A chatter answers the last message that came.
    Reply {
        /// The text's length in bytes.
        length: usize,
    },
    /// Ends every connection with that node gracefully.
    Close {
        /// With whom.
        to: usize,
    },
    /// Ends every connection gracefully and wants no more.
    Shutdown,
    /// A talker stops taking messages, or takes them again.
    Read {
        /// Whether it takes them.
        on: bool,
    },
    /// The node's NAT forgets it: its next datagram leaves from an address that was never used before.
    Rebind,
    /// Somebody in between passes on what the node sends and gets under another address than its own, or stops doing so: then the
    /// other address is nobody's any more.
    Detour {
        /// Whether it does.
        on: bool,
    },
    /// The node's program is started anew; nothing of the old one's memory is left.
    Restart,
    /// A chatter's program is killed the next time that there is something to lose at this moment, and started anew.
    Fall {
        /// When.
        before: Moment,
    },
    /// The node stands still, and what comes meanwhile is lost.
    Freeze {
        /// For how long.
        length: Duration,
    },
    /// Datagrams that were sent before come to the node once more.
    Replay {
        /// How many.
        count: u32,
        /// Whether they come from an address that never sent anything.
        is_spoofed: bool,
    },
    /// Datagrams that were sent before come to the node changed at random.
    Mutate {
        /// How many.
        count: u32,
    },
    /// Random bytes come to the node.
    Garbage {
        /// How many datagrams.
        count: u32,
    },
    /// Hellos from addresses that nobody is at come to the node.
    Flood {
        /// How many.
        count: u32,
    },
    /// Somebody on the path of a sealed node reads, changes, invents and plays back.
    Meddle {
        /// How many datagrams come of it.
        count: u32,
        /// Whether hellos are answered in the meddler's own name: for those who know whose answer they want.
        is_impostor: bool,
    },
    /// The node's program is killed and started anew after a while, with what it had stored.
    Kill {
        /// After how long.
        pause: Duration,
    },
    /// A hall's disk takes nothing.
    Full {
        /// For how long.
        length: Duration,
    },
    /// An attendee wants to be a member, from now on.
    Attend,
    /// An attendee says goodbye.
    Leave,
    /// An attendee says something.
    Speak {
        /// Where.
        to: Place,
        /// How many bytes.
        length: usize,
        /// How often.
        count: u32,
    },
    /// An attendee wants into one of [`ROOMS`].
    Join {
        /// Which.
        room: usize,
    },
    /// An attendee wants out of one of [`ROOMS`].
    Part {
        /// Which.
        room: usize,
    },
    /// An attendee wants to be called one of [`NAMES`].
    Rename {
        /// Which.
        name: usize,
    },
}

/// For whom an attendee's words are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// One of [`ROOMS`].
    Room(usize),
    /// Everybody.
    Everyone,
    /// Whoever is or was called one of [`NAMES`].
    Name(usize),
    /// The relay itself, which is to return them.
    Relay,
}

/// A message to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessagePlan {
    /// On which stream. A chatter has its own.
    pub stream: u32,
    /// How many bytes.
    pub length: usize,
    /// Whether it waits for none.
    pub unordered: bool,
    /// After how long it is to be given up.
    pub deadline: Option<Duration>,
}

impl MessagePlan {
    /// An ordered message without a deadline on stream 0.
    pub const fn plain(length: usize) -> Self {
        Self { stream: 0, length, unordered: false, deadline: None }
    }
}

impl Scenario {
    /// Whether the first node is a hall.
    pub fn has_hall(&self) -> bool {
        self.nodes.first().is_some_and(|node| matches!(node.kind, NodeKind::Hall(_)))
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pinned = if self.is_pinned { " pinned" } else { "" };
        write!(f, "seed={} heal_at={:?}{pinned}", self.seed, self.heal_at)?;
        for (index, node) in self.nodes.iter().enumerate() {
            let form = if node.is_sealed { "sealed" } else { "clear" };
            write!(f, " | node {index}: {form} {:?} {}", node.kind, limits(&node.endpoint))?;
            if let Some(RepeatsPlan { patience }) = node.repeats {
                write!(f, " repeats, patience {patience:?}")?;
            }
        }
        for LinkOf { from, to, plan } in &self.links {
            write!(f, " | {from}->{to}: {plan}")?;
        }
        for Step { at, node, action } in &self.script {
            write!(f, " | {at:?} {node}: {action:?}")?;
        }
        Ok(())
    }
}

/// What of a configuration differs from one schedule to the next.
fn limits(config: &EndpointConfig) -> String {
    let limits = &config.connection.limits;
    format!(
        "window={}/{}/{} streams={} queue={}/{}",
        limits.connection_bytes,
        limits.stream_bytes,
        limits.stream_messages,
        limits.streams,
        config.connection.send_queue_bytes,
        config.connection.send_queue_messages
    )
}
