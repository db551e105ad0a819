//! Runs the vectors of `spec/vectors` through the codec, and looks for bytes that would break it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use udpchat::chat::{ChatError, Say};
use udpchat::wire::{
    self, Ack, Close, ConnectionId, Datagram, DecodeError, Frame, Handshake, Have, Kind, Messages, Nack,
    Packet, PacketWriter, Part, PathFrame, Repair, Skip, Window,
};

// The vectors.

#[test]
fn what_is_valid_is_read() {
    for vector in vectors("decode-valid.json") {
        let datagram = bytes_of(&vector);
        let read = wire::decode(&datagram).map(|datagram| to_json(&datagram));
        assert_eq!(read, Ok(vector["expect"].clone()), "{}", vector["id"]);
    }
}

#[test]
fn what_is_invalid_is_named() {
    for vector in vectors("decode-invalid.json") {
        let datagram = bytes_of(&vector);
        let read = wire::decode(&datagram).map(|datagram| to_json(&datagram));
        let name = vector["error"].as_str();
        assert_eq!(read.as_ref().map_err(|error| Some(error.name())), Err(name), "{}", vector["id"]);
    }
}

#[test]
fn the_vectors_know_every_error_and_every_frame() {
    let mut missing: BTreeSet<&str> = DecodeError::ALL.iter().map(|error| error.name()).collect();
    for vector in vectors("decode-invalid.json") {
        missing.remove(vector["error"].as_str().unwrap());
    }
    assert!(missing.is_empty(), "{missing:?}");

    for (file, member) in [("decode-valid.json", "expect"), ("encode.json", "input")] {
        let mut missing: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        for vector in vectors(file) {
            for frame in list(&vector[member]["packet"]["frames"]) {
                missing.remove(frame["t"].as_str().unwrap());
            }
            ["hello", "welcome", "retry", "refuse"]
                .iter()
                .filter(|name| vector[member].get(name).is_some())
                .for_each(|name| {
                    missing.remove(name);
                });
        }
        assert!(missing.is_empty(), "{file}: {missing:?}");
    }
}

#[test]
fn what_is_written_is_exactly_this() {
    for vector in vectors("encode.json") {
        let mut written = Vec::new();
        let mut refused = Vec::new();
        if vector["input"].get("packet").is_some() {
            refused = write_packet(&vector["input"], &mut written);
        } else {
            // The vector's handshake as this program's types, by way of any datagram that says the same.
            let datagram = bytes_of(&vector);
            let Ok(Datagram::Handshake(handshake)) = wire::decode(&datagram) else {
                panic!("{}: no handshake", vector["id"]);
            };
            assert_eq!(to_json(&Datagram::Handshake(handshake.clone())), vector["input"], "{}", vector["id"]);
            wire::encode_handshake(&mut written, &handshake);
        }
        assert_eq!(show(&written), show(&bytes_of(&vector)), "{}", vector["id"]);
        assert_eq!(
            json!(refused),
            vector.get("refused").cloned().unwrap_or_else(|| json!([])),
            "{}",
            vector["id"]
        );
    }
}

#[test]
fn chat_is_read_and_written() {
    for vector in list(&file("chat.json")["valid"]) {
        let text = vector["json"].as_str().unwrap();
        let say = Say::decode(text.as_bytes()).unwrap_or_else(|error| panic!("{}: {error}", vector["id"]));
        let expected = vector.get("canonical").map_or(text, |canonical| canonical.as_str().unwrap());
        assert_eq!(String::from_utf8(say.encode()).unwrap(), expected, "{}", vector["id"]);
    }
}

