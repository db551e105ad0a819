//! How a command ends: the exit codes that scripts rely on, and the sentence that explains a failure.

use std::fmt;
use std::process::ExitCode;

use crate::ui::model::Tally;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for was done.
    Done,
    /// It was not.
    Failed,
    /// It was asked for in a way that means nothing.
    Usage,
    /// No answer, or not acknowledged in time, or nobody knows.
    NoAnswer,
    /// Somebody stopped it.
    Interrupted,
}

impl Exit {
    /// What the messages of a run amount to. A message whose fate is open weighs more than one that is known to have failed.
    pub fn of(tally: Tally, something_refused: bool) -> Self {
        if tally.unknown + tally.unsent + tally.kept > 0 {
            Self::NoAnswer
        } else if tally.refused + tally.mistrusted > 0 || something_refused {
            Self::Failed
        } else {
            Self::Done
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NoAnswer => 3,
            // What a shell reports for a program that Ctrl-C ended.
            Exit::Interrupted => 130,
        })
    }
}

/// Why a command could not even begin.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    text: String,
}

impl Failure {
    /// It was asked for in a way that means nothing.
    pub fn usage(error: impl fmt::Display) -> Self {
        Self { exit: Exit::Usage, text: error.to_string() }
    }

    /// The system or somebody else is in the way.
    pub fn failed(error: impl fmt::Display) -> Self {
        Self { exit: Exit::Failed, text: error.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_fate_weighs_more_than_a_refusal() {
        let tally = Tally { delivered: 5, ..Tally::default() };
        assert_eq!(Exit::of(tally, false), Exit::Done);
        assert_eq!(Exit::of(tally, true), Exit::Failed);
        assert_eq!(Exit::of(Tally { refused: 1, ..tally }, false), Exit::Failed);
        assert_eq!(Exit::of(Tally { mistrusted: 1, ..tally }, false), Exit::Failed);
        assert_eq!(Exit::of(Tally { refused: 1, unknown: 1, ..tally }, true), Exit::NoAnswer);
        assert_eq!(Exit::of(Tally { unsent: 1, ..tally }, false), Exit::NoAnswer);
    }
}
