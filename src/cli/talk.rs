//! A conversation with anybody: what the user wants becomes commands to the peer.
//!
//! A line is carried out whole or handed back with the reason; none is dropped in between, and none goes to anybody but the
//! receiver that was shown.

mod again;
mod relay;
mod trust;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::attendee::Attendee;
use super::directory::{Directory, Obstacle};
use super::exit::Exit;
use super::identity::Identity;
use super::keeping::Keeping;
use super::station::{GOODBYE, output_lost};
use crate::io::event_loop::{Handler, More};
use crate::io::lines::{Lines, Next};
use crate::io::resolve::Target;
use crate::io::signals::Signal;
use crate::peer::{Command, CommandError, Destination, Event, Id, Peer};
use crate::time::{Instant, Now};
use crate::ui::filter;
use crate::ui::input::{self, Action};
use crate::ui::model::{Model, Sender};
use crate::ui::notice::{Notice, Presence};
use crate::ui::relay::RelayState;
use crate::ui::text;
use crate::ui::view::{Question, Status, Typed, View};

/// Lines taken in one turn: datagrams and deadlines wait no longer than this many take.
const LINES_PER_TURN: usize = 64;

/// Lines that may wait at the keyboard for one before them, such as one whose receiver's name is being looked up.
const MAX_WAITING_LINES: usize = 32;

/// How long a letter is held before that is shown.
const HELD_PAUSE: Duration = Duration::from_secs(1);

/// How long lines are read that can only fail: enough for what is in a pipe already.
const DRAIN: Duration = Duration::from_millis(500);

/// Letters of which it is not shown yet that they are held; more than a person writes in that time.
const MAX_HELD: usize = 256;

/// Where lines come from, and what shows what happens.
pub(super) struct Front {
    /// The lines of standard input, where the view has not the keyboard.
    pub(super) lines: Option<Lines>,
    /// What shows everything.
    pub(super) view: Box<dyn View>,
    /// Whether a person is at the other end of standard input.
    pub(super) has_person: bool,
}

/// The handler of the loop.
pub(super) struct Talk {
    front: Front,
    model: Model,
    directory: Directory,
    identity: Identity,
    keeping: Keeping,
    /// Messages that the run before this one left without a receipt, and that are not under way yet.
    left: VecDeque<again::Left>,
    /// Lines that were read and not carried out yet; only the first is being worked on.
    jobs: VecDeque<Action>,
    /// The first job waits for room in the peer.
    blocked: bool,
    input_ended: bool,
    /// A line from a pipe could not be carried out, which makes the whole run a failure.
    something_refused: bool,
    /// Another key than the known one answered, which says more than that nobody can tell what became of some words.
    is_mistrusting: bool,
    /// Who we are at a relay, if there is one.
    attendee: Option<Attendee>,
    /// The room that was spoken in before one that is being joined.
    spoke_in: Option<Destination>,
    /// What the user is to be asked for; the first one is being shown while `is_asking`.
    questions: VecDeque<Question>,
    is_asking: bool,
    /// Letters that the relay holds, until when that is not shown: most receivers are there, and have them in a moment.
    held: VecDeque<(Instant, Notice)>,
    /// The fault switch: every connection fails as soon as it is there.
    fails_connections: bool,
    /// It did its work: nothing that a relay says after it is believed, or shown.
    has_failed: bool,
    /// When a key that was accepted in another program is looked for.
    elsewhere: trust::Elsewhere,
    /// Until when lines are still read that can only fail: those that came through a pipe before it was known have an outcome.
    drains_until: Option<Instant>,
    ending: Option<Ending>,
}

#[derive(Clone, Copy, Debug)]
struct Ending {
    /// None: what became of the messages decides.
    exit: Option<Exit>,
    deadline: Instant,
}

impl Talk {
    /// Nobody has been talked to yet.
    pub(super) fn new(
        directory: Directory,
        front: Front,
        identity: Identity,
        keeping: Keeping,
        fails_connections: bool,
    ) -> Self {
        Self {
            front,
            model: identity.note_folder(Model::with_commands()),
            directory,
            identity,
            keeping,
            left: VecDeque::new(),
            jobs: VecDeque::new(),
            blocked: false,
            input_ended: false,
            something_refused: false,
            is_mistrusting: false,
            attendee: None,
            spoke_in: None,
            questions: VecDeque::new(),
            is_asking: false,
            held: VecDeque::new(),
            fails_connections,
            has_failed: false,
            elsewhere: trust::Elsewhere::default(),
            drains_until: None,
            ending: None,
        }
    }

