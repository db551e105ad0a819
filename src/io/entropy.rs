//! The one random number that is taken from the system: the seed of everything a run makes up.
//!
//! It never hands out more than a seed, so that a run can be repeated from it.

use std::fmt;

/// Why there is no seed.
#[derive(Debug)]
pub struct EntropyError(getrandom::Error);

impl fmt::Display for EntropyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the system gave no random number, and without one others could guess our connections: {}",
            self.0
        )
    }
}

impl std::error::Error for EntropyError {}

/// A seed that nobody outside can guess.
pub fn seed() -> Result<u64, EntropyError> {
    getrandom::u64().map_err(EntropyError)
}
