//! Random gatherings, each from one seed: a hall, some attendees, what they do, and what goes wrong.
//!
//! As in the swarm, a seed first decides which kinds of trouble there are at all.

use std::time::Duration;

use super::hall::Hall;
use super::scenario::{
    Action, AttendeePlan, HallPlan, LinkOf, NAMES, NodeKind, NodePlan, Place, ROOMS, Scenario, Step,
};
use super::swarm::{Draw, FAULT_KINDS, fault};
use crate::endpoint::EndpointConfig;
use crate::fault::{Fault, LinkPlan, Rule};

/// The gathering of a seed.
pub fn gathering(seed: u64) -> Scenario {
    // Unlike the swarm's draws of the same seed.
    let mut draw = Draw::new(seed ^ 0x6761_7468_6572);
    let count = if draw.percent(70) { draw.index(3) + 2 } else { draw.index(7) + 2 };
    let heal_at = draw.time_ms(4_000, 40_000);
    let delay_after = draw.time_ms(0, 150);
    let mut nodes = vec![hall(&mut draw)];
    let rooms = draw.index(ROOMS.len()) + 1;
    nodes.extend(attendees(&mut draw, count, rooms));
    let links = links(&mut draw, count, heal_at, delay_after);
    let mut script = arrivals(&mut draw, count);
    script.extend(talk(&mut draw, count, rooms, heal_at));
    trouble(&mut draw, count, heal_at, &mut script);
    let scenario = Scenario { seed, nodes, links, script, heal_at, delay_after, is_pinned: false };
    super::seal::perhaps_sealed(scenario)
}

fn hall(draw: &mut Draw) -> NodePlan {
    let slow = draw.percent(30);
    let plan = HallPlan {
        commit: if slow {
            (Duration::from_millis(5), Duration::from_millis(50))
        } else {
            (Duration::from_micros(200), draw.time_ms(1, 50))
        },
        answer_delay: if draw.percent(30) { draw.time_ms(1, 400) } else { Duration::ZERO },
        is_memory: draw.percent(20),
        per_second: draw.percent(15).then(|| draw.number(5, 40) as u32),
        mailbox_letters: if draw.percent(15) { draw.number(1, 5) } else { 1_000 },
    };
    NodePlan {
        kind: NodeKind::Hall(plan),
        endpoint: Hall::endpoint_config(),
        is_sealed: false,
        repeats: None,
    }
}

fn attendees(draw: &mut Draw, count: usize, rooms: usize) -> Vec<NodePlan> {
    let (some_share_names, some_want_little, some_store_late, some_lose_patience, some_have_small_windows) =
        (draw.percent(15), draw.percent(25), draw.percent(25), draw.percent(15), draw.percent(20));
    (0..count)
        .map(|index| {
            let mut endpoint = EndpointConfig::default();
            if some_have_small_windows && draw.percent(50) {
                let limits = &mut endpoint.connection.limits;
                // The longest line that a relay takes fits: what does not is nothing for a member with such a window.
                limits.stream_bytes = draw.one_of(&[150_000, 200_000, 262_144]);
                limits.message_bytes = limits.stream_bytes;
                limits.connection_bytes = limits.stream_bytes * draw.number(1, 3);
                limits.stream_messages = draw.number(2, 40);
                limits.streams = draw.one_of(&[1, 2, 16]);
            }
            let is_odd = |draw: &mut Draw, some: bool| some && draw.percent(50);
            let plan = AttendeePlan {
                name: if is_odd(draw, some_share_names) { draw.index(NAMES.len()) } else { index },
                rooms: if draw.percent(80) { rooms } else { draw.index(rooms + 1) },
                history: is_odd(draw, some_want_little).then(|| draw.one_of(&[0, 1, 5, 100])),
                store_every: if is_odd(draw, some_store_late) {
                    draw.time_ms(50, 5_000)
                } else {
                    Duration::ZERO
                },
                patience: is_odd(draw, some_lose_patience).then(|| draw.time_ms(2_000, 30_000)),
            };
            NodePlan { kind: NodeKind::Attendee(plan), endpoint, is_sealed: false, repeats: None }
        })
        .collect()
}

/// Links between the hall and each attendee; attendees do not know each other.
fn links(draw: &mut Draw, count: usize, heal_at: Duration, delay_after: Duration) -> Vec<LinkOf> {
    let kinds: Vec<usize> = (0..FAULT_KINDS).filter(|_| draw.percent(30)).collect();
    let is_symmetric = draw.percent(60);
    let mut links = Vec::new();
    for attendee in 1..=count {
        let is_spared = draw.percent(20);
        let rules = |draw: &mut Draw| {
            let mut rules = vec![Fault::Delay { delay: draw.time_ms(0, 1).max(delay_after) }.always()];
            if !is_spared {
                rules.extend(kinds.iter().map(|&kind| fault(draw, kind, heal_at)));
            }
            rules
        };
        let up = rules(draw);
        let down = if is_symmetric { up.clone() } else { rules(draw) };
        // A hall stays where it is: nobody could find it anywhere else.
        let stays = |rule: &Rule| !matches!(rule.fault, Fault::Rebind { .. });
        let down = down.into_iter().filter(stays).collect();
        for (from, to, rules) in [(attendee, 0, up), (0, attendee, down)] {
            links.push(LinkOf { from, to, plan: LinkPlan { rules, ..LinkPlan::default() } });
        }
    }
    links
}

