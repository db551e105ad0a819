//! The real relay as a process, and what it takes of the machine.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running relay; ends with the value, and its data with it.
pub struct RelayProgram {
    child: Child,
    flags: Vec<String>,
    folder: PathBuf,
    pub address: SocketAddr,
}

/// What a process took so far.
#[derive(Clone, Copy)]
pub struct Usage {
    pub cpu: Duration,
    pub memory_bytes: u64,
}

impl RelayProgram {
    pub fn start(flags: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("udpchat-bench-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        // A crowd comes from one address, its first talks as fast as it can, and it may be larger than most relays want.
        let settings = "[limits]\nconnections = \"off\"\nmembers = 200000\n";
        fs::write(folder.join("relay.toml"), settings).unwrap();
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let (child, address) = spawn(&flags, &folder, "127.0.0.1:0");
        Self { child, flags, folder, address }
    }

    /// As by `kill -9`, and again on the same port.
    pub fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        (self.child, self.address) = spawn(&self.flags, &self.folder, &self.address.to_string());
    }

    /// Gives it the first processor and everybody else here the second, where `taskset` can.
    pub fn keep_to_itself(&self) {
        for (processor, id) in [("0", self.child.id()), ("1", std::process::id())] {
            let pin = Command::new("taskset").args(["-a", "-p", "-c", processor, &id.to_string()]).output();
            if !pin.is_ok_and(|pin| pin.status.success()) {
                println!("flood: processes are not kept apart");
            }
        }
    }

    pub fn usage(&self) -> Usage {
        let id = self.child.id();
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        // The 14th and 15th fields of the whole line; a tick is 10 ms on every Linux.
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kilobytes: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
        Usage { cpu: Duration::from_millis(ticks * 10), memory_bytes: kilobytes * 1024 }
    }
}

impl Drop for RelayProgram {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn spawn(flags: &[String], folder: &std::path::Path, bind: &str) -> (Child, SocketAddr) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_udpchat"))
        .args(["relay", "--json", "--flood", "off", "--bind", bind, "--data"])
        .arg(folder)
        .arg("--config")
        .arg(folder.join("relay.toml"))
        .args(flags)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = ready["addr"].as_str().unwrap().parse().unwrap();
    // Its log goes on; somebody has to read it.
    std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    (child, address)
}
