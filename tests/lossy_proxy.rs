//! Runs the real `lossy-proxy` between real sockets: what it promises must be what clients and target see.
//!
//! Nothing here depends on how long something takes; every wait has an end only so that a failure is one.

#![cfg(all(feature = "io", unix))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// Long enough for the busiest machine; reached only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A proxy between sockets of the test.
struct Run {
    child: Child,
    stdout: BufReader<ChildStdout>,
    proxy: SocketAddr,
    target: UdpSocket,
}

impl Run {
    fn start(arguments: &[&str]) -> Self {
        let target = socket();
        let mut child = command(arguments)
            .args(["--json", "--quiet", "--listen", "127.0.0.1:0"])
            .args(["--to", &target.local_addr().unwrap().to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let ready = read_line(&mut stdout);
        assert_eq!(ready["event"], "ready");
        let proxy = ready["listen"].as_str().unwrap().parse().unwrap();
        Self { child, stdout, proxy, target }
    }

    /// Sends to the target through the proxy, and says what became of it.
    fn send_up(&mut self, client: &UdpSocket, bytes: &[u8]) -> Value {
        client.send_to(bytes, self.proxy).unwrap();
        loop {
            let told = self.next("datagram");
            if told["dir"] == "up" {
                return told;
            }
        }
    }

    /// The next event of that name.
    fn next(&mut self, event: &str) -> Value {
        loop {
            let line = read_line(&mut self.stdout);
            if line["event"] == event {
                return line;
            }
        }
    }

    /// Asks for the end, and returns the summary.
    fn stop(mut self) -> Value {
        let kill = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let summary = self.next("summary");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        summary
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind; one that succeeded has nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lossy-proxy"));
    command.args(arguments);
    command
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_536];
    let (length, from) = socket.recv_from(&mut buffer).expect("a datagram arrives");
    buffer.truncate(length);
    (buffer, from)
}

/// Whether nothing has arrived that was not received.
fn is_empty(socket: &UdpSocket) -> bool {
    socket.set_nonblocking(true).unwrap();
    let nothing = socket.recv_from(&mut [0]).is_err();
    socket.set_nonblocking(false).unwrap();
    nothing
}

fn read_line(stdout: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?} is no JSON line: {error}"))
}

fn packet(number: u64) -> Vec<u8> {
    let head =
        format!(r#"{{"v":1,"to":"k3f9q2a1","n":{number},"f":[{{"t":"msg","seq":{number},"len":[5]}}]}}"#);
    format!("{head}\nhello").into_bytes()
}

/// The verdicts on packets 0 to 199.
fn verdicts(arguments: &[&str]) -> Vec<String> {
    let mut run = Run::start(arguments);
    let client = socket();
    let verdicts =
        (0..200).map(|number| run.send_up(&client, &packet(number))["verdict"].as_str().unwrap().into());
    let verdicts = verdicts.collect();
    run.stop();
    verdicts
}

#[test]
fn without_faults_everything_passes_unchanged_both_ways() {
    let mut run = Run::start(&[]);
    let client = socket();
    for length in [0, 1, 1_200, 9_000] {
        let bytes: Vec<u8> = (0..length).map(|place| (place % 251) as u8).collect();
        assert_eq!(run.send_up(&client, &bytes)["verdict"], "pass");
        let (seen, flow) = receive(&run.target);
        assert_eq!(seen, bytes);
        run.target.send_to(&bytes, flow).unwrap();
        let (seen, from) = receive(&client);
        assert_eq!((seen, from), (bytes, run.proxy));
    }
    let summary = run.stop();
    for direction in ["up", "down"] {
        assert_eq!([&summary[direction]["received"], &summary[direction]["delivered"]], [4, 4]);
    }
}

#[test]
fn heads_are_told_as_they_are() {
    let mut run = Run::start(&[]);
    let client = socket();
    let told = run.send_up(&client, &packet(42));
    assert_eq!(
        (&told["to"], &told["n"], &told["kinds"]),
        (&"k3f9q2a1".into(), &42.into(), &vec!["msg"].into())
    );
    assert_eq!(
        (&told["dir"], &told["flow"], &told["bytes"]),
        (&"up".into(), &1.into(), &packet(42).len().into())
    );
    let told = run.send_up(&client, b"\xff\x00");
    assert_eq!((told.get("to"), told.get("n"), &told["ordinal"]), (None, None, &1.into()));
    run.stop();
}

#[test]
fn the_same_seed_gives_the_same_verdicts() {
    let first = verdicts(&["--drop", "0.2", "--seed", "7"]);
    assert_eq!(first, verdicts(&["--drop", "20%", "--seed", "7"]));
    assert_ne!(first, verdicts(&["--drop", "20%", "--seed", "8"]));
    let lost = first.iter().filter(|verdict| *verdict == "drop").count();
    assert!((20..60).contains(&lost), "{lost} of 200");
}

#[test]
fn two_clients_are_kept_apart() {
    let mut run = Run::start(&[]);
    let clients = [socket(), socket()];
    let mut flows = Vec::new();
    for (client, name) in clients.iter().zip([b"a", b"b"]) {
        run.send_up(client, name);
        let (seen, flow) = receive(&run.target);
        assert_eq!(seen, name);
        flows.push(flow);
    }
    assert_ne!(flows[0], flows[1]);
    for (flow, answer) in flows.iter().zip([b"A", b"B"]) {
        run.target.send_to(answer, flow).unwrap();
    }
    assert_eq!(clients.each_ref().map(|client| receive(client).0), [b"A", b"B"]);
    assert!(clients.iter().all(is_empty));
    assert_eq!(run.stop()["clients"], 2);
}

#[test]
fn the_summary_is_what_the_sockets_saw() {
    let faults = "drop=20% duplicate=20% corrupt=20% truncate=10%";
    let mut run = Run::start(&["--up", faults, "--seed", "7"]);
    let client = socket();
    let (mut sent_bytes, mut lost, mut seen, mut seen_bytes, mut damaged) = (0, 0, 0, 0, 0);
    for number in 0..300 {
        let packet = packet(number);
        let told = run.send_up(&client, &packet);
        sent_bytes += packet.len();
        if told["verdict"] != "pass" {
            lost += 1;
            continue;
        }
        let copies = if told.get("duplicated").is_some() { 2 } else { 1 };
        for _ in 0..copies {
            let (bytes, _) = receive(&run.target);
            seen += 1;
            seen_bytes += bytes.len();
            damaged += usize::from(copies == 1 && bytes != packet);
            let is_damaged = told.get("flipped_bits").is_some() || told.get("cut_to").is_some();
            assert_eq!(bytes != packet, is_damaged, "{told}");
            assert_eq!(
                told.get("cut_to").map_or(packet.len() as u64, |cut| cut.as_u64().unwrap()),
                bytes.len() as u64
            );
        }
    }
    assert!(is_empty(&run.target));
    assert!(damaged > 20);
    let up = &run.stop()["up"];
    assert_eq!([&up["received"], &up["lost"], &up["delivered"], &up["under_way"]], [300, lost, seen, 0]);
    assert_eq!([&up["received_bytes"], &up["delivered_bytes"]], [sent_bytes, seen_bytes]);
    assert_eq!((&up["rules"][0]["rule"], &up["rules"][0]["acted"]), (&"drop=20%".into(), &lost.into()));
}

#[test]
fn after_a_rebinding_the_target_sees_another_port_and_the_client_the_same() {
    let mut run = Run::start(&["--rebind", "/200ms"]);
    let client = socket();
    let mut ports = Vec::new();
    for _ in 0..3 {
        run.send_up(&client, b"ping");
        let (_, flow) = receive(&run.target);
        ports.push(flow.port());
        run.target.send_to(b"pong", flow).unwrap();
        // The answer may come to a port that is gone by now, as behind a real router.
        run.next("rebound");
    }
    assert!(ports[0] != ports[1] && ports[1] != ports[2], "{ports:?}");
    run.stop();
}

#[test]
fn a_blackout_from_the_start_lets_nothing_through() {
    let mut run = Run::start(&["--up", "blackout=0s+1h"]);
    let client = socket();
    assert_eq!(run.send_up(&client, b"x")["verdict"], "blackout");
    assert!(is_empty(&run.target));
    let summary = run.stop();
    assert_eq!([&summary["up"]["lost"], &summary["up"]["delivered"]], [1, 0]);
}

#[test]
fn a_target_that_is_not_there_ends_nothing() {
    let mut run = Run::start(&[]);
    let client = socket();
    // The target leaves and comes back: between, the system answers with ICMP.
    let address = run.target.local_addr().unwrap();
    run.target = socket();
    for _ in 0..5 {
        run.send_up(&client, b"nobody");
    }
    // Another test may have got the port meanwhile; then there is nothing to see here.
    let Ok(target) = UdpSocket::bind(address) else {
        return;
    };
    target.set_read_timeout(Some(PATIENCE)).unwrap();
    run.send_up(&client, b"somebody");
    assert_eq!(receive(&target).0, b"somebody");
    run.stop();
}

#[test]
fn it_stops_by_itself_and_prints_the_account() {
    let Output { status, stdout, stderr } =
        command(&["--for", "1ms", "--drop", "20%", "--seed", "7", "--listen", "127.0.0.1:0"])
            .output()
            .unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_eq!(status.code(), Some(0));
    assert!(stderr.contains("to 127.0.0.1:6000; both ways drop=20%; seed 7"), "{stderr}");
    assert!(stdout.contains("seed 7") && stdout.contains("\ndrop=20% "), "{stdout}");
}

#[test]
fn wrong_input_is_a_usage_error_and_a_busy_port_is_a_failure() {
    let holder = socket();
    let busy = holder.local_addr().unwrap().to_string();
    for (arguments, code, words) in [
        (vec!["--drop", "1.5"], 2, "a share goes from 0 to 1"),
        (vec!["--to", "nowhere"], 2, "has no port"),
        (vec!["--up", "drop=x"], 2, "does not start with a number"),
        (vec!["--listen", &busy], 1, "in use by another program"),
        (vec!["--listen", "127.0.0.1:0", "--to", "no-such-name.invalid:1"], 1, "was not found"),
    ] {
        let output = command(&arguments).output().unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{complaint}");
        assert!(complaint.contains(words), "{complaint}");
    }
    drop(holder);
}

#[test]
fn a_reader_that_goes_away_is_a_quiet_end() {
    let target = socket();
    let mut child = command(&["--json", "--quiet", "--listen", "127.0.0.1:0"])
        .args(["--to", &target.local_addr().unwrap().to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let proxy: SocketAddr = read_line(&mut stdout)["listen"].as_str().unwrap().parse().unwrap();
    drop(stdout);
    let sender = socket();
    let status = loop {
        // Not once: a program that another test is just starting holds a copy of the pipe until it runs.
        sender.send_to(b"x", proxy).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
    };
    assert_eq!(status.code(), Some(0));
    let mut words = String::new();
    child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    assert_eq!(words, "");
}
