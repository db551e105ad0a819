//! The NATS client protocol, as much of it as a room needs.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use super::tcp_crowd::{Heard, Tongue};

/// Members of one subject.
pub struct Nats;

impl Tongue for Nats {
    fn arguments(&self, port: u16, _folder: &Path) -> io::Result<Vec<OsString>> {
        Ok(["-a", "127.0.0.1", "-p", &port.to_string()].map(OsString::from).to_vec())
    }

    fn greet(&self, _member: usize, output: &mut Vec<u8>) {
        // The answer to the ping says that the rest was heeded.
        output.extend_from_slice(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB room 1\r\nPING\r\n");
    }

    fn say(&mut self, line: &[u8], output: &mut Vec<u8>) {
        output.extend_from_slice(format!("PUB room {}\r\n", line.len()).as_bytes());
        output.extend_from_slice(line);
        output.extend_from_slice(b"\r\n");
    }

    fn hear(&self, input: &[u8], output: &mut Vec<u8>) -> Option<(usize, Heard)> {
        let end = input.windows(2).position(|pair| pair == b"\r\n")?;
        let head = std::str::from_utf8(&input[..end]).unwrap_or("");
        if let Some(rest) = head.strip_prefix("MSG ") {
            let length: usize = rest.rsplit(' ').next()?.parse().ok()?;
            let whole = end + 2 + length + 2;
            return (input.len() >= whole).then_some((whole, Heard::Line));
        }
        if head == "PING" {
            output.extend_from_slice(b"PONG\r\n");
        }
        let heard = if head == "PONG" { Heard::Seated } else { Heard::Other };
        Some((end + 2, heard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_heard_once_it_is_whole() {
        let (whole, mut output) = (b"MSG room 1 3\r\nabc\r\nPONG\r\n", Vec::new());
        assert_eq!(Nats.hear(&whole[..18], &mut output), None);
        assert_eq!(Nats.hear(whole, &mut output), Some((19, Heard::Line)));
        assert_eq!(Nats.hear(&whole[19..], &mut output), Some((6, Heard::Seated)));
        assert!(output.is_empty());
    }
}
