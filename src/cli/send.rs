//! `udpchat send`: sends a text or the lines of standard input, and tells exactly what was acknowledged.

use std::net::SocketAddr;
use std::time::Duration;

use super::args::SendArgs;
use super::complain;
use super::counts::Counts;
use super::directory::named;
use super::exit::{Exit, Failure};
use super::identity::Identity;
use super::station::{self, GOODBYE, Station};
use crate::io::bind_error::BindError;
use crate::io::event_loop::{Handler, More};
use crate::io::lines::{Lines, Next};
use crate::io::output::Output;
use crate::io::resolve::Target;
use crate::io::signals::Signal;
use crate::io::socket::{Socket, wildcard_for};
use crate::peer::{
    CloseReason, Command, CommandError, ConversationId, Event, FailReason, Id, KeyNews, Peer, PeerConfig,
};
use crate::time::{Instant, Now, WallTime};
use crate::ui::filter;
use crate::ui::model::{Model, Tally};
use crate::ui::notice::Notice;
use crate::ui::text::{self, Limit};

/// Lines taken in one turn: datagrams and deadlines wait no longer than this many take.
const LINES_PER_TURN: usize = 256;

/// After a failure the rest of the input is counted, for the sentence that tells what was not sent. A file is counted by
/// then; a pipe that is still open is not waited for.
const COUNTING: Duration = Duration::from_millis(500);

/// Runs the command.
pub(super) fn run(flags: &SendArgs) -> Result<Exit, Failure> {
    if flags.clear.clear {
        station::check_no_key([&flags.to])?;
    }
    let mut notices = Vec::new();
    let mut identity = Identity::borrow(&flags.profile, flags.clear.clear, &mut notices)?;
    notices.iter().for_each(complain_of);
    let addresses = station::look_up(&flags.to)?;
    let socket = bind_for(&addresses).map_err(Failure::failed)?;
    let reach = socket.reach();
    let addresses: Vec<SocketAddr> =
        addresses.into_iter().filter(|&address| reach.includes(address)).collect();
    if addresses.is_empty() {
        return Err(unreachable(&flags.to));
    }
    let nick = flags.profile.nick.clone();
    let config =
        PeerConfig { nick, connect_timeout: flags.timeout, remembers: false, ..PeerConfig::default() };
    let config = identity.complete_config(config)?;
    let mut station = Station::new(socket, flags.trace.as_deref(), config)?;
    let now = station.clock.now();
    let opened = station
        .peer
        .handle_command(now, Command::Open { addresses, named: named(&flags.to) })
        .map_err(Failure::failed)?;
    let Id::Conversation(conversation) = opened else {
        return Err(Failure::failed("the peer opened nothing"));
    };
    let source = if flags.text == "-" {
        Source::Lines(Lines::new(station::read_stdin(&station.event_loop)?))
    } else {
        Source::Text(Some(flags.text.clone()))
    };
    let mut sender = Sender::new(source, conversation, identity, flags.timeout, now.instant);
    let exit = station.event_loop.run(&mut station.peer, &mut sender).map_err(Failure::failed)?;
    // Where the trace goes there is no room for anything else.
    let stdout_is_taken = flags.trace.as_deref() == Some("-");
    Ok(sender.report(exit, stdout_is_taken))
}

/// Says on standard error what a person must know; it has no sentence of its own at the end.
fn complain_of(notice: &Notice) {
    text::describe(notice, WallTime::default(), Limit::NONE).iter().for_each(|line| complain(&line.text));
}

fn bind_for(addresses: &[SocketAddr]) -> Result<Socket, BindError> {
    let wildcard = wildcard_for(addresses);
    Socket::bind(wildcard).or_else(|error| {
        // A machine without IPv6 still reaches the name's other addresses.
        if wildcard.is_ipv6() { Socket::bind(wildcard_for(&[])) } else { Err(error) }
    })
}

fn unreachable(target: &Target) -> Failure {
    if target.port() == 0 {
        Failure::usage(format!(
            "nobody listens on port 0; name the port of {target} that the other side printed"
        ))
    } else {
        Failure::failed(format!("this machine has no way to {target}"))
    }
}

enum Source {
    Text(Option<String>),
    Lines(Lines),
}

impl Source {
    fn next(&mut self) -> Next {
        match self {
            Self::Text(text) => text.take().map_or(Next::End, Next::Line),
            Self::Lines(lines) => lines.next_line(),
        }
    }
}

