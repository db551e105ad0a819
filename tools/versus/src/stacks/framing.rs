//! Messages in a stream of bytes: two bytes of length before each, for stacks that know no messages.

/// Bytes as they come, cut into messages.
#[derive(Debug, Default)]
pub struct Framing {
    bytes: Vec<u8>,
    /// How much of them was taken.
    taken: usize,
}

impl Framing {
    /// What stands before a message.
    pub const HEAD_BYTES: usize = 2;

    /// A message with its length before it, into `framed`.
    pub fn frame(message: &[u8], framed: &mut Vec<u8>) {
        let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
        framed.clear();
        framed.extend_from_slice(&length.to_be_bytes());
        framed.extend_from_slice(message);
    }

    /// More of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        } else if self.taken > 1 << 16 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message.
    pub fn take(&mut self, message: &mut Vec<u8>) -> bool {
        let rest = &self.bytes[self.taken..];
        let Some((head, rest)) = rest.split_first_chunk::<{ Self::HEAD_BYTES }>() else { return false };
        let length = usize::from(u16::from_be_bytes(*head));
        let Some(body) = rest.get(..length) else { return false };
        message.clear();
        message.extend_from_slice(body);
        self.taken += Self::HEAD_BYTES + length;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in_however_the_stream_is_cut() {
        let (mut framed, mut stream) = (Vec::new(), Vec::new());
        for message in [b"one".as_slice(), b"", b"three"] {
            Framing::frame(message, &mut framed);
            stream.extend_from_slice(&framed);
        }
        let (mut framing, mut message, mut seen) = (Framing::default(), Vec::new(), Vec::new());
        for byte in stream {
            framing.push(&[byte]);
            while framing.take(&mut message) {
                seen.push(message.clone());
            }
        }
        assert_eq!(seen, [b"one".to_vec(), b"".to_vec(), b"three".to_vec()]);
    }
}
