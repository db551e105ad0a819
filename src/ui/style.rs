//! Colours, and when there are none.
//!
//! A colour never says anything that a word and a symbol beside it do not say too.

use std::env;

/// What a line is about, as far as its colour goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Somebody's words.
    Plain,
    /// Our own words, and what goes as it should.
    Own,
    /// Something arrived.
    Good,
    /// Something failed.
    Bad,
    /// Nobody knows.
    Doubt,
    /// Chatter.
    Dim,
}

impl Tone {
    /// The parameters of the terminal's SGR sequence; none for the default colour.
    const fn parameters(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Own => Some("36"),
            Self::Good => Some("32"),
            Self::Bad => Some("31"),
            Self::Doubt => Some("33"),
            Self::Dim => Some("2"),
        }
    }
}

/// Whether to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// No colour at all.
    pub const PLAIN: Self = Self { colour: false };

    /// Colour, unless the environment asks for none: `NO_COLOR` (no-color.org) or a terminal without.
    pub fn from_environment() -> Self {
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colour: !refused && !is_dumb_terminal() }
    }

    /// `text` in the colour of `tone`. The text has been filtered.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        match tone.parameters() {
            Some(parameters) if self.colour => format!("\x1b[{parameters}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }
}

/// Whether the terminal says that it can do nothing but print.
pub fn is_dumb_terminal() -> bool {
    env::var_os("TERM").is_some_and(|name| name == "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_surrounds_the_text_and_ends() {
        assert_eq!(Style { colour: true }.paint(Tone::Good, "ok"), "\x1b[32mok\x1b[0m");
        assert_eq!(Style { colour: true }.paint(Tone::Plain, "ok"), "ok");
        assert_eq!(Style::PLAIN.paint(Tone::Bad, "ok"), "ok");
    }
}