struct Sender {
    source: Source,
    conversation: ConversationId,
    model: Model,
    identity: Identity,
    /// A line that the peer had no room for.
    held: Option<String>,
    blocked: bool,
    input_ended: bool,
    /// Lines that were read, whatever became of them.
    read: u64,
    /// Lines that were read and cannot be messages.
    unfit: u64,
    /// Why it failed, in the other side's words or ours.
    trouble: Option<String>,
    saw_wrong_key: bool,
    patience: Patience,
    phase: Phase,
}

enum Phase {
    Sending,
    /// It failed; the rest of the input is counted.
    Counting {
        exit: Exit,
        deadline: Instant,
    },
    /// All is acknowledged; the goodbye is on its way.
    Leaving {
        deadline: Instant,
    },
}

/// The longest time without progress.
struct Patience {
    timeout: Duration,
    progress: u64,
    since: Instant,
}

impl Patience {
    /// Looks whether there was progress; with nothing to wait for, no time passes.
    fn observe(&mut self, progress: u64, waiting: bool, now: Instant) {
        if !waiting || progress != self.progress {
            self.progress = progress;
            self.since = now;
        }
    }

    fn deadline(&self) -> Instant {
        self.since + self.timeout
    }
}

impl Sender {
    fn new(
        source: Source,
        conversation: ConversationId,
        identity: Identity,
        timeout: Duration,
        now: Instant,
    ) -> Self {
        Self {
            source,
            conversation,
            model: identity.note_folder(Model::default()),
            identity,
            held: None,
            blocked: false,
            input_ended: false,
            read: 0,
            unfit: 0,
            trouble: None,
            saw_wrong_key: false,
            patience: Patience { timeout, progress: 0, since: now },
            phase: Phase::Sending,
        }
    }

    fn send_lines(&mut self, now: Now, peer: &mut Peer) -> More {
        for _ in 0..LINES_PER_TURN {
            if self.blocked || self.input_ended {
                return More::No;
            }
            let text = match self.held.take() {
                Some(text) => text,
                None => match self.next_line() {
                    Next::Line(text) => text,
                    Next::Waiting => return More::No,
                    Next::Bad(_) | Next::End => continue,
                },
            };
            self.say(now, peer, text);
        }
        More::Yes
    }

    /// The next line; one that cannot be a message is complained about here.
    fn next_line(&mut self) -> Next {
        let next = self.source.next();
        match &next {
            Next::Line(_) => self.read += 1,
            Next::Bad(error) => {
                self.read += 1;
                self.unfit += 1;
                complain(&error.to_string());
            }
            Next::End => self.input_ended = true,
            Next::Waiting => {}
        }
        next
    }

    fn say(&mut self, now: Now, peer: &mut Peer, text: String) {
        let command = Command::Say { to: self.conversation.into(), text: text.clone() };
        match peer.handle_command(now, command) {
            Ok(Id::Message(id)) => self.model.sent(id, self.conversation.into(), &text, false),
            Ok(Id::Conversation(_) | Id::None) => {}
            Err(CommandError::WouldBlock) => {
                self.held = Some(text);
                self.blocked = true;
            }
            Err(error) => {
                self.unfit += 1;
                complain(&format!("message {} was not sent: {error}", self.read));
            }
        }
    }

    fn fail(&mut self, now: Now, peer: &mut Peer, exit: Exit, trouble: String) {
        if matches!(self.phase, Phase::Sending) {
            self.trouble.get_or_insert(trouble);
            self.phase = Phase::Counting { exit, deadline: now.instant + COUNTING };
            // It has nothing to refuse. Every message gets its outcome, and the other side, if it is there, a goodbye.
            let _ = peer.handle_command(now, Command::GiveUp);
        }
    }

    fn count_rest(&mut self) -> More {
        for _ in 0..LINES_PER_TURN {
            match self.source.next() {
                Next::Line(_) | Next::Bad(_) => self.read += 1,
                Next::Waiting => return More::No,
                Next::End => {
                    self.input_ended = true;
                    return More::No;
                }
            }
        }
        More::Yes
    }

    fn finish_sending(&mut self, now: Now, peer: &mut Peer) -> Option<Exit> {
        let waiting = peer.pending_messages() > 0;
        self.patience.observe(peer.progress(), waiting, now.instant);
        if self.input_ended && self.held.is_none() && !waiting {
            // It has nothing left to do, so it cannot object.
            let _ = peer.handle_command(now, Command::Shutdown);
            self.phase = Phase::Leaving { deadline: now.instant + GOODBYE };
        } else if waiting && self.patience.deadline() <= now.instant {
            // Who answers with another key is no silence.
            let exit = if self.saw_wrong_key { Exit::Failed } else { Exit::NoAnswer };
            self.fail(now, peer, exit, format!("no answer for {:?}", self.patience.timeout));
        }
        None
    }

