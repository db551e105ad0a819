//! What got no receipt is said again, in this run or the next, until it is shown or its fate is told.

use super::{Checker, Invariant, Seen, Stage};
use crate::chat::MessageId;
use crate::fault::Fault;
use crate::sim::ghost::{Ghost, Words};
use crate::sim::node::{Fate, Report};
use crate::sim::scenario::{Action, RepeatsPlan, Scenario};
use crate::time::Instant;

/// Words that were written down are shown at least once, unless their sender was told otherwise or still has them; what is said
/// again comes before what is newer; and nothing stays written down whose fate was told. That nothing is shown to anybody else,
/// nor twice without need, is watched with everything else that is shown.
#[derive(Debug)]
pub(super) struct SaidAgain {
    /// Whether everybody stays where they are and remembers: then nothing waits for ever.
    is_findable: bool,
    /// How each node says things again.
    plans: Vec<Option<RepeatsPlan>>,
}

impl SaidAgain {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let rules = scenario.links.iter().flat_map(|link| &link.plan.rules);
        let moves = rules.filter(|rule| matches!(rule.fault, Fault::Rebind { .. })).count()
            + scenario
                .script
                .iter()
                .filter(|step| matches!(step.action, Action::Rebind | Action::Detour { .. }))
                .count();
        let all_keep = scenario.nodes.iter().all(|node| node.is_sealed && node.repeats.is_some());
        let plans = scenario.nodes.iter().map(|node| node.repeats).collect();
        Self { is_findable: moves == 0 && all_keep, plans }
    }

    /// Everybody had time to find each other, or to lose patience. Who has no end of it may wait for somebody who cannot be found.
    fn check_waiting(&self, node: usize, ghost: &Ghost) -> Result<(), String> {
        let Some(plan) = self.plans[node] else { return Ok(()) };
        let waits = |words: &Words| words.node == node && words.fate.is_none() && is_taken_up(words, ghost);
        match ghost.words.iter().find(|(_, words)| waits(words)) {
            Some((id, _)) if self.is_findable || plan.patience.is_some() => {
                Err(format!("{id} still waits, findable: {}, {plan:?}", self.is_findable))
            }
            _ => Ok(()),
        }
    }

    /// What was written down for somebody who remembers was shown there, or its sender was told what became of it, or still has it.
    fn check_end(&self, node: usize, ghost: &Ghost) -> Result<(), String> {
        for (id, words) in ghost.words.iter().filter(|(_, words)| words.node == node && words.was_kept) {
            let is_told = words.fate.is_some();
            // For somebody who does not remember it ends with the run.
            let is_remembered = words.to.is_some_and(|to| self.plans[to].is_some());
            if is_remembered && !words.is_kept && !is_told && !words.is_shown {
                return Err(format!("{id} was written down, is no more, was never shown and has no fate"));
            }
            if words.is_kept && is_told && words.fate != Some(Fate::Kept) {
                return Err(format!("{id} is still written down; its fate is {:?}", words.fate));
            }
        }
        Ok(())
    }
}

/// Whether the present program says the words: one that found no room for them leaves them where they are.
fn is_taken_up(words: &Words, ghost: &Ghost) -> bool {
    let life = ghost.nodes[words.node].life;
    words.life == life || words.again_in.is_some_and(|(again, _)| again == life)
}

impl Checker for SaidAgain {
    fn invariant(&self) -> Invariant {
        Invariant::SaidAgain
    }

    fn check(&mut self, _at: Instant, node: usize, seen: &Seen<'_, '_>, ghost: &Ghost) -> Result<(), String> {
        match seen {
            Seen::Report(Report::Kept { id, is_kept: true }) => check_kept(id, node, ghost),
            Seen::Report(Report::Shown { id, .. }) => check_turn(id, ghost),
            Seen::Stage { stage: Stage::Learned, .. } => self.check_waiting(node, ghost),
            Seen::Stage { stage: Stage::Ended, .. } => self.check_end(node, ghost),
            _ => Ok(()),
        }
    }
}

fn check_kept(id: &MessageId, node: usize, ghost: &Ghost) -> Result<(), String> {
    match ghost.words.get(id) {
        Some(words) if words.node == node && words.fate.is_none() && !words.is_echo => Ok(()),
        words => Err(format!("{id} was written down to be said again; it is {words:?}")),
    }
}

/// What the same conversation is to say again is older, and comes first.
fn check_turn(id: &MessageId, ghost: &Ghost) -> Result<(), String> {
    let Some(words) = ghost.words.get(id) else { return Ok(()) };
    let Some(conversation) = words.conversation else { return Ok(()) };
    let is_before = |other: &&Words| {
        other.again_in == Some((words.life, conversation))
            && other.node == words.node
            && other.is_kept
            && other.fate.is_none()
            && !other.is_shown
    };
    match ghost.words.values().find(is_before) {
        Some(other) => Err(format!("{id} was shown before number {}, which is older", other.number)),
        None => Ok(()),
    }
}
