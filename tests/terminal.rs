//! The terminal as a person sees it: the real program on a pseudo-terminal, its screen as a terminal would show it.

#![cfg(unix)]

mod home;

use std::io::{Read, Write};
use std::num::NonZero;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, SlavePty, native_pty_system};

const ROWS: NonZero<u16> = NonZero::new(24).expect("not zero");
const COLUMNS: NonZero<u16> = NonZero::new(80).expect("not zero");

/// How often a condition is looked at before the test fails, and how long to wait in between.
const ATTEMPTS: u32 = 3_000;
const INTERVAL: Duration = Duration::from_millis(10);

/// A running peer and the terminal that it runs on.
struct Session {
    program: Program,
    keyboard: Box<dyn Write + Send>,
    seen: Arc<Mutex<Seen>>,
    master: Box<dyn MasterPty + Send>,
    /// Kept open, so that the terminal's mode can be asked for after the program has ended.
    _slave: Box<dyn SlavePty + Send>,
    mode_before: String,
}

struct Program(Box<dyn Child + Send + Sync>);

struct Seen {
    parser: vt100::Parser,
    bytes: Vec<u8>,
    /// Whether the reader is to let the terminal go.
    is_over: bool,
}

impl Session {
    fn start(arguments: &[&str]) -> Self {
        let size = PtySize { rows: ROWS.get(), cols: COLUMNS.get(), pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pseudo-terminal");
        let mode_before = mode(pair.master.as_ref());
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_udpchat"));
        command.args(["peer", "--bind", "127.0.0.1:0"]);
        command.args(arguments);
        command.env("TERM", "xterm-256color");
        command.env_remove("NO_COLOR");
        home::environment().into_iter().for_each(|(name, value)| command.env(name, value));
        let child = pair.slave.spawn_command(command).expect("the program runs");
        let parser = vt100::Parser::new(ROWS, COLUMNS, 1_000);
        let seen = Arc::new(Mutex::new(Seen { parser, bytes: Vec::new(), is_over: false }));
        watch(pair.master.try_clone_reader().expect("a reader"), Arc::clone(&seen));
        let keyboard = pair.master.take_writer().expect("a writer");
        Self { program: Program(child), keyboard, seen, master: pair.master, _slave: pair.slave, mode_before }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal takes keys");
        self.keyboard.flush().expect("the terminal takes keys");
    }

    fn screen(&self) -> String {
        self.seen.lock().expect("no reader panics").parser.screen().contents()
    }

    fn bytes(&self) -> Vec<u8> {
        self.seen.lock().expect("no reader panics").bytes.clone()
    }

    /// The row with the cursor, and the cursor's column.
    fn typed_row(&self) -> (String, u16) {
        let seen = self.seen.lock().expect("no reader panics");
        let screen = seen.parser.screen();
        let (row, column) = screen.cursor_position();
        let text = screen.rows(0, COLUMNS.get()).nth(usize::from(row)).expect("the cursor is on the screen");
        (text, column)
    }

    #[track_caller]
    fn wait_for(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        for _ in 0..ATTEMPTS {
            if condition(self) {
                return;
            }
            thread::sleep(INTERVAL);
        }
        panic!("{what} did not come; the screen is:\n{}", self.screen());
    }

    #[track_caller]
    fn wait_for_text(&self, text: &str) {
        self.wait_for(text, |session| session.screen().contains(text));
    }

    /// Where the peer listens, from its banner.
    fn address(&self) -> String {
        self.wait_for_text("listening on 127.0.0.1:");
        let screen = self.screen();
        let (_, rest) = screen.split_once("listening on ").expect("it was waited for");
        rest.split_whitespace().next().expect("an address").to_owned()
    }

    /// Waits for the end and returns the exit code.
    #[track_caller]
    fn wait_for_end(&mut self) -> u32 {
        let code = self.program.wait_for_end();
        code.unwrap_or_else(|| panic!("the program does not end; the screen is:\n{}", self.screen()))
    }

    #[track_caller]
    fn check_restored(&self) {
        assert_eq!(mode(self.master.as_ref()), self.mode_before, "the terminal's mode is not what it was");
        self.wait_for("the end of paste mode", |session| contains(&session.bytes(), b"\x1b[?2004l"));
    }
}

impl Program {
    /// Waits for the end and returns the exit code.
    fn wait_for_end(&mut self) -> Option<u32> {
        for _ in 0..ATTEMPTS {
            if let Some(status) = self.0.try_wait().expect("a child can be waited for") {
                return Some(status.exit_code());
            }
            thread::sleep(INTERVAL);
        }
        None
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A test that failed leaves no program behind; one that passed has none.
        let _ = self.0.kill();
    }
}

fn mode(master: &dyn MasterPty) -> String {
    format!("{:?}", master.get_termios().expect("a pseudo-terminal has a mode"))
}

fn watch(mut reader: Box<dyn Read + Send>, seen: Arc<Mutex<Seen>>) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            let mut seen = seen.lock().expect("no test panics while it looks");
            seen.parser.process(&buffer[..count]);
            seen.bytes.extend_from_slice(&buffer[..count]);
            if seen.is_over {
                return;
            }
        }
    });
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Sends each line as a message, and demands that all of them were acknowledged.
#[track_caller]
fn send(address: &str, lines: &str) {
    let mut sender = Command::new(env!("CARGO_BIN_EXE_udpchat"))
        .args(["send", "--to", address, "--timeout", "30s", "-"])
        .envs(home::environment())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program runs");
    let mut input = sender.stdin.take().expect("it was asked for");
    input.write_all(lines.as_bytes()).expect("the sender reads");
    drop(input);
    let status = sender.wait().expect("a child can be waited for");
    assert!(status.success(), "send ended with {status}");
}

