//! `udpchat relay`: reads the settings, opens the folder and the socket, and lets [`host::Host`] run the relay.

mod flags;
mod folder;
mod gate;
mod host;
mod settings;

pub use flags::{FaultSwitch, FloodLimit};

use std::io::{self, IsTerminal};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use mio::Waker;

use super::args::RelayArgs;
use super::exit::{Exit, Failure};
use super::identity::protection;
use super::station;
use crate::io::clock::Clock;
use crate::io::entropy;
use crate::io::event_loop::EventLoop;
use crate::io::interfaces::reachable_addresses;
use crate::io::output::Output;
use crate::io::socket::{MAX_SEGMENTS, Socket};
use crate::ledger::{Foundation, MemoryLedger};
use crate::relay::{Faults, Relay, RelayConfig};
use crate::secure::{KeyPair, StretchCost};
use crate::store::database::Database;
use crate::store::identity::key_pair;
use crate::store::journal::Journal;
use crate::store::keeper::Keeper;
use crate::store::stretcher::Stretcher;
use crate::ui::host::Ready;
use gate::Gate;
use host::Host;
use settings::Settings;

/// Where a relay listens unless it is told otherwise.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 6100);

/// What `--memory` remembers of the rooms: about a million short lines.
const MEMORY_BYTES: usize = 256 * 1024 * 1024;

/// Runs the command.
pub(super) fn run(flags: &RelayArgs) -> Result<Exit, Failure> {
    if flags.example_config {
        let mut stdout = Output::stdout();
        stdout.push(settings::EXAMPLE);
        stdout.flush();
        return Ok(Exit::Done);
    }
    let settings = Settings::read(flags).map_err(Failure::usage)?;
    let socket = match &settings.bind {
        Some(target) => station::bind(target)?,
        None => Socket::bind(DEFAULT_ADDRESS).map_err(Failure::failed)?,
    };
    let address = socket.local_address();
    let data = settings.data.clone().map_or_else(folder::default_folder, Ok).map_err(Failure::failed)?;
    folder::make(&data).map_err(Failure::failed)?;
    let has_new_key = !flags.clear.clear && !crate::store::holds_keys(&data);
    let keys = if flags.clear.clear { None } else { Some(Arc::new(keys(&data)?)) };
    let key = keys.as_ref().map(|keys| keys.public());
    let trace = flags.trace.as_deref().map(station::open_trace).transpose()?;
    let clock = Clock::new();
    let mut event_loop = EventLoop::new(socket, clock, trace).map_err(Failure::failed)?;
    event_loop.gather();

    let (keeper, foundation) = open_ledger(&data, settings.in_memory, &event_loop)?;
    let stretcher = Stretcher::begin(StretchCost::KEPT, wake(event_loop.waker()))
        .map_err(|error| Failure::failed(format!("no thread for passwords: {error}")))?;
    let fresh = entropy::secret().map_err(Failure::failed)?;
    let admin_secret = folder::admin_secret(&data, &fresh).map_err(Failure::failed)?;
    let logs = data.join("logs");
    let journal = Journal::open(&logs, wake(event_loop.waker()))
        .map_err(|error| Failure::failed(format!("the log cannot be kept in {}: {error}", logs.display())))?;

    let mut config = RelayConfig {
        local_port: address.port(),
        admin_secret: Some(admin_secret),
        limits: settings.limits.clone(),
        faults: faults(flags),
        ..RelayConfig::default()
    };
    config.endpoint.max_connections = config.limits.most_connections();
    config.endpoint.protection = protection(keys)?;
    config.endpoint.connection.max_segments = MAX_SEGMENTS;
    let seed = entropy::seed().map_err(Failure::failed)?;
    let now = clock.now();
    let mut gate = Gate::new(Relay::new(config, foundation, seed, now), loss_ppm(flags), seed);
    let has_terminal = io::stdin().is_terminal() || io::stderr().is_terminal();
    let in_memory = settings.in_memory;
    let mut host = Host::new(flags, settings, has_terminal, (keeper, stretcher, journal));
    let switches: Vec<String> = flags.faults.iter().map(ToString::to_string).collect();
    let ready = Ready {
        address,
        faults: &switches,
        reachable: &reachable_addresses(address),
        key,
        has_new_key,
        in_memory,
        has_terminal,
        data: &data,
        logs: &logs,
        admin_secret: &data.join(folder::ADMIN_SECRET),
    };
    host.begin(now, &ready);
    let exit = event_loop.run(&mut gate, &mut host).map_err(Failure::failed)?;
    Ok(host.end(clock.now(), &gate, exit))
}

fn open_ledger(
    data: &Path,
    in_memory: bool,
    event_loop: &EventLoop,
) -> Result<(Keeper, Foundation), Failure> {
    if in_memory {
        let log_id = format!("{:016x}", entropy::seed().map_err(Failure::failed)?);
        let ledger = MemoryLedger::new(log_id, MEMORY_BYTES);
        let foundation = ledger.foundation();
        return Ok((Keeper::in_memory(ledger), foundation));
    }
    let (database, foundation) = Database::open(data).map_err(Failure::failed)?;
    let keeper = Keeper::on_disk(database, wake(event_loop.waker()));
    let keeper = keeper.map_err(|error| Failure::failed(format!("no thread for the disk: {error}")))?;
    Ok((keeper, foundation))
}

/// Who the relay is: the same with and without --memory, since its members know it by this.
fn keys(data: &Path) -> Result<KeyPair, Failure> {
    let seed = entropy::key_seed().map_err(Failure::failed)?;
    key_pair(data, seed).map_err(Failure::failed)
}

fn wake(waker: Arc<Waker>) -> impl Fn() + Send + 'static {
    move || {
        // A loop that is over needs no turn.
        let _ = waker.wake();
    }
}

fn faults(flags: &RelayArgs) -> Faults {
    Faults {
        connect: flags.faults.contains(&FaultSwitch::Connect),
        send: flags.faults.contains(&FaultSwitch::Send),
    }
}

fn loss_ppm(flags: &RelayArgs) -> u32 {
    let losses = flags.faults.iter().filter_map(|fault| match fault {
        FaultSwitch::Receive(ppm) => Some(*ppm),
        FaultSwitch::Connect | FaultSwitch::Send => None,
    });
    losses.max().unwrap_or(0)
}
