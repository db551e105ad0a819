//! The campaign: random schedules on the shipped machines, every invariant watched.

use udpchat::sim::{World, run, shrink, swarm};

#[test]
fn first() {
    let start: u64 = std::env::var("UDPCHAT_SIM_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    let count: u64 = std::env::var("UDPCHAT_SIM_SCHEDULES").ok().and_then(|s| s.parse().ok()).unwrap_or(200);
    let mut broken = 0;
    let mut cover = udpchat::sim::Coverage::default();
    let mut simulated = std::time::Duration::ZERO;
    let began0 = std::time::Instant::now();
    for seed in start..start + count {
        let scenario = swarm(seed);
        let began = std::time::Instant::now();
        let run = run(&scenario);
        let wall = began.elapsed();
        cover.merge(&run.coverage);
        simulated += run.simulated;
        if wall.as_millis() > 1000 {
            println!("seed {seed} slow: {wall:?} {} datagrams", run.datagrams);
        }
        if let Some(violation) = run.violation {
            broken += 1;
            println!("seed {seed}: {violation}");
            if broken > 30 {
                break;
            }
        }
    }
    println!("broken {broken}; {simulated:?} in {:?}\n{cover}", began0.elapsed());
}

#[test]
fn one_seed() {
    let Some(seed) = std::env::var("UDPCHAT_SIM_ONE").ok().and_then(|s| s.parse().ok()) else { return };
    let scenario = swarm(seed);
    let Some(violation) = run(&scenario).violation else {
        println!("fine");
        return;
    };
    println!("{violation}");
    let small = shrink(&scenario, violation.invariant, 400, |s| run(s).violation.map(|v| v.invariant));
    println!("{}", run(&small).violation.unwrap());
    println!("{small}");
    let mut world = World::new(small);
    world.keep_journal();
    let _ = world.finish();
    for (at, node, report) in world.journal() {
        println!("{at:?} {node} {}", format!("{report:?}").chars().take(200).collect::<String>());
    }
}
