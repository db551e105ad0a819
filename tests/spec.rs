//! Keeps `spec/` true: every rule is kept by code and shown by a test, every registry is the code's own, every example is real.
//!
//! A rule is a paragraph that begins with its id in bold. Code cites it where it keeps it, a test cites it in a comment where it
//! shows it, and a vector in `spec/vectors` by its `rule`. After a change of what travels, `UPDATE_SPEC=1 cargo test --test spec`
//! writes the examples anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use serde_json::{Value, json};
use udpchat::arq::{self, Config, Violation};
use udpchat::chat::{self, News, Party, Receipt, Request, Said, Say, Words};
use udpchat::endpoint::{Disposition, EndpointConfig};
use udpchat::relay::RelayConfig;
use udpchat::secure;
use udpchat::time::WallTime;
use udpchat::wire::{self, Datagram, DecodeError, Frame, Handshake, Kind, Limits, PacketWriter};

mod conversation;
mod registry;
mod session;

// The rules.

#[test]
fn every_rule_is_kept_somewhere_and_shown_somewhere() {
    let rules = rules();
    let (code, tests) = (cited_by_code(), cited_by_tests());
    let mut wrong = Vec::new();
    let mut unused = exceptions();
    for id in rules.keys() {
        for (lacks, cited) in [("code", &code), ("test", &tests)] {
            let is_excepted = unused.remove(&(id.clone(), lacks.to_owned()));
            match (cited.contains_key(id), is_excepted) {
                (false, false) => wrong.push(format!("{id}: cited by no {lacks}")),
                (true, true) => wrong.push(format!("{id}: its exception for {lacks} is stale")),
                _ => {}
            }
        }
    }
    wrong.extend(unused.iter().map(|(id, lacks)| format!("{id}: an exception for {lacks} without a rule")));
    for (id, places) in code.iter().chain(&tests) {
        if !rules.contains_key(id) {
            wrong.push(format!("{id}: cited in {places:?} and defined nowhere"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_demand_has_an_id_of_its_own() {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for chapter in chapters() {
        for paragraph in read(&chapter).split("\n\n") {
            let id = rule_id(paragraph);
            let demands = ["MUST", "SHOULD", "MAY"].iter().any(|word| has_word(paragraph, word));
            if demands && id.is_none() && !paragraph.contains("BCP 14") {
                wrong.push(format!("{}: a demand without an id: {paragraph}", chapter.display()));
            }
            if id.is_some() && !demands {
                wrong.push(format!("{}: an id without a demand: {paragraph}", chapter.display()));
            }
            if id.is_some_and(|id| !seen.insert(id.to_owned())) {
                wrong.push(format!("{}: defined twice: {paragraph}", chapter.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every rule's paragraph by its id.
fn rules() -> BTreeMap<String, String> {
    let texts: Vec<String> = chapters().iter().map(|chapter| read(chapter)).collect();
    let paragraphs = texts.iter().flat_map(|text| text.split("\n\n"));
    paragraphs.filter_map(|paragraph| Some((rule_id(paragraph)?.to_owned(), paragraph.to_owned()))).collect()
}

/// The id that a paragraph begins with, if it states a rule.
fn rule_id(paragraph: &str) -> Option<&str> {
    let (id, _) = paragraph.strip_prefix("**UC-")?.split_once("**")?;
    let start = paragraph.find("UC-")?;
    paragraph.get(start..start + "UC-".len() + id.len())
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphabetic()).any(|part| part == word)
}

fn cited_by_code() -> BTreeMap<String, Vec<String>> {
    let mut cited = BTreeMap::new();
    for file in files("src", "rs") {
        if !is_test_file(&file) {
            note_ids(&file, split_tests(&read(&file)).0, &mut cited);
        }
    }
    cited
}

fn cited_by_tests() -> BTreeMap<String, Vec<String>> {
    let mut cited = BTreeMap::new();
    for file in files("src", "rs") {
        let text = read(&file);
        note_ids(&file, if is_test_file(&file) { &text } else { split_tests(&text).1 }, &mut cited);
    }
    for file in files("tests", "rs").into_iter().chain(files("spec/vectors", "json")) {
        note_ids(&file, &read(&file), &mut cited);
    }
    cited
}

fn is_test_file(file: &Path) -> bool {
    file.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
}

/// A module's code, and the tests that stand in the same file.
fn split_tests(text: &str) -> (&str, &str) {
    text.split_at(text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len()))
}

fn note_ids(file: &Path, text: &str, cited: &mut BTreeMap<String, Vec<String>>) {
    for (line, text) in (1..).zip(text.lines()) {
        for (start, _) in text.match_indices("UC-") {
            let id: String = text[start..]
                .chars()
                .take_while(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '-')
                .collect();
            if id.split('-').count() == 3 && id.ends_with(|c: char| c.is_ascii_digit()) {
                cited.entry(id).or_default().push(format!("{}:{line}", file.display()));
            }
        }
    }
}

/// What is known not to be cited: (rule, "code" or "test").
fn exceptions() -> BTreeSet<(String, String)> {
    let text = |entry: &Value, member: &str| entry[member].as_str().map(str::to_owned).unwrap_or_default();
    list(&registry("../exceptions.json"))
        .iter()
        .map(|entry| {
            assert!(text(entry, "reason").len() > 10, "an exception has a reason: {entry}");
            (text(entry, "id"), text(entry, "lacks"))
        })
        .collect()
}

// The registries.

#[test]
fn the_frames_are_the_codes_own() {
    let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names_in("frames.json"), names);
}

#[test]
fn every_close_code_and_refuse_code_that_is_sent_is_registered() {
    let calls = [
        ("close", ".close(now"),
        ("close", "give_up(now"),
        ("close", "begin_closing_now(now"),
        ("close", "CLOSED: &"),
        // How a relay turns somebody away at the door.
        ("close", "{\n            Some((\""),
        ("refuse", ".refuse(now"),
    ];
    let mut sent = BTreeMap::from([("close", BTreeSet::new()), ("refuse", BTreeSet::new())]);
    for file in files("src", "rs").iter().filter(|file| !is_test_file(file)) {
        let text = read(file);
        let code = split_tests(&text).0;
        // What a relay refuses are requests and words, by codes of their own.
        let is_handshakes = file.starts_with("src/endpoint");
        for (kind, call) in calls.into_iter().filter(|(kind, _)| *kind == "close" || is_handshakes) {
            for (start, _) in code.match_indices(call) {
                let statement = code[start..].split(';').next().unwrap_or_default();
                let literal = statement.split('"').nth(1);
                sent.get_mut(kind).unwrap().extend(literal.map(str::to_owned));
            }
        }
    }
    let registered = |file| names_in(file).into_iter().collect::<BTreeSet<String>>();
    assert_eq!(sent["close"], registered("close-codes.json"));
    assert_eq!(sent["refuse"], registered("refuse-codes.json"));
}

#[test]
fn the_chat_kinds_are_the_codes_own() {
    let id = chat::MessageId::parse("k3-1").unwrap();
    let words = |is_echo, reply_to| {
        Said::Words(Words { id: id.clone(), text: "oi".into(), sealed: None, is_echo, reply_to, place: None })
    };
    let all = [
        Said::Introduce { run: "k3".into(), remembers: false },
        words(false, None),
        words(false, Some((id.clone(), "oi".into(), WallTime::default()))),
        words(true, None),
        Said::Receipt(Receipt::taken(id.clone(), WallTime::default())),
        Said::Echoed { id: id.clone(), original_at: WallTime::default(), text: "oi".into() },
        Said::Request { id: id.clone(), ask: Request::Rooms },
        Said::News(News::Closing { reason: String::new() }),
    ];
    let party = Party { nick: None, room: None, ip: [127, 0, 0, 1].into(), port: 1 };
    let kinds: Vec<String> = all
        .into_iter()
        .map(|said| Say { from: party.clone(), to: party.clone(), at: WallTime::default(), said }.encode())
        .map(|json| serde_json::from_slice::<Value>(&json).unwrap()["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names_in("chat-kinds.json"), kinds);
}

#[test]
fn the_numbers_are_the_codes_own() {
    let registry = registry("limits.json");
    let config = Config::default();
    let numbers = json!({
        "VERSION": wire::VERSION,
        "MAX_DATAGRAM_BYTES": wire::MAX_DATAGRAM_BYTES,
        "BASE_DATAGRAM_BYTES": wire::BASE_DATAGRAM_BYTES,
        "HELLO_BYTES": wire::HELLO_BYTES,
        "MAX_NUMBER": wire::MAX_NUMBER,
        "MAX_ACK_RANGES": wire::MAX_ACK_RANGES,
        "MAX_FRAMES": wire::MAX_FRAMES,
        "MAX_LIST": wire::MAX_LIST,
        "MAX_REPAIR_SPAN": wire::MAX_REPAIR_SPAN,
        "MAX_SYMBOLS": wire::MAX_SYMBOLS,
        "MIN_SYMBOL_BYTES": wire::SYMBOL_BYTES.start(),
        "MAX_SYMBOL_BYTES": wire::SYMBOL_BYTES.end(),
        "MAX_REASON_BYTES": wire::MAX_REASON_BYTES,
        "MAX_COOKIE_BYTES": wire::MAX_COOKIE_BYTES,
        "FINISH_BYTES": wire::FINISH_BYTES,
        "SEAL_BYTES": wire::SEAL_BYTES,
        "MAX_LETTER_BYTES": secure::MAX_LETTER_BYTES,
        "MAX_LETTER_QUOTE_BYTES": chat::MAX_LETTER_QUOTE_BYTES,
        "MAX_MESSAGE_BYTES": arq::MAX_MESSAGE_BYTES,
        "MAX_TEXT_BYTES": chat::MAX_TEXT_BYTES,
        "MAX_QUOTE_BYTES": chat::MAX_QUOTE_BYTES,
        "MAX_NICK_CHARS": chat::MAX_NICK_CHARS,
        "MAX_ID_BYTES": chat::MessageId::MAX_BYTES,
        "MAX_ROOM_CHARS": chat::MAX_ROOM_CHARS,
        "MAX_REMARK_BYTES": chat::MAX_REMARK_BYTES,
        "MAX_SECRET_BYTES": chat::MAX_SECRET_BYTES,
        "WORDS": chat::stream::WORDS,
        "RECEIPTS": chat::stream::RECEIPTS,
    });
    assert_eq!(by_name(&registry["constants"], "value"), numbers);
    assert_eq!(by_name(&registry["limits"], "absent"), limits(Limits::default()));
    assert_eq!(by_name(&registry["limits"], "udpchat"), limits(config.limits));
    let relay = RelayConfig::default().endpoint.connection.limits;
    assert_eq!(by_name(&registry["limits"], "relay"), limits(relay));
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap();
    let timers = json!({
        "initial_timeout": ms(config.initial_timeout),
        "probe_cap": ms(config.probe_cap),
        "keep_alive": ms(config.keep_alive),
        "attentive_keep_alive": ms(config.attentive_keep_alive),
        "silent_after": ms(config.silent_after),
        "idle_timeout": ms(config.idle_timeout),
        "flush_timeout": ms(config.flush_timeout),
        "connect_timeout": ms(EndpointConfig::default().connect_timeout),
    });
    assert_eq!(by_name(&registry["timers_ms"], "value"), timers);
}

#[test]
fn every_error_and_disposition_has_its_row() {
    let chapter = read(Path::new("spec/07-errors.md"));
    let dispositions = [
        Disposition::Packet,
        Disposition::Duplicate,
        Disposition::Hello,
        Disposition::Crowd,
        Disposition::KeyCrowd,
        Disposition::Reflected,
        Disposition::Welcome,
        Disposition::Refuse,
        Disposition::StaleHandshake,
        Disposition::Refused,
        Disposition::Retry,
        Disposition::RetryHeeded,
        Disposition::Overload,
        Disposition::BadHandshake,
        Disposition::WrongKey,
        Disposition::UnknownConnection,
        Disposition::WrongForm,
        Disposition::BadSeal,
        Disposition::OldKey,
    ];
    let violations =
        [Violation::WindowOverrun, Violation::StreamLimit, Violation::MessageLimit, Violation::PartMismatch];
    let names = DecodeError::ALL.iter().map(|error| error.name()).chain(dispositions.map(Disposition::name));
    let missing: Vec<String> = names
        .map(|name| format!("| `{name}` |"))
        .chain(violations.map(|violation| format!("| {} |", violation.rule())))
        .filter(|row| !chapter.contains(row))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_registered_name_has_its_row() {
    let mut missing = Vec::new();
    let tables = [
        ("frames.json", "02-wire.md"),
        ("refuse-codes.json", "03-handshake.md"),
        ("close-codes.json", "06-close.md"),
        ("chat-kinds.json", "08-chat.md"),
        ("requests.json", "10-relay.md"),
        ("acts.json", "10-relay.md"),
        ("news.json", "10-relay.md"),
        ("changes.json", "10-relay.md"),
        ("refusal-codes.json", "10-relay.md"),
    ];
    for (file, chapter) in tables {
        let text = read(&Path::new("spec").join(chapter));
        let rows = names_in(file).into_iter().map(|name| format!("| `{name}` |"));
        missing.extend(rows.filter(|row| !text.contains(row)).map(|row| format!("{chapter}: {row}")));
    }
    let relay = read(Path::new("spec/10-relay.md"));
    for bound in list(&registry("limits.json")["relay"]) {
        let row = format!("| `{}` | {} |", bound["name"].as_str().unwrap(), bound["value"]);
        if !relay.contains(&row) {
            missing.push(format!("10-relay.md: {row}"));
        }
    }
    let handshake = read(Path::new("spec/03-handshake.md"));
    for limit in list(&registry("limits.json")["limits"]) {
        let (name, absent, ours) = (limit["name"].as_str().unwrap(), &limit["absent"], &limit["udpchat"]);
        let row = format!("| `{name}` | {absent} | {ours} |");
        if !handshake.contains(&row) {
            missing.push(format!("03-handshake.md: {row}"));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

fn names_in(file: &str) -> Vec<String> {
    list(&registry(file)).iter().map(|entry| entry["name"].as_str().unwrap_or_default().to_owned()).collect()
}

fn by_name(entries: &Value, member: &str) -> Value {
    list(entries)
        .iter()
        .map(|entry| (entry["name"].as_str().unwrap().to_owned(), entry[member].clone()))
        .collect()
}

fn registry(file: &str) -> Value {
    let path = Path::new("spec/registry").join(file);
    serde_json::from_str(&read(&path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

// The examples.

#[test]
fn every_example_datagram_is_real() {
    let mut wrong = Vec::new();
    for chapter in chapters() {
        for example in examples(&read(&chapter)) {
            let place = chapter.display();
            match wire::decode(example.as_bytes()) {
                Ok(datagram) if encode(&datagram) == example.as_bytes() => {}
                Ok(_) => wrong.push(format!("{place}: not what the codec writes: {example}")),
                Err(error) => wrong.push(format!("{place}: {error}: {example}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// All of them, also the one that is left out on the wire.
fn limits(limits: Limits) -> Value {
    let mut told = serde_json::to_value(limits).unwrap();
    told["repair_messages"] = json!(limits.repair_messages);
    told
}

#[test]
fn the_conversation_is_what_two_peers_say() {
    let said = conversation::record();
    let text =
        chapters().iter().find(|chapter| *chapter == Path::new(CONVERSATION)).map(|it| read(it)).unwrap();
    let goes_so = examples(&text).eq(said.iter().map(|said| said.datagram.as_str()));
    assert!(goes_so, "the conversation goes differently now:\n{}", conversation::as_markdown(&said));
}

/// The chapter whose examples are a conversation.
const CONVERSATION: &str = "spec/01-overview.md";

// UC-RELAY-001, UC-RELAY-002
#[test]
fn the_session_is_what_a_relay_and_its_members_say() {
    let said = session::record();
    let text = chapters().iter().find(|chapter| *chapter == Path::new(SESSION)).map(|it| read(it)).unwrap();
    let goes_so = blocks(&text, SAY).flat_map(str::lines).eq(said.iter().map(|said| said.json.as_str()));
    assert!(goes_so, "the session goes differently now:\n{}", session::as_markdown(&said));
}

#[test]
fn every_example_of_chat_is_as_the_codec_writes_it() {
    let mut wrong = Vec::new();
    for chapter in [Path::new("spec/08-chat.md"), Path::new(SESSION), Path::new("spec/13-letters.md")] {
        let text = read(chapter);
        let lines = blocks(&text, "```json\n").chain(blocks(&text, SAY)).flat_map(str::lines);
        for line in lines.filter(|line| line.starts_with("{\"kind\":")) {
            let written = Say::decode(line.as_bytes()).map(|say| String::from_utf8(say.encode()).unwrap());
            if written.as_deref() != Ok(line) {
                wrong.push(format!("{}: {line}: {written:?}", chapter.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The chapter that prints a session at a relay.
const SESSION: &str = "spec/10-relay.md";

/// What a block of it begins with.
const SAY: &str = "```say\n";

/// What a block of a datagram begins with.
const DATAGRAM: &str = "```datagram\n";

/// Writes the examples anew, once for all tests, if `UPDATE_SPEC` is set: the conversation and the session as they go now, and the
/// checksums.
fn update_if_asked() {
    static UPDATE: Once = Once::new();
    if std::env::var_os("UPDATE_SPEC").is_none() {
        return;
    }
    UPDATE.call_once(|| {
        for chapter in files("spec", "md") {
            let said = if chapter == Path::new(CONVERSATION) { conversation::record() } else { Vec::new() };
            let mut said = said.into_iter().map(|said| said.datagram);
            let sealed = rewrite(&read(&chapter), DATAGRAM, |old| said.next().unwrap_or_else(|| seal(old)));
            fs::write(&chapter, sealed).unwrap();
        }
        let mut said = session::record().into_iter().map(|said| said.json);
        let session = rewrite(&read(Path::new(SESSION)), SAY, |old| {
            old.lines().map(|old| said.next().unwrap_or(old.to_owned())).collect::<Vec<_>>().join("\n")
        });
        fs::write(SESSION, session).unwrap();
    });
}

/// The datagrams in a chapter: the blocks fenced as `datagram`, without the line's end before the closing fence.
fn examples(text: &str) -> impl Iterator<Item = &str> {
    blocks(text, DATAGRAM)
}

/// What stands in the blocks that begin so.
fn blocks<'a>(text: &'a str, fence: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(fence).skip(1).filter_map(|rest| Some(rest.split_once("\n```")?.0))
}

/// The text with something else in the blocks that begin so.
fn rewrite(text: &str, fence: &str, mut anew: impl FnMut(&str) -> String) -> String {
    let mut parts = text.split(fence);
    let mut after = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (old, rest) = part.split_once("\n```").unwrap();
        after += fence;
        after += &anew(old);
        after += "\n```";
        after += rest;
    }
    after
}

/// The same datagram with the right checksum.
fn seal(datagram: &str) -> String {
    let Some(at) = datagram.find("\"c\":\"").map(|at| at + "\"c\":\"".len()) else {
        return datagram.to_owned();
    };
    let mut zeroed = datagram.to_owned();
    zeroed.replace_range(at..at + 8, "00000000");
    let digits = format!("{:08x}", crc32c::crc32c(zeroed.as_bytes()));
    zeroed.replace_range(at..at + 8, &digits);
    zeroed
}

fn encode(datagram: &Datagram<'_>) -> Vec<u8> {
    let (mut buffer, mut bytes) = (Vec::new(), Vec::new());
    match datagram {
        Datagram::Handshake(handshake) => wire::encode_handshake(&mut buffer, handshake),
        Datagram::Packet(packet) => {
            let limit = wire::MAX_DATAGRAM_BYTES;
            let mut writer =
                PacketWriter::new(&mut buffer, &mut bytes, packet.to, packet.number, packet.low, limit);
            assert!(packet.frames.iter().all(|frame| writer.push(frame)));
            writer.finish();
        }
        Datagram::Sealed(_) => panic!("what is sealed cannot be written without its key"),
    }
    buffer
}

#[test]
fn an_example_shows_every_frame() {
    let mut missing: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    // Its bytes are no text; a vector has the example of UC-STR-015.
    missing.remove("repair");
    for chapter in chapters() {
        for example in examples(&read(&chapter)) {
            match wire::decode(example.as_bytes()) {
                Ok(Datagram::Packet(packet)) => {
                    for kind in packet.frames.iter().map(Frame::kind) {
                        missing.remove(kind.name());
                    }
                }
                Ok(Datagram::Handshake(handshake)) => {
                    missing.remove(match handshake {
                        Handshake::Hello(_) | Handshake::SealedHello(_) => "hello",
                        Handshake::Welcome { .. } | Handshake::SealedWelcome { .. } => "welcome",
                        Handshake::Retry { .. } => "retry",
                        Handshake::Refuse { .. } => "refuse",
                    });
                    missing.remove("pad");
                }
                Ok(Datagram::Sealed(_)) | Err(_) => {}
            }
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

// Files.

/// Every chapter, up to date if that was asked for.
fn chapters() -> Vec<PathBuf> {
    update_if_asked();
    files("spec", "md")
}

/// Every file below a folder whose name ends so, in the order of their names.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
