//! Attacks by somebody between the two who has no key of theirs: damage, replay, reflection, another's name.

use std::collections::BTreeMap;

use udpchat::endpoint::EndpointConfig;
use udpchat::secure::comparison_words;
use udpchat::wire::{self, ConnectionId, Datagram, Handshake, Hello, Limits, Mode, Welcome};

use super::stage::{Flight, Kind, Stage, address, digits_at, keys, kind, mend, ms, sealed};

/// Which datagrams an attack of this kind is about: what it is called, who sends it, whether it is in the clear.
const TARGETS: [(&str, Kind, usize, bool); 8] = [
    ("the hello", Kind::Hello, 0, false),
    ("the welcome", Kind::Welcome, 1, false),
    ("the first packet with the third message", Kind::Third, 0, false),
    ("a sealed packet of the asking side", Kind::Packet, 0, false),
    ("a sealed packet of the granting side", Kind::Packet, 1, false),
    ("the hello in the clear", Kind::Hello, 0, true),
    ("the welcome in the clear", Kind::Welcome, 1, true),
    ("a packet in the clear", Kind::Packet, 0, true),
];

pub fn rows() -> Vec<String> {
    let mut rows = Vec::new();
    for target in TARGETS {
        rows.push(changed(&format!("a bit of every byte of {}", target.0), target, flips));
        let is_handshake = matches!(target.1, Kind::Hello | Kind::Welcome);
        if is_handshake && !target.3 {
            let attack = format!("the same with the checksum made right: {}", target.0);
            rows.push(changed(&attack, target, mended_flips));
        }
        rows.push(changed(&format!("every cut of {}", target.0), target, cuts));
    }
    rows.extend([replay_at_once(), replay_later(), replay_after_keys(), replay_after_close()]);
    rows.extend([reflection(), swapped_names(), swapped_handshakes()]);
    rows.extend([relayed(), known_key(), unknown_key(), downgrade(), granted_in_clear()]);
    rows
}

fn flips(datagram: &[u8]) -> Vec<Vec<u8>> {
    (0..datagram.len()).map(|at| flipped(datagram, at)).collect()
}

fn flipped(datagram: &[u8], at: usize) -> Vec<u8> {
    let mut damaged = datagram.to_vec();
    damaged[at] ^= 1 << (at % 8);
    damaged
}

/// The digits themselves would be made right again, so they are left out.
fn mended_flips(datagram: &[u8]) -> Vec<Vec<u8>> {
    let digits = digits_at(datagram).unwrap();
    let places = (0..datagram.len()).filter(|at| !(digits..digits + 8).contains(at));
    places
        .map(|at| {
            let mut damaged = flipped(datagram, at);
            mend(&mut damaged);
            damaged
        })
        .collect()
}

fn cuts(datagram: &[u8]) -> Vec<Vec<u8>> {
    (0..datagram.len()).map(|length| datagram[..length].to_vec()).collect()
}

/// Everything that is made of the first datagram of a kind comes before it does.
fn changed(
    attack: &str,
    (_, wanted, host, is_clear): (&str, Kind, usize, bool),
    variants: fn(&[u8]) -> Vec<Vec<u8>>,
) -> String {
    let mut stage = if is_clear { Stage::in_clear() } else { Stage::new() };
    let mut is_done = false;
    let mut hook = |stage: &mut Stage, flight: &Flight| {
        if !is_done && flight.from == address(host) && kind(&flight.datagram) == wanted {
            is_done = true;
            for variant in variants(&flight.datagram) {
                stage.strike(1 - host, flight.from, &variant);
            }
        }
        true
    };
    stage.connect();
    stage.run_with(ms(3_000), &mut hook);
    // A packet without the third message comes later, with the next words.
    stage.say(0, "and more");
    stage.run_with(ms(3_000), &mut hook);
    stage.heard.retain(|(_, _, text)| text != "and more");
    assert!(is_done, "{attack}: there was none");
    let verdict = stage.verdict();
    stage.row(attack, &verdict)
}

/// All that was sent so far comes again.
fn replay(stage: &mut Stage) {
    for flight in stage.past.clone() {
        let host = usize::from(flight.to == address(1));
        stage.strike(host, flight.from, &flight.datagram);
    }
}

fn replay_at_once() -> String {
    let mut stage = Stage::new();
    stage.connect();
    let mut seen = Vec::new();
    stage.run_with(ms(2_000), |stage, flight| {
        // What comes again is acked again, and so on for ever: a few dozen show what becomes of it.
        if seen.len() < 40 {
            seen.push(flight.clone());
            for flight in &seen {
                let host = usize::from(flight.to == address(1));
                stage.strike(host, flight.from, &flight.datagram);
            }
        }
        true
    });
    let verdict = stage.verdict();
    stage.row("every datagram again with each that comes, and once before itself", &verdict)
}

