//! Passwords of rooms: who is tried, how often, and what follows from it.
//!
//! To stretch a password takes tens of milliseconds and much memory, so the relay has it done and goes on: a member that said one is
//! read no further until its answer is there, and nobody else notices. Those who wait do so in the order in which they asked. This
//! module must never let anybody in on what was not found right, and never make guessing fast.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use super::answer::{JoinWish, Pending, Purpose};
use super::session::Asked;
use super::{Event, Relay, What, neighbourhood};
use crate::bucket::{Bucket, Pace};
use crate::chat::RefusalCode;
use crate::endpoint::Handle;
use crate::ledger::Identity;
use crate::secure::{Secret, Stretch, StretchOutcome, Stretched};
use crate::time::{Instant, Now};

/// Passwords that are being stretched at once, for the whole relay. Whoever does it does one at a time; the others are there so
/// that it never waits for the loop. The rest wait here, one for each member at most.
pub const MOST_STRETCHES: usize = 4;

/// How fast one member may be wrong: a person who has forgotten which one it was tries a few, and a program that guesses gets
/// nowhere at 8 640 a day.
const MEMBER_PACE: Pace = Pace { burst: MEMBER_BURST, interval: MEMBER_INTERVAL };
const MEMBER_BURST: u32 = 5;
const MEMBER_INTERVAL: Duration = Duration::from_secs(10);

/// How fast one address may be: a classroom that was told the wrong word. Members cost nothing to make, addresses do.
const ADDRESS_PACE: Pace = Pace { burst: ADDRESS_BURST, interval: ADDRESS_INTERVAL };
const ADDRESS_BURST: u32 = 50;
const ADDRESS_INTERVAL: Duration = Duration::from_secs(1);

/// What was counted of passwords.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PasswordStatistics {
    /// That were right.
    pub right: u64,
    /// That were wrong.
    pub wrong: u64,
    /// That were not even tried, because too many had been wrong.
    pub held_back: u64,
}

/// What is being found out, and who was wrong lately.
#[derive(Debug, Default)]
pub(super) struct Passwords {
    /// The tickets of what is being stretched.
    under_way: BTreeSet<u64>,
    /// What is to be stretched after that.
    waiting: VecDeque<(u64, Stretch)>,
    by_member: BTreeMap<Identity, Bucket>,
    by_address: BTreeMap<IpAddr, Bucket>,
    pub(super) statistics: PasswordStatistics,
}

impl Passwords {
    /// Charges an attempt, or tells when there may be one. What is right is given back.
    pub(super) fn charge(&mut self, now: Instant, identity: Identity, home: IpAddr) -> Result<(), Instant> {
        /// Full buckets are as good as none; they go when there are many. The others are few, since each was an attempt.
        const MANY: usize = 4_096;
        if self.by_member.len() >= MANY {
            self.by_member.retain(|_, bucket| !bucket.is_full(now));
        }
        if self.by_address.len() >= MANY {
            self.by_address.retain(|_, bucket| !bucket.is_full(now));
        }
        let (member, address) = self.after_one(now, identity, home)?;
        self.by_member.insert(identity, member);
        self.by_address.insert(home, address);
        Ok(())
    }

    /// What an attempt would leave, or when there may be one.
    fn after_one(&self, now: Instant, identity: Identity, home: IpAddr) -> Result<(Bucket, Bucket), Instant> {
        let member = self.by_member.get(&identity).copied().unwrap_or(Bucket::new());
        let address = self.by_address.get(&home).copied().unwrap_or(Bucket::new());
        match (member.without_one(now, MEMBER_PACE), address.without_one(now, ADDRESS_PACE)) {
            (Ok(member), Ok(address)) => Ok((member, address)),
            (member, address) => {
                Err([member.err(), address.err()].into_iter().flatten().max().unwrap_or(now))
            }
        }
    }

    pub(super) fn give_back(&mut self, identity: Identity, home: IpAddr) {
        if let Some(bucket) = self.by_member.get_mut(&identity) {
            bucket.give_back(MEMBER_PACE);
        }
        if let Some(bucket) = self.by_address.get_mut(&home) {
            bucket.give_back(ADDRESS_PACE);
        }
    }
}

/// Why no password is tried at the moment.
fn held_back(now: Now, until: Instant) -> String {
    let seconds = until.since(now.instant).as_millis().div_ceil(1_000);
    format!("too many wrong passwords; try again in {seconds} s")
}

impl Relay {
    /// Has a password tried that somebody said to join a room (UC-RELAY-027).
    pub(super) fn try_password(
        &mut self,
        now: Now,
        handle: Handle,
        asked: &Asked,
        wish: JoinWish,
        against: Stretched,
    ) {
        let Some(identity) = self.identity_of(handle) else { return };
        let Some(home) = self.sessions.at(&handle).map(|session| neighbourhood(session.address.ip())) else {
            return;
        };
        if let Err(at) = self.passwords.charge(now.instant, identity, home) {
            self.passwords.statistics.held_back += 1;
            return self.refuse(now, handle, asked, RefusalCode::TooMany, &held_back(now, at));
        }
        let password = wish.password.clone().unwrap_or_default();
        let stretch = Stretch::Check { password, against: against.clone() };
        let purpose = Purpose::Join { wish, against, identity, home };
        self.have_stretched(handle, asked.clone(), stretch, purpose);
    }

