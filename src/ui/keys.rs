//! Keys out of the bytes that a terminal sends.
//!
//! The terminal library's own reader is not used: it spins for ever when the terminal goes away, and it wants to own the waiting.
//! Here are only bytes in and keys out. Sequences that nobody needs are swallowed whole, never taken for text.

use crate::chat::MAX_TEXT_BYTES;

/// No terminal sends a longer sequence; what begins like one and does not end is no sequence.
const MAX_SEQUENCE_BYTES: usize = 32;

const ESCAPE: u8 = 0x1b;
const DELETE: u8 = 0x7f;
const PASTE_BEGINS: &[u8] = b"\x1b[200~";
const PASTE_ENDS: &[u8] = b"\x1b[201~";

/// What was pressed, or pasted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character.
    Text(char),
    /// A whole block from the clipboard.
    Paste(String),
    /// A block longer than a message may be; it was thrown away.
    PasteTooLong,
    /// A letter, in lower case, while Ctrl was held.
    Control(char),
    /// Enter.
    Enter,
    /// Enter while Alt was held.
    AltEnter,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    /// Arrow left with Ctrl or Alt, or Alt-B.
    WordLeft,
    /// Arrow right with Ctrl or Alt, or Alt-F.
    WordRight,
    /// The line's beginning.
    Home,
    /// The line's end.
    End,
    /// The key that removes what is before the cursor.
    Backspace,
    /// The same with Alt.
    BackspaceWord,
    /// The key that removes what is under the cursor.
    Delete,
    /// Alt-D, or Delete with Ctrl.
    DeleteWord,
    /// A key without a meaning here.
    Other,
}

/// Takes bytes as they come.
#[derive(Debug, Default)]
pub struct Keys {
    bytes: Vec<u8>,
    /// How many of the bytes were keys already.
    used: usize,
    /// What was pasted so far, between the marks of its beginning and its end.
    paste: Option<Paste>,
}

#[derive(Debug, Default)]
struct Paste {
    text: Vec<u8>,
    is_too_long: bool,
}

