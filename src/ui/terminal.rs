//! The terminal: one line at the bottom that is being typed, and above it everything that happens, in order.
//!
//! Output is only ever appended, on the normal screen, so that scrolling back and screen readers work. The typed line takes one
//! row and never wraps; whatever is printed goes above it in the same write, so it is never torn. However the program ends, the
//! terminal is as it was before: see [`restore`].

use std::io::{self, IsTerminal, Write};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::terminal;
use tui_input::InputRequest;

use super::editor::{Editor, Window};
use super::filter;
use super::keys::{Key, Keys};
use super::notice::Notice;
use super::style::{Style, Tone, is_dumb_terminal};
use super::text::{self, Limit};
use super::view::{Status, Typed, View};
use crate::io::logging;
use crate::io::output::Output;
use crate::io::stdin::{Chunks, Piece};
use crate::time::WallTime;

/// Keys that are taken before others have a turn: more than anybody types, less than a pasted file.
const KEYS_PER_TURN: usize = 1_000;

/// What a terminal without a size is taken for.
const USUAL_COLUMNS: usize = 80;

/// Narrower than this, there is no room for a prompt with a name.
const NARROW_COLUMNS: usize = 24;

/// Where the further rows of a long line begin: under its words, after the time.
const INDENT_COLUMNS: usize = 9;

const ENTER_PASTE_MODE: &str = "\x1b[?2004h";
const LEAVE_PASTE_MODE: &str = "\x1b[?2004l";
const CLEAR_ROW: &str = "\r\x1b[2K";
const CLEAR_SCREEN: &str = "\x1b[2J\x1b[H";

/// Whether the terminal is in raw mode because of us.
static IS_RAW: AtomicBool = AtomicBool::new(false);

/// Whether standard input and output are a terminal that a line can be edited on.
pub fn is_usable() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal() && !is_dumb_terminal()
}

/// Puts the terminal back into the mode it was in. Does nothing the second time, so it may be called on every way out.
pub fn restore() {
    if IS_RAW.swap(false, Ordering::SeqCst) {
        let mut stdout = io::stdout().lock();
        // The terminal may be gone, and then there is nothing to put back.
        let _ = write!(stdout, "{CLEAR_ROW}{LEAVE_PASTE_MODE}").and_then(|()| stdout.flush());
        let _ = terminal::disable_raw_mode();
        logging::hold(false);
    }
}

/// The view of a terminal.
#[derive(Debug)]
pub struct Terminal {
    output: Output,
    style: Style,
    input: Chunks,
    keys: Keys,
    editor: Editor,
    columns: usize,
    /// What is printed above the typed line with the next flush.
    above: String,
    /// Whether the typed line looks different from what is on the screen.
    changed: bool,
    shown: Status,
    /// Whom `/reply` answered when it was begun to be typed; None while no reply is being typed.
    reply_to: Option<Option<String>>,
    /// What is being typed to answer a question; never shown, and never in the history.
    secret: Editor,
}

