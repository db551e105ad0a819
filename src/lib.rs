//! skeleton
pub mod arq;
pub mod chat;
pub mod endpoint;
pub mod machine;
pub mod peer;
pub mod random;
pub mod time;
pub mod wire;
