//! Attendees at a relay: random schedules, and what must come true in particular.

use std::time::Duration;

use udpchat::fault::LinkPlan;
use udpchat::sim::{
    Action, AttendeePlan, Deed, Fate, HallPlan, LinkOf, NodeKind, NodePlan, Place, Report, Scenario, Step,
    World, gathering,
};

use super::campaign::{Campaign, run_one};
use super::scenarios::ms;

/// Schedules in an ordinary test run: half a minute on two busy cores.
const SCHEDULES: u64 = 600;

/// What has to occur in a campaign: a checker that never saw a situation proves nothing about it.
const SOMETIMES: [&str; 54] = [
    // Faults.
    "drop",
    "burst",
    "outage",
    "jitter",
    "reorder",
    "duplicate",
    "corrupt",
    "truncate",
    "rate",
    "blackout",
    "rebound",
    "frozen",
    "replayed",
    "mutated",
    "flooded",
    "meddled",
    "detour",
    "later-key",
    "bad-seal",
    "bad-handshake",
    "wrong-form",
    "retry-heeded",
    "hall-killed",
    "attendee-killed",
    "disk-full",
    "trouble-logged",
    // Coming and going.
    "entered",
    "returned",
    "relay-lost",
    "silent",
    "resumed",
    "name-taken",
    "called",
    "not-entered",
    "joined",
    "not-joined",
    "parted",
    "left",
    "came",
    "went",
    "done",
    "not-done",
    // Words, and what became of them.
    "stored-line",
    "stored-letter",
    "stored-broadcast",
    "not-stored",
    "line-shown",
    "letter-shown",
    "relay-echoed",
    "held",
    "noted",
    "words-delivered",
    "words-failed",
    "words-unknown",
];

#[test]
fn relay_campaign() {
    let plan = Campaign {
        scenario: gathering,
        schedules: SCHEDULES,
        // The busiest of ten thousand needs a third of it.
        most_datagrams: 100_000,
        repeat: "relay_seed",
    };
    plan.run(&SOMETIMES);
}

#[test]
fn relay_seed() {
    run_one(gathering, "relay_seed");
}

/// A hall, attendees who are all in the first room, one link plan for each of them, and a script.
struct Script {
    scenario: Scenario,
}

impl Script {
    /// As many attendees as plans for their links; they come at once.
    fn new(plans: &[&str]) -> Self {
        let plan = |kind| NodePlan { kind, endpoint: Default::default(), is_sealed: false, repeats: None };
        let mut nodes =
            vec![NodePlan { endpoint: hall_endpoint(), ..plan(NodeKind::Hall(HallPlan::default())) }];
        let mut links = Vec::new();
        let mut script = Vec::new();
        for (index, text) in plans.iter().enumerate() {
            nodes.push(plan(NodeKind::Attendee(AttendeePlan::named(index, 1))));
            for (from, to) in [(index + 1, 0), (0, index + 1)] {
                links.push(LinkOf { from, to, plan: text.parse::<LinkPlan>().unwrap() });
            }
            script.push(Step { at: ms(10 * index as u64), node: index + 1, action: Action::Attend });
        }
        let scenario = Scenario {
            seed: 1,
            nodes,
            links,
            script,
            heal_at: ms(30_000),
            delay_after: ms(100),
            is_pinned: false,
        };
        Self { scenario }
    }

    fn at(mut self, at_ms: u64, node: usize, action: Action) -> Self {
        self.scenario.script.push(Step { at: ms(at_ms), node, action });
        self
    }

    fn attendee(mut self, node: usize, change: impl FnOnce(&mut AttendeePlan)) -> Self {
        if let NodeKind::Attendee(plan) = &mut self.scenario.nodes[node].kind {
            change(plan);
        }
        self
    }

    fn heal_at(mut self, at_ms: u64) -> Self {
        self.scenario.heal_at = ms(at_ms);
        self
    }

    /// Runs to the end, with every checker watching.
    #[track_caller]
    fn finish(self) -> Vec<(Duration, usize, Deed)> {
        let mut world = World::new(self.scenario);
        world.keep_journal();
        if let Err(violation) = world.finish() {
            panic!("{violation}");
        }
        let deeds = world.journal().iter().filter_map(|(at, node, report)| match report {
            Report::Deed(deed) => Some((*at, *node, deed.clone())),
            _ => None,
        });
        deeds.collect()
    }
}

fn hall_endpoint() -> udpchat::endpoint::EndpointConfig {
    udpchat::relay::RelayConfig::default().endpoint
}

const fn speak(to: Place, count: u32) -> Action {
    Action::Speak { to, length: 40, count }
}

fn count(deeds: &[(Duration, usize, Deed)], of: usize, is_meant: impl Fn(&Deed) -> bool) -> usize {
    deeds.iter().filter(|(_, node, deed)| *node == of && is_meant(deed)).count()
}

const fn is_delivered(deed: &Deed) -> bool {
    matches!(deed, Deed::Fate { fate: Fate::Delivered, .. })
}