impl Terminal {
    /// Takes the terminal over, whose keys come as `input`.
    pub fn start(style: Style, input: Chunks) -> io::Result<Self> {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore();
            previous(info);
        }));
        let mut terminal = Self {
            output: Output::stdout(),
            style,
            input,
            keys: Keys::default(),
            editor: Editor::default(),
            columns: USUAL_COLUMNS,
            above: String::new(),
            changed: true,
            shown: Status::default(),
            reply_to: None,
            secret: Editor::default(),
        };
        terminal.enter()?;
        Ok(terminal)
    }

    fn enter(&mut self) -> io::Result<()> {
        terminal::enable_raw_mode()?;
        IS_RAW.store(true, Ordering::SeqCst);
        if io::stderr().is_terminal() {
            logging::hold(true);
        }
        self.output.push(ENTER_PASTE_MODE);
        self.measure();
        Ok(())
    }

    fn measure(&mut self) {
        let columns = terminal::size().map_or(0, |(columns, _)| usize::from(columns));
        self.columns = if columns == 0 { USUAL_COLUMNS } else { columns };
        self.changed = true;
    }

    fn print(&mut self, tone: Tone, text: &str) {
        let indent = if self.columns < USUAL_COLUMNS / 2 { 2 } else { INDENT_COLUMNS };
        for row in filter::wrap(text, self.columns, indent) {
            self.above.push_str(&self.style.paint(tone, &row));
            self.above.push_str("\r\n");
        }
    }

    fn draw(&mut self) {
        let (prompt, room) = self.prompt();
        let window = if self.shown.question.is_some() { self.stars(room) } else { self.editor.window(room) };
        let prompt_columns = self.columns.saturating_sub(room);
        self.output.push(CLEAR_ROW);
        self.output.push(&self.above);
        self.output.push(&self.style.paint(Tone::Dim, &prompt));
        self.output.push(&window.text);
        let column = prompt_columns + window.cursor;
        self.output.push("\r");
        if column > 0 {
            self.output.push(&format!("\x1b[{column}C"));
        }
        self.above.clear();
        self.changed = false;
    }

    /// What stands before the typed line, and how many columns it leaves.
    fn prompt(&self) -> (String, usize) {
        use unicode_width::UnicodeWidthStr;

        let words = match (&self.shown.question, &self.reply_to) {
            (Some(question), _) => text::question(question),
            (None, Some(sender)) => text::reply_prompt(sender.as_deref()),
            (None, None) => text::prompt(&self.shown),
        };
        let prompt = if self.columns < NARROW_COLUMNS {
            "> ".to_owned()
        } else {
            format!("{}> ", filter::shorten(&words, self.columns / 2))
        };
        let room = self.columns.saturating_sub(prompt.width());
        (prompt, room)
    }

    /// A star for each character of a secret, as far as there is room.
    fn stars(&self, columns: usize) -> Window {
        let count = self.secret.text().chars().count().min(columns.saturating_sub(1));
        Window { text: "*".repeat(count), cursor: count }
    }

    /// A key while something secret is asked for. The cursor stays at the end: nobody edits what cannot be seen.
    fn handle_secret_key(&mut self, key: Key) -> Option<Typed> {
        self.changed = true;
        match key {
            Key::Enter => {
                let answer = std::mem::take(&mut self.secret).take();
                return Some(Typed::Answer((!answer.is_empty()).then_some(answer)));
            }
            Key::Control('c' | 'd') => {
                self.secret = Editor::default();
                return Some(Typed::Answer(None));
            }
            Key::Text(character) => self.secret.edit(InputRequest::InsertChar(character)),
            Key::Paste(text) => self.secret.insert(&text),
            Key::Backspace => self.secret.edit(InputRequest::DeletePrevChar),
            Key::Control('u' | 'w') | Key::BackspaceWord => self.secret = Editor::default(),
            Key::Control('l') => self.output.push(CLEAR_SCREEN),
            _ => {}
        }
        None
    }

    fn handle_key(&mut self, key: Key, status: &Status) -> Option<Typed> {
        self.changed = true;
        match key {
            Key::Enter => return self.enter_line(status),
            Key::AltEnter => self.editor.insert("\n"),
            Key::Control(letter) => return self.handle_control(letter),
            Key::Paste(text) => self.editor.insert(&text),
            Key::PasteTooLong => self.print(Tone::Bad, text::PASTE_TOO_LONG),
            Key::Up => self.editor.older(),
            Key::Down => self.editor.newer(),
            key => {
                if let Some(request) = edit_request(&key) {
                    self.editor.edit(request);
                }
            }
        }
        None
    }

    fn handle_control(&mut self, letter: char) -> Option<Typed> {
        match letter {
            'c' if self.editor.is_empty() => return Some(Typed::Interrupt),
            // The line is not lost: it is in the history.
            'c' => drop(self.editor.take()),
            'd' if self.editor.is_empty() => return Some(Typed::Quit),
            'l' => self.output.push(CLEAR_SCREEN),
            'p' => self.editor.older(),
            'n' => self.editor.newer(),
            'z' => self.suspend(),
            _ => {
                if let Some(request) = control_request(letter) {
                    self.editor.edit(request);
                }
            }
        }
        None
    }

    fn enter_line(&mut self, status: &Status) -> Option<Typed> {
        if let Some(sender) = self.reply_to.as_ref()
            && *sender != status.last_sender
        {
            let words = text::reply_moved(status.last_sender.as_deref());
            self.print(Tone::Doubt, &filter::visible(&words));
            self.reply_to = Some(status.last_sender.clone());
            return None;
        }
        let line = self.editor.take();
        (!line.is_empty()).then_some(Typed::Line(line))
    }

    /// Notes whom a reply is meant for at the moment when it becomes one.
    fn watch_reply(&mut self, status: &Status) {
        if !is_reply(self.editor.text()) {
            self.reply_to = None;
        } else if self.reply_to.is_none() {
            self.reply_to = Some(status.last_sender.clone());
        }
    }

    #[cfg(unix)]
    fn suspend(&mut self) {
        restore();
        if let Err(error) = signal_hook::low_level::raise(signal_hook::consts::SIGTSTP) {
            log::warn!("the program cannot be stopped: {error}");
        }
        // From here on somebody brought us back to the foreground.
        if let Err(error) = self.enter() {
            log::error!("the terminal cannot be taken over again: {error}");
        }
    }

    #[cfg(not(unix))]
    fn suspend(&mut self) {}
}

