//! skeleton
pub mod chat;
pub mod fault;
pub mod machine;
pub mod peer;
pub mod random;
pub mod time;
pub mod wire;
#[cfg(feature = "io")]
pub mod io;
