//! Random scenarios, each from one seed.
//!
//! Every seed first decides which kinds of trouble and of work it has at all, and only then how much of each: runs in which
//! everything happens a little never show what happens when one thing happens a lot (Groce and others, "Swarm testing", 2012).

use std::time::Duration;

use super::scenario::{Action, LinkOf, MessagePlan, NodeKind, NodePlan, Scenario, Step};
use crate::endpoint::EndpointConfig;
use crate::fault::{Fault, LinkPlan, Rule};
use crate::random::Random;

/// The scenario of a seed.
pub fn swarm(seed: u64) -> Scenario {
    let mut draw = Draw::new(seed);
    let kind = if draw.percent(60) { NodeKind::Talker } else { NodeKind::Chatter };
    let count = if draw.percent(25) { 3 } else { 2 };
    let heal_at = draw.time_ms(4_000, 40_000);
    let delay_after = draw.time_ms(0, 150);
    let nodes = nodes(&mut draw, kind, count);
    let links = links(&mut draw, count, heal_at, delay_after);
    let mut script = work(&mut draw, kind, &nodes, heal_at);
    trouble(&mut draw, kind, count, heal_at, &mut script);
    let scenario = Scenario { seed, nodes, links, script, heal_at, delay_after, is_pinned: false };
    super::seal::perhaps_keeping(super::seal::perhaps_sealed(scenario))
}

/// Draws in words.
pub(super) struct Draw {
    random: Random,
}

impl Draw {
    /// The draws of a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Random::from_seed(seed) }
    }

    pub(super) fn percent(&mut self, percent: u32) -> bool {
        self.random.chance_ppm(percent * 10_000)
    }

    pub(super) fn number(&mut self, low: u64, high: u64) -> u64 {
        self.random.between(low, high)
    }

    pub(super) fn index(&mut self, count: usize) -> usize {
        // Below `count`, so the cast keeps the value.
        self.random.below(count as u64) as usize
    }

    pub(super) fn time_ms(&mut self, low: u64, high: u64) -> Duration {
        // Microseconds, so that two lines rarely share a time: their times are part of their keys.
        Duration::from_micros(self.number(low * 1_000, high * 1_000))
    }

    pub(super) fn moment(&mut self, until: Duration) -> Duration {
        Duration::from_micros(self.random.below(u64::try_from(until.as_micros()).unwrap_or(u64::MAX)))
    }

    pub(super) fn one_of<T: Copy>(&mut self, options: &[T]) -> T {
        options[self.index(options.len())]
    }
}

fn nodes(draw: &mut Draw, kind: NodeKind, count: usize) -> Vec<NodePlan> {
    let has_small_windows = draw.percent(35);
    let has_small_queues = draw.percent(20);
    let has_few_places = draw.percent(15);
    (0..count)
        .map(|_| {
            let mut endpoint = EndpointConfig::default();
            let limits = &mut endpoint.connection.limits;
            if has_small_windows {
                limits.stream_bytes = draw.one_of(&[4_096, 20_000, 65_536, 262_144]);
                limits.message_bytes = limits.stream_bytes;
                limits.connection_bytes = limits.stream_bytes * draw.number(1, 3);
                limits.stream_messages = draw.number(1, 40);
                limits.streams = draw.one_of(&[1, 2, 16]);
            }
            if has_small_queues {
                endpoint.connection.send_queue_messages = draw.index(30) + 2;
                endpoint.connection.send_queue_bytes = draw.one_of(&[10_000, 300_000]);
            }
            if has_few_places {
                endpoint.max_half_open = draw.index(6) + 1;
                endpoint.max_connections = draw.index(4) + 2;
                endpoint.connect_timeout = draw.time_ms(1_000, 10_000);
            }
            NodePlan { kind, endpoint, is_sealed: false, repeats: None }
        })
        .collect()
}

fn links(draw: &mut Draw, count: usize, heal_at: Duration, delay_after: Duration) -> Vec<LinkOf> {
    let kinds: Vec<usize> = (0..FAULT_KINDS).filter(|_| draw.percent(35)).collect();
    let is_symmetric = draw.percent(60);
    let mut links: Vec<LinkOf> = Vec::new();
    for from in 0..count {
        for to in (0..count).filter(|&to| to != from) {
            let mirrored = links.iter().find(|link| is_symmetric && (link.from, link.to) == (to, from));
            let rules = match mirrored {
                Some(link) => link.plan.rules.clone(),
                None => {
                    let mut rules =
                        vec![Fault::Delay { delay: draw.time_ms(0, 1).max(delay_after) }.always()];
                    rules.extend(kinds.iter().map(|&kind| fault(draw, kind, heal_at)));
                    rules
                }
            };
            links.push(LinkOf { from, to, plan: LinkPlan { rules, ..LinkPlan::default() } });
        }
    }
    links
}

/// How many kinds [`fault`] knows.
pub(super) const FAULT_KINDS: usize = 13;

