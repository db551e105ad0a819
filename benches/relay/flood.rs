//! Hellos from a hundred thousand addresses a second, none of which reads an answer.
//!
//! They come from a process of its own that gives way to everybody else: attackers have machines of their own, and what is
//! measured is what the relay takes from its members, not what the flooder does.

use std::io::Read;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use quinn_udp::{Transmit, UdpSocketState};
use udpchat::endpoint::{Endpoint, EndpointConfig, Protection};
use udpchat::machine::Path;
use udpchat::secure::KeyPair;
use udpchat::time::{self, Now, WallTime};

/// A flood under way.
pub struct Flood(Child);

impl Flood {
    /// Begins to send `rate` hellos a second.
    pub fn begin(relay: SocketAddr, rate: u32) -> Self {
        let flooder = std::env::current_exe().unwrap();
        let child = Command::new("nice")
            .args(["-n", "19"])
            .arg(flooder)
            .args(["flooder", &relay.to_string(), &rate.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Stops it; tells how many hellos were sent.
    pub fn end(mut self) -> u64 {
        drop(self.0.stdin.take());
        let mut told = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut told).unwrap();
        self.0.wait().unwrap();
        told.trim().parse().unwrap()
    }
}

/// What the flooder's process does: until its input ends.
pub fn run(relay: SocketAddr, rate: u32) {
    let is_over = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&is_over);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        until.store(true, Ordering::Relaxed);
    });
    let sent = send(relay, rate, &is_over);
    println!("{sent}");
}

/// On Linux every address of 127.0.0.0/8 is this machine's, so each hello can leave from another one, which is as good as a forged
/// address. An even stream: what could not be sent in its millisecond is left out.
fn send(relay: SocketAddr, rate: u32, is_over: &AtomicBool) -> u64 {
    const PAUSE: Duration = Duration::from_micros(200);
    let hello = hello(relay);
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let state = UdpSocketState::new((&socket).into()).unwrap();
    let (start, most_behind) = (Instant::now(), u64::from(rate / 1_000));
    let (mut sent, mut left_out) = (0_u64, 0_u64);
    while !is_over.load(Ordering::Relaxed) {
        let due = (start.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        let behind = due - due.min(sent + left_out);
        if behind == 0 {
            std::thread::sleep(PAUSE);
            continue;
        }
        left_out += behind.saturating_sub(most_behind);
        for _ in 0..behind.min(most_behind) {
            let [_, a, b, c] = u32::try_from(sent % (1 << 23)).unwrap().to_be_bytes();
            let source = IpAddr::from([127, 128 + a, b, c]);
            let (contents, segment_size, src_ip) = (&hello[..], None, Some(source));
            let transmit = Transmit { destination: relay, ecn: None, contents, segment_size, src_ip };
            match state.try_send((&socket).into(), &transmit) {
                Ok(()) => sent += 1,
                Err(_) => left_out += 1,
            }
        }
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