    /// The first thing to show.
    pub(super) fn begin(&mut self, notice: Notice) {
        self.model.tell(notice);
    }

    /// Begins a conversation with a target that was looked up, and has plain lines go there.
    pub(super) fn open(
        &mut self,
        now: Now,
        peer: &mut Peer,
        target: &Target,
        addresses: Vec<SocketAddr>,
    ) -> Result<(), Obstacle> {
        let conversation = self.directory.open(now, peer, &mut self.model, target, addresses)?;
        self.model.choose_receiver(conversation);
        Ok(())
    }

    fn status(&self) -> Status {
        let receiver = self.model.receiver();
        let is_gone = |to: &Destination| self.model.presence(to.conversation()) == Some(Presence::Gone);
        let relay = self.model.relay();
        let is_lost = |to: &Destination| {
            relay.is_some_and(|state| state.is_lost() && state.conversation() == to.conversation())
        };
        let sender = |sender: &Sender| {
            let name = text::sender(&sender.party, !matches!(sender.to, Destination::Peer(_)));
            match &sender.to {
                Destination::Room { room, .. } => format!("{name} in {}", filter::nick(room)),
                _ => name,
            }
        };
        Status {
            receiver: receiver.map(|to| self.model.shown(to)),
            receiver_is_gone: receiver.is_some_and(is_gone),
            receiver_waits: receiver.is_some_and(is_lost),
            is_clear: self.identity.key().is_none(),
            has_relay: relay.is_some(),
            last_sender: self.model.last_sender().map(sender),
            question: self.questions.front().filter(|_| self.is_asking).cloned(),
        }
    }

    /// A pipe's line is read when the one before it was carried out. A person may always type, if only to interrupt.
    fn wants_line(&self) -> bool {
        let is_pipe = self.front.lines.is_some();
        let has_room =
            !is_pipe || self.jobs.is_empty() && (self.ending.is_none() || self.drains_until.is_some());
        has_room && !self.input_ended
    }

    fn next_typed(&mut self) -> Typed {
        let status = self.status();
        let Some(lines) = &mut self.front.lines else {
            return self.front.view.next_typed(&status);
        };
        match lines.next_line() {
            Next::Line(line) => Typed::Line(line),
            Next::Bad(error) => {
                self.refuse(&error.to_string());
                Typed::More
            }
            Next::Waiting => Typed::Nothing,
            Next::End => Typed::Closed,
        }
    }

    fn take_line(&mut self, now: Now, peer: &mut Peer, line: String) {
        // At a keyboard an empty line is a slip; in a file it is a line like any other.
        if line.is_empty() && self.front.has_person {
            return;
        }
        match input::parse(&line) {
            // A person who wants to leave does not mean after the name is looked up.
            Ok(Action::Quit) if self.front.has_person => self.end(now, peer, None),
            Ok(_) if self.jobs.len() >= MAX_WAITING_LINES => {
                self.refuse(&Obstacle::TooManyLines.to_string());
            }
            Ok(action) => self.jobs.push_back(action),
            Err(error) => {
                let mut words = error.to_string();
                if error.names_receiver() {
                    self.lose_receiver();
                    words.push_str(&self.still());
                }
                self.refuse(&words);
            }
        }
    }

    /// Carries out what waits, as far as it goes.
    fn work(&mut self, now: Now, peer: &mut Peer) {
        if self.ending.is_some() {
            self.fail_jobs();
        }
        self.directory.take_answers();
        self.learn_elsewhere(now, peer, !self.jobs.is_empty());
        if self.ending.is_none() && !self.say_left(now, peer) {
            return;
        }
        while !self.blocked
            && let Some(job) = self.jobs.pop_front()
        {
            match self.carry_out(now, peer, &job) {
                Ok(()) => {}
                Err(Obstacle::LookingUp | Obstacle::Joining) => return self.jobs.push_front(job),
                Err(Obstacle::Full) if self.front.lines.is_some() => {
                    self.blocked = true;
                    self.jobs.push_front(job);
                }
                Err(obstacle) => {
                    if matches!(job, Action::To { .. } | Action::Message { .. }) {
                        self.lose_receiver();
                    }
                    let still = if matches!(job, Action::To { .. }) { self.still() } else { String::new() };
                    self.refuse(&format!("{obstacle}{still}"));
                }
            }
        }
    }

