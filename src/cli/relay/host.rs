//! Whoever runs a relay in the loop: hands its jobs to the keeper and its records to the journal, and ends it in order.

use std::io::{self, IsTerminal};
use std::mem;
use std::time::Duration;

use log::Level;

use super::super::args::RelayArgs;
use super::super::exit::Exit;
use super::gate::Gate;
use super::settings::Settings;
use crate::io::event_loop::{Handler, More};
use crate::io::output::Output;
use crate::io::signals::Signal;
use crate::relay::{Command, Event, Record, What};
use crate::store::journal::{Journal, Told};
use crate::store::keeper::Keeper;
use crate::store::stretcher::Stretcher;
use crate::time::{Instant, Now};
use crate::ui::host::{Counters, Ready, is_fault, is_trouble, record_json, record_line};

/// How long the members may take to hear that the relay closes, and the disk to finish.
const DRAIN: Duration = Duration::from_secs(3);

/// Answers that are passed on in one turn: a batch of the keeper's.
const ANSWERS_PER_TURN: usize = 512;

/// Runs a relay.
pub(super) struct Host<'a> {
    flags: &'a RelayArgs,
    keeper: Keeper,
    stretcher: Stretcher,
    journal: Journal,
    stdout: Output,
    stderr: Output,
    /// As they were read last.
    settings: Settings,
    /// Whether it was started on a terminal: if that is gone when a hangup comes, it is the end of both.
    has_terminal: bool,
    /// The operator who closed the relay, if one did.
    closed_by: Option<String>,
    /// Why it ends.
    why: String,
    ending: Option<Ending>,
}

#[derive(Clone, Copy)]
struct Ending {
    exit: Exit,
    deadline: Instant,
}

impl<'a> Host<'a> {
    /// A host that shows what the flags say.
    pub(super) fn new(
        flags: &'a RelayArgs,
        settings: Settings,
        has_terminal: bool,
        (keeper, stretcher, journal): (Keeper, Stretcher, Journal),
    ) -> Self {
        Self {
            flags,
            keeper,
            stretcher,
            journal,
            stdout: Output::stdout(),
            stderr: Output::stderr(),
            settings,
            has_terminal,
            closed_by: None,
            why: String::new(),
            ending: None,
        }
    }

    /// Tells where the relay is.
    pub(super) fn begin(&mut self, now: Now, ready: &Ready<'_>) {
        if self.flags.json {
            self.stdout.push_line(&ready.json());
        } else {
            for line in ready.lines() {
                self.stdout.push_line(&line);
            }
        }
        let text = format!("listening on {}", ready.address);
        self.record(Record { at: now.wall, what: What::Relay { text } });
        self.flush();
    }

    /// Tells what was counted, and waits for the disk, unless somebody does not want to wait.
    pub(super) fn end(mut self, now: Now, gate: &Gate, exit: Exit) -> Exit {
        let counters = Counters {
            endpoint: gate.relay.endpoint().statistics(),
            dropped: gate.dropped().unwrap_or(0),
            unreadable: gate.relay.unreadable_messages(),
            passwords: gate.relay.password_statistics(),
        };
        if self.flags.json {
            self.stdout.push_line(&counters.json());
        } else {
            if gate.dropped().is_some() {
                self.stderr.push_line(&counters.dropped_line());
            }
            if log::log_enabled!(Level::Info) {
                self.stderr.push_line(&counters.line());
            }
        }
        let why = std::mem::take(&mut self.why);
        self.tell(now, if why.is_empty() { "ended".to_owned() } else { format!("ended: {why}") });
        self.flush();
        if !self.keeper.is_idle() {
            // The threads end with the program. What was not stored was not acknowledged.
            mem::forget((self.keeper, self.journal));
        }
        exit
    }

    /// A line of the log, for the file and for whoever looks on.
    fn record(&mut self, record: Record) {
        if let What::Action { by, action } = &record.what
            && action == "closes the relay"
        {
            self.closed_by = Some(by.clone());
        }
        self.show(&record);
        self.journal.write(record.at, record.to_string());
    }

    /// Something about the relay itself that whoever looks on must see.
    fn tell(&mut self, now: Now, text: String) {
        let record = Record { at: now.wall, what: What::Relay { text } };
        self.print(&record);
        self.journal.write(record.at, record.to_string());
    }

    fn show(&mut self, record: &Record) {
        let is_wanted = is_trouble(record) || is_fault(record) || log::log_enabled!(Level::Info);
        if self.flags.json || is_wanted {
            self.print(record);
        }
    }

    fn print(&mut self, record: &Record) {
        if self.flags.json {
            self.stdout.push_line(&record_json(record));
        } else {
            self.stderr.push_line(&record_line(record));
        }
    }

