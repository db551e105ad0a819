//! What is taken from the system's randomness: the seed of everything a run makes up, and secrets that outlive it.
//!
//! A run's numbers follow from a seed, so that it can be repeated from it. Its keys get fresh bytes beside, again and again.

use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::time::Instant;

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

/// How long keys may be made from what the system gave before: whoever has looked into the memory knows the keys of connections that
/// begin within it. It takes a microsecond, so a minute is no burden, and less would help nobody who is watched all the time.
const FRESH_FOR: Duration = Duration::from_secs(60);

/// Knows when the system is to be asked again.
#[derive(Debug)]
pub struct Freshness {
    due_at: Instant,
}

impl Freshness {
    /// The system was asked now.
    pub fn since(now: Instant) -> Self {
        Self { due_at: now + FRESH_FOR }
    }

    /// Fresh bytes, if it is time. If the system gives none, what is there stays as good as it was, and it is asked again later.
    pub fn take_if_due(&mut self, now: Instant) -> Option<Zeroizing<[u8; 32]>> {
        if now < self.due_at {
            return None;
        }
        self.due_at = now + FRESH_FOR;
        let mut bytes = Zeroizing::new([0; 32]);
        match getrandom::fill(&mut *bytes) {
            Ok(()) => Some(bytes),
            Err(error) => {
                log::warn!(
                    "the system gave no fresh random bytes, so keys are made from the earlier ones: {error}"
                );
                None
            }
        }
    }
}

/// Random bits of a secret, twice what anybody could ever try out.
const SECRET_BYTES: usize = 32;

/// A secret that nobody can guess, as hexadecimal digits.
pub fn secret() -> Result<String, EntropyError> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(EntropyError)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    // UC-SEAL-015
    #[test]
    fn fresh_bytes_come_once_a_minute_and_are_others() {
        let start = Instant::from_nanos(1);
        let mut freshness = Freshness::since(start);
        let mut taken = |second| freshness.take_if_due(start + Duration::from_secs(second));
        assert_eq!(taken(59), None);
        let first = taken(60).unwrap();
        assert_eq!(taken(119), None);
        // However long nothing was asked for, it is asked once.
        let second = taken(1_000).unwrap();
        assert_eq!(taken(1_059), None);
        assert_ne!(first, second);
    }
}