    /// Why it ends was said already; words that were read from a pipe have an outcome all the same.
    fn fail_jobs(&mut self) {
        for job in std::mem::take(&mut self.jobs) {
            if let (Action::Say { text }, Some(to), false) =
                (job, self.model.receiver().cloned(), self.front.has_person)
            {
                self.model.not_sent(to, &text);
            }
        }
    }

    fn carry_out(&mut self, now: Now, peer: &mut Peer, action: &Action) -> Result<(), Obstacle> {
        match action {
            Action::Say { text } => {
                let to = self.receiver(now, peer)?;
                self.say(now, peer, to, text)
            }
            Action::Message { who, text } => {
                let to = self.destination(now, peer, who)?;
                // A word aside: the next line is for the room again.
                let is_aside = match (&to, self.model.receiver()) {
                    (Destination::Member { .. }, Some(_)) => true,
                    (Destination::Peer(_), Some(receiver)) => matches!(receiver, Destination::Room { .. }),
                    _ => false,
                };
                if !is_aside {
                    self.model.choose_receiver(to.clone());
                }
                self.say(now, peer, to, text)
            }
            Action::Reply { text } => {
                let nobody = Obstacle::Refused(CommandError::NothingToReplyTo);
                let to = self.model.last_sender().map(|sender| sender.to.clone()).ok_or(nobody)?;
                self.submit(now, peer, to, text, |_, text| Command::Reply { text })
            }
            Action::Echo { text } => {
                // Nobody at a relay returns anything but the relay itself.
                let to = self.receiver(now, peer)?.conversation();
                self.submit(now, peer, to.into(), text, |to, text| Command::Echo {
                    to: to.conversation(),
                    text,
                })
            }
            Action::To { who } => {
                let to = self.destination(now, peer, who)?;
                self.model.choose_receiver(to);
                Ok(())
            }
            Action::Nick { nick } => self.rename(now, peer, nick),
            Action::Close { who } => self.close(now, peer, who.as_deref()),
            Action::Who { room } => self.who(now, peer, room.as_deref()),
            Action::Relay(action) => self.act(now, peer, action),
            Action::Verify { who } => self.verify(peer, who.as_deref()),
            Action::Trust { who } => self.trust(now, peer, who),
            Action::Identity => self.tell_identity(peer),
            Action::Help => self.tell(Notice::Help),
            Action::Quit => {
                self.input_ended = true;
                Ok(())
            }
        }
    }

    /// Whom a plain line goes to. A name is looked up again for a conversation that ended.
    fn receiver(&mut self, now: Now, peer: &mut Peer) -> Result<Destination, Obstacle> {
        let receiver = self.model.receiver().ok_or(Obstacle::NoReceiver)?.clone();
        let Destination::Peer(conversation) = receiver else {
            return Ok(receiver);
        };
        let gone = self.model.presence(conversation) == Some(Presence::Gone);
        let Some(name) = self.directory.name_of(conversation).filter(|_| gone) else {
            return Ok(receiver);
        };
        let again = self.directory.find(now, peer, &mut self.model, &name.to_string())?;
        self.model.choose_receiver(again);
        Ok(again.into())
    }

    fn close(&mut self, now: Now, peer: &mut Peer, who: Option<&str>) -> Result<(), Obstacle> {
        let conversation = match who {
            Some(who) => self.directory.find_open(&self.model, who)?,
            None => match self.model.receiver().ok_or(Obstacle::NoReceiver)? {
                Destination::Peer(conversation) => *conversation,
                // Whoever closes what is before them does not mean the relay with all that is in it.
                Destination::Room { .. } => return self.part(now, peer, None, None),
                Destination::Member { .. } | Destination::Everyone { .. } => {
                    return Err(Obstacle::NothingToClose);
                }
            },
        };
        self.command(now, peer, Command::Close { conversation }).map(drop)
    }

    fn say(&mut self, now: Now, peer: &mut Peer, to: Destination, text: &str) -> Result<(), Obstacle> {
        if self.waits_for_room(&to) {
            return Err(Obstacle::Joining);
        }
        self.submit(now, peer, to, text, |to, text| Command::Say { to, text })
    }

