//! What scripts rely on: exit codes, and a sentence on standard error for everything that can be asked for wrongly.

mod home;

use std::net::UdpSocket;
use std::time::Duration;

use assert_cmd::Command;

/// Longer than any of these takes, so that a program that hangs fails the test.
const PATIENCE: Duration = Duration::from_secs(60);

fn udpchat(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_udpchat"));
    command.args(arguments).timeout(PATIENCE).env_remove("UDPCHAT_LOG").env("NO_COLOR", "1");
    command.envs(home::environment());
    command
}

/// Runs the program with `input` and demands an exit code, and sentences on standard error.
#[track_caller]
fn check(arguments: &[&str], input: &[u8], code: i32, sentences: &[&str]) {
    let output = udpchat(arguments).write_stdin(input).output().expect("the program runs");
    let stderr = String::from_utf8(output.stderr).expect("sentences are text");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    for sentence in sentences {
        assert!(stderr.contains(sentence), "{arguments:?}: {stderr}");
    }
}

/// An address where a program listens that never answers; it lasts as long as the socket.
fn silent_address() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback can be bound");
    let address = socket.local_addr().expect("it is bound").to_string();
    (socket, address)
}

#[test]
fn mistyped_addresses_are_usage_errors() {
    check(&["send", "--to", "nohost", "hi"], b"", 2, &["\"nohost\" has no port; write host:port"]);
    check(&["send", "--to", "127.0.0.1:0", "hi"], b"", 2, &["nobody listens on port 0"]);
    check(
        &["listen", "--bind", "::1:6000"],
        b"",
        2,
        &["put an IPv6 address in brackets, such as [::1]:6000"],
    );
    check(&["peer", "--bind", "0.0.0.0:65536"], b"", 2, &["a port is a number from 0 to 65535"]);
}

#[test]
fn mistyped_flags_are_usage_errors() {
    check(&["send", "hi"], b"", 2, &["--to"]);
    check(&["send", "--to", "127.0.0.1:1", "--timeout", "soon", "hi"], b"", 2, &["such as 500ms, 10s or 2m"]);
    check(&["listen", "--count", "0"], b"", 2, &["--count"]);
    check(&["peer", "--bind", "127.0.0.1:0", "--nick", "two words"], b"", 2, &["--nick: a nick has 1 to 32"]);
    check(&["chat"], b"", 2, &["unrecognized subcommand"]);
}

#[test]
fn flags_of_a_member_are_explained() {
    let relay = ["peer", "--bind", "127.0.0.1:0", "--relay", "127.0.0.1:9"];
    let with = |more: &[&'static str]| [&relay[..], more].concat();
    check(&relay, b"", 2, &["--relay needs a name: add --nick NAME"]);
    check(&with(&["--nick", "two words"]), b"", 2, &["--nick: a nick has 1 to 32"]);
    check(&with(&["--nick", "ana", "--room", "a,b"]), b"", 2, &["that is no name of a room"]);
    check(&with(&["--nick", "ana", "--history", "some"]), b"", 2, &["write a number, all or none"]);
    check(&["peer", "--room", "sala"], b"", 2, &["--relay"]);
    check(&["peer", "--fault", "connect"], b"", 2, &["add --relay ADDR or --to ADDR"]);
    check(
        &with(&["--nick", "ana", "--admin-secret", "/no/such/file"]),
        b"",
        1,
        &["/no/such/file cannot be read"],
    );
}

#[cfg(unix)]
#[test]
fn token_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let data = std::env::temp_dir().join(format!("udpchat-cli-{}", std::process::id()));
    let token = data.join("profiles/ana/token");
    std::fs::create_dir_all(token.parent().expect("it has one")).expect("a folder");
    std::fs::write(&token, "0123456789abcdef0123456789abcdef\n").expect("a file");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).expect("our own file");
    let data_flag = data.to_str().expect("the folder for temporary files has a plain name");
    let arguments =
        ["peer", "--bind", "127.0.0.1:0", "--relay", "127.0.0.1:9", "--nick", "ana", "--data", data_flag];
    check(&arguments, b"", 1, &["can be read by other users of this machine", "chmod 600"]);
    std::fs::remove_dir_all(&data).expect("our own folder");
}

