//! Standard output and standard error, written in whole batches.
//!
//! A reader that went away (`udpchat listen | head`) is a quiet end and never a panic: the first failure is remembered, and
//! nothing more is written.

use std::io::{self, Write};

/// Collects text and hands it to the system in one call.
#[derive(Debug)]
pub struct Output {
    stream: Stream,
    batch: Vec<u8>,
    failure: Option<io::Error>,
}

#[derive(Clone, Copy, Debug)]
enum Stream {
    Stdout,
    Stderr,
    #[cfg(test)]
    Memory,
}

impl Output {
    /// Where data goes.
    pub fn stdout() -> Self {
        Self::new(Stream::Stdout)
    }

    /// Where chatter goes.
    pub fn stderr() -> Self {
        Self::new(Stream::Stderr)
    }

    /// Keeps everything in the batch, for tests.
    #[cfg(test)]
    pub(crate) fn memory() -> Self {
        Self::new(Stream::Memory)
    }

    fn new(stream: Stream) -> Self {
        Self { stream, batch: Vec::new(), failure: None }
    }

    /// Adds `text` to the batch.
    pub fn push(&mut self, text: &str) {
        if self.failure.is_none() {
            self.batch.extend_from_slice(text.as_bytes());
        }
    }

    /// Adds `text` and a line's end.
    pub fn push_line(&mut self, text: &str) {
        self.push(text);
        self.push("\n");
    }

    /// Hands the batch to the system.
    pub fn flush(&mut self) {
        if self.batch.is_empty() || self.failure.is_some() {
            return;
        }
        let written = match self.stream {
            Stream::Stdout => write_all(&mut io::stdout().lock(), &self.batch),
            Stream::Stderr => write_all(&mut io::stderr().lock(), &self.batch),
            #[cfg(test)]
            Stream::Memory => return,
        };
        self.batch.clear();
        // Whatever the reason (a closed pipe, a full disk, a vanished terminal), nobody gets what is written from now on.
        self.failure = written.err();
    }

    /// Why nobody gets what is written any more; None while all is well.
    pub fn failure(&self) -> Option<&io::Error> {
        self.failure.as_ref()
    }

    /// What was pushed since the last call, for tests.
    #[cfg(test)]
    pub(crate) fn take(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.batch)).expect("only text is pushed")
    }
}

fn write_all(stream: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Somebody else made the terminal non-blocking, another program of the same shell for instance. Spinning would
            // burn the processor, and giving up would lose text.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            Err(error) => return Err(error),
        }
    }
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stubborn {
        refusals: usize,
        written: Vec<u8>,
    }

    impl Write for Stubborn {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.refusals > 0 {
                self.refusals -= 1;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.written.extend_from_slice(&bytes[..1]);
            Ok(1)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nothing_is_lost_to_a_stream_that_blocks() {
        let mut stream = Stubborn { refusals: 2, written: Vec::new() };
        write_all(&mut stream, b"whole").expect("it takes the text in the end");
        assert_eq!(stream.written, b"whole");
    }
}
