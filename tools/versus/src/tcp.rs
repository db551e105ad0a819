//! The system's TCP on the loopback: messages of one length, one after the other, written and read by the buffer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::thread;

use crate::loopback::Shared;
use crate::processor;
use crate::work::{fill, read};

/// How it is set up, for readers.
pub const SETTINGS: &str =
    "TCP: not encrypted, the system's defaults, Nagle off; messages written and read 64 KiB at a time";

const BUFFER_BYTES: usize = 64 * 1024;

/// Both ends, each in a thread.
pub fn both(message_bytes: usize, shared: &Shared) {
    let listener =
        TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("the loopback has free ports");
    let address = listener.local_addr().expect("it is bound");
    thread::scope(|scope| {
        scope.spawn(move || {
            let stream = TcpStream::connect(address).expect("somebody listens there");
            stream.set_nodelay(true).expect("it is connected");
            send(stream, message_bytes, shared);
        });
        scope.spawn(move || {
            let (stream, _) = listener.accept().expect("somebody calls");
            receive(stream, message_bytes, shared);
        });
    });
}

fn send(mut stream: TcpStream, message_bytes: usize, shared: &Shared) {
    let (mut buffer, mut message, mut number) = (Vec::with_capacity(BUFFER_BYTES), Vec::new(), 0);
    while !shared.must_stop.load(Ordering::Relaxed) {
        buffer.clear();
        while buffer.len() + message_bytes <= BUFFER_BYTES {
            fill(&mut message, number, message_bytes);
            buffer.extend_from_slice(&message);
            number += 1;
        }
        if stream.write_all(&buffer).is_err() {
            return;
        }
        shared.wire_bytes.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        shared.used[0].store(processor::used().as_nanos() as u64, Ordering::Relaxed);
    }
}

/// Until the sender closes.
fn receive(mut stream: TcpStream, message_bytes: usize, shared: &Shared) {
    let (mut buffer, mut filled, mut number) = (vec![0; BUFFER_BYTES], 0, 0);
    while let Ok(length @ 1..) = stream.read(&mut buffer[filled..]) {
        filled += length;
        let whole = filled - filled % message_bytes;
        for message in buffer[..whole].chunks(message_bytes) {
            if read(message, message_bytes) != Some(number) {
                shared.misplaced.fetch_add(1, Ordering::Relaxed);
            }
            number += 1;
        }
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
        shared.received.fetch_add((whole / message_bytes) as u64, Ordering::Relaxed);
        shared.used[1].store(processor::used().as_nanos() as u64, Ordering::Relaxed);
    }
}