const fn is_shown(deed: &Deed) -> bool {
    matches!(deed, Deed::Shown { .. })
}

#[test]
fn twenty_kills_in_the_middle_of_a_burst_lose_nothing_and_say_nothing_twice() {
    let mut script = Script::new(&["delay=5ms", "delay=20ms drop=5%@..60s", "delay=5ms"]).heal_at(60_000);
    for round in 0..20 {
        let at_ms = 1_000 + 2_900 * round;
        script = script
            .at(at_ms, 1, speak(Place::Room(0), 15))
            .at(at_ms + 7, 2, speak(Place::Room(0), 15))
            .at(at_ms + 11 + 3 * round, 0, Action::Kill { pause: ms(40 + 10 * round) });
    }
    // The checkers see to order, and to nothing twice.
    let deeds = script.finish();
    assert_eq!(count(&deeds, 1, is_delivered), 300);
    assert_eq!(count(&deeds, 2, is_delivered), 300);
    assert_eq!([1, 2, 3].map(|node| count(&deeds, node, is_shown)), [300, 300, 600]);
}

#[test]
fn a_slow_member_waits_for_itself_alone() {
    let mut script =
        Script::new(&["delay=5ms", "delay=5ms", "delay=50ms rate=64kbit/20kB@..60s"]).heal_at(60_000);
    for round in 0..100 {
        script =
            script.at(1_000 + 200 * round, 1, Action::Speak { to: Place::Room(0), length: 2_000, count: 5 });
    }
    let deeds = script.finish();
    assert_eq!([2, 3].map(|node| count(&deeds, node, is_shown)), [500, 500]);
    let last =
        |of| deeds.iter().filter(|(_, node, deed)| *node == of && is_shown(deed)).map(|(at, ..)| *at).max();
    assert!(last(2) < Some(ms(21_500)), "{:?}", last(2));
    assert!(last(3) > Some(ms(60_000)), "{:?}", last(3));
}

#[test]
fn whoever_was_cut_off_gets_what_was_said_meanwhile() {
    // So short that nothing is given up, and so long that both sides give up.
    for length in ["8s", "70s"] {
        let cut = format!("delay=20ms blackout=5s+{length}");
        let mut script = Script::new(&["delay=20ms", &cut]).heal_at(80_000);
        for round in 0..20 {
            script = script.at(4_000 + 500 * round, 1, speak(Place::Room(0), 1));
            script = script.at(4_100 + 500 * round, 2, speak(Place::Room(0), 1));
        }
        let deeds = script.finish();
        assert_eq!([1, 2].map(|node| count(&deeds, node, is_shown)), [20, 20], "{length}");
        assert_eq!([1, 2].map(|node| count(&deeds, node, is_delivered)), [20, 20], "{length}");
    }
}

#[test]
fn a_name_is_one_members_until_that_one_is_gone() {
    // The third in the list of names is carla, who goes; the second attendee wants to be called that too.
    let deeds = Script::new(&["delay=5ms", "delay=5ms", "delay=5ms"])
        .attendee(2, |plan| plan.name = 2)
        .at(5_000, 3, Action::Leave)
        .at(6_000, 1, Action::Rename { name: 2 })
        .at(8_000, 2, Action::Leave)
        .at(9_000, 1, Action::Rename { name: 2 })
        .finish();
    let called = |of: usize| -> Vec<String> {
        let names = deeds.iter().filter_map(|(_, node, deed)| match deed {
            Deed::Entered { nick, .. } | Deed::Called { nick } if *node == of => Some(nick.clone()),
            _ => None,
        });
        let mut names: Vec<String> = names.collect();
        names.dedup();
        names
    };
    assert_eq!(called(1), ["ana", "carla"]);
    assert_eq!(count(&deeds, 3, |deed| matches!(deed, Deed::Told { what: "name-taken" })), 1);
}

#[test]
fn letters_to_the_absent_outlive_the_relay_and_their_authors_are_told() {
    let deeds = Script::new(&["delay=5ms", "delay=5ms"])
        .at(2_000, 2, Action::Leave)
        .at(3_000, 1, speak(Place::Name(1), 5))
        .at(4_000, 0, Action::Kill { pause: ms(500) })
        .at(12_000, 1, speak(Place::Name(1), 2))
        .at(15_000, 0, Action::Kill { pause: ms(500) })
        .at(25_000, 2, Action::Attend)
        .finish();
    assert_eq!(count(&deeds, 1, |deed| matches!(deed, Deed::Held { .. })), 7);
    assert_eq!(count(&deeds, 2, is_shown), 7);
    assert_eq!(count(&deeds, 1, is_delivered), 7);
}

#[test]
fn a_receipt_that_the_disk_could_not_take_reaches_its_author_when_there_is_room() {
    let deeds = Script::new(&["delay=5ms", "delay=200ms"])
        .at(2_000, 1, speak(Place::Name(1), 1))
        .at(2_150, 0, Action::Full { length: ms(10_000) })
        .finish();
    assert_eq!((count(&deeds, 2, is_shown), count(&deeds, 1, is_delivered)), (1, 1));
}