#[test]
fn typed_line_survives_a_hundred_messages() {
    let mut session = Session::start(&[]);
    let address = session.address();
    session.press("half a l\u{ed}ne 漢");
    session.wait_for("the typed line", |session| session.typed_row().0.contains("half a líne 漢"));
    let (row, column) = session.typed_row();
    let lines: String = (1..=100).map(|number| format!("message {number}\n")).collect();
    send(&address, &lines);
    session.wait_for_text("message 100");
    session.wait_for("the same row again", |session| session.typed_row() == (row.clone(), column));
    // Everything above it is whole: each row is one message, in order.
    let screen = session.screen();
    for number in 80..=100 {
        assert!(
            screen.lines().any(|row| row.ends_with(&format!(": message {number}"))),
            "{number} in\n{screen}"
        );
    }
    assert_eq!(screen.matches("half a").count(), 1, "{screen}");
    // It is still the line that is edited.
    session.press(" end");
    session.wait_for("the longer line", |session| session.typed_row().0.contains("half a líne 漢 end"));
    session.press("\x15\x04");
    assert_eq!(session.wait_for_end(), 0);
    session.check_restored();
}

#[test]
fn conversation_goes_to_and_fro() {
    let mut alice = Session::start(&["--nick", "alice"]);
    let mut bob = Session::start(&["--nick", "bob"]);
    let address = bob.address();
    alice.address();
    alice.press(&format!("/msg {address} olá, bob\r"));
    bob.wait_for_text("olá, bob");
    alice.wait_for_text("✓ delivered in");
    bob.press("/reply oi\r");
    alice.wait_for_text(": oi");
    alice.wait_for_text("(reply to \"olá, bob\")");
    alice.press("/echo echo this\r");
    alice.wait_for_text(": Echo: echo this");
    // Pasted lines are one message.
    alice.press("\x1b[200~one\rtwo\x1b[201~\r");
    bob.wait_for_text("│ two");
    for session in [&mut alice, &mut bob] {
        session.press("/quit\r");
        assert_eq!(session.wait_for_end(), 0);
        session.check_restored();
    }
}