fn replay_later() -> String {
    let mut stage = Stage::talking();
    stage.run(ms(60_000));
    replay(&mut stage);
    let verdict = stage.verdict();
    stage.row("every datagram again a minute later", &verdict)
}

fn replay_after_keys() -> String {
    let mut configs = vec![sealed(0), sealed(1)];
    configs.iter_mut().for_each(|config| config.connection.key_life.time = ms(5_000));
    let mut stage = Stage::of(configs);
    stage.connect();
    for number in 0..30 {
        stage.run(ms(2_000));
        stage.say(0, &format!("{number}"));
        stage.say(1, &format!("{number}"));
    }
    stage.run(ms(1_000));
    stage.heard.retain(|(_, _, text)| text.parse::<u32>().is_err());
    let epochs = stage.ends[0].connection(stage.asked[&0]).unwrap().epochs().unwrap();
    replay(&mut stage);
    let verdict = stage.verdict();
    stage.row(&format!("every datagram again when the keys have changed {} times", epochs.0), &verdict)
}

fn replay_after_close() -> String {
    let mut stage = Stage::talking();
    stage.ends[0].close(stage.now, stage.asked[&0], "bye", "");
    stage.run(ms(1_000));
    replay(&mut stage);
    stage.run(ms(60_000));
    replay(&mut stage);
    stage.run(ms(60_000));
    let open = stage.ends.iter().flat_map(|end| end.connections()).count();
    let ended = stage.told.join("; ");
    assert_eq!(stage.heard.len(), 2, "nothing was heard twice");
    stage.row(
        "every datagram again a second after the close, and a minute after it",
        &format!("connections that came of it {open}; {ended}"),
    )
}

fn reflection() -> String {
    let mut stage = Stage::new();
    stage.connect();
    let mut thrown = 0;
    let mut hook = |stage: &mut Stage, flight: &Flight| {
        // A reflection is answered, and so on for ever: a few hundred show what becomes of it.
        thrown += 1;
        if thrown < 400 {
            let sender = usize::from(flight.from == address(1));
            stage.strike(sender, flight.to, &flight.datagram);
        }
        true
    };
    stage.run_with(ms(3_000), &mut hook);
    let verdict = stage.verdict();
    stage.row("every datagram back to its sender, from where it was sent to", &verdict)
}

