//! The reliability of one connection: numbering, acks, loss, retransmission, congestion, streams, timers.
//!
//! [`Connection`] is the wiring; every other file here is one part that knows nothing of the others' insides. The rules are in
//! `spec/04-reliability.md` and `spec/05-streams.md`, and each is cited where it is kept.
//!
//! This module must never name a socket, read a clock, or decide what a message means.

mod ack;
mod assembly;
mod config;
mod congestion;
mod connection;
mod decoder;
mod event;
mod field;
mod flow;
mod loss;
mod loss_rate;
mod mtu;
mod pacing;
mod ranges;
mod ready;
mod recv;
mod redundancy;
mod rtt;
mod send;
mod sent;
mod statistics;
mod train;

pub use ack::Urgency;
pub use config::{Config, MAX_MESSAGE_BYTES};
pub use congestion::{AckSample, Controller, PathRate};
pub use connection::{Connection, Reason};
pub use event::{Closed, Event, Outcome, SendError, Violation};
pub use ranges::Ranges;
pub use recv::Received;
pub use rtt::Rtt;
pub use send::SendOptions;
pub use statistics::Statistics;
