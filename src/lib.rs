//! Reliable messaging over UDP that stays fast on a bad link, tells the truth about every message, and speaks a protocol that a
//! person can read.
//!
//! # The layers
//!
//! Each module may use only what stands above it here; `tests/tidy.rs` holds it to that.
//!
//! | module | what it is for | pure |
//! |---|---|---|
//! | [`time`], [`random`], [`machine`], [`bucket`] | time as a number, randomness with a seed, the words that all machines share, rates | yes |
//! | [`wire`] | what a datagram says: head, frames, checksums, limits | yes |
//! | [`secure`] | who somebody is, and how packets are sealed: keys, handshake, cookies, letters | yes |
//! | [`arq`] | one connection: numbering, acks, loss, retransmission, streams, timers | yes |
//! | [`endpoint`] | many connections on one socket: handshake, routing, closing | yes |
//! | [`chat`] | what the application says: messages, replies, receipts; requests to a relay, and its news | yes |
//! | [`peer`] | the peer machine: conversations and the fate of every message | yes |
//! | [`ledger`] | what a relay keeps: rooms, lines, letters, names; in memory | yes |
//! | [`relay`] | the relay machine: rooms, names, cursors | yes |
//! | [`fault`] | the bad link, one engine for the proxy and the simulator | yes |
//! | [`sim`] | virtual clock, virtual network, invariants | yes |
//! | `store` | the ledger on disk, the log's text files, a peer's profile | |
//! | `io` | the mio loop: sockets, clock, input, signals | |
//! | `ui` | front ends: line mode, JSON lines, terminal | |
//! | `cli` | from flags to a running program | |
//!
//! Pure means: no clock, no socket, no file, no thread. Time and bytes go in; bytes, events and the next deadline with its reason
//! come out. `cargo build --no-default-features` builds the pure part alone.
//!
//! # The contract
//!
//! Every machine has the same verbs, described in [`machine`]. A whole run of two peers, in memory:
//!
//! ```
//! use std::net::SocketAddr;
//! use udpchat::machine::Path;
//! use udpchat::peer::{Command, Event, Id, Named, Peer, PeerConfig};
//! use udpchat::time::{Instant, Now, WallTime};
//!
//! let now = Now { instant: Instant::from_nanos(1), wall: WallTime::from_unix_micros(0) };
//! let addresses = [SocketAddr::from(([10, 0, 0, 1], 6000)), SocketAddr::from(([10, 0, 0, 2], 6000))];
//! let mut peers = [1, 2].map(|seed| Peer::new(PeerConfig::default(), seed, now));
//!
//! let opened = peers[0].handle_command(now, Command::Open { addresses: vec![addresses[1]], named: Named::default() })?;
//! let Id::Conversation(to) = opened else { unreachable!() };
//! peers[0].handle_command(now, Command::Say { to: to.into(), text: "oi".to_owned() })?;
//!
//! // A perfect link without delay: whatever one sends, the other gets at once.
//! let (mut buffer, mut heard, mut delivered) = (Vec::new(), None, false);
//! for _ in 0..20 {
//!     for from in [0, 1] {
//!         while let Some(transmit) = peers[from].poll_transmit(now, &mut buffer) {
//!             peers[1 - from].handle_datagram(now, Path::to(addresses[from]), &mut buffer[..transmit.length]);
//!         }
//!         while let Some(event) = peers[from].poll_event() {
//!             match event {
//!                 Event::Message(message) => heard = Some(message.text),
//!                 Event::Delivered { .. } => delivered = true,
//!                 _ => {}
//!             }
//!         }
//!     }
//! }
//! assert_eq!((heard.as_deref(), delivered), (Some("oi"), true));
//! # Ok::<(), udpchat::peer::CommandError>(())
//! ```

pub mod arq;
pub mod bucket;
pub mod chat;
#[cfg(feature = "io")]
pub mod cli;
pub mod endpoint;
pub mod fault;
#[cfg(feature = "io")]
pub mod io;
pub mod ledger;
pub mod machine;
pub mod peer;
pub mod random;
pub mod relay;
pub mod secure;
pub mod sim;
#[cfg(feature = "io")]
pub mod store;
pub mod time;
#[cfg(feature = "io")]
pub mod ui;
pub mod wire;