    fn submit(
        &mut self,
        now: Now,
        peer: &mut Peer,
        to: Destination,
        text: &str,
        command: fn(Destination, String) -> Command,
    ) -> Result<(), Obstacle> {
        let command = command(to.clone(), text.to_owned());
        let is_echo = matches!(command, Command::Echo { .. });
        if let Id::Message(id) = self.command(now, peer, command)? {
            self.model.sent(id, to, text, is_echo);
        }
        Ok(())
    }

    fn tell(&mut self, notice: Notice) -> Result<(), Obstacle> {
        self.model.tell(notice);
        Ok(())
    }

    fn command(&mut self, now: Now, peer: &mut Peer, command: Command) -> Result<Id, Obstacle> {
        peer.handle_command(now, command).map_err(|error| match error {
            CommandError::WouldBlock => Obstacle::Full,
            CommandError::NoMember => self.no_relay(),
            error => Obstacle::Refused(error),
        })
    }

    /// Says why a line was not carried out. What was typed is in the history: put back into the editor, it would be in the way
    /// of the next line.
    fn refuse(&mut self, reason: &str) {
        let hint = if self.front.has_person { text::IN_HISTORY } else { "" };
        self.model.tell(Notice::Error(format!("{}{hint}", filter::shorten(reason, 400))));
        self.something_refused |= !self.front.has_person;
    }

    /// Who gets the lines although another receiver was wanted.
    fn still(&self) -> String {
        let receiver = self.model.receiver().map(|to| text::receiver(&self.model.shown(to)));
        receiver.map_or_else(String::new, |receiver| format!("; lines still go to {receiver}"))
    }

    /// Without a person to see the prompt, a receiver that could not be chosen must not leave the next lines to the one before.
    fn lose_receiver(&mut self) {
        if !self.front.has_person {
            self.model.forget_receiver();
        }
    }

    fn end(&mut self, now: Now, peer: &mut Peer, exit: Option<Exit>) {
        if let Some(ending) = &mut self.ending {
            // Whoever asks twice does not want to wait.
            *ending = Ending { exit: exit.or(ending.exit), deadline: now.instant };
            return;
        }
        // A peer that is shutting down already has nothing against it.
        let _ = peer.handle_command(now, Command::Shutdown);
        self.ending = Some(Ending { exit, deadline: now.instant + GOODBYE });
    }

    /// What was wanted cannot be had, and that ends the program.
    fn end_failed(&mut self, now: Now, peer: &mut Peer, exit: Exit) {
        if self.ending.is_none() {
            self.drains_until = self.front.lines.is_some().then_some(now.instant + DRAIN);
            self.end(now, peer, Some(exit));
        }
    }

    /// A pipe is done when everything that came through it has its outcome; a person is done when saying so.
    fn end_with_input(&mut self, now: Now, peer: &mut Peer) {
        // A letter that a relay keeps is in good hands, and may have no other outcome for days.
        let asked = self.model.relay().map_or(0, RelayState::pending);
        let open = self.model.pending() + self.model.pending_echoes() + asked;
        // Whoever only came to read gets what there is to read.
        let settled = self.jobs.is_empty() && self.left.is_empty() && open == 0 && peer.is_caught_up();
        if self.input_ended && settled && self.ending.is_none() {
            self.end(now, peer, None);
        }
    }

    /// Somebody who has no receiver yet most likely wants to answer the first who writes, but not with a half-typed line.
    fn adopt_receiver(&mut self) {
        if self.front.has_person && !self.front.view.is_typing() {
            self.model.adopt_receiver();
        }
    }

    /// A question comes when no line is half typed: what was meant for the room must not end up in it.
    fn begin_asking(&mut self) {
        self.is_asking = !self.questions.is_empty() && (self.is_asking || !self.front.view.is_typing());
    }

    fn show(&mut self, now: Now) {
        self.begin_asking();
        while let Some(notice) = self.model.poll_notice() {
            if let Some(notice) = self.set_aside(now, notice) {
                self.front.view.show(&notice, now.wall);
            }
        }
        while self.held.front().is_some_and(|(due, _)| *due <= now.instant) {
            if let Some((_, notice)) = self.held.pop_front() {
                self.front.view.show(&notice, now.wall);
            }
        }
        let status = self.status();
        self.front.view.flush(&status);
    }