impl View for Terminal {
    fn show(&mut self, notice: &Notice, at: WallTime) {
        for line in text::describe(notice, at, Limit::SCREEN) {
            self.print(line.tone, &line.text);
        }
    }

    fn flush(&mut self, status: &Status) {
        for line in logging::take_lines() {
            self.print(Tone::Dim, &filter::visible(&line));
        }
        if self.shown != *status {
            self.shown = status.clone();
            self.changed = true;
        }
        if self.changed || !self.above.is_empty() {
            self.draw();
        }
        self.output.flush();
    }

    fn failure(&self) -> Option<&std::io::Error> {
        self.output.failure()
    }

    fn next_typed(&mut self, status: &Status) -> Typed {
        for _ in 0..KEYS_PER_TURN {
            let Some(key) = self.keys.next_key() else {
                match self.input.next_piece() {
                    Piece::Bytes(bytes) => self.keys.push(&bytes),
                    Piece::Waiting => return Typed::Nothing,
                    Piece::Failed(_) | Piece::End => return Typed::Closed,
                }
                continue;
            };
            let typed = if status.question.is_some() {
                self.handle_secret_key(key)
            } else {
                let typed = self.handle_key(key, status);
                self.watch_reply(status);
                typed
            };
            if let Some(typed) = typed {
                return typed;
            }
        }
        Typed::More
    }

    fn handle_resize(&mut self) {
        self.measure();
    }

    fn is_typing(&self) -> bool {
        !self.editor.is_empty()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

fn is_reply(line: &str) -> bool {
    let command = line.split(' ').next().unwrap_or_default();
    matches!(command.to_lowercase().as_str(), "/reply" | "/r" | "/responder")
}

fn edit_request(key: &Key) -> Option<InputRequest> {
    Some(match key {
        Key::Text(character) => InputRequest::InsertChar(*character),
        Key::Left => InputRequest::GoToPrevChar,
        Key::Right => InputRequest::GoToNextChar,
        Key::WordLeft => InputRequest::GoToPrevWord,
        Key::WordRight => InputRequest::GoToNextWord,
        Key::Home => InputRequest::GoToStart,
        Key::End => InputRequest::GoToEnd,
        Key::Backspace => InputRequest::DeletePrevChar,
        Key::BackspaceWord => InputRequest::DeletePrevWord,
        Key::Delete => InputRequest::DeleteNextChar,
        Key::DeleteWord => InputRequest::DeleteNextWord,
        _ => return None,
    })
}

/// The keys that shells have for it.
fn control_request(letter: char) -> Option<InputRequest> {
    Some(match letter {
        'a' => InputRequest::GoToStart,
        'e' => InputRequest::GoToEnd,
        'b' => InputRequest::GoToPrevChar,
        'f' => InputRequest::GoToNextChar,
        'd' => InputRequest::DeleteNextChar,
        'h' => InputRequest::DeletePrevChar,
        'u' => InputRequest::DeleteFromStart,
        'k' => InputRequest::DeleteTillEnd,
        'w' => InputRequest::DeletePrevWord,
        'y' => InputRequest::Yank,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_is_known_as_soon_as_it_is_typed() {
        assert!(is_reply("/reply"));
        assert!(is_reply("/r yes"));
        assert!(is_reply("/RESPONDER sim"));
        assert!(!is_reply("/replying"));
        assert!(!is_reply("reply"));
    }
}