#[test]
fn chat_that_says_nothing_is_refused_or_dropped() {
    for vector in list(&file("chat.json")["invalid"]) {
        let text = vector["json"].as_str().unwrap();
        let result = match Say::decode(text.as_bytes()) {
            Ok(say) => panic!("{}: {say:?}", vector["id"]),
            Err(ChatError::Unreadable) => json!({"unreadable": true}),
            Err(ChatError::Invalid { why, .. }) => json!({"refused": why}),
        };
        for member in ["unreadable", "refused"] {
            assert_eq!(result.get(member), vector.get(member), "{}", vector["id"]);
        }
    }
}

#[test]
fn every_vector_has_a_name_of_its_own() {
    let chat = file("chat.json");
    let decode = [vectors("decode-valid.json"), vectors("decode-invalid.json")].concat();
    for vectors in
        [&decode, &vectors("encode.json"), &[list(&chat["valid"]), list(&chat["invalid"])].concat()]
    {
        let mut seen = BTreeSet::new();
        for vector in vectors {
            assert!(seen.insert(vector["id"].as_str().unwrap()), "{} stands twice", vector["id"]);
            assert!(vector["comment"].is_string() && vector["rule"].is_string(), "{vector}");
        }
    }
}

// Whatever comes.

// UC-WIRE-005
#[test]
fn a_flipped_bit_is_always_found() {
    for vector in checked_vectors() {
        let datagram = bytes_of(&vector);
        for bit in 0..datagram.len() * 8 {
            let mut damaged = datagram.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(wire::decode(&damaged).is_err(), "{}: bit {bit} of {}", vector["id"], show(&damaged));
        }
    }
}

#[test]
fn a_datagram_that_is_cut_is_always_found() {
    for vector in checked_vectors() {
        let datagram = bytes_of(&vector);
        for length in 0..datagram.len() {
            assert!(wire::decode(&datagram[..length]).is_err(), "{}: {length} bytes", vector["id"]);
        }
    }
}

proptest! {
    // UC-WIRE-014
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = wire::decode(&bytes);
        let _ = wire::glance(&bytes);
        let _ = Say::decode(&bytes);
    }

    /// Closer to home than any bytes: pieces of the grammar in any order.
    #[test]
    fn no_scraps_make_it_panic(scraps in proptest::collection::vec(0..SCRAPS.len(), 0..60)) {
        let bytes: Vec<u8> = scraps.iter().flat_map(|&scrap| SCRAPS[scrap].bytes()).collect();
        let _ = wire::decode(&bytes);
        let _ = wire::glance(&bytes);
        let _ = Say::decode(&bytes);
    }

    #[test]
    fn every_packet_survives_the_way(packet in packets(), bit in any::<prop::sample::Index>()) {
        let mut written = Vec::new();
        prop_assert_eq!(write_packet(&packet, &mut written), Vec::<usize>::new());
        let read = wire::decode(&written).map(|datagram| to_json(&datagram));
        prop_assert_eq!(read, Ok(packet));
        let bit = bit.index(written.len() * 8);
        written[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(wire::decode(&written).is_err(), "bit {} of {}", bit, show(&written));
    }
}

const SCRAPS: [&str; 34] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\n",
    "\"",
    "1",
    "-1",
    "9007199254740992",
    "0.5",
    "null",
    "true",
    "\\u0000",
    "{}",
    "\"v\":1",
    "\"v\":2",
    "\"c\":\"00000000\"",
    "\"to\":\"k3f9q2a1\"",
    "\"n\":7",
    "\"low\":3",
    "\"f\":[",
    "\"t\":\"ack\"",
    "\"t\":\"msg\"",
    "\"t\":\"hello\"",
    "\"t\":\"song\"",
    "\"len\":[3]",
    "\"len\":3",
    "\"seq\":1",
    "\"got\":[[1,2]]",
    "\"kind\":\"message\"",
    "\"id\":\"k3-1\"",
    "{\"v\":1,\"c\":\"00000000\",\"to\":\"k3f9q2a1\",\"n\":7,\"f\":[",
];