pub(super) fn fault(draw: &mut Draw, kind: usize, heal_at: Duration) -> Rule {
    let ppm = |percent: u64| (percent * 10_000) as u32;
    let fault = match kind {
        0 => Fault::Drop { share_ppm: ppm(draw.number(1, 40)) },
        1 => Fault::Burst { share_ppm: ppm(draw.number(1, 30)), mean_packets: draw.number(2, 12) as u32 },
        2 => Fault::Outage { share_ppm: ppm(draw.number(5, 50)), mean: draw.time_ms(50, 4_000) },
        3 => Fault::Delay { delay: draw.time_ms(0, 300) },
        4 => Fault::Jitter { most: draw.time_ms(1, 200) },
        5 => Fault::Reorder { share_ppm: ppm(draw.number(1, 50)), hold: draw.time_ms(1, 300) },
        6 => Fault::Duplicate { share_ppm: ppm(draw.number(1, 50)) },
        7 => Fault::Corrupt { share_ppm: ppm(draw.number(1, 30)), bits: draw.number(1, 8) as u8 },
        8 => Fault::Truncate { share_ppm: ppm(draw.number(1, 20)) },
        9 => Fault::Rate {
            bits_per_s: draw.number(64_000, 20_000_000),
            queue_bytes: draw.number(3_000, 100_000),
        },
        10 => Fault::Mtu { bytes: draw.number(1_200, 1_400) as u32 },
        11 => {
            let from = draw.moment(heal_at);
            let length = draw.time_ms(100, 15_000).min(heal_at - from);
            return Rule { from, ..Fault::Blackout { length, every: None }.always() };
        }
        _ => {
            let every = draw.percent(50).then(|| draw.time_ms(1_000, 10_000));
            return Rule {
                from: draw.moment(heal_at),
                until: Some(heal_at),
                ..Fault::Rebind { every }.always()
            };
        }
    };
    let from = if draw.percent(70) { Duration::ZERO } else { draw.moment(heal_at / 2) };
    Rule { from, until: Some(heal_at), ..fault.always() }
}

fn work(draw: &mut Draw, kind: NodeKind, nodes: &[NodePlan], heal_at: Duration) -> Vec<Step> {
    let count = nodes.len();
    let mut script = Vec::new();
    let (deadlines, unordered, large, empty) =
        (draw.percent(30), draw.percent(50), draw.percent(30), draw.percent(30));
    let streams = if draw.percent(50) { 1 } else { draw.number(2, 16) as u32 };
    if draw.percent(25) {
        // Both sides ask at once.
        let at = draw.time_ms(0, 500);
        script.push(Step { at, node: 0, action: Action::Connect { to: 1 } });
        script.push(Step { at, node: 1, action: Action::Connect { to: 0 } });
    }
    let is_one_way = draw.percent(30);
    for _ in 0..draw.number(2, 25) {
        let node = if is_one_way { 0 } else { draw.index(count) };
        let to = (node + 1 + draw.index(count - 1)) % count;
        let at = draw.moment(heal_at);
        let length = match draw.number(0, 99) {
            0..8 if large => draw.number(5_000, 200_000),
            0..40 => draw.number(0, 5_000),
            40..50 if empty => 0,
            _ => draw.number(1, 200),
        } as usize;
        let message = MessagePlan {
            stream: draw.random.below(u64::from(streams)) as u32,
            length,
            unordered: unordered && draw.percent(50),
            deadline: (deadlines && draw.percent(50)).then(|| draw.time_ms(20, 5_000)),
        };
        let count = if length > 5_000 { 1 } else { draw.one_of(&[1, 1, 1, 3, 20, 60]) };
        let action = match draw.number(0, 9) {
            0 if kind == NodeKind::Talker => Action::Gram { to, length: length.clamp(8, 900) },
            0 => Action::Echo { to, length },
            1 if kind == NodeKind::Chatter => Action::Reply { length },
            _ => Action::Send { to, message, count },
        };
        script.push(Step { at, node, action });
    }
    script
}

fn trouble(draw: &mut Draw, kind: NodeKind, count: usize, heal_at: Duration, script: &mut Vec<Step>) {
    let mut add = |draw: &mut Draw, percent: u32, most: u64, action: &dyn Fn(&mut Draw, usize) -> Action| {
        if draw.percent(percent) {
            for _ in 0..draw.number(1, most) {
                let node = draw.index(count);
                let (at, action) = (draw.moment(heal_at), action(draw, node));
                script.push(Step { at, node, action });
            }
        }
    };
    add(draw, 15, 3, &|draw, node| Action::Close { to: (node + 1 + draw.index(count - 1)) % count });
    add(draw, 15, 2, &|_, _| Action::Restart);
    add(draw, 15, 3, &|_, _| Action::Rebind);
    add(draw, 10, 2, &|draw, _| Action::Freeze { length: draw.time_ms(10, 20_000).min(heal_at / 2) });
    add(draw, 30, 6, &|draw, _| Action::Replay {
        count: draw.number(1, 20) as u32,
        is_spoofed: draw.percent(40),
    });
    add(draw, 30, 6, &|draw, _| Action::Mutate { count: draw.number(1, 20) as u32 });
    add(draw, 30, 4, &|draw, _| Action::Garbage { count: draw.number(1, 10) as u32 });
    add(draw, 10, 2, &|draw, _| Action::Flood { count: draw.number(1, 300) as u32 });
    add(draw, 10, 2, &|draw, node| Action::Connect { to: (node + 1 + draw.index(count - 1)) % count });
    if kind == NodeKind::Talker {
        add(draw, 15, 1, &|_, _| Action::Read { on: false });
    }
    // A freeze ends with the faults: whoever stands still cannot recover.
    for step in script {
        if let Action::Freeze { length } = &mut step.action {
            *length = (*length).min(heal_at.saturating_sub(step.at));
        }
    }
}