#[test]
fn what_could_not_be_read_is_read_when_the_disk_works_again() {
    let deeds = Script::new(&["delay=5ms", "delay=5ms"])
        .at(2_000, 2, Action::Leave)
        .at(3_000, 1, speak(Place::Room(0), 20))
        .at(4_000, 1, Action::Leave)
        .at(6_000, 1, Action::Attend)
        .at(8_000, 2, Action::Attend)
        .at(8_040, 0, Action::Full { length: ms(5_000) })
        .finish();
    assert_eq!(count(&deeds, 2, is_shown), 20);
}

#[test]
fn a_relay_that_looks_for_a_silent_member_does_not_keep_its_next_program_waiting() {
    // Its goodbye is lost, and the relay has something for it: so the relay's endpoint calls, and the next program answers.
    let deeds = Script::new(&["delay=5ms", "delay=5ms blackout=2s+3s"])
        .at(2_100, 2, Action::Leave)
        .at(2_200, 1, speak(Place::Room(0), 1))
        .at(4_000, 2, Action::Kill { pause: ms(10) })
        .at(20_000, 2, Action::Attend)
        .finish();
    assert_eq!(count(&deeds, 2, is_shown), 1);
}

#[test]
fn a_room_that_is_left_and_joined_in_one_breath_is_joined() {
    let deeds = Script::new(&["delay=100ms", "delay=100ms"])
        .at(2_000, 1, Action::Part { room: 0 })
        .at(2_001, 1, Action::Join { room: 0 })
        .at(2_002, 1, Action::Part { room: 0 })
        .at(2_003, 1, Action::Join { room: 0 })
        // The other one leaves before it knows that it is in.
        .at(700, 2, Action::Part { room: 0 })
        .at(5_000, 1, speak(Place::Room(0), 1))
        .finish();
    assert_eq!([1, 2].map(|node| count(&deeds, node, |deed| matches!(deed, Deed::Joined { .. }))), [3, 1]);
    assert_eq!(count(&deeds, 2, is_shown), 0);
}

#[test]
fn a_line_that_was_stored_and_is_refused_when_it_is_said_again_has_not_failed() {
    // The receipt is lost with the relay, and the room is left meanwhile.
    let deeds = Script::new(&["delay=5ms", "delay=5ms"])
        .at(2_000, 1, speak(Place::Room(0), 1))
        .at(2_008, 0, Action::Freeze { length: ms(200) })
        .at(2_100, 0, Action::Kill { pause: ms(200) })
        .at(2_050, 1, Action::Part { room: 0 })
        .finish();
    assert_eq!(count(&deeds, 1, |deed| matches!(deed, Deed::Fate { fate: Fate::Failed(_), .. })), 0);
}

#[test]
fn a_name_that_is_asked_for_again_stays_taken_when_the_disk_is_full() {
    let deeds = Script::new(&["delay=5ms", "delay=5ms"])
        .at(2_000, 0, Action::Full { length: ms(2_000) })
        .at(3_000, 1, Action::Rename { name: 8 })
        .at(5_000, 2, Action::Rename { name: 0 })
        .finish();
    assert_eq!([1, 2].map(|node| count(&deeds, node, |deed| matches!(deed, Deed::Called { .. }))), [0, 0]);
}

#[test]
fn whoever_wants_little_of_the_past_misses_nothing_of_what_comes_after_it() {
    // The room is joined, and the earlier lines, longer than the news of it, are lost with the relay; then more is said than
    // was asked for.
    let mut script = Script::new(&["delay=5ms", "delay=50ms rate=200kbit/100kB@..8s"])
        .attendee(2, |plan| plan.history = Some(5))
        .at(1_000, 2, Action::Leave)
        .at(2_000, 1, Action::Speak { to: Place::Room(0), length: 30_000, count: 5 })
        .at(5_000, 2, Action::Attend)
        .at(5_500, 0, Action::Kill { pause: ms(300) });
    for round in 0..10 {
        script = script.at(6_000 + 100 * round, 1, speak(Place::Room(0), 1));
    }
    let deeds = script.finish();
    assert!(count(&deeds, 2, is_shown) >= 10);
}

#[test]
fn what_is_said_while_the_relay_looks_for_the_newest_lines_is_not_one_of_them() {
    let mut script = Script::new(&["delay=5ms", "delay=5ms"])
        .attendee(2, |plan| plan.history = Some(1))
        .at(1_000, 2, Action::Leave)
        .at(2_000, 1, speak(Place::Room(0), 3))
        .at(5_000, 2, Action::Attend);
    // All the time while it comes in.
    for at_ms in 5_000..5_300 {
        script = script.at(at_ms, 1, speak(Place::Room(0), 1));
    }
    script.finish();
}
