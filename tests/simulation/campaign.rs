//! Random schedules, and the proof that they put to the test what they should.

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use udpchat::sim::{Coverage, Run, Scenario, Violation, World, run, run_twice, shrink, swarm};

/// Schedules in an ordinary test run: about a minute on two cores.
const SCHEDULES: u64 = 2_500;

/// Every so many schedules run twice, to be compared: a seed that does not repeat its run would show in any of them.
const TWICE_EVERY: u64 = 16;

/// How many runs making a failure smaller may take.
const SHRINK_TRIES: usize = 2_000;

/// What has to occur in a campaign: a checker that never saw a situation proves nothing about it.
const SOMETIMES: [&str; 88] = [
    // Faults.
    "drop",
    "burst",
    "outage",
    "delay",
    "jitter",
    "reorder",
    "duplicate",
    "corrupt",
    "truncate",
    "rate",
    "blackout",
    "rebind",
    "rebound",
    "restarted",
    "frozen",
    "garbage",
    "mutated",
    "replayed",
    "replayed-elsewhere",
    "flooded",
    "meddled",
    "detour",
    "no-detour",
    // What endpoints made of them.
    "packet",
    "duplicate-packet",
    "packet-lost",
    "spurious-loss",
    "hello",
    "welcome",
    "stale-handshake",
    "unknown-connection",
    "checksum-mismatch",
    "malformed",
    "refused",
    "refuse",
    "moved",
    "silent",
    "resumed",
    "replaced",
    "writable",
    "later-key",
    "bad-seal",
    "bad-handshake",
    "wrong-form",
    "wrong-key",
    "wrong-key-seen",
    "short-seal",
    "retry",
    "retry-heeded",
    "overload",
    // Work and what became of it.
    "submitted",
    "submitted-empty",
    "submitted-unordered",
    "would-block",
    "too-long",
    "no-such-stream",
    "too-many-connections",
    "taken",
    "gram-submitted",
    "gram-taken",
    "stops-reading",
    "reads-again",
    "outcome-arrived",
    "outcome-expired",
    "outcome-not-sent",
    "outcome-unknown",
    "outcome-too-long",
    "closed-by-us",
    "closed-by-peer",
    "closed-no-answer",
    "closed-silent",
    "closed-restarted",
    // Words.
    "said",
    "shown",
    "reply-shown",
    "echo-said",
    "echoed",
    "delivered",
    "failed",
    "unknown",
    "connected",
    // Words that are said again.
    "waiting",
    "written-down",
    "taken-off",
    "said-again",
    "kept",
    "fell",
    "unnoted",
];

#[derive(Default)]
struct Total {
    coverage: Coverage,
    simulated: Duration,
    busy: Duration,
    datagrams: u64,
    largest: (u64, u64),
    broken: Option<(u64, Violation)>,
}

#[test]
fn campaign() {
    let plan = Campaign {
        scenario: swarm,
        schedules: SCHEDULES,
        // A storm of repetitions keeps every invariant and would show nowhere else: the busiest schedules need 3 000.
        most_datagrams: 20_000,
        repeat: "one_seed",
    };
    plan.run(&SOMETIMES);
}

#[test]
fn one_seed() {
    run_one(swarm, "one_seed");
}

/// Random schedules of one kind.
#[derive(Clone, Copy)]
pub struct Campaign {
    pub scenario: fn(u64) -> Scenario,
    /// How many, unless the environment says otherwise.
    pub schedules: u64,
    /// More than any schedule needs.
    pub most_datagrams: u64,
    /// The test that repeats one of them.
    pub repeat: &'static str,
}

