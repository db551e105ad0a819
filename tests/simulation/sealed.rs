//! Sealed nodes: hours in which keys change, addresses that change, somebody on the path.

use std::time::Duration;

use udpchat::arq::Outcome;
use udpchat::sim::{
    Action, MessagePlan, Moment, RepeatsPlan, Report, Scenario, World, gathering, run, swarm, vigil,
};

use super::campaign::{Campaign, run_one};
use super::scenarios::{Script, ms, outcomes, send, taken};

/// Schedules in an ordinary test run: half a minute on two busy cores.
const SCHEDULES: u64 = 60;

/// What has to occur in a campaign: a checker that never saw a situation proves nothing about it.
const SOMETIMES: [&str; 20] = [
    "drop",
    "burst",
    "reorder",
    "duplicate",
    "corrupt",
    "outage",
    "later-key",
    "bad-seal",
    "bad-handshake",
    "old-key",
    "wrong-form",
    "duplicate-packet",
    "replayed",
    "replayed-elsewhere",
    "meddled",
    "moved",
    "rebound",
    "detour",
    "taken",
    "shown",
];

#[test]
fn vigil_campaign() {
    let plan =
        Campaign { scenario: vigil, schedules: SCHEDULES, most_datagrams: 200_000, repeat: "vigil_seed" };
    plan.run(&SOMETIMES);
}

#[test]
fn vigil_seed() {
    run_one(vigil, "vigil_seed");
}

/// Sealed talkers who know each other's keys.
pub fn sealed(plan: &str) -> Script {
    let mut script = Script::talkers(plan);
    script.scenario.nodes.iter_mut().for_each(|node| node.is_sealed = true);
    script.scenario.is_pinned = true;
    script
}

