//! What the machines promise, each as a short script on a virtual network.

use std::time::Duration;

use udpchat::arq::Outcome;
use udpchat::endpoint::EndpointConfig;
use udpchat::fault::LinkPlan;
use udpchat::sim::{Action, Fate, LinkOf, MessagePlan, NodeKind, NodePlan, Report, Scenario, Step, World};

/// Two nodes, one link plan for both directions, and a script.
pub struct Script {
    pub scenario: Scenario,
}

impl Script {
    pub fn talkers(plan: &str) -> Self {
        Self::new(NodeKind::Talker, plan, plan)
    }

    pub fn chatters(plan: &str) -> Self {
        Self::new(NodeKind::Chatter, plan, plan)
    }

    fn new(kind: NodeKind, up: &str, down: &str) -> Self {
        let node = NodePlan { kind, endpoint: EndpointConfig::default(), is_sealed: false, repeats: None };
        let link = |from, to, plan: &str| LinkOf { from, to, plan: plan.parse::<LinkPlan>().unwrap() };
        let scenario = Scenario {
            seed: 1,
            nodes: vec![node.clone(), node],
            links: vec![link(0, 1, up), link(1, 0, down)],
            script: Vec::new(),
            heal_at: ms(10_000),
            delay_after: ms(100),
            is_pinned: false,
        };
        Self { scenario }
    }

    fn seed(mut self, seed: u64) -> Self {
        self.scenario.seed = seed;
        self
    }

    pub fn at(mut self, at_ms: u64, node: usize, action: Action) -> Self {
        self.scenario.script.push(Step { at: ms(at_ms), node, action });
        self
    }

    pub fn heal_at(mut self, at_ms: u64) -> Self {
        self.scenario.heal_at = ms(at_ms);
        self
    }

    /// Runs to the end, with every checker watching.
    #[track_caller]
    pub fn finish(self) -> World {
        let mut world = self.world();
        if let Err(violation) = world.finish() {
            panic!("{violation}");
        }
        world
    }

    pub fn world(self) -> World {
        let mut world = World::new(self.scenario);
        world.keep_journal();
        world
    }
}

pub const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub const fn send(length: usize, count: u32) -> Action {
    Action::Send { to: 1, message: MessagePlan::plain(length), count }
}

/// When each message was taken at node 1.
pub fn taken(world: &World) -> Vec<Duration> {
    let journal = world.journal().iter();
    journal
        .filter(|(_, node, report)| {
            *node == 1 && matches!(report, Report::Delivered { .. } | Report::Shown { .. })
        })
        .map(|(at, ..)| *at)
        .collect()
}

/// What became of each message of node 0.
pub fn outcomes(world: &World) -> Vec<Outcome> {
    let journal = world.journal().iter();
    journal
        .filter_map(|(_, node, report)| match report {
            Report::Outcome { outcome, .. } if *node == 0 => Some(*outcome),
            _ => None,
        })
        .collect()
}

fn noted(world: &World, of: usize, word: &str) -> bool {
    let is_meant = |report: &Report| matches!(report, Report::Noted { what, .. } | Report::Told { what } if *what == word);
    world.journal().iter().any(|(_, node, report)| *node == of && is_meant(report))
}

#[test]
fn after_five_seconds_of_blackout_the_first_message_comes_within_one_probe() {
    let world = Script::talkers("delay=20ms blackout=2s+5s")
        .at(100, 0, send(10, 1))
        .at(2_100, 0, send(10, 3))
        .finish();
    let taken = taken(&world);
    assert_eq!(taken.len(), 4);
    // The cap of the probe interval, and the way.
    assert!(taken[1] >= ms(7_000) && taken[1] < ms(7_000 + 1_500 + 20), "{taken:?}");
}

#[test]
fn a_quarter_reordered_by_five_milliseconds_costs_few_needless_repetitions() {
    let world =
        Script::talkers("delay=25ms reorder=25%/5ms").at(100, 0, send(1_000, 2_000)).heal_at(20_000).finish();
    assert_eq!(taken(&world).len(), 2_000);
    let (sent, spurious) =
        (world.coverage().count_of("packet-sent"), world.coverage().count_of("spurious-loss"));
    assert!(spurious * 100 <= sent, "{spurious} of {sent} packets were repeated for nothing");
}

#[test]
fn a_transfer_goes_on_when_its_sender_gets_another_address() {
    let world =
        Script::talkers("delay=20ms").at(100, 0, send(500_000, 4)).at(300, 0, Action::Rebind).finish();
    assert_eq!(outcomes(&world), [Outcome::Arrived; 4]);
    assert!(noted(&world, 1, "moved"));
}

