//! Lines out of pieces of input, each told apart from what cannot be a message.
//!
//! Memory is bounded by one line of the longest kind: a longer one is an error with its number, not growth.

use std::fmt;
use std::io;

use super::stdin::{Chunks, Piece};
use crate::chat::MAX_TEXT_BYTES;

/// What the next line of standard input is.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A whole line, without its end (`\n` or `\r\n`).
    Line(String),
    /// A line that cannot be a message. The ones after it can.
    Bad(LineError),
    /// Nothing yet; the loop is woken up when there is more.
    Waiting,
    /// There are no more lines.
    End,
}

/// Why a line cannot be a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineError {
    /// It is not text.
    NotUtf8 {
        /// Which line, counted from 1.
        number: u64,
        /// The first byte of it that does not fit, counted from 1.
        column: usize,
    },
    /// It is longer than a message may be.
    TooLong {
        /// Which line, counted from 1.
        number: u64,
        /// The most that a line may have.
        limit: usize,
    },
    /// The system failed to read; what was read of the line so far is lost.
    Unreadable {
        /// Which line, counted from 1.
        number: u64,
        /// The system's words.
        error: String,
    },
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 { number, column } => {
                write!(
                    f,
                    "line {number} was not sent: its byte {column} is not UTF-8 text; convert the input first"
                )
            }
            Self::TooLong { number, limit } => {
                write!(f, "line {number} was not sent: it is longer than {limit} bytes; send it in parts")
            }
            Self::Unreadable { number, error } => {
                write!(f, "reading the input stopped at line {number}: {error}")
            }
        }
    }
}

impl std::error::Error for LineError {}

/// The lines of standard input, for a loop that must not wait for them.
#[derive(Debug)]
pub struct Lines {
    chunks: Chunks,
    chunk: Vec<u8>,
    position: usize,
    splitter: Splitter,
    ended: bool,
}

impl Lines {
    /// The lines that `chunks` make up.
    pub fn new(chunks: Chunks) -> Self {
        Self { chunks, chunk: Vec::new(), position: 0, splitter: Splitter::new(MAX_TEXT_BYTES), ended: false }
    }

    /// The next line, without waiting for it.
    pub fn next_line(&mut self) -> Next {
        loop {
            if self.position < self.chunk.len() {
                let (used, line) = self.splitter.split(&self.chunk[self.position..]);
                self.position += used;
                match line {
                    Some(line) => return line.map_or_else(Next::Bad, Next::Line),
                    None => continue,
                }
            }
            if self.ended {
                return self
                    .splitter
                    .finish()
                    .map_or(Next::End, |line| line.map_or_else(Next::Bad, Next::Line));
            }
            match self.chunks.next_piece() {
                Piece::Bytes(chunk) => {
                    self.chunk = chunk;
                    self.position = 0;
                }
                Piece::Failed(error) => {
                    self.ended = true;
                    return Next::Bad(self.splitter.fail(&error));
                }
                Piece::Waiting => return Next::Waiting,
                Piece::End => self.ended = true,
            }
        }
    }
}

/// Cuts pieces of input into lines.
#[derive(Debug)]
struct Splitter {
    partial: Vec<u8>,
    too_long: bool,
    number: u64,
    limit: usize,
}

impl Splitter {
    fn new(limit: usize) -> Self {
        Self { partial: Vec::new(), too_long: false, number: 1, limit }
    }

    /// Takes bytes from the front of `chunk` up to the end of a line; returns how many, and the line if it ended.
    fn split(&mut self, chunk: &[u8]) -> (usize, Option<Result<String, LineError>>) {
        match chunk.iter().position(|&byte| byte == b'\n') {
            Some(end) => {
                self.keep(&chunk[..end]);
                if self.partial.last() == Some(&b'\r') {
                    self.partial.pop();
                }
                (end + 1, Some(self.line()))
            }
            None => {
                self.keep(chunk);
                (chunk.len(), None)
            }
        }
    }

    /// The last line, if the input did not end with a line's end.
    fn finish(&mut self) -> Option<Result<String, LineError>> {
        (!self.partial.is_empty() || self.too_long).then(|| self.line())
    }

    fn fail(&mut self, error: &io::Error) -> LineError {
        self.partial.clear();
        LineError::Unreadable { number: self.number, error: error.to_string() }
    }

    fn keep(&mut self, bytes: &[u8]) {
        // One byte more than a line may have: the `\r` of its end.
        if self.partial.len() + bytes.len() > self.limit + 1 {
            self.too_long = true;
            self.partial = Vec::new();
        }
        if !self.too_long {
            self.partial.extend_from_slice(bytes);
        }
    }

    fn line(&mut self) -> Result<String, LineError> {
        let number = self.number;
        self.number += 1;
        let bytes = std::mem::take(&mut self.partial);
        if std::mem::take(&mut self.too_long) || bytes.len() > self.limit {
            return Err(LineError::TooLong { number, limit: self.limit });
        }
        String::from_utf8(bytes)
            .map_err(|error| LineError::NotUtf8 { number, column: error.utf8_error().valid_up_to() + 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits `pieces` as they come and demands exactly these lines.
    #[track_caller]
    fn check(pieces: &[&[u8]], expected: &[&str]) {
        let mut splitter = Splitter::new(5);
        let mut lines = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let (used, line) = splitter.split(rest);
                rest = &rest[used..];
                lines.extend(line);
            }
        }
        lines.extend(splitter.finish());
        let lines: Vec<_> =
            lines.into_iter().map(|line| line.unwrap_or_else(|error| format!("! {error}"))).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn lines_are_cut_wherever_the_pieces_end() {
        check(&[b"on", b"e\ntwo", b"\n"], &["one", "two"]);
        check(&[b"one\r", b"\n\r\n\n"], &["one", "", ""]);
        check(&[b"a\rb\n"], &["a\rb"]);
    }

    #[test]
    fn last_line_counts_without_an_end() {
        check(&[b"one\ntwo"], &["one", "two"]);
        check(&[], &[]);
    }

    #[test]
    fn longest_line_passes_and_one_byte_more_does_not() {
        check(&[b"12345\r\n12345"], &["12345", "12345"]);
        let sentence = "! line 1 was not sent: it is longer than 5 bytes; send it in parts";
        check(&[b"123456\nok"], &[sentence, "ok"]);
        check(&[b"1234", b"567", b"890\nok"], &[sentence, "ok"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_named() {
        let sentence = "! line 2 was not sent: its byte 3 is not UTF-8 text; convert the input first";
        check(&[b"ok\nno\xff\nok"], &["ok", sentence, "ok"]);
    }
}
