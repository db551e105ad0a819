//! Attacks by a member: somebody whose key is as good as any, and who says what no honest program says.

use udpchat::arq::SendOptions;
use udpchat::secure::{Entropy, Initiator, Session};
use udpchat::wire::{
    self, ConnectionId, Datagram, FINISH_BYTES, Handshake, Limits, SealedHello, Welcome, Wish,
};

use super::stage::{Stage, address, keys, ms, sealed};

/// Its host.
const HOST: usize = 5;

pub fn rows() -> Vec<String> {
    vec![
        dishonest_acks(),
        false_haves(),
        symbols_of_nothing(),
        stray_answers(),
        packet_gaps(),
        message_gaps(),
        scattered_parts(),
        overrun("more bytes than the window of a stream", &[(0, 1), (0, 2)]),
        overrun_by_number(),
        foreign_stream(),
        nonsense(),
        longest_messages(),
        never_finished(),
    ]
}

/// A handshake by hand, and then anything under the right seal.
struct Insider {
    session: Session,
    to: ConnectionId,
    finish: [u8; FINISH_BYTES],
    number: u64,
}

impl Insider {
    fn enter(stage: &mut Stage) -> Self {
        let mut entropy = Entropy::from_seed([3; 32]);
        let id = ConnectionId::parse("b7x0m4zz").unwrap();
        let wish = Wish { id, limits: Limits::default(), old: None };
        let (mut initiator, message) = Initiator::begin(&keys(HOST), &mut entropy, &wish.encode());
        let mut hello = Vec::new();
        let sealed_hello = SealedHello { id, cookie: None, message: &message };
        wire::encode_handshake(&mut hello, &Handshake::SealedHello(sealed_hello));
        stage.foes.push(HOST);
        let answers = stage.strike_for_answer(1, address(HOST), &hello);
        let Ok(Datagram::Handshake(Handshake::SealedWelcome { message, .. })) = wire::decode(&answers[0])
        else {
            panic!("no welcome");
        };
        let (session, payload, finish) = initiator.finish(&keys(HOST), message).unwrap();
        let to = Welcome::decode(&payload).unwrap().id;
        let mut insider = Self { session, to, finish, number: 0 };
        insider.say(stage, r#"{"t":"ping"}"#, 0);
        insider
    }

    /// Frames, and as many bytes as they announce.
    fn say(&mut self, stage: &mut Stage, frames: &str, bytes: usize) {
        let mut text = format!(r#"{{"f":[{frames}]}}"#).into_bytes();
        if bytes > 0 {
            text.push(b'\n');
            text.resize(text.len() + bytes, b'x');
        }
        self.say_text(stage, &text);
    }

    fn say_text(&mut self, stage: &mut Stage, text: &[u8]) {
        self.number += 1;
        let (to, number) = (self.to, self.number);
        let mut datagram = format!("{{\"v\":1,\"to\":\"{to}\",\"n\":{number},\"finish\":64}}\n").into_bytes();
        datagram.extend_from_slice(&self.finish);
        let sealed_at = datagram.len();
        datagram.extend_from_slice(text);
        self.session.sealer.seal(number, &mut datagram, sealed_at);
        stage.strike(1, address(HOST), &datagram);
    }
}

/// A conversation, and somebody else who has begun one too.
fn entered() -> (Stage, Insider) {
    let mut stage = Stage::talking();
    let insider = Insider::enter(&mut stage);
    (stage, insider)
}

/// What became of its own connection is told beside.
fn judged(mut stage: Stage, attack: &str) -> String {
    let verdict = stage.verdict();
    stage.row(attack, &verdict)
}

fn dishonest_acks() -> String {
    let (mut stage, mut insider) = entered();
    for got in
        ["[[100,100]]", "[[1,100000]]", "[[9007199254740991,9007199254740991]]", "[[1,9007199254740991]]"]
    {
        let ack = format!(r#"{{"t":"ack","got":{got},"delay_us":0}}"#);
        (0..25).for_each(|_| insider.say(&mut stage, &ack, 0));
    }
    judged(stage, "acks of packets that were never sent, near and far in the future")
}

fn false_haves() -> String {
    let (mut stage, mut insider) = entered();
    for seq in [1_000, 1_u64 << 50] {
        (0..50).for_each(|_| insider.say(&mut stage, &format!(r#"{{"t":"have","seq":{seq}}}"#), 0));
    }
    judged(stage, "words that messages are here which were never sent")
}

fn symbols_of_nothing() -> String {
    let (mut stage, mut insider) = entered();
    for first in (1..4_000_u64).step_by(2) {
        let repair = format!(r#"{{"t":"repair","of":[[{first},{}]],"len":[200,200,200,200]}}"#, first + 60);
        insider.say(&mut stage, &repair, 800);
    }
    let entries = stage.ends[1].connection(stage.granted[&HOST]).unwrap().load().receive_entries;
    assert!(entries <= 32 * 128 + 64, "{entries}");
    judged(stage, "symbols over messages that never come")
}

fn stray_answers() -> String {
    let (mut stage, mut insider) = entered();
    for token in 0..100 {
        insider.say(&mut stage, &format!(r#"{{"t":"path","answer":{token}}}"#), 0);
    }
    judged(stage, "answers to path challenges that nobody made")
}

fn packet_gaps() -> String {
    let (mut stage, mut insider) = entered();
    for _ in 0..5_000 {
        insider.number += 1;
        insider.say(&mut stage, r#"{"t":"ping"}"#, 0);
    }
    let ranges = stage.ends[1].connection(stage.granted[&HOST]).unwrap().load().arrival_ranges;
    assert!(ranges <= 1_025, "{ranges}");
    judged(stage, "every other packet number left out")
}

fn message_gaps() -> String {
    let (mut stage, mut insider) = entered();
    for seq in 1..5_000 {
        insider.say(&mut stage, &format!(r#"{{"t":"msg","seq":{},"len":[1]}}"#, 2 * seq), 1);
    }
    judged(stage, "every other message left out, until the window is full")
}

fn scattered_parts() -> String {
    let (mut stage, mut insider) = entered();
    for place in 0..70_000 {
        let part = format!(r#"{{"t":"part","seq":1,"off":{},"len":1}}"#, 3 * place);
        insider.say(&mut stage, &part, 1);
        if !stage.told.is_empty() {
            break;
        }
    }
    judged(stage, "one byte in three of a message, until it is told off")
}

fn overrun(attack: &str, messages: &[(u32, u64)]) -> String {
    let (mut stage, mut insider) = entered();
    // Only the end of each is sent, and its whole length is charged.
    for (stream, seq) in messages {
        let off = 16 * 1024 * 1024;
        let part = format!(r#"{{"t":"part","st":{stream},"seq":{seq},"off":{off},"last":true,"len":100}}"#);
        insider.say(&mut stage, &part, 100);
    }
    judged(stage, attack)
}

fn overrun_by_number() -> String {
    let (mut stage, mut insider) = entered();
    insider.say(&mut stage, r#"{"t":"msg","seq":5000,"len":[1]}"#, 1);
    judged(stage, "a message far beyond the window of numbers")
}

fn foreign_stream() -> String {
    let (mut stage, mut insider) = entered();
    insider.say(&mut stage, r#"{"t":"msg","st":16,"seq":1,"len":[1]}"#, 1);
    judged(stage, "a message on a stream that was not granted")
}

fn nonsense() -> String {
    let (mut stage, mut insider) = entered();
    let texts: [&[u8]; 5] =
        [b"", b"\xff\xfe", br#"{"f":[{"t":"msg","seq":0,"len":[1]}]}"#, br#"{"f":7}"#, &[b'['; 900]];
    texts.iter().for_each(|text| insider.say_text(&mut stage, text));
    judged(stage, "nonsense under the right seal")
}

/// Hosts 0 and 1, and host 2 who has as many of the longest messages for host 1 as it takes.
fn greedy(held_bytes: Option<u64>) -> Stage {
    let mut configs: Vec<_> = (0..3).map(sealed).collect();
    configs[1].held_bytes = held_bytes.unwrap_or(configs[1].held_bytes);
    let mut stage = Stage::of(configs);
    stage.foes = vec![2];
    stage.connect();
    stage.run(ms(500));
    stage.ask(2, address(1), None);
    stage
}

fn submit(stage: &mut Stage, stream: u32) {
    let handle = stage.asked[&2];
    let body = vec![b'x'; 16 * 1024 * 1024];
    stage.ends[2].submit(handle, stream, body, SendOptions::default()).unwrap();
}

fn longest_messages() -> String {
    let mut stage = greedy(None);
    for _ in 0..2 {
        submit(&mut stage, 0);
        stage.run(ms(2_000));
    }
    let heard = stage.heard.iter().filter(|(_, _, text)| text == "16777216 bytes").count();
    stage.heard.retain(|(_, _, text)| text != "16777216 bytes");
    submit(&mut stage, 0);
    let verdict = stage.verdict();
    let verdict = verdict.replace("; 1 heard 16777216 bytes", "");
    stage.row(
        "a member that says 16 MiB again and again",
        &format!("{verdict}; {} of them were heard", heard + 1),
    )
}

fn never_finished() -> String {
    let mut stage = greedy(Some(4_000_000));
    for _ in 0..3 {
        (0..2).for_each(|stream| submit(&mut stage, stream));
        stage.run(ms(1_500));
        stage.ask(2, address(1), None);
    }
    judged(stage, "a member whose messages are never finished, over and over, with room for 4 MB")
}
