//! What occurred in a run or in many: the proof that a campaign put to the test what it says.

use std::collections::BTreeMap;
use std::fmt;

use super::node::{Fate, Report};
use crate::arq::{Closed, Outcome};
use crate::endpoint::Endpoint;

/// How often each thing occurred, by its word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: BTreeMap<&'static str, u64>,
}

impl Coverage {
    /// It occurred so often more.
    pub fn add(&mut self, what: &'static str, count: u64) {
        *self.counts.entry(what).or_default() += count;
    }

    /// How often it occurred.
    pub fn count_of(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// Adds everything that occurred elsewhere.
    pub fn merge(&mut self, other: &Self) {
        for (what, count) in &other.counts {
            self.add(what, *count);
        }
    }

    /// Takes note of a report. A connection's counters are read when it ends, for then it is soon forgotten.
    pub fn note_report(&mut self, report: &Report, endpoint: &Endpoint) {
        self.add(word_of(report), 1);
        if let Report::Closed { id, .. } = report
            && let Some((_, connection)) =
                endpoint.connections().find(|(_, connection)| connection.local_id() == *id)
        {
            let statistics = connection.statistics();
            self.add("spurious-loss", statistics.spurious_losses);
            self.add("packet-sent", statistics.packets_sent);
            self.add("packet-lost", statistics.packets_lost);
            self.add("duplicate-packet", statistics.duplicates);
            self.add("stray-path-answer", statistics.stray_path_answers);
            self.add("gram-dropped", statistics.grams_dropped);
        }
    }

    /// Takes note of what an endpoint counted in its life.
    pub fn note_endpoint(&mut self, endpoint: &Endpoint) {
        for (what, count) in endpoint.statistics().dispositions() {
            self.add(what, count);
        }
    }

    /// A number that stands for a report in the trace of a run.
    pub fn digest(report: &Report) -> u64 {
        let word = u64::from(crc32c::crc32c(word_of(report).as_bytes()));
        let more = match report {
            Report::Submitted { stream, seq, .. } | Report::Outcome { stream, seq, .. } => {
                seq << 8 | u64::from(*stream)
            }
            Report::Delivered { stream, seq, body, .. } => {
                u64::from(crc32c::crc32c(body)) << 24 ^ seq << 8 ^ u64::from(*stream)
            }
            Report::Shown { id, text, .. } => {
                u64::from(crc32c::crc32c(id.as_str().as_bytes())) << 32
                    | u64::from(crc32c::crc32c(text.as_bytes()))
            }
            Report::Fate { id, .. }
            | Report::Said { id, .. }
            | Report::Kept { id, .. }
            | Report::SaidAgain { id, .. }
            | Report::Unnoted { id }
            | Report::Untold { id } => u64::from(crc32c::crc32c(id.as_str().as_bytes())),
            Report::Deed(deed) => {
                deed.subject().map_or(0, |id| u64::from(crc32c::crc32c(id.as_str().as_bytes())))
            }
            _ => 0,
        };
        crate::random::keyed_draw(&[word, more])
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (what, count)) in self.counts.iter().enumerate() {
            write!(f, "{}{what} {count}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

fn word_of(report: &Report) -> &'static str {
    match report {
        Report::Dialled { .. } => "dialled",
        Report::Accepted { .. } => "accepted",
        Report::Connected { .. } => "connected",
        Report::Submitted { message, .. } if message.length == 0 => "submitted-empty",
        Report::Submitted { message, .. } if message.unordered => "submitted-unordered",
        Report::Submitted { .. } => "submitted",
        Report::Refused { why } => why,
        Report::Delivered { .. } => "taken",
        Report::Outcome { outcome, .. } => match outcome {
            Outcome::Arrived => "outcome-arrived",
            Outcome::Expired => "outcome-expired",
            Outcome::NotSent => "outcome-not-sent",
            Outcome::Unknown => "outcome-unknown",
            Outcome::TooLong => "outcome-too-long",
        },
        Report::GramSubmitted { .. } => "gram-submitted",
        Report::GramDelivered { .. } => "gram-taken",
        Report::Noted { what, .. } | Report::Told { what } => what,
        Report::Closed { closed, .. } => match closed {
            Closed::ByUs => "closed-by-us",
            Closed::ByPeer { .. } => "closed-by-peer",
            Closed::NoAnswer { .. } => "closed-no-answer",
            Closed::WrongKey { .. } => "closed-wrong-key",
            Closed::Silent => "closed-silent",
            Closed::Restarted => "closed-restarted",
            Closed::Violation(_) => "closed-violation",
        },
        Report::Closing { .. } => "closing",
        Report::Stray { .. } => "stray",
        Report::Reading { on: true } => "reads-again",
        Report::Reading { on: false } => "stops-reading",
        Report::Named { .. } => "named",
        Report::Said { is_echo: true, .. } => "echo-said",
        Report::Said { .. } => "said",
        Report::Shown { original: Some(_), .. } => "reply-shown",
        Report::Shown { .. } => "shown",
        Report::Fate { fate, .. } => match fate {
            Fate::Delivered => "delivered",
            Fate::Failed(_) => "failed",
            Fate::Unknown => "unknown",
            Fate::Kept => "kept",
        },
        Report::Echoed { .. } => "echoed",
        Report::Kept { is_kept: true, .. } => "written-down",
        Report::Kept { .. } => "taken-off",
        Report::SaidAgain { .. } => "said-again",
        Report::Unnoted { .. } => "unnoted",
        Report::Untold { .. } => "untold",
        Report::Deed(deed) => deed.word(),
    }
}
