//! A ledger that forgets everything with the program.

/// Everything in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryLedger {}