/// Any packet, as the vectors write it.
fn packets() -> impl Strategy<Value = Value> {
    let number = 1..=wire::MAX_NUMBER;
    let low = proptest::option::of(number.clone());
    ("[0-9a-z]{8}", number, low, proptest::collection::vec(frames(), 0..8)).prop_map(
        |(to, n, low, frames)| {
            let mut packet = json!({"to": to, "n": n, "frames": frames});
            if let Some(low) = low {
                packet["low"] = json!(low);
            }
            json!({"packet": packet})
        },
    )
}

fn frames() -> impl Strategy<Value = Value> {
    let number = 1..=wire::MAX_NUMBER / 2;
    prop_oneof![
        (ranges(), number.clone())
            .prop_map(|(got, delay)| json!({"t": "ack", "got": got, "delay_us": delay})),
        ranges().prop_map(|miss| json!({"t": "nack", "miss": miss})),
        (common(), proptest::collection::vec(".{0,30}", 1..5)).prop_map(|(common, texts)| {
            let lengths: Vec<usize> = texts.iter().map(String::len).collect();
            merge(common, json!({"t": "msg", "len": lengths, "bytes": texts}))
        }),
        (common(), number.clone(), any::<bool>(), ".{1,30}").prop_map(|(common, offset, last, text)| {
            let last = if last { json!({"last": true}) } else { json!({}) };
            merge(merge(common, last), json!({"t": "part", "off": offset, "len": text.len(), "bytes": text}))
        }),
        (common(), number.clone(), proptest::collection::vec(".{1,30}", 2..5)).prop_map(
            |(common, offset, texts)| {
                let lengths: Vec<usize> = texts.iter().map(String::len).collect();
                merge(common, json!({"t": "part", "off": offset, "len": lengths, "bytes": texts}))
            },
        ),
        ".{0,30}".prop_map(|text| json!({"t": "gram", "len": text.len(), "bytes": text})),
        number.clone().prop_map(|bytes| json!({"t": "window", "total": bytes})),
        (number.clone(), number.clone())
            .prop_map(|(bytes, seq)| json!({"t": "window", "bytes": bytes, "seq": seq})),
        (number.clone(), proptest::collection::vec(number.clone(), 1..5))
            .prop_map(|(seq, sizes)| json!({"t": "skip", "seq": seq, "sizes": sizes})),
        Just(json!({"t": "ping"})),
        (number, any::<bool>()).prop_map(|(token, is_answer)| {
            if is_answer {
                json!({"t": "path", "answer": token})
            } else {
                json!({"t": "path", "challenge": token})
            }
        }),
        (".{0,30}", ".{1,60}")
            .prop_map(|(code, reason)| json!({"t": "close", "code": code, "reason": reason})),
        "[.]{0,30}".prop_map(|bytes| json!({"t": "pad", "len": bytes.len(), "bytes": bytes})),
    ]
}

/// Ascending, with holes between them.
fn ranges() -> impl Strategy<Value = Vec<[u64; 2]>> {
    proptest::collection::vec((2_u64..1_000, 0_u64..1_000), 1..=wire::MAX_ACK_RANGES).prop_map(|steps| {
        let mut next = 0;
        let step = |(gap, length)| {
            let first = next + gap;
            next = first + length;
            [first, next]
        };
        steps.into_iter().map(step).collect()
    })
}

/// What `msg` and `part` have in common; members with their default value are not written.
fn common() -> impl Strategy<Value = Value> {
    (0_u32..3, 1..=wire::MAX_NUMBER / 2, any::<bool>()).prop_map(|(stream, seq, unordered)| {
        let mut common = json!({"seq": seq});
        if stream > 0 {
            common["st"] = json!(stream);
        }
        if unordered {
            common["unordered"] = json!(true);
        }
        common
    })
}

// From the vectors' JSON to the codec's types and back.