fn arrivals(draw: &mut Draw, count: usize) -> Vec<Step> {
    let most_ms = draw.one_of(&[1, 500, 5_000]);
    (1..=count).map(|node| Step { at: draw.time_ms(0, most_ms), node, action: Action::Attend }).collect()
}

fn talk(draw: &mut Draw, count: usize, rooms: usize, heal_at: Duration) -> Vec<Step> {
    let (letters, broadcasts, long, echoes) =
        (draw.percent(60), draw.percent(40), draw.percent(30), draw.percent(20));
    let bursts = draw.percent(60);
    let steps = draw.number(2, 40);
    (0..steps)
        .map(|_| {
            let to = match draw.number(0, 9) {
                0..4 if letters => {
                    Place::Name(if draw.percent(90) { draw.index(count) } else { draw.index(NAMES.len()) })
                }
                4 if broadcasts => Place::Everyone,
                5 if echoes => Place::Relay,
                _ if draw.percent(5) => Place::Room(draw.index(ROOMS.len())),
                _ => Place::Room(draw.index(rooms)),
            };
            let length = match draw.number(0, 99) {
                0..8 if long => draw.number(5_000, 70_000),
                8..30 => draw.number(1, 5_000),
                _ => draw.number(1, 200),
            } as usize;
            let count_of = if length > 5_000 || !bursts { 1 } else { draw.one_of(&[1, 1, 1, 3, 20, 60]) };
            let node = draw.index(count) + 1;
            let action = if draw.percent(5) {
                Action::Reply { length }
            } else {
                Action::Speak { to, length, count: count_of }
            };
            Step { at: draw.moment(heal_at), node, action }
        })
        .collect()
}

fn trouble(draw: &mut Draw, count: usize, heal_at: Duration, script: &mut Vec<Step>) {
    let mut add =
        |draw: &mut Draw, percent: u32, most: u64, action: &dyn Fn(&mut Draw) -> (usize, Action)| {
            if draw.percent(percent) {
                for _ in 0..draw.number(1, most) {
                    let at = draw.moment(heal_at);
                    let (node, action) = action(draw);
                    script.push(Step { at, node, action });
                }
            }
        };
    let anybody = |draw: &mut Draw| draw.index(count) + 1;
    let somewhere = |draw: &mut Draw| draw.index(count + 1);
    let pause =
        |draw: &mut Draw| if draw.percent(70) { draw.time_ms(1, 2_000) } else { draw.time_ms(1, 20_000) };
    add(draw, 40, 4, &|draw| (0, Action::Kill { pause: pause(draw) }));
    add(draw, 5, 20, &|draw| (0, Action::Kill { pause: draw.time_ms(1, 300) }));
    add(draw, 30, 4, &|draw| (anybody(draw), Action::Kill { pause: pause(draw) }));
    add(draw, 15, 3, &|draw| (0, Action::Full { length: draw.time_ms(1, 10_000) }));
    add(draw, 15, 3, &|draw| (anybody(draw), Action::Rebind));
    add(draw, 15, 2, &|draw| (somewhere(draw), Action::Freeze { length: draw.time_ms(10, 25_000) }));
    add(draw, 20, 4, &|draw| (anybody(draw), Action::Leave));
    add(draw, 20, 4, &|draw| (anybody(draw), Action::Attend));
    add(draw, 30, 8, &|draw| (anybody(draw), Action::Part { room: draw.index(ROOMS.len()) }));
    add(draw, 30, 8, &|draw| (anybody(draw), Action::Join { room: draw.index(ROOMS.len()) }));
    add(draw, 30, 6, &|draw| (anybody(draw), Action::Rename { name: draw.index(NAMES.len()) }));
    add(draw, 15, 4, &|draw| {
        let (count, is_spoofed) = (draw.number(1, 20) as u32, draw.percent(40));
        (somewhere(draw), Action::Replay { count, is_spoofed })
    });
    add(draw, 15, 4, &|draw| (somewhere(draw), Action::Mutate { count: draw.number(1, 20) as u32 }));
    add(draw, 10, 3, &|draw| (somewhere(draw), Action::Garbage { count: draw.number(1, 10) as u32 }));
    add(draw, 5, 2, &|draw| (somewhere(draw), Action::Flood { count: draw.number(1, 300) as u32 }));
    // Whoever stands still when the faults end cannot recover.
    for Step { at, action, .. } in script {
        if let Action::Freeze { length } | Action::Kill { pause: length } | Action::Full { length } = action {
            *length = (*length).min(heal_at.saturating_sub(*at));
        }
    }
}
