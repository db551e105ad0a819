//! What a link is to do: a list of rules, each a fault with its numbers and the part of the traffic that it
//! concerns.
//!
//! Plain data without behaviour. The compact form on the command line and in reports is `notation`'s
//! business.

use std::time::Duration;

use crate::wire::Kinds;

/// Everything that one direction of a link does wrong. The default is a perfect link.
///
/// ```
/// use std::time::Duration;
/// use udpchat::fault::{Fault, LinkPlan, Rule};
///
/// let plan = LinkPlan {
///     rules: vec![
///         Fault::Drop { share_ppm: 200_000 }.always(),
///         Rule { until: Some(Duration::from_secs(10)), ..Fault::Duplicate { share_ppm: 50_000 }.always() },
///     ],
///     ..LinkPlan::default()
/// };
/// assert_eq!(plan.to_string(), "drop=20% duplicate=5%@..10s");
/// assert_eq!(plan, plan.to_string().parse()?);
/// # Ok::<(), udpchat::fault::PlanError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LinkPlan {
    /// The faults. Their order has no effect: size and blackouts are looked at first, then losses, then the
    /// queue, then changes.
    pub rules: Vec<Rule>,
    /// The most datagrams of one flow that [`Fault::Drop`], [`Fault::Burst`] and [`Fault::Outage`] may take
    /// in a row. It lowers the effective loss, which the report shows.
    pub max_consecutive: Option<u32>,
    /// How much may be under way at once.
    pub waiting_limit: WaitingLimit,
}

/// How much a link holds at most; what comes on top is dropped and counted as [`super::Cause::Waiting`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingLimit {
    /// Bytes of the datagrams themselves.
    pub bytes: usize,
    /// Number of datagrams.
    pub datagrams: usize,
}

impl Default for WaitingLimit {
    /// 1 Gbit/s under a delay of half a second is 62.5 MB; twice the entries that takes in full packets, for
    /// smaller ones.
    fn default() -> Self {
        Self { bytes: 64_000_000, datagrams: 131_072 }
    }
}

/// One fault, and what it concerns. Faults that choose datagrams draw anew for each; several rules of one
/// fault work side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What goes wrong.
    pub fault: Fault,
    /// Only datagrams that carry a frame of at least one of these kinds. Empty means every datagram, readable
    /// or not.
    pub only: Kinds,
    /// When the rule begins, counted from the link's first `now`. For blackouts and rebindings, the first
    /// one's time.
    pub from: Duration,
    /// When it ends; none means never.
    pub until: Option<Duration>,
}

/// What can go wrong. Shares are in millionths (ppm) of the datagrams that the rule is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Loses each datagram independently.
    Drop {
        /// How many.
        share_ppm: u32,
    },
    /// Loses runs of consecutive datagrams (Simple Gilbert model).
    Burst {
        /// How many in all.
        share_ppm: u32,
        /// The mean length of a run. The lengths are distributed geometrically.
        mean_packets: u32,
    },
    /// Loses everything for some time, again and again, whatever the traffic is.
    Outage {
        /// The share of the time.
        share_ppm: u32,
        /// The mean length of an outage, which is a multiple of a sixteenth of this.
        mean: Duration,
    },
    /// Delivers later by a fixed time.
    Delay {
        /// How much later.
        delay: Duration,
    },
    /// Delivers later by a time drawn uniformly from zero to the most, but never before what was sent
    /// earlier.
    Jitter {
        /// The most.
        most: Duration,
    },
    /// Holds datagrams back, so that later ones overtake them.
    Reorder {
        /// How many.
        share_ppm: u32,
        /// For how long.
        hold: Duration,
    },
    /// Delivers twice in a row.
    Duplicate {
        /// How many.
        share_ppm: u32,
    },
    /// Flips bits.
    Corrupt {
        /// How many datagrams.
        share_ppm: u32,
        /// How many different bits of each.
        bits: u8,
    },
    /// Cuts the end off, leaving at least one byte.
    Truncate {
        /// How many.
        share_ppm: u32,
    },
    /// Lets bytes through at a certain speed. Of several such rules the slowest counts.
    Rate {
        /// Bits a second, counting the datagrams without the headers of UDP and IP.
        bits_per_s: u64,
        /// What may wait for its turn; a datagram that does not fit is lost.
        queue_bytes: u64,
    },
    /// Loses datagrams that are too large.
    Mtu {
        /// The largest that passes.
        bytes: u32,
    },
    /// Loses everything for a known time, from [`Rule::from`] on. In one direction only, it is a one-way
    /// partition.
    Blackout {
        /// How long.
        length: Duration,
        /// The time from one beginning to the next, if there is more than one.
        every: Option<Duration>,
    },
    /// Announces [`super::Event::Rebind`] at [`Rule::from`]; whoever runs the link then changes the address.
    Rebind {
        /// The time from one to the next, if there is more than one.
        every: Option<Duration>,
    },
}

/// Every fault's name, for messages.
pub(super) const FAULT_NAMES: [&str; 13] = [
    "drop",
    "burst",
    "outage",
    "delay",
    "jitter",
    "reorder",
    "duplicate",
    "corrupt",
    "truncate",
    "rate",
    "mtu",
    "blackout",
    "rebind",
];

impl Fault {
    /// How long [`Fault::Reorder`] holds back if nothing else is said: even at 50 datagrams a second another
    /// one overtakes.
    pub const DEFAULT_HOLD: Duration = Duration::from_millis(25);

    /// The queue of a [`Fault::Rate`] if nothing else is said: a tenth of a second, as home routers have or
    /// exceed, and never less than ten full packets, since a burst of that size is normal.
    pub fn default_queue_bytes(bits_per_s: u64) -> u64 {
        (bits_per_s / 8 / 10).max(15_000)
    }

    /// The fault's rule for every datagram at any time.
    pub fn always(self) -> Rule {
        Rule { fault: self, only: Kinds::default(), from: Duration::ZERO, until: None }
    }

    /// The fault's word in plans, reports and logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Drop { .. } => "drop",
            Self::Burst { .. } => "burst",
            Self::Outage { .. } => "outage",
            Self::Delay { .. } => "delay",
            Self::Jitter { .. } => "jitter",
            Self::Reorder { .. } => "reorder",
            Self::Duplicate { .. } => "duplicate",
            Self::Corrupt { .. } => "corrupt",
            Self::Truncate { .. } => "truncate",
            Self::Rate { .. } => "rate",
            Self::Mtu { .. } => "mtu",
            Self::Blackout { .. } => "blackout",
            Self::Rebind { .. } => "rebind",
        }
    }

    /// The share that the fault is configured to reach, if it is one of chance.
    pub const fn share_ppm(&self) -> Option<u32> {
        match *self {
            Self::Drop { share_ppm }
            | Self::Burst { share_ppm, .. }
            | Self::Outage { share_ppm, .. }
            | Self::Reorder { share_ppm, .. }
            | Self::Duplicate { share_ppm }
            | Self::Corrupt { share_ppm, .. }
            | Self::Truncate { share_ppm } => Some(share_ppm),
            Self::Delay { .. }
            | Self::Jitter { .. }
            | Self::Rate { .. }
            | Self::Mtu { .. }
            | Self::Blackout { .. }
            | Self::Rebind { .. } => None,
        }
    }
}

/// Which of a link's two directions. It is part of every draw, so that both may share plan and seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the client to the target.
    Up,
    /// Back to the client.
    Down,
}

impl Direction {
    /// The direction's word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}
