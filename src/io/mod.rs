//! Everything that touches the system: clocks, sockets, standard input, signals, randomness.
//!
//! It never decides anything about the protocol: it hands bytes and moments to the machines and sends what they say.

pub mod clock;
