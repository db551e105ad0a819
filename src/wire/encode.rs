//! From types to a datagram's bytes.

use std::io::Write;

use serde::Serialize;

use super::frame::{Frame, Hello, Refuse, Welcome};
use super::{ConnectionId, HELLO_BYTES, Handshake, Messages, VERSION, checksum};

/// Writes one packet, frame by frame, never beyond its limit.
///
/// The head grows in the caller's buffer and the bytes in one of its own, because a frame's bytes stand behind the whole head.
#[derive(Debug)]
pub struct PacketWriter<'b> {
    head: &'b mut Vec<u8>,
    bytes: &'b mut Vec<u8>,
    digits_at: usize,
    limit: usize,
    frames: usize,
}

impl<'b> PacketWriter<'b> {
    /// Begins packet `number` to the connection `to`. Both buffers are cleared. `limit` bounds the whole datagram in bytes.
    pub fn new(
        head: &'b mut Vec<u8>,
        bytes: &'b mut Vec<u8>,
        to: ConnectionId,
        number: u64,
        low: Option<u64>,
        limit: usize,
    ) -> Self {
        head.clear();
        bytes.clear();
        let digits_at = write_prefix(head);
        write_all(head, format_args!(",\"to\":\"{to}\",\"n\":{number}"));
        if let Some(low) = low {
            write_all(head, format_args!(",\"low\":{low}"));
        }
        head.extend_from_slice(b",\"f\":[");
        Self { head, bytes, digits_at, limit, frames: 0 }
    }

    /// How many bytes are left for a frame's head and its bytes together.
    pub fn room(&self) -> usize {
        let separator = usize::from(self.frames > 0);
        self.limit.saturating_sub(self.head.len() + separator + SUFFIX.len() + self.bytes.len())
    }

    /// Whether no frame is in it yet.
    pub const fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// Adds a frame if it fits; tells whether it did.
    pub fn push(&mut self, frame: &Frame<'_>) -> bool {
        if self.frames == super::MAX_FRAMES {
            return false;
        }
        let (head_before, bytes_before) = (self.head.len(), self.bytes.len());
        if self.frames > 0 {
            self.head.push(b',');
        }
        write_json(self.head, frame);
        match frame {
            Frame::Msg(messages) => {
                messages.bodies.iter().for_each(|body| self.bytes.extend_from_slice(body));
            }
            Frame::Part(part) => self.bytes.extend_from_slice(part.body),
            Frame::Gram { body } => self.bytes.extend_from_slice(body),
            Frame::Pad { bytes } => self.bytes.extend_from_slice(bytes),
            _ => {}
        }
        if self.head.len() + SUFFIX.len() + self.bytes.len() > self.limit {
            self.head.truncate(head_before);
            self.bytes.truncate(bytes_before);
            return false;
        }
        self.frames += 1;
        true
    }

    /// Completes the packet in the head's buffer and tells its length.
    pub fn finish(self) -> usize {
        self.head.extend_from_slice(b"]}");
        if !self.bytes.is_empty() {
            self.head.push(b'\n');
            self.head.extend_from_slice(self.bytes);
        }
        checksum::seal(self.head, self.digits_at);
        self.head.len()
    }
}

/// What ends a head that bytes follow.
const SUFFIX: &[u8] = b"]}\n";

impl Messages<'_> {
    /// The most bytes that the frame's head takes without its list of lengths.
    pub fn head_bytes(stream: u32, seq: u64, unordered: bool) -> usize {
        r#"{"t":"msg","seq":,"len":[]}"#.len() + common_bytes(stream, seq, unordered)
    }

    /// The most bytes that one more message adds to the head; its own bytes come on top.
    pub const ENTRY_BYTES: usize = ",65507".len();
}

impl super::Part<'_> {
    /// The most bytes that the frame's head takes.
    pub fn head_bytes(stream: u32, seq: u64, unordered: bool, offset: u64) -> usize {
        r#"{"t":"part","seq":,"off":,"last":true,"len":65507}"#.len()
            + common_bytes(stream, seq, unordered)
            + decimal_digits(offset)
    }
}

fn common_bytes(stream: u32, seq: u64, unordered: bool) -> usize {
    let stream_bytes = if stream == 0 { 0 } else { r#""st":,"#.len() + decimal_digits(stream.into()) };
    let unordered_bytes = if unordered { r#""unordered":true,"#.len() } else { 0 };
    stream_bytes + unordered_bytes + decimal_digits(seq)
}

const fn decimal_digits(number: u64) -> usize {
    if number == 0 { 1 } else { number.ilog10() as usize + 1 }
}

/// Writes a datagram that stands outside of any connection; a hello is padded to its least length (UC-HS-002).
pub fn encode_handshake(buffer: &mut Vec<u8>, handshake: &Handshake<'_>) {
    buffer.clear();
    let digits_at = write_prefix(buffer);
    match handshake {
        Handshake::Hello(hello) => {
            write_frames(buffer, None, &HandshakeFrame::Hello(hello));
            pad(buffer, HELLO_BYTES);
        }
        Handshake::Welcome { to, welcome } => {
            write_frames(buffer, Some(*to), &HandshakeFrame::Welcome(welcome));
        }
        Handshake::Refuse { to, refuse } => write_frames(buffer, *to, &HandshakeFrame::Refuse(refuse)),
    }
    checksum::seal(buffer, digits_at);
}

#[derive(Serialize)]
#[serde(tag = "t", rename_all = "lowercase")]
enum HandshakeFrame<'a> {
    Hello(&'a Hello),
    Welcome(&'a Welcome),
    Refuse(&'a Refuse<'a>),
}

fn write_frames(buffer: &mut Vec<u8>, to: Option<ConnectionId>, frame: &HandshakeFrame<'_>) {
    if let Some(to) = to {
        write_all(buffer, format_args!(",\"to\":\"{to}\""));
    }
    buffer.extend_from_slice(b",\"f\":[");
    write_json(buffer, frame);
    buffer.extend_from_slice(b"]}");
}

/// Adds a `pad` frame so that the datagram gets `length` bytes, unless it has as many already.
fn pad(buffer: &mut Vec<u8>, length: usize) {
    const FRAME_BYTES: usize = r#",{"t":"pad","len":100}"#.len() + 1;
    let padding = length.saturating_sub(buffer.len() + FRAME_BYTES).max(100);
    if buffer.len() >= length {
        return;
    }
    buffer.truncate(buffer.len() - 2);
    write_all(buffer, format_args!(",{{\"t\":\"pad\",\"len\":{padding}}}]}}\n"));
    buffer.resize(buffer.len() + padding, b'.');
}

/// Writes `{"v":1,"c":"00000000"` and returns where the digits stand.
fn write_prefix(buffer: &mut Vec<u8>) -> usize {
    write_all(buffer, format_args!("{{\"v\":{VERSION},\"c\":\""));
    let digits_at = buffer.len();
    buffer.extend_from_slice(b"00000000\"");
    digits_at
}

fn write_json<T: Serialize>(buffer: &mut Vec<u8>, value: &T) {
    // Our frame types have no maps with odd keys and no failing Serialize, and a Vec takes every write.
    serde_json::to_writer(buffer, value).expect("a frame is always JSON");
}

fn write_all(buffer: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    buffer.write_fmt(text).expect("a Vec takes every write");
}
