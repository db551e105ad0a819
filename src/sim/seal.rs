//! Which schedules are sealed, and what somebody on the path tries in them.
//!
//! Drawn apart from everything else, so that a seed's nodes, links and script are the same in both forms.

use std::time::Duration;

use super::scenario::{Action, Moment, NodeKind, RepeatsPlan, Scenario, Step};
use super::swarm::Draw;
use crate::bucket::Rate;
use crate::secure::KeyLife;

/// How many schedules of a hundred are sealed.
const SEALED_PERCENT: u32 = 60;

/// Draws whether the schedule is sealed, and who attacks it if it is.
pub fn perhaps_sealed(mut scenario: Scenario) -> Scenario {
    let mut draw = Draw::new(scenario.seed ^ 0x7365_616c_6564);
    if !draw.percent(SEALED_PERCENT) {
        return scenario;
    }
    for node in &mut scenario.nodes {
        node.is_sealed = true;
    }
    let are_talkers = scenario.nodes.iter().all(|node| node.kind == NodeKind::Talker);
    scenario.is_pinned = draw.percent(70) && are_talkers;
    if draw.percent(20) {
        // So few that an ordinary run meets the end of them.
        for node in &mut scenario.nodes {
            let limits = &mut node.endpoint.handshakes;
            limits.unproven = Rate { burst: draw.number(0, 3) as u32, per_second: draw.number(1, 3) as u32 };
            limits.retries = Rate { burst: draw.number(10, 100) as u32, per_second: 100 };
        }
    }
    if draw.percent(30) {
        // So short that keys change all the time. Each change of a side that only listens takes an exchange of its own, so the
        // change must take longer than that: whoever has nothing to say would never be quiet.
        let life = KeyLife { packets: draw.one_of(&[40, 200, 1_000_000]), time: draw.time_ms(2_000, 20_000) };
        for node in &mut scenario.nodes {
            node.endpoint.connection.key_life = life;
        }
    }
    if draw.percent(4) && !scenario.has_hall() {
        // Two kinds that refuse each other. What a meddler invents would be good enough for the clear one.
        let index = draw.index(scenario.nodes.len());
        scenario.nodes[index].is_sealed = false;
    } else {
        meddling(&mut draw, &mut scenario);
    }
    detours(&mut draw, &mut scenario);
    scenario
}

/// Most sealed schedules have somebody on the path; some of them are busy all the time.
fn meddling(draw: &mut Draw, scenario: &mut Scenario) {
    if draw.percent(35) {
        return;
    }
    let is_busy = draw.percent(25);
    for _ in 0..draw.number(1, if is_busy { 40 } else { 8 }) {
        let (node, at) = (draw.index(scenario.nodes.len()), draw.moment(scenario.heal_at));
        let action = Action::Meddle { count: draw.number(1, 30) as u32, is_impostor: scenario.is_pinned };
        scenario.script.push(Step { at, node, action });
    }
}

/// How many of a hundred schedules of sealed chatters have some that say things again.
const KEEPING_PERCENT: u32 = 70;

/// Draws which chatters say again what got no receipt, and when their programs are killed.
pub fn perhaps_keeping(mut scenario: Scenario) -> Scenario {
    let mut draw = Draw::new(scenario.seed ^ 0x6b65_6570);
    let are_chatters = scenario.nodes.iter().all(|node| node.kind == NodeKind::Chatter);
    let is_any_sealed = scenario.nodes.iter().any(|node| node.is_sealed);
    if !are_chatters || !is_any_sealed || !draw.percent(KEEPING_PERCENT) {
        return scenario;
    }
    let is_mixed = draw.percent(15);
    let second = Duration::from_secs(1);
    let patience = draw.one_of(&[None, None, Some(5 * second), Some(60 * second)]);
    for node in &mut scenario.nodes {
        if !is_mixed || draw.percent(50) {
            node.repeats = Some(RepeatsPlan { patience });
        }
    }
    for _ in 0..draw.number(0, 4) {
        let (at, node) = (draw.moment(scenario.heal_at), draw.index(scenario.nodes.len()));
        let before = draw.one_of(&[
            Moment::BeforeKeeping,
            Moment::BeforeShowing,
            Moment::BeforeRemembering,
            Moment::BeforeSending,
        ]);
        let is_fall = draw.percent(70);
        let action = if is_fall { Action::Fall { before } } else { Action::Restart };
        scenario.script.push(Step { at, node, action });
        if draw.percent(40) {
            // It is away for a while, and back when the faults end.
            let at = at + Duration::from_micros(1);
            let length = draw.time_ms(10, 60_000).min(scenario.heal_at.saturating_sub(at));
            scenario.script.push(Step { at, node, action: Action::Freeze { length } });
        }
    }
    scenario
}

/// Somebody in between relays a node under another address for a while.
fn detours(draw: &mut Draw, scenario: &mut Scenario) {
    if !draw.percent(15) {
        return;
    }
    // A hall stays where it is: nobody could find it anywhere else.
    let first = usize::from(scenario.has_hall());
    for _ in 0..draw.number(1, 3) {
        let node = first + draw.index(scenario.nodes.len() - first);
        let at = draw.moment(scenario.heal_at);
        let until = at + draw.moment(scenario.heal_at - at);
        scenario.script.push(Step { at, node, action: Action::Detour { on: true } });
        scenario.script.push(Step { at: until, node, action: Action::Detour { on: false } });
    }
}
