//! How much work strangers may ask for, before and after they have shown where they are.
//!
//! Answering a sealed hello takes three multiplications on a curve, some 0.15 ms; forging one takes nothing. So only a few are
//! answered for nothing. Beyond them an address must bring back a cookie first, which costs one keyed hash and no memory
//! (UC-SEAL-011), and those that have are limited by where they are and all together.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::bucket::{Bucket, Rate};
use crate::machine::neighbourhood;
use crate::secure::{CookieMint, Entropy};
use crate::time::Instant;

/// How many handshakes may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeLimits {
    /// Hellos that are answered without a cookie.
    pub unproven: Rate,
    /// Requests for a cookie.
    pub retries: Rate,
    /// Hellos with a good cookie from one neighbourhood; see [`neighbourhood`]. This machine is not limited: who is on it can take
    /// its processor anyway.
    pub source: Rate,
    /// All that are answered.
    pub total: Rate,
}

impl Default for HandshakeLimits {
    fn default() -> Self {
        Self {
            // A class that comes in at once is let in without a detour; a flood costs a thirtieth of a core.
            unproven: Rate { burst: 100, per_second: 200 },
            // A tenth of a core, and more than any crowd of people.
            retries: Rate { burst: 2_000, per_second: 20_000 },
            // A company behind one address after a restart of its relay.
            source: Rate { burst: 500, per_second: 100 },
            // A third of a core.
            total: Rate { burst: 1_000, per_second: 2_000 },
        }
    }
}

/// Whether a hello is worth an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is answered.
    Granted,
    /// It has to come again with this.
    Cookie(String),
    /// Too much is asked at once: nothing is said.
    Dropped,
}

/// Counts what strangers ask for. Its memory is bounded.
#[derive(Debug)]
pub(super) struct Guard {
    limits: HandshakeLimits,
    /// None in the clear, where a hello costs little.
    mint: Option<CookieMint>,
    unproven: Bucket,
    retries: Bucket,
    total: Bucket,
    sources: BTreeMap<IpAddr, Bucket>,
}

impl Guard {
    /// Neighbourhoods that are told apart. All of them came with good cookies, so a forger fills none.
    const MAX_SOURCES: usize = 4_096;

    pub(super) fn new(limits: HandshakeLimits, entropy: Option<&mut Entropy>) -> Self {
        let (unproven, retries, total) = (Bucket::new(), Bucket::new(), Bucket::new());
        Self {
            limits,
            mint: entropy.map(CookieMint::new),
            unproven,
            retries,
            total,
            sources: BTreeMap::new(),
        }
    }

    /// Decides about a hello that was not seen before.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        address: SocketAddr,
        id: &str,
        cookie: Option<&str>,
    ) -> Admission {
        let Some(mint) = &self.mint else {
            return Admission::Granted;
        };
        let is_proven = cookie.is_some_and(|cookie| mint.is_good(now, address, id, cookie));
        if !is_proven && self.unproven.take(now, self.limits.unproven).is_err() {
            return match self.retries.take(now, self.limits.retries) {
                Ok(()) => Admission::Cookie(mint.cookie(now, address, id)),
                Err(_) => Admission::Dropped,
            };
        }
        let is_within = !is_proven || self.is_within_source(now, address.ip());
        if is_within && self.total.take(now, self.limits.total).is_ok() {
            Admission::Granted
        } else {
            Admission::Dropped
        }
    }

    /// Whether a hello without a cookie would be dropped now: then it need not be read.
    pub(super) fn is_exhausted(&self, now: Instant) -> bool {
        let is_empty = |bucket: Bucket, rate: Rate| bucket.without_one(now, rate).is_err();
        self.mint.is_some()
            && is_empty(self.unproven, self.limits.unproven)
            && is_empty(self.retries, self.limits.retries)
    }

    /// Whether there is time left for work that no hello paid for.
    pub(super) fn admits_work(&mut self, now: Instant) -> bool {
        self.total.take(now, self.limits.total).is_ok()
    }

    fn is_within_source(&mut self, now: Instant, ip: IpAddr) -> bool {
        if ip.is_loopback() {
            return true;
        }
        if self.sources.len() >= Self::MAX_SOURCES {
            // Full buckets are as good as none.
            self.sources.retain(|_, bucket| !bucket.is_full(now));
        }
        let home = neighbourhood(ip);
        if self.sources.len() >= Self::MAX_SOURCES && !self.sources.contains_key(&home) {
            return false;
        }
        self.sources.entry(home).or_default().take(now, self.limits.source).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: HandshakeLimits = HandshakeLimits {
        unproven: Rate { burst: 2, per_second: 1 },
        retries: Rate { burst: 3, per_second: 1 },
        source: Rate { burst: 2, per_second: 1 },
        total: Rate { burst: 6, per_second: 1 },
    };

    fn guard() -> Guard {
        Guard::new(LIMITS, Some(&mut Entropy::from_seed([1; 32])))
    }

    fn address(host: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], 6000))
    }

    // UC-SEAL-011
    #[test]
    fn a_few_are_answered_for_nothing_then_an_address_has_to_prove_itself() {
        let mut guard = guard();
        let now = Instant::from_nanos(1_000_000_000);
        let mut admit = |host, cookie: Option<&str>| guard.admit(now, address(host), "k3f9q2a1", cookie);
        assert_eq!([admit(1, None), admit(2, None)], [Admission::Granted, Admission::Granted]);
        let Admission::Cookie(cookie) = admit(3, None) else { panic!("no cookie") };
        assert_eq!(admit(3, Some(&cookie)), Admission::Granted);
        assert!(matches!(admit(4, Some(&cookie)), Admission::Cookie(_)), "it is another's");
        assert_eq!(admit(3, Some(&cookie)), Admission::Granted);
        assert_eq!(admit(3, Some(&cookie)), Admission::Dropped, "its neighbourhood has had enough");
        assert!(matches!(admit(5, None), Admission::Cookie(_)));
        assert_eq!(admit(6, None), Admission::Dropped, "enough cookies for now");
        assert_eq!(
            guard.admit(now + Duration::from_secs(1), address(6), "k3f9q2a1", None),
            Admission::Granted
        );
    }

    #[test]
    fn all_together_have_a_limit_too_and_the_table_has() {
        let mut guard = guard();
        let now = Instant::from_nanos(1_000_000_000);
        let mint = CookieMint::new(&mut Entropy::from_seed([1; 32]));
        let mut granted = 0;
        for host in 0..=255 {
            let cookie = mint.cookie(now, address(host), "k3f9q2a1");
            granted +=
                u32::from(guard.admit(now, address(host), "k3f9q2a1", Some(&cookie)) == Admission::Granted);
        }
        assert_eq!(granted, 6);
        for number in 0..10_000_u32 {
            let ip = IpAddr::from(number.to_be_bytes());
            guard.is_within_source(now, ip);
        }
        assert_eq!(guard.sources.len(), Guard::MAX_SOURCES);
    }
}