#[test]
fn two_sides_that_move_at_once_send_neither_more_than_it_may_get() {
    let script = Script::talkers("delay=100ms")
        .at(100, 0, send(100, 1))
        .at(100, 0, Action::Read { on: true })
        .at(600, 1, Action::Send { to: 0, message: MessagePlan::plain(100), count: 3 })
        .at(650, 1, Action::Rebind)
        .at(650, 0, Action::Rebind)
        .at(651, 0, send(100, 3));
    script.finish();
}

#[test]
fn a_partition_in_one_direction_ends_in_delivery_or_in_the_truth() {
    let cut = "delay=20ms blackout=1s+60s";
    for (up, down) in [(cut, "delay=20ms"), ("delay=20ms", cut)] {
        let world = Script::new(NodeKind::Talker, up, down)
            .at(100, 0, send(10, 1))
            .at(2_000, 0, send(10, 5))
            .heal_at(61_000)
            .finish();
        let outcomes = outcomes(&world);
        assert_eq!(outcomes.len(), 6);
        assert_eq!(outcomes[0], Outcome::Arrived);
        assert!(outcomes[1..].iter().all(|outcome| *outcome == Outcome::Unknown), "{outcomes:?}");
    }
}

#[test]
fn a_receiver_that_is_started_anew_is_found_and_what_was_under_way_is_unknown() {
    let world = Script::talkers("delay=20ms")
        .at(100, 0, send(2_000_000, 2))
        .at(150, 1, Action::Restart)
        .at(6_000, 0, send(10, 1))
        .finish();
    assert_eq!(outcomes(&world), [Outcome::Unknown, Outcome::NotSent, Outcome::Arrived]);
    assert!(noted(&world, 0, "replaced"));
}

#[test]
fn a_conversation_over_a_wretched_link_is_complete_in_order_and_said_once() {
    let plan = "delay=30ms drop=20% duplicate=10% reorder=10%/20ms corrupt=5%/2";
    let mut script = Script::chatters(plan).seed(7).heal_at(60_000);
    for number in 0..200 {
        let to = 1 - number as usize % 2;
        let say = Action::Send { to, message: MessagePlan::plain(40), count: 1 };
        script = script.at(100 + 50 * number, number as usize % 2, say);
    }
    // The checkers see to order and to nothing twice.
    let world = script.finish();
    let shown = world.journal().iter().filter(|(.., report)| matches!(report, Report::Shown { .. })).count();
    let is_delivered = |report: &Report| matches!(report, Report::Fate { fate: Fate::Delivered, .. });
    let delivered = world.journal().iter().filter(|(.., report)| is_delivered(report)).count();
    assert_eq!((shown, delivered), (200, 200));
}

#[test]
fn sixteen_mebibytes_cross_a_link_that_loses_one_in_twenty() {
    let script = Script::talkers("delay=20ms drop=5%").at(100, 0, send(16 * 1024 * 1024, 1)).heal_at(60_000);
    let world = script.finish();
    assert_eq!(outcomes(&world), [Outcome::Arrived]);
}

#[test]
fn two_peers_that_both_say_a_lot_do_not_wait_for_each_other_for_ever() {
    let mut script = Script::chatters("delay=10ms").heal_at(60_000);
    for node in &mut script.scenario.nodes {
        node.endpoint.connection.send_queue_messages = 40;
        node.endpoint.connection.limits.stream_messages = 8;
    }
    let say = |to| Action::Send { to, message: MessagePlan::plain(100), count: 300 };
    let world = script.at(100, 0, say(1)).at(100, 1, say(0)).at(500, 0, say(1)).at(500, 1, say(0)).finish();
    assert!(taken(&world).len() >= 300);
}

#[test]
fn a_round_trip_that_grows_sixtyfold_is_learned_and_not_drowned() {
    // Both sides talk all the time, so that each keeps hearing the other while none of its packets is acked in time.
    let mut script = Script::talkers("delay=5ms delay=300ms@3s..20s").heal_at(20_000);
    for at_ms in (100..20_000).step_by(10) {
        script = script.at(at_ms, 0, send(900, 4));
        script = script.at(at_ms, 1, Action::Send { to: 0, message: MessagePlan::plain(900), count: 4 });
    }
    let world = script.finish();
    let sent = world.node(0).endpoint().statistics().datagrams_sent;
    // Four messages each ten milliseconds make 8 000 packets, and as many acks.
    assert!(sent < 30_000, "{sent} datagrams");
}
