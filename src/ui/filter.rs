//! What stands between the network and the terminal.
//!
//! No character that a terminal would act on, that turns the direction of reading around, or that hides, gets through: each is
//! replaced by one that can be seen. Nothing else of the text is changed, and data for programs (`--json`) is never filtered.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// As many columns of a nick are shown as a nick may have characters.
pub const MAX_NICK_COLUMNS: usize = 32;

/// More marks on one letter than any language writes; a pile of them climbs over the lines above.
const MAX_MARKS: usize = 4;

/// What stands for a character that has no picture of its own.
const REPLACEMENT: char = '\u{fffd}';

/// One line of text, safe to print: a newline in it is shown as a sign.
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    let (mut before, mut marks) = (' ', 0);
    while let Some(character) = characters.next() {
        let joins = is_joiner(character) && joins(before, character, characters.peek().copied());
        marks = if is_mark(character) { marks + 1 } else { 0 };
        shown.push(if joins {
            character
        } else if marks > MAX_MARKS {
            REPLACEMENT
        } else {
            visible_char(character)
        });
        before = character;
    }
    Cow::Owned(shown)
}

/// One character, safe to print wherever it stands.
pub fn visible_char(character: char) -> char {
    match character {
        // The pictures of the control characters are in the same order as these.
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(character)).unwrap_or(REPLACEMENT),
        '\x7f' => '\u{2421}',
        _ if is_hidden(character) => REPLACEMENT,
        _ => character,
    }
}

/// The lines of a text, each safe to print. A tab is shown as spaces, since its width depends on where it stands.
pub fn visible_lines(text: &str) -> impl Iterator<Item = String> {
    text.split('\n').map(|line| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        visible(&line.replace('\t', "    ")).into_owned()
    })
}

/// A nick as it is shown, at most [`MAX_NICK_COLUMNS`] wide.
pub fn nick(text: &str) -> String {
    shorten(text, MAX_NICK_COLUMNS)
}

/// The beginning of a text on one line of at most `columns`; an ellipsis tells that there is more.
pub fn shorten(text: &str, columns: usize) -> String {
    // Far more than fits, and far less than a whole message: only the beginning is looked at.
    let beginning: String = text.chars().take(8 * columns + 8).collect();
    let shown = visible(&beginning);
    if shown.width() <= columns && beginning.len() == text.len() {
        return shown.into_owned();
    }
    let mut short = String::new();
    let mut width = 0;
    for grapheme in shown.graphemes(true) {
        width += grapheme.width();
        if width + 1 > columns {
            break;
        }
        short.push_str(grapheme);
    }
    short.push('…');
    short
}

