//! Everything that touches the system: clocks, sockets, standard input, signals, randomness.
//!
//! It never decides anything about the protocol: it hands bytes and moments to the machines and sends what they say.

pub mod bind_error;
pub mod clock;
pub mod entropy;
pub mod event_loop;
pub mod interfaces;
pub mod lines;
pub mod local_ip;
pub mod logging;
pub mod output;
pub mod resolve;
pub mod signals;
pub mod socket;
pub mod stdin;
pub mod trace;
