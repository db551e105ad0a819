//! A rule at work: its key, the question it is asked about each datagram, and the count of its answers.

use std::time::Duration;

use crate::random::{keyed_draw, scale};
use crate::time::Instant;
use crate::wire::Kinds;

use super::identity::{Identity, digest};
use super::loss::Gilbert;
use super::plan::{Direction, Fault, Rule};
use super::statistics::RuleStatistics;
use super::verdict::Cause;

/// What a rule may know about a datagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    /// Time since the link's first `now`.
    pub(super) elapsed: Duration,
    pub(super) identity: Identity,
    pub(super) kinds: Kinds,
    pub(super) length: usize,
}

/// A rule with its key and its counts.
#[derive(Debug)]
pub(super) struct ActiveRule {
    pub(super) rule: Rule,
    pub(super) counts: RuleStatistics,
    /// Of a rebinding, how many are over.
    rebindings: u64,
    key: u64,
    gilbert: Gilbert,
}

/// An outage is made of slots of the mean length divided by this: fine enough for lengths that look
/// continuous.
const SLOTS_PER_OUTAGE: u32 = 16;

impl ActiveRule {
    /// The rules of a plan, each with a key that does not depend on the others.
    pub(super) fn all(rules: &[Rule], seed: u64, direction: Direction) -> Vec<Self> {
        let names: Vec<u64> = rules.iter().map(name_digest).collect();
        let activate = |(index, rule): (usize, &Rule)| {
            let twins = names[..index].iter().filter(|name| **name == names[index]).count() as u64;
            Self::new(*rule, keyed_draw(&[seed, direction as u64, names[index], twins]))
        };
        rules.iter().enumerate().map(activate).collect()
    }

    fn new(rule: Rule, key: u64) -> Self {
        let mean_run = match rule.fault {
            Fault::Burst { mean_packets, .. } => mean_packets,
            _ => SLOTS_PER_OUTAGE,
        };
        let gilbert = Gilbert::new(rule.fault.share_ppm().unwrap_or(0), mean_run);
        Self { rule, counts: RuleStatistics::default(), rebindings: 0, key, gilbert }
    }

    /// Whether the rule concerns the datagram at all.
    pub(super) fn concerns(&self, question: &Question) -> bool {
        let Rule { only, from, until, .. } = self.rule;
        from <= question.elapsed
            && until.is_none_or(|until| question.elapsed < until)
            && (only == Kinds::default() || only.intersects(question.kinds))
    }

    /// Asks the rule, and counts question and answer.
    pub(super) fn ask(&mut self, question: &Question) -> bool {
        let answer = self.strikes(question);
        self.counts.asked += 1;
        self.counts.acted += u64::from(answer);
        answer
    }

    fn strikes(&self, question: &Question) -> bool {
        match self.rule.fault {
            Fault::Drop { share_ppm }
            | Fault::Reorder { share_ppm, .. }
            | Fault::Duplicate { share_ppm }
            | Fault::Corrupt { share_ppm, .. }
            | Fault::Truncate { share_ppm } => {
                self.draw_below(&question.identity, 1_000_000) < u64::from(share_ppm)
            }
            Fault::Burst { .. } => {
                let chain = keyed_draw(&[self.key, question.identity.sequence]);
                self.gilbert.is_bad(chain, question.identity.index)
            }
            Fault::Outage { mean, .. } => {
                let slot = nanos(mean / SLOTS_PER_OUTAGE).max(1);
                self.gilbert.is_bad(self.key, nanos(question.elapsed) / slot)
            }
            Fault::Mtu { bytes } => question.length as u64 > u64::from(bytes),
            Fault::Blackout { length, every } => {
                let since = nanos(question.elapsed.saturating_sub(self.rule.from));
                let since = every.map_or(since, |every| since % nanos(every).max(1));
                since < nanos(length)
            }
            Fault::Delay { .. } | Fault::Jitter { .. } | Fault::Rate { .. } => true,
            Fault::Rebind { .. } => false,
        }
    }

    /// A number below `bound` for the datagram: the one that decides, and for jitter the one that measures.
    pub(super) fn draw_below(&self, identity: &Identity, bound: u64) -> u64 {
        scale(keyed_draw(&[self.key, identity.key]), bound)
    }

    /// The key of further draws about the datagram, unrelated to the one that decided.
    pub(super) fn detail_key(&self, identity: &Identity) -> u64 {
        keyed_draw(&[self.key, identity.key, 1])
    }

