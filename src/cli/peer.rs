//! `udpchat peer`: binds, chooses the front end, and lets [`Talk`] talk.

use std::io::{self, IsTerminal};
use std::time::Duration;

use super::args::{PeerArgs, PeerFault};
use super::attendee::{self, Attendee};
use super::directory::{Directory, Obstacle};
use super::exit::{Exit, Failure};
use super::identity::{self, Identity};
use super::keeping::Keeping;
use super::listen;
use super::station::{self, DEFAULT_ADDRESS, DEFAULT_PORTS, Station};
use super::talk::{Front, Talk};
use crate::io::event_loop::EventLoop;
use crate::io::lines::Lines;
use crate::io::local_ip::reachable_address;
use crate::io::socket::Socket;
use crate::peer::{Command, PeerConfig};
use crate::ui::notice::Notice;
use crate::ui::style::Style;
use crate::ui::terminal::{self, Terminal};

/// How long to say hello to somebody who does not answer: as long as `send` waits, and about what a person waits.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the command.
pub(super) fn run(flags: &PeerArgs) -> Result<Exit, Failure> {
    let uses_terminal = !flags.json && !flags.plain && terminal::is_usable();
    if uses_terminal && flags.trace.as_deref() == Some("-") {
        return Err(Failure::usage("--trace - would tear the screen; name a file, or add --plain"));
    }
    if flags.fault.is_some() && flags.relay.is_none() && flags.to.is_none() {
        return Err(Failure::usage(
            "--fault connect needs somebody to connect to: add --relay ADDR or --to ADDR",
        ));
    }
    if flags.clear.clear {
        station::check_no_key(flags.to.iter().chain(&flags.relay))?;
    }
    let mut notices = Vec::new();
    let nick = match (&flags.nick, &flags.relay) {
        (None, Some(_)) => Some(attendee::ask_for_nick()?),
        (nick, _) => nick.clone(),
    };
    let profile = identity::open_profile(flags.data.as_deref(), nick.as_deref(), &mut notices)?;
    // By the name that it took: others know the key of the one before under the other name, and would be warned of this one.
    let nick = nick.map(|nick| profile.as_ref().map_or(nick, |profile| profile.name().to_owned()));
    let kept = profile.as_ref().map(|profile| profile.identity().clone());
    let mut identity = Identity::new(kept, flags.clear.clear)?;
    let mut keeping = Keeping::open_all(identity.folder(), &mut notices);
    // In use until the end, at a relay or not.
    let (attendee, _profile) = match (&flags.relay, nick.clone()) {
        (Some(relay), Some(nick)) => (Some(Attendee::prepare(flags, relay, nick, profile)?), None),
        _ => (None, profile),
    };
    let (socket, busy) = bind(flags)?;
    let address = socket.local_address();
    let (reachable, at_relay) = (reachable_address(address), flags.relay.is_some());
    let key = identity.key();
    notices.insert(0, Notice::Ready { address, reachable, busy, talks: true, at_relay, key });
    let reach = socket.reach();
    let first_receivers = flags.to.as_ref().map(station::look_up).transpose()?;
    let relay_addresses = flags.relay.as_ref().map(station::look_up).transpose()?;
    let seen_letters = attendee.as_ref().map_or(Ok(Vec::new()), Attendee::seen_letters)?;
    let has_person = uses_terminal || io::stdin().is_terminal();
    let repeats = Some(keeping.repeats((!has_person).then_some(attendee::PIPE_PATIENCE)));
    let connect_timeout = CONNECT_TIMEOUT;
    let config = PeerConfig { connect_timeout, seen_letters, repeats, ..PeerConfig::default() };
    let config = keeping.complete_config(identity.complete_config(config)?);
    let mut station = Station::new(socket, flags.trace.as_deref(), config)?;
    let now = station.clock.now();
    if let Some(nick) = nick {
        let command = Command::Rename { nick };
        station
            .peer
            .handle_command(now, command)
            .map_err(|error| Failure::usage(format!("--nick: {error}")))?;
    }
    let directory = Directory::new(station.event_loop.waker(), reach);
    let front = input_and_view(flags, uses_terminal, &station.event_loop)?;
    let mut talk = Talk::new(directory, front, identity, keeping, flags.fault == Some(PeerFault::Connect));
    notices.into_iter().for_each(|notice| talk.begin(notice));
    talk.take_left();
    if let (Some(target), Some(addresses)) = (&flags.to, first_receivers) {
        talk.open(now, &mut station.peer, target, addresses).map_err(failure)?;
    }
    if let (Some(attendee), Some(addresses)) = (attendee, relay_addresses) {
        talk.attend(now, &mut station.peer, attendee, addresses).map_err(failure)?;
    }
    let exit = station.event_loop.run(&mut station.peer, &mut talk).map_err(Failure::failed)?;
    Ok(talk.say_last_words(exit))
}

fn failure(obstacle: Obstacle) -> Failure {
    match obstacle {
        Obstacle::NoPort => Failure::usage(obstacle),
        obstacle => Failure::failed(obstacle),
    }
}

/// Binds, and tells which port was busy if it had to be another one.
fn bind(flags: &PeerArgs) -> Result<(Socket, Option<u16>), Failure> {
    if let Some(target) = &flags.bind {
        return Ok((station::bind(target)?, None));
    }
    let socket = Socket::bind_first_free(DEFAULT_ADDRESS, DEFAULT_PORTS).map_err(Failure::failed)?;
    let moved = socket.local_address().port() != DEFAULT_ADDRESS.port();
    Ok((socket, moved.then_some(DEFAULT_ADDRESS.port())))
}

fn input_and_view(flags: &PeerArgs, uses_terminal: bool, event_loop: &EventLoop) -> Result<Front, Failure> {
    let input = station::read_stdin(event_loop)?;
    if uses_terminal {
        let terminal = Terminal::start(Style::from_environment(), input);
        let terminal =
            terminal.map_err(|error| Failure::failed(format!("the terminal cannot be used: {error}")))?;
        return Ok(Front { lines: None, view: Box::new(terminal), has_person: true });
    }
    Ok(Front {
        lines: Some(Lines::new(input)),
        view: listen::view(flags.json),
        has_person: io::stdin().is_terminal(),
    })
}
