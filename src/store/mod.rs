//! What outlives the program: the ledger on disk and the log's text files.
//!
//! Whatever waits for a disk has a thread of its own here and talks through bounded channels, so that a slow disk delays receipts
//! and nothing else. This module must never say that something is kept before the system said that it is.

pub mod database;
pub mod journal;
pub mod keeper;

#[cfg(test)]
mod tests;
