//! Cookies: what an address must bring back before anything is computed or kept for it.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use data_encoding::HEXLOWER;
use ring::hmac;

use super::Entropy;
use crate::time::Instant;

/// A cookie is good for this long: several times what it takes to bring it back.
const LIFETIME: Duration = Duration::from_secs(30);

/// Bytes of the code in a cookie: who guesses tries 2^128.
const CODE_BYTES: usize = 16;

/// Makes cookies and knows them again, and keeps nothing for any of them.
pub struct CookieMint {
    key: hmac::Key,
}

impl CookieMint {
    /// A mint with a secret of its own, for as long as the program runs.
    pub fn new(entropy: &mut Entropy) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &entropy.bytes::<32>()) }
    }

    /// A cookie for `address` and the hello named `id`: the time and a code over everything, as hexadecimal digits.
    pub fn cookie(&self, now: Instant, address: SocketAddr, id: &str) -> String {
        let made_at = seconds(now);
        format!("{made_at:08x}{}", HEXLOWER.encode(&self.code(made_at, address, id).as_ref()[..CODE_BYTES]))
    }

    /// Whether the cookie is one of ours, for this address and hello, and fresh.
    pub fn is_good(&self, now: Instant, address: SocketAddr, id: &str, cookie: &str) -> bool {
        let made_at = cookie.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = cookie.get(8..).and_then(|digits| HEXLOWER.decode(digits.as_bytes()).ok());
        let (Some(made_at), Some(code)) = (made_at, code) else { return false };
        let is_fresh =
            seconds(now).checked_sub(made_at).is_some_and(|age| u64::from(age) < LIFETIME.as_secs());
        // Compared byte by byte to the end, so that the time taken tells nothing.
        let right = self.code(made_at, address, id);
        let difference = right.as_ref().iter().zip(&code).fold(0, |difference, (a, b)| difference | (a ^ b));
        is_fresh && code.len() == CODE_BYTES && difference == 0
    }

    fn code(&self, made_at: u32, address: SocketAddr, id: &str) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&made_at.to_be_bytes());
        match address {
            SocketAddr::V4(v4) => context.update(&v4.ip().octets()),
            SocketAddr::V6(v6) => context.update(&v6.ip().octets()),
        }
        context.update(&address.port().to_be_bytes());
        context.update(id.as_bytes());
        context.sign()
    }
}

impl fmt::Debug for CookieMint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieMint")
    }
}

/// Seconds of the machine's clock: 136 years before they repeat.
fn seconds(now: Instant) -> u32 {
    (now.as_nanos() / 1_000_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::MAX_COOKIE_BYTES;

    #[test]
    fn only_the_one_that_was_asked_can_bring_it_back_and_not_for_ever() {
        let mint = CookieMint::new(&mut Entropy::from_seed([1; 32]));
        let now = Instant::from_nanos(5_000_000_000);
        let [here, there] = [1, 2].map(|host| SocketAddr::from(([10, 0, 0, host], 6000)));
        let cookie = mint.cookie(now, here, "k3f9q2a1");
        assert!(cookie.len() <= MAX_COOKIE_BYTES);
        assert!(mint.is_good(now, here, "k3f9q2a1", &cookie));
        assert!(mint.is_good(now + Duration::from_secs(29), here, "k3f9q2a1", &cookie));
        assert!(!mint.is_good(now + Duration::from_secs(30), here, "k3f9q2a1", &cookie));
        assert!(!mint.is_good(Instant::from_nanos(1), here, "k3f9q2a1", &cookie));
        assert!(!mint.is_good(now, there, "k3f9q2a1", &cookie));
        assert!(!mint.is_good(now, here, "k3f9q2a2", &cookie));
        for bad in ["", "é", "00000005", &cookie[..39], &format!("{cookie}00"), &cookie.replace('0', "1")] {
            assert!(!mint.is_good(now, here, "k3f9q2a1", bad), "{bad}");
        }
        let other = CookieMint::new(&mut Entropy::from_seed([2; 32]));
        assert!(!other.is_good(now, here, "k3f9q2a1", &cookie));
    }
}