    /// Keeps back what may be out of date in a moment.
    fn set_aside(&mut self, now: Now, notice: Notice) -> Option<Notice> {
        match &notice {
            Notice::Held { .. } if self.ending.is_none() && !self.front.view.is_for_programs() => {
                self.held.push_back((now.instant + HELD_PAUSE, notice));
                return (self.held.len() > MAX_HELD)
                    .then(|| self.held.pop_front())
                    .flatten()
                    .map(|(_, it)| it);
            }
            Notice::Delivered { message, .. }
            | Notice::Failed { message, .. }
            | Notice::Unknown { message }
            | Notice::Kept { message } => {
                self.held.retain(
                    |(_, held)| !matches!(held, Notice::Held { message: held } if held.id == message.id),
                );
            }
            _ => {}
        }
        Some(notice)
    }
}

impl Handler<Peer> for Talk {
    type Outcome = Exit;

    fn handle_input(&mut self, now: Now, peer: &mut Peer) -> More {
        self.work(now, peer);
        for _ in 0..LINES_PER_TURN {
            if !self.wants_line() {
                return More::No;
            }
            match self.next_typed() {
                Typed::Line(line) => {
                    self.take_line(now, peer, line);
                    self.work(now, peer);
                }
                Typed::Answer(answer) => self.answer(now, peer, answer),
                Typed::Nothing => return More::No,
                Typed::More => return More::Yes,
                Typed::Quit => {
                    self.end(now, peer, None);
                    return More::No;
                }
                Typed::Closed => {
                    self.input_ended = true;
                    if self.front.lines.is_none() {
                        self.end(now, peer, None);
                    }
                }
                Typed::Interrupt => {
                    self.end(now, peer, Some(Exit::Interrupted));
                    return More::No;
                }
            }
        }
        More::Yes
    }

    fn handle_signal(&mut self, now: Now, peer: &mut Peer, _signal: Signal) {
        self.end(now, peer, Some(Exit::Interrupted));
    }

    fn handle_resize(&mut self) {
        self.front.view.handle_resize();
    }

    fn handle_event(&mut self, now: Now, peer: &mut Peer, event: Event) {
        if matches!(event, Event::Writable { .. }) {
            self.blocked = false;
        }
        if self.has_failed && matches!(event, Event::Member { .. } | Event::Message(_)) {
            return;
        }
        let is_about_presence = matches!(
            event,
            Event::Connected { .. } | Event::Closed { .. } | Event::Member { .. } | Event::Key { .. }
        );
        let occasion = is_about_presence.then(|| event.clone());
        let is_much = self.keeping.count(&event);
        self.model.handle_event(event, now.wall);
        if is_much {
            self.show_and_remember(now, peer);
        }
        if let Some(occasion) = occasion {
            self.react(now, peer, &occasion);
        }
        self.adopt_receiver();
    }

    fn finish_turn(&mut self, now: Now, peer: &mut Peer) -> Option<Exit> {
        self.work(now, peer);
        self.adopt_receiver();
        self.end_with_input(now, peer);
        if self.ending.is_some() {
            // Nothing is kept back for a later that there may not be.
            self.held.iter_mut().for_each(|(due, _)| *due = now.instant);
        }
        self.show_and_remember(now, peer);
        if let Some(failure) = self.front.view.failure() {
            return Some(output_lost(now, peer, failure));
        }
        self.drains_until = self.drains_until.filter(|until| *until > now.instant && !self.input_ended);
        let is_done = peer.is_idle() && self.drains_until.is_none();
        let is_over = self.ending.filter(|ending| is_done || ending.deadline <= now.instant);
        if is_over.is_some() {
            self.keep_rest(now, peer);
        }
        self.remember(now, peer, is_over.is_some());
        self.identity.learn(peer);
        self.identity.write(now.instant, is_over.is_some());
        is_over.map(|ending| self.outcome(ending))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let ending = self.ending.map(|ending| ending.deadline);
        let writing = self.attendee.as_ref().and_then(Attendee::poll_timeout);
        let held = self.held.front().map(|(due, _)| *due);
        let known = self.identity.poll_timeout();
        let deadlines = [ending, writing, held, self.drains_until, known, self.elsewhere.poll_timeout()];
        deadlines.into_iter().flatten().min()
    }
}