/// The longest time between two messages that node 1 took.
fn longest_pause(world: &World) -> Duration {
    taken(world).windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// How often something was noted at a node.
fn noted(world: &World, of: usize, wanted: &str) -> usize {
    let journal = world.journal().iter();
    journal
        .filter(|(_, node, report)| {
            *node == of && matches!(report, Report::Noted { what, .. } if *what == wanted)
        })
        .count()
}

// UC-SEAL-007, UC-SEAL-008, UC-SEAL-009
#[test]
fn keys_change_under_a_talk_of_two_hours_and_nobody_notices() {
    let hours = 7_200_000;
    let mut script = sealed("delay=40ms").heal_at(hours);
    for at_ms in (100..hours).step_by(1_000) {
        script = script.at(at_ms, 0, send(50, 1));
    }
    let mut world = script.world();
    world.run_until(ms(hours)).unwrap();
    let (_, connection) = world.node(0).endpoint().connections().next().unwrap();
    // The other side's own packets are acks alone, so it asks for one of its own before each change.
    assert_eq!(connection.epochs(), Some((11, 11)));
    assert_eq!(longest_pause(&world), ms(1_000));
    world.finish().unwrap();
}

// UC-SEAL-008
#[test]
fn keys_change_when_nothing_is_said() {
    let hours = 7_200_000;
    let mut world = sealed("delay=40ms drop=20%").heal_at(hours).at(100, 0, send(50, 1)).world();
    world.run_until(ms(hours)).unwrap();
    for node in 0..2 {
        let (_, connection) = world.node(node).endpoint().connections().next().unwrap();
        let (ours, theirs) = connection.epochs().unwrap();
        assert!(ours >= 11 && theirs >= 11, "{node}: {ours} {theirs}");
    }
    world.finish().unwrap();
}

// UC-PATH-001, UC-PATH-003, UC-SEAL-006
#[test]
fn the_talk_goes_on_when_the_address_changes() {
    for change in [Action::Rebind, Action::Detour { on: true }] {
        let mut script = sealed("delay=40ms").heal_at(20_000);
        for at_ms in (100..15_000).step_by(20) {
            script = script.at(at_ms, 0, send(100, 1));
        }
        let mut world = script.at(5_003, 0, change).at(10_003, 0, Action::Detour { on: false }).world();
        world.run_until(ms(20_000)).unwrap();
        assert_eq!(taken(&world).len(), 745);
        assert!(noted(&world, 1, "moved") > 0);
        // What was said last comes when all others do: nothing waits for the new path's proof.
        assert_eq!(longest_pause(&world), ms(20));
        world.finish().unwrap();
    }
}

// UC-SEAL-006, UC-SEAL-010, UC-SEAL-013, UC-SEAL-014
#[test]
fn whatever_somebody_on_the_path_does_every_word_arrives_once() {
    let mut script = sealed("delay=20ms drop=5%").heal_at(60_000);
    for at_ms in (100..50_000).step_by(100) {
        script = script.at(at_ms, 0, send(100, 1));
        script = script.at(at_ms + 31, 1, Action::Send { to: 0, message: MessagePlan::plain(60), count: 1 });
    }
    for at_ms in (110..50_000).step_by(50) {
        let node = (at_ms / 50 % 2) as usize;
        script = script.at(at_ms, node, Action::Meddle { count: 20, is_impostor: true });
    }
    let world = script.finish();
    assert_eq!(taken(&world).len(), 499);
    assert!(outcomes(&world).iter().all(|outcome| *outcome == Outcome::Arrived));
}

// UC-SEAL-011, UC-SEAL-012
#[test]
fn a_flood_of_strangers_keeps_nobody_out_who_brings_a_cookie_back() {
    let mut script = sealed("delay=20ms").heal_at(20_000);
    for at_ms in (0..5_000).step_by(10) {
        script = script.at(at_ms, 1, Action::Flood { count: 20 });
    }
    let world = script.at(2_000, 0, send(100, 5)).finish();
    assert_eq!(taken(&world).len(), 5);
    // A hello, the request for a cookie, the hello with it, the welcome, the words.
    assert_eq!(taken(&world)[4], ms(2_100));
}

// UC-CHAT-015, UC-CHAT-016, UC-CHAT-017, UC-CHAT-018
#[test]
fn words_outlive_a_program_that_is_killed_between_any_two_of_its_steps() {
    // Who is killed before what, and how often something is shown of four things that are said, the last into the kill.
    let cases = [
        (0, Moment::BeforeKeeping, 3),
        (0, Moment::BeforeShowing, 4),
        (1, Moment::BeforeRemembering, 5),
        (1, Moment::BeforeSending, 4),
    ];
    for (node, before, times) in cases {
        let mut script = Script::chatters("delay=20ms");
        for plan in &mut script.scenario.nodes {
            plan.is_sealed = true;
            plan.repeats = Some(RepeatsPlan { patience: None });
        }
        let script = script.at(1_000, 0, send(10, 3)).at(1_900, node, Action::Fall { before });
        let world = script.at(2_000, 0, send(10, 1)).finish();
        assert_eq!(world.coverage().count_of("fell"), 1, "{before:?}");
        assert_eq!(taken(&world).len(), times, "{before:?}");
    }
}

/// What sealing costs, for people to read: `cargo test --release --test simulation cost_of_sealing -- --ignored --nocapture`.
#[test]
#[ignore = "it measures time"]
fn cost_of_sealing() {
    for (name, scenario) in [("talk", swarm as fn(u64) -> Scenario), ("gathering", gathering)] {
        let mut took = [Duration::ZERO; 2];
        let mut datagrams = [0; 2];
        for seed in 0..200 {
            for (form, is_sealed) in [(0, false), (1, true)] {
                let mut scenario = scenario(seed);
                scenario.script.retain(|step| !matches!(step.action, Action::Meddle { .. }));
                scenario.nodes.iter_mut().for_each(|node| node.is_sealed = is_sealed);
                let began = super::campaign::wall_clock();
                let run = run(&scenario);
                took[form] += began.elapsed();
                datagrams[form] += run.datagrams;
                assert_eq!(run.violation, None, "{seed}");
            }
        }
        println!(
            "{name}: clear {:?} for {} datagrams, sealed {:?} for {}, times {:.2}",
            took[0],
            datagrams[0],
            took[1],
            datagrams[1],
            took[1].as_secs_f64() / took[0].as_secs_f64()
        );
    }
}