/// Control characters of the upper half, everything that changes the direction of reading, and what has no shape.
fn is_hidden(character: char) -> bool {
    matches!(character,
        '\u{80}'..='\u{9f}'
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0d}'
        | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

fn is_joiner(character: char) -> bool {
    matches!(character, '\u{200c}' | '\u{200d}')
}

/// Whether a joiner does what it is for: holds a family of emoji together, or shapes a script that needs it.
fn joins(before: char, joiner: char, after: Option<char>) -> bool {
    let Some(after) = after else { return false };
    let shaped = |character| matches!(character, '\u{600}'..='\u{8ff}' | '\u{900}'..='\u{dff}');
    let picture =
        |character| matches!(character, '\u{2190}'..='\u{2bff}' | '\u{fe0f}' | '\u{1f000}'..='\u{1faff}');
    shaped(before) && shaped(after) || joiner == '\u{200d}' && picture(before) && picture(after)
}

/// The combining marks that fit any letter, and so can be piled up.
fn is_mark(character: char) -> bool {
    matches!(character,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe0e}' | '\u{fe0f}' | '\u{fe20}'..='\u{fe2f}')
}

/// A line as rows of a terminal, broken at spaces; further rows are indented, so that none passes for another line. A word that
/// is too long for a row is the terminal's to break.
pub fn wrap(line: &str, columns: usize, indent: usize) -> Vec<String> {
    let mut rows = Vec::new();
    let (mut rest, mut before, mut room) = (line, String::new(), columns);
    while rest.width() > room {
        let Some(end) = row_end(rest, room) else { break };
        rows.push(format!("{before}{}", &rest[..end]));
        rest = rest[end..].trim_start_matches(' ');
        before = " ".repeat(indent);
        room = columns.saturating_sub(indent);
    }
    if !rest.is_empty() || rows.is_empty() {
        rows.push(format!("{before}{rest}"));
    }
    rows
}

/// The last space before which everything fits, or the first one after words; None if there is none.
fn row_end(text: &str, room: usize) -> Option<usize> {
    let start = text.len() - text.trim_start_matches(' ').len();
    let mut best = None;
    for (at, _) in text.match_indices(' ').filter(|(at, _)| *at > start) {
        if best.is_some() && text[..at].width() > room {
            break;
        }
        best = Some(at);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_of_any_language_passes_unchanged() {
        for text in [
            "hello",
            "olá, é",
            "e\u{301}",
            "漢字",
            "שלום",
            "می\u{200c}خواهم",
            "👨\u{200d}👩\u{200d}👧",
            "❤\u{fe0f}",
        ] {
            assert_eq!(visible(text), text);
        }
    }

    #[test]
    fn nothing_that_a_terminal_acts_on_passes() {
        assert_eq!(visible("\x1b[2J\x07\r\x08\x7f"), "␛[2J␇␍␈␡");
        assert_eq!(visible("\u{9b}2J"), "\u{fffd}2J");
        let all: String = (0..=0x10_ffff).filter_map(char::from_u32).collect();
        assert!(visible(&all).chars().all(|character| !character.is_control()));
    }

    #[test]
    fn nothing_turns_the_text_around_or_hides_in_it() {
        assert_eq!(visible("a\u{202e}b\u{2066}c\u{200b}d\u{feff}e"), "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}e");
        assert_eq!(visible("ab\u{200d}cd\u{200d}"), "ab\u{fffd}cd\u{fffd}");
        assert_eq!(visible("x\u{e0041}"), "x\u{fffd}");
    }

    #[test]
    fn marks_cannot_be_piled_up() {
        let pile: String = std::iter::once('o').chain(std::iter::repeat_n('\u{302}', 50)).collect();
        assert_eq!(visible(&pile).chars().filter(|&character| character == '\u{302}').count(), MAX_MARKS);
    }

    #[test]
    fn lines_are_cut_at_newlines_only() {
        let lines: Vec<String> = visible_lines("one\r\n\ttwo\rthree\u{2028}four").collect();
        assert_eq!(lines, ["one", "    two␍three\u{fffd}four"]);
    }

    #[test]
    fn shortened_text_fits_its_columns() {
        assert_eq!(shorten("short", 5), "short");
        assert_eq!(shorten("longer", 5), "long…");
        assert_eq!(shorten("漢字漢字", 5), "漢字…");
        assert_eq!(shorten("two\nlines", 20), "two␊lines");
        assert_eq!(shorten(&"x".repeat(1_000_000), 3), "xx…");
    }

    #[test]
    fn long_lines_break_at_words() {
        assert_eq!(wrap("fits", 4, 2), ["fits"]);
        assert_eq!(wrap("", 4, 2), [""]);
        assert_eq!(wrap("one two three four", 9, 2), ["one two", "  three", "  four"]);
        assert_eq!(wrap("  one two", 6, 2), ["  one", "  two"]);
        assert_eq!(wrap("aaaaaaaaaaaa bb", 6, 2), ["aaaaaaaaaaaa", "  bb"]);
        assert_eq!(wrap("漢字 漢字", 8, 2), ["漢字", "  漢字"]);
        assert_eq!(wrap(&"x".repeat(100), 8, 2).len(), 1);
    }
}
