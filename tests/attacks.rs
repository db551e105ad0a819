//! Every attack in one table: what was tried, what became of the conversation, and which counters moved.
//!
//! Everything is sealed unless the row says so, and every figure is exact: virtual time, fixed seeds. If a change is meant to move
//! one: `UDPCHAT_GOLDEN=write cargo test --test attacks`. Attacks with cookies that were stolen or forged, with keys of two sides
//! known, and on what a relay keeps have tests of their own beside the code: `src/endpoint/guard.rs`, `src/endpoint/tests/`,
//! `src/arq/connection/handle.rs` (path challenges), `src/relay/tests/guarded.rs`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "attacks/insider.rs"]
mod insider;
#[path = "attacks/on_the_path.rs"]
mod on_the_path;
#[path = "attacks/stage.rs"]
mod stage;
#[path = "attacks/strangers.rs"]
mod strangers;

use std::{env, fs};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/attacks.txt");

const HEAD: &str = "Attacks on a sealed conversation, 10 ms each way. \"Begun\" is from the first hello until the first answer is heard,\n\
     \"went on\" from the end of the attack until both sides have heard each other again. 0 asks, 1 grants.\n\
     \"Of what is honest\" leaves out packets, hellos and welcomes that did their work.\n";

// UC-SEAL-003, UC-SEAL-004, UC-SEAL-005, UC-SEAL-006, UC-SEAL-010, UC-SEAL-011, UC-SEAL-013, UC-SEAL-014
// UC-HS-005, UC-HS-009, UC-ARQ-004, UC-ARQ-005, UC-ARQ-015, UC-STR-002, UC-STR-006, UC-STR-009, UC-PATH-003
#[test]
fn the_table_of_attacks() {
    let groups = [
        ("On the path, without a key", on_the_path::rows as fn() -> Vec<String>),
        ("From strangers", strangers::rows),
        ("From a member", insider::rows),
    ];
    let mut table = String::from(HEAD);
    for (name, rows) in groups {
        table.push_str(&format!("\n{name}\n\n{}", rows().join("\n")));
    }
    if env::var("UDPCHAT_GOLDEN").is_ok_and(|wish| wish == "write") {
        fs::write(GOLDEN, &table).unwrap();
    }
    assert!(!table.contains("STUCK"), "{table}");
    assert_eq!(table, fs::read_to_string(GOLDEN).unwrap_or_default(), "see the head of this file");
}