/// Writes the packet and tells which of its frames did not fit.
fn write_packet(input: &Value, buffer: &mut Vec<u8>) -> Vec<usize> {
    let packet = &input["packet"];
    let limit =
        input["limit"].as_u64().map_or(wire::MAX_DATAGRAM_BYTES, |limit| usize::try_from(limit).unwrap());
    let to = ConnectionId::parse(packet["to"].as_str().unwrap()).unwrap();
    let mut bytes = Vec::new();
    let mut writer =
        PacketWriter::new(buffer, &mut bytes, to, number(&packet["n"]), packet["low"].as_u64(), limit);
    let frames = list(&packet["frames"]);
    let refused = (0..frames.len()).filter(|&index| !push(&mut writer, &frames[index])).collect();
    writer.finish();
    refused
}

fn push(writer: &mut PacketWriter<'_>, frame: &Value) -> bool {
    let texts: Vec<Vec<u8>> = match &frame["bytes"] {
        Value::String(text) => vec![from_text(text)],
        list => self::list(list).iter().map(|text| from_text(text.as_str().unwrap())).collect(),
    };
    let body = texts.first().map(Vec::as_slice).unwrap_or_default();
    let stream = frame["st"].as_u64().map_or(0, |stream| u32::try_from(stream).unwrap());
    let unordered = frame["unordered"].as_bool().unwrap_or(false);
    let seq = || number(&frame["seq"]);
    let text = |member: &str| frame[member].as_str().unwrap_or_default();
    let typed = match Kind::from_name(text("t")).unwrap() {
        Kind::Ack => {
            Frame::Ack(Ack { got: pairs(&frame["got"]).into(), delay_us: number(&frame["delay_us"]) })
        }
        Kind::Nack => Frame::Nack(Nack { miss: pairs(&frame["miss"]).into() }),
        Kind::Have => Frame::Have(Have { stream, seq: seq() }),
        Kind::Repair => Frame::Repair(Repair {
            stream,
            of: pairs(&frame["of"]).into(),
            unordered,
            symbols: texts.iter().map(Vec::as_slice).collect(),
        }),
        Kind::Msg => {
            let bodies = texts.iter().map(Vec::as_slice).collect();
            Frame::Msg(Messages { stream, seq: seq(), unordered, bodies })
        }
        Kind::Part => {
            let (offset, last) = (number(&frame["off"]), frame["last"].as_bool().unwrap_or(false));
            let bodies = if texts.is_empty() {
                [body].into_iter().collect()
            } else {
                texts.iter().map(Vec::as_slice).collect()
            };
            Frame::Part(Part { stream, seq: seq(), unordered, offset, last, bodies })
        }
        Kind::Gram => Frame::Gram { body },
        Kind::Window => Frame::Window(match frame["total"].as_u64() {
            Some(bytes) => Window::Connection { bytes },
            None => Window::Stream { stream, bytes: number(&frame["bytes"]), seq: seq() },
        }),
        Kind::Skip => Frame::Skip(Skip {
            stream,
            seq: seq(),
            sizes: list(&frame["sizes"]).iter().map(number).collect(),
        }),
        Kind::Ping => Frame::Ping,
        Kind::Path => Frame::Path(match frame["challenge"].as_u64() {
            Some(token) => PathFrame::Challenge(token),
            None => PathFrame::Answer(number(&frame["answer"])),
        }),
        Kind::Close => Frame::Close(Close { code: text("code").into(), reason: text("reason").into() }),
        Kind::Pad => Frame::Pad { bytes: body },
        Kind::Hello | Kind::Welcome | Kind::Retry | Kind::Refuse => panic!("no frame of a packet: {frame}"),
    };
    writer.push(&typed)
}

