//! From types to a datagram's bytes.

mod frames;

use std::io::Write;

use serde::Serialize;

use super::frame::{Frame, Hello, Mode, Refuse, Welcome};
use super::{ConnectionId, HELLO_BYTES, Handshake, Messages, VERSION, checksum};
use frames::{write_frame, write_member};

/// How a packet is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form<'a> {
    /// By a checksum, which protects against accidents only.
    Clear,
    /// By a seal, which the caller puts on: from [`PacketWriter::sealed_at`] on, and behind the end.
    Sealed {
        /// The epoch of the key.
        epoch: u64,
        /// The handshake's third message while the other side may not have it, or nothing.
        finish: &'a [u8],
    },
}

/// Writes one packet, frame by frame, never beyond its limit.
///
/// The head grows in the caller's buffer and the bytes in one of its own, because a frame's bytes stand behind the whole head.
#[derive(Debug)]
pub struct PacketWriter<'b> {
    head: &'b mut Vec<u8>,
    bytes: &'b mut Vec<u8>,
    /// Where in the head's buffer the packet begins.
    start: usize,
    protection: Protection,
    /// How far its buffers may grow together.
    limit: usize,
    frames: usize,
}

#[derive(Clone, Copy, Debug)]
enum Protection {
    Checksum { digits_at: usize },
    Seal { sealed_at: usize },
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
        Self::in_clear(head, bytes, (to, number), low, limit)
    }

    fn in_clear(
        head: &'b mut Vec<u8>,
        bytes: &'b mut Vec<u8>,
        (to, number): (ConnectionId, u64),
        low: Option<u64>,
        limit: usize,
    ) -> Self {
        let start = head.len();
        let digits_at = write_prefix(head);
        head.extend_from_slice(b",\"to\":\"");
        head.extend_from_slice(to.as_bytes());
        write_member(head, b"\",\"n\":", number);
        if let Some(low) = low {
            write_member(head, b",\"low\":", low);
        }
        head.extend_from_slice(b",\"f\":[");
        let protection = Protection::Checksum { digits_at };
        Self { head, bytes, start, protection, limit: start + limit, frames: 0 }
    }

    /// The same in either form, and behind what stands in `head` already: several packets can leave with one call to the system. Of
    /// a sealed packet `limit` bounds what is written here; the seal comes on top.
    pub fn in_form(
        head: &'b mut Vec<u8>,
        bytes: &'b mut Vec<u8>,
        (to, number): (ConnectionId, u64),
        form: Form<'_>,
        low: Option<u64>,
        limit: usize,
    ) -> Self {
        let start = head.len();
        bytes.clear();
        let Form::Sealed { epoch, finish } = form else {
            return Self::in_clear(head, bytes, (to, number), low, limit);
        };
        write_member(head, b"{\"v\":", VERSION);
        head.extend_from_slice(b",\"to\":\"");
        head.extend_from_slice(to.as_bytes());
        write_member(head, b"\",\"n\":", number);
        if epoch > 0 {
            write_member(head, b",\"k\":", epoch);
        }
        if !finish.is_empty() {
            write_member(head, b",\"finish\":", finish.len() as u64);
        }
        head.extend_from_slice(b"}\n");
        head.extend_from_slice(finish);
        let sealed_at = head.len();
        match low {
            Some(low) => {
                write_member(head, b"{\"low\":", low);
                head.extend_from_slice(b",\"f\":[");
            }
            None => head.extend_from_slice(b"{\"f\":["),
        }
        let protection = Protection::Seal { sealed_at };
        Self { head, bytes, start, protection, limit: start + limit, frames: 0 }
    }

    /// Where in the head's buffer what is to be sealed begins; None in the clear.
    pub const fn sealed_at(&self) -> Option<usize> {
        match self.protection {
            Protection::Checksum { .. } => None,
            Protection::Seal { sealed_at } => Some(sealed_at),
        }
    }

    /// How many bytes are left for a frame's head and its bytes together.
    pub fn room(&self) -> usize {
        let separator = usize::from(self.frames > 0);
        self.limit.saturating_sub(self.head.len() + separator + SUFFIX.len() + self.bytes.len())
    }

    /// Keeps so many bytes free for what comes later, until they are given back.
    pub const fn set_aside(&mut self, bytes: usize) {
        self.limit = self.limit.saturating_sub(bytes);
    }

    /// Gives back what was set aside.
    pub const fn give_back(&mut self, bytes: usize) {
        self.limit += bytes;
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
        write_frame(self.head, frame);
        match frame {
            Frame::Msg(messages) => {
                messages.bodies.iter().for_each(|body| self.bytes.extend_from_slice(body));
            }
            Frame::Part(part) => part.bodies.iter().for_each(|body| self.bytes.extend_from_slice(body)),
            Frame::Repair(repair) => {
                repair.symbols.iter().for_each(|symbol| self.bytes.extend_from_slice(symbol));
            }
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

    /// Completes the packet in the head's buffer and tells its length there.
    pub fn finish(self) -> usize {
        self.head.extend_from_slice(b"]}");
        if !self.bytes.is_empty() {
            self.head.push(b'\n');
            self.head.extend_from_slice(self.bytes);
        }
        if let Protection::Checksum { digits_at } = self.protection {
            checksum::seal(&mut self.head[self.start..], digits_at - self.start);
        }
        self.head.len() - self.start
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
    /// How many bytes the frame's head takes without its lengths and what stands around them.
    pub fn head_bytes(stream: u32, seq: u64, unordered: bool, offset: u64, last: bool) -> usize {
        let last_bytes = if last { r#""last":true,"#.len() } else { 0 };
        r#"{"t":"part","seq":,"off":,"len":}"#.len()
            + common_bytes(stream, seq, unordered)
            + decimal_digits(offset)
            + last_bytes
    }
}

impl super::Repair<'_> {
    /// How many bytes the frame's head takes for so many ranges up to the message `seq`, and so many symbols.
    pub fn head_bytes(stream: u32, seq: u64, unordered: bool, ranges: usize, symbols: usize) -> usize {
        let range_bytes = "[,],".len() + 2 * decimal_digits(seq);
        r#"{"t":"repair","of":[],"len":[]}"#.len()
            + common_bytes(stream, 0, unordered)
            + ranges * range_bytes
            + symbols * Messages::ENTRY_BYTES
    }
}

fn common_bytes(stream: u32, seq: u64, unordered: bool) -> usize {
    let stream_bytes = if stream == 0 { 0 } else { r#""st":,"#.len() + decimal_digits(stream.into()) };
    let unordered_bytes = if unordered { r#""unordered":true,"#.len() } else { 0 };
    stream_bytes + unordered_bytes + decimal_digits(seq)
}

/// How many digits a number has.
pub const fn decimal_digits(number: u64) -> usize {
    if number == 0 { 1 } else { number.ilog10() as usize + 1 }
}

/// Writes a datagram that stands outside of any connection; a hello is padded to its least length (UC-HS-002).
pub fn encode_handshake(buffer: &mut Vec<u8>, handshake: &Handshake<'_>) {
    buffer.clear();
    let digits_at = write_prefix(buffer);
    let (to, frame, message): (_, _, &[u8]) = match handshake {
        Handshake::Hello(hello) => (None, HandshakeFrame::Hello(hello), &[]),
        Handshake::SealedHello(hello) => {
            let cookie = hello.cookie.as_deref();
            (None, HandshakeFrame::sealed_hello(hello.id, cookie, hello.message.len()), hello.message)
        }
        Handshake::Welcome { to, welcome } => (Some(*to), HandshakeFrame::Welcome(welcome), &[]),
        Handshake::SealedWelcome { to, message } => {
            (Some(*to), HandshakeFrame::SealedWelcome { len: message.len() }, message)
        }
        Handshake::Retry { to, cookie } => (Some(*to), HandshakeFrame::Retry { cookie }, &[]),
        Handshake::Refuse { to, refuse } => (*to, HandshakeFrame::Refuse(refuse), &[]),
    };
    if let Some(to) = to {
        write_all(buffer, format_args!(",\"to\":\"{to}\""));
    }
    buffer.extend_from_slice(b",\"f\":[");
    write_json(buffer, &frame);
    let is_hello = matches!(handshake, Handshake::Hello(_) | Handshake::SealedHello(_));
    let padding = if is_hello { padding(buffer.len() + message.len()) } else { 0 };
    if padding > 0 {
        write_all(buffer, format_args!(",{{\"t\":\"pad\",\"len\":{padding}}}"));
    }
    buffer.extend_from_slice(b"]}");
    if !message.is_empty() || padding > 0 {
        buffer.push(b'\n');
        buffer.extend_from_slice(message);
        buffer.resize(buffer.len() + padding, b'.');
    }
    checksum::seal(buffer, digits_at);
}

#[derive(Serialize)]
#[serde(tag = "t", rename_all = "lowercase")]
enum HandshakeFrame<'a> {
    Hello(&'a Hello),
    #[serde(rename = "hello")]
    SealedHello {
        id: ConnectionId,
        mode: Mode,
        #[serde(skip_serializing_if = "Option::is_none")]
        cookie: Option<&'a str>,
        len: usize,
    },
    Welcome(&'a Welcome),
    #[serde(rename = "welcome")]
    SealedWelcome {
        len: usize,
    },
    Retry {
        cookie: &'a str,
    },
    Refuse(&'a Refuse<'a>),
}

impl<'a> HandshakeFrame<'a> {
    const fn sealed_hello(id: ConnectionId, cookie: Option<&'a str>, len: usize) -> Self {
        Self::SealedHello { id, mode: Mode::Sealed, cookie, len }
    }
}

/// How many bytes a `pad` frame must announce so that a hello of this length, without the end of its head, is long enough; 0 if it is.
const fn padding(bytes: usize) -> usize {
    const FRAME_BYTES: usize = r#",{"t":"pad","len":100}]}"#.len() + 1;
    if bytes + 2 >= HELLO_BYTES {
        return 0;
    }
    let padding = HELLO_BYTES.saturating_sub(bytes + FRAME_BYTES);
    if padding > 100 { padding } else { 100 }
}

/// Writes `{"v":1,"c":"00000000"` and returns where the digits stand.
fn write_prefix(buffer: &mut Vec<u8>) -> usize {
    write_member(buffer, b"{\"v\":", VERSION);
    buffer.extend_from_slice(b",\"c\":\"");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn write(buffer: &mut Vec<u8>, number: u64, form: Form<'_>, limit: usize) -> (usize, usize) {
        let to = ConnectionId::random(&mut Random::from_seed(1));
        let mut bytes = b"of the packet before".to_vec();
        let mut writer = PacketWriter::in_form(buffer, &mut bytes, (to, number), form, Some(1), limit);
        while writer.push(&Frame::Gram { body: b"text" }) {}
        let room = writer.room();
        (writer.finish(), room)
    }

    #[test]
    fn a_packet_behind_another_is_the_same_as_alone() {
        for form in [Form::Clear, Form::Sealed { epoch: 3, finish: &[7; 64] }] {
            let (mut alone, mut behind) = (Vec::new(), b"the packet before".to_vec());
            let before = behind.clone();
            let written = write(&mut alone, 40_001, form, 400);
            assert_eq!(write(&mut behind, 40_001, form, 400), written);
            assert_eq!(behind, [before, alone].concat());
        }
    }
}
