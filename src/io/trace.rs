//! The datagrams of a run, one a line, for people and for `udpchat decode`:
//!
//! ```text
//! 2026-11-21T12:00:00.000000Z out 127.0.0.1:6000 127.0.0.1:6001 7b2276223a31...
//! ```
//!
//! that is: when, which way, our address, the other one, and the bytes in hex. What stands here was in the clear on the wire
//! or is as unreadable as it was there; nothing is ever decrypted into a trace.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;

use chrono::{DateTime, SecondsFormat};

use crate::machine::Path;
use crate::time::WallTime;

/// Which way a datagram went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It came to us.
    In,
    /// It left from us.
    Out,
}

impl Direction {
    /// The word in a trace.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// Writes a trace.
pub struct Trace {
    name: String,
    writer: Box<dyn Write>,
    line: String,
    failed: bool,
}

impl Trace {
    /// A trace into the file called `name`, or for `-` to standard output. A file is begun anew and, since it may hold private
    /// text, readable for its owner only.
    pub fn create(name: &str) -> io::Result<Self> {
        let writer: Box<dyn Write> = if name == "-" {
            Box::new(BufWriter::new(io::stdout()))
        } else {
            Box::new(BufWriter::new(private_file(name)?))
        };
        Ok(Self { name: name.to_owned(), writer, line: String::new(), failed: false })
    }

    /// Adds one datagram. After the disk failed once, nothing more is written: a chat is worth more than its trace.
    pub fn record(
        &mut self,
        wall: WallTime,
        direction: Direction,
        local: SocketAddr,
        path: Path,
        bytes: &[u8],
    ) {
        if self.failed {
            return;
        }
        let local = SocketAddr::new(path.local_ip.unwrap_or(local.ip()), local.port());
        self.line.clear();
        self.line.push_str(&format!("{} {} {local} {} ", timestamp(wall), direction.as_str(), path.remote));
        push_hex(&mut self.line, bytes);
        self.line.push('\n');
        let result = self.writer.write_all(self.line.as_bytes());
        self.note(result);
    }

    /// Hands everything to the system; called once a turn, so that a trace can be followed as it grows.
    pub fn flush(&mut self) {
        if !self.failed {
            let result = self.writer.flush();
            self.note(result);
        }
    }

    fn note(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            log::error!("the trace ends here, since it cannot be written to {}: {error}", self.name);
            self.failed = true;
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("failed", &self.failed).finish_non_exhaustive()
    }
}

fn private_file(name: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(name)
}

/// A moment as every line of ours that is for programs has it: RFC 3339, in UTC, to the microsecond.
pub fn timestamp(wall: WallTime) -> String {
    let moment = DateTime::from_timestamp_micros(wall.as_unix_micros());
    // Only years beyond 262 000 have no calendar date; such a clock is shown as the number that it is.
    moment.map_or_else(
        || wall.as_unix_micros().to_string(),
        |moment| moment.to_rfc3339_opts(SecondsFormat::Micros, true),
    )
}

/// Two digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    push_hex(&mut text, bytes);
    text
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text.reserve(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// One line of a trace, read back. The fields before the bytes are as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// When, which way, our address, the other one; absent in a line of bare hex.
    pub labels: Option<[&'a str; 4]>,
    /// The datagram.
    pub bytes: Vec<u8>,
}

/// Reads a line of a trace, or a line with nothing but hex.
pub fn parse_record(line: &str) -> Result<Record<'_>, RecordError> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (labels, hex) = match fields[..] {
        [hex] => (None, hex),
        [time, direction @ ("in" | "out"), local, remote, hex] => {
            (Some([time, direction, local, remote]), hex)
        }
        // An empty datagram leaves no fifth field.
        [time, direction @ ("in" | "out"), local, remote] => (Some([time, direction, local, remote]), ""),
        _ => return Err(RecordError::NoRecord),
    };
    Ok(Record { labels, bytes: parse_hex(hex)? })
}

fn parse_hex(hex: &str) -> Result<Vec<u8>, RecordError> {
    if !hex.len().is_multiple_of(2) {
        return Err(RecordError::OddLength);
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    hex.as_bytes().chunks_exact(2).map(pair).collect::<Option<_>>().ok_or(RecordError::NotHex)
}

/// Why a line is no record of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Neither the fields of a trace nor one field of hex.
    NoRecord,
    /// Half a byte is missing.
    OddLength,
    /// There is something else among the digits.
    NotHex,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRecord => "the line is neither hex nor a line of a trace",
            Self::OddLength => "the hex has an odd number of digits, so the line is cut short",
            Self::NotHex => "the line has characters that are no hex digits",
        })
    }
}

impl std::error::Error for RecordError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let (local, remote) = ("0.0.0.0:6000", "127.0.0.1:6001");
        let path =
            Path { local_ip: Some([127, 0, 0, 1].into()), remote: remote.parse().expect("an address") };
        let mut trace =
            Trace { name: String::new(), writer: Box::new(Vec::new()), line: String::new(), failed: false };
        let wall = WallTime::from_unix_micros(1_500_000);
        trace.record(wall, Direction::Out, local.parse().expect("an address"), path, b"{\x00\xff");
        assert_eq!(trace.line, "1970-01-01T00:00:01.500000Z out 127.0.0.1:6000 127.0.0.1:6001 7b00ff\n");
        let record = parse_record(&trace.line).expect("our own line");
        assert_eq!(record.labels, Some(["1970-01-01T00:00:01.500000Z", "out", "127.0.0.1:6000", remote]));
        assert_eq!(record.bytes, b"{\x00\xff");
    }

    #[test]
    fn bare_hex_is_a_record_and_other_text_is_not() {
        assert_eq!(parse_record(" 7B7d\n"), Ok(Record { labels: None, bytes: b"{}".to_vec() }));
        assert_eq!(parse_record("7b7"), Err(RecordError::OddLength));
        assert_eq!(parse_record("zz"), Err(RecordError::NotHex));
        assert_eq!(parse_record("é"), Err(RecordError::NotHex));
        assert_eq!(parse_record("two words"), Err(RecordError::NoRecord));
    }
}