    fn flush(&mut self) {
        // A relay serves on when nobody looks on any more.
        self.stdout.flush();
        self.stderr.flush();
        self.journal.flush();
    }

    /// Passes on what the threads have to tell.
    fn fetch(&mut self, now: Now, gate: &mut Gate) -> More {
        while let Some(told) = self.journal.poll_told() {
            match told {
                Told::Tail { ticket, lines } => {
                    gate.relay.handle_command(now, Command::LogTail { ticket, lines });
                }
                Told::Trouble(text) => self.show(&Record { at: now.wall, what: What::Trouble { text } }),
            }
        }
        while let Some((ticket, outcome)) = self.stretcher.poll_outcome() {
            gate.relay.handle_command(now, Command::Stretched { ticket, outcome });
        }
        let mut more = More::Yes;
        for _ in 0..ANSWERS_PER_TURN {
            let Some(answer) = self.keeper.poll_answer() else {
                more = More::No;
                break;
            };
            gate.relay.handle_command(now, Command::Answer(answer));
        }
        gate.is_open = self.keeper.has_room();
        more
    }

    fn reload(&mut self, now: Now, gate: &mut Gate) {
        match Settings::read(self.flags) {
            Ok(settings) => {
                let text = settings.changes_from(&self.settings);
                gate.relay.handle_command(now, Command::Reconfigure(settings.limits.clone()));
                self.settings.limits = settings.limits;
                self.tell(now, text);
            }
            Err(error) => {
                let text = format!("settings stay as they were: {error}");
                self.record(Record { at: now.wall, what: What::Trouble { text } });
            }
        }
    }

    fn drain(&mut self, now: Now, exit: Exit, why: String) {
        if self.ending.is_none() {
            self.why = why;
        }
        self.ending.get_or_insert(Ending { exit, deadline: now.instant + DRAIN });
    }
}

impl Host<'_> {
    /// Whether the terminal that the relay was started on is gone: that, too, is told by SIGHUP.
    fn has_lost_terminal(&self) -> bool {
        self.has_terminal && !io::stdin().is_terminal() && !io::stderr().is_terminal()
    }
}

impl Handler<Gate> for Host<'_> {
    type Outcome = Exit;

    fn handle_input(&mut self, now: Now, gate: &mut Gate) -> More {
        self.fetch(now, gate)
    }

    fn handle_signal(&mut self, now: Now, gate: &mut Gate, signal: Signal) {
        let has_lost_terminal = self.has_lost_terminal();
        match (signal, &mut self.ending) {
            (Signal::Hangup, _) if !has_lost_terminal => self.reload(now, gate),
            (Signal::Resize, _) => {}
            // Whoever asks twice does not want to wait.
            (Signal::Interrupt, Some(ending)) => {
                *ending = Ending { exit: Exit::Interrupted, deadline: now.instant };
            }
            (Signal::Terminate, Some(ending)) => ending.deadline = now.instant,
            // A terminal that goes away says so more than once.
            (Signal::Hangup, Some(_)) => {}
            (Signal::Interrupt | Signal::Terminate | Signal::Hangup, None) => {
                let reason = "the relay was stopped".to_owned();
                gate.relay.handle_command(now, Command::Shutdown { reason });
                let why = match signal {
                    Signal::Interrupt => "interrupted (SIGINT)",
                    Signal::Hangup => "its terminal was closed (SIGHUP)",
                    _ => "stopped (SIGTERM)",
                };
                self.drain(now, Exit::Done, why.to_owned());
            }
        }
    }

    fn handle_event(&mut self, now: Now, gate: &mut Gate, event: Event) {
        match event {
            Event::Job(job) => {
                self.keeper.submit(job);
                // The memory has done it already, and a thread may have done others; the loop comes back for the rest.
                self.fetch(now, gate);
            }
            Event::Stretch { ticket, stretch } => self.stretcher.submit(ticket, stretch),
            Event::Log(record) => self.record(record),
            Event::LogWanted { ticket, lines } => self.journal.request_tail(ticket, lines),
            Event::ShuttingDown => {
                let by = self.closed_by.as_deref().unwrap_or("an operator");
                let why = format!("{by} closed it (/shutdown)");
                self.drain(now, Exit::Done, why);
            }
        }
    }

    fn finish_turn(&mut self, now: Now, gate: &mut Gate) -> Option<Exit> {
        self.flush();
        let ending = self.ending?;
        let is_over = gate.relay.is_idle() && self.keeper.is_idle();
        (is_over || ending.deadline <= now.instant).then_some(ending.exit)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.ending.map(|ending| ending.deadline)
    }
}