impl Keys {
    /// Adds what the terminal sent.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.used);
        self.used = 0;
        // An escape that nothing followed for a while is the key; a sequence comes in one piece, or almost.
        let is_key = self.paste.is_none() && self.bytes == [ESCAPE];
        if is_key && !matches!(bytes.first(), Some(b'[' | b'O')) {
            self.bytes.clear();
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next key that is complete.
    pub fn next_key(&mut self) -> Option<Key> {
        if self.paste.is_none() {
            let rest = &self.bytes[self.used..];
            let begins_paste = rest.starts_with(PASTE_BEGINS);
            let (key, used) = parse(rest)?;
            self.used += used;
            if !begins_paste {
                return Some(key);
            }
            self.paste = Some(Paste::default());
        }
        self.next_paste()
    }

    fn next_paste(&mut self) -> Option<Key> {
        let paste = self.paste.as_mut()?;
        let rest = &self.bytes[self.used..];
        let end = rest.windows(PASTE_ENDS.len()).position(|window| window == PASTE_ENDS);
        // The mark may come in two pieces.
        let taken = end.unwrap_or_else(|| rest.len().saturating_sub(PASTE_ENDS.len() - 1));
        paste.is_too_long |= paste.text.len() + taken > MAX_TEXT_BYTES;
        if paste.is_too_long {
            paste.text = Vec::new();
        } else {
            paste.text.extend_from_slice(&rest[..taken]);
        }
        self.used += end.map_or(taken, |end| end + PASTE_ENDS.len());
        end?;
        let paste = self.paste.take()?;
        if paste.is_too_long {
            return Some(Key::PasteTooLong);
        }
        Some(Key::Paste(newlines(&String::from_utf8_lossy(&paste.text))))
    }
}

/// Terminals send a carriage return for each newline of what is pasted, and most people copy the last one too.
fn newlines(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    text.strip_suffix('\n').unwrap_or(&text).to_owned()
}

/// The key at the beginning of `bytes`, and how many it takes; None if more must come first.
fn parse(bytes: &[u8]) -> Option<(Key, usize)> {
    let key = match *bytes.first()? {
        ESCAPE => return parse_escape(bytes),
        b'\r' | b'\n' => Key::Enter,
        // There is nothing to complete; a tab in a line would only be a wide space.
        b'\t' => Key::Text(' '),
        DELETE => Key::Backspace,
        byte @ 1..=26 => Key::Control(char::from(byte - 1 + b'a')),
        0..=0x1f => Key::Other,
        byte if byte.is_ascii() => Key::Text(char::from(byte)),
        byte => return parse_utf8(byte, bytes),
    };
    Some((key, 1))
}

fn parse_utf8(first: u8, bytes: &[u8]) -> Option<(Key, usize)> {
    let length = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    let available = &bytes[..length.min(bytes.len())];
    match std::str::from_utf8(available) {
        Ok(text) => Some((text.chars().next().map_or(Key::Other, Key::Text), length)),
        // The rest is on its way.
        Err(error) if error.error_len().is_none() => None,
        // Some terminals are not set to UTF-8; what cannot be read is shown as such.
        Err(_) => Some((Key::Text(char::REPLACEMENT_CHARACTER), 1)),
    }
}

fn parse_escape(bytes: &[u8]) -> Option<(Key, usize)> {
    let key = match *bytes.get(1)? {
        b'[' => return parse_sequence(bytes),
        b'O' => return bytes.get(2).map(|&last| (final_key(last, b""), 3)),
        b'\r' | b'\n' => Key::AltEnter,
        DELETE => Key::BackspaceWord,
        b'b' => Key::WordLeft,
        b'f' => Key::WordRight,
        b'd' => Key::DeleteWord,
        // Whatever follows means what it means without Alt, so that nothing that was typed disappears.
        _ => return Some((Key::Other, 1)),
    };
    Some((key, 2))
}

/// `ESC [`, parameters, one last byte (ECMA-48, section 5.4).
fn parse_sequence(bytes: &[u8]) -> Option<(Key, usize)> {
    const FIRST: usize = 2;
    // The Linux console's function keys are older than the standard.
    if bytes.get(FIRST) == Some(&b'[') {
        return (bytes.len() > FIRST + 1).then_some((Key::Other, FIRST + 2));
    }
    let end = bytes[FIRST..].iter().position(|byte| !(0x20..=0x3f).contains(byte));
    match end.map(|end| FIRST + end) {
        None if bytes.len() > MAX_SEQUENCE_BYTES => Some((Key::Other, bytes.len())),
        None => None,
        Some(end) if (0x40..=0x7e).contains(&bytes[end]) => {
            Some((final_key(bytes[end], &bytes[FIRST..end]), end + 1))
        }
        // No sequence after all.
        Some(end) => Some((Key::Other, end)),
    }
}

fn final_key(last: u8, parameters: &[u8]) -> Key {
    let mut numbers = parameters.split(|&byte| byte == b';');
    let number = numbers.next().unwrap_or_default();
    // 1 more than a sum: 1 for Shift, 2 for Alt, 4 for Ctrl.
    let with_modifier = matches!(numbers.next(), Some(b"3" | b"4" | b"5" | b"6" | b"7" | b"8"));
    match (last, number) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', _) if with_modifier => Key::WordRight,
        (b'C', _) => Key::Right,
        (b'D', _) if with_modifier => Key::WordLeft,
        (b'D', _) => Key::Left,
        (b'H', _) | (b'~', b"1" | b"7") => Key::Home,
        (b'F', _) | (b'~', b"4" | b"8") => Key::End,
        (b'~', b"3") if with_modifier => Key::DeleteWord,
        (b'~', b"3") => Key::Delete,
        _ => Key::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `pieces` and demands exactly these keys.
    #[track_caller]
    fn check(pieces: &[&[u8]], expected: &[Key]) {
        let mut keys = Keys::default();
        let mut seen = Vec::new();
        for piece in pieces {
            keys.push(piece);
            seen.extend(std::iter::from_fn(|| keys.next_key()));
        }
        assert_eq!(seen, expected);
    }

    #[test]
    fn characters_of_any_length_in_any_pieces() {
        let text = "aé漢👍";
        let expected: Vec<Key> = text.chars().map(Key::Text).collect();
        check(&[text.as_bytes()], &expected);
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        check(&bytes, &expected);
        check(
            &[b"\xffa\xc3b"],
            &[Key::Text('\u{fffd}'), Key::Text('a'), Key::Text('\u{fffd}'), Key::Text('b')],
        );
    }

    #[test]
    fn keys_of_the_line_editor() {
        check(
            &[b"\r\n\x7f\x01\x1a"],
            &[Key::Enter, Key::Enter, Key::Backspace, Key::Control('a'), Key::Control('z')],
        );
        check(
            &[b"\x1b[A\x1bOB\x1b[C\x1b[1;5D\x1b[1;3C"],
            &[Key::Up, Key::Down, Key::Right, Key::WordLeft, Key::WordRight],
        );
        check(
            &[b"\x1b[H\x1bOF\x1b[1~\x1b[4~\x1b[3~\x1b[3;5~"],
            &[Key::Home, Key::End, Key::Home, Key::End, Key::Delete, Key::DeleteWord],
        );
        check(
            &[b"\x1b\r\x1bb\x1bf\x1bd\x1b\x7f"],
            &[Key::AltEnter, Key::WordLeft, Key::WordRight, Key::DeleteWord, Key::BackspaceWord],
        );
    }

    #[test]
    fn sequences_may_come_in_pieces() {
        check(&[b"\x1b", b"[", b"A"], &[Key::Up]);
        check(&[b"\x1b[1", b";5", b"C"], &[Key::WordRight]);
    }

    #[test]
    fn unknown_sequences_leave_no_text_behind() {
        check(&[b"\x1b[15~\x1b[?1;2c\x1b[<0;1;1Mx"], &[Key::Other, Key::Other, Key::Other, Key::Text('x')]);
        check(&[b"\x1b[[Ax"], &[Key::Other, Key::Text('x')]);
    }

    #[test]
    fn escape_alone_swallows_nothing() {
        check(&[b"\x1b", b"b"], &[Key::Text('b')]);
        check(&[b"\x1bx"], &[Key::Other, Key::Text('x')]);
    }

    #[test]
    fn paste_is_one_block_however_it_comes() {
        let block = Key::Paste("one\ntwo\x1b[A".to_owned());
        let bytes = b"\x1b[200~one\rtwo\x1b[A\r\x1b[201~x";
        check(&[bytes], &[block.clone(), Key::Text('x')]);
        let pieces: Vec<&[u8]> = bytes.chunks(1).collect();
        check(&pieces, &[block.clone(), Key::Text('x')]);
        let pieces: Vec<&[u8]> = bytes.chunks(5).collect();
        check(&pieces, &[block, Key::Text('x')]);
    }
}
