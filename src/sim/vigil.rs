//! Random hours of two sealed nodes, each from one seed: long enough for keys to change many times.
//!
//! As in the swarm, a seed first decides which kinds of trouble there are at all, and how much is said: all the time, now and then,
//! by one side alone, or nothing.

use std::time::Duration;

use super::scenario::{Action, LinkOf, MessagePlan, NodeKind, NodePlan, Scenario, Step};
use super::swarm::Draw;
use crate::endpoint::EndpointConfig;
use crate::fault::{Fault, LinkPlan, Rule};

/// The vigil of a seed.
pub fn vigil(seed: u64) -> Scenario {
    // Unlike the other draws of the same seed.
    let mut draw = Draw::new(seed ^ 0x0076_6967_696c);
    let kind = if draw.percent(60) { NodeKind::Talker } else { NodeKind::Chatter };
    let node = NodePlan { kind, endpoint: EndpointConfig::default(), is_sealed: true, repeats: None };
    // Two changes of keys at least.
    let heal_at = draw.time_ms(1_500_000, 8_000_000);
    let delay_after = draw.time_ms(0, 150);
    let is_pinned = kind == NodeKind::Talker;
    let links = links(&mut draw, heal_at, delay_after);
    let mut script = work(&mut draw, heal_at);
    trouble(&mut draw, heal_at, is_pinned, &mut script);
    let nodes = vec![node.clone(), node];
    super::seal::perhaps_keeping(Scenario { seed, nodes, links, script, heal_at, delay_after, is_pinned })
}

fn links(draw: &mut Draw, heal_at: Duration, delay_after: Duration) -> Vec<LinkOf> {
    let kinds: Vec<usize> = (0..6).filter(|_| draw.percent(40)).collect();
    let mut links = Vec::new();
    for (from, to) in [(0, 1), (1, 0)] {
        let mut rules = vec![Fault::Delay { delay: delay_after }.always()];
        rules.extend(kinds.iter().map(|&kind| fault(draw, kind, heal_at)));
        links.push(LinkOf { from, to, plan: LinkPlan { rules, ..LinkPlan::default() } });
    }
    links
}

fn fault(draw: &mut Draw, kind: usize, heal_at: Duration) -> Rule {
    let mut ppm = |most: u64| (draw.number(1, most) * 10_000) as u32;
    let fault = match kind {
        0 => Fault::Drop { share_ppm: ppm(30) },
        1 => Fault::Burst { share_ppm: ppm(15), mean_packets: 6 },
        2 => Fault::Reorder { share_ppm: ppm(40), hold: draw.time_ms(1, 2_000) },
        3 => Fault::Duplicate { share_ppm: ppm(50) },
        4 => Fault::Corrupt { share_ppm: ppm(10), bits: 2 },
        _ => Fault::Outage { share_ppm: ppm(10), mean: draw.time_ms(500, 20_000) },
    };
    Rule { from: Duration::ZERO, until: Some(heal_at), ..fault.always() }
}

fn work(draw: &mut Draw, heal_at: Duration) -> Vec<Step> {
    let is_one_way = draw.percent(30);
    let listener = draw.index(2);
    let pause_ms = draw.one_of(&[2_000, 15_000, 120_000, 900_000, 4_000_000]);
    // Who speaks all the time says little at once, or an hour is too long to run.
    let burst = if pause_ms < 60_000 { 2 } else { draw.one_of(&[1, 5, 40]) };
    // Whoever only listens may be the one that asked.
    let asking = draw.index(2);
    let mut script =
        vec![Step { at: Duration::from_millis(1), node: asking, action: Action::Connect { to: 1 - asking } }];
    let mut at = Duration::from_secs(1);
    while at < heal_at {
        let node = if is_one_way { 1 - listener } else { draw.index(2) };
        let length = draw.number(1, 300) as usize;
        let message = MessagePlan::plain(length);
        let count = draw.number(1, burst) as u32;
        script.push(Step { at, node, action: Action::Send { to: 1 - node, message, count } });
        at += draw.time_ms(pause_ms / 2, pause_ms * 2);
    }
    script
}

fn trouble(draw: &mut Draw, heal_at: Duration, is_pinned: bool, script: &mut Vec<Step>) {
    let mut add = |draw: &mut Draw, percent: u32, most: u64, action: &dyn Fn(&mut Draw) -> Action| {
        if draw.percent(percent) {
            for _ in 0..draw.number(1, most) {
                let (at, node, action) = (draw.moment(heal_at), draw.index(2), action(draw));
                script.push(Step { at, node, action });
            }
        }
    };
    add(draw, 70, 60, &|draw| Action::Replay {
        count: draw.number(1, 40) as u32,
        is_spoofed: draw.percent(30),
    });
    add(draw, 50, 40, &|draw| Action::Meddle { count: draw.number(1, 30) as u32, is_impostor: is_pinned });
    add(draw, 30, 6, &|_| Action::Rebind);
    add(draw, 20, 10, &|draw| Action::Detour { on: draw.percent(60) });
    add(draw, 10, 2, &|_| Action::Restart);
    add(draw, 10, 3, &|draw| Action::Freeze { length: draw.time_ms(10, 25_000) });
    // Whoever stands still when the faults end cannot recover.
    for Step { at, action, .. } in script {
        if let Action::Freeze { length } = action {
            *length = (*length).min(heal_at.saturating_sub(*at));
        }
    }
}