#[test]
fn nothing_from_the_network_acts_on_the_terminal() {
    let mut session = Session::start(&[]);
    let address = session.address();
    send(&address, "\x1b[2J\x1b]0;evil\x07\u{9b}31m\u{202e}after\n");
    session.wait_for_text("␛[2J␛]0;evil␇");
    session.wait_for_text("after");
    let bytes = session.bytes();
    assert!(!contains(&bytes, b"\x1b[2J") && !contains(&bytes, b"\x1b]0") && !contains(&bytes, b"\x07"));
    assert!(!contains(&bytes, "\u{9b}".as_bytes()) && !contains(&bytes, "\u{202e}".as_bytes()));
    session.press("\x04");
    assert_eq!(session.wait_for_end(), 0);
}

#[test]
fn line_that_cannot_be_sent_is_in_the_history_and_not_in_the_way() {
    let mut session = Session::start(&[]);
    session.address();
    session.press("to nobody\r");
    session.wait_for_text("nobody was chosen to send to");
    session.press("/who");
    session.wait_for("the next line alone", |session| session.typed_row().0.ends_with("> /who"));
    session.press("\r\x1b[A\x1b[A");
    session.wait_for("the line again", |session| session.typed_row().0.contains("to nobody"));
}

#[test]
fn terminal_is_restored_after_a_signal() {
    let mut session = Session::start(&[]);
    session.address();
    let id = session.program.0.process_id().expect("it runs").to_string();
    let killed = Command::new("kill").args(["-TERM", &id]).status().expect("kill runs");
    assert!(killed.success());
    assert_eq!(session.wait_for_end(), 130);
    session.check_restored();
}

#[test]
fn program_ends_with_its_terminal() {
    let session = Session::start(&[]);
    session.address();
    let Session { mut program, mut keyboard, seen, master, _slave: slave, .. } = session;
    // A reader that still has the terminal would keep it alive; the echo of a key makes it look.
    seen.lock().expect("no reader panics").is_over = true;
    keyboard.write_all(b"x").expect("the terminal takes keys");
    drop((keyboard, master, slave));
    assert!(program.wait_for_end().is_some(), "the program outlives its terminal");
}

#[test]
fn interrupt_empties_the_line_first_and_then_ends() {
    let mut session = Session::start(&[]);
    session.address();
    session.press("something");
    session.wait_for("the line", |session| session.typed_row().0.contains("something"));
    session.press("\x03");
    session.wait_for("an empty line", |session| !session.typed_row().0.contains("something"));
    session.press("\x03");
    assert_eq!(session.wait_for_end(), 130);
    session.check_restored();
}

#[test]
fn plain_mode_moves_no_cursor() {
    let mut session = Session::start(&["--plain"]);
    session.address();
    session.press("/who\r");
    session.wait_for_text("nobody yet");
    session.press("\x04");
    assert_eq!(session.wait_for_end(), 0);
    let bytes = session.bytes();
    let sequences = bytes.windows(2).filter(|window| *window == b"\x1b[");
    let colours = bytes
        .split(|&byte| byte == 0x1b)
        .skip(1)
        .filter(|rest| rest.iter().position(|&b| b == b'm').is_some());
    assert_eq!(sequences.count(), colours.count(), "only colours");
}

