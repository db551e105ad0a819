//! skeleton
pub mod machine;
pub mod random;
pub mod time;