    fn next_phase(&mut self, now: Now, peer: &mut Peer) -> Option<Exit> {
        match self.phase {
            Phase::Sending => self.finish_sending(now, peer),
            Phase::Counting { exit, deadline } => {
                if !self.input_ended && now.instant < deadline {
                    return None;
                }
                Some(exit)
            }
            Phase::Leaving { deadline } => (peer.is_idle() || deadline <= now.instant).then_some(Exit::Done),
        }
    }

    /// Prints what became of everything, and has the last word on the exit code.
    fn report(&self, exit: Exit, stdout_is_taken: bool) -> Exit {
        let counts = self.counts();
        // A receiver that has everything and leaves before the input has ended owes nothing.
        let is_complete = counts.all_counted && counts.total > 0 && counts.delivered == counts.total;
        let exit = match exit {
            Exit::NoAnswer if is_complete => Exit::Done,
            Exit::Done => Exit::of(self.model.tally(), self.unfit > 0),
            other => other,
        };
        let trouble = self.trouble.as_deref().filter(|_| exit != Exit::Done);
        let sentence = counts.sentence(trouble);
        if exit == Exit::Done {
            let mut output = if stdout_is_taken { Output::stderr() } else { Output::stdout() };
            output.push_line(&sentence);
            output.flush();
        } else {
            complain(&sentence);
        }
        exit
    }

    fn counts(&self) -> Counts {
        let Tally { delivered, refused, unknown, .. } = self.model.tally();
        let unsent = self.read.saturating_sub(delivered + refused + unknown);
        Counts { total: self.read, all_counted: self.input_ended, delivered, refused, unknown, unsent }
    }
}

impl Handler<Peer> for Sender {
    type Outcome = Exit;

    fn handle_input(&mut self, now: Now, peer: &mut Peer) -> More {
        match self.phase {
            Phase::Sending => self.send_lines(now, peer),
            Phase::Counting { .. } => self.count_rest(),
            Phase::Leaving { .. } => More::No,
        }
    }

    fn handle_signal(&mut self, now: Now, peer: &mut Peer, _signal: Signal) {
        self.fail(now, peer, Exit::Interrupted, "interrupted".to_owned());
    }

    fn handle_event(&mut self, now: Now, peer: &mut Peer, event: Event) {
        match &event {
            Event::Connected { address, .. } => {
                log::info!("{address} answered");
                self.patience.since = now.instant;
            }
            Event::Key { news: KeyNews::Changed { .. }, .. } => self.saw_wrong_key = true,
            Event::Writable { .. } => self.blocked = false,
            Event::Closed { reason: reason @ CloseReason::WrongKey { .. }, .. } => {
                self.fail(now, peer, Exit::Failed, reason.to_string());
            }
            Event::Closed { reason, .. } => {
                let reason = filter::shorten(&reason.to_string(), 250);
                self.fail(now, peer, Exit::NoAnswer, reason);
            }
            Event::Failed { reason: FailReason::Refused { words }, .. } => {
                self.trouble.get_or_insert(filter::shorten(words, 120));
            }
            Event::Unknown { .. } => {
                self.trouble.get_or_insert("the connection died before they were confirmed".to_owned());
            }
            _ => {}
        }
        self.model.handle_event(event, now.wall);
    }

    fn finish_turn(&mut self, now: Now, peer: &mut Peer) -> Option<Exit> {
        // Nothing is shown as it goes but what is to be known of keys; the report at the end says the rest.
        while let Some(notice) = self.model.poll_notice() {
            if matches!(notice, Notice::Key { .. }) {
                complain_of(&notice);
            }
        }
        let exit = self.next_phase(now, peer);
        self.identity.learn(peer);
        self.identity.write(now.instant, exit.is_some());
        exit
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Sending => self.patience.deadline(),
            Phase::Counting { deadline, .. } | Phase::Leaving { deadline } => deadline,
        };
        self.identity.poll_timeout().into_iter().chain([phase]).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_only_while_something_is_awaited() {
        let at = |seconds: u64| Instant::ZERO + Duration::from_secs(seconds);
        let mut patience = Patience { timeout: Duration::from_secs(10), progress: 0, since: at(0) };
        patience.observe(0, false, at(5));
        assert_eq!(patience.deadline(), at(15));
        patience.observe(0, true, at(9));
        assert_eq!(patience.deadline(), at(15));
        patience.observe(1, true, at(12));
        assert_eq!(patience.deadline(), at(22));
    }
}
