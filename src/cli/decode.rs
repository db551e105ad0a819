//! `udpchat decode`: datagrams in hex, as `--trace` writes them, to JSON lines.
//!
//! The head is printed exactly as it travelled. The bytes behind it are printed by the frame that announced them: JSON as
//! JSON, other text as a string, anything else in hex. A line that cannot be decoded says why and stops nothing.

use std::fs::File;
use std::io::{self, BufRead, BufReader};

use serde_json::Value;

use super::args::DecodeArgs;
use super::exit::{Exit, Failure};
use crate::io::output::Output;
use crate::io::socket::MAX_DATAGRAM_BYTES;
use crate::io::trace::{Record, hex, parse_record};
use crate::ui::json::escape;
use crate::wire;

/// The longest line of a trace: the datagram's digits, and room for the fields before them.
const MAX_LINE_BYTES: u64 = 2 * MAX_DATAGRAM_BYTES as u64 + 512;

/// Runs the command.
pub(super) fn run(flags: &DecodeArgs) -> Result<Exit, Failure> {
    let mut input = open(&flags.file)?;
    let mut output = Output::stdout();
    let mut exit = Exit::Done;
    while let Some(line) = read_line(&mut input).map_err(|error| unreadable(&flags.file, &error))? {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let decoded = decode_line(&line).unwrap_or_else(|error| {
            exit = Exit::Failed;
            error
        });
        output.push_line(&escape(decoded));
        // A trace may be followed while it grows, so each line is worth a call.
        output.flush();
        if output.failure().is_some() {
            break;
        }
    }
    Ok(exit)
}

fn open(name: &str) -> Result<Box<dyn BufRead>, Failure> {
    if name == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(name).map_err(|error| unreadable(name, &error))?;
    Ok(Box::new(BufReader::new(file)))
}

fn unreadable(name: &str, error: &io::Error) -> Failure {
    Failure::failed(format!("{name} cannot be read: {error}"))
}

/// The next line; of one that is too long, as much as shows that it is.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    io::Read::take(&mut *input, MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
    if line.len() as u64 == MAX_LINE_BYTES && line.last() != Some(&b'\n') {
        input.skip_until(b'\n')?;
    }
    Ok((!line.is_empty()).then_some(line))
}

/// The JSON for one line of input, on either side of the result.
fn decode_line(line: &[u8]) -> Result<String, String> {
    let line = std::str::from_utf8(line).map_err(|_| refusal(None, "the line is not text"))?;
    let record = parse_record(line).map_err(|error| refusal(None, &error.to_string()))?;
    if let Err(error) = wire::decode(&record.bytes) {
        return Err(refusal(record.labels, &error.to_string()));
    }
    Ok(describe(&record))
}

fn refusal(labels: Option<[&str; 4]>, reason: &str) -> String {
    format!("{{{}\"error\":{}}}", describe_labels(labels), quote(reason))
}

/// Puts the line together by hand, so that the head stays byte for byte what it was, and in its order.
fn describe(record: &Record<'_>) -> String {
    let (head, payload) = match record.bytes.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&record.bytes[..end], &record.bytes[end + 1..]),
        None => (&record.bytes[..], &[][..]),
    };
    let bodies: Vec<String> = bodies(head, payload).iter().map(Body::describe).collect();
    // Nobody reads more of a sealed packet without its key.
    let sealed = match wire::decode(&record.bytes) {
        Ok(wire::Datagram::Sealed(head)) => {
            format!(",\"sealed_bytes\":{}", record.bytes.len() - head.sealed_at)
        }
        _ => String::new(),
    };
    format!(
        "{{{}\"bytes\":{},\"head\":{},\"bodies\":[{}]{sealed}}}",
        describe_labels(record.labels),
        record.bytes.len(),
        // It was decoded, so it is text.
        on_one_line(&String::from_utf8_lossy(head)),
        bodies.join(",")
    )
}

fn describe_labels(labels: Option<[&str; 4]>) -> String {
    let Some([time, direction, local, remote]) = labels else {
        return String::new();
    };
    format!(
        "\"time\":{},\"direction\":{},\"local\":{},\"remote\":{},",
        quote(time),
        quote(direction),
        quote(local),
        quote(remote)
    )
}

