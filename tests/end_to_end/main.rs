//! The real programs over real sockets, through the real lossy proxy: what a user is promised on a bad link.
//!
//! Every wait is bounded and nothing asserts how long anything took.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic where it stands")]

mod again;
#[path = "../home/mod.rs"]
mod home;
mod letters;
mod program;
mod relay;
mod sealing;

use program::{Input, Program, exit_code, lines_of, run_to_end, texts};

const BAD_LINK: [&str; 8] =
    ["--drop", "0.2", "--duplicate", "0.05", "--reorder", "0.05", "--corrupt", "0.01"];

/// A listener, and a proxy in front of it.
fn listener_behind(link: &[&str], count: usize) -> (Program, Program) {
    let listener = Program::listen(&["--count", &count.to_string()]);
    let proxy = Program::proxy(&listener.address, link);
    (listener, proxy)
}

fn numbered(count: usize) -> String {
    (1..=count).map(|number| format!("line {number:05} \u{e7}\u{e3}o \"quoted\" \\ \t end\n")).collect()
}

#[test]
fn ten_thousand_lines_arrive_complete_in_order_once() {
    let (listener, proxy) = listener_behind(&BAD_LINK, 10_000);
    let text = numbered(10_000);
    let sent = run_to_end(&["send", "--to", &proxy.address, "-"], Input::Text(&text));
    assert_eq!(
        (exit_code(&sent), lines_of(&sent.stdout)),
        (0, vec!["10000 of 10000 acknowledged".to_owned()]),
        "{}",
        String::from_utf8_lossy(&sent.stderr)
    );
    let (code, events) = listener.wait();
    assert_eq!(code, 0);
    let expected: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(texts(&events), expected);
}

#[test]
fn sixteen_mebibytes_cross_a_lossy_link_intact() {
    let (listener, proxy) = listener_behind(&["--drop", "0.05"], 1);
    // No two parts of it look alike, so a part in the wrong place shows.
    let text: String =
        (0..16 * 1024 * 1024 / 8).map(|word: u64| format!("{:07x}.", word % 0x0fff_ffff)).collect();
    let sent = run_to_end(&["send", "--timeout", "60s", "--to", &proxy.address, "-"], Input::Text(&text));
    assert_eq!((exit_code(&sent), lines_of(&sent.stdout)), (0, vec!["1 of 1 acknowledged".to_owned()]));
    let (code, events) = listener.wait();
    assert_eq!(code, 0);
    assert!(texts(&events) == [text], "the message changed on its way");
}

