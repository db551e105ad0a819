//! Programs that hand what one member says to all others: the real relay, and who else does it, each as a process of its own.
//!
//! What is looked for is the server's processor time for each delivery, when one member talks as fast as it may.

mod mqtt;
mod nats;
mod server;
mod tcp_crowd;

#[path = "../../../../benches/relay/crowd.rs"]
#[expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "it is shared with the bench, where that is granted"
)]
#[allow(dead_code, reason = "the bench has more uses for it")]
mod crowd;

use std::env;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crowd::{Crowd, Plan};
use server::Server;
use tcp_crowd::Tongue;
use udpchat::io::clock::Clock;

use crate::table::{Column, Goal, Row, Table};

const COLUMNS: [Column; 4] = [
    Column { name: "CPU ns/delivery", decimals: 0 },
    Column { name: "deliveries/s", decimals: 0 },
    Column { name: "lines/s", decimals: 0 },
    Column { name: "server CPU s", decimals: 2 },
];

/// What the columns mean.
pub const LEGEND: &str = "one room, one member talks with at most 100 of its lines unheard or without a receipt, everybody hears it; \
     CPU: the server's, system calls included, by the system's ticks of 10 ms. udpchat: relay --memory --flood off, sealed, every \
     delivery acknowledged. nats-server: as it comes, plain, nothing acknowledged. mosquitto: no persistence, QoS 1 both ways, \
     plain, no limits on what is under way";

/// Everything in a line but what the protocols add.
const LINE_BYTES: usize = 100;

/// Every server that is there and asked for, and a notice for each that is not there.
pub fn measure(is_quick: bool, is_wanted: impl Fn(&str) -> bool) -> (Table, Vec<String>) {
    let (members, lines) = if is_quick { (100, 2_000) } else { (100, 20_000) };
    let mut notices = Vec::new();
    let mut rows = Vec::new();
    for server in ["udpchat", "NATS", "mosquitto"].into_iter().filter(|server| is_wanted(server)) {
        let attempt = match server {
            "udpchat" => udpchat(members, lines),
            "NATS" => tcp("nats-server", &mut nats::Nats, members, lines),
            _ => tcp("mosquitto", &mut mqtt::Mqtt::default(), members, lines),
        };
        match attempt {
            Ok((used, elapsed)) => rows.push(row(server, members * lines, lines, used, elapsed)),
            Err(error) => notices.push(format!("{server} is left out: {error}")),
        }
    }
    let mut table = Table {
        workload: "relay",
        title: format!("{members} members"),
        case: format!("{lines} lines of {LINE_BYTES} bytes from one of them"),
        columns: &COLUMNS,
        headline: 0,
        limit: None,
        rows,
        goals: Vec::new(),
    };
    let (ours, nats) = (table.value("udpchat", COLUMNS[0].name), table.value("NATS", COLUMNS[0].name));
    if let (Some(ours), Some(nats)) = (ours, nats) {
        table.goals = vec![Goal::at_most("CPU ns for each delivery, NATS's", ours, nats)];
    }
    (table, notices)
}

fn row(stack: &'static str, deliveries: usize, lines: usize, used: Duration, elapsed: Duration) -> Row {
    let (deliveries, seconds) = (deliveries as f64, elapsed.as_secs_f64());
    let values = [
        used.as_secs_f64() * 1e9 / deliveries,
        deliveries / seconds,
        lines as f64 / seconds,
        used.as_secs_f64(),
    ];
    Row { stack, values: values.map(Some).to_vec(), note: String::new() }
}

/// The server's processor time, and how long it took.
type Outcome = io::Result<(Duration, Duration)>;

fn udpchat(members: usize, lines: usize) -> Outcome {
    let program = env::current_exe()?.with_file_name("udpchat");
    if !program.exists() {
        return Err(io::Error::other(format!(
            "{} is not there; cargo build --release makes it",
            program.display()
        )));
    }
    let folder = folder("udpchat")?;
    // A crowd comes from one address.
    fs::write(folder.join("relay.toml"), "[limits]\nconnections = \"off\"\n")?;
    let (server, address) = Server::start_relay(&program, &folder)?;
    let plan = Plan { members, members_per_room: members, lines, history: false, sealed: true, pace: None };
    let mut crowd = Crowd::connect(address, plan);
    crowd.run_until(Crowd::is_seated);
    let clock = Clock::new();
    let before = server.used()?;
    crowd.talk();
    crowd.run_until(Crowd::has_heard_all);
    let outcome = (server.used()? - before, clock.now().instant.since(udpchat::time::Instant::ZERO));
    crowd.check();
    drop(server);
    fs::remove_dir_all(folder)?;
    Ok(outcome)
}

fn tcp(program: &str, tongue: &mut dyn Tongue, members: usize, lines: usize) -> Outcome {
    let folder = folder(program)?;
    let port = server::free_port()?;
    let server = Server::start(program, &tongue.arguments(port, &folder)?, port)?;
    let mut crowd = tcp_crowd::TcpCrowd::connect(port, members, tongue)?;
    let clock = Clock::new();
    let before = server.used()?;
    crowd.talk(lines, LINE_BYTES, tongue)?;
    let outcome = (server.used()? - before, clock.now().instant.since(udpchat::time::Instant::ZERO));
    drop(server);
    fs::remove_dir_all(folder)?;
    Ok(outcome)
}

/// A fresh one.
fn folder(name: &str) -> io::Result<PathBuf> {
    let folder = env::temp_dir().join(format!("versus-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