fn to_json(datagram: &Datagram<'_>) -> Value {
    match datagram {
        Datagram::Packet(packet) => json!({"packet": packet_to_json(packet)}),
        Datagram::Handshake(Handshake::Hello(hello)) => json!({"hello": hello}),
        Datagram::Handshake(Handshake::Welcome { to, welcome }) => json!({"to": to, "welcome": welcome}),
        Datagram::Handshake(Handshake::SealedHello(hello)) => {
            let mut read = json!({"id": hello.id, "bytes": to_text(hello.message)});
            if let Some(cookie) = &hello.cookie {
                read["cookie"] = json!(cookie);
            }
            json!({"sealed_hello": read})
        }
        Datagram::Handshake(Handshake::SealedWelcome { to, message }) => {
            json!({"to": to, "sealed_welcome": {"bytes": to_text(message)}})
        }
        Datagram::Handshake(Handshake::Retry { to, cookie }) => {
            json!({"to": to, "retry": {"cookie": cookie}})
        }
        Datagram::Sealed(head) => json!({
            "to": head.to, "n": head.number, "k": head.epoch,
            "finish_at": head.finish_at, "sealed_at": head.sealed_at,
        }),
        Datagram::Handshake(Handshake::Refuse { to: None, refuse }) => json!({"refuse": refuse}),
        Datagram::Handshake(Handshake::Refuse { to: Some(to), refuse }) => {
            json!({"to": to, "refuse": refuse})
        }
    }
}

fn packet_to_json(packet: &Packet<'_>) -> Value {
    let frames: Vec<Value> = packet.frames.iter().map(frame_to_json).collect();
    let mut read = json!({"to": packet.to, "n": packet.number, "frames": frames});
    if let Some(low) = packet.low {
        read["low"] = json!(low);
    }
    if packet.unknown_frames > 0 {
        read["skipped"] = json!(packet.unknown_frames);
    }
    read
}

/// The frame's head with its bytes beside it.
fn frame_to_json(frame: &Frame<'_>) -> Value {
    let bytes = match frame {
        Frame::Msg(messages) => messages.bodies.iter().map(|body| to_text(body)).collect(),
        Frame::Part(Part { bodies, .. }) if bodies.len() == 1 => json!(to_text(bodies[0])),
        Frame::Repair(repair) => repair.symbols.iter().map(|symbol| to_text(symbol)).collect(),
        Frame::Part(part) => part.bodies.iter().map(|body| to_text(body)).collect(),
        Frame::Gram { body: bytes } | Frame::Pad { bytes } => json!(to_text(bytes)),
        _ => return json!(frame),
    };
    merge(json!(frame), json!({"bytes": bytes}))
}

/// Bytes in a vector: as text where they are text.
fn to_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("hex:{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    }
}

fn from_text(text: &str) -> Vec<u8> {
    text.strip_prefix("hex:").map_or_else(|| text.as_bytes().to_vec(), from_hex)
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().map(|c| u8::try_from(c.to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn bytes_of(vector: &Value) -> Vec<u8> {
    match &vector["datagram"] {
        Value::String(text) => text.as_bytes().to_vec(),
        _ => from_hex(vector["hex"].as_str().unwrap()),
    }
}

fn show(datagram: &[u8]) -> String {
    datagram.escape_ascii().to_string()
}

fn merge(one: Value, other: Value) -> Value {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            Value::Object(one.into_iter().chain(other).collect::<Map<_, _>>())
        }
        _ => panic!("two objects are needed"),
    }
}

fn pairs(value: &Value) -> Vec<[u64; 2]> {
    list(value).iter().map(|pair| [number(&pair[0]), number(&pair[1])]).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Those that have a checksum: what is sealed is found damaged by its seal.
fn checked_vectors() -> Vec<Value> {
    let mut vectors = vectors("decode-valid.json");
    vectors.retain(|vector| vector["expect"].get("sealed_at").is_none());
    vectors
}

fn vectors(name: &str) -> Vec<Value> {
    list(&file(name)).to_vec()
}

fn file(name: &str) -> Value {
    let path = format!("spec/vectors/{name}");
    serde_json::from_str(&fs::read_to_string(&path).unwrap())
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}
