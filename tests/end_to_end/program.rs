//! The programs as a test drives them: started, fed, read, ended, and never left behind.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::Value;

use crate::home;

/// A program that runs in the background and prints JSON lines.
pub struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    /// Its lines, read by a thread of their own: a full pipe would stop the program.
    lines: Receiver<String>,
    events: Vec<Value>,
    /// Where it can be reached.
    pub address: String,
}

/// What a program reads.
pub enum Input<'a> {
    None,
    Text(&'a str),
}

impl Program {
    pub fn listen(flags: &[&str]) -> Self {
        let mut command = udpchat(&["listen", "--json", "--bind", "127.0.0.1:0"]);
        command.args(flags);
        Self::start(command, "addr")
    }

    /// A listener whose flags say where.
    pub fn listen_as(flags: &[&str]) -> Self {
        let mut command = udpchat(&["listen", "--json"]);
        command.args(flags);
        Self::start(command, "addr")
    }

    /// A listener that writes to `file`, on a port that is free a moment before.
    pub fn listen_into(file: std::fs::File) -> (Child, String) {
        let address = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut command = udpchat(&["listen", "--bind", &address]);
        let child = command.stdout(file).stderr(Stdio::null()).spawn().unwrap();
        (child, address)
    }

    pub fn peer(flags: &[&str]) -> Self {
        let mut command = udpchat(&["peer", "--json", "--bind", "127.0.0.1:0"]);
        command.args(flags);
        Self::start(command, "addr")
    }

    /// A peer with something in its environment.
    pub fn peer_with(flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = udpchat(&["peer", "--json", "--bind", "127.0.0.1:0"]);
        command.args(flags).envs(environment.iter().copied());
        Self::start(command, "addr")
    }

    /// A relay that keeps its things in `data`.
    pub fn relay(bind: &str, data: &str, flags: &[&str]) -> Self {
        let mut command = udpchat(&["relay", "--json", "--bind", bind, "--data", data]);
        command.args(flags);
        Self::start(command, "addr")
    }

    /// A proxy on a port of its own in front of `target`. It ends by itself, should the test not end it.
    pub fn proxy(target: &str, link: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lossy-proxy"));
        command.args(["--json", "--quiet", "--for", "300s", "--seed", "7"]);
        command.args(["--listen", "127.0.0.1:0", "--to", target]).args(link);
        Self::start(command, "listen")
    }

    pub fn send_in_background(flags: &[&str], text: &str) -> Sender {
        let mut command = udpchat(&["send"]);
        let mut child = command.args(flags).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let text = text.to_owned();
        // The program may end before it has read everything.
        std::thread::spawn(move || drop(stdin.write_all(text.as_bytes())));
        Sender(child)
    }

    fn start(mut command: Command, address_field: &str) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut program = Self { child, stdin, lines, events: Vec::new(), address: String::new() };
        let ready = program.read_until(r#""event":"ready""#, 1).pop().unwrap();
        program.address = ready[address_field].as_str().unwrap().to_owned();
        program
    }

    /// Reads events until `count` lines with `needle` came, and returns those.
    pub fn read_until(&mut self, needle: &str, count: usize) -> Vec<Value> {
        let mut found = Vec::new();
        while found.len() < count {
            let Some(line) = self.next_line() else {
                panic!("the program ended before it printed {needle}; it printed {:?}", self.events);
            };
            let event: Value = serde_json::from_str(&line).unwrap();
            if line.contains(needle) {
                found.push(event.clone());
            }
            self.events.push(event);
        }
        found
    }

    /// The key that it said at its start.
    pub fn key(&self) -> String {
        let ready = self.events.iter().find(|event| event["event"] == "ready").unwrap();
        ready["key"].as_str().unwrap().to_owned()
    }

    /// Reads events up to the first line with `needle`, and returns everything that was printed up to it.
    pub fn read_all_until(&mut self, needle: &str) -> Vec<Value> {
        self.read_until(needle, 1);
        self.events.clone()
    }

    /// Asks it to end, as Ctrl-C does.
    pub fn interrupt(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
    }

    /// None at the end of its output. A program that says nothing for two minutes hangs.
    fn next_line(&self) -> Option<String> {
        match self.lines.recv_timeout(Duration::from_secs(120)) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the program hangs; it printed {:?}", self.events),
        }
    }

    pub fn write_line(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Closes its input and waits for its end.
    pub fn finish(mut self) -> (i32, Vec<Value>) {
        self.stdin = None;
        self.wait()
    }

    /// Waits for its end; tells the exit code and everything that it printed.
    pub fn wait(mut self) -> (i32, Vec<Value>) {
        self.read_rest();
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        (code, std::mem::take(&mut self.events))
    }

    /// Ends it as a power cut would; tells what it had printed.
    pub fn kill(mut self) -> Vec<Value> {
        self.kill_now();
        self.read_rest();
        std::mem::take(&mut self.events)
    }

    /// The same, and its port is free.
    pub fn kill_now(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn read_rest(&mut self) {
        while let Some(line) = self.next_line() {
            self.events.extend(serde_json::from_str(&line).ok());
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A sender that is under way.
pub struct Sender(Child);

impl Sender {
    pub fn wait_for_output(self) -> Output {
        self.0.wait_with_output().unwrap()
    }
}

/// Runs the program to its end.
pub fn run_to_end(arguments: &[&str], input: Input<'_>) -> Output {
    let mut child = udpchat(arguments).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = match input {
        Input::None => String::new(),
        Input::Text(text) => text.to_owned(),
    };
    let writer = std::thread::spawn(move || drop(stdin.write_all(text.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

pub fn exit_code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

pub fn lines_of(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
}

/// The texts of all messages among the events.
pub fn texts(events: &[Value]) -> Vec<String> {
    events
        .iter()
        .filter(|event| event["event"] == "message")
        .map(|event| event["text"].as_str().unwrap().to_owned())
        .collect()
}

fn udpchat(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_udpchat"));
    command.args(arguments).envs(home::environment()).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}