impl Campaign {
    /// Runs the schedules that the environment names. All of `sometimes` must occur.
    pub fn run(self, sometimes: &[&str]) {
        let start = number("UDPCHAT_SIM_START").unwrap_or(0);
        let count = number("UDPCHAT_SIM_SCHEDULES").unwrap_or(self.schedules);
        let began = wall_clock();
        let total = run_all(self, start, count);
        let wall = began.elapsed();
        let hours = total.simulated.as_secs_f64() / 3_600.0;
        println!(
            "{count} schedules from seed {start}: {hours:.0} simulated hours, {} datagrams, {:.1} s on the wall, \
         {:.1} simulated hours per CPU second; most datagrams: {} in seed {}",
            total.datagrams,
            wall.as_secs_f64(),
            hours / total.busy.as_secs_f64(),
            total.largest.0,
            total.largest.1,
        );
        println!("{}", total.coverage);
        if let Some((seed, violation)) = total.broken {
            explain(&(self.scenario)(seed), &violation, self.repeat);
            panic!("seed {seed}: {violation}");
        }
        let missing: Vec<&&str> =
            sometimes.iter().filter(|what| total.coverage.count_of(what) == 0).collect();
        assert!(
            total.largest.0 < self.most_datagrams,
            "{} datagrams in one schedule: {}",
            total.largest.0,
            command(total.largest.1, self.repeat)
        );
        assert!(count < self.schedules.min(1_000) || missing.is_empty(), "never occurred: {missing:?}");
    }
}

/// Runs the schedule whose seed the environment names, if it does.
pub fn run_one(scenario: fn(u64) -> Scenario, repeat: &str) {
    let Some(seed) = number("UDPCHAT_SIM_SEED") else { return };
    let scenario = scenario(seed);
    match run_twice(&scenario).violation {
        None => println!("seed {seed} keeps every invariant: {scenario}"),
        Some(violation) => {
            explain(&scenario, &violation, repeat);
            panic!("seed {seed}: {violation}");
        }
    }
}

/// Shares the schedules out over the cores; after the first broken one no new one is begun.
fn run_all(plan: Campaign, start: u64, count: u64) -> Total {
    let next = AtomicU64::new(start);
    let total = Mutex::new(Total::default());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= start + count || total.lock().unwrap().broken.is_some() {
                        return;
                    }
                    let began = wall_clock();
                    let (run, times) = run_seed(plan, seed);
                    total.lock().unwrap().add(seed, run, began.elapsed(), times);
                }
            });
        }
    });
    total.into_inner().unwrap()
}

/// A seed's run, and how often it was run. One that takes longer than any bound allows counts as a loop without end.
fn run_seed(plan: Campaign, seed: u64) -> (Run, u32) {
    let (sender, receiver) = mpsc::channel();
    let worker = thread::spawn(move || {
        let scenario = (plan.scenario)(seed);
        let result =
            if seed.is_multiple_of(TWICE_EVERY) { (run_twice(&scenario), 2) } else { (run(&scenario), 1) };
        // Nobody listens any more only if the watcher gave up.
        let _ = sender.send(result);
    });
    match receiver.recv_timeout(PATIENCE) {
        Ok(result) => {
            worker.join().unwrap();
            result
        }
        Err(_) => panic!("seed {seed} does not end; {}", command(seed, plan.repeat)),
    }
}

/// The slowest schedule takes two seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(120);

impl Total {
    fn add(&mut self, seed: u64, run: Run, busy: Duration, times: u32) {
        self.coverage.merge(&run.coverage);
        self.simulated += run.simulated * times;
        self.busy += busy;
        self.datagrams += run.datagrams * u64::from(times);
        self.largest = self.largest.max((run.datagrams, seed));
        if let Some(violation) = run.violation {
            self.broken = Some((seed, violation));
        }
    }
}

/// Makes the scenario as small as it gets and tells what happens in it.
fn explain(scenario: &Scenario, violation: &Violation, repeat: &str) {
    println!("{violation}\n{scenario}\nto repeat it: {}", command(scenario.seed, repeat));
    let small = shrink(scenario, violation.invariant, SHRINK_TRIES, |smaller| {
        run_twice(smaller).violation.map(|violation| violation.invariant)
    });
    println!("\nas small as it gets:\n{small}");
    let mut world = World::new(small);
    world.keep_journal();
    let result = world.finish();
    for (at, node, report) in world.journal() {
        let text: String = format!("{report:?}").chars().take(160).collect();
        println!("{at:>14?} {node} {text}");
    }
    if let Err(violation) = result {
        println!("{violation}");
    }
}

fn command(seed: u64, repeat: &str) -> String {
    format!("UDPCHAT_SIM_SEED={seed} cargo test --release --test simulation {repeat} -- --nocapture")
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[expect(clippy::disallowed_methods, reason = "how long a campaign takes is measured, never simulated")]
pub fn wall_clock() -> Instant {
    Instant::now()
}