/// Bytes that a frame announced.
struct Body<'a> {
    frame: usize,
    kind: String,
    bytes: &'a [u8],
}

/// Cuts the bytes behind the head by the one rule that holds for every kind of frame, known or not: `len` announces them.
fn bodies<'a>(head: &[u8], mut payload: &'a [u8]) -> Vec<Body<'a>> {
    let head: Value = serde_json::from_slice(head).unwrap_or_default();
    let mut bodies = Vec::new();
    for (frame, fields) in head["f"].as_array().into_iter().flatten().enumerate() {
        let lengths = match &fields["len"] {
            Value::Array(lengths) => lengths.as_slice(),
            length => std::slice::from_ref(length),
        };
        for length in lengths.iter().filter_map(Value::as_u64) {
            let end = usize::try_from(length).unwrap_or(usize::MAX).min(payload.len());
            let (bytes, rest) = payload.split_at(end);
            payload = rest;
            bodies.push(Body { frame, kind: fields["t"].as_str().unwrap_or_default().to_owned(), bytes });
        }
    }
    bodies
}

impl Body<'_> {
    fn describe(&self) -> String {
        let text = std::str::from_utf8(self.bytes);
        let shown = match (self.kind.as_str(), text) {
            // What padding says is how long it is.
            ("pad", _) => format!("\"padding\":{}", self.bytes.len()),
            // A sealed hello: a key for this handshake alone, then what everybody may read.
            ("hello", Err(_)) if self.bytes.len() > EPHEMERAL_BYTES => {
                let (ephemeral, wish) = self.bytes.split_at(EPHEMERAL_BYTES);
                let wish = String::from_utf8_lossy(wish);
                let shown = if is_object(&wish) { on_one_line(&wish) } else { quote(&wish) };
                format!("\"ephemeral\":\"{}\",\"json\":{shown}", hex(ephemeral))
            }
            (_, Ok(text)) if is_object(text) => format!("\"json\":{}", on_one_line(text)),
            (_, Ok(text)) => format!("\"text\":{}", quote(text)),
            (_, Err(_)) => format!("\"hex\":\"{}\"", hex(self.bytes)),
        };
        format!("{{\"frame\":{},\"t\":{},{shown}}}", self.frame, quote(&self.kind))
    }
}

/// The public key that a sealed hello begins with.
const EPHEMERAL_BYTES: usize = 32;

fn is_object(text: &str) -> bool {
    matches!(serde_json::from_str(text), Ok(Value::Object(_)))
}

/// JSON has line ends between its tokens only, and there a space means the same.
fn on_one_line(json: &str) -> String {
    json.trim().replace(['\n', '\r'], " ")
}

fn quote(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: &str, payload: &[u8], expected: &[&str]) {
        let shown: Vec<String> = bodies(head.as_bytes(), payload).iter().map(Body::describe).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn bytes_belong_to_the_frame_that_announces_them() {
        check(
            r#"{"f":[{"t":"ack"},{"t":"msg","len":[14,2]},{"t":"part","len":2},{"t":"pad","len":3}]}"#,
            b"{\"b\":1,\n\"a\":2}oi\xff\x00\0\0\0",
            &[
                r#"{"frame":1,"t":"msg","json":{"b":1, "a":2}}"#,
                r#"{"frame":1,"t":"msg","text":"oi"}"#,
                r#"{"frame":2,"t":"part","hex":"ff00"}"#,
                r#"{"frame":3,"t":"pad","padding":3}"#,
            ],
        );
    }

    #[test]
    fn lines_that_are_no_datagram_say_why() {
        assert_eq!(
            decode_line(b"xyz\n"),
            Err(r#"{"error":"the hex has an odd number of digits, so the line is cut short"}"#.to_owned())
        );
        let line = b"1970-01-01T00:00:00.000000Z in 127.0.0.1:1 127.0.0.1:2 7b7d";
        let refused = decode_line(line).expect_err("an empty head says nothing");
        assert!(
            refused.starts_with(
                r#"{"time":"1970-01-01T00:00:00.000000Z","direction":"in","local":"127.0.0.1:1","remote":"127.0.0.1:2","error":""#
            ),
            "{refused}"
        );
    }
}