    /// What the rule's strike is called if it loses datagrams.
    pub(super) const fn cause(&self) -> Option<Cause> {
        match self.rule.fault {
            Fault::Mtu { .. } => Some(Cause::Mtu),
            Fault::Blackout { .. } => Some(Cause::Blackout),
            Fault::Drop { .. } => Some(Cause::Drop),
            Fault::Burst { .. } => Some(Cause::Burst),
            Fault::Outage { .. } => Some(Cause::Outage),
            _ => None,
        }
    }

    /// When the next rebinding is due on a link that began at `origin`.
    pub(super) fn next_rebinding(&self, origin: Instant) -> Option<Instant> {
        let Fault::Rebind { every } = self.rule.fault else {
            return None;
        };
        let after_first = match (self.rebindings, every) {
            (0, _) => 0,
            (_, None) => return None,
            (past, Some(every)) => nanos(every).max(1).saturating_mul(past),
        };
        let elapsed = self.rule.from.saturating_add(Duration::from_nanos(after_first));
        self.rule.until.is_none_or(|until| elapsed < until).then(|| origin + elapsed)
    }

    /// Passes over all rebindings up to `now`: several late ones count as one. Whether there was any.
    pub(super) fn take_rebinding(&mut self, origin: Instant, now: Instant) -> bool {
        if self.next_rebinding(origin).is_none_or(|due| due > now) {
            return false;
        }
        self.counts.acted += 1;
        let Fault::Rebind { every } = self.rule.fault else {
            return false;
        };
        let since_first = nanos(now.since(origin).saturating_sub(self.rule.from));
        self.rebindings = 1 + every.map_or(0, |every| since_first / nanos(every).max(1));
        true
    }
}

pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A number for the rule's fault and scope. Neither its strength nor its end is part of it: a rule made
/// stronger strikes where it struck before, and more; and one that is cut short to find what matters is the
/// same until then.
fn name_digest(rule: &Rule) -> u64 {
    let mut name = String::from(rule.fault.name());
    for kind in rule.only.iter() {
        name.push(' ');
        name.push_str(kind.name());
    }
    keyed_draw(&[digest(name.as_bytes()), nanos(rule.from)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<ActiveRule> {
        ActiveRule::all(&text.parse::<super::super::LinkPlan>().unwrap().rules, 7, Direction::Up)
    }

    fn question(elapsed_ms: u64) -> Question {
        Question {
            elapsed: Duration::from_millis(elapsed_ms),
            identity: Identity::of_number(1, elapsed_ms, 0),
            kinds: Kinds::default(),
            length: 10,
        }
    }

    #[test]
    fn a_stronger_rule_strikes_where_the_weaker_did() {
        let (weak, strong) = (rules("drop=10%"), rules("drop=20%"));
        for question in (0..2_000).map(question) {
            assert!(!weak[0].strikes(&question) || strong[0].strikes(&question));
        }
    }

    #[test]
    fn keys_depend_on_fault_scope_and_direction_only() {
        let all = rules("drop=10% drop=10%@3s.. drop=10%:ack drop=30% duplicate=10%");
        for (index, rule) in all.iter().enumerate() {
            assert!(all[..index].iter().all(|other| other.key != rule.key));
        }
        let fewer = rules("drop=10%:ack duplicate=10%@..9s");
        assert_eq!([fewer[0].key, fewer[1].key], [all[2].key, all[4].key]);
        let plan: super::super::LinkPlan = "drop=10%".parse().unwrap();
        assert_ne!(ActiveRule::all(&plan.rules, 7, Direction::Down)[0].key, all[0].key);
    }

    #[test]
    fn blackouts_come_at_their_times() {
        let once = &rules("blackout=100ms+50ms")[0];
        let again = &rules("blackout=100ms+50ms/200ms")[0];
        let dark = |rule: &ActiveRule, ms| rule.concerns(&question(ms)) && rule.strikes(&question(ms));
        assert_eq!([99, 100, 149, 150, 300].map(|ms| dark(once, ms)), [false, true, true, false, false]);
        assert_eq!(
            [99, 100, 149, 150, 300, 349, 350].map(|ms| dark(again, ms)),
            [false, true, true, false, true, true, false]
        );
    }

    #[test]
    fn late_rebindings_count_as_one() {
        let mut rule = rules("rebind=1s/2s").remove(0);
        let at = |seconds: u64| Instant::from_nanos(seconds * 1_000_000_000);
        assert!(!rule.take_rebinding(at(0), at(0)));
        assert!(rule.take_rebinding(at(0), at(6)));
        assert!(!rule.take_rebinding(at(0), at(6)));
        assert_eq!(rule.next_rebinding(at(0)), Some(at(7)));
        assert!(rule.take_rebinding(at(0), at(7)));
        assert_eq!(rule.counts.acted, 2);
    }
}
