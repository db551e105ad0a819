//! The line that is being typed: what keys do to it, what was typed before, and the part of it that fits the screen.
//!
//! It knows neither the terminal nor what a line means. Text in it is exact; only what it shows is filtered.

use std::collections::VecDeque;

use tui_input::{Input, InputRequest};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::filter;

/// As many lines as anybody goes back by hand.
const MAX_HISTORY: usize = 200;

/// A pasted book is not kept: it could be pasted again.
const MAX_HISTORY_LINE_BYTES: usize = 16 * 1024;

/// A line with its history.
#[derive(Debug, Default)]
pub struct Editor {
    input: Input,
    history: VecDeque<String>,
    /// How far back the shown line is; 0 is the new one.
    back: usize,
    draft: String,
}

/// The visible part of the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The text, filtered, at most as wide as was asked for.
    pub text: String,
    /// The column of the cursor in it.
    pub cursor: usize,
}

impl Editor {
    /// The text as it would be sent.
    pub fn text(&self) -> &str {
        self.input.value()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.text().is_empty()
    }

    /// What a key of the line editor's does.
    pub fn edit(&mut self, request: InputRequest) {
        self.input.handle(request);
    }

    /// Puts text in at the cursor.
    pub fn insert(&mut self, text: &str) {
        let cursor = self.input.cursor();
        let value = self.input.value();
        let split = value.char_indices().nth(cursor).map_or(value.len(), |(index, _)| index);
        let whole = format!("{}{text}{}", &value[..split], &value[split..]);
        self.replace(whole);
        self.input.handle(InputRequest::SetCursor(cursor + text.chars().count()));
    }

    /// Takes the line out and remembers it.
    pub fn take(&mut self) -> String {
        let line = self.input.value_and_reset();
        self.back = 0;
        self.draft.clear();
        let repeated = self.history.back() == Some(&line);
        if !line.is_empty() && !repeated && line.len() <= MAX_HISTORY_LINE_BYTES {
            self.history.push_back(line.clone());
            if self.history.len() > MAX_HISTORY {
                self.history.pop_front();
            }
        }
        line
    }

    /// Puts another text in the line's place, the cursor at its end.
    pub fn replace(&mut self, text: String) {
        // Not `Input::new`: what was cut can still be yanked.
        self.input = std::mem::take(&mut self.input).with_value(text);
    }

    /// Shows the line before this one.
    pub fn older(&mut self) {
        if self.back < self.history.len() {
            if self.back == 0 {
                self.draft = self.text().to_owned();
            }
            self.back += 1;
            self.replace(self.history[self.history.len() - self.back].clone());
        }
    }

    /// Shows the line after this one, in the end what was being typed.
    pub fn newer(&mut self) {
        if self.back > 0 {
            self.back -= 1;
            let text = match self.back {
                0 => std::mem::take(&mut self.draft),
                back => self.history[self.history.len() - back].clone(),
            };
            self.replace(text);
        }
    }

    /// The part around the cursor that is narrower than `columns`, so that the cursor fits behind it too.
    pub fn window(&self, columns: usize) -> Window {
        let value = self.input.value();
        let split = value.char_indices().nth(self.input.cursor()).map_or(value.len(), |(index, _)| index);
        // What is further away than the screen is wide cannot be seen, however long the text is.
        let before = tail(&value[..split], columns);
        let after: String = value[split..].chars().take(columns).collect();
        let (before, after) = (filter::visible(before), filter::visible(&after));
        // Room for the cursor at the end, and for a wide character under it.
        let room = columns.saturating_sub(1);
        let kept = fitting_end(
            &before,
            room.saturating_sub(after.graphemes(true).next().map_or(0, UnicodeWidthStr::width)),
        );
        let cursor = kept.width();
        let rest = fitting_beginning(&after, room.saturating_sub(cursor));
        Window { text: format!("{kept}{rest}"), cursor }
    }
}

/// The last `count` characters.
fn tail(text: &str, count: usize) -> &str {
    let start = text.char_indices().rev().take(count).last().map_or(text.len(), |(index, _)| index);
    &text[start..]
}

fn fitting_end(text: &str, columns: usize) -> &str {
    let mut width = 0;
    let mut start = text.len();
    for (index, grapheme) in text.grapheme_indices(true).rev() {
        width += grapheme.width();
        if width > columns {
            break;
        }
        start = index;
    }
    &text[start..]
}

fn fitting_beginning(text: &str, columns: usize) -> &str {
    let mut width = 0;
    for (index, grapheme) in text.grapheme_indices(true) {
        width += grapheme.width();
        if width > columns {
            return &text[..index];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Editor {
        let mut editor = Editor::default();
        editor.insert(text);
        editor
    }

    #[track_caller]
    fn check(editor: &Editor, columns: usize, text: &str, cursor: usize) {
        assert_eq!(editor.window(columns), Window { text: text.to_owned(), cursor });
    }

    #[test]
    fn short_line_is_shown_whole() {
        check(&typed("hello"), 10, "hello", 5);
        check(&typed(""), 10, "", 0);
    }

    #[test]
    fn long_line_scrolls_with_the_cursor() {
        let mut editor = typed("0123456789");
        check(&editor, 6, "56789", 5);
        editor.edit(InputRequest::GoToStart);
        check(&editor, 6, "01234", 0);
        for _ in 0..5 {
            editor.edit(InputRequest::GoToNextChar);
        }
        check(&editor, 6, "12345", 4);
    }

    #[test]
    fn wide_characters_never_exceed_the_columns() {
        for text in ["漢字漢字漢字", "e\u{301}e\u{301}e\u{301}", "👨\u{200d}👩\u{200d}👧👍👍", "a漢b字c"]
        {
            let mut editor = typed(text);
            for columns in 0..14 {
                editor.edit(InputRequest::GoToEnd);
                for _ in 0..=text.chars().count() {
                    let window = editor.window(columns);
                    assert!(window.text.width() <= columns.saturating_sub(1), "{window:?} in {columns}");
                    assert!(window.cursor <= columns.saturating_sub(1), "{window:?} in {columns}");
                    editor.edit(InputRequest::GoToPrevChar);
                }
            }
        }
        check(&typed("漢字"), 10, "漢字", 4);
    }

    #[test]
    fn pasted_block_stays_one_line_and_exact() {
        let editor = typed("one\ntwo\x1b[2J");
        check(&editor, 40, "one␊two␛[2J", 11);
        assert_eq!(editor.text(), "one\ntwo\x1b[2J");
    }

    #[test]
    fn text_is_put_in_at_the_cursor() {
        let mut editor = typed("ad");
        editor.edit(InputRequest::GoToPrevChar);
        editor.insert("bé");
        assert_eq!(editor.text(), "abéd");
        check(&editor, 10, "abéd", 3);
    }

    #[test]
    fn history_goes_back_and_returns_to_the_draft() {
        let mut editor = Editor::default();
        for line in ["one", "two", "two", ""] {
            editor.insert(line);
            assert_eq!(editor.take(), line);
        }
        editor.insert("draft");
        let mut seen = Vec::new();
        for step in [Editor::older, Editor::older, Editor::older, Editor::newer, Editor::newer, Editor::newer]
        {
            step(&mut editor);
            seen.push(editor.text().to_owned());
        }
        assert_eq!(seen, ["two", "one", "one", "two", "draft", "draft"]);
    }
}
