//! skeleton
pub mod arq;
pub mod chat;
#[cfg(feature = "io")]
pub mod cli;
pub mod endpoint;
#[cfg(feature = "io")]
pub mod io;
pub mod machine;
pub mod peer;
pub mod random;
pub mod time;
#[cfg(feature = "io")]
pub mod ui;
pub mod wire;
