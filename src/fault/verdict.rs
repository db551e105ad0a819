//! What a link tells about each datagram, and why it wants to be woken.

use crate::machine::Path;
use crate::time::Instant;
use crate::wire::Kinds;

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A datagram's fate is decided. It is so on arrival: nothing happens to a datagram later that this does
    /// not tell.
    Decided(Verdict),
    /// The time has come to give the link's sender another address.
    Rebind,
}

/// A datagram and its fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The path that the datagram was handed in with.
    pub path: Path,
    /// Its place among all datagrams of that path, from 0.
    pub ordinal: u64,
    /// The connection id that its head names.
    pub to: Option<Box<str>>,
    /// The packet number that its head has.
    pub number: Option<u64>,
    /// The kinds of the frames in it.
    pub kinds: Kinds,
    /// Its length on arrival.
    pub length: usize,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is lost.
    Lost(Cause),
    /// It comes out at the other end.
    Passes(Passage),
}

/// How a datagram comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage {
    /// When.
    pub due: Instant,
    /// Held back so that others may overtake it.
    pub held: bool,
    /// It comes out twice.
    pub duplicated: bool,
    /// How many of its bits are flipped.
    pub flipped_bits: u8,
    /// What it is cut to, if it is.
    pub cut_to: Option<usize>,
}

/// Why a datagram is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// [`super::Fault::Mtu`]: too large.
    Mtu,
    /// [`super::Fault::Blackout`].
    Blackout,
    /// [`super::Fault::Drop`].
    Drop,
    /// [`super::Fault::Burst`].
    Burst,
    /// [`super::Fault::Outage`].
    Outage,
    /// [`super::Fault::Rate`]: its queue is full.
    Queue,
    /// The link holds as much as it may: [`super::WaitingLimit`].
    Waiting,
}

impl Cause {
    /// The cause's word in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mtu => "mtu",
            Self::Blackout => "blackout",
            Self::Drop => "drop",
            Self::Burst => "burst",
            Self::Outage => "outage",
            Self::Queue => "queue",
            Self::Waiting => "waiting",
        }
    }
}

/// Why a link wants [`super::Link::handle_timeout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A datagram is due at the other end.
    Delivery,
    /// A rebinding is due.
    Rebind,
}
