//! Makes a scenario that breaks an invariant smaller, item by item, for as long as it breaks the same one.
//!
//! The verdicts of links are keyed and every line of the script has its own key, so leaving one item out does not turn the rest
//! into another run.

use super::check::Invariant;
use super::scenario::{Action, Scenario};

/// The smallest scenario found within `tries` runs, of which `breaks` tells what each breaks, if anything.
pub fn shrink(
    scenario: &Scenario,
    broken: Invariant,
    tries: usize,
    mut breaks: impl FnMut(&Scenario) -> Option<Invariant>,
) -> Scenario {
    let mut best = scenario.clone();
    let mut left = tries;
    loop {
        let mut is_smaller = false;
        let mut index = 0;
        while let Some(candidate) = without(&best, index) {
            if left == 0 {
                return best;
            }
            left -= 1;
            if breaks(&candidate) == Some(broken) {
                best = candidate;
                is_smaller = true;
            } else {
                index += 1;
            }
        }
        if !is_smaller {
            return best;
        }
    }
}

/// The scenario without its item of that index: lines of the script first, then rules of links, then halved counts and lengths.
/// None if there are no more items.
fn without(scenario: &Scenario, index: usize) -> Option<Scenario> {
    let mut smaller = scenario.clone();
    let lines = scenario.script.len();
    if index < lines {
        smaller.script.remove(index);
        return Some(smaller);
    }
    let mut place = index - lines;
    for link in &mut smaller.links {
        if place < link.plan.rules.len() {
            link.plan.rules.remove(place);
            return Some(smaller);
        }
        place -= link.plan.rules.len();
    }
    let step = smaller.script.iter_mut().filter(|step| is_large(&step.action)).nth(place)?;
    halve(&mut step.action);
    Some(smaller)
}

fn is_large(action: &Action) -> bool {
    match action {
        Action::Send { message, count, .. } => *count > 1 || message.length > 64,
        Action::Speak { length, count, .. } => *count > 1 || *length > 64,
        Action::Replay { count, .. }
        | Action::Mutate { count }
        | Action::Garbage { count }
        | Action::Meddle { count, .. }
        | Action::Flood { count } => *count > 1,
        _ => false,
    }
}

fn halve(action: &mut Action) {
    match action {
        Action::Send { message, count, .. } if *count == 1 => message.length /= 2,
        Action::Speak { length, count, .. } if *count == 1 => *length /= 2,
        Action::Send { count, .. }
        | Action::Speak { count, .. }
        | Action::Replay { count, .. }
        | Action::Mutate { count }
        | Action::Garbage { count }
        | Action::Meddle { count, .. }
        | Action::Flood { count } => *count /= 2,
        _ => {}
    }
}
