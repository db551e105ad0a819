//! What stands between the network and the terminal.
//!
//! No character that a terminal would act on, that turns the direction of reading around, or that hides, gets through: each is
//! replaced by one that can be seen. Nothing else of the text is changed, and data for programs (`--json`) is never filtered.

use std::borrow::Cow;

use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// As many columns of a nick are shown as a nick may have characters.
pub const MAX_NICK_COLUMNS: usize = 32;

/// More marks on one letter than any language writes of those that fit every letter; a pile of them climbs over the lines above.
const MAX_GENERAL_MARKS: usize = 4;

/// The same with those of single scripts: the tallest stacks of Tibetan, and room to spare.
const MAX_MARKS: usize = 8;

/// Joiners in one picture, or word that is shaped as one: the largest families and couples of the Unicode recommendation have
/// three, and what a terminal does not know as one picture it shows as so many.
const MAX_JOINERS: usize = 4;

/// What stands for a character that has no picture of its own.
const REPLACEMENT: char = '\u{fffd}';

/// One line of text, safe to print: a newline in it is shown as a sign.
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    let mut pile = Pile::default();
    while let Some(character) = characters.next() {
        shown.push(pile.put(character, characters.peek().copied()));
    }
    Cow::Owned(shown)
}

/// What is piled up in one place of the screen.
#[derive(Default)]
struct Pile {
    before: Option<char>,
    /// Marks that fit any letter.
    marks: usize,
    /// Marks of all sorts.
    all_marks: usize,
    joiners: usize,
}

impl Pile {
    /// One more character: itself, or what is shown in its place.
    fn put(&mut self, character: char, after: Option<char>) -> char {
        let shown = if is_joiner(character) && joins(self.before, character, after) {
            self.joiners += 1;
            if self.joiners > MAX_JOINERS { REPLACEMENT } else { character }
        } else if is_mark(character) {
            self.all_marks += 1;
            self.marks += usize::from(is_general_mark(character));
            // At the beginning it would stand on what is not part of the text.
            let is_too_much =
                self.all_marks > MAX_MARKS || self.marks > MAX_GENERAL_MARKS || self.before.is_none();
            if is_too_much { REPLACEMENT } else { visible_char(character) }
        } else {
            // What a joiner joins stays in its place.
            let joiners = if self.before.is_some_and(is_joiner) { self.joiners } else { 0 };
            *self = Self { joiners, ..Self::default() };
            visible_char(character)
        };
        self.before = Some(shown);
        shown
    }
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

/// Control characters of the upper half, everything that changes the direction of reading, and what has no shape: fillers, tags,
/// selectors, and format characters (Cf) but the few that are seen, such as the signs around Arabic numbers.
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
        | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
        | '\u{70f}' | '\u{13430}'..='\u{1345f}' | '\u{16fe4}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

fn is_joiner(character: char) -> bool {
    matches!(character, '\u{200c}' | '\u{200d}')
}

/// Whether a joiner does what it is for: holds a family of emoji together, or shapes a script that needs it.
fn joins(before: Option<char>, joiner: char, after: Option<char>) -> bool {
    let (Some(before), Some(after)) = (before, after) else { return false };
    let shaped = |character| matches!(character, '\u{600}'..='\u{8ff}' | '\u{900}'..='\u{dff}');
    let picture =
        |character| matches!(character, '\u{2190}'..='\u{2bff}' | '\u{fe0f}' | '\u{1f000}'..='\u{1faff}');
    shaped(before) && shaped(after) || joiner == '\u{200d}' && picture(before) && picture(after)
}

/// Whether a character stands on the one before it.
fn is_mark(character: char) -> bool {
    is_combining_mark(character) && !is_hidden(character)
}

/// The combining marks that fit any letter.
fn is_general_mark(character: char) -> bool {
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
    fn every_sort_of_hidden_character_is_seen() {
        for hidden in [
            // Controls, and those of the upper half.
            '\u{8}',
            '\u{1b}',
            '\u{7f}',
            '\u{85}',
            '\u{9b}',
            // Directions: marks, embeddings, overrides, isolates.
            '\u{200e}',
            '\u{200f}',
            '\u{61c}',
            '\u{202a}',
            '\u{202b}',
            '\u{202c}',
            '\u{202d}',
            '\u{202e}',
            '\u{2066}',
            '\u{2067}',
            '\u{2068}',
            '\u{2069}',
            // Of no width: spaces, joiners without anything to join, invisible operators, the old format characters.
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{2060}',
            '\u{2064}',
            '\u{206a}',
            '\u{206f}',
            '\u{feff}',
            '\u{180e}',
            '\u{ad}',
            '\u{34f}',
            // Other format characters, fillers, separators.
            '\u{70f}',
            '\u{fff9}',
            '\u{fffb}',
            '\u{13430}',
            '\u{1bca0}',
            '\u{1d173}',
            '\u{115f}',
            '\u{3164}',
            '\u{ffa0}',
            '\u{2028}',
            '\u{2029}',
            // Tags, and selectors of variations.
            '\u{e0001}',
            '\u{e0041}',
            '\u{e007f}',
            '\u{fe00}',
            '\u{180b}',
            '\u{e0100}',
            '\u{e01ef}',
        ] {
            let shown = visible(&format!("a{hidden}b")).into_owned();
            let sign = shown.strip_prefix('a').and_then(|rest| rest.strip_suffix('b'));
            assert!(
                sign.is_some_and(|sign| sign.width() == 1 && !sign.contains(hidden)),
                "{hidden:?}: {shown:?}"
            );
        }
    }

    #[test]
    fn marks_cannot_be_piled_up() {
        for (base, mark, most) in [
            ('o', '\u{302}', MAX_GENERAL_MARKS),
            ('o', '\u{20dd}', MAX_GENERAL_MARKS),
            ('☺', '\u{fe0f}', MAX_GENERAL_MARKS),
            ('ก', '\u{e49}', MAX_MARKS),
            ('ب', '\u{651}', MAX_MARKS),
            ('ཀ', '\u{f71}', MAX_MARKS),
        ] {
            let pile: String = std::iter::once(base).chain(std::iter::repeat_n(mark, 50)).collect();
            let twice = pile.repeat(2);
            assert_eq!(visible(&twice).chars().filter(|&shown| shown == mark).count(), 2 * most, "{mark:?}");
            // One on the text before it would be no part of the text.
            assert_eq!(visible(&pile[base.len_utf8()..]).chars().next(), Some(REPLACEMENT));
        }
        // A joiner begins no new pile.
        let shaped = format!("क{}\u{200c}{}", "\u{93f}".repeat(8), "\u{93f}".repeat(8));
        assert_eq!(visible(&shaped).chars().filter(|&shown| shown == '\u{93f}').count(), MAX_MARKS);
    }

    #[test]
    fn pictures_cannot_be_joined_without_end() {
        let family = "👩\u{200d}👩\u{200d}👧\u{200d}👦";
        let kiss = "👩🏻\u{200d}❤\u{fe0f}\u{200d}💋\u{200d}👨🏻";
        let text = format!("{family} {kiss}{family}");
        assert_eq!(visible(&text), text);
        let crowd = "👩\u{200d}".repeat(50) + "👩";
        let shown = visible(&crowd).into_owned();
        assert!(
            shown.graphemes(true).all(|picture| picture.matches('\u{200d}').count() <= MAX_JOINERS),
            "{shown:?}"
        );
        assert!(nick(&crowd).width() <= MAX_NICK_COLUMNS);
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
