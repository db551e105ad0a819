//! A server as a process: begun, watched, and ended with the value.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// A running one.
pub struct Server {
    child: Child,
}

/// How long one may take before it listens, in tenths of a second.
const PATIENCE: usize = 50;

impl Server {
    /// Starts `program` from the path, which is to listen at `port`.
    pub fn start(program: &str, arguments: &[OsString], port: u16) -> io::Result<Self> {
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{program} does not start: {error}")))?;
        let server = Self { child };
        for _ in 0..PATIENCE {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(server);
            }
            thread::sleep(Duration::from_millis(100));
        }
        Err(io::Error::other(format!("{program} does not listen")))
    }

    /// Starts our relay, which tells where it listens.
    pub fn start_relay(program: &Path, folder: &Path) -> io::Result<(Self, SocketAddr)> {
        let mut child = Command::new(program)
            .args(["relay", "--flood", "off", "--memory", "--bind", "127.0.0.1:0", "--data"])
            .arg(folder)
            .arg("--config")
            .arg(folder.join("relay.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("it has no output"))?;
        let server = Self { child };
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on ").and_then(|text| text.parse().ok());
        let address = address.ok_or_else(|| io::Error::other(format!("the relay says {line}")))?;
        // It says more than that; somebody has to read it.
        thread::spawn(move || io::copy(&mut output, &mut io::sink()));
        Ok((server, address))
    }

    /// The processor time that it has used.
    pub fn used(&self) -> io::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        // The 14th and 15th fields of the whole line; a tick is 10 ms on every Linux.
        let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok());
        Ok(Duration::from_millis(10 * ticks.sum::<u64>()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One that nobody had a moment ago.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
