//! When to wake, and what to do then.

use std::fmt;
use std::time::Duration;

use super::super::event::{Closed, Event};
use super::{Connection, State};
use crate::time::Instant;

/// Why a connection wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// An ack has waited for company long enough.
    Ack,
    /// The oldest packet in flight will count as lost.
    Loss,
    /// Small messages are worth another copy.
    Copy,
    /// More may leave by now.
    Pace,
    /// A message will be past its deadline.
    Deadline,
    /// Nothing was said for so long that a NAT may forget us.
    KeepAlive,
    /// The other side owes an answer for so long that it is called silent.
    Silence,
    /// The other side was not heard for so long that it is given up.
    Idle,
    /// What is queued has had its time before the close.
    Flush,
    /// The close was not answered.
    Close,
    /// A new address did not answer its challenge.
    Challenge,
    /// Nothing about the closed connection need be remembered any more.
    Forget,
}

impl Reason {
    /// A word for traces.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Loss => "loss",
            Self::Copy => "copy",
            Self::Pace => "pace",
            Self::Deadline => "deadline",
            Self::KeepAlive => "keep-alive",
            Self::Silence => "silence",
            Self::Idle => "idle",
            Self::Flush => "flush",
            Self::Close => "close",
            Self::Challenge => "challenge",
            Self::Forget => "forget",
        }
    }
}

/// After so much silence no symbol comes for what is missing; it comes itself.
const REPAIRS_KEPT: Duration = Duration::from_secs(2);

/// What was known of a path so long ago is not worth half a kilobyte: others may have it now (RFC 5681, section 4.1, starts anew sooner).
const PATH_KEPT: Duration = Duration::from_secs(10);

/// Whoever says nothing for so long talks no more, as far as half a kilobyte for each key is concerned.
const KEYS_KEPT: Duration = Duration::from_secs(1);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Connection {
    /// When `handle_timeout` is to be called next, and why; None if nothing is waited for.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        match self.state {
            State::Connecting => self.send.next_deadline().map(|at| (at, Reason::Deadline)),
            State::Closed { forget_at, .. } => Some((forget_at, Reason::Forget)),
            State::Closing(ref closing) => Some((closing.next_at, Reason::Close)),
            State::Open | State::Flushing(_) => self.open_deadlines().into_iter().flatten().min(),
        }
    }

    fn open_deadlines(&self) -> [Option<(Instant, Reason)>; 10] {
        let loss = self.loss.deadline(&self.sent, &self.rtt, self.ack_delay, &self.config);
        let idle = self.last_heard + self.idle_timeout;
        let flush = match &self.state {
            State::Flushing(flushing) => Some(flushing.until),
            _ => None,
        };
        [
            self.arrivals.deadline().map(|at| (at, Reason::Ack)),
            loss.map(|at| (at, Reason::Loss)),
            self.copy_at().map(|at| (at, Reason::Copy)),
            self.pacer.ready_at().map(|at| (at, Reason::Pace)),
            self.send.next_deadline().map(|at| (at, Reason::Deadline)),
            self.keep_alive_at().map(|at| (at, Reason::KeepAlive)),
            self.silence_at().map(|at| (at, Reason::Silence)),
            Some((idle, Reason::Idle)),
            flush.map(|at| (at, Reason::Flush)),
            self.challenge_at().map(|at| (at, Reason::Challenge)),
        ]
    }

    /// A deadline passed, or may have.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &self.state {
            State::Connecting => self.send.expire(now),
            State::Closed { .. } => {}
            State::Closing(closing) => {
                if closing.tries >= Self::CLOSE_TRIES && closing.next_at <= now {
                    self.stop_waiting_for_the_answer(now);
                }
            }
            State::Open | State::Flushing(_) => self.handle_open_timeout(now),
        }
    }

    fn handle_open_timeout(&mut self, now: Instant) {
        // UC-ARQ-020
        if self.last_heard + self.idle_timeout <= now {
            self.finish(now, Closed::Silent);
            return;
        }
        self.send.expire(now);
        self.detect_losses(now);
        if self.keep_alive_at().is_some_and(|at| at <= now) {
            self.ping_due = true;
        }
        if self.silence_at().is_some_and(|at| at <= now) {
            self.silent = true;
            self.events.push_back(Event::Silent);
        }
        if self
            .candidate
            .as_ref()
            .is_some_and(|candidate| candidate.tries >= Self::CHALLENGE_TRIES && candidate.next_at <= now)
        {
            // It never answered; packets that still come from there begin a new attempt.
            self.candidate = None;
        }
        if self.last_heard + REPAIRS_KEPT <= now {
            self.recv.forget_repairs();
        }
        self.rest(now);
    }

    /// Most connections say nothing most of the time, and a relay has thousands of them: what the queues keep to be quick, so that
    /// nothing is allocated for each packet while much is said, goes back when a deadline finds them empty.
    fn rest(&mut self, now: Instant) {
        if self.sent.in_flight_bytes() > 0 || !self.send.is_empty() || !self.events.is_empty() {
            return;
        }
        self.arrivals.rest();
        self.sent.rest();
        self.send.rest();
        self.recv.rest();
        if self.last_sent + PATH_KEPT <= now {
            self.congestion.rest();
        }
        // Those of a talk would be made again for the next packet: a talk, too, has deadlines with nothing in flight.
        if self.last_heard.max(self.last_sent) + KEYS_KEPT <= now
            && let Some(protection) = &mut self.protection
        {
            protection.rest();
        }
        self.events.shrink_to_fit();
        self.windows_again.shrink_to_fit();
        (self.scratch, self.acked) = (Vec::new(), Vec::new());
    }

    fn stop_waiting_for_the_answer(&mut self, now: Instant) {
        if let State::Closing(closing) = &self.state {
            let closed = closing.closed.clone();
            self.finish(now, closed);
        }
    }

    fn keep_alive_at(&self) -> Option<Instant> {
        // A partner that forgets sooner than we do gets its pings sooner (UC-ARQ-018).
        let interval = self.config.keep_alive.min(self.idle_timeout * 4 / 9);
        let interval = if self.attentive { self.config.attentive_keep_alive } else { interval };
        let idle = self.sent.in_flight_bytes() == 0 && !self.ping_due;
        ((self.wanted || self.attentive) && idle).then(|| self.last_heard.max(self.last_sent) + interval)
    }

    /// UC-ARQ-019
    fn silence_at(&self) -> Option<Instant> {
        let since = self.awaiting_since?;
        (!self.silent).then(|| since + self.config.silent_after)
    }

    fn challenge_at(&self) -> Option<Instant> {
        // One that may not be asked again yet waits for its next packet, not for time.
        let candidate = self.candidate.as_ref()?;
        (candidate.may_be_asked() || candidate.tries >= Self::CHALLENGE_TRIES).then_some(candidate.next_at)
    }
}
