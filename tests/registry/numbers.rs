//! Numbers that are nobody's business but this program's, as the registry has them.

use serde_json::json;
use udpchat::endpoint::HandshakeLimits;
use udpchat::relay::RelayLimits;

use super::super::{by_name, files, read, registry};

#[test]
fn the_numbers_of_sealing_are_the_codes_own() {
    let limits = HandshakeLimits::default();
    let secure = |name| constant("src/secure", name);
    let mut numbers = json!({
        "epoch_packets": secure("EPOCH_PACKETS"),
        "epoch_s": secure("EPOCH_TIME"),
        "previous_key_s": secure("PREVIOUS_KEPT"),
        "cookie_s": secure("LIFETIME"),
        "retries": constant("src/endpoint", "RETRIES_AT_ONCE"),
    });
    let rates = [
        ("unproven", limits.unproven),
        ("retries", limits.retries),
        ("source", limits.source),
        ("total", limits.total),
    ];
    for (name, rate) in rates {
        numbers[format!("{name}_burst")] = json!(rate.burst);
        numbers[format!("{name}_per_second")] = json!(rate.per_second);
    }
    assert_eq!(by_name(&registry("limits.json")["sealing"], "value"), numbers);
}

#[test]
fn the_relays_numbers_are_the_codes_own() {
    let limits = RelayLimits::default();
    let [flood, connections] = [limits.flood, limits.connections].map(Option::unwrap);
    let constant = |name| constant("src/relay", name);
    let numbers = json!({
        "members": limits.members,
        "rooms_per_member": limits.rooms_per_member,
        "text_bytes": limits.text_bytes,
        "mailbox_letters": limits.mailbox.letters,
        "mailbox_bytes": limits.mailbox.bytes,
        "letter_lifetime_s": limits.letter_lifetime.as_secs(),
        "flood_burst": flood.burst,
        "flood_per_second": flood.per_second,
        "connections_burst": connections.burst,
        "connections_per_second": connections.per_second,
        // These are nobody's business but the relay's, so they are read where they stand.
        "password_burst": constant("MEMBER_BURST"),
        "password_interval_s": constant("MEMBER_INTERVAL"),
        "password_burst_address": constant("ADDRESS_BURST"),
        "password_interval_address_s": constant("ADDRESS_INTERVAL"),
        "guest_s": constant("GUEST_TIME"),
        "seats_kept_s": constant("SEATS_KEPT"),
        "listed": constant("LISTED"),
        "changes_kept": constant("MAX_CHANGES"),
        "who_listed": constant("MAX_LISTED"),
        "rooms_listed": constant("MAX_ROOMS"),
        "log_lines": constant("MAX_LOG_LINES"),
        "invited": constant("MAX_INVITED"),
    });
    assert_eq!(by_name(&registry("limits.json")["relay"], "value"), numbers);
}

/// The number that a private constant has somewhere in a folder.
fn constant(folder: &str, name: &str) -> u64 {
    let texts = files(folder, "rs").into_iter().map(|file| read(&file));
    let number =
        |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>().parse::<u64>().ok();
    let values = texts.filter_map(|text| {
        let (_, rest) = text.split_once(&format!("const {name}: "))?;
        let value = rest.split_once('=')?.1.split_once(';')?.0;
        match value.split_once("<<") {
            Some((value, shift)) => Some(number(value)? << number(shift)?),
            None => number(value),
        }
    });
    let [value] = values.collect::<Vec<u64>>()[..] else { panic!("{name} stands in one place") };
    value
}
