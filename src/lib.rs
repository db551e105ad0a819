//! skeleton
pub mod chat;
pub mod machine;
pub mod peer;
pub mod random;
pub mod time;
#[cfg(feature = "io")]
pub mod io;