#[test]
fn fault_switch_ends_with_a_failure() {
    let mut listener = std::process::Command::new(env!("CARGO_BIN_EXE_udpchat"))
        .args(["listen", "--bind", "127.0.0.1:0", "--json"])
        .envs(home::environment())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut ready = String::new();
    let stdout = listener.stdout.take().expect("it was asked for");
    let mut lines = std::io::BufReader::new(stdout);
    std::io::BufRead::read_line(&mut lines, &mut ready).expect("it says where it listens");
    let address =
        ready.split('"').find(|part| part.starts_with("127.0.0.1:")).expect("an address").to_owned();
    check(
        &["peer", "--bind", "127.0.0.1:0", "--to", &address, "--fault", "connect"],
        b"hello\n",
        1,
        &["connection fault (switch)"],
    );
    let mut seen = String::new();
    while !seen.contains("closed") {
        seen.clear();
        let count = std::io::BufRead::read_line(&mut lines, &mut seen).expect("it goes on");
        assert!(count > 0, "the listener ended");
    }
    assert!(seen.contains("connection fault (switch)"), "{seen}");
    listener.kill().expect("it runs until it is stopped");
    listener.wait().expect("it was stopped");
}

#[test]
fn name_that_leads_nowhere_is_a_failure() {
    // RFC 6761: this top-level name never exists.
    check(
        &["send", "--to", "no.such.host.invalid:6000", "hi"],
        b"",
        1,
        &["no.such.host.invalid was not found"],
    );
    check(
        &["peer", "--bind", "127.0.0.1:0", "--to", "no.such.host.invalid:6000"],
        b"",
        1,
        &["was not found"],
    );
}

#[test]
fn busy_port_is_a_failure_when_it_was_asked_for() {
    let (_socket, address) = silent_address();
    let sentence = format!("{address} is in use by another program");
    check(&["listen", "--bind", &address], b"", 1, &[&sentence]);
    check(&["peer", "--bind", &address], b"", 1, &[&sentence]);
}

#[test]
fn foreign_address_cannot_be_listened_on() {
    check(&["listen", "--bind", "192.0.2.1:6000"], b"", 1, &["192.0.2.1 is no address of this machine"]);
}

#[test]
fn nobody_answers() {
    let (_socket, address) = silent_address();
    let sentence = "0 of 3 acknowledged, 3 not sent: no answer";
    check(&["send", "--to", &address, "--timeout", "1s", "-"], b"1\n2\n3\n", 3, &[sentence]);
}

#[test]
fn lines_of_a_pipe_that_mean_nothing_are_told_and_make_it_fail() {
    check(
        &["peer", "--bind", "127.0.0.1:0"],
        b"/hlep\nhello\nbad\xff\n/msg nowhere hi\n",
        1,
        &[
            "there is no command /hlep",
            "nobody was chosen to send to",
            "line 3 was not sent: its byte 4 is not UTF-8 text",
            "nobody is called nowhere here",
        ],
    );
}

#[test]
fn peer_with_nothing_to_do_ends_well() {
    check(&["peer", "--bind", "127.0.0.1:0"], b"", 0, &["listening on 127.0.0.1:", " · sealed"]);
    let clear = ["peer", "--clear", "--bind", "127.0.0.1:0"];
    check(&clear, b"", 0, &["listening on 127.0.0.1:", "CLEAR: not encrypted"]);
    check(&["peer", "--bind", "127.0.0.1:0"], b"/quit\n", 0, &[]);
}

#[test]
fn default_port_gives_way_and_says_so() {
    // Whoever has the port, we or another program, it is taken.
    let _socket = UdpSocket::bind("0.0.0.0:6000");
    check(&["peer"], b"", 0, &["port 6000 is in use by another program, so this one has 60"]);
}

#[test]
fn json_begins_with_ready() {
    let output = udpchat(&["peer", "--json", "--bind", "127.0.0.1:0"]).output().expect("the program runs");
    let stdout = String::from_utf8(output.stdout).expect("JSON is text");
    assert!(stdout.starts_with(r#"{"event":"ready","addr":"127.0.0.1:"#), "{stdout}");
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
}

#[test]
fn decode_goes_on_after_a_bad_line_and_fails_in_the_end() {
    let output = udpchat(&["decode"]).write_stdin("xyz\n\n7b7d\n").output().expect("the program runs");
    let stdout = String::from_utf8(output.stdout).expect("JSON is text");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout.lines().count(), 2, "{stdout}");
    assert!(stdout.lines().all(|line| line.starts_with(r#"{"error":""#)), "{stdout}");
    check(&["decode", "/no/such/file"], b"", 1, &["/no/such/file cannot be read"]);
}
