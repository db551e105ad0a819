//! Hellos from a hundred thousand addresses a second, none of which reads an answer.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use udpchat::endpoint::{Endpoint, EndpointConfig, Protection};
use udpchat::machine::Path;
use udpchat::secure::KeyPair;
use udpchat::time::{self, Now, WallTime};

/// A flood under way.
pub struct Flood {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Flood {
    /// Begins to send `rate` hellos a second. On Linux every address of 127.0.0.0/8 is this machine's, so a socket of its own for
    /// each hello is as good as a forged address.
    pub fn begin(relay: SocketAddr, rate: u32) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_over);
        Self { is_over, thread: std::thread::spawn(move || send(relay, rate, &until)) }
    }

    /// Stops it; tells how many hellos were sent.
    pub fn end(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn send(relay: SocketAddr, rate: u32, is_over: &AtomicBool) -> u64 {
    let hello = hello(relay);
    let start = Instant::now();
    let mut sent = 0_u64;
    while !is_over.load(Ordering::Relaxed) {
        let due = (start.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        if sent >= due {
            std::thread::sleep(Duration::from_micros(200));
            continue;
        }
        let [_, a, b, c] = u32::try_from(sent % (1 << 23)).unwrap().to_be_bytes();
        // A port of its own choice may be taken for a moment; then this one is left out.
        if let Ok(socket) = UdpSocket::bind(SocketAddr::from(([127, 128 + a, b, c], 0))) {
            let _ = socket.send_to(&hello, relay);
        }
        sent += 1;
    }
    sent
}

fn hello(relay: SocketAddr) -> Vec<u8> {
    let keys = Arc::new(KeyPair::from_secret([66; 32]));
    let protection = Protection::Sealed { keys, seed: [66; 32].into() };
    let mut endpoint = Endpoint::new(EndpointConfig { protection, ..EndpointConfig::default() }, 66);
    let now = Now { instant: time::Instant::from_nanos(1), wall: WallTime::default() };
    endpoint.connect(now, &[Path::to(relay)], None).unwrap();
    let mut buffer = Vec::new();
    let transmit = endpoint.poll_transmit(now, &mut buffer).unwrap();
    buffer.truncate(transmit.length);
    buffer
}
