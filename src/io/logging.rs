//! Where the log goes: standard error, or, while a line is being edited on the same terminal, through the view that owns it.
//!
//! The log is for whoever looks for a fault. What a user needs to know is told by the front end, whatever the level.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};

/// More than a screen; what is logged faster than it is shown is counted instead.
const MAX_HELD_LINES: usize = 500;

static LOGGER: Logger =
    Logger { held: Mutex::new(Held { lines: VecDeque::new(), holds: false, dropped: 0 }) };

struct Logger {
    held: Mutex<Held>,
}

struct Held {
    lines: VecDeque<String>,
    holds: bool,
    dropped: u64,
}

/// Begins to log what is at least as important as `level`. Only the first call counts.
pub fn start(level: LevelFilter) {
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(level);
    }
}

/// Keeps lines for [`take_lines`] from now on, or writes them to standard error at once.
pub fn hold(holds: bool) {
    LOGGER.held().holds = holds;
}

/// The lines that were logged since the last call.
pub fn take_lines() -> Vec<String> {
    let mut held = LOGGER.held();
    let mut lines: Vec<String> = held.lines.drain(..).collect();
    let dropped = std::mem::take(&mut held.dropped);
    if dropped > 0 {
        lines.push(format!("({dropped} more lines of the log were dropped)"));
    }
    lines
}

impl Logger {
    fn held(&self) -> MutexGuard<'_, Held> {
        // A panic while a line was added leaves nothing half done that matters.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Crates below us have their own ideas of what is worth a line.
        metadata.target().starts_with("udpchat") || metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = record.level().as_str().to_lowercase();
        // What is logged may quote the network, and the log may be read on a terminal.
        let visible = |character: char| {
            if character.is_control() { '\u{fffd}' } else { character }
        };
        let words: String = record.args().to_string().chars().map(visible).collect();
        let line = match record.level() {
            // Read by users, too, to whom the name of a module says nothing.
            Level::Error => format!("{level}: {words}"),
            _ => format!("{level} {}: {words}", record.target()),
        };
        let mut held = self.held();
        if !held.holds {
            // A log that cannot be written is no reason to stop.
            let _ = writeln!(io::stderr().lock(), "{line}");
        } else if held.lines.len() < MAX_HELD_LINES {
            held.lines.push_back(line);
        } else {
            held.dropped += 1;
        }
    }

    fn flush(&self) {}
}