/// The id that a datagram is for.
fn name_of(datagram: &[u8]) -> Option<String> {
    let head = datagram.split(|byte| *byte == b'\n').next()?;
    let head = std::str::from_utf8(head).ok()?;
    let (_, rest) = head.split_once(r#""to":""#)?;
    rest.get(..8).map(str::to_owned)
}

fn renamed(datagram: &[u8], name: &str) -> Vec<u8> {
    let before = br#""to":""#;
    let at = datagram.windows(before.len()).position(|window| window == before).unwrap() + before.len();
    let mut renamed = datagram.to_vec();
    renamed[at..at + 8].copy_from_slice(name.as_bytes());
    mend(&mut renamed);
    renamed
}

/// Hosts 0 and 2 have connections with host 1; what is for one comes under the id of the other, from where it would come from.
fn swapped(attack: &str, wanted: &[Kind], begin: fn(&mut Stage)) -> String {
    let mut stage = Stage::of((0..3).map(sealed).collect());
    begin(&mut stage);
    // By where it goes, and on whose connection: the name there, and what came too early to have the other's.
    let mut names: BTreeMap<(bool, usize), String> = BTreeMap::new();
    let mut early: Vec<(bool, usize, Vec<u8>)> = Vec::new();
    stage.run_with(ms(2_000), |stage, flight| {
        let to_granting = flight.to == address(1);
        let owner = if [flight.from, flight.to].contains(&address(2)) { 2 } else { 0 };
        let Some(name) = name_of(&flight.datagram).filter(|_| wanted.contains(&kind(&flight.datagram)))
        else {
            return true;
        };
        names.insert((to_granting, owner), name);
        early.push((to_granting, owner, flight.datagram.clone()));
        early.retain(|(to_granting, owner, datagram)| {
            let other = 2 - owner;
            let Some(name) = names.get(&(*to_granting, other)) else { return true };
            let (host, from) = if *to_granting { (1, address(other)) } else { (other, address(1)) };
            stage.strike(host, from, &renamed(datagram, name));
            false
        });
        true
    });
    assert!(stage.tried > 0);
    stage.heard.retain(|(_, _, text)| text.parse::<u32>().is_err());
    let verdict = stage.verdict();
    stage.row(attack, &verdict)
}

fn swapped_names() -> String {
    swapped("packets of one connection under another one's id", &[Kind::Third, Kind::Packet], |stage| {
        stage.ask(2, address(1), None);
        stage.connect();
        stage.run(ms(500));
        for number in 0..20 {
            stage.say(0, &format!("{number}"));
            stage.say(1, &format!("{number}"));
            stage.say(2, &format!("{number}"));
        }
    })
}

fn swapped_handshakes() -> String {
    swapped("the welcome of one attempt under another one's id", &[Kind::Welcome], |stage| {
        stage.ask(2, address(1), None);
        stage.connect();
    })
}

fn relayed() -> String {
    let mut stage = Stage::new();
    let middle = address(7);
    stage.middle = Some(middle);
    stage.ask(0, middle, Some(keys(1).public()));
    stage.say(0, "hello");
    stage.run(ms(3_000));
    let verdict = stage.verdict();
    stage.tried = stage.past.len() as u64;
    for flight in &stage.past {
        for word in ["hello", "welcome", "still here"] {
            let is_seen = flight.datagram.windows(word.len()).any(|it| it == word.as_bytes());
            assert!(!is_seen || kind(&flight.datagram) <= Kind::Welcome, "{word} was seen");
        }
    }
    stage.row(
        "a man in the middle who passes on every datagram as his own",
        &format!("{verdict}; he read none"),
    )
}

/// Host 2 answers host 0 in host 1's name, and talks to host 1 in its own.
fn impostor() -> Stage {
    let mut stage = Stage::of((0..3).map(sealed).collect());
    stage.impostor = Some(2);
    stage.foes = vec![2];
    stage.ask(2, address(1), Some(keys(1).public()));
    stage
}

fn known_key() -> String {
    let mut stage = impostor();
    stage.connect();
    stage.run(ms(60_000));
    assert!(stage.heard.is_empty(), "the words went to nobody");
    let told = format!("refused: {}", ended_words(&stage));
    stage.row("a man in the middle with a key of his own, the right key known before", &told)
}

/// What host 0 was told.
fn ended_words(stage: &Stage) -> String {
    let of_host_0: Vec<&str> =
        stage.told.iter().map(String::as_str).filter(|it| it.starts_with("0 ")).collect();
    of_host_0.join("; ")
}

fn unknown_key() -> String {
    let mut stage = impostor();
    stage.ask(0, address(1), None);
    stage.say(0, "hello");
    stage.run(ms(3_000));
    let [there, here] = [(0, stage.asked[&0]), (1, stage.granted[&2])]
        .map(|(host, handle)| stage.ends[host].remote_key(handle).unwrap());
    assert_eq!([there, here], [keys(2).public(); 2]);
    let words = [comparison_words(&keys(0).public(), &there), comparison_words(&keys(1).public(), &here)];
    assert_ne!(words[0], words[1]);
    assert_eq!(ended_words(&stage), "");
    let told = "begun with him, and the words that both compare differ";
    stage.row("the same, no key known before", told)
}

fn downgrade() -> String {
    let mut stage = Stage::new();
    stage.connect();
    // He says hello in the clear in its place, and hands the answer on.
    stage.run_with(ms(30_000), |stage, flight| {
        let Ok(Datagram::Handshake(Handshake::SealedHello(hello))) = wire::decode(&flight.datagram) else {
            return true;
        };
        let id = hello.id;
        let hello = Hello { id, mode: Mode::Clear, limits: Limits::default(), old: None };
        let mut clear = Vec::new();
        wire::encode_handshake(&mut clear, &Handshake::Hello(hello));
        for answer in stage.strike_for_answer(1, flight.from, &clear) {
            stage.strike(0, flight.to, &answer);
        }
        false
    });
    let told = format!("refused: {}", stage.told.join("; "));
    stage.row("a man in the middle who makes every hello one in the clear", &told)
}

fn granted_in_clear() -> String {
    let mut stage = Stage::of(vec![sealed(0), sealed(1), EndpointConfig::default()]);
    stage.connect();
    stage.run_with(ms(3_000), |stage, flight| {
        if let Ok(Datagram::Handshake(Handshake::SealedHello(hello))) = wire::decode(&flight.datagram) {
            let id = ConnectionId::parse("clear000").unwrap();
            let welcome = Welcome { id, limits: Limits::default(), alive: false };
            let mut clear = Vec::new();
            wire::encode_handshake(&mut clear, &Handshake::Welcome { to: hello.id, welcome });
            stage.strike(0, flight.to, &clear);
        }
        true
    });
    let verdict = stage.verdict();
    stage.row("the same who grants in the clear what was asked sealed", &verdict)
}
