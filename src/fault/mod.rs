//! The bad link: decides the fate of every datagram on one direction of a link, the same way for real sockets
//! and for virtual time.
//!
//! A [`Link`] takes datagrams and gives them back later, changed, twice or not at all, as its [`LinkPlan`]
//! says. The program `lossy-proxy` runs two of them between sockets, the simulator runs many between
//! machines:
//!
//! ```
//! use std::net::SocketAddr;
//! use std::time::Duration;
//! use udpchat::fault::{Direction, Link, LinkPlan};
//! use udpchat::machine::Path;
//! use udpchat::time::Instant;
//!
//! let plan: LinkPlan = "drop=20% delay=50ms".parse()?;
//! let mut link = Link::new(plan, 7, Direction::Up);
//! link.handle_datagram(Instant::ZERO, Path::to(SocketAddr::from(([127, 0, 0, 1], 6000))), b"oi");
//!
//! let mut buffer = Vec::new();
//! if let Some((due, _reason)) = link.poll_timeout() {
//!     assert_eq!(due, Instant::ZERO + Duration::from_millis(50));
//!     link.handle_timeout(due);
//!     while link.poll_transmit(due, &mut buffer).is_some() {
//!         assert_eq!(buffer, b"oi");
//!     }
//! }
//! # Ok::<(), udpchat::fault::PlanError>(())
//! ```
//!
//! **Keyed verdicts.** There is no running generator. What happens to a datagram is a function of the seed,
//! the rule, the direction, the fields `to` and `n` of its head, and how often that pair was seen before. So
//! one more datagram, or one rule fewer, leaves the verdicts on all others as they were. Of a head without a
//! number the bytes take the pair's place; of what is no head of ours, the datagram's ordinal in its flow
//! does.
//!
//! What is the same in two runs follows from that. Machines with a seed, and protocols whose bytes are not ours,
//! meet the same verdicts again; peers that draw their connection ids from the system meet the same shares.
//!
//! **Never**: a clock, a socket, a file, a thread; floating point or hash order on the way to a verdict; a
//! panic, whatever the bytes; memory that grows with the traffic.

mod damage;
mod error;
mod identity;
mod link;
mod loss;
mod notation;
mod plan;
mod quantity;
mod recent;
mod report;
mod rule;
mod rules;
mod statistics;
mod verdict;
mod waiting;

pub use error::PlanError;
pub use link::Link;
pub use notation::parse_kinds;
pub use plan::{Direction, Fault, LinkPlan, Rule, WaitingLimit};
pub use quantity::{Quantity, QuantityError, parse_duration, parse_rate, parse_share, parse_size};
pub use report::{Report, Row};
pub use statistics::{RuleStatistics, Statistics};
pub use verdict::{Cause, Event, Fate, Passage, Reason, Verdict};
