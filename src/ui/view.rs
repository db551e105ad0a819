//! What every front end does with a [`Notice`].

use std::io;

use super::notice::{Notice, Receiver};
use crate::time::WallTime;

/// What the line that is being typed is shown with. The names are exact; a view filters them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whom a plain line goes to.
    pub receiver: Option<Receiver>,
    /// Whether that conversation has ended, so that a line would begin another.
    pub receiver_is_gone: bool,
    /// Whether the receiver is at a relay that is being tried again, so that a line waits.
    pub receiver_waits: bool,
    /// Whether everybody on the way can read what is said.
    pub is_clear: bool,
    /// Whether there is a relay, and so rooms to join.
    pub has_relay: bool,
    /// Whom `/reply` answers.
    pub last_sender: Option<String>,
    /// What is asked of the user instead of a line, such as a password: not shown while it is typed.
    pub question: Option<Question>,
}

/// Something secret that the user is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The password of a room, to come in.
    Password {
        /// Which.
        room: String,
    },
    /// A room's password from now on.
    NewPassword {
        /// Which.
        room: String,
    },
}

/// What came from the keyboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// A whole line.
    Line(String),
    /// The answer to the question of the status; None: the user declined.
    Answer(Option<String>),
    /// Nothing more at the moment.
    Nothing,
    /// There is more, but others shall have a turn.
    More,
    /// The user is done: Ctrl-D.
    Quit,
    /// There is no keyboard any more.
    Closed,
    /// The user wants out: Ctrl-C.
    Interrupt,
}

/// A front end.
pub trait View {
    /// Shows one thing. Nothing is written before [`View::flush`].
    fn show(&mut self, notice: &Notice, at: WallTime);

    /// Writes what was shown.
    fn flush(&mut self, status: &Status);

    /// Why nobody can see any more what is shown; None while all is well.
    fn failure(&self) -> Option<&io::Error>;

    /// What was typed, where the view has the keyboard.
    fn next_typed(&mut self, _status: &Status) -> Typed {
        Typed::Nothing
    }

    /// Whether it is for a program, which wants to know everything at once.
    fn is_for_programs(&self) -> bool {
        false
    }

    /// The terminal has another size.
    fn handle_resize(&mut self) {}

    /// Whether a line is being typed.
    fn is_typing(&self) -> bool {
        false
    }
}