#[test]
fn a_receiver_that_dies_half_way_is_told_with_numbers() {
    let mut listener = Program::listen(&[]);
    let proxy = Program::proxy(&listener.address, &["--drop", "0.2", "--delay", "20ms", "--rate", "2mbit"]);
    let text = numbered(10_000);
    let sender = Program::send_in_background(&["--timeout", "4s", "--to", &proxy.address, "-"], &text);
    listener.read_until(r#""event":"message""#, 500);
    let shown = listener.kill();
    let sent = sender.wait_for_output();
    assert_eq!(exit_code(&sent), 3);
    let sentence = String::from_utf8(sent.stderr).unwrap();
    let acknowledged: usize = sentence
        .split_once(" of 10000 acknowledged")
        .and_then(|(before, _)| before.rsplit(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("no count in: {sentence}"));
    // A receipt means shown, so there are at most as many; what was shown last may have lost its receipt.
    assert!(
        acknowledged <= texts(&shown).len(),
        "{acknowledged} acknowledged, {} shown",
        texts(&shown).len()
    );
    assert!(acknowledged > 0, "{sentence}");
}

#[test]
fn two_peers_talk_reply_and_echo_through_a_bad_link() {
    let mut bob = Program::peer(&["--nick", "bob"]);
    let proxy = Program::proxy(&bob.address, &BAD_LINK);
    let mut ana = Program::peer(&["--nick", "ana", "--to", &proxy.address]);
    ana.write_line("oi bob");
    let message = bob.read_until(r#""text":"oi bob""#, 1).pop().unwrap();
    assert_eq!(message["from"]["nick"], "ana");
    assert_eq!(message["re"], serde_json::Value::Null);
    ana.read_until(r#""event":"delivered""#, 1);
    bob.write_line("/reply tudo bem, ana");
    let reply = ana.read_until(r#""text":"tudo bem, ana""#, 1).pop().unwrap();
    assert_eq!(reply["re"]["text"], "oi bob");
    assert_eq!(reply["re"]["id"], message["id"]);
    for number in 0..50 {
        ana.write_line(&format!("number {number}"));
    }
    bob.read_until(r#""text":"number 49""#, 1);
    let (_, of_bob) = bob.finish();
    let numbers: Vec<String> = texts(&of_bob).into_iter().filter(|text| text.starts_with("number")).collect();
    assert_eq!(numbers, (0..50).map(|number| format!("number {number}")).collect::<Vec<_>>());
    ana.read_until(r#""event":"closed""#, 1);
}

#[test]
fn a_peer_whose_input_ends_waits_for_its_last_receipt() {
    let listener = Program::listen(&["--count", "2"]);
    let proxy = Program::proxy(&listener.address, &BAD_LINK);
    let peer = run_to_end(
        &["peer", "--json", "--bind", "127.0.0.1:0", "--to", &proxy.address],
        Input::Text("first\nsecond without end of line"),
    );
    assert_eq!(exit_code(&peer), 0);
    let delivered =
        lines_of(&peer.stdout).iter().filter(|line| line.contains(r#""event":"delivered""#)).count();
    assert_eq!(delivered, 2);
    let (_, events) = listener.wait();
    assert_eq!(texts(&events), ["first", "second without end of line"]);
}

#[test]
fn nobody_there_is_exit_code_three() {
    // A socket of ours that never answers.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let sent = run_to_end(&["send", "--timeout", "1s", "--to", &address, "anybody?"], Input::None);
    assert_eq!(exit_code(&sent), 3);
    let sentence = String::from_utf8(sent.stderr).unwrap();
    assert!(sentence.contains("0 of 1 acknowledged, 1 not sent"), "{sentence}");
}

#[test]
fn noise_and_forged_datagrams_change_nothing() {
    let listener = Program::listen(&["--count", "3"]);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let noise: [&[u8]; 6] = [
        b"",
        b"\x1b[2J\x1b]0;owned\x07",
        &[0xff; 1_400],
        br#"{"v":1,"c":"00000000","to":"aaaaaaaa","n":1,"f":[]}"#,
        br#"{"v":9,"anything":true}"#,
        b"{\"v\":1,\"c\":\"zzzzzzzz\",\"f\":[{\"t\":\"hello\"}]}",
    ];
    for _ in 0..200 {
        for bytes in noise {
            socket.send_to(bytes, &listener.address).unwrap();
        }
    }
    let sent = run_to_end(&["send", "--to", &listener.address, "-"], Input::Text("one\ntwo\nthree\n"));
    assert_eq!(exit_code(&sent), 0, "{}", String::from_utf8_lossy(&sent.stderr));
    let (code, events) = listener.wait();
    assert_eq!((code, texts(&events)), (0, vec!["one".to_owned(), "two".to_owned(), "three".to_owned()]));
}

#[test]
fn an_address_that_changes_under_way_loses_nothing() {
    let (listener, proxy) =
        listener_behind(&["--drop", "0.1", "--rate", "4mbit", "--rebind", "300ms/300ms"], 2_000);
    let text = numbered(2_000);
    let sent = run_to_end(&["send", "--timeout", "20s", "--to", &proxy.address, "-"], Input::Text(&text));
    assert_eq!(exit_code(&sent), 0, "{}", String::from_utf8_lossy(&sent.stderr));
    let (_, events) = listener.wait();
    assert_eq!(texts(&events), text.lines().map(str::to_owned).collect::<Vec<_>>());
}

#[test]
fn a_trace_can_be_decoded_and_shows_the_forms_of_the_seed() {
    let folder = std::env::temp_dir().join(format!("udpchat-trace-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let trace = folder.join("trace.txt");
    // In the clear, or there would be nothing to read.
    let listener = Program::listen(&["--clear", "--count", "1"]);
    let trace_name = trace.to_str().unwrap();
    let sent =
        run_to_end(&["send", "--clear", "--trace", trace_name, "--to", &listener.address, "oi"], Input::None);
    assert_eq!(exit_code(&sent), 0);
    let decoded = run_to_end(&["decode", trace_name], Input::None);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(exit_code(&decoded), 0);
    let said: Vec<serde_json::Value> = lines_of(&decoded.stdout)
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .flat_map(|line| line["bodies"].as_array().cloned().unwrap_or_default())
        .map(|body| body["json"].clone())
        .collect();
    let message = said.iter().find(|json| json["kind"] == "message").expect("the message is in the trace");
    for field in ["from", "to", "ts", "text"] {
        assert!(!message[field].is_null(), "{message}");
    }
    let receipt = said.iter().find(|json| json["kind"] == "receipt").expect("the receipt is in the trace");
    assert_eq!((&receipt["ack"], &receipt["ts_original"]), (&serde_json::Value::Bool(true), &message["ts"]));
}

#[test]
fn what_comes_beyond_the_count_is_refused_and_never_called_delivered() {
    let listener = Program::listen(&["--count", "2"]);
    let sent = run_to_end(&["send", "--to", &listener.address, "-"], Input::Text("one\ntwo\nthree\n"));
    let sentence = String::from_utf8(sent.stderr).unwrap();
    // Refused, or never sent if the receiver had left by then.
    assert!(sentence.contains("2 of 3 acknowledged, 1 "), "{sentence}");
    let (code, events) = listener.wait();
    assert_eq!((code, texts(&events)), (0, vec!["one".to_owned(), "two".to_owned()]));
}

#[test]
fn a_trace_on_standard_output_is_nothing_but_a_trace() {
    let listener = Program::listen(&["--clear", "--count", "1"]);
    let sent = run_to_end(&["send", "--clear", "--trace", "-", "--to", &listener.address, "oi"], Input::None);
    assert_eq!(exit_code(&sent), 0);
    let decoded = run_to_end(&["decode"], Input::Text(std::str::from_utf8(&sent.stdout).unwrap()));
    assert_eq!((exit_code(&decoded), lines_of(&sent.stderr)), (0, vec!["1 of 1 acknowledged".to_owned()]));
}

#[test]
fn what_cannot_be_shown_is_not_confirmed() {
    // A disk that is always full.
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let (mut listener, address) = Program::listen_into(full);
    let sent = run_to_end(&["send", "--timeout", "5s", "--to", &address, "oi"], Input::None);
    let sentence = String::from_utf8_lossy(&sent.stderr);
    assert_eq!(exit_code(&sent), 3, "{sentence}");
    assert!(sentence.contains("0 of 1 acknowledged, 1 unknown"), "{sentence}");
    assert_eq!(listener.wait().unwrap().code(), Some(1));
}

#[test]
fn a_pipe_that_names_no_receiver_sends_to_nobody() {
    let listener = Program::listen(&["--count", "1"]);
    let input =
        format!("/to {}\nfor you\n/to nowhere\nsecret\n/msg 127.0.0.1:x hi\nsecret too\n", listener.address);
    let peer = run_to_end(&["peer", "--json", "--bind", "127.0.0.1:0"], Input::Text(&input));
    assert_eq!(exit_code(&peer), 1);
    let sent = lines_of(&peer.stdout).iter().filter(|line| line.contains(r#""event":"sent""#)).count();
    assert_eq!(sent, 1, "{}", String::from_utf8_lossy(&peer.stdout));
    let (_, events) = listener.wait();
    assert_eq!(texts(&events), ["for you"]);
}
