//! What is taken from the system's randomness: the seed of everything a run makes up, and secrets that outlive it.
//!
//! A run gets no more than a seed, so that it can be repeated from it.

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

/// A seed that keys may be made from.
pub fn key_seed() -> Result<[u8; 32], EntropyError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(EntropyError)?;
    Ok(bytes)
}

/// Random bits of a secret, twice what anybody could ever try out.
const SECRET_BYTES: usize = 32;

/// A secret that nobody can guess, as hexadecimal digits.
pub fn secret() -> Result<String, EntropyError> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(EntropyError)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