#[test]
fn relay_that_is_late_or_was_left_is_joined() {
    let free = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback can be bound");
    let address = free.local_addr().expect("it is bound").to_string();
    drop(free);
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("terminal-relay-{}", std::process::id()));
    let path = |name: &str| folder.join(name).to_str().expect("the path is text").to_owned();
    let data = path("ana");
    let flags = ["--relay", &address, "--nick", "ana", "--room", "sala", "--data", &data];
    let mut session = Session::start(&flags);
    session.wait_for_text(&format!("calling the relay at {address}"));
    session.press("early\r");
    session.wait_for_text("early  … sending");
    let relay = |flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_udpchat"));
        command.args(["relay", "--bind", &address, "--data", &path("relay")]).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("the program runs")
    };
    let mut child = relay(&[]);
    session.wait_for_text("delivered in");
    session.press(&format!("/close {address}\r"));
    session.wait_for_text("closed here");
    session.press("/join sala\r");
    session.wait_for("both welcomes", |session| session.screen().matches("welcome, ana").count() == 2);
    session.press("again\r");
    session.wait_for("both receipts", |session| session.screen().matches("delivered in").count() == 2);
    session.press("\x04");
    assert_eq!(session.wait_for_end(), 0);
    session.check_restored();
    child.kill().expect("it runs until it is stopped");
    child.wait().expect("it was stopped");

    let mut child = relay(&["--fault", "connect"]);
    let mut session = Session::start(&flags);
    assert_eq!(session.wait_for_end(), 1, "{}", session.screen());
    child.kill().expect("it runs until it is stopped");
    child.wait().expect("it was stopped");
    std::fs::remove_dir_all(&folder).expect("it is ours");
}

/// A listener in the background, which ends with the test.
struct Listener(std::process::Child);

impl Listener {
    fn start(address: &str, nick: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_udpchat"))
            .args(["listen", "--json", "--bind", address, "--nick", nick])
            .envs(home::environment())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut ready = [0; 16];
        child
            .stdout
            .as_mut()
            .expect("it was asked for")
            .read_exact(&mut ready)
            .expect("it says that it is ready");
        Self(child)
    }

    /// Has it say goodbye.
    fn end(mut self) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
        self.0.wait().expect("a child can be waited for");
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The words of a profile's key.
fn words_of(nick: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_udpchat"))
        .args(["id", "--nick", nick])
        .envs(home::environment())
        .output()
        .expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("it is text");
    text.lines().nth(1).expect("a key, and its words").to_owned()
}

#[test]
fn changed_key_is_loud_and_can_be_accepted() {
    let free = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback can be bound");
    let address = free.local_addr().expect("it is bound").to_string();
    drop(free);
    let mut session = Session::start(&["--nick", "ana", "--to", &address]);
    let bob = Listener::start(&address, "bob");
    session.press("oi\r");
    session.wait_for_text("✓ delivered in");
    session.wait_for_text("is met for the first time; the key is kept");
    let has = |words: &str| {
        let parts: Vec<String> = words.split(' ').map(str::to_owned).collect();
        move |session: &Session| parts.iter().all(|part| session.screen().contains(part.as_str()))
    };
    session.wait_for("bob's words", has(&words_of("bob")));
    session.press("/verify\r");
    session.wait_for_text("compare with bob@127.0.0.1");
    session.press("/id\r");
    session.wait_for("our words", has(&words_of("ana")));
    bob.end();
    session.wait_for_text("the other side left");

    let _eve = Listener::start(&address, "eve");
    session.press(&format!("/msg {address} secret\r"));
    session.wait_for_text(&format!("ANOTHER KEY ANSWERS AT {address}"));
    session.wait_for("both keys' words", has(&format!("{} {}", words_of("bob"), words_of("eve"))));
    session.wait_for_text("1 message waits for");
    session.press(&format!("/trust {address}\r"));
    session.wait_for_text("is trusted from now on");
    session.press(&format!("/msg {address} now\r"));
    session.wait_for_text(": \"now\" to eve@127.0.0.1");
    session.press("\x04");
    assert_eq!(session.wait_for_end(), 0);
    session.check_restored();
}

#[test]
fn clear_run_is_marked_wherever_one_types() {
    let mut clear = Session::start(&["--clear"]);
    clear.wait_for_text("CLEAR: not encrypted");
    clear.wait_for("the mark", |session| session.typed_row().0.starts_with("CLEAR "));
    clear.press("/verify\r");
    clear.wait_for_text("nothing proves who anybody is");
    let mut sealed = Session::start(&[]);
    sealed.wait_for_text("· sealed");
    assert!(!sealed.screen().contains("CLEAR"), "{}", sealed.screen());
    for session in [&mut clear, &mut sealed] {
        session.press("\x04");
        assert_eq!(session.wait_for_end(), 0);
    }
}