    /// Refuses whoever said no password; not as if one would be tried, while none is (UC-RELAY-027).
    pub(super) fn refuse_without_password(&mut self, now: Now, handle: Handle, asked: &Asked) {
        let home = self.sessions.at(&handle).map(|session| neighbourhood(session.address.ip()));
        let tried = self.identity_of(handle).zip(home);
        match tried.map(|(identity, home)| self.passwords.after_one(now.instant, identity, home)) {
            Some(Err(at)) => self.refuse(now, handle, asked, RefusalCode::TooMany, &held_back(now, at)),
            _ => self.refuse(now, handle, asked, RefusalCode::Password, "the room has a password"),
        }
    }

    /// Has a password stretched that is to be kept.
    pub(super) fn keep_password(&mut self, handle: Handle, asked: Asked, password: Secret, purpose: Purpose) {
        let mut salt = [0; 16];
        salt[..8].copy_from_slice(&self.random.next_u64().to_be_bytes());
        salt[8..].copy_from_slice(&self.random.next_u64().to_be_bytes());
        self.have_stretched(handle, asked, Stretch::New { password, salt }, purpose);
    }

    fn have_stretched(&mut self, handle: Handle, request: Asked, stretch: Stretch, purpose: Purpose) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.jobs.insert(ticket, Pending::Password { handle, request, purpose });
        if let Some(member) = self.sessions.member_mut(handle) {
            member.is_proving = true;
        }
        self.passwords.waiting.push_back((ticket, stretch));
        self.stretch_on();
    }

    /// Has the next ones stretched, as many as may be at once.
    fn stretch_on(&mut self) {
        while self.passwords.under_way.len() < MOST_STRETCHES {
            let Some((ticket, stretch)) = self.passwords.waiting.pop_front() else { return };
            let asker = self.jobs.get(&ticket).and_then(Pending::asker);
            if asker.is_none_or(|handle| self.sessions.member(handle).is_none()) {
                // Whoever asked has gone.
                self.jobs.remove(&ticket);
                continue;
            }
            self.passwords.under_way.insert(ticket);
            self.events.push_back(Event::Stretch { ticket, stretch });
        }
    }

    /// A password was stretched.
    pub(super) fn handle_stretched(&mut self, now: Now, ticket: u64, outcome: StretchOutcome) {
        if !self.passwords.under_way.remove(&ticket) {
            return;
        }
        self.stretch_on();
        let Some(Pending::Password { handle, request, purpose }) = self.jobs.remove(&ticket) else { return };
        if let Some(member) = self.sessions.member_mut(handle) {
            member.is_proving = false;
        }
        match (purpose, outcome) {
            (Purpose::Join { wish, against, identity, home }, StretchOutcome::Checked { is_right: true }) => {
                self.passwords.statistics.right += 1;
                self.passwords.give_back(identity, home);
                // Meanwhile the room may have been closed, and its password changed.
                self.hear_join(now, handle, request, JoinWish { proven: Some(against), ..wish });
            }
            (Purpose::Join { wish, .. }, StretchOutcome::Checked { is_right: false }) => {
                self.passwords.statistics.wrong += 1;
                self.refuse_password(now, handle, &request, &wish.name);
            }
            (Purpose::Guard { room, invite_only, hidden }, StretchOutcome::Made(kept)) => {
                self.guard(now, handle, request, room, (Some(Some(kept)), invite_only, hidden));
            }
            (purpose, outcome) => {
                if let Purpose::Join { identity, home, .. } = purpose {
                    self.passwords.give_back(identity, home);
                }
                let why = match outcome {
                    StretchOutcome::Failed { why } => why,
                    _ => "a password was stretched for another purpose than it was given for".to_owned(),
                };
                self.log(now, What::Trouble { text: why });
                self.refuse_for_storage(now, handle, &request);
            }
        }
        self.read(now, handle);
    }

    fn refuse_password(&mut self, now: Now, handle: Handle, request: &Asked, room: &str) {
        if let Some(session) = self.sessions.at(&handle) {
            let (nick, address) = (session.nick().unwrap_or_default().to_owned(), session.address);
            self.log(now, What::Refused { nick, address, why: format!("wrong password for {room}") });
        }
        self.refuse(now, handle, request, RefusalCode::Password, "that is not the room's password");
    }

    /// The relay closes: whoever still waits is not kept waiting.
    pub(super) fn give_up_passwords(&mut self, now: Now) {
        for (ticket, _) in std::mem::take(&mut self.passwords.waiting) {
            if let Some(Pending::Password { handle, request, .. }) = self.jobs.remove(&ticket) {
                self.refuse(now, handle, &request, RefusalCode::Closing, "the relay is closing");
            }
        }
    }
}
