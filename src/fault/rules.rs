//! All rules of a plan together: what they say about one datagram on each stage of its way.

use std::time::Duration;

use crate::time::Instant;
use crate::wire::Kinds;

use super::damage::{cut_length, flip_bits};
use super::plan::{Direction, Fault, LinkPlan};
use super::rule::{ActiveRule, Question, nanos};
use super::statistics::RuleStatistics;
use super::verdict::Cause;

/// The rules at work, in the plan's order.
#[derive(Debug)]
pub(super) struct Rules {
    rules: Vec<ActiveRule>,
    max_consecutive: u32,
}

impl Rules {
    pub(super) fn new(plan: &LinkPlan, seed: u64, direction: Direction) -> Self {
        Self {
            rules: ActiveRule::all(&plan.rules, seed, direction),
            max_consecutive: plan.max_consecutive.unwrap_or(u32::MAX),
        }
    }

    pub(super) fn counts(&self) -> Vec<RuleStatistics> {
        self.rules.iter().map(|rule| rule.counts).collect()
    }

    /// Whether some answer depends on which datagram it is.
    pub(super) fn are_keyed(&self) -> bool {
        self.rules.iter().any(|ActiveRule { rule, .. }| {
            let is_chance = rule.fault.share_ppm().is_some() || matches!(rule.fault, Fault::Jitter { .. });
            is_chance || rule.only != Kinds::default()
        })
    }

    /// Why the datagram is lost before it reaches the queue, if it is. `lost_in_a_row` counts for its flow
    /// what chance took.
    pub(super) fn lose(&mut self, question: &Question, lost_in_a_row: &mut u32) -> Result<(), Cause> {
        // What is certain comes first, so that chance is asked only about what it can take.
        for certain in [true, false] {
            for rule in concerned(&mut self.rules, question) {
                let Some(cause) = rule.cause() else { continue };
                if matches!(cause, Cause::Mtu | Cause::Blackout) != certain || !rule.ask(question) {
                    continue;
                }
                if certain {
                    return Err(cause);
                }
                if *lost_in_a_row < self.max_consecutive {
                    *lost_in_a_row += 1;
                    return Err(cause);
                }
                rule.counts.acted -= 1;
                rule.counts.spared += 1;
            }
        }
        *lost_in_a_row = 0;
        Ok(())
    }

    /// Takes the datagram through the slowest bottleneck, if there is one. `admit` gets its rate and the size
    /// of its queue, and says when the datagram has passed, or None if it does not fit.
    pub(super) fn queue(
        &mut self,
        question: &Question,
        admit: impl FnOnce(u64, u64) -> Option<Instant>,
    ) -> Result<Option<Instant>, Cause> {
        let limits = concerned(&mut self.rules, question).filter_map(|rule| match rule.rule.fault {
            Fault::Rate { bits_per_s, queue_bytes } => Some((bits_per_s, queue_bytes, rule)),
            _ => None,
        });
        let Some((bits_per_s, queue_bytes, rule)) = limits.min_by_key(|(bits_per_s, ..)| *bits_per_s) else {
            return Ok(None);
        };
        let departure = admit(bits_per_s, queue_bytes);
        rule.counts.asked += 1;
        rule.counts.acted += u64::from(departure.is_none());
        departure.map(Some).ok_or(Cause::Queue)
    }

    /// How much later than it could the datagram comes out, and whether it is to be overtaken meanwhile.
    pub(super) fn delay(&mut self, question: &Question) -> (Duration, bool) {
        let mut delay = Duration::ZERO;
        let mut is_held = false;
        for rule in concerned(&mut self.rules, question) {
            let more = match rule.rule.fault {
                Fault::Delay { delay } => delay,
                Fault::Jitter { most } => {
                    let bound = nanos(most).saturating_add(1);
                    Duration::from_nanos(rule.draw_below(&question.identity, bound))
                }
                Fault::Reorder { hold, .. } => hold,
                _ => continue,
            };
            if rule.ask(question) {
                delay = delay.saturating_add(more);
                is_held |= matches!(rule.rule.fault, Fault::Reorder { .. });
            }
        }
        (delay, is_held)
    }

    /// Cuts and flips. Returns how many bits, and the new length if it is one.
    pub(super) fn damage(&mut self, question: &Question, bytes: &mut Vec<u8>) -> (u8, Option<usize>) {
        let mut cut_to = None;
        for rule in concerned(&mut self.rules, question) {
            if !matches!(rule.rule.fault, Fault::Truncate { .. }) || bytes.len() < 2 || !rule.ask(question) {
                continue;
            }
            cut_to = cut_length(bytes.len(), rule.detail_key(&question.identity));
            bytes.truncate(cut_to.unwrap_or(bytes.len()));
        }
        let mut flipped: u8 = 0;
        for rule in concerned(&mut self.rules, question) {
            let Fault::Corrupt { bits, .. } = rule.rule.fault else {
                continue;
            };
            if !bytes.is_empty() && rule.ask(question) {
                flipped = flipped.saturating_add(flip_bits(bytes, rule.detail_key(&question.identity), bits));
            }
        }
        (flipped, cut_to)
    }

    /// Whether the datagram comes out twice.
    pub(super) fn duplicate(&mut self, question: &Question) -> bool {
        let mut twice = false;
        for rule in concerned(&mut self.rules, question) {
            twice |= matches!(rule.rule.fault, Fault::Duplicate { .. }) && rule.ask(question);
        }
        twice
    }

    /// Passes over the rebindings up to `now`. Whether there was any.
    pub(super) fn take_rebinding(&mut self, origin: Instant, now: Instant) -> bool {
        let mut any = false;
        for rule in &mut self.rules {
            any |= rule.take_rebinding(origin, now);
        }
        any
    }

    pub(super) fn next_rebinding(&self, origin: Instant) -> Option<Instant> {
        self.rules.iter().filter_map(|rule| rule.next_rebinding(origin)).min()
    }
}

fn concerned<'a>(
    rules: &'a mut [ActiveRule],
    question: &'a Question,
) -> impl Iterator<Item = &'a mut ActiveRule> + use<'a> {
    rules.iter_mut().filter(|rule| rule.concerns(question))
}
