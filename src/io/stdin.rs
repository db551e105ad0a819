//! Standard input in pieces, whatever it is: a terminal, a pipe or a file.
//!
//! Reading may block and a regular file cannot be polled for at all, so a thread reads and a short queue hands the pieces over.
//! Whoever does not ask for them slows the thread down, never makes memory grow: there are at most three pieces
//! of 64 KiB.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;

use mio::Waker;

/// A pipe's capacity on Linux, so that one read empties it.
const CHUNK_BYTES: usize = 64 * 1024;

/// One piece being used, one ready, one being read.
const QUEUED_CHUNKS: usize = 1;

/// What comes next.
#[derive(Debug)]
pub enum Piece {
    /// Some bytes, as many as one read gave.
    Bytes(Vec<u8>),
    /// The system failed to read. Nothing follows.
    Failed(io::Error),
    /// Nothing yet; the loop is woken up when there is more.
    Waiting,
    /// There is no more.
    End,
}

/// The pieces of standard input, for a loop that must not wait for them.
#[derive(Debug)]
pub struct Chunks {
    chunks: Receiver<io::Result<Vec<u8>>>,
}

impl Chunks {
    /// Begins to read; `waker` tells the loop that there is something.
    pub fn read_stdin(waker: Arc<Waker>) -> io::Result<Self> {
        let (sender, chunks) = sync_channel(QUEUED_CHUNKS);
        let work = move || {
            read_chunks(&mut io::stdin().lock(), &sender, &waker);
            // The loop sees the end when the queue is gone, so it is woken up after that and not before.
            drop(sender);
            // Fails only when the loop has ended.
            let _ = waker.wake();
        };
        thread::Builder::new().name("stdin".to_owned()).spawn(work)?;
        Ok(Self { chunks })
    }

    /// The next piece, without waiting for it.
    pub fn next_piece(&mut self) -> Piece {
        match self.chunks.try_recv() {
            Ok(Ok(bytes)) => Piece::Bytes(bytes),
            Ok(Err(error)) => Piece::Failed(error),
            Err(TryRecvError::Empty) => Piece::Waiting,
            Err(TryRecvError::Disconnected) => Piece::End,
        }
    }
}

/// The thread's work: ends with the input, or when nobody takes the pieces any more.
fn read_chunks(input: &mut impl Read, sender: &SyncSender<io::Result<Vec<u8>>>, waker: &Waker) {
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let piece = match input.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => {
                chunk.truncate(count);
                Ok(chunk)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // Another program of the same shell made the terminal non-blocking.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                thread::sleep(std::time::Duration::from_millis(10));
                continue;
            }
            Err(error) => Err(error),
        };
        let failed = piece.is_err();
        if sender.send(piece).is_err() || waker.wake().is_err() || failed {
            break;
        }
    }
}
