//! `udpchat listen`: prints what comes, for scripts.

use std::io::{self, IsTerminal};
use std::time::Duration;

use super::args::ListenArgs;
use super::exit::{Exit, Failure};
use super::identity::Identity;
use super::keeping::Keeping;
use super::station::{self, GOODBYE, Station, output_lost};
use crate::io::event_loop::{Handler, More};
use crate::io::local_ip::reachable_address;
use crate::io::signals::Signal;
use crate::peer::{Command, Event, Peer, PeerConfig};
use crate::time::{Instant, Now};
use crate::ui::json::JsonView;
use crate::ui::lines::LineView;
use crate::ui::model::Model;
use crate::ui::notice::Notice;
use crate::ui::style::Style;
use crate::ui::text::Limit;
use crate::ui::view::{Status, View};

/// How long to wait until the senders know that their messages arrived: several attempts at 20 % loss and one second of
/// round-trip time.
const LAST_RECEIPTS: Duration = Duration::from_secs(5);

/// Runs the command.
pub(super) fn run(flags: &ListenArgs) -> Result<Exit, Failure> {
    let mut notices = Vec::new();
    let mut identity = Identity::borrow(&flags.profile, flags.clear.clear, &mut notices)?;
    let socket = station::bind(&flags.bind)?;
    let address = socket.local_address();
    let reachable = reachable_address(address);
    // What comes beyond the count is refused, not taken and thrown away.
    let nick = flags.profile.nick.clone();
    let key = identity.key();
    let config = PeerConfig { nick, message_limit: flags.count, ..PeerConfig::default() };
    let mut keeping = Keeping::open(identity.folder(), &mut notices);
    let config = keeping.complete_config(identity.complete_config(config)?);
    let mut station = Station::new(socket, flags.trace.as_deref(), config)?;
    let (view, remaining) = (view(flags.json), flags.count);
    let model = identity.note_folder(Model::default());
    let mut listener = Listener { view, model, identity, keeping, remaining, ending: None };
    listener.model.tell(Notice::Ready { address, reachable, busy: None, talks: false, at_relay: false, key });
    notices.into_iter().for_each(|notice| listener.model.tell(notice));
    station.event_loop.run(&mut station.peer, &mut listener).map_err(Failure::failed)
}

/// The view without a keyboard.
pub(super) fn view(json: bool) -> Box<dyn View> {
    let style = |is_terminal: bool| {
        if is_terminal { Style::from_environment() } else { Style::PLAIN }
    };
    let (data, chatter) = (style(io::stdout().is_terminal()), style(io::stderr().is_terminal()));
    if json { Box::new(JsonView::new(chatter)) } else { Box::new(LineView::new(data, chatter, Limit::NONE)) }
}

struct Listener {
    view: Box<dyn View>,
    model: Model,
    identity: Identity,
    keeping: Keeping,
    /// Messages still to come, if they are counted.
    remaining: Option<u64>,
    ending: Option<Ending>,
}

#[derive(Clone, Copy)]
struct Ending {
    exit: Exit,
    deadline: Instant,
}

impl Listener {
    fn show(&mut self, now: Now, peer: &mut Peer) {
        while let Some(notice) = self.model.poll_notice() {
            self.view.show(&notice, now.wall);
        }
        self.view.flush(&Status::default());
        if self.view.failure().is_none() {
            self.keeping.write_shown(now, peer);
        }
    }

    fn end(&mut self, now: Now, peer: &mut Peer, exit: Exit, patience: Duration) {
        if self.ending.is_none() {
            // A peer that is shutting down already has nothing against it.
            let _ = peer.handle_command(now, Command::Shutdown);
            self.ending = Some(Ending { exit, deadline: now.instant + patience });
        }
    }
}

impl Handler<Peer> for Listener {
    type Outcome = Exit;

    fn handle_input(&mut self, _now: Now, _peer: &mut Peer) -> More {
        More::No
    }

    fn handle_signal(&mut self, now: Now, peer: &mut Peer, _signal: Signal) {
        match &mut self.ending {
            // Whoever asks twice does not want to wait.
            Some(ending) => *ending = Ending { exit: Exit::Interrupted, deadline: now.instant },
            None => self.end(now, peer, Exit::Interrupted, GOODBYE),
        }
    }

    fn handle_event(&mut self, now: Now, peer: &mut Peer, event: Event) {
        if let (Event::Message(_), Some(remaining)) = (&event, &mut self.remaining) {
            *remaining = remaining.saturating_sub(1);
            if *remaining == 0 {
                self.end(now, peer, Exit::Done, LAST_RECEIPTS);
            }
        }
        let is_much = self.keeping.count(&event);
        self.model.handle_event(event, now.wall);
        if is_much {
            self.show(now, peer);
        }
    }

    fn finish_turn(&mut self, now: Now, peer: &mut Peer) -> Option<Exit> {
        self.show(now, peer);
        if let Some(failure) = self.view.failure() {
            return Some(output_lost(now, peer, failure));
        }
        let over =
            self.ending.filter(|ending| peer.is_idle() || ending.deadline <= now.instant).map(|it| it.exit);
        self.identity.learn(peer);
        self.identity.write(now.instant, over.is_some());
        over
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.ending.map(|ending| ending.deadline).into_iter().chain(self.identity.poll_timeout()).min()
    }
}
